//! A node: what callers hold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use farthing_core::id::PeerId;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use libp2p::Multiaddr;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::seats::{Seat, Seats};

use super::task::{Dial, Task, Wish};
use super::{ADDRESSES_MAX, NodeConfig, OPEN_TIME, OPENS_MAX, OpenError, PeerStream, StartError, behaviour, identity};

/// The byte by which an accepting node tells that the stream has a seat. Without it the opener
/// could not tell a stream dropped for want of room from one that fails later, with money on it.
const WELCOME: u8 = 1;
/// The byte that says there is none.
const FULL: u8 = 0;
/// How long saying the welcome may take.
const WELCOME_TIME: Duration = Duration::from_secs(5);
/// How often a stream that was dropped without a word (its connection closed just then, or too
/// many arrived at once) is opened anew, and the first pause before that.
const REOPEN_TIMES: usize = 6;
const REOPEN_PAUSE: Duration = Duration::from_millis(5);
/// Streams that have arrived and were not yet given a seat or turned away.
const ARRIVALS_MAX: usize = 64;
/// How long closing waits for the tasks.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// A peer on the network: opens streams to others and accepts theirs.
pub struct Node {
    key: PeerId,
    wishes: mpsc::Sender<Wish>,
    opens: Semaphore,
    accepted: Mutex<mpsc::Receiver<PeerStream>>,
    addresses: watch::Receiver<Vec<Multiaddr>>,
    swarm: JoinHandle<()>,
    doorkeeper: JoinHandle<()>,
}

impl Node {
    /// Starts listening and joins the network. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; a port in use is [`StartError::AddressTaken`].
    pub fn start(config: NodeConfig) -> Result<Self, StartError> {
        let refused = || StartError::Transport("the secret is not a key".into());
        let keys = identity::key_pair(&config.secret).ok_or_else(refused)?;
        let key = identity::from_libp2p(&keys.public().to_peer_id()).ok_or_else(refused)?;
        let (arrivals, arrived) = mpsc::channel(ARRIVALS_MAX);
        let mut swarm = behaviour::swarm(keys, config.mdns, &config.limits, arrivals)?;
        for (peer, address) in &config.bootstrap {
            let peer = identity::to_libp2p(peer).ok_or(StartError::NotAKey(*peer))?;
            swarm.behaviour_mut().kad.add_address(&peer, address.clone());
        }
        if !config.bootstrap.is_empty() {
            // Fails only if it knows nobody, and it was just told of somebody.
            let _ = swarm.behaviour_mut().kad.bootstrap();
        }
        let (wishes, wished) = mpsc::channel(OPENS_MAX);
        let (tell, addresses) = watch::channel(Vec::new());
        let task = Task::new(swarm, &config.listen, wished, tell)?;
        let seats = Seats::new(config.limits.streams, config.limits.streams_per_peer);
        let (queue, accepted) = mpsc::channel(config.limits.streams.max(1));
        Ok(Self {
            key,
            wishes,
            opens: Semaphore::new(OPENS_MAX),
            accepted: Mutex::new(accepted),
            addresses,
            swarm: tokio::spawn(task.run()),
            doorkeeper: tokio::spawn(keep_door(arrived, seats, queue)),
        })
    }

    /// Who we are.
    #[must_use]
    pub const fn public_key(&self) -> PeerId {
        self.key
    }

    /// Where we listen, once every listener knows its address. Empty if the node listens nowhere
    /// any more.
    pub async fn listen_addrs(&self) -> Vec<Multiaddr> {
        let mut addresses = self.addresses.clone();
        let known = addresses.wait_for(|addresses| !addresses.is_empty()).await;
        known.map(|known| known.clone()).unwrap_or_default()
    }

    /// Opens a stream to `peer`, trying `addresses` and whatever else is known or can be found
    /// out, for at most [`OPEN_TIME`]. Only the holder of the key gets the stream.
    ///
    /// # Errors
    /// [`OpenError`]. Nothing of the caller's was sent.
    pub async fn open(&self, peer: PeerId, addresses: &[Multiaddr]) -> Result<PeerStream, OpenError> {
        if peer == self.key {
            return Err(OpenError::Ourselves);
        }
        let to = identity::to_libp2p(&peer).ok_or(OpenError::NotAKey)?;
        let open = async {
            let _turn = self.opens.acquire().await.map_err(|_| OpenError::Closed)?;
            let pauses =
                ExponentialBuilder::new().with_min_delay(REOPEN_PAUSE).with_max_times(REOPEN_TIMES).with_jitter();
            let knock = || self.knock(to, addresses);
            match knock.retry(pauses).when(|failed| matches!(failed, Knock::Dropped)).await {
                Ok(stream) => Ok(PeerStream::new(peer, stream, None)),
                Err(Knock::Dropped) => Err(OpenError::TurnedAway),
                Err(Knock::Failed(error)) => Err(error),
            }
        };
        tokio::time::timeout(OPEN_TIME, open).await.unwrap_or(Err(OpenError::TooSlow(OPEN_TIME)))
    }

    /// The next stream somebody opened to us; `None` once the node is closed. To be called in a
    /// loop: streams nobody takes keep their seats.
    pub async fn accept(&self) -> Option<(PeerId, PeerStream)> {
        let stream = self.accepted.lock().await.recv().await?;
        Some((stream.peer(), stream))
    }

    /// Leaves the network. Streams still open break off: shut them down first.
    pub async fn close(self) {
        let Self { wishes, mut swarm, doorkeeper, .. } = self;
        drop(wishes);
        if tokio::time::timeout(CLOSE_TIME, &mut swarm).await.is_err() {
            swarm.abort();
        }
        doorkeeper.abort();
    }

    /// One try for a stream, connecting first if need be.
    async fn knock(&self, peer: libp2p::PeerId, at: &[Multiaddr]) -> Result<libp2p::Stream, Knock> {
        let (reply, connected) = oneshot::channel();
        let addresses = at.iter().take(ADDRESSES_MAX).cloned().collect();
        self.wish(Wish::Connection(Dial { peer, addresses, reply })).await?;
        connected.await.unwrap_or(Err(OpenError::Closed)).map_err(Knock::Failed)?;
        let (reply, opened) = oneshot::channel();
        self.wish(Wish::Stream(peer, reply)).await?;
        let mut stream = opened.await.map_err(|_| Knock::Dropped)?.map_err(Knock::Failed)?;
        let mut word = [0];
        match stream.read_exact(&mut word).await {
            Ok(()) if word == [WELCOME] => Ok(stream),
            Ok(()) => Err(Knock::Failed(OpenError::TurnedAway)),
            Err(_) => Err(Knock::Dropped),
        }
    }

    async fn wish(&self, wish: Wish) -> Result<(), Knock> {
        self.wishes.send(wish).await.map_err(|_| Knock::Failed(OpenError::Closed))
    }
}

/// Why one try brought no stream.
enum Knock {
    /// Not a word was said: worth another try.
    Dropped,
    Failed(OpenError),
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Gives arriving streams a seat and a place in the queue, and drops those there is no room for.
async fn keep_door(
    mut arrived: mpsc::Receiver<(libp2p::PeerId, libp2p::Stream)>,
    seats: Arc<Seats<PeerId>>,
    queue: mpsc::Sender<PeerStream>,
) {
    while let Some((peer, mut stream)) = arrived.recv().await {
        let Some(peer) = identity::from_libp2p(&peer) else {
            tracing::debug!("turned away a peer without an Ed25519 key");
            continue;
        };
        match seats.take(peer) {
            Some(seat) => _ = tokio::spawn(welcome(peer, stream, seat, queue.clone())),
            None => {
                tracing::debug!(peer = %peer.short(), "turned away a stream: no seat is free");
                // A courtesy that must not make us wait: unsaid, the opener asks again.
                let _ = stream.write_all(&[FULL]).now_or_never();
                let _ = stream.close().now_or_never();
            }
        }
    }
}

/// Tells the opener that it has a seat. There are never more of these than seats.
async fn welcome(peer: PeerId, stream: libp2p::Stream, seat: Seat<PeerId>, queue: mpsc::Sender<PeerStream>) {
    let mut stream = PeerStream::new(peer, stream, Some(seat));
    let told = tokio::time::timeout(WELCOME_TIME, async {
        tokio::io::AsyncWriteExt::write_all(&mut stream, &[WELCOME]).await?;
        tokio::io::AsyncWriteExt::flush(&mut stream).await
    });
    if matches!(told.await, Ok(Ok(()))) {
        // The queue is as long as there are seats, so this waits for nobody.
        let _ = queue.send(stream).await;
    }
}
