//! The gate: from a request to a price, from a price to a payment, from a payment to an answer.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode, Uri};
use axum::response::IntoResponse;
use bytes::Bytes;
use farthing_core::time::{Span, Time};
use farthing_coupon::micro::Bearer;
use farthing_coupon::session::{Session, WINDOW};
use farthing_dialects::credential::{self, Credential, Form};
use farthing_dialects::payment::{self, Challenge};
use farthing_dialects::problem::{self, PaymentProblem};
use farthing_dialects::quote::{ChallengeKey, Quote, UnitKind, request_digest};
use farthing_dialects::{names, x402};
use farthing_driver::{Clock, NoReply};
use farthing_net::http::problem::Problem;
use farthing_net::http::server::{Route, source};
use http_body_util::BodyExt;
use hyper::body::Body as _;

use crate::book::{Book, Denied, Payment, Purpose, Taken};
use crate::clearing::Closing;
use crate::counter::Counter;
use crate::guests::Guests;
use crate::prices::{self, Price, Prices, plain};
use crate::proxy::{Paid, Passing, Proxy, Streams, again, not_durable};
use crate::to_the_end::ToTheEnd;
use crate::{cors, refuse};

/// The longest `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 255;

/// All that a request meets.
pub(crate) struct Gate {
    pub(crate) prices: Prices,
    pub(crate) book: Arc<Book>,
    pub(crate) counter: Counter,
    pub(crate) proxy: Proxy,
    pub(crate) streams: Arc<Streams>,
    pub(crate) key: ChallengeKey,
    pub(crate) guests: Guests,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a quote holds.
    pub(crate) quote_life: Span,
    /// Sessions that were closed and are to be cleared for good.
    pub(crate) closing: Arc<Closing>,
    /// `http` or `https`, as clients reach it.
    pub(crate) scheme: &'static str,
}

/// Who asks at which route, when.
#[derive(Clone, Copy)]
struct Visit {
    now: Time,
    /// The route's.
    number: usize,
    from: IpAddr,
}

/// A priced request.
struct Asked<'a> {
    price: Price,
    request: [u8; 32],
    parts: &'a Parts,
    visit: Visit,
    free_tier: u32,
    rate: Option<NonZeroU32>,
}

/// Why a priced request gets an answer.
enum Admitted {
    /// One of those that are for nothing.
    Free,
    /// It was paid for.
    Paid(Box<Payment>, Credential),
    /// Its payment was answered before: so.
    Before(Box<Answer>),
}

type Answer = Response<Body>;

/// Serves whatever is not the gateway's own.
pub(crate) async fn serve(gate: &Arc<Gate>, request: Request) -> Answer {
    let from_browser = cors::asked(request.headers());
    let mut answer = gate.admit(request).await;
    if from_browser {
        cors::expose(answer.headers_mut());
    }
    answer
}

impl Gate {
    async fn admit(self: &Arc<Self>, request: Request) -> Answer {
        let (parts, body) = request.into_parts();
        // The server has taken it in whole.
        let body = if body.is_end_stream() {
            Bytes::new()
        } else {
            Box::pin(body.collect()).await.map(|body| body.to_bytes()).unwrap_or_default()
        };
        let path = match plain(parts.uri.path()) {
            Ok(path) => path,
            Err(why) => return Problem::of_http(StatusCode::BAD_REQUEST, why.to_string()).into_response(),
        };
        let (now, from, tariff) = (self.clock.now(), address(&parts), self.prices.now());
        // The last route fits everything.
        let Some((number, route)) = tariff.route(parts.method.as_str(), &path) else {
            return Problem::of_http(StatusCode::NOT_FOUND, "nothing is sold here").into_response();
        };
        tracing::Span::current().record("route", route.pattern.as_str());
        let visit = Visit { now, number, from };
        let answer = self.at(route, visit, parts, body).await;
        let mut answer = answer.unwrap_or_else(|problem| refuse::response(&problem));
        answer.extensions_mut().insert(Route(route.pattern.shared()));
        answer
    }

    /// Serves a request at its route.
    async fn at(
        self: &Arc<Self>,
        route: &prices::Route,
        visit: Visit,
        parts: Parts,
        body: Bytes,
    ) -> Result<Answer, Box<PaymentProblem>> {
        let is_payment = parts.headers.get_all(AUTHORIZATION).iter().any(|value| payment::is_payment(value.as_bytes()));
        let passing = Passing { parts, body, is_payment, fixed: route.answer.clone() };
        let Some(price) = route.price else {
            self.count(visit, route.rate)?;
            return Ok(Box::pin(self.proxy.pass(passing)).await);
        };
        let parts = &passing.parts;
        let request = request_digest(parts.method.as_str(), target(&parts.uri), &passing.body);
        let asked = Asked { price, request, parts, visit, free_tier: route.free_tier, rate: route.rate };
        match self.admitted(&asked).await {
            Ok(Admitted::Free) => Ok(Box::pin(self.proxy.pass(passing)).await),
            Ok(Admitted::Paid(payment, credential)) => {
                Ok(self.serve_paid(*payment, price, visit, (request, credential), passing).await)
            }
            Ok(Admitted::Before(answer)) => Ok(*answer),
            // However a payment was not enough: how to pay goes with it.
            Err(problem) if problem.status == StatusCode::PAYMENT_REQUIRED.as_u16() => {
                Ok(self.challenge(&self.quote(price, request), &parts.headers, target(&parts.uri), &problem))
            }
            Err(problem) => Err(problem),
        }
    }

    /// Whether a request may pass, and on which payment.
    async fn admitted(&self, asked: &Asked<'_>) -> Result<Admitted, Box<PaymentProblem>> {
        let Visit { now, number, from } = asked.visit;
        let headers = asked.parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let Some(credential) = credential::find(headers).map_err(|why| Box::new(refuse::unreadable(why)))? else {
            if self.guests.has_free(now, number, from, asked.free_tier) {
                self.count(asked.visit, asked.rate)?;
                if self.guests.is_free(now, number, from, asked.free_tier) {
                    return Ok(Admitted::Free);
                }
            }
            let detail = "this costs something: pay as one of the challenges says";
            return Err(PaymentProblem::new(problem::PAYMENT_REQUIRED, detail).into());
        };
        self.count(asked.visit, asked.rate)?;
        match self.take(&credential, asked).await?.map_err(|why| Box::new(refuse::denied(why)))? {
            Taken::Fresh(payment) => Ok(Admitted::Paid(Box::new(payment), credential)),
            Taken::Again(stored, ack, unit) => {
                let (network, session) = (self.counter.network(), credential.coupon.session);
                let answer = again(&stored, &credential.form, session, ack.as_ref(), network, unit);
                Ok(Admitted::Before(Box::new(answer)))
            }
        }
    }

    /// Counts a request that is paid for or costs nothing. A question what something costs is not
    /// counted: it comes before each purchase, and would use up what the purchase needs.
    fn count(&self, Visit { now, number, from }: Visit, rate: Option<NonZeroU32>) -> Result<(), Box<PaymentProblem>> {
        if self.guests.may_ask(now, number, from, rate) {
            return Ok(());
        }
        Err(refuse::too_many("too many requests from your address: wait a second; nothing was taken").into())
    }

    /// To the end: a client that goes away changes nothing, and finds its answer later.
    fn serve_paid(
        self: &Arc<Self>,
        payment: Payment,
        price: Price,
        visit: Visit,
        (request, credential): ([u8; 32], Credential),
        passing: Passing,
    ) -> ToTheEnd<Answer> {
        let gate = Arc::clone(self);
        ToTheEnd::new(async move {
            let quote = match &credential.form {
                Form::Full(challenge) => challenge.quote().ok(),
                Form::X402V2(accepted) => accepted.quote().ok().map(|(quote, _)| quote),
                Form::Compact | Form::X402V1 => None,
            };
            let quote = quote.unwrap_or_else(|| Quote { coupon: payment.unit, ..gate.quote(price, request) });
            let charge_errors = price.charge_errors;
            let answer = gate.proxy.serve(Paid { payment, quote, form: credential.form, charge_errors }, passing).await;
            if answer.status().is_client_error() && !charge_errors {
                gate.guests.failed(visit.now, visit.number, visit.from);
            }
            answer
        })
    }

    /// What a request costs, for a while.
    fn quote(&self, price: Price, request: [u8; 32]) -> Quote {
        let (realm, coupon) = self.counter.realm();
        Quote {
            network: self.counter.network(),
            seller: self.counter.me(),
            realm,
            coupon,
            units: price.units(coupon).unwrap_or(WINDOW),
            kind: price.kind,
            rate: price.rate,
            expires: self.quoted_until(),
            request,
        }
    }

    /// Until when a quote of this moment holds: in whole seconds.
    pub(crate) fn quoted_until(&self) -> Time {
        Time::from_millis(self.clock.now().after(self.quote_life).as_millis() / 1_000 * 1_000)
    }

    /// Takes the payment of a request.
    async fn take(
        &self,
        credential: &Credential,
        asked: &Asked<'_>,
    ) -> Result<Result<Taken, Denied>, Box<PaymentProblem>> {
        let quoted = self.quoted(&credential.form, &asked.parts.headers, asked.request)?;
        let paid = credential.coupon.units;
        let Visit { now, number, from } = asked.visit;
        let may_fail = asked.price.charge_errors || self.guests.may_fail(now, number, from);
        // Asked only of what is new: what was answered before is answered alike.
        let units = |session: &Session| {
            if !may_fail {
                return Err(Denied::TooOften);
            }
            let asked_for = match &quoted {
                Some(quote) if quote.coupon == session.unit() => Some(quote.units),
                Some(_) => None,
                None => asked.price.units(session.unit()),
            };
            let most = asked_for.ok_or(Denied::OtherCoupon)?;
            // A part of what may be used up is enough to begin with.
            Ok(if asked.price.kind == UnitKind::Request { most } else { paid.clamp(1, most) })
        };
        let key = idempotency_key(&asked.parts.headers, credential.bearer)?;
        let purpose = Purpose { request: &asked.request, key, bearer: credential.bearer };
        self.book.take(&credential.coupon, purpose, units).await.map_err(|why| unavailable(why).into())
    }

    /// The quote that a payment names, if it names one: this gateway's own word, said under the name
    /// by which it is asked now, about this very request, and still good.
    pub(crate) fn quoted(
        &self,
        form: &Form,
        headers: &HeaderMap,
        request: [u8; 32],
    ) -> Result<Option<Quote>, Box<PaymentProblem>> {
        let realm = host(headers);
        let (quote, id, is_ours) = match form {
            Form::Full(challenge) => {
                let is_ours = challenge.realm == realm && challenge.is_of(&self.key);
                (challenge.quote(), challenge.id.clone(), is_ours)
            }
            Form::X402V2(accepted) => {
                let (quote, id) = accepted.quote().map_or_else(|why| (Err(why), String::new()), |(q, id)| (Ok(q), id));
                (quote, id, accepted.is_of(&self.key, &realm))
            }
            Form::Compact | Form::X402V1 => return Ok(None),
        };
        let problem = match quote {
            Ok(quote) if is_ours && quote.request == request && quote.seller == self.counter.me() => {
                if self.clock.now() < quote.expires {
                    return Ok(Some(quote));
                }
                PaymentProblem::new(problem::EXPIRED, "the challenge has expired: take a new one; nothing was taken")
            }
            _ => PaymentProblem::new(
                problem::INVALID_CHALLENGE,
                "the challenge is not this gateway's, was changed, or is for another request or host: take a new one; nothing was taken",
            ),
        };
        Err(PaymentProblem { challenge: Some(id), ..problem }.into())
    }

    /// The same for more money for a running answer, which is paid by a `POST` at its own address.
    pub(crate) fn challenge_more(
        &self,
        running: &Quote,
        asked: &HeaderMap,
        at: &Uri,
        problem: &PaymentProblem,
    ) -> Answer {
        let request = request_digest("POST", target(at), b"");
        let quote = Quote { request, expires: self.quoted_until(), ..running.clone() };
        self.challenge(&quote, asked, target(at), problem)
    }

    /// A refusal that says what it costs and how to pay, in every dialect. `target` is the path and
    /// query that were asked for.
    pub(crate) fn challenge(&self, quote: &Quote, asked: &HeaderMap, target: &str, problem: &PaymentProblem) -> Answer {
        metrics::counter!("farthing_gateway_challenges_total").increment(1);
        let (now, host) = (self.clock.now(), host(asked));
        let url = format!("{}://{host}{target}", self.scheme);
        let v2 = x402::PaymentRequirements::new(&self.key, quote, now, &host);
        let v1 = x402::PaymentRequirementsV1::new(v2.clone(), &url);
        let mut body = serde_json::to_value(problem).unwrap_or_default();
        if let Some(members) = body.as_object_mut() {
            members.insert("x402Version".into(), 1.into());
            members.insert("error".into(), problem.detail.clone().into());
            members.insert("accepts".into(), serde_json::to_value([v1]).unwrap_or_default());
            members.insert("offer".into(), names::OFFER_PATH.into());
        }
        let mut answer = refuse::with_body(problem, serde_json::to_vec(&body).unwrap_or_default());
        let headers = answer.headers_mut();
        let accepts = asked.get(names::ACCEPT_PAYMENT).and_then(|value| value.to_str().ok());
        for intent in [names::SESSION, names::CHARGE] {
            let challenge = Challenge::new(&self.key, quote, &host, intent).header();
            if payment::accepts(accepts, intent)
                && let Ok(value) = HeaderValue::try_from(challenge)
            {
                headers.append(WWW_AUTHENTICATE, value);
            }
        }
        let v2 = x402::PaymentRequired::new(v2, &url);
        if let Ok(value) = HeaderValue::try_from(v2.header()) {
            headers.insert(HeaderName::from_static(names::PAYMENT_REQUIRED), value);
        }
        answer
    }
}

/// Where a request comes from, as the connection shows it.
pub(crate) fn address(parts: &Parts) -> IpAddr {
    let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    source(from.map_or(IpAddr::from([0; 4]), |from| from.0.ip()))
}

/// Path and query: what a request is for.
pub(crate) fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |target| target.as_str())
}

/// The longest name of a host that is repeated in a challenge.
const HOST_BYTES_MAX: usize = 128;

fn host(headers: &HeaderMap) -> String {
    let host = headers.get(axum::http::header::HOST).and_then(|host| host.to_str().ok());
    let plain = |host: &&str| {
        (1..=HOST_BYTES_MAX).contains(&host.len())
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]_".contains(&byte))
    };
    host.filter(plain).unwrap_or("gateway").to_owned()
}

/// The client's own name for the request, hashed. A session that tokens are drawn on has many
/// holders, and each has names of its own.
fn idempotency_key(headers: &HeaderMap, bearer: Option<Bearer>) -> Result<Option<[u8; 32]>, Box<PaymentProblem>> {
    let mut all = headers.get_all(names::IDEMPOTENCY_KEY).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(key), None) if (1..=KEY_BYTES_MAX).contains(&key.len()) => {
            let holder = bearer.map(|bearer| bearer.holder.0);
            let mut hasher = blake3::Hasher::new();
            hasher.update(holder.as_ref().map_or(&[], |holder| &holder[..])).update(key.as_bytes());
            Ok(Some(*hasher.finalize().as_bytes()))
        }
        _ => Err(PaymentProblem::new(
            problem::SEVERAL,
            format!("Idempotency-Key is given once and has from 1 to {KEY_BYTES_MAX} bytes; nothing was taken"),
        )
        .into()),
    }
}

/// The store does not answer; nothing was taken, as far as this request goes.
pub(crate) fn unavailable(why: NoReply) -> PaymentProblem {
    tracing::error!(%why, "the store does not answer");
    not_durable()
}
