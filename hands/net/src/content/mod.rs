//! Files cut into pieces, each provable against the root of the file's BLAKE3 tree.
//!
//! Content is named by its [`Manifest`]: root and size. A seller hashes a file once
//! ([`Outboards::hash`]) and afterwards cuts out any piece together with the hashes that prove it
//! ([`PieceReader`]). A buyer accepts a piece only if it proves itself ([`PieceWriter`]), so a
//! piece can be paid for one by one, taken from any seller, and a download interrupted anywhere
//! goes on where it stopped, trusting nothing but the root.
//!
//! The encoding of a piece is the Bao slice format (O'Connor and others, BLAKE3 2020, §6.4 and the
//! Bao specification), in pre-order, with chunk groups of 16 KiB.
//!
//! All calls here block on the disk for up to a piece's worth of work ([`Outboards::hash`] and
//! [`PieceWriter::open`] for a whole file): call them off the asynchronous threads.

mod error;
mod name;
mod outboards;
mod reader;
mod writer;

use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges};
use farthing_core::id::ContentId;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

pub use error::ContentError;
pub use name::{FILE_NAME_BYTES_MAX, FileName, NameError, deceives, safe_name};
pub use outboards::Outboards;
pub use reader::PieceReader;
pub use writer::{Accepted, PieceWriter};

/// A piece: the unit of delivery and of payment, 256 KiB. Only the last of a file may be shorter.
pub const PIECE_BYTES: usize = 256 << 10;

/// The largest content handled, 1 TiB: bounds what a stranger's manifest can make us set aside.
pub const CONTENT_BYTES_MAX: u64 = 1 << 40;

/// The longest encoding of a piece: its bytes, the hash pairs inside it, and one pair for each
/// level of the tree above it.
pub const ENCODED_PIECE_BYTES_MAX: usize = PIECE_BYTES + PAIR_BYTES * (PAIRS_INSIDE + PAIRS_ABOVE);

/// Chunk groups of 2⁴ chunks of 1 KiB: how fine the stored tree is.
const GROUP: BlockSize = BlockSize::from_chunk_log(4);
const CHUNKS_PER_PIECE: u64 = (PIECE_BYTES / 1024) as u64;
const PAIR_BYTES: usize = 64;
const PAIRS_INSIDE: usize = PIECE_BYTES / (16 << 10) - 1;
const PAIRS_ABOVE: usize = (CONTENT_BYTES_MAX / PIECE_BYTES as u64).ilog2() as usize;

const _: () = assert!(
    ENCODED_PIECE_BYTES_MAX + 1024 <= crate::frame::FRAME_BYTES_MAX,
    "a piece fits a frame, with room for a heading"
);

/// Names content: two files with the same manifest are the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
pub struct Manifest {
    /// The root of the BLAKE3 tree, which is the plain BLAKE3 hash of all bytes.
    #[n(0)]
    pub root: ContentId,
    /// How many bytes there are.
    #[n(1)]
    pub size: u64,
}

impl Manifest {
    /// How many pieces there are: none for an empty file.
    #[must_use]
    pub const fn pieces(&self) -> u64 {
        self.size.div_ceil(PIECE_BYTES as u64)
    }

    /// How many bytes of content piece `piece` holds; `None` if there is no such piece.
    #[must_use]
    pub fn piece_bytes(&self, piece: u64) -> Option<usize> {
        let before = piece.checked_mul(PIECE_BYTES as u64)?;
        let left = self.size.checked_sub(before).filter(|left| *left > 0)?;
        Some(usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES)))
    }

    /// Refuses what is too large to handle, and a root that cannot be right.
    fn check(&self) -> Result<(), ContentError> {
        if self.size > CONTENT_BYTES_MAX {
            return Err(ContentError::TooBig { size: self.size });
        }
        if self.size == 0 && self.root.0 != *blake3::hash(b"").as_bytes() {
            return Err(ContentError::WrongRoot);
        }
        Ok(())
    }

    fn hash(&self) -> blake3::Hash {
        blake3::Hash::from_bytes(self.root.0)
    }

    fn tree(&self) -> BaoTree {
        BaoTree::new(self.size, GROUP)
    }

    /// The chunks of a piece; refuses a piece that does not exist.
    fn chunks(&self, piece: u64) -> Result<ChunkRanges, ContentError> {
        if piece >= self.pieces() {
            return Err(ContentError::NoSuchPiece { piece, pieces: self.pieces() });
        }
        let first = piece * CHUNKS_PER_PIECE; // Cannot overflow: pieces × 256 chunks < 2⁶⁴ bytes.
        Ok(ChunkRanges::from(ChunkNum(first)..ChunkNum(first + CHUNKS_PER_PIECE)))
    }
}

#[cfg(test)]
mod tests;
