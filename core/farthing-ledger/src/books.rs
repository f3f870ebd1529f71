//! What the ledger reads and writes, whoever keeps it.

use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::Time;

use crate::account::Account;
use crate::entry::Entry;
use crate::hold::Hold;
use crate::transfer::Transfer;

/// The store did not answer, or not in a way that can be believed. Nothing may be concluded about
/// what was asked; whoever was writing must not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store did not answer: {0}")]
pub struct StoreFault(pub String);

/// The books inside an open transaction: reads see the transaction's own writes.
pub trait Books {
    /// The account of that name.
    ///
    /// # Errors
    /// [`StoreFault`].
    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreFault>;

    /// The transfer of that id.
    ///
    /// # Errors
    /// [`StoreFault`].
    fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, StoreFault>;

    /// The hold of that id, open or ended.
    ///
    /// # Errors
    /// [`StoreFault`].
    fn hold(&self, id: TransferId) -> Result<Option<Hold>, StoreFault>;

    /// Open holds whose time is over at `now`, the earliest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault`].
    fn holds_due(&self, now: Time, limit: usize) -> Result<Vec<Hold>, StoreFault>;

    /// Writes rows, each of which was read before, and appends to the journal. Only the
    /// [`Ledger`](crate::Ledger) calls this.
    fn write(&mut self, write: LedgerWrite);
}

/// What one operation of the ledger changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerWrite {
    /// The accounts it touches, as they are afterwards.
    pub accounts: [Option<Account>; 2],
    /// The hold it touches, as it is afterwards.
    pub hold: Option<Hold>,
    /// What it appends to the journal.
    pub entry: Entry,
}
