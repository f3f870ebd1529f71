//! Holds: money set aside until it is captured, released or the time is over.

use farthing_core::amount::Amount;
use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::{Span, Time};
use minicbor::{Decode, Encode};

/// The longest a hold may last: 366 days. Every hold ends, whatever becomes of the parties.
pub const HOLD_SPAN_MAX: Span = Span::from_days(366);

/// What became of a hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum HoldState {
    /// Something is still set aside.
    #[n(0)]
    Open,
    /// All of it was captured.
    #[n(1)]
    Captured,
    /// The rest was given back.
    #[n(2)]
    Released,
    /// Its time was over and the rest was given back.
    #[n(3)]
    Expired,
}

impl HoldState {
    /// Every state, in order of number.
    pub const ALL: [Self; 4] = [Self::Open, Self::Captured, Self::Released, Self::Expired];

    /// The state of that number, as [`as u8`](Self::ALL) gives it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// A hold as it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Hold {
    /// Chosen by the caller, from the same ids as transfers.
    #[n(0)]
    pub id: TransferId,
    /// On which account.
    #[n(1)]
    pub account: AccountId,
    /// How much was set aside at first.
    #[n(2)]
    pub amount: Amount,
    /// How much still is; nothing once the hold has ended.
    #[n(3)]
    pub rest: Amount,
    /// The first moment at which nothing more can be captured and the rest goes back.
    #[n(4)]
    pub until: Time,
    /// What it is about.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub reference: [u8; 32],
    /// What became of it.
    #[n(6)]
    pub state: HoldState,
}

impl Hold {
    /// A hold of which nothing was captured yet.
    #[must_use]
    pub const fn new(id: TransferId, account: AccountId, amount: Amount, until: Time, reference: [u8; 32]) -> Self {
        Self { id, account, amount, rest: amount, until, reference, state: HoldState::Open }
    }

    /// Whether a repeat asks for the very same, whatever became of it since.
    #[must_use]
    pub fn repeats(&self, before: &Self) -> bool {
        Self { rest: before.rest, state: before.state, ..*self } == *before
    }

    /// Whether the parts fit each other: as much left as the state says, and no more than at first.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.rest.currency() == self.amount.currency()
            && self.rest.as_micros() <= self.amount.as_micros()
            && !self.amount.is_zero()
            && self.rest.is_zero() == (self.state != HoldState::Open)
    }

    /// The same, ended: nothing is set aside any more.
    pub(crate) const fn ended(self, state: HoldState) -> Self {
        Self { rest: self.amount.currency().zero(), state, ..self }
    }
}
