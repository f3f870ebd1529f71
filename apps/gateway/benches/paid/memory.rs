//! How much memory a hundred thousand open sessions take.

use std::sync::Arc;

use farthing_core::wire;
use farthing_coupon::session::{Session, SessionState};
use farthing_driver::{Config, Driver, ManualClock, NoRole, OsEntropy};
use farthing_gateway::book::{Book, Room, records};
use farthing_gateway::records_in;
use farthing_role::{Scan, Table};
use farthing_store::{Reader, SqliteOptions, SqliteSnapshot, SqliteStore};
use futures::StreamExt;
use minicbor::{Decode, Encode};

use crate::place::Place;
use crate::town::NOW;

const SESSIONS: u32 = 100_000;
/// Sessions opened at once.
const AT_ONCE: usize = 1_000;
const LIMIT_MIB: usize = 256;

/// A session as a gateway writes it down.
#[derive(Encode, Decode)]
struct Row(#[n(0)] SessionState, #[n(1)] bool);

pub(crate) fn run() {
    let place = Place::new(crate::LATER, None);
    drop(place.runtime.block_on(place.town.buyer(1, 100)));
    let tables: Vec<Table> = records::TABLES.iter().chain(farthing_driver::TABLES).copied().collect();
    let model = {
        let records = SqliteSnapshot::open(records_in(&place.town.records()), &tables).unwrap();
        records.scan(records::SESSIONS, Scan { prefix: b"", after: None, limit: 1 }).unwrap().remove(0).1
    };
    place.runtime.block_on(async {
        let home = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(home.path().join("many"), &tables, &SqliteOptions::default()).unwrap();
        let clock = Arc::new(ManualClock::at(NOW));
        let handle = Driver::start(Arc::new(NoRole), store, (*clock).clone(), OsEntropy, Config::default()).unwrap();
        let room = Room { sessions: 2 * SESSIONS as usize, ..Room::default() };
        let book = Book::start(handle, clock, room).await.unwrap();
        let before = resident();
        let opening = futures::stream::iter(0..SESSIONS).for_each_concurrent(AT_ONCE, |number| {
            let session = another(&model, number);
            let book = &book;
            async move { book.open(session, |_| Ok(())).await.unwrap() }
        });
        opening.await;
        assert_eq!(book.in_memory(), SESSIONS as usize);
        let mib = (resident() - before) >> 20;
        println!("{SESSIONS} open sessions: {mib} MiB resident (limit {LIMIT_MIB})");
    });
}

/// The same session of another buyer, whose key is the first thing in it.
fn another(model: &[u8], number: u32) -> Session {
    let mut bytes = model.to_vec();
    let key = 2 + bytes.windows(2).position(|head| head == [0x58, 0x20]).unwrap();
    bytes[key..key + 4].copy_from_slice(&number.to_be_bytes());
    Session::resume(wire::decode::<Row>(&bytes).unwrap().0)
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}
