//! Meeting a seller: the six messages of 3KP over the gateway's own addresses.
//!
//! `GET` the offer; `POST` Initiate, get the invoice; `POST` Payment, which the wallet has written
//! down, get the confirmation with the bank's signature. A purchase that broke off after Payment is
//! gone on with: the same Payment is sent again, now or after a restart.

use farthing_core::amount::Amount;
use farthing_core::refusal::{Code, Money};
use farthing_core::sign::Signed;
use farthing_core::time::Span;
use farthing_core::wire::{self, Wire};
use farthing_coupon::messages::{Clear, Confirm};
use farthing_dialects::names::{CBOR, CLOSE_PATH, INITIATE_PATH, OFFER_PATH, OPEN_PATH};
use farthing_dialects::quote::Quote;
use farthing_dialects::service::{BANK_ADDRESS_MAX, CloseSession, Offer, SessionView};
use farthing_net::http::client::{SendError, read_bounded, read_problem, send_idempotent};
use farthing_net::http::problem::Problem;
use farthing_peer::wallet::coupon::{CouponSession, Opening, Wish};
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;

use crate::client::Inner;
use crate::error::{Advice, PayError};
use crate::wanted::Wanted;

/// The longest of the gateway's own messages that is read.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

/// A session is asked to run so much longer than its seller insists on, for clocks that differ.
const LIFE_SLACK_SECS: u64 = 60;

/// The usual life of a session.
const LIFE: Span = Span::from_hours(24);

const _: () = assert!(BANK_ADDRESS_MAX < MESSAGE_BYTES_MAX);

/// Why one of the gateway's own addresses gave nothing.
enum Failed {
    NotSent(String),
    Lost(String),
    Refused(Box<Problem>),
}

impl Inner {
    /// A session to pay so many units of a quote from: one that is open, or a new one.
    pub(crate) async fn session(&self, wanted: &Wanted, quote: &Quote, units: u32) -> Result<CouponSession, PayError> {
        if let Some(open) = self.open_session(wanted, quote, units).await? {
            return Ok(open);
        }
        let gate = self.gate(&wanted.site);
        let _one_at_a_time = gate.lock().await;
        // Whoever waited here may find what another one opened.
        if let Some(open) = self.open_session(wanted, quote, units).await? {
            return Ok(open);
        }
        for opening in self.wallet.coupon_openings(&wanted.site).await? {
            if opening.seller() == quote.seller
                && opening.realm() == quote.realm
                && let Ok(session) = self.confirm(wanted, opening).await
                && session.unit() == quote.coupon
                && session.left().await >= units
            {
                return Ok(session);
            }
        }
        let offer = self.offer(wanted, quote).await?;
        let most = quote.coupon.checked_mul(offer.units_max.into())?;
        let cap = self.options.session.filter(|cap| cap.compare(most).is_ok_and(|order| order.is_lt()));
        match self.open(wanted, &offer, units, cap.unwrap_or(most)).await {
            // Not enough for a session to keep: one for this request only.
            Err(PayError::Refused { advice: Advice::Fund, .. }) => {
                self.open(wanted, &offer, units, quote.coupon.checked_mul(units.into())?).await
            }
            opened => opened,
        }
    }

    /// Ends every session at a site, on both sides. How many, and what was paid in them.
    pub(crate) async fn close(&self, site: &Url) -> Result<(u32, Amount), PayError> {
        let name = site.origin().ascii_serialization();
        let (mut ended, mut paid) = (0_u32, self.wallet.settings().currency().zero());
        for session in self.wallet.coupon_sessions_at(&name).await? {
            let said = session.sign(&CloseSession { chain: session.chain(), at: self.wallet.now() });
            match self.post::<SessionView>(site, CLOSE_PATH, wire::encode(&said)).await {
                // One that the server does not know has nothing to be ended there.
                Ok(_) => {}
                Err(Failed::Refused(problem)) if problem.money != Money::Unknown => {}
                Err(failed) => return Err(refused(failed)),
            }
            paid = paid.checked_add(session.finish().await?)?;
            ended = ended.saturating_add(1);
        }
        Ok((ended, paid))
    }

    async fn open_session(
        &self,
        wanted: &Wanted,
        quote: &Quote,
        units: u32,
    ) -> Result<Option<CouponSession>, PayError> {
        let Quote { seller, realm, coupon, .. } = *quote;
        Ok(self.wallet.coupon_session(&wanted.site, seller, realm, coupon, units).await?)
    }

    /// What is on sale, which must be what the quote is for.
    async fn offer(&self, wanted: &Wanted, quote: &Quote) -> Result<Offer, PayError> {
        let url = own(wanted.url(), OFFER_PATH);
        let offer: Offer = self.fetch(|| self.http.get(url.clone())).await.map_err(refused)?;
        let order = &offer.order;
        let fits = order.id() == quote.realm && order.payee == quote.seller && order.price == quote.coupon;
        if !fits || offer.network != quote.network {
            return Err(PayError::refused("the server's offer is not what its price is for", Advice::Later));
        }
        if offer.bank != self.wallet.bank() {
            return Err(PayError::refused("the server is paid through another bank than this wallet's", Advice::Stop));
        }
        Ok(offer)
    }

    async fn open(
        &self,
        wanted: &Wanted,
        offer: &Offer,
        units: u32,
        at_most: Amount,
    ) -> Result<CouponSession, PayError> {
        let usual = self.wallet.settings().currency().micros(self.wallet.settings().chains.value_micros)?;
        let smaller = usual.compare(at_most).is_ok_and(|order| order.is_lt());
        let need = offer.order.price.checked_mul(units.into())?;
        let at_most = if smaller && self.options.session.is_none() { larger(usual, need) } else { at_most };
        let life = LIFE.max(Span::from_secs(offer.life_min_secs.saturating_add(LIFE_SLACK_SECS)));
        let ends = self.wallet.now().after(life);
        let not_after = self.options.session_ends.map_or(ends, |limit| limit.min(ends));
        let wish = Wish {
            site: wanted.site.clone(),
            order: offer.order.clone(),
            units,
            at_most: Some(at_most),
            not_after: Some(not_after),
        };
        let (asking, initiate) = self.wallet.coupon_ask(wish).await?;
        let invoice: Signed<Clear> =
            self.post(wanted.url(), INITIATE_PATH, wire::encode(&initiate)).await.map_err(refused)?;
        let opening = asking.on_invoice(invoice).await?;
        self.confirm(wanted, opening).await
    }

    /// Gives Payment to the seller, once more perhaps.
    async fn confirm(&self, wanted: &Wanted, opening: Opening) -> Result<CouponSession, PayError> {
        let payment = wire::encode(opening.payment());
        match self.post::<Confirm>(wanted.url(), OPEN_PATH, payment).await {
            Ok(confirm) => Ok(opening.on_confirm(confirm).await?),
            Err(Failed::Refused(problem)) if problem.money != Money::Unknown => {
                // It is over, whatever the bank was told: what it may have set aside comes back.
                opening.abandon().await?;
                Err(refused(Failed::Refused(problem)))
            }
            // Written down: it is gone on with next time. No money has moved to the seller.
            Err(failed) => Err(refused(failed)),
        }
    }

    async fn post<T: Wire>(&self, site: &Url, path: &str, body: Vec<u8>) -> Result<T, Failed> {
        let url = own(site, path);
        self.fetch(|| self.http.post(url.clone()).header(CONTENT_TYPE, CBOR).body(body.clone())).await
    }

    async fn fetch<T: Wire>(&self, request: impl FnMut() -> reqwest::RequestBuilder) -> Result<T, Failed> {
        let answer = send_idempotent(request).await.map_err(|why| match why {
            SendError::NotSent(_) => Failed::NotSent("the server cannot be reached".into()),
            SendError::OutcomeUnknown(_) => Failed::Lost("the server did not answer".into()),
        })?;
        let lost = |why: farthing_net::http::client::ReadError| Failed::Lost(why.to_string());
        if !answer.status().is_success() {
            return Err(Failed::Refused(Box::new(read_problem(answer).await.map_err(lost)?)));
        }
        let body = read_bounded(answer, MESSAGE_BYTES_MAX).await.map_err(lost)?;
        wire::decode(&body).map_err(|_| Failed::Lost("the server's answer cannot be read".into()))
    }
}

/// One of the gateway's own addresses at the site of a request.
pub(crate) fn own(site: &Url, path: &str) -> Url {
    let mut url = site.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

fn larger(one: Amount, other: Amount) -> Amount {
    if one.compare(other).is_ok_and(|order| order.is_lt()) { other } else { one }
}

fn refused(failed: Failed) -> PayError {
    match failed {
        Failed::NotSent(why) => PayError::NothingSent(why),
        // A session that is not open has paid nobody: what is set aside comes back.
        Failed::Lost(why) => PayError::refused(format!("no session was opened or ended: {why}"), Advice::Later),
        Failed::Refused(problem) => {
            let advice = if problem.code == Some(Code::Funds) { Advice::Fund } else { problem.remedy.into() };
            PayError::refused(format!("the server opens no session: {}", problem.detail), advice)
        }
    }
}
