//! One posting per call, durable before it is answered, against bare SQLite at one posting per
//! commit; both sides in the same run, best of several rounds.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farthing_core::amount::Currency;
use farthing_core::id::{AccountId, PeerId, RequestId, TransferId, timed};
use farthing_core::time::Time;
use farthing_driver::{Clock, Config, Driver, DriverHandle, OsEntropy, SystemClock, TABLES};
use farthing_ledger::{Account, AccountKind, Ledger, Reason, Transfer};
use farthing_role::{Context, Halt, Outcome, Records, Request, Role};
use farthing_store::{MemoryStore, Overlay, SqliteOptions, SqliteStore, Store};
use rusqlite::Connection;

const CALLERS: u64 = 32;
const CALLS: u64 = 2_000;
const BARE: u64 = 2_000;
const ROUNDS: usize = 3;
const ACCOUNTS: u64 = 1_000;

/// Posts one transfer per request.
struct Poster;

impl Role for Poster {
    type Checked = u64;

    fn check(&self, _: Time, requests: Vec<Request>, _: &dyn Records) -> Vec<Result<u64, Halt>> {
        requests.into_iter().map(|request| Ok(u64::from_be_bytes(request.message.try_into().unwrap()))).collect()
    }

    fn apply(&self, cx: &mut Context<'_>, _: PeerId, n: u64) -> Result<Outcome, Halt> {
        let transfer = Transfer {
            id: TransferId(timed(cx.now, &cx.dice)),
            debit: account(n),
            credit: account(n + 1),
            amount: Currency::XTS.micros(1).unwrap(),
            reason: Reason(1),
            reference: [7; 32],
            at: cx.now,
            hold: None,
        };
        Ledger(&mut *cx.tx).post(transfer)?;
        Ok(Outcome { reply: transfer.id.0.to_vec() })
    }

    fn tick(&self, _: &mut Context<'_>) -> Result<bool, Halt> {
        Ok(false)
    }
}

fn account(n: u64) -> AccountId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(n % ACCOUNTS).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    AccountId(id)
}

fn request(caller: u64, n: u64) -> Request {
    let mut unique = [0; 32];
    unique[..8].copy_from_slice(&n.to_be_bytes());
    let id = RequestId(timed(SystemClock.now(), &unique));
    Request::unsigned(PeerId([caller as u8; 32]), id, 1, (caller * CALLS + n).to_be_bytes().to_vec())
}

fn start(mut store: impl Store + 'static) -> DriverHandle {
    let mut overlay = Overlay::new(&store);
    for n in 0..ACCOUNTS {
        let account = Account::new(account(n), AccountKind::World, Currency::XTS, None, Time::from_millis(0));
        Ledger(&mut overlay).open(account).unwrap();
    }
    let opened = overlay.into_write_set();
    store.commit(&opened).unwrap();
    Driver::start(Arc::new(Poster), store, SystemClock, OsEntropy, Config::default()).unwrap()
}

/// Callers that are tasks of one thread, as behind a server's connections.
fn tasks(handle: &DriverHandle) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let start = Instant::now();
    runtime.block_on(async {
        let call = |caller| {
            let handle = handle.clone();
            async move {
                for n in 0..CALLS {
                    black_box(handle.submit(request(caller, n)).await.unwrap());
                }
            }
        };
        let callers: Vec<_> = (0..CALLERS).map(|caller| tokio::spawn(call(caller))).collect();
        for caller in callers {
            caller.await.unwrap();
        }
    });
    start.elapsed()
}

/// Callers that are threads.
fn threads(handle: &DriverHandle) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            scope.spawn(move || {
                for n in 0..CALLS {
                    black_box(handle.submit_blocking(request(caller, n)).unwrap());
                }
            });
        }
    });
    start.elapsed()
}

/// Callers that are threads, each with transactions of its own and no role between.
fn transactions(handle: &DriverHandle) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            scope.spawn(move || {
                for n in 0..CALLS {
                    let post = move |cx: &mut Context<'_>| Poster.apply(cx, PeerId([0; 32]), caller * CALLS + n);
                    black_box(handle.transact_blocking(post).unwrap());
                }
            });
        }
    });
    start.elapsed()
}

/// One caller that hands all in at once: what a message costs the driver by itself.
fn at_once(handle: &DriverHandle) -> Duration {
    let start = Instant::now();
    for caller in 0..CALLERS {
        black_box(handle.submit_many((0..CALLS).map(|n| request(caller, n))));
    }
    start.elapsed()
}

/// The floor: the rows of one posting in a commit of their own, nothing checked.
fn bare(path: &Path) -> Duration {
    drop(SqliteStore::open(path, &[], &SqliteOptions::default()).unwrap());
    let mut file = Connection::open(path).unwrap();
    file.execute_batch("PRAGMA synchronous = EXTRA; PRAGMA journal_mode = WAL").unwrap();
    let tx = file.transaction().unwrap();
    for n in 0..ACCOUNTS {
        tx.execute("INSERT INTO accounts VALUES (?1, 0, 'XTS', NULL, 0, 0, 0, 0, 0)", [account(n).0]).unwrap();
    }
    tx.commit().unwrap();
    let start = Instant::now();
    for n in 0..BARE {
        let tx = file.transaction().unwrap();
        let mut unique = [0; 32];
        unique[..8].copy_from_slice(&n.to_be_bytes());
        let id = timed(Time::from_millis(1_700_000_000_000 + n), &unique);
        tx.prepare_cached("UPDATE accounts SET debits = debits + 1 WHERE id = ?1")
            .unwrap()
            .execute([account(n).0])
            .unwrap();
        tx.prepare_cached("UPDATE accounts SET credits = credits + 1 WHERE id = ?1")
            .unwrap()
            .execute([account(n + 1).0])
            .unwrap();
        tx.prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4)")
            .unwrap()
            .execute((n + 1, id, [7_u8; 110], [7_u8; 32]))
            .unwrap();
        tx.commit().unwrap();
    }
    start.elapsed()
}

fn best(calls: u64, mut round: impl FnMut() -> Duration) -> f64 {
    calls as f64 / (0..ROUNDS).map(|_| round()).min().unwrap().as_secs_f64()
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let mut n = 0;
    let mut fresh = || {
        n += 1;
        folder.path().join(format!("{n}.db"))
    };
    let bare = best(BARE, || bare(&fresh()));
    println!("bare SQLite, one posting per commit {bare:>10.0} /s");
    let all = CALLERS * CALLS;
    let mut show = |what: &str, run: &dyn Fn(&DriverHandle) -> Duration| {
        let disk = best(all, || run(&start(SqliteStore::open(fresh(), TABLES, &SqliteOptions::default()).unwrap())));
        let memory = best(all, || run(&start(MemoryStore::new(TABLES))));
        println!("{what} {disk:>10.0} /s, {:>5.1} times bare; in memory {memory:>10.0} /s", disk / bare);
    };
    show("32 callers, tasks of one thread    ", &tasks);
    show("32 callers, a thread each          ", &threads);
    show("32 threads, their own transactions ", &transactions);
    show("one caller, 2,000 at once          ", &at_once);
}
