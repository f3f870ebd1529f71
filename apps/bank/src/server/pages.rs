//! What the bank shows: its pages for everybody, and the door for requests.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use farthing_core::sign::Statement;
use farthing_core::wire;
use farthing_driver::Clock;
use farthing_net::http::ops;
use farthing_net::http::problem::{Problem, not_found};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::desk::Desk;
use super::report::Reporter;
use crate::alarm::Alarm;
use crate::messages::{BankInfo, CBOR, LiabilityReport};

/// What handlers see.
#[derive(Clone)]
struct House {
    desk: Arc<Desk>,
    info: Arc<BankInfo>,
    reporter: Arc<Reporter>,
}

/// The routes of a bank.
pub(super) fn router(desk: Arc<Desk>, info: BankInfo, reporter: Arc<Reporter>, alarm: Arc<Alarm>) -> Router {
    #[derive(OpenApi)]
    #[openapi(info(
        title = "farthing bank",
        description = "Accounts, certificates, chains and claims. Requests and answers are canonical CBOR; refusals \
                       of strangers are RFC 9457 problems."
    ))]
    struct Document;

    let (driver, is_facilitator) = (desk.driver.clone(), desk.role.facilitator().is_some());
    let ready = move || match alarm.reason() {
        Some(_) => Err("the books do not add up: nothing is paid out; look at the log and run the audit".to_owned()),
        None if driver.is_healthy() => Ok(()),
        None => Err("the store has failed: the bank must be started again".to_owned()),
    };
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(messages))
        .routes(routes!(clearing))
        .routes(routes!(bank))
        .routes(routes!(liabilities))
        .split_for_parts();
    let document = match is_facilitator {
        true => document.merge_from(super::x402::Document::openapi()),
        false => document,
    };
    // A document made of strings and lists always serializes.
    let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    router
        .route("/openapi.json", get(move || async move { ([(CONTENT_TYPE, "application/json")], document) }))
        .merge(ops::router(ready))
        .fallback(not_found)
        .with_state(House { desk, info: Arc::new(info), reporter })
}

/// A request: signed, sealed to the bank. The answer is signed by the bank, refusals included.
#[utoipa::path(post, path = "/v1/messages",
    request_body(content = Vec<u8>, content_type = "application/cbor",
        description = "Canonical Sealed<Signed<RequestBody>>"),
    responses(
        (status = 200, content_type = "application/cbor", body = Vec<u8>, description = "Canonical Signed<Answer>"),
        (status = 400, content_type = "application/problem+json", description = "No request at all, or not for us"),
        (status = 403, content_type = "application/problem+json", description = "Nobody's signature"),
        (status = 415, content_type = "application/problem+json", description = "Not CBOR"),
        (status = 429, content_type = "application/problem+json", description = "Too fast"),
        (status = 503, content_type = "application/problem+json", description = "Busy: send the very same again"),
    ))]
async fn messages(State(house): State<House>, headers: HeaderMap, body: Bytes) -> Result<impl IntoResponse, Problem> {
    cbor_only(&headers)?;
    let answer = house.desk.answer(&body).await?;
    Ok(([(CONTENT_TYPE, CBOR)], answer))
}

/// A frame of the online clearing. One that does not open gets a problem that is always the same.
#[utoipa::path(post, path = "/clearing",
    request_body(content = Vec<u8>, content_type = "application/cbor", description = "Canonical Frame"),
    responses(
        (status = 200, content_type = "application/cbor", body = Vec<u8>, description = "Canonical FrameAnswer"),
        (status = 400, content_type = "application/problem+json", description = "It does not open"),
        (status = 415, content_type = "application/problem+json", description = "Not CBOR"),
        (status = 429, content_type = "application/problem+json", description = "Too fast"),
        (status = 503, content_type = "application/problem+json", description = "Busy: send the very same again"),
    ))]
async fn clearing(State(house): State<House>, headers: HeaderMap, body: Bytes) -> Result<impl IntoResponse, Problem> {
    cbor_only(&headers)?;
    let answer = house.desk.frame(&body).await?;
    Ok(([(CONTENT_TYPE, CBOR)], answer))
}

fn cbor_only(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(CONTENT_TYPE).is_none_or(|kind| kind != CBOR) {
        return Err(Problem::of_http(StatusCode::UNSUPPORTED_MEDIA_TYPE, "requests are application/cbor"));
    }
    Ok(())
}

/// Who the bank is, for people; `statement` is the same for programs, signed.
#[derive(Serialize, ToSchema)]
struct BankPage {
    /// Its name.
    name: String,
    /// Its network, `net1…`.
    network: String,
    /// The key that signs its statements, `peer1…`.
    bank: String,
    /// The key that signs certificates, `peer1…`.
    authority: String,
    /// The key to seal requests to it: X25519, in hexadecimal.
    seal: String,
    /// The currency of its accounts.
    currency: String,
    /// How money comes in and goes out.
    rail: String,
    /// The longest life of a chain, in milliseconds.
    chain_life_max_millis: u64,
    /// How long after its reserve has ended a payee may still claim, in milliseconds.
    grace_millis: u64,
    /// How long an accused payer has to answer, in milliseconds.
    answer_time_millis: u64,
    /// What an account must have deposited before it may open chains.
    deposit: Option<String>,
    /// The most that one payment may be, as certificates state it.
    limit_per_item: String,
    /// The most that may be owed in all, as certificates state it.
    limit_total: String,
    /// When this was signed: milliseconds since 1970.
    time_millis: u64,
    /// Canonical Signed<BankInfo>, in hexadecimal.
    statement: String,
}

/// Who the bank is and on what terms it works.
#[utoipa::path(get, path = "/v1/bank", responses((status = 200, body = BankPage)))]
async fn bank(State(house): State<House>) -> Json<BankPage> {
    let info = BankInfo { time: house.desk.clock.now(), ..BankInfo::clone(&house.info) };
    Json(BankPage {
        name: info.name.as_str().to_owned(),
        network: info.network.to_string(),
        bank: info.bank.to_string(),
        authority: info.authority.to_string(),
        seal: hex::encode(info.seal.0),
        currency: info.currency.to_string(),
        rail: info.rail.as_str().to_owned(),
        chain_life_max_millis: info.chain_life_max.as_millis(),
        grace_millis: info.grace.as_millis(),
        answer_time_millis: info.answer_time.as_millis(),
        deposit: info.deposit.map(|amount| amount.to_string()),
        limit_per_item: info.limits.per_item.to_string(),
        limit_total: info.limits.total.to_string(),
        time_millis: info.time.as_millis(),
        statement: signed(&house.desk, &info),
    })
}

/// What the bank owes, in micros; `statement` is the same for programs, signed.
#[derive(Serialize, ToSchema)]
struct LiabilitiesPage {
    /// The currency of all sums.
    currency: String,
    /// What customers have.
    customer: u64,
    /// What backs instruments in circulation.
    backing: u64,
    /// Deposits against cheating.
    deposit: u64,
    /// What the bank earned.
    fees: u64,
    /// Money whose owner is not settled.
    suspense: u64,
    /// What came in from outside and was not paid out: the sum of all of the above.
    funded: u64,
    /// Whether it is.
    conserved: bool,
    /// How many rows the journal has.
    journal_rows: u64,
    /// The hash of the last of them, in hexadecimal.
    journal_head: String,
    /// How many rows the clearing's log has.
    clearing_rows: u64,
    /// The hash of the last of them, in hexadecimal.
    clearing_head: String,
    /// When this was signed: milliseconds since 1970.
    time_millis: u64,
    /// Canonical Signed<LiabilityReport>, in hexadecimal.
    statement: String,
}

/// What the bank owes and has for it.
#[utoipa::path(get, path = "/v1/liabilities", responses(
    (status = 200, body = LiabilitiesPage),
    (status = 503, content_type = "application/problem+json", description = "Not counted yet"),
))]
async fn liabilities(State(house): State<House>) -> Result<Json<LiabilitiesPage>, Problem> {
    let latest = house.reporter.latest();
    let not_yet = || Problem::overload(StatusCode::SERVICE_UNAVAILABLE, 1, "the books are being counted");
    let latest = latest.ok_or_else(not_yet)?;
    let LiabilityReport { currency, customer, backing, deposit, fees, suspense, funded, .. } = latest.report;
    let clearing = latest.report.clearing.unwrap_or_default();
    Ok(Json(LiabilitiesPage {
        currency: currency.to_string(),
        customer,
        backing,
        deposit,
        fees,
        suspense,
        funded,
        conserved: latest.report.is_conserved(),
        journal_rows: latest.report.journal_rows,
        journal_head: hex::encode(latest.report.journal_head),
        clearing_rows: clearing.seq,
        clearing_head: hex::encode(clearing.hash),
        time_millis: latest.report.time.as_millis(),
        statement: hex::encode(wire::encode(&latest.signed)),
    }))
}

fn signed<T: Statement>(desk: &Desk, statement: &T) -> String {
    hex::encode(wire::encode(&desk.key.sign(desk.network, statement)))
}
