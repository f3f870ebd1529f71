//! A broker that buys from a real gateway.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use farthing_driver::Clock;
use farthing_driver::SystemClock;
use farthing_gateway::acquirer::BankDesk;
use farthing_gateway::prices::single;
use farthing_gateway::{Bank, Config, Gateway, Keys, PriceSource};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::town::{Town, key, micros};

/// A gateway of a seller's before a service.
struct Shopfront {
    control: farthing_gateway::Control,
    endpoint: farthing_net::http::endpoint::Endpoint,
    stop: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<()>,
    _home: tempfile::TempDir,
}

impl Shopfront {
    async fn before(upstream: String, town: &Town) -> Self {
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
        let running = tokio::spawn(async move {
            // Whatever it ends with.
            let _ = gateway.run(async move { drop(stopping.await) }).await;
        });
        Self { control, endpoint, stop, running, _home: home }
    }

    async fn close(self) {
        drop(self.stop);
        self.running.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_buys_from_a_gateway_through_the_broker() {
    let service = Router::new().route("/hello", get(|| async { "hello" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });

    let mut town = Town::at(SystemClock.now()).await;
    let front = Shopfront::before(upstream, &town).await;

    town.fund(&town.broker_key(), 1_000_000).await;
    town.buy_from(front.endpoint.clone()).await;
    let mut stranger = town.stranger(1, 1_000).await;
    let ask = stranger.ask(key(20).id(), "/hello", 1);
    let first = stranger.serial(&town, &ask).await.unwrap();
    assert_eq!((first.status, &first.body[..]), (200, &b"hello"[..]));
    town.kill_and_restart_broker().await;
    assert_eq!(stranger.serial(&town, &ask).await.unwrap(), first);
    let ask = stranger.ask(key(20).id(), "/hello", 1);
    assert_eq!(stranger.serial(&town, &ask).await.unwrap().status, 200);

    town.broker().clear_now().await.unwrap();
    front.control.clear().await.unwrap();
    assert_eq!(town.money(&key(20)).await.0, 2_000);
    assert_eq!(town.money(&stranger.account).await.0, 998_000);
    assert_eq!(town.money(&town.broker_key()).await.0, 1_000_000);
    front.close().await;
}

/// A service that fails in the way each path says.
async fn failing_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut head, mut chunk) = (Vec::new(), [0; 4 << 10]);
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut chunk).await {
                        Ok(read @ 1..) => head.extend_from_slice(&chunk[..read]),
                        _ => return,
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let answer: &[u8] = match head.split(' ').nth(1) {
                    Some("/less") => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789",
                    Some("/half") => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                    Some("/long") => {
                        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                    }
                    _ => b"",
                };
                // Whoever asked may be gone.
                let _ = stream.write_all(answer).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_gives_back_is_not_kept_by_the_broker_however_the_answer_failed() {
    let mut town = Town::at(SystemClock.now()).await;
    let front = Shopfront::before(failing_service().await, &town).await;
    town.fund(&town.broker_key(), 1_000_000).await;
    town.buy_from(front.endpoint.clone()).await;
    let mut stranger = town.stranger(1, 1_000).await;
    for path in ["/die", "/less", "/half", "/half"] {
        let ask = stranger.ask(key(20).id(), path, 1);
        let answer = stranger.serial(&town, &ask).await.unwrap();
        assert_eq!((answer.status, answer.ack.charged), (502, 0), "{path}");
        assert_eq!((stranger.spender.left(), stranger.spender.unanswered().len()), (1_000, 0), "{path}");
    }
    // One that comes in parts has its receipt behind it.
    let ask = stranger.ask(key(20).id(), "/long", 1);
    let answer = stranger.serial(&town, &ask).await.unwrap();
    assert_eq!((answer.status, answer.ack.charged, &answer.body[..]), (200, 10, &b"hello"[..]));

    town.broker().clear_now().await.unwrap();
    front.control.clear().await.unwrap();
    assert_eq!(town.money(&key(20)).await.0, 1_000);
    assert_eq!(town.money(&stranger.account).await.0, 999_000);
    assert_eq!(town.money(&town.broker_key()).await.0, 1_000_000);
    front.close().await;
}
