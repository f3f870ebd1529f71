//! Paying: asked of the bank once, however often the request is sent.

use farthing_clearing::compare::Fate;
use farthing_clearing::payer::{Answered, Paid, Transfer};
use farthing_clearing::wallet::{Standing, Wallet as State};
use farthing_core::refusal::{Code, Money, Refusal, Remedy};
use farthing_role::{Context, Halt};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::keep::{self, Kept};
use crate::wallet::Wallet;
use crate::wallet::choice::Scheme;
use crate::wallet::desk::{Desk, DeskError};
use crate::wallet::error::WalletError;
use crate::wallet::policy::{self, PolicyRefusal};
use crate::wallet::records::{CLEARING, PAYMENTS};
use crate::wallet::single::{self, Handover, OutgoingState, PaymentRow, Purchase, payment_key};

/// Under which key the last payment asked for is named.
const ASKED: &[u8] = b"asked";

/// How often a payment is asked for that the bank turns out never to have heard of: once under a key
/// that was replaced meanwhile, once under the present one.
const ASKS_MAX: usize = 2;

/// What was written down before a frame leaves.
struct Asked {
    frame: Vec<u8>,
    /// As it stood before, and as it stands since.
    before: State,
    after: State,
}

impl Wallet {
    /// Pays by online clearing: policy and owner agree, it is counted and written down, the bank moves
    /// the money, and only then there is a ticket to hand over. Asked for again it is the very same
    /// payment, and its answer is fetched if it went missing.
    ///
    /// # Errors
    /// [`WalletError`]. Nothing was paid, except where [`DeskError::Unknown`] says that it may have
    /// been: then ask for the very same again, or let [`upkeep`](Self::upkeep) find out.
    pub async fn pay_clearing(&self, desk: &dyn Desk, it: &Purchase) -> Result<Handover, WalletError> {
        self.checked_now()?;
        self.may_pay()?;
        self.check_single(it)?;
        if it.alias.is_some() {
            return Err(WalletError::NoScheme("only drafts are written under a pseudonym"));
        }
        let key = payment_key(it.order, it.payee, it.part);
        let known = self.payment_row(key.clone()).await?;
        match &known {
            Some(row) => row.is(Scheme::Clearing, it)?,
            None => self.approve_single(it).await?,
        }
        let _counter = self.inner.counter.lock().await;
        self.settle_clearing(desk).await?;
        if let Some(row) = self.payment_row(key.clone()).await? {
            let why = "this was paid, and the bank's ticket for it is lost: the payee finds the money when it compares \
                       its books with the bank's";
            let lost = Refusal::new(Code::Spent, why).money(Money::MovedBefore);
            return Ok(self.handover_of(&row).await?.ok_or(lost)?);
        }
        if known.is_some() {
            // It was asked for before, and now it is known that it was not paid: the owner decides anew.
            self.approve_single(it).await?;
        }
        for _ in 0..ASKS_MAX {
            self.make_ready(desk).await?;
            let asked = self.write_request(it).await??;
            match self.send_frame(desk, asked.frame.clone(), Some(asked)).await {
                // Perhaps the answer went missing, perhaps the bank cannot open it any more: asked once more
                // it is known, or stays for later.
                Err(WalletError::Bank(DeskError::Unknown(_) | DeskError::TurnedAway(_))) => {
                    self.settle_clearing(desk).await?;
                }
                Err(why) => return Err(self.in_doubt(why).await),
                Ok(()) => {}
            }
            if let Some(row) = self.payment_row(key.clone()).await? {
                return self.handover_of(&row).await?.ok_or(WalletError::FalseAnswer("there is no ticket in it"));
            }
            // It was not paid, say the books; by now the key is the present one.
        }
        Err(WalletError::Order("not paid: the bank has never heard of it; ask for it again"))
    }

    /// Sends a request that is still unanswered, if there is one, and finds out what became of it.
    ///
    /// The caller holds the counter.
    pub(crate) async fn settle_clearing(&self, desk: &dyn Desk) -> Result<(), WalletError> {
        match self.send_pending(desk).await {
            Err(why) => Err(self.in_doubt(why).await),
            settled => settled,
        }
    }

    /// What is said of a failure: as long as a request is unanswered, nobody says that no money moved.
    async fn in_doubt(&self, why: WalletError) -> WalletError {
        match self.clearing_state().await {
            Ok(state) if state.as_ref().is_none_or(|state| state.pending().is_none()) => why,
            _ => unknown(why),
        }
    }

    async fn send_pending(&self, desk: &dyn Desk) -> Result<(), WalletError> {
        let Some(state) = self.clearing_state().await? else { return Ok(()) };
        let Some(pending) = state.pending() else { return Ok(()) };
        match self.send_frame(desk, pending.frame.clone(), None).await {
            // It is known now that it was not paid.
            Err(WalletError::Refused(why)) if why.money == Money::Unmoved => Ok(()),
            // Asked twice and not answered: perhaps the bank cannot open it any more.
            Err(WalletError::Bank(DeskError::Unknown(_) | DeskError::TurnedAway(_))) if !self.is_restored() => {
                match self.compare_clearing(desk).await {
                    Err(WalletError::Bank(DeskError::Refused(why))) => Err(unsettled(why)),
                    compared => compared.map(drop),
                }
            }
            done => done,
        }
    }

    /// Joins, and compares books, where that must come first.
    async fn make_ready(&self, desk: &dyn Desk) -> Result<(), WalletError> {
        if self.clearing_state().await?.is_none() {
            self.get_key(desk).await?;
        }
        let state = self.clearing_state().await?;
        if state.is_some_and(|state| state.standing() == Standing::MustReconcile) {
            self.compare_clearing(desk).await?;
        }
        Ok(())
    }

    /// Counts the payment and writes the request down.
    async fn write_request(&self, it: &Purchase) -> Result<Result<Asked, PolicyRefusal>, WalletError> {
        let (keep, policy, it) = (self.keeper(), self.inner.settings.policy, it.clone());
        let written = move |cx: &mut Context<'_>| {
            let Kept(before) = keep.read(cx)?.ok_or_else(not_joined)?;
            let mut row = PaymentRow::new(Scheme::Clearing, &it, cx.now, OutgoingState::Asked);
            if let Err(no) = single::count(cx, &policy, &row)? {
                return Ok(Err(no));
            }
            let mut after = before.clone();
            let transfer = Transfer { payee: it.payee, amount: it.amount, order: it.order, receipt: false };
            let mut rng = ChaCha20Rng::from_seed(cx.dice);
            let frame = after.pay(cx.now, &transfer, None, &mut rng)?;
            row.instrument = after.pending().map_or([0; 32], |pending| pending.auth.0);
            keep.write(cx, &Kept(after.clone()));
            cx.tx.put(CLEARING, ASKED, row.key());
            row.write(cx);
            Ok(Ok(Asked { frame, before, after }))
        };
        Ok(self.inner.handle.transact(written).await?)
    }

    /// Sends a request and takes what comes of it. `fresh` is what to go back to if it certainly never
    /// left.
    async fn send_frame(&self, desk: &dyn Desk, frame: Vec<u8>, fresh: Option<Asked>) -> Result<(), WalletError> {
        match desk.clear(frame).await {
            Ok(answer) => self.on_answer(desk, answer).await,
            Err(DeskError::NotSent(why)) => {
                if let Some(asked) = fresh {
                    self.take_back(asked).await?;
                }
                Err(DeskError::NotSent(why).into())
            }
            // The bank's own word that nothing changed; a comparison tells the rest.
            Err(DeskError::Refused(why)) => {
                self.heed(&why).await;
                self.find_out(desk, why).await
            }
            Err(why) => Err(why.into()),
        }
    }

    async fn on_answer(&self, desk: &dyn Desk, answer: Vec<u8>) -> Result<(), WalletError> {
        let keep = self.keeper();
        let taken = move |cx: &mut Context<'_>| {
            let Kept(mut state) = keep.read(cx)?.ok_or_else(not_joined)?;
            let auth = state.pending().map(|pending| pending.auth.0);
            let answered = match state.on_answer(&answer) {
                Ok(answered) => answered,
                Err(why) => return Ok(Err(why)),
            };
            match &answered {
                Answered::Paid(paid, entry) => {
                    keep::append(cx, entry);
                    note_made(cx, paid.auth.0, Some(paid))?;
                }
                Answered::Refused(_) => note_not_made(cx, auth)?,
                Answered::Stuck(_) => {}
            }
            keep.write(cx, &Kept(state));
            Ok(Ok(answered))
        };
        match self.inner.handle.transact(taken).await? {
            Ok(Answered::Paid(..)) => Ok(()),
            // The bank's answer, and another than can be: for its operator.
            Err(why) if why.remedy == Remedy::Appeal => Err(why.into()),
            // Nobody's word: what came of the request is as unknown as before.
            Err(why) => Err(DeskError::Unknown(why.detail.into_owned()).into()),
            Ok(Answered::Refused(why)) => {
                self.heed(&why).await;
                Err(why.into())
            }
            Ok(Answered::Stuck(why)) => {
                self.heed(&why).await;
                self.find_out(desk, why).await
            }
        }
    }

    /// Compares books to find out what became of the request; its fate is settled by that. A copy that
    /// was overtaken by another does not compare by itself: that would overtake the other one.
    async fn find_out(&self, desk: &dyn Desk, why: Refusal) -> Result<(), WalletError> {
        if self.is_restored() || why.code == Code::Suspended {
            return Err(unsettled(why));
        }
        match self.compare_clearing(desk).await?.fate {
            Some(Fate::Paid(_)) => Ok(()),
            Some(Fate::NotPaid) | None => Err(why.money(Money::Unmoved).into()),
        }
    }

    /// Goes back to before a request that certainly never left.
    async fn take_back(&self, asked: Asked) -> Result<(), WalletError> {
        let keep = self.keeper();
        let back = move |cx: &mut Context<'_>| {
            let Some(Kept(now)) = keep.read(cx)? else { return Ok(()) };
            if now == asked.after {
                note_not_made(cx, now.pending().map(|pending| pending.auth.0))?;
                keep.write(cx, &Kept(asked.before));
            }
            Ok(())
        };
        Ok(self.inner.handle.transact(back).await?)
    }
}

/// A payment that was asked for was made.
pub(super) fn note_made(cx: &mut Context<'_>, auth: [u8; 32], paid: Option<&Paid>) -> Result<(), Halt> {
    let Some(mut row) = asked_row(cx, auth)? else { return Ok(()) };
    row.state = if paid.is_some() { OutgoingState::ToHandOver } else { OutgoingState::Unticketed };
    row.paid = paid.cloned();
    row.noted = Some(single::note_paid(cx, &row));
    row.write(cx);
    Ok(())
}

/// A payment that was asked for was not made and never will be: it is counted no more.
pub(super) fn note_not_made(cx: &mut Context<'_>, auth: Option<[u8; 32]>) -> Result<(), Halt> {
    let Some(auth) = auth else { return Ok(()) };
    if let Some(row) = asked_row(cx, auth)? {
        policy::give_back(cx.tx, &row.payee, row.hour, row.amount)?;
        cx.tx.delete(PAYMENTS, &row.key());
    }
    Ok(())
}

/// The row of a request whose answer has not come: there is one at a time.
fn asked_row(cx: &Context<'_>, auth: [u8; 32]) -> Result<Option<PaymentRow>, Halt> {
    let Some(key) = cx.tx.get(CLEARING, ASKED)? else { return Ok(None) };
    let row = PaymentRow::find(cx, &key)?;
    Ok(row.filter(|row| row.instrument == auth && row.state == OutgoingState::Asked))
}

pub(super) fn not_joined() -> Refusal {
    Refusal::new(Code::Unknown, "this wallet has not joined online clearing: connect to the bank once")
}

/// It is not known what became of the request.
fn unsettled(why: Refusal) -> WalletError {
    why.money(Money::Unknown).remedy(Remedy::Reconcile).into()
}

/// The same failure, of a request that may have been carried out.
fn unknown(why: WalletError) -> WalletError {
    match why {
        WalletError::Refused(why) => why.money(Money::Unknown).into(),
        WalletError::Bank(DeskError::Refused(why)) => DeskError::Refused(why.money(Money::Unknown)).into(),
        WalletError::Bank(DeskError::TurnedAway(why)) => DeskError::TurnedAway(why.money(Money::Unknown)).into(),
        WalletError::Bank(DeskError::NotSent(why)) => DeskError::Unknown(why).into(),
        why => why,
    }
}
