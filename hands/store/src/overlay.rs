//! A transaction in memory over what a store holds.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::Time;
use farthing_ledger::{Account, Books, Entry, Hold, HoldState, LedgerWrite, StoreFault, Transfer};
use farthing_role::{Records, Row, Scan, Table, Transaction};

use crate::store::Reader;
use crate::writes::{Before, Change, RowChange, WriteSet};

/// Records and books with changes that no store has seen yet.
///
/// It remembers what it read, so that each row is fetched once for a whole batch and the commit can
/// tell whether it is still so; and what it wrote, so that later reads see it. A part of the batch
/// runs inside [`attempt`](Self::attempt) and leaves no trace if it fails.
pub struct Overlay<'a> {
    base: &'a dyn Reader,
    // Reading fills it too, and reads come through a shared reference.
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<Table, BTreeMap<Vec<u8>, Cell>>,
    accounts: HashMap<AccountId, Slot<Account>>,
    holds: BTreeMap<TransferId, Slot<Hold>>,
    entries: Vec<Entry>,
    /// Which of the entries used up an id.
    ids: HashMap<TransferId, usize>,
    undo: Vec<Undo>,
    attempting: bool,
}

/// A record: what was read, and what was written if anything was.
struct Cell {
    before: Before,
    written: Option<Option<Vec<u8>>>,
}

/// An account or hold: what was read, and what was written if anything was.
#[derive(Clone, Copy)]
struct Slot<T> {
    before: Option<T>,
    written: Option<T>,
}

/// How to take one write back.
enum Undo {
    Row(Table, Vec<u8>, Option<Option<Vec<u8>>>),
    Account(AccountId, Option<Account>),
    Hold(TransferId, Option<Hold>),
    Entry,
}

impl<'a> Overlay<'a> {
    /// Nothing changed yet.
    #[must_use]
    pub fn new(base: &'a dyn Reader) -> Self {
        Self { base, state: RefCell::default() }
    }

    /// Runs a step whose writes stay only if it succeeds; after a failure (or a panic) everything
    /// is as before it.
    ///
    /// # Errors
    /// Those of the step.
    pub fn attempt<R, E>(&mut self, step: impl FnOnce(&mut dyn Transaction) -> Result<R, E>) -> Result<R, E> {
        let state = self.state.get_mut();
        state.undo.clear();
        state.attempting = true;
        let mut attempt = Attempt { overlay: self, keep: false };
        let answer = step(&mut *attempt.overlay);
        attempt.keep = answer.is_ok();
        answer
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        let state = self.state.borrow();
        state.entries.is_empty() && !state.rows.values().flat_map(BTreeMap::values).any(|cell| cell.written.is_some())
    }

    /// What is to be committed.
    #[must_use]
    pub fn into_write_set(self) -> WriteSet {
        let state = self.state.into_inner();
        let mut accounts: Vec<Change<Account>> = state.accounts.into_values().filter_map(Slot::change).collect();
        accounts.sort_unstable_by_key(|change| change.after.id);
        let rows = state.rows.into_iter().flat_map(|(table, cells)| {
            cells.into_iter().filter_map(move |(key, cell)| {
                let after = cell.written?;
                (cell.before != Before::Was(after.clone())).then_some(RowChange {
                    table,
                    key,
                    before: cell.before,
                    after,
                })
            })
        });
        WriteSet {
            rows: rows.collect(),
            accounts,
            holds: state.holds.into_values().filter_map(Slot::change).collect(),
            entries: state.entries,
        }
    }

    fn write_row(&mut self, table: Table, key: &[u8], value: Option<Vec<u8>>) {
        let state = self.state.get_mut();
        let cells = state.rows.entry(table).or_default();
        let before = match cells.get_mut(key) {
            Some(cell) => cell.written.replace(value),
            None => {
                cells.insert(key.to_vec(), Cell { before: Before::Unread, written: Some(value) });
                None
            }
        };
        if state.attempting {
            state.undo.push(Undo::Row(table, key.to_vec(), before));
        }
    }
}

/// An attempt under way; dropped without `keep`, it takes the writes back.
struct Attempt<'o, 'a> {
    overlay: &'o mut Overlay<'a>,
    keep: bool,
}

impl Drop for Attempt<'_, '_> {
    fn drop(&mut self) {
        let state = self.overlay.state.get_mut();
        state.attempting = false;
        let undo = std::mem::take(&mut state.undo);
        if !self.keep {
            undo.into_iter().rev().for_each(|step| state.take_back(step));
        }
    }
}

impl State {
    fn take_back(&mut self, step: Undo) {
        match step {
            Undo::Row(table, key, written) => {
                if let Some(cell) = self.rows.get_mut(&table).and_then(|cells| cells.get_mut(&key)) {
                    cell.written = written;
                }
            }
            Undo::Account(id, written) => {
                if let Some(slot) = self.accounts.get_mut(&id) {
                    slot.written = written;
                }
            }
            Undo::Hold(id, written) => {
                if let Some(slot) = self.holds.get_mut(&id) {
                    slot.written = written;
                }
            }
            Undo::Entry => {
                if let Some(id) = self.entries.pop().and_then(|entry| entry.id()) {
                    self.ids.remove(&id);
                }
            }
        }
    }
}

impl<T: Copy> Slot<T> {
    const fn read(before: Option<T>) -> Self {
        Self { before, written: None }
    }

    fn now(self) -> Option<T> {
        self.written.or(self.before)
    }

    fn change(self) -> Option<Change<T>> {
        Some(Change { before: self.before, after: self.written? })
    }
}

impl Records for Overlay<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        if let Some(cell) = self.state.borrow().rows.get(&table).and_then(|cells| cells.get(key)) {
            match (&cell.written, &cell.before) {
                (Some(now), _) | (None, Before::Was(now)) => return Ok(now.clone()),
                (None, Before::Unread) => {}
            }
        }
        let found = self.base.get(table, key)?;
        let cell = Cell { before: Before::Was(found.clone()), written: None };
        self.state.borrow_mut().rows.entry(table).or_default().insert(key.to_vec(), cell);
        Ok(found)
    }

    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Row>, StoreFault> {
        let state = self.state.borrow();
        let from = match scan.after {
            Some(after) if after >= scan.prefix => Bound::Excluded(after),
            _ => Bound::Included(scan.prefix),
        };
        let written: Vec<(&Vec<u8>, &Option<Vec<u8>>)> = state
            .rows
            .get(&table)
            .into_iter()
            .flat_map(|cells| cells.range::<[u8], _>((from, Bound::Unbounded)))
            .take_while(|(key, _)| key.starts_with(scan.prefix))
            .filter_map(|(key, cell)| Some((key, cell.written.as_ref()?)))
            .collect();
        // Enough from below to fill the page whatever was deleted here.
        let deleted = written.iter().filter(|(_, value)| value.is_none()).count();
        let below = self.base.scan(table, Scan { limit: scan.limit.saturating_add(deleted), ..scan })?;
        if written.is_empty() {
            return Ok(below);
        }
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = below.into_iter().collect();
        for (key, value) in written {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(rows.into_iter().take(scan.limit).collect())
    }

    fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) {
        self.write_row(table, key, Some(value));
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        self.write_row(table, key, None);
    }
}

impl Books for Overlay<'_> {
    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreFault> {
        if let Some(slot) = self.state.borrow().accounts.get(&id) {
            return Ok(slot.now());
        }
        let found = self.base.account(id)?;
        self.state.borrow_mut().accounts.insert(id, Slot::read(found));
        Ok(found)
    }

    fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, StoreFault> {
        let state = self.state.borrow();
        match state.ids.get(&id).map(|at| &state.entries[*at]) {
            Some(Entry::Moved(transfer)) => Ok(Some(*transfer)),
            Some(_) => Ok(None),
            None => self.base.transfer(id),
        }
    }

    fn hold(&self, id: TransferId) -> Result<Option<Hold>, StoreFault> {
        if let Some(slot) = self.state.borrow().holds.get(&id) {
            return Ok(slot.now());
        }
        let found = self.base.hold(id)?;
        if found.is_some() {
            self.state.borrow_mut().holds.insert(id, Slot::read(found));
        }
        Ok(found)
    }

    fn holds_due(&self, now: Time, limit: usize) -> Result<Vec<Hold>, StoreFault> {
        let mut state = self.state.borrow_mut();
        let changed = state.holds.values().filter(|slot| slot.written.is_some()).count();
        let below = self.base.holds_due(now, limit.saturating_add(changed))?;
        let mut due: BTreeMap<(Time, TransferId), Hold> = BTreeMap::new();
        for hold in below {
            state.holds.entry(hold.id).or_insert(Slot::read(Some(hold)));
        }
        let seen = state.holds.values().filter_map(|slot| slot.now());
        due.extend(seen.filter(|h| h.state == HoldState::Open && h.until <= now).map(|h| ((h.until, h.id), h)));
        Ok(due.into_values().take(limit).collect())
    }

    fn write(&mut self, write: LedgerWrite) {
        let state = self.state.get_mut();
        for account in write.accounts.into_iter().flatten() {
            let slot = state.accounts.entry(account.id).or_insert(Slot::read(None));
            let before = slot.written.replace(account);
            if state.attempting {
                state.undo.push(Undo::Account(account.id, before));
            }
        }
        if let Some(hold) = write.hold {
            let slot = state.holds.entry(hold.id).or_insert(Slot::read(None));
            let before = slot.written.replace(hold);
            if state.attempting {
                state.undo.push(Undo::Hold(hold.id, before));
            }
        }
        if let Some(id) = write.entry.id() {
            state.ids.insert(id, state.entries.len());
        }
        state.entries.push(write.entry);
        if state.attempting {
            state.undo.push(Undo::Entry);
        }
    }
}
