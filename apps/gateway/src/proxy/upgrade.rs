//! Connections that change their protocol, such as WebSockets: carried both ways, and counted.
//!
//! Their bytes are counted in both directions, their seconds as long as they stand, and a price for
//! requests is paid once for each connection. Where the money runs out nothing moves until there is
//! more; after [`StreamLimits::pause`] the connection is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::meter::{Meter, RanOut};
use super::stream::StreamLimits;
use super::{Answer, Paid, Proxy, busy, failed, headers, name_stream, respond, upstream::UpstreamError};
use crate::refuse;

/// The most connections with another protocol at once: the server counts them no more.
pub const UPGRADED_MAX: usize = 4_096;
/// Bytes read from a side at once.
const CHUNK: usize = 16 << 10;

/// Connections that are being carried.
pub(crate) struct Carriers {
    seats: Arc<Semaphore>,
    running: TaskTracker,
    stopping: CancellationToken,
}

impl Default for Carriers {
    fn default() -> Self {
        let seats = Arc::new(Semaphore::new(UPGRADED_MAX));
        Self { seats, running: TaskTracker::new(), stopping: CancellationToken::new() }
    }
}

impl Carriers {
    /// Ends all of them, and waits until they are settled.
    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        self.running.close();
        self.running.wait().await;
    }
}

/// The client's side of a connection to come, if its request asks for another protocol.
pub(super) fn take(parts: &mut Parts) -> Option<OnUpgrade> {
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    upgrade.filter(|_| headers::wants_upgrade(&parts.headers))
}

/// Both sides of a connection to come, and the head of the answer that agreed to it.
pub(super) struct Agreed {
    pub(super) head: HeaderMap,
    pub(super) ours: OnUpgrade,
    /// Missing where the service says so and then does not.
    pub(super) theirs: Option<OnUpgrade>,
}

impl Proxy {
    /// Carries a connection that costs nothing.
    pub(super) fn switch_free(&self, agreed: Agreed) -> Answer {
        let Agreed { head, ours, theirs } = agreed;
        let (Some(theirs), Some(seat)) = (theirs, self.seat()) else { return refuse::response(&busy()) };
        let (limits, stopping) = (self.limits, self.carriers.stopping.clone());
        self.carriers.running.spawn(async move {
            if let (Ok(ours), Ok(theirs)) = (ours.await, theirs.await) {
                carry(ours, theirs, None, limits, &stopping).await;
            }
            drop(seat);
        });
        switching(head)
    }

    /// Carries one that is paid for, and settles it at its end.
    pub(super) async fn switch(&self, paid: Paid, agreed: Agreed) -> Answer {
        let Agreed { head, ours, theirs } = agreed;
        let Some(theirs) = theirs else {
            let why = UpstreamError::Failed("it switched protocols and then did not".into());
            return self.give_back(&paid, failed(&why)).await;
        };
        let Some(seat) = self.seat() else { return self.give_back(&paid, busy()).await };
        let Some(mut settlement) = self.begin(&paid, StatusCode::SWITCHING_PROTOCOLS, &HeaderMap::new()) else {
            return self.give_back(&paid, busy()).await;
        };
        let mut answer = switching(head);
        name_stream(answer.headers_mut(), &settlement.name);
        let (limits, stopping) = (self.limits, self.carriers.stopping.clone());
        self.carriers.running.spawn(async move {
            let meter = Arc::clone(&settlement.meter);
            let why = match (ours.await, theirs.await) {
                (Ok(ours), Ok(theirs)) => carry(ours, theirs, Some(&meter), limits, &stopping).await,
                (_, Err(_)) => Over::Upstream,
                (Err(_), _) => Over::Closed,
            };
            tracing::info!(%why, "an upgraded connection has ended");
            settlement.end(why == Over::Upstream, Some(&why));
            drop(seat);
        });
        answer
    }

    fn seat(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.carriers.seats).try_acquire_owned().ok()
    }
}

fn switching(mut headers: HeaderMap) -> Answer {
    let protocol = headers.get(UPGRADE).cloned();
    headers::strip(&mut headers);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
    }
    respond(StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty())
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Over {
    #[error("one side closed the connection")]
    Closed,
    #[error("the service did not switch protocols")]
    Upstream,
    #[error("{0}")]
    Money(#[from] RanOut),
    #[error("nothing was said for too long")]
    Idle,
    #[error("the connection stood for longer than connections may")]
    TooLong,
    #[error("the gateway stops")]
    Stopped,
}

/// Carries bytes both ways, as far as they are paid for, until one side ends or it is too much.
async fn carry(
    client: Upgraded,
    upstream: Upgraded,
    meter: Option<&Meter>,
    limits: StreamLimits,
    stopping: &CancellationToken,
) -> Over {
    let (mut client_in, mut client_out) = tokio::io::split(TokioIo::new(client));
    let (mut upstream_in, mut upstream_out) = tokio::io::split(TokioIo::new(upstream));
    let moved = AtomicU64::new(0);
    if let Some(meter) = meter {
        meter.run();
    }
    let both = async {
        let out = pass(&mut client_in, &mut upstream_out, meter, limits, &moved);
        let back = pass(&mut upstream_in, &mut client_out, meter, limits, &moved);
        tokio::pin!(out, back);
        tokio::select! {
            // Nothing more can come back.
            ended = &mut back => ended.err().unwrap_or(Over::Closed),
            // The client has said all: the service may still answer.
            ended = &mut out => match ended {
                Err(why) => why,
                Ok(()) => back.await.err().unwrap_or(Over::Closed),
            },
        }
    };
    let why = tokio::select! {
        why = both => why,
        why = out_of_time(meter, limits) => why,
        () = idle(&moved, meter, limits.idle) => Over::Idle,
        () = tokio::time::sleep(limits.life) => Over::TooLong,
        () = stopping.cancelled() => Over::Stopped,
    };
    let _ = tokio::time::timeout(limits.pause, async {
        let _ = client_out.shutdown().await;
        let _ = upstream_out.shutdown().await;
    })
    .await;
    why
}

/// Done when the time that was paid for is over and no more was paid.
async fn out_of_time(meter: Option<&Meter>, limits: StreamLimits) -> Over {
    let Some(meter) = meter else { return std::future::pending().await };
    loop {
        match meter.time_left() {
            Duration::MAX => std::future::pending().await,
            left => tokio::time::sleep(left).await,
        }
        if let Err(why) = meter.paid(limits.pause).await {
            return why.into();
        }
    }
}

/// Done when nothing has moved for so long, although there was money for it.
async fn idle(moved: &AtomicU64, meter: Option<&Meter>, patience: Duration) {
    let mut seen = None;
    loop {
        let now = moved.load(Ordering::Relaxed);
        if seen == Some(now) && !meter.is_some_and(Meter::waits) {
            return;
        }
        seen = Some(now);
        tokio::time::sleep(patience).await;
    }
}

/// Passes bytes on until their end.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    meter: Option<&Meter>,
    limits: StreamLimits,
    moved: &AtomicU64,
) -> Result<(), Over> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).await.map_err(|_| Over::Closed)?;
        if read == 0 {
            return to.shutdown().await.map_err(|_| Over::Closed);
        }
        let mut rest = &chunk[..read];
        while !rest.is_empty() {
            let take = match meter {
                None => rest.len(),
                Some(meter) => {
                    meter.paid(limits.pause).await?;
                    meter.take(rest.len())
                }
            };
            let (now, later) = rest.split_at(take);
            to.write_all(now).await.map_err(|_| Over::Closed)?;
            moved.fetch_add(1, Ordering::Relaxed);
            rest = later;
        }
    }
}
