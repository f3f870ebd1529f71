//! Settling with the bank: deposits, drafts it is asked about first, and what is still owed.

use farthing_bank::messages::Confirmation;
use farthing_core::amount::Amount;
use farthing_core::refusal::Refusal;
use farthing_core::sign::Signed;
use farthing_core::wire::{self, Bounded};
use farthing_draft::messages::{Confirm, DRAFTS_MAX, Deposit, DepositReceipt, Digest, Outcome, kind};
use farthing_draft::payee::HeldState;
use farthing_role::{Context, Halt};

use super::HeldDraft;
use super::take::{served, unknown};
use crate::wallet::Wallet;
use crate::wallet::desk::Desk;
use crate::wallet::error::WalletError;
use crate::wallet::history::{Exposure, Risk};
use crate::wallet::records::What;
use crate::wallet::single::{Taken, TakenRow};
use crate::wallet::start;

/// At most so many requests in one round of deposits.
const ROUNDS_MAX: usize = 256;

/// What a round of deposits came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deposits {
    /// What the bank credited now.
    pub paid: Amount,
    /// How many drafts it took now.
    pub drafts: u32,
    /// What the payers of drafts taken still owe.
    pub owed: Amount,
    /// Drafts that their payers have stopped: show the bank that they were delivered.
    pub stopped: u32,
    /// Drafts of which nothing comes, and why.
    pub lost: Vec<Refusal>,
    /// How many requests it took.
    pub requests: u32,
}

impl Deposits {
    pub(crate) const fn none(zero: Amount) -> Self {
        Self { paid: zero, drafts: 0, owed: zero, stopped: 0, lost: Vec::new(), requests: 0 }
    }
}

impl Wallet {
    /// Has the bank pay the drafts that are held, those whose last day is nearest first, and asks
    /// again about those of which something was owed. Left unanswered, the same drafts are
    /// deposited again the next time and paid once.
    ///
    /// # Errors
    /// [`WalletError`]. What was paid before the error stays paid.
    pub async fn deposit_drafts(&self, desk: &dyn Desk) -> Result<Deposits, WalletError> {
        let _counter = self.inner.counter.lock().await;
        self.deposit_held(desk).await
    }

    /// The same for who holds the counter.
    pub(crate) async fn deposit_held(&self, desk: &dyn Desk) -> Result<Deposits, WalletError> {
        self.checked_now()?;
        let mut done = Deposits::none(self.inner.settings.currency().zero());
        if self.drafts_held().await?.is_empty() {
            return Ok(done);
        }
        self.learn(desk).await?;
        let taker = self.taker()?;
        let mut before: Option<Vec<[u8; 32]>> = None;
        for _ in 0..ROUNDS_MAX {
            let next = {
                let taker = self.taker()?;
                self.inner.handle.transact(move |cx| taker.deposit(cx, DRAFTS_MAX)).await?
            };
            let Some(deposit) = next else { break };
            let named: Vec<_> = deposit.items.as_slice().iter().map(|item| item.draft.digest()).collect();
            if before.as_ref() == Some(&named) {
                break; // Nothing new comes of these today.
            }
            before = Some(named);
            self.deposit_these(desk, deposit, &mut done).await?;
        }
        let owed = self.drafts_held().await?;
        let again = move |cx: &mut Context<'_>| {
            let due = owed.iter().filter(|one| owes(one)).take(DRAFTS_MAX);
            due.map(|one| taker.ask_again(cx, one.payer, one.number)).collect::<Result<Vec<_>, _>>()
        };
        let items = self.inner.handle.transact(again).await?;
        if let Some(items) = Bounded::new(items).filter(|items| !items.as_slice().is_empty()) {
            self.deposit_these(desk, Deposit { items }, &mut done).await?;
        }
        // Asked about twice, a draft is still one: what counts is how it stands now.
        let zero = done.paid.currency().zero();
        (done.owed, done.stopped) = (zero, 0);
        for one in self.drafts_held().await? {
            match one.state {
                HeldState::Deposited { owed, .. } => done.owed = done.owed.checked_add(owed)?,
                HeldState::Stopped { .. } => done.stopped = done.stopped.saturating_add(1),
                _ => {}
            }
        }
        Ok(done)
    }

    /// Drafts that the bank has still to pay for.
    pub(crate) async fn drafts_due(&self) -> Result<Vec<Exposure>, WalletError> {
        let held = self.drafts_held().await?;
        let due = held.into_iter().filter_map(|one| {
            let at_most = match one.state {
                HeldState::Held | HeldState::Sent | HeldState::Stopped { .. } => one.amount,
                HeldState::Deposited { .. } | HeldState::Asking | HeldState::Lost(_) | HeldState::GivenBack => {
                    return None;
                }
            };
            Some(Exposure { to: one.payer, at_most, until: one.deposit_by, risk: Risk::Draft })
        });
        Ok(due.collect())
    }

    /// Asks the bank about all drafts that wait for its word.
    pub(crate) async fn confirm_waiting(&self, desk: &dyn Desk) -> Result<(), WalletError> {
        for one in self.drafts_held().await?.into_iter().filter(|one| one.state == HeldState::Asking) {
            match self.confirm_draft(desk, one.instrument).await {
                // The bank's no: nothing was served, and nothing is.
                Ok(_) | Err(WalletError::Refused(_)) => {}
                Err(WalletError::Bank(why)) if why.refused_unmoved().is_some() => {}
                Err(why) => return Err(why),
            }
        }
        Ok(())
    }

    async fn deposit_these(&self, desk: &dyn Desk, deposit: Deposit, done: &mut Deposits) -> Result<(), WalletError> {
        let reply = self.ask_afresh(desk, &self.inner.key, kind::DEPOSIT, wire::encode(&deposit)).await?;
        let receipt: Signed<DepositReceipt> =
            wire::decode(&reply).map_err(|_| WalletError::FalseAnswer("it is no receipt for drafts"))?;
        let (taker, copy) = (self.taker()?, Digest(self.copy_token()));
        let zero = self.inner.settings.currency().zero();
        let settled = move |cx: &mut Context<'_>| {
            let signed = receipt.clone().verify_by(taker.network, taker.bank).map_err(Refusal::from)?;
            let mut before = Vec::new();
            for item in deposit.items.as_slice() {
                let number = item.draft.peek().map_err(Refusal::from)?.number;
                before.push(taker.held(cx, item.draft.claimed_signer(), number)?.state);
            }
            taker.on_deposit_receipt(cx, copy, &deposit, receipt)?;
            let mut came = Deposits::none(zero);
            for (line, before) in signed.body().lines.as_slice().iter().zip(&before) {
                came.count(cx, &line.draft, &line.outcome, before)?;
            }
            if came.drafts > 0 {
                start::note(cx, What::Deposited { amount: came.paid, drafts: came.drafts, owed: came.owed });
            }
            Ok((came, signed.body().time))
        };
        let (came, signed) = self.inner.handle.transact(settled).await?;
        self.raise_floor(signed).await?;
        done.add(came)
    }

    /// Asks the bank about a draft that is not served for before it has said yes.
    pub(crate) async fn confirm_draft(&self, desk: &dyn Desk, instrument: [u8; 32]) -> Result<Taken, WalletError> {
        let taker = self.taker()?;
        let find = move |cx: &mut Context<'_>| {
            let row = TakenRow::find(cx, &instrument)?.ok_or_else(unknown)?;
            Ok((taker.ask_again(cx, row.payer, row.number)?, row))
        };
        let (item, row) = self.inner.handle.transact(find).await?;
        let message = wire::encode(&Confirm { item });
        let reply = self.ask_afresh(desk, &self.inner.key, kind::CONFIRM, message).await?;
        let said = match wire::decode(&reply).map_err(|_| WalletError::FalseAnswer("it is no yes and no no"))? {
            Confirmation::Yes(said) => said,
            Confirmation::No(why) => return Err(why.into()),
        };
        let taker = self.taker()?;
        let confirmed = move |cx: &mut Context<'_>| {
            let again = taker.held(cx, row.payer, row.number)?.receipt.is_some();
            let receipt = taker.on_confirmed(cx, row.payer, row.number, said)?;
            let row = TakenRow { receipt: Some(receipt.clone()), ..row };
            row.write(cx, &instrument);
            Ok(served(&row, instrument, receipt, again))
        };
        Ok(self.inner.handle.transact(confirmed).await?)
    }
}

/// Whether the bank is asked again what became of a draft.
fn owes(one: &HeldDraft) -> bool {
    matches!(&one.state, HeldState::Deposited { owed, .. } if !owed.is_zero())
}

impl Deposits {
    /// Counts a line of a receipt, if it says something new.
    fn count(
        &mut self,
        cx: &mut Context<'_>,
        draft: &Digest,
        outcome: &Outcome,
        before: &HeldState,
    ) -> Result<(), Halt> {
        let row = TakenRow::find(cx, &draft.0)?;
        let lost = |cx: &mut Context<'_>, why: &Refusal| {
            if let Some(row) = &row {
                let TakenRow { payer, order, amount, .. } = *row;
                start::note(cx, What::DraftLost { payer, order, amount, why: why.clone() });
            }
        };
        let open = matches!(before, HeldState::Sent | HeldState::Stopped { .. } | HeldState::Held);
        match outcome {
            Outcome::Taken { paid, owed, .. } => {
                let had = match before {
                    HeldState::Deposited { owed, .. } => paid
                        .checked_sub(*paid)
                        .and_then(|zero| row.as_ref().map_or(Ok(zero), |row| row.amount.checked_sub(*owed))),
                    _ => paid.checked_sub(*paid),
                };
                let new = had.and_then(|had| paid.checked_sub(had)).unwrap_or_else(|_| paid.currency().zero());
                self.paid = self.paid.checked_add(new).map_err(Refusal::from)?;
                self.owed = self.owed.checked_add(*owed).map_err(Refusal::from)?;
                self.drafts = self.drafts.saturating_add(u32::from(open || !new.is_zero()));
            }
            Outcome::Stopped { .. } => self.stopped = self.stopped.saturating_add(1),
            Outcome::GoneBack if open => {
                let why = Refusal::new(
                    farthing_core::refusal::Code::State,
                    "the payer stopped the draft, and its money went back",
                );
                lost(cx, &why);
                self.lost.push(why);
            }
            Outcome::Refused(why) if open => {
                if matches!(why.remedy, farthing_core::refusal::Remedy::Stop | farthing_core::refusal::Remedy::Appeal) {
                    lost(cx, why);
                }
                self.lost.push(why.clone());
            }
            Outcome::Compensated { paid, lost: rest, why } if open => {
                self.paid = self.paid.checked_add(*paid).map_err(Refusal::from)?;
                self.drafts = self.drafts.saturating_add(1);
                if let Some(row) = row.as_ref().filter(|_| !rest.is_zero()) {
                    let TakenRow { payer, order, .. } = *row;
                    start::note(cx, What::DraftLost { payer, order, amount: *rest, why: why.clone() });
                }
                self.lost.push(why.clone());
            }
            Outcome::GoneBack | Outcome::Refused(_) | Outcome::Compensated { .. } => {}
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, more: Self) -> Result<(), WalletError> {
        self.paid = self.paid.checked_add(more.paid)?;
        self.owed = self.owed.checked_add(more.owed)?;
        self.drafts = self.drafts.saturating_add(more.drafts);
        self.stopped = self.stopped.saturating_add(more.stopped);
        self.lost.extend(more.lost);
        self.requests = self.requests.saturating_add(1);
        Ok(())
    }
}
