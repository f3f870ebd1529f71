//! What is said before the first coupon is spent: the six messages of 3KP, and the inquiry.
//!
//! The names are the paper's, Figure 2: `COMMON` is what all three know at the end, `CLEAR` what the
//! seller shows of it, `SLIP` what only the bank may read.

use farthing_core::chain::{Header, Scope, Word};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{ChainId, OrderId, PeerId, TransferId};
use farthing_core::refusal::Refusal;
use farthing_core::seal::{Content, SealPublic, Sealed};
use farthing_core::sign::{Signed, Statement};
use farthing_core::time::{Span, Time};
use farthing_core::wire;
use minicbor::{Decode, Encode};

use crate::secret::{Digest, Secret};

/// Sixteen random bytes: `SALT_B`, `TID_S` or `NONCE_S`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct Random(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// 1, buyer to seller. The description itself was agreed on before: both hold the order.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Initiate {
    /// Units, value of a unit, seller, expiry, and the pseudonym that signs (3KP's certified key).
    #[n(0)]
    pub header: Header,
    /// The chain's root, the paper's `Aⁿ(P_B)`.
    #[n(1)]
    pub root: Word,
    /// `SALT_B`: keeps the description from the bank and lets the buyer prove it later.
    #[n(2)]
    pub salt: Random,
    /// `ID_B`: the account, hidden.
    #[n(3)]
    pub buyer: Digest,
}

/// What buyer, seller and bank agree on, each from what it knows itself.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Common {
    /// `n`, `v`, `ID_S`, expiry and the buyer's pseudonym. Its scheme and scope are the flags.
    #[n(0)]
    pub header: Header,
    /// The chain's root.
    #[n(1)]
    pub root: Word,
    /// `H(DESC, SALT_B)`.
    #[n(2)]
    pub description: Digest,
    /// `ID_B`.
    #[n(3)]
    pub buyer: Digest,
    /// `TID_S`, `DATE`, `NONCE_S`, `H(V)`, `H(V′)` and the seller's key for the session.
    #[n(4)]
    pub terms: SellerTerms,
}

/// What the seller adds to `COMMON`.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct SellerTerms {
    /// `TID_S`.
    #[n(0)]
    pub tid: Random,
    /// `NONCE_S`.
    #[n(1)]
    pub nonce: Random,
    /// `DATE`.
    #[n(2)]
    pub date: Time,
    /// `H(V)`: showing `V` proves that the seller accepted.
    #[n(3)]
    pub accept: Digest,
    /// `H(V′)`: showing `V′` proves that the seller clears.
    #[n(4)]
    pub clear: Digest,
    /// The key to which the buyer seals the session's secret. The paper leaves the session to SSL;
    /// here both signatures cover it.
    #[n(5)]
    pub session: SealPublic,
}

impl Common {
    /// `H(COMMON)`.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(hash(Purpose::CouponCommon, &[&wire::encode(self)]))
    }

    /// The chain that is authorised.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.header.chain_id(&self.root)
    }

    /// `ID_S`; nobody where the chain names no payee, which no check lets through.
    #[must_use]
    pub const fn seller(&self) -> Option<PeerId> {
        match self.header.scope {
            Scope::Payee(seller) => Some(seller),
            Scope::Any => None,
        }
    }
}

/// `H(DESC, SALT_B)`. The description is an order, named by its hash.
#[must_use]
pub fn description(order: OrderId, salt: Random) -> Digest {
    Digest(hash(Purpose::CouponCommitment, &[b"description", &order.0, &salt.0]))
}

/// `ID_B = H(R_B, BAN)`: the account under a blind that only the buyer and the bank know.
#[must_use]
pub fn buyer_id(blind: &Secret, account: PeerId) -> Digest {
    Digest(hash(Purpose::CouponCommitment, &[b"buyer", blind.expose(), &account.0]))
}

/// 2, seller to buyer, and part of 4: `CLEAR`, signed, which makes it `SIG_S`.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Clear {
    /// The seller's part of `COMMON`.
    #[n(0)]
    pub terms: SellerTerms,
    /// The chain's root.
    #[n(1)]
    pub root: Word,
    /// `H(COMMON)`.
    #[n(2)]
    pub common: Digest,
}

impl Statement for Clear {
    const KIND: u16 = 0x0301;
}

/// `SLIP`, signed by the account it draws on and sealed to the bank. The signature stands where 1KP
/// has a PIN: it is the account's certificate for the pseudonym.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Slip {
    /// `n` and `v` in place of `PRICE`, and all else the chain is bound to.
    #[n(0)]
    pub header: Header,
    /// `H(COMMON)`.
    #[n(1)]
    pub common: Digest,
    /// `R_B`. `BAN` is the key that signed.
    #[n(2)]
    pub blind: Secret,
    /// Which copy of the account's wallet signs, as the bank numbers them; nothing is copy 0.
    #[n(3)]
    pub epoch: Option<u64>,
}

impl Statement for Slip {
    const KIND: u16 = 0x0302;
}

/// `EncSlip`.
pub type EncSlip = Sealed<Signed<Slip>>;

/// What `SIG_B` covers; signed by the chain's pseudonym.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Consent {
    /// The hash of `EncSlip`.
    #[n(0)]
    pub slip: Digest,
    /// `H(COMMON)`.
    #[n(1)]
    pub common: Digest,
    /// The hash of the sealed session secret, so that nobody puts another in its place.
    #[n(2)]
    pub session: Digest,
}

impl Statement for Consent {
    const KIND: u16 = 0x0303;
}

/// The secret of a session, drawn by the buyer and sealed to [`SellerTerms::session`].
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct SessionSecret(#[n(0)] pub Secret);

impl Content for SessionSecret {
    const KIND: u16 = 0x0309;
}

/// The hash by which [`Consent`] names what was sealed.
#[must_use]
pub fn sealed_digest<T>(sealed: &Sealed<T>) -> Digest {
    Digest(hash(Purpose::CouponCommon, &[b"sealed", &wire::encode(sealed)]))
}

/// 3, buyer to seller.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Payment {
    /// For the bank.
    #[n(0)]
    pub slip: EncSlip,
    /// `SIG_B`.
    #[n(1)]
    pub consent: Signed<Consent>,
    /// For the seller.
    #[n(2)]
    pub session: Sealed<SessionSecret>,
}

/// 4, seller to bank.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct AuthRequest {
    /// `CLEAR` and `SIG_S`.
    #[n(0)]
    pub clear: Signed<Clear>,
    /// `H(DESC, SALT_B)`: the bank learns no description.
    #[n(1)]
    pub description: Digest,
    /// What only the bank reads.
    #[n(2)]
    pub slip: EncSlip,
    /// `SIG_B`.
    #[n(3)]
    pub consent: Signed<Consent>,
}

/// 5, bank to seller, and part of 6: `SIG_A`. The signature names the bank and the network, which
/// the paper's does not.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Authorisation {
    /// `H(COMMON)`.
    #[n(0)]
    pub common: Digest,
    /// The chain; the name of the relation from now on.
    #[n(1)]
    pub chain: ChainId,
    /// Yes or no.
    #[n(2)]
    pub answer: Answer,
    /// When, by the bank's clock.
    #[n(3)]
    pub time: Time,
}

impl Statement for Authorisation {
    const KIND: u16 = 0x0304;
}

/// The bank's yes or no.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Answer {
    /// `n·v` is set aside.
    #[n(0)]
    Yes {
        /// Under which hold.
        #[n(0)]
        hold: TransferId,
        /// How long after the chain has ended the seller may still clear.
        #[n(1)]
        grace: Span,
    },
    /// Nothing is set aside, and why.
    #[n(1)]
    No(#[n(0)] Refusal),
}

/// 6, seller to buyer.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Confirm {
    /// `SIG_A`.
    #[n(0)]
    pub authorisation: Signed<Authorisation>,
    /// `V`.
    #[n(1)]
    pub accept: Secret,
}

/// Buyer to bank, where 6 never came: what did you tell the seller?
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Inquiry {
    /// `H(COMMON)`.
    #[n(0)]
    pub common: Digest,
}

/// The bank's answer to 4.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum AuthAnswer {
    /// 5.
    #[n(0)]
    Answered(#[n(0)] Signed<Authorisation>),
    /// The same transaction number and nonce came before with another `CLEAR`: evidence was filed.
    #[n(1)]
    Conflict {
        /// The other one.
        #[n(0)]
        other: Signed<Clear>,
    },
}

/// The bank's numbering of coupon requests.
pub mod kind {
    /// [`AuthRequest`](super::AuthRequest).
    pub const AUTHORISE: u16 = 0x0380;
    /// [`Inquiry`](super::Inquiry).
    pub const INQUIRE: u16 = 0x0381;
    /// [`Clearings`](crate::clearing::Clearings).
    pub const CLEAR: u16 = 0x0382;
    /// [`Refund`](crate::clearing::Refund).
    pub const REFUND: u16 = 0x0383;
}
