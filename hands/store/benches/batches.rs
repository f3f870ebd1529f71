//! Batches of 1,000 transfers through ledger, overlay and store, against bare SQLite writing the
//! same rows; both sides in the same run, best of several rounds.

use std::path::Path;
use std::time::{Duration, Instant};

use farthing_core::amount::Currency;
use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_ledger::{Account, AccountKind, Entry, Ledger, Posted, Reason, Transfer};
use farthing_store::{MemoryStore, Overlay, SqliteOptions, SqliteStore, Store, audit};
use rusqlite::Connection;

const BATCH: u64 = 1_000;
const BATCHES: u64 = 100;
const ROUNDS: usize = 3;
const ACCOUNTS: u64 = 1_000;

fn name(n: u64) -> AccountId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes());
    AccountId(id)
}

fn transfer(n: u64) -> Transfer {
    let mut unique = [0; 32];
    unique[..8].copy_from_slice(&n.to_be_bytes());
    Transfer {
        id: TransferId(farthing_core::id::timed(Time::from_millis(1_700_000_000_000 + n / 10), &unique)),
        debit: name(n % ACCOUNTS),
        credit: name((n + 1 + n / ACCOUNTS) % ACCOUNTS),
        amount: Currency::XTS.micros(1 + n % 7).unwrap(),
        reason: Reason(1),
        reference: [7; 32],
        at: Time::from_millis(1_700_000_000_000 + n / 10),
        hold: None,
    }
}

fn accounts() -> impl Iterator<Item = Account> {
    (0..ACCOUNTS).map(|n| Account::new(name(n), AccountKind::World, Currency::XTS, None, Time::from_millis(0)))
}

/// The whole way: every transfer checked and posted, each batch made durable.
fn ours(store: &mut dyn Store) -> Duration {
    let mut overlay = Overlay::new(store);
    accounts().for_each(|account| _ = Ledger(&mut overlay).open(account).unwrap());
    let opened = overlay.into_write_set();
    store.commit(&opened).unwrap();
    let start = Instant::now();
    for batch in 0..BATCHES {
        let mut overlay = Overlay::new(store);
        for n in batch * BATCH..(batch + 1) * BATCH {
            let posted = overlay.attempt(|tx| Ledger(tx).post(transfer(n)));
            assert_eq!(posted, Ok(Posted::Now));
        }
        let writes = overlay.into_write_set();
        store.commit(&writes).unwrap();
    }
    start.elapsed()
}

/// The floor: the same rows in the same tables, nothing checked, encoded beforehand.
fn bare(path: &Path) -> Duration {
    drop(SqliteStore::open(path, &[], &SqliteOptions::default()).unwrap());
    let mut file = Connection::open(path).unwrap();
    file.execute_batch("PRAGMA synchronous = EXTRA; PRAGMA journal_mode = WAL; PRAGMA cache_size = -16384").unwrap();
    let tx = file.transaction().unwrap();
    for a in accounts() {
        tx.execute("INSERT INTO accounts VALUES (?1, 0, 'XTS', NULL, 0, 0, 0, 0, 0)", [a.id.0]).unwrap();
    }
    tx.commit().unwrap();
    let rows: Vec<(Transfer, Vec<u8>)> =
        (0..BATCH * BATCHES).map(transfer).map(|t| (t, wire::encode(&Entry::Moved(t)))).collect();
    let start = Instant::now();
    let mut seq = 0u64;
    for batch in rows.chunks(usize::try_from(BATCH).unwrap()) {
        let tx = file.transaction().unwrap();
        {
            let mut debit = tx.prepare_cached("UPDATE accounts SET debits = debits + ?2 WHERE id = ?1").unwrap();
            let mut credit = tx.prepare_cached("UPDATE accounts SET credits = credits + ?2 WHERE id = ?1").unwrap();
            let mut insert = tx.prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4)").unwrap();
            for (t, entry) in batch {
                seq += 1;
                debit.execute((t.debit.0, t.amount.as_micros())).unwrap();
                credit.execute((t.credit.0, t.amount.as_micros())).unwrap();
                insert.execute((seq, t.id.0, entry, [7u8; 32])).unwrap();
            }
        }
        tx.commit().unwrap();
    }
    start.elapsed()
}

fn best(mut round: impl FnMut() -> Duration) -> f64 {
    let best = (0..ROUNDS).map(|_| round()).min().unwrap();
    (BATCH * BATCHES) as f64 / best.as_secs_f64()
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let mut n = 0;
    let mut fresh = || {
        n += 1;
        folder.path().join(format!("{n}.db"))
    };
    let open = |path: &Path| SqliteStore::open(path, &[], &SqliteOptions::default()).unwrap();
    let bare = best(|| bare(&fresh()));
    let ours_on_disk = best(|| ours(&mut open(&fresh())));
    let in_memory = best(|| ours(&mut MemoryStore::new(&[])));
    println!("bare SQLite, same rows      {bare:>12.0} transfers/s");
    println!("ledger on SQLite            {ours_on_disk:>12.0} transfers/s, {:.2} of bare", ours_on_disk / bare);
    println!("ledger in memory            {in_memory:>12.0} transfers/s, {:.2} of bare", in_memory / bare);
    let store = open(&folder.path().join(format!("{n}.db")));
    let start = Instant::now();
    let report = audit::audit(&store).unwrap();
    let rate = report.head.seq as f64 / start.elapsed().as_secs_f64();
    println!("audit                       {rate:>12.0} entries/s");
}
