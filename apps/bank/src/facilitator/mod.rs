//! The bank as x402's facilitator: it plays the seller's half of sessions for servers that know of
//! farthing only what stock x402 software does.
//!
//! A buyer opens one session with the facilitator and pays any server with it that names the
//! facilitator. Such a server sends each payment here twice: before its work it has it verified,
//! which keeps the payment for this one delivery, and after it has it settled, which takes it. What
//! was settled is durable and owed to the server's account at the bank; the next tick clears the
//! sessions and moves the money on.
//!
//! # Trust
//! The server trusts its facilitator to say truly whether it was paid, and to hand the money on:
//! as it trusts its bank, which this facilitator is. A payment is kept for one delivery for as long as
//! the server's `maxTimeoutSeconds` says: a server that takes longer than that may deliver once more
//! for the same payment. The buyer risks what it would risk with any
//! seller, the one request in question; that a payment goes to one server, for one amount and the item
//! that the server names, is bound into its coupon, and an acknowledgement comes back. What is asked
//! and delivered, the facilitator does not see: two addresses of one server at one price are told
//! apart only by `extra.item`, and the acknowledgement names no response. A server that would rather keep
//! its sessions itself runs a gateway.

mod asked;
mod pass;
mod payments;
mod rows;
mod sessions;
mod sweep;

use farthing_core::amount::Amount;
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{OrderId, PeerId};
use farthing_core::order::Order;
use farthing_core::refusal::Refusal;
use farthing_core::seal::SealKey;
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::Time;
use farthing_coupon::messages::{Clear, Initiate, Payment};
use farthing_coupon::seller::{Committed, Invoiced, Seller, Terms};
use farthing_ledger::{Account, AccountKind, Ledger, Reason};
use farthing_role::{Context, Halt};
use rand_chacha::rand_core::CryptoRng;

use crate::chart::Chart;

pub(crate) use asked::{Asked, No};
pub use asked::{item_of, request_digest};
pub use pass::FacilitatorPass;
pub(crate) use payments::Settled;
pub(crate) use rows::TABLES;
pub(crate) use sessions::payment_digest;

/// Settled payments handed on to a server.
pub const REASON_FACILITATED: Reason = Reason(0x0005);

/// The keys of a facilitator, which is a seller of its own.
#[derive(Debug)]
pub struct FacilitatorKeys {
    /// Signs invoices.
    pub sign: SecretKey,
    /// Opens session secrets.
    pub seal: SealKey,
}

/// A facilitator: a seller whose product is paying others.
#[derive(Debug)]
pub(crate) struct Facilitator {
    chart: Chart,
    seller: Seller,
    order: Order,
    realm: OrderId,
}

impl Facilitator {
    /// The facilitator of a bank, with coupons of that value.
    pub(crate) fn new(chart: Chart, bank: PeerId, keys: FacilitatorKeys, coupon: Amount) -> Self {
        let FacilitatorKeys { sign, seal } = keys;
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&hash(Purpose::Order, &[b"facilitator", &sign.id().0])[..16]);
        // The same at every start, so that sessions outlive it.
        let order = Order {
            payee: sign.id(),
            content: None,
            size: 0,
            piece: 1,
            price: coupon,
            description: "requests to servers that settle with this bank's facilitator".to_owned(),
            created: Time::default(),
            expires: Time::from_millis(u64::MAX),
            nonce,
        };
        let realm = order.id();
        let seller = Seller { key: sign, seal, network: chart.network, bank, terms: Terms::default() };
        Self { chart, seller, order, realm }
    }

    /// The key that sessions are opened with.
    pub(crate) fn id(&self) -> PeerId {
        self.seller.key.id()
    }

    /// Opens its account, if that was not done before. It holds what was cleared and not yet handed
    /// on.
    pub(crate) fn open_account(&self, cx: &mut Context<'_>) -> Result<(), Halt> {
        let (own, currency) = (self.chart.customer(self.id()), self.chart.currency);
        let account = Account::new(own, AccountKind::Customer, currency, Some(self.id()), cx.now);
        Ledger(&mut *cx.tx).open(account)?;
        Ok(())
    }

    /// What sessions are opened for.
    pub(crate) const fn order(&self) -> &Order {
        &self.order
    }

    /// What payments are bound to, besides what they pay for.
    pub(crate) const fn realm(&self) -> OrderId {
        self.realm
    }

    /// The shortest life of a session, in seconds.
    pub(crate) const fn life_min_secs(&self) -> u64 {
        self.seller.terms.life_min.as_millis() / 1_000
    }

    /// What one coupon is worth.
    pub(crate) const fn coupon(&self) -> Amount {
        self.order.price
    }

    /// Answers Initiate by Invoice.
    pub(crate) fn invoice(
        &self,
        now: Time,
        initiate: &Initiate,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Invoiced, Signed<Clear>), Refusal> {
        self.seller.invoice(now, &self.order, initiate, rng)
    }

    /// Takes Payment.
    pub(crate) fn on_payment(&self, invoiced: &Invoiced, payment: Payment) -> Result<Committed, Refusal> {
        self.seller.on_payment(invoiced, payment)
    }
}
