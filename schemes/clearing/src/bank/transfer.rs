//! KSO-1 and KSO-2: one request, one transfer, one answer.

use farthing_core::audit::{AuditLog, Direction};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{PeerId, TransferId, timed};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::time::SKEW;
use farthing_ledger::{Ledger, LedgerError, Transfer};
use farthing_role::{Context, Halt, REQUEST_HORIZON};

use super::answer::{Decided, Say};
use super::check::Asked;
use super::log::{self, LogEvent};
use super::records::{self, AccountRecord, Last, Moved, Outcome, Standing};
use super::rows;
use super::{Clearing, REASON_TRANSFER, last_number};
use crate::frame::MessageId;
use crate::messages::TransferRequest;
use crate::reconciliation::Line;

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
    ) -> Result<Decided, Halt> {
        let request = &asked.request;
        if let Some(last) = record.last.as_ref().filter(|last| last.auth == auth) {
            // What was carried out stays answered.
            return Ok(Decided(Say::Answer { payer, version: record.version, last: Box::new(last.clone()) }));
        }
        if let Err(why) = self.admit(cx, payer, &record, request)? {
            return Ok(Self::turn_away(cx, payer, &record, auth, request.sequence, why));
        }
        if request.sequence != record.next {
            let why = self.out_of_sequence(cx, payer, &mut record, auth, &asked)?;
            return Ok(Self::turn_away(cx, payer, &record, auth, request.sequence, why));
        }
        let Some(next) = record.next.checked_add(1) else {
            return Ok(Self::turn_away(cx, payer, &record, auth, request.sequence, last_number()));
        };
        // From here on the number is used up, whatever happens.
        let outcome = match self.carry_out(cx, payer, &mut record, auth, request) {
            Ok(moved) => Outcome::Paid(moved),
            Err(Halt::Refused(why)) => Outcome::Refused(why),
            Err(halt) => return Err(halt),
        };
        record.next = next;
        let last = Last { auth, sequence: request.sequence, dice: cx.dice, outcome, signed: asked.signed };
        record.last = Some(last.clone());
        records::put_account(cx, payer, &record);
        Ok(Decided(Say::Answer { payer, version: record.version, last: Box::new(last) }))
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
        let line = |peer| Line { auth, peer, amount, order: request.order };
        let (out, came) = (line(request.payee), line(payer));
        let (payer_log, _) = record.log.append(out.event(Direction::Out)).map_err(Refusal::from)?;
        let (payee_log, _) = payee.log.append(came.event(Direction::In)).map_err(Refusal::from)?;
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
        rows::append(cx, payer, record, Direction::Out, out, payer_log);
        rows::append(cx, request.payee, &mut payee, Direction::In, came, payee_log);
        records::put_account(cx, request.payee, &payee);
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
            rows::sub_chain_at(&*cx.tx, payer, record, Direction::In, received)?
        };
        let known = incoming.map(|incoming| AuditLog { incoming, ..record.log });
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
}
