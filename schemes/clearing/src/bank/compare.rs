//! KSR-1 to KSR-4: the customer's log against the bank's, in pages.

use farthing_core::amount::Amount;
use farthing_core::audit::Direction;
use farthing_core::evidence::{Evidence, EvidenceKind, StatementBytes, Verdict};
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::time::SKEW;
use farthing_core::wire::{self, Bounded};
use farthing_ledger::StoreFault;
use farthing_role::{Context, Filed, Halt};

use super::follow::{begin, follow, has_been, note};
use super::log::{self, LogEvent};
use super::records::{self, AccountRecord, Case, Comparison, Standing};
use super::rows;
use super::{Clearing, last_number};
use crate::frame::{Frame, FrameKind, MessageId, grown_nonce};
use crate::reconciliation::{
    AHEAD_MAX, Agreed, CURRENCIES_MAX, Challenge, Closing, Disputed, Fetch, Fetched, Hello, LINES_MAX, LogStatement,
    PROBLEMS_MAX, Page, PageAnswer, PageVerdict, Problem,
};
use crate::verdict;

impl Clearing {
    /// KSR-1 to KSR-2. Any copy of a wallet may begin, whatever it knows.
    pub(super) fn hello(
        &self,
        cx: &mut Context<'_>,
        customer: PeerId,
        record: AccountRecord,
        id: MessageId,
        hello: &Hello,
    ) -> Result<Vec<u8>, Halt> {
        if let Some(before) = records::comparison(&*cx.tx, customer)? {
            if before.answered == id {
                return Ok(before.answer);
            }
            if hello.time <= before.time {
                let why = "a later comparison was begun since: begin again";
                return Err(Refusal::new(Code::Sequence, why).blame(Fault::Nobody).remedy(Remedy::Reconcile).into());
            }
        }
        if hello.time > cx.now.after(SKEW) {
            return Err(Refusal::new(Code::NotYet, "your clock is ahead: set it right and begin again").into());
        }
        let challenge = Challenge { answers: id, next: record.next, agreed: record.agreed };
        let answer = self.seal_to(customer, &record, FrameKind::Challenge, id, &cx.dice, &challenge);
        let comparison = Comparison {
            hello: id,
            time: hello.time,
            theirs: hello.next.min(record.next.saturating_add(AHEAD_MAX)),
            expect: MessageId::of(&answer),
            told: None,
            problems: Bounded::empty(),
            answered: id,
            answer: answer.clone(),
            ended: None,
        };
        records::put_comparison(cx, customer, &comparison);
        Ok(answer)
    }

    /// KSR-3 to KSR-4. Compares a page with the bank's own rows, one scan for each direction, and
    /// keeps nothing of it but how far it went and what did not fit.
    pub(super) fn page(
        &self,
        cx: &mut Context<'_>,
        customer: PeerId,
        mut record: AccountRecord,
        id: MessageId,
        page: Page,
    ) -> Result<Vec<u8>, Halt> {
        let mut comparison = records::comparison(&*cx.tx, customer)?.ok_or_else(out_of_turn)?;
        if comparison.answered == id {
            return Ok(comparison.answer);
        }
        if page.answers != comparison.expect || comparison.ended.is_some() {
            return Err(out_of_turn().into());
        }
        let mut problems = comparison.problems.into_vec();
        let told = match (comparison.told, &page.start) {
            (None, Some(start)) => begin(&*cx.tx, customer, &record, start, &mut problems)?,
            (Some(told), None) => told,
            _ => return Err(Refusal::new(Code::Malformed, "the first page, and no other, says where it starts").into()),
        };
        let (outgoing, incoming) = (page.outgoing.as_slice(), page.incoming.as_slice());
        if outgoing.is_empty() && incoming.is_empty() && page.closing.is_none() {
            return Err(Refusal::new(Code::Malformed, "a page holds entries or closes the log").into());
        }
        let told = (
            follow(&*cx.tx, customer, &record, Direction::Out, told.0, outgoing, &mut problems)?,
            follow(&*cx.tx, customer, &record, Direction::In, told.1, incoming, &mut problems)?,
        );
        let verdict = match page.closing {
            None => PageVerdict::Next,
            Some(closing) => {
                self.close(cx, customer, &mut record, told, &closing, &mut problems)?;
                self.conclude(cx, customer, &mut record, comparison.theirs, told, &closing, &problems, id)?
            }
        };
        let ended = match &verdict {
            PageVerdict::Next => None,
            _ => Some(record.log),
        };
        let answer = PageAnswer { answers: id, verdict };
        let answer = self.seal_to(customer, &record, FrameKind::PageAnswer, id, &cx.dice, &answer);
        comparison.told = Some(told);
        comparison.problems = bounded(problems);
        comparison.answered = id;
        comparison.expect = MessageId::of(&answer);
        comparison.ended = ended.map(|log| (comparison.expect, log));
        comparison.answer = answer.clone();
        records::put_comparison(cx, customer, &comparison);
        Ok(answer)
    }

    /// More of the lines that a customer lacks. Changes nothing.
    pub(super) fn fetch(
        &self,
        cx: &Context<'_>,
        customer: PeerId,
        record: &AccountRecord,
        id: MessageId,
        fetch: &Fetch,
    ) -> Result<Vec<u8>, Halt> {
        let comparison = records::comparison(&*cx.tx, customer)?;
        let ended = comparison.and_then(|comparison| comparison.ended);
        let (_, log) = ended.filter(|(answer, _)| *answer == fetch.answers).ok_or_else(out_of_turn)?;
        let lines = rows::lines(&*cx.tx, customer, record, (fetch.outgoing, fetch.incoming), &log, LINES_MAX)?;
        let fetched = Fetched { answers: id, lines };
        Ok(self.seal_to(customer, record, FrameKind::Lines, id, &cx.dice, &fetched))
    }

    /// Whether the log ends where its entries do, and what it means where it is signed.
    fn close(
        &self,
        cx: &mut Context<'_>,
        customer: PeerId,
        record: &mut AccountRecord,
        told: (u64, u64),
        closing: &Closing,
        problems: &mut Vec<Problem>,
    ) -> Result<(), Halt> {
        let counts = (closing.log.outgoing.n, closing.log.incoming.n);
        if counts != told || !has_been(&*cx.tx, customer, record, &closing.log)? {
            note(problems, Problem::Heads);
        }
        if let Some(signed) = &closing.signed {
            let statement = signed.clone().verify_by(self.network, customer).map_err(Refusal::from)?;
            if statement.body().log != closing.log {
                return Err(Refusal::new(Code::Malformed, "another log is signed than is told").into());
            }
            if let Some(before) = record.signed_log.replace(signed.clone()) {
                self.file_log_fork(cx, customer, &before, signed);
            }
        }
        Ok(())
    }

    fn file_log_fork(
        &self,
        cx: &mut Context<'_>,
        customer: PeerId,
        before: &Signed<LogStatement>,
        now: &Signed<LogStatement>,
    ) {
        let statements = [before, now].map(|signed| StatementBytes(wire::encode(signed)));
        let statements = Bounded::new(statements.to_vec()).unwrap_or_else(Bounded::empty);
        let evidence = Evidence { kind: EvidenceKind::ClearingLogFork, accused: customer, statements };
        let verdict = verdict::judge(self.network, self.bank(), &evidence);
        if verdict != Verdict::Insufficient {
            Filed::file(cx, evidence, verdict);
        }
    }

    /// KSR-4a or KSR-4b. Both sides go on from `max(S_A, S*_A) + 1` either way.
    #[allow(clippy::too_many_arguments, reason = "what a comparison came to is all of this")]
    fn conclude(
        &self,
        cx: &mut Context<'_>,
        customer: PeerId,
        record: &mut AccountRecord,
        theirs: u64,
        told: (u64, u64),
        closing: &Closing,
        problems: &[Problem],
        id: MessageId,
    ) -> Result<PageVerdict, Halt> {
        let next = record.next.max(theirs).checked_add(1);
        record.next = next.ok_or_else(last_number)?;
        if !problems.is_empty() || record.standing == Standing::Disputed {
            return Ok(PageVerdict::Disputed(self.dispute(cx, customer, record, problems.to_vec(), id)?));
        }
        let pending = record.last.as_ref().filter(|last| closing.pending == Some(last.auth));
        let outcome = pending.map(|last| self.answer(customer, record.version, last));
        let missing = rows::lines(&*cx.tx, customer, record, told, &record.log, LINES_MAX)?;
        record.standing = Standing::Active;
        record.epoch = record.epoch.saturating_add(1);
        record.agreed = record.log;
        record.agreed_at = cx.now;
        record.acknowledged = record.log.incoming;
        let (epoch, log) = (record.epoch, record.log);
        log::append(cx, LogEvent::Agreed { customer, epoch, log })?;
        records::put_account(cx, customer, record);
        let balances = self.balances(cx, customer)?;
        Ok(PageVerdict::Agreed(Agreed { next: record.next, epoch, log, balances, outcome, missing }))
    }

    fn dispute(
        &self,
        cx: &mut Context<'_>,
        customer: PeerId,
        record: &mut AccountRecord,
        mut problems: Vec<Problem>,
        message: MessageId,
    ) -> Result<Disputed, Halt> {
        if record.standing == Standing::Disputed {
            note(&mut problems, Problem::Open);
        } else {
            record.standing = Standing::Disputed;
            let (numbers, problems) = ((record.next, record.next), bounded(problems.clone()));
            Case { customer, time: cx.now, code: Code::Log, message, numbers, problems }.file(cx);
            log::append(cx, LogEvent::Disputed { customer })?;
        }
        records::put_account(cx, customer, record);
        Ok(Disputed { next: record.next, problems: bounded(problems) })
    }

    fn balances(&self, cx: &Context<'_>, customer: PeerId) -> Result<Bounded<Amount, CURRENCIES_MAX>, StoreFault> {
        let mut balances = Vec::new();
        for currency in self.terms.currencies.iter().take(CURRENCIES_MAX) {
            let account = cx.tx.account(self.customer(customer, *currency))?;
            balances.extend(account.and_then(|account| account.available_amount()));
        }
        Ok(Bounded::new(balances).unwrap_or_else(Bounded::empty))
    }

    fn seal_to<T: wire::Wire>(
        &self,
        customer: PeerId,
        record: &AccountRecord,
        kind: FrameKind,
        answers: MessageId,
        dice: &[u8; 32],
        content: &T,
    ) -> Vec<u8> {
        let key = self.master.customer(customer, record.version);
        Frame::seal(self.network, kind, customer, &key, grown_nonce(dice, answers, kind), content)
    }
}

fn bounded(problems: Vec<Problem>) -> Bounded<Problem, PROBLEMS_MAX> {
    Bounded::new(problems).unwrap_or_else(Bounded::empty)
}

fn out_of_turn() -> Refusal {
    let why = "this does not follow from what the bank said last: begin the comparison again";
    Refusal::new(Code::State, why).blame(Fault::Nobody).remedy(Remedy::Reconcile)
}
