//! The service behind the gateway.

use std::time::Duration;

use axum::body::Body;
use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, Method, Request, Response, Uri};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Connections kept ready between requests.
const IDLE_MAX: usize = 512;
/// For how long.
const IDLE_TIME: Duration = Duration::from_secs(30);
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the upstream is named like http://127.0.0.1:8000, perhaps with a path; plain http only")]
pub struct BadUpstream;

/// A service, by its address.
#[derive(Debug, Clone)]
pub struct Upstream {
    authority: Authority,
    prefix: String,
    client: Client<HttpConnector, Body>,
    patience: Duration,
}

impl Upstream {
    /// The service at that address, waited for so long.
    ///
    /// # Errors
    /// [`BadUpstream`].
    pub fn new(address: &str, patience: Duration) -> Result<Self, BadUpstream> {
        let uri: Uri = address.parse().map_err(|_| BadUpstream)?;
        if uri.scheme() != Some(&Scheme::HTTP) || uri.query().is_some() {
            return Err(BadUpstream);
        }
        let authority = uri.authority().ok_or(BadUpstream)?.clone();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIME));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { authority, prefix, client, patience })
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
    ) -> Result<Response<Incoming>, UpstreamError> {
        let failed = |why: &dyn std::error::Error| UpstreamError::Failed(deepest(why));
        let uri = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.authority.clone())
            .path_and_query(format!("{}{path_and_query}", self.prefix))
            .build()
            .map_err(|why| failed(&why))?;
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let answer = tokio::time::timeout(self.patience, self.client.request(request)).await;
        answer.map_err(|_| UpstreamError::Slow)?.map_err(|why| failed(&why))
    }

    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }
}

/// What was really wrong, under what it led to.
pub(super) fn deepest(why: &dyn std::error::Error) -> String {
    let mut why = why;
    while let Some(source) = why.source() {
        why = source;
    }
    why.to_string()
}
