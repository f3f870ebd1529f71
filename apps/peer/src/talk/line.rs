//! One stream, as messages with deadlines.

use std::time::Duration;

use bytes::Bytes;
use farthing_core::meter::{self, Op};
use farthing_core::refusal::Refusal;
use farthing_core::wire::{self, Wire};
use farthing_net::content::deceives;
use farthing_net::frame::{FRAME_BYTES_MAX, FrameError, FrameReader, FrameWriter, HEADER_BYTES, within};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};

use super::messages::{Answer, Ask};
use super::{ASK_BYTES_MAX, DETAIL_MAX, TalkError};

/// How long a side that has said its last word waits for the other to hang up, so that the word is
/// not lost with the stream.
const LINGER: Duration = Duration::from_secs(2);

/// How much of a piece is held back until its payment is on the disk: the last group of bytes that
/// can be checked by itself.
pub const HELD_BACK: usize = 16 << 10;

/// Both directions of a stream. What is sent is counted by the meter.
#[derive(Debug)]
pub struct Line<S> {
    reader: FrameReader<ReadHalf<S>>,
    writer: FrameWriter<WriteHalf<S>>,
    write_time: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// The buyer's end, which hears whole pieces.
    pub fn of_buyer(stream: S, write_time: Duration) -> Self {
        Self::new(stream, write_time, FRAME_BYTES_MAX)
    }

    /// The seller's end, which hears small messages only.
    pub fn of_seller(stream: S, write_time: Duration) -> Self {
        Self::new(stream, write_time, ASK_BYTES_MAX)
    }

    fn new(stream: S, write_time: Duration, max: usize) -> Self {
        let (from, to) = tokio::io::split(stream);
        Self { reader: FrameReader::with_max(from, max), writer: FrameWriter::new(to), write_time }
    }

    /// Says something now.
    ///
    /// # Errors
    /// [`TalkError::Frame`].
    pub async fn say<T: Wire>(&mut self, message: &T) -> Result<(), TalkError> {
        self.put(&[&[&wire::encode(message)]]).await
    }

    /// Says two things at once.
    ///
    /// # Errors
    /// [`TalkError::Frame`].
    pub async fn say_both<T: Wire>(&mut self, first: &T, second: &T) -> Result<(), TalkError> {
        self.put(&[&[&wire::encode(first)], &[&wire::encode(second)]]).await
    }

    /// Hands out a piece: its number, then the piece as it is. Its end, without which nothing of
    /// the piece's last [`HELD_BACK`] bytes can be checked or used, leaves only once `paid` is done.
    ///
    /// # Errors
    /// [`TalkError::Frame`], and what `paid` failed with.
    pub async fn hand_out<E: From<TalkError>>(
        &mut self,
        piece: u64,
        encoded: &[u8],
        paid: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E> {
        let number = wire::encode(&Answer::Piece(piece));
        let writer = &mut self.writer;
        let mut refused = None;
        let written = within(self.write_time, async {
            writer.feed(&number).await?;
            let paid = async { paid.await.map_err(|why| refused = Some(why)).map_err(|()| FrameError::Closed) };
            writer.feed_held(encoded, HELD_BACK, paid).await
        })
        .await;
        if let Some(why) = refused {
            return Err(why);
        }
        written.map_err(TalkError::from)?;
        meter::count(Op::Message, 2);
        meter::count(Op::Byte, (number.len() + encoded.len() + 2 * HEADER_BYTES) as u64);
        Ok(())
    }

    async fn put(&mut self, frames: &[&[&[u8]]]) -> Result<(), TalkError> {
        let writer = &mut self.writer;
        within(self.write_time, async {
            for parts in frames {
                let bytes: usize = parts.iter().map(|part| part.len()).sum();
                writer.feed_parts(parts).await?;
                meter::count(Op::Message, 1);
                meter::count(Op::Byte, (bytes + HEADER_BYTES) as u64);
            }
            writer.flush().await
        })
        .await?;
        Ok(())
    }

    /// The next frame, whatever it is. May be dropped while waiting.
    ///
    /// # Errors
    /// [`TalkError::Frame`], [`TalkError::Gone`].
    pub async fn frame(&mut self, limit: Duration) -> Result<Bytes, TalkError> {
        within(limit, self.reader.next()).await?.ok_or(TalkError::Gone)
    }

    /// What the seller says next.
    ///
    /// # Errors
    /// [`TalkError`]; a refusal is one.
    pub async fn answer(&mut self, limit: Duration) -> Result<Answer, TalkError> {
        match wire::decode(&self.frame(limit).await?)? {
            Answer::Refused(why) => Err(TalkError::TurnedDown(readable(why))),
            answer => Ok(answer),
        }
    }

    /// What the buyer says next.
    ///
    /// # Errors
    /// [`TalkError`]; a refusal is one.
    pub async fn ask(&mut self, limit: Duration) -> Result<Ask, TalkError> {
        match wire::decode(&self.frame(limit).await?)? {
            Ask::Refused(why) => Err(TalkError::TurnedDown(readable(why))),
            ask => Ok(ask),
        }
    }

    /// Hangs up. The other side may be gone, so nothing is made of a failure.
    pub async fn hang_up(self) {
        let Self { mut reader, writer, .. } = self;
        let farewell = async {
            writer.close().await?;
            while reader.next().await?.is_some() {}
            Ok(())
        };
        let _ = within(LINGER, farewell).await;
    }
}

/// A stranger's words, short enough and safe to show.
fn readable(mut refusal: Refusal) -> Refusal {
    if refusal.detail.chars().count() > DETAIL_MAX || refusal.detail.chars().any(deceives) {
        let shown = refusal.detail.chars().filter(|c| !deceives(*c)).take(DETAIL_MAX);
        refusal.detail = shown.collect::<String>().into();
    }
    refusal
}

#[cfg(test)]
mod tests {
    use farthing_core::refusal::Code;

    use super::*;

    #[tokio::test]
    async fn buyer_shows_no_control_characters_of_a_seller() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let time = Duration::from_secs(5);
        let (mut buyer, mut seller) = (Line::of_buyer(near, time), Line::of_seller(far, time));
        let rude = Refusal::new(Code::Policy, format!("no\u{1b}[2J{}", "x".repeat(2 * DETAIL_MAX)));
        seller.say(&Answer::Refused(rude)).await.unwrap();
        let Err(TalkError::TurnedDown(heard)) = buyer.answer(time).await else { panic!("not a refusal") };
        assert!(heard.detail.starts_with("no[2Jxxx"));
        assert_eq!(heard.detail.chars().count(), DETAIL_MAX);
    }

    #[tokio::test]
    async fn seller_refuses_a_message_longer_than_any_it_needs() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let time = Duration::from_secs(5);
        let (mut buyer, mut seller) = (Line::of_buyer(near, time), Line::of_seller(far, time));
        buyer.hand_out(0, &[0; ASK_BYTES_MAX + 1], async { Ok::<(), TalkError>(()) }).await.unwrap();
        assert!(seller.frame(time).await.is_ok(), "the number of the piece is short");
        assert!(matches!(
            seller.ask(time).await,
            Err(TalkError::Frame(farthing_net::frame::FrameError::TooLong { .. }))
        ));
    }
}
