//! Meeting a seller: the six messages of 3KP over the gateway's own addresses, or the bank's where
//! it settles for servers.
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
use farthing_dialects::names::{CBOR, CLOSE_PATH, INITIATE_PATH, OFFER_PATH, OPEN_PATH, SESSION_PATH};
use farthing_dialects::quote::Quote;
use farthing_dialects::service::{AskSession, BANK_ADDRESS_MAX, CloseSession, Offer, SessionView};
use farthing_net::http::client::{SendError, read_bounded, read_problem, send_idempotent};
use farthing_net::http::problem::Problem;
use farthing_peer::wallet::coupon::{CouponSession, Opening, Wish};
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;

use crate::client::Inner;
use crate::error::{Advice, PayError};
use crate::seat::Seat;

/// The longest of the gateway's own messages that is read.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

/// A session is asked to run so much longer than its seller insists on, for clocks that differ.
const LIFE_SLACK_SECS: u64 = 60;

/// Where the account does not hold what a session is worth, one worth so much less is tried.
const SMALLER_PART: u64 = 4;

/// The usual life of a session.
const LIFE: Span = Span::from_hours(24);

const _: () = assert!(BANK_ADDRESS_MAX < MESSAGE_BYTES_MAX);

/// What came of ending sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closed {
    /// How many ended.
    pub sessions: u32,
    /// What was set aside for them at the bank.
    pub held: Amount,
    /// What the seller charged, by its own word on each payment.
    pub charged: Amount,
    /// Paid without such a word: it may have been charged.
    pub unanswered: Amount,
}

/// Why one of the gateway's own addresses gave nothing.
enum Failed {
    NotSent(String),
    Lost(String),
    Refused(Box<Problem>),
}

impl Inner {
    /// A session to pay so many units of a quote from: one that is open, or a new one.
    pub(crate) async fn session(&self, seat: &Seat, quote: &Quote, units: u32) -> Result<CouponSession, PayError> {
        if let Some(open) = self.open_session(seat, quote, units).await? {
            return Ok(open);
        }
        let gate = self.gate(&seat.site);
        let _one_at_a_time = gate.lock().await;
        // Whoever waited here may find what another one opened.
        if let Some(open) = self.open_session(seat, quote, units).await? {
            return Ok(open);
        }
        for opening in self.wallet.coupon_openings(&seat.site).await? {
            if opening.seller() == quote.seller
                && opening.realm() == quote.realm
                && let Ok(session) = self.confirm(seat, opening).await
                && session.unit() == quote.coupon
                && session.left().await >= units
            {
                return Ok(session);
            }
        }
        let offer = self.offer(seat, quote).await?;
        let need = quote.coupon.checked_mul(units.into())?;
        let mut worth = self.worth(&offer, need)?;
        loop {
            match self.open(seat, &offer, units, worth).await {
                // Not enough for a session to keep: a smaller one, in the end for this request only.
                Err(PayError::Refused { advice: Advice::Fund, .. }) if worth.compare(need)?.is_gt() => {
                    let part = worth.as_micros() / SMALLER_PART;
                    worth = larger(worth.currency().micros(part)?, need);
                }
                opened => return opened,
            }
        }
    }

    /// What to set aside for a session whose first request costs `need`.
    fn worth(&self, offer: &Offer, need: Amount) -> Result<Amount, PayError> {
        let settings = self.wallet.settings();
        let usual = settings.currency().micros(settings.chains.value_micros)?;
        let likely = self.options.session_requests.map(|requests| need.checked_mul(requests.into())).transpose()?;
        let most = offer.order.price.checked_mul(offer.units_max.into())?;
        let caps = [likely, Some(most)].into_iter().flatten();
        Ok(larger(caps.fold(self.options.session.unwrap_or(usual), smaller), need))
    }

    /// Ends every session at a site, on both sides.
    pub(crate) async fn close(&self, site: &Url) -> Result<Closed, PayError> {
        let (seat, zero) = (self.seat_at(site), self.wallet.settings().currency().zero());
        let mut closed = Closed { sessions: 0, held: zero, charged: zero, unanswered: zero };
        for session in self.wallet.coupon_sessions_at(&seat.site).await? {
            let said = session.sign(&CloseSession { chain: session.chain(), at: self.wallet.now() });
            let through = match self.post::<SessionView>(&seat, CLOSE_PATH, wire::encode(&said)).await {
                Ok(view) => Some(view.through),
                // One that the server does not know has nothing to be ended there.
                Err(Failed::Refused(problem)) if problem.money != Money::Unknown => None,
                Err(failed) => return Err(refused(failed)),
            };
            let info = session.finish_at(through).await?;
            closed.sessions = closed.sessions.saturating_add(1);
            closed.held = closed.held.checked_add(info.held)?;
            closed.charged = closed.charged.checked_add(info.paid.checked_sub(info.unanswered)?)?;
            closed.unanswered = closed.unanswered.checked_add(info.unanswered)?;
        }
        Ok(closed)
    }

    /// How a session stands in the seller's books; nothing where it is not in them.
    pub(crate) async fn look(&self, session: &CouponSession) -> Result<Option<SessionView>, PayError> {
        let said = session.sign(&AskSession { chain: session.chain(), at: self.wallet.now() });
        match self.post::<SessionView>(&self.bank_seat()?, SESSION_PATH, wire::encode(&said)).await {
            Ok(view) => Ok(Some(view)),
            Err(Failed::Refused(problem)) if problem.code == Some(Code::Unknown) => Ok(None),
            Err(failed) => Err(refused(failed)),
        }
    }

    async fn open_session(&self, seat: &Seat, quote: &Quote, units: u32) -> Result<Option<CouponSession>, PayError> {
        let Quote { seller, realm, coupon, .. } = *quote;
        Ok(self.wallet.coupon_session(&seat.site, seller, realm, coupon, units).await?)
    }

    /// What is on sale, which must be what the quote is for.
    async fn offer(&self, seat: &Seat, quote: &Quote) -> Result<Offer, PayError> {
        let (url, http) = (seat.door(OFFER_PATH), self.doors(seat)?);
        let offer: Offer = self.fetch(|| http.get(url.clone())).await.map_err(refused)?;
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

    async fn open(&self, seat: &Seat, offer: &Offer, units: u32, at_most: Amount) -> Result<CouponSession, PayError> {
        let life = LIFE.max(Span::from_secs(offer.life_min_secs.saturating_add(LIFE_SLACK_SECS)));
        let ends = self.wallet.now().after(life);
        let not_after = self.options.session_ends.map_or(ends, |limit| limit.min(ends));
        let wish = Wish {
            site: seat.site.clone(),
            order: offer.order.clone(),
            units,
            at_most: Some(at_most),
            not_after: Some(not_after),
        };
        let (asking, initiate) = self.wallet.coupon_ask(wish).await?;
        let invoice: Signed<Clear> = self.post(seat, INITIATE_PATH, wire::encode(&initiate)).await.map_err(refused)?;
        let opening = asking.on_invoice(invoice).await?;
        self.confirm(seat, opening).await
    }

    /// Gives Payment to the seller, once more perhaps.
    async fn confirm(&self, seat: &Seat, opening: Opening) -> Result<CouponSession, PayError> {
        let payment = wire::encode(opening.payment());
        match self.post::<Confirm>(seat, OPEN_PATH, payment).await {
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

    async fn post<T: Wire>(&self, seat: &Seat, path: &str, body: Vec<u8>) -> Result<T, Failed> {
        let url = seat.door(path);
        let http = self.doors(seat).map_err(|why| Failed::NotSent(why.to_string()))?;
        self.fetch(|| http.post(url.clone()).header(CONTENT_TYPE, CBOR).body(body.clone())).await
    }

    async fn fetch<T: Wire>(&self, request: impl FnMut() -> reqwest::RequestBuilder) -> Result<T, Failed> {
        let sent = tokio::time::timeout(self.answer_time(), send_idempotent(request)).await;
        let sent = sent.map_err(|_| Failed::Lost("the server did not answer in time".into()))?;
        let answer = sent.map_err(|why| match why {
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

fn larger(one: Amount, other: Amount) -> Amount {
    if one.compare(other).is_ok_and(|order| order.is_lt()) { other } else { one }
}

fn smaller(one: Amount, other: Amount) -> Amount {
    if one.compare(other).is_ok_and(|order| order.is_gt()) { other } else { one }
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
