//! Clearing: walking chains and checking signatures, many at a time, and a day's claims end to end.

use farthing_benches::scene::{HERE, NOW, account, bank, bare_chain, key, micros, purse};
use farthing_benches::{Goal, Race, Table, timed};
use farthing_core::amount::Currency;
use farthing_core::chain::{Tag, Walk, walk_many};
use farthing_core::id::{PeerId, RequestId, timed as timed_id};
use farthing_core::sign::{SecretKey, Signed, verify_batch};
use farthing_core::time::Span;
use farthing_core::wire::{self, Bounded};
use farthing_ledger::{Account, AccountKind, Ledger, Reason, Transfer};
use farthing_netpay::bank::{ClaimRequest, NetPay, TABLES, Terms};
use farthing_netpay::messages::{CLAIM_ITEMS_MAX, Claim, ClaimOutcome, Claims, OpenChain, Reserve};
use farthing_role::{Context, EVIDENCE};
use farthing_store::{Overlay, SqliteOptions, SqliteStore, Store};
use rusqlite::Connection;
use tempfile::TempDir;

/// Chains in the end-to-end race.
const CHAINS: usize = 100_000;
/// Words claimed of each.
const WORDS: u32 = 100;
/// Requests that are checked and applied together.
const REQUESTS: usize = 8;

fn main() {
    let mut table = Table::default();
    table.add(walking());
    table.add(signatures());
    table.print("Clearing, against its own primitives");
    if std::env::args().all(|arg| arg != "--quick") {
        end_to_end();
    }
}

fn walking() -> Race {
    let payer = key(2);
    let walks: Vec<Walk> = (0..2_000)
        .map(|number| {
            let mut purse = purse(&payer, 1_000, number);
            let word = purse.reserve(
                &payer,
                HERE,
                key(1).id(),
                farthing_benches::scene::ORDER,
                1_000,
                NOW.after(Span::from_hours(1)),
            );
            word.expect("reserved");
            let pay = purse.pay(1_000, farthing_benches::scene::ORDER).expect("reserved");
            Walk { tag: Tag::new(&purse.touchstone().header), from: 1_000, word: pay.word, to: 0 }
        })
        .collect();
    let ours = || {
        let (ends, seconds) = timed(|| walk_many(&walks));
        std::hint::black_box(ends);
        (2_000_000, seconds)
    };
    Race::run("chain walk, 2,000 chains in step", Goal::AtLeast(1.6), ours, || bare_chain(2_000_000))
}

fn reserve(payer: &SecretKey, chain: farthing_core::id::ChainId, payee: PeerId, serial: u32) -> Signed<Reserve> {
    let ends = NOW.after(Span::from_hours(24));
    let order = farthing_benches::scene::ORDER;
    payer.sign(HERE, &Reserve { chain, payee, from: 1, upto: WORDS, order, previous: None, serial, expires: ends })
}

fn signatures() -> Race {
    const BATCH: usize = 256;
    let chain = farthing_core::id::ChainId([1; 32]);
    let signed: Vec<Signed<Reserve>> =
        (0..BATCH as u32).map(|n| reserve(&key(n.into()), chain, key(1).id(), n)).collect();
    let (keys, messages, signatures) = library_batch(BATCH);
    let ours = || {
        let rounds: Vec<_> = (0..20).map(|_| signed.clone()).collect();
        let (answers, seconds) = timed(|| rounds.into_iter().map(|s| verify_batch(HERE, s)).collect::<Vec<_>>());
        assert!(answers.iter().flatten().all(Result::is_ok));
        (20 * BATCH as u64, seconds)
    };
    // Keys are parsed on either side: they come with the statements, a new one for every chain.
    let library = || {
        let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let (good, seconds) = timed(|| {
            (0..20).all(|_| {
                let parse = |key: &[u8; 32]| ed25519_dalek::VerifyingKey::from_bytes(key).expect("a key");
                let keys: Vec<_> = keys.iter().map(parse).collect();
                ed25519_dalek::verify_batch(&messages, &signatures, &keys).is_ok()
            })
        });
        assert!(good);
        (20 * BATCH as u64, seconds)
    };
    Race::run(format!("signature checks, batches of {BATCH}"), Goal::AtLeast(0.9), ours, library)
}

type LibraryBatch = (Vec<[u8; 32]>, Vec<Vec<u8>>, Vec<ed25519_dalek::Signature>);

/// As many signatures over messages as long as a reserve's.
fn library_batch(count: usize) -> LibraryBatch {
    use ed25519_dalek::{Signer, SigningKey};
    let signers: Vec<SigningKey> =
        (0..count).map(|n| SigningKey::from_bytes(&[(n as u8).wrapping_add(1); 32])).collect();
    let messages: Vec<Vec<u8>> = (0..count).map(|n| vec![n as u8; 200]).collect();
    let signatures = signers.iter().zip(&messages).map(|(signer, message)| signer.sign(message)).collect();
    (signers.iter().map(|signer| signer.verifying_key().to_bytes()).collect(), messages, signatures)
}

/// A day's claims: every chain opened beforehand, claimed through its last word, paid into SQLite;
/// against the sum of what the hashes, the signatures and the rows cost by themselves.
fn end_to_end() {
    let folder = TempDir::new().expect("a folder");
    let tables: Vec<_> = TABLES.into_iter().chain([EVIDENCE]).collect();
    let path = folder.path().join("bank.sqlite");
    let mut store = SqliteStore::open(path, &tables, &SqliteOptions::default()).expect("a store");
    let netpay = NetPay::new(HERE, bank(), Terms::default());
    let (payer, payee) = (key(2), key(1));
    eprintln!("  opening {CHAINS} chains");
    let claims = open_chains(&mut store, &netpay, &payer, &payee);
    let before = Overlay::new(&store);
    drop(before);
    let reserves: Vec<Signed<Reserve>> = claims.iter().map(|claim| claim.reserve.clone()).collect();
    let requests: Vec<ClaimRequest> = claims
        .chunks(CLAIM_ITEMS_MAX)
        .enumerate()
        .map(|(number, items)| {
            let mut unique = [0; 32];
            unique[..8].copy_from_slice(&(number as u64).to_be_bytes());
            let id = RequestId(timed_id(NOW.after(Span::from_millis(number as u64)), &unique));
            let claims = Claims { items: Bounded::new(items.to_vec()).expect("few enough") };
            ClaimRequest { payee: payee.id(), id, proof: wire::encode(&claims), claims }
        })
        .collect();
    let (paid, whole) = timed(|| clear(&mut store, &netpay, requests));
    assert_eq!(paid, CHAINS as u64 * u64::from(WORDS) * 100, "every word was paid");
    // The floors, each by itself and on one core.
    let (_, hashes) = bare_chain(CHAINS as u64 * u64::from(WORDS));
    let (good, checks) =
        timed(|| reserves.chunks(256).all(|batch| verify_batch(HERE, batch.to_vec()).iter().all(Result::is_ok)));
    assert!(good);
    let rows = bare_rows(&folder);
    let sum = hashes + checks + rows;
    println!(
        "{CHAINS} chains of {WORDS} words cleared into the ledger in {whole:.2} s\n  floors: hashes {hashes:.2} s + batch \
         signatures {checks:.2} s + bare rows {rows:.2} s = {sum:.2} s\n  ratio {:.2} (goal <= 1.5); {:.0} k payments per second",
        whole / sum,
        CHAINS as f64 * f64::from(WORDS) / whole / 1e3
    );
}

/// Checks the next requests while the last ones are applied and committed, as the driver does.
fn clear(store: &mut SqliteStore, netpay: &NetPay, requests: Vec<ClaimRequest>) -> u64 {
    let mut paid = 0;
    let batches: Vec<Vec<ClaimRequest>> = {
        let mut rest = requests.into_iter();
        std::iter::from_fn(|| Some(rest.by_ref().take(REQUESTS).collect::<Vec<_>>()).filter(|b| !b.is_empty()))
            .collect()
    };
    let facts = store.reader().expect("a snapshot");
    std::thread::scope(|scope| {
        let (send, checked) = std::sync::mpsc::sync_channel(2);
        scope.spawn(move || {
            for batch in batches {
                let facts = Overlay::new(&*facts);
                if send.send(netpay.check_claims(batch, &facts)).is_err() {
                    return;
                }
            }
        });
        for batch in checked {
            let mut overlay = Overlay::new(store);
            for request in batch {
                let request = request.expect("checked");
                let receipt = overlay.attempt(|tx| netpay.claim(&mut Context { now: NOW, dice: [0; 32], tx }, request));
                for line in receipt.expect("claimed").peek().expect("our own").lines.as_slice() {
                    match &line.outcome {
                        ClaimOutcome::Paid { amount, .. } => paid += amount.as_micros(),
                        ClaimOutcome::Refused(why) => panic!("refused: {why}"),
                    }
                }
            }
            let changes = overlay.into_write_set();
            store.commit(&changes).expect("a commit");
        }
    });
    paid
}

/// Opens all chains through the front door, and makes the claim for all of each.
fn open_chains(store: &mut SqliteStore, netpay: &NetPay, payer: &SecretKey, payee: &SecretKey) -> Vec<Claim> {
    let world = account(0);
    let customer = |peer: PeerId| Account::id_for(HERE, AccountKind::Customer, &peer.0, Currency::XTS);
    let mut claims = Vec::with_capacity(CHAINS);
    for first in (0..CHAINS).step_by(1_000) {
        let mut overlay = Overlay::new(store);
        overlay
            .attempt(|tx| {
                let mut cx = Context { now: NOW, dice: [0; 32], tx };
                if first == 0 {
                    let mut ledger = Ledger(&mut *cx.tx);
                    ledger.open(Account::new(world, AccountKind::World, Currency::XTS, None, NOW))?;
                    for peer in [payer.id(), payee.id()] {
                        ledger.open(Account::new(
                            customer(peer),
                            AccountKind::Customer,
                            Currency::XTS,
                            Some(peer),
                            NOW,
                        ))?;
                    }
                    ledger.post(Transfer {
                        id: farthing_core::id::TransferId([1; 16]),
                        debit: world,
                        credit: customer(payer.id()),
                        amount: micros(10_000_000_000),
                        reason: Reason(1),
                        reference: [0; 32],
                        at: NOW,
                        hold: None,
                    })?;
                }
                for number in first..(first + 1_000).min(CHAINS) {
                    let mut purse = purse(payer, WORDS, number as u64);
                    let open = OpenChain { header: purse.touchstone().header.clone(), root: purse.touchstone().root };
                    let mut unique = [0; 32];
                    unique[..8].copy_from_slice(&(number as u64).to_be_bytes());
                    netpay.open(&mut cx, payer.id(), RequestId(timed_id(NOW, &unique)), &open)?;
                    let order = farthing_benches::scene::ORDER;
                    let ends = NOW.after(Span::from_hours(24));
                    let visit = purse.reserve(payer, HERE, payee.id(), order, WORDS, ends).expect("units enough");
                    let pay = purse.pay(WORDS, order).expect("reserved");
                    claims.push(Claim {
                        reserve: visit.reserve,
                        release: None,
                        previous: None,
                        through: WORDS,
                        word: pay.word,
                    });
                }
                Ok::<(), farthing_role::Halt>(())
            })
            .expect("opened");
        let changes = overlay.into_write_set();
        store.commit(&changes).expect("a commit");
    }
    claims
}

/// As many rows as the claims wrote, by hand: for each chain its record, what it paid, its account
/// and a row of the journal.
fn bare_rows(folder: &TempDir) -> f64 {
    let mut db = Connection::open(folder.path().join("bare.sqlite")).expect("a database");
    db.pragma_update(None, "synchronous", "EXTRA").expect("a setting");
    let _: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).expect("a setting");
    db.pragma_update(None, "cache_size", -16_384).expect("a setting"); // As much memory as ours has.
    db.execute_batch(
        "CREATE TABLE chains (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID;
         CREATE TABLE taken (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID;
         CREATE TABLE accounts (id BLOB PRIMARY KEY, debits INTEGER, credits INTEGER) WITHOUT ROWID;
         CREATE TABLE journal (seq INTEGER PRIMARY KEY, id BLOB UNIQUE, entry BLOB, hash BLOB);",
    )
    .expect("tables");
    let id = |number: usize| farthing_core::hash::hash(farthing_core::hash::Purpose::ChainId, &[&number.to_be_bytes()]);
    let ids: Vec<[u8; 32]> = (0..CHAINS).map(id).collect();
    let tx = db.transaction().expect("a transaction");
    for id in &ids {
        tx.prepare_cached("INSERT INTO chains VALUES (?1, ?2)")
            .expect("sql")
            .execute((id, [1_u8; 400]))
            .expect("a row");
        let open = "INSERT INTO accounts VALUES (?1, 0, 10000)";
        tx.prepare_cached(open).expect("sql").execute([&id[..16]]).expect("a row");
    }
    tx.commit().expect("a commit");
    let ((), seconds) = timed(|| {
        for (nth, batch) in ids.chunks(REQUESTS * CLAIM_ITEMS_MAX).enumerate() {
            let tx = db.transaction().expect("a transaction");
            {
                let mut chain = tx.prepare_cached("UPDATE chains SET v = ?2 WHERE k = ?1").expect("sql");
                let mut taken = tx.prepare_cached("INSERT INTO taken VALUES (?1, ?2)").expect("sql");
                let mut account = tx.prepare_cached("UPDATE accounts SET debits = 10000 WHERE id = ?1").expect("sql");
                let mut journal = tx.prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4)").expect("sql");
                for (at, id) in batch.iter().enumerate() {
                    let seq = (nth * REQUESTS * CLAIM_ITEMS_MAX + at) as u64;
                    chain.execute((id, [2_u8; 400])).expect("a row");
                    taken.execute((id, [3_u8; 380])).expect("a row");
                    account.execute([&id[..16]]).expect("a row");
                    let transfer = timed_id(NOW.after(Span::from_millis(seq)), id);
                    journal.execute((seq, transfer, [4_u8; 130], [5_u8; 32])).expect("a row");
                }
            }
            tx.commit().expect("a commit");
        }
    });
    seconds
}
