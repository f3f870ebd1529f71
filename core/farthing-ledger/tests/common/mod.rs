//! Books in memory, and short ways to name things.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::Time;
use farthing_ledger::{
    Account, AccountKind, Books, Entry, Hold, HoldState, Ledger, LedgerWrite, Reason, StoreFault, Transfer,
};

/// Books that forget nothing.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Memory {
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    pub(crate) transfers: BTreeMap<TransferId, Transfer>,
    pub(crate) holds: BTreeMap<TransferId, Hold>,
    pub(crate) entries: Vec<Entry>,
}

impl Memory {
    pub(crate) fn ledger(&mut self) -> Ledger<'_> {
        Ledger(self)
    }

    /// Opens an account of the test currency.
    pub(crate) fn with(mut self, n: u8, kind: AccountKind, currency: Currency) -> Self {
        self.ledger().open(Account::new(account(n), kind, currency, None, Time::from_millis(0))).unwrap();
        self
    }
}

impl Books for Memory {
    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreFault> {
        Ok(self.accounts.get(&id).copied())
    }

    fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, StoreFault> {
        Ok(self.transfers.get(&id).copied())
    }

    fn hold(&self, id: TransferId) -> Result<Option<Hold>, StoreFault> {
        Ok(self.holds.get(&id).copied())
    }

    fn holds_due(&self, now: Time, limit: usize) -> Result<Vec<Hold>, StoreFault> {
        let open = self.holds.values().filter(|h| h.state == HoldState::Open && h.until <= now);
        let mut due: Vec<Hold> = open.copied().collect();
        due.sort_by_key(|h| (h.until, h.id));
        due.truncate(limit);
        Ok(due)
    }

    fn write(&mut self, write: LedgerWrite) {
        self.accounts.extend(write.accounts.into_iter().flatten().map(|a| (a.id, a)));
        self.holds.extend(write.hold.map(|h| (h.id, h)));
        if let Entry::Moved(t) = &write.entry {
            self.transfers.insert(t.id, *t);
        }
        self.entries.push(write.entry);
    }
}

pub(crate) const fn account(n: u8) -> AccountId {
    AccountId([n; 16])
}

pub(crate) const fn id(n: u8) -> TransferId {
    TransferId([n; 16])
}

pub(crate) const fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

pub(crate) fn xts(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

pub(crate) fn eur() -> Currency {
    Currency::new(*b"EUR").unwrap()
}

/// A transfer at moment 1, about nothing.
pub(crate) fn transfer(n: u8, debit: u8, credit: u8, amount: Amount) -> Transfer {
    let (debit, credit) = (account(debit), account(credit));
    Transfer { id: id(n), debit, credit, amount, reason: Reason(1), reference: [0; 32], at: at(1), hold: None }
}

/// A hold until moment 1000, about nothing.
pub(crate) fn hold(n: u8, on: u8, amount: Amount) -> Hold {
    Hold::new(id(n), account(on), amount, at(1000), [0; 32])
}
