use std::time::Duration;

use farthing_dialects::{names, payment};

use crate::town::{Town, receipts};

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
