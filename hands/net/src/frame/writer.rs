//! Writing frames.

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{FRAME_BYTES_MAX, FrameError};

/// How much gathers before it is written without being asked. Also the size of a part that is
/// worth writing directly instead of copying it next to the others first.
const GATHER_BYTES: usize = 64 << 10;

/// Puts frames on a byte stream.
#[derive(Debug)]
pub struct FrameWriter<W> {
    to: W,
    gathered: BytesMut,
    max: usize,
    /// A write was abandoned half-way: what follows would be read as part of it.
    torn: bool,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// A writer of frames up to [`FRAME_BYTES_MAX`].
    pub fn new(to: W) -> Self {
        Self::with_max(to, FRAME_BYTES_MAX)
    }

    /// A writer of frames up to `max` payload bytes, itself held to [`FRAME_BYTES_MAX`].
    pub fn with_max(to: W, max: usize) -> Self {
        Self { to, gathered: BytesMut::new(), max: max.min(FRAME_BYTES_MAX), torn: false }
    }

    /// Adds a frame to what will be written. It leaves at the latest with [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`FrameError::TooLong`], and then nothing is written and the stream is still good;
    /// [`FrameError::Closed`] when the stream is gone or an earlier call was dropped half-way;
    /// [`FrameError::Io`].
    pub async fn feed(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        self.feed_parts(&[payload]).await
    }

    /// Adds one frame whose payload is `parts` in a row, which spares the caller from joining a
    /// short heading and a long piece.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub async fn feed_parts(&mut self, parts: &[&[u8]]) -> Result<(), FrameError> {
        let bytes = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let prefix = match u32::try_from(bytes) {
            Ok(prefix) if bytes <= self.max => prefix,
            _ => {
                return Err(FrameError::TooLong { bytes, max: self.max });
            }
        };
        self.begin()?;
        self.gathered.put_u32(prefix);
        for part in parts {
            if part.len() < GATHER_BYTES {
                self.gathered.put_slice(part);
            } else {
                self.to.write_all_buf(&mut self.gathered).await?;
                self.to.write_all(part).await?;
            }
        }
        if self.gathered.len() >= GATHER_BYTES {
            self.to.write_all_buf(&mut self.gathered).await?;
        }
        self.torn = false;
        Ok(())
    }

    /// Writes one frame out, but its last `held` bytes only once `ready` is done; both go on beside
    /// each other. A peer cannot use a frame that is not whole, so what must happen before it is
    /// delivered costs no time of its own.
    ///
    /// # Errors
    /// As [`feed`](Self::feed), and what `ready` failed with; the frame was then never finished and
    /// the stream can only be dropped.
    pub async fn feed_held<E: From<FrameError>>(
        &mut self,
        payload: &[u8],
        held: usize,
        ready: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E> {
        let bytes = payload.len();
        let prefix = u32::try_from(bytes).ok().filter(|_| bytes <= self.max);
        let prefix = prefix.ok_or(FrameError::TooLong { bytes, max: self.max })?;
        self.begin()?;
        self.gathered.put_u32(prefix);
        let (now, later) = payload.split_at(bytes.saturating_sub(held));
        let begin = async {
            self.to.write_all_buf(&mut self.gathered).await?;
            self.to.write_all(now).await?;
            self.to.flush().await
        };
        let (begun, ready) = tokio::join!(begin, ready);
        begun.map_err(FrameError::from)?;
        ready?;
        let finish = async {
            self.to.write_all(later).await?;
            self.to.flush().await
        };
        finish.await.map_err(FrameError::from)?;
        self.torn = false;
        Ok(())
    }

    /// Writes out everything fed so far.
    ///
    /// # Errors
    /// [`FrameError::Closed`], [`FrameError::Io`]: the peer may have got all, some or nothing.
    pub async fn flush(&mut self) -> Result<(), FrameError> {
        self.begin()?;
        self.to.write_all_buf(&mut self.gathered).await?;
        self.to.flush().await?;
        self.torn = false;
        Ok(())
    }

    /// Writes out everything fed so far and ends our side of the stream.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub async fn close(mut self) -> Result<(), FrameError> {
        self.flush().await?;
        Ok(self.to.shutdown().await?)
    }

    /// Marks the stream torn until the caller has come through, so that a call dropped half-way
    /// (by a deadline, say) is never followed by a frame in the middle of another.
    fn begin(&mut self) -> Result<(), FrameError> {
        if self.torn {
            return Err(FrameError::Closed);
        }
        self.torn = true;
        Ok(())
    }
}
