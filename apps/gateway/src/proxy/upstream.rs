//! The service behind the gateway.

use std::time::Duration;

use axum::body::Body;
use axum::http::uri::{PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use farthing_net::http::client::{ClientError, Trust, tls};
use farthing_net::http::endpoint::read_pin;
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;

use super::line::{Lines, Unsent};

/// Until a connection stands.
const CONNECT_TIME: Duration = Duration::from_secs(5);

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
#[derive(Debug)]
pub struct Upstream {
    /// What `Host` says.
    host: HeaderValue,
    prefix: String,
    lines: Lines,
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
        let (uri, trust) = read(address).ok_or(BadUpstream::NotAnAddress)?;
        let host = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        let host = host.ok_or(BadUpstream::NotAnAddress)?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIME));
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let lines = Lines::to(uri, HttpsConnector::from((connector, tls(trust)?)));
        Ok(Self { host, prefix, lines, patience })
    }

    pub(super) const fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Closes connections that were not used lately.
    pub(super) fn tidy(&self) {
        self.lines.tidy();
    }

    /// Passes a request on, and waits for the head of the answer.
    pub(super) async fn ask(
        &self,
        method: Method,
        target: PathAndQuery,
        headers: HeaderMap,
        body: Bytes,
        upgrades: bool,
    ) -> Result<Response<Body>, UpstreamError> {
        let target = match &self.prefix[..] {
            "" => target,
            prefix => PathAndQuery::try_from(format!("{prefix}{target}")).map_err(|why| failed(&why))?,
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = headers;
        let asked = tokio::time::timeout(self.patience, self.send(request, upgrades));
        let answer = asked.await.map_err(|_| UpstreamError::Slow)??;
        let switches = upgrades && answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        if answer.status().is_informational() && !switches {
            return Err(UpstreamError::Failed(format!("it answered {} unasked", answer.status())));
        }
        Ok(answer)
    }

    async fn send(&self, mut request: Request<Full<Bytes>>, upgrades: bool) -> Result<Response<Body>, UpstreamError> {
        while !upgrades && let Some(line) = self.lines.idle() {
            match self.lines.exchange(line, request).await {
                Ok(answer) => return Ok(answer),
                // Closed in the meantime, before anything was sent: the next one, or a new one.
                Err(Unsent { request: Some(unsent), .. }) => request = unsent,
                Err(Unsent { why, .. }) => return Err(failed(&why)),
            }
        }
        // Seldom: whoever finds a connection does not carry the room it takes.
        Box::pin(self.send_anew(request, upgrades)).await
    }

    async fn send_anew(&self, request: Request<Full<Bytes>>, upgrades: bool) -> Result<Response<Body>, UpstreamError> {
        let line = self.lines.open().await.map_err(|why| failed(&*why))?;
        let answer = if upgrades { line.upgrade(request).await } else { self.lines.exchange(line, request).await };
        answer.map_err(|unsent| failed(&unsent.why))
    }
}

fn failed(why: &dyn std::error::Error) -> UpstreamError {
    UpstreamError::Failed(deepest(why))
}

/// Takes an address apart. What follows `#` is not part of an URI as our parser knows it.
fn read(address: &str) -> Option<(Uri, Trust)> {
    let (address, fragment) = address.split_once('#').map_or((address, None), |(uri, pin)| (uri, Some(pin)));
    let uri: Uri = address.parse().ok()?;
    let pin = fragment.map(read_pin).transpose().ok()?;
    let scheme = uri.scheme()?;
    let trust = match pin {
        None if *scheme == Scheme::HTTP => Trust::Nobody,
        None if *scheme == Scheme::HTTPS => Trust::System,
        Some(pin) if *scheme == Scheme::HTTPS => Trust::Only(pin),
        _ => return None,
    };
    let bare = uri.query().is_none() && !uri.authority()?.as_str().contains('@');
    bare.then_some((uri, trust))
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
