//! Connections to the service. Each carries one request at a time, and whoever asks moves it forward:
//! no task of its own stands between a request and its answer.

use std::collections::VecDeque;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response, Uri};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::book::lock;

/// Connections kept ready between requests.
const IDLE_MAX: usize = 512;
/// For how long.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Bytes of the head of an answer, and of what is read from the service at once.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// Headers of an answer.
const HEADERS_MAX: usize = 128;

/// All connections to one service.
#[derive(Debug)]
pub(super) struct Lines {
    at: Uri,
    connector: HttpsConnector<HttpConnector>,
    idle: Arc<Idle>,
}

/// Those that wait for a request, the latest used last.
type Idle = Mutex<VecDeque<(Line, Instant)>>;

/// One connection.
#[derive(Debug)]
pub(super) struct Line {
    sender: SendRequest<Full<Bytes>>,
    /// Nothing once it is closed.
    connection: Option<Connection<MaybeHttpsStream<TokioIo<TcpStream>>, Full<Bytes>>>,
}

/// Why there is no answer, and the request where it was certainly not sent.
pub(super) struct Unsent {
    pub(super) request: Option<Request<Full<Bytes>>>,
    pub(super) why: hyper::Error,
}

impl From<TrySendError<Request<Full<Bytes>>>> for Unsent {
    fn from(mut error: TrySendError<Request<Full<Bytes>>>) -> Self {
        Self { request: error.take_message(), why: error.into_error() }
    }
}

impl Lines {
    pub(super) fn to(at: Uri, connector: HttpsConnector<HttpConnector>) -> Self {
        Self { at, connector, idle: Arc::default() }
    }

    /// One that waits for a request.
    pub(super) fn idle(&self) -> Option<Line> {
        loop {
            let (line, since) = lock(&self.idle).pop_back()?;
            if since.elapsed() < IDLE_TIME && line.sender.is_ready() {
                return Some(line);
            }
        }
    }

    /// Closes those that have waited for too long.
    pub(super) fn tidy(&self) {
        lock(&self.idle).retain(|(_, since)| since.elapsed() < IDLE_TIME);
    }

    /// A new one.
    pub(super) async fn open(&self) -> Result<Line, Box<dyn Error + Send + Sync>> {
        let stream = self.connector.clone().oneshot(self.at.clone()).await?;
        let mut http = Builder::new();
        let http = http.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let (sender, connection) = http.handshake(stream).await?;
        Ok(Line { sender, connection: Some(connection) })
    }

    /// Sends a request, and waits for the head of its answer. The connection goes with the answer's
    /// body, and is ready for others at its end.
    pub(super) async fn exchange(
        &self,
        mut line: Line,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, Unsent> {
        let answer = line.ask(request).await?;
        Ok(answer.map(|incoming| {
            let mut body = Arriving { incoming, line: Some(line), idle: Arc::clone(&self.idle), broken: None };
            if body.is_end_stream() {
                body.is_over();
            }
            Body::new(body)
        }))
    }
}

impl Line {
    async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Unsent> {
        let mut asked = std::pin::pin!(self.sender.try_send_request(request));
        let (connection, mut sent) = (&mut self.connection, false);
        let answer = std::future::poll_fn(|cx| {
            // Once it was sent the answer mostly is there when we are woken. Nobody is to be woken
            // again then, as the connection would when its answer's body is asked for.
            if std::mem::replace(&mut sent, true) {
                drive(connection, &mut Context::from_waker(Waker::noop()));
                if let Poll::Ready(answer) = asked.as_mut().poll(cx) {
                    return Poll::Ready(answer);
                }
            }
            drive(connection, cx);
            asked.as_mut().poll(cx)
        });
        answer.await.map_err(Unsent::from)
    }

    /// Sends a request that asks for another protocol; the connection belongs to its answer alone.
    pub(super) async fn upgrade(mut self, request: Request<Full<Bytes>>) -> Result<Response<Body>, Unsent> {
        if let Some(connection) = self.connection.take() {
            tokio::spawn(connection.with_upgrades());
        }
        Ok(self.sender.try_send_request(request).await?.map(Body::new))
    }
}

/// Sends and receives what can be.
fn drive<C: Future + Unpin>(connection: &mut Option<C>, cx: &mut Context<'_>) {
    if connection.as_mut().is_some_and(|open| Pin::new(open).poll(cx).is_ready()) {
        *connection = None;
    }
}

/// The body of an answer, and the connection by which it comes.
struct Arriving {
    incoming: Incoming,
    /// Nothing once all has come.
    line: Option<Line>,
    idle: Arc<Idle>,
    /// Why no more will come, until that is said.
    broken: Option<hyper::Error>,
}

impl Arriving {
    /// All has come: the connection is ready for another request.
    fn is_over(&mut self) {
        let Some(mut line) = self.line.take() else { return };
        // It notices the end as well.
        drive(&mut line.connection, &mut Context::from_waker(Waker::noop()));
        let mut idle = lock(&self.idle);
        if line.connection.is_some() && line.sender.is_ready() && idle.len() < IDLE_MAX {
            idle.push_back((line, Instant::now()));
        }
    }
}

impl hyper::body::Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(why) = self.broken.take() {
            return Poll::Ready(Some(Err(why)));
        }
        let mut polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if let (true, Some(line)) = (polled.is_pending(), &mut self.line) {
            drive(&mut line.connection, cx);
            polled = Pin::new(&mut self.incoming).poll_frame(cx);
        }
        if let Poll::Ready(Some(Err(why))) = polled {
            // Said next time: what came before leaves only while more is waited for.
            (self.broken, self.line) = (Some(why), None);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if matches!(polled, Poll::Ready(None)) || self.incoming.is_end_stream() {
            self.is_over();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests;
