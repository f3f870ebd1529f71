//! Wallets killed again and again while they compare books with their bank: the real program.

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::country::Country;
use common::town::micros;
use common::{Served, run};
use serde_json::Value;

/// How often each wallet is killed.
const KILLS: u64 = 20;
/// The latest moment of a kill: a reconciliation may have ended before.
const LATEST_MILLIS: u64 = 160;
/// In which rounds the bank is killed as well: one of so many.
const BANK_TOO: u64 = 5;

#[test]
fn wallets_killed_twenty_times_while_reconciling_agree_with_the_bank_to_the_last_micro() {
    let mut country = Country::of(1);
    let (alice, bob, again) = (country.at("alice"), country.at("bob"), country.at("again"));
    run(&bob, &["--bank", country.url(0), "wallet", "init", "--fund", "10"]);
    let backup = country.at("backup");
    run(&alice, &["wallet", "backup", backup.to_str().unwrap()]);
    let begin = (sum(&country, &alice), sum(&country, &bob));
    for scheme in ["clearing", "draft", "clearing", "draft", "clearing"] {
        pay(&alice, &bob, "0.1", scheme);
    }
    pay(&bob, &alice, "0.07", "clearing");
    // Alice goes on from a backup that knows of none of that, Bob with the wallet that he has.
    run(&again, &["wallet", "restore", backup.to_str().unwrap()]);
    for round in 0..KILLS {
        // Moments spread over the whole, in no order; the same in every run.
        let after = Duration::from_millis(round.wrapping_mul(7_919) % LATEST_MILLIS);
        let mut killed = [reconciling(&again), reconciling(&bob)];
        std::thread::sleep(after);
        if round % BANK_TOO == 0 {
            country.kill(0);
        }
        for child in &mut killed {
            let _ = child.kill();
            child.wait().unwrap();
        }
        if round % BANK_TOO == 0 {
            country.start(0);
        }
    }
    for home in [&again, &bob] {
        run(home, &["reconcile"]);
    }
    assert_eq!(micros(&run(&bob, &["drafts", "deposit"]), "paid"), 200_000);
    // 0.5 went and 0.07 came, on both sides alike.
    assert_eq!((sum(&country, &again), sum(&country, &bob)), (begin.0 - 430_000, begin.1 + 430_000));
    // And both pay again.
    pay(&again, &bob, "0.02", "clearing");
    pay(&bob, &again, "0.01", "draft");
    run(&again, &["drafts", "deposit"]);
    assert_eq!((sum(&country, &again), sum(&country, &bob)), (begin.0 - 440_000, begin.1 + 440_000));
    country.check_books();
}

/// What the bank's books hold for somebody, chains included; its wallet says the same of the account.
fn sum(country: &Country, home: &Path) -> u64 {
    let standing = run(home, &["wallet", "show"]);
    let report = country.asked(0, &["report", text(&standing, "peer")]);
    assert_eq!(micros(&report, "balance"), micros(&standing, "balance"), "{report} {standing}");
    assert_eq!((&report["clearing"], &report["suspended"]), (&"may pay".into(), &false.into()), "{report}");
    let books = run(&country.at("a"), &["bank", "accounts"]);
    let accounts = books["accounts"].as_array().unwrap().iter();
    let chains = accounts.filter(|account| account["owner"] == standing["peer"] && account["kind"] == "chain");
    micros(&report, "balance") + chains.map(|chain| micros(chain, "balance")).sum::<u64>()
}

/// One pays the other over a stream.
fn pay(payer: &Path, payee: &Path, amount: &str, scheme: &str) {
    let door = Served::start(payee, &["--listen", "/ip4/127.0.0.1/tcp/0", "receive"]);
    let at = door.ready["addresses"][0].as_str().unwrap();
    let paid = run(payer, &["pay", text(&door.ready, "peer"), amount, "--at", at, "--scheme", scheme]);
    assert_eq!(text(&paid, "state"), "received", "{paid}");
}

fn reconciling(home: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_farthing"))
        .arg("--home")
        .arg(home)
        .args(["--json", "--yes", "--insecure-no-passphrase", "reconcile"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_else(|| panic!("no {name} in {of}"))
}
