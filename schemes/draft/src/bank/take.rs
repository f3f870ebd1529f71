//! Taking a draft: the order of checks, and what follows from them.

use farthing_core::amount::Amount;
use farthing_core::evidence::EvidenceKind;
use farthing_core::id::{AccountId, PeerId, TransferId};
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::sign::{Signed, Verified};
use farthing_core::wire;
use farthing_ledger::HoldState;
use farthing_role::{Context, Halt};

use super::log::less;
use super::money::{self, Drawn};
use super::records::{
    self, CERTIFICATES, CONFIRMED, ConfirmedRow, DueRow, DueWhat, Given, HOLDERS, Holder, Issued, RECEIPTS, RECEIVED,
    REMEMBERED, SPENT, STOPS, Spent, StopRow, WALKS, WRITTEN, Walk, Written, numbered,
};
use super::{Drafts, transfer_id};
use crate::messages::{DRAFT_LIFE_MAX, Differs, Digest, Draft, Outcome, Problem};
use crate::rows::read;
use crate::verdict;

/// Where the money of a draft goes.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The account that is credited.
    pub account: AccountId,
    /// Whose receipt this is, and so whose incoming log it belongs to; nobody's where another bank
    /// collects.
    pub payee: Option<PeerId>,
    /// The request that asks, as it was signed, in case it shows a misdeed; empty where there is
    /// none.
    pub proof: &'a [u8],
}

/// What there is to do about a draft.
pub(super) enum Examined {
    /// It was deposited before, or compensated.
    Again(Spent),
    /// Another draft has its number.
    Fork(Signed<Draft>),
    /// The payer stopped it.
    Stopped(StopRow),
    /// It is to be paid, out of the hold if it was confirmed.
    Pay(Box<(Holder, Issued, Option<ConfirmedRow>)>),
}

impl Drafts {
    /// Takes a draft for the account that is named: the way in for deposits, and for cheques that
    /// another bank collects. Whoever calls has checked that it speaks for the payee.
    ///
    /// The order: drawn on this bank; the certificate of that number is the payer's and held when
    /// the draft was written; taken before, it is answered as before; another draft of that number
    /// is evidence, and compensated from the payer's deposit; then time,
    /// destination and stop. Whatever can be refused is refused before anything is written.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn take(
        &self,
        cx: &mut Context<'_>,
        draft: &Verified<Draft>,
        serial: u64,
        to: Destination<'_>,
    ) -> Result<Outcome, Halt> {
        let examined = self.examine(cx, draft, serial, Some(to.account))?;
        self.carry_out(cx, draft, examined, to)
    }

    /// Everything that can be refused; writes nothing.
    pub(super) fn examine(
        &self,
        cx: &Context<'_>,
        draft: &Verified<Draft>,
        serial: u64,
        to: Option<AccountId>,
    ) -> Result<Examined, Halt> {
        let (holder, issued) = self.certified(cx, draft, serial)?;
        let (body, digest) = (draft.body(), Digest(draft.digest()));
        let key = numbered(draft.signer(), body.number);
        if let Some(compensated) = self.compensated(cx, draft)? {
            return Ok(Examined::Again(compensated));
        }
        if let Some(spent) = read::<Spent>(&*cx.tx, SPENT, &key)? {
            let same = Digest(spent.draft.digest()) == digest;
            return Ok(if same { Examined::Again(spent) } else { Examined::Fork(spent.draft) });
        }
        let stop: Option<StopRow> = read(&*cx.tx, STOPS, &key)?;
        if let Some(stop) = &stop
            && stop.draft != digest
        {
            return Ok(Examined::Fork(stop.stop.peek().map_err(Refusal::from)?.draft));
        }
        let confirmed: Option<ConfirmedRow> = read(&*cx.tx, CONFIRMED, &key)?;
        if let Some(confirmed) = &confirmed
            && Digest(confirmed.draft.digest()) != digest
        {
            return Ok(Examined::Fork(confirmed.draft.clone()));
        }
        if cx.now >= body.deposit_by {
            let why = "the last day of deposit is over";
            return Err(Refusal::new(Code::Expired, why).remedy(Remedy::Stop).into());
        }
        if let Some(to) = to {
            if to == self.chart.customer(holder.account) {
                return Err(Refusal::new(Code::Order, "nobody pays itself").into());
            }
            let unknown = || Refusal::new(Code::Unknown, "there is no account to pay to").remedy(Remedy::Mend);
            if money::room(&cx.tx.account(to)?.ok_or_else(unknown)?) < body.amount.as_micros() {
                return Err(Refusal::new(Code::Limit, "the account cannot take so much").into());
            }
        }
        Ok(match stop {
            Some(stop) => Examined::Stopped(stop),
            None => Examined::Pay(Box::new((holder, issued, confirmed))),
        })
    }

    /// Whether the draft was written under that certificate, on this bank, within its rules.
    fn certified(&self, cx: &Context<'_>, draft: &Verified<Draft>, serial: u64) -> Result<(Holder, Issued), Halt> {
        let body = draft.body();
        if body.bank != self.bank() || body.network != self.chart.network {
            return Err(Refusal::new(Code::Order, "the draft is drawn on another bank").into());
        }
        if body.amount.currency() != self.chart.currency || body.amount.is_zero() {
            return Err(Refusal::new(Code::Amount, "a draft over nothing, or in another currency").into());
        }
        let issued: Option<Issued> = read(&*cx.tx, CERTIFICATES, &serial.to_be_bytes())?;
        let issued = issued.filter(|issued| issued.holder == draft.signer() && issued.window.contains(body.time));
        let issued = issued.ok_or_else(|| {
            let why = "the payer had no such certificate when it wrote the draft";
            Refusal::new(Code::Certificate, why).remedy(Remedy::Stop)
        })?;
        if body.deposit_by > body.time.after(DRAFT_LIFE_MAX) {
            return Err(Refusal::new(Code::Limit, "the draft lasts longer than any bank remembers").into());
        }
        Ok((records::holder(&*cx.tx, draft.signer())?, issued))
    }

    pub(super) fn carry_out(
        &self,
        cx: &mut Context<'_>,
        draft: &Verified<Draft>,
        examined: Examined,
        to: Destination<'_>,
    ) -> Result<Outcome, Halt> {
        match examined {
            Examined::Again(spent) => self.answer_again(cx, draft, spent),
            Examined::Fork(other) => self.compensate(cx, draft, other, to),
            Examined::Stopped(stop) => self.claim_stopped(cx, draft, stop, to),
            Examined::Pay(found) => {
                let (holder, issued, confirmed) = *found;
                self.pay_checked(cx, draft, holder, &issued, confirmed, to)
            }
        }
    }

    /// The answer it got then, after another try to have paid what was owed.
    fn answer_again(&self, cx: &mut Context<'_>, draft: &Verified<Draft>, spent: Spent) -> Result<Outcome, Halt> {
        if matches!(spent.outcome, Outcome::Taken { owed, .. } if !owed.is_zero()) {
            let account = records::holder(&*cx.tx, draft.signer())?.account;
            self.collect(cx, account)?;
            let key = numbered(draft.signer(), draft.body().number);
            return Ok(read::<Spent>(&*cx.tx, SPENT, &key)?.unwrap_or(spent).outcome);
        }
        Ok(spent.outcome)
    }

    /// Two drafts under one number: the first stands, both are evidence, and who signed them pays
    /// nothing more until an operator has looked at it.
    pub(super) fn file_fork(
        &self,
        cx: &mut Context<'_>,
        draft: &Verified<Draft>,
        other: Signed<Draft>,
    ) -> Result<Refusal, Halt> {
        let shown = [wire::encode(&other), wire::encode(draft.signed())];
        let payer = draft.signer();
        if verdict::file(cx, self.chart.network, self.bank(), EvidenceKind::DraftFork, payer, shown)? {
            let account = self.account_of(cx, payer)?;
            self.suspend(cx, account)?;
        }
        let why = "the payer wrote two drafts under this number and the other came first: the evidence is filed";
        Ok(Refusal::new(Code::Conflict, why).blame(Fault::Third))
    }

    pub(super) fn pay_checked(
        &self,
        cx: &mut Context<'_>,
        draft: &Verified<Draft>,
        holder: Holder,
        issued: &Issued,
        confirmed: Option<ConfirmedRow>,
        to: Destination<'_>,
    ) -> Result<Outcome, Halt> {
        let account = holder.account;
        self.compare_with_log(cx, draft, holder, issued)?;
        let hold = match confirmed {
            Some(row) if row.until > cx.now => {
                cx.tx.hold(row.hold)?.filter(|hold| hold.state == HoldState::Open).map(|hold| hold.id)
            }
            _ => None,
        };
        let drawn = self.draw(cx, account, draft, to.account, hold)?;
        cx.tx.delete(CONFIRMED, &numbered(draft.signer(), draft.body().number));
        let outcome = self.receipt(cx, draft, drawn, to.payee)?;
        self.remember(cx, draft, outcome.clone(), to.account);
        Ok(outcome)
    }

    /// Gives the next receipt of that payee.
    pub(super) fn receipt(
        &self,
        cx: &mut Context<'_>,
        draft: &Verified<Draft>,
        drawn: Drawn,
        payee: Option<PeerId>,
    ) -> Result<Outcome, Halt> {
        let number = match payee {
            Some(payee) => {
                let number = read::<u64>(&*cx.tx, RECEIVED, &payee.0)?.unwrap_or_default().saturating_add(1);
                cx.tx.put(RECEIVED, &payee.0, wire::encode(&number));
                let (digest, amount) = (Digest(draft.digest()), draft.body().amount);
                let given = Given { draft: digest, payer: draft.signer(), amount };
                cx.tx.put(RECEIPTS, &numbered(payee, number), wire::encode(&given));
                number
            }
            None => 0,
        };
        Ok(Outcome::Taken { number, paid: drawn.paid, owed: drawn.owed })
    }

    pub(super) fn remember(&self, cx: &mut Context<'_>, draft: &Verified<Draft>, outcome: Outcome, to: AccountId) {
        let (payer, number) = (draft.signer(), draft.body().number);
        let spent = Spent { draft: draft.signed().clone(), outcome, to };
        cx.tx.put(SPENT, &numbered(payer, number), wire::encode(&spent));
        let until = draft.body().deposit_by.after(REMEMBERED);
        records::due(&mut *cx.tx, until, &DueRow { payer, number, what: DueWhat::Spent });
    }

    /// Where the payer's log was reconciled beyond this draft, it must be in it. The payee is paid
    /// either way; the payer answers for it when it reconciles next.
    fn compare_with_log(
        &self,
        cx: &mut Context<'_>,
        draft: &Verified<Draft>,
        mut holder: Holder,
        issued: &Issued,
    ) -> Result<(), Halt> {
        let number = draft.body().number;
        let key = numbered(draft.signer(), number);
        let what = match read::<Written>(&*cx.tx, WRITTEN, &key)? {
            Some(written) if written.draft == Digest(draft.digest()) => {
                cx.tx.delete(WRITTEN, &key);
                self.no_longer_outstanding(cx, draft.signer(), &mut holder, number, written.amount)?;
                (written.log.0 != draft.body().log || written.amount != draft.body().amount).then_some(Differs::History)
            }
            Some(_) => Some(Differs::Altered),
            // What a wallet wrote before it lost its log is in no log, and is paid all the same.
            None if issued.epoch < holder.epoch => None,
            None => (number <= holder.known.outgoing.n).then_some(Differs::Concealed),
        };
        if let Some(what) = what {
            holder.problem = Some(Problem { number, what });
        }
        cx.tx.put(HOLDERS, &draft.signer().0, wire::encode(&holder));
        Ok(())
    }

    /// Counted with the reconciled log, or with the one that is being read.
    pub(super) fn no_longer_outstanding(
        &self,
        cx: &mut Context<'_>,
        key: PeerId,
        holder: &mut Holder,
        number: u64,
        amount: Amount,
    ) -> Result<(), Halt> {
        if number <= holder.known.outgoing.n {
            holder.outstanding = less(holder.outstanding, amount);
        } else if let Some(mut walk) = read::<Walk>(&*cx.tx, WALKS, &key.0)? {
            walk.outstanding = less(walk.outstanding, amount);
            cx.tx.put(WALKS, &key.0, wire::encode(&walk));
        }
        Ok(())
    }

    pub(super) fn draft_transfer(&self, draft: &Verified<Draft>, what: &[u8]) -> TransferId {
        transfer_id(draft.body().time, &[b"draft", what, &draft.digest()])
    }
}
