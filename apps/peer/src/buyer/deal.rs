//! Dealing with one seller: visit after visit, until there is nothing more to fetch.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use farthing_core::amount::Amount;
use farthing_core::id::ContentId;
use farthing_core::meter::Counts;
use farthing_core::order::Order;
use farthing_core::refusal::{Code, Fault};
use farthing_core::sign::Signed;
use farthing_driver::Clock;
use farthing_net::content::{FileName, safe_name};
use farthing_net::peer::{Node, PeerStream};

use super::lots::Lots;
use super::pocket::{Pocket, Spend};
use super::pool::{Flight, Member, Pool, Refused, Take, fits};
use super::quotes::Quotes;
use super::report::{Left, SellerReport, Stopped};
use super::{PocketError, Seller};
use crate::talk::buying::{Guest, Paying, Quoted, Taking};
use crate::talk::messages::{Quote, Released, units_per_piece};
use crate::talk::{Deadlines, TalkError};
use crate::wallet::Scheme;

/// How often a seller is visited again after a line broke.
const RECONNECTS: u32 = 3;

/// How many visits in a row may bring no piece, such as one that only fetches a lost release.
const VAIN_VISITS: u32 = 2;

/// The fewest pieces a visit is begun for, where so many are missing: its beginning and end cost
/// signatures.
const SHARE_MIN: u64 = 16;

/// The pause before the first of these visits; each further one is twice as long.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// What all deals of one purchase share.
pub(super) struct Trip<P> {
    pub(super) pocket: P,
    pub(super) node: Arc<Node>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) deadlines: Deadlines,
    pub(super) content: ContentId,
    pub(super) price_max: Option<Amount>,
    pub(super) pool: Pool,
    pub(super) quotes: Arc<Mutex<Quotes>>,
    pub(super) lots: Arc<Mutex<Lots>>,
    /// By what pieces are paid together; by units of a chain, one by one, if nothing is named.
    pub(super) scheme: Option<Scheme>,
    /// What to call the file, from the first seller with a usable name.
    pub(super) name: Mutex<Option<FileName>>,
}

/// One seller, and what has come of it so far.
pub(super) struct Deal<'a, P> {
    pub(super) trip: &'a Trip<P>,
    pub(super) seller: &'a Seller,
    pub(super) report: SellerReport,
    /// A payment under way when a line broke: through which unit, and for which piece.
    unsettled: Option<(u32, u64)>,
    /// The seller has ended the visit that we took up again: fetch its release, then begin anew.
    ended_there: bool,
}

/// A visit with a reserve.
struct Visiting<S> {
    paying: Paying<PeerStream>,
    spending: S,
    order: Order,
    /// The price of a piece, in units.
    units: u32,
    /// Whether an earlier visit is taken up again.
    resumed: bool,
    /// How many pieces it was begun for and are not bought yet; unknown if it was taken up again.
    share: Option<u64>,
    /// A piece paid for when the line broke in an earlier visit.
    owed: Option<u64>,
    /// How far the seller was paid as the visit began, and the last word it was sent and it
    /// answered for since.
    start: u32,
    sent: u32,
    answered: u32,
}

/// How a visit ended well.
pub(super) enum Next {
    /// There is nothing more to fetch here.
    Over,
    /// The reserve cannot be stretched: begin another visit.
    Another,
}

/// Deals with one seller until the pool is empty or the seller is to be left.
pub(super) async fn deal<P: Pocket>(trip: Arc<Trip<P>>, seller: Seller) -> SellerReport {
    let report = SellerReport {
        seller: seller.peer,
        pieces: 0,
        bytes: 0,
        paid: None,
        payments: 0,
        cost: Counts::default(),
        receipts: Vec::new(),
        abandoned: 0,
        left: None,
    };
    let mut deal = Deal { trip: &trip, seller: &seller, report, unsettled: None, ended_there: false };
    let (mut broken, mut vain) = (0, 0);
    loop {
        let before = deal.report.pieces;
        match deal.visit().await {
            Ok(Next::Over) => break,
            Ok(Next::Another) if deal.report.pieces > before => vain = 0,
            Ok(Next::Another) if vain < VAIN_VISITS => vain += 1,
            Ok(Next::Another) => break,
            Err(Left::Talk(why)) if why.is_a_broken_line() && broken < RECONNECTS => {
                tracing::debug!(seller = %seller.peer.short(), %why, "a visit broke off");
                tokio::time::sleep(RECONNECT_PAUSE * 2_u32.pow(broken)).await;
                broken += 1;
            }
            Err(left) => {
                deal.report.left = Some(left);
                break;
            }
        }
    }
    deal.report
}

impl<'a, P: Pocket> Deal<'a, P> {
    async fn visit(&mut self) -> Result<Next, Left> {
        let Trip { node, pocket, deadlines, clock, content, .. } = self.trip;
        let stream = node.open(self.seller.peer, &self.seller.addresses).await?;
        let guest = Guest::greet(stream, self.seller.peer, pocket.network(), *deadlines).await?;
        let peer = self.seller.peer;
        // What was paid together is fetched first, whatever is wanted now.
        let lot = self.lot_of_before();
        let together = lot.is_some() || self.trip.scheme.is_some();
        let before = match together {
            true => lot.map(|lot| lot.quote),
            false => self.quotes(move |quotes| quotes.of(peer)).await.flatten(),
        };
        let quoted = guest.want(*content, before.clone(), clock.now()).await?;
        let order = quoted.quote().body().0.clone();
        self.check_price(order.price)?;
        self.suggest_name(&order.description);
        let mut member = None;
        let flight = match self.next(&mut member, &order).await {
            Ok(Some(flight)) => flight,
            Ok(None) => {
                quoted.leave().await;
                return Ok(Next::Over);
            }
            Err(left) => {
                quoted.leave().await;
                return Err(left);
            }
        };
        if order.price.is_zero() {
            let taking = quoted.free().ok_or(TalkError::OutOfTurn)?;
            return self.take(taking, member, &order, flight).await;
        }
        if together {
            return self.by_lot(quoted, &order, self.trip.scheme, member, flight).await;
        }
        let resuming = before.filter(|before| before == quoted.quote().signed());
        let mut visiting = self.begin(quoted, order, resuming).await?;
        if std::mem::take(&mut self.ended_there) {
            self.end(visiting).await?;
            // With or without a release: never back to this visit.
            self.forget_quote().await;
            return Ok(Next::Another);
        }
        match self.fetch_owed(&mut visiting, member.as_ref(), flight).await {
            Ok(flight) => self.spend(visiting, member, flight).await,
            Err(left) => {
                self.abandon(visiting.spending).await;
                Err(left)
            }
        }
    }

    /// Works on the kept quotes, which are on the disk.
    async fn quotes<T: Send + 'static>(&self, work: impl FnOnce(&mut Quotes) -> T + Send + 'static) -> Option<T> {
        let quotes = Arc::clone(&self.trip.quotes);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut quotes.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
        });
        done.await.ok()
    }

    fn check_price(&mut self, price: Amount) -> Result<(), Left> {
        self.report.paid.get_or_insert(price.currency().zero());
        match self.trip.price_max {
            Some(most) if !fits(price, most) => Err(Left::TooDear { price }),
            _ => Ok(()),
        }
    }

    fn suggest_name(&self, name: &str) {
        let mut known = self.trip.name.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.is_none() {
            *known = safe_name(name).ok();
        }
    }

    /// The next piece to fetch from this seller, if there is one.
    async fn next(&self, member: &mut Option<Member<'a>>, order: &Order) -> Result<Option<Flight<'a>>, Left> {
        let pool = &self.trip.pool;
        loop {
            let joined = match member.take() {
                Some(joined) => joined,
                None => match pool.join(order.size).await {
                    Ok(joined) => joined,
                    Err(Refused::Over) => return Ok(None),
                    Err(Refused::WrongSize { size }) => return Err(Left::WrongSize { claimed: order.size, size }),
                },
            };
            let taken = pool.take(&joined, order.price).await;
            match taken {
                Take::Rejoin => {}
                Take::Over => return Ok(None),
                Take::Piece(flight) => {
                    *member = Some(joined);
                    return Ok(Some(flight));
                }
            }
        }
    }

    /// Fetches what is free.
    async fn take(
        &mut self,
        mut taking: Taking<PeerStream>,
        mut member: Option<Member<'a>>,
        order: &Order,
        first: Flight<'a>,
    ) -> Result<Next, Left> {
        let mut flight = Some(first);
        while let Some(flying) = flight {
            let encoded = taking.get(flying.piece()).await?;
            if !self.land(flying, encoded).await? {
                break;
            }
            flight = self.next(&mut member, order).await?;
        }
        taking.done().await;
        Ok(Next::Over)
    }

    /// Puts a piece in place; false if our own disk will not have it.
    pub(super) async fn land(&mut self, flight: Flight<'_>, encoded: bytes::Bytes) -> Result<bool, Left> {
        match flight.land(self.seller.peer, encoded).await {
            Ok(bytes) => {
                self.report.pieces += 1;
                self.report.bytes += bytes;
                Ok(true)
            }
            Err(why) if why.is_the_senders_doing() => Err(Left::BadPiece(why)),
            Err(why) => {
                self.trip.pool.stop(Stopped::Disk(why));
                Ok(false)
            }
        }
    }

    /// Reserves units and has them accepted; or takes up the reserve of a visit that broke off.
    async fn begin(
        &mut self,
        quoted: Quoted<PeerStream>,
        order: Order,
        resuming: Option<Signed<Quote>>,
    ) -> Result<Visiting<P::Spending>, Left> {
        let Trip { pocket, pool, .. } = self.trip;
        let known = match &resuming {
            Some(_) => pocket.resume(self.seller.peer, order.id()).await.map_err(Left::Wallet)?,
            None => None,
        };
        let resumed = known.is_some();
        let mut share = None;
        let (visit, mut spending) = match (known, self.unsettled) {
            (Some(known), _) => known,
            // It would have us pay anew while it owes a piece.
            (None, Some((_, piece))) => return Err(Left::Undelivered { piece }),
            (None, None) => {
                let pieces = pool.share(SHARE_MIN);
                let begun = pocket.begin(&order, pieces, pool.most(order.price, pieces)).await.map_err(Left::Wallet)?;
                share = Some(pieces);
                let quote = quoted.quote().signed().clone();
                if let Some(Err(why)) = self.quotes(move |quotes| quotes.keep(quote)).await {
                    tracing::warn!(%why, "this visit cannot be taken up again if it breaks off");
                }
                begun
            }
        };
        let units = match units_per_piece(order.price, spending.unit()) {
            Ok(units) => units,
            Err(why) => {
                self.abandon(spending).await;
                return Err(Left::Wallet(PocketError(Box::new(why))));
            }
        };
        let (paying, accepted) = match quoted.begin(visit).await {
            Ok(begun) => begun,
            Err(why) => {
                self.abandon(spending).await;
                return Err(why.into());
            }
        };
        if let Err(why) = spending.agree(accepted.through).await {
            self.abandon(spending).await;
            return Err(Left::FalseRelease(why));
        }
        let through = accepted.through;
        match self.unsettled.take() {
            Some((sent, _)) if through < sent => {
                // It never arrived.
                pool.refund(order.price);
                self.report.payments -= 1;
                self.report.paid = self.report.paid.and_then(|paid| paid.checked_sub(order.price).ok());
            }
            Some((_, piece)) if accepted.last != Some(piece) => {
                self.abandon(spending).await;
                return Err(Left::Undelivered { piece });
            }
            _ => {}
        }
        let owed = accepted.last;
        Ok(Visiting {
            paying,
            spending,
            order,
            units,
            resumed,
            share,
            owed,
            start: through,
            sent: through,
            answered: through,
        })
    }

    /// Fetches the piece that was paid for when the line broke, if it did not arrive. Gives the
    /// flight back unless it was for that very piece.
    async fn fetch_owed(
        &mut self,
        visiting: &mut Visiting<P::Spending>,
        member: Option<&Member<'a>>,
        mut flight: Flight<'a>,
    ) -> Result<Option<Flight<'a>>, Left> {
        let Some(piece) = visiting.owed.take() else { return Ok(Some(flight)) };
        let (owed, rest) = if flight.piece() == piece {
            flight.is_paid_already();
            (flight, None)
        } else {
            let taken = member.and_then(|member| self.trip.pool.take_paid(member, piece, visiting.order.price));
            match taken {
                Some(owed) => (owed, Some(flight)),
                None => return Ok(Some(flight)),
            }
        };
        let encoded = visiting.paying.again(piece).await?;
        self.land(owed, encoded).await?;
        Ok(rest)
    }

    /// Pays piece by piece.
    async fn spend(
        &mut self,
        mut visiting: Visiting<P::Spending>,
        mut member: Option<Member<'a>>,
        mut next: Option<Flight<'a>>,
    ) -> Result<Next, Left> {
        loop {
            let mut flight = match next.take() {
                Some(flight) => flight,
                None => match self.next(&mut member, &visiting.order).await {
                    Ok(Some(flight)) => flight,
                    Ok(None) => return self.end(visiting).await.map(|()| Next::Over),
                    Err(left) => {
                        self.end(visiting).await?;
                        return Err(left);
                    }
                },
            };
            if visiting.share == Some(0) {
                drop(flight);
                return self.end(visiting).await.map(|()| Next::Another);
            }
            let further = match visiting.stretch().await {
                Ok(further) => further,
                Err(why) => {
                    tracing::debug!(%why, "the visit ends with its reserve");
                    drop(flight);
                    return self.end(visiting).await.map(|()| Next::Another);
                }
            };
            let pay = match visiting.spending.pay(visiting.units).await {
                Ok(pay) => pay,
                Err(why) => {
                    drop(flight);
                    let resumed = visiting.resumed;
                    self.end(visiting).await?;
                    // What it was begun for in an earlier run may be used up.
                    return if resumed { Ok(Next::Another) } else { Err(Left::Wallet(why)) };
                }
            };
            flight.paid(self.seller.peer);
            visiting.sent = pay.index;
            visiting.share = visiting.share.map(|share| share.saturating_sub(1));
            self.report.payments += 1;
            let encoded = match visiting.paying.pay(further, pay, flight.piece()).await {
                Ok(encoded) => encoded,
                Err(why) => return self.broke_off(visiting, flight, why).await,
            };
            visiting.answered = pay.index;
            match self.land(flight, encoded).await {
                Ok(true) => {}
                Ok(false) => return self.end(visiting).await.map(|()| Next::Over),
                Err(left) => {
                    // What is left of the reserve may yet come back; the seller is named anyway.
                    let _ = self.end(visiting).await;
                    return Err(left);
                }
            }
        }
    }

    /// A payment was not answered with its piece.
    async fn broke_off(
        &mut self,
        visiting: Visiting<P::Spending>,
        mut flight: Flight<'_>,
        why: TalkError,
    ) -> Result<Next, Left> {
        let sent = visiting.sent;
        match &why {
            TalkError::TurnedDown(refusal) if refusal.fault == Fault::Us => {
                // The seller ends the visit for a reason of its own, and says how far it was paid.
                let Visiting { paying, spending, order, start, answered, .. } = visiting;
                let released = paying.released().await;
                match self.settle(spending, &order, released, (start, sent, answered)).await {
                    Ok(through) if through < sent => {
                        flight.unpaid();
                        self.report.payments -= 1;
                    }
                    Ok(_) => {}
                    Err(left) => return Err(left),
                }
            }
            // Its release went missing when the line broke in an earlier run.
            TalkError::TurnedDown(refusal)
                if visiting.resumed && visiting.answered == visiting.start && refusal.code == Code::State =>
            {
                flight.unpaid();
                self.report.payments -= 1;
                self.abandon(visiting.spending).await;
                self.report.abandoned -= 1;
                self.ended_there = true;
                return Ok(Next::Another);
            }
            _ => {
                self.unsettled = Some((sent, flight.piece()));
                self.count(&visiting.order, visiting.units, visiting.start, sent);
                self.abandon(visiting.spending).await;
            }
        }
        Err(why.into())
    }

    /// Ends a visit and takes the release.
    async fn end(&mut self, visiting: Visiting<P::Spending>) -> Result<(), Left> {
        let Visiting { paying, spending, order, start, sent, answered, .. } = visiting;
        let released = paying.done().await;
        self.settle(spending, &order, released, (start, sent, answered)).await.map(drop)
    }

    /// Books what a visit came to and says through which unit the seller counts itself paid. A
    /// seller that gives no release is as good as gone.
    async fn settle(
        &mut self,
        spending: P::Spending,
        order: &Order,
        released: Result<Released, TalkError>,
        (start, sent, answered): (u32, u32, u32),
    ) -> Result<u32, Left> {
        let units = units_per_piece(order.price, spending.unit()).unwrap_or(1);
        let Ok(Released { release: Some(release), receipt }) = released else {
            self.count(order, units, start, sent);
            self.abandon(spending).await;
            return Ok(sent);
        };
        let through = release.peek().map_or(sent, |release| release.through);
        let receipt = receipt.filter(|receipt| self.is_sound(receipt, order, through));
        if let Err(why) = spending.finish(release, receipt.clone(), answered).await {
            self.count(order, units, start, sent);
            self.report.abandoned += 1;
            return Err(Left::FalseRelease(why));
        }
        self.count(order, units, start, through);
        self.report.receipts.extend(receipt);
        self.forget_quote().await;
        Ok(through)
    }

    async fn forget_quote(&self) {
        let peer = self.seller.peer;
        if let Some(Err(why)) = self.quotes(move |quotes| quotes.drop_of(peer)).await {
            tracing::warn!(%why, "an old quote stays behind");
        }
    }

    fn is_sound(&self, receipt: &Signed<farthing_core::order::Receipt>, order: &Order, through: u32) -> bool {
        let checked = receipt.clone().verify_by(self.trip.pocket.network(), self.seller.peer);
        checked.is_ok_and(|receipt| receipt.body().order == order.id() && receipt.body().payment.through == through)
    }

    fn count(&mut self, order: &Order, units: u32, start: u32, through: u32) {
        let pieces = through.saturating_sub(start) / units.max(1);
        let paid = order.price.checked_mul(pieces.into()).ok();
        let before = self.report.paid.unwrap_or(order.price.currency().zero());
        self.report.paid = paid.and_then(|paid| before.checked_add(paid).ok());
    }

    async fn abandon(&mut self, spending: P::Spending) {
        self.report.abandoned += 1;
        if let Err(why) = spending.abandon().await {
            tracing::warn!(%why, "a visit is given up when the wallet is next opened");
        }
    }
}

impl<S: Spend> Visiting<S> {
    /// Sees to it that the next piece can be paid for; the reserve to send along if it needs one.
    async fn stretch(&mut self) -> Result<Option<Signed<farthing_netpay::messages::Reserve>>, PocketError> {
        match self.spending.left() {
            0 => self.spending.extend().await.map(Some),
            left if left < self.units => Err(PocketError("the reserve ends in the middle of a piece".into())),
            _ => Ok(None),
        }
    }
}
