//! Services that answer as no service should: each ends in a typed answer or a clean break, and
//! what was not delivered is not charged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use farthing_dialects::{names, problem};
use farthing_gateway::Config;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::town::{PRICES, Town, problem as read_problem, receipts};

/// What a service does after it has said its piece.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Close,
    Hang,
    /// Says it again, for every further request on the connection.
    GoOn,
    /// Says `more` again and again.
    Repeat(&'static str),
}

/// A service that says the same to everybody.
async fn service(says: impl Into<Vec<u8>>, then: Then) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let says = Arc::new(says.into());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let says = Arc::clone(&says);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                loop {
                    let mut line = String::new();
                    while stream.read_line(&mut line).await.unwrap_or(0) > 2 {
                        line.clear();
                    }
                    if stream.write_all(&says).await.is_err() || then == Then::Close {
                        return;
                    }
                    match then {
                        Then::Hang => drop(stream.read_to_end(&mut Vec::new()).await),
                        Then::Repeat(more) => while stream.write_all(more.as_bytes()).await.is_ok() {},
                        Then::GoOn | Then::Close => continue,
                    }
                    return;
                }
            });
        }
    });
    address
}

async fn town(says: impl Into<Vec<u8>>, then: Then, change: impl FnOnce(&mut Config)) -> Town {
    let address = service(says, then).await;
    Town::with(PRICES, |config| {
        config.behind = format!("http://{address}").into();
        change(config);
    })
    .await
}

const OK: &str = "HTTP/1.1 200 OK\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_keeps_its_buyer_waiting_is_given_up_and_not_paid() {
    let cases = [
        ("a head that never ends", format!("{OK}x-half: ")),
        ("a body that never ends", format!("{OK}content-length: 5\r\n\r\nhal")),
        ("promises only", "HTTP/1.1 100 Continue\r\n\r\n".repeat(3)),
    ];
    for (name, says) in cases {
        let town = town(says, Then::Hang, |config| config.patience = Duration::from_millis(200)).await;
        let mut buyer = town.buyer(1, 1).await;
        let problem = read_problem(buyer.get("/hello", 1).await).await;
        assert!(problem.is(problem::UPSTREAM_SLOW), "{name}");
        assert_eq!(buyer.refused(&problem), Some(0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_speak_http_is_not_paid() {
    let giant = format!("{OK}x-giant: {}\r\n\r\n", "g".repeat(300 << 10));
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let cases = [
        ("nothing", String::new()),
        ("nonsense", "nonsense\r\n\r\n".into()),
        ("a giant header", giant),
        ("too many headers", format!("{OK}{many}\r\n")),
        ("half a body", format!("{OK}content-length: 5\r\n\r\nhal")),
        ("two lengths", format!("{OK}content-length: 1\r\ncontent-length: 2\r\n\r\nab")),
        ("another protocol", "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n".into()),
    ];
    for (name, says) in cases {
        let town = town(says, Then::Close, |_| {}).await;
        let mut buyer = town.buyer(1, 1).await;
        let problem = read_problem(buyer.get("/hello", 1).await).await;
        assert!(problem.is(problem::UPSTREAM_FAILED), "{name}");
        assert_eq!(buyer.refused(&problem), Some(0), "{name}");
        // What is free fails as well, or breaks off.
        let free = town.get("/free").await;
        assert!(free.status() == 502 || free.bytes().await.is_err(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_service_and_one_that_says_hello_first_are_understood() {
    let old = "HTTP/1.0 200 OK\r\n\r\nhello".to_owned();
    let hints =
        format!("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n{OK}content-length: 5\r\nconnection: close\r\n\r\nhello");
    for says in [old, hints] {
        let town = town(says, Then::Close, |_| {}).await;
        let mut buyer = town.buyer(1, 1).await;
        let answer = buyer.get("/hello", 1).await;
        assert_eq!(answer.status(), 200);
        let stream = answer.headers().get(names::STREAM).map(|name| name.to_str().unwrap().to_owned());
        let charged = match &stream {
            None => buyer.charged(&answer),
            Some(_) => 0,
        };
        assert_eq!(answer.text().await.unwrap(), "hello");
        let charged = match stream {
            None => charged,
            Some(stream) => buyer.spender.on_ack(&receipts(&town, &stream).await[0]).unwrap(),
        };
        assert_eq!(charged, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_says_beyond_its_answer_is_nobody_s_answer() {
    let says = format!("{OK}content-length: 5\r\n\r\nhello{OK}content-length: 4\r\n\r\nevil");
    let town = town(says, Then::GoOn, |_| {}).await;
    let mut buyer = town.buyer(1, 5).await;
    for _ in 0..5 {
        let answer = buyer.get("/hello", 1).await;
        assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 1));
        assert_eq!(answer.text().await.unwrap(), "hello");
    }
}

/// Reads an answer to its end: how much came, and whether it ended as it should.
async fn read(mut answer: reqwest::Response) -> (usize, bool) {
    let mut got = 0;
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => got += chunk.len(),
            Ok(None) => return (got, true),
            Err(_) => return (got, false),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_end_is_broken_off_and_charged_once() {
    let chunked = format!("{OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let life = |config: &mut Config| config.streams.life = Duration::from_millis(200);
    let town = town(chunked, Then::Repeat("5\r\nhello\r\n"), life).await;
    let mut buyer = town.buyer(1, 2).await;
    let answer = buyer.get("/hello", 1).await;
    let stream = answer.headers()[names::STREAM].to_str().unwrap().to_owned();
    let (got, ended) = read(answer).await;
    assert!(got > 5 && !ended);
    assert_eq!(buyer.spender.on_ack(&receipts(&town, &stream).await[0]), Ok(1));
    let problem = read_problem(town.get(&names::stream_path(&stream)).await).await;
    assert!(problem.is(problem::SESSION_CLOSED) && problem.detail.contains("longer than answers may"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_falls_silent_is_broken_off_and_given_back() {
    let chunked = format!("{OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let silence = |config: &mut Config| config.streams.silence = Duration::from_millis(100);
    let town = town(chunked, Then::Hang, silence).await;
    let mut buyer = town.buyer(1, 1).await;
    let answer = buyer.get("/hello", 1).await;
    let stream = answer.headers()[names::STREAM].to_str().unwrap().to_owned();
    assert_eq!(read(answer).await, (5, false));
    assert_eq!(buyer.spender.on_ack(&receipts(&town, &stream).await[0]), Ok(0));
}
