//! Which folders are shared, changed while the shop is open.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::ShopError;
use super::shelf::Shelf;
use super::stock::{Folder, Stock, settled};
use super::watch::Watch;

/// How many changes may wait for the shop.
const CHANGES_WAITING_MAX: usize = 4;

/// Changes what an open shop shares.
#[derive(Debug, Clone)]
pub struct Folders {
    changes: mpsc::Sender<Change>,
}

/// Folders to share from now on, and whom to tell once the shelf shows it.
#[derive(Debug)]
pub(super) struct Change {
    folders: Vec<Folder>,
    done: oneshot::Sender<()>,
}

impl Folders {
    pub(super) fn new() -> (Self, mpsc::Receiver<Change>) {
        let (changes, receiver) = mpsc::channel(CHANGES_WAITING_MAX);
        (Self { changes }, receiver)
    }

    /// Shares these folders and no others, and returns once new files are hashed and the shelf is
    /// laid out anew; the index is told then. Visits under way end at the price they began with.
    ///
    /// # Errors
    /// [`ShopError`] if a folder cannot be shared, and then nothing has changed, or if the shop has
    /// closed.
    pub async fn replace(&self, folders: Vec<Folder>) -> Result<(), ShopError> {
        let settled = tokio::task::spawn_blocking(|| settled(folders)).await;
        let (done, told) = oneshot::channel();
        let change = Change { folders: settled.map_err(|_| ShopError::Stock)??, done };
        self.changes.send(change).await.map_err(|_| ShopError::Closed)?;
        told.await.map_err(|_| ShopError::Closed)
    }
}

/// Takes stock at once and whenever something changes.
pub(super) async fn keep_stock(
    mut stock: Stock,
    shelf: watch::Sender<Arc<Shelf>>,
    mut changes: mpsc::Receiver<Change>,
    stop: &CancellationToken,
) -> Result<(), ShopError> {
    // Watching begins before looking, so that nothing falls in between.
    let mut watch = Watch::over(stock.folders());
    let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
    loop {
        let halt = stop.child_token();
        let halted = halt.clone();
        let mut taking = tokio::task::spawn_blocking(move || {
            let taken = stock.take(&halted);
            (stock, taken)
        });
        let (taken, meanwhile) = tokio::select! {
            taken = &mut taking => (taken, None),
            // Folders may be shared no more before they are hashed.
            Some(change) = changes.recv() => {
                halt.cancel();
                (taking.await, Some(change))
            }
        };
        let (back, taken) = taken.map_err(|_| ShopError::Stock)?;
        stock = back;
        let taken = taken?;
        let change = match meanwhile {
            Some(change) => change,
            None => {
                shelf.send_replace(Arc::new(taken));
                for done in waiting.drain(..) {
                    // Whoever asked may be gone.
                    let _ = done.send(());
                }
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = watch.time_to_look() => continue,
                    Some(change) = changes.recv() => change,
                }
            }
        };
        stock.share(change.folders);
        watch = Watch::over(stock.folders());
        waiting.push(change.done);
    }
}
