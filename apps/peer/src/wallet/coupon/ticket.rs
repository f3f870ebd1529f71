//! A payment on its way, and what became of it.

use farthing_core::amount::Amount;
use farthing_coupon::micro::{Ack, Coupon, Pay};

use super::session::CouponSession;
use crate::wallet::error::WalletError;

/// A payment for one request. Whoever holds it says what became of it: dropped without a word, it
/// stays unanswered, and the same request gets it again.
#[derive(Debug)]
pub struct Ticket {
    session: CouponSession,
    pay: Pay,
    price: Amount,
    tool: Option<String>,
    repeated: bool,
    settled: bool,
}

impl Ticket {
    pub(super) fn new(session: CouponSession, pay: Pay, price: Amount, tool: Option<&str>, repeated: bool) -> Self {
        Self { session, pay, price, tool: tool.map(str::to_owned), repeated, settled: false }
    }

    /// The payment; the same at every repeat.
    #[must_use]
    pub const fn pay(&self) -> &Pay {
        &self.pay
    }

    /// The payment as a header carries it.
    #[must_use]
    pub fn coupon(&self) -> Coupon {
        self.pay.coupon(self.session.chain())
    }

    /// The most it costs.
    #[must_use]
    pub const fn price(&self) -> Amount {
        self.price
    }

    /// Whether it was sent before, and its answer went missing.
    #[must_use]
    pub const fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// The session it is paid from.
    #[must_use]
    pub const fn session(&self) -> &CouponSession {
        &self.session
    }

    /// Takes the seller's answer; gives what was charged. What was not is used for other requests.
    ///
    /// # Errors
    /// [`WalletError::Coupon`] for an answer that is not the seller's to this payment, which stays
    /// unanswered.
    pub async fn answered(mut self, ack: &Ack) -> Result<Amount, WalletError> {
        if ack.index != self.pay.index {
            return Err(farthing_coupon::spender::SpendError::Forged.into());
        }
        let acknowledged = self.session.settle(self.pay.index, |spender, tally| {
            let charged = spender.on_ack(ack)?;
            if charged > 0 {
                tally.acknowledge(ack.index, charged);
            }
            Ok(charged)
        });
        let charged = acknowledged.await?;
        self.settled = true;
        let cost = self.session.unit().checked_mul(charged.into())?;
        let back = self.price.checked_sub(cost)?;
        self.session.give_tool_back(self.tool.as_deref(), back);
        Ok(cost)
    }

    /// It never left, or the seller said that it took nothing: its units are used for another
    /// request. A seller that says so and lies is found out when it refuses that one, and has
    /// gained this payment.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn not_taken(mut self) -> Result<(), WalletError> {
        self.session.settle(self.pay.index, |spender, _| spender.cancel(self.pay.index)).await?;
        self.settled = true;
        self.session.give_tool_back(self.tool.as_deref(), self.price);
        Ok(())
    }

    /// It was taken, and no answer will come: its units are spent.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn spent(mut self) -> Result<Amount, WalletError> {
        let given_up = self.session.settle(self.pay.index, |spender, tally| {
            tally.count();
            spender.give_up(self.pay.index)
        });
        given_up.await?;
        self.settled = true;
        Ok(self.price)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Once settled, its units may be another's by now.
        if !self.settled {
            self.session.open().claimed().remove(&self.pay.index);
        }
    }
}
