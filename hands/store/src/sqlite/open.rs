//! Opening the file: version, lock, permissions, settings.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;

/// The first SQLite without the defect that could corrupt a WAL reset: 3.51.3.
pub const SQLITE_MIN: i32 = 3_051_003;

/// How long a statement waits for another program that looks into the database.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// How long a lock is waited for that somebody holds: one who is just ending, or a program that he is
/// just starting and that has not let go of his files yet.
const LOCK_WAIT: Duration = Duration::from_millis(500);

/// How often it is looked whether the lock is free.
const LOCK_LOOK: Duration = Duration::from_millis(10);

/// Memory for pages of the database, per connection, in KiB.
const CACHE_KIB: i64 = 16 * 1024;

/// The size to which the write-ahead log is cut back once folded into the file, in bytes.
const LOG_KEPT: i64 = 32 << 20;

/// Statements kept ready per connection: the fixed ones and a handful for each table of records.
const STATEMENTS_KEPT: usize = 128;

/// What may be set about a store.
#[derive(Clone, Debug, Default)]
pub struct SqliteOptions {
    /// How large the file may grow, in bytes; as large as the disk allows if not set. A commit that
    /// needs more fails with [`StoreError::Full`].
    pub max_bytes: Option<u64>,
}

pub(super) fn check_version(found: i32) -> Result<(), StoreError> {
    if SQLITE_MIN <= found {
        return Ok(());
    }
    Err(StoreError::OldSqlite(format!("{}.{}.{}", found / 1_000_000, found / 1_000 % 1_000, found % 1_000)))
}

/// Takes the lock beside the file; it is held until the file handle is dropped or the process ends.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        refuse(folder, 0o022, "replace")?;
    }
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock_path(path))?;
    let mut looks = LOCK_WAIT.as_millis() / LOCK_LOOK.as_millis();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(why)) => return Err(why.into()),
            Err(TryLockError::WouldBlock) if looks == 0 => return Err(StoreError::Locked(path.into())),
            Err(TryLockError::WouldBlock) => {
                looks -= 1;
                std::thread::sleep(LOCK_LOOK);
            }
        }
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Makes the file if there is none (SQLite gives its helper files the same mode), and refuses one
/// that others may look into.
pub(super) fn private_file(path: &Path) -> Result<(), StoreError> {
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match new {
        Ok(file) => {
            file.sync_all()?;
            sync_folder(path)
        }
        Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => refuse(path, 0o077, "read"),
        Err(why) => Err(why.into()),
    }
}

/// Makes a name in a folder survive a power cut.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(folder)?.sync_all()?)
}

fn refuse(path: &Path, bits: u32, harm: &'static str) -> Result<(), StoreError> {
    let mode = fs::metadata(path)?.mode() & 0o777;
    if mode & bits == 0 { Ok(()) } else { Err(StoreError::Exposed { path: path.into(), mode, harm }) }
}

/// The one connection that writes.
pub(super) fn writer(path: &Path, options: &SqliteOptions) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let writer = Connection::open_with_flags(path, flags)?;
    settle(&writer)?;
    // In this order: the change to WAL must itself be synced as EXTRA asks.
    writer.pragma_update(None, "synchronous", "EXTRA")?;
    let mode: String = writer.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Database(format!("the database stays in journal mode {mode} instead of wal")));
    }
    writer.pragma_update(None, "foreign_keys", true)?;
    writer.pragma_update_and_check(None, "journal_size_limit", LOG_KEPT, |_| Ok(()))?;
    if let Some(bytes) = options.max_bytes {
        let page: u64 = writer.pragma_query_value(None, "page_size", |row| row.get(0))?;
        writer.pragma_update_and_check(None, "max_page_count", bytes.div_ceil(page).max(1), |_| Ok(()))?;
    }
    Ok(writer)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags)?;
    settle(&reader)?;
    Ok(reader)
}

/// Settings of every connection: nothing in the file may run code or be trusted unread.
fn settle(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_refuses_a_sqlite_that_may_corrupt_it() {
        assert!(check_version(rusqlite::version_number()).is_ok());
        assert_eq!(check_version(3_051_002), Err(StoreError::OldSqlite("3.51.2".into())));
        assert!(check_version(SQLITE_MIN).is_ok());
    }

    #[test]
    fn the_writer_syncs_as_durably_as_sqlite_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("books.db");
        private_file(&path).unwrap();
        let writer = writer(&path, &SqliteOptions::default()).unwrap();
        let set = |name: &str| writer.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(set("synchronous"), 3, "3 is EXTRA");
        assert_eq!(set("foreign_keys"), 1);
        let mode: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }
}
