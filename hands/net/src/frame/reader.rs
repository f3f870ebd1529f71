//! Reading frames.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{FRAME_BYTES_MAX, FrameError, HEADER_BYTES, READ_STEP_BYTES};

/// Takes frames off a byte stream.
///
/// Payloads share the reader's buffer instead of being copied out of it, so keep one only as long
/// as it is needed.
#[derive(Debug)]
pub struct FrameReader<R> {
    from: R,
    arrived: BytesMut,
    max: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of frames up to [`FRAME_BYTES_MAX`].
    pub fn new(from: R) -> Self {
        Self::with_max(from, FRAME_BYTES_MAX)
    }

    /// A reader of frames up to `max` payload bytes, itself held to [`FRAME_BYTES_MAX`].
    pub fn with_max(from: R, max: usize) -> Self {
        Self { from, arrived: BytesMut::new(), max: max.min(FRAME_BYTES_MAX) }
    }

    /// The next frame, waiting for it; `None` once the stream has ended between two frames.
    ///
    /// May be dropped while waiting and called again: bytes that arrived are kept.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] before a single byte of the payload is taken in,
    /// [`FrameError::Truncated`] when the stream ends inside a frame, [`FrameError::Io`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(frame) = self.arrived()? {
                return Ok(Some(frame));
            }
            // Never more than a step ahead of what the peer has really sent, and no more than the
            // longest frame: a thousand idle streams of small messages are to stay small.
            self.arrived.reserve(READ_STEP_BYTES.min(self.max.saturating_add(HEADER_BYTES)));
            if self.from.read_buf(&mut self.arrived).await? == 0 {
                return if self.arrived.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
            }
        }
    }

    /// The next frame if all of it has arrived already; touches no stream and never waits.
    ///
    /// After [`next`](Self::next) returned one frame, call this until it answers `None` to handle
    /// everything that came with it in the same wake-up.
    ///
    /// # Errors
    /// [`FrameError::TooLong`].
    pub fn arrived(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some((prefix, rest)) = self.arrived.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let bytes = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if bytes > self.max {
            return Err(FrameError::TooLong { bytes, max: self.max });
        }
        if rest.len() < bytes {
            return Ok(None);
        }
        self.arrived.advance(HEADER_BYTES);
        Ok(Some(self.arrived.split_to(bytes).freeze()))
    }
}
