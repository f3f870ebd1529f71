//! The one quote behind every dialect, and the name that a request has in a payment.

use farthing_core::amount::{Amount, Rate};
use farthing_core::id::{NetworkId, OrderId, PeerId};
use farthing_core::time::Time;
use farthing_coupon::session::WINDOW;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use zeroize::ZeroizeOnDrop;

use crate::{Unreadable, b64};

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Encode, Decode, Serialize, Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum UnitKind {
    /// Requests; the cost is known beforehand.
    #[n(0)]
    Request,
    /// Bytes of the answer's body: a maximum is paid, and what was sent is charged.
    #[n(1)]
    Byte,
    /// Seconds for which the answer runs: paid as it goes on.
    #[n(2)]
    Second,
}

/// What one request costs, until when. A server says it, and says it again to itself when the
/// payment comes: the id that goes with it ([`ChallengeKey`]) shows that it is its own word, so nothing
/// is stored.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Quote {
    /// The network whose money it is.
    #[n(0)]
    pub network: NetworkId,
    /// Who is paid.
    #[n(1)]
    pub seller: PeerId,
    /// What a session must be for; see [`Offer`](crate::service::Offer).
    #[n(2)]
    pub realm: OrderId,
    /// What one coupon is worth.
    #[n(3)]
    pub coupon: Amount,
    /// How many coupons to pay with this request. For anything but [`UnitKind::Request`] that is
    /// the most that will be charged, and the client may pay fewer and add more later.
    #[n(4)]
    pub units: u32,
    /// What is counted.
    #[n(5)]
    pub kind: UnitKind,
    /// What so many of them cost.
    #[n(6)]
    pub rate: Rate,
    /// The first moment at which it holds no more; whole seconds.
    #[n(7)]
    pub expires: Time,
    /// What it is for: [`request_digest`].
    #[cbor(n(8), with = "minicbor::bytes")]
    pub request: [u8; 32],
}

impl Quote {
    /// How many coupons so much of the service costs: rounded up, and never more than a payment
    /// may have.
    #[must_use]
    pub fn coupons_for(&self, count: u64) -> u32 {
        self.coupons_over(count).min(WINDOW)
    }

    /// The same, where it was paid for again and again.
    #[must_use]
    pub fn coupons_over(&self, count: u64) -> u32 {
        let cost = self.rate.charge(count).ok().and_then(|cost| cost.units_of(self.coupon));
        cost.and_then(|units| u32::try_from(units).ok()).unwrap_or(u32::MAX)
    }

    /// How much of the service so many coupons pay for.
    #[must_use]
    pub fn covered_by(&self, coupons: u32) -> u64 {
        let money = u128::from(self.coupon.as_micros()) * u128::from(coupons);
        let micros = u128::from(self.rate.price.as_micros());
        if micros == 0 {
            return u64::MAX;
        }
        // Where the product saturates, what is left of it after the division still fills 64 bits.
        u64::try_from(money.saturating_mul(u128::from(self.rate.per)) / micros).unwrap_or(u64::MAX)
    }

    /// The most it can cost.
    ///
    /// # Errors
    /// When that is out of range.
    pub fn amount(&self) -> Result<Amount, farthing_core::amount::AmountError> {
        self.coupon.checked_mul(u64::from(self.units))
    }

    /// Whether the numbers make sense: there is money in it, and one payment can hold it.
    pub(crate) fn checked(self) -> Result<Self, Unreadable> {
        let sound = (1..=WINDOW).contains(&self.units)
            && !self.coupon.is_zero()
            && self.rate.per > 0
            && self.rate.price.currency() == self.coupon.currency()
            && self.amount().is_ok()
            && self.expires.as_millis().is_multiple_of(1_000);
        if sound { Ok(self) } else { Err(Unreadable::Syntax) }
    }
}

/// The name of a request in a payment: method, path with query, and body. Whatever else a request
/// carries may be changed on the way, and is not paid for. Payments in another session of the same
/// seller, or at another seller, have another realm.
#[must_use]
pub fn request_digest(method: &str, path_and_query: &str, body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("farthing/v1/http/request");
    for part in [method.as_bytes(), path_and_query.as_bytes()] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.update(body);
    hasher.finalize().into()
}

/// Hashes an answer as it goes by: its status, and then its body. What an acknowledgement names.
#[derive(Clone, Debug)]
pub struct ResponseDigest(blake3::Hasher);

impl ResponseDigest {
    /// Of an answer with this status.
    #[must_use]
    pub fn new(status: u16) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("farthing/v1/http/response");
        hasher.update(&status.to_be_bytes());
        Self(hasher)
    }

    /// Some more of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all so far.
    #[must_use]
    pub fn finish(&self) -> farthing_coupon::secret::Digest {
        farthing_coupon::secret::Digest(self.0.finalize().into())
    }
}

/// The key by which a server knows its own challenges again. Derived from a secret of the server, so
/// that they survive a restart; several servers may share it.
#[derive(Clone, ZeroizeOnDrop)]
pub struct ChallengeKey([u8; 32]);

impl core::fmt::Debug for ChallengeKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ChallengeKey(…)")
    }
}

impl ChallengeKey {
    /// From thirty-two secret bytes.
    #[must_use]
    pub fn derive(secret: &[u8; 32]) -> Self {
        Self(blake3::derive_key("farthing/v1/http/challenge", secret))
    }

    /// The id of what is said in so many parts: a MAC over all of them, each with its length.
    pub(crate) fn id(&self, parts: &[&[u8]]) -> String {
        b64::url(&self.mac(parts).as_bytes()[..MAC_BYTES])
    }

    /// Whether an id belongs to what is said. Takes the same time wherever they differ.
    pub(crate) fn knows(&self, parts: &[&[u8]], id: &str) -> bool {
        let Ok(claimed) = b64::read_url(id) else { return false };
        let Ok(claimed) = <[u8; MAC_BYTES]>::try_from(claimed) else { return false };
        let mut full = [0; 32];
        full[..MAC_BYTES].copy_from_slice(&claimed);
        let mut ours = *self.mac(parts).as_bytes();
        ours[MAC_BYTES..].fill(0);
        blake3::Hash::from_bytes(ours) == blake3::Hash::from_bytes(full)
    }

    fn mac(&self, parts: &[&[u8]]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finalize()
    }
}

/// Half of a hash is enough where guesses must be made online.
const MAC_BYTES: usize = 16;
