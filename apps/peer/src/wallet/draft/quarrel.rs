//! When a draft and its goods do not meet: delivered, given back, stopped, disputed.

use farthing_core::id::{OrderId, PeerId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Signed;
use farthing_draft::messages::{Delivered, Digest, Finding, Proof, Returned, StopReason, Stopped, kind};
use farthing_draft::payee::HeldState;
use farthing_role::Context;

use super::take::unknown;
use crate::wallet::Wallet;
use crate::wallet::desk::Desk;
use crate::wallet::error::WalletError;
use crate::wallet::policy;
use crate::wallet::records::What;
use crate::wallet::single::{Outgoing, OutgoingState, PaymentRow, TakenRow, payment_key};
use crate::wallet::{choice::Scheme, start};

impl Wallet {
    /// As payer: the goods have come. Send it to the payee, which shows it if the draft were stopped.
    ///
    /// # Errors
    /// [`WalletError`]: no such draft, or it was stopped.
    pub async fn delivered(&self, payee: PeerId, order: OrderId, part: u32) -> Result<Signed<Delivered>, WalletError> {
        let row = self.draft_row(payee, order, part).await?;
        self.step(row.alias, move |payer, cx| payer.delivered(cx, row.number)).await
    }

    /// As payee: the payer says that the goods have come. It is kept as proof.
    ///
    /// # Errors
    /// [`WalletError`]: no such draft, or not its payer's word.
    pub async fn on_delivered(&self, delivered: Signed<Delivered>) -> Result<(), WalletError> {
        let Digest(instrument) = delivered.peek().map_err(Refusal::from)?.draft;
        let taker = self.taker()?;
        let kept = move |cx: &mut Context<'_>| {
            let row = TakenRow::find(cx, &instrument)?.ok_or_else(unknown)?;
            taker.on_delivered(cx, row.payer, row.number, delivered)
        };
        Ok(self.inner.handle.transact(kept).await?)
    }

    /// As payer: the payee gave the draft back. It is kept as proof; [`dispute`](Self::dispute) has the
    /// bank set its money free, and so does [`upkeep`](Self::upkeep).
    ///
    /// # Errors
    /// [`WalletError`]: no such draft, or not its payee's word.
    pub async fn on_returned(
        &self,
        payee: PeerId,
        order: OrderId,
        part: u32,
        returned: Signed<Returned>,
    ) -> Result<Outgoing, WalletError> {
        let row = self.draft_row(payee, order, part).await?;
        let key = row.key();
        let kept = self.step(row.alias, move |payer, cx| {
            let mut row = PaymentRow::find(cx, &key)?.ok_or_else(no_such)?;
            payer.on_returned(cx, row.number, &returned)?;
            row.returned = Some(returned);
            row.write(cx);
            Ok(row)
        });
        Ok(kept.await?.shown())
    }

    /// As payer: has the bank not pay a draft that was not delivered for, or was given back. Its money
    /// is set aside until the draft can be deposited no more, or somebody has shown what happened.
    ///
    /// # Errors
    /// [`WalletError`]; code spent where it was deposited already: the money has gone to the payee.
    pub async fn stop_draft(
        &self,
        desk: &dyn Desk,
        payee: PeerId,
        order: OrderId,
        part: u32,
    ) -> Result<Stopped, WalletError> {
        let _counter = self.inner.counter.lock().await;
        self.stop_row(desk, self.draft_row(payee, order, part).await?).await
    }

    async fn stop_row(&self, desk: &dyn Desk, row: PaymentRow) -> Result<Stopped, WalletError> {
        self.may_pay()?;
        self.checked_now()?;
        let drawer = self.drawer(row.alias)?;
        let reason = if row.returned.is_some() { StopReason::Returned } else { StopReason::NotDelivered };
        let number = row.number;
        let stop = self.step(row.alias, move |payer, cx| payer.stop(cx, number, reason)).await?;
        let said: Signed<Stopped> = self.said(desk, &drawer, kind::STOP, &stop).await?;
        let said = said.verify_by(self.network(), self.bank());
        let said = said.map_err(|_| WalletError::FalseAnswer("it is not signed by the bank"))?;
        let stopped = said.body().clone();
        if stopped.draft.0 != row.instrument {
            return Err(WalletError::FalseAnswer("it stops another draft"));
        }
        let key = row.key();
        let done = move |cx: &mut Context<'_>| {
            let mut row = PaymentRow::find(cx, &key)?.ok_or_else(no_such)?;
            if row.state != OutgoingState::CameBack && row.state != OutgoingState::Stopped {
                row.state = OutgoingState::Stopped;
                start::note(cx, What::DraftStopped { payee: row.payee, order: row.order, amount: row.amount });
                row.write(cx);
            }
            Ok(())
        };
        self.inner.handle.transact(done).await?;
        self.raise_floor(stopped.time).await?;
        Ok(stopped)
    }

    /// Shows the bank what settles a stopped draft. As payer: that the payee gave it back, which stops
    /// it if need be; the money is then free again. As payee: that the payer had the goods; the draft
    /// is then paid.
    ///
    /// # Errors
    /// [`WalletError`]: nothing that could be shown, or what the bank says to it.
    pub async fn dispute(&self, desk: &dyn Desk, instrument: [u8; 32]) -> Result<Finding, WalletError> {
        let _counter = self.inner.counter.lock().await;
        self.dispute_held(desk, instrument).await
    }

    async fn dispute_held(&self, desk: &dyn Desk, instrument: [u8; 32]) -> Result<Finding, WalletError> {
        let rows: Vec<(Vec<u8>, PaymentRow)> = self.all_rows(crate::wallet::records::PAYMENTS).await?;
        let own = rows.into_iter().map(|(_, row)| row).find(|row| row.instrument == instrument);
        match own {
            Some(row) => self.show_returned(desk, row).await,
            None => self.show_delivered(desk, instrument).await,
        }
    }

    async fn show_returned(&self, desk: &dyn Desk, row: PaymentRow) -> Result<Finding, WalletError> {
        let nothing =
            || Refusal::new(Code::State, "the payee has not given this draft back: stop it, or ask the payee");
        let returned = row.returned.clone().ok_or_else(nothing)?;
        let drawer = self.drawer(row.alias)?;
        if row.state != OutgoingState::Stopped {
            self.stop_row(desk, row.clone()).await?;
        }
        let proof = Proof::Returned { number: row.number, returned };
        let finding = match self.said(desk, &drawer, kind::PROVE, &proof).await {
            // Asked before, and the answer was lost.
            Err(WalletError::Bank(crate::wallet::DeskError::Refused(why))) if why.code == Code::State => {
                Finding::GiveBack
            }
            finding => finding?,
        };
        if finding == Finding::GiveBack {
            self.note_back(row).await?;
        }
        Ok(finding)
    }

    async fn show_delivered(&self, desk: &dyn Desk, instrument: [u8; 32]) -> Result<Finding, WalletError> {
        let taker = self.taker()?;
        let proof = move |cx: &mut Context<'_>| {
            let row = TakenRow::find(cx, &instrument)?.ok_or_else(unknown)?;
            let nothing = || Refusal::new(Code::State, "the payer never said that the goods came: ask the operator");
            Ok(taker.proof(cx, row.payer, row.number)?.ok_or_else(nothing)?)
        };
        let proof = self.inner.handle.transact(proof).await?;
        let message = farthing_core::wire::encode(&proof);
        let reply = self.ask_afresh(desk, &self.inner.key, kind::PROVE, message).await?;
        let finding = farthing_core::wire::decode(&reply).map_err(|_| WalletError::FalseAnswer("it is no finding"))?;
        self.deposit_held(desk).await?;
        Ok(finding)
    }

    /// The money of a draft is free again: the policy counts it no more.
    async fn note_back(&self, row: PaymentRow) -> Result<(), WalletError> {
        let key = row.key();
        let done = move |cx: &mut Context<'_>| {
            let mut row = PaymentRow::find(cx, &key)?.ok_or_else(no_such)?;
            if row.state != OutgoingState::CameBack {
                row.state = OutgoingState::CameBack;
                policy::give_back_late(cx.tx, &row.payee, row.amount)?;
                start::note(cx, What::CameBack { payee: row.payee, order: row.order, amount: row.amount });
                row.write(cx);
            }
            Ok(())
        };
        Ok(self.inner.handle.transact(done).await?)
    }

    /// Settles with the bank what can be shown: drafts given back, and stopped drafts delivered. Gives
    /// what the bank would not settle: one quarrel holds up nothing else.
    pub(crate) async fn settle_quarrels(&self, desk: &dyn Desk) -> Result<Vec<WalletError>, WalletError> {
        let rows: Vec<(Vec<u8>, PaymentRow)> = self.all_rows(crate::wallet::records::PAYMENTS).await?;
        let back = rows.into_iter().map(|(_, row)| row);
        let back = back.filter(|row| row.returned.is_some() && row.state != OutgoingState::CameBack);
        let mut due: Vec<_> = back.map(|row| row.instrument).collect();
        let held = self.drafts_held().await?;
        let stopped = held.iter().filter(|one| one.delivered && matches!(one.state, HeldState::Stopped { .. }));
        due.extend(stopped.map(|one| one.instrument));
        let mut unsettled = Vec::new();
        for instrument in due {
            if let Err(why) = self.dispute_held(desk, instrument).await {
                unsettled.push(why);
            }
        }
        Ok(unsettled)
    }

    async fn draft_row(&self, payee: PeerId, order: OrderId, part: u32) -> Result<PaymentRow, WalletError> {
        let row = self.payment_row(payment_key(order, payee, part)).await?;
        Ok(row.filter(|row| row.scheme == Scheme::Draft).ok_or_else(no_such)?)
    }
}

fn no_such() -> Refusal {
    Refusal::new(Code::Unknown, "this wallet wrote no such draft")
}
