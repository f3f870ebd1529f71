//! Verify and settle.

use farthing_core::amount::Amount;
use farthing_core::id::PeerId;
use farthing_core::time::Span;
use farthing_core::wire;
use farthing_coupon::micro::{Ack, Pay, SessionName, micro_order};
use farthing_coupon::secret::Digest;
use farthing_coupon::session::{PayError, Session};
use farthing_ledger::AccountKind;
use farthing_role::{Context, Halt};

use super::rows::{FORGET, OWED, PAYMENTS, PaymentRow, PaymentState, SESSIONS, SessionRow, UNCLEARED};
use super::rows::{payment_key, timed_key};
use super::sessions::session;
use super::{Asked, Facilitator, No, request_digest};
use crate::chart::read;

/// For how long a settled payment is remembered, so that the server may ask once more. After that
/// its session still knows that it was used.
const REMEMBERED: Span = Span::from_hours(1);

/// What came of a payment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Settled {
    /// The session it was made in.
    pub(crate) session: SessionName,
    /// Who paid, a pseudonym.
    pub(crate) payer: PeerId,
    /// How much was charged, in micros.
    pub(crate) charged: u64,
    /// For the buyer. There is none where nothing was taken.
    pub(crate) ack: Option<Ack>,
}

/// A payment with everything it touches.
struct Found {
    row: SessionRow,
    session: Session,
    pay: Pay,
    units: u32,
    key: Vec<u8>,
    before: Option<PaymentRow>,
}

impl Facilitator {
    /// Finds out whether a payment is good, and keeps it for the server that asks: until it has
    /// settled, or `kept` is over, nobody else hears that it is. So one payment is one delivery.
    pub(crate) fn verify(&self, cx: &mut Context<'_>, asked: &Asked) -> Result<Result<PeerId, No>, Halt> {
        let mut found = match self.find(cx, asked)? {
            Ok(found) => found,
            Err(no) => return Ok(Err(no)),
        };
        if asked.wanted != asked.agreed {
            let why = "the buyer agreed to another amount";
            return Ok(Err(No::new("invalid_payment_requirements", why)));
        }
        match found.before.as_ref() {
            Some(PaymentRow { state: PaymentState::Settled { .. }, .. }) => return Ok(Err(used())),
            Some(PaymentRow { state: PaymentState::Kept, until, .. }) if cx.now < *until => {
                let why = "this payment is just being served: wait for that answer, or pay with another coupon";
                return Ok(Err(No::new("payment_in_use", why)));
            }
            _ => {}
        }
        if found.row.closed {
            return Ok(Err(No::new("session_ended", "the buyer has closed the session")));
        }
        // On a copy: nothing is taken yet.
        if let Err(why) = found.session.accept(cx.now, &found.pay, found.units) {
            return Ok(Err(pay_error(why)));
        }
        let until = cx.now.after(asked.kept);
        remember(cx, &found.key, &PaymentRow { pay: found.pay, until, state: PaymentState::Kept });
        Ok(Ok(found.session.buyer()))
    }

    /// Takes a payment: all of it, or as much as a server with a pass wants, and for nothing wanted
    /// lets it go. Settled before, it stays as it was settled.
    pub(crate) fn settle(&self, cx: &mut Context<'_>, asked: &Asked) -> Result<Result<Settled, No>, Halt> {
        let mut found = match self.find(cx, asked)? {
            Ok(found) => found,
            Err(no) => return Ok(Err(no)),
        };
        let (name, payer) = (asked.coupon.session, found.session.buyer());
        if let Some(PaymentRow { state: PaymentState::Settled { charged, ack }, .. }) = found.before {
            return Ok(Ok(Settled { session: name, payer, charged, ack: Some(ack) }));
        }
        if asked.wanted != asked.agreed && asked.holder != Some(asked.pay_to) {
            let why = "to settle for less, the server shows a pass of the account that is paid";
            return Ok(Err(No::new("invalid_payment_requirements", why)));
        }
        let Some(charged) = self.units_of(asked.wanted).filter(|units| *units <= found.units) else {
            let why = "no more is settled than the buyer agreed to";
            return Ok(Err(No::new("invalid_payment_requirements", why)));
        };
        if charged == 0 {
            if let Err(why) = found.session.accept(cx.now, &found.pay, found.units) {
                return Ok(Err(pay_error(why)));
            }
            cx.tx.delete(PAYMENTS, &found.key);
            return Ok(Ok(Settled { session: name, payer, charged: 0, ack: None }));
        }
        let accepted = match found.session.accept(cx.now, &found.pay, found.units) {
            Ok(accepted) => accepted,
            Err(why) => return Ok(Err(pay_error(why))),
        };
        found.session.give_back(&accepted.entry, charged);
        let ack = found.session.ack(&accepted.entry, charged, Digest([0; 32]));
        let amount = asked.wanted.as_micros();
        let owed: u64 = read(&*cx.tx, OWED, &asked.pay_to.0)?.unwrap_or_default();
        let Some(owed) = owed.checked_add(amount) else {
            return Ok(Err(No::new("unexpected_settle_error", "too much is owed to this account already")));
        };
        cx.tx.put(OWED, &asked.pay_to.0, wire::encode(&owed));
        let row = SessionRow { state: found.session.state().clone(), ..found.row };
        cx.tx.put(SESSIONS, &name.0, wire::encode(&row));
        cx.tx.put(UNCLEARED, &name.0, Vec::new());
        let (until, state) = (cx.now.after(REMEMBERED), PaymentState::Settled { charged: amount, ack });
        remember(cx, &found.key, &PaymentRow { pay: found.pay, until, state });
        Ok(Ok(Settled { session: name, payer, charged: amount, ack: Some(ack) }))
    }

    /// Everything that verify and settle look at alike.
    fn find(&self, cx: &Context<'_>, asked: &Asked) -> Result<Result<Found, No>, Halt> {
        let name = asked.coupon.session;
        let (row, session) = match session(&*cx.tx, name) {
            Ok(found) => found,
            Err(Halt::Refused(why)) => return Ok(Err(No::new("unknown_session", why.detail))),
            Err(halt) => return Err(halt),
        };
        if session.realm() != self.realm || session.unit() != self.coupon() {
            return Ok(Err(No::new("unknown_session", "the session was opened for another offer: open a new one")));
        }
        let Some(units) = self.units_of(asked.agreed).filter(|units| *units > 0) else {
            let why = format!("an amount is a whole number of coupons of {}", self.coupon());
            return Ok(Err(No::new("invalid_payment_requirements", why)));
        };
        let account = cx.tx.account(self.chart.customer(asked.pay_to))?;
        let is_customer = account.is_some_and(|account| account.kind == AccountKind::Customer);
        if !is_customer || asked.pay_to == self.id() {
            return Ok(Err(No::new("unknown_recipient", "payTo has no account at this bank: open one first")));
        }
        let request = request_digest(&asked.item, asked.pay_to, asked.agreed);
        let pay = asked.coupon.about(micro_order(self.realm, &request));
        let key = payment_key(name, pay.index);
        let before: Option<PaymentRow> = read(&*cx.tx, PAYMENTS, &key)?;
        // Another one with that index is forged, or made of units that were given back: the
        // session tells.
        let before = before.filter(|before| before.pay == pay);
        Ok(Ok(Found { row, session, pay, units, key, before }))
    }

    /// An amount in coupons, if it comes out even.
    fn units_of(&self, amount: Amount) -> Option<u32> {
        let units = amount.units_of(self.coupon())?;
        let units = u32::try_from(units).ok()?;
        (self.coupon().checked_mul(units.into()) == Ok(amount)).then_some(units)
    }
}

fn remember(cx: &mut Context<'_>, key: &[u8], row: &PaymentRow) {
    cx.tx.put(PAYMENTS, key, wire::encode(row));
    cx.tx.put(FORGET, &timed_key(row.until, key), Vec::new());
}

fn used() -> No {
    No::new("payment_already_settled", "this payment was used: pay with another coupon")
}

fn pay_error(why: PayError) -> No {
    let reason = match why {
        PayError::Ended | PayError::TokenEnded => "session_ended",
        PayError::Served { .. } => "payment_already_settled",
        PayError::Price { .. } => "invalid_payment_requirements",
        _ => "invalid_payload",
    };
    No::new(reason, why.to_string())
}
