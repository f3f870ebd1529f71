//! A proxy on this machine that pays: for programs that cannot be changed.
//!
//! It stands in front of one upstream, listens on loopback only, and answers nobody who came by a
//! name that is not this machine's: a web page in a browser must not spend the owner's money by a
//! name server's trick, nor by a form. What an answer cost is in its header [`COST`].

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, TRANSFER_ENCODING, UPGRADE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use farthing_core::refusal::{Fault, Money};
use farthing_net::http::problem::Problem;
use futures::TryStreamExt;
use reqwest::Url;

use crate::client::PayingClient;
use crate::error::{Advice, PayError};

/// What an answer cost, as far as is known when its headers leave.
pub const COST: &str = "farthing-cost";

/// The longest body of a request through the proxy.
pub const PROXY_BODY_MAX: usize = 16 << 20;

/// Why a connection keeps its protocol: nothing was asked, and nothing paid.
const NO_UPGRADES: &str = "this proxy pays for requests and their answers, and cannot pay for a connection that changes \
     its protocol, such as a WebSocket: what such a connection carries both ways is charged as it goes on; use a client \
     of the service's own, or ask without Upgrade; nothing was paid";

/// Headers that concern one connection only.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
];

/// Why there is no proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Others could spend the money.
    #[error(
        "{0} can be reached from other machines, and whoever reaches the proxy spends your money: listen on 127.0.0.1"
    )]
    NotLoopback(SocketAddr),
    /// The upstream is no server's address.
    #[error("the upstream must be http://host[:port] or https://host[:port], without path, query or user")]
    Upstream,
}

struct Shared {
    client: PayingClient,
    upstream: Url,
    tool: Option<String>,
}

/// The proxy, to be served at `listen`. What it spends is counted as that tool's, if it is one's.
///
/// # Errors
/// [`ProxyError`].
pub fn router(
    client: PayingClient,
    upstream: Url,
    listen: SocketAddr,
    tool: Option<String>,
) -> Result<Router, ProxyError> {
    if !listen.ip().is_loopback() {
        return Err(ProxyError::NotLoopback(listen));
    }
    let bare = upstream.path() == "/" && upstream.query().is_none() && upstream.fragment().is_none();
    let anonymous = upstream.username().is_empty() && upstream.password().is_none();
    if !matches!(upstream.scheme(), "http" | "https") || !upstream.has_host() || !bare || !anonymous {
        return Err(ProxyError::Upstream);
    }
    Ok(Router::new().fallback(forward).with_state(Arc::new(Shared { client, upstream, tool })))
}

async fn forward(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    if !is_from_here(&parts.headers) {
        return Problem::of_http(StatusCode::FORBIDDEN, "this proxy serves programs on its own machine only")
            .into_response();
    }
    if parts.headers.contains_key(UPGRADE) {
        return Problem::of_http(StatusCode::NOT_IMPLEMENTED, NO_UPGRADES).into_response();
    }
    let Ok(body) = to_bytes(body, PROXY_BODY_MAX).await else {
        let why = format!("the body is longer than {PROXY_BODY_MAX} bytes, or broke off");
        return Problem::of_http(StatusCode::PAYLOAD_TOO_LARGE, why).into_response();
    };
    let mut asked = reqwest::Request::new(parts.method, at(&shared.upstream, &parts.uri));
    *asked.headers_mut() = end_to_end(&parts.headers);
    asked.headers_mut().remove(CONTENT_LENGTH);
    if !body.is_empty() {
        *asked.body_mut() = Some(body.into());
    }
    let answer = match &shared.tool {
        Some(tool) => shared.client.execute_for(tool, asked).await,
        None => shared.client.execute(asked).await,
    };
    match answer {
        Ok(paid) => {
            let mut headers = end_to_end(paid.headers());
            let cost = paid.receipt().cost().map_or_else(|| "0".to_owned(), |cost| cost.to_string());
            if let Ok(cost) = HeaderValue::from_str(&cost) {
                headers.insert(COST, cost);
            }
            let mut response = Response::new(Body::empty());
            *response.status_mut() = paid.status();
            *response.headers_mut() = headers;
            // Its program sees only that it broke off; why, and what was paid, is for its owner.
            let told = paid.into_stream().inspect_err(|why| tracing::warn!(%why, "an answer is not whole"));
            *response.body_mut() = Body::from_stream(told);
            response
        }
        Err(why) => problem(&why).into_response(),
    }
}

/// Whether the request names this machine, and no web page made it.
fn is_from_here(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    matches!(name, "127.0.0.1" | "localhost" | "[::1]") && !headers.contains_key(ORIGIN)
}

fn at(upstream: &Url, uri: &Uri) -> Url {
    let mut url = upstream.clone();
    url.set_path(uri.path());
    url.set_query(uri.query());
    url
}

/// Headers without those of one connection.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let keeps = |name: &HeaderName| !HOP_BY_HOP.contains(&name.as_str()) && !named.contains(name);
    let mut kept = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| keeps(name)) {
        kept.append(name.clone(), value.clone());
    }
    kept.remove(TRANSFER_ENCODING);
    kept
}

fn problem(why: &PayError) -> Problem {
    let status = match why {
        PayError::NothingSent(_)
        | PayError::Unknown { .. }
        | PayError::Spent { .. }
        | PayError::Denied { .. }
        | PayError::BrokeOff { .. } => StatusCode::BAD_GATEWAY,
        PayError::Refused { advice: Advice::Later, .. } => StatusCode::SERVICE_UNAVAILABLE,
        PayError::Refused { .. } => StatusCode::FORBIDDEN,
        PayError::Wallet(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let money = why.money();
    let fault = if money == Money::Unmoved { Fault::Nobody } else { Fault::Us };
    Problem { money, fault, ..Problem::of_http(status, why.to_string()) }
}
