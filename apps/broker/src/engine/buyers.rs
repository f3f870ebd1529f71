//! The broker as a seller: opening and closing sessions with buyers.

use std::sync::Arc;

use farthing_bank::client::BankClient;
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::time::SKEW;
use farthing_core::wire;
use farthing_coupon::messages::{AuthAnswer, Clear, Confirm, Initiate, Payment};
use farthing_dialects::service::{CloseSession, SessionView};
use farthing_role::Halt;
use farthing_store::Overlay;

use super::{Engine, INVOICES_MAX, dice, lock, no_answer, no_reply};
use crate::rows::{self, BUYERS, BuyerRow, OPENINGS, OpeningRow};

impl Engine {
    /// Initiate, answered by Invoice.
    pub(crate) fn invoice(&self, initiate: &Initiate) -> Result<Signed<Clear>, Refusal> {
        self.check_broker(initiate.header.payer)?;
        let (invoiced, invoice) = self.seller.invoice(self.now(), &self.order, initiate, &mut dice()?)?;
        let common = invoice.peek().map_err(Refusal::from)?.common;
        let mut invoices = lock(&self.invoices);
        if invoices.len() >= INVOICES_MAX {
            invoices.clear();
        }
        invoices.insert(common, invoiced);
        Ok(invoice)
    }

    /// Payment, answered by Confirm. Written down before the bank is asked, so that a purchase whose
    /// answer went missing is asked for again under the same id.
    pub(crate) async fn open(&self, payment: Payment) -> Result<Confirm, Refusal> {
        let common = payment.consent.peek().map_err(Refusal::from)?.common;
        let known = self.driver.read(|books| rows::read::<OpeningRow>(&Overlay::new(books), OPENINGS, &common.0));
        let known = known.await.map_err(no_reply)?.map_err(|fault| no_reply(unreadable(&fault)))?;
        let row = match known {
            Some(row) if row.payment != payment => {
                return Err(Refusal::new(Code::Conflict, "this invoice was paid in another way before"));
            }
            Some(OpeningRow { confirm: Some(confirm), .. }) => return Ok(confirm),
            Some(row) => row,
            None => self.note_opening(common, payment).await?,
        };
        let answer = self.bank.authorise(&self.key, row.id, row.committed.request()).await;
        let AuthAnswer::Answered(signed) = answer.map_err(|why| no_answer(&why))? else {
            return Err(Refusal::new(Code::Conflict, "this invoice was paid in another way before"));
        };
        let (session, confirm) = match self.seller.on_authorisation(&row.committed, signed) {
            Ok(opened) => opened,
            Err(why) => {
                let forget = move |cx: &mut farthing_role::Context<'_>| {
                    cx.tx.delete(OPENINGS, &common.0);
                    Ok(())
                };
                self.driver.transact(forget).await.map_err(no_reply)?;
                return Err(why);
            }
        };
        let (desk, answered) = (Arc::clone(&self.desk), confirm.clone());
        let keep = move |cx: &mut farthing_role::Context<'_>| {
            // Of two repeats that come at once, the second changes nothing.
            if cx.tx.get(BUYERS, &session.chain().0)?.is_none() {
                let buyer = BuyerRow { state: session.state().clone(), closed: false };
                cx.tx.put(BUYERS, &session.chain().0, wire::encode(&buyer));
                cx.tx.put(OPENINGS, &common.0, wire::encode(&OpeningRow { confirm: Some(answered), ..row }));
                lock(&desk).broker.add_buyer(session);
            }
            Ok(())
        };
        self.driver.transact(keep).await.map_err(no_reply)?;
        Ok(confirm)
    }

    async fn note_opening(
        &self,
        common: farthing_coupon::secret::Digest,
        payment: Payment,
    ) -> Result<OpeningRow, Refusal> {
        let gone = || Refusal::new(Code::Unknown, "no such invoice is open here: begin again").remedy(Remedy::Mend);
        let invoiced = lock(&self.invoices).get(&common).cloned().ok_or_else(gone)?;
        let committed = self.seller.on_payment(&invoiced, payment.clone())?;
        let id = BankClient::new_id(self.now()).map_err(|why| no_answer(&why))?;
        let row = OpeningRow { payment, committed, id, confirm: None };
        let noted = row.clone();
        let note = move |cx: &mut farthing_role::Context<'_>| {
            // Noted by a repeat that came at once: its id is the one.
            if let Some(before) = rows::read::<OpeningRow>(&*cx.tx, OPENINGS, &common.0)? {
                return Ok(before);
            }
            cx.tx.put(OPENINGS, &common.0, wire::encode(&noted));
            Ok(noted)
        };
        self.driver.transact(note).await.map_err(no_reply)
    }

    /// Takes no more coupons in a session; it is cleared for the last time with the next clearing.
    pub(crate) async fn close(&self, ask: Signed<CloseSession>) -> Result<SessionView, Refusal> {
        let claimed = ask.peek().map_err(Refusal::from)?;
        if self.now().since(claimed.at) > SKEW || claimed.at.since(self.now()) > SKEW {
            return Err(Refusal::new(Code::Expired, "this was said too long ago: say it anew").remedy(Remedy::Mend));
        }
        let chain = claimed.chain;
        let unknown = || Refusal::new(Code::Unknown, "no such session is open here");
        let buyer =
            self.desk().broker.buyer(chain).map(farthing_coupon::session::Session::buyer).ok_or_else(unknown)?;
        ask.verify_by(self.bank.network(), buyer).map_err(Refusal::from)?;
        let desk = Arc::clone(&self.desk);
        let close = move |cx: &mut farthing_role::Context<'_>| {
            let mut desk = lock(&desk);
            let session = desk.broker.buyer(chain).ok_or_else(unknown).map_err(Halt::from)?;
            let row = BuyerRow { state: session.state().clone(), closed: true };
            let view = SessionView {
                chain,
                units: session.units(),
                through: session.through(),
                cleared: session.cleared(),
                closed: true,
            };
            cx.tx.put(BUYERS, &chain.0, wire::encode(&row));
            desk.closed.insert(chain);
            Ok(view)
        };
        self.driver.transact(close).await.map_err(no_reply)
    }
}

fn unreadable(fault: &farthing_ledger::StoreFault) -> farthing_driver::NoReply {
    tracing::error!(%fault, "the broker's records cannot be read");
    farthing_driver::NoReply::Down
}
