//! What the bank remembers of coupons, besides the money.

use farthing_core::chain::{Header, Payword};
use farthing_core::id::{ChainId, PeerId, TransferId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Signed;
use farthing_core::time::{Span, Time};
use farthing_core::wire::{self, Wire};
use farthing_ledger::StoreFault;
use farthing_role::{Halt, Records, Table};
use minicbor::{Decode, Encode};

use crate::messages::{Authorisation, Clear, Random};
use crate::secret::Digest;

/// Authorised chains by id.
pub(super) const RELATIONS: Table = Table("coupon_relations");
/// Requests to authorise by seller, transaction and nonce.
pub(super) const SEEN: Table = Table("coupon_seen");
/// Answers to them by `H(COMMON)`.
pub(super) const ANSWERS: Table = Table("coupon_answers");
/// What ends when.
pub(super) const DUE: Table = Table("coupon_due");
/// Signed clearings by request, for the evidence; ordered in time.
pub(super) const CLEARINGS: Table = Table("coupon_clearings");

/// The tables that coupons need, besides [`EVIDENCE`](farthing_role::EVIDENCE).
pub const TABLES: [Table; 5] = [RELATIONS, SEEN, ANSWERS, DUE, CLEARINGS];

/// An authorised chain as the bank knows it (the book's `rel`).
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct RelationRecord {
    /// Whose account pays.
    #[n(0)]
    pub owner: PeerId,
    /// Who is paid.
    #[n(1)]
    pub seller: PeerId,
    /// The money set aside.
    #[n(2)]
    pub hold: TransferId,
    /// What the chain is bound to.
    #[n(3)]
    pub header: Header,
    /// `H(V′)`.
    #[n(4)]
    pub clear: Digest,
    /// Whether `V′` was shown.
    #[n(5)]
    pub opened: bool,
    /// The highest word shown.
    #[n(6)]
    pub verified: Payword,
    /// The highest coupon paid for: what makes every clearing a difference.
    #[n(7)]
    pub cleared: u32,
    /// How many coupons were given back by the seller.
    #[n(8)]
    pub refunded: u32,
    /// How long after the chain has ended the seller may clear.
    #[n(9)]
    pub grace: Span,
    /// Whether the hold was released.
    #[n(10)]
    pub closed: bool,
}

impl RelationRecord {
    /// The first moment at which nothing is cleared any more.
    pub(super) fn ends(&self) -> Time {
        self.header.not_after.after(self.grace)
    }
}

/// A request to authorise that was answered.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Seen {
    /// The hash of the request.
    #[n(0)]
    pub(super) request: Digest,
    /// Its invoice, in case another comes under the same number.
    #[n(1)]
    pub(super) clear: Signed<Clear>,
}

/// What was answered, to whom it matters.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Answered {
    /// Whose account it is about.
    #[n(0)]
    pub(super) owner: PeerId,
    /// `SIG_A`.
    #[n(1)]
    pub(super) reply: Signed<Authorisation>,
}

/// What falls due: an authorisation, by its chain, and the rows that go with it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Due {
    /// The chain; `None` where nothing was set aside.
    #[n(0)]
    pub(super) chain: Option<ChainId>,
    /// The seller and its numbers, for the row in [`SEEN`].
    #[n(1)]
    pub(super) seller: PeerId,
    #[n(2)]
    pub(super) tid: Random,
    #[n(3)]
    pub(super) nonce: Random,
    /// `H(COMMON)`, for the row in [`ANSWERS`].
    #[n(4)]
    pub(super) common: Digest,
}

pub(super) fn read<T: Wire>(tx: &dyn Records, table: Table, key: &[u8]) -> Result<Option<T>, StoreFault> {
    let Some(bytes) = tx.get(table, key)? else { return Ok(None) };
    decode(table, &bytes).map(Some)
}

pub(super) fn decode<T: Wire>(table: Table, bytes: &[u8]) -> Result<T, StoreFault> {
    wire::decode(bytes).map_err(|why| StoreFault(format!("a row of {} is damaged: {why}", table.0)))
}

pub(super) fn relation(tx: &dyn Records, id: ChainId) -> Result<RelationRecord, Halt> {
    let unknown = || Refusal::new(Code::Unknown, "the bank never authorised this chain");
    Ok(read(tx, RELATIONS, &id.0)?.ok_or_else(unknown)?)
}

pub(super) fn seen_key(seller: PeerId, tid: Random, nonce: Random) -> Vec<u8> {
    [&seller.0[..], &tid.0, &nonce.0].concat()
}

/// A key that sorts by time and then by what it is about.
pub(super) fn due_key(at: Time, common: &Digest) -> Vec<u8> {
    [&at.as_millis().to_be_bytes()[..], &common.0].concat()
}
