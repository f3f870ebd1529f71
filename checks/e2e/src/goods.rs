//! Something to sell.

use std::fs;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// The length of a piece.
pub const PIECE_BYTES: usize = 256 << 10;

/// A file for sale.
#[derive(Debug, Clone)]
pub struct Ware {
    /// What it is called.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl Ware {
    /// In how many pieces it is sold.
    #[must_use]
    pub fn pieces(&self) -> u64 {
        self.bytes.len().div_ceil(PIECE_BYTES) as u64
    }

    /// Whether this file is it, byte for byte.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        fs::read(path).is_ok_and(|bytes| bytes == self.bytes)
    }

    /// Where it is in a folder of downloads, if it was finished.
    #[must_use]
    pub fn found_in(&self, folder: &Path) -> Option<PathBuf> {
        Some(folder.join(&self.name)).filter(|path| path.exists())
    }
}

/// Files that differ from each other, the same ones in every run.
#[derive(Debug, Clone)]
pub struct Goods(pub Vec<Ware>);

impl Goods {
    /// One file for each number, of so many pieces, the last a short one.
    #[must_use]
    pub fn of_pieces(pieces: &[usize]) -> Self {
        let ware = |(at, pieces): (usize, &usize)| {
            let mut bytes = vec![0; pieces * PIECE_BYTES - 1_000];
            ChaCha8Rng::seed_from_u64(at as u64).fill_bytes(&mut bytes);
            Ware { name: format!("tune {} of the fair.ogg", at + 1), bytes }
        };
        Self(pieces.iter().enumerate().map(ware).collect())
    }

    /// Puts them into a folder.
    ///
    /// # Panics
    /// When the disk does not take them.
    pub fn put(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder for goods");
        for ware in &self.0 {
            fs::write(folder.join(&ware.name), &ware.bytes).expect("a file for sale");
        }
    }
}
