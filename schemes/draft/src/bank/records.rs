//! What the bank remembers of drafts, besides the money.

use farthing_core::amount::Amount;
use farthing_core::audit::AuditLog;
use farthing_core::id::{AccountId, PeerId, TransferId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seal::SealPublic;
use farthing_core::sign::Signed;
use farthing_core::time::{Span, Time, Window};
use farthing_core::wire;
use farthing_role::{Halt, Records, Table};
use minicbor::{Decode, Encode};

use crate::messages::{Digest, Draft, Finding, Outcome, Problem, Returned, Stop};
use crate::rows::read;

/// Who writes and takes drafts, by key.
pub(super) const HOLDERS: Table = Table("draft_holders");
/// The keys of each account.
pub(super) const HOLDERS_OF: Table = Table("draft_holders_of");
/// Certificates issued, by number: the issue log.
pub(super) const CERTIFICATES: Table = Table("draft_certificates");
/// The spent-set: payer, then number.
pub(super) const SPENT: Table = Table("draft_spent");
/// Drafts that a reconciled log has and nobody has deposited: payer, then number.
pub(super) const WRITTEN: Table = Table("draft_written");
/// Receipts given, by payee and number.
pub(super) const RECEIPTS: Table = Table("draft_receipts");
/// How many receipts each payee was given.
pub(super) const RECEIVED: Table = Table("draft_received");
/// Stopped drafts: payer, then number.
pub(super) const STOPS: Table = Table("draft_stops");
/// Drafts set aside for a payee that asked: payer, then number.
pub(super) const CONFIRMED: Table = Table("draft_confirmed");
/// Drafts that fork another and were compensated: payer, number, digest.
pub(super) const COMPENSATED: Table = Table("draft_compensated");
/// How much of its credit line each account has used.
pub(super) const CREDIT: Table = Table("draft_credit");
/// What accounts owe payees, in order of time.
pub(super) const DEBTS: Table = Table("draft_debts");
/// Reconciliations under way, by holder.
pub(super) const WALKS: Table = Table("draft_walks");
/// What falls due, by time.
pub(super) const DUE: Table = Table("draft_due");
/// Evidence that was filed, by its hash.
pub(crate) const FILED: Table = Table("draft_filed");
/// Things that are counted.
pub(super) const COUNTS: Table = Table("draft_counts");

/// The tables that drafts need at the bank, besides [`EVIDENCE`](farthing_role::EVIDENCE).
pub const TABLES: [Table; 16] = [
    HOLDERS,
    HOLDERS_OF,
    CERTIFICATES,
    SPENT,
    WRITTEN,
    RECEIPTS,
    RECEIVED,
    STOPS,
    CONFIRMED,
    COMPENSATED,
    CREDIT,
    DEBTS,
    WALKS,
    DUE,
    FILED,
    COUNTS,
];

/// How long after its last day of deposit a draft is remembered at least: 60 days. A payee may ask
/// so long what became of it.
pub(super) const REMEMBERED: Span = Span::from_days(60);

/// A key that writes drafts, as the bank knows it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Holder {
    /// Whose money it is.
    #[n(0)]
    pub account: PeerId,
    /// The key to seal messages to it.
    #[n(1)]
    pub seal: SealPublic,
    /// Its log as last reconciled.
    #[n(2)]
    pub known: AuditLog,
    /// How often its wallet began anew.
    #[n(3)]
    pub epoch: u32,
    /// The copy of the wallet that has the certificate.
    #[n(4)]
    pub copy: Option<Digest>,
    /// The end of its last certificate.
    #[n(5)]
    pub certified_until: Time,
    /// The limit that certificate states.
    #[n(6)]
    pub total: Amount,
    /// What a deposit showed about the log that was reconciled before.
    #[n(7)]
    pub problem: Option<Problem>,
    /// A reconciliation of some time ago, and the outgoing entries it had.
    #[n(8)]
    pub mark: Option<Mark>,
    /// Outgoing entries up to this one are too old for a deposit and need not be remembered.
    #[n(9)]
    pub forget: u64,
    /// What drafts in its reconciled log promise that nobody has deposited.
    #[n(10)]
    pub outstanding: Amount,
}

/// How far a log was at some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Mark {
    /// When it was reconciled.
    #[n(0)]
    pub at: Time,
    /// The number of its last outgoing entry.
    #[n(1)]
    pub through: u64,
}

/// A certificate that was issued.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Issued {
    #[n(0)]
    pub(super) holder: PeerId,
    #[n(1)]
    pub(super) window: Window,
    /// The holder's epoch then.
    #[n(2)]
    pub(super) epoch: u32,
}

/// A deposited draft.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Spent {
    #[n(0)]
    pub(super) draft: Signed<Draft>,
    #[n(1)]
    pub(super) outcome: Outcome,
    /// Where its money goes.
    #[n(2)]
    pub(super) to: AccountId,
}

/// What a reconciled log says of a draft.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Written {
    #[n(0)]
    pub(super) draft: Digest,
    /// The commitment that the draft carries (`V0`).
    #[n(1)]
    pub(super) log: Digest,
    #[n(2)]
    pub(super) amount: Amount,
}

/// A receipt that was given.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Given {
    #[n(0)]
    pub(super) draft: Digest,
    #[n(1)]
    pub(super) payer: PeerId,
    #[n(2)]
    pub(super) amount: Amount,
}

/// A stopped draft.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct StopRow {
    #[n(0)]
    pub(super) stop: Signed<Stop>,
    #[n(1)]
    pub(super) draft: Digest,
    #[n(2)]
    pub(super) amount: Amount,
    #[n(3)]
    pub(super) payee: PeerId,
    /// When it ends if nobody deposits.
    #[n(4)]
    pub(super) until: Time,
    #[n(5)]
    pub(super) state: StopState,
    /// The payee's own word that it would not deposit.
    #[n(6)]
    pub(super) returned: Option<Signed<Returned>>,
}

impl StopRow {
    /// Whether nobody has settled it.
    pub(super) const fn is_open(&self) -> bool {
        !matches!(self.state, StopState::Settled(_))
    }
}

/// How far a stop has come.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) enum StopState {
    /// Nobody has deposited the draft.
    #[n(0)]
    Waiting,
    /// The payee has, and may show something until then.
    #[n(1)]
    Claimed {
        #[n(0)]
        answer_by: Time,
        /// The deposit as it was signed.
        #[cbor(n(1), with = "minicbor::bytes")]
        proof: Vec<u8>,
        /// Where the payee has its money.
        #[n(2)]
        to: AccountId,
    },
    /// The money went where the finding says.
    #[n(2)]
    Settled(#[n(0)] Finding),
}

/// A draft set aside for its payee.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct ConfirmedRow {
    #[n(0)]
    pub(super) draft: Signed<Draft>,
    #[n(1)]
    pub(super) hold: TransferId,
    #[n(2)]
    pub(super) until: Time,
}

impl ConfirmedRow {
    /// When nobody needs to know any more that it was set aside.
    pub(super) fn forget_at(&self) -> Result<Time, Refusal> {
        Ok(self.until.max(self.draft.peek()?.deposit_by).after(REMEMBERED))
    }
}

/// What is owed for one draft.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Debt {
    #[n(0)]
    pub(super) draft: Digest,
    /// The payer's key and the draft's number: where it is in [`SPENT`].
    #[n(1)]
    pub(super) payer: PeerId,
    #[n(2)]
    pub(super) number: u64,
    #[n(3)]
    pub(super) to: AccountId,
    #[n(4)]
    pub(super) rest: Amount,
}

/// A reconciliation under way.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Walk {
    #[n(0)]
    pub(super) opening: Digest,
    #[n(1)]
    pub(super) copy: Digest,
    #[n(2)]
    pub(super) epoch: u32,
    #[n(3)]
    pub(super) at: AuditLog,
    #[n(4)]
    pub(super) problems: Vec<Problem>,
    /// What the drafts read so far promise that nobody has deposited.
    #[n(5)]
    pub(super) outstanding: Amount,
    /// How many entries were read.
    #[n(6)]
    pub(super) entries: u64,
}

/// What falls due about a draft.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub(super) enum DueWhat {
    /// A stop nobody answered.
    #[n(0)]
    Stop,
    /// A row of the spent-set that nobody needs any more.
    #[n(1)]
    Spent,
    /// A draft that was set aside and that nobody can deposit any more.
    #[n(2)]
    Confirmed,
    /// A compensation that nobody can ask for any more.
    #[n(3)]
    Compensated,
}

/// A draft that something falls due about.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct DueRow {
    #[n(0)]
    pub(super) payer: PeerId,
    #[n(1)]
    pub(super) number: u64,
    #[n(2)]
    pub(super) what: DueWhat,
}

pub(super) fn holder(tx: &dyn Records, key: PeerId) -> Result<Holder, Halt> {
    let unknown = || Refusal::new(Code::Unknown, "the bank knows no such holder of drafts: enrol the key first");
    Ok(read(tx, HOLDERS, &key.0)?.ok_or_else(unknown)?)
}

/// A party, then a number: in order of the numbers.
pub(super) fn numbered(party: PeerId, number: u64) -> Vec<u8> {
    [&party.0[..], &number.to_be_bytes()].concat()
}

/// Notes that something falls due.
pub(super) fn due(tx: &mut (impl Records + ?Sized), at: Time, row: &DueRow) {
    let key = [&at.as_millis().to_be_bytes()[..], &numbered(row.payer, row.number), &[row.what as u8]].concat();
    tx.put(DUE, &key, wire::encode(row));
}
