//! What a shop needs of a wallet: a till.

use std::future::Future;

use farthing_core::amount::Amount;
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::order::{Order, Receipt};
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::sign::{Signed, Statement};
use farthing_core::wire::Bounded;
use farthing_netpay::messages::{Pay, Release, Reserve, Visit};

use crate::talk::handover::Terms;
use crate::wallet::{Earning, Expected, Handover, Scheme, Taken, Wallet};

/// The selling side of a wallet.
pub trait Till: Clone + Send + Sync + 'static {
    /// A visit under way.
    type Earning: Earn;

    /// Who sells, signs and is paid.
    fn me(&self) -> PeerId;

    /// The network it is paid in.
    fn network(&self) -> NetworkId;

    /// Says something in the seller's name.
    fn sign<T: Statement>(&self, statement: &T) -> Signed<T>;

    /// Admits a visit for `order`, or takes up the one already known by its reserve, and has it on
    /// the disk before it answers. The caller sees to it that a chain is admitted once at a time.
    ///
    /// # Errors
    /// A [`Refusal`] for the buyer.
    fn admit(&self, order: &Order, visit: Visit) -> impl Future<Output = Result<Self::Earning, Refusal>> + Send;

    /// By which schemes it can be paid in single payments.
    ///
    /// # Errors
    /// A [`Refusal`] that blames this side.
    fn takes(&self) -> impl Future<Output = Result<Vec<Scheme>, Refusal>> + Send;

    /// How it wants to be paid for an order that names it, or that it does not want this one.
    ///
    /// # Errors
    /// A [`Refusal`] for the payer. Nothing was paid.
    fn terms(&self, order: &Order) -> impl Future<Output = Result<Terms, Refusal>> + Send;

    /// Takes a payment of the order's total, on the disk first; handed over again, it gets the same
    /// answer and is counted once.
    ///
    /// # Errors
    /// A [`Refusal`] for the payer, which says whether money has moved.
    fn take(&self, order: &Order, payment: Handover) -> impl Future<Output = Result<Signed<Receipt>, Refusal>> + Send;
}

/// The selling side of one visit.
pub trait Earn: Send + Sync + 'static {
    /// What one unit is worth.
    fn unit(&self) -> Amount;

    /// The last unit paid.
    fn through(&self) -> u32;

    /// Counts a payment for a piece in memory and says how many units it is worth.
    ///
    /// # Errors
    /// A [`Refusal`]; the count stands as it stood.
    fn on_pay(&mut self, pay: &Pay, piece: u64) -> Result<u32, Refusal>;

    /// Which piece the last payment was for, if that is known.
    fn bought(&self) -> Option<u64>;

    /// Returns once the count, and what it was for, is on the disk. Only then may be handed out what was paid for.
    ///
    /// # Errors
    /// A [`Refusal`] that blames this side.
    fn persist(&self) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Takes a further reserve of the same chain.
    ///
    /// # Errors
    /// A [`Refusal`]; the visit stands as it stood.
    fn extend(&mut self, reserve: Signed<Reserve>) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Ends the visit, on the disk first: the release and, where something was paid, the receipt.
    ///
    /// # Errors
    /// A [`Refusal`] that blames this side.
    fn release(self) -> impl Future<Output = Result<(Signed<Release>, Option<Signed<Receipt>>), Refusal>> + Send;
}

impl Till for Wallet {
    type Earning = Earning;

    fn me(&self) -> PeerId {
        self.me()
    }

    fn network(&self) -> NetworkId {
        self.network()
    }

    fn sign<T: Statement>(&self, statement: &T) -> Signed<T> {
        self.key().sign(self.network(), statement)
    }

    async fn admit(&self, order: &Order, visit: Visit) -> Result<Earning, Refusal> {
        self.admit(self.now(), order, visit).await
    }

    async fn takes(&self) -> Result<Vec<Scheme>, Refusal> {
        // Without a key shared with the bank no ticket can be read.
        let tickets = self.clearing_book().await?.is_some();
        Ok([Scheme::Netpay, Scheme::Draft].into_iter().chain(tickets.then_some(Scheme::Clearing)).collect())
    }

    async fn terms(&self, order: &Order) -> Result<Terms, Refusal> {
        if order.price.currency() != self.settings().currency() {
            return Err(Refusal::new(Code::Amount, "this payee is paid in another currency"));
        }
        // Whoever pays unasked says how much.
        if order.price.is_zero() && self.requested_by(order.id()).await?.is_none() {
            return Err(Refusal::new(Code::Amount, "an order over nothing that was not asked for"));
        }
        let takes = Bounded::new(Till::takes(self).await?).unwrap_or_else(Bounded::empty);
        Ok(Terms { takes, seal: self.seed().seal(0).public() })
    }

    async fn take(&self, order: &Order, payment: Handover) -> Result<Signed<Receipt>, Refusal> {
        let asked_for = self.requested_by(order.id()).await?.is_some();
        let expected = match asked_for {
            true => None,
            false => Some(Expected { order: order.id(), amount: order.total()? }),
        };
        match self.take(payment, expected).await? {
            Taken::Serve { receipt, .. } => Ok(receipt),
            Taken::Waiting { .. } => {
                let why = "the payee asks the bank about this draft first: hand the same over again in a moment";
                Err(Refusal::new(Code::State, why).blame(Fault::Us).remedy(Remedy::Again))
            }
            Taken::Conflict(_) => {
                Err(Refusal::new(Code::Conflict, "another draft of that number is here: the bank will be shown both"))
            }
        }
    }
}

impl Earn for Earning {
    fn unit(&self) -> Amount {
        self.unit()
    }

    fn through(&self) -> u32 {
        self.through()
    }

    fn on_pay(&mut self, pay: &Pay, piece: u64) -> Result<u32, Refusal> {
        let units = Self::on_pay(self, pay)?;
        self.note(piece);
        Ok(units)
    }

    fn bought(&self) -> Option<u64> {
        self.bought()
    }

    async fn persist(&self) -> Result<(), Refusal> {
        Ok(self.persist().await?)
    }

    async fn extend(&mut self, reserve: Signed<Reserve>) -> Result<(), Refusal> {
        Self::extend(self, reserve).await
    }

    async fn release(self) -> Result<(Signed<Release>, Option<Signed<Receipt>>), Refusal> {
        let release = Self::release(&self).await?;
        let receipt = self.receipt()?;
        let paid = receipt.peek().is_ok_and(|receipt| !receipt.amount.is_zero());
        Ok((release, paid.then_some(receipt)))
    }
}
