//! Evidence and verdicts: a judge computes, it never weighs.
//!
//! A piece of evidence is a list of signed statements. The verdict is a pure function of it that
//! any stranger can run and that never finds an honest party guilty, whoever conspires. Each scheme
//! brings the functions for its own kinds.

use minicbor::{Decode, Encode};

use crate::id::PeerId;
use crate::wire::Bounded;

/// The most statements in one piece of evidence.
pub const STATEMENTS_MAX: usize = 64;

/// What kind of misdeed is shown (protocol book §26.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum EvidenceKind {
    /// Two histories of one party's audit log.
    #[n(0)]
    LogFork,
    /// Two different requests under one identity.
    #[n(1)]
    RequestFork,
    /// NetPay: two reserves of one payer over the same units.
    #[n(2)]
    DoubleReserve,
    /// NetPay: a payee claims beyond its own release.
    #[n(3)]
    ClaimBeyondRelease,
    /// Coupons: two invoices of one seller under one transaction id and nonce.
    #[n(10)]
    InvoiceFork,
    /// Coupons: the bank authorised and did not authorise one and the same purchase.
    #[n(11)]
    AuthorisationFork,
    /// Coupons: two logs of one buyer over the same units say different things.
    #[n(12)]
    OrderLogFork,
    /// Coupons: what a seller sealed is not what its promise says.
    #[n(13)]
    BrokenPromise,
    /// Drafts: two drafts of one payer under one number.
    #[n(30)]
    DraftFork,
    /// Drafts: a payer stopped a draft as not delivered and acknowledged the delivery.
    #[n(31)]
    StopAfterDelivery,
    /// Drafts: a payee deposited a draft that it had given back.
    #[n(32)]
    DepositAfterReturn,
    /// Drafts: a payer's log, as it signed it, leaves out a draft or names another in its place.
    #[n(33)]
    ConcealedDraft,
    /// Drafts: the bank gave one receipt number to two deposits, or one draft two numbers.
    #[n(34)]
    DepositReceiptFork,
    /// Clearing: two requests of one customer under one epoch and sequence number.
    #[n(20)]
    ClearingRequestFork,
    /// Clearing: two receipts of the bank for one authorisation.
    #[n(21)]
    ClearingReceiptFork,
    /// Clearing: two logs of one customer's epoch with equally many payments made, that differ.
    #[n(22)]
    ClearingLogFork,
    /// Titles: two successors of one hop, signed by one holder.
    #[n(40)]
    TitleFork,
    /// Cheques: two answers of one bank to one chain of endorsements.
    #[n(41)]
    OutcomeFork,
    /// Cheques: a bank signed that it cleared a cheque and leaves it out of its statement.
    #[n(42)]
    OutcomeDenied,
    /// Cheques: an answer of the bank drawn on that the cheque itself rules out.
    #[n(43)]
    FalseOutcome,
    /// Cheques: two statements of one bank to one peer of one day.
    #[n(44)]
    StatementFork,
}

/// The bytes of one signed statement, as received.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct StatementBytes(#[cbor(n(0), with = "minicbor::bytes")] pub Vec<u8>);

/// A piece of evidence: what is shown, against whom, and the statements that show it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Evidence {
    /// What kind of misdeed.
    #[n(0)]
    pub kind: EvidenceKind,
    /// Who is accused. The verdict may find somebody else guilty, or nobody.
    #[n(1)]
    pub accused: PeerId,
    /// The signed statements.
    #[n(2)]
    pub statements: Bounded<StatementBytes, STATEMENTS_MAX>,
}

/// What a verdict function finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Verdict {
    /// This party signed what no honest party signs.
    #[n(0)]
    Guilty(#[n(0)] PeerId),
    /// The statements do not show it.
    #[n(1)]
    Insufficient,
}
