//! Where a customer stands, for operators.

use farthing_core::amount::Amount;
use farthing_core::id::PeerId;
use farthing_core::time::Time;
use farthing_core::wire::Bounded;
use farthing_draft::bank::{IDENTITIES_MAX, STOPS_OPEN_MAX};
use minicbor::{Decode, Encode};

pub use farthing_clearing::bank::Standing;
pub use farthing_draft::bank::OpenStop;
pub use farthing_draft::messages::{Finding, StopReason};

use super::customer::Balances;

/// All that answers for a customer, in the order in which drafts are paid from it: the account, the
/// credit line, the deposit. What is left is owed, and the account is suspended.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct CustomerReport {
    /// Account and deposit.
    #[n(0)]
    pub balances: Balances,
    /// How much of its credit line is used.
    #[n(1)]
    pub credit_used: Amount,
    /// How far the credit line goes.
    #[n(2)]
    pub credit: Amount,
    /// Drafts that could not be paid.
    #[n(3)]
    pub owed: Amount,
    /// Whether nothing leaves its account.
    #[n(4)]
    pub suspended: bool,
    /// Whether it may pay by clearing; nothing for those who do not use it.
    #[n(5)]
    pub clearing: Option<Standing>,
    /// Which copy of its wallet may spend.
    #[n(6)]
    pub epoch: u64,
    /// Its keys for drafts.
    #[n(7)]
    pub drafts: Bounded<DraftKey, IDENTITIES_MAX>,
    /// Drafts of those keys that were stopped and that nobody has settled. Their money has left the
    /// account, and is set aside.
    #[n(8)]
    pub stops: Bounded<OpenStop, { IDENTITIES_MAX * STOPS_OPEN_MAX }>,
    /// How much that is.
    #[n(9)]
    pub stopped: Amount,
}

/// A key that writes and takes drafts for an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct DraftKey {
    /// Which.
    #[n(0)]
    pub key: PeerId,
    /// What its certificate states.
    #[n(1)]
    pub total: Amount,
    /// When that ends.
    #[n(2)]
    pub until: Time,
    /// What its reconciled log promises that nobody has deposited.
    #[n(3)]
    pub outstanding: Amount,
    /// Whether a deposit showed that its log was not whole.
    #[n(4)]
    pub problem: bool,
}

/// Names a key whose books did not agree and which may begin again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Pardon {
    /// The key.
    #[n(0)]
    pub key: PeerId,
}

/// Decides a stopped draft on what its parties have shown outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct JudgeStop {
    /// Who wrote it.
    #[n(0)]
    pub payer: PeerId,
    /// Its number.
    #[n(1)]
    pub number: u64,
    /// Who is right.
    #[n(2)]
    pub finding: Finding,
}
