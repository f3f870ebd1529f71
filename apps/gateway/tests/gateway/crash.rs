//! A gateway killed at any moment goes on with what it had acknowledged: what is on its disk at
//! every step is taken up by another.

use std::sync::Arc;
use std::time::Duration;

use farthing_core::wire;
use farthing_coupon::micro::Coupon;
use farthing_coupon::session::{PayError, Session, SessionState};
use farthing_driver::{Config, Driver, DriverHandle, NoRole, OsEntropy};
use farthing_gateway::book::{Book, Denied, Payment, Purpose, Room, Taken, records};
use farthing_gateway::records_in;
use farthing_gateway::report::Report;
use farthing_role::{Row, Scan, Table};
use farthing_store::{MemoryStore, Reader, SqliteSnapshot};
use minicbor::{Decode, Encode};

use crate::town::{Customer, Town};

/// What the coupons are for.
const REQUEST: [u8; 32] = [1; 32];

/// A session as it is written down.
#[derive(Encode, Decode)]
struct Whole(#[n(0)] SessionState, #[n(1)] bool);

fn tables() -> Vec<Table> {
    records::TABLES.iter().chain(farthing_driver::TABLES).copied().collect()
}

fn all(store: &dyn Reader, table: Table) -> Vec<Row> {
    store.scan(table, Scan { prefix: b"", after: None, limit: 1_000 }).unwrap()
}

/// What is on the disk of a gateway: its sessions and its log.
async fn disk(handle: &DriverHandle) -> [Vec<Row>; 2] {
    handle.read(|store| [all(store, records::SESSIONS), all(store, records::CHANGES)]).await.unwrap()
}

/// A book over a store with these rows.
async fn book(town: &Town, [sessions, changes]: [Vec<Row>; 2]) -> Arc<Book> {
    let (store, clock) = (MemoryStore::new(&tables()), town.clock.clone());
    let handle = Driver::start(Arc::new(NoRole), store, clock.clone(), OsEntropy, Config::default()).unwrap();
    let filled = handle.transact(move |cx| {
        sessions.into_iter().for_each(|(key, row)| cx.tx.put(records::SESSIONS, &key, row));
        changes.into_iter().for_each(|(key, row)| cx.tx.put(records::CHANGES, &key, row));
        Ok(())
    });
    filled.await.unwrap();
    Arc::new(Book::start(handle, Arc::new(clock), Room::default()).await.unwrap())
}

fn draw(buyer: &mut Customer<'_>) -> Coupon {
    let order = farthing_coupon::micro::micro_order(buyer.spender.realm(), &REQUEST);
    let pay = buyer.spender.pay(1, order).unwrap();
    buyer.spender.give_up(pay.index).unwrap();
    pay.coupon(buyer.spender.chain())
}

async fn take(book: &Book, coupon: &Coupon) -> Result<Payment, Denied> {
    let purpose = Purpose { request: &REQUEST, key: None, bearer: None };
    match book.take(coupon, purpose, |_| Ok(1)).await.unwrap()? {
        Taken::Fresh(payment) => Ok(payment),
        again @ Taken::Again(..) => panic!("{again:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_at_any_moment_goes_on_with_every_payment_it_had_acknowledged() {
    let town = Town::new().await;
    let mut buyers = [town.buyer(1, 500).await, town.buyer(2, 500).await];
    let opened = all(&SqliteSnapshot::open(records_in(&town.records()), &tables()).unwrap(), records::SESSIONS);
    let first = book(&town, [Vec::new(), Vec::new()]).await;
    for (_, row) in &opened {
        first.open(Session::resume(wire::decode::<Whole>(row).unwrap().0), |_| Ok(())).await.unwrap();
    }
    let keeping = tokio::spawn(Arc::clone(&first).keep(Duration::ZERO, std::future::pending()));
    let (mut acknowledged, mut logged) = (Vec::new(), 0);
    for step in 0..40 {
        let coupon = draw(&mut buyers[step % 2]);
        let payment = take(&first, &coupon).await.unwrap();
        first.durable(payment.batch).await.unwrap();
        acknowledged.push(coupon);
        if step % 3 == 0 {
            // Nothing is charged for one that was taken and left before: the state has holes.
            let failed = take(&first, &draw(&mut buyers[step % 2])).await.unwrap();
            let (_, batch) =
                first.settle(failed.session, &[(failed.entry, 0)], farthing_coupon::secret::Digest([0; 32]));
            first.durable(batch.unwrap()).await.unwrap();
        }
        if step % 11 == 10 {
            first.fold().await.unwrap();
        }
        let left = disk(first.handle()).await;
        logged += left[1].len();

        let second = book(&town, left).await;
        for coupon in &acknowledged {
            let again = take(&second, coupon).await;
            assert!(matches!(again, Err(Denied::Pay(PayError::Served { .. }, _))), "step {step}: {again:?}");
        }
        let resumed = disk(second.handle()).await;
        assert_eq!(resumed[1], [], "what was left in the log is folded");
        assert!(take(&second, &draw(&mut buyers[step % 2])).await.is_ok());

        if step % 5 == 4 {
            first.fold().await.unwrap();
            assert_eq!(disk(first.handle()).await, resumed, "step {step}: rows and log say what stood in memory");
        }
    }
    assert!(logged > 40, "the log was in use");
    keeping.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_knows_what_was_paid_a_moment_ago() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    for _ in 0..7 {
        assert_eq!(buyer.get("/hello", 1).await.status(), 200);
    }
    let revenue = Report::open(&town.records()).unwrap().revenue().unwrap();
    assert_eq!((revenue.open, revenue.paid_micros), (1, 700));
}
