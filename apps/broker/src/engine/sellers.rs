//! The broker as a buyer: sessions with sellers.

use std::sync::Arc;

use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Money, Refusal};
use farthing_core::sign::Signed;
use farthing_core::time::Span;
use farthing_core::wire::{self, Wire};
use farthing_coupon::buyer::{Buyer, Purchase};
use farthing_coupon::messages::{Clear, Confirm};
use farthing_dialects::names::{CBOR, INITIATE_PATH, OFFER_PATH, OPEN_PATH};
use farthing_dialects::service::Offer;
use farthing_net::http::client::{SendError, read_bounded, read_problem, send_idempotent};
use farthing_net::http::problem::Problem;
use farthing_role::Context;
use farthing_store::Overlay;

use super::{Engine, Line, dice, later, lock, no_reply, random};
use crate::rows::{self, BUYING, BuyingRow, SELLERS, SellerRow, seller_key};

/// The longest of a seller's own messages that is read.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// How long sessions with sellers run.
const LIFE: Span = Span::from_hours(24);

impl Engine {
    /// Meets the sellers there are no sessions with yet. A seller that does not answer is left for
    /// the next time.
    pub(crate) async fn meet_sellers(&self) {
        for origin in self.terms.sellers.iter().map(ToString::to_string) {
            let known = self.desk().origins.iter().find(|(_, known)| **known == origin).map(|(seller, _)| *seller);
            if known.is_none_or(|seller| !self.is_good(seller, 1))
                && let Err(why) = self.buy_session(&origin).await
            {
                tracing::warn!(origin, %why, "no session with this seller");
            }
        }
    }

    /// Whether a session still has so many units, and time.
    fn is_good(&self, seller: PeerId, units: u32) -> bool {
        let now = self.now();
        self.desk()
            .broker
            .seller(seller)
            .is_some_and(|spender| spender.left() >= units && now < spender.not_after().before(self.terms.margin))
    }

    /// Opens another session where the one there is has too little left, and no request is with the
    /// seller just now. What was never answered in the old one is given up: the seller may have the
    /// money, and the buyer who did not ask again in time has lost that one coupon.
    pub(crate) async fn renew(&self, seller: PeerId, units: u32) -> Result<(), Refusal> {
        if self.is_good(seller, units) {
            return Ok(());
        }
        // The one that asks is not with the seller yet.
        if lock(&self.away).get(&seller).is_some_and(|away| *away > 0) {
            return Err(later("the broker waits for answers of this seller: send the very same again"));
        }
        let origin = self.desk().origins.get(&seller).cloned();
        let unknown = || Refusal::new(Code::Unknown, "the broker does not buy from this seller");
        match self.buy_session(&origin.ok_or_else(unknown)?).await {
            // It is the broker that has too little, and its owner reads what to do in its log.
            Err(why) if why.code == Code::Funds => {
                tracing::warn!(seller = %seller.short(), %why, "no further session with this seller");
                Err(later("the broker cannot pay this seller at present: send the very same again later"))
            }
            bought => bought,
        }
    }

    /// Buys a session from whoever sells at that address: 3KP, the buyer's half.
    async fn buy_session(&self, origin: &str) -> Result<(), Refusal> {
        let _one_at_a_time = self.buying.lock().await;
        let line = self.line(origin)?;
        let offer: Offer = ask(|| line.http.get(line.url(OFFER_PATH)), MESSAGE_BYTES_MAX).await?;
        let seller = offer.order.payee;
        if self.has_moved(seller, origin) && self.is_good(seller, 1) {
            return self.moved(seller, origin.to_owned()).await;
        }
        if self.is_good(seller, self.terms.units) {
            return Ok(());
        }
        if self.owes(seller) {
            return Err(later("the broker has still to pay this seller for something: send the very same again"));
        }
        if offer.network != self.bank.network() || offer.bank != self.bank.bank() {
            return Err(Refusal::new(Code::Policy, "the seller is paid through another bank"));
        }
        let buyer = self.buyer();
        let known =
            self.driver.read(|books| rows::read::<BuyingRow>(&Overlay::new(books), BUYING, seller_key(&seller)));
        let known = known.await.map_err(no_reply)?.map_err(|fault| {
            tracing::error!(%fault, "the broker's records cannot be read");
            later("the broker cannot read its records")
        })?;
        let (purchase, row) = match known {
            // Signed before, and never confirmed: the very same again.
            Some(row) => (Purchase::resume(row.pending.clone(), row.seed)?, row),
            None => {
                let (mut rng, seed) = (dice()?, random()?);
                let units = self.terms.units.min(offer.units_max);
                let ends = self.now().after(LIFE.max(Span::from_secs(offer.life_min_secs)));
                let (asked, initiate) = buyer.initiate(&offer.order, units, ends, seed, &mut rng)?;
                let invoice: Signed<Clear> =
                    post(&line, INITIATE_PATH, wire::encode(&initiate), MESSAGE_BYTES_MAX).await?;
                let (pending, purchase) =
                    buyer.on_invoice_as(self.now(), asked, invoice, self.bank.epoch(), &mut rng)?;
                let row = BuyingRow { pending, seed, origin: origin.to_owned() };
                let noted = row.clone();
                let note = move |cx: &mut Context<'_>| {
                    cx.tx.put(BUYING, seller_key(&seller), wire::encode(&noted));
                    Ok(())
                };
                self.driver.transact(note).await.map_err(no_reply)?;
                (purchase, row)
            }
        };
        let confirm: Confirm =
            match post(&line, OPEN_PATH, wire::encode(row.pending.payment()), MESSAGE_BYTES_MAX).await {
                Ok(confirm) => confirm,
                Err(why) => {
                    // A clear no ends it: whatever the bank was told, what it may hold comes back.
                    if why.money != Money::Unknown && why.remedy != farthing_core::refusal::Remedy::Again {
                        self.forget_buying(seller).await?;
                    }
                    return Err(self.short_of(why, &offer));
                }
            };
        let spender = match purchase.on_confirm(&buyer, confirm) {
            Ok(spender) => spender,
            Err(refused) => {
                self.forget_buying(seller).await?;
                return Err(self.short_of(refused.1, &offer));
            }
        };
        let (desk, seed, origin) = (Arc::clone(&self.desk), row.seed, row.origin);
        let keep = move |cx: &mut Context<'_>| {
            let row = SellerRow { state: spender.state().clone(), seed, origin: origin.clone() };
            cx.tx.put(SELLERS, seller_key(&seller), wire::encode(&row));
            cx.tx.delete(BUYING, seller_key(&seller));
            let mut desk = lock(&desk);
            desk.broker.add_seller(spender);
            desk.origins.insert(seller, origin);
            Ok(())
        };
        self.driver.transact(keep).await.map_err(no_reply)
    }

    /// Why there is no session: how much was missing, where the bank says that it was too little.
    fn short_of(&self, why: Refusal, offer: &Offer) -> Refusal {
        let units = self.terms.units.min(offer.units_max);
        match offer.order.price.checked_mul(units.into()) {
            Ok(sum) if why.code == Code::Funds => {
                let price = offer.order.price;
                let detail = format!(
                    "{units} units of {price} need {sum} that is not set aside already: put more in with farthing wallet fund, or start the broker with fewer --units"
                );
                Refusal { detail: detail.into(), ..why }
            }
            _ => why,
        }
    }

    /// Whether a seller that we have a session with says to be at another address, and we are not told
    /// any more to look for it at the one before: no seller can take another's place.
    fn has_moved(&self, seller: PeerId, origin: &str) -> bool {
        let desk = self.desk();
        let before = desk.origins.get(&seller).filter(|before| *before != origin);
        before.is_some_and(|before| !self.terms.sellers.iter().any(|named| named.to_string() == *before))
    }

    /// The session with a seller goes on at another address.
    async fn moved(&self, seller: PeerId, origin: String) -> Result<(), Refusal> {
        let desk = Arc::clone(&self.desk);
        let note = move |cx: &mut Context<'_>| {
            let row = rows::read::<SellerRow>(&*cx.tx, SELLERS, seller_key(&seller))?;
            let unknown = || Refusal::new(Code::Unknown, "the broker has no session with this seller");
            let row = SellerRow { origin: origin.clone(), ..row.ok_or_else(unknown)? };
            cx.tx.put(SELLERS, seller_key(&seller), wire::encode(&row));
            lock(&desk).origins.insert(seller, origin);
            Ok(())
        };
        self.driver.transact(note).await.map_err(no_reply)
    }

    async fn forget_buying(&self, seller: PeerId) -> Result<(), Refusal> {
        let forget = move |cx: &mut Context<'_>| {
            cx.tx.delete(BUYING, seller_key(&seller));
            Ok(())
        };
        self.driver.transact(forget).await.map_err(no_reply)
    }

    fn buyer(&self) -> Buyer<'_> {
        let (network, bank, bank_seal) = (self.bank.network(), self.bank.bank(), self.bank.info().body().seal);
        Buyer { account: &self.key, pseudonym: &self.key, network, bank, bank_seal }
    }
}

pub(super) async fn post<T: Wire>(line: &Line, path: &str, body: Vec<u8>, most: usize) -> Result<T, Refusal> {
    ask(|| line.http.post(line.url(path)).header("content-type", CBOR).body(body.clone()), most).await
}

/// Asks a seller, with the very same words again where the line breaks, and reads at most so much.
pub(super) async fn ask<T: Wire>(request: impl FnMut() -> reqwest::RequestBuilder, most: usize) -> Result<T, Refusal> {
    let lost = || later("the seller does not answer").money(Money::Unknown);
    let answer = send_idempotent(request).await.map_err(|why| match why {
        SendError::NotSent(_) => later("the seller cannot be reached"),
        SendError::OutcomeUnknown(_) => lost(),
    })?;
    if !answer.status().is_success() {
        let problem = read_problem(answer).await.map_err(|_| lost())?;
        let Problem { code, fault, money, remedy, detail, .. } = problem;
        return Err(Refusal { code: code.unwrap_or(Code::State), fault, money, remedy, detail: detail.into() });
    }
    let body = read_bounded(answer, most).await.map_err(|_| lost())?;
    Ok(wire::decode(&body)?)
}
