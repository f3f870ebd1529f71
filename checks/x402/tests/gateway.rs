//! Stock x402 clients, in JavaScript and Python, against our gateway and a real bank.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use farthing_driver::{Clock, SystemClock};
use farthing_gateway::acquirer::BankDesk;
use farthing_gateway::prices::single;
use farthing_gateway::{Bank, Config, Control, Gateway, Keys, PriceSource};
use farthing_x402_checks::{Purse, Stock, Town, key, micros, serve};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;

/// A service that knows nothing of money.
async fn service() -> String {
    let router = Router::new()
        .route("/hello/{name}", get(|Path(name): Path<String>| async move { axum::Json(json!({ "hello": name })) }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

/// A gateway in front of it.
struct Gate {
    url: String,
    control: Control,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

async fn gateway(town: &Town, home: &tempfile::TempDir) -> Gate {
    let prices = PriceSource::Fixed(single(micros(300)).unwrap());
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = Config::new(service().await, listen, home.path().to_owned(), prices);
    let bank = Bank {
        network: town.client.network(),
        key: town.client.bank(),
        currency: micros(1).currency(),
        address: town.url(),
        acquirer: Arc::new(BankDesk::new(town.client.clone(), Arc::new(key(2)))),
    };
    let gateway = Gateway::start(config, &Keys::of([2; 32].into()), bank, Arc::new(SystemClock)).await.unwrap();
    let url = gateway.endpoint().unwrap().to_string().trim_end_matches('/').to_owned();
    let (stop, stopping) = oneshot::channel::<()>();
    let control = gateway.control();
    let running = tokio::spawn(async move { gateway.run(async move { drop(stopping.await) }).await });
    Gate { url, control, stop, running }
}

async fn a_stock_client_pays_our_gateway(stock: &Stock) {
    let town = Town::at(SystemClock.now()).await;
    let (shop, buyer) = (town.customer(2, 0).await, town.customer(1, 1_000_000).await);
    let home = tempfile::tempdir().unwrap();
    let Gate { url, control, stop, running } = gateway(&town, &home).await;
    let purse = Purse::open(&town.client, &url, &buyer, 11, 1_000, town.clock.now()).await.unwrap();
    let purse = Arc::new(Mutex::new(purse));
    let (wallet, _) = serve(Arc::clone(&purse)).await;
    let (wallet, network) = (format!("http://{wallet}"), format!("farthing:{}", town.client.network()));
    let urls = ["/hello/ada", "/hello/ben"].map(|path| format!("{url}{path}"));
    let said = stock.client(&[&wallet, &network, "XTS", &urls[0], &urls[1]]).await;
    for (answer, name) in said.iter().zip(["ada", "ben"]) {
        assert_eq!((&answer["status"], &answer["body"]), (&json!(200), &json!({ "hello": name })), "{answer}");
        assert_eq!(answer["settled"]["amount"], json!("300"), "{answer}");
        if answer["used"].is_null() {
            assert!(purse.lock().await.on_response(&answer["settled"]).is_ok());
        }
    }
    control.clear().await.unwrap();
    assert_eq!(town.money(&shop).await, (600, 0));
    assert_eq!(town.money(&buyer).await.0, 999_400);
    drop(stop);
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_fetch_client_pays_our_gateway() {
    let Some(stock) = Stock::javascript() else { return };
    a_stock_client_pays_our_gateway(&stock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_requests_client_pays_our_gateway() {
    let Some(stock) = Stock::python() else { return };
    a_stock_client_pays_our_gateway(&stock).await;
}
