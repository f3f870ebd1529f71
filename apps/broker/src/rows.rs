//! What a broker writes down.

use farthing_core::chain::SEED_BYTES;
use farthing_core::id::{ChainId, PeerId, RequestId};
use farthing_core::wire::{self, Wire};
use farthing_coupon::broker::{Job, JobName};
use farthing_coupon::buyer::Pending;
use farthing_coupon::clearing::Clearings;
use farthing_coupon::messages::{Confirm, Payment};
use farthing_coupon::micro::{Ack, LogEntry, Pay};
use farthing_coupon::seller::Committed;
use farthing_coupon::session::SessionState;
use farthing_coupon::spender::SpenderState;
use farthing_ledger::StoreFault;
use farthing_role::{Context, Records, Row, Scan, Table};
use farthing_store::{Overlay, Reader};
use minicbor::{Decode, Encode};

use crate::messages::{ExchangeAnswer, SerialAnswer};

/// Sessions with buyers, by chain.
pub(crate) const BUYERS: Table = Table("broker_buyers");
/// Sessions with sellers, by seller.
pub(crate) const SELLERS: Table = Table("broker_sellers");
/// Coupons translated, by buyer's chain and index.
pub(crate) const JOBS: Table = Table("broker_jobs");
/// What sellers answered, by the same, for repeats.
pub(crate) const ANSWERS: Table = Table("broker_answers");
/// Purchases of buyers, by `H(COMMON)`.
pub(crate) const OPENINGS: Table = Table("broker_openings");
/// Purchases from sellers that were signed and not confirmed, by seller.
pub(crate) const BUYING: Table = Table("broker_buying");
/// The clearing that the bank was asked for and has not answered: one row.
pub(crate) const CLEARING: Table = Table("broker_clearing");

/// Rows read at once.
const PAGE: usize = 256;
/// The most answers kept for one session: a buyer that asks again does so soon.
const ANSWERS_KEPT: usize = 64;

/// What came of exchanges, by buyer's chain and index, for repeats.
pub(crate) const EXCHANGES: Table = Table("broker_exchanges");
/// At a stall: what was shown and is not paid yet, by the broker's chain.
pub(crate) const SHOWN: Table = Table("broker_shown");
/// At a stall: what was paid, by the broker's chain and index, for repeats.
pub(crate) const SOLD: Table = Table("broker_sold");

pub(crate) const TABLES: [Table; 10] =
    [BUYERS, SELLERS, JOBS, ANSWERS, OPENINGS, BUYING, CLEARING, EXCHANGES, SHOWN, SOLD];

/// The key of the row in [`CLEARING`].
pub(crate) const ONE: &[u8] = b"one";

/// A session with a buyer.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct BuyerRow {
    #[n(0)]
    pub(crate) state: SessionState,
    /// Whether it takes no more payments.
    #[n(1)]
    pub(crate) closed: bool,
}

/// A session with a seller. Whoever reads the seed spends the session: the file is the broker's
/// alone.
#[derive(Clone, Encode, Decode)]
pub(crate) struct SellerRow {
    #[n(0)]
    pub(crate) state: SpenderState,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) seed: [u8; SEED_BYTES],
    #[n(2)]
    pub(crate) origin: String,
}

/// A purchase from a seller under way.
#[derive(Clone, Encode, Decode)]
pub(crate) struct BuyingRow {
    #[n(0)]
    pub(crate) pending: Pending,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) seed: [u8; SEED_BYTES],
    #[n(2)]
    pub(crate) origin: String,
}

/// A buyer's purchase: written down before the bank is asked, under the id it is asked with.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct OpeningRow {
    #[n(0)]
    pub(crate) payment: Payment,
    #[n(1)]
    pub(crate) committed: Committed,
    #[n(2)]
    pub(crate) id: RequestId,
    /// The answer, once there is one.
    #[n(3)]
    pub(crate) confirm: Option<Confirm>,
}

/// A seller's answer.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct AnswerRow {
    /// To which coupon, whole.
    #[n(0)]
    pub(crate) pay: Pay,
    #[n(1)]
    pub(crate) answer: SerialAnswer,
}

/// What came of an exchange.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct ExchangeRow {
    /// Of which entry in the buyer's log.
    #[n(0)]
    pub(crate) paid: LogEntry,
    #[n(1)]
    pub(crate) answer: ExchangeAnswer,
}

/// A product that was sold.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct SoldRow {
    /// For which coupon, whole.
    #[n(0)]
    pub(crate) pay: Pay,
    #[n(1)]
    pub(crate) ack: Ack,
}

/// A clearing on its way.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct ClearingRow {
    #[n(0)]
    pub(crate) id: RequestId,
    #[n(1)]
    pub(crate) clearings: Clearings,
}

pub(crate) fn job_key((chain, index): JobName) -> Vec<u8> {
    [&chain.0[..], &index.to_be_bytes()].concat()
}

fn job_name(key: &[u8]) -> Option<JobName> {
    let (chain, index) = key.split_at_checked(32)?;
    Some((ChainId(chain.try_into().ok()?), u32::from_be_bytes(index.try_into().ok()?)))
}

pub(crate) fn read<T: Wire>(tx: &dyn Records, table: Table, key: &[u8]) -> Result<Option<T>, StoreFault> {
    tx.get(table, key)?.map(|bytes| decode(table, &bytes)).transpose()
}

pub(crate) fn decode<T: Wire>(table: Table, bytes: &[u8]) -> Result<T, StoreFault> {
    wire::decode(bytes).map_err(|why| StoreFault(format!("a row of {} is damaged: {why}", table.0)))
}

/// All rows of a table.
pub(crate) fn all<T: Wire>(books: &dyn Reader, table: Table) -> Result<Vec<(Vec<u8>, T)>, StoreFault> {
    let books = Overlay::new(books);
    let mut found = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows: Vec<Row> = books.scan(table, Scan { prefix: &[], after: after.as_deref(), limit: PAGE })?;
        let last = rows.len() < PAGE;
        after = rows.last().map(|(key, _)| key.clone());
        for (key, value) in rows {
            found.push((key, decode(table, &value)?));
        }
        if last {
            return Ok(found);
        }
    }
}

/// Deletes all rows whose keys begin so.
pub(crate) fn delete_under(cx: &mut Context<'_>, table: Table, prefix: &[u8]) -> Result<(), StoreFault> {
    loop {
        let rows = cx.tx.scan(table, Scan { prefix, after: None, limit: PAGE })?;
        rows.iter().for_each(|(key, _)| cx.tx.delete(table, key));
        if rows.len() < PAGE {
            return Ok(());
        }
    }
}

/// Keeps an answer for repeats, and forgets the oldest of its session where there are many.
pub(crate) fn keep<T: Wire>(cx: &mut Context<'_>, table: Table, name: JobName, row: &T) -> Result<(), StoreFault> {
    cx.tx.put(table, &job_key(name), wire::encode(row));
    let rows = cx.tx.scan(table, Scan { prefix: &name.0.0, after: None, limit: ANSWERS_KEPT + 1 })?;
    if let Some((oldest, _)) = rows.first().filter(|_| rows.len() > ANSWERS_KEPT) {
        cx.tx.delete(table, oldest);
    }
    Ok(())
}

/// All translations that are remembered.
pub(crate) fn jobs(books: &dyn Reader) -> Result<Vec<(JobName, Job)>, StoreFault> {
    let damaged = || StoreFault("a translation's row is damaged".into());
    all::<Job>(books, JOBS)?.into_iter().map(|(key, job)| Ok((job_name(&key).ok_or_else(damaged)?, job))).collect()
}

/// A seller's row key.
pub(crate) const fn seller_key(seller: &PeerId) -> &[u8] {
    &seller.0
}
