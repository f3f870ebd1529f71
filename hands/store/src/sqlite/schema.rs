//! The layout of the file, step by step, and whether it is still what we made it.

use std::collections::BTreeMap;
use std::path::Path;

use farthing_core::hash::{Purpose, hash};
use farthing_role::Table;
use rusqlite::Connection;

use crate::error::StoreError;

/// The steps by which the layout grew. A step that was ever released never changes: the file
/// remembers its checksum.
const STEPS: &[&str] = &[include_str!("../../migrations/0001_ledger.sql")];

const STEPS_TABLE: &str = "CREATE TABLE IF NOT EXISTS steps (
    step     INTEGER PRIMARY KEY,
    checksum BLOB NOT NULL CHECK (length(checksum) = 32)
) STRICT";

/// What the tables of records are called in the file: this and their own name.
const PREFIX: &str = "records_";

/// The longest name of a table.
const NAME_MAX: usize = 48;

/// The statements for each table of records, made once.
#[derive(Debug)]
pub(super) struct Tables(BTreeMap<Table, TableSql>);

/// Statements for one table of records.
#[derive(Debug)]
pub(super) struct TableSql {
    create: String,
    pub(super) get: String,
    pub(super) scan: String,
    pub(super) scan_below: String,
    pub(super) put: String,
    pub(super) insert: String,
    pub(super) replace: String,
    pub(super) delete: String,
    pub(super) remove: String,
}

impl Tables {
    pub(super) fn new(tables: &[Table]) -> Result<Self, StoreError> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let all = tables.iter().map(|table| {
            let name = table.0;
            if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(good) {
                return Err(StoreError::TableName(name.into()));
            }
            Ok((*table, TableSql::new(&format!("{PREFIX}{name}"))))
        });
        all.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn sql(&self, table: Table) -> Result<&TableSql, StoreError> {
        self.0.get(&table).ok_or_else(|| StoreError::UnknownTable(table.0.into()))
    }
}

impl TableSql {
    fn new(name: &str) -> Self {
        let select = format!("SELECT key, value FROM {name} WHERE key >= ?1");
        Self {
            create: create(name),
            get: format!("SELECT value FROM {name} WHERE key = ?1"),
            scan: format!("{select} ORDER BY key LIMIT ?2"),
            scan_below: format!("{select} AND key < ?3 ORDER BY key LIMIT ?2"),
            put: format!("INSERT INTO {name} (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2"),
            insert: format!("INSERT INTO {name} (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING"),
            replace: format!("UPDATE {name} SET value = ?2 WHERE key = ?1 AND value = ?3"),
            delete: format!("DELETE FROM {name} WHERE key = ?1"),
            remove: format!("DELETE FROM {name} WHERE key = ?1 AND value = ?2"),
        }
    }
}

fn create(name: &str) -> String {
    format!("CREATE TABLE {name} (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID")
}

/// Brings the layout up to date, in one transaction.
pub(super) fn migrate(writer: &mut Connection, path: &Path, tables: &Tables) -> Result<(), StoreError> {
    let tx = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    tx.execute_batch(STEPS_TABLE)?;
    let done = steps_done(&tx)?;
    if done.len() > STEPS.len() {
        let [found, known] = [done.len(), STEPS.len()].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        return Err(StoreError::Newer { path: path.into(), found, known });
    }
    for (n, step) in STEPS.iter().enumerate() {
        let checksum = hash(Purpose::Schema, &[step.as_bytes()]);
        match done.get(n) {
            Some(before) if *before == checksum => {}
            Some(_) => {
                let what = format!("step {} was another", n + 1);
                return Err(StoreError::Altered { path: path.into(), what });
            }
            None => {
                tx.execute_batch(step)?;
                tx.execute("INSERT INTO steps (step, checksum) VALUES (?1, ?2)", (n + 1, checksum))?;
            }
        }
    }
    let present = objects(&tx)?;
    for sql in tables.0.values() {
        let name = sql.create.split(' ').nth(2).unwrap_or_default();
        if !present.contains_key(name) {
            tx.execute_batch(&sql.create)?;
        }
    }
    Ok(tx.commit()?)
}

/// Whether the layout is the one we made: a constraint taken away or a trigger put in would let
/// rows in that break the rules.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let altered = |what: String| Err(StoreError::Altered { path: path.into(), what });
    let fresh = Connection::open_in_memory()?;
    fresh.execute_batch(STEPS_TABLE)?;
    for step in STEPS {
        fresh.execute_batch(step)?;
    }
    let mut found = objects(connection)?;
    for (name, sql) in objects(&fresh)? {
        match found.remove(&name) {
            Some(present) if present == sql => {}
            Some(_) => return altered(format!("`{name}` is not as it was made")),
            None => return altered(format!("`{name}` is missing")),
        }
    }
    let ours = |name: &str, sql: &str| name.starts_with(PREFIX) && sql == create(name);
    match found.iter().find(|(name, sql)| !ours(name, sql)) {
        Some((name, _)) => altered(format!("`{name}` does not belong there")),
        None => Ok(()),
    }
}

fn steps_done(connection: &Connection) -> Result<Vec<[u8; 32]>, StoreError> {
    let mut statement = connection.prepare("SELECT checksum FROM steps ORDER BY step")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Everything in the layout that has a text: tables, indexes, triggers, views.
fn objects(connection: &Connection) -> Result<BTreeMap<String, String>, StoreError> {
    let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
