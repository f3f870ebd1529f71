//! Somebody who can write to the file changes it; the audit names the first row that is wrong.

mod common;

use common::{ALICE, BOB, CAROL, Home, WORLD, at, found, hold, id, post, transfer};
use farthing_core::id::{AccountId, TransferId};
use farthing_core::wire;
use farthing_ledger::{Entry, Head, Ledger, Transfer};
use farthing_store::audit::{AuditError, BadRow, RowName, Wrong, audit, audit_since};
use farthing_store::{Reader, SqliteOptions, SqliteStore, StoreError};
use rusqlite::Connection;

const DAVE: AccountId = AccountId([0; 16]);

/// Twelve rows of journal: 1 to 4 open the accounts, 5 funds Alice with 1000 (id 1), 6 pays Bob 10
/// (id 2), 7 holds 20 (id 3), 8 captures 5 of it for Bob (id 4), 9 releases the rest, 10 holds 7
/// (id 5, still open), 11 freezes Carol, 12 pays Bob 1 (id 6).
fn town() -> (Home, Head) {
    let home = Home::new();
    let mut store = home.open();
    found(&mut store);
    post(&mut store, transfer(2, ALICE, BOB, 10));
    common::commit(&mut store, |tx| Ok(Ledger(tx).hold(hold(3, ALICE, 20, 50), at(1))?));
    post(&mut store, Transfer { hold: Some(id(3)), ..transfer(4, ALICE, BOB, 5) });
    common::commit(&mut store, |tx| Ok(Ledger(tx).release(id(3), at(2))?));
    common::commit(&mut store, |tx| Ok(Ledger(tx).hold(hold(5, ALICE, 7, 50), at(1))?));
    common::commit(&mut store, |tx| Ok(Ledger(tx).freeze(CAROL, at(3))?));
    post(&mut store, transfer(6, ALICE, BOB, 1));
    let head = audit(&store).unwrap().head;
    assert_eq!(head.seq, 12);
    drop(store);
    (home, head)
}

/// The intruder's connection: no checks, no foreign keys.
fn intrude(home: &Home) -> Connection {
    let file = Connection::open(home.file()).unwrap();
    file.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF").unwrap();
    file
}

/// What the audit says of a town after these statements.
fn after(sql: &str) -> BadRow {
    after_all(|file| file.execute_batch(sql).unwrap())
}

fn after_all(tamper: impl FnOnce(&Connection)) -> BadRow {
    let (home, _) = town();
    tamper(&intrude(&home));
    match audit(&home.open()) {
        Err(AuditError::Bad(bad)) => bad,
        other => panic!("the audit saw nothing: {other:?}"),
    }
}

fn x(id: impl AsRef<[u8]>) -> String {
    format!("X'{}'", id.as_ref().iter().map(|b| format!("{b:02x}")).collect::<String>())
}

fn account(id: AccountId, set: &str) -> BadRow {
    after(&format!("UPDATE accounts SET {set} WHERE id = {}", x(id.0)))
}

fn differs(bad: BadRow, row: RowName, column: &str) {
    assert_eq!(bad.row, row);
    assert!(matches!(bad.wrong, Wrong::Differs { field, .. } if field == column), "{bad}");
}

fn names(bad: BadRow, row: RowName, wrong: Wrong) {
    assert_eq!(bad, BadRow { row, wrong });
}

/// Rewrites a row of the journal and gives it, and with `all` every later row, a fitting hash.
fn rewrite(file: &Connection, seq: u64, entry: &[u8], all: bool) {
    file.execute("UPDATE journal SET entry = ?2 WHERE seq = ?1", (seq, entry)).unwrap();
    let mut rows = file.prepare("SELECT seq, entry, hash FROM journal ORDER BY seq").unwrap();
    let rows: Vec<(u64, Vec<u8>, [u8; 32])> =
        rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap().map(Result::unwrap).collect();
    let mut head = Head::default();
    for (n, entry, hash) in rows {
        let next = head.after(&entry);
        let stays = n < seq || (n > seq && !all);
        head = if stays { Head { seq: n, hash } } else { next };
        file.execute("UPDATE journal SET hash = ?2 WHERE seq = ?1", (n, head.hash)).unwrap();
    }
}

fn moved(t: Transfer) -> Vec<u8> {
    wire::encode(&Entry::Moved(t))
}

/// Appends a row with a fitting hash, as the program itself would.
fn append(file: &Connection, id: Option<TransferId>, entry: &[u8]) {
    let last = "SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1";
    let head = file.query_row(last, [], |r| Ok(Head { seq: r.get(0)?, hash: r.get(1)? })).unwrap().after(entry);
    file.execute("INSERT INTO journal VALUES (?1, ?2, ?3, ?4)", (head.seq, id.map(|id| id.0), entry, head.hash))
        .unwrap();
}

#[test]
fn audit_names_an_account_whose_balance_was_raised() {
    differs(account(BOB, "credits = credits + 5"), RowName::Account(BOB), "credits");
}

#[test]
fn audit_names_an_account_whose_spending_was_forgotten() {
    differs(account(ALICE, "debits = 0"), RowName::Account(ALICE), "debits");
}

#[test]
fn audit_names_the_first_of_two_accounts_changed_so_that_sums_agree() {
    let bad = after(&format!(
        "UPDATE accounts SET credits = credits + 5 WHERE id = {};
         UPDATE accounts SET credits = credits - 5 WHERE id = {}",
        x(CAROL.0),
        x(ALICE.0)
    ));
    differs(bad, RowName::Account(ALICE), "credits");
}

#[test]
fn audit_names_an_account_whose_held_money_was_let_go() {
    differs(account(ALICE, "held = 0"), RowName::Account(ALICE), "held");
}

#[test]
fn audit_names_an_account_that_was_thawed_in_secret() {
    differs(account(CAROL, "frozen = 0"), RowName::Account(CAROL), "frozen");
}

#[test]
fn audit_names_an_account_that_was_given_to_another_owner() {
    differs(account(BOB, &format!("owner = {}", x([9; 32]))), RowName::Account(BOB), "owner");
}

#[test]
fn audit_names_an_account_that_was_made_the_outside() {
    differs(account(BOB, "kind = 0"), RowName::Account(BOB), "kind");
}

#[test]
fn audit_names_an_account_that_was_moved_to_a_dearer_currency() {
    differs(account(BOB, "currency = 'USD'"), RowName::Account(BOB), "currency");
}

#[test]
fn audit_names_an_account_that_was_made_older() {
    differs(account(BOB, "opened = 99"), RowName::Account(BOB), "opened");
}

#[test]
fn audit_names_an_account_that_was_dropped() {
    let drop = |id: AccountId| after(&format!("DELETE FROM accounts WHERE id = {}", x(id.0)));
    names(drop(ALICE), RowName::Account(ALICE), Wrong::Missing);
    names(drop(CAROL), RowName::Account(CAROL), Wrong::Missing);
}

#[test]
fn audit_names_an_account_that_was_put_in() {
    let put =
        |id: AccountId| after(&format!("INSERT INTO accounts VALUES ({}, 1, 'XTS', NULL, 0, 0, 500, 0, 0)", x(id.0)));
    names(put(DAVE), RowName::Account(DAVE), Wrong::Unknown);
    names(put(AccountId([9; 16])), RowName::Account(AccountId([9; 16])), Wrong::Unknown);
}

#[test]
fn audit_sees_an_account_made_unreadable() {
    let bad = account(BOB, "kind = 77");
    assert_eq!(bad.row, RowName::File);
    assert!(matches!(bad.wrong, Wrong::Damaged(what) if what.contains("accounts")));
}

#[test]
fn audit_names_an_open_hold_whose_rest_was_changed() {
    differs(after(&format!("UPDATE holds SET rest = 3 WHERE id = {}", x(id(5).0))), RowName::Hold(id(5)), "rest");
}

#[test]
fn audit_names_an_ended_hold_that_was_opened_again() {
    let bad = after(&format!("UPDATE holds SET rest = 15, state = 0 WHERE id = {}", x(id(3).0)));
    differs(bad, RowName::Hold(id(3)), "rest");
}

#[test]
fn audit_names_a_hold_that_was_put_off() {
    differs(after(&format!("UPDATE holds SET until = 51 WHERE id = {}", x(id(5).0))), RowName::Hold(id(5)), "until");
}

#[test]
fn audit_names_a_hold_that_was_dropped_open_or_ended() {
    let drop = |n: u64| after(&format!("DELETE FROM holds WHERE id = {}", x(id(n).0)));
    names(drop(5), RowName::Hold(id(5)), Wrong::Missing);
    names(drop(3), RowName::Hold(id(3)), Wrong::Missing);
}

#[test]
fn audit_names_a_hold_that_was_put_in() {
    let put = |n: u64| {
        let (id, on, reference) = (x(id(n).0), x(BOB.0), x([0; 32]));
        after(&format!("INSERT INTO holds VALUES ({id}, {on}, 'XTS', 5, 5, 99, {reference}, 0)"))
    };
    names(put(77), RowName::Hold(id(77)), Wrong::Unknown);
    names(put(2), RowName::Hold(id(2)), Wrong::Unknown); // That id is a transfer's.
}

#[test]
fn audit_names_a_journal_row_that_was_deleted() {
    for seq in [1, 6, 11] {
        let bad = after(&format!("DELETE FROM journal WHERE seq = {seq}"));
        names(bad, RowName::Journal(seq), Wrong::Missing);
    }
}

#[test]
fn audit_names_the_place_where_a_row_was_deleted_and_the_rest_moved_up() {
    let bad = after(
        "DELETE FROM journal WHERE seq = 6;
         UPDATE journal SET seq = seq + 1000 WHERE seq > 6;
         UPDATE journal SET seq = seq - 1001 WHERE seq > 1000",
    );
    names(bad, RowName::Journal(6), Wrong::Hash);
}

#[test]
fn audit_sees_that_the_journal_was_cut_short() {
    // The last row paid Bob, and Alice's account still says so.
    differs(after("DELETE FROM journal WHERE seq = 12"), RowName::Account(ALICE), "debits");
    differs(after("DELETE FROM journal WHERE seq > 10"), RowName::Account(ALICE), "debits");
    names(after("DELETE FROM journal"), RowName::Account(WORLD), Wrong::Unknown);
}

#[test]
fn audit_names_a_row_put_in_with_a_wrong_hash() {
    let bad = after_all(|file| {
        let entry = moved(transfer(7, WORLD, BOB, 500));
        file.execute("INSERT INTO journal VALUES (13, ?1, ?2, ?3)", (id(7).0, entry, [5; 32])).unwrap();
    });
    names(bad, RowName::Journal(13), Wrong::Hash);
}

#[test]
fn audit_names_a_row_put_in_with_a_fitting_hash_against_the_rules() {
    let bad = after_all(|file| append(file, Some(id(7)), &moved(transfer(7, BOB, CAROL, 500))));
    assert_eq!(bad.row, RowName::Journal(13));
    assert!(matches!(bad.wrong, Wrong::Irregular(_)), "{bad}");
    let again = after_all(|file| {
        let frozen = Entry::Frozen { account: CAROL, frozen: true, at: at(9) };
        append(file, None, &wire::encode(&frozen));
    });
    assert_eq!(again.row, RowName::Journal(13));
}

#[test]
fn audit_names_the_account_that_a_row_put_in_by_the_rules_would_have_paid() {
    let bad = after_all(|file| append(file, Some(id(7)), &moved(transfer(7, WORLD, BOB, 500))));
    differs(bad, RowName::Account(WORLD), "debits");
}

#[test]
fn audit_names_the_first_of_two_rows_that_were_swapped() {
    let bad = after(
        "UPDATE journal SET seq = 1000 WHERE seq = 5;
         UPDATE journal SET seq = 5 WHERE seq = 6;
         UPDATE journal SET seq = 6 WHERE seq = 1000",
    );
    names(bad, RowName::Journal(5), Wrong::Hash);
}

#[test]
fn audit_names_a_row_whose_amount_was_changed() {
    let bad = after_all(|file| {
        let entry = moved(transfer(2, ALICE, BOB, 9));
        file.execute("UPDATE journal SET entry = ?1 WHERE seq = 6", [entry]).unwrap();
    });
    names(bad, RowName::Journal(6), Wrong::Hash);
}

#[test]
fn audit_names_the_row_after_one_that_was_changed_and_hashed_again() {
    let bad = after_all(|file| rewrite(file, 6, &moved(transfer(2, ALICE, BOB, 9)), false));
    names(bad, RowName::Journal(7), Wrong::Hash);
}

#[test]
fn audit_names_the_account_that_a_journal_rewritten_to_its_end_no_longer_explains() {
    let bad = after_all(|file| rewrite(file, 6, &moved(transfer(2, ALICE, BOB, 9)), true));
    differs(bad, RowName::Account(ALICE), "debits");
}

#[test]
fn audit_names_a_row_hashed_onto_a_wrong_row_before() {
    let bad = after_all(|file| {
        let entry: Vec<u8> = file.query_row("SELECT entry FROM journal WHERE seq = 8", [], |r| r.get(0)).unwrap();
        let hash = Head { seq: 7, hash: [1; 32] }.after(&entry).hash;
        file.execute("UPDATE journal SET hash = ?1 WHERE seq = 8", [hash]).unwrap();
    });
    names(bad, RowName::Journal(8), Wrong::Hash);
}

#[test]
fn audit_names_a_row_hidden_under_another_id_or_none() {
    names(after(&format!("UPDATE journal SET id = {} WHERE seq = 6", x([8; 16]))), RowName::Journal(6), Wrong::Id);
    names(after("UPDATE journal SET id = NULL WHERE seq = 6"), RowName::Journal(6), Wrong::Id);
}

#[test]
fn audit_names_a_row_that_is_no_entry_or_not_in_its_canonical_form() {
    let mut long = moved(transfer(2, ALICE, BOB, 10));
    long.push(0);
    for entry in [&b""[..], b"\xff\xff", &long] {
        names(after_all(|file| rewrite(file, 6, entry, true)), RowName::Journal(6), Wrong::Unreadable);
    }
}

#[test]
fn audit_names_one_id_spent_twice_even_where_the_unique_index_was_deceived() {
    // The second row carries no id in its column, so that the index lets it in.
    let bad = after_all(|file| append(file, None, &moved(transfer(2, ALICE, BOB, 10))));
    names(bad, RowName::Journal(13), Wrong::Id);
}

#[test]
fn a_published_head_betrays_a_journal_rewritten_whole_with_its_balances() {
    let (home, published) = town();
    {
        let file = intrude(&home);
        rewrite(&file, 6, &moved(transfer(2, ALICE, BOB, 9)), true);
        file.execute("UPDATE accounts SET debits = debits - 1 WHERE id = ?1", [ALICE.0]).unwrap();
        file.execute("UPDATE accounts SET credits = credits - 1 WHERE id = ?1", [BOB.0]).unwrap();
    }
    let store = home.open();
    // It is a consistent story: only who heard another one before can tell.
    assert!(audit(&store).is_ok());
    let bad = BadRow { row: RowName::Journal(12), wrong: Wrong::Unpublished };
    assert_eq!(audit_since(&store, &[published]), Err(AuditError::Bad(bad)));
}

#[test]
fn a_published_head_betrays_books_rolled_back_by_a_day() {
    let (home, published) = town();
    let yesterday = home.folder().join("yesterday.db");
    let mut store = home.open();
    farthing_store::Store::backup(&store, &yesterday).unwrap();
    post(&mut store, transfer(9, ALICE, BOB, 100));
    let today = store.head().unwrap();
    drop(store);
    let store = SqliteStore::open(&yesterday, &[], &SqliteOptions::default()).unwrap();
    assert!(audit_since(&store, &[published]).is_ok());
    let bad = BadRow { row: RowName::Journal(13), wrong: Wrong::Missing };
    assert_eq!(audit_since(&store, &[published, today]), Err(AuditError::Bad(bad)));
}

#[test]
fn store_refuses_to_open_where_the_layout_was_altered() {
    for sql in [
        "CREATE TRIGGER t AFTER INSERT ON journal BEGIN UPDATE accounts SET credits = 1; END",
        "CREATE VIEW v AS SELECT * FROM accounts",
        "CREATE TABLE more (id INTEGER)",
        "CREATE TABLE records_extra (key BLOB PRIMARY KEY)",
        "DROP INDEX holds_due",
        "ALTER TABLE accounts ADD COLUMN extra INTEGER",
        "UPDATE steps SET checksum = zeroblob(32)",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'UNIQUE ', '') WHERE name = 'journal'",
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, 'debits + held <= credits', '1') WHERE name = 'accounts'",
    ] {
        let (home, _) = town();
        intrude(&home).execute_batch(sql).unwrap();
        let opened = SqliteStore::open(home.file(), common::TABLES, &SqliteOptions::default());
        assert!(
            matches!(opened, Err(StoreError::Altered { .. } | StoreError::Damaged(_))),
            "{sql}: {:?}",
            opened.err()
        );
    }
}

#[test]
fn the_file_itself_refuses_rows_that_break_the_rules() {
    let (home, _) = town();
    let file = Connection::open(home.file()).unwrap();
    file.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    let (alice, nobody, free) = (x(ALICE.0), x([8; 16]), x(id(40).0));
    let reference = x([0; 32]);
    for sql in [
        format!("UPDATE accounts SET debits = credits + 1 WHERE id = {alice}"),
        format!("UPDATE accounts SET held = credits WHERE id = {alice}"),
        format!("UPDATE accounts SET held = -1 WHERE id = {alice}"),
        format!("UPDATE accounts SET credits = {} WHERE id = {alice}", u64::MAX / 4 + 2),
        format!("UPDATE accounts SET credits = 'many' WHERE id = {alice}"),
        format!("UPDATE accounts SET kind = 6 WHERE id = {alice}"),
        format!("INSERT INTO holds VALUES ({free}, {alice}, 'XTS', 0, 0, 9, {reference}, 1)"),
        format!("INSERT INTO holds VALUES ({free}, {alice}, 'XTS', 5, 6, 9, {reference}, 0)"),
        format!("INSERT INTO holds VALUES ({free}, {alice}, 'XTS', 5, 0, 9, {reference}, 0)"),
        format!("INSERT INTO holds VALUES ({free}, {nobody}, 'XTS', 5, 5, 9, {reference}, 0)"),
        format!("INSERT INTO journal VALUES (13, {}, X'00', {reference})", x(id(2).0)),
        "INSERT INTO journal VALUES (13, NULL, X'00', X'00')".into(),
    ] {
        let refused = file.execute_batch(&sql).unwrap_err();
        assert_eq!(refused.sqlite_error_code(), Some(rusqlite::ErrorCode::ConstraintViolation), "{sql}: {refused}");
    }
}
