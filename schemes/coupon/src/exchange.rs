//! Fair exchange of a small product through a broker (the paper's §6): the seller gives the product
//! away only sealed, the broker looks whether it is what was promised, and lets go of coupon and key
//! in one step.
//!
//! The broker reads the goods before it pays. So a seller shows them to brokers of its own choosing
//! only, and to each of them one product at a time: see [`stall`].

pub mod stall;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::{SecretKey, Signed, Statement};
use farthing_core::time::Time;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use crate::secret::{Digest, Secret};

/// The largest product that is exchanged this way; larger ones are sold in pieces.
pub const PRODUCT_MAX: usize = 64 * 1024;

const TAG_LEN: usize = 16;

/// Signed by the seller: what is sealed under this key is this product, for this order.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Promise {
    /// The order; see [`micro_order`](crate::micro::micro_order).
    #[n(0)]
    pub order: Digest,
    /// The hash of the product; see [`product_digest`].
    #[n(1)]
    pub product: Digest,
    /// The hash of the sealed product.
    #[n(2)]
    pub sealed: Digest,
    /// The commitment to the key.
    #[n(3)]
    pub key: Digest,
    /// Until when the promise stands.
    #[n(4)]
    pub expires: Time,
}

impl Statement for Promise {
    const KIND: u16 = 0x0306;
}

/// The request by which a product is bought: its hash stands for it.
#[must_use]
pub fn request_of(product: Digest) -> [u8; 32] {
    hash(Purpose::CouponOrder, &[b"product", &product.0])
}

/// Promise, sealed product and key: what the seller gives the broker, the broker later the buyer,
/// and, where it is broken, anybody the judge.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Goods {
    /// The seller's word.
    #[n(0)]
    pub promise: Signed<Promise>,
    /// The sealed product.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub sealed: Vec<u8>,
    /// The key, drawn for this product and used once.
    #[n(2)]
    pub key: Secret,
}

/// The hash of a product.
#[must_use]
pub fn product_digest(product: &[u8]) -> Digest {
    Digest(hash(Purpose::CouponCommitment, &[b"product", product]))
}

fn sealed_digest(sealed: &[u8]) -> Digest {
    Digest(hash(Purpose::CouponCommitment, &[b"sealed product", sealed]))
}

impl Goods {
    /// Seals a product for an order and promises it.
    ///
    /// # Errors
    /// [`Code::Limit`] above [`PRODUCT_MAX`].
    pub fn seal(
        seller: &SecretKey,
        network: NetworkId,
        order: Digest,
        product: &[u8],
        expires: Time,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, Refusal> {
        let too_long =
            || Refusal::new(Code::Limit, format!("a product exchanged whole has at most {PRODUCT_MAX} bytes"));
        if product.len() > PRODUCT_MAX {
            return Err(too_long());
        }
        let key = Secret::draw(rng);
        let sealed = cipher(&key).encrypt(&Nonce::default(), Payload { msg: product, aad: &order.0 });
        let sealed = sealed.map_err(|_| too_long())?;
        let (product, key_digest) = (product_digest(product), key.commitment());
        let promise = Promise { order, product, sealed: sealed_digest(&sealed), key: key_digest, expires };
        Ok(Self { promise: seller.sign(network, &promise), sealed, key })
    }

    /// Opens the product if it is what `seller` promised for this order, and, where the order names
    /// its hash, what was ordered.
    ///
    /// # Errors
    /// A [`Refusal`]: nothing is paid for such goods.
    pub fn open(
        &self,
        network: NetworkId,
        seller: PeerId,
        now: Time,
        order: Digest,
        wanted: Option<Digest>,
    ) -> Result<Vec<u8>, Refusal> {
        let verified = self.promise.clone().verify_by(network, seller)?;
        let promise = verified.body();
        if promise.order != order || wanted.is_some_and(|wanted| wanted != promise.product) {
            return Err(Refusal::new(Code::Order, "the seller promises something else than was ordered"));
        }
        if now >= promise.expires {
            return Err(Refusal::new(Code::Expired, "the seller's promise has ended"));
        }
        if !self.is_what_was_promised_on(promise) {
            return Err(Refusal::new(Code::Goods, "sealed product or key are not the ones promised"));
        }
        self.open_for(promise).ok_or_else(|| Refusal::new(Code::Goods, "the product is not what was promised"))
    }

    /// Whether sealed product and key are those that the promise is about.
    pub(crate) fn is_what_was_promised_on(&self, promise: &Promise) -> bool {
        self.sealed.len() <= PRODUCT_MAX + TAG_LEN
            && sealed_digest(&self.sealed) == promise.sealed
            && self.key.commitment() == promise.key
    }

    /// The product, if it is the promised one.
    pub(crate) fn open_for(&self, promise: &Promise) -> Option<Vec<u8>> {
        let sealed = Payload { msg: &self.sealed, aad: &promise.order.0 };
        let product = cipher(&self.key).decrypt(&Nonce::default(), sealed).ok()?;
        (product_digest(&product) == promise.product).then_some(product)
    }
}

/// The key is used for one message only, so its nonce may be all zeros.
fn cipher(key: &Secret) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(key.expose().into())
}
