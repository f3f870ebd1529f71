//! Clearing what buyers paid: one request for all sessions, written down before it is sent.

use std::sync::Arc;

use farthing_bank::client::{AskError, BankClient};
use farthing_core::refusal::Refusal;
use farthing_core::wire::{self, Bounded};
use farthing_coupon::clearing::{CLEARING_ITEMS_MAX, ClearReceipt, Clearing, Clearings};
use farthing_role::Context;
use farthing_store::Overlay;

use super::{Engine, later, lock, no_answer, no_reply};
use crate::rows::{self, ANSWERS, BUYERS, BuyerRow, CLEARING, ClearingRow, EXCHANGES, JOBS, ONE, SOLD};

impl Engine {
    /// Clears all sessions with something new in them, and for the last time those that are over.
    pub(crate) async fn clear(&self) -> Result<(), Refusal> {
        let _one_at_a_time = self.clearing.lock().await;
        loop {
            let known = self.driver.read(|books| rows::read::<ClearingRow>(&Overlay::new(books), CLEARING, ONE)).await;
            let known = known.map_err(no_reply)?.map_err(|fault| {
                tracing::error!(%fault, "the broker's records cannot be read");
                later("the broker cannot read its records")
            })?;
            let row = match known {
                Some(row) => row,
                None => {
                    let items = self.due();
                    let Some(items) = Bounded::new(items).filter(|items| !items.as_slice().is_empty()) else {
                        return Ok(());
                    };
                    let id = BankClient::new_id(self.now()).map_err(|why| no_answer(&why))?;
                    let row = ClearingRow { id, clearings: Clearings { items } };
                    let noted = row.clone();
                    let note = move |cx: &mut Context<'_>| {
                        cx.tx.put(CLEARING, ONE, wire::encode(&noted));
                        Ok(())
                    };
                    self.driver.transact(note).await.map_err(no_reply)?;
                    row
                }
            };
            let receipt = match self.bank.clear(&self.key, row.id, &row.clearings).await {
                Ok(receipt) => Some(receipt.body().clone()),
                // Turned away as a whole, for good: the next one is made afresh.
                Err(AskError::Refused { refusal, authenticated: true }) => {
                    tracing::warn!(why = %refusal, "a clearing was refused");
                    None
                }
                Err(why) => return Err(no_answer(&why)),
            };
            let over = receipt.is_none();
            self.note_cleared(row.clearings, receipt).await?;
            if over {
                return Ok(());
            }
        }
    }

    /// What there is to clear now.
    fn due(&self) -> Vec<Clearing> {
        let (desk, now) = (self.desk(), self.now());
        let over = |chain, ends| desk.closed.contains(&chain) || now >= ends;
        // A coupon that waits for goods may yet be given back.
        let sessions = desk.broker.buyers().filter(|session| !desk.broker.withholds(session.chain()));
        let due = sessions.filter_map(|session| {
            let is_final = over(session.chain(), session.not_after());
            (is_final || session.uncleared() > 0).then(|| session.clearing(is_final))
        });
        due.take(CLEARING_ITEMS_MAX).collect()
    }

    async fn note_cleared(&self, asked: Clearings, receipt: Option<ClearReceipt>) -> Result<(), Refusal> {
        let desk = Arc::clone(&self.desk);
        let note = move |cx: &mut Context<'_>| {
            cx.tx.delete(CLEARING, ONE);
            let Some(receipt) = receipt else { return Ok(()) };
            let mut desk = lock(&desk);
            for (clearing, line) in asked.items.as_slice().iter().zip(receipt.lines.as_slice()) {
                let Some(mut session) = desk.broker.buyer(clearing.chain).cloned() else { continue };
                session.on_cleared(line);
                if clearing.is_final {
                    cx.tx.delete(BUYERS, &clearing.chain.0);
                    rows::delete_under(cx, JOBS, &clearing.chain.0)?;
                    for table in [ANSWERS, EXCHANGES, SOLD] {
                        rows::delete_under(cx, table, &clearing.chain.0)?;
                    }
                    desk.forget_shown(cx, clearing.chain, &session);
                    desk.broker.remove_buyer(clearing.chain);
                    desk.closed.remove(&clearing.chain);
                    continue;
                }
                let row = BuyerRow { state: session.state().clone(), closed: desk.closed.contains(&clearing.chain) };
                cx.tx.put(BUYERS, &clearing.chain.0, wire::encode(&row));
                desk.broker.add_buyer(session);
            }
            Ok(())
        };
        self.driver.transact(note).await.map_err(no_reply)
    }
}
