use std::sync::Arc;

use farthing_bank::audit::{AuditFailure, BackupFailure, audit, backup};
use farthing_bank::client::{BankAddress, BankClient};
use farthing_bank::home::{BankHome, TlsConfig, Unlock};
use farthing_bank::messages::Text;
use farthing_bank::server::{Bank, Options, SignerChoice, StartError, run};
use farthing_bank::signer::SignerCommand;
use farthing_core::refusal::Code;

use crate::town::{Town, micros, refused, units};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_repeated_after_a_restart_gets_the_same_bytes() {
    let mut town = Town::new().await;
    let (payer, payee) = (town.customer(1, 10).await, town.customer(2, 0).await);
    let mut purse = town.chain(&payer, 100).await;
    let (claim, _) = town.visit(&mut purse, &payer, &payee, 7);
    let claims = farthing_netpay::messages::Claims { items: farthing_core::wire::Bounded::new(vec![claim]).unwrap() };
    let id = town.id();
    let before = town.client.claim(&payee, id, &claims).await.unwrap();
    town.restart().await;
    let after = town.client.claim(&payee, id, &claims).await.unwrap();
    assert_eq!(farthing_core::wire::encode(before.signed()), farthing_core::wire::encode(after.signed()));
    assert_eq!(town.balance(&payee).await, 7_000);
    // The payer goes on with the same chain.
    let (claim, _) = town.visit(&mut purse, &payer, &payee, 3);
    town.claim(&payee, vec![claim]).await.unwrap();
    assert_eq!(town.balance(&payee).await, 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_agrees_with_a_bank_at_work_and_names_what_was_tampered_with() {
    let mut town = Town::new().await;
    let payer = town.customer(1, 10).await;
    town.chain(&payer, 100).await;
    town.bank().count_and_publish().await.unwrap();
    let summary = audit(&town.home()).unwrap();
    assert_eq!(summary.totals["XTS"]["customer"], 9_900_000);
    assert_eq!(summary.totals["XTS"]["world"], -10_000_000);
    assert!(summary.reports >= 1 && summary.to_string().contains("customer   9.900000 XTS"), "{summary}");
    assert_eq!(serde_json::to_value(&summary).unwrap()["totals"]["XTS"]["backing"], 100_000);
    town.stop().await;
    // Every account is richer by a unit, and nobody gave it.
    let books = rusqlite::Connection::open(town.home().join("bank.db")).unwrap();
    books.execute("UPDATE accounts SET credits = credits + 1000000 WHERE kind = 1", []).unwrap();
    drop(books);
    assert!(matches!(audit(&town.home()), Err(AuditFailure::Bad(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_whose_books_do_not_add_up_pays_nothing_out_and_says_so() {
    let mut town = Town::new().await;
    let (payer, payee) = (town.customer(1, 10).await, town.customer(2, 0).await);
    let mut purse = town.chain(&payer, 100).await;
    let (claim, _) = town.visit(&mut purse, &payer, &payee, 7);
    town.stop().await;
    let books = rusqlite::Connection::open(town.home().join("bank.db")).unwrap();
    books.execute("UPDATE accounts SET credits = credits + 1000000 WHERE kind = 1", []).unwrap();
    drop(books);
    town.restart().await;
    assert!(town.bank().alarm().is_some());
    let to = Text::new("away").unwrap();
    assert_eq!(refused(town.client.payout(&payer, town.id(), units(1), to).await), Code::State);
    assert_eq!(refused(town.claim(&payee, vec![claim]).await), Code::State);
    assert!(!town.client.liabilities().await.unwrap().body().is_conserved());
    let ready = town.client.address().endpoint().url("/readyz");
    assert_eq!(reqwest::get(ready).await.unwrap().status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_whose_journal_was_tampered_with_pays_nothing_out_from_the_start() {
    for tampering in [
        "DELETE FROM journal WHERE seq = 5",
        "UPDATE journal SET entry = x'00' WHERE seq = 5",
        "UPDATE journal SET hash = zeroblob(32) WHERE seq = (SELECT max(seq) FROM journal)",
        "UPDATE accounts SET frozen = 1 - frozen WHERE kind = 1",
    ] {
        let mut town = Town::new().await;
        let payer = town.customer(1, 10).await;
        town.customer(2, 10).await;
        town.stop().await;
        let books = rusqlite::Connection::open(town.home().join("bank.db")).unwrap();
        assert!(books.execute(tampering, []).unwrap() > 0);
        drop(books);
        town.restart().await;
        assert!(town.bank().alarm().is_some(), "{tampering}");
        let to = Text::new("away").unwrap();
        assert_eq!(refused(town.client.payout(&payer, town.id(), units(1), to).await), Code::State, "{tampering}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_refuses_to_start_from_books_older_than_what_it_has_published() {
    let mut town = Town::new().await;
    let payer = town.customer(1, 10).await;
    let copy = town.dir.path().join("copy");
    backup(&town.home(), &copy).unwrap();
    assert!(matches!(backup(&town.home(), &copy), Err(BackupFailure::Exists(_))));
    town.chain(&payer, 100).await;
    town.bank().count_and_publish().await.unwrap();
    town.stop().await;
    assert_eq!(audit(&copy).unwrap().totals["XTS"]["customer"], 10_000_000);
    for file in ["bank.db", "bank.db-wal", "bank.db-shm"] {
        let _ = std::fs::remove_file(town.home().join(file));
    }
    std::fs::copy(copy.join("bank.db"), town.home().join("bank.db")).unwrap();
    let home = BankHome::open(town.home(), &Unlock::insecure()).unwrap();
    let started = Bank::start(home, Options::new(SignerChoice::InThisProcess, Unlock::insecure())).await;
    let why = started.err().unwrap();
    assert!(matches!(why, StartError::NotTheLatest(_)), "{why}");
    assert!(matches!(audit(&town.home()), Err(AuditFailure::NotTheLatest(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_bank_on_the_same_port_or_books_is_refused() {
    let town = Town::new().await;
    let open = || BankHome::open(town.home(), &Unlock::insecure()).unwrap();
    let options = || Options::new(SignerChoice::InThisProcess, Unlock::insecure());
    let mut home = open();
    home.config.listen = town.bank().address();
    assert!(matches!(Bank::start(home, options()).await, Err(StartError::Bind(_))));
    assert!(matches!(Bank::start(open(), options()).await, Err(StartError::Store { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_for_operators_and_programs_are_there() {
    let town = Town::new().await;
    let get = |path: &str| reqwest::get(town.client.address().endpoint().url(path));
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(get(path).await.unwrap().status(), 200, "{path}");
    }
    let document: serde_json::Value = get("/openapi.json").await.unwrap().json().await.unwrap();
    for path in ["/v1/messages", "/v1/bank", "/v1/liabilities", "/supported", "/verify", "/settle"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    let page: serde_json::Value = get("/v1/bank").await.unwrap().json().await.unwrap();
    assert_eq!((page["name"].as_str(), page["currency"].as_str()), (Some("Town bank"), Some("XTS")));
    assert_eq!(page["limit_per_item"], micros(10_000_000).to_string());
    assert_eq!(get("/nowhere").await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_behind_a_self_made_certificate_is_known_by_its_fingerprint_and_key() {
    let mut town = Town::with(|config| config.tls = TlsConfig::SelfMade).await;
    let address = town.client.address().to_string();
    assert!(address.starts_with("https://") && address.contains("sha256=") && address.contains("bank=peer1"));
    let payer = town.customer(1, 10).await;
    town.restart().await;
    // Address and all may be copied by hand.
    let again: BankAddress = town.client.address().to_string().parse().unwrap();
    let client = BankClient::connect(again).await.unwrap();
    assert_eq!(client.statement(&payer, town.id(), None, 0).await.unwrap().balances.balance, units(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_refuses_to_start_without_its_signer_and_takes_no_port() {
    let mut town = Town::new().await;
    town.stop().await;
    for program in ["/nonexistent/signer", "/bin/false", "/bin/cat"] {
        let home = BankHome::open(town.home(), &Unlock::insecure()).unwrap();
        let signer = SignerChoice::Process(SignerCommand { program: program.into(), args: Vec::new() });
        let started = Bank::start(home, Options::new(signer, Unlock::insecure())).await;
        assert!(matches!(started, Err(StartError::Signer(_))), "{program}");
    }
    town.restart().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_runs_until_it_is_told_to_stop_and_frees_books_and_port() {
    let mut town = Town::new().await;
    town.stop().await;
    let mut listened = None;
    for _ in 0..2 {
        let mut home = BankHome::open(town.home(), &Unlock::insecure()).unwrap();
        home.config.listen = listened.unwrap_or(home.config.listen);
        let options = Options {
            clock: Arc::new(town.clock.clone()),
            ..Options::new(SignerChoice::InThisProcess, Unlock::insecure())
        };
        run(home, options, |bank| listened = Some(bank.address()), std::future::ready(())).await.unwrap();
    }
    town.restart().await;
}
