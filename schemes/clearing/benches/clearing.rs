//! What the bank's word costs, against the bare durable ledger; and a comparison of a million
//! entries. `cargo bench -p farthing-clearing`, with `-- race`, `-- turn`, `-- stages` or
//! `-- million` for one.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use farthing_clearing::bank::{Clearing, TABLES, Terms};
use farthing_clearing::compare::{Extent, Next};
use farthing_clearing::keys::MasterKey;
use farthing_clearing::messages::Enrol;
use farthing_clearing::payee::{Expected, acknowledge};
use farthing_clearing::payer::{Answered, Paid, Transfer};
use farthing_clearing::wallet::{Wallet, open_grant};
use farthing_core::amount::Currency;
use farthing_core::audit::{Direction, Entry};
use farthing_core::id::{AccountId, NetworkId, OrderId, PeerId, RequestId, TransferId, timed};
use farthing_core::meter::{Op, measure};
use farthing_core::seal::SealKey;
use farthing_core::seed::Secret;
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_core::wire;
use farthing_driver::{Config, Driver, DriverHandle, NoRole, OsEntropy, SystemClock};
use farthing_ledger::{Account, AccountKind, Ledger, Reason};
use farthing_role::{Context, EVIDENCE, Halt, Table};
use farthing_store::{MemoryStore, Overlay, SqliteOptions, SqliteStore, Store};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tempfile::TempDir;

const HERE: NetworkId = NetworkId([7; 16]);
/// How many payers wait for their own payment.
const CALLERS: u64 = 32;
/// How many payments each of them makes in a round.
const PAYMENTS: usize = 400;
/// How many rounds count; one more warms up.
const ROUNDS: usize = 5;
/// How long a log is compared.
const ENTRIES: usize = 1_000_000;
/// How many payments the books of that log are made of at a time.
const BATCH: usize = 1_000;

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let parts: [(&str, fn()); 4] = [("race", race), ("turn", turn), ("stages", stages), ("million", million)];
    for (name, part) in parts {
        if asked.is_empty() || asked.iter().any(|word| word == name) {
            part();
        }
    }
}

fn key(number: u64) -> SecretKey {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    SecretKey::from_seed(&seed)
}

fn clearing() -> Clearing {
    Clearing::new(HERE, key(0), MasterKey::new(Secret::new([9; 32])), Terms::of(vec![Currency::XTS]))
}

fn account(owner: PeerId) -> AccountId {
    Account::id_for(HERE, AccountKind::Customer, &owner.0, Currency::XTS)
}

/// One transaction, committed.
fn act<R>(store: &mut dyn Store, now: Time, n: u64, step: impl FnOnce(&mut Context<'_>) -> Result<R, Halt>) -> R {
    let mut dice = [0; 32];
    dice[..8].copy_from_slice(&n.to_be_bytes());
    let (done, changes) = {
        let mut overlay = Overlay::new(&*store as &dyn farthing_store::Reader);
        let done = overlay.attempt(|tx| step(&mut Context { now, dice, tx })).expect("done");
        (done, overlay.into_write_set())
    };
    store.commit(&changes).expect("a commit");
    done
}

/// Opens funded accounts for so many payers, the even numbers, and as many payees, and enrols all.
fn enrol(store: &mut dyn Store, bank: &Clearing, now: Time, pairs: u64) -> Vec<Wallet> {
    let world = AccountId([0xff; 16]);
    act(store, now, 0, |cx| {
        Ok(Ledger(&mut *cx.tx).open(Account::new(world, AccountKind::World, Currency::XTS, None, now))?)
    });
    let one = |number: u64| {
        let (owner, seal) = (key(number + 1).id(), SealKey::from_seed(&[4; 32]));
        let enrol = Enrol { seal: seal.public() };
        let grant = act(store, now, number, |cx| {
            let mut ledger = Ledger(&mut *cx.tx);
            ledger.open(Account::new(account(owner), AccountKind::Customer, Currency::XTS, Some(owner), now))?;
            ledger.post(farthing_ledger::Transfer {
                id: TransferId(timed(now, &owner.0)),
                debit: world,
                credit: account(owner),
                amount: Currency::XTS.micros(10_000_000_000).expect("an amount"),
                reason: Reason(1),
                reference: [0; 32],
                at: now,
                hold: None,
            })?;
            bank.enrol(cx, owner, RequestId([1; 16]), &enrol)
        });
        Wallet::new(HERE, bank.bank(), open_grant(HERE, owner, bank.bank(), &seal, &grant).expect("a key"))
    };
    (0..pairs * 2).map(one).collect()
}

fn tables() -> Vec<Table> {
    TABLES.into_iter().chain([EVIDENCE]).chain(farthing_driver::TABLES.iter().copied()).collect()
}

fn sqlite(folder: &TempDir, name: &str) -> SqliteStore {
    SqliteStore::open(folder.path().join(name), &tables(), &SqliteOptions::default()).expect("a store")
}

fn pay(wallet: &mut Wallet, now: Time, payee: u64, rng: &mut ChaCha20Rng) -> Vec<u8> {
    let amount = Currency::XTS.micros(1).expect("an amount");
    let transfer = Transfer { payee: key(payee + 1).id(), amount, order: OrderId([8; 32]), receipt: false };
    wallet.pay(now, &transfer, None, rng).expect("a request")
}

fn paid(wallet: &mut Wallet, answer: &[u8]) -> (Box<Paid>, Entry) {
    match wallet.on_answer(answer).expect("an answer") {
        Answered::Paid(paid, entry) => (paid, entry),
        other => panic!("{other:?}"),
    }
}

/// The requests of each payer, so many. A rehearsal in memory makes them: the payers' work is theirs,
/// not the bank's.
fn rehearse(bank: &Clearing, now: Time, each: usize) -> Vec<Vec<Vec<u8>>> {
    let mut memory = MemoryStore::new(&tables());
    let mut wallets = enrol(&mut memory, bank, now, CALLERS);
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let one = |payer: u64| {
        let payee = payer * 2 + 1;
        let frame = |_| {
            let wallet = &mut wallets[payer as usize * 2];
            let frame = pay(wallet, now, payee, &mut rng);
            let checked = bank.check(&frame, &Overlay::new(&memory)).expect("checked");
            let answer = act(&mut memory, now, 1, |cx| bank.apply(cx, checked));
            paid(wallet, &answer);
            frame
        };
        (0..each).map(frame).collect()
    };
    (0..CALLERS).map(one).collect()
}

/// What one payment takes of the one place where everybody waits for everybody: the transaction, in
/// batches of one payment of each caller, against as many postings. In turns, so that whatever else
/// the machine does hits both alike.
fn turn() {
    let now = Time::from_millis(1_700_000_000_000);
    let bank = clearing();
    let frames = rehearse(&bank, now, PAYMENTS);
    let folder = TempDir::new().expect("a folder");
    let (mut ours, mut bare) = (sqlite(&folder, "bank.sqlite"), sqlite(&folder, "bare.sqlite"));
    enrol(&mut ours, &bank, now, CALLERS);
    enrol(&mut bare, &bank, now, CALLERS);
    let accounts = (0..CALLERS).map(|caller| [caller * 2 + 1, caller * 2 + 2].map(|number| account(key(number).id())));
    let accounts: Vec<_> = accounts.collect();
    let mut times: [Vec<f64>; 5] = Default::default();
    for nth in 0..PAYMENTS {
        let asked: Vec<_> =
            frames.iter().map(|frames| bank.check(&frames[nth], &Overlay::new(&ours)).expect("checked")).collect();
        let mut clock = Instant::now();
        let mut lap = |at: usize| {
            times[at].push(clock.elapsed().as_secs_f64() * 1e6 / CALLERS as f64);
            clock = Instant::now();
        };
        let mut overlay = Overlay::new(&ours);
        let mut decided = Vec::with_capacity(asked.len());
        for (caller, checked) in (0_u64..).zip(asked) {
            let mut dice = [0; 32];
            dice[..8].copy_from_slice(&(nth as u64 * CALLERS + caller).to_be_bytes());
            decided.push(overlay.attempt(|tx| bank.decide(&mut Context { now, dice, tx }, checked)).expect("decided"));
        }
        let changes = overlay.into_write_set();
        lap(0);
        ours.commit(&changes).expect("a commit");
        lap(1);
        assert!(decided.into_iter().all(|decided| !bank.speak(decided).is_empty()));
        lap(2);
        let mut overlay = Overlay::new(&bare);
        for (caller, [debit, credit]) in (0_u64..).zip(&accounts) {
            let transfer = posting(now, nth, caller, *debit, *credit);
            overlay.attempt(|tx| Ledger(tx).post(transfer)).expect("posted");
        }
        let changes = overlay.into_write_set();
        lap(3);
        bare.commit(&changes).expect("a commit");
        lap(4);
    }
    let [decides, commits, speaks, posts, bare] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    println!(
        "in a batch of {CALLERS}, each: decided {decides:.1} µs, committed {commits:.1} µs, then sealed {speaks:.1} µs"
    );
    println!("  bare: posted {posts:.1} µs, committed {bare:.1} µs; ratio {:.2}", (posts + bare) / (decides + commits));
}

fn posting(now: Time, nth: usize, caller: u64, debit: AccountId, credit: AccountId) -> farthing_ledger::Transfer {
    let mut unique = [0; 32];
    unique[..8].copy_from_slice(&caller.to_be_bytes());
    farthing_ledger::Transfer {
        id: TransferId(timed(now.after(Span::from_millis(nth as u64 + 1)), &unique)),
        debit,
        credit,
        amount: Currency::XTS.micros(1).expect("an amount"),
        reason: Reason(1),
        reference: [3; 32],
        at: now,
        hold: None,
    }
}

/// Payments asked of the bank, against postings asked of the ledger; both through the driver.
fn race() {
    let now = Time::from_millis(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
    );
    let rounds = ROUNDS + 1;
    let bank = Arc::new(clearing());
    let frames: Vec<_> = rehearse(&bank, now, rounds * PAYMENTS);
    let folder = TempDir::new().expect("a folder");
    let mut store = sqlite(&folder, "bank.sqlite");
    enrol(&mut store, &bank, now, CALLERS);
    let start = |store| Driver::start(Arc::new(NoRole), store, SystemClock, OsEntropy, Config::default());
    let ours = start(store).expect("a driver");
    let mut bare = sqlite(&folder, "bare.sqlite");
    enrol(&mut bare, &bank, now, CALLERS);
    let bare = start(bare).expect("a driver");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut rates = Vec::new();
    for (nth, part) in (0..rounds).map(|nth| (nth, nth * PAYMENTS..(nth + 1) * PAYMENTS)) {
        let asked = frames.iter().map(|frames| frames[part.clone()].to_vec()).collect();
        let a = runtime.block_on(payments(&ours, &bank, asked));
        let b = runtime.block_on(postings(&bare, now, nth));
        if nth > 0 {
            rates.push((a, b, a / b));
        }
    }
    rates.sort_by(|x, y| x.2.total_cmp(&y.2));
    let (a, b, ratio) = rates[ROUNDS / 2];
    println!("payments through the bank, {CALLERS} callers, durable: {a:.0} /s; bare ledger {b:.0} /s");
    println!("  ratio {ratio:.2} (median of {ROUNDS} rounds; goal >= 0.60)");
    ours.stop_blocking();
    bare.stop_blocking();
}

async fn payments(driver: &DriverHandle, bank: &Arc<Clearing>, asked: Vec<Vec<Vec<u8>>>) -> f64 {
    // Customers' keys stay: what was true a moment ago is true enough to open a frame.
    let facts = Arc::new(Mutex::new(driver.snapshot().await.expect("a snapshot")));
    let begun = Instant::now();
    let callers = asked.into_iter().map(|frames| {
        let (driver, bank, facts) = (driver.clone(), bank.clone(), facts.clone());
        tokio::spawn(async move {
            for frame in frames {
                let checked = {
                    let facts = facts.lock().expect("nobody panicked");
                    bank.check(&frame, &Overlay::new(&**facts)).expect("checked")
                };
                let decides = bank.clone();
                let decided = driver.transact(move |cx| decides.decide(cx, checked)).await.expect("decided");
                assert!(!bank.speak(decided).is_empty());
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("a caller");
    }
    (CALLERS as usize * PAYMENTS) as f64 / begun.elapsed().as_secs_f64()
}

async fn postings(driver: &DriverHandle, now: Time, round: usize) -> f64 {
    let accounts = (0..CALLERS).map(|caller| [caller * 2 + 1, caller * 2 + 2].map(|number| account(key(number).id())));
    let accounts: Vec<_> = accounts.collect();
    let begun = Instant::now();
    let callers = (0..).zip(accounts).map(|(caller, [debit, credit]): (u64, _)| {
        let driver = driver.clone();
        tokio::spawn(async move {
            for nth in 0..PAYMENTS {
                let transfer = posting(now, round * PAYMENTS + nth, caller, debit, credit);
                driver.transact(move |cx| Ok(Ledger(&mut *cx.tx).post(transfer)?)).await.expect("posted");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("a caller");
    }
    (CALLERS as usize * PAYMENTS) as f64 / begun.elapsed().as_secs_f64()
}

/// What each stage of one payment takes by itself, without a disk.
fn stages() {
    const COUNT: u32 = 5_000;
    let now = Time::from_millis(1_700_000_000_000);
    let (bank, mut store, mut rng) = (clearing(), MemoryStore::new(&tables()), ChaCha20Rng::from_seed([1; 32]));
    let mut wallets = enrol(&mut store, &bank, now, 1);
    let (payer, payee) = wallets.split_at_mut(1);
    let (payer, payee) = (&mut payer[0], &mut payee[0]);
    let (mut times, mut bytes, mut ops) = ([0.0; 5], [0; 4], Vec::new());
    for nth in 0..COUNT {
        let mut clock = Instant::now();
        let mut lap = |at: usize, clock: &mut Instant| {
            times[at] += clock.elapsed().as_secs_f64() * 1e6;
            *clock = Instant::now();
        };
        let (frame, asking) = measure(|| pay(payer, now, 1, &mut rng));
        lap(0, &mut clock);
        let (checked, checking) = measure(|| bank.check(&frame, &Overlay::new(&store)).expect("checked"));
        lap(1, &mut clock);
        let (answer, applying) = measure(|| act(&mut store, now, nth.into(), |cx| bank.apply(cx, checked)));
        lap(2, &mut clock);
        let ((paid, _), hearing) = measure(|| paid(payer, &answer));
        lap(3, &mut clock);
        let payment = paid.payment(false);
        let expected = Expected { order: paid.line.order, amount: paid.line.amount };
        let (received, receiving) = measure(|| {
            let ticket = payee.open_ticket(&payment).expect("a ticket");
            payee.receive(now, ticket, Some(&expected)).expect("received")
        });
        lap(4, &mut clock);
        let receipt = acknowledge(HERE, &key(2), received.outcome.expect("a receipt"), false);
        bytes = [frame.len(), answer.len(), wire::encode(&payment).len(), wire::encode(&receipt).len()];
        ops = vec![asking, checking, applying, hearing, receiving];
    }
    println!("one payment: 4 messages of {bytes:?} bytes, {} in all", bytes.iter().sum::<usize>());
    let names = ["payer asks", "bank checks", "bank applies", "payer hears", "payee receives"];
    for ((name, time), ops) in names.iter().zip(times).zip(ops) {
        let (aead, hash, sign) = (ops.of(Op::Aead), ops.of(Op::Hash), ops.of(Op::Sign) + ops.of(Op::Verify));
        let each = time / f64::from(COUNT);
        println!("  {name:15} {each:6.1} µs  {aead} seals or openings, {hash} hashes, {sign} signatures");
    }
}

/// A log of a million payments, compared from the first entry to the last.
fn million() {
    let now = Time::from_millis(1_700_000_000_000);
    let folder = TempDir::new().expect("a folder");
    let (bank, mut store) = (clearing(), sqlite(&folder, "long.sqlite"));
    let mut wallets = enrol(&mut store, &bank, now, 1);
    let (payer, mut rng) = (&mut wallets[0], ChaCha20Rng::from_seed([1; 32]));
    let mut log = Vec::with_capacity(ENTRIES);
    for _ in 0..ENTRIES / BATCH {
        let mut overlay = Overlay::new(&store);
        for nth in 0..BATCH {
            let frame = pay(payer, now, 1, &mut rng);
            let checked = bank.check(&frame, &overlay).expect("checked");
            let mut dice = [0; 32];
            dice[..8].copy_from_slice(&nth.to_be_bytes());
            let answer = overlay.attempt(|tx| bank.apply(&mut Context { now, dice, tx }, checked)).expect("applied");
            log.push(paid(payer, &answer).1);
        }
        let changes = overlay.into_write_set();
        store.commit(&changes).expect("a commit");
    }
    let begun = Instant::now();
    let (mut comparison, mut frame) = payer.compare(now, Extent::Whole, &mut rng);
    let (mut messages, mut bytes, mut clients) = (0, 0, 0.0);
    loop {
        let checked = bank.check(&frame, &Overlay::new(&store)).expect("checked");
        let answer = act(&mut store, now, messages, |cx| bank.apply(cx, checked));
        messages += 2;
        bytes += frame.len() + answer.len();
        let mut entries = |direction, after: u64, limit: usize| match direction {
            Direction::Out => log[after as usize..].iter().take(limit).copied().collect(),
            Direction::In => Vec::new(),
        };
        let clock = Instant::now();
        let progress = comparison.step(payer, &answer, &mut entries, None, &mut rng).expect("a step");
        clients += clock.elapsed().as_secs_f64();
        match progress.next {
            Next::Send(next) => frame = next,
            Next::Agreed(fate) => {
                assert!(fate.is_none());
                break;
            }
            Next::Disputed(problems) => panic!("{problems:?}"),
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{ENTRIES} entries compared in {seconds:.2} s (goal < 5 s), {clients:.2} s of it the customer's");
    println!("  {messages} messages, {:.0} MB, {:.2} µs an entry", bytes as f64 / 1e6, seconds * 1e6 / ENTRIES as f64);
}
