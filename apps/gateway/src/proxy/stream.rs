//! Answers that are passed on as they come, and counted.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use farthing_dialects::{names, receipt};
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::time::Instant;

use super::settle::Settlement;

/// How a running answer is kept within bounds.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// How long an answer waits for more money before it ends.
    pub pause: Duration,
    /// How long the service may say nothing.
    pub silence: Duration,
    /// How long an upgraded connection may carry nothing, either way.
    pub idle: Duration,
    /// How long an answer runs at most.
    pub life: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            pause: Duration::from_secs(30),
            silence: Duration::from_secs(60),
            idle: Duration::from_secs(300),
            life: Duration::from_secs(3_600),
        }
    }
}

/// The most receipts in a trailer: where there are more, they are at
/// [`receipt_path`](names::receipt_path) only.
const TRAILER_ACKS_MAX: usize = 16;

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the service broke off; the payment was given back or charged up to here")]
    Upstream,
    #[error("{0}; what was sent until then is charged")]
    Money(#[from] super::meter::RanOut),
    #[error("the answer ran for longer than answers may")]
    TooLong,
}

struct Running {
    upstream: Body,
    /// Received, and not paid for yet.
    held: Bytes,
    settlement: Settlement,
    limits: StreamLimits,
    until: Instant,
    /// An answer that costs the same however long it is was not delivered unless it is whole.
    whole_or_free: bool,
    over: bool,
}

/// The body of a running answer: passed on as far as it is paid for, its receipts in the trailer.
pub(super) fn metered(upstream: Body, settlement: Settlement, limits: StreamLimits, whole_or_free: bool) -> Body {
    let until = Instant::now() + limits.life;
    let held = Bytes::new();
    let running = Running { upstream, held, settlement, limits, until, whole_or_free, over: false };
    let frames = stream::unfold(running, |mut running| async move {
        if running.over {
            return None;
        }
        let frame = match running.next().await {
            Ok(Some(bytes)) => Ok(Frame::data(bytes)),
            Ok(None) => {
                running.over = true;
                let (acks, batch) = running.settlement.end(false, None);
                if let Some(batch) = batch
                    && running.settlement.book.durable(batch).await.is_err()
                {
                    return Some((Err(Broken::Upstream), running));
                }
                Ok(Frame::trailers(trailer(&acks)))
            }
            Err(why) => {
                running.over = true;
                tracing::info!(%why, "an answer ended before it was whole");
                running.settlement.end(running.whole_or_free && matches!(why, Broken::Upstream), Some(&why));
                Err(why)
            }
        };
        Some((frame, running))
    });
    Body::new(StreamBody::new(frames))
}

fn trailer(acks: &[farthing_coupon::micro::Ack]) -> HeaderMap {
    let acks = if acks.len() > TRAILER_ACKS_MAX { &[] } else { acks };
    let receipts = acks.iter().filter_map(|ack| HeaderValue::try_from(receipt::compact(ack)).ok());
    receipts.map(|value| (axum::http::HeaderName::from_static(names::PAYMENT_RECEIPT), value)).collect()
}

impl Running {
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            if Instant::now() >= self.until {
                return Err(Broken::TooLong);
            }
            if !self.held.is_empty() {
                self.settlement.meter.paid(self.limits.pause).await?;
                let bytes = self.held.split_to(self.settlement.meter.take(self.held.len()));
                self.settlement.digest.update(&bytes);
                return Ok(Some(bytes));
            }
            self.settlement.meter.run();
            let time = self.settlement.meter.time_left();
            let wait = time.min(self.limits.silence).min(self.until.saturating_duration_since(Instant::now()));
            match tokio::time::timeout(wait, self.upstream.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => self.held = frame.into_data().unwrap_or_default(),
                Ok(Some(Err(_))) => return Err(Broken::Upstream),
                Err(_) if wait == time => self.settlement.meter.paid(self.limits.pause).await?,
                Err(_) if Instant::now() >= self.until => return Err(Broken::TooLong),
                Err(_) => return Err(Broken::Upstream),
            }
        }
    }
}
