//! What buyer and broker say, besides the opening of sessions, which is a gateway's.

use farthing_core::evidence::Evidence;
use farthing_core::id::ChainId;
use farthing_core::refusal::Refusal;
use farthing_core::sign::Signed;
use farthing_core::wire::Bounded;
use farthing_coupon::broker::{Translated, Want};
use farthing_coupon::exchange::Goods;
use farthing_coupon::micro::{Ack, Pay, Token};
use minicbor::{Decode, Encode};

/// `POST` a [`SerialAsk`], get a [`SerialAnswer`].
pub const SERIAL_PATH: &str = "/v1/serial";
/// `POST` a [`PrefetchAsk`], get a [`PrefetchAnswer`].
pub const PREFETCH_PATH: &str = "/v1/prefetch";
/// `GET` a [`SellerList`].
pub const SELLERS_PATH: &str = "/v1/sellers";
/// `POST` an [`ExchangeAsk`], get an [`ExchangeAnswer`].
pub const EXCHANGE_PATH: &str = "/v1/exchange";
/// `GET` a `Signed<Shelf>`: at a stall its own, at a broker that of the seller named behind it.
pub const SHELF_PATH: &str = "/v1/shelf";
/// At a stall: `POST` a `Signed<AskGoods>`, get the [`Goods`].
pub const GOODS_PATH: &str = "/v1/goods";
/// At a stall: `POST` a [`PayGoods`], get an [`Ack`].
pub const PAY_PATH: &str = "/v1/pay";

/// The longest body that is passed on, either way: 128 KiB.
pub const BODY_BYTES_MAX: usize = 128 << 10;
/// The longest method, path or media type that is passed on.
pub const TEXT_BYTES_MAX: usize = 2 << 10;
/// The most sellers of one broker.
pub const SELLERS_MAX: usize = 256;

/// BT-1: pay this seller with my coupon, and bring me what it answers.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct SerialAsk {
    /// The buyer's session with the broker.
    #[n(0)]
    pub chain: ChainId,
    /// The coupon, bound to `want`.
    #[n(1)]
    pub pay: Pay,
    /// What is wanted; its request is the digest of `http`.
    #[n(2)]
    pub want: Want,
    /// The request for the seller.
    #[n(3)]
    pub http: Passed,
}

/// A request that is passed on to a seller.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Passed {
    /// `GET` and so on.
    #[n(0)]
    pub method: String,
    /// Path and query.
    #[n(1)]
    pub path: String,
    /// Its media type, where it has a body.
    #[n(2)]
    pub media_type: Option<String>,
    /// Its body.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub body: Vec<u8>,
}

/// BT-4: what the seller answered, and what it cost.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct SerialAnswer {
    /// The seller's HTTP status.
    #[n(0)]
    pub status: u16,
    /// Its media type.
    #[n(1)]
    pub media_type: Option<String>,
    /// Its body.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub body: Vec<u8>,
    /// For the buyer's session with the broker.
    #[n(3)]
    pub ack: Ack,
}

/// Give me a token for this seller, to be spent later.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PrefetchAsk {
    /// The buyer's session with the broker.
    #[n(0)]
    pub chain: ChainId,
    /// The coupon, bound to `want`.
    #[n(1)]
    pub pay: Pay,
    /// What is wanted, in the prefetched form.
    #[n(2)]
    pub want: Want,
}

/// The token. Whoever reads this answer can spend it: it goes over TLS, or stays on one machine.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PrefetchAnswer {
    /// The token.
    #[n(0)]
    pub token: Token,
    /// The broker's word that it took the coupon, should the token turn out to be nothing.
    #[n(1)]
    pub receipt: Signed<Translated>,
}

/// Buy this product for me with my coupon, and let go of it when you have seen the goods.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ExchangeAsk {
    /// The buyer's session with the broker.
    #[n(0)]
    pub chain: ChainId,
    /// The coupon, bound to `want`.
    #[n(1)]
    pub pay: Pay,
    /// What is wanted, in the exchanged form, with the hash of the product.
    #[n(2)]
    pub want: Want,
}

/// What came of it. Whoever reads the goods has the product: this answer goes over TLS, or stays on
/// one machine.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum ExchangeAnswer {
    /// Both sides were let go.
    #[n(0)]
    Fair {
        /// The product, with its key.
        #[n(0)]
        goods: Goods,
        /// The coupon is used up.
        #[n(1)]
        ack: Ack,
    },
    /// Neither was.
    #[n(1)]
    Off {
        /// The coupon is good again.
        #[n(0)]
        ack: Ack,
        /// Why.
        #[n(1)]
        why: Refusal,
        /// Against the seller, where what it signed convicts it.
        #[n(2)]
        evidence: Option<Evidence>,
    },
}

/// The coupon for goods that were shown.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PayGoods {
    /// The broker's session with the stall.
    #[n(0)]
    pub chain: ChainId,
    /// The coupon.
    #[n(1)]
    pub pay: Pay,
}

/// Whom the broker buys from.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct SellerList {
    /// They.
    #[n(0)]
    pub sellers: Bounded<SellerLine, SELLERS_MAX>,
    /// What a translation costs besides, in the buyer's units.
    #[n(1)]
    pub fee: u32,
    /// Where sellers are that it has no session with at present.
    #[n(2)]
    pub waiting: Bounded<String, SELLERS_MAX>,
}

/// A seller.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct SellerLine {
    /// Its key.
    #[n(0)]
    pub seller: farthing_core::id::PeerId,
    /// Where it is.
    #[n(1)]
    pub origin: String,
    /// What one of its units is worth.
    #[n(2)]
    pub unit: farthing_core::amount::Amount,
    /// What is bought with a token lies in this realm.
    #[n(3)]
    pub realm: farthing_core::id::OrderId,
    /// When the broker's session with it ends, and tokens drawn on it with it.
    #[n(4)]
    pub ends: farthing_core::time::Time,
}
