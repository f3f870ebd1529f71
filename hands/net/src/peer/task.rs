//! The task that owns the swarm: listens, dials, and feeds what peers tell into the table.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, TcpListener};

use futures::StreamExt;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, Swarm, TransportError, identify, kad, mdns};
use tokio::sync::{mpsc, oneshot, watch};

use super::behaviour::{Behaviour, BehaviourEvent};
use super::identity::from_libp2p;
use super::streams::Reply;
use super::{ADDRESSES_MAX, KAD_PROTOCOL, OpenError, StartError};

/// What a node wants of its task.
pub(super) enum Wish {
    Connection(Dial),
    /// A stream to a connected peer. Unanswered if the connection is gone.
    Stream(libp2p::PeerId, Reply),
}

/// A wish to be connected with a peer.
pub(super) struct Dial {
    pub(super) peer: libp2p::PeerId,
    /// Where to try first.
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) reply: oneshot::Sender<Result<(), OpenError>>,
}

/// A wish under way.
struct Attempt {
    dial: Dial,
    /// Why it failed so far, and whether the table was asked: it is asked once.
    failed: Option<OpenError>,
    looked_up: bool,
}

pub(super) struct Task {
    swarm: Swarm<Behaviour>,
    wishes: mpsc::Receiver<Wish>,
    dialling: HashMap<ConnectionId, Attempt>,
    looking_up: HashMap<kad::QueryId, Attempt>,
    /// Listeners that have not told an address yet.
    silent: HashSet<ListenerId>,
    addresses: watch::Sender<Vec<Multiaddr>>,
}

impl Task {
    /// Starts listening. `addresses` is told where as soon as every listener has an address.
    pub(super) fn new(
        mut swarm: Swarm<Behaviour>,
        listen: &[Multiaddr],
        wishes: mpsc::Receiver<Wish>,
        addresses: watch::Sender<Vec<Multiaddr>>,
    ) -> Result<Self, StartError> {
        let mut silent = HashSet::new();
        for address in listen {
            check_free(address)?;
            let listener = swarm.listen_on(address.clone()).map_err(|error| cannot_listen(address.clone(), error))?;
            silent.insert(listener);
        }
        let (dialling, looking_up) = (HashMap::new(), HashMap::new());
        Ok(Self { swarm, wishes, dialling, looking_up, silent, addresses })
    }

    /// Runs until the node drops its end of `wishes`.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                wish = self.wishes.recv() => match wish {
                    None => return,
                    Some(Wish::Stream(peer, reply)) => self.swarm.behaviour_mut().streams.ask(peer, reply),
                    Some(Wish::Connection(dial)) if self.swarm.is_connected(&dial.peer) => answer(dial, Ok(())),
                    Some(Wish::Connection(dial)) => {
                        self.dial(Attempt { dial, failed: None, looked_up: false }, true);
                    }
                },
            }
        }
    }

    /// Tries the addresses of the wish, and with `all` also those the behaviours know.
    fn dial(&mut self, attempt: Attempt, all: bool) {
        if attempt.dial.reply.is_closed() {
            return;
        }
        let mut options = DialOpts::peer_id(attempt.dial.peer)
            .condition(PeerCondition::Always)
            .addresses(attempt.dial.addresses.clone());
        if all {
            options = options.extend_addresses_through_behaviour();
        }
        let options = options.build();
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => _ = self.dialling.insert(connection, attempt),
            Err(error) => self.on_failure(attempt, error),
        }
    }

    /// Tries the other addresses if one led to somebody else, then asks the table, then gives up.
    fn on_failure(&mut self, mut attempt: Attempt, error: DialError) {
        if let DialError::WrongPeerId { address, .. } = &error {
            let wrong = bare(address.clone());
            let before = attempt.dial.addresses.len();
            attempt.dial.addresses.retain(|address| bare(address.clone()) != wrong);
            let after = attempt.dial.addresses.len();
            if 0 < after && after < before {
                attempt.failed = Some(why(error));
                return self.dial(attempt, false);
            }
        }
        // An impostor says more than the silence that followed.
        if !matches!(attempt.failed, Some(OpenError::Impostor { .. })) {
            attempt.failed = Some(why(error));
        }
        if attempt.looked_up {
            self.give_up(attempt);
        } else {
            attempt.looked_up = true;
            let query = self.swarm.behaviour_mut().kad.get_closest_peers(attempt.dial.peer);
            self.looking_up.insert(query, attempt);
        }
    }

    fn give_up(&self, attempt: Attempt) {
        let failed = attempt.failed.unwrap_or(OpenError::Unknown);
        answer(attempt.dial, Err(failed));
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                tracing::debug!(%address, "listening for peers");
                self.silent.remove(&listener_id);
                self.tell_addresses();
            }
            SwarmEvent::ExpiredListenAddr { .. } => self.tell_addresses(),
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                tracing::warn!(?reason, "a listener for peers has closed");
                self.silent.remove(&listener_id);
                self.tell_addresses();
            }
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                let done = self.dialling.extract_if(|_, attempt| attempt.dial.peer == peer_id);
                done.for_each(|(_, attempt)| answer(attempt.dial, Ok(())));
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(attempt) = self.dialling.remove(&connection_id) {
                    self.on_failure(attempt, error);
                }
            }
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })
                if info.protocols.contains(&KAD_PROTOCOL) =>
            {
                self.remember(peer_id, info.listen_addrs);
            }
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    self.remember(peer, vec![address]);
                }
            }
            BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed { id, result, step, .. }) => {
                self.on_lookup(id, result, step.last);
            }
            _ => {}
        }
    }

    /// The table has answered where a peer might be.
    fn on_lookup(&mut self, id: kad::QueryId, result: kad::QueryResult, last: bool) {
        if !last {
            return;
        }
        let Some(mut attempt) = self.looking_up.remove(&id) else {
            return;
        };
        let found = match result {
            kad::QueryResult::GetClosestPeers(Ok(found)) => found.peers,
            kad::QueryResult::GetClosestPeers(Err(kad::GetClosestPeersError::Timeout { peers, .. })) => peers,
            _ => Vec::new(),
        };
        let peer = attempt.dial.peer;
        let addresses = found.into_iter().filter(|found| found.peer_id == peer);
        attempt.dial.addresses = addresses.flat_map(|found| found.addrs).take(ADDRESSES_MAX).collect();
        if self.swarm.is_connected(&peer) {
            answer(attempt.dial, Ok(()));
        } else if attempt.dial.addresses.is_empty() {
            self.give_up(attempt);
        } else {
            self.dial(attempt, false);
        }
    }

    /// Notes where a peer says it is. A lie costs a vain attempt: the key decides.
    fn remember(&mut self, peer: libp2p::PeerId, addresses: Vec<Multiaddr>) {
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            self.swarm.behaviour_mut().kad.add_address(&peer, address);
        }
    }

    fn tell_addresses(&self) {
        if self.silent.is_empty() {
            self.addresses.send_replace(self.swarm.listeners().cloned().collect());
        }
    }
}

/// The asker may have run out of patience; then nobody hears.
fn answer(dial: Dial, answer: Result<(), OpenError>) {
    let _ = dial.reply.send(answer);
}

/// An address without the name of the peer expected there.
fn bare(mut address: Multiaddr) -> Multiaddr {
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address
}

fn why(error: DialError) -> OpenError {
    match error {
        DialError::LocalPeerId { .. } => OpenError::Ourselves,
        DialError::NoAddresses => OpenError::Unknown,
        DialError::WrongPeerId { obtained, address } => {
            OpenError::Impostor { address: bare(address), obtained: from_libp2p(&obtained) }
        }
        error => OpenError::Unreachable(error.to_string()),
    }
}

/// Refuses a TCP port somebody listens on already.
///
/// Libp2p shares its listening ports (`SO_REUSEPORT`, so that hole punching can dial from them),
/// and two nodes of one user would silently get each other's visitors.
fn check_free(address: &Multiaddr) -> Result<(), StartError> {
    let parts: Vec<_> = address.iter().take(2).collect();
    let ip: IpAddr = match parts.first() {
        Some(Protocol::Ip4(ip)) => (*ip).into(),
        Some(Protocol::Ip6(ip)) => (*ip).into(),
        _ => return Ok(()),
    };
    match parts.get(1) {
        Some(Protocol::Tcp(port)) if *port != 0 => TcpListener::bind((ip, *port))
            .map(drop)
            .map_err(|error| cannot_listen(address.clone(), TransportError::Other(error))),
        _ => Ok(()),
    }
}

fn cannot_listen(address: Multiaddr, error: TransportError<io::Error>) -> StartError {
    match error {
        TransportError::Other(error) if root_kind(&error) == io::ErrorKind::AddrInUse => {
            StartError::AddressTaken(address)
        }
        error => StartError::Listen { address, reason: error.to_string() },
    }
}

/// Libp2p wraps the system's error once for each transport it tried.
fn root_kind(error: &io::Error) -> io::ErrorKind {
    let mut kind = error.kind();
    let mut inner: Option<&(dyn std::error::Error + 'static)> =
        error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    while let Some(error) = inner {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            kind = error.kind();
        }
        inner = error.source();
    }
    kind
}
