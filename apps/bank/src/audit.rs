//! The audit and the backup of a bank's books, beside a running bank or without one.

use core::fmt;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use farthing_clearing::bank::{LogError, LogHead};
use farthing_core::sign::Signed;
use farthing_ledger::{AccountKind, Head, StoreFault, Totals};
use farthing_role::Scan;
use farthing_store::audit::{AuditError, BadRow, audit_since};
use farthing_store::{Overlay, Reader, SqliteSnapshot, StoreError};
use serde::Serialize;

use crate::chart::{REPORTS, SUMS, decode, read};
use crate::clearing_log::{self, ClearingLogError};
use crate::home::{BankHome, HomeError, books_of};
use crate::messages::{LiabilityReport, network_of};
use crate::published::{self, NotTheLatest};
use crate::role::{Sums, tables};

/// The most published heads that the journal is compared with: the latest ones.
const HEADS_MAX: usize = 64;
/// Reports read at once.
const PAGE: usize = 256;

/// What a clean audit found. `Display` tells it to people, `Serialize` to programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditSummary {
    /// How many rows the journal has.
    pub journal_rows: u64,
    /// The hash of the last of them, in hexadecimal.
    pub journal_head: String,
    /// Transfers in it.
    pub transfers: u64,
    /// Holds in it, open and ended.
    pub holds: u64,
    /// Accounts, each with the balance that the journal gives it.
    pub accounts: u64,
    /// Signed reports that the journal was compared with.
    pub reports: usize,
    /// How many rows the clearing's log has.
    pub clearing_rows: u64,
    /// The hash of the last of them, in hexadecimal.
    pub clearing_head: String,
    /// What all accounts of each currency hold, by kind, in micros.
    pub totals: BTreeMap<String, BTreeMap<String, i128>>,
}

/// Why there is no clean audit.
#[derive(Debug, thiserror::Error)]
pub enum AuditFailure {
    /// The folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The file.
    #[error("{}: {why}", path.display())]
    Store {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: StoreError,
    },
    /// The first row that is wrong.
    #[error("{0}: the books were changed behind the bank's back, or damaged; restore a backup")]
    Bad(BadRow),
    /// A report in the books that the bank did not sign.
    #[error("the liability report of {0} ms is not signed by the bank, or by another one than the rest")]
    Report(u64),
    /// The bank's running sums are not what the accounts hold.
    #[error("the running sum of all {kind} accounts is {running}, the journal says {journal}")]
    Sums {
        /// Accounts of which kind.
        kind: String,
        /// The running sum, in micros.
        running: i64,
        /// The journal's, in micros.
        journal: i128,
    },
    /// The clearing's log, in the books or outside of them.
    #[error(transparent)]
    ClearingLog(#[from] ClearingLogError),
    /// Older than what was published.
    #[error(transparent)]
    NotTheLatest(#[from] NotTheLatest),
    /// The books could not be read; nothing is known.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// Finds every balance again from the journal, compares it with what is stored and with what the
/// bank has published and signed.
///
/// # Errors
/// [`AuditFailure`] names the first thing that is wrong.
pub fn audit(home: &Path) -> Result<AuditSummary, AuditFailure> {
    let config = BankHome::config_of(home)?;
    let path = books_of(home);
    let log = home.join(&config.clearing.log);
    let copied = clearing_log::copied(&log)?;
    let books = SqliteSnapshot::open(&path, &tables()).map_err(|why| AuditFailure::Store { path, why })?;
    let (mut heads, clearing_heads) = signed_heads(&books, &config.name)?;
    let reports = heads.len();
    published::check(home, &books)?;
    heads.extend(published::load(home)?);
    // An empty journal has no row to be compared with.
    heads.retain(|head| *head != Head::default());
    let report = audit_since(&books, &heads).map_err(|why| match why {
        AuditError::Bad(bad) => AuditFailure::Bad(bad),
        AuditError::Store(fault) => AuditFailure::Fault(fault),
    })?;
    let clearing = clearing_log::audit(&log, copied, &Overlay::new(&books))?;
    for head in clearing_heads {
        if !clearing_log::goes_through(head, &Overlay::new(&books))? {
            return Err(ClearingLogError::Books(LogError(head.seq)).into());
        }
    }
    let sums: Sums = read(&Overlay::new(&books), SUMS, &Sums::key(config.currency))?.unwrap_or_default();
    let counted = report.totals.get(&config.currency).copied().unwrap_or_default();
    for kind in AccountKind::ALL {
        if i128::from(sums.of(kind)) != counted.of(kind) {
            let (running, journal) = (sums.of(kind), counted.of(kind));
            return Err(AuditFailure::Sums { kind: name(kind), running, journal });
        }
    }
    let by_kind = |totals: &Totals| AccountKind::ALL.iter().map(|kind| (name(*kind), totals.of(*kind))).collect();
    Ok(AuditSummary {
        journal_rows: report.head.seq,
        journal_head: hex::encode(report.head.hash),
        transfers: report.transfers,
        holds: report.holds,
        accounts: report.accounts,
        clearing_rows: clearing.seq,
        clearing_head: hex::encode(clearing.hash),
        reports,
        totals: report.totals.iter().map(|(currency, totals)| (currency.to_string(), by_kind(totals))).collect(),
    })
}

/// The heads of journal and clearing in the latest reports, each properly signed by the same bank.
fn signed_heads(books: &dyn Reader, bank_name: &str) -> Result<(Vec<Head>, Vec<LogHead>), AuditFailure> {
    let mut latest: VecDeque<(Vec<u8>, Vec<u8>)> = VecDeque::with_capacity(HEADS_MAX + PAGE);
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = books.scan(REPORTS, Scan { prefix: &[], after: after.as_deref(), limit: PAGE })?;
        let last = rows.len() < PAGE;
        after = rows.last().map(|(key, _)| key.clone());
        latest.extend(rows);
        latest.drain(..latest.len().saturating_sub(HEADS_MAX));
        if last {
            break;
        }
    }
    let mut bank = None;
    let (mut heads, mut clearing) = (Vec::with_capacity(latest.len()), Vec::new());
    for (key, row) in latest {
        let at = key.try_into().map_or(0, u64::from_be_bytes);
        let signed: Signed<LiabilityReport> = decode(REPORTS, &row)?;
        let signer = *bank.get_or_insert(signed.claimed_signer());
        let network = network_of(signer, bank_name);
        let report = signed.verify_by(network, signer).map_err(|_| AuditFailure::Report(at))?;
        heads.push(Head { seq: report.body().journal_rows, hash: report.body().journal_head });
        clearing.extend(report.body().clearing);
    }
    Ok((heads, clearing))
}

/// A kind of account, for people.
fn name(kind: AccountKind) -> String {
    format!("{kind:?}").to_lowercase()
}

impl fmt::Display for AuditSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The books are in order.")?;
        writeln!(f, "  journal    {} rows, head {}", self.journal_rows, self.journal_head)?;
        writeln!(f, "  transfers  {}", self.transfers)?;
        writeln!(f, "  holds      {}", self.holds)?;
        writeln!(f, "  accounts   {}", self.accounts)?;
        writeln!(f, "  clearing   {} rows, head {}", self.clearing_rows, self.clearing_head)?;
        write!(f, "  reports    {} signed ones agree", self.reports)?;
        for (currency, totals) in &self.totals {
            for (kind, sum) in totals {
                let (sign, sum) = (if *sum < 0 { "-" } else { "" }, sum.unsigned_abs());
                write!(f, "\n  {kind:<10} {sign}{}.{:06} {currency}", sum / 1_000_000, sum % 1_000_000)?;
            }
        }
        Ok(())
    }
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupFailure {
    /// The folder to copy.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The books.
    #[error("{}: {why}", path.display())]
    Store {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: StoreError,
    },
    /// A folder must not be mixed with another.
    #[error("{0} exists already: name a new folder")]
    Exists(PathBuf),
    /// The disk failed.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Copies a bank, running or not, to a new folder: configuration, keys as sealed as they are, and
/// the books as they stand.
///
/// A bank must never be started from a backup while a newer state of it exists; it refuses to if it
/// finds what it has published since.
///
/// # Errors
/// [`BackupFailure`]; an unfinished folder is left where the disk failed.
pub fn backup(home: &Path, to: &Path) -> Result<(), BackupFailure> {
    BankHome::config_of(home)?;
    if to.exists() {
        return Err(BackupFailure::Exists(to.to_owned()));
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupFailure::Io { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(failed(to))?;
    let path = books_of(home);
    let books = SqliteSnapshot::open(&path, &tables());
    let copied = books.and_then(|books| books.backup(&books_of(to)));
    copied.map_err(|why| BackupFailure::Store { path, why })?;
    for file in ["bank.toml", "bank.key", "ca.key"] {
        // Copies carry the permissions of what they copy.
        fs::copy(home.join(file), to.join(file)).map_err(failed(&to.join(file)))?;
    }
    fs::File::open(to).and_then(|folder| folder.sync_all()).map_err(failed(to))
}
