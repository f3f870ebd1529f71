//! Entries of the journal: all that ever happened to the books, in order.

use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::Time;
use minicbor::{Decode, Encode};

use crate::account::Account;
use crate::hold::Hold;
use crate::transfer::Transfer;

/// One thing that happened. The journal of these is the truth; accounts and holds are a cache that
/// [`Replay`](crate::Replay) finds again.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Entry {
    /// An account was opened.
    #[n(0)]
    Opened(#[n(0)] Account),
    /// Money moved.
    #[n(1)]
    Moved(#[n(0)] Transfer),
    /// Money was set aside.
    #[n(2)]
    Held {
        /// The hold as it was made.
        #[n(0)]
        hold: Hold,
        /// When.
        #[n(1)]
        at: Time,
    },
    /// The rest of a hold was given back.
    #[n(3)]
    Released {
        /// Which hold.
        #[n(0)]
        hold: TransferId,
        /// When.
        #[n(1)]
        at: Time,
        /// Because its time was over.
        #[n(2)]
        expired: bool,
    },
    /// An account was frozen or thawed.
    #[n(4)]
    Frozen {
        /// Which account.
        #[n(0)]
        account: AccountId,
        /// Frozen or thawed.
        #[n(1)]
        frozen: bool,
        /// When.
        #[n(2)]
        at: Time,
    },
}

impl Entry {
    /// The id that this entry uses up, if it is a transfer or a hold.
    #[must_use]
    pub const fn id(&self) -> Option<TransferId> {
        match self {
            Self::Moved(transfer) => Some(transfer.id),
            Self::Held { hold, .. } => Some(hold.id),
            _ => None,
        }
    }
}
