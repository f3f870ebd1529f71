//! A payment and its answer: a word of the chain, bound under the session's key to what it pays for.

// Strangers name these numbers.
#![warn(clippy::arithmetic_side_effects)]

use farthing_core::chain::Word;
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{ChainId, OrderId};
use farthing_core::sign::Statement;
use farthing_core::time::Time;
use minicbor::{Decode, Encode};

use crate::messages::Common;
use crate::secret::{Digest, Mac, Secret};

/// What a coupon pays for: a request, by its hash, within the realm that was authorised (the
/// paper's micro-description within the description). A request of another realm has another name,
/// so a coupon cannot be turned to it.
#[must_use]
pub fn micro_order(realm: OrderId, request: &[u8; 32]) -> Digest {
    Digest(hash(Purpose::CouponOrder, &[&realm.0, request]))
}

/// The key of a session: known to its buyer, its seller and nobody else.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct SessionKey(#[n(0)] Secret);

impl SessionKey {
    /// From the secret that the buyer sealed, and all that both signed.
    #[must_use]
    pub fn new(secret: &Secret, common: &Common) -> Self {
        Self(secret.grow(&[b"session", &common.digest().0]))
    }

    /// The key of a prefetched token: whoever holds it was given it by who holds this one.
    #[must_use]
    pub fn token_key(&self, token: &TokenTerms) -> TokenKey {
        let TokenTerms { index, units, holder, expires } = token;
        let parts: [&[u8]; 5] =
            [b"token", &index.to_be_bytes(), &units.to_be_bytes(), &holder.0, &expires.as_millis().to_be_bytes()];
        TokenKey(self.0.grow(&parts))
    }

    /// A payment of the units up to `index`.
    #[must_use]
    pub fn pay(&self, index: u32, units: u32, turn: u32, word: Word, order: Digest) -> Pay {
        bound(&self.0, Pay { index, units, turn, word, order, mac: Mac([0; 16]) })
    }

    /// Whether a payment is bound under this key.
    #[must_use]
    pub fn binds(&self, pay: &Pay) -> bool {
        bound(&self.0, *pay).mac == pay.mac
    }

    /// The seller's answer to a payment.
    #[must_use]
    pub fn ack(&self, pay: &LogEntry, charged: u32, turn: u32, response: Digest) -> Ack {
        let mac = self.bind_ack(pay, charged, turn, &response);
        Ack { index: pay.index, charged, turn, response, mac }
    }

    /// Whether an answer is the seller's, to this payment.
    #[must_use]
    pub fn answers(&self, pay: &LogEntry, ack: &Ack) -> bool {
        pay.index == ack.index && self.bind_ack(pay, ack.charged, ack.turn, &ack.response) == ack.mac
    }

    /// A tip: the money up to `index`, for no order.
    #[must_use]
    pub fn tip(&self, index: u32, word: Word) -> Tip {
        Tip { index, word, mac: self.0.bind(&[b"tip", &index.to_be_bytes(), &word.0]) }
    }

    /// Whether a tip is bound under this key.
    #[must_use]
    pub fn brings(&self, tip: &Tip) -> bool {
        self.tip(tip.index, tip.word).mac == tip.mac
    }

    /// The seller's word that it holds the money up to `index`.
    #[must_use]
    pub fn seen(&self, index: u32) -> Seen {
        Seen { index, mac: self.0.bind(&[b"seen", &index.to_be_bytes()]) }
    }

    fn bind_ack(&self, pay: &LogEntry, charged: u32, turn: u32, response: &Digest) -> Mac {
        let [index, units, charged, turn] = [pay.index, pay.units, charged, turn].map(u32::to_be_bytes);
        self.0.bind(&[b"ack", &index, &units, &pay.order.0, &charged, &turn, &response.0])
    }
}

/// The key of one token.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct TokenKey(#[n(0)] Secret);

/// The payment, bound under this key.
fn bound(key: &Secret, pay: Pay) -> Pay {
    let [index, units, turn] = [pay.index, pay.units, pay.turn].map(u32::to_be_bytes);
    Pay { mac: key.bind(&[b"pay", &index, &units, &turn, &pay.word.0, &pay.order.0]), ..pay }
}

/// M-1, buyer to seller: the units from `index − units + 1` to `index` pay for this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Pay {
    /// The highest unit it uses.
    #[n(0)]
    pub index: u32,
    /// How many units it uses.
    #[n(1)]
    pub units: u32,
    /// How often the seller gave units back, as far as the buyer knows. Units that came back are
    /// served only to payments that know of it: a copy of the first payment for them is worth
    /// nothing to whoever kept it.
    #[n(2)]
    pub turn: u32,
    /// The word of the highest unit.
    #[n(3)]
    pub word: Word,
    /// What for; see [`micro_order`].
    #[n(4)]
    pub order: Digest,
    /// Binds all of it to the session.
    #[n(5)]
    pub mac: Mac,
}

impl Pay {
    /// What a payee writes down of it.
    #[must_use]
    pub const fn entry(&self) -> LogEntry {
        LogEntry { index: self.index, units: self.units, order: self.order }
    }

    /// The payment as a header carries it: the order is the request itself, which the payee sees.
    #[must_use]
    pub fn coupon(&self, chain: ChainId) -> Coupon {
        let Self { index, units, turn, word, mac, .. } = *self;
        Coupon { session: SessionName::of(chain), index, units, turn, word, mac }
    }
}

/// The longest a coupon is, written down.
pub const COUPON_BYTES_MAX: usize = 84;

/// Names a session in a header: the first half of its chain's identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct SessionName(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

impl SessionName {
    /// The name of the session on a chain.
    #[must_use]
    pub fn of(chain: ChainId) -> Self {
        let mut name = [0; 16];
        name.copy_from_slice(&chain.0[..16]);
        Self(name)
    }
}

/// A payment without its order; [`COUPON_BYTES_MAX`] bytes at the most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Coupon {
    /// Which session.
    #[n(0)]
    pub session: SessionName,
    /// As in [`Pay`].
    #[n(1)]
    pub index: u32,
    /// As in [`Pay`].
    #[n(2)]
    pub units: u32,
    /// As in [`Pay`].
    #[n(3)]
    pub turn: u32,
    /// As in [`Pay`].
    #[n(4)]
    pub word: Word,
    /// As in [`Pay`].
    #[n(5)]
    pub mac: Mac,
}

impl Coupon {
    /// The payment, for the order that the payee read off the request. With another one it was not
    /// made for, the binding does not fit.
    #[must_use]
    pub const fn about(&self, order: Digest) -> Pay {
        let Self { index, units, turn, word, mac, .. } = *self;
        Pay { index, units, turn, word, order, mac }
    }
}

/// What the coupon of a token carries beside what every coupon does: see [`TokenTerms`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bearer {
    /// As in [`TokenTerms`].
    pub holder: Digest,
    /// As in [`TokenTerms`].
    pub expires: Time,
}

impl Coupon {
    /// The same for a token, in the words of its bearer.
    #[must_use]
    pub const fn token_about(&self, order: Digest, bearer: Bearer) -> TokenPay {
        let Self { index, units, turn, word, mac, .. } = *self;
        let Bearer { holder, expires } = bearer;
        TokenPay { terms: TokenTerms { index, units, holder, expires }, turn, word, order, mac }
    }
}

/// M-2, seller to buyer, beside the product: so much of the payment was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Ack {
    /// Which payment.
    #[n(0)]
    pub index: u32,
    /// How many of its units were used, the lowest ones; the others may be used again.
    #[n(1)]
    pub charged: u32,
    /// How often the seller has given units back.
    #[n(2)]
    pub turn: u32,
    /// The hash of what was delivered.
    #[n(3)]
    pub response: Digest,
    /// Binds all of it, and the payment, to the session.
    #[n(4)]
    pub mac: Mac,
}

/// Buyer to seller: here is the money up to this index, whatever became of the payments below. Sent
/// where many coupons are out with others, or lost, and the next would jump too far. Nothing is
/// bought with it, and what is below may still be spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Tip {
    /// The highest unit whose word ever left.
    #[n(0)]
    pub index: u32,
    /// Its word.
    #[n(1)]
    pub word: Word,
    /// Binds both to the session.
    #[n(2)]
    pub mac: Mac,
}

/// Seller to buyer: the tip arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Seen {
    /// The highest unit held.
    #[n(0)]
    pub index: u32,
    /// Binds it to the session.
    #[n(1)]
    pub mac: Mac,
}

/// What was bought with which units: a line of the payee's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct LogEntry {
    /// The highest unit used.
    #[n(0)]
    pub index: u32,
    /// How many.
    #[n(1)]
    pub units: u32,
    /// What for.
    #[n(2)]
    pub order: Digest,
}

/// Signed by the buyer now and then, where the seller asks for it: this is all I bought with these
/// units. Without it the log is the seller's word alone, since both hold the session's key.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct OrderLog {
    /// Of which session.
    #[n(0)]
    pub chain: ChainId,
    /// The first unit it is about.
    #[n(1)]
    pub from: u32,
    /// The last one.
    #[n(2)]
    pub through: u32,
    /// The [`log_digest`] of the lines.
    #[n(3)]
    pub digest: Digest,
}

impl LogEntry {
    /// The lowest unit used. For numbers that no payment has, such as more units than lie below the
    /// index, it is some number: it never panics, whoever named them.
    #[must_use]
    pub const fn first(&self) -> u32 {
        self.index.saturating_sub(self.units).saturating_add(1)
    }
}

impl Statement for OrderLog {
    const KIND: u16 = 0x0307;
}

/// The hash of lines of a log, in order of their units, whatever order they came in.
#[must_use]
pub fn log_digest(chain: ChainId, entries: &[LogEntry]) -> Digest {
    let mut sorted = entries.to_vec();
    sorted.sort_unstable_by_key(|entry| entry.index);
    Digest(hash(Purpose::CouponOrder, &[b"log", &chain.0, &farthing_core::wire::encode(&sorted)]))
}

/// What a token is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct TokenTerms {
    /// The highest unit it uses.
    #[n(0)]
    pub index: u32,
    /// How many units it uses.
    #[n(1)]
    pub units: u32,
    /// Who may use it: a pseudonym, which the seller learns and the broker knows.
    #[n(2)]
    pub holder: Digest,
    /// The first moment at which it is worth nothing any more.
    #[n(3)]
    pub expires: Time,
}

/// A prefetched coupon as its holder keeps it; given by a broker over the holder's session.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Token {
    /// What it is bound to.
    #[n(0)]
    pub terms: TokenTerms,
    /// The word.
    #[n(1)]
    pub word: Word,
    /// The chain it is of.
    #[n(2)]
    pub chain: ChainId,
    /// What is bought with it lies in this realm.
    #[n(3)]
    pub realm: OrderId,
    /// Binds it to a request. It never leaves the holder.
    #[n(4)]
    pub key: TokenKey,
}

impl Token {
    /// Spends it on a request. `turn` is nothing at first, and what the seller's refusal says where
    /// the token was given back ([`PayError::Stale`](crate::session::PayError::Stale)).
    #[must_use]
    pub fn spend(&self, request: &[u8; 32], turn: u32) -> TokenPay {
        let (order, mac) = (micro_order(self.realm, request), Mac([0; 16]));
        let unbound = TokenPay { terms: self.terms, turn, word: self.word, order, mac };
        TokenPay { mac: bound(&self.key.0, unbound.pay()).mac, ..unbound }
    }
}

/// A token on its way to the seller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct TokenPay {
    /// What it is bound to.
    #[n(0)]
    pub terms: TokenTerms,
    /// As in [`Pay`].
    #[n(1)]
    pub turn: u32,
    /// The word.
    #[n(2)]
    pub word: Word,
    /// What for.
    #[n(3)]
    pub order: Digest,
    /// Binds the order to the token.
    #[n(4)]
    pub mac: Mac,
}

impl TokenPay {
    /// The token as a header carries it: the order is the request itself, which the payee sees.
    #[must_use]
    pub fn coupon(&self, chain: ChainId) -> (Coupon, Bearer) {
        let TokenTerms { holder, expires, .. } = self.terms;
        (self.pay().coupon(chain), Bearer { holder, expires })
    }

    /// As a payment in the session that the token was drawn on.
    pub(crate) const fn pay(&self) -> Pay {
        let TokenTerms { index, units, .. } = self.terms;
        Pay { index, units, turn: self.turn, word: self.word, order: self.order, mac: self.mac }
    }
}

impl TokenKey {
    /// Whether a token is bound under this key.
    #[must_use]
    pub fn binds(&self, token: &TokenPay) -> bool {
        bound(&self.0, token.pay()).mac == token.mac
    }
}
