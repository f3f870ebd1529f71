//! Length-prefixed frames over any byte stream.
//!
//! A frame is its payload's length as four bytes, most significant first, then the payload. What
//! the payload means is the caller's business. The reader takes whatever has arrived in one go and
//! then hands out frame after frame without touching the stream, and the writer gathers frames
//! until it is flushed: many small payments cost one wake-up, not one each.

mod reader;
mod writer;

use std::future::Future;
use std::io;
use std::time::Duration;

pub use reader::FrameReader;
pub use writer::FrameWriter;

/// The longest payload a frame may carry, in bytes. A piece of content with its proof fits well.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// How much is set aside for bytes that have not arrived yet, however long a frame claims to be.
pub const READ_STEP_BYTES: usize = 64 << 10;

/// Bytes in front of each payload.
pub const HEADER_BYTES: usize = 4;

const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize, "every length fits its prefix");

/// Why a frame could not be read or written. After any of these the stream is of no more use:
/// close it. None of them says whether the other side acted on what it got before; ask it.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A frame claims, or was given, more bytes than are allowed. Nothing was set aside for it.
    #[error("a frame of {bytes} bytes is longer than the {max} allowed; close the stream")]
    TooLong {
        /// What the prefix says, or what we were asked to send.
        bytes: usize,
        /// The limit in force.
        max: usize,
    },
    /// The stream ended inside a frame. What arrived of it is lost, what came before is good.
    #[error("the stream ended inside a frame; connect again and ask what arrived")]
    Truncated,
    /// The stream ended before we could write. The other side may have read all, some or nothing.
    #[error("the stream is closed; connect again and ask what arrived")]
    Closed,
    /// The peer took longer than it was given.
    #[error("the peer took longer than {0:?}; close the stream")]
    TooSlow(Duration),
    /// The stream failed.
    #[error("the stream failed; connect again and ask what arrived")]
    Io(#[source] io::Error),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero | io::ErrorKind::NotConnected => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Gives `work` at most `limit`: a slow peer costs a bounded wait, whole frames and not bytes
/// being the measure, so one byte now and then buys no time.
///
/// # Errors
/// [`FrameError::TooSlow`] when the time is up, otherwise whatever `work` answers.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, FrameError>>) -> Result<T, FrameError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(FrameError::TooSlow(limit)))
}

#[cfg(test)]
mod tests;
