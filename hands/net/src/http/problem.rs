//! How a server says no: RFC 9457 problem details.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use farthing_core::refusal::{Code, Fault, Money, Refusal, Remedy};
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, Serialize};

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// How much of a plain text refusal is kept as a problem's detail.
const DETAIL_BYTES_MAX: usize = 2 << 10;

/// A refusal for people and programs.
///
/// RFC 9457 gives the first four members; the others are ours and the same as in a [`Refusal`]:
/// what was wrong, whose doing, whether money may have moved, what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A name for the kind of problem: `urn:farthing:refusal:funds`, or `about:blank` where the
    /// status says it all.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This case in a sentence, with what to do about it.
    pub detail: String,
    /// What was wrong, if the protocol has a name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Whose doing.
    pub fault: Fault,
    /// Whether money may have moved.
    pub money: Money,
    /// What to do next.
    pub remedy: Remedy,
    /// Seconds to wait first; travels as the `Retry-After` header.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// A problem of HTTP itself: the sender's mistake, no money moved.
    #[must_use]
    pub fn of_http(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Refused").into(),
            status: status.as_u16(),
            detail: detail.into(),
            code: None,
            fault: Fault::Sender,
            money: Money::Unmoved,
            remedy: Remedy::Mend,
            retry_after: None,
        }
    }

    /// Too much at once: nothing was done, and the same request may be sent again after a while.
    #[must_use]
    pub fn overload(status: StatusCode, seconds: u64, detail: impl Into<String>) -> Self {
        Self {
            code: Some(Code::Rate),
            fault: Fault::Nobody,
            remedy: Remedy::Again,
            retry_after: Some(seconds),
            ..Self::of_http(status, detail)
        }
    }

    /// Something broke on our side after work had begun, so nobody knows whether it was done:
    /// the very same request, sent again, finds out and does no harm.
    #[must_use]
    pub fn outcome_unknown(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { fault: Fault::Us, money: Money::Unknown, remedy: Remedy::Again, ..Self::of_http(status, detail) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let name = serde_json::to_value(refusal.code).ok();
        let name = name.as_ref().and_then(serde_json::Value::as_str).unwrap_or("other");
        Self {
            kind: format!("urn:farthing:refusal:{name}"),
            title: name.replace('-', " "),
            code: Some(refusal.code),
            fault: refusal.fault,
            money: refusal.money,
            remedy: refusal.remedy,
            ..Self::of_http(status_of(refusal.code), refusal.detail)
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Strings and plain enums always serialize.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let headers = [(CONTENT_TYPE, PROBLEM_JSON), (CACHE_CONTROL, "no-store")];
        let mut response = (status, headers, body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A fallback for routers: nothing lives at this address.
pub async fn not_found() -> Problem {
    Problem::of_http(StatusCode::NOT_FOUND, "nothing lives at this address; see the documentation")
}

/// Whether a response is a bare or plain text refusal (of a framework's making).
pub(super) fn is_plain_refusal(response: &Response) -> bool {
    let status = response.status();
    let plain = match response.headers().get(CONTENT_TYPE) {
        None => true,
        Some(kind) => kind.as_bytes().starts_with(b"text/plain"),
    };
    plain && (status.is_client_error() || status.is_server_error())
}

/// Turns such a refusal into a problem.
pub(super) async fn dress(response: Response) -> Response {
    let status = response.status();
    let (mut parts, body) = response.into_parts();
    let text = Limited::new(body, DETAIL_BYTES_MAX).collect().await;
    let text = text.map(|text| text.to_bytes()).unwrap_or_default();
    let detail = match String::from_utf8_lossy(&text).trim() {
        "" => status.canonical_reason().unwrap_or("refused").to_owned(),
        text => text.to_owned(),
    };
    let problem = if status.is_server_error() {
        Problem::outcome_unknown(status, detail)
    } else {
        Problem::of_http(status, detail)
    };
    let (dressed, body) = problem.into_response().into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.extend(dressed.headers);
    Response::from_parts(parts, Body::new(body))
}

/// The HTTP status that fits a refusal best. Programs go by the code, not by this.
fn status_of(code: Code) -> StatusCode {
    match code {
        Code::Malformed | Code::Version | Code::Decrypt => StatusCode::BAD_REQUEST,
        Code::Funds => StatusCode::PAYMENT_REQUIRED,
        Code::Signature | Code::Certificate | Code::NotPayee | Code::Suspended | Code::Policy | Code::Puzzle => {
            StatusCode::FORBIDDEN
        }
        Code::Unknown => StatusCode::NOT_FOUND,
        Code::Expired => StatusCode::GONE,
        Code::NotYet => StatusCode::TOO_EARLY,
        Code::Rate => StatusCode::TOO_MANY_REQUESTS,
        Code::Clock | Code::Quorum => StatusCode::SERVICE_UNAVAILABLE,
        Code::Amount | Code::Limit | Code::Chain | Code::Range | Code::Goods => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::CONFLICT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_becomes_a_problem_with_nothing_lost() {
        let refusal = Refusal::new(Code::Funds, "the account holds 0.50 USD");
        let response = Problem::from(refusal).into_response();
        assert_eq!(response.status(), 402);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["type"], "urn:farthing:refusal:funds");
        assert_eq!(json["code"], "funds");
        assert_eq!(json["money"], "unmoved");
        assert_eq!(json["remedy"], "fund");
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem.detail, "the account holds 0.50 USD");
    }

    #[tokio::test]
    async fn a_plain_refusal_is_dressed_and_a_success_is_not() {
        let bare = dress((StatusCode::BAD_REQUEST, "no such field").into_response()).await;
        let body = bare.into_body().collect().await.unwrap().to_bytes();
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!((problem.status, &problem.detail[..]), (400, "no such field"));
        assert!(is_plain_refusal(&(StatusCode::BAD_REQUEST, "no such field").into_response()));
        assert!(!is_plain_refusal(&"plain".into_response()));
        assert!(!is_plain_refusal(&Problem::of_http(StatusCode::BAD_REQUEST, "no such field").into_response()));
    }
}
