//! What a seller's answer says about the coupon, or the token, that went with the request.

use std::time::Duration;

use farthing_core::refusal::{Fault, Money, Remedy};
use farthing_core::wire::{self, Bounded};
use farthing_coupon::micro::Ack;
use farthing_dialects::problem::{self, PaymentProblem};
use farthing_dialects::{names, receipt};
use farthing_net::http::client::{read_bounded, send_idempotent};
use farthing_net::http::problem::PROBLEM_JSON;
use http_body_util::BodyExt;
use reqwest::header::HeaderMap;
use reqwest::{Client, Response};

use crate::messages::BODY_BYTES_MAX;

/// The most receipts that are read: one payment was made.
const RECEIPTS_MAX: usize = 64;
/// The longest list of receipts that is read.
const RECEIPTS_BYTES_MAX: usize = 128 * RECEIPTS_MAX;
/// How often, and how long apart, a receipt is asked for: the seller has to notice that it is over.
const RECEIPT_TRIES: u32 = 20;
const RECEIPT_PAUSE: Duration = Duration::from_millis(100);

/// An answer as it came.
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) media_type: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// What is known of a payment once its seller has answered.
pub(crate) enum Heard {
    /// The seller's word on how much of it was used, and the answer, or what came in its place.
    Settled(Said, Ack),
    /// The seller says that it was used, and no more: by an earlier request, or by one whose answer is
    /// forgotten.
    Used(Said, String),
    /// The seller refuses it, without a word that would hold it to that.
    Refused(PaymentProblem),
    /// A whole answer without a word on the payment.
    Unproven(Said),
    /// Nothing: the same is sent again.
    Nothing,
}

/// Reads an answer to the payment with this index, and finds the seller's word on it: in front of the
/// answer, behind it, in a refusal, or where the seller keeps those of answers that broke off.
/// `base` is where the seller is.
pub(crate) async fn hear(http: &Client, base: &str, response: Response, index: u32) -> Heard {
    let (status, headers) = (response.status(), response.headers().clone());
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (media_type, stream) = (text("content-type"), text(names::STREAM));
    let in_front = text(names::PAYMENT_RECEIPT).and_then(|value| receipt::read(&value).ok());
    let is_problem = media_type.as_ref().is_some_and(|kind| kind.starts_with(PROBLEM_JSON));
    let may_refuse = is_problem && !status.is_success() && stream.is_none() && in_front.is_none();
    let (body, mut acks) = match read(response).await {
        Ok(read) => (Some(read.0), read.1),
        Err(Broken) => (None, Vec::new()),
    };
    acks.extend(in_front);
    if acks.is_empty()
        && let Some(stream) = &stream
    {
        acks = receipts(http, base, stream).await;
    }
    let ack = acks.into_iter().find(|ack| ack.index == index);
    let said = |body| Said { status: status.as_u16(), media_type, body };
    match (body, ack) {
        (Some(body), _) if may_refuse => refused(said(body)),
        (Some(body), Some(ack)) => Heard::Settled(said(body), ack),
        // The receipt of a running answer is to be had; ask for the answer again, and it comes.
        (Some(_), None) if stream.is_some() => Heard::Nothing,
        (Some(body), None) => Heard::Unproven(said(body)),
        // A whole answer waits at the seller: the same again gets it.
        (None, Some(_)) if stream.is_none() => Heard::Nothing,
        (None, Some(ack)) => Heard::Settled(broken_off(&ack), ack),
        (None, None) => Heard::Nothing,
    }
}

/// A refusal in the form that says what became of the payment.
fn refused(said: Said) -> Heard {
    let Ok(told) = serde_json::from_slice::<PaymentProblem>(&said.body) else { return Heard::Unproven(said) };
    if told.is(problem::IN_PROGRESS) || told.is(problem::NOT_DURABLE) || told.money == Money::Unknown {
        return Heard::Nothing;
    }
    match told.ack() {
        Ok(Some(ack)) => Heard::Settled(said, ack),
        _ if told.money == Money::MovedBefore => Heard::Used(said, told.detail),
        _ => Heard::Refused(told),
    }
}

/// What is passed on in place of an answer that broke off.
fn broken_off(ack: &Ack) -> Said {
    let (money, what) = match ack.charged {
        0 => (Money::Unmoved, "the seller's answer broke off, and it charged nothing: try again later"),
        _ => (Money::MovedBefore, "the seller's answer broke off or was too long, and it charged for what it sent"),
    };
    let problem = PaymentProblem::new(problem::UPSTREAM_FAILED, what);
    let problem = PaymentProblem { fault: Fault::Third, remedy: Remedy::Again, money, ..problem };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    Said { status: problem.status, media_type: Some(PROBLEM_JSON.to_owned()), body }
}

/// It broke off, or was longer than is passed on.
struct Broken;

/// Reads a body, and the receipts behind it.
async fn read(response: Response) -> Result<(Vec<u8>, Vec<Ack>), Broken> {
    let (mut body, mut whole, mut acks) = (reqwest::Body::from(response), Vec::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| Broken)?.into_data() {
            Ok(data) if data.len() > BODY_BYTES_MAX.saturating_sub(whole.len()) => return Err(Broken),
            Ok(data) => whole.extend_from_slice(&data),
            Err(frame) => acks.extend(frame.into_trailers().iter().flat_map(acks_in)),
        }
    }
    Ok((whole, acks))
}

fn acks_in(trailers: &HeaderMap) -> Vec<Ack> {
    let all = trailers.get_all(names::PAYMENT_RECEIPT).iter().take(RECEIPTS_MAX);
    all.filter_map(|value| receipt::read(value.to_str().ok()?).ok()).collect()
}

/// The receipts of an answer that has ended, from where the seller keeps them.
async fn receipts(http: &Client, base: &str, stream: &str) -> Vec<Ack> {
    // A name that would lead elsewhere is none.
    if !stream.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return Vec::new();
    }
    let url = format!("{base}{}", names::receipt_path(stream));
    for _ in 0..RECEIPT_TRIES {
        let Ok(answer) = send_idempotent(|| http.get(url.clone())).await else { break };
        if answer.status().is_success() {
            let Ok(body) = read_bounded(answer, RECEIPTS_BYTES_MAX).await else { break };
            return wire::decode::<Bounded<Ack, RECEIPTS_MAX>>(&body).map(Bounded::into_vec).unwrap_or_default();
        }
        tokio::time::sleep(RECEIPT_PAUSE).await;
    }
    Vec::new()
}
