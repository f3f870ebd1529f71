//! The buyer's end of a visit, one struct for each state.

use bytes::Bytes;
use farthing_core::id::{ContentId, NetworkId, PeerId};
use farthing_core::order::Receipt;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::Time;
use farthing_core::wire::Bounded;
use farthing_netpay::messages::{Pay, Reserve, Visit};
use tokio::io::{AsyncRead, AsyncWrite};

use super::handover::Lot;
use super::messages::{Accepted, Answer, Ask, Hello, PayFor, Quote, Released, Want};
use super::{Deadlines, Line, TalkError, VERSIONS};

/// Greeted; nothing was asked for yet.
#[derive(Debug)]
pub struct Guest<S> {
    line: Line<S>,
    seller: PeerId,
    network: NetworkId,
    deadlines: Deadlines,
}

/// The price is known.
#[derive(Debug)]
pub struct Quoted<S> {
    line: Line<S>,
    quote: Verified<Quote>,
    deadlines: Deadlines,
}

/// A reserve is accepted: pieces are paid for one by one.
#[derive(Debug)]
pub struct Paying<S> {
    line: Line<S>,
    deadlines: Deadlines,
}

/// The content is free, or pieces of it are paid: they are taken one by one.
#[derive(Debug)]
pub struct Taking<S> {
    line: Line<S>,
    deadlines: Deadlines,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guest<S> {
    /// Greets `seller`, who is known to be at the other end of the stream.
    ///
    /// # Errors
    /// [`TalkError`].
    pub async fn greet(stream: S, seller: PeerId, network: NetworkId, deadlines: Deadlines) -> Result<Self, TalkError> {
        let mut line = Line::of_buyer(stream, deadlines.write);
        let versions = Bounded::new(VERSIONS.to_vec()).unwrap_or_else(Bounded::empty);
        line.say(&Ask::Hello(Hello { versions, network })).await?;
        let Answer::Hello(welcome) = line.answer(deadlines.greeting).await? else {
            return Err(TalkError::OutOfTurn);
        };
        if !VERSIONS.contains(&welcome.version) {
            return Err(TalkError::Refused(Refusal::new(Code::Version, "a version that was not offered")));
        }
        if welcome.network != network {
            return Err(TalkError::Refused(Refusal::new(Code::Unknown, "the seller is paid in another network")));
        }
        Ok(Self { line, seller, network, deadlines })
    }

    /// Asks for the price of content; with `again`, at the price quoted in an earlier visit that
    /// broke off.
    ///
    /// # Errors
    /// [`TalkError`]; a quote that makes no sense is one.
    pub async fn want(
        mut self,
        content: ContentId,
        again: Option<Signed<Quote>>,
        now: Time,
    ) -> Result<Quoted<S>, TalkError> {
        self.line.say(&Ask::Want(Box::new(Want { content, again }))).await?;
        let Answer::Quote(quote) = self.line.answer(self.deadlines.quote).await? else {
            return Err(TalkError::OutOfTurn);
        };
        let quote = quote.verify_by(self.network, self.seller)?;
        quote.body().check(self.seller, content, now).map_err(TalkError::Refused)?;
        Ok(Quoted { line: self.line, quote, deadlines: self.deadlines })
    }

    /// The line, for another kind of dialogue.
    pub(super) fn into_parts(self) -> (Line<S>, Deadlines) {
        (self.line, self.deadlines)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Quoted<S> {
    /// The seller's word.
    #[must_use]
    pub const fn quote(&self) -> &Verified<Quote> {
        &self.quote
    }

    /// Shows a reserve for the order.
    ///
    /// # Errors
    /// [`TalkError`]; the seller may hold the reserve.
    pub async fn begin(mut self, visit: Visit) -> Result<(Paying<S>, Accepted), TalkError> {
        self.line.say(&Ask::Begin(Box::new(visit))).await?;
        let Answer::Accepted(accepted) = self.line.answer(self.deadlines.admit).await? else {
            return Err(TalkError::OutOfTurn);
        };
        Ok((Paying { line: self.line, deadlines: self.deadlines }, accepted))
    }

    /// Goes on with content that is free.
    #[must_use]
    pub fn free(self) -> Option<Taking<S>> {
        let free = self.quote.body().0.price.is_zero();
        free.then_some(Taking { line: self.line, deadlines: self.deadlines })
    }

    /// Pays for pieces together, which can then be taken.
    ///
    /// # Errors
    /// [`TalkError`]; the payment may have arrived.
    pub async fn lot(mut self, lot: Lot) -> Result<(Taking<S>, Signed<Receipt>), TalkError> {
        let taking = &mut self.line;
        taking.say(&Ask::Lot(Box::new(lot))).await?;
        let Answer::Thanks(thanks) = taking.answer(self.deadlines.admit).await? else {
            return Err(TalkError::OutOfTurn);
        };
        Ok((Taking { line: self.line, deadlines: self.deadlines }, *thanks))
    }

    /// Leaves without buying.
    pub async fn leave(mut self) {
        if self.line.say(&Ask::Done).await.is_ok() {
            self.line.hang_up().await;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Paying<S> {
    /// Pays for a piece and gets its encoding; `further` is the reserve that the payment begins.
    ///
    /// # Errors
    /// [`TalkError`]; the payment may have arrived.
    pub async fn pay(&mut self, further: Option<Signed<Reserve>>, pay: Pay, piece: u64) -> Result<Bytes, TalkError> {
        let payment = Ask::Pay(PayFor { pay, piece });
        match further {
            None => self.line.say(&payment).await?,
            Some(reserve) => self.line.say_both(&Ask::Extend(reserve), &payment).await?,
        }
        take(&mut self.line, piece, &self.deadlines).await
    }

    /// Gets the piece of the last payment once more.
    ///
    /// # Errors
    /// [`TalkError`].
    pub async fn again(&mut self, piece: u64) -> Result<Bytes, TalkError> {
        self.line.say(&Ask::Again(piece)).await?;
        take(&mut self.line, piece, &self.deadlines).await
    }

    /// Ends the visit and gets the release.
    ///
    /// # Errors
    /// [`TalkError`].
    pub async fn done(mut self) -> Result<Released, TalkError> {
        self.line.say(&Ask::Done).await?;
        self.released().await
    }

    /// Waits for the release of a seller that ends the visit for a reason of its own.
    ///
    /// # Errors
    /// [`TalkError`].
    pub async fn released(mut self) -> Result<Released, TalkError> {
        let Answer::Released(released) = self.line.answer(self.deadlines.release).await? else {
            return Err(TalkError::OutOfTurn);
        };
        self.line.hang_up().await;
        Ok(*released)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Taking<S> {
    /// Gets the encoding of a piece.
    ///
    /// # Errors
    /// [`TalkError`].
    pub async fn get(&mut self, piece: u64) -> Result<Bytes, TalkError> {
        self.line.say(&Ask::Get(piece)).await?;
        take(&mut self.line, piece, &self.deadlines).await
    }

    /// Ends the visit.
    pub async fn done(mut self) {
        if self.line.say(&Ask::Done).await.is_ok() {
            self.line.hang_up().await;
        }
    }
}

/// A piece is two frames: its number, and itself. Both together have one deadline.
async fn take<S: AsyncRead + AsyncWrite + Unpin>(
    line: &mut Line<S>,
    piece: u64,
    deadlines: &Deadlines,
) -> Result<Bytes, TalkError> {
    let limit = deadlines.piece;
    let taken = async {
        match line.answer(limit).await? {
            Answer::Piece(number) if number == piece => line.frame(limit).await,
            _ => Err(TalkError::OutOfTurn),
        }
    };
    tokio::time::timeout(limit, taken)
        .await
        .unwrap_or(Err(TalkError::Frame(farthing_net::frame::FrameError::TooSlow(limit))))
}
