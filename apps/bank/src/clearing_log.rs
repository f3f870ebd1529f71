//! The clearing's log outside of the books: one line for each row, chained by hash.
//!
//! Kelsey and Schneier, §3.4: what recovers from a breach at the bank is "an authenticated, physically
//! secure and separate log". The rows are written with what they tell of; this copies them to a file,
//! best on a disk of its own or one that only takes more. A line is the canonical bytes of a
//! [`LogRow`] in hexadecimal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use farthing_clearing::bank::{LogError, LogHead, LogRow, log_head, log_rows, verify_log};
use farthing_core::wire;
use farthing_ledger::StoreFault;
use farthing_role::Records;

/// Rows copied or compared at once.
pub(crate) const PAGE: usize = 1_000;
/// The longest line: 8 KiB.
const LINE_MAX: u64 = 8 << 10;

/// Why the log is not believed. The bank does not start on such a file, and an audit names it.
#[derive(Debug, thiserror::Error)]
pub enum ClearingLogError {
    /// The rows in the books.
    #[error("{0}: the books were changed behind the bank's back, or damaged; restore a backup")]
    Books(LogError),
    /// The rows in the file.
    #[error("{}: line {line}: {why}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong there.
        why: &'static str,
    },
    /// The file tells of more, or of something else, than the books.
    #[error(
        "{} and the books part at row {row}: the books were put back to an earlier day or changed, or the file was. \
         Find out which before you go on; to begin a new file, move this one away", path.display()
    )]
    Parted {
        /// Which file.
        path: PathBuf,
        /// Where.
        row: u64,
    },
    /// The disk failed.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The books cannot be read.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// The file, open for more.
pub(crate) struct ClearingLog {
    path: PathBuf,
    file: File,
    head: LogHead,
    /// How long the lines up to the head are.
    bytes: u64,
}

impl ClearingLog {
    /// Opens the file, or begins it; a last line that a crash cut short is taken off. The books must
    /// go through its head.
    pub(crate) fn open(path: &Path, books: &dyn Records) -> Result<Self, ClearingLogError> {
        let failed = |source| ClearingLogError::Io { path: path.to_owned(), source };
        let (head, bytes) = head_of(path)?;
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > bytes {
            file.set_len(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        require_in(path, head, books)?;
        Ok(Self { path: path.to_owned(), file, head, bytes })
    }

    /// How far it goes.
    pub(crate) const fn head(&self) -> LogHead {
        self.head
    }

    /// Appends rows that follow, durably.
    pub(crate) fn append(&mut self, rows: &[LogRow]) -> Result<(), ClearingLogError> {
        if rows.is_empty() {
            return Ok(());
        }
        let head = verify_log(self.head, rows).map_err(ClearingLogError::Books)?;
        let mut lines = String::new();
        for row in rows {
            lines.push_str(&hex::encode(wire::encode(row)));
            lines.push('\n');
        }
        if let Err(source) = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data()) {
            // Half a line in the middle would spoil all that follow. If even this fails, the next start
            // or audit says so.
            let _ = self.file.set_len(self.bytes);
            return Err(ClearingLogError::Io { path: self.path.clone(), source });
        }
        self.head = head;
        self.bytes = self.bytes.saturating_add(lines.len() as u64);
        Ok(())
    }
}

/// How far the file goes, every line of it followed. To be read before the books are opened: a bank
/// at work adds to both.
pub(crate) fn copied(path: &Path) -> Result<LogHead, ClearingLogError> {
    head_of(path).map(|(head, _)| head)
}

/// Follows the rows in the books, which must go through the head of the file; gives the head they lead
/// to.
pub(crate) fn audit(path: &Path, copied: LogHead, books: &dyn Records) -> Result<LogHead, ClearingLogError> {
    let mut head = LogHead::default();
    loop {
        let rows = log_rows(books, head.seq, PAGE)?;
        head = verify_log(head, &rows).map_err(ClearingLogError::Books)?;
        if rows.len() < PAGE {
            break;
        }
    }
    if head != log_head(books)? {
        return Err(ClearingLogError::Books(LogError(head.seq.saturating_add(1))));
    }
    require_in(path, copied, books)?;
    Ok(head)
}

/// Whether the books' log goes through a head.
pub(crate) fn goes_through(head: LogHead, books: &dyn Records) -> Result<bool, StoreFault> {
    let Some(before) = head.seq.checked_sub(1) else { return Ok(head == LogHead::default()) };
    let row = log_rows(books, before, 1)?.pop();
    Ok(row.is_some_and(|row| (row.seq, row.hash) == (head.seq, head.hash)))
}

fn require_in(path: &Path, head: LogHead, books: &dyn Records) -> Result<(), ClearingLogError> {
    if goes_through(head, books)? {
        return Ok(());
    }
    Err(ClearingLogError::Parted { path: path.to_owned(), row: head.seq })
}

/// How far the whole lines of a file go, and how many bytes they are.
fn head_of(path: &Path) -> Result<(LogHead, u64), ClearingLogError> {
    let failed = |source| ClearingLogError::Io { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok((LogHead::default(), 0)),
        Err(why) => return Err(failed(why)),
    };
    let mut reader = BufReader::new(file);
    let (mut head, mut bytes, mut text) = (LogHead::default(), 0_u64, Vec::new());
    loop {
        text.clear();
        let read = reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut text).map_err(failed)?;
        let wrong = |why| ClearingLogError::File { path: path.to_owned(), line: head.seq.saturating_add(1), why };
        if text.last() != Some(&b'\n') {
            // Nothing more, or a line that was cut short.
            return if (read as u64) < LINE_MAX { Ok((head, bytes)) } else { Err(wrong("it is too long")) };
        }
        let row = hex::decode(&text[..text.len() - 1]).ok().and_then(|row| wire::decode::<LogRow>(&row).ok());
        let row = row.ok_or_else(|| wrong("it is no row of the clearing's log"))?;
        head = verify_log(head, &[row]).map_err(|_| wrong("it does not follow the line before"))?;
        bytes = bytes.saturating_add(read as u64);
    }
}
