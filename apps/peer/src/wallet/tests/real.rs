//! The same against the bank as a server, over loopback.

use std::path::Path;
use std::sync::Arc;

use farthing_bank::client::BankClient;
use farthing_bank::home::{BankHome, Config, Unlock};
use farthing_bank::messages::{Progress, Text};
use farthing_bank::server::{Bank, Options as BankOptions, SignerChoice};
use farthing_core::amount::{Amount, Currency};
use farthing_core::order::Order;
use farthing_core::time::Span;
use farthing_core::vault::Protection;

use super::world::{end, micros, pay_pieces, seed};
use crate::wallet::{BankPin, Options, Settings, Wallet, Want};

async fn start(home: &Path) -> Bank {
    let options = BankOptions::new(SignerChoice::InThisProcess, Unlock::insecure());
    Bank::start(BankHome::open(home, &Unlock::insecure()).unwrap(), options).await.unwrap()
}

async fn wallet(dir: &Path, name: &str, client: &BankClient) -> Wallet {
    let settings = Settings::with_bank(BankPin::of(client));
    let wallet =
        Wallet::create(&dir.join(name), &seed(name), &Protection::None, &settings, Options::default()).await.unwrap();
    wallet.open_account(client).await.unwrap();
    let funded = wallet.fund(client, "5 XTS".parse().unwrap(), Text::new("to begin with").unwrap()).await.unwrap();
    assert!(matches!(funded, Progress::Done(_)));
    wallet
}

async fn balance(wallet: &Wallet, client: &BankClient) -> Amount {
    wallet.statement(client, None, 10).await.unwrap().balances.balance
}

#[tokio::test]
async fn files_are_paid_while_the_bank_is_stopped_and_redeemed_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("bank");
    let mut config = Config::play("Town bank", Currency::XTS);
    config.listen.set_port(0);
    BankHome::init(&home, config, &Unlock::insecure()).unwrap();
    let bank = start(&home).await;
    let client = BankClient::connect(bank.bank_address().clone()).await.unwrap();
    let payer = wallet(dir.path(), "payer", &client).await;
    let payee = wallet(dir.path(), "payee", &client).await;
    // By the endpoint and key in wallet.toml, and no client of ours.
    let desk = payer.connect().await.unwrap();
    assert_eq!(payer.upkeep(&desk).await.unwrap().opened, 2);
    let full = balance(&payee, &client).await;
    bank.stop().await;

    let now = payer.now();
    let order = Order {
        payee: payee.me(),
        content: None,
        size: 100,
        piece: 1,
        price: micros(300),
        description: "a file".into(),
        created: now,
        expires: now.after(Span::from_hours(1)),
        nonce: [1; 16],
    };
    let want =
        Want { payee: payee.me(), order: order.clone(), units_per_piece: 1, pieces: 100, max_total: micros(30_000) };
    let (visit, mut spending) = payer.begin(want).await.unwrap();
    let earning = payee.admit(now, &order, visit).await.unwrap();
    pay_pieces(&mut spending, &earning, 100).await;
    assert_eq!(end(spending, &earning).await, 30_000);
    assert!(payee.redeem(&client).await.is_err());

    let bank = start(&home).await;
    let client = BankClient::connect(bank.bank_address().clone()).await.unwrap();
    payee.set_desk(Arc::new(client.clone())).await;
    assert_eq!(payee.redeem(&client).await.unwrap().paid, micros(30_000));
    assert_eq!(balance(&payee, &client).await, full.checked_add(micros(30_000)).unwrap());
    let report = client.liabilities().await.unwrap();
    assert!(report.body().is_conserved());
    assert!(payer.upkeep(&client).await.unwrap().troubles.is_empty());
    bank.stop().await;
}
