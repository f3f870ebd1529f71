//! How the gateway says no.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use farthing_core::refusal::{Fault, Money, Refusal, Remedy};
use farthing_coupon::session::PayError;
use farthing_dialects::Unreadable;
use farthing_dialects::credential::BadCredential;
use farthing_dialects::names;
use farthing_dialects::problem::{self, PaymentProblem};
use farthing_net::http::problem::{PROBLEM_JSON, Problem};

use crate::book::Denied;

/// Seconds after which a busy gateway may be asked again.
const RETRY_SECONDS: u64 = 1;

/// A problem as a response, never cached.
pub(crate) fn response(problem: &PaymentProblem) -> Response<Body> {
    with_body(problem, serde_json::to_vec(problem).unwrap_or_default())
}

/// The same with a body that has more in it.
pub(crate) fn with_body(problem: &PaymentProblem, body: Vec<u8>) -> Response<Body> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if problem.remedy == Remedy::Again {
        headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    }
    response
}

/// A protocol refusal as a response. What is missing then is money at the bank: a 402 would have to
/// come with a challenge.
pub(crate) fn refusal(refusal: Refusal) -> Response<Body> {
    let mut problem = Problem::from(refusal);
    if problem.status == StatusCode::PAYMENT_REQUIRED.as_u16() {
        problem.status = StatusCode::FORBIDDEN.as_u16();
    }
    problem.into_response()
}

/// What is wrong with a credential that cannot be read.
pub(crate) fn unreadable(why: BadCredential) -> PaymentProblem {
    let kind = match why {
        BadCredential::Several => problem::SEVERAL,
        BadCredential::Unreadable(Unreadable::Foreign) => problem::UNSUPPORTED,
        BadCredential::Unreadable(_) => problem::MALFORMED,
    };
    PaymentProblem::new(kind, why.to_string())
}

/// Why a coupon was not taken.
pub(crate) fn denied(why: Denied) -> PaymentProblem {
    let new = PaymentProblem::new;
    match why {
        Denied::Absent | Denied::Unknown => {
            new(problem::SESSION_UNKNOWN, "no such session here: open one; nothing was taken")
        }
        Denied::Closed => new(problem::SESSION_CLOSED, "the session is closed: open another; nothing was taken"),
        Denied::InProgress => {
            let problem =
                new(problem::IN_PROGRESS, "this payment is being served: ask again with the very same request");
            PaymentProblem { money: Money::Unknown, remedy: Remedy::Again, ..problem }
        }
        Denied::KeyReused => new(
            problem::REPLAYED,
            "this Idempotency-Key came before with another request: use another key; nothing was taken",
        ),
        Denied::TooOften => too_many("too many of your requests failed, for nothing: wait a minute; nothing was taken"),
        Denied::OtherCoupon => new(
            problem::INSUFFICIENT,
            "the session's coupons do not fit this price: ask for a quote and open another session; nothing was taken",
        ),
        Denied::Pay(why, ack) => {
            let problem = pay(why);
            match ack {
                Some(ack) => problem.acknowledging(&ack),
                None => problem,
            }
        }
    }
}

/// Nothing was taken, and the same may be sent again later.
pub(crate) fn too_many(detail: &str) -> PaymentProblem {
    PaymentProblem { fault: Fault::Nobody, remedy: Remedy::Again, ..PaymentProblem::new(problem::RATE, detail) }
}

fn pay(why: PayError) -> PaymentProblem {
    let kind = match why {
        PayError::Ended | PayError::TokenEnded => problem::EXPIRED,
        PayError::Unbound => problem::VERIFICATION_FAILED,
        PayError::Price { .. } => problem::INSUFFICIENT,
        PayError::Served { .. } | PayError::Stale { .. } => problem::REPLAYED,
        PayError::Range { .. } | PayError::TooLate => problem::OUT_OF_RANGE,
        PayError::Word(word) => match word {
            farthing_core::chain::WordError::NotOnChain => problem::VERIFICATION_FAILED,
            _ => problem::OUT_OF_RANGE,
        },
    };
    let money = match why {
        PayError::Served { .. } | PayError::TooLate => Money::MovedBefore,
        _ => Money::Unmoved,
    };
    let detail = match why {
        // An answer is remembered for a while, and not over a restart.
        PayError::Served { .. } => format!(
            "this payment was used before, and its answer is no longer kept: it cost what the receipt of that answer says, at most what it paid; POST {} shows the session's account; pay again for another answer",
            names::SESSION_PATH
        ),
        why => why.to_string(),
    };
    PaymentProblem { money, ..PaymentProblem::new(kind, detail) }
}
