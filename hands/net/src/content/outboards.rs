//! The hashes of files we offer, kept next to each other under the name of their content.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bao_tree::BaoTree;
use bao_tree::io::sync::outboard_post_order;
use farthing_core::id::ContentId;

use crate::durable;

use super::{CONTENT_BYTES_MAX, ContentError, GROUP, Manifest, PieceReader};

/// How much of a file is read at a time while hashing.
const READ_BYTES: usize = 1 << 20;

/// A folder of outboards: for each file hashed, the inner nodes of its BLAKE3 tree (64 bytes for
/// every 16 KiB), from which any piece can be proved without reading the rest.
#[derive(Debug, Clone)]
pub struct Outboards {
    dir: PathBuf,
}

impl Outboards {
    /// Uses `dir`, making it if need be, and clears away what a crash left behind in it.
    ///
    /// # Errors
    /// [`ContentError::Io`], [`ContentError::DiskFull`].
    pub fn open(dir: &Path) -> Result<Self, ContentError> {
        fs::create_dir_all(dir).map_err(ContentError::io("make the folder", dir))?;
        for entry in fs::read_dir(dir).map_err(ContentError::io("read the folder", dir))? {
            let path = entry.map_err(ContentError::io("read the folder", dir))?.path();
            if path.extension().is_some_and(|kind| kind == "tmp") {
                // Whoever still writes it holds its lock.
                if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                    fs::remove_file(&path).map_err(ContentError::io("remove", &path))?;
                }
            }
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Hashes a file, keeps its outboard durably, and names its content. `progress` is told the
    /// number of bytes done so far, about once for every MiB.
    ///
    /// # Errors
    /// [`ContentError::NotAFile`], [`ContentError::TooBig`], [`ContentError::Changed`] if the file
    /// grew or shrank meanwhile, [`ContentError::Io`], [`ContentError::DiskFull`].
    pub fn hash(&self, path: &Path, progress: impl FnMut(u64)) -> Result<Manifest, ContentError> {
        let (file, size) = open_plain(path)?;
        if size > CONTENT_BYTES_MAX {
            return Err(ContentError::TooBig { size });
        }
        let (temporary, temporary_path) = self.temporary()?;
        let mut data = Watched { file, buffer: Vec::new(), taken: 0, done: 0, progress };
        let mut outboard = BufWriter::new(&temporary);
        let hashed = outboard_post_order(&mut data, BaoTree::new(size, GROUP), &mut outboard)
            .and_then(|root| outboard.flush().map(|()| root));
        drop(outboard);
        let kept = match hashed {
            Ok(root) if data.at_end() => {
                let manifest = Manifest { root: ContentId(*root.as_bytes()), size };
                self.keep(&temporary, &temporary_path, &manifest).map(|()| manifest)
            }
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(ContentError::io("hash", path)(error)),
            _ => Err(ContentError::Changed(path.to_owned())),
        };
        if kept.is_err() {
            // Best effort: the next `open` would remove it too.
            let _ = fs::remove_file(&temporary_path);
        }
        kept
    }

    /// Opens a file that was hashed before, to cut pieces out of it.
    ///
    /// # Errors
    /// [`ContentError::NotHashed`], [`ContentError::Changed`] if the size is another,
    /// [`ContentError::NotAFile`], [`ContentError::TooBig`], [`ContentError::Io`].
    pub fn reader(&self, path: &Path, manifest: &Manifest) -> Result<PieceReader, ContentError> {
        manifest.check()?;
        let (file, size) = open_plain(path)?;
        if size != manifest.size {
            return Err(ContentError::Changed(path.to_owned()));
        }
        let outboard = match File::open(self.path(manifest)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ContentError::NotHashed(path.to_owned()));
            }
            opened => opened.map_err(ContentError::io("open", &self.path(manifest)))?,
        };
        Ok(PieceReader::new(path, file, outboard, *manifest))
    }

    /// Drops the outboard of content no longer offered. Unknown content is none either.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub fn forget(&self, manifest: &Manifest) -> Result<(), ContentError> {
        let path = self.path(manifest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ContentError::io("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    fn path(&self, manifest: &Manifest) -> PathBuf {
        self.dir.join(format!("{}-{}.obao", hex::encode(manifest.root.0), manifest.size))
    }

    /// A file of our own, locked as long as it is open.
    fn temporary(&self) -> Result<(File, PathBuf), ContentError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{}-{next}.tmp", std::process::id()));
        let file = File::create(&path).map_err(ContentError::io("create", &path))?;
        file.lock().map_err(ContentError::io("lock", &path))?;
        Ok((file, path))
    }

    fn keep(&self, file: &File, from: &Path, manifest: &Manifest) -> Result<(), ContentError> {
        file.sync_all().map_err(ContentError::io("write", from))?;
        let to = self.path(manifest);
        durable::rename(from, &to).map_err(ContentError::io("write", &to))
    }
}

/// Opens a plain file and says how long it is. Pipes and devices are refused before they can make
/// us wait.
fn open_plain(path: &Path) -> Result<(File, u64), ContentError> {
    let refuse = || ContentError::NotAFile(path.to_owned());
    let look = |error| ContentError::io("open", path)(error);
    if !fs::metadata(path).map_err(look)?.is_file() {
        return Err(refuse());
    }
    let file = File::open(path).map_err(look)?;
    let now = file.metadata().map_err(look)?;
    if now.is_file() { Ok((file, now.len())) } else { Err(refuse()) }
}

/// A file read in large steps, that tells how far it got.
struct Watched<P> {
    file: File,
    buffer: Vec<u8>,
    taken: usize,
    done: u64,
    progress: P,
}

impl<P: FnMut(u64)> Watched<P> {
    /// True if not a byte is left: the file did not grow behind our back.
    fn at_end(&mut self) -> bool {
        matches!(self.read(&mut [0]), Ok(0))
    }
}

impl<P: FnMut(u64)> Read for Watched<P> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.buffer.len() {
            self.buffer.resize(READ_BYTES, 0);
            let read = self.file.read(&mut self.buffer)?;
            self.buffer.truncate(read);
            self.taken = 0;
            self.done += read as u64;
            (self.progress)(self.done);
        }
        let ready = &self.buffer[self.taken..];
        let now = ready.len().min(into.len());
        into[..now].copy_from_slice(&ready[..now]);
        self.taken += now;
        Ok(now)
    }
}
