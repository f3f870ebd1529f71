//! KSR-4: how a comparison ends.

use farthing_core::amount::Amount;
use farthing_core::evidence::{Evidence, EvidenceKind, StatementBytes, Verdict};
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Signed;
use farthing_core::wire::{self, Bounded};
use farthing_ledger::StoreFault;
use farthing_role::{Context, Filed, Halt};

use super::compare::bounded;
use super::follow::{has_been, note};
use super::log::{self, LogEvent};
use super::records::{self, AccountRecord, Case, Standing};
use super::rows;
use super::{Clearing, last_number};
use crate::frame::MessageId;
use crate::reconciliation::{Agreed, CURRENCIES_MAX, Closing, Disputed, LINES_MAX, LogStatement, PageVerdict, Problem};
use crate::verdict;

impl Clearing {
    /// Whether the log ends where its entries do, and what it means where it is signed.
    pub(super) fn close(
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
    pub(super) fn conclude(
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
}
