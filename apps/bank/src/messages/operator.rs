//! What operators ask for. Who is one, the bank's configuration says.

use farthing_core::amount::Amount;
use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::id::{PeerId, TransferId};
use farthing_core::time::Time;
use farthing_core::wire::Bounded;
use minicbor::{Decode, Encode};

use super::customer::{NOTE_MAX, Text};

/// The most waiting requests shown at once.
pub const PENDING_SHOWN_MAX: usize = 256;
/// The most pieces of evidence shown at once.
pub const EVIDENCE_SHOWN_MAX: usize = 32;
/// The most bytes of a piece of evidence sent at once: 128 KiB.
pub const EVIDENCE_PART_BYTES: usize = 128 << 10;

/// Which way money goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Direction {
    /// Into the bank.
    #[n(0)]
    In,
    /// Out of the bank.
    #[n(1)]
    Out,
    /// From another bank, which paid what it owed.
    #[n(2)]
    FromBank,
    /// To another bank, for what was owed to it.
    #[n(3)]
    ToBank,
}

/// Asks what waits for a decision.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ListPending {
    /// Only numbers above this.
    #[n(0)]
    pub after: u64,
}

/// What waits for a decision, the earliest first.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PendingList {
    /// At most a page.
    #[n(0)]
    pub items: Bounded<Pending, PENDING_SHOWN_MAX>,
}

/// Funding or a pay-out that waits for two operators.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Pending {
    /// Counted by the bank.
    #[n(0)]
    pub number: u64,
    /// In or out.
    #[n(1)]
    pub direction: Direction,
    /// Whose account, or which bank.
    #[n(2)]
    pub customer: PeerId,
    /// How much.
    #[n(3)]
    pub amount: Amount,
    /// What the customer said about it: how the money came, or where to pay it.
    #[n(4)]
    pub note: Text<NOTE_MAX>,
    /// The id of the transfer to be made.
    #[n(5)]
    pub transfer: TransferId,
    /// When it was asked for.
    #[n(6)]
    pub asked: Time,
    /// The first moment at which it has lapsed.
    #[n(7)]
    pub until: Time,
    /// The first of the two operators to approve.
    #[n(8)]
    pub approved: Option<PeerId>,
}

/// Approves or rejects. The second approval carries it out; one rejection ends it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Decide {
    /// Which.
    #[n(0)]
    pub number: u64,
    /// Yes or no.
    #[n(1)]
    pub approve: bool,
}

/// What came of a decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Decided {
    /// Noted; another operator must approve too.
    #[n(0)]
    OneOfTwo,
    /// Both approved, and the money has moved.
    #[n(1)]
    CarriedOut,
    /// Rejected; whatever was set aside went back.
    #[n(2)]
    Rejected,
}

/// Lets nothing leave a customer's accounts, or lets it again.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Suspend {
    /// Whose.
    #[n(0)]
    pub customer: PeerId,
    /// Suspended or not.
    #[n(1)]
    pub suspended: bool,
}

/// A customer's accounts are suspended, or not any more.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Suspended {
    /// Whose.
    #[n(0)]
    pub customer: PeerId,
    /// Suspended or not.
    #[n(1)]
    pub suspended: bool,
}

/// Asks what evidence was filed.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ListEvidence {
    /// Only what was filed after this piece.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub after: Option<[u8; 16]>,
}

/// Evidence, the earliest first.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct EvidenceList {
    /// At most a page.
    #[n(0)]
    pub items: Bounded<EvidenceSummary, EVIDENCE_SHOWN_MAX>,
}

/// A piece of evidence in short.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct EvidenceSummary {
    /// By which it is fetched.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub id: [u8; 16],
    /// What it is said to show.
    #[n(1)]
    pub kind: EvidenceKind,
    /// Against whom.
    #[n(2)]
    pub accused: PeerId,
    /// What it does show.
    #[n(3)]
    pub verdict: Verdict,
    /// When it was filed.
    #[n(4)]
    pub filed: Time,
    /// How long it is.
    #[n(5)]
    pub bytes: u32,
}

/// Asks for a piece of evidence, or a part of a long one.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct EvidencePartOf {
    /// Which.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub id: [u8; 16],
    /// From this byte on.
    #[n(1)]
    pub offset: u32,
}

/// Some of the canonical bytes of a [`Filed`](farthing_role::Filed) piece of evidence.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct EvidencePart {
    /// How long the whole is.
    #[n(0)]
    pub total: u32,
    /// At most [`EVIDENCE_PART_BYTES`].
    #[cbor(n(1), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}
