//! A small town with money in it, and ways to run it on any store.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::Time;
use farthing_ledger::{Account, AccountKind, Hold, Ledger, Posted, Reason, StoreFault, Transfer};
use farthing_role::{Halt, Table, Transaction};
use farthing_store::{Overlay, SqliteOptions, SqliteStore, Store, WriteSet};

pub(crate) const NOTES: Table = Table("notes");
pub(crate) const OTHER: Table = Table("other_9");
pub(crate) const TABLES: &[Table] = &[NOTES, OTHER];

pub(crate) const WORLD: AccountId = AccountId([1; 16]);
pub(crate) const ALICE: AccountId = AccountId([2; 16]);
pub(crate) const BOB: AccountId = AccountId([3; 16]);
pub(crate) const CAROL: AccountId = AccountId([4; 16]);

pub(crate) fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

pub(crate) fn xts(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

/// Ids in order of number.
pub(crate) fn id(n: u64) -> TransferId {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    TransferId(id)
}

pub(crate) fn transfer(n: u64, debit: AccountId, credit: AccountId, micros: u64) -> Transfer {
    let (id, amount) = (id(n), xts(micros));
    Transfer { id, debit, credit, amount, reason: Reason(1), reference: [7; 32], at: at(1), hold: None }
}

pub(crate) fn hold(n: u64, on: AccountId, micros: u64, until: u64) -> Hold {
    Hold::new(id(n), on, xts(micros), at(until), [7; 32])
}

/// Runs a step and commits it.
pub(crate) fn commit<R>(store: &mut dyn Store, step: impl FnOnce(&mut dyn Transaction) -> Result<R, Halt>) -> R {
    let (answer, writes) = run(store, step);
    store.commit(&writes).unwrap();
    answer
}

/// Runs a step and gives what it would change.
pub(crate) fn run<R>(store: &dyn Store, step: impl FnOnce(&mut dyn Transaction) -> Result<R, Halt>) -> (R, WriteSet) {
    let mut overlay = Overlay::new(store);
    let answer = overlay.attempt(step).unwrap();
    (answer, overlay.into_write_set())
}

pub(crate) fn post(store: &mut dyn Store, transfer: Transfer) -> Posted {
    commit(store, |tx| Ok(Ledger(tx).post(transfer)?))
}

/// The outside, Alice with 1000, Bob and Carol with nothing.
pub(crate) fn found(store: &mut dyn Store) {
    let kinds = [AccountKind::World, AccountKind::Customer, AccountKind::Customer, AccountKind::Customer];
    for (name, kind) in [WORLD, ALICE, BOB, CAROL].into_iter().zip(kinds) {
        let account = Account::new(name, kind, Currency::XTS, None, at(0));
        commit(store, |tx| Ok(Ledger(tx).open(account)?));
    }
    post(store, transfer(1, WORLD, ALICE, 1_000));
}

pub(crate) fn balance(store: &dyn Store, account: AccountId) -> Result<i128, StoreFault> {
    Ok(store.account(account)?.unwrap().balance())
}

/// A folder of its own, and the store's file in it.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("books.db")
    }

    pub(crate) fn open(&self) -> SqliteStore {
        SqliteStore::open(self.file(), TABLES, &SqliteOptions::default()).unwrap()
    }
}
