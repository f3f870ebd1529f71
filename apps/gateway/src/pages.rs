//! The gateway's own pages: opening and closing sessions, money on the way, and the price list.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use farthing_core::id::{ChainId, PeerId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::{Signed, Statement};
use farthing_core::time::{SKEW, Time};
use farthing_core::wire::{self, Bounded, Wire};
use farthing_coupon::messages::{Initiate, Payment};
use farthing_coupon::micro::SessionName;
use farthing_dialects::names;
use farthing_dialects::problem::{self, PaymentProblem};
use farthing_dialects::quote::request_digest;
use farthing_dialects::service::{AskSession, BringTip, CloseSession, SessionView};
use farthing_dialects::{credential, names::CBOR};
use farthing_driver::NoReply;
use farthing_net::http::server::Route;

use crate::book::{Book, Denied, Payment as Paid, Purpose, Taken};
use crate::gate::{self, Gate, unavailable};
use crate::proxy::{self, Meter, TOP_UPS_MAX};
use crate::to_the_end::ToTheEnd;
use crate::{catalogue, cors, refuse};

type Answer = Response<Body>;

const OPENAPI_PATH: &str = "/openapi.json";

/// The router of the gateway's own pages.
pub(crate) fn router(gate: Arc<Gate>) -> Router {
    let healthy = Arc::clone(&gate);
    let own = Router::new()
        .route(names::OFFER_PATH, get(offer))
        .route(names::CATALOGUE_PATH, get(catalogue::catalogue))
        .route(OPENAPI_PATH, get(catalogue::openapi))
        .route(names::INITIATE_PATH, post(initiate))
        .route(names::OPEN_PATH, post(open))
        .route(names::CLOSE_PATH, post(close))
        .route(names::SESSION_PATH, post(session))
        .route(names::TIP_PATH, post(tip))
        .route(&names::stream_path("{name}"), post(top_up).get(proxy::state))
        .route(&names::receipt_path("{name}"), get(receipts))
        .route("/.well-known/farthing/healthz", get(async move || health(&healthy)))
        .layer(axum::middleware::map_response(async |mut answer: Answer| {
            cors::expose(answer.headers_mut());
            answer
        }))
        .layer(axum::middleware::from_fn(named));
    let elsewhere = async |State(gate): State<Arc<Gate>>, request: Request| gate::serve(&gate, request).await;
    own.fallback(elsewhere).with_state(gate)
}

/// Whether the gateway's own pages are at that path, rather than something for sale.
pub(crate) fn are_at(path: &str) -> bool {
    path == OPENAPI_PATH || path.strip_prefix(names::WELL_KNOWN).is_some_and(|below| below.starts_with('/'))
}

/// Tells the counters which of the pages answered.
async fn named(matched: Option<MatchedPath>, request: Request, next: Next) -> Answer {
    let mut answer = next.run(request).await;
    if let Some(matched) = matched {
        answer.extensions_mut().insert(Route(matched.as_str().into()));
    }
    answer
}

fn health(gate: &Gate) -> StatusCode {
    if gate.book.is_healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn read<T: Wire>(bytes: &[u8]) -> Result<T, Refusal> {
    wire::decode(bytes).map_err(Refusal::from)
}

fn cbor<T: minicbor::Encode<()>>(done: Result<T, Refusal>) -> Answer {
    match done {
        Ok(value) => ([(CONTENT_TYPE, CBOR)], wire::encode(&value)).into_response(),
        Err(why) => refuse::refusal(why),
    }
}

async fn offer(State(gate): State<Arc<Gate>>) -> Answer {
    cbor(Ok(gate.counter.offer()))
}

async fn initiate(State(gate): State<Arc<Gate>>, body: Bytes) -> Answer {
    cbor(read::<Initiate>(&body).and_then(|initiate| gate.counter.invoice(&initiate)))
}

async fn open(State(gate): State<Arc<Gate>>, body: Bytes) -> Answer {
    let payment = match read::<Payment>(&body) {
        Ok(payment) => payment,
        Err(why) => return refuse::refusal(why),
    };
    // On a task of its own: what the bank was asked is written down even if the buyer goes away.
    let task = tokio::spawn(async move { gate.counter.pay(payment).await });
    cbor(task.await.unwrap_or_else(|_| Err(NoReply::Unknown.into_refusal())))
}

/// The name a signed statement is about, if its signer owns the session.
async fn owned<T: Statement>(
    gate: &Gate,
    signed: Signed<T>,
    names: impl FnOnce(&T) -> (ChainId, Time),
) -> Result<SessionName, Refusal> {
    let verified = signed.verify(gate.counter.network())?;
    let (chain, at) = names(verified.body());
    let now = gate.clock.now();
    if now.since(at) > SKEW || at.since(now) > SKEW {
        return Err(Refusal::new(Code::Expired, "this was said too long ago, or the clocks differ"));
    }
    let name = SessionName::of(chain);
    let owner = gate.book.with(name, |session, _, _| (session.chain(), session.buyer())).await;
    match owner.map_err(NoReply::into_refusal)? {
        Some(found) if found == (chain, PeerId(verified.signer().0)) => Ok(name),
        _ => Err(Refusal::new(Code::Unknown, "you have no such session here")),
    }
}

async fn view(gate: &Gate, name: SessionName, closing: bool) -> Result<SessionView, Refusal> {
    let view = gate.book.with(name, |session, closed, _| {
        *closed |= closing;
        SessionView {
            chain: session.chain(),
            units: session.units(),
            through: session.through(),
            cleared: session.cleared(),
            closed: *closed,
        }
    });
    let gone = || Refusal::new(Code::Unknown, "you have no such session here");
    view.await.map_err(NoReply::into_refusal)?.ok_or_else(gone)
}

async fn close(State(gate): State<Arc<Gate>>, body: Bytes) -> Answer {
    let done = async {
        let name = owned(&gate, read::<Signed<CloseSession>>(&body)?, |said| (said.chain, said.at)).await?;
        let view = view(&gate, name, true).await?;
        gate.closing.add(name);
        Ok(view)
    };
    cbor(done.await)
}

async fn session(State(gate): State<Arc<Gate>>, body: Bytes) -> Answer {
    let done = async {
        let name = owned(&gate, read::<Signed<AskSession>>(&body)?, |said| (said.chain, said.at)).await?;
        view(&gate, name, false).await
    };
    cbor(done.await)
}

async fn tip(State(gate): State<Arc<Gate>>, body: Bytes) -> Answer {
    let said: BringTip = match read(&body) {
        Ok(said) => said,
        Err(why) => return refuse::refusal(why),
    };
    match gate.book.tip(said.session, &said.tip).await {
        Ok(Ok(seen)) => cbor(Ok(seen)),
        // Nothing is bought here, so nothing is required to be paid.
        Ok(Err(Denied::Pay(why, _))) => refuse::refusal(why.into()),
        Ok(Err(why)) => refuse::response(&refuse::denied(why)),
        Err(why) => refuse::refusal(why.into_refusal()),
    }
}

/// More money for a running answer.
async fn top_up(State(gate): State<Arc<Gate>>, Path(name): Path<String>, request: Request) -> Answer {
    let (target, headers) = (gate::target(request.uri()), request.headers());
    let Some(meter) = gate.streams.running(&name) else { return refuse::response(&over()) };
    let digest = request_digest("POST", target, b"");
    match pay_more(&gate, &meter, digest, headers).await {
        Ok(()) => proxy::accepted(&gate.book, &meter),
        Err(problem) if problem.status == StatusCode::PAYMENT_REQUIRED.as_u16() => {
            gate.challenge_more(meter.quote(), headers, request.uri(), &problem)
        }
        Err(problem) => refuse::response(&problem),
    }
}

fn over() -> PaymentProblem {
    PaymentProblem::new(problem::SESSION_CLOSED, "no such answer is running; nothing was taken")
}

async fn pay_more(
    gate: &Arc<Gate>,
    meter: &Arc<Meter>,
    digest: [u8; 32],
    headers: &HeaderMap,
) -> Result<(), Box<PaymentProblem>> {
    let unpaid = || {
        PaymentProblem::new(problem::PAYMENT_REQUIRED, "send a coupon in Authorization, of as many units as you like")
    };
    let found = credential::find(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    let found = found.map_err(|why| Box::new(refuse::unreadable(why)))?.ok_or_else(|| Box::new(unpaid()))?;
    gate.quoted(&found.form, headers, digest)?;
    let credential::Credential { coupon, bearer, .. } = found;
    if meter.session != coupon.session {
        return Err(PaymentProblem::new(
            problem::VERIFICATION_FAILED,
            "pay from the session the answer was begun with; nothing was taken",
        )
        .into());
    }
    let purpose = Purpose { request: &digest, key: None, bearer };
    let taken =
        gate.book.take(&coupon, purpose, |_| Ok(coupon.units)).await.map_err(|why| Box::new(unavailable(why)))?;
    let payment = match taken {
        Ok(Taken::Fresh(payment)) => payment,
        Ok(Taken::Again(..)) | Err(Denied::InProgress) => return Ok(()),
        Err(why) => return Err(refuse::denied(why).into()),
    };
    let (gate, meter) = (Arc::clone(gate), Arc::clone(meter));
    // To the end: were it left here by a client that goes away, nobody would ever settle it.
    ToTheEnd::new(async move { add(&gate.book, &meter, &payment).await }).await
}

/// Adds a payment to a running answer once it is on disk, or gives it back.
async fn add(book: &Book, meter: &Meter, payment: &Paid) -> Result<(), Box<PaymentProblem>> {
    book.durable(payment.batch).await.map_err(|_| Box::new(crate::proxy::not_durable()))?;
    if meter.add(payment.entry).is_ok() {
        return Ok(());
    }
    let (acks, _) = book.settle(payment.session, &[(payment.entry, 0)], crate::book::NOTHING);
    let problem = over();
    Err(acks.first().map_or(problem.clone(), |ack| problem.acknowledging(ack)).into())
}

/// The receipts of an answer that has ended.
async fn receipts(State(gate): State<Arc<Gate>>, Path(name): Path<String>) -> Answer {
    let unknown = || Refusal::new(Code::Unknown, "no such answer has ended here; while it runs there is no receipt");
    let acks = gate.streams.receipts(&name).ok_or_else(unknown);
    cbor(acks.and_then(|acks| Bounded::<_, TOP_UPS_MAX>::new(acks).ok_or_else(unknown)))
}
