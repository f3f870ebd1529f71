//! What `/clearing` answers, and what operators hear of it.

use farthing_clearing::bank::Case;
use farthing_core::id::PeerId;
use farthing_core::sign::Signed;
use farthing_core::wire::Bounded;
use minicbor::{Decode, Encode};

use super::Answer;

/// The most cases shown at once.
pub const CASES_LISTED_MAX: usize = 32;

/// The answer to a frame that opened under its customer's key.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum FrameAnswer {
    /// The bank's own frame, under the same key.
    #[n(0)]
    Frame(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// A refusal that changed nothing, signed; it names the frame by its hash
    /// ([`MessageId`](farthing_clearing::frame::MessageId)).
    #[n(1)]
    Refused(#[n(0)] Signed<Answer>),
}

/// Asks which accounts stopped because a number, a log or the books did not fit.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ListCases {
    /// Only those after this one.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub after: Option<[u8; 16]>,
}

/// Such cases, the earliest first.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct CaseList {
    /// At most a page.
    #[n(0)]
    pub items: Bounded<ListedCase, CASES_LISTED_MAX>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ListedCase {
    /// By which the next page begins.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub id: [u8; 16],
    /// What was wrong.
    #[n(1)]
    pub case: Case,
}

/// Names a customer: settles its dispute, or replaces the key it shares with the bank.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct About {
    /// Which.
    #[n(0)]
    pub customer: PeerId,
}
