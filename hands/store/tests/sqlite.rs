//! What only a store on a disk can get wrong: locks, modes, crashes, a full disk, copies.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{ALICE, BOB, CAROL, Home, NOTES, TABLES, at, found, id, post, run, transfer};
use farthing_ledger::{Head, Ledger};
use farthing_role::Table;
use farthing_store::audit::audit;
use farthing_store::{Reader, SqliteOptions, SqliteSnapshot, SqliteStore, Store, StoreError};

fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, TABLES, &SqliteOptions::default())
}

#[test]
fn a_second_writer_is_refused_and_told_which_file() {
    let home = Home::new();
    let store = home.open();
    assert_eq!(open(&home.file()).err(), Some(StoreError::Locked(home.file())));
    drop(store);
    assert!(open(&home.file()).is_ok(), "the lock outlived its owner");
}

/// Runs one test of this file in a process of its own.
fn in_another_process(test: &str, folder: &Path, before: &str) -> String {
    let shell = format!("{before} exec \"$0\" --exact {test} --ignored --nocapture --test-threads 1");
    let child = Command::new("sh")
        .args(["-c", &shell])
        .arg(std::env::current_exe().unwrap())
        .env("STORE_TEST_FOLDER", folder)
        .output()
        .unwrap();
    String::from_utf8_lossy(&child.stdout).into_owned()
}

fn childs_file() -> Option<std::path::PathBuf> {
    std::env::var_os("STORE_TEST_FOLDER").map(|folder| Path::new(&folder).join("books.db"))
}

#[test]
fn a_second_process_is_refused_for_writing_but_may_look() {
    let home = Home::new();
    let mut store = home.open();
    found(&mut store);
    let said = in_another_process("child_opens_the_store", home.folder(), "");
    assert!(said.contains("CHILD locked"), "{said}");
    assert!(said.contains("CHILD audited 5"), "{said}");
    drop(store);
    let said = in_another_process("child_opens_the_store", home.folder(), "");
    assert!(said.contains("CHILD opened") && said.contains("CHILD audited 5"), "{said}");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child_opens_the_store() {
    let Some(file) = childs_file() else { return };
    match open(&file) {
        Err(StoreError::Locked(_)) => println!("\nCHILD locked"),
        Ok(_) => println!("\nCHILD opened"),
        Err(why) => panic!("{why}"),
    }
    let snapshot = SqliteSnapshot::open(&file, TABLES).unwrap();
    println!("\nCHILD audited {}", audit(&snapshot).unwrap().head.seq);
}

#[test]
fn everything_on_disk_is_private_to_its_owner() {
    let home = Home::new();
    let folder = home.folder().join("deep/er");
    let mut store = open(&folder.join("books.db")).unwrap();
    found(&mut store);
    let _reader = store.reader().unwrap();
    store.backup(&folder.join("copy.db")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut files = 0;
    for file in fs::read_dir(&folder).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        files += 1;
    }
    assert_eq!(files, 5, "file, log, index of the log, lock and copy");
}

#[test]
fn store_refuses_a_file_that_others_can_read_or_replace() {
    let home = Home::new();
    drop(home.open());
    fs::set_permissions(home.file(), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(open(&home.file()), Err(StoreError::Exposed { mode: 0o640, .. })));
    fs::set_permissions(home.file(), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(home.folder(), fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(open(&home.file()), Err(StoreError::Exposed { mode: 0o770, .. })));
}

#[test]
fn store_refuses_what_is_no_store_and_names_no_table_can_have() {
    let home = Home::new();
    fs::write(home.file(), [b'x'; 9_000]).unwrap();
    fs::set_permissions(home.file(), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(open(&home.file()), Err(StoreError::Damaged(_))));
    for name in ["", "Notes", "a b", "a;", "é", "a-b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let opened = SqliteStore::open(home.file(), &[Table(name)], &SqliteOptions::default());
        assert_eq!(opened.err(), Some(StoreError::TableName(name.into())));
    }
}

#[test]
fn store_refuses_a_file_written_by_a_later_version() {
    let home = Home::new();
    drop(home.open());
    let file = rusqlite::Connection::open(home.file()).unwrap();
    file.execute("INSERT INTO steps VALUES (2, zeroblob(32))", []).unwrap();
    drop(file);
    assert_eq!(open(&home.file()).err(), Some(StoreError::Newer { path: home.file(), found: 2, known: 1 }));
}

/// Copies the file and as much of its log as the power cut let through.
fn crash(home: &Home, log: Option<u64>) -> Home {
    let copy = Home::new();
    fs::copy(home.file(), copy.file()).unwrap();
    let log_of = |home: &Home| home.folder().join("books.db-wal");
    if log_of(home).exists() {
        fs::copy(log_of(home), log_of(&copy)).unwrap();
        if let Some(length) = log {
            fs::OpenOptions::new().write(true).open(log_of(&copy)).unwrap().set_len(length).unwrap();
        }
    }
    copy
}

/// A few numbers that look random and are the same in every run.
fn dice(n: u64) -> u64 {
    u64::from_be_bytes(
        farthing_core::hash::hash(farthing_core::hash::Purpose::Schema, &[&n.to_be_bytes()])[..8].try_into().unwrap(),
    )
}

#[test]
fn whatever_was_acknowledged_is_there_after_a_crash_between_commits() {
    let home = Home::new();
    let mut store = home.open();
    found(&mut store);
    let mut crashes = 0;
    for n in 2..160u64 {
        // Some commits are large, so that the log is folded into the file now and then.
        let size = if n % 40 == 0 { 300_000 } else { 100 };
        common::commit(&mut store, |tx| {
            tx.put(NOTES, &n.to_be_bytes(), vec![7; size]);
            Ok(Ledger(tx).post(transfer(n, ALICE, [BOB, CAROL][usize::from(n % 2 == 0)], 1))?)
        });
        if dice(n).is_multiple_of(4) {
            crashes += 1;
            let survived = crash(&home, None);
            let found = survived.open();
            assert_eq!(found.head().unwrap(), store.head().unwrap());
            assert_eq!(found.get(NOTES, &n.to_be_bytes()).unwrap().unwrap().len(), size);
            assert!(found.transfer(id(n)).unwrap().is_some());
            assert_eq!(audit(&found).unwrap(), audit(&store).unwrap());
        }
    }
    assert!(crashes > 20);
}

#[test]
fn a_log_cut_anywhere_leaves_whole_commits_only() {
    let home = Home::new();
    let mut store = home.open();
    found(&mut store);
    let mut heads: Vec<Head> = (0..=store.head().unwrap().seq).map(|seq| head_at(&store, seq)).collect();
    for n in 2..30u64 {
        common::commit(&mut store, |tx| {
            tx.put(NOTES, &n.to_be_bytes(), vec![7; 3_000]);
            Ledger(tx).post(transfer(2 * n, ALICE, BOB, 1))?;
            Ok(Ledger(tx).post(transfer(2 * n + 1, BOB, CAROL, 1))?)
        });
        heads.push(store.head().unwrap());
    }
    let whole = fs::metadata(home.folder().join("books.db-wal")).unwrap().len();
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..60 {
        let survived = crash(&home, Some(dice(n) % whole));
        let Ok(found) = open(&survived.file()) else { panic!("cut {n}") };
        let head = found.head().unwrap();
        assert!(heads.contains(&head), "half a commit survived: {head:?}");
        audit(&found).unwrap();
        seen.insert(head.seq);
    }
    assert!(seen.len() > 5, "the cuts fell into few commits only: {seen:?}");
}

fn head_at(store: &SqliteStore, seq: u64) -> Head {
    store
        .journal(0, 1_000)
        .unwrap()
        .iter()
        .take_while(|row| row.seq <= seq)
        .fold(Head::default(), |h, r| h.after(&r.entry))
}

#[test]
fn a_full_store_says_so_stops_and_keeps_whole_commits_only() {
    let home = Home::new();
    let options = SqliteOptions { max_bytes: Some(400_000) };
    let mut store = SqliteStore::open(home.file(), TABLES, &options).unwrap();
    found(&mut store);
    let mut last = store.head().unwrap();
    let mut refused = None;
    for n in 2..500u64 {
        let (_, writes) = run(&store, |tx| {
            Ledger(tx).post(transfer(n, ALICE, BOB, 1))?;
            tx.put(NOTES, &n.to_be_bytes(), vec![7; 3_000]);
            Ok(())
        });
        if store.commit(&writes).is_err() {
            refused = Some(n);
            break;
        }
        last = store.head().unwrap();
    }
    let n = refused.expect("the limit did not hold");
    assert_eq!(store.fault(), Some(&StoreError::Full));
    assert!(store.head().is_err() && store.epoch().is_err(), "a store that failed still answers");
    drop(store);
    let mut again = home.open();
    assert_eq!(again.head().unwrap(), last);
    assert!(again.transfer(id(n)).unwrap().is_none() && again.get(NOTES, &n.to_be_bytes()).unwrap().is_none());
    audit(&again).unwrap();
    post(&mut again, transfer(n, ALICE, BOB, 1));
}

#[test]
fn a_disk_that_takes_no_more_bytes_loses_nothing_acknowledged() {
    for blocks in [400, 555, 700, 1_111, 2_500] {
        let home = Home::new();
        let limit = format!("trap '' XFSZ; ulimit -f {blocks};");
        let said = in_another_process("child_fills_the_disk", home.folder(), &limit);
        let acknowledged: u64 = said.lines().filter_map(|l| l.strip_prefix("ACK ")?.parse().ok()).max().unwrap_or(0);
        assert!(said.contains("FAILED typed"), "{blocks} blocks: {said}");
        let store = home.open();
        audit(&store).unwrap();
        let head = store.head().unwrap().seq;
        // The commit that failed may be there whole or not at all.
        assert!(head == acknowledged || head == acknowledged + 2, "{blocks}: {head} of {acknowledged}");
    }
}

#[test]
#[ignore = "run by the test above, in a process that may not write large files"]
fn child_fills_the_disk() {
    let Some(file) = childs_file() else { return };
    let mut store = open(&file).unwrap();
    found(&mut store);
    println!("\nACK {}", store.head().unwrap().seq);
    for n in 2..5_000u64 {
        let (_, writes) = run(&store, |tx| {
            Ledger(tx).post(transfer(2 * n, ALICE, BOB, 1))?;
            tx.put(NOTES, &n.to_be_bytes(), vec![7; 2_000]);
            Ok(Ledger(tx).post(transfer(2 * n + 1, BOB, CAROL, 1))?)
        });
        if store.commit(&writes).is_err() {
            let typed = matches!(store.fault(), Some(StoreError::Full | StoreError::Disk(_)));
            println!("\nFAILED {}", if typed { "typed".into() } else { format!("{:?}", store.fault()) });
            assert!(store.head().is_err());
            return;
        }
        println!("ACK {}", store.head().unwrap().seq);
    }
}

#[test]
fn a_backup_is_a_whole_store_and_overwrites_nothing() {
    let home = Home::new();
    let mut store = home.open();
    found(&mut store);
    store.set_epoch(3).unwrap();
    let copy = home.folder().join("copy.db");
    store.backup(&copy).unwrap();
    let before = store.head().unwrap();
    post(&mut store, transfer(2, ALICE, BOB, 10));
    assert_eq!(store.backup(&copy), Err(StoreError::Exists(copy.clone())));
    assert!(store.head().is_ok(), "a refused backup stopped the store");
    let mut restored = open(&copy).unwrap();
    assert_eq!((restored.head().unwrap(), restored.epoch().unwrap()), (before, 3));
    audit(&restored).unwrap();
    post(&mut restored, transfer(2, ALICE, CAROL, 10));
    assert_eq!(
        fs::read_dir(home.folder())
            .unwrap()
            .filter(|f| f.as_ref().unwrap().path().to_string_lossy().contains("unfinished"))
            .count(),
        0
    );
}

#[test]
fn a_store_opened_again_goes_on_where_it_stopped() {
    let home = Home::new();
    let mut store = home.open();
    found(&mut store);
    let (head, accounts) = (store.head().unwrap(), store.accounts(None, 9).unwrap());
    store.set_epoch(4).unwrap();
    drop(store);
    let mut store = home.open();
    assert_eq!(store.epoch().unwrap(), 4, "written between reads and a crash, it was lost");
    assert_eq!((store.head().unwrap(), store.accounts(None, 9).unwrap()), (head, accounts));
    assert_eq!(post(&mut store, transfer(1, common::WORLD, ALICE, 1_000)), farthing_ledger::Posted::Before);
    post(&mut store, transfer(2, ALICE, BOB, 10));
    assert_eq!(audit(&store).unwrap().head.seq, head.seq + 1);
    assert_eq!(store.holds_due(at(u64::MAX), 9).unwrap(), []);
}
