//! Why a server does not start.

use std::io;
use std::net::SocketAddr;

use crate::http::tls::TlsError;

/// Why a server did not start. Nothing was served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Plain HTTP off the machine would let anybody on the way read and change requests.
    #[error(
        "{0} can be reached from outside and needs TLS: give a certificate, let one be made, or listen on 127.0.0.1"
    )]
    PlainOffLoopback(SocketAddr),
    /// The port is in use.
    #[error("{0} is taken: stop the other program or choose another port (0 takes a free one)")]
    AddressTaken(SocketAddr),
    /// The system does not let us listen there.
    #[error("cannot listen on {address}: choose an address of this machine and a port above 1023")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate is of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl BindError {
    pub(super) fn at(address: SocketAddr) -> impl Fn(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressTaken(address),
            _ => Self::Listen { address, source },
        }
    }
}
