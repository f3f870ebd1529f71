//! KSR-1 to KSR-4: the customer's log against the bank's, in pages.

use farthing_core::audit::Direction;
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::time::SKEW;
use farthing_core::wire::{self, Bounded};
use farthing_role::{Context, Halt};

use super::Clearing;
use super::follow::{begin, follow};
use super::records::{self, AccountRecord, Comparison};
use super::rows;
use crate::frame::{Frame, FrameKind, MessageId};
use crate::reconciliation::{
    AHEAD_MAX, Challenge, Fetch, Fetched, Hello, LINES_MAX, PROBLEMS_MAX, Page, PageAnswer, PageVerdict, Problem,
};

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
        Frame::seal_answer(self.network, kind, customer, &key, (dice, answers), content)
    }
}

pub(super) fn bounded(problems: Vec<Problem>) -> Bounded<Problem, PROBLEMS_MAX> {
    Bounded::new(problems).unwrap_or_else(Bounded::empty)
}

fn out_of_turn() -> Refusal {
    let why = "this does not follow from what the bank said last: begin the comparison again";
    Refusal::new(Code::State, why).blame(Fault::Nobody).remedy(Remedy::Reconcile)
}
