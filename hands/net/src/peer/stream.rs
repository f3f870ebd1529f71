//! A stream to one peer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use farthing_core::id::PeerId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use crate::seats::Seat;

/// Bytes to and from one peer, encrypted and in order. The peer has proved to be [`peer`].
///
/// End it with `shutdown`, or bytes still under way may be lost.
///
/// [`peer`]: Self::peer
#[derive(Debug)]
pub struct PeerStream {
    peer: PeerId,
    stream: Compat<libp2p::Stream>,
    /// Held by streams that others opened, so that the limits count them.
    _seat: Option<Seat<PeerId>>,
}

impl PeerStream {
    pub(super) fn new(peer: PeerId, stream: libp2p::Stream, seat: Option<Seat<PeerId>>) -> Self {
        Self { peer, stream: stream.compat(), _seat: seat }
    }

    /// Who is at the other end.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        self.peer
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
