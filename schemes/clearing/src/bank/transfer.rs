//! KSO-1 and KSO-2: one request, one transfer, one answer.

use farthing_core::audit::{Direction, Event};
use farthing_core::evidence::{Evidence, EvidenceKind, StatementBytes, Verdict};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{PeerId, TransferId, timed};
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::sign::Statement;
use farthing_core::time::SKEW;
use farthing_core::wire::Bounded;
use farthing_ledger::{Ledger, LedgerError, Transfer};
use farthing_role::{Context, Filed, Halt, REQUEST_HORIZON};

use super::check::Asked;
use super::log::{self, LogEvent};
use super::records::{self, AccountRecord, Case, Last, Moved, Outcome, Row, Standing};
use super::{Clearing, REASON_TRANSFER, last_number};
use crate::frame::{Frame, FrameKind, MessageId, grown_nonce};
use crate::messages::{Authorised, BankReceipt, Ticket, TransferAnswer, TransferRequest, TransferResult};
use crate::reconciliation::Line;
use crate::verdict;

impl Clearing {
    /// The checks of the protocol book, in its order. What fails before the sequence number fits
    /// leaves it; what fails after uses it up, so that both sides go on from the next.
    pub(super) fn transfer(
        &self,
        cx: &mut Context<'_>,
        payer: PeerId,
        mut record: AccountRecord,
        auth: MessageId,
        asked: Asked,
    ) -> Result<Vec<u8>, Halt> {
        let request = &asked.request;
        if let Some(last) = record.last.as_ref().filter(|last| last.auth == auth) {
            return Ok(self.answer(payer, &record, last)); // What was carried out stays answered.
        }
        if let Err(why) = self.admit(cx, payer, &record, request)? {
            return Ok(self.turn_away(cx, payer, &record, auth, request.sequence, why));
        }
        if request.sequence != record.next {
            let why = self.out_of_sequence(cx, payer, &mut record, auth, &asked)?;
            return Ok(self.turn_away(cx, payer, &record, auth, request.sequence, why));
        }
        let Some(next) = record.next.checked_add(1) else {
            return Ok(self.turn_away(cx, payer, &record, auth, request.sequence, last_number()));
        };
        // From here on the number is used up, whatever happens.
        let outcome = match self.carry_out(cx, payer, &mut record, auth, request) {
            Ok(moved) => Outcome::Paid(moved),
            Err(Halt::Refused(why)) => Outcome::Refused(why),
            Err(halt) => return Err(halt),
        };
        record.next = next;
        let last = Last { auth, sequence: request.sequence, dice: cx.dice, outcome, signed: asked.signed };
        let answer = self.answer(payer, &record, &last);
        record.last = Some(last);
        records::put_account(cx, payer, &record);
        Ok(answer)
    }

    /// Whether the customer may ask at all: not suspended, not stopped, and its present copy.
    fn admit(
        &self,
        cx: &Context<'_>,
        payer: PeerId,
        record: &AccountRecord,
        request: &TransferRequest,
    ) -> Result<Result<(), Refusal>, Halt> {
        let account = cx.tx.account(self.customer(payer, request.amount.currency()))?;
        if account.is_some_and(|account| account.frozen) {
            return Ok(Err(Refusal::new(Code::Suspended, "the account is suspended: ask the operator")));
        }
        match record.standing {
            Standing::Active => {}
            Standing::MustReconcile => {
                return Ok(Err(Refusal::new(Code::Reconcile, "compare books first; nothing was paid")));
            }
            Standing::Disputed => {
                let why = "your books and the bank's differ: ask the operator; nothing was paid";
                return Ok(Err(Refusal::new(Code::Reconcile, why).remedy(Remedy::Appeal)));
            }
        }
        if request.epoch != record.epoch {
            let why = "another copy of this wallet has compared books since: compare them with this one, and let \
                       only one pay; nothing was paid";
            return Ok(Err(Refusal::new(Code::Epoch, why)));
        }
        Ok(Ok(()))
    }

    /// A number that does not fit. Only who holds the key can have made one that is ahead, or a
    /// second one for the last: that stops the account. One that lies behind may be an old message
    /// replayed by the network, and stops nobody (the book stops here too, and so lets listeners
    /// stop whom they like).
    fn out_of_sequence(
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
    /// operator hears of it.
    fn stop(
        &self,
        cx: &mut Context<'_>,
        payer: PeerId,
        record: &mut AccountRecord,
        message: MessageId,
        came: u64,
        code: Code,
    ) -> Result<(), Halt> {
        record.standing = Standing::MustReconcile;
        records::put_account(cx, payer, record);
        let (numbers, problems) = ((record.next, came), Bounded::empty());
        Case { customer: payer, time: cx.now, code, message, numbers, problems }.file(cx);
        log::append(cx, LogEvent::Stopped { customer: payer, code })?;
        Ok(())
    }

    /// Everything after the sequence number, in order: log, time, payee, amount, balance. Refuses before
    /// it moves anything.
    fn carry_out(
        &self,
        cx: &mut Context<'_>,
        payer: PeerId,
        record: &mut AccountRecord,
        auth: MessageId,
        request: &TransferRequest,
    ) -> Result<Moved, Halt> {
        self.check_log(cx, payer, record, auth, request)?;
        if request.time > cx.now.after(SKEW) || cx.now >= request.time.after(REQUEST_HORIZON) {
            let why =
                "the request was made too long ago, or by a clock that is ahead: make a new one; nothing was paid";
            return Err(Refusal::new(Code::Expired, why).remedy(Remedy::Mend).into());
        }
        let amount = request.amount;
        let no_payee = || Refusal::new(Code::Unknown, "the payee cannot be paid here").remedy(Remedy::Stop);
        if request.payee == payer {
            return Err(no_payee().into());
        }
        let mut payee = records::account(&*cx.tx, request.payee)?.ok_or_else(no_payee)?;
        let credit = self.customer(request.payee, amount.currency());
        if cx.tx.account(credit)?.is_none_or(|account| account.frozen) {
            return Err(no_payee().into());
        }
        if amount.is_zero() {
            return Err(Refusal::new(Code::Amount, "an amount of nothing cannot be paid").into());
        }
        if amount.as_micros() > self.terms.limit {
            return Err(Refusal::new(Code::Limit, "this is more than one request may move").into());
        }
        let out = Event {
            kind: TransferRequest::KIND,
            reference: auth.0,
            peer: request.payee,
            amount,
            direction: Direction::Out,
        };
        let came = Event { peer: payer, direction: Direction::In, ..out };
        let (payer_log, _) = record.log.append(out).map_err(Refusal::from)?;
        let (payee_log, _) = payee.log.append(came).map_err(Refusal::from)?;
        let transfer = Transfer {
            id: TransferId(timed(request.time, &hash(Purpose::Transfer, &[b"clearing", &auth.0]))),
            debit: self.customer(payer, amount.currency()),
            credit,
            amount,
            reason: REASON_TRANSFER,
            reference: auth.0,
            at: cx.now,
            hold: None,
        };
        match Ledger(&mut *cx.tx).post(transfer) {
            Ok(_) => {}
            Err(LedgerError::Refused(why)) => return Err(Refusal::from(why).into()),
            Err(LedgerError::Store(fault)) => return Err(fault.into()),
        }
        record.log = payer_log;
        payee.log = payee_log;
        let moved = Moved {
            payee: request.payee,
            payee_version: payee.version,
            amount,
            order: request.order,
            number: payee.log.incoming.n,
            time: cx.now,
            expires: cx.now.after(self.terms.ticket_life),
            receipt: request.receipt,
        };
        let line = |peer| Line { auth, peer, amount, order: request.order };
        let out = Row { line: line(request.payee), head: record.log.outgoing.head };
        let came = Row { line: line(payer), head: payee.log.incoming.head };
        records::put_row(cx, payer, Direction::Out, record.log.outgoing.n, &out);
        records::put_row(cx, request.payee, Direction::In, moved.number, &came);
        records::put_account(cx, request.payee, &payee);
        let TransferRequest { sequence, commitment, order, .. } = *request;
        let Moved { payee, number, .. } = moved;
        log::append(cx, LogEvent::Moved { auth, payer, sequence, commitment, payee, number, amount, order })?;
        Ok(moved)
    }

    /// Recomputes `V` from the heads that the bank keeps: one hash, and one record where the
    /// customer has newer receipts than it last committed to. The paper's single chain would depend
    /// on the order in which messages happened to arrive.
    fn check_log(
        &self,
        cx: &mut Context<'_>,
        payer: PeerId,
        record: &mut AccountRecord,
        auth: MessageId,
        request: &TransferRequest,
    ) -> Result<(), Halt> {
        let received = request.received;
        let incoming = if received == record.acknowledged.n {
            Some(record.acknowledged)
        } else if received == record.log.incoming.n {
            Some(record.log.incoming)
        } else if received < record.acknowledged.n {
            None // It forgets what it has acknowledged.
        } else {
            records::sub_chain_at(&*cx.tx, payer, Direction::In, received)?
        };
        let known = incoming.map(|incoming| farthing_core::audit::AuditLog { incoming, ..record.log });
        match known {
            Some(known) if known.commitment() == request.commitment => {
                record.acknowledged = known.incoming;
                Ok(())
            }
            _ => {
                self.stop(cx, payer, record, auth, request.sequence, Code::Log)?;
                let why = "your log is not what the bank has: compare books; nothing was paid";
                Err(Refusal::new(Code::Log, why).into())
            }
        }
    }

    /// KSO-2, from what is stored: the same bytes each time.
    pub(super) fn answer(&self, payer: PeerId, record: &AccountRecord, last: &Last) -> Vec<u8> {
        let result = match &last.outcome {
            Outcome::Refused(why) => TransferResult::Refused(why.clone()),
            Outcome::Paid(moved) => TransferResult::Paid(self.authorised(payer, last, moved)),
        };
        let next = last.sequence.saturating_add(1);
        let answer = TransferAnswer { answers: last.auth, sequence: last.sequence, next, result };
        self.seal_answer(payer, record.version, &last.dice, &answer)
    }

    fn authorised(&self, payer: PeerId, last: &Last, moved: &Moved) -> Authorised {
        let Moved { payee, payee_version, amount, order, number, time, expires, receipt } = *moved;
        let auth = last.auth;
        let ticket = Ticket { auth, payer, payee, amount, expires, number, order };
        let key = self.master.customer(payee, payee_version);
        let nonce = grown_nonce(&last.dice, auth, FrameKind::Ticket);
        let ticket = Frame::seal(self.network, FrameKind::Ticket, payee, &key, nonce, &ticket);
        let receipt =
            receipt.then(|| self.key.sign(self.network, &BankReceipt { auth, payer, payee, amount, order, time }));
        Authorised { payer, payee, amount, expires, ticket, receipt }
    }

    /// A refusal that leaves the sequence number where it is; under seal, so that nobody else can
    /// say it.
    fn turn_away(
        &self,
        cx: &Context<'_>,
        payer: PeerId,
        record: &AccountRecord,
        auth: MessageId,
        sequence: u64,
        why: Refusal,
    ) -> Vec<u8> {
        let result = TransferResult::TurnedAway(why);
        let answer = TransferAnswer { answers: auth, sequence, next: record.next, result };
        self.seal_answer(payer, record.version, &cx.dice, &answer)
    }

    fn seal_answer(&self, payer: PeerId, version: u32, dice: &[u8; 32], answer: &TransferAnswer) -> Vec<u8> {
        let key = self.master.customer(payer, version);
        let nonce = grown_nonce(dice, answer.answers, FrameKind::Answer);
        Frame::seal(self.network, FrameKind::Answer, payer, &key, nonce, answer)
    }
}
