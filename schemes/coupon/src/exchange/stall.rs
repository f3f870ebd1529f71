//! The seller of small products: what is on its shelf, to whom it is shown, and when it is paid.
//!
//! The paper's §6 lets the broker see the key before the seller has its coupon. A broker that looks
//! and does not pay would have the product for nothing. So goods are shown to brokers whom the seller
//! named, and in each session one product at a time: before the next is shown, this one is paid. A
//! seller thus loses at most one coupon to a broker, and knows to which.

use std::collections::{BTreeMap, BTreeSet};

use farthing_core::id::{ChainId, NetworkId, OrderId, PeerId};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::{SecretKey, Signed, Statement};
use farthing_core::time::{Span, Time};
use farthing_core::wire::Bounded;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use crate::exchange::{Goods, PRODUCT_MAX, product_digest, request_of};
use crate::micro::{Ack, Pay, micro_order};
use crate::secret::Digest;
use crate::session::{Session, WINDOW};

/// The most products on one shelf.
pub const ITEMS_MAX: usize = 256;
/// The longest name of a product, in bytes.
pub const NAME_MAX: usize = 128;
/// How long a promise stands.
pub const PROMISE_LIFE: Span = Span::from_hours(1);

/// A product, as it is offered.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Item {
    /// For people; at most [`NAME_MAX`] bytes. It binds nobody: the hash does.
    #[n(0)]
    pub name: String,
    /// Its hash; see [`product_digest`].
    #[n(1)]
    pub product: Digest,
    /// How long it is, in bytes.
    #[n(2)]
    pub size: u32,
    /// What it costs, in the seller's units.
    #[n(3)]
    pub units: u32,
}

/// Signed by the seller: this I sell, for so much.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Shelf {
    /// Orders lie in this realm.
    #[n(0)]
    pub realm: OrderId,
    /// When it was said.
    #[n(1)]
    pub at: Time,
    /// What there is.
    #[n(2)]
    pub items: Bounded<Item, ITEMS_MAX>,
}

impl Statement for Shelf {
    const KIND: u16 = 0x030A;
}

/// Signed by the broker: a coupon for this product waits; show me the goods.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct AskGoods {
    /// The broker's chain with the seller.
    #[n(0)]
    pub chain: ChainId,
    /// What waits, and is sent once the goods are good.
    #[n(1)]
    pub shown: Shown,
}

impl Statement for AskGoods {
    const KIND: u16 = 0x030B;
}

/// A product that was shown, and is to be paid with these units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Shown {
    /// The highest unit that will pay for it.
    #[n(0)]
    pub index: u32,
    /// How many units.
    #[n(1)]
    pub units: u32,
    /// Which product.
    #[n(2)]
    pub product: Digest,
}

/// A seller of small products. What it must not forget is one [`Shown`] for each session: written
/// down before the goods leave, and forgotten in the same step in which their coupon is taken.
pub struct Stall {
    key: SecretKey,
    network: NetworkId,
    realm: OrderId,
    brokers: BTreeSet<PeerId>,
    products: BTreeMap<Digest, (Item, Vec<u8>)>,
}

impl core::fmt::Debug for Stall {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Stall of {:?} with {} products", self.key.id(), self.products.len())
    }
}

impl Stall {
    /// A stall with an empty shelf, that shows goods to these brokers.
    #[must_use]
    pub fn new(key: SecretKey, network: NetworkId, realm: OrderId, brokers: BTreeSet<PeerId>) -> Self {
        Self { key, network, realm, brokers, products: BTreeMap::new() }
    }

    /// Puts a product on the shelf; one that is there already gets this name and price.
    ///
    /// # Errors
    /// [`Code::Limit`] for one that is too large, has too long a name, or one too many;
    /// [`Code::Amount`] for a price that one payment cannot hold.
    pub fn put(&mut self, name: &str, product: Vec<u8>, units: u32) -> Result<Digest, Refusal> {
        let size = u32::try_from(product.len()).ok().filter(|size| *size as usize <= PRODUCT_MAX);
        let size = size.ok_or_else(|| {
            Refusal::new(
                Code::Limit,
                format!("{name} is too large: a product sold whole has at most {PRODUCT_MAX} bytes"),
            )
        })?;
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(Refusal::new(Code::Limit, format!("a product's name has from 1 to {NAME_MAX} bytes")));
        }
        if !(1..=WINDOW).contains(&units) {
            return Err(Refusal::new(Code::Amount, format!("a product costs from 1 to {WINDOW} coupons")));
        }
        let digest = product_digest(&product);
        if self.products.len() >= ITEMS_MAX && !self.products.contains_key(&digest) {
            return Err(Refusal::new(Code::Limit, format!("a shelf holds at most {ITEMS_MAX} products")));
        }
        self.products.insert(digest, (Item { name: name.to_owned(), product: digest, size, units }, product));
        Ok(digest)
    }

    /// What is on the shelf.
    #[must_use]
    pub fn shelf(&self, now: Time) -> Signed<Shelf> {
        let items = self.products.values().map(|(item, _)| item.clone()).collect();
        let items = Bounded::new(items).unwrap_or_else(Bounded::empty);
        self.key.sign(self.network, &Shelf { realm: self.realm, at: now, items })
    }

    /// Whether this broker is one that goods are shown to.
    #[must_use]
    pub fn deals_with(&self, broker: PeerId) -> bool {
        self.brokers.contains(&broker)
    }

    /// Whether a broker may see the goods it asks for. `owed` is what was shown in this session and
    /// not paid yet. Write the answer down in its place, and only then [`show`](Self::show).
    ///
    /// # Errors
    /// A [`Refusal`]; nothing is shown.
    pub fn check(
        &self,
        now: Time,
        session: &Session,
        owed: Option<&Shown>,
        ask: &Signed<AskGoods>,
    ) -> Result<Shown, Refusal> {
        let asked = ask.clone().verify_by(self.network, session.buyer())?;
        let AskGoods { chain, shown } = *asked.body();
        let refuse = |code, why: &'static str| Err(Refusal::new(code, why));
        if chain != session.chain() {
            return refuse(Code::Order, "this was asked in another session");
        }
        if !self.deals_with(session.buyer()) {
            return refuse(Code::Policy, "the seller does not sell through this broker");
        }
        if session.realm() != self.realm || now >= session.not_after() {
            return Err(Refusal::new(Code::Expired, "the session has ended: open another one").remedy(Remedy::Mend));
        }
        let Some((item, _)) = self.products.get(&shown.product) else {
            return refuse(Code::Unknown, "no such product is on this shelf");
        };
        if let Some(owed) = owed {
            // Shown before, at the price of then: a repeat.
            let why = "another product was shown to this broker and is not paid yet: nothing more is shown until it is";
            return if *owed == shown { Ok(shown) } else { refuse(Code::State, why) };
        }
        if item.units != shown.units {
            return refuse(Code::Amount, "the product has another price by now: look at the shelf again");
        }
        let inside = shown.index <= session.units() && shown.units <= shown.index;
        if !inside || (shown.index - shown.units + 1..=shown.index).any(|unit| session.is_served(unit)) {
            return refuse(Code::Range, "no coupon with that index can be paid");
        }
        Ok(shown)
    }

    /// The goods, sealed under a key drawn for them. A repeat draws another: it is the same product.
    ///
    /// # Errors
    /// [`Code::Unknown`].
    pub fn show(&self, now: Time, shown: &Shown, rng: &mut dyn CryptoRng) -> Result<Goods, Refusal> {
        let gone = || Refusal::new(Code::Unknown, "no such product is on this shelf");
        let (_, product) = self.products.get(&shown.product).ok_or_else(gone)?;
        let order = self.order_of(shown.product);
        Goods::seal(&self.key, self.network, order, product, now.after(PROMISE_LIFE), rng)
    }

    /// Takes the coupon for what was shown. Session and the forgotten `owed` are written down in one
    /// step, and the answer with them.
    ///
    /// # Errors
    /// A [`Refusal`]; the session stands as it stood.
    pub fn take(&self, now: Time, session: &mut Session, owed: Option<&Shown>, pay: &Pay) -> Result<Ack, Refusal> {
        let nothing = || Refusal::new(Code::Order, "no goods were shown that this coupon would pay for");
        let shown = owed.filter(|shown| shown.index == pay.index).ok_or_else(nothing)?;
        if pay.order != self.order_of(shown.product) {
            return Err(nothing());
        }
        let accepted = session.accept(now, pay, shown.units)?;
        Ok(session.ack(&accepted.entry, shown.units, shown.product))
    }

    /// The order by which a product is bought here.
    fn order_of(&self, product: Digest) -> Digest {
        micro_order(self.realm, &request_of(product))
    }
}

#[cfg(test)]
mod tests;
