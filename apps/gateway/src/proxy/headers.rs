//! Which headers pass, and which end here.

use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE, VARY,
};
use farthing_dialects::names;

/// The host as the client named it.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether a header must not be passed on, either way: those about one connection only (RFC 9110,
/// section 7.6.1), and payments, which are none of the service's business as receipts are none of its
/// making.
fn ends_here(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | names::ACCEPT_PAYMENT
            | names::PAYMENT_RECEIPT
            | names::PAYMENT_REQUIRED
            | names::PAYMENT_SIGNATURE
            | names::PAYMENT_RESPONSE
            | names::X_PAYMENT
            | names::X_PAYMENT_RESPONSE
            | names::STREAM
            | names::REPEATED
    )
}

/// Takes out what must not be passed on, either way, and what `Connection` names.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = named.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
    let out: Vec<HeaderName> = named.chain(headers.keys().filter(|name| ends_here(name)).cloned()).collect();
    out.iter().for_each(|name| drop(headers.remove(name)));
}

/// The headers of a request as the service gets them.
pub(super) fn to_upstream(headers: &mut HeaderMap, upstream: &HeaderValue, is_payment: bool) {
    strip(headers);
    if is_payment {
        headers.remove(AUTHORIZATION);
    }
    if let Some(host) = headers.insert(HOST, upstream.clone()) {
        headers.insert(FORWARDED_HOST, host);
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
