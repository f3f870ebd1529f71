//! Which headers pass, and which end here.

use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY,
};
use axum::http::uri::Authority;
use farthing_dialects::names;

/// Those that are about one connection only (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] =
    [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
/// The rest of those, which have no constant.
const OLD_HOP_BY_HOP: [&str; 2] = ["keep-alive", "proxy-connection"];
/// Payments: none of the service's business, and receipts are none of its making.
const OURS: [&str; 8] = [
    names::ACCEPT_PAYMENT,
    names::PAYMENT_RECEIPT,
    names::PAYMENT_REQUIRED,
    names::PAYMENT_SIGNATURE,
    names::PAYMENT_RESPONSE,
    names::X_PAYMENT,
    names::X_PAYMENT_RESPONSE,
    names::STREAM,
];

/// Takes out what must not be passed on, either way.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    named.iter().chain(&HOP_BY_HOP).for_each(|name| drop(headers.remove(name)));
    OLD_HOP_BY_HOP.iter().chain(&OURS).for_each(|name| drop(headers.remove(*name)));
    headers.remove(names::REPEATED);
}

/// The headers of a request as the service gets them.
pub(super) fn to_upstream(headers: &mut HeaderMap, upstream: &Authority, is_payment: bool) {
    strip(headers);
    if is_payment {
        headers.remove(AUTHORIZATION);
    }
    let host = headers.remove(HOST);
    if let Some(host) = host {
        headers.insert("x-forwarded-host", host);
    }
    if let Ok(host) = HeaderValue::from_str(upstream.as_str()) {
        headers.insert(HOST, host);
    }
}

/// A paid answer is for who paid.
pub(super) fn private(headers: &mut HeaderMap) {
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    headers.append(VARY, HeaderValue::from_static("authorization, payment-signature, x-payment"));
}

/// Whether a request asks to change the protocol.
pub(super) fn wants_upgrade(headers: &HeaderMap) -> bool {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    headers.contains_key(UPGRADE)
        && named.flat_map(|value| value.split(',')).any(|name| name.trim().eq_ignore_ascii_case("upgrade"))
}
