//! What a transaction changes, as data: before, after, and what the journal says.

use std::collections::BTreeMap;

use farthing_core::amount::Currency;
use farthing_core::id::AccountId;
use farthing_ledger::{Account, Entry, Hold};
use farthing_role::Table;

use crate::error::StoreError;

/// What stood under a key when the transaction read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Before {
    /// It was never read: whatever stands there is replaced.
    Unread,
    /// This, or nothing; the commit must find the same.
    Was(Option<Vec<u8>>),
}

/// A change of one record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowChange {
    /// In which table.
    pub table: Table,
    /// Under which key.
    pub key: Vec<u8>,
    /// What was read there.
    pub before: Before,
    /// What stands there afterwards; `None` for nothing.
    pub after: Option<Vec<u8>>,
}

/// A change of an account or hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change<T> {
    /// As it was read; `None` for a new one. The commit must find the same.
    pub before: Option<T>,
    /// As it is afterwards.
    pub after: T,
}

/// Everything a transaction changes: at most one change for each row, sorted by table and key, so
/// that a store may write each table in one sweep; and the journal's new entries in their order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WriteSet {
    /// Records.
    pub rows: Vec<RowChange>,
    /// Accounts, by id.
    pub accounts: Vec<Change<Account>>,
    /// Holds, by id.
    pub holds: Vec<Change<Hold>>,
    /// What to append to the journal.
    pub entries: Vec<Entry>,
}

/// Sums of one currency over a write set.
#[derive(Default, PartialEq, Eq)]
struct Flow {
    debited: i128,
    credited: i128,
    moved: i128,
}

impl WriteSet {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.accounts.is_empty() && self.holds.is_empty() && self.entries.is_empty()
    }

    /// Whether the changes keep the books balanced: in every currency the accounts were debited and
    /// credited by just what the entries move, and each account's held money changed by just what
    /// its holds did. Every store checks this before it writes anything.
    ///
    /// # Errors
    /// [`StoreError::Unbalanced`].
    pub fn check_balance(&self) -> Result<(), StoreError> {
        let mut flows: BTreeMap<Currency, Flow> = BTreeMap::new();
        let mut held: BTreeMap<AccountId, i128> = BTreeMap::new();
        for Change { before, after } in &self.accounts {
            let was = |side: fn(&Account) -> u64| before.as_ref().map_or(0, |before| i128::from(side(before)));
            let flow = flows.entry(after.currency).or_default();
            flow.debited += i128::from(after.debits_posted) - was(|a| a.debits_posted);
            flow.credited += i128::from(after.credits_posted) - was(|a| a.credits_posted);
            let more = i128::from(after.held) - was(|a| a.held);
            if more != 0 {
                *held.entry(after.id).or_default() += more;
            }
        }
        for entry in &self.entries {
            if let Entry::Moved(transfer) = entry {
                flows.entry(transfer.amount.currency()).or_default().moved += i128::from(transfer.amount.as_micros());
            }
        }
        for Change { before, after } in &self.holds {
            let was = before.map_or(0, |before| i128::from(before.rest.as_micros()));
            *held.entry(after.account).or_default() -= i128::from(after.rest.as_micros()) - was;
        }
        if let Some((currency, _)) = flows.iter().find(|(_, f)| f.debited != f.moved || f.credited != f.moved) {
            return Err(StoreError::Unbalanced(format!("accounts in {currency} against the journal")));
        }
        if let Some((account, _)) = held.iter().find(|(_, rest)| **rest != 0) {
            return Err(StoreError::Unbalanced(format!("held money of {account} against its holds")));
        }
        Ok(())
    }
}
