//! A broker that has goods of its own: a stall, which sells small products through other brokers.

use std::sync::Arc;

use farthing_core::id::{ChainId, PeerId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Signed;
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_coupon::exchange::Goods;
use farthing_coupon::exchange::stall::{AskGoods, Shelf, Stall};
use farthing_coupon::micro::Ack;
use farthing_coupon::session::Session;
use farthing_role::{Context, Halt};

use super::{Desk, Engine, dice, lock, no_reply};
use crate::messages::PayGoods;
use crate::rows::{self, BUYERS, BuyerRow, SHOWN, SOLD, SoldRow, job_key};

impl Engine {
    /// What is on our own shelf.
    pub(crate) fn shelf(&self) -> Result<Signed<Shelf>, Refusal> {
        Ok(self.stall()?.shelf(self.now()))
    }

    /// Shows goods that a coupon waits for.
    pub(crate) async fn show(&self, ask: Signed<AskGoods>) -> Result<Goods, Refusal> {
        let stall = Arc::clone(self.stall()?);
        let chain = ask.peek().map_err(Refusal::from)?.chain;
        let desk = Arc::clone(&self.desk);
        let note = move |cx: &mut Context<'_>| {
            let mut desk = lock(&desk);
            let session = desk.broker.buyer(chain).ok_or_else(unknown)?;
            let before = desk.shown.get(&chain);
            let shown = stall.check(cx.now, session, before, &ask)?;
            if desk.owes_elsewhere(cx.now, session) {
                let why = "a product was shown to this broker in another session and is not paid yet";
                return Err(Refusal::new(Code::State, why).into());
            }
            if desk.closed.contains(&chain) && before.is_none() {
                return Err(Refusal::new(Code::State, "the session is closed: open another one").into());
            }
            cx.tx.put(SHOWN, &chain.0, wire::encode(&shown));
            desk.shown.insert(chain, shown);
            Ok(shown)
        };
        let shown = self.driver.transact(note).await.map_err(no_reply)?;
        self.stall()?.show(self.now(), &shown, &mut dice()?)
    }

    /// Takes the coupon for goods that were shown. The same coupon again gets the same answer.
    pub(crate) async fn paid(&self, PayGoods { chain, pay }: PayGoods) -> Result<Ack, Refusal> {
        let stall = Arc::clone(self.stall()?);
        let desk = Arc::clone(&self.desk);
        let take = move |cx: &mut Context<'_>| {
            let name = (chain, pay.index);
            if let Some(row) = rows::read::<SoldRow>(&*cx.tx, SOLD, &job_key(name))?.filter(|row| row.pay == pay) {
                return Ok(row.ack);
            }
            let mut desk = lock(&desk);
            let mut session = desk.broker.buyer(chain).cloned().ok_or_else(unknown)?;
            let ack = stall.take(cx.now, &mut session, desk.shown.get(&chain), &pay)?;
            let row = BuyerRow { state: session.state().clone(), closed: desk.closed.contains(&chain) };
            cx.tx.put(BUYERS, &chain.0, wire::encode(&row));
            cx.tx.delete(SHOWN, &chain.0);
            rows::keep(cx, SOLD, name, &SoldRow { pay, ack })?;
            desk.shown.remove(&chain);
            desk.broker.add_buyer(session);
            Ok::<_, Halt>(ack)
        };
        self.driver.transact(take).await.map_err(no_reply)
    }

    /// Whether somebody may open a session: with a stall, the brokers that it names.
    pub(super) fn check_broker(&self, buyer: PeerId) -> Result<(), Refusal> {
        let Some(stall) = &self.stall else { return Ok(()) };
        if !stall.deals_with(buyer) {
            return Err(Refusal::new(Code::Policy, "the seller does not sell through this broker"));
        }
        Ok(())
    }

    fn stall(&self) -> Result<&Arc<Stall>, Refusal> {
        self.stall.as_ref().ok_or_else(|| Refusal::new(Code::Unknown, "nothing is sold here but translations"))
    }
}

impl Desk {
    /// Whether the broker of a session has seen a product in another one, and not paid for it.
    fn owes_elsewhere(&self, now: Time, session: &Session) -> bool {
        let others = self.shown.keys().filter(|chain| **chain != session.chain());
        let mut others = others.filter_map(|chain| self.broker.buyer(*chain));
        others.any(|other| other.buyer() == session.buyer() && now < other.not_after())
    }

    /// Forgets what was shown in a session that is over. It was lost.
    pub(super) fn forget_shown(&mut self, cx: &mut Context<'_>, chain: ChainId, session: &Session) {
        if self.shown.remove(&chain).is_some() {
            let broker = session.buyer().short();
            tracing::warn!(broker, "this broker saw a product and did not pay for it");
            cx.tx.delete(SHOWN, &chain.0);
        }
    }
}

fn unknown() -> Refusal {
    Refusal::new(Code::Unknown, "no such session is open here")
}
