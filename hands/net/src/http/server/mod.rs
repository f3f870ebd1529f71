//! A server around a router: TLS, limits on everything, a graceful end.
//!
//! Whatever fails before a handler runs has changed nothing and cost a bounded amount. Requests
//! are taken in whole before their handler sees them, so a handler never waits for a slow sender.

mod connection;
mod counters;
mod error;
mod guard;
mod handler;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::seats::Seats;

use super::endpoint::Endpoint;
use super::tls::{self, Fingerprint, Identity};

pub use error::BindError;
use guard::{Guard, Guarded};
pub use guard::{Route, Verbatim};
pub use handler::Handler;

/// How to start a server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// How connections are protected.
    pub tls: Tls,
    /// What strangers may use up.
    pub limits: Limits,
}

/// How connections are protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Not at all, which is refused unless the address is a loopback address.
    PlainLoopbackOnly,
    /// By a certificate given as PEM files.
    Files {
        /// The certificate, followed by those that lead to its authority.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// By a certificate made at the first start and kept in a folder. Clients recognise it by its
    /// fingerprint.
    SelfMade {
        /// The folder.
        dir: PathBuf,
    },
}

/// What strangers may use up. An address is an IPv4 address or an IPv6 /64 network, as the
/// connection shows it: no header is believed about where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Requests being taken in or worked on, in all.
    pub requests: usize,
    /// The same, from one address.
    pub requests_per_address: usize,
    /// Requests in each second from one address, in the long run.
    pub rate_per_address: NonZeroU32,
    /// Requests at once from one address, after a silence.
    pub burst_per_address: NonZeroU32,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// Bytes of all headers together.
    pub header_bytes: u32,
    /// Number of headers.
    pub headers: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of the bodies of all requests that are being taken in or worked on, together.
    pub all_body_bytes: usize,
    /// Until the handshake is done.
    pub tls_time: Duration,
    /// Until a request's headers are complete, and until a new connection's first request.
    pub header_time: Duration,
    /// Until a request's body is complete.
    pub body_time: Duration,
    /// Until a handler has answered.
    pub request_time: Duration,
    /// A connection without requests is closed after this.
    pub idle_time: Duration,
    /// How long running requests are waited for when the server stops.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const RATE: NonZeroU32 = NonZeroU32::new(500).unwrap();
        const BURST: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
        Self {
            connections: 1_024,
            connections_per_address: 128,
            requests: 512,
            requests_per_address: 128,
            rate_per_address: RATE,
            burst_per_address: BURST,
            streams: 64,
            header_bytes: 16 << 10,
            headers: 64,
            body_bytes: 256 << 10,
            all_body_bytes: 64 << 20,
            tls_time: Duration::from_secs(5),
            header_time: Duration::from_secs(5),
            body_time: Duration::from_secs(10),
            request_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(60),
            drain_time: Duration::from_secs(10),
        }
    }
}

/// A server that has its port and is not serving yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    identity: Option<Identity>,
    limits: Limits,
}

impl Server {
    /// Takes the port and reads or makes the certificate.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(config: ServerConfig) -> Result<Self, BindError> {
        let ServerConfig { listen, tls, limits } = config;
        let identity = match tls {
            Tls::PlainLoopbackOnly if listen.ip().is_loopback() => None,
            Tls::PlainLoopbackOnly => return Err(BindError::PlainOffLoopback(listen)),
            Tls::Files { cert, key } => Some(tls::from_files(&cert, &key)?),
            Tls::SelfMade { dir } => Some(tls::self_made(&dir, listen.ip())?),
        };
        let listener = TcpListener::bind(listen).await.map_err(BindError::at(listen))?;
        let address = listener.local_addr().map_err(BindError::at(listen))?;
        Ok(Self { listener, address, identity, limits })
    }

    /// Where the server really listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The fingerprint of its certificate; `None` without TLS.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.identity.as_ref().map(|identity| identity.fingerprint)
    }

    /// How clients name this server, certificate and all. If it listens on every address of the
    /// machine, the one to reach it by must be put in by whoever knows it: the loopback address
    /// stands in.
    ///
    /// # Errors
    /// None in practice: an address always makes an endpoint.
    pub fn endpoint(&self) -> Result<Endpoint, super::endpoint::EndpointError> {
        let mut at = self.address;
        if at.ip().is_unspecified() {
            at.set_ip(if at.is_ipv4() { [127, 0, 0, 1].into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        match self.fingerprint() {
            None => format!("http://{at}").parse(),
            Some(pin) => format!("https://{at}").parse::<Endpoint>()?.pinned(pin),
        }
    }

    /// Serves until `stop` is done, then takes no more connections, lets running requests finish
    /// for at most [`Limits::drain_time`] and breaks off the rest.
    pub async fn serve(self, router: Router, stop: impl Future<Output = ()> + Send) {
        // Inside the router, where the route of a request is known.
        let guard = Arc::new(Guard::new(self.limits));
        self.attend(router.layer(from_fn_with_state(guard, guard::guard)), stop).await;
    }

    /// The same with a handler of one's own in place of a router: cheaper for each request. It names
    /// what answered by [`Route`].
    pub async fn serve_with(self, handler: impl Handler, stop: impl Future<Output = ()> + Send) {
        let guard = Guard::new(self.limits);
        self.attend(Guarded::new(guard, handler), stop).await;
    }

    async fn attend(self, handler: impl Handler, stop: impl Future<Output = ()> + Send) {
        let Self { listener, identity, limits, .. } = self;
        let attendant = Arc::new(connection::Attendant {
            handler: Arc::new(handler),
            acceptor: identity.map(|identity| TlsAcceptor::from(identity.config)),
            http: connection::http(&limits),
            limits,
            stopping: CancellationToken::new(),
            breaking_off: CancellationToken::new(),
        });
        let seats = Seats::new(limits.connections, limits.connections_per_address);
        let connections = TaskTracker::new();
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => match seats.take(source(from.ip())) {
                    Some(seat) => {
                        let attendant = Arc::clone(&attendant);
                        connections.spawn(async move {
                            attendant.attend(stream, from).await;
                            drop(seat);
                        });
                    }
                    None => metrics::counter!("farthing_http_connections_refused_total").increment(1),
                },
                Err(error) => connection::pause_after(&error).await,
            }
        }
        drop(listener);
        attendant.stopping.cancel();
        connections.close();
        if tokio::time::timeout(limits.drain_time, connections.wait()).await.is_err() {
            tracing::warn!(open = connections.len(), "breaking off requests that did not finish");
            attendant.breaking_off.cancel();
            connections.wait().await;
        }
    }
}

/// What counts as one address. Whoever has one IPv6 address has its whole /64 network.
#[must_use]
pub fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_addresses_counts_as_one_stranger() {
        let at = |text: &str| source(text.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_ne!(at("10.0.0.1"), at("10.0.0.2"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }
}
