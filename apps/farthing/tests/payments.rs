//! Single payments between peers, with the real program: over a stream, by hand, while the bank or
//! the payee is away, from restored wallets and copies, and with rubbish in every input.

mod common;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::country::Country;
use common::town::{Town, code, in_words, micros, said};
use common::wire::{Harm, Way};
use common::{Served, at, run};
use serde_json::Value;

/// A bank that can be stopped and comes back at the same address, and people with ten XTS.
struct Place {
    dir: tempfile::TempDir,
    address: String,
    bank: Option<Served>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(&dir.path().join("bank"), &["bank", "init", "--name", "Test bank"]);
        let mut place = Self { dir, address: free_address(), bank: None };
        place.open_bank();
        place
    }

    fn open_bank(&mut self) {
        self.bank = Some(Served::start(&self.at("bank"), &["bank", "serve", "--listen-on", &self.address]));
    }

    fn close_bank(&mut self) {
        self.bank = None;
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn person(&self, name: &str) -> PathBuf {
        let (home, bank) = (self.at(name), self.bank.as_ref().unwrap().address());
        run(&home, &["--bank", bank, "wallet", "init", "--fund", "10"]);
        home
    }

    /// A file in the place, as an argument.
    fn file(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// An address for a peer that is the same each time it is there.
fn peer_address() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/tcp/{port}")
}

/// A door open for payers.
fn door(home: &Path, listen: &str) -> Served {
    Served::start(home, &["--listen", listen, "receive"])
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_else(|| panic!("no {name} in {of}"))
}

/// What a command fails with.
fn fails(home: &Path, args: &[&str]) -> (i32, Value) {
    let output = at(home).args(args).output().unwrap();
    let failure = [&output.stdout, &output.stderr].into_iter().find_map(|bytes| serde_json::from_slice(bytes).ok());
    (code(&output).unwrap(), failure.unwrap_or_else(|| panic!("no failure: {}", said(&output))))
}

fn balance(home: &Path) -> u64 {
    let standing = run(home, &["wallet", "show"]);
    micros(&standing, "balance") + micros(&standing, "ready")
}

#[test]
fn a_request_is_paid_once_however_often_its_link_is_used() {
    let place = Place::new();
    let (alice, bob) = (place.person("alice"), place.person("bob"));
    let before = (balance(&alice), balance(&bob));
    let asked = Served::start(&bob, &["--listen", &peer_address(), "request", "1.5", "--note", "two coffees"]);
    let uri = text(&asked.ready, "uri").to_owned();
    let planned = run(&alice, &["pay", &uri, "--dry-run"]);
    assert_eq!((text(&planned, "state"), text(&planned, "scheme")), ("planned", "clearing"));
    let paid = run(&alice, &["pay", &uri]);
    assert_eq!(
        (text(&paid, "state"), text(&paid, "amount"), text(&paid, "note")),
        ("received", "1.50 XTS", "two coffees")
    );
    drop(asked);
    let waiting = door(&bob, &peer_address());
    let again = run(&alice, &["pay", &uri.to_uppercase(), "--at", text_address(&waiting)]);
    assert_eq!(text(&again, "order"), text(&paid, "order"));
    drop(waiting);
    assert_eq!((balance(&alice), balance(&bob)), (before.0 - 1_500_000, before.1 + 1_500_000));
    let (exit, _) = fails(&alice, &["pay", &uri, "2"]);
    assert_eq!(exit, 2, "the request says another amount");
}

fn text_address(door: &Served) -> &str {
    door.ready["addresses"][0].as_str().unwrap()
}

#[test]
fn every_scheme_pays_a_contact_and_the_reason_is_told() {
    let place = Place::new();
    let (alice, bob) = (place.person("alice"), place.person("bob"));
    let open = door(&bob, &peer_address());
    run(&alice, &["contacts", "add", "bob", text(&open.ready, "peer"), "--at", text_address(&open)]);
    for scheme in ["clearing", "draft", "netpay"] {
        let paid = run(&alice, &["pay", "bob", "0.01", "--scheme", scheme, "--note", scheme]);
        assert_eq!((text(&paid, "state"), text(&paid, "scheme")), ("received", scheme), "{paid}");
        assert_eq!((text(&paid, "because"), text(&paid, "name")), ("it was asked for", "bob"));
        assert!(paid["receipt"].is_string(), "{paid}");
    }
    let hidden = run(&alice, &["pay", "bob", "0.02", "--as-alias", "3"]);
    assert_eq!(text(&hidden, "scheme"), "draft");
    let (exit, _) = fails(&alice, &["pay", "bob", "0.01", "--scheme", "coupon"]);
    assert_eq!(exit, 2);
    drop(open);
    let came = run(&bob, &["history"]);
    let from: Vec<_> = came["lines"].as_array().unwrap().iter().filter(|line| line["what"] == "received").collect();
    assert_eq!(from.len(), 3, "{came}");
    let me = run(&alice, &["wallet", "show"]);
    assert!(from.iter().any(|line| line["with"] != me["peer"]), "a pseudonym does not show who paid: {came}");
}

#[test]
fn a_draft_goes_by_hand_while_both_banks_are_away_and_is_deposited_once() {
    let mut place = Place::new();
    let (alice, bob) = (place.person("alice"), place.person("bob"));
    let asked = run(&bob, &["request", "--no-wait"]);
    run(&alice, &["contacts", "add", "bob", text(&asked, "uri")]);
    place.close_bank();
    let (payment, receipt) = (place.file("payment"), place.file("receipt"));
    let paid = run(&alice, &["pay", "bob", "0.1", "--note", "bread", "--out", &payment]);
    assert_eq!((text(&paid, "state"), text(&paid, "scheme")), ("written", "draft"), "{paid}");
    let (exit, _) = fails(&alice, &["pay", "bob", "0.1", "--out", &payment]);
    assert_eq!(exit, 2, "a file that is there is not written over");
    let came = run(&bob, &["receive", &payment, "--out", &receipt]);
    assert_eq!((text(&came, "amount"), text(&came, "note")), ("0.10 XTS", "bread"));
    let again = run(&bob, &["receive", &payment]);
    assert_eq!(text(&again, "receipt"), text(&came, "receipt"));
    run(&alice, &["pay", "--receipt", &receipt]);
    run(&alice, &["pay", "--receipt", &receipt]);
    let (exit, _) = fails(&alice, &["receive", &payment]);
    assert_eq!(exit, 3, "it is for bob");
    let drafts = run(&bob, &["drafts"]);
    assert_eq!(drafts["held"].as_array().unwrap().len(), 1, "{drafts}");
    assert_eq!(fails(&bob, &["drafts", "deposit"]).0, 5);
    place.open_bank();
    assert_eq!(micros(&run(&bob, &["drafts", "deposit"]), "paid"), 100_000);
    assert_eq!(micros(&run(&bob, &["drafts", "deposit"]), "paid"), 0);
}

#[test]
fn a_payment_waits_for_a_payee_that_is_away_and_is_made_once() {
    let place = Place::new();
    let (alice, bob) = (place.person("alice"), place.person("bob"));
    let before = (balance(&alice), balance(&bob));
    let listen = peer_address();
    let peer = text(&run(&bob, &["wallet", "show"]), "peer").to_owned();
    run(&alice, &["contacts", "add", "bob", &peer, "--at", &listen]);
    let output = at(&alice).args(["pay", "bob", "0.5", "--scheme", "clearing"]).output().unwrap();
    assert_eq!(code(&output), Some(5), "{}", said(&output));
    let paid: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(text(&paid, "state"), "waiting", "{paid}");
    let still = at(&alice).args(["pay", "--resume"]).output().unwrap();
    assert_eq!(code(&still), Some(5));
    let open = door(&bob, &listen);
    let resumed = run(&alice, &["pay", "--resume"]);
    assert_eq!((&resumed["waiting"], text(&resumed["payments"][0], "state")), (&Value::from(0), "received"));
    assert_eq!(text(&resumed["payments"][0], "order"), text(&paid, "order"));
    assert!(run(&alice, &["pay", "--resume"])["payments"].as_array().unwrap().is_empty());
    drop(open);
    assert_eq!((balance(&alice), balance(&bob)), (before.0 - 500_000, before.1 + 500_000));
}

#[test]
fn a_restored_wallet_receives_and_pays_only_once_its_books_are_compared_and_then_the_old_copy_does_not() {
    let place = Place::new();
    let (alice, bob) = (place.person("alice"), place.person("bob"));
    let open = door(&bob, &peer_address());
    run(&alice, &["contacts", "add", "bob", text(&open.ready, "peer"), "--at", text_address(&open)]);
    let backup = place.file("backup");
    run(&alice, &["wallet", "backup", &backup]);
    run(&alice, &["pay", "bob", "0.25", "--scheme", "clearing"]);
    let elsewhere = place.at("elsewhere");
    run(&elsewhere, &["wallet", "restore", &backup]);
    for scheme in ["clearing", "draft", "netpay"] {
        let (exit, why) = fails(&elsewhere, &["pay", "bob", "0.01", "--scheme", scheme]);
        assert_eq!(exit, 7, "{scheme}: {why}");
    }
    assert!(run(&elsewhere, &["request", "1", "--no-wait"])["uri"].is_string());
    run(&elsewhere, &["reconcile"]);
    run(&elsewhere, &["pay", "bob", "0.01", "--scheme", "clearing"]);
    // The certificate of the old copy runs: until it ends nobody else writes drafts.
    assert_ne!(fails(&elsewhere, &["pay", "bob", "0.01", "--scheme", "draft"]).0, 0);
    // The old copy learns from the bank that it is one.
    for scheme in ["clearing", "draft", "netpay"] {
        let (exit, why) = fails(&alice, &["pay", "bob", "0.02", "--scheme", scheme]);
        assert_ne!(exit, 0, "the old copy paid by {scheme}: {why}");
    }
}

#[test]
fn a_reconciliation_killed_at_any_moment_is_finished_by_the_next() {
    let place = Place::new();
    let (alice, bob) = (place.person("alice"), place.person("bob"));
    let before = balance(&alice);
    let open = door(&bob, &peer_address());
    run(&alice, &["contacts", "add", "bob", text(&open.ready, "peer"), "--at", text_address(&open)]);
    let backup = place.file("backup");
    run(&alice, &["wallet", "backup", &backup]);
    for _ in 0..3 {
        run(&alice, &["pay", "bob", "0.1", "--scheme", "clearing"]);
    }
    let elsewhere = place.at("elsewhere");
    run(&elsewhere, &["wallet", "restore", &backup]);
    for round in 0..12_u64 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_farthing"))
            .arg("--home")
            .arg(&elsewhere)
            .args(["--json", "--yes", "--insecure-no-passphrase", "reconcile"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(round * 7));
        let _ = child.kill();
        child.wait().unwrap();
    }
    run(&elsewhere, &["reconcile"]);
    run(&elsewhere, &["pay", "bob", "0.1", "--scheme", "clearing"]);
    let account = micros(&run(&elsewhere, &["wallet", "show"]), "balance");
    assert!(account <= before - 400_000, "what was paid after the backup is not forgotten");
}

#[test]
fn rubbish_in_any_input_is_refused_and_moves_nothing() {
    let place = Place::new();
    let (alice, bob) = (place.person("alice"), place.person("bob"));
    let before = balance(&alice);
    let uri = text(&run(&bob, &["request", "1", "--no-wait"]), "uri").to_owned();
    let mut damaged = uri.clone();
    damaged.replace_range(40..41, if &uri[40..41] == "q" { "p" } else { "q" });
    let own = text(&run(&alice, &["request", "1", "--no-wait"]), "uri").to_owned();
    let rubbish = place.file("rubbish");
    for bytes in [&b""[..], b"rubbish", &[0xff; 100], damaged.as_bytes(), uri.as_bytes(), &[b'q'; 100_000]] {
        std::fs::write(&rubbish, bytes).unwrap();
        assert_eq!(fails(&alice, &["receive", &rubbish]).0, 2);
        assert_eq!(fails(&alice, &["pay", "--receipt", &rubbish]).0, 2);
    }
    let long = "x".repeat(600);
    for (args, exits) in [
        (&["pay", &damaged][..], 2),
        (&["pay", &uri[..uri.len() / 2]], 2),
        (&["pay", "nobody", "1"], 2),
        (&["pay", "", "1"], 2),
        (&["pay", &uri, "0"], 2),
        (&["pay", &uri, "-1"], 2),
        (&["pay", &uri, "1 USD"], 2),
        (&["request", "0", "--no-wait"], 2),
        (&["request", "1", "--no-wait", "--note", "\u{202e}evil"], 1),
        (&["request", "1", "--no-wait", "--note", &long], 1),
        (&["contacts", "add", "x", &damaged], 2),
        (&["contacts", "add", "x", "peer1qqqq"], 2),
        (&["contacts", "rename", "nobody", "somebody"], 3),
        (&["contacts", "remove", "nobody"], 3),
        (&["drafts", "stop", "3fa91c02"], 2),
        (&["drafts", "dispute", "\u{202e}"], 2),
        (&["receive", "/nowhere/at/all"], 2),
    ] {
        let output = at(&alice).args(args).output().unwrap();
        assert_eq!(code(&output), Some(exits), "{args:?}: {}", said(&output));
    }
    assert!(!at(&alice).args(["pay", &own]).output().unwrap().status.success(), "nobody pays itself");
    assert_eq!(balance(&alice), before);
}

#[test]
fn contacts_are_named_renamed_and_never_lead_to_another_key() {
    let town = Town::new();
    let (alice, bob) = (town.person("alice"), town.person("bob"));
    let [bobs, own] = [&bob, &alice].map(|home| text(&run(home, &["wallet", "show"]), "peer").to_owned());
    run(&alice, &["contacts", "add", "bob", &bobs]);
    assert_eq!(fails(&alice, &["contacts", "add", "bob", &own]).0, 3);
    let renamed = run(&alice, &["contacts", "rename", "bob", "robert"]);
    assert_eq!(text(&renamed["contacts"][0], "name"), "robert");
    assert!(run(&alice, &["contacts", "remove", "robert"])["contacts"].as_array().unwrap().is_empty());
}

/// Alice, who reaches the bank by a way that can be harmed, and Bob, whom she knows and whose door is
/// open. Alice's first payment by clearing is made: key and books are there.
struct Lane {
    place: Place,
    way: Way,
    alice: PathBuf,
    bob: PathBuf,
    open: Served,
}

impl Lane {
    fn new() -> Self {
        let place = Place::new();
        let (way, bob, alice) = (Way::to(&place.address), place.person("bob"), place.at("alice"));
        let bank = place.bank.as_ref().unwrap().address().replace(&place.address, &way.address);
        run(&alice, &["--bank", &bank, "wallet", "init", "--fund", "10"]);
        let open = door(&bob, &peer_address());
        run(&alice, &["contacts", "add", "bob", text(&open.ready, "peer"), "--at", text_address(&open)]);
        let lane = Self { place, way, alice, bob, open };
        lane.pay("first");
        lane
    }

    fn pay(&self, note: &str) -> Value {
        run(&self.alice, &["pay", "bob", "0.05", "--scheme", "clearing", "--note", note])
    }

    /// How often Alice paid, as she knows it.
    fn paid(&self) -> usize {
        let history = run(&self.alice, &["history"]);
        history["lines"].as_array().unwrap().iter().filter(|line| line["what"] == "paid").count()
    }

    /// A payment whose answer does not come through, and how it fails.
    fn pay_in_vain(&self, harm: Harm) {
        self.way.set(harm);
        let why = fails(&self.alice, &["pay", "bob", "0.05", "--scheme", "clearing", "--note", "second"]);
        assert_eq!((why.0, &why.1["error"]["money"]), (4, &Value::from("unknown")), "{}", why.1);
        assert!(text(&why.1["error"], "next").contains("farthing pay --resume"), "{}", why.1);
        self.way.set(Harm::None);
    }
}

#[test]
fn lost_answer_the_same_command_again_finishes_the_payment_and_pays_nothing_twice() {
    let lane = Lane::new();
    let before = balance(&lane.alice);
    lane.pay_in_vain(Harm::Drops);
    let planned = run(&lane.alice, &["pay", "bob", "0.05", "--note", "second", "--dry-run"]);
    assert!(text(&planned, "because").contains("not paid anew"), "{planned}");
    let paid = lane.pay("second");
    assert_eq!((text(&paid, "state"), &paid["order"]), ("received", &planned["order"]));
    assert_eq!((balance(&lane.alice), lane.paid()), (before - 50_000, 2));
    assert!(run(&lane.alice, &["pay", "--resume"])["payments"].as_array().unwrap().is_empty());
    // Finished, it is one that was: the next is another one.
    lane.pay("second");
    assert_eq!((balance(&lane.alice), lane.paid()), (before - 100_000, 3));
}

#[test]
fn forged_answer_leaves_the_outcome_unknown_and_the_payment_pending() {
    let mut lane = Lane::new();
    let before = (balance(&lane.alice), balance(&lane.bob));
    lane.pay_in_vain(Harm::Forges);
    lane.place.close_bank();
    lane.pay_in_vain(Harm::None);
    lane.place.open_bank();
    let resumed = run(&lane.alice, &["pay", "--resume"]);
    assert_eq!((&resumed["waiting"], text(&resumed["payments"][0], "state")), (&Value::from(0), "received"));
    let Lane { place, alice, bob, open, .. } = lane;
    drop(open);
    assert_eq!((balance(&alice), balance(&bob)), (before.0 - 50_000, before.1 + 50_000));
    drop(place);
}

#[test]
fn after_a_payment_by_clearing_money_comes_in_and_goes_out_without_a_word_about_books() {
    let lane = Lane::new();
    run(&lane.alice, &["wallet", "fund", "1"]);
    lane.pay("second");
    run(&lane.alice, &["wallet", "payout", "0.5", "--to", "cash"]);
}

#[test]
fn nothing_is_paid_where_nobody_can_be_asked_whether_an_amount_was_named_or_not() {
    let place = Place::new();
    let (alice, bob) = (place.person("alice"), place.person("bob"));
    let before = balance(&alice);
    let peer = text(&run(&bob, &["wallet", "show"]), "peer").to_owned();
    let output = in_words(&alice, &["pay", &peer, "0.5", "--scheme", "clearing"]);
    assert_eq!(code(&output), Some(2), "{}", said(&output));
    assert_eq!(balance(&alice), before);
}

#[test]
fn a_payment_refused_leaves_no_file_and_one_brought_by_hand_does_not_wait() {
    let place = Place::new();
    let (alice, bob) = (place.person("alice"), place.person("bob"));
    let file = place.file("payment");
    let asked = run(&bob, &["request", "--no-wait"]);
    run(&alice, &["contacts", "add", "bob", text(&asked, "uri")]);
    run(&alice, &["wallet", "policy", "--per-request", "0.2"]);
    assert_ne!(fails(&alice, &["pay", "bob", "0.3", "--out", &file]).0, 0);
    assert!(!Path::new(&file).exists());
    run(&alice, &["pay", "bob", "0.1", "--out", &file]);
    let resumed = run(&alice, &["pay", "--resume"]);
    assert_eq!((&resumed["waiting"], text(&resumed["payments"][0], "state")), (&Value::from(0), "written"));
    assert_eq!(run(&bob, &["receive", &file])["again"], false);
    assert_eq!(run(&bob, &["receive", &file])["again"], true);
    assert_eq!(fails(&bob, &["request", "1", "--life", "0s", "--no-wait"]).0, 2);
    let (exit, why) = fails(&alice, &["wallet", "backup", &file]);
    assert_eq!(exit, 2);
    assert!(text(&why["error"], "what").contains("there already"), "{why}");
}

#[test]
fn what_waits_is_handed_over_where_the_payee_is_said_to_be() {
    let place = Place::new();
    let (alice, bob) = (place.person("alice"), place.person("bob"));
    let peer = text(&run(&bob, &["wallet", "show"]), "peer").to_owned();
    run(&alice, &["contacts", "add", "bob", &peer, "--at", &peer_address()]);
    assert_eq!(code(&at(&alice).args(["pay", "bob", "0.5", "--scheme", "draft"]).output().unwrap()), Some(5));
    let open = door(&bob, &peer_address());
    assert_eq!(code(&at(&alice).args(["pay", "--resume"]).output().unwrap()), Some(5));
    let resumed = run(&alice, &["pay", "--resume", "--at", text_address(&open)]);
    assert_eq!(text(&resumed["payments"][0], "state"), "received");
}

#[test]
fn a_key_for_clearing_that_the_bank_replaced_costs_a_payer_no_second_command() {
    let country = Country::of(1);
    let (alice, bob) = (country.at("alice"), country.at("bob"));
    run(&bob, &["--bank", country.url(0), "wallet", "init"]);
    let open = door(&bob, &peer_address());
    run(&alice, &["contacts", "add", "bob", text(&open.ready, "peer"), "--at", text_address(&open)]);
    let pay = ["pay", "bob", "0.05", "--scheme", "clearing"];
    run(&alice, &pay);
    let before = balance(&alice);
    let peer = text(&run(&alice, &["wallet", "show"]), "peer").to_owned();
    country.asked(0, &["rotate-key", &peer]);
    assert_eq!(text(&run(&alice, &pay), "state"), "received");
    assert_eq!(balance(&alice), before - 50_000);
}
