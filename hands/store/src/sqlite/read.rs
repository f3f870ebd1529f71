//! Reading, from whichever connection.

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{AccountId, PeerId, TransferId};
use farthing_core::time::Time;
use farthing_ledger::{Account, AccountKind, Head, Hold, HoldState, JournalRow, StoreFault};
use farthing_role::{Row, Scan, Table};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params};

use super::schema::Tables;
use crate::error::StoreError;
use crate::store::Reader;

/// Statements in full, so that none is put together at every call.
mod sql {
    macro_rules! select {
        (account, $rest:literal) => {
            concat!("SELECT id, kind, currency, owner, frozen, debits, credits, held, opened FROM accounts ", $rest)
        };
        (hold, $rest:literal) => {
            concat!("SELECT id, account, currency, amount, rest, until, reference, state FROM holds ", $rest)
        };
        (journal, $rest:literal) => {
            concat!("SELECT seq, id, entry, hash FROM journal ", $rest)
        };
    }
    pub(super) const ACCOUNT: &str = select!(account, "WHERE id = ?1");
    pub(super) const ACCOUNTS: &str = select!(account, "WHERE id > ?1 ORDER BY id LIMIT ?2");
    pub(super) const HOLD: &str = select!(hold, "WHERE id = ?1");
    pub(super) const HOLDS: &str = select!(hold, "WHERE id > ?1 ORDER BY id LIMIT ?2");
    pub(super) const DUE: &str = select!(hold, "WHERE state = 0 AND until <= ?1 ORDER BY until, id LIMIT ?2");
    pub(super) const JOURNAL: &str = select!(journal, "WHERE seq > ?1 ORDER BY seq LIMIT ?2");
    pub(super) const JOURNAL_ROW: &str = select!(journal, "WHERE id = ?1");
    pub(super) const HEAD: &str = "SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1";
}

/// Something that reads through a connection.
pub(super) trait Connected {
    /// The connection, unless the store has stopped answering.
    fn connection(&self) -> Result<&Connection, StoreFault>;

    /// The tables of records.
    fn tables(&self) -> &Tables;

    /// Whether it is certain, without looking, that no transfer or hold has this id.
    fn is_unused(&self, id: TransferId) -> bool;

    /// The account, where it is known without looking.
    fn remembered(&self, _id: AccountId) -> Option<Account> {
        None
    }

    /// Notes an account that was looked up.
    fn remember(&self, _account: &Account) {}
}

impl<T: Connected> Reader for T {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        one(self.connection()?, &self.tables().sql(table)?.get, [key], |row| row.get(0))
    }

    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Row>, StoreFault> {
        let sql = self.tables().sql(table)?;
        let start = match scan.after {
            // The very next key after one is that one and a zero byte.
            Some(after) if after >= scan.prefix => [after, &[0]].concat(),
            _ => scan.prefix.to_vec(),
        };
        let limit = count(scan.limit);
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        match end_of(scan.prefix) {
            Some(end) => many(self.connection()?, &sql.scan_below, (start, limit, end), row),
            None => many(self.connection()?, &sql.scan, (start, limit), row),
        }
    }

    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreFault> {
        let connection = self.connection()?;
        if let Some(known) = self.remembered(id) {
            return Ok(Some(known));
        }
        let found = one(connection, sql::ACCOUNT, [id.0], account)?;
        found.iter().for_each(|account| self.remember(account));
        Ok(found)
    }

    fn hold(&self, id: TransferId) -> Result<Option<Hold>, StoreFault> {
        if self.is_unused(id) {
            return self.connection().map(|_| None);
        }
        one(self.connection()?, sql::HOLD, [id.0], hold)
    }

    fn holds_due(&self, now: Time, limit: usize) -> Result<Vec<Hold>, StoreFault> {
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        many(self.connection()?, sql::DUE, (now, count(limit)), hold)
    }

    fn accounts(&self, after: Option<AccountId>, limit: usize) -> Result<Vec<Account>, StoreFault> {
        let after = after.map_or_else(Vec::new, |id| id.0.to_vec());
        many(self.connection()?, sql::ACCOUNTS, (after, count(limit)), account)
    }

    fn holds(&self, after: Option<TransferId>, limit: usize) -> Result<Vec<Hold>, StoreFault> {
        let after = after.map_or_else(Vec::new, |id| id.0.to_vec());
        many(self.connection()?, sql::HOLDS, (after, count(limit)), hold)
    }

    fn journal(&self, after_seq: u64, limit: usize) -> Result<Vec<JournalRow>, StoreFault> {
        let after = i64::try_from(after_seq).unwrap_or(i64::MAX);
        many(self.connection()?, sql::JOURNAL, (after, count(limit)), journal_row)
    }

    fn journal_row(&self, id: TransferId) -> Result<Option<JournalRow>, StoreFault> {
        if self.is_unused(id) {
            return self.connection().map(|_| None);
        }
        one(self.connection()?, sql::JOURNAL_ROW, [id.0], journal_row)
    }

    fn head(&self) -> Result<Head, StoreFault> {
        Ok(head(self.connection()?)?)
    }

    fn damage(&self) -> Result<Option<String>, StoreFault> {
        let found: Option<String> = one(self.connection()?, "PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        Ok(found.filter(|answer| answer != "ok"))
    }
}

/// How far the journal goes.
pub(super) fn head(connection: &Connection) -> Result<Head, StoreError> {
    let last = connection.query_row(sql::HEAD, [], |row| Ok(Head { seq: row.get(0)?, hash: row.get(1)? }));
    Ok(last.optional()?.unwrap_or_default())
}

/// At most one row.
fn one<T>(
    connection: &Connection,
    sql: &str,
    with: impl Params,
    read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreFault> {
    let found = connection.prepare_cached(sql).and_then(|mut s| s.query_row(with, read).optional());
    Ok(found.map_err(StoreError::from)?)
}

/// All rows.
fn many<T>(
    connection: &Connection,
    sql: &str,
    with: impl Params,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreFault> {
    let found = connection.prepare_cached(sql).and_then(|mut s| s.query_map(with, read)?.collect());
    Ok(found.map_err(StoreError::from)?)
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The first key after all that begin so; `None` if there is no such key.
fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

fn account(row: &rusqlite::Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        id: AccountId(row.get(0)?),
        kind: AccountKind::from_number(row.get(1)?).ok_or_else(|| damaged(1, "no such kind of account"))?,
        currency: currency(row, 2)?,
        owner: row.get::<_, Option<[u8; 32]>>(3)?.map(PeerId),
        frozen: row.get(4)?,
        debits_posted: row.get(5)?,
        credits_posted: row.get(6)?,
        held: row.get(7)?,
        opened: Time::from_millis(row.get(8)?),
    })
}

fn hold(row: &rusqlite::Row<'_>) -> rusqlite::Result<Hold> {
    let currency = currency(row, 2)?;
    let amount = |at: usize| -> rusqlite::Result<Amount> {
        currency.micros(row.get(at)?).map_err(|_| damaged(at, "amount out of range"))
    };
    Ok(Hold {
        id: TransferId(row.get(0)?),
        account: AccountId(row.get(1)?),
        amount: amount(3)?,
        rest: amount(4)?,
        until: Time::from_millis(row.get(5)?),
        reference: row.get(6)?,
        state: HoldState::from_number(row.get(7)?).ok_or_else(|| damaged(7, "no such state of a hold"))?,
    })
}

fn journal_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<JournalRow> {
    let id = row.get::<_, Option<[u8; 16]>>(1)?.map(TransferId);
    Ok(JournalRow { seq: row.get(0)?, id, entry: row.get(2)?, hash: row.get(3)? })
}

fn currency(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Currency> {
    row.get_ref(at)?.as_str()?.parse().map_err(|_| damaged(at, "not a currency"))
}

fn damaged(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, what.into())
}
