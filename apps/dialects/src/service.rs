//! What is said to a gateway beside paid requests: what is on sale, and how a session stands.

use farthing_core::id::{ChainId, NetworkId, PeerId};
use farthing_core::order::Order;
use farthing_core::sign::Statement;
use farthing_core::time::Time;
use farthing_coupon::micro::{SessionName, Tip};
use minicbor::{Decode, Encode};

/// The longest address of a bank.
pub const BANK_ADDRESS_MAX: usize = 512;

/// What a gateway sells: the order that sessions are opened for. Whoever invoices signs for it, so
/// it needs no signature of its own.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Offer {
    /// The order: its hash is the realm of quotes, its price the value of a coupon.
    #[n(0)]
    pub order: Order,
    /// The network whose money it is.
    #[n(1)]
    pub network: NetworkId,
    /// The bank that must authorise.
    #[n(2)]
    pub bank: PeerId,
    /// Where that bank is, for a buyer that has not met it; a wallet believes its own book first.
    #[n(3)]
    pub bank_address: String,
    /// The shortest life of a session, in seconds.
    #[n(4)]
    pub life_min_secs: u64,
    /// The most coupons that a session may have.
    #[n(5)]
    pub units_max: u32,
}

/// Buyer to gateway: I am done. What was not spent comes back as soon as the bank has cleared the
/// session. Signed by the chain's pseudonym.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct CloseSession {
    /// Which.
    #[n(0)]
    pub chain: ChainId,
    /// When it was said.
    #[n(1)]
    pub at: Time,
}

impl Statement for CloseSession {
    const KIND: u16 = 0x0370;
}

/// Buyer to gateway: how does it stand? Signed by the chain's pseudonym, since it is nobody else's
/// affair.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct AskSession {
    /// Which.
    #[n(0)]
    pub chain: ChainId,
    /// When it was said.
    #[n(1)]
    pub at: Time,
}

impl Statement for AskSession {
    const KIND: u16 = 0x0371;
}

/// Buyer to gateway: take the money up to here, and serve nothing for it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct BringTip {
    /// Of which session.
    #[n(0)]
    pub session: SessionName,
    /// The money.
    #[n(1)]
    pub tip: Tip,
}

/// How a session stands at the gateway: for showing and comparing. A buyer believes its own record.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct SessionView {
    /// Which.
    #[n(0)]
    pub chain: ChainId,
    /// How many units it has.
    #[n(1)]
    pub units: u32,
    /// The highest unit paid.
    #[n(2)]
    pub through: u32,
    /// The highest unit the bank has paid for.
    #[n(3)]
    pub cleared: u32,
    /// Whether it takes no more payments.
    #[n(4)]
    pub closed: bool,
}
