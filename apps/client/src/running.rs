//! An answer that is paid for as it goes on: more is paid before the money runs out, and at the end
//! the seller says how much of it was used.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_core::amount::Amount;
use farthing_core::wire::{self, Bounded};
use farthing_coupon::micro::Ack;
use farthing_coupon::secret::Digest;
use farthing_coupon::session::WINDOW;
use farthing_coupon::spender::SpendError;
use farthing_dialects::names::{receipt_path, stream_path};
use farthing_dialects::quote::{Quote, UnitKind};
use farthing_net::http::client::{read_bounded, send_idempotent};
use farthing_peer::wallet::WalletError;
use farthing_peer::wallet::coupon::{CouponSession, Spend, Ticket};
use http_body_util::BodyExt;
use hyper::body::Frame;
use reqwest::header::HeaderMap;
use reqwest::{Method, Request, StatusCode, Url};
use tokio::time::Instant;

use crate::answer::Receipt;
use crate::client::Inner;
use crate::error::PayError;
use crate::quoted::{Quoted, acks_in};
use crate::seat::own;
use crate::wanted::Wanted;

/// More is paid once less is left than so many of 100 parts of a payment.
const REFILL_PERCENT: u32 = 30;

/// The most units of the first payment for an answer that is paid for as it goes on, and of each
/// further one. The session's window holds the first and two more; by then the first is used up, and
/// the server has said so.
pub(crate) const FIRST_UNITS_MAX: u32 = WINDOW / 2;
const MORE_UNITS_MAX: u32 = WINDOW / 4;

/// How often the server is asked whether an answer waits for money, once all that was paid is used;
/// and how soon a payment is tried again that other payments of the session are in the way of.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the receipts of an answer are asked for that was left before its end, with pauses of
/// [`RECEIPT_PAUSE`]: the server has to notice.
const RECEIPT_TRIES: u32 = 20;
const RECEIPT_PAUSE: Duration = Duration::from_millis(100);

/// The longest name of a stream.
const NAME_MAX: usize = 128;

/// The most payments for one answer.
const PAYMENTS_MAX: usize = 1_024;

/// The longest list of receipts that is read: of an answer with more payments, not all are checked.
const RECEIPTS_MAX: usize = 4_096;
const RECEIPTS_BYTES_MAX: usize = 128 * RECEIPTS_MAX;

/// A paid answer that has not ended.
pub(crate) struct Running {
    client: Arc<Inner>,
    /// Its payments, the first one first; the seller's word on each comes at the end.
    tickets: Vec<Ticket>,
    session: CouponSession,
    quote: Quote,
    site: Url,
    name: String,
    /// Units paid in all.
    units: u32,
    /// What they come to.
    paid: Amount,
    /// What those cost that the seller has given its word on already.
    cost: Amount,
    /// Units of a further payment.
    block: u32,
    since: Instant,
    bytes: u64,
    /// Nothing is paid or asked before.
    not_before: Instant,
    /// Why no more can be paid.
    dry: Option<Dry>,
    acks: Vec<Ack>,
    /// A word on one of the payments was not the seller's.
    is_doubtful: bool,
}

/// Why no more is paid for an answer.
#[derive(Debug)]
enum Dry {
    /// It is not paid for by and by.
    Whole,
    /// It would cost more than one request may.
    Cap(Amount),
    /// Refused, by the wallet, the caps or the server.
    Refused(String),
}

impl std::fmt::Display for Dry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole => f.write_str("it takes no further payment"),
            Self::Cap(cap) => write!(f, "one request may cost {cap}; raise the cap to get more"),
            Self::Refused(why) => write!(f, "no more could be paid: {why}"),
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Running, {} units paid", self.units)
    }
}

impl Running {
    pub(crate) fn new(client: Arc<Inner>, ticket: Ticket, quote: Quote, site: Url, name: &str) -> Self {
        let plain = name.len() <= NAME_MAX && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        let (units, paid, session) = (ticket.pay().units, ticket.price(), ticket.session().clone());
        let dry = (!plain || quote.kind == UnitKind::Request).then_some(Dry::Whole);
        let name = if plain { name.to_owned() } else { String::new() };
        Self {
            client,
            tickets: vec![ticket],
            session,
            quote,
            site,
            name,
            units,
            paid,
            cost: paid.currency().zero(),
            block: units.min(MORE_UNITS_MAX),
            since: Instant::now(),
            bytes: 0,
            not_before: Instant::now(),
            dry,
            acks: Vec::new(),
            is_doubtful: false,
        }
    }

    /// What was paid so far.
    pub(crate) const fn paid(&self) -> Amount {
        self.paid
    }

    /// The next frame of the body.
    ///
    /// # Errors
    /// Why it breaks off.
    pub(crate) async fn next(&mut self, body: &mut reqwest::Body) -> Result<Option<Frame<Bytes>>, String> {
        loop {
            let frame = match self.next_look() {
                None => body.frame().await,
                Some(wait) => match tokio::time::timeout(wait, body.frame()).await {
                    Ok(frame) => frame,
                    Err(_) if self.dry.is_none() => {
                        self.refill().await;
                        continue;
                    }
                    Err(_) if self.waits().await => return Err(self.ran_out()),
                    Err(_) => continue,
                },
            };
            return match frame.transpose() {
                Ok(frame) => {
                    let data = frame.as_ref().and_then(Frame::data_ref);
                    self.bytes = self.bytes.saturating_add(data.map_or(0, |data| data.len() as u64));
                    Ok(frame)
                }
                Err(_) if self.dry.is_some() && self.left_beyond(0).is_some_and(|left| left.is_zero()) => {
                    Err(self.ran_out())
                }
                Err(why) => Err(format!("the answer broke off ({})", why.without_url())),
            };
        }
    }

    fn ran_out(&self) -> String {
        let why = self.dry.as_ref().unwrap_or(&Dry::Whole);
        format!("the money for the answer ran out after {} bytes: {why}", self.bytes)
    }

    /// When to pay more; or, where no more will be paid, when to look whether the server waits for it.
    fn next_look(&self) -> Option<Duration> {
        let reserve = if self.dry.is_some() { 0 } else { self.block.saturating_mul(REFILL_PERCENT) / 100 };
        let left = self.left_beyond(reserve)?;
        Some(left.max(self.not_before.saturating_duration_since(Instant::now())))
    }

    /// How long until only so many units of what is paid are left; `None` where time does not tell.
    fn left_beyond(&self, reserve: u32) -> Option<Duration> {
        let until = self.quote.covered_by(self.units.saturating_sub(reserve));
        match self.quote.kind {
            UnitKind::Second => Some(Duration::from_secs(until).saturating_sub(self.since.elapsed())),
            UnitKind::Byte => (self.bytes >= until).then_some(Duration::ZERO),
            UnitKind::Request => None,
        }
    }

    /// Pays as much again, if the cap for one request leaves room; otherwise this was all. Without
    /// such a cap, no more is paid than the server asked for at first.
    async fn refill(&mut self) {
        let cap = self.client.options.per_request.or_else(|| self.quote.amount().ok());
        let cap = cap.unwrap_or(self.paid);
        let room = (cap.as_micros() / self.quote.coupon.as_micros().max(1)).saturating_sub(self.units.into());
        let units = u32::try_from(room).unwrap_or(u32::MAX).min(self.block);
        if units == 0 {
            self.dry = Some(Dry::Cap(cap));
        } else if self.tickets.len() >= PAYMENTS_MAX {
            self.dry = Some(Dry::Refused(format!("an answer is paid for by at most {PAYMENTS_MAX} open payments")));
        } else if let Err(why) = self.pay_more(units).await {
            match why {
                PayError::Wallet(WalletError::Coupon(SpendError::TooManyOpen)) => {
                    self.not_before = Instant::now() + LOOK_EVERY;
                }
                why => {
                    tracing::info!(%why, "no more is paid for a running answer");
                    self.dry = Some(Dry::Refused(why.to_string()));
                }
            }
        }
    }

    async fn pay_more(&mut self, units: u32) -> Result<(), PayError> {
        let wanted = Wanted::new(Request::new(Method::POST, own(&self.site, &stream_path(&self.name))))?;
        let spend = Spend { units, request: wanted.digest, tool: None };
        let quoted = Quoted::known(self.quote.clone());
        let (ticket, body) = self.client.pay_bare(&wanted, &quoted, &self.session, spend).await?;
        self.units = self.units.saturating_add(units);
        self.paid = self.paid.checked_add(ticket.price()).unwrap_or(self.paid);
        self.tickets.push(ticket);
        // What is used up by now; a server that does not say tells it all at the end.
        if let Ok(acks) = wire::decode::<Bounded<Ack, PAYMENTS_MAX>>(&body) {
            self.take(acks.as_slice()).await;
        }
        Ok(())
    }

    /// Takes the seller's word on payments that are used up while the answer still runs.
    async fn take(&mut self, acks: &[Ack]) {
        for ack in acks {
            let Some(at) = self.tickets.iter().position(|ticket| ticket.pay().index == ack.index) else { continue };
            if ack.charged < self.tickets[at].pay().units {
                // Not now: what comes back is known at the end.
                continue;
            }
            let ticket = self.tickets.remove(at);
            let price = ticket.price();
            match ticket.answered(ack).await {
                Ok(charged) => {
                    self.client.settled(price, charged);
                    self.cost = self.cost.checked_add(charged).unwrap_or(self.paid);
                }
                Err(_) => self.is_doubtful = true,
            }
        }
    }

    /// Whether the server says that the answer waits for money.
    async fn waits(&mut self) -> bool {
        self.not_before = Instant::now() + LOOK_EVERY;
        let asked = self.client.http.get(own(&self.site, &stream_path(&self.name))).timeout(LOOK_EVERY).send().await;
        asked.is_ok_and(|answer| answer.status() == StatusCode::PAYMENT_REQUIRED)
    }

    /// Takes what came after the body.
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        self.acks = acks_in(trailers);
    }

    /// What the answer cost, by the seller's word, and which answer that word names.
    pub(crate) async fn end(self: Box<Self>) -> (Receipt, Option<Digest>) {
        let at_most = self.paid;
        let acks = if self.acks.is_empty() { self.fetch().await.unwrap_or_default() } else { self.acks };
        let (mut cost, mut named) = (self.cost, None);
        for ticket in self.tickets {
            let (index, price) = (ticket.pay().index, ticket.price());
            let Some(ack) = acks.iter().find(|ack| ack.index == index) else {
                return (Receipt::Missing { at_most }, None);
            };
            match ticket.answered(ack).await {
                Ok(charged) => {
                    self.client.settled(price, charged);
                    cost = cost.checked_add(charged).unwrap_or(at_most);
                    named = Some(ack.response);
                }
                Err(WalletError::Coupon(SpendError::Forged)) => return (Receipt::False { at_most }, None),
                Err(_) => return (Receipt::Missing { at_most }, None),
            }
        }
        if self.is_doubtful {
            return (Receipt::False { at_most }, None);
        }
        (Receipt::Checked { cost, whole: false }, named)
    }

    /// Asks for the receipts where none came after the body.
    async fn fetch(&self) -> Option<Vec<Ack>> {
        if self.name.is_empty() {
            return None;
        }
        let url = own(&self.site, &receipt_path(&self.name));
        for _ in 0..RECEIPT_TRIES {
            let asked = send_idempotent(|| self.client.http.get(url.clone()));
            let answer = tokio::time::timeout(self.client.answer_time(), asked).await.ok()?.ok()?;
            if answer.status().is_success() {
                let body = read_bounded(answer, RECEIPTS_BYTES_MAX).await.ok()?;
                return wire::decode::<Bounded<Ack, RECEIPTS_MAX>>(&body).ok().map(Bounded::into_vec);
            }
            tokio::time::sleep(RECEIPT_PAUSE).await;
        }
        None
    }
}
