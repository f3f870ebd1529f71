//! How far the journal went when the bank last published its head, kept outside of the books: so
//! that it is noticed when they are put back to an earlier day.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use farthing_core::wire;
use farthing_ledger::{Head, StoreFault};
use farthing_store::Reader;
use minicbor::{Decode, Encode};

/// The file.
const PUBLISHED: &str = "published";

#[derive(Encode, Decode)]
struct Stored {
    #[n(0)]
    seq: u64,
    #[cbor(n(1), with = "minicbor::bytes")]
    hash: [u8; 32],
}

/// Why the books are not believed to be the latest.
#[derive(Debug, thiserror::Error)]
pub enum NotTheLatest {
    /// They end before a head that was published, or took another way.
    #[error(
        "the books do not contain row {row} as this bank has published it: they were put back to an earlier day or \
         changed. Customers may hold newer statements than these books know. Put the latest books back; if there are \
         none, settle with the customers first and then remove {}", file.display()
    )]
    Older {
        /// Which row of the journal.
        row: u64,
        /// Where the published head is kept.
        file: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The books cannot be read.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// The head that was published last, if any was.
pub(crate) fn load(home: &Path) -> Result<Option<Head>, NotTheLatest> {
    let path = home.join(PUBLISHED);
    let failed = |source| NotTheLatest::Io { path: path.clone(), source };
    match fs::read(&path) {
        Ok(bytes) => {
            let damaged = |_| failed(io::Error::new(io::ErrorKind::InvalidData, "it is damaged"));
            let Stored { seq, hash } = wire::decode(&bytes).map_err(damaged)?;
            Ok(Some(Head { seq, hash }))
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(failed(why)),
    }
}

/// Whether the books go through the head that was published last.
pub(crate) fn check(home: &Path, books: &dyn Reader) -> Result<(), NotTheLatest> {
    let Some(published) = load(home)? else { return Ok(()) };
    if published == Head::default() {
        return Ok(());
    }
    let row = books.journal(published.seq.saturating_sub(1), 1)?.pop();
    if row.is_some_and(|row| row.seq == published.seq && row.hash == published.hash) {
        return Ok(());
    }
    Err(NotTheLatest::Older { row: published.seq, file: home.join(PUBLISHED) })
}

/// Writes a head down, durably, in place of the one before.
pub(crate) fn save(home: &Path, head: Head) -> io::Result<()> {
    let new = home.join("published.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&wire::encode(&Stored { seq: head.seq, hash: head.hash }))?;
    file.sync_all()?;
    fs::rename(&new, home.join(PUBLISHED))?;
    fs::File::open(home)?.sync_all()
}
