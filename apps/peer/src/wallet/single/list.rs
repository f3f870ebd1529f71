//! The book of single payments: looked at, acknowledged, tidied up.

use farthing_core::id::{OrderId, PeerId};
use farthing_core::order::Receipt;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Signed;
use farthing_core::time::{Span, Time};
use farthing_draft::messages::DRAFT_LIFE_MAX;
use farthing_role::{Context, Halt, Scan, Table};

use super::{Expected, Handover, Outgoing, OutgoingState, PaymentRow, Taken, TakenRow, payment_key};
use crate::wallet::Wallet;
use crate::wallet::choice::Scheme;
use crate::wallet::error::WalletError;
use crate::wallet::history::{Exposure, Risk};
use crate::wallet::records::{self, HISTORY, Happened, PAYMENTS, TAKEN};

/// Rows read at once.
const PAGE: usize = 1_024;

/// How long a payment that is over is remembered beyond the longest life of a draft.
const KEEP: Span = Span::from_days(35);

impl Wallet {
    /// Single payments made that are remembered, the earliest first; those in state
    /// [`OutgoingState::ToHandOver`] are to be handed over.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn payments(&self) -> Result<Vec<Outgoing>, WalletError> {
        let rows: Vec<(_, PaymentRow)> = self.all_rows(PAYMENTS).await?;
        let mut all: Vec<_> = rows.into_iter().map(|(_, row)| row.shown()).collect();
        all.sort_by_key(|one| one.at);
        Ok(all)
    }

    /// One of them.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn payment(&self, payee: PeerId, order: OrderId, part: u32) -> Result<Option<Outgoing>, WalletError> {
        Ok(self.payment_row(payment_key(order, payee, part)).await?.map(PaymentRow::shown))
    }

    /// What to hand over for a payment made: the very same as before. `None` where there is nothing:
    /// it is not made yet, or not any more.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn handover(&self, payee: PeerId, order: OrderId, part: u32) -> Result<Option<Handover>, WalletError> {
        match self.payment_row(payment_key(order, payee, part)).await? {
            Some(row) => self.handover_of(&row).await,
            None => Ok(None),
        }
    }

    /// What to hand over for a row.
    pub(crate) async fn handover_of(&self, row: &PaymentRow) -> Result<Option<Handover>, WalletError> {
        match (row.state, row.scheme) {
            (OutgoingState::ToHandOver | OutgoingState::Acknowledged, Scheme::Draft) => {
                self.draft_again(row.alias, row.number).await.map(Some)
            }
            (OutgoingState::ToHandOver | OutgoingState::Acknowledged, _) => {
                Ok(row.paid.as_ref().map(|paid| Handover::Ticket(paid.payment(true))))
            }
            _ => Ok(None),
        }
    }

    /// Takes a payment that somebody hands over: for what is expected, or for an open request of this
    /// wallet's where nothing is said. Nobody but the payer need be reached. Taken before, it gets
    /// its receipt again.
    ///
    /// # Errors
    /// [`WalletError`]: nothing is to be served. The refusal says whether money has moved.
    pub async fn take(&self, handed: Handover, expected: Option<Expected>) -> Result<Taken, WalletError> {
        match handed {
            Handover::Ticket(payment) => self.take_ticket(payment, expected).await,
            draft => self.take_draft(draft, expected).await,
        }
    }

    /// The payee's receipt for a payment made: it is written down, and the payment need not be handed
    /// over any more.
    ///
    /// # Errors
    /// [`WalletError::Refused`] where it is not the payee's, or for another payment.
    pub async fn on_receipt(&self, receipt: Signed<Receipt>) -> Result<Outgoing, WalletError> {
        let payee = receipt.claimed_signer();
        let verified = receipt.verify_by(self.network(), payee).map_err(Refusal::from)?;
        let body = verified.body().clone();
        let prefix = [&body.order.0[..], &payee.0].concat();
        let rows: Vec<(_, PaymentRow)> = self.rows_below(PAYMENTS, prefix).await?;
        let found = rows.into_iter().find(|(_, row)| row.instrument == body.payment.instrument);
        let unknown = || Refusal::new(Code::Order, "the receipt is for no payment of this wallet's");
        let (key, row) = found.ok_or_else(unknown)?;
        let payer = match row.scheme {
            Scheme::Draft => self.draft_key(row.alias).0.id(),
            _ => self.me(),
        };
        if (body.amount, body.payer) != (row.amount, payer) {
            return Err(Refusal::new(Code::Order, "the receipt says another amount or payer").into());
        }
        let drawer = (row.scheme == Scheme::Draft).then(|| self.drawer(row.alias)).transpose()?;
        let receipt = verified.into_signed();
        let done = move |cx: &mut Context<'_>| {
            let mut row = PaymentRow::find(cx, &key)?.ok_or_else(unknown)?;
            if let Some(drawer) = drawer {
                drawer.on_receipt(cx, row.number, receipt.clone())?;
            }
            if row.state == OutgoingState::ToHandOver {
                row.state = OutgoingState::Acknowledged;
            }
            if row.receipt.is_none() {
                row.receipt = Some(receipt);
                add_receipt(cx, &row)?;
            }
            row.write(cx);
            Ok(row)
        };
        Ok(self.inner.handle.transact(done).await?.shown())
    }

    /// Payments that their payees have not acknowledged.
    pub(crate) async fn unacknowledged(&self) -> Result<Vec<Exposure>, WalletError> {
        let open = |one: &Outgoing| matches!(one.state, OutgoingState::Asked | OutgoingState::ToHandOver);
        let all = self.payments().await?.into_iter().filter(open);
        let until = |one: &Outgoing| one.at.after(DRAFT_LIFE_MAX);
        let exposed = all.map(|one| Exposure {
            until: until(&one),
            to: one.payee,
            at_most: one.amount,
            risk: Risk::Unacknowledged,
        });
        Ok(exposed.collect())
    }

    pub(crate) async fn payment_row(&self, key: Vec<u8>) -> Result<Option<PaymentRow>, WalletError> {
        Ok(self.inner.handle.read(move |reader| records::look(reader, PAYMENTS, &key)).await??)
    }

    /// All rows of a table, a page at a time.
    pub(crate) async fn all_rows<T: farthing_core::wire::Wire>(
        &self,
        table: Table,
    ) -> Result<Vec<(Vec<u8>, T)>, WalletError> {
        self.rows_below(table, Vec::new()).await
    }

    async fn rows_below<T: farthing_core::wire::Wire>(
        &self,
        table: Table,
        prefix: Vec<u8>,
    ) -> Result<Vec<(Vec<u8>, T)>, WalletError> {
        let read = move |reader: &dyn farthing_store::Reader| {
            let (mut all, mut after) = (Vec::new(), None::<Vec<u8>>);
            loop {
                let rows = reader.scan(table, Scan { prefix: &prefix, after: after.as_deref(), limit: PAGE })?;
                let last = rows.len() < PAGE;
                after = rows.last().map(|(key, _)| key.clone());
                for (key, value) in rows {
                    all.push((key, records::read(table, &value)?));
                }
                if last {
                    return Ok::<_, WalletError>(all);
                }
            }
        };
        self.inner.handle.read(read).await?
    }

    /// Forgets payments that are long over.
    pub(crate) async fn forget_singles(&self, now: Time) -> Result<(), WalletError> {
        let over = |at: Time| at.after(DRAFT_LIFE_MAX).after(KEEP) <= now;
        let made: Vec<(Vec<u8>, PaymentRow)> = self.all_rows(PAYMENTS).await?;
        let taken: Vec<(Vec<u8>, TakenRow)> = self.all_rows(TAKEN).await?;
        let made = made.into_iter().filter(|(_, row)| over(row.at) && row.state != OutgoingState::Asked);
        let taken = taken.into_iter().filter(|(_, row)| over(row.at));
        let gone: Vec<_> = made.map(|(key, _)| (PAYMENTS, key)).chain(taken.map(|(key, _)| (TAKEN, key))).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let forget = move |cx: &mut Context<'_>| {
            gone.iter().for_each(|(table, key)| cx.tx.delete(*table, key));
            Ok(())
        };
        Ok(self.inner.handle.transact(forget).await?)
    }
}

/// Adds the receipt to the line of history of its payment.
fn add_receipt(cx: &mut Context<'_>, row: &PaymentRow) -> Result<(), Halt> {
    let Some(key) = row.noted else { return Ok(()) };
    if let Some(line) = records::get::<Happened>(&*cx.tx, HISTORY, &key)? {
        records::put(cx.tx, HISTORY, &key, &Happened { at: line.at, what: row.line() });
    }
    Ok(())
}
