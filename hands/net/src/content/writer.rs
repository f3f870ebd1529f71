//! The buyer's side: proving pieces and putting them in place.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use bao_tree::ChunkRanges;
use bao_tree::io::outboard::PostOrderOutboard;
use bao_tree::io::sync::{DecodeResponseIter, OutboardMut, WriteAt, valid_ranges};
use bao_tree::io::{BaoContentItem, DecodeError, Parent};

use crate::durable;

use super::{CHUNKS_PER_PIECE, ContentError, ENCODED_PIECE_BYTES_MAX, FileName, Manifest, PIECE_BYTES};

/// What became of a good piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It was missing and is in place now.
    Now,
    /// We had it. Nothing was written.
    Before,
}

/// Puts one file together from proved pieces, in any order and from any number of senders.
///
/// It keeps two files in its folder, named after the root: `….part` with the content so far, holes
/// and all, and `….obao` with the hashes that proved it. After a crash [`open`](Self::open) checks
/// both against the root, so it needs no list of what it has that could be wrong.
#[derive(Debug)]
pub struct PieceWriter {
    manifest: Manifest,
    data: File,
    data_path: PathBuf,
    outboard: PostOrderOutboard<File>,
    outboard_path: PathBuf,
    present: Vec<bool>,
    missing: u64,
}

impl PieceWriter {
    /// Begins a download in `dir`, or goes on with one begun there. Reads and hashes all that an
    /// earlier run left.
    ///
    /// # Errors
    /// [`ContentError::TooBig`], [`ContentError::WrongRoot`], [`ContentError::Busy`],
    /// [`ContentError::DiskFull`], [`ContentError::Io`].
    pub fn open(dir: &Path, manifest: Manifest) -> Result<Self, ContentError> {
        manifest.check()?;
        fs::create_dir_all(dir).map_err(ContentError::io("make the folder", dir))?;
        let root = hex::encode(manifest.root.0);
        let data_path = dir.join(format!("{root}.part"));
        let outboard_path = dir.join(format!("{root}.obao"));
        let data = open_sparse(&data_path)?;
        match data.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ContentError::Busy(data_path)),
            Err(TryLockError::Error(error)) => {
                return Err(ContentError::io("lock", &data_path)(error));
            }
        }
        let tree = manifest.tree();
        data.set_len(manifest.size).map_err(ContentError::io("write", &data_path))?;
        let hashes = open_sparse(&outboard_path)?;
        hashes.set_len(tree.outboard_size()).map_err(ContentError::io("write", &outboard_path))?;
        let outboard = PostOrderOutboard { root: manifest.hash(), tree, data: hashes };
        let present = present(&manifest, &data, &outboard).map_err(ContentError::io("read", &data_path))?;
        let missing = present.iter().filter(|present| !**present).count() as u64;
        Ok(Self { manifest, data, data_path, outboard, outboard_path, present, missing })
    }

    /// What is being put together.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// True if a piece is in place.
    #[must_use]
    pub fn has(&self, piece: u64) -> bool {
        usize::try_from(piece).ok().and_then(|at| self.present.get(at)).is_some_and(|has| *has)
    }

    /// The pieces still to fetch, in order.
    pub fn missing(&self) -> impl Iterator<Item = u64> + '_ {
        (0_u64..).zip(&self.present).filter(|(_, present)| !**present).map(|(piece, _)| piece)
    }

    /// How many pieces are still to fetch.
    #[must_use]
    pub const fn missing_count(&self) -> u64 {
        self.missing
    }

    /// Proves a piece and puts it in place. A refused piece leaves no trace.
    ///
    /// # Errors
    /// [`ContentError::WrongPiece`], [`ContentError::Truncated`] and [`ContentError::Excess`] are
    /// the sender's doing; [`ContentError::NoSuchPiece`] is ours; [`ContentError::DiskFull`] and
    /// [`ContentError::Io`] are the disk's: the piece was good but is not counted as present.
    pub fn accept(&mut self, piece: u64, encoded: &[u8]) -> Result<Accepted, ContentError> {
        let chunks = self.manifest.chunks(piece)?;
        if encoded.len() > ENCODED_PIECE_BYTES_MAX {
            return Err(ContentError::Excess { piece });
        }
        let (pairs, bytes) = self.prove(piece, &chunks, encoded)?;
        if self.has(piece) {
            return Ok(Accepted::Before);
        }
        for Parent { node, pair } in &pairs {
            self.outboard.save(*node, pair).map_err(ContentError::io("write", &self.outboard_path))?;
        }
        self.data
            .write_all_at(piece * PIECE_BYTES as u64, &bytes)
            .map_err(ContentError::io("write", &self.data_path))?;
        if let Some(present) = usize::try_from(piece).ok().and_then(|at| self.present.get_mut(at)) {
            *present = true;
            self.missing -= 1;
        }
        Ok(Accepted::Now)
    }

    /// Returns once everything accepted so far would survive the loss of power.
    ///
    /// # Errors
    /// [`ContentError::Io`], [`ContentError::DiskFull`].
    pub fn sync(&self) -> Result<(), ContentError> {
        self.outboard.data.sync_data().map_err(ContentError::io("write", &self.outboard_path))?;
        self.data.sync_data().map_err(ContentError::io("write", &self.data_path))
    }

    /// Gives the complete file its name in `dir`, which must be on the same file system as the
    /// folder of the download. Returns its path once bytes and name are on the disk.
    ///
    /// # Errors
    /// [`ContentError::Incomplete`], [`ContentError::Exists`], [`ContentError::DiskFull`],
    /// [`ContentError::Io`]. What was fetched stays, and [`open`](Self::open) finds it again.
    pub fn finish(self, dir: &Path, name: &FileName) -> Result<PathBuf, ContentError> {
        if self.missing > 0 {
            return Err(ContentError::Incomplete { missing: self.missing });
        }
        let to = dir.join(name);
        if fs::symlink_metadata(&to).is_ok() {
            return Err(ContentError::Exists(to));
        }
        self.data.sync_all().map_err(ContentError::io("write", &self.data_path))?;
        durable::rename(&self.data_path, &to).map_err(ContentError::io("write", &to))?;
        fs::remove_file(&self.outboard_path).map_err(ContentError::io("remove", &self.outboard_path))?;
        Ok(to)
    }

    /// Gives the download up and removes what was fetched.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub fn discard(self) -> Result<(), ContentError> {
        for path in [&self.data_path, &self.outboard_path] {
            fs::remove_file(path).map_err(ContentError::io("remove", path))?;
        }
        Ok(())
    }

    /// The hash pairs and bytes of a piece, all of them proved, and all of `encoded` used up.
    fn prove(&self, piece: u64, chunks: &ChunkRanges, encoded: &[u8]) -> Result<(Vec<Parent>, Vec<u8>), ContentError> {
        let mut left = encoded;
        let mut pairs = Vec::new();
        let mut bytes = Vec::with_capacity(self.manifest.piece_bytes(piece).unwrap_or(0));
        let (root, tree) = (self.outboard.root, self.outboard.tree);
        for item in DecodeResponseIter::new(root, tree, &mut left, chunks) {
            match item {
                Ok(BaoContentItem::Parent(pair)) => pairs.push(pair),
                Ok(BaoContentItem::Leaf(leaf)) => bytes.extend_from_slice(&leaf.data),
                Err(DecodeError::ParentNotFound(_) | DecodeError::LeafNotFound(_)) => {
                    return Err(ContentError::Truncated { piece });
                }
                Err(_) => return Err(ContentError::WrongPiece { piece }),
            }
        }
        if left.is_empty() { Ok((pairs, bytes)) } else { Err(ContentError::Excess { piece }) }
    }
}

fn open_sparse(path: &Path) -> Result<File, ContentError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(ContentError::io("open", path))
}

/// Which pieces are on the disk and right, judged by the root alone.
fn present(manifest: &Manifest, data: &File, outboard: &PostOrderOutboard<File>) -> std::io::Result<Vec<bool>> {
    let pieces = usize::try_from(manifest.pieces()).map_err(std::io::Error::other)?;
    let mut present = vec![false; pieces];
    let (mut current, mut proved) = (0, 0);
    // Chunk groups come in order and lie within one piece each.
    for range in valid_ranges(outboard, data, &ChunkRanges::all()) {
        let range = range?;
        let piece = range.start.0 / CHUNKS_PER_PIECE;
        if piece != current {
            (current, proved) = (piece, 0);
        }
        proved += range.end.0 - range.start.0;
        let all = manifest.piece_bytes(piece).map(|bytes| bytes.div_ceil(1024) as u64);
        if all == Some(proved)
            && let Some(present) = usize::try_from(piece).ok().and_then(|at| present.get_mut(at))
        {
            *present = true;
        }
    }
    Ok(present)
}
