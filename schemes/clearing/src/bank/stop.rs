//! Corrective action, where a number or a log is not what it should be (Kelsey and Schneier, §3.1).

use farthing_core::evidence::{Evidence, EvidenceKind, StatementBytes, Verdict};
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::wire::Bounded;
use farthing_role::{Context, Filed, Halt};

use super::Clearing;
use super::check::Asked;
use super::log::{self, LogEvent};
use super::records::{self, AccountRecord, Case, Standing};
use crate::frame::MessageId;
use crate::verdict;

impl Clearing {
    /// A number that does not fit. Only who holds the key can have made one that is ahead, or a
    /// second one for the last: that stops the account. One that lies behind may be an old message
    /// replayed by the network, and stops nobody (the book stops here too, and so lets listeners
    /// stop whom they like).
    pub(super) fn out_of_sequence(
        &self,
        cx: &mut Context<'_>,
        payer: PeerId,
        record: &mut AccountRecord,
        auth: MessageId,
        asked: &Asked,
    ) -> Result<Refusal, Halt> {
        let sequence = asked.request.sequence;
        let behind = || {
            let why = "this number was used before: compare books to learn what became of it";
            Refusal::new(Code::Sequence, why).blame(Fault::Nobody).remedy(Remedy::Reconcile)
        };
        if sequence < record.next {
            let Some(last) = record.last.as_ref().filter(|last| last.sequence == sequence) else {
                return Ok(behind());
            };
            if let Some((first, second)) = last.signed.clone().zip(asked.signed.clone()) {
                self.file_fork(cx, payer, first, second);
            }
            let why = "another request came under the same number: two copies of one wallet are at work, or a thief; \
                       compare books";
            let why = Refusal::new(Code::Conflict, why).remedy(Remedy::Reconcile);
            self.stop(cx, payer, record, auth, sequence, Code::Conflict)?;
            return Ok(why);
        }
        self.stop(cx, payer, record, auth, sequence, Code::Sequence)?;
        let why = "this number is ahead of what the bank expects: compare books; nothing was paid";
        Ok(Refusal::new(Code::Sequence, why).remedy(Remedy::Reconcile))
    }

    fn file_fork(&self, cx: &mut Context<'_>, payer: PeerId, first: Vec<u8>, second: Vec<u8>) {
        let statements = Bounded::new(vec![StatementBytes(first), StatementBytes(second)]);
        let statements = statements.unwrap_or_else(Bounded::empty);
        let evidence = Evidence { kind: EvidenceKind::ClearingRequestFork, accused: payer, statements };
        let verdict = verdict::judge(self.network, self.bank(), &evidence);
        if verdict != Verdict::Insufficient {
            Filed::file(cx, evidence, verdict);
        }
    }

    /// Corrective action: nothing is paid from the account until books are compared, and the
    /// operator hears of it, unless it heard of this customer often enough today.
    pub(super) fn stop(
        &self,
        cx: &mut Context<'_>,
        payer: PeerId,
        record: &mut AccountRecord,
        message: MessageId,
        came: u64,
        code: Code,
    ) -> Result<(), Halt> {
        record.standing = Standing::MustReconcile;
        if record.takes_case(cx.now) {
            let (numbers, problems) = ((record.next, came), Bounded::empty());
            Case { customer: payer, time: cx.now, code, message, numbers, problems }.file(cx);
        }
        records::put_account(cx, payer, record);
        log::append(cx, LogEvent::Stopped { customer: payer, code })?;
        Ok(())
    }
}
