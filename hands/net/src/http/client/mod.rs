//! Asking a server.

mod pin;
mod retry;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Client, Response, redirect};

use super::endpoint::Endpoint;
use super::problem::{PROBLEM_JSON, Problem};
use super::tls::{self, Fingerprint};

pub use retry::{ANSWER_WAIT_MAX, SEND_TRIES, SendError, send_idempotent};

/// How long connecting may take, handshake included.
pub const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long a request may take, from the first byte sent to the last one read.
pub const REQUEST_TIME: Duration = Duration::from_secs(30);
/// How long a connection is kept for the next request. Shorter than servers wait, so that a
/// request is seldom sent into a connection that is just being closed.
const KEEP_TIME: Duration = Duration::from_secs(4);
/// The longest refusal read from a server.
const PROBLEM_BYTES_MAX: usize = 16 << 10;

/// Why there is no client. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up HTTP: {0}")]
pub struct ClientError(String);

/// Why an answer could not be read. The server has acted on the request, whatever it did: ask
/// again with the very same request.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Longer than the caller can use.
    #[error("the answer is longer than {max} bytes; this is not the server it should be")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// It broke off.
    #[error("the answer broke off; ask again with the very same request")]
    BrokenOff(#[source] reqwest::Error),
}

/// A client for one server: within time limits, following no redirects, through no proxy, and
/// with the certificate checked as the endpoint says: against its pin, or else against the
/// authorities the system trusts.
///
/// # Errors
/// [`ClientError`].
pub fn client(endpoint: &Endpoint) -> Result<Client, ClientError> {
    tls::install_default();
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIME)
        .timeout(REQUEST_TIME)
        .pool_idle_timeout(KEEP_TIME)
        .tcp_nodelay(true)
        .user_agent(concat!("farthing/", env!("CARGO_PKG_VERSION")));
    let builder = if endpoint.is_plain() {
        // Whatever a name server says, `localhost` is here.
        let here = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let builder = builder.resolve_to_addrs("localhost", &here.map(|ip| SocketAddr::new(ip, 0)));
        builder.tls_backend_preconfigured(pin::nobody().map_err(ClientError)?)
    } else if let Some(pin) = endpoint.pin() {
        builder.https_only(true).tls_backend_preconfigured(pin::only(pin).map_err(ClientError)?)
    } else {
        builder.https_only(true)
    };
    builder.build().map_err(|error| ClientError(error.to_string()))
}

/// Whose certificate is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Whom the authorities vouch for that the system trusts.
    System,
    /// This one, whoever vouches for it.
    Only(Fingerprint),
    /// Nobody's: for plain HTTP, which asks for none.
    Nobody,
}

/// TLS for clients other than [`client`], which speak HTTP/1.1.
///
/// # Errors
/// [`ClientError`].
pub fn tls(trust: Trust) -> Result<rustls::ClientConfig, ClientError> {
    let config = match trust {
        Trust::System => pin::vouched_for(),
        Trust::Only(pin) => pin::only(pin),
        Trust::Nobody => pin::nobody(),
    };
    let mut config = config.map_err(ClientError)?;
    config.alpn_protocols.clear();
    Ok(config)
}

/// Reads an answer of at most `max` bytes. Never takes in more than that, whatever the server
/// announces or sends.
///
/// # Errors
/// [`ReadError`].
pub async fn read_bounded(mut response: Response, max: usize) -> Result<Bytes, ReadError> {
    let mut read = BytesMut::new();
    while let Some(some) = response.chunk().await.map_err(ReadError::BrokenOff)? {
        if some.len() > max - read.len() {
            return Err(ReadError::TooLong { max });
        }
        read.extend_from_slice(&some);
    }
    Ok(read.freeze())
}

/// Reads a refusal. If the server gave none in our form, one is made of the status.
///
/// # Errors
/// [`ReadError`].
pub async fn read_problem(response: Response) -> Result<Problem, ReadError> {
    let status = response.status();
    let kind = response.headers().get(reqwest::header::CONTENT_TYPE);
    let ours = kind.is_some_and(|kind| kind.as_bytes().starts_with(PROBLEM_JSON.as_bytes()));
    let retry_after = retry::retry_after(&response).map(|wait| wait.as_secs());
    let body = read_bounded(response, PROBLEM_BYTES_MAX).await?;
    let read = if ours { serde_json::from_slice::<Problem>(&body).ok() } else { None };
    let bare = || match status.is_server_error() {
        true => Problem::outcome_unknown(status, "the server gave no reason"),
        false => Problem::of_http(status, "the server gave no reason"),
    };
    Ok(Problem { retry_after, ..read.unwrap_or_else(bare) })
}
