//! What a buyer wants of a broker, and what became of it.

use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{ChainId, OrderId, PeerId};
use farthing_core::sign::Statement;
use farthing_core::time::Time;
use farthing_core::wire;
use minicbor::{Decode, Encode};

use crate::micro::{Ack, LogEntry, Pay, Token, micro_order};
use crate::secret::Digest;

/// What a buyer's coupon pays the broker for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Want {
    /// Whose product.
    #[n(0)]
    pub seller: PeerId,
    /// For how many of the seller's units.
    #[n(1)]
    pub units: u32,
    /// The hash of the request that the seller will see.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub request: [u8; 32],
    /// How.
    #[n(3)]
    pub form: Form,
}

impl Want {
    /// The name of the want, as a buyer's session pays for it.
    #[must_use]
    pub fn name(&self) -> [u8; 32] {
        hash(Purpose::CouponOrder, &[b"want", &wire::encode(self)])
    }

    /// What the buyer's coupon must be bound to, in its session with the broker.
    #[must_use]
    pub fn order(&self, realm: OrderId) -> Digest {
        micro_order(realm, &self.name())
    }
}

/// How a coupon is translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Form {
    /// The broker pays the seller at once.
    #[n(0)]
    Serial,
    /// The buyer gets a token and pays the seller itself, later.
    #[n(1)]
    Prefetch {
        /// The pseudonym it will show.
        #[n(0)]
        holder: Digest,
        /// When the token ends.
        #[n(1)]
        expires: Time,
    },
    /// The broker pays the seller when it has seen the goods.
    #[n(2)]
    Exchange {
        /// The hash of the product, where the buyer knows it.
        #[n(0)]
        product: Option<Digest>,
    },
}

/// What the broker drew for a coupon.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Drawn {
    /// For the seller (BT-2).
    #[n(0)]
    Forward(#[n(0)] Pay),
    /// For the buyer.
    #[n(1)]
    Token(#[n(0)] Token),
    /// For the seller, once its goods are seen. It must not leave before.
    #[n(2)]
    Withheld(#[n(0)] Pay),
    /// The seller has answered, and so has the broker (BT-4).
    #[n(3)]
    Done(#[n(0)] Ack),
}

impl Ack {
    /// Whether a payment that was answered so is another than one made with this turn: its units were
    /// given back, and whoever made the later one knew.
    #[must_use]
    pub const fn is_past(&self, paid: &LogEntry, turn: u32) -> bool {
        self.charged < paid.units && turn >= self.turn
    }
}

/// A translation as the broker remembers it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Job {
    /// The buyer's payment.
    #[n(0)]
    pub paid: LogEntry,
    /// As in [`Pay::turn`].
    #[n(1)]
    pub turn: u32,
    /// What it was for.
    #[n(2)]
    pub want: Want,
    /// What was drawn for it.
    #[n(3)]
    pub drawn: Drawn,
}

impl Job {
    /// Whether it is an exchange that waits for goods, or for the seller's word that it was paid.
    #[must_use]
    pub const fn is_open_exchange(&self) -> bool {
        matches!(self.want.form, Form::Exchange { .. }) && !matches!(self.drawn, Drawn::Done(_))
    }

    /// Whether units of its coupon were given back by the time that somebody who pays with this turn
    /// knew of it: then it is over, and they may be paid again.
    #[must_use]
    pub const fn is_past(&self, turn: u32) -> bool {
        match &self.drawn {
            Drawn::Done(ack) => ack.is_past(&self.paid, turn),
            _ => false,
        }
    }

    /// Whether its coupon waits for goods: taken from the buyer, and not yet the seller's.
    #[must_use]
    pub const fn is_withheld(&self) -> bool {
        matches!(self.drawn, Drawn::Withheld(_))
    }
}

/// Signed by the broker: this coupon was taken, for something of this seller.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Translated {
    /// The buyer's chain.
    #[n(0)]
    pub chain: ChainId,
    /// The buyer's payment.
    #[n(1)]
    pub paid: LogEntry,
    /// Whose product.
    #[n(2)]
    pub seller: PeerId,
    /// When.
    #[n(3)]
    pub time: Time,
}

impl Statement for Translated {
    const KIND: u16 = 0x0308;
}
