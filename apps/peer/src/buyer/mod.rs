//! The buyer: fetches content from several sellers at once and pays for it piece by piece.
//!
//! Each seller is dealt with on its own stream and from its own chain, and has at most one piece
//! paid for and not delivered: the next is paid for once the last has proved itself and is in
//! place. A seller that cheats or vanishes loses its pieces to the others. Whatever happens,
//! nothing that is in place is paid for again, and nothing here asks the bank.

mod basket;
mod deal;
mod lots;
mod pocket;
mod pool;
mod quotes;
mod report;
mod there;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use farthing_core::amount::Amount;
use farthing_core::id::{ContentId, PeerId};
use farthing_driver::Clock;
use farthing_index::client::Offer;
use farthing_net::content::{ContentError, FileName, safe_name};
use farthing_net::peer::{Multiaddr, Node};
use futures::StreamExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use pocket::{Pocket, PocketError, Spend};
pub use report::{Left, Outcome, Progress, Report, SellerProgress, SellerReport, Stopped};
pub use there::missing;

use crate::talk::{Deadlines, metered};
use crate::wallet::Scheme;
use deal::{Trip, deal};
use lots::Lots;
use pool::Pool;
use quotes::Quotes;

/// How many sellers are dealt with at a time; the others stand by.
pub const SELLERS_AT_ONCE: usize = 8;

/// How many sellers are considered for one purchase.
pub const SELLERS_MAX: usize = 64;

/// Where unfinished downloads lie, below the folder they are for.
pub const INCOMING: &str = ".farthing-incoming";

/// Somebody who may have the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seller {
    /// Who must answer, and is paid.
    pub peer: PeerId,
    /// Where to look.
    pub addresses: Vec<Multiaddr>,
}

/// What to buy.
#[derive(Debug, Clone)]
pub struct Purchase {
    /// Which content.
    pub content: ContentId,
    /// From whom, the preferred first; beyond [`SELLERS_MAX`] they are left out.
    pub sellers: Vec<Seller>,
    /// Where to put it.
    pub folder: PathBuf,
    /// What to call it; else what a seller calls it, if that is a safe name, else its hash. If it is
    /// there under this name already, nothing is bought.
    pub name: Option<FileName>,
    /// The most to spend in this run.
    pub budget: Option<Amount>,
    /// The most to pay for a piece.
    pub price_max: Option<Amount>,
    /// By what to pay for many pieces together: [`Scheme::Draft`] or [`Scheme::Clearing`]. A seller
    /// is then trusted with as many as [`LOT_MAX`](crate::talk::handover::LOT_MAX). Otherwise pieces
    /// are paid for one by one, by units of a chain.
    pub together: Option<Scheme>,
}

/// Why nothing was bought. No money moved.
#[derive(Debug, thiserror::Error)]
pub enum BuyError {
    /// The folder cannot be used.
    #[error("cannot use the folder {path}: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// All pieces are there, but the file cannot be given its name. Buying again goes on from here
    /// and pays nothing.
    #[error("the download is complete but cannot be put in place: {0}")]
    Finish(#[from] ContentError),
}

/// Buys.
pub struct Buyer<P> {
    /// Pays.
    pub pocket: P,
    /// Reaches sellers.
    pub node: Arc<Node>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// How long sellers may take.
    pub deadlines: Deadlines,
}

/// The sellers in offers of one content, the cheapest first, each once.
#[must_use]
pub fn sellers_of(content: &ContentId, offers: &[Offer]) -> Vec<Seller> {
    let mut offers: Vec<&Offer> = offers.iter().filter(|offer| offer.listing().content == *content).collect();
    offers.sort_by_key(|offer| offer.listing().price.as_micros());
    let mut sellers: Vec<Seller> = Vec::new();
    for offer in offers {
        if sellers.iter().all(|seller| seller.peer != offer.seller()) {
            let addresses = offer.presence().addresses.as_slice().iter();
            let addresses = addresses.map(|address| address.as_multiaddr().clone()).collect();
            sellers.push(Seller { peer: offer.seller(), addresses });
        }
    }
    sellers
}

impl<P: Pocket> Buyer<P> {
    /// Buys, or goes on buying, until the content is complete, no seller is left, the budget is
    /// used up or `stop` is given; sellers are then asked for their releases. Dropping it instead
    /// leaves reserves open until the wallet is opened again.
    ///
    /// # Errors
    /// [`BuyError`]. That sellers fail is no error; see [`Report`].
    pub async fn buy(
        &self,
        purchase: Purchase,
        progress: watch::Sender<Progress>,
        stop: CancellationToken,
    ) -> Result<Report, BuyError> {
        let began = Instant::now();
        let Purchase { content, sellers, folder, name, budget, price_max, together } = purchase;
        if let Some(name) = &name
            && let Some((path, pieces_before)) = there::there_already(&folder, name, content).await
        {
            let outcome = Outcome::Complete(path);
            return Ok(Report { outcome, pieces_before, sellers: Vec::new(), paid: None, time: began.elapsed() });
        }
        let incoming = folder.join(INCOMING);
        let made = fs::create_dir_all(&incoming);
        made.map_err(|source| BuyError::Folder { path: incoming.clone(), source })?;
        let trip = Arc::new(Trip {
            pocket: self.pocket.clone(),
            node: Arc::clone(&self.node),
            clock: Arc::clone(&self.clock),
            deadlines: self.deadlines,
            content,
            price_max,
            pool: Pool::new(content, incoming.clone(), budget, progress),
            quotes: Arc::new(Mutex::new(Quotes::open(&incoming, &content))),
            lots: Arc::new(Mutex::new(Lots::open(&incoming, &content))),
            scheme: together.filter(|scheme| matches!(scheme, Scheme::Draft | Scheme::Clearing)),
            name: Mutex::new(name),
        });
        let halting = {
            let trip = Arc::clone(&trip);
            AbortOnDropHandle::new(tokio::spawn(async move {
                stop.cancelled().await;
                trip.pool.stop(Stopped::Asked);
            }))
        };
        let reports: Vec<SellerReport> = futures::stream::iter(sellers.into_iter().take(SELLERS_MAX))
            .map(|seller| {
                let deal = metered(deal(Arc::clone(&trip), seller));
                // On a task of its own, so that sellers are served by all threads.
                async { AbortOnDropHandle::new(tokio::spawn(deal)).await }
            })
            .buffer_unordered(SELLERS_AT_ONCE)
            .filter_map(|dealt| async { dealt.ok().map(|(report, cost)| SellerReport { cost, ..report }) })
            .collect()
            .await;
        drop(halting);
        let closed = trip.pool.close();
        let outcome = match closed.basket {
            None => Outcome::Partial { missing: closed.missing, why: closed.stopped },
            Some(basket) => {
                let called = trip.name.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some(called) = called.or_else(|| safe_name(&hex::encode(content.0)).ok()) else {
                    return Err(BuyError::Finish(ContentError::WrongRoot));
                };
                let path = basket.finish(&folder, called).await?;
                clear_away(&incoming, &content);
                Outcome::Complete(path)
            }
        };
        let paid =
            reports.iter().filter_map(|report| report.paid).reduce(|sum, paid| sum.checked_add(paid).unwrap_or(sum));
        Ok(Report { outcome, pieces_before: closed.before, sellers: reports, paid, time: began.elapsed() })
    }
}

/// Removes what a complete download leaves behind; folders still in use stay.
fn clear_away(incoming: &std::path::Path, content: &ContentId) {
    for kept in ["quotes", "lots"] {
        let _ = fs::remove_file(incoming.join(format!("{}.{kept}", hex::encode(content.0))));
    }
    if let Ok(sizes) = fs::read_dir(incoming) {
        for size in sizes.flatten() {
            let _ = fs::remove_dir(size.path());
        }
    }
    let _ = fs::remove_dir(incoming);
}

#[cfg(test)]
mod tests;
