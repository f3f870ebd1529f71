//! The payer's end where an order of its own is paid, not content.

use farthing_core::order::{DESCRIPTION_MAX, Order, Receipt};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Signed;
use farthing_core::time::{SKEW, Time};
use farthing_net::content::deceives;
use farthing_netpay::messages::{Pay, Visit};
use tokio::io::{AsyncRead, AsyncWrite};

use super::buying::Guest;
use super::handover::Terms;
use super::messages::{Accepted, Answer, Ask, PayFor, Released};
use super::{Deadlines, Line, TalkError};
use crate::wallet::Handover;

/// The payee knows what is to be paid, and has said how.
#[derive(Debug)]
pub struct Owing<S> {
    line: Line<S>,
    deadlines: Deadlines,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guest<S> {
    /// Names the order that is to be paid.
    ///
    /// # Errors
    /// [`TalkError`]; nothing was paid.
    pub async fn owe(self, order: &Order) -> Result<(Owing<S>, Terms), TalkError> {
        let (mut line, deadlines) = self.into_parts();
        line.say(&Ask::Owe(Box::new(order.clone()))).await?;
        let Answer::Terms(terms) = line.answer(deadlines.quote).await? else {
            return Err(TalkError::OutOfTurn);
        };
        Ok((Owing { line, deadlines }, *terms))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Owing<S> {
    /// Hands the payment over, for the first time or once more.
    ///
    /// # Errors
    /// [`TalkError`]; the payment may have arrived.
    pub async fn hand(mut self, payment: Handover) -> Result<Signed<Receipt>, TalkError> {
        self.line.say(&Ask::Hand(Box::new(payment))).await?;
        let Answer::Thanks(thanks) = self.line.answer(self.deadlines.admit).await? else {
            return Err(TalkError::OutOfTurn);
        };
        self.leave().await;
        Ok(*thanks)
    }

    /// Shows a reserve for the order.
    ///
    /// # Errors
    /// [`TalkError`]; the payee may hold the reserve.
    pub async fn begin(mut self, visit: Visit) -> Result<(Self, Accepted), TalkError> {
        self.line.say(&Ask::Begin(Box::new(visit))).await?;
        let Answer::Accepted(accepted) = self.line.answer(self.deadlines.admit).await? else {
            return Err(TalkError::OutOfTurn);
        };
        Ok((self, accepted))
    }

    /// Pays with units of the reserve, unless they arrived before, and gets release and receipt.
    ///
    /// # Errors
    /// [`TalkError`]; the payment may have arrived.
    pub async fn pay(mut self, pay: Option<Pay>) -> Result<Released, TalkError> {
        match pay {
            Some(pay) => self.line.say_both(&Ask::Pay(PayFor { pay, piece: 0 }), &Ask::Done).await?,
            None => self.line.say(&Ask::Done).await?,
        }
        let Answer::Released(released) = self.line.answer(self.deadlines.release).await? else {
            return Err(TalkError::OutOfTurn);
        };
        self.line.hang_up().await;
        Ok(*released)
    }

    /// Leaves; the payment may follow at another time.
    pub async fn leave(mut self) {
        if self.line.say(&Ask::Done).await.is_ok() {
            self.line.hang_up().await;
        }
    }
}

/// Whether an order is one that can be paid by itself at `now`: no content, one piece. Whether its
/// time is over is for the wallet to say: what was paid in time may come late.
///
/// # Errors
/// A refusal that says what is wrong with it.
pub fn check_owed(order: &Order, now: Time) -> Result<(), Refusal> {
    if order.content.is_some() || order.size != 1 || order.piece != 1 {
        return Err(Refusal::new(Code::Order, "this order is for content: ask for its price first"));
    }
    if order.description.len() > DESCRIPTION_MAX {
        return Err(Refusal::new(Code::Malformed, "the order's description is too long"));
    }
    if order.description.chars().any(deceives) {
        return Err(Refusal::new(Code::Malformed, "the order's description holds hidden characters"));
    }
    if order.created > now.after(SKEW) {
        return Err(Refusal::new(Code::NotYet, "the order is made in the future: a clock is wrong"));
    }
    Ok(())
}
