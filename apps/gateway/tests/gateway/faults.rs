use farthing_dialects::problem;

use crate::town::{Town, problem as read_problem};

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_given_back_when_the_service_fails_hangs_dies_or_lies_about_its_length() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 1).await;
    for (path, status, kind) in [
        ("/hangs", 504, problem::UPSTREAM_SLOW),
        ("/dies", 502, problem::UPSTREAM_FAILED),
        ("/lies", 502, problem::UPSTREAM_FAILED),
    ] {
        // The session has one unit: each time it must have come back.
        let answer = buyer.get(path, 1).await;
        assert_eq!(answer.status(), status, "{path}");
        let problem = read_problem(answer).await;
        assert!(problem.is(kind));
        assert_eq!(buyer.refused(&problem), Some(0), "{path}");
    }
    let answer = buyer.get("/fails", 1).await;
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (500, 0));
    let answer = buyer.get("/hello", 1).await;
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 1));
    assert_eq!(town.seen.calls(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_may_be_paid_anew_after_its_payment_was_given_back() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 1).await;
    for n in 1..=2 {
        let answer = buyer.get("/fails", 1).await;
        assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (500, 0));
        assert_eq!(town.seen.calls(), n, "a new payment is a new request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there_costs_nothing() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let town = Town::with(crate::town::PRICES, |config| config.behind = format!("http://{address}").into()).await;
    let mut buyer = town.buyer(1, 1).await;
    let problem = read_problem(buyer.get("/hello", 1).await).await;
    assert!(problem.is(problem::UPSTREAM_FAILED));
    assert_eq!(buyer.refused(&problem), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_finds_its_answer_later() {
    let town = Town::with(crate::town::PRICES, |config| config.patience = std::time::Duration::from_secs(20)).await;
    let mut buyer = town.buyer(1, 10).await;
    let coupon = buyer.coupon("GET", "/slow", b"", 1);
    let request = tokio::time::timeout(std::time::Duration::from_millis(200), buyer.send("/slow", &coupon)).await;
    assert!(request.is_err());
    town.seen.gate.add_permits(1);
    let answer = loop {
        let answer = buyer.send("/slow", &coupon).await;
        if answer.status() != 409 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 1));
    assert_eq!((answer.text().await.unwrap(), town.seen.calls()), ("slow".into(), 1));
}
