//! Cheques that cannot bounce: certified, whose money is held, and the bank's own, paid for before.

use farthing_core::amount::Currency;
use farthing_core::id::{AccountId, PeerId, RequestId, time_of};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::time::Span;
use farthing_core::wire;
use farthing_ledger::{Account, AccountKind, Ledger, Transfer};
use farthing_role::{Context, Halt, Scan};

use super::check::CheckedPresentation;
use super::messages::{Cashier, Certification, Certify, Digest};
use super::records::{self, BOUGHT, CASHIERS, CERTIFIED, CashierRecord, DRAWN, DUE};
use super::{Interbank, Payers, REASON_CASHIER, REASON_CASHIER_RETURNED, REASON_DRAWN, transfer_id};
use crate::messages::{DRAFT_LIFE_MAX, Draft};

/// The most cashier's cheques ended in one tick.
pub const CASHIER_ENDED_PER_TICK: usize = 256;

/// When money that a buyer's account could not take back is offered to it again.
const RETURN_AGAIN: Span = Span::from_hours(24);

/// Where the number of the last cashier's cheque stands in [`BOUGHT`]; requests have longer keys.
const LAST_NUMBER: &[u8] = b"last";

impl Interbank {
    /// NQ-0: holds the money of a cheque until after its end, binds its number, and signs that it did.
    /// Nothing releases the hold but drawing the cheque or the time: so the cheque cannot bounce.
    /// Asked again, the same answer.
    ///
    /// # Errors
    /// [`Halt`]: somebody else's cheque, one drawn on another bank, ended or presented already, its
    /// number used for another, not enough money.
    pub fn certify(
        &self,
        cx: &mut Context<'_>,
        payers: &dyn Payers,
        sender: PeerId,
        request: Certify,
    ) -> Result<Signed<Certification>, Halt> {
        let cheque = self.verify_cheque(request.cheque)?;
        let (draft, digest) = (cheque.body(), Digest(cheque.digest()));
        if draft.bank != self.bank() || cheque.signer() == self.bank() {
            return Err(Refusal::new(Code::Unknown, "only a cheque drawn on an account here is certified").into());
        }
        if let Some(before) = records::read::<Signed<Certification>>(&*cx.tx, CERTIFIED, &digest.0)? {
            return Ok(before);
        }
        if cx.now >= draft.deposit_by {
            return Err(Refusal::new(Code::Expired, "the cheque has ended").remedy(Remedy::Stop).into());
        }
        if draft.deposit_by.since(cx.now) > DRAFT_LIFE_MAX {
            return Err(Refusal::new(Code::Limit, "the cheque would hold the money too long").into());
        }
        if cx.tx.get(DRAWN, &digest.0)?.is_some() {
            return Err(Refusal::new(Code::Spent, "the cheque was presented already").into());
        }
        let until = draft.deposit_by.after(self.terms.margin);
        let hold = payers.set_aside(cx, sender, &cheque, request.serial, until)?;
        let body = Certification { cheque: digest, amount: draft.amount, hold, until };
        let certification = self.key.sign(self.network, &body);
        cx.tx.put(CERTIFIED, &digest.0, wire::encode(&certification));
        Ok(certification)
    }

    /// Sells a cheque that the bank draws on itself: the buyer pays now. What mints pay each other
    /// with. The same request gets the same cheque.
    ///
    /// # Errors
    /// [`Halt`]: an end in the past or too far away, nobody to pay, not enough money.
    pub fn cashier(
        &self,
        cx: &mut Context<'_>,
        buyer: PeerId,
        request: RequestId,
        order: &Cashier,
    ) -> Result<Signed<Draft>, Halt> {
        let key = [&buyer.0[..], &request.0].concat();
        if let Some(before) = records::read::<Signed<Draft>>(&*cx.tx, BOUGHT, &key)? {
            return Ok(before);
        }
        if order.amount.is_zero() {
            return Err(Refusal::new(Code::Amount, "a cheque is for more than nothing").into());
        }
        if order.payee == self.bank() {
            return Err(Refusal::new(Code::Order, "the bank pays itself without a cheque").into());
        }
        if order.deposit_by <= cx.now || order.deposit_by.since(cx.now) > DRAFT_LIFE_MAX {
            let why = "a cheque ends in the future, and at most 30 days from now";
            return Err(Refusal::new(Code::Limit, why).into());
        }
        let currency = order.amount.currency();
        let backing = self.cashiers(currency);
        let account = Account::new(backing, AccountKind::Backing, currency, None, cx.now);
        Ledger(&mut *cx.tx).open(account)?;
        let number = records::read::<u64>(&*cx.tx, BOUGHT, LAST_NUMBER)?.unwrap_or(0).saturating_add(1);
        let draft = Draft {
            number,
            network: self.network,
            bank: self.bank(),
            payee: order.payee,
            amount: order.amount,
            order: order.order,
            deposit_by: order.deposit_by,
            log: [0; 32],
            time: cx.now,
        };
        let cheque = self.key.sign(self.network, &draft);
        let digest = Digest(cheque.digest());
        let transfer = Transfer {
            id: transfer_id(time_of(&request.0), &[b"cashier", &key]),
            debit: self.customer(buyer, currency),
            credit: backing,
            amount: order.amount,
            reason: REASON_CASHIER,
            reference: digest.0,
            at: cx.now,
            hold: None,
        };
        Ledger(&mut *cx.tx).post(transfer)?;
        let record = CashierRecord { buyer, cheque: cheque.clone(), ended: false };
        cx.tx.put(CASHIERS, &digest.0, wire::encode(&record));
        cx.tx.put(BOUGHT, LAST_NUMBER, wire::encode(&number));
        cx.tx.put(BOUGHT, &key, wire::encode(&cheque));
        cx.tx.put(DUE, &records::due_key(draft.deposit_by, &digest.0), Vec::new());
        Ok(cheque)
    }

    /// Pays a cheque drawn by the bank itself, once.
    pub(super) fn draw_cashier(
        &self,
        cx: &mut Context<'_>,
        checked: &CheckedPresentation,
        to: AccountId,
    ) -> Result<(), Halt> {
        let (draft, digest) = (checked.cheque.body(), checked.digest());
        let unknown = || Refusal::new(Code::Unknown, "the bank keeps no record of having drawn this cheque");
        let mut record: CashierRecord = records::read(&*cx.tx, CASHIERS, &digest.0)?.ok_or_else(unknown)?;
        if record.ended {
            return Err(Refusal::new(Code::Spent, "the cheque was given back or paid").into());
        }
        let transfer = self.out_of_backing(cx, &digest, draft, to, REASON_DRAWN);
        Ledger(&mut *cx.tx).post(transfer)?;
        record.ended = true;
        cx.tx.put(CASHIERS, &digest.0, wire::encode(&record));
        Ok(())
    }

    /// Gives the money of cashier's cheques that nobody presented in time back to their buyers, a
    /// bounded portion; says whether more waits. A buyer whose account cannot take it now gets it
    /// later, and nobody waits for that. Holds of certified cheques end with all others, by the
    /// ledger's own expiry.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn tick(&self, cx: &mut Context<'_>) -> Result<bool, Halt> {
        let rows = cx.tx.scan(DUE, Scan { prefix: &[], after: None, limit: CASHIER_ENDED_PER_TICK })?;
        let full = rows.len() == CASHIER_ENDED_PER_TICK;
        for (row, _) in rows {
            let (due, about) = records::due_of(&row)?;
            if cx.now < due {
                return Ok(false);
            }
            cx.tx.delete(DUE, &row);
            let Some(mut record) = records::read::<CashierRecord>(&*cx.tx, CASHIERS, about)? else { continue };
            if !record.ended {
                let draft = record.cheque.peek().map_err(Refusal::from)?;
                let (digest, buyer) =
                    (Digest(record.cheque.digest()), self.customer(record.buyer, draft.amount.currency()));
                let transfer = self.out_of_backing(cx, &digest, &draft, buyer, REASON_CASHIER_RETURNED);
                match Ledger(&mut *cx.tx).post(transfer).map_err(Halt::from) {
                    Ok(_) => {
                        record.ended = true;
                        cx.tx.put(CASHIERS, about, wire::encode(&record));
                    }
                    // Perhaps the account is full. Nothing was written, and the cheque itself has ended.
                    Err(Halt::Refused(_)) => {
                        cx.tx.put(DUE, &records::due_key(cx.now.after(RETURN_AGAIN), about), Vec::new());
                    }
                    Err(halt) => return Err(halt),
                }
            }
        }
        Ok(full)
    }

    /// The one movement that ends a cashier's cheque: paid or given back, never both, for both would
    /// have the same id.
    fn out_of_backing(
        &self,
        cx: &Context<'_>,
        cheque: &Digest,
        draft: &Draft,
        credit: AccountId,
        reason: farthing_ledger::Reason,
    ) -> Transfer {
        Transfer {
            id: transfer_id(draft.time, &[b"cashier's cheque", &cheque.0]),
            debit: self.cashiers(draft.amount.currency()),
            credit,
            amount: draft.amount,
            reason,
            reference: cheque.0,
            at: cx.now,
            hold: None,
        }
    }

    fn cashiers(&self, currency: Currency) -> AccountId {
        self.account(AccountKind::Backing, &[b"cashier"], currency)
    }
}
