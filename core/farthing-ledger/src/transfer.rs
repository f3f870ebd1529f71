//! Transfers: money from one account to another, once.

use farthing_core::amount::Amount;
use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::Time;
use minicbor::{Decode, Encode};

/// Why money moved, in the numbering of whoever moves it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct Reason(#[n(0)] pub u16);

/// A transfer. It is two-sided, immutable and happens at most once under its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Transfer {
    /// Chosen by the caller before it first asks; ordered in time ([`farthing_core::id::timed`]).
    #[n(0)]
    pub id: TransferId,
    /// Whose balance falls.
    #[n(1)]
    pub debit: AccountId,
    /// Whose balance rises.
    #[n(2)]
    pub credit: AccountId,
    /// How much.
    #[n(3)]
    pub amount: Amount,
    /// Why.
    #[n(4)]
    pub reason: Reason,
    /// What it is about: the hash or id of a chain, order, request; zeros for nothing.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub reference: [u8; 32],
    /// When, by the clock of whoever keeps the books.
    #[n(6)]
    pub at: Time,
    /// The hold this takes its money from, which must be on the debited account.
    #[n(7)]
    pub hold: Option<TransferId>,
}

impl Transfer {
    /// Whether a repeat asks for the very same. The moment is the bookkeeper's own and does not
    /// count, or a request repeated a second later would contradict itself.
    #[must_use]
    pub fn repeats(&self, before: &Self) -> bool {
        Self { at: before.at, ..*self } == *before
    }
}
