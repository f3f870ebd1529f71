//! What can go wrong, whether money may have moved, and what to do then.

use farthing_core::amount::{Amount, AmountError};
use farthing_core::refusal::{Money, Remedy};
use farthing_dialects::Unreadable;
use farthing_peer::wallet::{DeskError, PolicyRefusal, WalletError};

/// What to do after a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// Nothing: it would be refused again.
    Stop,
    /// Make the same request again, later.
    Later,
    /// Change the request, or raise the cap that the message names.
    Change,
    /// Put money into the account at the bank.
    Fund,
    /// Compare the wallet with the bank: another copy of it is the one that spends.
    Reconcile,
    /// Allow more in the wallet's policy: the limit of this name.
    Allow(&'static str),
    /// Approve it, by a wallet that asks its owner.
    Approve,
}

impl From<Remedy> for Advice {
    fn from(remedy: Remedy) -> Self {
        match remedy {
            Remedy::Again | Remedy::Renew => Self::Later,
            Remedy::Mend => Self::Change,
            Remedy::Fund => Self::Fund,
            Remedy::Reconcile => Self::Reconcile,
            Remedy::Stop | Remedy::Appeal => Self::Stop,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// Nothing was sent, so nothing was paid: the request cannot be paid for, or nobody is there.
    #[error("{0}; nothing was sent and nothing was paid")]
    NothingSent(String),
    /// Refused, by the server, the wallet's policy or the caps. Nothing was paid for it.
    #[error("{why}; nothing was paid")]
    Refused {
        /// By whom and why, in a sentence.
        why: String,
        /// What to do.
        advice: Advice,
    },
    /// It was sent, and no answer came that tells what became of it. At most `at_most` was paid.
    /// Make the very same request again: it goes out with the same payment, and is charged once.
    #[error("{why}; {at_most} may have been paid: make the same request again, it is sent with the same payment")]
    Unknown {
        /// What happened.
        why: String,
        /// What it cost at the most.
        at_most: Amount,
    },
    /// The server says that the payment was used: it has taken it, and has no answer for it any more.
    /// It may have done what was asked. Nothing is paid anew by itself; the same request made again
    /// is another one.
    #[error(
        "{why}; {at_most} was paid. Whether it did what was asked, its operator can tell; asking again is paid for again"
    )]
    Spent {
        /// What happened.
        why: String,
        /// What it cost.
        at_most: Amount,
    },
    /// The payment was sent, and the server says, without a proof, that it took nothing.
    #[error("{why}; by its own word it took nothing, which is not proven: up to {at_most} may have been paid")]
    Denied {
        /// What happened.
        why: String,
        /// What it cost at the most.
        at_most: Amount,
    },
    /// The answer broke off after it was paid for. What was charged is charged; asking again is
    /// another request.
    #[error("{why}; up to {at_most} was paid for what came")]
    BrokeOff {
        /// What happened.
        why: String,
        /// What it cost at the most.
        at_most: Amount,
    },
    /// The wallet cannot.
    #[error(transparent)]
    Wallet(WalletError),
}

impl PayError {
    /// Whether money may have moved.
    #[must_use]
    pub const fn money(&self) -> Money {
        match self {
            Self::Unknown { .. } | Self::Denied { .. } => Money::Unknown,
            Self::Spent { .. } | Self::BrokeOff { .. } => Money::MovedBefore,
            Self::Wallet(WalletError::Bank(DeskError::Unknown(_))) => Money::Unknown,
            _ => Money::Unmoved,
        }
    }

    /// The same once a payment was sent: that the server took nothing is its word alone.
    pub(crate) fn after_payment(self, at_most: Amount) -> Self {
        match self {
            Self::Refused { why, .. } if !at_most.is_zero() => Self::Denied { why, at_most },
            why => why,
        }
    }

    pub(crate) fn refused(why: impl Into<String>, advice: Advice) -> Self {
        Self::Refused { why: why.into(), advice }
    }
}

impl From<WalletError> for PayError {
    fn from(why: WalletError) -> Self {
        match why {
            WalletError::Policy(why) => {
                let advice = match why {
                    PolicyRefusal::Over { which, .. } => Advice::Allow(which.key()),
                    PolicyRefusal::NotApproved { .. } => Advice::Approve,
                    PolicyRefusal::Visit { .. } => Advice::Change,
                };
                Self::refused(trimmed(&why.to_string()), advice)
            }
            WalletError::SellerChanged { .. } => Self::refused(trimmed(&why.to_string()), Advice::Stop),
            WalletError::Refused(refusal) => Self::refused(refusal.detail.clone(), refusal.remedy.into()),
            why => Self::Wallet(why),
        }
    }
}

impl From<AmountError> for PayError {
    fn from(why: AmountError) -> Self {
        Self::refused(format!("the price is {why}"), Advice::Stop)
    }
}

impl From<Unreadable> for PayError {
    fn from(why: Unreadable) -> Self {
        Self::refused(format!("the server's price cannot be read: it is {why}"), Advice::Stop)
    }
}

/// Without the part that every refusal ends with.
fn trimmed(text: &str) -> String {
    text.trim_end_matches("; nothing was paid").to_owned()
}
