use std::collections::HashSet;
use std::time::Duration;

use farthing_core::refusal::Money;
use farthing_core::wire::{self, Bounded};
use farthing_coupon::micro::Ack;
use farthing_dialects::{names, payment, problem};
use farthing_gateway::Durability;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::town::{PRICES, Town, problem as read_problem, receipts};

#[tokio::test(flavor = "multi_thread")]
async fn a_maximum_is_paid_and_the_actual_is_charged() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 10_000).await;
    // 100,000 bytes at a coupon a thousand, and up to 2,000 coupons allowed.
    let answer = buyer.get("/large", 2_000).await;
    let stream = answer.headers()[names::STREAM].to_str().unwrap().to_owned();
    assert_eq!(answer.bytes().await.unwrap().len(), 100_000);
    let acks = receipts(&town, &stream).await;
    assert_eq!(buyer.spender.on_ack(&acks[0]), Ok(100));
    assert_eq!(buyer.spender.left(), 9_900);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_pauses_when_the_money_runs_out_and_goes_on_when_more_is_paid() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 10_000).await;
    let mut answer = buyer.get("/forever", 5).await;
    let stream = answer.headers()[names::STREAM].to_str().unwrap().to_owned();
    let mut got = 0;
    while got < 5_000 {
        got += answer.chunk().await.unwrap().unwrap().len();
    }
    // Not a byte more than was paid for.
    assert_eq!(got, 5_000);
    let more = tokio::time::timeout(Duration::from_millis(100), answer.chunk()).await;
    assert!(more.is_err(), "it waits");
    let path = names::stream_path(&stream);
    let coupon = buyer.coupon("POST", &path, b"", 3);
    for _ in 0..2 {
        let request = town.http.post(town.url(&path)).header("authorization", payment::compact(&coupon));
        assert_eq!(request.send().await.unwrap().status(), 202);
    }
    while got < 8_000 {
        got += answer.chunk().await.unwrap().unwrap().len();
    }
    assert_eq!(got, 8_000);
    drop(answer);
    let acks = receipts(&town, &stream).await;
    let charged: Vec<_> = acks.iter().map(|ack| buyer.spender.on_ack(ack).unwrap()).collect();
    assert_eq!(charged, [5, 3]);
    let late = buyer.coupon("POST", &path, b"", 1);
    let request = town.http.post(town.url(&path)).header("authorization", payment::compact(&late));
    assert_eq!(request.send().await.unwrap().status(), 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_money_whose_sender_goes_away_at_once_is_neither_lost_nor_left_unsettled() {
    let time = Duration::from_millis(100);
    let town = Town::with(PRICES, |config| config.durability = Durability::Every(time)).await;
    let mut buyer = town.buyer(1, 10_000).await;
    let answer = buyer.get("/forever", 5).await;
    let stream = answer.headers()[names::STREAM].to_str().unwrap().to_owned();
    let (path, host) = (names::stream_path(&stream), town.base.trim_start_matches("http://"));
    for _ in 0..20 {
        let credential = payment::compact(&buyer.coupon("POST", &path, b"", 3));
        let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: {credential}\r\n\r\n");
        let mut sender = TcpStream::connect(host).await.unwrap();
        sender.write_all(head.as_bytes()).await.unwrap();
    }
    drop(answer);
    receipts(&town, &stream).await;
    // Whatever was taken is settled, and nothing is in flight for ever: the session is cleared for good.
    town.clock.advance(farthing_core::time::Span::from_days(1));
    for _ in 0..500 {
        if town.control.clear().await.unwrap().waiting == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(town.bank.paid().1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_used_up_are_receipted_on_the_way_so_that_a_stream_outlasts_the_window() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 10_000).await;
    let mut answer = buyer.get("/forever", 100).await;
    let stream = answer.headers()[names::STREAM].to_str().unwrap().to_owned();
    let path = names::stream_path(&stream);
    let (mut got, mut seen) = (0, HashSet::new());
    // More in all than may be open in a session at once.
    for payments in 1..=30 {
        while got < payments * 100_000 {
            got += answer.chunk().await.unwrap().unwrap().len();
        }
        let coupon = buyer.coupon("POST", &path, b"", 100);
        let request = town.http.post(town.url(&path)).header("authorization", payment::compact(&coupon));
        let accepted = request.send().await.unwrap();
        assert_eq!(accepted.status(), 202);
        let acks: Bounded<Ack> = wire::decode(&accepted.bytes().await.unwrap()).unwrap();
        for ack in acks.as_slice().iter().filter(|ack| seen.insert(ack.index)) {
            assert_eq!(buyer.spender.on_ack(ack), Ok(100));
        }
        assert_eq!(seen.len(), payments, "all but the newest");
    }
    drop(answer);
    let acks = receipts(&town, &stream).await;
    assert_eq!(acks.len(), 31, "at the end they are all told once more");
    let last: Vec<_> = acks.iter().filter(|ack| seen.insert(ack.index)).collect();
    assert!(last.len() == 1 && buyer.spender.on_ack(last[0]).is_ok());
    town.control.clear().await.unwrap();
    let (paid, _) = town.bank.paid();
    assert!((300_000..=310_000).contains(&paid), "{paid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_whose_answer_is_gone_is_told_what_became_of_its_payment() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 1_000).await;
    let long = buyer.coupon("GET", "/large", b"", 200);
    let answer = buyer.send("/large", &long).await;
    let stream = answer.headers()[names::STREAM].to_str().unwrap().to_owned();
    assert_eq!(answer.bytes().await.unwrap().len(), 100_000);
    receipts(&town, &stream).await;
    let told = read_problem(buyer.send("/large", &long).await).await;
    assert!(told.is(problem::REPLAYED) && told.money == Money::MovedBefore);
    assert!(told.detail.contains("100 coupons were charged"), "{told:?}");
    assert_eq!(buyer.refused(&told), Some(100));
    let short = buyer.coupon("GET", "/hello", b"", 1);
    assert_eq!(buyer.send("/hello", &short).await.status(), 200);
    let town = town.restart().await;
    let told = read_problem(crate::town::send(&town, "/hello", &short).await).await;
    assert!(told.is(problem::REPLAYED) && told.money == Money::MovedBefore, "{told:?}");
    assert!(told.detail.contains("receipt") && told.detail.contains(names::SESSION_PATH), "{told:?}");
    assert_eq!(town.seen.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_more_money_ends_after_a_while_and_charges_what_was_sent() {
    let town = Town::with(crate::town::PRICES, |config| config.streams.pause = Duration::from_millis(50)).await;
    let mut buyer = town.buyer(1, 10_000).await;
    let mut answer = buyer.get("/forever", 2).await;
    let stream = answer.headers()[names::STREAM].to_str().unwrap().to_owned();
    let mut got = 0;
    let ended = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => got += chunk.len(),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    assert_eq!((got, ended), (2_000, false), "it shows that it is not whole");
    assert_eq!(buyer.spender.on_ack(&receipts(&town, &stream).await[0]), Ok(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_given_back_where_it_costs_the_same_however_long() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 1).await;
    let answer = buyer.get("/breaks", 1).await;
    let stream = answer.headers()[names::STREAM].to_str().unwrap().to_owned();
    assert!(answer.bytes().await.is_err());
    assert_eq!(buyer.spender.on_ack(&receipts(&town, &stream).await[0]), Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_is_charged_both_ways_and_waits_for_money() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    // Ten bytes a coupon: twenty out and twenty back.
    let coupon = buyer.coupon("GET", "/socket", b"", 4);
    let mut socket = tokio::net::TcpStream::connect(town.base.trim_start_matches("http://")).await.unwrap();
    let credential = payment::compact(&coupon);
    let head = format!(
        "GET /socket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\nauthorization: {credential}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let line = answer.lines().find(|line| line.starts_with(names::STREAM)).unwrap();
    let stream = line.split(' ').nth(1).unwrap().to_owned();
    socket.write_all(&[b'a'; 20]).await.unwrap();
    let mut echoed = [0; 20];
    socket.read_exact(&mut echoed).await.unwrap();
    socket.write_all(&[b'b'; 10]).await.unwrap();
    let mut more = [0; 10];
    let paused = tokio::time::timeout(Duration::from_millis(100), socket.read_exact(&mut more)).await;
    assert!(paused.is_err(), "it waits");
    let path = names::stream_path(&stream);
    let coupon = buyer.coupon("POST", &path, b"", 5);
    let request = town.http.post(town.url(&path)).header("authorization", payment::compact(&coupon));
    assert_eq!(request.send().await.unwrap().status(), 202);
    socket.read_exact(&mut more).await.unwrap();
    assert_eq!(more, [b'b'; 10]);
    socket.shutdown().await.unwrap();
    let acks = receipts(&town, &stream).await;
    let charged: Vec<_> = acks.iter().map(|ack| buyer.spender.on_ack(ack).unwrap()).collect();
    assert_eq!(charged, [4, 2]);
}
