//! What can go wrong with a store, told apart.

use std::io;
use std::path::PathBuf;

use farthing_ledger::StoreFault;

/// Why a store could not be opened, read or written.
///
/// After any error of a commit the outcome of that commit is unknown until the store is opened
/// again, and the store answers nothing any more: nothing is ever retried in place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else writes to this store.
    #[error("{0} is in use by another process (or open twice in this one); stop that first")]
    Locked(PathBuf),
    /// The SQLite that this program was linked with may corrupt a database.
    #[error("SQLite {0} has known defects; this program needs 3.51.3 or later: build it again")]
    OldSqlite(String),
    /// Written by a later version of this program.
    #[error("{path} has layout {found}, this program knows {known}: use a newer version of the program")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// The latest layout known here.
        known: u32,
    },
    /// The layout was changed by something else than this program.
    #[error("the layout of {path} was altered ({what}): restore a backup, or run the audit")]
    Altered {
        /// Which file.
        path: PathBuf,
        /// What is not as it should be.
        what: String,
    },
    /// Others could read or replace the file.
    #[error("{path} has mode {mode:03o}, so others could {harm} it: chmod it and start again")]
    Exposed {
        /// Which file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What others could do.
        harm: &'static str,
    },
    /// A name that no table can have.
    #[error("`{0}` cannot be the name of a table: 1 to 48 small letters, digits and underscores")]
    TableName(String),
    /// A table the store was not opened with.
    #[error("the store was opened without the table `{0}`")]
    UnknownTable(String),
    /// No room left, on the disk or under the limit that was set.
    #[error("no room left for the store: free some, then start again")]
    Full,
    /// The file or its disk cannot be written.
    #[error("the store cannot be written: {0}")]
    ReadOnly(String),
    /// Somebody else kept the database busy for too long.
    #[error("the database was kept busy by another program: stop that, then start again")]
    Busy,
    /// The file is no database, or a damaged one.
    #[error("the database is damaged: {0}; restore a backup")]
    Damaged(String),
    /// Reading, writing or syncing failed.
    #[error("the disk failed: {0}")]
    Disk(String),
    /// What was read before the commit had changed by the time of the commit.
    #[error("{0} changed since it was read")]
    Stale(String),
    /// The changes would make or lose money.
    #[error("the changes do not balance: {0}; nothing was written")]
    Unbalanced(String),
    /// A file that must not be overwritten exists.
    #[error("{0} exists already; name another file")]
    Exists(PathBuf),
    /// Anything else the database said.
    #[error("the database said: {0}")]
    Database(String),
}

impl From<StoreError> for StoreFault {
    fn from(why: StoreError) -> Self {
        Self(why.to_string())
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(why: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let text = why.to_string();
        match why.sqlite_error_code() {
            Some(Code::DiskFull) => Self::Full,
            Some(Code::ReadOnly | Code::PermissionDenied | Code::CannotOpen) => Self::ReadOnly(text),
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Busy,
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Self::Damaged(text),
            Some(Code::SystemIoFailure) => Self::Disk(text),
            _ => Self::Database(text),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(why: io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(why.to_string()),
            _ => Self::Disk(why.to_string()),
        }
    }
}
