use std::sync::atomic::Ordering;
use std::time::Duration;

use farthing_core::time::Span;
use farthing_gateway::report::Report;
use farthing_gateway::{Durability, StartError};

use crate::town::{PRICES, Town, micros, send};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_what_was_used_survive_a_restart() {
    let town = Town::new().await;
    let (used, next) = {
        let mut buyer = town.buyer(1, 100).await;
        let used = buyer.coupon("GET", "/hello", b"", 1);
        assert_eq!(buyer.send("/hello", &used).await.status(), 200);
        (used, buyer.coupon("GET", "/hello", b"", 1))
    };
    let town = town.restart().await;
    assert_eq!(send(&town, "/hello", &used).await.status(), 409, "used is used");
    assert_eq!(send(&town, "/hello", &next).await.status(), 200);
    assert_eq!(town.seen.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_sessions_than_fit_in_memory_are_served_from_disk() {
    let town = Town::with(PRICES, |config| config.room.sessions = 1).await;
    let mut buyers = Vec::new();
    for seed in 1..=20 {
        buyers.push(town.buyer(seed, 10).await);
    }
    for _ in 0..3 {
        for buyer in &mut buyers {
            let answer = buyer.get("/hello", 1).await;
            assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 1));
        }
    }
    town.control.clear().await.unwrap();
    assert_eq!(town.bank.paid(), (6_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clearing_whose_answer_is_lost_is_sent_again_and_paid_once() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    buyer.get("/other", 3).await;
    town.bank.deaf.store(true, Ordering::SeqCst);
    town.control.clear().await.unwrap_err();
    assert_eq!(Report::open(&town.records()).unwrap().revenue().unwrap().unanswered, 1);
    town.bank.deaf.store(false, Ordering::SeqCst);
    let town = town.restart().await;
    town.control.clear().await.unwrap();
    assert_eq!(town.bank.paid(), (300, 0));
    let revenue = Report::open(&town.records()).unwrap().revenue().unwrap();
    assert_eq!((revenue.open, revenue.paid_micros, revenue.cleared_micros, revenue.unanswered), (1, 300, 300, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_is_cleared_for_good_and_counted() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    buyer.get("/other", 3).await;
    town.clock.advance(Span::from_days(1));
    assert_eq!(buyer.get("/hello", 1).await.status(), 402);
    town.control.clear().await.unwrap();
    assert_eq!(town.bank.paid(), (300, 1));
    let report = Report::open(&town.records()).unwrap().revenue().unwrap();
    assert_eq!((report.open, report.over, report.cleared_micros), (0, 1, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bank_s_lost_answer_is_asked_for_again_and_its_no_is_handed_on() {
    let town = Town::new().await;
    town.bank.deaf.store(true, Ordering::SeqCst);
    let mut buyer = town.buyer(1, 10).await;
    assert_eq!(buyer.get("/hello", 1).await.status(), 200);
    town.bank.says_no.store(true, Ordering::SeqCst);
    let (status, why) = town.try_buyer(2, 10).await.err().unwrap();
    assert!(status == 402 && why.contains("no money"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_that_make_no_sense_leave_the_old_ones_in_force() {
    let town = Town::new().await;
    let file = town.home.path().join("prices.toml");
    std::fs::write(&file, "price = \"free\"").unwrap();
    assert!(matches!(town.control.reload().await, Err(StartError::Prices(_))));
    assert_eq!(town.challenge("/other").await.1.units, 3);
    std::fs::write(&file, "price = \"0.0008 XTS\"").unwrap();
    town.control.reload().await.unwrap();
    let (_, quote) = town.challenge("/other").await;
    assert_eq!((quote.units, quote.coupon), (1, micros(800)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_older_coupons_still_buys_at_the_new_price() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    std::fs::write(town.home.path().join("prices.toml"), "price = \"0.0008 XTS\"").unwrap();
    town.control.reload().await.unwrap();
    let answer = buyer.get("/hello", 8).await;
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_written_down_later_say_what_can_be_lost_and_are_written_down() {
    let every = Durability::Every(Duration::from_millis(5));
    assert!(every.exposure(micros(100)).contains("5 ms"));
    let town = Town::with(PRICES, |config| config.durability = every).await;
    let used = {
        let mut buyer = town.buyer(1, 100).await;
        let used = buyer.coupon("GET", "/hello", b"", 1);
        assert_eq!(buyer.send("/hello", &used).await.status(), 200);
        used
    };
    let town = town.restart().await;
    assert_eq!(send(&town, "/hello", &used).await.status(), 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_health_are_for_this_machine_s_tools_and_not_for_customers() {
    let town = Town::with(PRICES, |config| config.ops = Some("127.0.0.1:0".parse().unwrap())).await;
    assert_eq!(town.get("/metrics").await.status(), 402);
    assert_eq!(town.get("/.well-known/farthing/healthz").await.status(), 200);
    let ops = town.ops.unwrap();
    let metrics = town.http.get(format!("http://{ops}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("farthing_gateway_challenges_total"));
    assert_eq!(town.http.get(format!("http://{ops}/readyz")).send().await.unwrap().status(), 200);
}
