//! Banks that collect cheques from each other, with the real program: what operators type and read,
//! cheques that clear, bounce, and wait while a bank is dead, and settlement by two.

mod common;

use common::country::{BANKS, Country, wait_for};
use common::run;
use common::town::{in_words, said};
use farthing_core::refusal::Code;
use farthing_draft::interbank::messages::{Answer, Fate};

#[test]
fn a_draft_goes_through_a_correspondent_and_is_settled_by_two_operators_at_each_bank() {
    let country = Country::new();
    assert!(country.done(1, 1, &["peers", "list"]).contains("There are no accounts with other banks."));
    let limit = ["peers", "add", country.url(0), "--limit", "5 XTS"];
    let opened = country.done(1, 2, &limit);
    assert!(opened.contains("Accounts with Bank a are open: it may owe 5.00 XTS at most."), "{opened}");
    let unpinned = country.url(0).split('#').next().unwrap();
    let (exit, words) = country.told(1, 1, &["peers", "add", unpinned, "--limit", "5 XTS"]);
    assert_eq!(exit, Some(2), "{words}");
    assert!(words.contains("does not name the bank's key") && words.contains("Next: copy it whole"), "{words}");
    country.open_accounts();
    let routed = country.done(2, 1, &["peers", "route", country.url(0), "--via", country.key(1)]);
    assert!(routed.contains("Cheques on Bank a go by way of "), "{routed}");
    assert!(country.done(2, 1, &["peers", "cheques"]).contains("No cheque is under way."));

    let cheque = country.cheque("0.4 XTS", 1);
    let before = country.balance("alice");
    assert!(matches!(country.present(&cheque), Answer::Pending { .. }));
    assert_eq!(country.fate(&cheque), Fate::Cleared);
    assert_eq!((country.balance("alice"), country.balance("carol")), (before - 400_000, 400_000));
    country.check_books();
    assert_eq!(country.standing(2, 1)["owes"], "0.40 XTS");
    let listed = country.done(1, 1, &["peers", "list"]);
    assert!(listed.contains("owes us") && listed.contains("-0.40 XTS") && listed.contains(country.url(2)), "{listed}");
    let day = country.done(2, 1, &["peers", "statement", country.key(1)]);
    assert!(day.contains("this bank paid 0.00 XTS, the other 0.00 XTS."), "{day}");
    let today = country.done(2, 1, &["peers", "statement", country.key(1), "1000000"]);
    assert!(today.contains("It is not over yet"), "{today}");
    let (exit, words) = country.told(2, 1, &["peers", "statement", country.key(0)]);
    assert!(exit == Some(3) && words.contains("there are no accounts with this bank"), "{words}");
    let (exit, words) = country.told(2, 1, &["report", country.key(0)]);
    assert!(exit == Some(3) && words.contains("this key has no account here"), "{words}");
    let (exit, words) = country.told(2, 1, &["peers", "remove", country.key(1)]);
    assert!(exit == Some(3) && words.contains("settle it first"), "{words}");

    settle(&country, 2, 1, "--in");
    settle(&country, 1, 2, "--out");
    settle(&country, 1, 0, "--in");
    settle(&country, 0, 1, "--out");
    country.check_books();
    for (bank, other) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        assert_eq!(country.standing(bank, other)["owes"], "0.00 XTS");
    }
    let closed = country.done(2, 1, &["peers", "remove", country.key(1)]);
    assert!(closed.contains("The accounts are closed: no cheque goes or comes that way."), "{closed}");
    assert!(country.done(2, 1, &["peers", "list"]).contains("There are no accounts with other banks."));
}

/// Two operators record that what one bank owes another was paid outside.
fn settle(country: &Country, bank: usize, with: usize, way: &str) {
    let wrong = if way == "--in" { "--out" } else { "--in" };
    let args = |amount, way| ["peers", "settle", country.key(with), amount, way];
    for refused in [args("0.4 XTS", wrong), args("0.5 XTS", way)] {
        let (exit, words) = country.told(bank, 1, &refused);
        assert_eq!(exit, Some(3), "{words}");
        assert!(words.contains("No money moved."), "{words}");
    }
    let noted = country.done(bank, 1, &args("0.4 XTS", way));
    let number: u64 = noted.rsplit(' ').next().unwrap().trim().parse().unwrap_or_else(|why| panic!("{why}: {noted}"));
    let hint = format!("Noted as number {number}. Another operator must approve it: farthing bank approve {number}");
    assert!(noted.contains(&hint), "{noted}");
    let number = number.to_string();
    let waits = country.done(bank, 2, &["pending"]);
    let direction = if way == "--in" { "from a bank" } else { "to a bank" };
    assert!(waits.contains(direction) && waits.contains("0.40 XTS"), "{waits}");
    assert_eq!(country.told(bank, 1, &["approve", &number]).0, Some(3), "one operator counts once");
    let approved = country.done(bank, 2, &["approve", &number]);
    assert!(approved.contains("Both have approved, and the money has moved."), "{approved}");
    assert_eq!(country.told(bank, 2, &["approve", &number]).0, Some(3), "it is settled once");
}

#[test]
fn a_draft_that_its_payor_no_longer_covers_bounces_and_nobody_owes_anything() {
    let country = Country::new();
    country.open_accounts();
    let (alice, copy) = (country.at("alice"), country.at("alice.copy"));
    let file = country.at("alice.backup");
    run(&alice, &["wallet", "backup", file.to_str().unwrap()]);
    let cheque = country.cheque("0.4 XTS", 1);
    let left = country.balance("alice") - 100_000;
    let all = format!("{}.{:06} XTS", left / 1_000_000, left % 1_000_000);
    // A wallet keeps back what it has promised; one restored from before the promise does not know of it.
    run(&copy, &["--bank", country.url(0), "wallet", "restore", file.to_str().unwrap()]);
    run(&copy, &["wallet", "reconcile"]);
    run(&copy, &["wallet", "payout", &all, "--to", "away"]);
    assert!(matches!(country.present(&cheque), Answer::Pending { .. }));
    assert_eq!(country.fate(&cheque), Fate::Bounced(Code::Funds));
    assert_eq!((country.balance("alice"), country.balance("carol")), (100_000, 0));
    country.check_books();
    assert_eq!(country.standing(2, 1)["owes"], "0.00 XTS");
    let me = run(&alice, &["wallet", "show"])["peer"].as_str().unwrap().to_owned();
    let report = country.done(0, 1, &["report", &me]);
    assert!(report.contains("1. account") && report.contains("0.10 XTS"), "{report}");
    let stranger = in_words(&alice, &["bank", "peers", "list"]);
    assert!(said(&stranger).contains("this is for operators"), "{stranger:?}");
}

#[test]
fn a_correspondent_killed_between_taking_a_cheque_and_hearing_its_end_pays_it_once() {
    let mut country = Country::new();
    country.open_accounts();
    let cheques = [country.cheque("0.3 XTS", 1), country.cheque("0.2 XTS", 2)];
    let before = country.balance("alice");
    // With the first bank dead, the correspondent holds what it has taken.
    country.kill(0);
    assert!(matches!(country.present(&cheques[0]), Answer::Pending { .. }));
    wait_for("the correspondent's taking it", || (country.standing(1, 0)["under_way"] == "0.30 XTS").then_some(()));
    let waiting = country.done(1, 1, &["peers", "cheques"]);
    assert!(waiting.contains("0.30 XTS") && waiting.contains("last refused"), "{waiting}");
    country.kill(1);
    // Meanwhile another one is handed in.
    assert!(matches!(country.present(&cheques[1]), Answer::Pending { .. }));
    assert_eq!(country.balance("carol"), 0);
    country.start(1);
    assert_eq!(country.standing(1, 0)["under_way"], "0.30 XTS");
    country.start(0);
    for cheque in &cheques {
        assert_eq!(country.fate(cheque), Fate::Cleared);
    }
    assert_eq!((country.balance("alice"), country.balance("carol")), (before - 500_000, 500_000));
    // Killed again, and asked again, all three say the same.
    for bank in 0..BANKS.len() {
        country.kill(bank);
        country.start(bank);
    }
    for cheque in &cheques {
        assert_eq!(country.fate(cheque), Fate::Cleared);
    }
    assert_eq!((country.balance("alice"), country.balance("carol")), (before - 500_000, 500_000));
    country.check_books();
    assert_eq!(country.standing(2, 1)["owes"], "0.50 XTS");
    assert!(country.done(1, 1, &["peers", "cheques"]).contains("No cheque is under way."));
}
