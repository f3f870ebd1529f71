//! The desk: cutting pieces out of files, a bounded number at a time.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_net::content::{ContentError, ENCODED_PIECE_BYTES_MAX, Manifest, Outboards, PieceReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::shelf::{Item, Stamp};

/// The most pieces in memory at a time, read or being sent: bounds memory to some 17 MiB.
pub const PIECES_AT_ONCE: usize = 64;

/// The most shared files kept open, with their hashes: bounds file handles to twice as many.
pub const FILES_OPEN_MAX: usize = 128;

/// Cuts pieces. The hashes that prove them stay on the disk.
#[derive(Debug)]
pub(super) struct Desk {
    outboards: Outboards,
    seats: Arc<Semaphore>,
    spare: Mutex<Vec<Vec<u8>>>,
    open: Mutex<HashMap<Manifest, Opened>>,
}

#[derive(Debug)]
struct Opened {
    reader: Arc<PieceReader>,
    stamp: Stamp,
    used: u64,
}

/// A piece being read.
pub(super) struct Reading {
    /// Whether the file still looks as it did when it was hashed; answered before it is read.
    pub(super) fresh: oneshot::Receiver<()>,
    /// The piece.
    pub(super) piece: JoinHandle<Result<Encoded, ContentError>>,
}

/// An encoded piece. Its memory goes back to the desk when it is dropped.
pub(super) struct Encoded {
    bytes: Vec<u8>,
    desk: Arc<Desk>,
    _seat: OwnedSemaphorePermit,
}

impl Desk {
    pub(super) fn new(outboards: Outboards) -> Arc<Self> {
        Arc::new(Self {
            outboards,
            seats: Arc::new(Semaphore::new(PIECES_AT_ONCE)),
            spare: Mutex::default(),
            open: Mutex::default(),
        })
    }

    /// Begins to read a piece, once there is room.
    pub(super) async fn read(self: &Arc<Self>, item: &Arc<Item>, piece: u64) -> Result<Reading, Refusal> {
        let seat = Arc::clone(&self.seats).acquire_owned().await.map_err(|_| closing())?;
        let (tell, fresh) = oneshot::channel();
        let (desk, item) = (Arc::clone(self), Arc::clone(item));
        let piece = tokio::task::spawn_blocking(move || {
            let reader = desk.reader(&item)?;
            // Nobody may be listening any more.
            let _ = tell.send(());
            let spare = desk.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut bytes = spare.unwrap_or_else(|| Vec::with_capacity(ENCODED_PIECE_BYTES_MAX));
            reader.piece(piece, &mut bytes)?;
            Ok(Encoded { bytes, desk, _seat: seat })
        });
        Ok(Reading { fresh, piece })
    }

    /// The file, opened, if it still looks as it did when it was hashed.
    fn reader(&self, item: &Item) -> Result<Arc<PieceReader>, ContentError> {
        let changed = || ContentError::Changed(item.path.clone());
        let now = fs::symlink_metadata(&item.path).map_err(|_| changed())?;
        if !now.is_file() || Stamp::of(&now) != item.stamp {
            return Err(changed());
        }
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let latest = open.values().map(|opened| opened.used).max().unwrap_or(0);
            if let Some(opened) = open.get_mut(&item.manifest).filter(|opened| opened.stamp == item.stamp) {
                opened.used = latest + 1;
                return Ok(Arc::clone(&opened.reader));
            }
        }
        let reader = Arc::new(self.outboards.reader(&item.path, &item.manifest)?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = open.values().map(|opened| opened.used).max().unwrap_or(0);
        if open.len() >= FILES_OPEN_MAX {
            let idle = open.iter().min_by_key(|(_, opened)| opened.used).map(|(manifest, _)| *manifest);
            idle.and_then(|idle| open.remove(&idle));
        }
        let opened = Opened { reader: Arc::clone(&reader), stamp: item.stamp, used: latest + 1 };
        open.insert(item.manifest, opened);
        Ok(reader)
    }
}

impl Encoded {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // At most as many as there are seats.
        self.desk.spare.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}

/// What a buyer is told when a piece cannot be read.
pub(super) fn unreadable(why: &ContentError) -> Refusal {
    tracing::warn!(%why, "a piece cannot be sold");
    let detail = match why {
        ContentError::NoSuchPiece { .. } => return Refusal::new(Code::Range, "the content has no such piece"),
        ContentError::Changed(_) => "the file has changed since it was offered; ask another seller",
        _ => "the file cannot be read now; ask another seller",
    };
    Refusal::new(Code::Goods, detail).blame(Fault::Us)
}

/// What a buyer is told by a shop that closes.
pub(super) fn closing() -> Refusal {
    Refusal::new(Code::State, "the shop is closing; come back later").blame(Fault::Us).remedy(Remedy::Again)
}
