//! The shop: shares folders and sells what is in them, piece by piece.
//!
//! [`Folder`]s are scanned and hashed into a [`Shelf`]; whoever comes through the door is served
//! from it by the dialogue of [`talk`](crate::talk). A payment is on the disk before its piece
//! leaves, and every byte proves itself against the offered hash on its way out, so a file changed
//! behind the shop's back is noticed and never sold.

mod announce;
mod cash;
mod chains;
mod desk;
mod folders;
mod known;
mod price;
mod scan;
mod shelf;
mod stock;
mod till;
mod visit;
mod watch;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farthing_core::id::PeerId;
use farthing_core::meter::Counts;
use farthing_core::refusal::{Code, Fault, Refusal};
use farthing_driver::Clock;
use farthing_index::client::IndexClient;
use farthing_net::content::ContentError;
use farthing_net::peer::{Node, PeerStream};
use tokio::sync::{Semaphore, mpsc, watch as seen};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use chains::{AGAIN_MAX, LAST_MAX};
pub use desk::{FILES_OPEN_MAX, PIECES_AT_ONCE};
pub use folders::Folders;
pub use price::{Per, Price};
pub use scan::{DEPTH_MAX, ENTRIES_MAX, FILES_MAX};
pub use shelf::{Item, Shelf, Stamp};
pub use stock::{Folder, StockProgress};
pub use till::{Earn, Till};

use crate::talk::messages::Answer;
use crate::talk::{Deadlines, Line, metered};
use announce::Announcer;
use chains::Chains;
use desk::Desk;
use folders::{Change, keep_stock};
use stock::Stock;
use visit::{House, attend};

/// The most visits served at a time. How many streams one buyer may hold is the limit of the
/// [`Node`].
pub const VISITS_MAX: usize = 1_024;

/// How to run a shop.
pub struct ShopConfig {
    /// What to share.
    pub folders: Vec<Folder>,
    /// Where to keep hashes: a folder of the shop's own.
    pub home: PathBuf,
    /// Which index to tell, if any.
    pub index: Option<IndexClient>,
    /// How long a buyer may take.
    pub deadlines: Deadlines,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// Why a shop does not open, or closes. What was sold before is safe in the wallet.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// Only folders can be shared.
    #[error("{0} is not a folder; share the folder it lies in")]
    NotAFolder(PathBuf),
    /// Files cannot be hashed.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The disk or the operating system refused.
    #[error("cannot use {path}: {source}")]
    Disk {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A thread for the disk died.
    #[error("taking stock failed; restart the shop")]
    Stock,
    /// Nothing can be changed any more.
    #[error("the shop has closed")]
    Closed,
}

impl ShopError {
    fn disk(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Disk { path, source }
    }
}

/// What a shop has done since it opened. Visits count once they are over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Takings {
    /// Visits that are over.
    pub visits: u64,
    /// Pieces handed out.
    pub pieces: u64,
    /// Their bytes, proofs included.
    pub bytes: u64,
    /// What serving them cost.
    pub cost: Counts,
}

/// A shop, ready to open its door.
pub struct Shop<T> {
    till: T,
    node: Arc<Node>,
    config: ShopConfig,
    stock: Stock,
    shelf: seen::Sender<Arc<Shelf>>,
    takings: seen::Sender<Takings>,
    folders: Folders,
    changes: mpsc::Receiver<Change>,
}

impl<T: Till> Shop<T> {
    /// Prepares a shop. Nothing is hashed or sold yet.
    ///
    /// # Errors
    /// [`ShopError`].
    pub fn new(till: T, node: Arc<Node>, mut config: ShopConfig) -> Result<Self, ShopError> {
        fs::create_dir_all(&config.home).map_err(ShopError::disk(&config.home))?;
        let stock = Stock::open(&config.home, std::mem::take(&mut config.folders))?;
        let (shelf, takings) = (seen::Sender::default(), seen::Sender::default());
        let (folders, changes) = Folders::new();
        Ok(Self { till, node, config, stock, shelf, takings, folders, changes })
    }

    /// How far hashing has come.
    #[must_use]
    pub fn progress(&self) -> seen::Receiver<StockProgress> {
        self.stock.progress()
    }

    /// What is for sale; changes when folders do.
    #[must_use]
    pub fn shelf(&self) -> seen::Receiver<Arc<Shelf>> {
        self.shelf.subscribe()
    }

    /// What was sold so far.
    #[must_use]
    pub fn takings(&self) -> seen::Receiver<Takings> {
        self.takings.subscribe()
    }

    /// To change what is shared while the shop is open.
    #[must_use]
    pub fn folders(&self) -> Folders {
        self.folders.clone()
    }

    /// Sells until told to stop: then buyers get their releases, and the index is told.
    ///
    /// # Errors
    /// [`ShopError`] when the disk is full or fails; buyers are dismissed first.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ShopError> {
        let Self { till, node, config, stock, shelf, takings, folders: _, changes } = self;
        let house = House {
            till: till.clone(),
            clock: Arc::clone(&config.clock),
            shelf: shelf.subscribe(),
            desk: Desk::new(stock.outboards().clone()),
            chains: Arc::new(Chains::default()),
            deadlines: config.deadlines,
            stop: stop.child_token(),
        };
        let closed = house.stop.clone();
        let announcer =
            config.index.map(|index| Announcer::new(till, config.clock, index, Arc::clone(&node), shelf.subscribe()));
        let door = keep_open(Arc::new(house), &node, takings);
        let told = async {
            if let Some(announcer) = announcer {
                announcer.run(closed.clone()).await;
            }
        };
        let stocked = async {
            let stocked = keep_stock(stock, shelf, changes, &closed).await;
            closed.cancel();
            stocked
        };
        let ((), (), stocked) = tokio::join!(door, told, stocked);
        stocked
    }
}

/// Lets buyers in until the house stops, and waits until they have left.
async fn keep_open<T: Till>(house: Arc<House<T>>, node: &Node, takings: seen::Sender<Takings>) {
    let visits = TaskTracker::new();
    let seats = Arc::new(Semaphore::new(VISITS_MAX));
    loop {
        let (buyer, stream) = tokio::select! {
            () = house.stop.cancelled() => break,
            came = node.accept() => match came {
                Some(came) => came,
                None => break,
            },
        };
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            visits.spawn(turn_away(stream, house.deadlines));
            continue;
        };
        visits.spawn(serve(Arc::clone(&house), buyer, stream, takings.clone(), seat));
    }
    visits.close();
    visits.wait().await;
}

async fn serve<T: Till>(
    house: Arc<House<T>>,
    buyer: PeerId,
    stream: PeerStream,
    takings: seen::Sender<Takings>,
    _seat: tokio::sync::OwnedSemaphorePermit,
) {
    let (sold, cost) = metered(async move { attend(&house, buyer, stream).await }).await;
    takings.send_modify(|so_far| {
        so_far.visits += 1;
        so_far.pieces += sold.pieces;
        so_far.bytes += sold.bytes;
        so_far.cost = so_far.cost.plus(cost);
    });
}

/// There are never more of these than the node has streams.
async fn turn_away(stream: PeerStream, deadlines: Deadlines) {
    let mut line = Line::of_seller(stream, deadlines.write);
    let full = Refusal::new(Code::Rate, "the shop is full; come back later").blame(Fault::Us);
    if line.say(&Answer::Refused(full)).await.is_ok() {
        line.hang_up().await;
    }
}

#[cfg(test)]
mod tests;
