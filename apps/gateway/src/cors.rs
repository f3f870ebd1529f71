//! Browsers: who may ask, and which headers a page gets to see.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, ORIGIN,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

/// What a paying page needs to see.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "www-authenticate, payment-receipt, payment-required, payment-response, x-payment-response, farthing-stream, farthing-repeated, retry-after",
);
/// How long a browser remembers, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const ANYBODY: HeaderValue = HeaderValue::from_static("*");

/// Whether a page asks.
pub(crate) fn asked(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN)
}

/// The answer to a browser that asks beforehand; it costs nothing. Payments travel in headers that
/// the page itself sets and never in cookies, so any page may.
pub(crate) fn preflight(request: &Request) -> Option<Response<Body>> {
    let method = request.headers().get(ACCESS_CONTROL_REQUEST_METHOD)?;
    if request.method() != Method::OPTIONS || !asked(request.headers()) {
        return None;
    }
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYBODY);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    if let Some(wanted) = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(answer)
}

/// Lets a page see the answer and its payment headers.
pub(crate) fn expose(headers: &mut HeaderMap) {
    if !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYBODY);
    }
    headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}
