//! Why the ledger says no.

use farthing_core::id::{AccountId, TransferId};
use farthing_core::refusal::{Code, Refusal, Remedy};

use crate::books::StoreFault;
use crate::hold::HoldState;

/// Why an operation was refused. Nothing was written and no money moved.
///
/// None of them tells a balance: whoever asks may not be whose account it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerRefusal {
    /// An amount of nothing.
    #[error("an amount of nothing cannot move; name a larger amount")]
    ZeroAmount,
    /// From an account to itself.
    #[error("{0} cannot pay itself; name two accounts")]
    SameAccount(AccountId),
    /// A new account or hold that claims a past.
    #[error("a new account or hold begins with nothing posted")]
    NotNew,
    /// The id was used for something else before.
    #[error("the id {0} was used for something else before; nothing moved now")]
    IdTaken(TransferId),
    /// An account of this name, of another kind, currency or owner, exists.
    #[error("the account {0} exists already and is a different one")]
    AccountTaken(AccountId),
    /// No such account to pay from.
    #[error("there is no account {0} to pay from")]
    UnknownDebit(AccountId),
    /// No such account to pay to.
    #[error("there is no account {0} to pay to")]
    UnknownCredit(AccountId),
    /// Accounts and amount are not of one currency.
    #[error("accounts and amount must be of one currency")]
    Currency,
    /// Nothing may leave the account.
    #[error("the account {0} is frozen: it can receive but not pay; ask the operator")]
    Frozen(AccountId),
    /// No such hold.
    #[error("there is no hold {0}")]
    UnknownHold(TransferId),
    /// The hold is on another account than the one debited.
    #[error("the hold {0} is on another account")]
    OthersHold(TransferId),
    /// The hold has ended.
    #[error("the hold {0} has ended ({1:?})")]
    HoldEnded(TransferId, HoldState),
    /// The time of the hold is over, or would be at its beginning.
    #[error("the time of the hold {0} is over")]
    HoldOver(TransferId),
    /// The time of the hold is not over yet.
    #[error("the time of the hold {0} is not over yet")]
    HoldLasts(TransferId),
    /// The hold would outlast [`HOLD_SPAN_MAX`](crate::HOLD_SPAN_MAX).
    #[error("the hold {0} would last too long; name an earlier end")]
    HoldTooLong(TransferId),
    /// Less is left in the hold than asked for.
    #[error("less is left in the hold {0} than asked for")]
    HoldShort(TransferId),
    /// Not enough available money.
    #[error("the account {0} has not enough available money; fund it first")]
    Funds(AccountId),
    /// The account would exceed [`ACCOUNT_MAX`](crate::ACCOUNT_MAX) or
    /// [`TURNOVER_MAX`](crate::TURNOVER_MAX).
    #[error("the account {0} cannot take so much")]
    Overflow(AccountId),
}

/// Why an operation of the ledger did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The rules forbid it; nothing was written.
    #[error(transparent)]
    Refused(#[from] LedgerRefusal),
    /// The store did not answer; the whole transaction must be given up.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl From<LedgerRefusal> for Refusal {
    fn from(why: LedgerRefusal) -> Self {
        use LedgerRefusal as No;
        let code = match why {
            No::ZeroAmount | No::SameAccount(_) | No::Currency => Code::Amount,
            No::NotNew => Code::Malformed,
            No::IdTaken(_) | No::AccountTaken(_) => Code::Conflict,
            No::UnknownDebit(_) | No::UnknownCredit(_) | No::UnknownHold(_) => Code::Unknown,
            No::Frozen(_) => Code::Suspended,
            No::OthersHold(_) | No::HoldEnded(..) => Code::State,
            No::HoldOver(_) => Code::Expired,
            No::HoldLasts(_) => Code::NotYet,
            No::HoldTooLong(_) | No::Overflow(_) => Code::Limit,
            No::HoldShort(_) | No::Funds(_) => Code::Funds,
        };
        let refusal = Self::new(code, why.to_string());
        match why {
            // Waiting does not bring the hold back, and funding the account does not enlarge it.
            No::HoldOver(_) => refusal.remedy(Remedy::Stop),
            No::HoldShort(_) => refusal.remedy(Remedy::Mend),
            _ => refusal,
        }
    }
}
