//! The seller's end of a visit, one struct for each state that sells.

use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;

use farthing_core::id::{OrderId, PeerId};
use farthing_core::order::Order;
use farthing_core::refusal::{Code, Fault, Money, Refusal};
use farthing_driver::Clock;
use farthing_net::content::PIECE_BYTES;
use farthing_netpay::messages::Visit;
use futures::future::{Either, maybe_done};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cash::collect;
use super::chains::{ChainSeat, Chains};
use super::desk::{Desk, Reading, closing, unreadable};
use super::shelf::{Item, Shelf};
use super::till::{Earn, Till};
use crate::talk::messages::{
    Accepted, Answer, Ask, ORDER_LIFE, PayFor, Quote, Released, Want, Welcome, units_per_piece,
};
use crate::talk::{Deadlines, Line, TalkError, VERSIONS};

/// What all visits share.
pub(super) struct House<T> {
    pub(super) till: T,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shelf: watch::Receiver<Arc<Shelf>>,
    pub(super) desk: Arc<Desk>,
    pub(super) chains: Arc<Chains>,
    pub(super) deadlines: Deadlines,
    pub(super) stop: CancellationToken,
}

/// What came of a visit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sold {
    pub(super) pieces: u64,
    pub(super) bytes: u64,
}

/// An order is quoted, nothing is reserved.
pub(super) struct Quoted {
    pub(super) order: Order,
    pub(super) item: Arc<Item>,
}

/// A reserve is held: pieces are sold one by one.
struct Counter<E> {
    earning: E,
    order: OrderId,
    item: Arc<Item>,
    /// What a piece costs, in units.
    units: u32,
    seat: ChainSeat,
}

/// Why a counter closes before the buyer is done.
enum Close {
    /// For a reason of ours: the buyer gets its release.
    Ours(Refusal),
    /// For the buyer's doing, or because it is gone.
    Theirs(TalkError),
}

impl<E: Into<TalkError>> From<E> for Close {
    fn from(why: E) -> Self {
        Self::Theirs(why.into())
    }
}

/// Serves one visit from greeting to farewell.
pub(super) async fn attend<T: Till, S>(house: &House<T>, buyer: PeerId, stream: S) -> Sold
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut line = Line::of_seller(stream, house.deadlines.write);
    let mut sold = Sold::default();
    if let Err(why) = converse(house, buyer, &mut line, &mut sold).await {
        tracing::debug!(buyer = %buyer.short(), %why, "a visit ended early");
        if let Some(refusal) = why.to_say() {
            // It may be gone.
            let _ = line.say(&Answer::Refused(refusal)).await;
        }
    }
    line.hang_up().await;
    sold
}

async fn converse<T: Till, S>(
    house: &House<T>,
    buyer: PeerId,
    line: &mut Line<S>,
    sold: &mut Sold,
) -> Result<(), TalkError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    greet(house, line).await?;
    let quoted = match house.next(line).await? {
        Ask::Want(want) => quote(house, line, *want).await?,
        Ask::Owe(order) => return collect(house, buyer, line, *order).await,
        _ => return Err(TalkError::OutOfTurn),
    };
    if quoted.order.price.is_zero() {
        return quoted.hand_over(house, line, sold, |_| Ok(())).await;
    }
    match house.next(line).await? {
        Ask::Lot(lot) => quoted.sell_lot(house, line, sold, *lot).await,
        Ask::Begin(visit) => quoted.admit(house, buyer, line, *visit).await?.serve(house, line, sold).await,
        Ask::Done => Ok(()),
        Ask::Get(_) => Err(refuse(Code::Amount, "this content has a price: pay for the piece")),
        _ => Err(TalkError::OutOfTurn),
    }
}

pub(super) fn refuse(code: Code, detail: &'static str) -> TalkError {
    TalkError::Refused(Refusal::new(code, detail))
}

async fn greet<T: Till, S>(house: &House<T>, line: &mut Line<S>) -> Result<(), TalkError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let Ask::Hello(hello) = line.ask(house.deadlines.greeting).await? else { return Err(TalkError::OutOfTurn) };
    let network = house.till.network();
    if hello.network != network {
        return Err(refuse(Code::Unknown, "this seller is paid in another network"));
    }
    let common = VERSIONS.into_iter().find(|version| hello.versions.as_slice().contains(version));
    let version = common.ok_or_else(|| refuse(Code::Version, "no version in common: one of us needs a newer one"))?;
    line.say(&Answer::Hello(Welcome { version, network })).await
}

async fn quote<T: Till, S>(house: &House<T>, line: &mut Line<S>, want: Want) -> Result<Quoted, TalkError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let item = house.shelf.borrow().get(&want.content).cloned();
    let item = item.ok_or_else(|| refuse(Code::Goods, "this seller does not have that content"))?;
    let quote = match house.our_quote(want, &item) {
        Some(quote) => quote,
        None => house.till.sign(&Quote(house.order(&item)?)),
    };
    let order = quote.peek()?.0;
    line.say(&Answer::Quote(quote)).await?;
    Ok(Quoted { order, item })
}

impl<T: Till> House<T> {
    /// The next thing a buyer says; our own stop and its patience both end the wait.
    pub(super) async fn next<S: AsyncRead + AsyncWrite + Unpin + Send>(
        &self,
        line: &mut Line<S>,
    ) -> Result<Ask, TalkError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(TalkError::Refused(closing())),
            ask = line.ask(self.deadlines.idle) => ask,
        }
    }

    /// The quote of an earlier visit, if it is ours, for this content, and still holds.
    fn our_quote(&self, want: Want, item: &Item) -> Option<farthing_core::sign::Signed<Quote>> {
        let quote = want.again?.verify_by(self.till.network(), self.till.me()).ok()?;
        quote.body().check(self.till.me(), want.content, self.clock.now()).ok()?;
        (quote.body().0.size == item.manifest.size).then(|| quote.into_signed())
    }

    fn order(&self, item: &Item) -> Result<Order, TalkError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)
            .map_err(|_| TalkError::Refused(Refusal::new(Code::State, "no order can be made now").blame(Fault::Us)))?;
        let now = self.clock.now();
        Ok(Order {
            payee: self.till.me(),
            content: Some(item.manifest.root),
            size: item.manifest.size,
            piece: PIECE_BYTES as u32,
            price: item.price,
            description: item.title.as_str().to_owned(),
            created: now,
            expires: now.after(ORDER_LIFE),
            nonce,
        })
    }
}

impl Quoted {
    /// Hands out pieces that cost nothing, or are paid: those that `may` be had.
    pub(super) async fn hand_over<T: Till, S>(
        self,
        house: &House<T>,
        line: &mut Line<S>,
        sold: &mut Sold,
        may: impl Fn(u64) -> Result<(), Refusal> + Send,
    ) -> Result<(), TalkError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        loop {
            let piece = match house.next(line).await? {
                Ask::Get(piece) => piece,
                Ask::Done => return Ok(()),
                Ask::Begin(_) => return Err(refuse(Code::Amount, "there is nothing left to pay here: just get it")),
                _ => return Err(TalkError::OutOfTurn),
            };
            check_piece(&self.item, piece).and_then(|()| may(piece)).map_err(TalkError::Refused)?;
            let reading = house.desk.read(&self.item, piece).await.map_err(TalkError::Refused)?;
            hand_out(line, reading, piece, sold, ready(Ok(()))).await.map_err(|close| match close {
                Close::Ours(refusal) => TalkError::Refused(refusal),
                Close::Theirs(why) => why,
            })?;
        }
    }

    /// Admits the reserve, or takes up the visit it belongs to.
    async fn admit<T: Till, S>(
        self,
        house: &House<T>,
        buyer: PeerId,
        line: &mut Line<S>,
        visit: Visit,
    ) -> Result<Counter<T::Earning>, TalkError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let chain = visit.touchstone.peek()?.chain;
        let seat = house.chains.sit(chain, self.order.id(), buyer).await.map_err(TalkError::Refused)?;
        let earning = house.till.admit(&self.order, visit).await.map_err(TalkError::Refused)?;
        let units = units_per_piece(self.order.price, earning.unit()).map_err(|why| TalkError::Refused(why.into()))?;
        let through = earning.through();
        if let (Some(piece), None) = (earning.bought(), seat.last(through)) {
            seat.note(through, piece);
        }
        line.say(&Answer::Accepted(Accepted { through, last: seat.last(through) })).await?;
        Ok(Counter { earning, order: self.order.id(), item: self.item, units, seat })
    }
}

impl<E: Earn> Counter<E> {
    /// Sells until the buyer is done, and releases what it did not use.
    async fn serve<T: Till, S>(mut self, house: &House<T>, line: &mut Line<S>, sold: &mut Sold) -> Result<(), TalkError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let why = match self.trade(house, line, sold).await {
            Ok(()) => None,
            Err(Close::Ours(refusal)) => Some(refusal),
            Err(Close::Theirs(why)) => return Err(why),
        };
        let (release, receipt) = self.earning.release().await.map_err(TalkError::Refused)?;
        let released = Answer::Released(Box::new(Released { release: Some(release), receipt }));
        match why {
            None => line.say(&released).await,
            Some(refusal) => line.say_both(&Answer::Refused(refusal), &released).await,
        }
    }

    async fn trade<T: Till, S>(&mut self, house: &House<T>, line: &mut Line<S>, sold: &mut Sold) -> Result<(), Close>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        loop {
            let ask = tokio::select! {
                biased;
                () = house.stop.cancelled() => return Err(Close::Ours(closing())),
                () = self.seat.evicted() => return Err(TalkError::Gone.into()),
                ask = line.ask(house.deadlines.idle) => ask?,
            };
            let (reading, piece, paid) = match ask {
                Ask::Pay(payment) => {
                    let reading = self.sell(house, payment).await?;
                    (reading, payment.piece, Either::Left(self.earning.persist()))
                }
                Ask::Again(piece) => {
                    self.seat.again(self.earning.through(), piece).map_err(TalkError::Refused)?;
                    (
                        house.desk.read(&self.item, piece).await.map_err(Close::Ours)?,
                        piece,
                        Either::Right(ready(Ok(()))),
                    )
                }
                Ask::Extend(reserve) => {
                    self.earning.extend(reserve).await.map_err(TalkError::Refused)?;
                    continue;
                }
                Ask::Done => return Ok(()),
                Ask::Get(_) => return Err(refuse(Code::Amount, "this content has a price: pay for the piece").into()),
                _ => return Err(TalkError::OutOfTurn.into()),
            };
            tokio::select! {
                () = self.seat.evicted() => return Err(TalkError::Gone.into()),
                done = hand_out(line, reading, piece, sold, paid) => done?,
            }
        }
    }

    /// Counts the payment for a piece, not before its file has been looked at. The caller has it
    /// written down while the piece is read and sent, all but its end.
    async fn sell<T: Till>(&mut self, house: &House<T>, payment: PayFor) -> Result<Reading, Close> {
        let PayFor { pay, piece } = payment;
        check_piece(&self.item, piece).map_err(TalkError::Refused)?;
        self.check_price(&payment).map_err(TalkError::Refused)?;
        let mut reading = house.desk.read(&self.item, piece).await.map_err(Close::Ours)?;
        if (&mut reading.fresh).await.is_err() {
            return Err(Close::Ours(failed(reading, Money::Unmoved).await));
        }
        self.earning.on_pay(&pay, piece).map_err(TalkError::Refused)?;
        self.seat.note(self.earning.through(), piece);
        Ok(reading)
    }

    /// Each piece is sold for exactly its price, in the order it was quoted in.
    fn check_price(&self, payment: &PayFor) -> Result<(), Refusal> {
        let (index, through) = (payment.pay.index, self.earning.through());
        if payment.pay.order != self.order {
            return Err(Refusal::new(Code::Order, "the payment names another order than the one being served"));
        }
        if index <= through {
            return Err(Refusal::new(Code::Replay, "this was paid before: ask for its piece again"));
        }
        if index - through != self.units {
            return Err(Refusal::new(Code::Range, "a payment is exactly the price of one piece"));
        }
        Ok(())
    }
}

pub(super) fn check_piece(item: &Item, piece: u64) -> Result<(), Refusal> {
    if piece < item.manifest.pieces() {
        return Ok(());
    }
    Err(Refusal::new(Code::Range, "the content has no such piece"))
}

/// Why a piece could not be read, for the buyer.
async fn failed(reading: Reading, money: Money) -> Refusal {
    match reading.piece.await {
        Ok(Err(why)) => unreadable(&why).money(money),
        _ => closing().money(money),
    }
}

/// Sends a piece, whole only once `paid` is done, which goes on meanwhile.
async fn hand_out<S>(
    line: &mut Line<S>,
    reading: Reading,
    piece: u64,
    sold: &mut Sold,
    paid: impl Future<Output = Result<(), Refusal>>,
) -> Result<(), Close>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut paid = pin!(maybe_done(paid));
    let _ = futures::poll!(paid.as_mut()); // Begins it; the piece may still be on its way from the disk.
    let encoded = match reading.piece.await {
        Ok(Ok(encoded)) => encoded,
        Ok(Err(why)) => return Err(Close::Ours(unreadable(&why).money(Money::MovedBefore))),
        Err(_) => return Err(Close::Ours(closing().money(Money::MovedBefore))),
    };
    let paid = async {
        paid.as_mut().await;
        paid.take_output().unwrap_or(Ok(())).map_err(Close::Ours)
    };
    line.hand_out(piece, encoded.bytes(), paid).await?;
    sold.pieces += 1;
    sold.bytes += encoded.bytes().len() as u64;
    Ok(())
}
