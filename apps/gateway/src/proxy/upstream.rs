//! The service behind the gateway.

use std::time::Duration;

use axum::body::Body;
use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use farthing_net::http::client::{ClientError, Trust, tls};
use farthing_net::http::endpoint::read_pin;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Connections kept ready between requests.
const IDLE_MAX: usize = 512;
/// For how long.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Until a connection stands.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Bytes of the head of an answer, and of what is read from the service at once.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// Headers of an answer.
const HEADERS_MAX: usize = 128;

/// Why the service gave no answer. It was not paid for.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No answer, or a broken one.
    #[error("the service does not answer: {0}")]
    Failed(String),
    /// None in time.
    #[error("the service took too long")]
    Slow,
}

/// Where the service is not.
#[derive(Debug, thiserror::Error)]
pub enum BadUpstream {
    /// Not an address, or with more in it than one has.
    #[error(
        "the upstream is named like http://127.0.0.1:8000 or https://host#sha256=…, perhaps with a path; the pin only with https"
    )]
    NotAnAddress,
    /// There is no TLS to reach it by.
    #[error(transparent)]
    Tls(#[from] ClientError),
}

/// A service, by its address.
#[derive(Debug, Clone)]
pub struct Upstream {
    scheme: Scheme,
    authority: Authority,
    prefix: String,
    client: Client<HttpsConnector<HttpConnector>, Body>,
    patience: Duration,
}

impl Upstream {
    /// The service at that address, waited for so long. With https its certificate is checked: that
    /// it is the one whose fingerprint follows in `#sha256=…`, or else that the system's authorities
    /// vouch for it.
    ///
    /// # Errors
    /// [`BadUpstream`].
    pub fn new(address: &str, patience: Duration) -> Result<Self, BadUpstream> {
        let (scheme, uri, trust) = read(address).ok_or(BadUpstream::NotAnAddress)?;
        let authority = uri.authority().ok_or(BadUpstream::NotAnAddress)?.clone();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIME));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .http1_max_headers(HEADERS_MAX)
            .http2_max_header_list_size(HEAD_BYTES_MAX as u32)
            .build(HttpsConnector::from((connector, tls(trust)?)));
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { scheme, authority, prefix, client, patience })
    }

    pub(super) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Passes a request on, and waits for the head of the answer.
    pub(super) async fn ask(
        &self,
        method: Method,
        path_and_query: &str,
        headers: HeaderMap,
        body: Bytes,
        upgrades: bool,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let failed = |why: &dyn std::error::Error| UpstreamError::Failed(deepest(why));
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{path_and_query}", self.prefix))
            .build()
            .map_err(|why| failed(&why))?;
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let answer = tokio::time::timeout(self.patience, self.client.request(request)).await;
        let answer = answer.map_err(|_| UpstreamError::Slow)?.map_err(|why| failed(&why))?;
        let switches = upgrades && answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        if answer.status().is_informational() && !switches {
            return Err(UpstreamError::Failed(format!("it answered {} unasked", answer.status())));
        }
        Ok(answer)
    }
}

/// Takes an address apart. What follows `#` is not part of an URI as our parser knows it.
fn read(address: &str) -> Option<(Scheme, Uri, Trust)> {
    let (address, fragment) = address.split_once('#').map_or((address, None), |(uri, pin)| (uri, Some(pin)));
    let uri: Uri = address.parse().ok()?;
    let pin = fragment.map(read_pin).transpose().ok()?;
    let scheme = uri.scheme()?.clone();
    let trust = match pin {
        None if scheme == Scheme::HTTP => Trust::Nobody,
        None if scheme == Scheme::HTTPS => Trust::System,
        Some(pin) if scheme == Scheme::HTTPS => Trust::Only(pin),
        _ => return None,
    };
    let bare = uri.query().is_none() && !uri.authority()?.as_str().contains('@');
    bare.then_some((scheme, uri, trust))
}

/// What was really wrong, under what it led to.
pub(super) fn deepest(why: &dyn std::error::Error) -> String {
    let mut why = why;
    while let Some(source) = why.source() {
        why = source;
    }
    why.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateway_refuses_an_upstream_that_is_not_quite_an_address() {
        let pin = format!("#sha256={}", "ab".repeat(32));
        for right in ["http://127.0.0.1:8000", "http://host/below", &format!("https://host:8443/below{pin}")] {
            assert!(read(right).is_some(), "{right}");
        }
        let plain = format!("http://host{pin}");
        for wrong in ["", "host", "ftp://host", "http://me@host", "http://host?x", &plain, "https://host#ab"] {
            assert!(matches!(Upstream::new(wrong, CONNECT_TIME), Err(BadUpstream::NotAnAddress)), "{wrong}");
        }
    }
}
