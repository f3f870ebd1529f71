//! What every HTTP role needs, on the server's side and on the client's.
//!
//! A server is a [`Server`](server::Server) around the role's own `axum` router; it brings TLS,
//! limits on everything and a graceful end. [`ops`] adds health, readiness and metrics,
//! [`problem`] is the form of every refusal. A client names a server by an
//! [`Endpoint`](endpoint::Endpoint), which can pin a self-made certificate.

pub mod client;
pub mod endpoint;
pub mod ops;
pub mod problem;
pub mod server;
pub mod tls;

#[cfg(test)]
mod tests;
