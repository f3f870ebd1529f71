//! The behaviour that opens and receives streams.
//!
//! Libp2p offers one of its own (`libp2p-stream`, 0.5 alpha). It drops streams that arrive faster
//! than they are taken one by one, and it keeps a little memory for every connection there ever
//! was, which strangers can make grow without end; hence this one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll, Waker};

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use tokio::sync::{mpsc, oneshot};

use super::{OpenError, PAY_PROTOCOL};

/// Where a stream asked for goes. Dropped without an answer if the connection went away.
pub(super) type Reply = oneshot::Sender<Result<Stream, OpenError>>;

/// Opens streams to connected peers and hands arriving ones to a queue.
pub(super) struct Streams {
    /// Streams asked for and not yet passed to a connection.
    asked: VecDeque<(PeerId, Reply)>,
    arrivals: mpsc::Sender<(PeerId, Stream)>,
    waker: Option<Waker>,
}

impl Streams {
    /// Arriving streams go to `arrivals`; when that is full they are dropped.
    pub(super) fn new(arrivals: mpsc::Sender<(PeerId, Stream)>) -> Self {
        Self { asked: VecDeque::new(), arrivals, waker: None }
    }

    /// Asks for a stream to a peer we are connected with.
    pub(super) fn ask(&mut self, peer: PeerId, reply: Reply) {
        self.asked.push_back((peer, reply));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn handler(&self, peer: PeerId) -> Handler {
        Handler { peer, asked: VecDeque::new(), arrivals: self.arrivals.clone() }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.asked.pop_front() {
            Some((peer_id, event)) => {
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event })
            }
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The part of [`Streams`] that lives in one connection.
pub(super) struct Handler {
    peer: PeerId,
    asked: VecDeque<Reply>,
    arrivals: mpsc::Sender<(PeerId, Stream)>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Reply;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Reply;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PAY_PROTOCOL), ())
    }

    // The swarm polls again after every event from the behaviour: no waker is needed.
    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Reply, Self::ToBehaviour>> {
        self.asked.pop_front().map_or(Poll::Pending, |reply| {
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PAY_PROTOCOL), reply);
            Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
        })
    }

    fn on_behaviour_event(&mut self, reply: Reply) {
        self.asked.push_back(reply);
    }

    // Whoever asked may have given up; then nobody hears the answer, and the stream is dropped.
    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), Reply>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                let queued = self.arrivals.try_send((self.peer, protocol));
                if queued.is_err() {
                    tracing::debug!(peer = %self.peer, "dropped a stream: too many arrive at once");
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                let _ = info.send(Ok(protocol));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let _ = info.send(Err(match error {
                    StreamUpgradeError::NegotiationFailed => OpenError::OtherProtocol,
                    error => OpenError::Unreachable(error.to_string()),
                }));
            }
            _ => {}
        }
    }
}
