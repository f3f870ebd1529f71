//! One connection, from the handshake to the last answer.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Handler, Limits};

/// How often a silent HTTP/2 connection is asked whether it is still there, and for how long it
/// may take to answer.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIME: Duration = Duration::from_secs(10);
/// The pause when the system cannot give us another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Bytes of an HTTP/1 connection's buffer; hyper takes no less.
const BUFFER_BYTES_MIN: usize = 8 << 10;

/// What all connections share.
pub(super) struct Attendant<H> {
    pub(super) handler: Arc<H>,
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) http: auto::Builder<TokioExecutor>,
    pub(super) limits: Limits,
    /// Finish what you are doing.
    pub(super) stopping: CancellationToken,
    /// Stop at once.
    pub(super) breaking_off: CancellationToken,
}

/// HTTP/1.1 and HTTP/2 within the limits.
pub(super) fn http(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_headers(limits.headers)
        .max_buf_size(BUFFER_BYTES_MIN.max(limits.header_bytes as usize));
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.header_bytes)
        .max_concurrent_streams(limits.streams)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIME);
    http
}

/// After a failed accept: a visitor who left already is nothing, running out of descriptors is
/// waited out.
pub(super) async fn pause_after(error: &io::Error) {
    let visitor = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
    if !visitor.contains(&error.kind()) {
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

impl<H: Handler> Attendant<H> {
    pub(super) async fn attend(&self, stream: TcpStream, from: SocketAddr) {
        // Answers are short and waited for; a system that refuses merely delays them.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = &self.acceptor else {
            return self.converse(stream, from).await;
        };
        match tokio::time::timeout(self.limits.tls_time, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.converse(stream, from).await,
            Ok(Err(error)) => tracing::debug!(%from, %error, "no TLS handshake"),
            Err(_) => tracing::debug!(%from, "the TLS handshake took too long"),
        }
    }

    async fn converse<I>(&self, stream: I, from: SocketAddr)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::default());
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(from));
            let working = Activity::begin(&activity);
            let empty = request.body().is_end_stream();
            let request = request.map(|body| if empty { Body::empty() } else { Body::new(body) });
            let answer = Arc::clone(&self.handler).handle(request);
            async move {
                let answer = answer.await;
                let activity = working.done();
                Ok::<_, Infallible>(answer.map(|body| Counted { body, activity, working: None }))
            }
        });
        let conversation = self.http.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(conversation);
        // Nothing in HTTP itself bounds the time to the first request or between two: we do.
        let (mut patience, mut seen, mut ending) = (self.limits.header_time, 0, false);
        loop {
            tokio::select! {
                ended = conversation.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%from, %error, "the connection broke");
                    }
                    return;
                }
                () = self.breaking_off.cancelled() => return,
                () = self.stopping.cancelled(), if !ending => {
                    ending = true;
                    conversation.as_mut().graceful_shutdown();
                }
                () = tokio::time::sleep(patience) => {
                    match activity.since(seen) {
                        Some(now) => seen = now,
                        None if seen == 0 || ending => return,
                        None => {
                            ending = true;
                            conversation.as_mut().graceful_shutdown();
                        }
                    }
                    patience = self.limits.idle_time;
                }
            }
        }
    }
}

/// Counts what happens on one connection.
#[derive(Debug, Default)]
struct Activity {
    /// Requests begun and parts of answers handed out.
    steps: AtomicU64,
    /// Requests being worked on, and answers whose next part is still to come.
    busy: AtomicU64,
}

impl Activity {
    fn begin(activity: &Arc<Self>) -> Working {
        activity.steps.fetch_add(1, Ordering::Relaxed);
        activity.busy.fetch_add(1, Ordering::Relaxed);
        Working(Arc::clone(activity))
    }

    /// How many steps there have been, if any of them came after the `seen`th or something is
    /// still being worked on.
    fn since(&self, seen: u64) -> Option<u64> {
        let steps = self.steps.load(Ordering::Relaxed);
        (steps > seen || self.busy.load(Ordering::Relaxed) > 0).then_some(steps)
    }
}

/// Something being worked on; also ends when its client goes away and it is dropped.
#[derive(Debug)]
struct Working(Arc<Activity>);

impl Working {
    /// It is done.
    fn done(self) -> Arc<Activity> {
        Arc::clone(&self.0)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer. While its next part is being made the connection is not idle, however
/// long that takes; while the client does not take what there is, nothing happens and it is.
struct Counted {
    body: Body,
    activity: Arc<Activity>,
    /// While the next part is waited for.
    working: Option<Working>,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.working = None;
            self.activity.steps.fetch_add(1, Ordering::Relaxed);
        } else if self.working.is_none() {
            self.working = Some(Activity::begin(&self.activity));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
