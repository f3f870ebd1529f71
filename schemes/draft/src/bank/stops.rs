//! Stopped drafts: the money is set aside first, and goes where the evidence says.

use farthing_core::evidence::EvidenceKind;
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::SKEW;
use farthing_core::wire;
use farthing_ledger::{Ledger, Transfer};
use farthing_role::{Context, Halt};

use super::money::{self, Drawn};
use super::open_stops::STOPS_SCANNED;
use super::records::{
    self, CONFIRMED, ConfirmedRow, DueRow, DueWhat, HOLDERS, REMEMBERED, SPENT, STOPS, Spent, StopRow, StopState,
    WRITTEN, Written, numbered,
};
use super::take::Destination;
use super::{Drafts, REASON_FOUND, REASON_STOP};
use crate::messages::{DRAFT_LIFE_MAX, Digest, Draft, Finding, Outcome, Proof, Stop, Stopped};
use crate::rows::read;
use crate::verdict;

/// The most stops of one key that may be open at once.
pub const STOPS_OPEN_MAX: usize = 8;

impl Drafts {
    /// KSS-1: stops a draft of the sender's that nobody deposited, for the money it promises. Said
    /// again, it gets the same answer.
    ///
    /// # Errors
    /// [`Halt`]: deposited already, confirmed, too little money, too many stops.
    pub fn stop(&self, cx: &mut Context<'_>, payer: PeerId, stop: Signed<Stop>) -> Result<Signed<Stopped>, Halt> {
        let stop = stop.verify_by(self.chart.network, payer).map_err(Refusal::from)?;
        let draft = stop.body().draft.clone().verify_by(self.chart.network, payer).map_err(Refusal::from)?;
        let (body, digest) = (draft.body(), Digest(draft.digest()));
        let mut holder = records::holder(&*cx.tx, payer)?;
        let key = numbered(payer, body.number);
        if let Some(row) = read::<StopRow>(&*cx.tx, STOPS, &key)? {
            if row.draft != digest {
                return Err(Refusal::new(Code::Conflict, "another draft of this number was stopped").into());
            }
            return Ok(self.stopped(cx, &row));
        }
        if cx.tx.get(SPENT, &key)?.is_some() {
            return Err(Refusal::new(Code::Spent, "the draft was deposited: it cannot be stopped").into());
        }
        if read::<ConfirmedRow>(&*cx.tx, CONFIRMED, &key)?.is_some_and(|row| row.until > cx.now) {
            return Err(Refusal::new(Code::State, "the bank has promised the payee this money").into());
        }
        if body.bank != self.bank() || body.network != self.chart.network {
            return Err(Refusal::new(Code::Order, "the draft is drawn on another bank").into());
        }
        if cx.now >= body.deposit_by {
            let why = "nobody can deposit the draft any more: there is nothing to stop";
            return Err(Refusal::new(Code::Expired, why).remedy(Remedy::Stop).into());
        }
        if body.deposit_by > body.time.after(DRAFT_LIFE_MAX) {
            let why = "the draft lasts longer than any bank remembers: nobody is paid for it";
            return Err(Refusal::new(Code::Limit, why).remedy(Remedy::Stop).into());
        }
        let rows = self.stops_of(cx, payer)?;
        let open = rows.iter().filter(|(_, row)| row.is_open()).count();
        if open >= STOPS_OPEN_MAX || rows.len() == STOPS_SCANNED {
            return Err(Refusal::new(Code::Limit, "too many stopped drafts: wait until some are settled").into());
        }
        self.chart.open(cx)?;
        let aside = Transfer {
            id: self.draft_transfer(&draft, b"stop"),
            debit: self.chart.customer(holder.account),
            credit: self.chart.suspense(),
            amount: body.amount,
            reason: REASON_STOP,
            reference: digest.0,
            at: cx.now,
            hold: None,
        };
        Ledger(&mut *cx.tx).post(aside)?;
        // Its money is set aside now, and no longer only promised.
        if let Some(written) = read::<Written>(&*cx.tx, WRITTEN, &key)?.filter(|written| written.draft == digest) {
            cx.tx.delete(WRITTEN, &key);
            self.no_longer_outstanding(cx, payer, &mut holder, body.number, written.amount)?;
            cx.tx.put(HOLDERS, &payer.0, wire::encode(&holder));
        }
        let until = body.deposit_by.after(SKEW);
        let row = StopRow {
            draft: digest,
            amount: body.amount,
            payee: body.payee,
            until,
            state: StopState::Waiting,
            returned: None,
            stop: stop.into_signed(),
        };
        cx.tx.put(STOPS, &key, wire::encode(&row));
        records::due(&mut *cx.tx, until, &DueRow { payer, number: body.number, what: DueWhat::Stop });
        Ok(self.stopped(cx, &row))
    }

    fn stopped(&self, cx: &Context<'_>, row: &StopRow) -> Signed<Stopped> {
        self.key.sign(self.chart.network, &Stopped { draft: row.draft, until: row.until, time: cx.now })
    }

    /// A stopped draft is deposited: from now the payee has time to show that it delivered.
    pub(super) fn claim_stopped(
        &self,
        cx: &mut Context<'_>,
        draft: &Verified<Draft>,
        mut row: StopRow,
        to: Destination<'_>,
    ) -> Result<Outcome, Halt> {
        let (payer, number) = (draft.signer(), draft.body().number);
        if let StopState::Settled(_) = row.state {
            if let Some(returned) = row.returned.clone() {
                self.file_deposit_after_return(cx, &row, &returned, to.proof)?;
            }
            self.remember(cx, draft, Outcome::GoneBack, to.account);
            return Ok(Outcome::GoneBack);
        }
        let answer_by = cx.now.after(self.terms.answer_time);
        row.state = StopState::Claimed { answer_by, proof: to.proof.to_vec(), to: to.account };
        cx.tx.put(STOPS, &numbered(payer, number), wire::encode(&row));
        records::due(&mut *cx.tx, answer_by, &DueRow { payer, number, what: DueWhat::Stop });
        let outcome = Outcome::Stopped { answer_by };
        self.remember(cx, draft, outcome.clone(), to.account);
        Ok(outcome)
    }

    /// Either side shows what settles a stop: the payer's word that the goods came, or the payee's
    /// that it gave the draft back. Who signed both ways is convicted and suspended.
    ///
    /// # Errors
    /// [`Halt`]: no such stop, or the statement does not settle it.
    pub fn prove(&self, cx: &mut Context<'_>, sender: PeerId, proof: Proof) -> Result<Finding, Halt> {
        match proof {
            Proof::Delivered { payer, number, delivered } => {
                let row = self.open_stop(cx, payer, number, |row| row.payee == sender)?;
                let word = delivered.verify_by(self.chart.network, payer).map_err(Refusal::from)?;
                if word.body().draft != row.draft {
                    return Err(Refusal::new(Code::Order, "that delivery was for another draft").into());
                }
                let shown = [wire::encode(&row.stop), wire::encode(word.signed())];
                let account = records::holder(&*cx.tx, payer)?.account;
                let guilty =
                    verdict::file(cx, self.chart.network, self.bank(), EvidenceKind::StopAfterDelivery, payer, shown)?;
                self.settle_stop(cx, payer, number, row, Finding::Pay)?;
                if guilty {
                    self.suspend(cx, account)?;
                }
                Ok(Finding::Pay)
            }
            Proof::Returned { number, returned } => {
                let mut row = self.open_stop(cx, sender, number, |_| true)?;
                let word = returned.verify_by(self.chart.network, row.payee).map_err(Refusal::from)?;
                if word.body().draft != row.draft {
                    return Err(Refusal::new(Code::Order, "another draft was given back").into());
                }
                row.returned = Some(word.into_signed());
                if let (StopState::Claimed { proof, .. }, Some(returned)) = (row.state.clone(), row.returned.clone()) {
                    self.file_deposit_after_return(cx, &row, &returned, &proof)?;
                }
                self.settle_stop(cx, sender, number, row, Finding::GiveBack)?;
                Ok(Finding::GiveBack)
            }
        }
    }

    /// An operator decides a stop on what the parties have shown outside: the judge of the paper.
    ///
    /// # Errors
    /// [`Halt`]: no such stop is open.
    pub fn judge_stop(
        &self,
        cx: &mut Context<'_>,
        payer: PeerId,
        number: u64,
        finding: Finding,
    ) -> Result<Finding, Halt> {
        let row = self.open_stop(cx, payer, number, |_| true)?;
        self.settle_stop(cx, payer, number, row, finding)?;
        Ok(finding)
    }

    fn open_stop(
        &self,
        cx: &Context<'_>,
        payer: PeerId,
        number: u64,
        concerns: impl Fn(&StopRow) -> bool,
    ) -> Result<StopRow, Halt> {
        let row: Option<StopRow> = read(&*cx.tx, STOPS, &numbered(payer, number))?;
        let row = row.filter(concerns);
        let row = row.ok_or_else(|| Refusal::new(Code::Unknown, "no such draft of yours was stopped"))?;
        if row.is_open() { Ok(row) } else { Err(Refusal::new(Code::State, "that stop is settled").into()) }
    }

    /// The end of a stop that nobody has settled: what nobody showed to be delivered goes back.
    pub(super) fn end_stop(&self, cx: &mut Context<'_>, payer: PeerId, number: u64) -> Result<(), Halt> {
        let Some(row) = read::<StopRow>(&*cx.tx, STOPS, &numbered(payer, number))? else { return Ok(()) };
        let over = match row.state {
            StopState::Waiting => row.until,
            StopState::Claimed { answer_by, .. } => answer_by,
            StopState::Settled(_) => return Ok(()),
        };
        if cx.now >= over { self.settle_stop(cx, payer, number, row, Finding::GiveBack) } else { Ok(()) }
    }

    fn settle_stop(
        &self,
        cx: &mut Context<'_>,
        payer: PeerId,
        number: u64,
        mut row: StopRow,
        finding: Finding,
    ) -> Result<(), Halt> {
        let draft = row.stop.peek().and_then(|stop| stop.draft.verify(self.chart.network)).map_err(Refusal::from)?;
        let to = match (&row.state, finding) {
            (_, Finding::GiveBack) => self.chart.customer(records::holder(&*cx.tx, payer)?.account),
            (StopState::Claimed { to, .. }, Finding::Pay) => *to,
            (_, Finding::Pay) => self.chart.customer(self.account_of(cx, row.payee)?),
        };
        let transfer = Transfer {
            id: self.draft_transfer(&draft, b"found"),
            debit: self.chart.suspense(),
            credit: to,
            amount: row.amount,
            reason: REASON_FOUND,
            reference: row.draft.0,
            at: cx.now,
            hold: None,
        };
        money::post(cx, transfer)?;
        let outcome = match finding {
            Finding::GiveBack => Outcome::GoneBack,
            Finding::Pay => {
                let all = Drawn { paid: row.amount, owed: self.chart.currency.zero() };
                self.receipt(cx, &draft, all, Some(row.payee))?
            }
        };
        // The payee may not have deposited yet; then the draft is spent all the same, once it is paid.
        let deposited = matches!(row.state, StopState::Claimed { .. });
        if deposited || finding == Finding::Pay {
            let to = read::<Spent>(&*cx.tx, SPENT, &numbered(payer, number))?.map_or(to, |spent| spent.to);
            self.remember(cx, &draft, outcome, to);
        } else {
            let forget = draft.body().deposit_by.after(REMEMBERED);
            records::due(&mut *cx.tx, forget, &DueRow { payer, number, what: DueWhat::Spent });
        }
        row.state = StopState::Settled(finding);
        cx.tx.put(STOPS, &numbered(payer, number), wire::encode(&row));
        Ok(())
    }

    /// A payee that deposits what it gave back.
    fn file_deposit_after_return(
        &self,
        cx: &mut Context<'_>,
        row: &StopRow,
        returned: &Signed<crate::messages::Returned>,
        proof: &[u8],
    ) -> Result<(), Halt> {
        let shown = [wire::encode(returned), proof.to_vec()];
        let kind = EvidenceKind::DepositAfterReturn;
        if verdict::file(cx, self.chart.network, self.bank(), kind, row.payee, shown)? {
            let account = self.account_of(cx, row.payee)?;
            self.suspend(cx, account)?;
        }
        Ok(())
    }
}
