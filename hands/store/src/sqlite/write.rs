//! Writing one transaction, table by table.

use farthing_core::wire;
use farthing_ledger::{Account, Entry, Head, Hold};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::schema::Tables;
use crate::error::StoreError;
use crate::writes::{Before, Change, RowChange, WriteSet};

/// Makes the changes durable and gives the new head of the journal. On an error the database has
/// taken everything back, or will when it is next opened.
pub(super) fn commit(
    writer: &mut Connection,
    tables: &Tables,
    head: Head,
    changes: &WriteSet,
) -> Result<Head, StoreError> {
    changes.check_balance()?;
    let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    rows(&tx, tables, &changes.rows)?;
    accounts(&tx, &changes.accounts)?;
    holds(&tx, &changes.holds)?;
    let head = journal(&tx, head, &changes.entries)?;
    tx.commit()?;
    Ok(head)
}

fn rows(tx: &Transaction<'_>, tables: &Tables, changes: &[RowChange]) -> Result<(), StoreError> {
    for RowChange { table, key, before, after } in changes {
        let sql = tables.sql(*table)?;
        let written = match (before, after) {
            (Before::Unread, Some(after)) => tx.prepare_cached(&sql.put)?.execute((key, after))?,
            (Before::Was(None), Some(after)) => tx.prepare_cached(&sql.insert)?.execute((key, after))?,
            (Before::Was(Some(was)), Some(after)) => tx.prepare_cached(&sql.replace)?.execute((key, after, was))?,
            (Before::Was(Some(was)), None) => tx.prepare_cached(&sql.remove)?.execute((key, was))?,
            (Before::Unread | Before::Was(None), None) => {
                let deleted = tx.prepare_cached(&sql.delete)?.execute([key])?;
                // Gone already is as good as deleted, but what was not there must not be there now.
                if *before == Before::Unread { 1 } else { 1 - deleted }
            }
        };
        written_once(written, || format!("a row of `{}`", table.0))?;
    }
    Ok(())
}

fn accounts(tx: &Transaction<'_>, changes: &[Change<Account>]) -> Result<(), StoreError> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO accounts (id, kind, currency, owner, frozen, debits, credits, held, opened)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING",
    )?;
    let mut update = tx.prepare_cached(
        "UPDATE accounts SET frozen = ?2, debits = ?3, credits = ?4, held = ?5
         WHERE id = ?1 AND frozen = ?6 AND debits = ?7 AND credits = ?8 AND held = ?9",
    )?;
    for Change { before, after: a } in changes {
        let written = match before {
            None => insert.execute((
                a.id.0,
                a.kind as u8,
                a.currency.code(),
                a.owner.map(|owner| owner.0),
                a.frozen,
                a.debits_posted,
                a.credits_posted,
                a.held,
                a.opened.as_millis(),
            ))?,
            Some(b) => update.execute((
                a.id.0,
                a.frozen,
                a.debits_posted,
                a.credits_posted,
                a.held,
                b.frozen,
                b.debits_posted,
                b.credits_posted,
                b.held,
            ))?,
        };
        written_once(written, || format!("account {}", a.id))?;
    }
    Ok(())
}

fn holds(tx: &Transaction<'_>, changes: &[Change<Hold>]) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut insert = tx.prepare_cached(
        "INSERT INTO holds (id, account, currency, amount, rest, until, reference, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING",
    )?;
    let mut update =
        tx.prepare_cached("UPDATE holds SET rest = ?2, state = ?3 WHERE id = ?1 AND rest = ?4 AND state = ?5")?;
    for Change { before, after: h } in changes {
        let rest = h.rest.as_micros();
        let written = match before {
            None => insert.execute((
                h.id.0,
                h.account.0,
                h.amount.currency().code(),
                h.amount.as_micros(),
                rest,
                h.until.as_millis(),
                h.reference,
                h.state as u8,
            ))?,
            Some(b) => update.execute((h.id.0, rest, h.state as u8, b.rest.as_micros(), b.state as u8))?,
        };
        written_once(written, || format!("hold {}", h.id))?;
    }
    Ok(())
}

fn journal(tx: &Transaction<'_>, mut head: Head, entries: &[Entry]) -> Result<Head, StoreError> {
    let mut insert = tx.prepare_cached("INSERT INTO journal (seq, id, entry, hash) VALUES (?1, ?2, ?3, ?4)")?;
    let mut bytes = Vec::with_capacity(256);
    for entry in entries {
        bytes.clear();
        wire::encode_into(entry, &mut bytes);
        head = head.after(&bytes);
        insert.execute((head.seq, entry.id().map(|id| id.0), &bytes, head.hash))?;
    }
    Ok(head)
}

/// A change found the row as it was read, or the transaction is void.
fn written_once(rows: usize, what: impl FnOnce() -> String) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(StoreError::Stale(what())) }
}
