//! Finding the books again from the journal alone.

use std::collections::BTreeMap;

use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::Time;

use crate::account::Account;
use crate::books::{Books, LedgerWrite, StoreFault};
use crate::entry::Entry;
use crate::hold::{Hold, HoldState};
use crate::ledger::{Ledger, Posted};
use crate::refusal::LedgerError;
use crate::transfer::Transfer;

/// An entry that the rules would not have let into the journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Irregular {
    /// It breaks a rule.
    #[error("it breaks the rules: {0}")]
    Refused(LedgerError),
    /// It changes nothing.
    #[error("it repeats what had happened before")]
    Repeated,
}

/// Books built from entries, under the very rules that the entries were made by.
///
/// It remembers accounts and open holds, but neither transfers nor ended holds, so that a journal
/// of any length fits; that no id occurs twice is for whoever holds the journal to see.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    accounts: BTreeMap<AccountId, Account>,
    open: BTreeMap<TransferId, Hold>,
    ended: Option<Hold>,
}

impl Replay {
    /// Lets an entry happen again; gives the hold that it ended, if any.
    ///
    /// # Errors
    /// [`Irregular`]; then nothing changed.
    pub fn apply(&mut self, entry: &Entry) -> Result<Option<Hold>, Irregular> {
        let mut ledger = Ledger(self);
        let posted = match *entry {
            Entry::Opened(account) => ledger.open(account),
            Entry::Moved(transfer) => ledger.post(transfer),
            Entry::Held { hold, at } => ledger.hold(hold, at),
            Entry::Released { hold, at, expired: false } => ledger.release(hold, at),
            Entry::Released { hold, at, expired: true } => ledger.expire(hold, at),
            Entry::Frozen { account, frozen: true, at } => ledger.freeze(account, at),
            Entry::Frozen { account, frozen: false, at } => ledger.unfreeze(account, at),
        };
        match posted {
            Ok(Posted::Now) => Ok(self.ended.take()),
            Ok(Posted::Before) => Err(Irregular::Repeated),
            Err(why) => Err(Irregular::Refused(why)),
        }
    }

    /// The accounts as they should stand.
    #[must_use]
    pub const fn accounts(&self) -> &BTreeMap<AccountId, Account> {
        &self.accounts
    }

    /// The open holds as they should stand.
    #[must_use]
    pub const fn open_holds(&self) -> &BTreeMap<TransferId, Hold> {
        &self.open
    }
}

impl Books for Replay {
    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreFault> {
        Ok(self.accounts.get(&id).copied())
    }

    fn transfer(&self, _: TransferId) -> Result<Option<Transfer>, StoreFault> {
        Ok(None)
    }

    fn hold(&self, id: TransferId) -> Result<Option<Hold>, StoreFault> {
        Ok(self.open.get(&id).copied())
    }

    fn holds_due(&self, now: Time, limit: usize) -> Result<Vec<Hold>, StoreFault> {
        let mut due: Vec<Hold> = self.open.values().filter(|hold| hold.until <= now).copied().collect();
        due.sort_by_key(|hold| (hold.until, hold.id));
        due.truncate(limit);
        Ok(due)
    }

    fn write(&mut self, write: LedgerWrite) {
        for account in write.accounts.into_iter().flatten() {
            self.accounts.insert(account.id, account);
        }
        match write.hold {
            Some(hold) if hold.state == HoldState::Open => {
                self.open.insert(hold.id, hold);
            }
            Some(hold) => {
                self.open.remove(&hold.id);
                self.ended = Some(hold);
            }
            None => {}
        }
    }
}
