//! WebSockets through the gateway.

use std::net::SocketAddr;
use std::time::Duration;

use farthing_dialects::{names, payment};
use farthing_gateway::Config;
use futures::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::town::{Customer, Town, receipts};

const PRICES: &str = r#"
price = "0.0001 XTS"
coupon = "0.0001 XTS"
[[route]]
path = "/free"
free = true
[[route]]
path = "/clock"
price = "0.0001 XTS"
unit = "second"
max = "0.0100 XTS"
[[route]]
path = "/bytes"
price = "0.0001 XTS"
unit = "byte"
per = 1000
max = "0.0100 XTS"
"#;

/// A service that repeats every message.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_close() || socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

async fn town(change: impl FnOnce(&mut Config)) -> Town {
    let address = echo().await;
    Town::with(PRICES, |config| {
        config.behind = format!("http://{address}").into();
        change(config);
    })
    .await
}

/// Opens a WebSocket, paid with so many units if any; and how its receipts are found.
async fn open(town: &Town, path: &str, paid: Option<(&mut Customer<'_>, u32)>) -> (WebSocketStream<TcpStream>, String) {
    let at = town.base.trim_start_matches("http://");
    let mut request = format!("ws://{at}{path}").into_client_request().unwrap();
    if let Some((buyer, units)) = paid {
        let coupon = buyer.coupon("GET", path, b"", units);
        request.headers_mut().insert("authorization", payment::compact(&coupon).parse().unwrap());
    }
    let (socket, answer) = client_async(request, TcpStream::connect(at).await.unwrap()).await.unwrap();
    let stream = answer.headers().get(names::STREAM).map(|name| name.to_str().unwrap().to_owned());
    (socket, stream.unwrap_or_default())
}

async fn say(socket: &mut WebSocketStream<TcpStream>, text: &str) -> Option<String> {
    socket.send(Message::text(text)).await.ok()?;
    Some(socket.next().await?.ok()?.to_text().ok()?.to_owned())
}

async fn charged(town: &Town, buyer: &mut Customer<'_>, stream: &str) -> Vec<u32> {
    receipts(town, stream).await.iter().map(|ack| buyer.spender.on_ack(ack).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_at_a_price_for_requests_is_paid_once() {
    let town = town(|_| {}).await;
    let mut buyer = town.buyer(1, 10).await;
    let (mut socket, stream) = open(&town, "/chat", Some((&mut buyer, 1))).await;
    for n in 0..10 {
        assert_eq!(say(&mut socket, &format!("hello {n}")).await.unwrap(), format!("hello {n}"));
    }
    socket.close(None).await.unwrap();
    assert_eq!(charged(&town, &mut buyer, &stream).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_by_the_byte_counts_both_ways_and_stops_where_the_money_does() {
    let town = town(|_| {}).await;
    let mut buyer = town.buyer(1, 20).await;
    let (mut socket, stream) = open(&town, "/bytes", Some((&mut buyer, 3))).await;
    // A thousand bytes and what frames them go out and come back: more than two coupons' worth.
    let long = "x".repeat(1_000);
    assert_eq!(say(&mut socket, &long).await.as_ref(), Some(&long));
    socket.send(Message::text(&long)).await.unwrap();
    let path = names::stream_path(&stream);
    while town.get(&path).await.status() != 402 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let coupon = buyer.coupon("POST", &path, b"", 5);
    let request = town.http.post(town.url(&path)).header("authorization", payment::compact(&coupon));
    assert_eq!(request.send().await.unwrap().status(), 202);
    assert_eq!(socket.next().await.unwrap().unwrap().to_text().unwrap(), long);
    assert_eq!(town.get(&path).await.status(), 204);
    socket.close(None).await.unwrap();
    assert_eq!(charged(&town, &mut buyer, &stream).await, [3, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_by_the_second_is_closed_when_no_more_is_paid() {
    let town = town(|config| config.streams.pause = Duration::from_millis(50)).await;
    let mut buyer = town.buyer(1, 20).await;
    let (mut socket, stream) = open(&town, "/clock", Some((&mut buyer, 1))).await;
    assert_eq!(say(&mut socket, "hello").await.unwrap(), "hello");
    assert!(!matches!(socket.next().await, Some(Ok(_))), "closed by nobody but the gateway");
    assert_eq!(charged(&town, &mut buyer, &stream).await, [1]);
    let problem = crate::town::problem(town.get(&names::stream_path(&stream)).await).await;
    assert!(problem.detail.contains("the money ran out"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_says_nothing_is_closed_paid_or_not() {
    let town = town(|config| config.streams.idle = Duration::from_millis(50)).await;
    let mut buyer = town.buyer(1, 20).await;
    let (mut socket, stream) = open(&town, "/bytes", Some((&mut buyer, 3))).await;
    assert!(!matches!(socket.next().await, Some(Ok(_))));
    assert_eq!(charged(&town, &mut buyer, &stream).await, [0]);
    let (mut free, _) = open(&town, "/free", None).await;
    assert!(!matches!(free.next().await, Some(Ok(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_settles_its_websockets_first() {
    let mut town = town(|_| {}).await;
    {
        let mut buyer = town.buyer(1, 20).await;
        let (mut socket, _) = open(&town, "/bytes", Some((&mut buyer, 9))).await;
        assert_eq!(say(&mut socket, &"x".repeat(500)).await.unwrap().len(), 500);
        std::mem::forget(socket);
    }
    town.stop().await;
    assert_eq!(town.bank.paid().0, 200, "two coupons of nine were used");
}
