//! What the node does besides moving bytes, put together from libp2p's parts.

use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    Swarm, SwarmBuilder, autonat, connection_limits, dcutr, identify, kad, mdns, noise, ping, relay, tcp, yamux,
};
use tokio::sync::mpsc;

use super::streams::Streams;
use super::{KAD_PROTOCOL, OPEN_TIME, PeerLimits, StartError};

/// What peers tell each other they are.
const PROTOCOL_FAMILY: &str = "/farthing/1";
/// A connection without streams is closed after this long.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Streams of one connection whose protocol is still being agreed on.
const NEGOTIATING_MAX: usize = 32;

/// All behaviours of a node.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(super) struct Behaviour {
    // First, so that it refuses before anybody else sets something aside.
    limits: connection_limits::Behaviour,
    pub(super) streams: Streams,
    pub(super) kad: kad::Behaviour<MemoryStore>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
    relay: relay::client::Behaviour,
    dcutr: dcutr::Behaviour,
    autonat: autonat::v2::client::Behaviour,
    autonat_server: autonat::v2::server::Behaviour,
}

/// A swarm over TCP and QUIC that does not listen yet.
pub(super) fn swarm(
    keys: Keypair,
    with_mdns: bool,
    limits: &PeerLimits,
    arrivals: mpsc::Sender<(libp2p::PeerId, libp2p::Stream)>,
) -> Result<Swarm<Behaviour>, StartError> {
    let local = keys.public().to_peer_id();
    let mdns = if with_mdns {
        Some(mdns::tokio::Behaviour::new(mdns::Config::default(), local).map_err(StartError::Mdns)?)
    } else {
        None
    };
    let transport = |error: noise::Error| StartError::Transport(error.to_string());
    let built = SwarmBuilder::with_existing_identity(keys)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(transport)?
        .with_quic()
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .map_err(transport)?
        .with_behaviour(|keys, relay| Behaviour {
            limits: connection_limits::Behaviour::new(connection_limits(limits)),
            streams: Streams::new(arrivals),
            kad: kademlia(local),
            identify: identify::Behaviour::new(
                identify::Config::new(PROTOCOL_FAMILY.into(), keys.public())
                    .with_agent_version(concat!("farthing/", env!("CARGO_PKG_VERSION")).into())
                    .with_push_listen_addr_updates(true),
            ),
            ping: ping::Behaviour::default(),
            mdns: mdns.into(),
            relay,
            dcutr: dcutr::Behaviour::new(local),
            autonat: autonat::v2::client::Behaviour::default(),
            autonat_server: autonat::v2::server::Behaviour::default(),
        });
    let Ok(built) = built;
    Ok(built
        .with_swarm_config(|config| {
            config.with_idle_connection_timeout(IDLE_TIME).with_max_negotiating_inbound_streams(NEGOTIATING_MAX)
        })
        .build())
}

fn connection_limits(limits: &PeerLimits) -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(limits.handshakes))
        .with_max_pending_outgoing(Some(limits.handshakes))
        .with_max_established(Some(limits.connections))
        .with_max_established_per_peer(Some(limits.connections_per_peer))
}

/// The table that finds peers. It keeps no records for strangers: it is asked for addresses only.
fn kademlia(local: libp2p::PeerId) -> kad::Behaviour<MemoryStore> {
    let store =
        MemoryStoreConfig { max_records: 0, max_value_bytes: 0, max_providers_per_key: 0, max_provided_keys: 0 };
    let mut config = kad::Config::new(KAD_PROTOCOL);
    config.set_record_filtering(kad::StoreInserts::FilterBoth).set_query_timeout(OPEN_TIME / 2);
    let mut kad = kad::Behaviour::with_config(local, MemoryStore::with_config(local, store), config);
    // Not left to a guess from our addresses, which on a private network would be wrong.
    kad.set_mode(Some(kad::Mode::Server));
    kad
}
