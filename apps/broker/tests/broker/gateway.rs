//! A broker that buys from a real gateway.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use farthing_driver::Clock;
use farthing_driver::SystemClock;
use farthing_gateway::acquirer::BankDesk;
use farthing_gateway::prices::single;
use farthing_gateway::{Bank, Config, Gateway, Keys, PriceSource};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::town::{Town, key, micros};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_buys_from_a_gateway_through_the_broker() {
    let service = Router::new().route("/hello", get(|| async { "hello" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });

    let mut town = Town::at(SystemClock.now()).await;
    town.fund(&key(20), 0).await;
    let home = tempfile::tempdir().unwrap();
    let prices = PriceSource::Fixed(single(micros(1_000)).unwrap());
    let config = Config::new(upstream, "127.0.0.1:0".parse().unwrap(), home.path().to_owned(), prices);
    let bank = Bank {
        network: town.client.network(),
        key: town.client.bank(),
        currency: micros(1).currency(),
        address: town.client.address().to_string(),
        acquirer: Arc::new(BankDesk::new(town.client.clone(), Arc::new(key(20)))),
    };
    let gateway = Gateway::start(config, &Keys::of([20; 32].into()), bank, Arc::new(SystemClock)).await.unwrap();
    let (endpoint, control) = (gateway.endpoint().unwrap(), gateway.control());
    let (stop, stopping) = oneshot::channel::<()>();
    let running = tokio::spawn(async move { gateway.run(async move { drop(stopping.await) }).await });

    town.fund(&town.broker_key(), 1_000_000).await;
    town.buy_from(endpoint).await;
    let mut stranger = town.stranger(1, 1_000).await;
    let ask = stranger.ask(key(20).id(), "/hello", 1);
    let first = stranger.serial(&town, &ask).await.unwrap();
    assert_eq!((first.status, &first.body[..]), (200, &b"hello"[..]));
    town.kill_and_restart_broker().await;
    assert_eq!(stranger.serial(&town, &ask).await.unwrap(), first);
    let ask = stranger.ask(key(20).id(), "/hello", 1);
    assert_eq!(stranger.serial(&town, &ask).await.unwrap().status, 200);

    town.broker().clear_now().await.unwrap();
    control.clear().await.unwrap();
    assert_eq!(town.money(&key(20)).await.0, 2_000);
    assert_eq!(town.money(&stranger.account).await.0, 998_000);
    assert_eq!(town.money(&town.broker_key()).await.0, 1_000_000);
    drop(stop);
    running.await.unwrap();
}
