//! Accepting payments: in the core, and over a framed stream with group commit.

use std::net::SocketAddr;
use std::sync::Arc;

use farthing_benches::scene::{NOW, Tip, bare_chain, key, visit};
use farthing_benches::{Goal, Race, Table, timed};
use farthing_core::meter::{self, Op};
use farthing_core::wire;
use farthing_driver::{Config, Driver, DriverHandle, NoRole, OsEntropy, SystemClock};
use farthing_net::frame::{FrameReader, FrameWriter};
use farthing_netpay::messages::{Pay, RESERVE_WIDTH_MAX};
use farthing_netpay::payee::Counting;
use farthing_role::Context;
use farthing_store::{SqliteOptions, SqliteStore};

/// Where the payee of the stream writes its tip.
const TIPS: farthing_role::Table = farthing_role::Table("tips");

/// How many payments are handled before their effects are carried out together.
const BATCH: usize = 1_000;

fn main() {
    let mut table = Table::default();
    table.add(accept(1_000, 400));
    table.add(accept(1_000_000, 1));
    table.add(streamed());
    table.print("Payments accepted, against a bare SHA-256 chain");
    opening();
}

/// Payments in frames over one loopback connection, each decoded in canonical form and accepted, the
/// tip made durable and only then answered: one commit for all that arrived since the last.
fn streamed() -> Race {
    let (counting, pays) = visit(&key(2), &key(1), RESERVE_WIDTH_MAX, 7);
    let frames: Vec<Vec<u8>> = pays.iter().map(wire::encode).collect();
    let folder = tempfile::TempDir::new().expect("a folder");
    let mut tables = farthing_driver::TABLES.to_vec();
    tables.push(TIPS);
    let store =
        SqliteStore::open(folder.path().join("peer.sqlite"), &tables, &SqliteOptions::default()).expect("a store");
    let driver = Driver::start(Arc::new(NoRole), store, SystemClock, OsEntropy, Config::default()).expect("a driver");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ours = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut visit = counting.clone();
        timed(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| runtime().block_on(pay_all(address, &frames)));
                runtime().block_on(take_all(listener, &mut visit, &driver));
            });
            u64::from(visit.through())
        })
    };
    let race = Race::run("framed stream, durable by group commit", Goal::AtLeast(0.15), ours, || bare_chain(4_000_000));
    driver.stop_blocking();
    race
}

/// The payer's side: everything it has, as fast as the connection takes it; done when the last is answered.
async fn pay_all(address: SocketAddr, frames: &[Vec<u8>]) {
    let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("a setting");
    let (read, write) = stream.into_split();
    let mut writer = FrameWriter::new(write);
    let sending = async {
        for frame in frames {
            writer.feed(frame).await.expect("sent");
        }
        writer.flush().await.expect("sent");
    };
    let hearing = async {
        let mut reader = FrameReader::new(read);
        loop {
            let answer = reader.next().await.expect("an answer").expect("an answer");
            if answer.as_ref() == (frames.len() as u32).to_be_bytes() {
                return;
            }
        }
    };
    tokio::join!(sending, hearing);
}

/// The payee's side.
async fn take_all(listener: std::net::TcpListener, visit: &mut Counting, driver: &DriverHandle) {
    listener.set_nonblocking(true).expect("a setting");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let (stream, _) = listener.accept().await.expect("a connection");
    stream.set_nodelay(true).expect("a setting");
    let (read, write) = stream.into_split();
    let (mut reader, mut writer) = (FrameReader::new(read), FrameWriter::new(write));
    // Words go on being counted while the last commit is under way; the next one takes all of them.
    let mut durable = 0;
    while durable < visit.upto() {
        if visit.through() == durable {
            take(visit, reader.next().await.expect("a frame").expect("a frame"));
        }
        let counted = visit.through();
        let tip = wire::encode(&visit.tip());
        let write = move |cx: &mut Context<'_>| {
            cx.tx.put(TIPS, b"visit", tip);
            Ok(())
        };
        let mut commit = std::pin::pin!(driver.transact(write));
        loop {
            while let Some(frame) = reader.arrived().expect("a frame") {
                take(visit, frame);
            }
            tokio::select! {
                biased;
                done = &mut commit => break done.expect("durable"),
                frame = reader.next(), if visit.through() < visit.upto() => take(visit, frame.expect("a frame").expect("a frame")),
            }
        }
        durable = counted;
        writer.feed(&durable.to_be_bytes()).await.expect("answered");
        writer.flush().await.expect("answered");
    }
}

fn take(visit: &mut Counting, frame: bytes::Bytes) {
    let pay: Pay = wire::decode(&frame).expect("canonical");
    visit.on_pay(NOW, &pay).expect("a good word");
}

/// Payments of one unit each, round and round over all open visits: look-up, bounds, hash, new
/// state, effect, with the meter on.
fn accept(visits: usize, words: u32) -> Race {
    let payee = key(1);
    // Chains beyond a thousand are copies in memory of their own: what counts is that each payment
    // finds its visit out of all of them.
    let made: Vec<(Counting, Vec<Pay>)> =
        (0..visits.min(1_000)).map(|n| visit(&key(2), &payee, words, n as u64)).collect();
    let fresh = || -> Vec<Counting> { (0..visits).map(|n| made[n % made.len()].0.clone()).collect() };
    // As they come off a wire: one behind the other in memory, the visits in no guessable order.
    let order = scattered(visits);
    let arriving: Vec<(u32, Pay)> = (0..words as usize)
        .flat_map(|word| order.iter().map(move |&at| (at, word)))
        .map(|(at, word)| (at, made[at as usize % made.len()].1[word]))
        .collect();
    let ours = || {
        let mut open = fresh();
        let mut effects: Vec<Tip> = Vec::with_capacity(BATCH);
        let (accepted, seconds) = timed(|| {
            let ((), cost) = meter::measure(|| {
                for batch in arriving.chunks(BATCH) {
                    effects.clear();
                    for (at, pay) in batch {
                        let Some(visit) = open.get_mut(*at as usize) else { continue };
                        if visit.on_pay(NOW, pay).is_ok() {
                            effects.push(Tip { visit: *at, tip: visit.tip() });
                        }
                    }
                    std::hint::black_box(&effects);
                }
            });
            cost.of(Op::Hash)
        });
        assert_eq!(accepted, arriving.len() as u64, "every payment was accepted and metered");
        (accepted, seconds)
    };
    let goal = if visits > 1_000 { 0.15 } else { 0.40 };
    Race::run(format!("{visits} open chains"), Goal::AtLeast(goal), ours, || bare_chain(2_000_000))
}

/// Every number below `n` once, in an order no prefetcher guesses.
fn scattered(n: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for at in (1..n).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        order.swap(at, (state >> 33) as usize % (at + 1));
    }
    order
}

/// The longest chain: how long it takes to open, and what is kept of it.
fn opening() {
    let (purse, seconds) = timed(|| farthing_benches::scene::purse(&key(2), farthing_core::chain::CHAIN_LEN_MAX, 1));
    println!(
        "opening a chain of {} units: {seconds:.3} s (goal < 1 s); its payer keeps {} words of 32 bytes (goal < 4 MiB)",
        farthing_core::chain::CHAIN_LEN_MAX,
        2 * farthing_core::chain::CHAIN_LEN_MAX.isqrt(),
    );
    drop(purse);
}
