//! What can be wrong with content.

use std::io;
use std::path::{Path, PathBuf};

use super::CONTENT_BYTES_MAX;

/// Why content could not be read, proved or stored. No money moves here; whether a refused piece
/// was paid for is known to the caller, and [`is_the_senders_doing`](Self::is_the_senders_doing)
/// tells it whom to blame.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The sender's doing: bytes or hashes that do not lead to the root. Damaged, from another
    /// place in the file, from another file, or forged.
    #[error("piece {piece} does not prove itself; do not pay for it, ask another seller")]
    WrongPiece {
        /// Which piece it was said to be.
        piece: u64,
    },
    /// The sender's doing: the piece ends too early.
    #[error("piece {piece} is cut short; do not pay for it, ask again")]
    Truncated {
        /// Which piece it was said to be.
        piece: u64,
    },
    /// The sender's doing: bytes follow the end of the piece.
    #[error("piece {piece} has bytes after its end; do not pay for it, ask another seller")]
    Excess {
        /// Which piece it was said to be.
        piece: u64,
    },
    /// The asker's doing: the content has no such piece.
    #[error("there is no piece {piece}: the content has {pieces}")]
    NoSuchPiece {
        /// What was asked for.
        piece: u64,
        /// How many there are.
        pieces: u64,
    },
    /// The manifest's maker's doing: the content is larger than we handle.
    #[error("{size} bytes are more than the {CONTENT_BYTES_MAX} handled")]
    TooBig {
        /// The size the manifest claims.
        size: u64,
    },
    /// The manifest's maker's doing: no content of that size has that root.
    #[error("the manifest is wrong: no empty file has this root")]
    WrongRoot,
    /// Our file is no longer what was hashed.
    #[error("{0} has changed since it was hashed; hash it again before offering it")]
    Changed(PathBuf),
    /// The file was never hashed here, or its hashes were deleted.
    #[error("{0} has not been hashed; hash it before offering it")]
    NotHashed(PathBuf),
    /// Only plain files can be content.
    #[error("{0} is not a plain file")]
    NotAFile(PathBuf),
    /// Some pieces are still to come.
    #[error("{missing} pieces are missing; fetch them first")]
    Incomplete {
        /// How many.
        missing: u64,
    },
    /// We do not write over a file.
    #[error("{0} exists already; choose another name or move it away")]
    Exists(PathBuf),
    /// Somebody else is fetching the same content into the same folder.
    #[error("{0} is being written already; let the other download finish")]
    Busy(PathBuf),
    /// The disk is full. What was written stays and the download can go on later.
    #[error("the disk is full at {0}; make room and go on")]
    DiskFull(PathBuf),
    /// The disk or the operating system refused.
    #[error("cannot {doing} {path}")]
    Io {
        /// What we were about to do.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl ContentError {
    /// True if the piece itself was bad: whoever sent it did not deliver. False if the fault is
    /// on our side.
    #[must_use]
    pub const fn is_the_senders_doing(&self) -> bool {
        matches!(self, Self::WrongPiece { .. } | Self::Truncated { .. } | Self::Excess { .. })
    }

    /// Turns what the system says about `path` into an error of ours; for `map_err`.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(path),
            _ => Self::Io { doing, path, source },
        }
    }
}
