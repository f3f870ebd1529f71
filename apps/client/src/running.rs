//! An answer that is paid for as it goes on: more is paid before the money runs out, and at the end
//! the seller says how much of it was used.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_core::amount::Amount;
use farthing_core::wire::{self, Bounded};
use farthing_coupon::micro::Ack;
use farthing_coupon::secret::Digest;
use farthing_coupon::spender::SpendError;
use farthing_dialects::names::{receipt_path, stream_path};
use farthing_dialects::quote::{Quote, UnitKind};
use farthing_net::http::client::{read_bounded, send_idempotent};
use farthing_peer::wallet::WalletError;
use farthing_peer::wallet::coupon::{CouponSession, Spend, Ticket};
use http_body_util::BodyExt;
use reqwest::header::HeaderMap;
use reqwest::{Method, Request, Url};
use tokio::time::Instant;

use crate::answer::Receipt;
use crate::client::Inner;
use crate::seat::own;
use crate::quoted::{Quoted, acks_in};
use crate::wanted::Wanted;

/// More is paid once so many of 100 parts of what is paid are used.
const REFILL_PERCENT: u32 = 70;

/// The longest name of a stream.
const NAME_MAX: usize = 128;

/// The most payments for one answer.
const PAYMENTS_MAX: usize = 1_024;

/// The longest list of receipts that is read.
const RECEIPTS_BYTES_MAX: usize = 128 * PAYMENTS_MAX;

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
    /// Units of a payment.
    block: u32,
    since: Instant,
    bytes: u64,
    /// Whether no more can be paid.
    dry: bool,
    acks: Vec<Ack>,
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
        let dry = !plain || quote.kind == UnitKind::Request;
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
            block: units,
            since: Instant::now(),
            bytes: 0,
            dry,
            acks: Vec::new(),
        }
    }

    /// What was paid so far.
    pub(crate) const fn paid(&self) -> Amount {
        self.paid
    }

    /// The next frame of the body.
    pub(crate) async fn next(
        &mut self,
        body: &mut reqwest::Body,
    ) -> Option<Result<hyper::body::Frame<Bytes>, reqwest::Error>> {
        loop {
            let frame = match self.until_refill() {
                None => body.frame().await,
                Some(wait) => match tokio::time::timeout(wait, body.frame()).await {
                    Ok(frame) => frame,
                    Err(_) => {
                        self.refill().await;
                        continue;
                    }
                },
            };
            if let Some(Ok(frame)) = &frame
                && let Some(data) = frame.data_ref()
            {
                self.bytes = self.bytes.saturating_add(data.len() as u64);
            }
            return frame;
        }
    }

    /// How long what is paid lasts until more should be; `None` where no more will be paid.
    fn until_refill(&self) -> Option<Duration> {
        if self.dry {
            return None;
        }
        let covered = self.quote.covered_by(self.units);
        match self.quote.kind {
            UnitKind::Second => {
                let lasts = Duration::from_secs(covered) / 100 * REFILL_PERCENT;
                Some(lasts.saturating_sub(self.since.elapsed()))
            }
            UnitKind::Byte if self.bytes >= covered / 100 * u64::from(REFILL_PERCENT) => Some(Duration::ZERO),
            _ => None,
        }
    }

    /// Pays as much again, if the cap for one request leaves room; otherwise this was all.
    async fn refill(&mut self) {
        let cap = self.client.options.per_request.map_or(0, Amount::as_micros);
        let room = (cap / self.quote.coupon.as_micros().max(1)).saturating_sub(self.units.into());
        let room = match self.quote.kind {
            UnitKind::Byte => room.min(self.quote.units.saturating_sub(self.units).into()),
            _ => room,
        };
        let units = u32::try_from(room).unwrap_or(u32::MAX).min(self.block);
        if units == 0 || self.tickets.len() >= PAYMENTS_MAX || !self.pay_more(units).await {
            self.dry = true;
        }
    }

    async fn pay_more(&mut self, units: u32) -> bool {
        let request = Request::new(Method::POST, own(&self.site, &stream_path(&self.name)));
        let Ok(wanted) = Wanted::new(request) else { return false };
        let spend = Spend { units, request: wanted.digest, tool: None };
        match self.client.pay_bare(&wanted, &Quoted::known(self.quote.clone()), &self.session, spend).await {
            Ok(ticket) => {
                self.units = self.units.saturating_add(units);
                self.paid = self.paid.checked_add(ticket.price()).unwrap_or(self.paid);
                self.tickets.push(ticket);
                true
            }
            Err(why) => {
                tracing::info!(%why, "no more is paid for a running answer");
                false
            }
        }
    }

    /// Takes what came after the body.
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        self.acks = acks_in(trailers);
    }

    /// What the answer cost, by the seller's word, and which answer that word names.
    pub(crate) async fn end(self: Box<Self>) -> (Receipt, Option<Digest>) {
        let at_most = self.paid;
        let acks = if self.acks.is_empty() { self.fetch().await.unwrap_or_default() } else { self.acks };
        let (mut cost, mut named) = (at_most.currency().zero(), None);
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
        (Receipt::Checked { cost, whole: false }, named)
    }

    /// Asks for the receipts where none came after the body.
    async fn fetch(&self) -> Option<Vec<Ack>> {
        if self.name.is_empty() {
            return None;
        }
        let url = own(&self.site, &receipt_path(&self.name));
        let answer = send_idempotent(|| self.client.http.get(url.clone())).await.ok()?;
        let body = read_bounded(answer, RECEIPTS_BYTES_MAX).await.ok()?;
        wire::decode::<Bounded<Ack, PAYMENTS_MAX>>(&body).ok().map(Bounded::into_vec)
    }
}
