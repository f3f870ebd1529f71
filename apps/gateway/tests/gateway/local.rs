//! Gateways without a service: a folder of files, and answers from the price file.

use std::sync::Arc;

use farthing_dialects::{names, payment, problem};
use farthing_gateway::{Behind, StartError};
use reqwest::Method;

use crate::town::{PRICES, Town, problem as read_problem, receipts};

async fn folder() -> (tempfile::TempDir, Town) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("poem.txt"), "0123456789").unwrap();
    std::fs::write(dir.path().join("large"), vec![b'x'; 100_000]).unwrap();
    std::fs::write(dir.path().join(".secret"), "secret").unwrap();
    std::fs::write(dir.path().join("index.html"), "<p>").unwrap();
    let behind = Behind::Folder(dir.path().to_owned());
    let town = Town::with(PRICES, |config| config.behind = behind).await;
    (dir, town)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_sold_file_by_file_with_types_ranges_and_heads() {
    let (_dir, town) = folder().await;
    let mut buyer = town.buyer(1, 1_000).await;
    let answer = buyer.get("/poem.txt", 1).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &"text/plain".parse().unwrap()));
    assert_eq!((buyer.charged(&answer), answer.text().await.unwrap()), (1, "0123456789".into()));
    let index = buyer.get("/", 1).await;
    assert_eq!((&index.headers()["content-type"], buyer.charged(&index)), (&"text/html".parse().unwrap(), 1));

    let coupon = buyer.coupon("GET", "/poem.txt", b"", 1);
    let part = town.http.get(town.url("/poem.txt")).header("authorization", payment::compact(&coupon));
    let part = part.header("range", "bytes=2-4").send().await.unwrap();
    assert_eq!((part.status().as_u16(), &part.headers()["content-range"]), (206, &"bytes 2-4/10".parse().unwrap()));
    assert_eq!((buyer.charged(&part), part.text().await.unwrap()), (1, "234".into()));

    let coupon = buyer.coupon("HEAD", "/poem.txt", b"", 1);
    let head = town.http.head(town.url("/poem.txt")).header("authorization", payment::compact(&coupon));
    let head = head.send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"10".parse().unwrap()));
    buyer.charged(&head);

    // By the byte, and longer than what is held for its receipt.
    let large = buyer.get("/large", 200).await;
    let stream = large.headers()[names::STREAM].to_str().unwrap().to_owned();
    assert_eq!(large.bytes().await.unwrap().len(), 100_000);
    assert_eq!(buyer.spender.on_ack(&receipts(&town, &stream).await[0]), Ok(100));
    assert_eq!(town.seen.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_gives_out_nothing_hidden_and_what_is_not_there_costs_nothing() {
    let (_dir, town) = folder().await;
    let mut buyer = town.buyer(1, 1).await;
    for path in ["/.secret", "/nothing", "/poem.txt/", "/.git/config"] {
        let answer = buyer.get(path, 1).await;
        assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (404, 0), "{path}");
    }
    let coupon = buyer.coupon("DELETE", "/poem.txt", b"", 1);
    let request = town.http.request(Method::DELETE, town.url("/poem.txt"));
    let answer = request.header("authorization", payment::compact(&coupon)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (405, 0));
    assert_eq!(town.get("/poem.txt").await.status(), 402);
}

const ANSWERS: &str = r#"
[[route]]
path = "/health"
free = true
answer = "well"
[[route]]
path = "/**"
price = "0.0001 XTS"
answer = "hello"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_the_price_file_is_sold_with_nothing_behind_the_gateway() {
    let town = Town::with(ANSWERS, |config| config.behind = Behind::Nothing).await;
    assert_eq!(town.get("/health").await.text().await.unwrap(), "well");
    let mut buyer = town.buyer(1, 2).await;
    let answer = buyer.get("/any/thing", 1).await;
    assert_eq!(&answer.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!((buyer.charged(&answer), answer.text().await.unwrap()), (1, "hello".into()));
    // A route that nobody answers does not come into force.
    let prices = town.home.path().join("prices.toml");
    std::fs::write(&prices, "price = \"0.0001 XTS\"").unwrap();
    assert!(matches!(town.control.reload().await, Err(StartError::Prices(_))));
    let answer = buyer.get("/any/thing", 1).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_the_price_file_goes_before_the_service() {
    let prices = format!("{PRICES}[[route]]\npath = \"/hello\"\nprice = \"0.0001 XTS\"\nanswer = \"by itself\"\n");
    let town = Town::with(&prices, |_| {}).await;
    let mut buyer = town.buyer(1, 1).await;
    assert_eq!(buyer.get("/hello", 1).await.text().await.unwrap(), "by itself");
    assert_eq!(town.seen.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_longer_than_the_gateway_takes_is_refused_in_words_and_costs_nothing() {
    let town = Arc::new(Town::with(PRICES, |config| config.take_bodies(1_000)).await);
    let mut buyer = town.buyer(1, 1).await;
    let body = vec![b'x'; 1_001];
    let coupon = buyer.coupon("POST", "/echo", &body, 1);
    let send = |body: Vec<u8>, coupon| {
        let request = town.http.post(town.url("/echo")).header("authorization", payment::compact(&coupon));
        request.body(body).send()
    };
    let refused = send(body, coupon).await.unwrap();
    assert_eq!(refused.status(), 413);
    let problem: serde_json::Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("1000 bytes"), "{problem}");
    assert_eq!(town.seen.calls(), 0);
    // Nothing was taken: the session has one unit, and buys with it.
    let body = vec![b'x'; 1_000];
    let mut other = town.buyer(2, 1).await;
    let coupon = other.coupon("POST", "/echo", &body, 1);
    let answer = send(body, coupon).await.unwrap();
    assert_eq!((answer.status().as_u16(), other.charged(&answer)), (200, 1));
    let unpaid = read_problem(town.get("/hello").await).await;
    assert!(unpaid.is(problem::PAYMENT_REQUIRED));
}
