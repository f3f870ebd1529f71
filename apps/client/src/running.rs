//! An answer that is paid for as it goes on: more is paid before the money runs out, and at the end
//! the seller says how much of it was used.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_core::amount::Amount;
use farthing_coupon::micro::Ack;
use farthing_coupon::secret::Digest;
use farthing_coupon::spender::SpendError;
use farthing_dialects::names::{receipt_path, stream_path};
use farthing_dialects::quote::{Quote, UnitKind};
use farthing_net::http::client::send_idempotent;
use farthing_peer::wallet::WalletError;
use farthing_peer::wallet::coupon::{Spend, Ticket};
use http_body_util::BodyExt;
use reqwest::header::HeaderMap;
use reqwest::{Method, Request, Url};
use tokio::time::Instant;

use crate::answer::Receipt;
use crate::client::Inner;
use crate::opening::own;
use crate::pay::Outcome;
use crate::quoted::{Quoted, ack_in};
use crate::wanted::Wanted;

/// More is paid once so many of 100 parts of what is paid are used.
const REFILL_PERCENT: u64 = 70;

/// The longest name of a stream.
const NAME_MAX: usize = 128;

/// A paid answer that has not ended.
pub(crate) struct Running {
    client: Arc<Inner>,
    /// The first payment; its answer comes at the end.
    ticket: Ticket,
    quote: Quote,
    site: Url,
    name: String,
    /// Units paid in all.
    units: u32,
    /// What later payments cost.
    more: Amount,
    since: Instant,
    bytes: u64,
    /// Whether no more can be paid.
    dry: bool,
    ack: Option<Ack>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Running, {} units paid", self.units)
    }
}

impl Running {
    /// `None` if the stream's name is none.
    pub(crate) fn new(client: Arc<Inner>, ticket: Ticket, quote: Quote, site: Url, name: &str) -> Self {
        let plain = name.len() <= NAME_MAX && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        let (units, more) = (ticket.pay().units, ticket.price().currency().zero());
        let dry = !plain || quote.kind == UnitKind::Request;
        let name = if plain { name.to_owned() } else { String::new() };
        Self { client, ticket, quote, site, name, units, more, since: Instant::now(), bytes: 0, dry, ack: None }
    }

    /// What was paid so far.
    pub(crate) fn paid(&self) -> Amount {
        self.ticket.price().checked_add(self.more).unwrap_or(self.ticket.price())
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
        let covered = self.quote.covered_by(self.units).saturating_mul(REFILL_PERCENT) / 100;
        match self.quote.kind {
            UnitKind::Second => Some(Duration::from_secs(covered).saturating_sub(self.since.elapsed())),
            UnitKind::Byte if self.bytes >= covered => Some(Duration::ZERO),
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
        let units = u32::try_from(room).unwrap_or(u32::MAX).min(self.ticket.pay().units);
        if units == 0 || !self.pay_more(units).await {
            self.dry = true;
        }
    }

    async fn pay_more(&mut self, units: u32) -> bool {
        let request = Request::new(Method::POST, own(&self.site, &stream_path(&self.name)));
        let Ok(wanted) = Wanted::new(request) else { return false };
        let session = self.ticket.session().clone();
        let spend = Spend { units, request: wanted.digest, tool: None };
        let paid = self.client.pay(&wanted, &Quoted::known(self.quote.clone()), &session, spend).await;
        let Ok(Outcome::Answered(paid)) = paid else { return false };
        let Some(cost) = paid.receipt().cost().filter(|_| paid.status().is_success()) else { return false };
        self.units = self.units.saturating_add(units);
        self.more = self.more.checked_add(cost).unwrap_or(self.more);
        true
    }

    /// Takes what came after the body.
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        self.ack = ack_in(trailers).ok().flatten();
    }

    /// What the answer cost, by the seller's word, and which answer that word names.
    pub(crate) async fn end(self: Box<Self>) -> (Receipt, Option<Digest>) {
        let at_most = self.paid();
        let Some(ack) = (match self.ack {
            Some(ack) => Some(ack),
            None => self.fetch().await,
        }) else {
            return (Receipt::Missing { at_most }, None);
        };
        let (first, more, client) = (self.ticket.price(), self.more, self.client);
        match self.ticket.answered(&ack).await {
            Ok(cost) => {
                client.settled(first, cost);
                let cost = cost.checked_add(more).unwrap_or(cost);
                (Receipt::Checked { cost, whole: false }, Some(ack.response))
            }
            Err(WalletError::Coupon(SpendError::Forged)) => (Receipt::False { at_most }, None),
            Err(_) => (Receipt::Missing { at_most }, None),
        }
    }

    /// Asks for the receipt where none came after the body.
    async fn fetch(&self) -> Option<Ack> {
        if self.name.is_empty() {
            return None;
        }
        let url = own(&self.site, &receipt_path(&self.name));
        let answer = send_idempotent(|| self.client.http.get(url.clone())).await.ok()?;
        ack_in(answer.headers()).ok().flatten()
    }
}
