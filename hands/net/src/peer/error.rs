//! What can go wrong between peers.

use std::io;
use std::time::Duration;

use farthing_core::id::PeerId;
use libp2p::Multiaddr;

/// Why a node did not start. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is in use.
    #[error("{0} is taken: stop the other program or listen on another port (0 takes a free one)")]
    AddressTaken(Multiaddr),
    /// We cannot listen there.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Where.
        address: Multiaddr,
        /// What the system or the library says.
        reason: String,
    },
    /// A bootstrap peer's identifier is no Ed25519 key.
    #[error("{0} is not a key; check the list of bootstrap peers")]
    NotAKey(PeerId),
    /// The system refused what multicast DNS needs.
    #[error("cannot look for peers on the local network; switch that off or allow multicast")]
    Mdns(#[source] io::Error),
    /// The transports could not be set up.
    #[error("cannot set up the transports: {0}")]
    Transport(String),
}

/// Why no stream was opened. The caller has sent nothing, so no money can have moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The identifier is no Ed25519 key, so nobody can answer to it.
    #[error("this peer identifier is not a key; ask for it again")]
    NotAKey,
    /// The peer is ourselves.
    #[error("this peer is ourselves")]
    Ourselves,
    /// No address of it is known and nobody we asked knows one.
    #[error("no address of this peer is known; get one from the index or wait until it is back")]
    Unknown,
    /// Somebody answers at the address, with another key.
    #[error("somebody else answers at {address}; get a newer address of this peer")]
    Impostor {
        /// Where.
        address: Multiaddr,
        /// Who, if it has an Ed25519 key.
        obtained: Option<PeerId>,
    },
    /// Nobody answers.
    #[error("the peer cannot be reached ({0}); try again later")]
    Unreachable(String),
    /// It answers, but does not speak our protocol.
    #[error("the peer does not speak this protocol; one of us needs a newer version")]
    OtherProtocol,
    /// It speaks our protocol, but has no room for another stream or is shutting down.
    #[error("the peer turned us away; try again later or close a stream to it")]
    TurnedAway,
    /// It took too long.
    #[error("no stream within {0:?}; try again later")]
    TooSlow(Duration),
    /// Our node was closed.
    #[error("our node is closed")]
    Closed,
}
