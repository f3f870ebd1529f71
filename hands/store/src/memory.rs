//! A store in memory, for tests and simulations.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::Time;
use farthing_ledger::{Account, Head, Hold, HoldState, JournalRow, StoreFault};
use farthing_role::{Row, Scan, Table};

use crate::error::StoreError;
use crate::store::{Reader, Snapshot, Store};
use crate::writes::{Before, WriteSet};

/// Records and books in memory, obeying the same rules as the store on disk.
///
/// A clone costs next to nothing and stands still while the original goes on: it is what a crashed
/// party finds again, or a snapshot. (What is shared is copied at the first commit after it.)
#[derive(Clone, Debug)]
pub struct MemoryStore {
    held: Held,
    fault: Option<StoreError>,
}

/// The records of one table.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug, Default)]
struct Held {
    tables: BTreeMap<Table, Arc<Rows>>,
    accounts: Arc<BTreeMap<AccountId, Account>>,
    holds: Arc<BTreeMap<TransferId, Hold>>,
    due: Arc<BTreeSet<(Time, TransferId)>>,
    journal: Arc<Vec<Arc<JournalRow>>>,
    ids: Arc<HashMap<TransferId, u64>>,
    head: Head,
    epoch: u64,
}

impl MemoryStore {
    /// An empty store with these tables.
    #[must_use]
    pub fn new(tables: &[Table]) -> Self {
        let tables = tables.iter().map(|table| (*table, Arc::default())).collect();
        Self { held: Held { tables, ..Held::default() }, fault: None }
    }

    fn alive(&self) -> Result<&Held, StoreFault> {
        self.fault.as_ref().map_or(Ok(&self.held), |why| Err(why.clone().into()))
    }

    fn or_stop<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreFault> {
        done.map_err(|why| {
            self.fault = Some(why.clone());
            why.into()
        })
    }
}

impl Held {
    fn table(&self, table: Table) -> Result<&Rows, StoreError> {
        self.tables.get(&table).map(|rows| &**rows).ok_or_else(|| StoreError::UnknownTable(table.0.into()))
    }

    /// Whether everything is still as it was read.
    fn check(&self, changes: &WriteSet) -> Result<(), StoreError> {
        changes.check_balance()?;
        for row in &changes.rows {
            let now = self.table(row.table)?.get(&row.key);
            if let Before::Was(before) = &row.before
                && before.as_ref() != now
            {
                return Err(StoreError::Stale(format!("a row of `{}`", row.table.0)));
            }
        }
        if let Some(change) = changes.accounts.iter().find(|c| self.accounts.get(&c.after.id) != c.before.as_ref()) {
            return Err(StoreError::Stale(format!("account {}", change.after.id)));
        }
        if let Some(change) = changes.holds.iter().find(|c| self.holds.get(&c.after.id) != c.before.as_ref()) {
            return Err(StoreError::Stale(format!("hold {}", change.after.id)));
        }
        let taken = changes.entries.iter().filter_map(farthing_ledger::Entry::id).find(|id| self.ids.contains_key(id));
        taken.map_or(Ok(()), |id| Err(StoreError::Stale(format!("the id {id}"))))
    }

    fn apply(&mut self, changes: &WriteSet) {
        for row in &changes.rows {
            let rows = Arc::make_mut(self.tables.entry(row.table).or_default());
            match &row.after {
                Some(value) => rows.insert(row.key.clone(), value.clone()),
                None => rows.remove(&row.key),
            };
        }
        if !changes.accounts.is_empty() {
            Arc::make_mut(&mut self.accounts).extend(changes.accounts.iter().map(|c| (c.after.id, c.after)));
        }
        if !changes.holds.is_empty() {
            let (holds, due) = (Arc::make_mut(&mut self.holds), Arc::make_mut(&mut self.due));
            for hold in changes.holds.iter().map(|c| c.after) {
                holds.insert(hold.id, hold);
                if hold.state == HoldState::Open {
                    due.insert((hold.until, hold.id));
                } else {
                    due.remove(&(hold.until, hold.id));
                }
            }
        }
        if !changes.entries.is_empty() {
            let (journal, ids) = (Arc::make_mut(&mut self.journal), Arc::make_mut(&mut self.ids));
            for entry in &changes.entries {
                let row = self.head.append(entry);
                ids.extend(row.id.map(|id| (id, row.seq)));
                journal.push(Arc::new(row));
            }
        }
    }
}

impl Reader for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        Ok(self.alive()?.table(table)?.get(key).cloned())
    }

    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Row>, StoreFault> {
        let from = match scan.after {
            Some(after) if after >= scan.prefix => Bound::Excluded(after),
            _ => Bound::Included(scan.prefix),
        };
        let rows = self.alive()?.table(table)?.range::<[u8], _>((from, Bound::Unbounded));
        let rows = rows.take_while(|(key, _)| key.starts_with(scan.prefix)).take(scan.limit);
        Ok(rows.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreFault> {
        Ok(self.alive()?.accounts.get(&id).copied())
    }

    fn hold(&self, id: TransferId) -> Result<Option<Hold>, StoreFault> {
        Ok(self.alive()?.holds.get(&id).copied())
    }

    fn holds_due(&self, now: Time, limit: usize) -> Result<Vec<Hold>, StoreFault> {
        let held = self.alive()?;
        let due = held.due.iter().take_while(|(until, _)| *until <= now).take(limit);
        Ok(due.filter_map(|(_, id)| held.holds.get(id).copied()).collect())
    }

    fn accounts(&self, after: Option<AccountId>, limit: usize) -> Result<Vec<Account>, StoreFault> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self.alive()?.accounts.range((from, Bound::Unbounded)).take(limit).map(|(_, a)| *a).collect())
    }

    fn holds(&self, after: Option<TransferId>, limit: usize) -> Result<Vec<Hold>, StoreFault> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self.alive()?.holds.range((from, Bound::Unbounded)).take(limit).map(|(_, h)| *h).collect())
    }

    fn journal(&self, after_seq: u64, limit: usize) -> Result<Vec<JournalRow>, StoreFault> {
        let skip = usize::try_from(after_seq).unwrap_or(usize::MAX);
        Ok(self.alive()?.journal.iter().skip(skip).take(limit).map(|row| (**row).clone()).collect())
    }

    fn journal_row(&self, id: TransferId) -> Result<Option<JournalRow>, StoreFault> {
        let held = self.alive()?;
        let row = held.ids.get(&id).and_then(|seq| held.journal.get(usize::try_from(seq - 1).ok()?));
        Ok(row.map(|row| (**row).clone()))
    }

    fn head(&self) -> Result<Head, StoreFault> {
        Ok(self.alive()?.head)
    }

    fn damage(&self) -> Result<Option<String>, StoreFault> {
        self.alive().map(|_| None)
    }
}

impl Store for MemoryStore {
    fn reader(&self) -> Result<Box<dyn Snapshot>, StoreFault> {
        self.alive()?;
        Ok(Box::new(self.clone()))
    }

    fn commit(&mut self, changes: &WriteSet) -> Result<(), StoreFault> {
        let checked = self.alive()?.check(changes);
        self.or_stop(checked)?;
        self.held.apply(changes);
        Ok(())
    }

    fn fault(&self) -> Option<&StoreError> {
        self.fault.as_ref()
    }

    fn epoch(&self) -> Result<u64, StoreFault> {
        Ok(self.alive()?.epoch)
    }

    fn set_epoch(&mut self, epoch: u64) -> Result<(), StoreFault> {
        self.alive()?;
        self.held.epoch = epoch;
        Ok(())
    }

    fn backup(&self, _: &Path) -> Result<(), StoreError> {
        Err(StoreError::Database("a store in memory has no file to copy: clone it".into()))
    }
}
