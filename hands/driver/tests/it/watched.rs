//! A store that tells what is done to it, waits when told to, and breaks when told to.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::Time;
use farthing_ledger::{Account, Head, Hold, JournalRow, StoreFault};
use farthing_role::{Row, Scan, Table};
use farthing_store::{MemoryStore, Reader, Snapshot, SqliteOptions, SqliteStore, Store, StoreError, WriteSet};

use crate::toy::COUNTERS;

pub(crate) fn tables() -> Vec<Table> {
    [farthing_driver::TABLES, &[COUNTERS]].concat()
}

pub(crate) fn memory() -> Box<dyn Store> {
    Box::new(MemoryStore::new(&tables()))
}

pub(crate) fn sqlite(folder: &Path) -> Box<dyn Store> {
    Box::new(SqliteStore::open(folder.join("toy.db"), &tables(), &SqliteOptions::default()).unwrap())
}

/// Runs a test on either store.
pub(crate) fn on_both(test: impl Fn(Box<dyn Store>)) {
    test(memory());
    let folder = tempfile::tempdir().unwrap();
    test(sqlite(folder.path()));
}

/// How a commit breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Break {
    /// Nothing is committed.
    Before,
    /// Everything is committed, only nobody is told.
    After,
}

#[derive(Default)]
struct State {
    /// Commits begun and finished.
    begun: usize,
    finished: usize,
    held: bool,
    /// How many commits may end although they are held.
    passes: usize,
    /// Which commit breaks, counted from one, and how.
    breaks: Option<(usize, Break)>,
    left: Option<Box<dyn Store>>,
}

/// What a test sees of a [`Watched`] store.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<(Mutex<State>, Condvar)>);

impl Watch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.0.1.notify_all();
        result
    }

    fn wait(&self, unless: impl Fn(&State) -> bool) {
        drop(self.0.1.wait_while(self.state(), |state| !unless(state)).unwrap());
    }

    pub(crate) fn commits(&self) -> usize {
        self.state().finished
    }

    /// From now on commits begin and do not end.
    pub(crate) fn hold_commits(&self) {
        self.change(|state| state.held = true);
    }

    pub(crate) fn let_go(&self) {
        self.change(|state| state.held = false);
    }

    /// Lets one commit end and holds the next.
    pub(crate) fn let_one_go(&self) {
        self.change(|state| state.passes += 1);
    }

    /// Returns once so many commits have begun.
    pub(crate) fn wait_for_begun(&self, commits: usize) {
        self.wait(|state| state.begun >= commits);
    }

    /// Has the commit of that number break, counted from one.
    pub(crate) fn break_commit(&self, number: usize, how: Break) {
        self.change(|state| state.breaks = Some((number, how)));
    }

    /// The store, once whoever had it has dropped it.
    pub(crate) fn take_back(&self) -> Box<dyn Store> {
        self.wait(|state| state.left.is_some());
        self.change(|state| state.left.take()).unwrap()
    }
}

pub(crate) struct Watched {
    inner: Option<Box<dyn Store>>,
    watch: Watch,
}

impl Watched {
    pub(crate) fn new(inner: Box<dyn Store>) -> (Self, Watch) {
        let watch = Watch::default();
        (Self { inner: Some(inner), watch: watch.clone() }, watch)
    }

    fn inner(&self) -> &dyn Store {
        &**self.inner.as_ref().unwrap()
    }

    fn inner_mut(&mut self) -> &mut dyn Store {
        &mut **self.inner.as_mut().unwrap()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let inner = self.inner.take();
        self.watch.change(|state| state.left = inner);
    }
}

impl Store for Watched {
    fn reader(&self) -> Result<Box<dyn Snapshot>, StoreFault> {
        self.inner().reader()
    }

    fn commit(&mut self, changes: &WriteSet) -> Result<(), StoreFault> {
        let breaks = self.watch.change(|state| {
            state.begun += 1;
            state.breaks.filter(|(number, _)| *number == state.begun).map(|(_, how)| how)
        });
        self.watch.wait(|state| !state.held || state.passes > 0);
        self.watch.change(|state| state.passes = state.passes.saturating_sub(1));
        if breaks == Some(Break::Before) {
            return Err(StoreFault("the disk broke, as asked for".to_owned()));
        }
        self.inner_mut().commit(changes)?;
        if breaks == Some(Break::After) {
            return Err(StoreFault("the disk broke after the commit, as asked for".to_owned()));
        }
        self.watch.change(|state| state.finished += 1);
        Ok(())
    }

    fn fault(&self) -> Option<&StoreError> {
        self.inner().fault()
    }

    fn epoch(&self) -> Result<u64, StoreFault> {
        self.inner().epoch()
    }

    fn set_epoch(&mut self, epoch: u64) -> Result<(), StoreFault> {
        self.inner_mut().set_epoch(epoch)
    }

    fn backup(&self, path: &Path) -> Result<(), StoreError> {
        self.inner().backup(path)
    }
}

impl Reader for Watched {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        self.inner().get(table, key)
    }

    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Row>, StoreFault> {
        self.inner().scan(table, scan)
    }

    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreFault> {
        self.inner().account(id)
    }

    fn hold(&self, id: TransferId) -> Result<Option<Hold>, StoreFault> {
        self.inner().hold(id)
    }

    fn holds_due(&self, now: Time, limit: usize) -> Result<Vec<Hold>, StoreFault> {
        self.inner().holds_due(now, limit)
    }

    fn accounts(&self, after: Option<AccountId>, limit: usize) -> Result<Vec<Account>, StoreFault> {
        self.inner().accounts(after, limit)
    }

    fn holds(&self, after: Option<TransferId>, limit: usize) -> Result<Vec<Hold>, StoreFault> {
        self.inner().holds(after, limit)
    }

    fn journal(&self, after_seq: u64, limit: usize) -> Result<Vec<JournalRow>, StoreFault> {
        self.inner().journal(after_seq, limit)
    }

    fn journal_row(&self, id: TransferId) -> Result<Option<JournalRow>, StoreFault> {
        self.inner().journal_row(id)
    }

    fn head(&self) -> Result<Head, StoreFault> {
        self.inner().head()
    }

    fn damage(&self) -> Result<Option<String>, StoreFault> {
        self.inner().damage()
    }
}
