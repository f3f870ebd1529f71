//! Payments that come whole: for an order of its own, or for pieces of content together.

use farthing_core::id::PeerId;
use farthing_core::order::Order;
use farthing_core::refusal::{Code, Fault, Refusal};
use tokio::io::{AsyncRead, AsyncWrite};

use super::till::{Earn, Till};
use super::visit::{House, Quoted, Sold, check_piece, refuse};
use crate::talk::handover::Lot;
use crate::talk::messages::{Accepted, Answer, Ask, Quote, Released, units_per_piece};
use crate::talk::owing::check_owed;
use crate::talk::{Line, TalkError};

/// How often a payer may hand a payment over in one visit: the same once more, or another way.
const HANDED_MAX: usize = 4;

/// Takes what somebody owes: by a payment handed over, or by units of a chain.
pub(super) async fn collect<T: Till, S>(
    house: &House<T>,
    payer: PeerId,
    line: &mut Line<S>,
    order: Order,
) -> Result<(), TalkError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    check_owed(&order, house.clock.now()).map_err(TalkError::Refused)?;
    if order.payee != house.till.me() {
        return Err(refuse(Code::NotPayee, "the order names another payee"));
    }
    let terms = house.till.terms(&order).await.map_err(TalkError::Refused)?;
    line.say(&Answer::Terms(Box::new(terms))).await?;
    for _ in 0..HANDED_MAX {
        match house.next(line).await? {
            Ask::Hand(payment) => {
                let thanks = house.till.take(&order, *payment).await.map_err(TalkError::Refused)?;
                line.say(&Answer::Thanks(Box::new(thanks))).await?;
            }
            Ask::Begin(visit) => return by_units(house, payer, line, &order, *visit).await,
            Ask::Done => return Ok(()),
            _ => return Err(TalkError::OutOfTurn),
        }
    }
    Err(refuse(Code::Rate, "too many payments for one order"))
}

/// Takes exactly the price in units of a reserve, once.
async fn by_units<T: Till, S>(
    house: &House<T>,
    payer: PeerId,
    line: &mut Line<S>,
    order: &Order,
    visit: farthing_netpay::messages::Visit,
) -> Result<(), TalkError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    if order.price.is_zero() {
        return Err(refuse(Code::Amount, "an order whose amount is open is paid by a draft or a ticket"));
    }
    let chain = visit.touchstone.peek()?.chain;
    let seat = house.chains.sit(chain, order.id(), payer).await.map_err(TalkError::Refused)?;
    let mut earning = house.till.admit(order, visit).await.map_err(TalkError::Refused)?;
    let units = units_per_piece(order.price, earning.unit()).map_err(|why| TalkError::Refused(why.into()))?;
    let start = earning.through();
    line.say(&Answer::Accepted(Accepted { through: start, last: seat.last(start).or(earning.bought()) })).await?;
    let mut ask = house.next(line).await?;
    if let Ask::Pay(payment) = ask {
        if payment.pay.order != order.id() {
            return Err(refuse(Code::Order, "the payment names another order than the one being paid"));
        }
        if payment.pay.index.checked_sub(start) != Some(units) || earning.bought().is_some() {
            return Err(refuse(Code::Range, "an order is paid once, with exactly its price"));
        }
        earning.on_pay(&payment.pay, payment.piece).map_err(TalkError::Refused)?;
        earning.persist().await.map_err(TalkError::Refused)?;
        seat.note(earning.through(), payment.piece);
        ask = house.next(line).await?;
    }
    let Ask::Done = ask else { return Err(TalkError::OutOfTurn) };
    let (release, receipt) = earning.release().await.map_err(TalkError::Refused)?;
    line.say(&Answer::Released(Box::new(Released { release: Some(release), receipt }))).await
}

impl Quoted {
    /// Sells pieces that are paid for together. Whoever pays the same again has the same pieces
    /// again: the payment says which they are.
    pub(super) async fn sell_lot<T: Till, S>(
        self,
        house: &House<T>,
        line: &mut Line<S>,
        sold: &mut Sold,
        lot: Lot,
    ) -> Result<(), TalkError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let order = Lot::order(&Quote(self.order.clone()), &lot.pieces).map_err(TalkError::Refused)?;
        // No money is taken for a file that has changed.
        let first = lot.pieces.as_slice().first().map_or(0, |run| run.from);
        check_piece(&self.item, first).map_err(TalkError::Refused)?;
        let reading = house.desk.read(&self.item, first).await.map_err(TalkError::Refused)?;
        if reading.fresh.await.is_err() {
            let why = Refusal::new(Code::Goods, "the file cannot be read now; ask another seller").blame(Fault::Us);
            return Err(TalkError::Refused(why));
        }
        let thanks = house.till.take(&order, lot.payment).await.map_err(TalkError::Refused)?;
        line.say(&Answer::Thanks(Box::new(thanks))).await?;
        self.hand_over(house, line, sold, |piece| {
            if Lot::covers(&lot.pieces, piece) {
                return Ok(());
            }
            Err(Refusal::new(Code::Range, "this piece is not among those that were paid for"))
        })
        .await
    }
}
