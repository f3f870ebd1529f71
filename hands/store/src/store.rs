//! What a store is. The traits assume nothing that a distributed transaction cannot give.

use std::path::Path;

use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_ledger::{Account, Entry, Head, Hold, JournalRow, StoreFault, Transfer};
use farthing_role::{Row, Scan, Table};

use crate::error::StoreError;
use crate::writes::WriteSet;

/// Reads records and books. Every method fails with [`StoreFault`] when the store does not answer;
/// nothing may be concluded from that.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
pub trait Reader {
    /// The value under a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault>;

    /// Rows in order of key.
    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Row>, StoreFault>;

    /// The account of that name.
    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreFault>;

    /// The hold of that id, open or ended.
    fn hold(&self, id: TransferId) -> Result<Option<Hold>, StoreFault>;

    /// Open holds whose time is over at `now`, the earliest first, at most `limit`.
    fn holds_due(&self, now: Time, limit: usize) -> Result<Vec<Hold>, StoreFault>;

    /// At most `limit` accounts with names above `after`, in order.
    fn accounts(&self, after: Option<AccountId>, limit: usize) -> Result<Vec<Account>, StoreFault>;

    /// At most `limit` holds with ids above `after`, in order.
    fn holds(&self, after: Option<TransferId>, limit: usize) -> Result<Vec<Hold>, StoreFault>;

    /// At most `limit` rows of the journal with numbers above `after_seq`, in order.
    fn journal(&self, after_seq: u64, limit: usize) -> Result<Vec<JournalRow>, StoreFault>;

    /// The row of the journal that used up an id.
    fn journal_row(&self, id: TransferId) -> Result<Option<JournalRow>, StoreFault>;

    /// How far the journal goes.
    fn head(&self) -> Result<Head, StoreFault>;

    /// The first thing wrong with how the rows are stored (a damaged page, an index that does not
    /// fit its table), if the store can tell.
    fn damage(&self) -> Result<Option<String>, StoreFault>;

    /// The transfer of that id.
    fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, StoreFault> {
        let Some(row) = self.journal_row(id)? else {
            return Ok(None);
        };
        match wire::decode(&row.entry) {
            Ok(Entry::Moved(transfer)) => Ok(Some(transfer)),
            Ok(_) => Ok(None),
            Err(why) => Err(StoreFault(format!("row {} of the journal is damaged: {why}", row.seq))),
        }
    }
}

/// A store as it stood at one moment, whatever is committed since. It may be read beside commits,
/// on another thread. Keep it short: what it still sees cannot be tidied away.
pub trait Snapshot: Reader + Send {}

impl<T: Reader + Send> Snapshot for T {}

/// Records and books that change by whole transactions. Reading the store itself gives what was
/// last committed.
///
/// One party at a time writes. Whoever does runs a batch on an [`Overlay`](crate::Overlay) over the
/// store, commits, and only then says anything to anybody.
pub trait Store: Reader + Send {
    /// The store as it stands now.
    ///
    /// # Errors
    /// [`StoreFault`].
    fn reader(&self) -> Result<Box<dyn Snapshot>, StoreFault>;

    /// Makes all of the changes durable, or none. When this returns they survive a power cut.
    ///
    /// # Errors
    /// [`StoreFault`]: the outcome is unknown until the store is opened again, and until then
    /// every call fails; [`fault`](Self::fault) says what was wrong.
    fn commit(&mut self, changes: &WriteSet) -> Result<(), StoreFault>;

    /// What made the store stop answering, if anything did.
    fn fault(&self) -> Option<&StoreError>;

    /// The epoch of this copy of the books: raised by its counterparty's leave after a restore.
    /// Zero at first.
    ///
    /// # Errors
    /// [`StoreFault`].
    fn epoch(&self) -> Result<u64, StoreFault>;

    /// Writes the epoch down, durably.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    fn set_epoch(&mut self, epoch: u64) -> Result<(), StoreFault>;

    /// Writes a copy of the store, as it stands now, to a new file that only its owner can read.
    ///
    /// # Errors
    /// [`StoreError::Exists`] rather than overwriting; otherwise what the disk said. The store
    /// itself stays usable.
    fn backup(&self, path: &Path) -> Result<(), StoreError>;
}
