//! Authenticated, encrypted streams between peers, and how peers find each other.
//!
//! A [`Node`] speaks libp2p over TCP (Noise, yamux) and QUIC. Whoever is at the other end of a
//! [`PeerStream`] has proved, in the handshake, to hold the Ed25519 key that is its [`PeerId`]:
//! an address is only a hint where to look, and somebody else answering there is refused.
//! Peers are found by addresses handed in, by a Kademlia table of our own
//! (Maymounkov and Mazières, 2002), and on a local network by multicast DNS. Relay, hole punching
//! and reachability probes are in place for peers behind address translation.
//!
//! What travels on a stream is the caller's business: see [`crate::frame`].

mod behaviour;
mod error;
mod identity;
mod node;
mod stream;
mod streams;
mod task;

use std::time::Duration;

use farthing_core::id::PeerId;
pub use libp2p::Multiaddr;
use libp2p::StreamProtocol;
use zeroize::Zeroizing;

pub use error::{OpenError, StartError};
pub use node::Node;
pub use stream::PeerStream;

/// The protocol spoken on every [`PeerStream`].
pub const PAY_PROTOCOL: StreamProtocol = StreamProtocol::new("/farthing/pay/1");
/// The protocol of our own Kademlia table; no other network's nodes get into it.
pub const KAD_PROTOCOL: StreamProtocol = StreamProtocol::new("/farthing/kad/1");

/// How long [`Node::open`] tries in all: finding, dialling, handshake, welcome.
pub const OPEN_TIME: Duration = Duration::from_secs(20);
/// How many [`Node::open`] calls may be under way; more of them wait their turn.
pub const OPENS_MAX: usize = 64;
/// How many addresses of one peer are tried or remembered at a time.
pub const ADDRESSES_MAX: usize = 16;

/// What strangers may use up. The defaults suit a peer on an ordinary machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerLimits {
    /// Streams opened by others and still held here, waiting in [`Node::accept`] included.
    pub streams: usize,
    /// The same, for one peer.
    pub streams_per_peer: usize,
    /// Connections in both directions.
    pub connections: u32,
    /// Connections with one peer.
    pub connections_per_peer: u32,
    /// Connections that have not yet said who they are, in each direction.
    pub handshakes: u32,
}

impl Default for PeerLimits {
    fn default() -> Self {
        Self { streams: 256, streams_per_peer: 8, connections: 512, connections_per_peer: 4, handshakes: 64 }
    }
}

/// How to start a [`Node`]. Has no `Debug`, for the sake of the secret in it.
pub struct NodeConfig {
    /// The seed of our Ed25519 key.
    pub secret: Zeroizing<[u8; 32]>,
    /// Where to listen, such as `/ip4/0.0.0.0/tcp/0` and `/ip4/0.0.0.0/udp/0/quic-v1`.
    pub listen: Vec<Multiaddr>,
    /// Peers to ask first, with an address of each.
    pub bootstrap: Vec<(PeerId, Multiaddr)>,
    /// Whether to look for peers on the local network, and be found there.
    pub mdns: bool,
    /// What strangers may use up.
    pub limits: PeerLimits,
}

#[cfg(test)]
mod tests;
