//! The payee: reads the ticket, books the money once, and says so.

use farthing_core::amount::Amount;
use farthing_core::audit::{Direction, Entry};
use farthing_core::id::{NetworkId, OrderId};
use farthing_core::order::{PaymentRef, Receipt};
use farthing_core::refusal::{Code, Fault, Money, Refusal, Remedy};
use farthing_core::replay::Repeated;
use farthing_core::sign::SecretKey;
use farthing_core::time::{SKEW, Time};
use farthing_core::wire::Bounded;

use crate::frame::{Frame, FrameKind};
use crate::messages::{Acknowledged, Payment, Ticket};
use crate::reconciliation::Line;
use crate::wallet::{Early, Standing, Wallet};

/// A ticket that opened under this wallet's key: the bank's word, to this payee. Made by
/// [`Wallet::open_ticket`] and nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenTicket(Ticket);

impl OpenTicket {
    /// What it says. Use it to find the order, and the receipt where it came before.
    #[must_use]
    pub const fn ticket(&self) -> &Ticket {
        &self.0
    }
}

/// An order that waits to be paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected {
    /// Which.
    pub order: OrderId,
    /// How much it costs.
    pub amount: Amount,
}

/// What became of a ticket. The money is booked in any case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// Entries to store with the wallet; none where an earlier receipt is still missing.
    pub entries: Vec<Entry>,
    /// The receipt, after which the payee serves; or why it does not serve.
    pub outcome: Result<Receipt, Refusal>,
}

impl Wallet {
    /// Opens a ticket: whether the bank made it, and for us.
    ///
    /// # Errors
    /// [`Code::Decrypt`] for another's, a damaged one, or one under a key that was replaced: the
    /// money, if any, shows when books are compared. [`Code::Malformed`].
    pub fn open_ticket(&self, payment: &Payment) -> Result<OpenTicket, Refusal> {
        let frame = Frame::read(&payment.ticket, FrameKind::Ticket)?;
        let ticket: Ticket = frame.open(self.network, self.me, &self.key)?;
        if ticket.payee != self.me {
            return Err(Refusal::new(Code::NotPayee, "the ticket names another payee").blame(Fault::Third));
        }
        Ok(OpenTicket(ticket))
    }

    /// Books a ticket and says whether to serve for it. Store the wallet and the entries, and note
    /// the order as paid, before serving.
    ///
    /// A ticket that came before is refused with [`Code::Replay`]: look for the receipt under
    /// [`Ticket::auth`] and send that again. Money that comes too late, or for no open order, is
    /// booked all the same, since it is on the account; the refusal says so.
    ///
    /// # Errors
    /// [`Code::Replay`], or [`Code::Reconcile`] where too many earlier receipts are missing, or too many
    /// later ones came. Nothing changed.
    pub fn receive(&mut self, now: Time, ticket: OpenTicket, expected: Option<&Expected>) -> Result<Received, Refusal> {
        let OpenTicket(ticket) = ticket;
        self.window.check(ticket.number).map_err(|why| self.repeated(why))?;
        let line = Line { auth: ticket.auth, peer: ticket.payer, amount: ticket.amount, order: ticket.order };
        let entries = self.book(ticket.number, line)?;
        let outcome = judge(now, &ticket, expected).map(|()| Receipt {
            order: ticket.order,
            payment: PaymentRef { instrument: ticket.auth.0, from: 0, through: 0 },
            amount: ticket.amount,
            payer: ticket.payer,
            time: now,
        });
        Ok(Received { entries, outcome })
    }

    /// Puts a receipt in its place: into the log if it is the next one, with all that waited for
    /// it; otherwise among those that wait.
    fn book(&mut self, number: u64, line: Line) -> Result<Vec<Entry>, Refusal> {
        let mut early = self.early.as_slice().to_vec();
        let at = early.partition_point(|waiting| waiting.number < number);
        early.insert(at, Early { number, line });
        let mut booked = self.clone();
        booked.window.take(number).map_err(|why| self.repeated(why))?;
        let entries = booked.settle_early(early)?;
        booked.count(line.amount, Direction::In);
        *self = booked;
        Ok(entries)
    }

    /// Moves those that waited, as far as they follow the log, into it.
    pub(crate) fn settle_early(&mut self, early: Vec<Early>) -> Result<Vec<Entry>, Refusal> {
        let mut entries = Vec::new();
        let mut waiting = Vec::new();
        for one in early {
            if one.number == self.log.incoming.n.saturating_add(1) {
                entries.push(self.append(&one.line, Direction::In)?);
            } else if one.number > self.log.incoming.n {
                waiting.push(one);
            }
        }
        self.early = Bounded::new(waiting).ok_or_else(|| {
            let why = "too many earlier receipts are missing: compare books with the bank, which has them all";
            Refusal::new(Code::Reconcile, why).money(Money::MovedBefore)
        })?;
        Ok(entries)
    }

    /// A number seen before, or one of which only the bank can tell: that may be new money.
    fn repeated(&self, why: Repeated) -> Refusal {
        match why {
            Repeated::TooOld(number) if number > self.log.incoming.n => {
                let why = "this receipt comes too late to tell whether it came before: compare books with the bank, \
                           which brings it if it did not";
                Refusal::new(Code::Reconcile, why).money(Money::MovedBefore)
            }
            Repeated::Seen(_) | Repeated::TooOld(_) => Refusal::new(Code::Replay, why.to_string()),
        }
    }

    /// Whether receipts are missing that the bank has: a comparison brings them.
    #[must_use]
    pub fn lacks_receipts(&self) -> bool {
        self.standing == Standing::MustReconcile || !self.early.as_slice().is_empty()
    }
}

/// Whether to serve for money that has come.
fn judge(now: Time, ticket: &Ticket, expected: Option<&Expected>) -> Result<(), Refusal> {
    let came = |code, why: &'static str| {
        Err(Refusal::new(code, why).blame(Fault::Sender).money(Money::MovedBefore).remedy(Remedy::Appeal))
    };
    if now >= ticket.expires.after(SKEW) {
        return came(Code::Expired, "the payment came, but too late to be served for: settle it with the payee");
    }
    match expected {
        None => came(Code::Order, "the payment came, but no such order is open: settle it with the payee"),
        Some(expected) if expected.order != ticket.order => {
            came(Code::Order, "the payment came, but for another order: settle it with the payee")
        }
        Some(expected) if expected.amount != ticket.amount => {
            came(Code::Amount, "the payment came, but it is not the price: settle it with the payee")
        }
        Some(_) => Ok(()),
    }
}

/// KSO-4: the receipt as the payer asked for it.
#[must_use]
pub fn acknowledge(network: NetworkId, key: &SecretKey, receipt: Receipt, sign: bool) -> Acknowledged {
    if sign { Acknowledged::Signed(key.sign(network, &receipt)) } else { Acknowledged::Plain(receipt) }
}
