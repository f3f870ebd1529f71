//! Taking stock: from folders to a shelf.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farthing_index::messages::{TAG_MAX, TITLE_MAX};
use farthing_index::text::Text;
use farthing_net::content::{ContentError, Manifest, Outboards, safe_name};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::ShopError;
use super::known::{self, Known};
use super::price::Price;
use super::scan::{FILES_MAX, Found, scan};
use super::shelf::{Item, Shelf, Stamp};

/// A folder to share.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where. Everything below it is shared.
    pub path: PathBuf,
    /// For how much.
    pub price: Price,
    /// Words to find its files by.
    pub tags: Vec<Text<TAG_MAX>>,
    /// Whether hidden files are shared too.
    pub hidden: bool,
}

/// How far taking stock has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StockProgress {
    /// Files done.
    pub files: usize,
    /// Files found.
    pub of: usize,
    /// Bytes hashed of the file being hashed.
    pub bytes: u64,
    /// Files left out: hidden, links, unreadable, changing, or with a name that deceives.
    pub skipped: usize,
    /// Whether there were more files than can be shared.
    pub cut_short: bool,
}

/// Knows the folders and the hashes of what is in them. All calls block on the disk.
pub(super) struct Stock {
    folders: Vec<Folder>,
    outboards: Outboards,
    known_at: PathBuf,
    known: HashMap<PathBuf, Known>,
    progress: watch::Sender<StockProgress>,
}

impl Stock {
    pub(super) fn open(home: &Path, folders: Vec<Folder>) -> Result<Self, ShopError> {
        let outboards = Outboards::open(&home.join("outboards"))?;
        let folders = settled(folders)?;
        let known_at = home.join("known-files");
        let known = known::read(&known_at);
        Ok(Self { folders, outboards, known_at, known, progress: watch::Sender::default() })
    }

    pub(super) fn progress(&self) -> watch::Receiver<StockProgress> {
        self.progress.subscribe()
    }

    pub(super) const fn outboards(&self) -> &Outboards {
        &self.outboards
    }

    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().map(|folder| folder.path.as_path())
    }

    /// Shares these folders from now on, which are [`settled`].
    pub(super) fn share(&mut self, folders: Vec<Folder>) {
        self.folders = folders;
    }

    /// Looks through all folders, hashes what is new, and lays out the shelf. Files that cannot be
    /// shared are left out; `stop` ends it early, with what there is.
    pub(super) fn take(&mut self, stop: &CancellationToken) -> Result<Shelf, ShopError> {
        let mut shelf = Shelf::default();
        let mut known = HashMap::new();
        self.progress.send_replace(StockProgress::default());
        for folder in self.folders.clone() {
            let found = scan(&folder.path, folder.hidden, FILES_MAX - known.len().min(FILES_MAX));
            self.progress.send_modify(|so_far| {
                so_far.of += found.files.len();
                so_far.skipped += found.skipped;
                so_far.cut_short |= found.cut_short;
            });
            let tags: Arc<[_]> = folder.tags.into();
            for file in found.files {
                if stop.is_cancelled() {
                    let mut all = self.known.clone();
                    all.extend(known);
                    self.keep(all)?;
                    return Ok(shelf);
                }
                match self.item(&folder.path, &folder.price, &tags, &file)? {
                    Some(item) => {
                        known.insert(file.path, Known { stamp: item.stamp, manifest: item.manifest });
                        shelf.put(item);
                    }
                    None => self.progress.send_modify(|so_far| so_far.skipped += 1),
                }
                self.progress.send_modify(|so_far| so_far.files += 1);
            }
        }
        self.keep(known)?;
        Ok(shelf)
    }

    /// The file as an item; `None` if it cannot be one now.
    fn item(
        &self,
        folder: &Path,
        price: &Price,
        tags: &Arc<[Text<TAG_MAX>]>,
        file: &Found,
    ) -> Result<Option<Item>, ShopError> {
        let name = file.path.file_name().and_then(|name| name.to_str());
        let Some(title) = name.and_then(|name| Text::<TITLE_MAX>::new(safe_name(name).ok()?.as_str()).ok()) else {
            return Ok(None);
        };
        let known = self.known.get(&file.path).filter(|known| known.stamp == file.stamp);
        let manifest = match known {
            Some(known) if self.outboards.reader(&file.path, &known.manifest).is_ok() => known.manifest,
            _ => match self.hash(folder, file)? {
                Some(manifest) => manifest,
                None => return Ok(None),
            },
        };
        Ok(price.of_piece(&manifest).ok().map(|price| Item {
            manifest,
            path: file.path.clone(),
            stamp: file.stamp,
            price,
            title,
            tags: Arc::clone(tags),
        }))
    }

    /// Hashes a file that is still what and where it was.
    fn hash(&self, folder: &Path, file: &Found) -> Result<Option<Manifest>, ShopError> {
        let tell = |bytes| self.progress.send_modify(|so_far| so_far.bytes = bytes);
        match self.outboards.hash(&file.path, tell) {
            Ok(manifest) => {
                // A link put in its place meanwhile would lead elsewhere.
                let inside = fs::canonicalize(&file.path).is_ok_and(|real| real.starts_with(folder));
                let same = fs::symlink_metadata(&file.path).is_ok_and(|now| Stamp::of(&now) == file.stamp);
                Ok((inside && same).then_some(manifest))
            }
            Err(full @ ContentError::DiskFull(_)) => Err(full.into()),
            Err(why) => {
                tracing::warn!(path = %file.path.display(), %why, "a file is not shared");
                Ok(None)
            }
        }
    }

    /// Notes what is known now, and drops the hashes of what is shared no longer.
    fn keep(&mut self, known: HashMap<PathBuf, Known>) -> Result<(), ShopError> {
        if known == self.known {
            return Ok(());
        }
        let shared: HashSet<Manifest> = known.values().map(|known| known.manifest).collect();
        let before: HashSet<Manifest> = self.known.values().map(|known| known.manifest).collect();
        known::write(&self.known_at, &known).map_err(ShopError::disk(&self.known_at))?;
        self.known = known;
        for gone in before.difference(&shared) {
            self.outboards.forget(gone)?;
        }
        Ok(())
    }
}

/// The folders by their real paths, so that a file can be seen to lie in one.
pub(super) fn settled(folders: Vec<Folder>) -> Result<Vec<Folder>, ShopError> {
    let real = |folder: Folder| {
        let path = fs::canonicalize(&folder.path).map_err(ShopError::disk(&folder.path))?;
        if !path.is_dir() {
            return Err(ShopError::NotAFolder(path));
        }
        Ok(Folder { path, ..folder })
    };
    folders.into_iter().map(real).collect()
}
