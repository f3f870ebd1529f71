//! What the bank remembers of chains, besides the money.

use farthing_core::chain::Payword;
use farthing_core::id::{AccountId, ChainId, PeerId, RequestId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::Time;
use farthing_core::wire::{self, Wire};
use farthing_ledger::StoreFault;
use farthing_role::{Halt, Records, Scan, Table, Transaction};
use minicbor::{Decode, Encode};

use crate::messages::{RESERVE_WIDTH_MAX, Reserve, Touchstone};

/// Chains by id.
pub(super) const CHAINS: Table = Table("netpay_chains");
/// Stretches of a chain that are taken: chain, then first unit.
pub(super) const TAKEN: Table = Table("netpay_taken");
/// Chains by the moment they fall due for refund.
pub(super) const DUE: Table = Table("netpay_due");
/// Cases by number.
pub(super) const CASES: Table = Table("netpay_cases");
/// Open cases by deadline.
pub(super) const CASES_DUE: Table = Table("netpay_cases_due");

/// Signed claims by request, for the evidence; ordered in time.
pub(super) const CLAIMS: Table = Table("netpay_claims");

/// Cases by the account they are about.
pub(super) const CASES_OF: Table = Table("netpay_cases_of");

/// The tables that NetPay needs, besides [`EVIDENCE`](farthing_role::EVIDENCE).
pub const TABLES: [Table; 7] = [CHAINS, TAKEN, DUE, CASES, CASES_DUE, CASES_OF, CLAIMS];

/// A chain as the bank knows it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ChainRecord {
    /// Whose account opened it; liable for whatever the chain's key signs.
    #[n(0)]
    pub owner: PeerId,
    /// The account that backs it.
    #[n(1)]
    pub backing: AccountId,
    /// What the bank said of it.
    #[n(2)]
    pub touchstone: Touchstone,
    /// The highest word any payee has shown.
    #[n(3)]
    pub verified: Payword,
    /// Whether what was left went back.
    #[n(4)]
    pub closed: bool,
}

impl ChainRecord {
    /// The first moment at which no claim on the chain is taken any more.
    pub(super) fn claims_end(&self) -> Time {
        self.touchstone.header.not_after.after(self.touchstone.grace)
    }
}

/// Units that one reserve holds.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Taken {
    /// The reserve.
    #[n(0)]
    pub(super) reserve: Signed<Reserve>,
    /// For whom.
    #[n(1)]
    pub(super) payee: PeerId,
    /// The last unit it was paid through; one below its first while nothing was.
    #[n(2)]
    pub(super) paid_through: u32,
    /// The last unit nobody else may have; at least `paid_through`.
    #[n(3)]
    pub(super) kept_through: u32,
    /// The request that claimed last, for the evidence.
    #[n(4)]
    pub(super) claim: Option<RequestId>,
}

impl Taken {
    /// A reserve under which nothing is held yet.
    pub(super) fn nothing_yet(reserve: &Verified<Reserve>) -> Self {
        let below = reserve.body().from.saturating_sub(1);
        Self {
            reserve: reserve.signed().clone(),
            payee: reserve.body().payee,
            paid_through: below,
            kept_through: below,
            claim: None,
        }
    }
}

pub(super) fn read<T: Wire>(tx: &dyn Records, table: Table, key: &[u8]) -> Result<Option<T>, StoreFault> {
    let Some(bytes) = tx.get(table, key)? else { return Ok(None) };
    decode(table, &bytes).map(Some)
}

pub(super) fn decode<T: Wire>(table: Table, bytes: &[u8]) -> Result<T, StoreFault> {
    wire::decode(bytes).map_err(|why| StoreFault(format!("a row of {} is damaged: {why}", table.0)))
}

pub(super) fn chain(tx: &dyn Records, id: ChainId) -> Result<ChainRecord, Halt> {
    let unknown = || Refusal::new(Code::Unknown, "the bank never opened this chain");
    Ok(read(tx, CHAINS, &id.0)?.ok_or_else(unknown)?)
}

/// Chain, first unit, and enough of the reserve's digest to tell two that begin alike apart.
pub(super) fn taken_key(reserve: &Verified<Reserve>) -> Vec<u8> {
    [&reserve.body().chain.0[..], &reserve.body().from.to_be_bytes(), &reserve.digest()[..16]].concat()
}

/// The stretches of a chain that touch the units from `from` to `upto`, lowest first.
///
/// A stretch is no wider than [`RESERVE_WIDTH_MAX`], so only those that begin so far below matter.
pub(super) fn taken_within(
    tx: &dyn Transaction,
    chain: ChainId,
    from: u32,
    upto: u32,
) -> Result<Vec<(u32, Taken)>, StoreFault> {
    const PAGE: usize = 256;
    let mut found = Vec::new();
    let mut after = [&chain.0[..], &from.saturating_sub(RESERVE_WIDTH_MAX).to_be_bytes()].concat();
    loop {
        let scan = Scan { prefix: &chain.0, after: Some(&after), limit: PAGE };
        let rows = tx.scan(TAKEN, scan)?;
        let last = rows.len() < PAGE;
        for (key, value) in rows {
            let first = key.get(32..36).and_then(|k| k.try_into().ok()).map_or(0, u32::from_be_bytes);
            if first > upto {
                return Ok(found);
            }
            let taken: Taken = decode(TAKEN, &value)?;
            if taken.kept_through >= from {
                found.push((first, taken));
            }
            after = key;
        }
        if last {
            return Ok(found);
        }
    }
}

/// A key that sorts by time and then by what it is about.
pub(super) fn due_key(at: Time, what: &[u8]) -> Vec<u8> {
    [&at.as_millis().to_be_bytes(), what].concat()
}
