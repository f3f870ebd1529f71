//! Exchanging a buyer's coupon for a small product: coupon and key change hands together.
//!
//! Each step is durable before the next begins: the buyer's coupon taken and the seller's withheld;
//! the goods seen, and the coupon let go; the seller's word that it came. Whoever comes back, buyer,
//! seller or this broker after a crash, finds the exchange where it stood. Where the buyer does not,
//! it is gone on with in every round, so that nobody waits for somebody who left.

use std::collections::BTreeSet;
use std::sync::Arc;

use farthing_core::id::{ChainId, PeerId};
use farthing_core::refusal::{Code, Fault, Money, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::wire;
use farthing_coupon::broker::{Drawn, Exchanged, Form, Job, JobName};
use farthing_coupon::exchange::stall::{AskGoods, Shelf, Shown};
use farthing_coupon::exchange::{Goods, PRODUCT_MAX, request_of};
use farthing_coupon::micro::{Ack, Pay};
use farthing_role::Context;
use farthing_store::Overlay;

use super::sellers::{ask, post};
use super::translate::{Translation, write};
use super::{Engine, later, lock, no_reply};
use crate::messages::{ExchangeAnswer, ExchangeAsk, GOODS_PATH, PAY_PATH, PayGoods, SHELF_PATH};
use crate::rows::{self, EXCHANGES, ExchangeRow, job_key};

/// The longest goods or shelf that is read: a product, and what is said about it.
const GOODS_BYTES_MAX: usize = PRODUCT_MAX + (4 << 10);
/// For so long a shelf is shown again before its seller is asked once more.
const SHELF_KEPT: farthing_core::time::Span = farthing_core::time::Span::from_secs(10);

impl Engine {
    /// Buys a small product for a buyer's coupon, or gives the coupon back.
    pub(crate) async fn exchange(&self, asked: ExchangeAsk) -> Result<ExchangeAnswer, Refusal> {
        let ExchangeAsk { chain, pay, want } = asked;
        let of_product = match want.form {
            Form::Exchange { product: Some(product) } => want.request == request_of(product),
            _ => false,
        };
        if !of_product || pay.order != want.order(self.order.id()) {
            return Err(Refusal::new(Code::Order, "the coupon was made for another product"));
        }
        let name = (chain, pay.index);
        let Translation::Drawn(drawn) = self.translate(chain, pay, want).await? else { return Err(forgotten()) };
        if !matches!(drawn.0, Drawn::Withheld(_)) {
            return self.exchanged(name, &pay).await?.ok_or_else(forgotten);
        }
        // Should the buyer go away meanwhile, the next round goes on with it.
        self.go_on(name, drawn.2).await?;
        self.exchanged(name, &pay).await?.ok_or_else(forgotten)
    }

    /// Goes on with every exchange that is not over. Of a seller that does not answer, one is tried.
    pub(crate) async fn go_on_with_exchanges(&self) {
        let open: Vec<(JobName, PeerId)> = {
            let desk = self.desk();
            desk.broker.open_exchanges().map(|(name, job)| (name, job.want.seller)).collect()
        };
        let mut silent = BTreeSet::new();
        for (name, seller) in open {
            if silent.contains(&seller) && !self.is_over(name) {
                continue;
            }
            if let Err(why) = self.go_on(name, false).await {
                tracing::warn!(seller = %seller.short(), %why, "an exchange waits for its seller");
                silent.insert(seller);
            }
        }
    }

    /// Takes an exchange as far as it goes now. `is_new` says that its seller was never asked.
    async fn go_on(&self, name: JobName, is_new: bool) -> Result<(), Refusal> {
        let Some(seller) = self.desk().broker.job(name).map(|job| job.want.seller) else { return Ok(()) };
        let gate = Arc::clone(lock(&self.gates).entry(seller).or_default());
        let _one_at_a_time = gate.lock().await;
        let _away = self.away(seller);
        let Some(job) = self.desk().broker.job(name).cloned() else { return Ok(()) };
        match job.drawn {
            Drawn::Withheld(_) if self.is_over(name) => {
                self.call_off(name, Refusal::new(Code::Expired, "the session has ended before the goods came")).await
            }
            Drawn::Withheld(pay) => match self.goods(&job, &pay).await {
                Ok(goods) => self.compare(name, goods).await,
                Err(why) if is_final(&why, is_new) => self.call_off(name, why).await,
                Err(why) => Err(why.money(Money::Unknown).remedy(Remedy::Again)),
            },
            Drawn::Forward(pay) => {
                if let Err(why) = self.hand_over(name, &job, pay).await {
                    tracing::warn!(seller = %seller.short(), %why, "a seller has still to be paid for its goods");
                }
                Ok(())
            }
            Drawn::Token(_) | Drawn::Done(_) => Ok(()),
        }
    }

    /// Whether a withheld coupon can never be let go: its session or the buyer's has ended, or was
    /// replaced.
    fn is_over(&self, name: JobName) -> bool {
        let (mut desk, now) = (self.desk(), self.now());
        let Some(Job { drawn: Drawn::Withheld(pay), want, .. }) = desk.broker.job(name).cloned() else { return false };
        let buyer = desk.broker.buyer(name.0).is_none_or(|session| now >= session.not_after());
        let seller = desk.broker.seller(want.seller).is_none_or(|spender| now >= spender.not_after());
        buyer || seller || !desk.broker.drew(want.seller, &pay)
    }

    /// Whether a seller has shown goods and was not paid yet, and its session runs.
    pub(super) fn owes(&self, seller: PeerId) -> bool {
        let (desk, now) = (self.desk(), self.now());
        let runs = desk.broker.seller(seller).is_some_and(|spender| now < spender.not_after());
        runs && desk.broker.open_exchanges().any(|(_, job)| job.want.seller == seller)
    }

    /// Looks whether the goods are the ones that were ordered, and lets go of both sides or neither.
    async fn compare(&self, name: JobName, goods: Goods) -> Result<(), Refusal> {
        let desk = Arc::clone(&self.desk);
        let compared = move |cx: &mut Context<'_>| {
            let mut desk = lock(&desk);
            let Some(job) = desk.broker.job(name).filter(|job| job.is_withheld()).cloned() else { return Ok(None) };
            let (answer, pay) = match desk.broker.on_goods(cx.now, name, goods).map_err(Refusal::from)? {
                Exchanged::Fair { pay, goods, ack } => (ExchangeAnswer::Fair { goods: *goods, ack }, Some(*pay)),
                Exchanged::Off { ack, why, evidence } => {
                    (ExchangeAnswer::Off { ack, why, evidence: evidence.map(|found| *found) }, None)
                }
            };
            keep(cx, name, &job, answer)?;
            write(cx, &desk, name, &job.want)?;
            Ok(pay.map(|pay| (job, pay)))
        };
        if let Some((job, pay)) = self.driver.transact(compared).await.map_err(no_reply)?
            && let Err(why) = self.hand_over(name, &job, pay).await
        {
            // The goods are the buyer's by now, and the coupon the seller's: it is sent again.
            tracing::warn!(seller = %job.want.seller.short(), %why, "a seller has still to be paid for its goods");
        }
        Ok(())
    }

    /// Gives the buyer its coupon back.
    async fn call_off(&self, name: JobName, why: Refusal) -> Result<(), Refusal> {
        let desk = Arc::clone(&self.desk);
        let off = move |cx: &mut Context<'_>| {
            let mut desk = lock(&desk);
            let Some(job) = desk.broker.job(name).filter(|job| job.is_withheld()).cloned() else { return Ok(()) };
            let ack = desk.broker.call_off(name).map_err(Refusal::from)?;
            keep(cx, name, &job, ExchangeAnswer::Off { ack, why, evidence: None })?;
            write(cx, &desk, name, &job.want)?;
            Ok(())
        };
        self.driver.transact(off).await.map_err(no_reply)
    }

    /// Gives the seller the coupon for goods that were good, and takes its word that it came.
    async fn hand_over(&self, name: JobName, job: &Job, pay: Pay) -> Result<(), Refusal> {
        let (origin, chain) = self.way_to(job.want.seller)?;
        let line = self.line(&origin)?;
        let ack: Ack = post(&line, PAY_PATH, wire::encode(&PayGoods { chain, pay }), GOODS_BYTES_MAX).await?;
        let (desk, want) = (Arc::clone(&self.desk), job.want);
        let done = move |cx: &mut Context<'_>| {
            let mut desk = lock(&desk);
            desk.broker.on_ack(name, &ack).map_err(Refusal::from)?;
            write(cx, &desk, name, &want)
        };
        self.driver.transact(done).await.map_err(no_reply)
    }

    /// Asks the seller for the goods that a withheld coupon waits for.
    async fn goods(&self, job: &Job, pay: &Pay) -> Result<Goods, Refusal> {
        let Form::Exchange { product: Some(product) } = job.want.form else {
            return Err(Refusal::new(Code::Order, "no product is named"));
        };
        let (origin, chain) = self.way_to(job.want.seller)?;
        let shown = Shown { index: pay.index, units: pay.units, product };
        let asked = self.key.sign(self.bank.network(), &AskGoods { chain, shown });
        post(&self.line(&origin)?, GOODS_PATH, wire::encode(&asked), GOODS_BYTES_MAX).await
    }

    /// What a seller of small products has, by its own word.
    pub(crate) async fn shelf_of(&self, seller: PeerId) -> Result<Signed<Shelf>, Refusal> {
        let now = self.now();
        if let Some((at, shelf)) = lock(&self.shelves).get(&seller)
            && now.since(*at) < SHELF_KEPT
        {
            return Ok(shelf.clone());
        }
        let (origin, _) = self.way_to(seller)?;
        let line = self.line(&origin)?;
        let shelf: Signed<Shelf> = ask(|| line.http.get(line.url(SHELF_PATH)), GOODS_BYTES_MAX).await?;
        let lie =
            |_| Refusal::new(Code::Signature, "this seller shows a shelf that is not its own").blame(Fault::Third);
        shelf.clone().verify_by(self.bank.network(), seller).map_err(lie)?;
        // As many as there are sellers.
        lock(&self.shelves).insert(seller, (now, shelf.clone()));
        Ok(shelf)
    }

    /// Where a seller is, and our chain with it.
    pub(super) fn way_to(&self, seller: PeerId) -> Result<(String, ChainId), Refusal> {
        let desk = self.desk();
        let chain = desk.broker.seller(seller).map(farthing_coupon::spender::Spender::chain);
        let unknown = || Refusal::new(Code::Unknown, "the broker does not buy from this seller");
        desk.origins.get(&seller).cloned().zip(chain).ok_or_else(unknown)
    }

    /// What was answered to a coupon, if it was for an exchange and is remembered.
    async fn exchanged(&self, name: JobName, pay: &Pay) -> Result<Option<ExchangeAnswer>, Refusal> {
        let row =
            self.driver.read(move |books| rows::read::<ExchangeRow>(&Overlay::new(books), EXCHANGES, &job_key(name)));
        let row = row.await.map_err(no_reply)?.map_err(|fault| {
            tracing::error!(%fault, "the broker's records cannot be read");
            later("the broker cannot read its records")
        })?;
        let is_of_it = |row: &ExchangeRow| {
            let (ExchangeAnswer::Fair { ack, .. } | ExchangeAnswer::Off { ack, .. }) = &row.answer;
            row.paid == pay.entry() && !ack.is_past(&row.paid, pay.turn)
        };
        Ok(row.filter(is_of_it).map(|row| row.answer))
    }
}

/// Whether a seller's no ends an exchange: it was said to the ask itself, and whoever was asked never
/// showed the goods. Where an earlier ask may have arrived, silence is no such thing.
fn is_final(why: &Refusal, is_new: bool) -> bool {
    let unheard = why.code == Code::Rate || (why.fault == Fault::Us && why.remedy == Remedy::Again);
    why.money != Money::Unknown && (is_new || !unheard)
}

fn keep(
    cx: &mut Context<'_>,
    name: JobName,
    job: &Job,
    answer: ExchangeAnswer,
) -> Result<(), farthing_ledger::StoreFault> {
    rows::keep(cx, EXCHANGES, name, &ExchangeRow { paid: job.paid, answer })
}

fn forgotten() -> Refusal {
    Refusal::new(Code::Replay, "this coupon was used, and its answer is forgotten").money(Money::MovedBefore)
}
