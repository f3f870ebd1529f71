//! What stands between a request and its handler.

use std::any::Any;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures::FutureExt;
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

use crate::http::problem::{Problem, dress, is_plain_refusal};
use crate::seats::Seats;

use super::counters::Counters;
use super::{Handler, Limits, source};

/// Marks a response (as an extension) that is handed on from elsewhere and must not be touched:
/// a plain text refusal stays one, and no caching rule is added.
#[derive(Debug, Clone, Copy)]
pub struct Verbatim;

/// Names what answered (as an extension of the response), where it is no route of the router: for the
/// counters. Bounded in number, as routes are.
#[derive(Debug, Clone)]
pub struct Route(pub Arc<str>);

/// The header by which a request is found again in logs, here and at the sender's.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id taken over from a sender.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// The most bytes of an id of ours: those of its run, and a number.
const OWN_ID_BYTES_MAX: usize = 17 + 20;
/// Seconds after which a request turned away for want of a seat may be sent again.
const RETRY_SECONDS: u64 = 1;
/// Addresses whose rates are remembered before those long silent are forgotten.
const SOURCES_MAX: usize = 10_000;
/// How often that is looked at: every so many requests.
const TIDY_EVERY: u64 = 1_024;

/// A body, and the room it takes up.
struct Held {
    bytes: BytesMut,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The limits in force, and how much of them is used.
pub(super) struct Guard {
    limits: Limits,
    seats: Arc<Seats<IpAddr>>,
    /// Room for bodies, in bytes.
    room: Arc<Semaphore>,
    rates: DefaultKeyedRateLimiter<IpAddr>,
    asked: AtomicU64,
    counters: Counters,
    /// Makes our request ids differ from those of other runs.
    run: String,
}

impl Guard {
    pub(super) fn new(limits: Limits) -> Self {
        let quota = Quota::per_second(limits.rate_per_address).allow_burst(limits.burst_per_address);
        Self {
            limits,
            seats: Seats::new(limits.requests, limits.requests_per_address),
            // One body that is allowed must find room.
            room: Arc::new(Semaphore::new(limits.all_body_bytes.max(limits.body_bytes).min(Semaphore::MAX_PERMITS))),
            rates: RateLimiter::keyed(quota),
            asked: AtomicU64::new(0),
            counters: Counters::default(),
            run: format!("{:016x}-", std::hash::RandomState::new().hash_one(std::process::id())),
        }
    }

    /// Lets a request through, and notes what became of it.
    async fn around<F: Future<Output = Response>>(
        &self,
        request: Request,
        matched: Option<Arc<str>>,
        next: impl FnOnce(Request) -> F,
    ) -> Response {
        let begun = Instant::now();
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        self.tidy(number);
        let id = self.id(request.headers(), number);
        let span = tracing::info_span!(
            "request", id = id.to_str().unwrap_or_default(), method = %request.method(), route = matched.as_deref()
        );
        let response = async {
            let response = self.pass(request, next).await.unwrap_or_else(Problem::into_response);
            let response = finish(response, id).await;
            let (status, time) = (response.status(), begun.elapsed());
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            // What is handed on is somebody else's to log, and there may be a great deal of it.
            if response.extensions().get::<Verbatim>().is_some() {
                tracing::debug!(status = status.as_u16(), micros);
            } else {
                tracing::info!(status = status.as_u16(), micros);
            }
            let route = response.extensions().get::<Route>().map(|route| &route.0).or(matched.as_ref());
            self.counters.count(route, status, time);
            response
        };
        response.instrument(span).await
    }

    /// Everything that can be refused cheaply is, in order of cost; then the body is taken in and
    /// the handler asked.
    async fn pass<F: Future<Output = Response>>(
        &self,
        request: Request,
        next: impl FnOnce(Request) -> F,
    ) -> Result<Response, Problem> {
        let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let from = source(from.map_or(IpAddr::from([0; 4]), |from| from.0.ip()));
        self.rates.check_key(&from).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.rates.clock().now());
            let detail = "too many requests from your address; slow down and send it again";
            Problem::overload(StatusCode::TOO_MANY_REQUESTS, seconds(wait), detail)
        })?;
        refuse_encoding(request.headers())?;
        self.refuse_length(request.headers())?;
        let _seat = self.seats.take(from).ok_or_else(|| {
            let detail = "too much to do at the moment; send it again in a while";
            Problem::overload(StatusCode::SERVICE_UNAVAILABLE, RETRY_SECONDS, detail)
        })?;
        let request = if request.body().is_end_stream() { request } else { Box::pin(self.take_in(request)).await? };
        // Boxed: else all that is around it would be as large, and moved each time.
        let handled = AssertUnwindSafe(Box::pin(next(request))).catch_unwind();
        match tokio::time::timeout(self.limits.request_time, handled).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(panic)) => Err(on_panic(panic)),
            Err(_) => Err(Problem::outcome_unknown(
                StatusCode::SERVICE_UNAVAILABLE,
                "this took too long; ask again with the very same request",
            )),
        }
    }

    fn refuse_length(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let told = headers.get(CONTENT_LENGTH).and_then(|told| told.to_str().ok()?.parse::<usize>().ok());
        match told {
            Some(told) if self.limits.body_bytes < told => Err(self.too_large()),
            _ => Ok(()),
        }
    }

    /// The request with its whole body, however slowly or in whatever portions it was sent.
    async fn take_in(&self, request: Request) -> Result<Request, Problem> {
        let (parts, body) = request.into_parts();
        let body = tokio::time::timeout(self.limits.body_time, self.collect(body)).await.map_err(|_| {
            Problem::of_http(StatusCode::REQUEST_TIMEOUT, "the body took too long; send it again, faster")
        })??;
        Ok(Request::from_parts(parts, Body::from(body)))
    }

    /// A whole body. What is received counts against the room for all bodies until the last copy
    /// of this one is gone; what is merely announced takes no room.
    async fn collect(&self, body: Body) -> Result<Bytes, Problem> {
        let mut body = Limited::new(body, self.limits.body_bytes);
        let (mut whole, mut room) = (BytesMut::new(), None::<OwnedSemaphorePermit>);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
                true => self.too_large(),
                false => Problem::of_http(StatusCode::BAD_REQUEST, "the body broke off; send it again"),
            })?;
            let Ok(part) = frame.into_data() else { continue };
            let more = u32::try_from(part.len()).map_err(|_| self.too_large())?;
            let more = Arc::clone(&self.room).try_acquire_many_owned(more).map_err(|_| {
                let detail = "too many bodies at once; send it again in a while";
                Problem::overload(StatusCode::SERVICE_UNAVAILABLE, RETRY_SECONDS, detail)
            })?;
            match &mut room {
                None => room = Some(more),
                Some(room) => room.merge(more),
            }
            whole.extend_from_slice(&part);
        }
        Ok(Bytes::from_owner(Held { bytes: whole, _room: room }))
    }

    fn too_large(&self) -> Problem {
        let detail = format!("a body may have {} bytes; send less", self.limits.body_bytes);
        Problem::of_http(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// The sender's id of the request if it is fit to be logged, else one of ours.
    fn id(&self, headers: &HeaderMap, number: u64) -> HeaderValue {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        match headers.get(REQUEST_ID) {
            Some(id) if (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(plain) => id.clone(),
            _ => {
                let mut id = BytesMut::with_capacity(OWN_ID_BYTES_MAX);
                id.put_slice(self.run.as_bytes());
                // Into memory: it always works.
                let _ = write!(id, "{number}");
                HeaderValue::from_maybe_shared(id.freeze()).unwrap_or(HeaderValue::from_static("none"))
            }
        }
    }

    /// Keeps the memory of addresses bounded by those that asked lately.
    fn tidy(&self, number: u64) {
        if number.is_multiple_of(TIDY_EVERY) && self.rates.len() > SOURCES_MAX {
            self.rates.retain_recent();
            self.rates.shrink_to_fit();
        }
    }
}

/// The middleware around every handler of a router: see [`Guard::pass`].
pub(super) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    // The route and not the path: paths may name people, and there is no end of them.
    // A handler that has routes of its own records which.
    let matched: Option<Arc<str>> = request.extensions().get::<MatchedPath>().map(|route| route.as_str().into());
    guard.around(request, matched, |request| next.run(request)).await
}

/// A handler, and what stands between it and requests.
pub(super) struct Guarded<H> {
    guard: Guard,
    handler: Arc<H>,
}

impl<H> Guarded<H> {
    pub(super) fn new(guard: Guard, handler: H) -> Self {
        Self { guard, handler: Arc::new(handler) }
    }
}

impl<H: Handler> Handler for Guarded<H> {
    async fn handle(self: Arc<Self>, request: Request) -> Response {
        self.guard.around(request, None, |request| Arc::clone(&self.handler).handle(request)).await
    }
}

async fn finish(mut response: Response, id: HeaderValue) -> Response {
    if response.extensions().get::<Verbatim>().is_none() {
        if is_plain_refusal(&response) {
            response = Box::pin(dress(response)).await;
        }
        response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        let headers = response.headers_mut().entry(X_CONTENT_TYPE_OPTIONS);
        headers.or_insert(HeaderValue::from_static("nosniff"));
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// A small body must not become a large one here.
fn refuse_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(Problem::of_http(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "bodies are not taken compressed; send it without Content-Encoding",
        )),
        _ => Ok(()),
    }
}

/// A bug of ours. What it says goes to the log and not to strangers.
fn on_panic(panic: Box<dyn Any + Send>) -> Problem {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = said.unwrap_or("no message"), "a handler panicked");
    metrics::counter!("farthing_http_panics_total").increment(1);
    Problem::outcome_unknown(
        StatusCode::INTERNAL_SERVER_ERROR,
        "something broke here; ask again with the very same request, or tell the operator",
    )
}

/// Whole seconds, rounded up, so that the sender does not come back too early.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
