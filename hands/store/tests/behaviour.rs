//! What every store does alike: one suite, run on each of them.

mod common;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{
    ALICE, BOB, CAROL, Home, NOTES, OTHER, TABLES, WORLD, at, balance, commit, found, hold, id, post, run, transfer,
    xts,
};
use farthing_core::refusal::{Code, Refusal};
use farthing_ledger::{Books, Entry, Head, HoldState, Ledger, LedgerError, LedgerRefusal, Posted, Replay, Transfer};
use farthing_role::{Halt, Records, Scan, Table};
use farthing_store::audit::audit;
use farthing_store::{Before, MemoryStore, Overlay, RowChange, Store, StoreError, WriteSet};
use proptest::prelude::*;

/// Opens a store; opening again gives what was committed.
trait Kind {
    fn fresh() -> Self;
    fn open(&mut self) -> Box<dyn Store>;
}

impl Kind for Home {
    fn fresh() -> Self {
        Self::new()
    }
    fn open(&mut self) -> Box<dyn Store> {
        Box::new(Home::open(self))
    }
}

impl Kind for MemoryStore {
    fn fresh() -> Self {
        Self::new(TABLES)
    }
    fn open(&mut self) -> Box<dyn Store> {
        Box::new(self.clone())
    }
}

macro_rules! on_every_store {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[test] fn $name() { super::$name(&mut super::Home::new()); })*
        }
        mod memory {
            $(#[test] fn $name() { super::$name(&mut super::MemoryStore::new(super::TABLES)); })*
        }
    };
}

on_every_store! {
    committed_records_are_read_back_in_order
    a_failed_attempt_leaves_no_trace
    an_attempt_that_panics_leaves_no_trace
    a_snapshot_stands_still_while_the_store_goes_on
    store_refuses_changes_of_what_changed_meanwhile
    store_refuses_a_hold_that_ended_meanwhile_though_its_account_looks_the_same
    store_refuses_a_record_that_appeared_or_changed_meanwhile
    store_refuses_an_id_used_before_even_where_the_ledger_was_bypassed
    store_refuses_changes_that_do_not_balance
    store_refuses_a_table_it_was_not_opened_with
    payer_cannot_spend_twice_within_one_batch_or_across_batches
    holds_fall_due_from_store_and_batch_together
    an_epoch_is_kept
    rows_deleted_in_a_batch_do_not_shorten_a_page
    the_journal_goes_on_from_row_to_row
    an_overlay_reads_like_a_store
    random_batches_leave_books_that_their_journal_explains
}

fn put(store: &mut dyn Store, table: Table, key: &[u8], value: &[u8]) {
    commit(store, |tx| {
        tx.put(table, key, value.to_vec());
        Ok(())
    });
}

fn all<'a>(prefix: &'a [u8]) -> Scan<'a> {
    Scan { prefix, after: None, limit: 100 }
}

fn committed_records_are_read_back_in_order<K: Kind>(kind: &mut K) {
    let store = &mut *kind.open();
    for key in [&b"b"[..], b"a", b"a\x00", b"a\xff", b"\xff", b"\xff\xff", b""] {
        put(store, NOTES, key, key);
    }
    put(store, OTHER, b"a", b"elsewhere");
    let keys =
        |scan: Scan<'_>| -> Vec<Vec<u8>> { store.scan(NOTES, scan).unwrap().into_iter().map(|(key, _)| key).collect() };
    assert_eq!(keys(all(b"")), [&b""[..], b"a", b"a\x00", b"a\xff", b"b", b"\xff", b"\xff\xff"]);
    assert_eq!(keys(all(b"a")), [&b"a"[..], b"a\x00", b"a\xff"]);
    assert_eq!(keys(all(b"\xff")), [&b"\xff"[..], b"\xff\xff"]);
    assert_eq!(keys(Scan { after: Some(b"a"), ..all(b"a") }), [&b"a\x00"[..], b"a\xff"]);
    assert_eq!(keys(Scan { after: Some(b"0"), limit: 2, ..all(b"a") }), [&b"a"[..], b"a\x00"]);
    assert_eq!(keys(Scan { after: Some(b"b"), ..all(b"a") }), [b""; 0]);
    assert_eq!(store.get(OTHER, b"a").unwrap().unwrap(), b"elsewhere");
    assert_eq!(store.get(NOTES, b"c").unwrap(), None);
    commit(store, |tx| {
        tx.delete(NOTES, b"a");
        tx.delete(NOTES, b"never there");
        Ok(())
    });
    assert_eq!(store.get(NOTES, b"a").unwrap(), None);
}

fn a_failed_attempt_leaves_no_trace<K: Kind>(kind: &mut K) {
    let store = &mut *kind.open();
    found(store);
    put(store, NOTES, b"kept", b"old");
    let mut overlay = Overlay::new(store);
    overlay
        .attempt(|tx| {
            tx.put(NOTES, b"first", b"1".to_vec());
            tx.put(NOTES, b"kept", b"new".to_vec());
            Ledger(tx).post(transfer(2, ALICE, BOB, 10))?;
            Ledger(tx).hold(hold(3, ALICE, 10, 50), at(1))?;
            Ok::<_, Halt>(())
        })
        .unwrap();
    let refusal = Refusal::new(Code::Policy, "no");
    let answer: Result<(), Halt> = overlay.attempt(|tx| {
        tx.put(NOTES, b"first", b"2".to_vec());
        tx.put(NOTES, b"second", b"2".to_vec());
        tx.delete(NOTES, b"kept");
        Ledger(tx).post(transfer(4, ALICE, BOB, 10))?;
        Ledger(tx).release(id(3), at(2))?;
        Ledger(tx).hold(hold(5, ALICE, 10, 50), at(1))?;
        Ledger(tx).freeze(CAROL, at(1))?;
        assert_eq!(tx.get(NOTES, b"second")?.unwrap(), b"2");
        Err(refusal.clone().into())
    });
    assert_eq!(answer, Err(Halt::Refused(refusal)));
    assert_eq!(overlay.get(NOTES, b"first").unwrap().unwrap(), b"1");
    assert_eq!(overlay.get(NOTES, b"second").unwrap(), None);
    assert_eq!(overlay.get(NOTES, b"kept").unwrap().unwrap(), b"new");
    assert_eq!(overlay.hold(id(5)).unwrap(), None);
    assert_eq!(Ledger(&mut overlay).post(transfer(4, ALICE, CAROL, 1)), Ok(Posted::Now), "its id is free again");
    let writes = overlay.into_write_set();
    store.commit(&writes).unwrap();
    assert_eq!(balance(store, BOB).unwrap(), 10);
    assert_eq!(store.hold(id(3)).unwrap().unwrap().state, HoldState::Open);
    assert!(!store.account(CAROL).unwrap().unwrap().frozen);
    assert_eq!(store.get(NOTES, b"second").unwrap(), None);
    audit(store).unwrap();
}

fn an_attempt_that_panics_leaves_no_trace<K: Kind>(kind: &mut K) {
    let store = &mut *kind.open();
    found(store);
    let mut overlay = Overlay::new(store);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        overlay.attempt(|tx| -> Result<(), Halt> {
            tx.put(NOTES, b"half", b"done".to_vec());
            Ledger(tx).post(transfer(2, ALICE, BOB, 10))?;
            panic!("a bug in a role");
        })
    }));
    assert!(panicked.is_err());
    assert!(overlay.is_unchanged());
    assert!(overlay.into_write_set().is_empty());
}

fn a_snapshot_stands_still_while_the_store_goes_on<K: Kind>(kind: &mut K) {
    let store = &mut *kind.open();
    found(store);
    let snapshot = store.reader().unwrap();
    put(store, NOTES, b"new", b"1");
    post(store, transfer(2, ALICE, BOB, 10));
    assert_eq!(snapshot.get(NOTES, b"new").unwrap(), None);
    assert_eq!(snapshot.account(ALICE).unwrap().unwrap().balance(), 1_000);
    assert_eq!(snapshot.transfer(id(2)).unwrap(), None);
    let (old, new) = (audit(&*snapshot).unwrap(), audit(store).unwrap());
    assert_eq!(old.head.seq + 1, new.head.seq);
    drop(snapshot);
    assert_eq!(store.reader().unwrap().account(ALICE).unwrap().unwrap().balance(), 990);
}

/// Asserts that a commit fails so, that the store answers nothing afterwards, and that a store
/// opened again holds what it held before.
#[track_caller]
fn refused<K: Kind>(kind: &mut K, mut store: Box<dyn Store>, writes: &WriteSet, why: fn(&StoreError) -> bool) {
    let head = store.head().unwrap();
    let fault = store.commit(writes).unwrap_err();
    let said = store.fault().unwrap();
    assert!(why(said), "{said:?}");
    assert_eq!(fault.0, said.to_string());
    assert!(store.head().is_err(), "a store that failed still answers");
    assert!(store.commit(&WriteSet::default()).is_err(), "a store that failed still commits");
    assert!(store.reader().is_err());
    assert!(store.set_epoch(1).is_err());
    drop(store);
    let again = kind.open();
    if again.head().unwrap() != Head::default() {
        assert_eq!(again.head().unwrap(), head, "part of a refused commit was kept");
    }
    audit(&*again).unwrap();
}

fn store_refuses_changes_of_what_changed_meanwhile<K: Kind>(kind: &mut K) {
    let mut store = kind.open();
    found(&mut *store);
    let (_, spend) = run(&*store, |tx| Ok(Ledger(tx).post(transfer(2, ALICE, BOB, 1_000))?));
    let (_, spend_again) = run(&*store, |tx| Ok(Ledger(tx).post(transfer(3, ALICE, CAROL, 1_000))?));
    store.commit(&spend).unwrap();
    refused(kind, store, &spend_again, |why| matches!(why, StoreError::Stale(_)));
}

fn store_refuses_a_hold_that_ended_meanwhile_though_its_account_looks_the_same<K: Kind>(kind: &mut K) {
    let mut store = kind.open();
    found(&mut *store);
    commit(&mut *store, |tx| Ok(Ledger(tx).hold(hold(3, ALICE, 5, 50), at(1))?));
    let (_, release) = run(&*store, |tx| Ok(Ledger(tx).release(id(3), at(2))?));
    store.commit(&release).unwrap();
    commit(&mut *store, |tx| Ok(Ledger(tx).hold(hold(4, ALICE, 5, 50), at(2))?));
    refused(kind, store, &release, |why| matches!(why, StoreError::Stale(_)));
}

type Write = fn(&mut dyn Records);

fn store_refuses_a_record_that_appeared_or_changed_meanwhile<K: Kind>(kind: &mut K) {
    let changes: [(&[u8], Write); 4] = [
        (b"old", |tx| tx.put(NOTES, b"old", b"mine".to_vec())),
        (b"old", |tx| tx.delete(NOTES, b"old")),
        (b"new", |tx| tx.put(NOTES, b"new", b"mine".to_vec())),
        (b"gone", |tx| tx.put(NOTES, b"gone", b"mine".to_vec())),
    ];
    for (key, change) in changes {
        let mut kind = K::fresh();
        let mut store = kind.open();
        put(&mut *store, NOTES, b"old", b"1");
        put(&mut *store, NOTES, b"gone", b"1");
        let ((), writes) = run(&*store, |tx| {
            tx.get(NOTES, key)?;
            change(tx);
            Ok(())
        });
        put(&mut *store, NOTES, b"old", b"theirs");
        put(&mut *store, NOTES, b"new", b"theirs");
        commit(&mut *store, |tx| {
            tx.delete(NOTES, b"gone");
            Ok(())
        });
        refused(&mut kind, store, &writes, |why| matches!(why, StoreError::Stale(_)));
    }
    // Somebody who never looked replaces whatever is there.
    let store = &mut *kind.open();
    let ((), writes) = run(store, |tx| {
        tx.put(NOTES, b"new", b"mine".to_vec());
        Ok(())
    });
    put(store, NOTES, b"new", b"theirs");
    store.commit(&writes).unwrap();
    assert_eq!(store.get(NOTES, b"new").unwrap().unwrap(), b"mine");
}

fn store_refuses_an_id_used_before_even_where_the_ledger_was_bypassed<K: Kind>(kind: &mut K) {
    let mut store = kind.open();
    found(&mut *store);
    let (_, mut writes) = run(&*store, |tx| Ok(Ledger(tx).post(transfer(2, ALICE, BOB, 5))?));
    writes.entries = vec![Entry::Moved(Transfer { id: id(1), ..transfer(2, ALICE, BOB, 5) })];
    refused(kind, store, &writes, |why| {
        matches!(why, StoreError::Stale(_)) || why.to_string().contains("UNIQUE constraint failed: journal.id")
    });
}

fn store_refuses_changes_that_do_not_balance<K: Kind>(_: &mut K) {
    let spoil: [fn(&mut WriteSet); 6] = [
        |w| w.accounts[0].after.debits_posted -= 1,
        |w| w.accounts.iter_mut().for_each(|c| c.after.credits_posted += 1),
        |w| w.accounts.truncate(1),
        |w| w.entries.clear(),
        |w| w.holds.clear(),
        |w| w.entries.push(Entry::Moved(transfer(9, BOB, ALICE, 3))),
    ];
    for spoil in spoil {
        let mut kind = K::fresh();
        let mut store = kind.open();
        found(&mut *store);
        let (_, mut writes) = run(&*store, |tx| {
            Ledger(tx).hold(hold(3, ALICE, 5, 50), at(1))?;
            Ok(Ledger(tx).post(transfer(2, ALICE, BOB, 5))?)
        });
        spoil(&mut writes);
        refused(&mut kind, store, &writes, |why| matches!(why, StoreError::Unbalanced(_)));
    }
}

fn store_refuses_a_table_it_was_not_opened_with<K: Kind>(kind: &mut K) {
    let store = kind.open();
    let stranger = Table("stranger");
    assert!(store.get(stranger, b"a").is_err());
    let ((), writes) = run(&*store, |tx| {
        tx.put(stranger, b"a", vec![]);
        Ok(())
    });
    refused(kind, store, &writes, |why| *why == StoreError::UnknownTable("stranger".into()));
}

fn payer_cannot_spend_twice_within_one_batch_or_across_batches<K: Kind>(kind: &mut K) {
    let store = &mut *kind.open();
    found(store);
    let mut overlay = Overlay::new(store);
    let pay = transfer(2, ALICE, BOB, 600);
    assert_eq!(Ledger(&mut overlay).post(pay), Ok(Posted::Now));
    assert_eq!(Ledger(&mut overlay).post(pay), Ok(Posted::Before));
    let more = Ledger(&mut overlay).post(transfer(3, ALICE, BOB, 600));
    assert_eq!(more, Err(LedgerError::Refused(LedgerRefusal::Funds(ALICE))));
    let writes = overlay.into_write_set();
    store.commit(&writes).unwrap();
    assert_eq!(post(store, pay), Posted::Before);
    assert_eq!(balance(store, BOB).unwrap(), 600);
    let mut overlay = Overlay::new(store);
    let other = Ledger(&mut overlay).post(Transfer { amount: xts(1), ..pay });
    assert_eq!(other, Err(LedgerError::Refused(LedgerRefusal::IdTaken(id(2)))));
    // An id older than the newest, never used, is found unused all the same.
    assert_eq!(Ledger(&mut overlay).post(Transfer { id: id(0), ..transfer(9, ALICE, BOB, 1) }), Ok(Posted::Now));
}

fn holds_fall_due_from_store_and_batch_together<K: Kind>(kind: &mut K) {
    let store = &mut *kind.open();
    found(store);
    commit(store, |tx| {
        for (n, until) in [(10, 30), (11, 10), (12, 20), (13, 99)] {
            Ledger(tx).hold(hold(n, ALICE, 1, until), at(1))?;
        }
        Ok(())
    });
    let due = |books: &dyn Books, limit| -> Vec<_> {
        books.holds_due(at(30), limit).unwrap().into_iter().map(|h| h.id).collect()
    };
    let mut overlay = Overlay::new(store);
    assert_eq!(due(&overlay, 9), [id(11), id(12), id(10)]);
    Ledger(&mut overlay).release(id(11), at(2)).unwrap();
    Ledger(&mut overlay).hold(hold(20, ALICE, 1, 15), at(1)).unwrap();
    assert_eq!(due(&overlay, 2), [id(20), id(12)]);
    let mut fresh = Overlay::new(store);
    Ledger(&mut fresh).release(id(11), at(2)).unwrap();
    assert_eq!(due(&fresh, 2), [id(12), id(10)], "a hold that ended took another's place");
    assert_eq!(Ledger(&mut overlay).expire_due(at(30), 9), Ok(3));
    let writes = overlay.into_write_set();
    store.commit(&writes).unwrap();
    assert_eq!(store.holds_due(at(98), 9).unwrap(), []);
    assert_eq!(store.holds_due(at(99), 9).unwrap().len(), 1);
    assert_eq!(store.account(ALICE).unwrap().unwrap().held, 1);
    assert_eq!(audit(store).unwrap().holds, 5);
}

fn rows_deleted_in_a_batch_do_not_shorten_a_page<K: Kind>(kind: &mut K) {
    let store = &mut *kind.open();
    for key in 0..6u8 {
        put(store, NOTES, &[key], &[key]);
    }
    let mut overlay = Overlay::new(store);
    for key in 0..3u8 {
        overlay.delete(NOTES, &[key]);
    }
    let page = overlay.scan(NOTES, Scan { limit: 2, ..all(b"") }).unwrap();
    assert_eq!(page, [(vec![3], vec![3]), (vec![4], vec![4])]);
}

fn an_epoch_is_kept<K: Kind>(kind: &mut K) {
    let store = &mut *kind.open();
    assert_eq!(store.epoch().unwrap(), 0);
    store.set_epoch(7).unwrap();
    assert_eq!(store.epoch().unwrap(), 7);
    store.set_epoch(8).unwrap();
    assert_eq!(store.epoch().unwrap(), 8);
}

fn the_journal_goes_on_from_row_to_row<K: Kind>(kind: &mut K) {
    let store = &mut *kind.open();
    found(store);
    let mut head = Head::default();
    let rows = store.journal(0, 100).unwrap();
    for row in &rows {
        head = head.after(&row.entry);
        assert_eq!((row.seq, row.hash), (head.seq, head.hash));
    }
    assert_eq!(store.head().unwrap(), head);
    assert_eq!(store.journal(3, 1).unwrap(), rows[3..4]);
    assert_eq!(store.journal_row(id(1)).unwrap().as_ref(), rows.last());
    assert_eq!(store.journal_row(id(2)).unwrap(), None);
}

fn an_overlay_reads_like_a_store<K: Kind>(_: &mut K) {
    let key = || prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..4);
    let change = || (key(), any::<Option<u8>>());
    let scans = prop::collection::vec((key(), prop::option::of(key()), 0..5usize), 1..6);
    let all = (prop::collection::vec(change(), 0..12), prop::collection::vec((change(), any::<bool>()), 0..12), scans);
    proptest!(ProptestConfig::with_cases(48), |((below, above, scans) in all)| {
        let mut kind = K::fresh();
        let store = &mut *kind.open();
        let mut expected: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut change = |tx: &mut dyn Records, (key, value): (Vec<u8>, Option<u8>)| match value {
            Some(value) => {
                tx.put(NOTES, &key, vec![value]);
                expected.insert(key, vec![value]);
            }
            None => {
                tx.delete(NOTES, &key);
                expected.remove(&key);
            }
        };
        commit(store, |tx| { below.into_iter().for_each(|c| change(tx, c)); Ok(()) });
        let mut overlay = Overlay::new(store);
        for (c, read_first) in above {
            if read_first {
                overlay.get(NOTES, &c.0).unwrap();
            }
            change(&mut overlay, c);
        }
        let answers = |from: &dyn Fn(Scan<'_>) -> Vec<farthing_role::Row>| -> Vec<_> {
            scans.iter().map(|(prefix, after, limit)| from(Scan { prefix, after: after.as_deref(), limit: *limit })).collect()
        };
        let model = answers(&|scan| {
            let rows = expected.iter().filter(|(k, _)| k.starts_with(scan.prefix) && scan.after.is_none_or(|a| a < &k[..]));
            rows.take(scan.limit).map(|(k, v)| (k.clone(), v.clone())).collect()
        });
        prop_assert_eq!(&answers(&|scan| overlay.scan(NOTES, scan).unwrap()), &model);
        for (key, value) in &expected {
            prop_assert_eq!(overlay.get(NOTES, key).unwrap(), Some(value.clone()));
        }
        let writes = overlay.into_write_set();
        store.commit(&writes).unwrap();
        prop_assert_eq!(&answers(&|scan| store.scan(NOTES, scan).unwrap()), &model);
    });
}

fn random_batches_leave_books_that_their_journal_explains<K: Kind>(_: &mut K) {
    let names = [WORLD, ALICE, BOB, CAROL];
    let step = (0..6u8, 2..40u64, 0..4usize, 0..4usize, 0..400u64, 1..60u64);
    let batches = prop::collection::vec(prop::collection::vec(step, 0..10), 1..8);
    proptest!(ProptestConfig::with_cases(48), |(batches in batches)| {
        let mut kind = K::fresh();
        let store = &mut *kind.open();
        found(store);
        for batch in batches {
            let mut overlay = Overlay::new(store);
            for (what, n, from, to, micros, time) in batch {
                let _refused: Result<_, Halt> = overlay.attempt(|tx| {
                    let pay = transfer(n, names[from], names[to], micros);
                    let mut ledger = Ledger(tx);
                    Ok(match what {
                        0 | 1 => ledger.post(pay)?,
                        2 => ledger.capture(Transfer { hold: Some(id(time)), ..pay })?,
                        3 => ledger.hold(hold(n, names[from], micros, time), at(1))?,
                        4 => ledger.release(id(n), at(time))?,
                        _ => { ledger.expire_due(at(time), 3)?; Posted::Now }
                    })
                });
            }
            let writes = overlay.into_write_set();
            store.commit(&writes).unwrap();
        }
        let report = audit(store).unwrap();
        let mut replay = Replay::default();
        for row in store.journal(0, usize::MAX).unwrap() {
            replay.apply(&farthing_core::wire::decode(&row.entry).unwrap()).unwrap();
        }
        let stored = store.accounts(None, 100).unwrap();
        prop_assert!(stored.iter().eq(replay.accounts().values()));
        prop_assert!(report.totals.values().all(farthing_ledger::Totals::is_conserved));
    });
}

#[test]
fn a_write_set_names_each_row_once_with_what_was_read() {
    let mut store = MemoryStore::new(TABLES);
    put(&mut store, NOTES, b"a", b"1");
    let mut overlay = Overlay::new(&store);
    overlay.get(NOTES, b"a").unwrap();
    overlay.put(NOTES, b"a", b"2".to_vec());
    overlay.put(NOTES, b"b", b"2".to_vec());
    overlay.put(NOTES, b"b", b"3".to_vec());
    let row = |key: &[u8], before, after: &[u8]| RowChange {
        table: NOTES,
        key: key.to_vec(),
        before,
        after: Some(after.to_vec()),
    };
    let expected = [row(b"a", Before::Was(Some(b"1".to_vec())), b"2"), row(b"b", Before::Unread, b"3")];
    assert_eq!(overlay.into_write_set().rows, expected);
}

#[test]
fn a_clone_of_a_store_in_memory_is_what_a_crash_would_leave() {
    let mut store = MemoryStore::new(TABLES);
    found(&mut store);
    let crashed = store.clone();
    post(&mut store, transfer(2, ALICE, BOB, 10));
    assert_eq!(balance(&crashed, BOB).unwrap(), 0);
    assert_eq!(balance(&store, BOB).unwrap(), 10);
}
