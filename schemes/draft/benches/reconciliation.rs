//! A log of a million drafts reconciled with the bank, page by page, on one core; both books on
//! disk. `cargo bench -p farthing-draft`.

use std::fmt;
use std::time::Instant;

use farthing_core::amount::{Amount, Currency};
use farthing_core::cert::Limits;
use farthing_core::id::{AccountId, NetworkId, OrderId, RequestId, TransferId, timed};
use farthing_core::order::{PaymentRef, Receipt};
use farthing_core::seal::SealKey;
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{Span, Time};
use farthing_core::wire;
use farthing_draft::bank::{self, Chart, Destination, Drafts, ENTRIES_MAX, Terms};
use farthing_draft::messages::{Alias, Digest, Enrol, LogPage, Reconciled, kind};
use farthing_draft::payer::{Drawn, Payer, Purchase};
use farthing_draft::wallet;
use farthing_ledger::{Account, AccountKind, Ledger, Reason, Transfer};
use farthing_role::{Context, EVIDENCE, Halt, RequestBody, Table};
use farthing_store::{Overlay, SqliteOptions, SqliteStore, Store};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tempfile::TempDir;

const HERE: NetworkId = NetworkId([7; 16]);
const NOW: Time = Time::from_millis(1_800_000_000_000);
/// How many drafts are written in one go.
const BATCH: u64 = 1_000;
/// Every how many-th draft was deposited; the others are still to come.
const DEPOSITED: u64 = 2;
/// In how many parts the pages are timed: linear is where the last takes as long as the first.
const PARTS: usize = 4;

fn main() {
    let folder = TempDir::new().expect("a folder");
    let mut sides = Sides::new(&folder);
    sides.reconcile();
    for _ in 0..ENTRIES_MAX / BATCH {
        sides.write_drafts();
    }
    let round = sides.reconcile();
    assert_eq!(round.said.outstanding.as_micros(), ENTRIES_MAX - ENTRIES_MAX / DEPOSITED);
    let bank = round.bank.iter().copied().fold(Clock::default(), Clock::plus);
    let both = bank.plus(round.payer);
    println!("{ENTRIES_MAX} entries reconciled in {both} (goal < 5 s on one core)");
    println!("  bank {bank}; payer {}", round.payer);
    let each = both.core * 1e6 / ENTRIES_MAX as f64;
    println!("  {} pages, {:.0} MB, {each:.2} µs an entry", round.bank.len(), round.bytes as f64 / 1e6);
    let parts = round.bank.chunks(round.bank.len().div_ceil(PARTS));
    let a_page = |part: &[Clock]| part.iter().map(|page| page.core).sum::<f64>() * 1e3 / part.len() as f64;
    let parts: Vec<String> = parts.map(|part| format!("{:.2}", a_page(part))).collect();
    println!("  a page at the bank, in quarters of the log: {} ms", parts.join(", "));
    if let Some((early, most)) = round.memory {
        println!("  memory of both sides: {early:.1} MB after an eighth of the pages, {most:.1} MB at most after that");
    }
}

/// A bank and a payer, each with its store.
struct Sides {
    bank: Drafts,
    payer: Payer,
    books: SqliteStore,
    wallet: SqliteStore,
    rng: ChaCha20Rng,
}

/// What a reconciliation took.
struct Round {
    said: Reconciled,
    /// For each page, request and commit included.
    bank: Vec<Clock>,
    payer: Clock,
    bytes: usize,
    /// Megabytes in use: early on, and the most after that.
    memory: Option<(f64, f64)>,
}

/// Seconds that something took: of a core, and in all, with waiting for the disk and for others.
#[derive(Clone, Copy, Default)]
struct Clock {
    core: f64,
    all: f64,
}

impl Clock {
    fn plus(self, other: Self) -> Self {
        Self { core: self.core + other.core, all: self.all + other.all }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s of a core, {:.2} s with waiting", self.core, self.all)
    }
}

/// Runs something and says how long it took. Where the system does not tell one from the other, all
/// counts as work.
fn clocked<R>(work: impl FnOnce() -> R) -> (R, Clock) {
    let on_core = || {
        let ran = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        Some(ran.split(' ').next()?.parse::<f64>().ok()? / 1e9)
    };
    let (before, clock) = (on_core(), Instant::now());
    let done = work();
    let all = clock.elapsed().as_secs_f64();
    let core = before.zip(on_core()).map_or(all, |(before, after)| after - before);
    (done, Clock { core, all })
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).expect("an amount")
}

fn sqlite(folder: &TempDir, name: &str, tables: &[Table]) -> SqliteStore {
    SqliteStore::open(folder.path().join(name), tables, &SqliteOptions::default()).expect("a store")
}

/// One transaction, committed.
fn act<R>(store: &mut SqliteStore, step: impl FnOnce(&mut Context<'_>) -> Result<R, Halt>) -> R {
    let (done, changes) = {
        let mut overlay = Overlay::new(store);
        let done = overlay.attempt(|tx| step(&mut Context { now: NOW, dice: [0xff; 32], tx })).expect("done");
        if overlay.is_unchanged() {
            return done;
        }
        (done, overlay.into_write_set())
    };
    store.commit(&changes).expect("a commit");
    done
}

/// Megabytes of memory in use, where the system says so.
fn memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1e3)
}

impl Sides {
    fn new(folder: &TempDir) -> Self {
        let chart = Chart { network: HERE, currency: Currency::XTS };
        let limits = Limits { per_item: micros(10), total: micros(ENTRIES_MAX * 10) };
        let bank = Drafts::new(chart, key(1), Terms::new(limits));
        let authority = key(2).id();
        let payer = Payer { key: key(3), network: HERE, bank: bank.bank(), authority, copy: Digest([3; 32]) };
        let tables: Vec<Table> = bank::TABLES.into_iter().chain([EVIDENCE]).collect();
        let mut books = sqlite(folder, "bank.sqlite", &tables);
        let wallet = sqlite(folder, "wallet.sqlite", &wallet::TABLES);
        let owner = payer.key.id();
        let alias = Alias { account: owner, bank: bank.bank(), seal: SealKey::from_seed(&[3; 32]).public() };
        let enrol = Enrol { alias: payer.key.sign(HERE, &alias) };
        act(&mut books, |cx| {
            let world = AccountId([0xff; 16]);
            let mut ledger = Ledger(&mut *cx.tx);
            ledger.open(Account::new(world, AccountKind::World, Currency::XTS, None, NOW))?;
            for peer in [owner, key(4).id()] {
                let account = chart.customer(peer);
                ledger.open(Account::new(account, AccountKind::Customer, Currency::XTS, Some(peer), NOW))?;
            }
            ledger.post(Transfer {
                id: TransferId(timed(NOW, &[1; 32])),
                debit: world,
                credit: chart.customer(owner),
                amount: micros(ENTRIES_MAX * 10),
                reason: Reason(1),
                reference: [0; 32],
                at: NOW,
                hold: None,
            })?;
            bank.enrol(cx, owner, enrol)
        });
        Self { bank, payer, books, wallet, rng: ChaCha20Rng::from_seed([1; 32]) }
    }

    /// Writes drafts, and has every other one deposited.
    fn write_drafts(&mut self) {
        let Self { bank, payer, books, wallet, rng } = self;
        let (payee, life) = (key(4).id(), Span::from_days(7));
        let purchase = Purchase { payee, seal: None, amount: micros(1), order: OrderId([5; 32]), life };
        let drawn: Vec<Drawn> = act(wallet, |cx| {
            let drawn: Vec<Drawn> = (0..BATCH).map(|_| payer.draw(cx, &purchase, rng)).collect::<Result<_, _>>()?;
            // With a receipt, the payer knows that the payee has its certificate.
            if let Some(first) = drawn.first().map(|drawn| &drawn.payment.draft) {
                let payment = PaymentRef { instrument: first.digest(), from: 0, through: 0 };
                let (order, amount, payer_id) = (purchase.order, purchase.amount, payer.key.id());
                let receipt = Receipt { order, payment, amount, payer: payer_id, time: NOW };
                payer.on_receipt(cx, first.peek().expect("a draft").number, key(4).sign(HERE, &receipt))?;
            }
            Ok(drawn)
        });
        act(books, |cx| {
            for drawn in drawn.into_iter().step_by(DEPOSITED as usize) {
                let draft = drawn.payment.draft.verify(HERE).expect("signed");
                let to = Destination { account: bank.chart().customer(payee), payee: Some(payee), proof: &[] };
                bank.take(cx, &draft, 1, to)?;
            }
            Ok(())
        });
    }

    /// A whole reconciliation.
    fn reconcile(&mut self) -> Round {
        let Self { bank, payer, books, wallet, .. } = self;
        let holder = payer.key.id();
        let (mut pages, mut payers, mut bytes, mut used) = (Vec::new(), Clock::default(), 0, Vec::new());
        let opening = act(books, |cx| bank.reconcile(cx, holder, &payer.reconcile()));
        act(wallet, |cx| payer.on_opening(cx, opening));
        loop {
            let (sent, took) = clocked(|| {
                let page = act(wallet, |cx| payer.next_page(cx))?;
                let mut unique = [0; 32];
                unique[..8].copy_from_slice(&(pages.len() as u64).to_be_bytes());
                let (id, to) = (RequestId(timed(NOW, &unique)), bank.bank());
                let body = RequestBody { id, to, kind: kind::LOG_PAGE, message: wire::encode(&page), epoch: None };
                Some((page, wire::encode(&payer.key.sign(HERE, &body))))
            });
            let Some((page, sent)) = sent else { break };
            payers = payers.plus(took);
            bytes += sent.len();
            let (taken, took) = clocked(|| {
                let request: Signed<RequestBody> = wire::decode(&sent).expect("a request");
                let request = request.verify_by(HERE, holder).expect("the payer's");
                let asked: LogPage = wire::decode(&request.body().message).expect("a page");
                act(books, |cx| bank.page(cx, holder, &asked, &sent))
            });
            pages.push(took);
            let ((), took) = clocked(|| act(wallet, |cx| payer.on_page_taken(cx, &page, &taken)));
            payers = payers.plus(took);
            used.extend(memory());
        }
        let closing = act(wallet, |cx| payer.close(cx, Some(micros(ENTRIES_MAX * 10))));
        let reply = act(books, |cx| bank.close(cx, holder, closing));
        let said = reply.said.peek().expect("what the bank says");
        let certificate = reply.certificate.map(|certificate| key(2).sign(HERE, &certificate));
        act(wallet, |cx| payer.on_reconciled(cx, reply.said, certificate));
        let later = used.split_off(used.len() / 8);
        let memory = later.first().map(|early| (*early, later.iter().copied().fold(*early, f64::max)));
        Round { said, bank: pages, payer: payers, bytes, memory }
    }
}
