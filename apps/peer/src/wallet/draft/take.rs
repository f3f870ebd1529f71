//! Taking drafts, without the bank.

use farthing_core::order::Receipt;
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_draft::messages::{Payment, Returned};
use farthing_draft::payee::{Expected as Due, HeldState, Payee, Taken as Held};
use farthing_role::{Context, Halt};

use super::HeldDraft;
use crate::wallet::Wallet;
use crate::wallet::choice::Scheme;
use crate::wallet::error::WalletError;
use crate::wallet::orders::{self, Paid};
use crate::wallet::records::{TAKEN, What};
use crate::wallet::single::{Expected, Handover, Taken, TakenRow};
use crate::wallet::start;

/// How many drafts are read in one transaction.
const LISTED_AT_ONCE: usize = 512;

impl Wallet {
    /// Takes a draft for what is expected, or for an open request of this wallet's where nothing is
    /// said. The bank need not be reached, except where the settings have it asked first.
    ///
    /// # Errors
    /// [`WalletError`]; nothing was taken, and nothing is to be served.
    pub async fn take_draft(&self, handed: Handover, expected: Option<Expected>) -> Result<Taken, WalletError> {
        self.checked_now()?;
        let taker = self.taker()?;
        let payment = match handed {
            Handover::Sealed(sealed) => taker.open(&sealed)?,
            Handover::Bare(payment) => payment,
            Handover::Ticket(_) => return Err(Refusal::new(Code::Malformed, "this is no draft").into()),
        };
        let taken = self.inner.handle.transact(move |cx| take(cx, &taker, payment, expected)).await?;
        let Taken::Waiting { instrument, .. } = taken else { return Ok(taken) };
        // By the time the payer asks again the bank has answered, if it can be reached at all.
        let Ok(desk) = self.desk().await else { return Ok(taken) };
        match self.confirm_draft(&*desk, instrument).await {
            Ok(confirmed) => Ok(confirmed),
            Err(WalletError::Bank(why)) if why.refused_unmoved().is_none() => Ok(taken),
            Err(why) => Err(why),
        }
    }

    /// Drafts that this wallet holds or held, the earliest first.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn drafts_held(&self) -> Result<Vec<HeldDraft>, WalletError> {
        let rows: Vec<(Vec<u8>, TakenRow)> = self.all_rows(TAKEN).await?;
        let rows: Vec<_> = rows.into_iter().filter(|(_, row)| row.scheme == Scheme::Draft).collect();
        let mut found = Vec::new();
        for rows in rows.chunks(LISTED_AT_ONCE) {
            let (taker, rows) = (self.taker()?, rows.to_vec());
            let read = move |cx: &mut Context<'_>| {
                rows.into_iter().map(|(key, row)| held(cx, &taker, key, row)).collect::<Result<Vec<_>, Halt>>()
            };
            found.extend(self.inner.handle.transact(read).await?.into_iter().flatten());
        }
        found.sort_by_key(|one| one.at);
        Ok(found)
    }

    /// Gives a draft back for which nothing was served: it will not be deposited. Send the answer to
    /// the payer; asked for again, it is said again.
    ///
    /// # Errors
    /// [`WalletError`]: no such draft, or it is at the bank.
    pub async fn give_back(&self, instrument: [u8; 32]) -> Result<Signed<Returned>, WalletError> {
        let taker = self.taker()?;
        let back = move |cx: &mut Context<'_>| {
            let row = TakenRow::find(cx, &instrument)?.ok_or_else(unknown)?;
            let returned = taker.give_back(cx, row.payer, row.number)?;
            orders::unpaid(cx, row.order, instrument)?;
            Ok(returned)
        };
        Ok(self.inner.handle.transact(back).await?)
    }
}

/// A draft as it is held.
fn held(cx: &Context<'_>, taker: &Payee, key: Vec<u8>, row: TakenRow) -> Result<Option<HeldDraft>, Halt> {
    let (Ok(instrument), Some(deposit_by)) = (<[u8; 32]>::try_from(key), row.until) else { return Ok(None) };
    let held = taker.held(cx, row.payer, row.number)?;
    Ok(Some(HeldDraft {
        instrument,
        payer: row.payer,
        number: row.number,
        order: row.order,
        description: row.description,
        amount: row.amount,
        at: row.at,
        deposit_by,
        delivered: held.delivered.is_some(),
        state: held.state,
    }))
}

fn take(cx: &mut Context<'_>, taker: &Payee, payment: Payment, expected: Option<Expected>) -> Result<Taken, Halt> {
    let body = payment.draft.peek().map_err(Refusal::from)?;
    let instrument = payment.draft.digest();
    if let Some(row) = TakenRow::find(cx, &instrument)? {
        return again(cx, taker, instrument, row);
    }
    let due = match expected {
        Some(Expected { order, amount }) => Due { order, amount },
        None => Due { order: body.order, amount: orders::expect(cx, body.order, body.amount)? },
    };
    let (accepted, waits) = match taker.accept(cx, payment, &due)? {
        Held::Serve(accepted) => (accepted, false),
        Held::AskFirst(accepted) => (accepted, true),
        Held::Conflict(evidence) => return Ok(Taken::Conflict(evidence)),
    };
    let paid = Paid { scheme: Scheme::Draft, payer: accepted.payer, instrument, amount: body.amount, at: cx.now };
    let note = orders::paid(cx, body.order, paid)?;
    let matched = note.is_some() || expected.is_some();
    let row = TakenRow {
        scheme: Scheme::Draft,
        payer: accepted.payer,
        order: body.order,
        amount: body.amount,
        description: note.unwrap_or_default(),
        number: accepted.number,
        at: cx.now,
        receipt: accepted.receipt.clone(),
        until: Some(body.deposit_by),
    };
    row.write(cx, &instrument);
    let TakenRow { payer, order, amount, description, .. } = row;
    start::note(cx, What::Received { scheme: Scheme::Draft, payer, order, description, amount, matched });
    match accepted.receipt {
        Some(receipt) if !waits => Ok(Taken::Serve { payer, order, amount, instrument, receipt, again: false }),
        _ => Ok(Taken::Waiting { payer, instrument }),
    }
}

/// What a draft gets that came before: its receipt, and nothing served.
fn again(cx: &Context<'_>, taker: &Payee, instrument: [u8; 32], row: TakenRow) -> Result<Taken, Halt> {
    let TakenRow { payer, order, amount, .. } = row;
    let held = taker.held(cx, payer, row.number)?;
    match (held.state, held.receipt) {
        (HeldState::GivenBack, _) => {
            let why = "the draft was given back and is not taken again: write another one";
            Err(Refusal::new(Code::State, why).blame(Fault::Nobody).remedy(Remedy::Stop).into())
        }
        (HeldState::Lost(why), None) => Err(why.into()),
        (_, Some(receipt)) => Ok(Taken::Serve { payer, order, amount, instrument, receipt, again: true }),
        (_, None) => Ok(Taken::Waiting { payer, instrument }),
    }
}

pub(super) fn unknown() -> Refusal {
    Refusal::new(Code::Unknown, "no such draft is held here")
}

/// The receipt of a draft that the bank has vouched for.
pub(super) fn served(row: &TakenRow, instrument: [u8; 32], receipt: Signed<Receipt>, again: bool) -> Taken {
    Taken::Serve { payer: row.payer, order: row.order, amount: row.amount, instrument, receipt, again }
}
