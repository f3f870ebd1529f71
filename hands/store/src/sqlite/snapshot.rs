//! Snapshots, each on a connection of its own that only reads.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farthing_core::id::TransferId;
use farthing_ledger::StoreFault;
use farthing_role::Table;
use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::read::Connected;
use super::schema::{self, Tables};
use super::{open, read};
use crate::error::StoreError;

/// Connections kept open for the next snapshot.
const IDLE_MAX: usize = 4;

/// Pages copied by a backup in one step.
const BACKUP_PAGES: i32 = 4_096;

/// Reading connections, to be used again.
#[derive(Debug)]
pub(super) struct Pool {
    path: PathBuf,
    tables: Arc<Tables>,
    idle: Mutex<Vec<Connection>>,
}

/// A store as it stood at one moment.
pub struct SqliteSnapshot {
    // Only `drop` takes it.
    connection: Option<Connection>,
    pool: Arc<Pool>,
}

impl Pool {
    pub(super) fn new(path: &Path, tables: Arc<Tables>) -> Self {
        Self { path: path.into(), tables, idle: Mutex::default() }
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| open::reader(&self.path), Ok)
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && connection.execute_batch("ROLLBACK").is_ok() {
            idle.push(connection);
        }
    }

    /// Copies the store as it stands to a new file: under another name first, so that a file of
    /// the right name is always whole.
    pub(super) fn backup(self: &Arc<Self>, path: &Path) -> Result<(), StoreError> {
        if path.exists() {
            return Err(StoreError::Exists(path.into()));
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished);
        made.map_err(|why| match why.kind() {
            std::io::ErrorKind::AlreadyExists => StoreError::Exists(unfinished.clone()),
            _ => why.into(),
        })?;
        let copied = self.copy_to(&unfinished).and_then(|()| {
            // Unlike a rename, a link never replaces a file.
            fs::hard_link(&unfinished, path)?;
            open::sync_folder(path)
        });
        fs::remove_file(&unfinished)?;
        copied
    }

    fn copy_to(self: &Arc<Self>, path: &Path) -> Result<(), StoreError> {
        let snapshot = SqliteSnapshot::of(self)?;
        let mut copy = Connection::open(path)?;
        Backup::new(snapshot.alive()?, &mut copy)?.run_to_completion(BACKUP_PAGES, Duration::ZERO, None)?;
        copy.close().map_err(|(_, why)| why)?;
        Ok(File::open(path)?.sync_all()?)
    }
}

impl SqliteSnapshot {
    /// Looks into a store, be it in use by another process or not, without changing anything.
    ///
    /// # Errors
    /// [`StoreError`], as for [`SqliteStore::open`](super::SqliteStore::open); nothing is locked.
    pub fn open(path: impl AsRef<Path>, tables: &[Table]) -> Result<Self, StoreError> {
        open::check_version(rusqlite::version_number())?;
        let pool = Arc::new(Pool::new(path.as_ref(), Arc::new(Tables::new(tables)?)));
        let snapshot = Self::of(&pool)?;
        schema::check(snapshot.alive()?, path.as_ref())?;
        Ok(snapshot)
    }

    /// Copies the store as it stands now to a new file that only its owner can read; beside a
    /// process that writes to it.
    ///
    /// # Errors
    /// As [`Store::backup`](crate::Store::backup).
    pub fn backup(&self, path: &Path) -> Result<(), StoreError> {
        self.pool.backup(path)
    }

    pub(super) fn of(pool: &Arc<Pool>) -> Result<Self, StoreError> {
        let connection = pool.take()?;
        connection.execute_batch("BEGIN")?;
        // The first look is what fixes the moment.
        read::head(&connection)?;
        Ok(Self { connection: Some(connection), pool: Arc::clone(pool) })
    }

    fn alive(&self) -> Result<&Connection, StoreError> {
        self.connection.as_ref().ok_or_else(|| StoreError::Database("the snapshot is closed".into()))
    }
}

impl Connected for SqliteSnapshot {
    fn connection(&self) -> Result<&Connection, StoreFault> {
        Ok(self.alive()?)
    }

    fn tables(&self) -> &Tables {
        &self.pool.tables
    }

    fn is_unused(&self, _: TransferId) -> bool {
        false
    }
}

impl Drop for SqliteSnapshot {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.give_back(connection);
        }
    }
}
