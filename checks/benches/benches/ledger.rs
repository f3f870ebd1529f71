//! The ledger on SQLite, against bare SQLite that writes the same rows just as durably.

use std::sync::atomic::{AtomicU64, Ordering};

use farthing_benches::scene::{NOW, account, micros};
use farthing_benches::{Goal, Race, Table, timed};
use farthing_core::amount::Currency;
use farthing_core::id::{AccountId, TransferId, timed as timed_id};
use farthing_core::time::Span;
use farthing_driver::{Config, Driver, DriverHandle, NoRole, OsEntropy, SystemClock};
use farthing_ledger::{Account, AccountKind, Ledger, Reason, Transfer};
use farthing_role::Context;
use farthing_store::{Overlay, SqliteOptions, SqliteStore, Store};
use rusqlite::Connection;
use tempfile::TempDir;

/// How many accounts money moves between.
const ACCOUNTS: u64 = 10_000;
/// How many callers wait for their own posting.
const CALLERS: u64 = 32;
/// How many postings each of them waits for in a round.
const POSTINGS: u64 = 1_000;
/// How many transfers one batch holds.
const BATCH: u64 = 1_000;
/// How many batches a round writes.
const BATCHES: u64 = 50;

static NEXT: AtomicU64 = AtomicU64::new(1);

fn main() {
    let mut table = Table::default();
    table.add(single());
    table.add(batched());
    table.print("The durable ledger, against bare SQLite (synchronous=EXTRA, WAL)");
}

/// A transfer that was never made, between two accounts drawn without favour; its id is in order of time.
fn transfer() -> Transfer {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (debit, credit) = (mixed % ACCOUNTS, (mixed >> 32) % ACCOUNTS);
    let mut unique = [0; 32];
    unique[..8].copy_from_slice(&number.to_be_bytes());
    Transfer {
        id: TransferId(timed_id(NOW.after(Span::from_millis(number / 100)), &unique)),
        debit: account(debit),
        credit: account(if credit == debit { (credit + 1) % ACCOUNTS } else { credit }),
        amount: micros(1),
        reason: Reason(1),
        reference: [3; 32],
        at: NOW,
        hold: None,
    }
}

/// A ledger of funded accounts.
fn books(folder: &TempDir) -> SqliteStore {
    let path = folder.path().join("books.sqlite");
    let mut store = SqliteStore::open(path, farthing_driver::TABLES, &SqliteOptions::default()).expect("a store");
    let world = AccountId([0xff; 16]);
    let mut overlay = Overlay::new(&store);
    overlay
        .attempt(|tx| {
            let mut ledger = Ledger(tx);
            ledger.open(Account::new(world, AccountKind::World, Currency::XTS, None, NOW))?;
            for number in 0..ACCOUNTS {
                ledger.open(Account::new(account(number), AccountKind::Customer, Currency::XTS, None, NOW))?;
                let funding =
                    Transfer { debit: world, credit: account(number), amount: micros(1_000_000), ..transfer() };
                ledger.post(funding)?;
            }
            Ok::<(), farthing_ledger::LedgerError>(())
        })
        .expect("funded accounts");
    let changes = overlay.into_write_set();
    store.commit(&changes).expect("a commit");
    store
}

/// Bare SQLite with the same tables, index and durability, and nothing else.
fn bare(folder: &TempDir) -> Connection {
    let db = Connection::open(folder.path().join("bare.sqlite")).expect("a database");
    db.pragma_update(None, "synchronous", "EXTRA").expect("a setting");
    let _: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).expect("a setting");
    db.execute_batch(
        "CREATE TABLE accounts (id BLOB PRIMARY KEY, debits INTEGER, credits INTEGER) STRICT, WITHOUT ROWID;
         CREATE TABLE journal (seq INTEGER PRIMARY KEY, id BLOB UNIQUE, entry BLOB NOT NULL, hash BLOB NOT NULL) STRICT;",
    )
    .expect("tables");
    let mut insert = db.prepare("INSERT INTO accounts VALUES (?1, 0, 1000000)").expect("a statement");
    (0..ACCOUNTS).for_each(|number| _ = insert.execute([account(number).0]).expect("a row"));
    drop(insert);
    db
}

/// The same rows, written by hand: one journal row and two accounts for each transfer.
fn write_bare(db: &mut Connection, transfers: &[Transfer], first: u64) {
    let tx = db.transaction().expect("a transaction");
    {
        let mut debit = tx.prepare_cached("UPDATE accounts SET debits = debits + ?2 WHERE id = ?1").expect("sql");
        let mut credit = tx.prepare_cached("UPDATE accounts SET credits = credits + ?2 WHERE id = ?1").expect("sql");
        let mut journal = tx.prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4)").expect("sql");
        for (seq, t) in (first..).zip(transfers) {
            debit.execute((t.debit.0, t.amount.as_micros())).expect("a row");
            credit.execute((t.credit.0, t.amount.as_micros())).expect("a row");
            journal.execute((seq, t.id.0, [7_u8; 110], [9_u8; 32])).expect("a row");
        }
    }
    tx.commit().expect("a commit");
}

/// One caller: a task, as a request to the bank is, that waits for each of its postings.
async fn postings(driver: DriverHandle) {
    for _ in 0..POSTINGS {
        let transfer = transfer();
        let post = move |cx: &mut Context<'_>| Ok(Ledger(&mut *cx.tx).post(transfer)?);
        driver.transact(post).await.expect("posted");
    }
}

/// One posting per call, each caller waiting until its own is durable.
fn single() -> Race {
    let folder = TempDir::new().expect("a folder");
    let (ours, mut db) = (books(&folder), bare(&folder));
    let driver =
        Driver::start(std::sync::Arc::new(NoRole), ours, SystemClock, OsEntropy, Config::default()).expect("a driver");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let calls = || {
        let ((), seconds) = timed(|| {
            runtime.block_on(async {
                let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(postings(driver.clone()))).collect();
                for caller in callers {
                    caller.await.expect("a caller");
                }
            });
        });
        (CALLERS * POSTINGS, seconds)
    };
    let mut seq = 1;
    let bare = || {
        let count = 2_000;
        let ((), seconds) = timed(|| {
            for _ in 0..count {
                write_bare(&mut db, &[transfer()], seq);
                seq += 1;
            }
        });
        (count, seconds)
    };
    let race = Race::run(format!("one posting per call, {CALLERS} callers"), Goal::AtLeast(6.0), calls, bare);
    driver.stop_blocking();
    race
}

/// A thousand postings at a time, with ids, checks and the hash-chained journal.
fn batched() -> Race {
    let folder = TempDir::new().expect("a folder");
    let (mut store, mut db) = (books(&folder), bare(&folder));
    let batches = || {
        let made: Vec<Vec<Transfer>> = (0..BATCHES).map(|_| (0..BATCH).map(|_| transfer()).collect()).collect();
        let ((), seconds) = timed(|| {
            for batch in &made {
                let mut overlay = Overlay::new(&store);
                for transfer in batch {
                    overlay.attempt(|tx| Ledger(tx).post(*transfer)).expect("posted");
                }
                let changes = overlay.into_write_set();
                store.commit(&changes).expect("a commit");
            }
        });
        (BATCHES * BATCH, seconds)
    };
    let mut seq = 1;
    let bare = || {
        let made: Vec<Vec<Transfer>> = (0..BATCHES).map(|_| (0..BATCH).map(|_| transfer()).collect()).collect();
        let ((), seconds) = timed(|| {
            for batch in &made {
                write_bare(&mut db, batch, seq);
                seq += BATCH;
            }
        });
        (BATCHES * BATCH, seconds)
    };
    Race::run(format!("batches of {BATCH}, ids and checks"), Goal::AtLeast(0.6), batches, bare)
}
