//! From a request to its answer: passing it on, and charging for what came back.

mod behind;
mod headers;
mod line;
mod meter;
mod settle;
mod stream;
mod topup;
mod upgrade;
mod upstream;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use farthing_core::amount::Amount;
use farthing_core::refusal::{Fault, Money, Remedy};
use farthing_coupon::micro::{Ack, SessionName};
use farthing_dialects::credential::Form;
use farthing_dialects::problem::{self, PaymentProblem};
use farthing_dialects::quote::{Quote, ResponseDigest, UnitKind};
use farthing_dialects::{names, receipt, x402};
use farthing_net::http::server::Verbatim;
use futures::FutureExt;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use hyper::upgrade::OnUpgrade;

use crate::book::{ANSWER_BYTES_MAX, Book, Given, Payment, Stored};
use crate::local;
use crate::refuse;

pub(crate) use behind::Source;
pub use behind::{BadBehind, Behind};
pub(crate) use meter::Meter;
pub use meter::TOP_UPS_MAX;
pub use settle::STREAMS_MAX;
use settle::Settlement;
pub(crate) use settle::Streams;
pub use stream::StreamLimits;
pub(crate) use topup::{accepted, state};
use upgrade::Agreed;
pub(crate) use upgrade::Carriers;
pub use upgrade::UPGRADED_MAX;
pub use upstream::{BadUpstream, Upstream, UpstreamError};

/// Passes requests on.
pub(crate) struct Proxy {
    pub(crate) source: Source,
    /// How long a short answer may take to be whole.
    pub(crate) patience: Duration,
    pub(crate) carriers: Carriers,
    pub(crate) book: Arc<Book>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) limits: StreamLimits,
    /// Payments are on disk before the service is asked.
    pub(crate) durable_first: bool,
}

/// A request to be passed on.
pub(crate) struct Passing {
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
    /// Its `Authorization` header was the payment.
    pub(crate) is_payment: bool,
    /// The text that the price file has for it: nobody else is asked.
    pub(crate) fixed: Option<Bytes>,
}

/// A request that was paid for.
pub(crate) struct Paid {
    pub(crate) payment: Payment,
    pub(crate) quote: Quote,
    pub(crate) form: Form,
    /// An answer of 4xx costs as much as any other.
    pub(crate) charge_errors: bool,
}

impl Paid {
    /// Whether an answer of this status costs nothing: what failed is given back.
    fn is_free(&self, status: StatusCode) -> bool {
        status.is_server_error() || status.is_client_error() && !self.charge_errors
    }
}

type Answer = Response<Body>;

impl Proxy {
    /// Closes connections to the service that nothing goes over.
    pub(crate) fn tidy(&self) {
        if let Source::Service(upstream) = &self.source {
            upstream.tidy();
        }
    }

    /// Passes a request on for nothing.
    pub(crate) async fn pass(&self, mut passing: Passing) -> Answer {
        let upgrade = upgrade::take(&mut passing.parts);
        let answer = match self.ask(passing, upgrade.is_some()).await {
            Ok(answer) => answer,
            Err(why) => return refuse::response(&failed(&why)),
        };
        let (mut head, upstream) = answer.into_parts();
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(ours)) = (head.status, upgrade) {
            let theirs = head.extensions.remove::<OnUpgrade>();
            return self.switch_free(Agreed { head: head.headers, ours, theirs });
        }
        headers::strip(&mut head.headers);
        respond(head.status, head.headers, upstream)
    }

    /// Serves a request that was paid for: whatever happens, the payment is settled.
    pub(crate) async fn serve(&self, paid: Paid, mut passing: Passing) -> Answer {
        if self.durable_first && self.book.durable(paid.payment.batch).await.is_err() {
            return refuse::response(&not_durable());
        }
        let upgrade = upgrade::take(&mut passing.parts);
        let is_head = passing.parts.method == axum::http::Method::HEAD;
        let answer = match self.ask(passing, upgrade.is_some()).await {
            Ok(answer) => answer,
            Err(why) => return Box::pin(self.give_back(&paid, failed(&why))).await,
        };
        let (mut head, upstream) = answer.into_parts();
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(ours)) = (head.status, upgrade) {
            let theirs = head.extensions.remove::<OnUpgrade>();
            return Box::pin(self.switch(paid, Agreed { head: head.headers, ours, theirs })).await;
        }
        headers::strip(&mut head.headers);
        headers::private(&mut head.headers);
        let length = if is_head { Some(0) } else { upstream.size_hint().exact() };
        let covered = match paid.quote.kind {
            UnitKind::Request => u64::MAX,
            UnitKind::Byte => paid.quote.covered_by(paid.payment.entry.units),
            UnitKind::Second => 0,
        };
        match length {
            Some(length)
                if length <= ANSWER_BYTES_MAX as u64 && length <= covered && paid.quote.kind != UnitKind::Second =>
            {
                self.whole(paid, head.status, head.headers, upstream).await
            }
            _ => Box::pin(self.stream(paid, head.status, head.headers, upstream)).await,
        }
    }

    async fn ask(&self, passing: Passing, upgrades: bool) -> Result<Answer, UpstreamError> {
        let Passing { parts, body, is_payment, fixed } = passing;
        if let Some(text) = fixed {
            return Ok(local::fixed(&parts.method, text));
        }
        let upstream = match &self.source {
            Source::Service(upstream) => upstream,
            Source::Folder(folder) => {
                return Box::pin(folder.answer(parts)).await.map_err(|why| UpstreamError::Failed(why.to_string()));
            }
            Source::Nothing => return Ok(local::not_here("nothing answers here")),
        };
        let target = parts.uri.into_parts().path_and_query.unwrap_or(PathAndQuery::from_static("/"));
        let mut headers = parts.headers;
        let protocol = if upgrades { headers.get(axum::http::header::UPGRADE).cloned() } else { None };
        headers::to_upstream(&mut headers, upstream.host(), is_payment);
        if let Some(protocol) = protocol {
            headers.insert(axum::http::header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(axum::http::header::UPGRADE, protocol);
        }
        // Boxed: else all that is around it would be as large, and moved each time.
        Box::pin(upstream.ask(parts.method, target, headers, body, upgrades)).await
    }

    /// An answer short enough to be held until it is whole, so that its receipt goes in front.
    async fn whole(&self, paid: Paid, status: StatusCode, mut headers: HeaderMap, upstream: Body) -> Answer {
        // Mostly it is there by now, and no clock is needed.
        let mut collecting = pin!(upstream.collect());
        let collected = match (&mut collecting).now_or_never() {
            Some(done) => Ok(done),
            None => tokio::time::timeout(self.patience, collecting).await,
        };
        let body = match collected {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(why)) => {
                let why = UpstreamError::Failed(upstream::deepest(&why));
                return Box::pin(self.give_back(&paid, failed(&why))).await;
            }
            Err(_) => return Box::pin(self.give_back(&paid, failed(&UpstreamError::Slow))).await,
        };
        let mut digest = ResponseDigest::new(status.as_u16());
        digest.update(&body);
        let Payment { session, entry, .. } = paid.payment;
        let charged = match paid.quote.kind {
            _ if paid.is_free(status) => 0,
            UnitKind::Byte => paid.quote.coupons_for(body.len() as u64),
            UnitKind::Request | UnitKind::Second => entry.units,
        };
        let (acks, batch) = self.book.settle(session, &[(entry, charged)], digest.finish());
        if let Some(batch) = batch
            && self.book.durable(batch).await.is_err()
        {
            return refuse::response(&not_durable());
        }
        self.book.answered(session, entry.index, &Given { status, headers: &headers, body: Some(&body), acks: &acks });
        if let Some(ack) = acks.first() {
            receipted(&mut headers, &paid, ack);
        }
        respond(status, headers, Body::from(body))
    }

    /// An answer that is passed on as it comes.
    async fn stream(&self, paid: Paid, status: StatusCode, mut headers: HeaderMap, upstream: Body) -> Answer {
        let Some(settlement) = self.begin(&paid, status, &headers) else {
            return Box::pin(self.give_back(&paid, busy())).await;
        };
        let whole_or_free = paid.quote.kind == UnitKind::Request;
        name_stream(&mut headers, &settlement.name);
        // Where the trailer goes, the length cannot.
        headers.remove(axum::http::header::CONTENT_LENGTH);
        headers.insert(axum::http::header::TRAILER, HeaderValue::from_static(names::PAYMENT_RECEIPT));
        respond(status, headers, stream::metered(upstream, settlement, self.limits, whole_or_free))
    }

    fn begin(&self, paid: &Paid, status: StatusCode, headers: &HeaderMap) -> Option<Settlement> {
        let Payment { session, entry, .. } = paid.payment;
        let failed = paid.is_free(status);
        let meter = Arc::new(Meter::new(paid.quote.clone(), session, entry, failed));
        let name = self.streams.begin(&meter)?;
        Some(Settlement {
            book: Arc::clone(&self.book),
            streams: Arc::clone(&self.streams),
            name,
            meter,
            digest: ResponseDigest::new(status.as_u16()),
            status,
            headers: headers.clone(),
            failed,
            settled: false,
        })
    }

    /// The service failed: nothing is charged, and the problem says so under the seller's MAC.
    pub(crate) async fn give_back(&self, paid: &Paid, problem: PaymentProblem) -> Answer {
        let Payment { session, entry, .. } = paid.payment;
        let (acks, batch) = self.book.settle(session, &[(entry, 0)], crate::book::NOTHING);
        metrics::counter!("farthing_gateway_given_back_total").increment(1);
        if let Some(batch) = batch
            && self.book.durable(batch).await.is_err()
        {
            return refuse::response(&not_durable());
        }
        let problem = acks.first().map_or(problem.clone(), |ack| problem.acknowledging(ack));
        let answer = refuse::response(&problem);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let given = Given { status: answer.status(), headers: answer.headers(), body: Some(&body), acks: &acks };
        self.book.answered(session, entry.index, &given);
        answer
    }
}

fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer.extensions_mut().insert(Verbatim);
    answer
}

fn name_stream(headers: &mut HeaderMap, name: &str) {
    if let Ok(name) = HeaderValue::from_str(name) {
        headers.insert(names::STREAM, name);
    }
}

/// Puts the receipt on an answer, in the words in which the payment came.
fn receipted(headers: &mut HeaderMap, paid: &Paid, ack: &Ack) {
    let Payment { session, unit, .. } = paid.payment;
    receipt_for(headers, &paid.form, session, ack, paid.quote.network, unit);
}

/// The same, for an answer that is given again. `unit` is what a coupon of the session is worth.
pub(crate) fn receipt_for(
    headers: &mut HeaderMap,
    form: &Form,
    session: SessionName,
    ack: &Ack,
    network: farthing_core::id::NetworkId,
    unit: Amount,
) {
    // A session's worth of coupons is an amount, and a payment is a part of it.
    let charged = unit.checked_mul(u64::from(ack.charged)).unwrap_or(unit.currency().zero());
    let settled = || x402::SettleResponse::settled(network, session, ack, charged.as_micros()).header();
    let now = farthing_driver::Clock::now(&farthing_driver::SystemClock);
    let (name, value) = match form {
        Form::Compact => (names::PAYMENT_RECEIPT, receipt::compact(ack)),
        Form::Full(_) => (names::PAYMENT_RECEIPT, receipt::full(session, ack, charged, now)),
        Form::X402V2(_) => (names::PAYMENT_RESPONSE, settled()),
        Form::X402V1 => (names::X_PAYMENT_RESPONSE, settled()),
    };
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// An answer that was given before, once more.
pub(crate) fn again(
    stored: &Stored,
    form: &Form,
    session: SessionName,
    ack: Option<&Ack>,
    network: farthing_core::id::NetworkId,
    unit: Amount,
) -> Answer {
    let Some(body) = &stored.body else {
        let charged = stored.acks.iter().fold(0, |sum: u32, ack| sum.saturating_add(ack.charged));
        let problem = PaymentProblem::new(
            problem::REPLAYED,
            format!(
                "this payment was used for an answer that was too long to keep; {charged} coupons were charged for it, and its receipt is in ack: pay again for another"
            ),
        );
        let problem = PaymentProblem { money: Money::MovedBefore, ..problem };
        let ack = ack.or(stored.acks.first());
        return refuse::response(&ack.map_or(problem.clone(), |ack| problem.acknowledging(ack)));
    };
    let mut answer = respond(stored.status, stored.headers.clone(), Body::from(body.clone()));
    answer.headers_mut().insert(names::REPEATED, HeaderValue::from_static("true"));
    if let Some(ack) = ack.or(stored.acks.first()) {
        receipt_for(answer.headers_mut(), form, session, ack, network, unit);
    }
    answer
}

fn failed(why: &UpstreamError) -> PaymentProblem {
    let kind = match why {
        UpstreamError::Failed(_) => problem::UPSTREAM_FAILED,
        UpstreamError::Slow => problem::UPSTREAM_SLOW,
    };
    tracing::info!(%why, "the service failed");
    let problem =
        PaymentProblem::new(kind, format!("{}; nothing was charged: try again later", kind.title.to_lowercase()));
    PaymentProblem { fault: Fault::Third, remedy: Remedy::Again, ..problem }
}

pub(crate) fn not_durable() -> PaymentProblem {
    let problem = PaymentProblem::new(
        problem::NOT_DURABLE,
        "the gateway cannot write payments down: send the very same request again later",
    );
    PaymentProblem { fault: Fault::Us, money: Money::Unknown, remedy: Remedy::Again, ..problem }
}

fn busy() -> PaymentProblem {
    let problem =
        PaymentProblem::new(problem::RATE, "too many answers are running; nothing was charged: try again later");
    PaymentProblem { fault: Fault::Us, remedy: Remedy::Again, ..problem }
}
