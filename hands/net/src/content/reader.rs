//! The seller's side: cutting out pieces with their proofs.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bao_tree::io::EncodeError;
use bao_tree::io::outboard::PostOrderOutboard;
use bao_tree::io::sync::encode_ranges_validated;

use super::{ContentError, Manifest};

/// Reads pieces of one file. [`Outboards::reader`](super::Outboards::reader) makes it.
#[derive(Debug)]
pub struct PieceReader {
    path: PathBuf,
    data: File,
    outboard: PostOrderOutboard<File>,
    manifest: Manifest,
}

impl PieceReader {
    pub(super) fn new(path: &Path, data: File, outboard: File, manifest: Manifest) -> Self {
        let (root, tree) = (manifest.hash(), manifest.tree());
        let outboard = PostOrderOutboard { root, tree, data: outboard };
        Self { path: path.to_owned(), data, outboard, manifest }
    }

    /// What is being read.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Puts the encoding of a piece into `into`, replacing what is there: its bytes and the hashes
    /// that lead from them to the root, at most
    /// [`ENCODED_PIECE_BYTES_MAX`](super::ENCODED_PIECE_BYTES_MAX) in all.
    ///
    /// Every byte is checked on its way out, so a file that was edited or damaged is noticed here
    /// and not by a buyer who would think us a cheat.
    ///
    /// # Errors
    /// [`ContentError::NoSuchPiece`], [`ContentError::Changed`], [`ContentError::Io`]; `into` is
    /// then empty.
    pub fn piece(&self, piece: u64, into: &mut Vec<u8>) -> Result<(), ContentError> {
        into.clear();
        let chunks = self.manifest.chunks(piece)?;
        encode_ranges_validated(&self.data, &self.outboard, &chunks, &mut *into).map_err(|error| {
            into.clear();
            match error {
                EncodeError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    ContentError::io("read", &self.path)(error)
                }
                _ => ContentError::Changed(self.path.clone()),
            }
        })
    }
}
