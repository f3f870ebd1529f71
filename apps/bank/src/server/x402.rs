//! The facilitator over HTTP: x402's three questions, and the doors by which sessions are opened.
//!
//! The doors are those of a gateway, so a buyer that can pay one can pay here.

mod invoices;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::wire::{self, Wire};
use farthing_coupon::messages::{Initiate, Payment};
use farthing_dialects::names::{CBOR, CLOSE_PATH, INITIATE_PATH, OFFER_PATH, OPEN_PATH, SESSION_PATH};
use farthing_dialects::service::{AskSession, CloseSession, Offer};
use farthing_dialects::x402::{SCHEME, SettleResponse, network_name};
use farthing_driver::{Clock, NoReply};
use farthing_net::http::problem::Problem;
use farthing_role::{Context, Halt};
use farthing_store::Overlay;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use super::desk::Desk;
use crate::client::BankAddress;
use crate::facilitator::{Asked, Facilitator, FacilitatorPass, No, Settled, payment_digest};
use crate::home::FacilitatorTerms;
use invoices::Invoices;

/// The longest question of a server or buyer: 64 KiB.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What is in the bank's own document of a facilitator. The doors for buyers speak CBOR to our own
/// clients, and are described with the gateway's.
#[derive(OpenApi)]
#[openapi(paths(kinds, verify, settle))]
pub(super) struct Document;

/// What handlers see.
struct House {
    desk: Arc<Desk>,
    invoices: Invoices,
    offer: Vec<u8>,
    supported: Value,
}

type Shared = State<Arc<House>>;

/// The routes of a facilitator; none where the bank is none.
pub(super) fn router(desk: Arc<Desk>, bank: &BankAddress, terms: &FacilitatorTerms) -> Router {
    let Some(facilitator) = desk.role.facilitator() else { return Router::new() };
    let url = terms.url.clone().unwrap_or_else(|| bank.endpoint().url("").as_str().trim_end_matches('/').to_owned());
    let offer = wire::encode(&Offer {
        order: facilitator.order().clone(),
        network: desk.network,
        bank: desk.key.id(),
        bank_address: bank.to_string(),
        life_min_secs: facilitator.life_min_secs(),
        units_max: farthing_core::chain::CHAIN_LEN_MAX,
    });
    let supported = supported(facilitator, &network_name(desk.network), &url);
    let house = House { desk, invoices: Invoices::default(), offer, supported };
    Router::new()
        .route("/supported", get(kinds))
        .route("/verify", post(verify))
        .route("/settle", post(settle))
        .route(OFFER_PATH, get(offered))
        .route(INITIATE_PATH, post(initiate))
        .route(OPEN_PATH, post(open))
        .route(CLOSE_PATH, post(close))
        .route(SESSION_PATH, post(session))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(house))
}

/// The answer to `/supported`. Servers copy `extra` into what they want of buyers.
fn supported(facilitator: &Facilitator, network: &str, url: &str) -> Value {
    let coupon = facilitator.coupon();
    let extra = json!({
        "facilitator": url,
        "realm": facilitator.realm(),
        "seller": facilitator.id(),
        "coupon": coupon.as_micros().to_string(),
        "currency": coupon.currency().code(),
    });
    let kind = |version: u32| json!({ "x402Version": version, "scheme": SCHEME, "network": network, "extra": extra });
    json!({
        "kinds": [kind(2), kind(1)],
        "extensions": [],
        "signers": { "farthing:*": [facilitator.id()] },
    })
}

/// Which kinds of payment are taken: x402's `/supported`.
#[utoipa::path(get, path = "/supported", responses(
    (status = 200, body = Object, description = "kinds, extensions and signers; servers copy a kind's extra"),
))]
async fn kinds(State(house): Shared) -> Json<Value> {
    Json(house.supported.clone())
}

/// Whether a payment is good.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VerifyResponse {
    is_valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<String>,
}

/// Whether a payment is good; if so, it is kept for this delivery: x402's `/verify`.
#[utoipa::path(post, path = "/verify",
    request_body(content = Object, content_type = "application/json",
        description = "x402Version, paymentPayload and paymentRequirements, of version 1 or 2"),
    responses(
        (status = 200, body = VerifyResponse, description = "Yes, or no with the reason"),
        (status = 413, content_type = "application/problem+json", description = "Longer than 64 KiB"),
        (status = 429, content_type = "application/problem+json", description = "Too fast"),
    ))]
async fn verify(State(house): Shared, body: Bytes) -> impl IntoResponse {
    let answer = match Asked::read(&body, house.desk.network) {
        Ok(asked) => {
            let verified = house.act(move |facilitator, _, cx| facilitator.verify(cx, &asked)).await;
            verified.unwrap_or_else(|why| Err(unanswered("unexpected_verify_error", why)))
        }
        Err(no) => Err(no),
    };
    count("verify", answer.is_ok());
    let (payer, no) = match answer {
        Ok(payer) => (Some(payer.to_string()), None),
        Err(no) => (None, Some(no)),
    };
    let (invalid_reason, invalid_message) = no.map(|no| (no.reason, no.message)).unzip();
    (
        [(CACHE_CONTROL, "no-store")],
        Json(VerifyResponse { is_valid: payer.is_some(), invalid_reason, invalid_message, payer }),
    )
}

/// Takes a payment: x402's `/settle`. The same payment again has the same answer.
#[utoipa::path(post, path = "/settle",
    request_body(content = Object, content_type = "application/json",
        description = "x402Version, paymentPayload and paymentRequirements, of version 1 or 2"),
    responses(
        (status = 200, body = Object, description = "x402's settlement response: success, or errorReason"),
        (status = 413, content_type = "application/problem+json", description = "Longer than 64 KiB"),
        (status = 429, content_type = "application/problem+json", description = "Too fast"),
    ))]
async fn settle(State(house): Shared, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let network = house.desk.network;
    let mut transaction = String::new();
    let answer = match Asked::read(&body, network) {
        Ok(asked) => {
            let asked = Asked { holder: house.holder(&headers), ..asked };
            transaction = farthing_dialects::receipt::reference(asked.coupon.session, asked.coupon.index);
            let settled = house.act(move |facilitator, _, cx| facilitator.settle(cx, &asked)).await;
            // A server that hears this asks once more with the very same words, which does no harm.
            settled.unwrap_or_else(|why| Err(unanswered("settlement_pending", why)))
        }
        Err(no) => Err(no),
    };
    count("settle", answer.is_ok());
    let response = match answer {
        Ok(Settled { session, payer, charged, ack: Some(ack) }) => {
            let settled = SettleResponse::settled(network, session, &ack, charged);
            json!(SettleResponse { payer: Some(payer.to_string()), ..settled })
        }
        Ok(Settled { payer, ack: None, .. }) => json!({
            "success": true, "payer": payer, "transaction": "", "network": network_name(network), "amount": "0",
        }),
        Err(No { reason, message }) => json!({
            "success": false, "errorReason": reason, "errorMessage": message,
            "transaction": if reason == "settlement_pending" { transaction } else { String::new() },
            "network": network_name(network),
        }),
    };
    ([(CACHE_CONTROL, "no-store")], Json(response))
}

async fn offered(State(house): Shared) -> impl IntoResponse {
    ([(CONTENT_TYPE, CBOR)], house.offer.clone())
}

async fn initiate(State(house): Shared, body: Bytes) -> Result<impl IntoResponse, Problem> {
    let initiate: Initiate = read(&body)?;
    let mut rng = house.dice()?;
    let now = house.desk.clock.now();
    let facilitator = house.desk.role.facilitator().ok_or_else(none)?;
    let (invoiced, invoice) = facilitator.invoice(now, &initiate, &mut rng)?;
    let common = invoice.peek().map_err(Refusal::from)?.common;
    house.invoices.keep(now, common, invoiced);
    Ok(answer(&invoice))
}

async fn open(State(house): Shared, body: Bytes) -> Result<impl IntoResponse, Problem> {
    let payment: Payment = read(&body)?;
    let common = payment.consent.peek().map_err(Refusal::from)?.common;
    let digest = payment_digest(&payment);
    let before = house.desk.driver.read(|books| Facilitator::confirmed(&Overlay::new(books), common, digest));
    if let Some(confirm) = before.await.map_err(problem)?.map_err(halted)? {
        return Ok(answer(&confirm));
    }
    let gone = || Refusal::new(Code::Unknown, "no such invoice is open here: begin again").remedy(Remedy::Mend);
    let invoiced = house.invoices.find(house.desk.clock.now(), common).ok_or_else(gone)?;
    let facilitator = house.desk.role.facilitator().ok_or_else(none)?;
    let committed = facilitator.on_payment(&invoiced, payment)?;
    let checked = house.desk.role.coupons().check_authorise(facilitator.id(), committed.request().clone())?;
    let opened = house.act(move |facilitator, coupons, cx| facilitator.open(cx, coupons, &committed, &checked, digest));
    Ok(answer(&opened.await.map_err(problem)?))
}

async fn close(State(house): Shared, body: Bytes) -> Result<impl IntoResponse, Problem> {
    let ask: Signed<CloseSession> = read(&body)?;
    let closed = house.act(move |facilitator, _, cx| facilitator.close(cx, ask)).await;
    Ok(answer(&closed.map_err(problem)?))
}

async fn session(State(house): Shared, body: Bytes) -> Result<impl IntoResponse, Problem> {
    let ask: Signed<AskSession> = read(&body)?;
    let now = house.desk.clock.now();
    let facilitator = house.desk.role.facilitator().ok_or_else(none)?;
    let view = house.desk.driver.read(|books| facilitator.look(&Overlay::new(books), now, ask)).await;
    Ok(answer(&view.map_err(problem)?.map_err(halted)?))
}

impl House {
    /// Does something as the facilitator, durable by the answer.
    async fn act<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Facilitator, &farthing_coupon::bank::Coupons, &mut Context<'_>) -> Result<T, Halt>
        + Send
        + 'static,
    ) -> Result<T, NoReply> {
        let role = Arc::clone(&self.desk.role);
        self.desk
            .driver
            .transact(move |cx| role.facilitate(cx, |facilitator, cx| work(facilitator, role.coupons(), cx)))
            .await
    }

    /// Which server asks, if it shows a pass.
    fn holder(&self, headers: &HeaderMap) -> Option<PeerId> {
        let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
        FacilitatorPass::holder(header, self.desk.network, self.desk.clock.now())
    }

    fn dice(&self) -> Result<ChaCha20Rng, Problem> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|why| {
            tracing::error!(%why, "the operating system gave no randomness");
            Problem::overload(StatusCode::SERVICE_UNAVAILABLE, 1, "the bank cannot draw numbers just now")
        })?;
        Ok(ChaCha20Rng::from_seed(seed))
    }
}

fn count(what: &'static str, yes: bool) {
    let outcome = if yes { "done" } else { "refused" };
    metrics::counter!("farthing_facilitator_requests_total", "kind" => what, "outcome" => outcome).increment(1);
}

fn read<T: Wire>(body: &[u8]) -> Result<T, Problem> {
    wire::decode(body).map_err(|why| Refusal::from(why).into())
}

fn answer<T: minicbor::Encode<()>>(value: &T) -> ([(axum::http::HeaderName, &'static str); 2], Vec<u8>) {
    ([(CONTENT_TYPE, CBOR), (CACHE_CONTROL, "no-store")], wire::encode(value))
}

fn none() -> Refusal {
    Refusal::new(Code::Unknown, "this bank is no facilitator")
}

fn unanswered(reason: &'static str, why: NoReply) -> No {
    match why {
        NoReply::Refused(why) if why.code != Code::Rate => No::from(why),
        why => No::new(reason, why.to_string()),
    }
}

fn problem(why: NoReply) -> Problem {
    match why {
        NoReply::Refused(why) => why.into(),
        NoReply::Down => Problem::overload(StatusCode::SERVICE_UNAVAILABLE, 1, "the bank is closing: send it again"),
        NoReply::Unknown => {
            let detail = "the bank does not know yet what came of it; send the very same again";
            Problem::outcome_unknown(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }
}

fn halted(halt: Halt) -> Problem {
    match halt {
        Halt::Refused(why) => why.into(),
        Halt::Store(fault) => {
            tracing::error!(%fault, "the facilitator could not read");
            problem(NoReply::Down)
        }
    }
}
