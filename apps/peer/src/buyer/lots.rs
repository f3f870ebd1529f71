//! Paying for pieces together, by drafts or tickets of the bank.
//!
//! A lot is written down before it is paid. Its order says which pieces it is for, so after a crash
//! or a broken line the very same payment is shown again and its pieces are fetched again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use farthing_core::id::{ContentId, PeerId};
use farthing_core::order::Order;
use farthing_core::sign::Signed;
use farthing_core::wire::{self, Bounded};
use farthing_net::peer::PeerStream;
use minicbor::{Decode, Encode};

use super::SELLERS_MAX;
use super::deal::{Deal, Next};
use super::pocket::Pocket;
use super::pool::{Flight, Member};
use super::report::Left;
use crate::talk::TalkError;
use crate::talk::buying::{Quoted, Taking};
use crate::talk::handover::{LOT_MAX, Lot, RUNS_MAX, Run};
use crate::talk::messages::Quote;
use crate::wallet::{Scheme, WalletError};

/// A lot that is paid, or is to be.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Begun {
    /// The quote it goes by.
    #[n(0)]
    pub(super) quote: Signed<Quote>,
    /// Its pieces.
    #[n(1)]
    pub(super) pieces: Bounded<Run, RUNS_MAX>,
    /// By what it is paid, whatever is wanted of later ones.
    #[n(2)]
    pub(super) scheme: Scheme,
}

/// Lots under way in one download, at most one of each seller.
#[derive(Debug)]
pub(super) struct Lots {
    path: PathBuf,
    lots: Vec<Begun>,
}

impl Lots {
    /// Reads what an earlier run kept.
    pub(super) fn open(dir: &Path, content: &ContentId) -> Self {
        let path = dir.join(format!("{}.lots", hex::encode(content.0)));
        let kept = fs::read(&path).ok().and_then(|bytes| wire::decode(&bytes).ok());
        let kept: Bounded<Begun, SELLERS_MAX> = kept.unwrap_or_else(Bounded::empty);
        Self { path, lots: kept.into_vec() }
    }

    /// The lot of a seller.
    pub(super) fn of(&self, seller: PeerId) -> Option<Begun> {
        self.lots.iter().find(|lot| lot.quote.claimed_signer() == seller).cloned()
    }

    /// Keeps a lot in place of that seller's earlier one.
    pub(super) fn keep(&mut self, lot: Begun) -> io::Result<()> {
        self.lots.retain(|kept| kept.quote.claimed_signer() != lot.quote.claimed_signer());
        if self.lots.len() >= SELLERS_MAX {
            return Err(io::Error::other("too many sellers are owed for"));
        }
        self.lots.push(lot);
        self.write()
    }

    /// Forgets a seller's lot: its pieces are here.
    fn drop_of(&mut self, seller: PeerId) -> io::Result<()> {
        self.lots.retain(|kept| kept.quote.claimed_signer() != seller);
        if self.lots.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
                _ => Ok(()),
            };
        }
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let lots: Bounded<_, SELLERS_MAX> = Bounded::new(self.lots.clone()).unwrap_or_else(Bounded::empty);
        let temporary = self.path.with_extension("lots-new");
        let mut file = File::create(&temporary)?;
        file.write_all(&wire::encode(&lots))?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)
    }
}

impl<'a, P: Pocket> Deal<'a, P> {
    /// Pays for one lot and fetches its pieces; or fetches those of a lot that was begun before.
    pub(super) async fn by_lot(
        &mut self,
        quoted: Quoted<PeerStream>,
        order: &Order,
        scheme: Option<Scheme>,
        member: Option<Member<'a>>,
        first: Flight<'a>,
    ) -> Result<Next, Left> {
        let quote = quoted.quote().signed().clone();
        let before = self.lot_of_before().filter(|lot| lot.quote == quote);
        let resumed = before.is_some();
        let (begun, mut flights) = match before {
            Some(lot) => {
                // Given back first: it may be one of the lot's, whose payment counted when it was made.
                drop(first);
                let owed = self.owed_of(&lot, member.as_ref(), order);
                (lot, owed)
            }
            None => {
                let Some(scheme) = scheme else {
                    // The quote of an earlier lot holds no more, and no other is wanted.
                    tracing::warn!("a lot that was paid cannot be fetched any more: see your drafts");
                    self.forget_lot().await;
                    drop(first);
                    quoted.leave().await;
                    return Ok(Next::Another);
                };
                let flights = self.gather(&member, order, first);
                let pieces = Lot::runs(&flights.iter().map(Flight::piece).collect::<Vec<_>>());
                (Begun { quote, pieces, scheme }, flights)
            }
        };
        flights.retain(|flight| Lot::covers(&begun.pieces, flight.piece()));
        let lot_order =
            Lot::order(&Quote(order.clone()), &begun.pieces).map_err(|why| Left::Talk(TalkError::Refused(why)))?;
        if !resumed {
            let kept = begun.clone();
            let wrote = self.lots(move |lots| lots.keep(kept)).await;
            if !matches!(wrote, Some(Ok(()))) {
                return Err(Left::Wallet(super::PocketError("a lot cannot be written down; nothing was paid".into())));
            }
        }
        let payment = match self.trip.pocket.pay_whole(begun.scheme, &lot_order).await {
            Ok(payment) => payment,
            Err(why) => {
                // Nothing was paid, or it was stopped since: begin another one the next time.
                if !resumed || matches!(why.0.downcast_ref(), Some(WalletError::Order(_))) {
                    self.forget_lot().await;
                }
                quoted.leave().await;
                return Err(Left::Wallet(why));
            }
        };
        if !resumed {
            flights.iter_mut().for_each(|flight| flight.paid(self.seller.peer));
            self.count_lot(&lot_order);
        }
        let (mut taking, receipt) = quoted.lot(Lot { pieces: begun.pieces, payment }).await?;
        self.trip.pocket.on_whole_receipt(receipt.clone()).await.map_err(Left::Wallet)?;
        self.report.receipts.push(receipt);
        let landed = self.fetch_lot(&mut taking, flights).await?;
        taking.done().await;
        if landed {
            self.forget_lot().await;
        }
        Ok(if landed { Next::Another } else { Next::Over })
    }

    fn owed_of(&self, lot: &Begun, member: Option<&Member<'a>>, order: &Order) -> Vec<Flight<'a>> {
        let owed = |piece| member.and_then(|member| self.trip.pool.take_paid(member, piece, order.price));
        pieces_of(&lot.pieces).filter_map(owed).collect()
    }

    /// As many pieces as a lot may have and the budget allows, in rising order.
    fn gather(&self, member: &Option<Member<'a>>, order: &Order, first: Flight<'a>) -> Vec<Flight<'a>> {
        let mut flights = vec![first];
        let most = self.trip.pool.share(1).min(LOT_MAX);
        while let Some(member) = member.as_ref().filter(|_| (flights.len() as u64) < most) {
            let Some(flight) = self.trip.pool.take_now(member, order.price) else { break };
            flights.push(flight);
        }
        flights.sort_by_key(Flight::piece);
        flights
    }

    async fn fetch_lot(&mut self, taking: &mut Taking<PeerStream>, flights: Vec<Flight<'a>>) -> Result<bool, Left> {
        for flight in flights {
            let encoded = taking.get(flight.piece()).await?;
            if !self.land(flight, encoded).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn count_lot(&mut self, order: &Order) {
        self.report.payments += 1;
        let before = self.report.paid.unwrap_or(order.price.currency().zero());
        self.report.paid = order.total().ok().and_then(|total| before.checked_add(total).ok());
    }

    /// The lot that was begun with this seller before.
    pub(super) fn lot_of_before(&self) -> Option<Begun> {
        self.trip.lots.lock().unwrap_or_else(std::sync::PoisonError::into_inner).of(self.seller.peer)
    }

    async fn forget_lot(&self) {
        let peer = self.seller.peer;
        if let Some(Err(why)) = self.lots(move |lots| lots.drop_of(peer)).await {
            tracing::warn!(%why, "an old lot stays behind");
        }
    }

    /// Works on the kept lots, which are on the disk.
    async fn lots<T: Send + 'static>(&self, work: impl FnOnce(&mut Lots) -> T + Send + 'static) -> Option<T> {
        let lots = std::sync::Arc::clone(&self.trip.lots);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut lots.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
        });
        done.await.ok()
    }
}

/// The pieces of these runs, which were checked: no more than fit a lot.
fn pieces_of(runs: &Bounded<Run, RUNS_MAX>) -> impl Iterator<Item = u64> + '_ {
    runs.as_slice().iter().flat_map(|run| run.from..run.from.saturating_add(run.count)).take(LOT_MAX as usize)
}
