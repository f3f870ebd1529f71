//! What seller and bank say when coupons become money: C-1, C-2, and the refund.

use farthing_core::amount::Amount;
use farthing_core::chain::Word;
use farthing_core::id::{ChainId, RequestId};
use farthing_core::refusal::Refusal;
use farthing_core::sign::Statement;
use farthing_core::time::Time;
use farthing_core::wire::Bounded;
use minicbor::{Decode, Encode};

use crate::secret::Secret;

/// The most sessions cleared in one request.
pub const CLEARING_ITEMS_MAX: usize = 256;

/// C-1, seller to bank: pay me for these sessions. It travels in a signed request, every time: the
/// paper leaves the signature out as too dear, and one for many sessions is not.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Clearings {
    /// The sessions.
    #[n(0)]
    pub items: Bounded<Clearing, CLEARING_ITEMS_MAX>,
}

/// One session to clear.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Clearing {
    /// Which.
    #[n(0)]
    pub chain: ChainId,
    /// The highest coupon held.
    #[n(1)]
    pub through: u32,
    /// The word that proves it.
    #[n(2)]
    pub word: Word,
    /// `V′`; needed the first time.
    #[n(3)]
    pub opening: Option<Secret>,
    /// Whether it is the last time: then what was not spent goes back to the buyer at once.
    #[n(4)]
    pub is_final: bool,
}

/// C-2, signed by the bank: what came of it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ClearReceipt {
    /// The request it answers.
    #[n(0)]
    pub request: RequestId,
    /// One line for each session, in order.
    #[n(1)]
    pub lines: Bounded<ClearLine, CLEARING_ITEMS_MAX>,
    /// When, by the bank's clock.
    #[n(2)]
    pub time: Time,
}

impl Statement for ClearReceipt {
    const KIND: u16 = 0x0305;
}

/// What came of one session.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ClearLine {
    /// Which.
    #[n(0)]
    pub chain: ChainId,
    /// Paid, or why not.
    #[n(1)]
    pub outcome: ClearOutcome,
}

/// Whether a session was cleared.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum ClearOutcome {
    /// It stands cleared.
    #[n(0)]
    Paid {
        /// What was paid now; nothing if all of it was paid before.
        #[n(0)]
        amount: Amount,
        /// The highest coupon that was ever cleared.
        #[n(1)]
        through: u32,
    },
    /// Turned away; nothing was paid for it now.
    #[n(1)]
    Refused(#[n(0)] Refusal),
}

/// iKP's 9, seller to bank: give so many cleared coupons back to the buyer.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Refund {
    /// Of which session.
    #[n(0)]
    pub chain: ChainId,
    /// How many coupons, counted over all refunds of the session: a repeat gives nothing twice.
    #[n(1)]
    pub units: u32,
}

/// The bank's answer to a refund.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Refunded {
    /// Of which session.
    #[n(0)]
    pub chain: ChainId,
    /// What was given back now.
    #[n(1)]
    pub amount: Amount,
    /// How many coupons were given back in all.
    #[n(2)]
    pub units: u32,
}
