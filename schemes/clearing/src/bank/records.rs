//! What the bank remembers about the clearing.

use farthing_core::amount::Amount;
use farthing_core::audit::{AuditLog, SubChain};
use farthing_core::id::{OrderId, PeerId, timed};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Signed;
use farthing_core::time::{Span, Time};
use farthing_core::wire::{self, Bounded, Wire};
use farthing_ledger::StoreFault;
use farthing_role::{Context, Records, Scan, Table};
use minicbor::{Decode, Encode};

use super::rows::{INCOMING, OUTGOING, Recent};
use crate::frame::MessageId;
use crate::reconciliation::{LogStatement, PROBLEMS_MAX, Problem};

/// Customers by key.
pub(super) const ACCOUNTS: Table = Table("clearing_accounts");
/// Comparisons under way, by customer.
const COMPARISONS: Table = Table("clearing_comparisons");
/// What the operator should look at, in order of time.
const CASES: Table = Table("clearing_cases");
/// The bank's own log, by number.
pub(super) const LOG: Table = Table("clearing_log");
/// How far that log goes.
pub(super) const LOG_HEAD: Table = Table("clearing_log_head");

/// The tables that the clearing needs, besides [`EVIDENCE`](farthing_role::EVIDENCE).
pub const TABLES: [Table; 7] = [ACCOUNTS, OUTGOING, INCOMING, COMPARISONS, CASES, LOG, LOG_HEAD];

/// The most cases that one customer's requests file in a day: who stops its own account again and again
/// fills neither the disk nor the operator's list.
pub const CASES_PER_DAY: u32 = 8;

const DAY: Span = Span::from_secs(24 * 60 * 60);

/// Whether a customer may pay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Standing {
    /// It may.
    #[n(0)]
    Active,
    /// It must compare books first. It can be paid.
    #[n(1)]
    MustReconcile,
    /// Books were compared and differ: the operator decides.
    #[n(2)]
    Disputed,
}

/// A customer as the bank knows it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct AccountRecord {
    /// The version of the key.
    #[n(0)]
    pub version: u32,
    /// Whether it may pay.
    #[n(1)]
    pub standing: Standing,
    /// The copy of its wallet that may speak.
    #[n(2)]
    pub epoch: u64,
    /// `S`: the number of its next request.
    #[n(3)]
    pub next: u64,
    /// Its log as the bank knows it: what makes `V` one hash to recompute.
    #[n(4)]
    pub log: AuditLog,
    /// How much of the incoming sub-chain the customer has last committed to.
    #[n(5)]
    pub acknowledged: SubChain,
    /// The last request that used its number up, and all that its answer is made of.
    #[n(6)]
    pub(super) last: Option<Last>,
    /// Where books agreed the last time.
    #[n(7)]
    pub agreed: AuditLog,
    /// When that was.
    #[n(8)]
    pub agreed_at: Time,
    /// The last log that the customer signed.
    #[n(9)]
    pub(super) signed_log: Option<Signed<LogStatement>>,
    /// The last lines of its log.
    #[n(10)]
    pub(super) recent: Recent,
    /// A day, counted from 1970, and how many cases were filed on it.
    #[n(11)]
    cases: (u64, u32),
}

impl AccountRecord {
    /// A customer that was unknown until now: nothing to compare.
    pub(super) fn new(customer: PeerId, now: Time) -> Self {
        let log = AuditLog::new(customer);
        Self {
            version: 1,
            standing: Standing::Active,
            epoch: 1,
            next: 1,
            log,
            acknowledged: log.incoming,
            last: None,
            agreed: log,
            agreed_at: now,
            signed_log: None,
            recent: Recent::new(),
            cases: (0, 0),
        }
    }

    /// Whether the operator is to hear of one more case today; counts it.
    pub(super) const fn takes_case(&mut self, now: Time) -> bool {
        let day = now.as_millis() / DAY.as_millis();
        let before = if self.cases.0 == day { self.cases.1 } else { 0 };
        if before < CASES_PER_DAY {
            self.cases = (day, before + 1);
        }
        before < CASES_PER_DAY
    }
}

/// The answer to a customer's last request, as what it is made of: half the room of its bytes, and
/// the same bytes each time.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Last {
    #[n(0)]
    pub(super) auth: MessageId,
    #[n(1)]
    pub(super) sequence: u64,
    /// The dice of the moment, for nonces.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(super) dice: [u8; 32],
    #[n(3)]
    pub(super) outcome: Outcome,
    /// The signed request, in case another comes under the same number.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub(super) signed: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) enum Outcome {
    #[n(0)]
    Paid(#[n(0)] Moved),
    #[n(1)]
    Refused(#[n(0)] Refusal),
}

/// A payment that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Moved {
    #[n(0)]
    pub(super) payee: PeerId,
    /// Which version of the payee's key the ticket is sealed under.
    #[n(1)]
    pub(super) payee_version: u32,
    #[n(2)]
    pub(super) amount: Amount,
    #[n(3)]
    pub(super) order: OrderId,
    /// The payment's number at the payee.
    #[n(4)]
    pub(super) number: u64,
    #[n(5)]
    pub(super) time: Time,
    #[n(6)]
    pub(super) expires: Time,
    /// Whether a signed receipt was asked for.
    #[n(7)]
    pub(super) receipt: bool,
}

/// A comparison under way: bounded, however long the log.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Comparison {
    /// KSR-1.
    #[n(0)]
    pub(super) hello: MessageId,
    /// When that was made.
    #[n(1)]
    pub(super) time: Time,
    /// The number the customer would have used.
    #[n(2)]
    pub(super) theirs: u64,
    /// The message that the next page must name.
    #[n(3)]
    pub(super) expect: MessageId,
    /// How many entries of each direction were told; `None` before the first page.
    #[n(4)]
    pub(super) told: Option<(u64, u64)>,
    #[n(5)]
    pub(super) problems: Bounded<Problem, PROBLEMS_MAX>,
    /// The last message answered and the answer, for repeats.
    #[n(6)]
    pub(super) answered: MessageId,
    #[cbor(n(7), with = "minicbor::bytes")]
    pub(super) answer: Vec<u8>,
    /// The answer that ended it, and how far its lines go.
    #[n(8)]
    pub(super) ended: Option<(MessageId, AuditLog)>,
}

/// Something suspicious, for the operator.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Case {
    /// Whose account stopped.
    #[n(0)]
    pub customer: PeerId,
    /// When.
    #[n(1)]
    pub time: Time,
    /// What was wrong.
    #[n(2)]
    pub code: Code,
    /// The message that showed it.
    #[n(3)]
    pub message: MessageId,
    /// The number the bank expected, and the one that came.
    #[n(4)]
    pub numbers: (u64, u64),
    /// Where books differ.
    #[n(5)]
    pub problems: Bounded<Problem, PROBLEMS_MAX>,
}

impl Case {
    pub(super) fn file(self, cx: &mut Context<'_>) {
        cx.tx.put(CASES, &timed(self.time, &self.message.0), wire::encode(&self));
    }
}

/// Cases in order of time, at most `limit`, after the one of that key; each with its key.
///
/// # Errors
/// [`StoreFault`].
pub fn cases(tx: &dyn Records, after: Option<&[u8]>, limit: usize) -> Result<Vec<(Vec<u8>, Case)>, StoreFault> {
    let rows = tx.scan(CASES, Scan { prefix: &[], after, limit })?;
    rows.into_iter().map(|(key, row)| Ok((key, decode(CASES, &row)?))).collect()
}

/// A customer as the bank knows it; `None` where they share no key.
///
/// # Errors
/// [`StoreFault`].
pub fn account(tx: &dyn Records, customer: PeerId) -> Result<Option<AccountRecord>, StoreFault> {
    read(tx, ACCOUNTS, &customer.0)
}

pub(super) fn put_account(cx: &mut Context<'_>, customer: PeerId, record: &AccountRecord) {
    cx.tx.put(ACCOUNTS, &customer.0, wire::encode(record));
}

pub(super) fn comparison(tx: &dyn Records, customer: PeerId) -> Result<Option<Comparison>, StoreFault> {
    read(tx, COMPARISONS, &customer.0)
}

pub(super) fn put_comparison(cx: &mut Context<'_>, customer: PeerId, comparison: &Comparison) {
    cx.tx.put(COMPARISONS, &customer.0, wire::encode(comparison));
}

pub(super) fn read<T: Wire>(tx: &dyn Records, table: Table, key: &[u8]) -> Result<Option<T>, StoreFault> {
    let Some(bytes) = tx.get(table, key)? else { return Ok(None) };
    decode(table, &bytes).map(Some)
}

pub(super) fn decode<T: Wire>(table: Table, bytes: &[u8]) -> Result<T, StoreFault> {
    wire::decode(bytes).map_err(|why| StoreFault(format!("a row of {} is damaged: {why}", table.0)))
}
