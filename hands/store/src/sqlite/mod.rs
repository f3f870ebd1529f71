//! The store of a real party: one SQLite file.
//!
//! One connection writes and checkpoints; snapshots have connections of their own that only read
//! (two writers that checkpoint are how SQLite's WAL was corrupted before 3.51.3). A commit returns
//! after the sync that makes it durable.

mod open;
mod read;
mod schema;
mod snapshot;
mod write;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farthing_core::id::{AccountId, TransferId};
use farthing_ledger::{Account, Head, StoreFault};
use farthing_role::Table;
use rusqlite::{Connection, OptionalExtension};

pub use open::{SQLITE_MIN, SqliteOptions};
use read::Connected;
use schema::Tables;
use snapshot::Pool;
pub use snapshot::SqliteSnapshot;

use crate::error::StoreError;
use crate::store::{Snapshot, Store};
use crate::writes::WriteSet;

/// How many accounts are kept in memory, some 10 MiB. When there are more, all are forgotten.
const ACCOUNTS_KEPT: usize = 65_536;

/// Records and books in one SQLite file, written by this process alone.
pub struct SqliteStore {
    // Dropped in this order: the writer folds the log into the file, then the lock is let go.
    readers: Arc<Pool>,
    writer: Connection,
    tables: Arc<Tables>,
    path: PathBuf,
    head: Head,
    /// The highest id in the journal: a higher one is certainly unused.
    newest: Option<TransferId>,
    /// Accounts as last committed. Nobody else writes; and a commit compares each with its row.
    accounts: RefCell<HashMap<AccountId, Account>>,
    fault: Option<StoreError>,
    _lock: std::fs::File,
}

impl SqliteStore {
    /// Opens the store in that file with these tables of records; makes it, readable by its owner
    /// only, if there is none.
    ///
    /// # Errors
    /// [`StoreError`]: [`Locked`](StoreError::Locked) if anybody has it open for writing,
    /// [`Exposed`](StoreError::Exposed), [`Newer`](StoreError::Newer),
    /// [`Altered`](StoreError::Altered), [`OldSqlite`](StoreError::OldSqlite),
    /// [`TableName`](StoreError::TableName), or what the disk said.
    pub fn open(path: impl AsRef<Path>, tables: &[Table], options: &SqliteOptions) -> Result<Self, StoreError> {
        let path = path.as_ref();
        open::check_version(rusqlite::version_number())?;
        let tables = Arc::new(Tables::new(tables)?);
        let lock = open::lock(path)?;
        open::private_file(path)?;
        let mut writer = open::writer(path, options)?;
        schema::migrate(&mut writer, path, &tables)?;
        schema::check(&writer, path)?;
        let head = read::head(&writer)?;
        let newest = writer
            .query_row("SELECT max(id) FROM journal", [], |row| row.get::<_, Option<[u8; 16]>>(0))?
            .map(TransferId);
        let readers = Arc::new(Pool::new(path, Arc::clone(&tables)));
        Ok(Self {
            readers,
            writer,
            tables,
            path: path.into(),
            head,
            newest,
            accounts: RefCell::default(),
            fault: None,
            _lock: lock,
        })
    }

    /// Which file it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn alive(&self) -> Result<(), StoreFault> {
        self.fault.as_ref().map_or(Ok(()), |why| Err(why.clone().into()))
    }

    /// Ends the transaction that reads share. Nobody else writes, so what was read still holds; and
    /// the commit sees if it does not.
    fn end_reading(&self) -> Result<(), StoreError> {
        if self.writer.is_autocommit() { Ok(()) } else { Ok(self.writer.execute_batch("COMMIT")?) }
    }

    /// Any error of a write is the end (R14): after a failed sync nobody knows what is on the disk,
    /// and a second sync may report success for data that is gone.
    fn or_stop<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreFault> {
        done.map_err(|why| {
            tracing::error!(path = %self.path.display(), %why, "the store stops answering");
            self.fault = Some(why.clone());
            why.into()
        })
    }
}

impl Connected for SqliteStore {
    /// All reads of a batch share one transaction: beginning one for each would cost more than the
    /// read itself. It ends when the batch is committed.
    fn connection(&self) -> Result<&Connection, StoreFault> {
        self.alive()?;
        if self.writer.is_autocommit() {
            self.writer.execute_batch("BEGIN").map_err(StoreError::from)?;
        }
        Ok(&self.writer)
    }

    fn tables(&self) -> &Tables {
        &self.tables
    }

    fn is_unused(&self, id: TransferId) -> bool {
        self.newest.is_none_or(|newest| newest < id)
    }

    fn remembered(&self, id: AccountId) -> Option<Account> {
        self.accounts.borrow().get(&id).copied()
    }

    fn remember(&self, account: &Account) {
        let mut accounts = self.accounts.borrow_mut();
        if accounts.len() >= ACCOUNTS_KEPT {
            accounts.clear();
        }
        accounts.insert(account.id, *account);
    }
}

impl Store for SqliteStore {
    fn reader(&self) -> Result<Box<dyn Snapshot>, StoreFault> {
        self.alive()?;
        Ok(Box::new(SqliteSnapshot::of(&self.readers)?))
    }

    fn commit(&mut self, changes: &WriteSet) -> Result<(), StoreFault> {
        self.alive()?;
        if changes.is_empty() {
            return Ok(());
        }
        let written =
            self.end_reading().and_then(|()| write::commit(&mut self.writer, &self.tables, self.head, changes));
        self.head = self.or_stop(written)?;
        changes.accounts.iter().for_each(|change| self.remember(&change.after));
        self.newest = changes.entries.iter().filter_map(farthing_ledger::Entry::id).chain(self.newest).max();
        Ok(())
    }

    fn fault(&self) -> Option<&StoreError> {
        self.fault.as_ref()
    }

    fn epoch(&self) -> Result<u64, StoreFault> {
        let sql = "SELECT value FROM meta WHERE name = 'epoch'";
        let found: Result<Option<u64>, _> = self.connection()?.query_row(sql, [], |row| row.get(0)).optional();
        Ok(found.map_err(StoreError::from)?.unwrap_or_default())
    }

    fn set_epoch(&mut self, epoch: u64) -> Result<(), StoreFault> {
        self.alive()?;
        let sql = "INSERT INTO meta (name, value) VALUES ('epoch', ?1)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let written = self.end_reading().and_then(|()| Ok(self.writer.execute(sql, [epoch])?));
        self.or_stop(written).map(|_| ())
    }

    fn backup(&self, path: &Path) -> Result<(), StoreError> {
        if let Some(why) = &self.fault {
            return Err(why.clone());
        }
        self.readers.backup(path)
    }
}
