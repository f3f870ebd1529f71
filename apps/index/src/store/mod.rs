//! Listings and presences in SQLite, with a full-text index over their words.
//!
//! Nothing here is money and sellers repeat what they say, so a crash may cost the last moments
//! before it; the file itself stays sound. All calls block on the disk: make them off the
//! asynchronous threads. Time is handed in.

mod query;
mod search;
mod write;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farthing_core::refusal::Refusal;
use farthing_core::time::Time;
use rusqlite::{Connection, OpenFlags, params};

pub use query::{QUERY_BYTES_MAX, QUERY_TERMS_MAX, Query};
pub use search::{CANDIDATES_MAX, Hit, Hits, PAGE_DEFAULT, PAGE_MAX, Page};

/// How many listings one seller may have, withdrawn ones that are still remembered included.
pub const LISTINGS_PER_SELLER_MAX: u64 = 20_000;
/// How many listings the index holds.
pub const LISTINGS_MAX: u64 = 1_000_000;
/// How many sellers the index knows.
pub const SELLERS_MAX: u64 = 100_000;
/// How many rows one call of [`IndexStore::sweep`] removes at most, of each kind.
pub const SWEEP_MAX: usize = 1_000;

/// Connections that only read, for a store in a file.
const READERS: usize = 2;
/// How long a call waits for another process that holds the file.
const BUSY: Duration = Duration::from_secs(5);
/// The version of the schema, kept in the file.
const SCHEMA: i64 = 1;

/// What the index holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// See [`LISTINGS_MAX`].
    pub listings: u64,
    /// See [`LISTINGS_PER_SELLER_MAX`].
    pub listings_per_seller: u64,
    /// See [`SELLERS_MAX`].
    pub sellers: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { listings: LISTINGS_MAX, listings_per_seller: LISTINGS_PER_SELLER_MAX, sellers: SELLERS_MAX }
    }
}

/// Why the store did not do what it was asked. Whatever it is, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The request is at fault, or comes too late.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database is at fault.
    #[error("the index's database did not answer: {0}; see that its disk is there and not full")]
    Database(#[from] rusqlite::Error),
    /// The file was written by another version of this program.
    #[error(
        "the index's database has version {found}, this program knows {SCHEMA}: remove the file, sellers announce anew"
    )]
    Version {
        /// The version found.
        found: i64,
    },
}

/// How much the index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// Listings, withdrawn ones that are still remembered included.
    pub listings: u64,
    /// Sellers known.
    pub sellers: u64,
    /// Sellers present at the moment.
    pub present: u64,
}

/// The index's memory. May be shared between threads; writers take turns.
pub struct IndexStore {
    writer: Mutex<Writer>,
    readers: Vec<Mutex<Connection>>,
    turn: AtomicUsize,
}

/// The connection that writes, and the counts the limits are checked against.
struct Writer {
    db: Connection,
    counts: Counts,
    limits: StoreLimits,
}

#[derive(Clone, Copy)]
struct Counts {
    listings: u64,
    sellers: u64,
}

impl IndexStore {
    /// Opens the store in a file, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::Version`].
    pub fn open(path: &Path, limits: StoreLimits) -> Result<Self, StoreError> {
        let db = Connection::open(path)?;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "NORMAL")?;
        let mut store = Self::prepare(db, limits)?;
        for _ in 0..READERS {
            let reader =
                Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
            reader.busy_timeout(BUSY)?;
            store.readers.push(Mutex::new(reader));
        }
        Ok(store)
    }

    /// A store that is gone when dropped.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn in_memory(limits: StoreLimits) -> Result<Self, StoreError> {
        Self::prepare(Connection::open_in_memory()?, limits)
    }

    fn prepare(mut db: Connection, limits: StoreLimits) -> Result<Self, StoreError> {
        db.pragma_update(None, "foreign_keys", true)?;
        let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        match tx.pragma_query_value(None, "user_version", |row| row.get(0))? {
            0 => {
                tx.execute_batch(include_str!("schema.sql"))?;
                tx.pragma_update(None, "user_version", SCHEMA)?;
            }
            SCHEMA => {}
            found => return Err(StoreError::Version { found }),
        }
        tx.commit()?;
        let counts = Counts {
            listings: db.query_row("SELECT count(*) FROM listings", [], |row| row.get(0))?,
            sellers: db.query_row("SELECT count(*) FROM sellers", [], |row| row.get(0))?,
        };
        let writer = Mutex::new(Writer { db, counts, limits });
        Ok(Self { writer, readers: Vec::new(), turn: AtomicUsize::new(0) })
    }

    /// Whether the database answers, without waiting for a writer where it is in a file.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn check(&self) -> Result<(), StoreError> {
        self.read(|db| {
            Ok(db.prepare_cached("SELECT count(*) FROM (SELECT 1 FROM sellers LIMIT 1)")?.query_row([], |_| Ok(()))?)
        })
    }

    /// How much the index holds at `now`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn holdings(&self, now: Time) -> Result<Holdings, StoreError> {
        let writer = self.writer();
        let present = writer
            .db
            .prepare_cached("SELECT count(*) FROM sellers WHERE present_until > ?1")?
            .query_row(params![now.as_millis()], |row| row.get(0))?;
        Ok(Holdings { listings: writer.counts.listings, sellers: writer.counts.sellers, present })
    }

    /// A thread that panicked inside has rolled its transaction back by unwinding.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends a connection to read from; a store in memory has only the one.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let Some(turn) = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(self.readers.len()) else {
            return work(&self.writer().db);
        };
        let reader = self.readers[turn].lock().unwrap_or_else(PoisonError::into_inner);
        work(&reader)
    }
}

#[cfg(test)]
mod tests;
