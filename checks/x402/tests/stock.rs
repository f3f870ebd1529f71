//! Stock x402 packages, in JavaScript and Python, against the bank's facilitator.
//!
//! `checks/x402/install` fetches them; without them these tests say so and pass.

use std::sync::Arc;

use farthing_bank::facilitator::FacilitatorPass;
use farthing_core::sign::SecretKey;
use farthing_core::time::Span;
use farthing_dialects::x402::{PaymentRequired, read_payload, signature};
use farthing_driver::Clock;
use farthing_x402_checks::{Purse, Stock, Town, serve};
use serde_json::{Value, json};
use tokio::process::Child;
use tokio::sync::Mutex;

/// A bank, a shop of stock parts that settles with it, and a wallet.
struct Street {
    town: Town,
    shop: SecretKey,
    buyer: SecretKey,
    network: String,
    url: String,
    purse: Arc<Mutex<Purse>>,
    wallet: String,
    _server: Child,
}

impl Street {
    async fn new(stock: &Stock) -> Self {
        let town = Town::new().await;
        let (shop, buyer) = (town.customer(2, 0).await, town.customer(1, 1_000_000).await);
        let network = format!("farthing:{}", town.client.network());
        let pass = FacilitatorPass::issue(&shop, town.client.network(), town.clock.now().after(Span::from_hours(1)));
        let (server, mut lines) = stock.start("server", &[&town.url(), &network, "XTS", &Town::name(&shop), &pass]);
        let url = lines.next_line().await.unwrap().expect("the server says where it listens");
        let purse = Purse::open(&town.client, &town.url(), &buyer, 11, 1_000, town.clock.now()).await.unwrap();
        let purse = Arc::new(Mutex::new(purse));
        let (address, _) = serve(Arc::clone(&purse)).await;
        Self { town, shop, buyer, network, url, purse, wallet: format!("http://{address}"), _server: server }
    }

    async fn get(&self, client: &Stock, paths: &[&str]) -> Vec<Value> {
        let urls: Vec<String> = paths.iter().map(|path| format!("{}{path}", self.url)).collect();
        let mut args = vec![self.wallet.as_str(), self.network.as_str(), "XTS"];
        args.extend(urls.iter().map(String::as_str));
        client.client(&args).await
    }

    /// A payment for what a path wants, as it goes into the header.
    async fn pay(&self, path: &str) -> String {
        let asked = reqwest::get(format!("{}{path}", self.url)).await.unwrap();
        assert_eq!(asked.status(), 402);
        let required = PaymentRequired::read(asked.headers()["payment-required"].to_str().unwrap()).unwrap();
        let wanted = required.accepts[0].clone();
        let payload = self.purse.lock().await.pay(&serde_json::to_value(&wanted).unwrap()).unwrap();
        signature(&wanted, &read_payload(&payload).unwrap())
    }

    /// What the shop has and what the buyer has, once all is settled.
    async fn money(&self) -> (u64, (u64, u64)) {
        self.town.settle_up().await;
        (self.town.money(&self.shop).await.0, self.town.money(&self.buyer).await)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_express_server_is_paid_by_a_stock_fetch_client() {
    let Some(stock) = Stock::javascript() else { return };
    let street = Street::new(&stock).await;
    let said = street.get(&stock, &["/weather", "/report", "/weather"]).await;
    assert!(said.iter().all(|answer| answer["status"] == json!(200)), "{said:?}");
    assert_eq!(said[0]["body"], json!({ "weather": "fair", "served": 1 }));
    assert_eq!(said[2]["body"]["served"], json!(3));
    let amounts: Vec<&Value> = said.iter().map(|answer| &answer["settled"]["amount"]).collect();
    assert_eq!(amounts, ["300", "1000", "300"]);
    // The acknowledgement came all the way to the wallet, which checked it.
    assert_eq!(said.iter().map(|answer| answer["used"].as_u64().unwrap()).sum::<u64>(), 16);
    assert_eq!(street.money().await, (1_600, (998_400, 98_400)));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_pays_a_stock_server_for_an_answer_that_failed() {
    let Some(stock) = Stock::javascript() else { return };
    let street = Street::new(&stock).await;
    let said = street.get(&stock, &["/broken"]).await;
    assert_eq!(said[0]["status"], json!(500));
    // The server lets the payment go: the very same is good again, and not in use.
    let header = street.pay("/broken").await;
    for _ in 0..3 {
        let asked = reqwest::Client::new().get(format!("{}/broken", street.url)).header("payment-signature", &header);
        assert_eq!(asked.send().await.unwrap().status(), 500);
    }
    assert_eq!(street.money().await, (0, (1_000_000, 100_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_server_delivers_once_for_a_payment_sent_many_times_at_once() {
    let Some(stock) = Stock::javascript() else { return };
    let street = Street::new(&stock).await;
    let http = reqwest::Client::new();
    let header = street.pay("/weather").await;
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let request = http.get(format!("{}/weather", street.url)).header("payment-signature", &header);
        sending.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let mut statuses = sending.join_all().await;
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (200, &[402; 19][..]));
    let served: Value = reqwest::get(format!("{}/served", street.url)).await.unwrap().json().await.unwrap();
    assert_eq!(served["served"], json!(1));
    // Nor for one that was made for another price.
    let dearer = http.get(format!("{}/report", street.url)).header("payment-signature", &header);
    assert_eq!(dearer.send().await.unwrap().status(), 402);
    assert_eq!(street.money().await, (300, (999_700, 99_700)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_flask_server_is_paid_by_a_stock_requests_client() {
    let Some(stock) = Stock::python() else { return };
    let street = Street::new(&stock).await;
    let said = street.get(&stock, &["/weather", "/weather"]).await;
    assert!(said.iter().all(|answer| answer["status"] == json!(200)), "{said:?}");
    assert_eq!(said[0]["body"], json!({ "weather": "fair" }));
    for answer in &said {
        assert_eq!(street.purse.lock().await.on_response(&answer["settled"]), Ok(3));
    }
    assert_eq!(street.money().await, (600, (999_400, 99_400)));
}

#[tokio::test(flavor = "multi_thread")]
async fn languages_mix() {
    let (Some(javascript), Some(python)) = (Stock::javascript(), Stock::python()) else { return };
    let street = Street::new(&javascript).await;
    assert_eq!(street.get(&python, &["/weather"]).await[0]["status"], json!(200));
    let street = Street::new(&python).await;
    assert_eq!(street.get(&javascript, &["/weather"]).await[0]["status"], json!(200));
}
