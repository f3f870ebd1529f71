use std::sync::Arc;

use farthing_core::time::Span;
use farthing_coupon::session::WINDOW;
use farthing_dialects::payment::{self, Challenge};
use farthing_dialects::quote::{ChallengeKey, Quote};
use farthing_dialects::x402::{PaymentRequired, PaymentRequiredV1};
use farthing_dialects::{names, problem, x402};
use farthing_net::http::problem::Problem;

use crate::town::{HERE, Town, problem as read_problem, send};

#[tokio::test(flavor = "multi_thread")]
async fn gateway_refuses_two_payments_in_one_request_and_takes_neither() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    let (one, two) = (buyer.coupon("GET", "/hello", b"", 1), buyer.coupon("GET", "/hello", b"", 1));
    for (name, value) in [("authorization", payment::compact(&two)), (names::X_PAYMENT, x402::signature_v1(HERE, &two))]
    {
        let request = town.http.get(town.url("/hello")).header("authorization", payment::compact(&one));
        let answer = read_problem(request.header(name, value).send().await.unwrap()).await;
        assert!(answer.is(problem::SEVERAL) && answer.status == 400);
    }
    assert_eq!(town.seen.calls(), 0);
    // Neither was used: both still buy.
    assert_eq!(buyer.send("/hello", &one).await.status(), 200);
    assert_eq!(buyer.send("/hello", &two).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_refuses_what_does_not_read() {
    let town = Town::new().await;
    let buyer_of_none = [
        ("authorization", "Payment".to_owned(), problem::MALFORMED),
        ("authorization", "Payment farthing.AAAA".to_owned(), problem::MALFORMED),
        ("authorization", "Payment !!!!".to_owned(), problem::MALFORMED),
        ("authorization", format!("Payment {}", "A".repeat(5_000)), problem::MALFORMED),
        (names::X_PAYMENT, "e30=".to_owned(), problem::MALFORMED),
        (names::PAYMENT_SIGNATURE, "not base64".to_owned(), problem::MALFORMED),
        ("authorization", format!("Payment {}", foreign()), problem::UNSUPPORTED),
    ];
    for (name, value, kind) in buyer_of_none {
        let answer = town.http.get(town.url("/hello")).header(name, &value).send().await.unwrap();
        let answer = read_problem(answer).await;
        assert!(answer.is(kind) && answer.status == 400, "{value}: {answer:?}");
    }
    let huge = town.http.get(town.url("/hello")).header("authorization", "P".repeat(64 << 10)).send().await;
    assert!(huge.is_err() || huge.unwrap().status() == 431);
    let keys =
        town.http.get(town.url("/hello")).header(names::IDEMPOTENCY_KEY, "a").header(names::IDEMPOTENCY_KEY, "b");
    assert_eq!(keys.header("authorization", payment::compact(&stranger())).send().await.unwrap().status(), 400);
    assert_eq!(town.seen.calls(), 0);
}

/// A credential of another method.
fn foreign() -> String {
    let challenge = r#"{"id":"x","realm":"r","method":"tempo","intent":"charge","request":"e30"}"#;
    let json = format!(r#"{{"challenge":{challenge},"payload":{{"coupon":"AA"}}}}"#);
    base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, json)
}

fn stranger() -> farthing_coupon::micro::Coupon {
    use farthing_coupon::micro::{Coupon, SessionName};
    use farthing_coupon::secret::Mac;
    let word = farthing_core::chain::Word([2; 32]);
    Coupon { session: SessionName([5; 16]), index: 1, units: 1, turn: 0, word, mac: Mac([0; 16]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_refuses_a_coupon_for_another_request_session_or_gateway() {
    let town = Town::new().await;
    let other = town.neighbour().await;
    let mut buyer = town.buyer(1, 100).await;
    let coupon = buyer.coupon("GET", "/hello", b"", 1);
    assert!(read_problem(send(&town, "/hello?x=1", &coupon).await).await.is(problem::VERIFICATION_FAILED));
    let posted = town.http.post(town.url("/hello")).header("authorization", payment::compact(&coupon));
    assert!(read_problem(posted.send().await.unwrap()).await.is(problem::VERIFICATION_FAILED));
    let answer = read_problem(send(&other, "/hello", &coupon).await).await;
    assert!(answer.is(problem::SESSION_UNKNOWN) && answer.status == 410);
    assert!(read_problem(send(&town, "/hello", &stranger()).await).await.is(problem::SESSION_UNKNOWN));
    let body = buyer.coupon("POST", "/echo", b"one", 1);
    let request = town.http.post(town.url("/echo")).header("authorization", payment::compact(&body)).body("two");
    assert!(read_problem(request.send().await.unwrap()).await.is(problem::VERIFICATION_FAILED));
    assert_eq!(town.seen.calls(), 0);
    assert_eq!(buyer.send("/hello", &coupon).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_payment_sent_a_thousand_times_in_parallel_is_delivered_once() {
    let patient = |config: &mut farthing_gateway::Config| config.patience = std::time::Duration::from_secs(20);
    let town = Arc::new(Town::with(crate::town::PRICES, patient).await);
    let mut buyer = town.buyer(1, 100).await;
    let coupon = buyer.coupon("GET", "/slow", b"", 1);
    let all: Vec<_> = (0..1_000)
        .map(|_| {
            let town = Arc::clone(&town);
            tokio::spawn(async move { send(&town, "/slow", &coupon).await.status().as_u16() })
        })
        .collect();
    // All but the one being served are turned away while it is; then it may end.
    let mut served = 0;
    town.seen.gate.add_permits(1_000);
    for one in all {
        match one.await.unwrap() {
            200 => served += 1,
            409 => {}
            other => panic!("{other}"),
        }
    }
    assert!(served >= 1);
    assert_eq!(town.seen.calls(), 1);
    town.control.clear().await.unwrap();
    assert_eq!(town.bank.paid(), (100, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_refuses_a_challenge_that_was_changed_forged_expired_or_is_for_another_request() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    let (challenge, quote) = town.challenge("/other").await;
    let coupon = buyer.coupon("GET", "/other", b"", 1);
    let pay = async |challenge: &Challenge, path: &str, coupon| {
        let request = town.http.get(town.url(path)).header("authorization", payment::full(challenge, coupon));
        read_problem(request.send().await.unwrap()).await
    };
    // A lower price under the old id, or under one of the client's own making.
    let cheap = Quote { units: 1, ..quote.clone() };
    let forged = Challenge::new(&ChallengeKey::derive(&[0; 32]), &cheap, "host", names::CHARGE);
    let mended = Challenge { id: challenge.id.clone(), ..forged.clone() };
    for bad in [&forged, &mended] {
        let answer = pay(bad, "/other", &coupon).await;
        assert!(answer.is(problem::INVALID_CHALLENGE) && answer.status == 402);
    }
    // Our own words with another realm or intent, or until another time.
    for changed in [
        Challenge { realm: "elsewhere".into(), ..challenge.clone() },
        Challenge { intent: names::CHARGE.into(), ..challenge.clone() },
        Challenge { expires: Some("2100-01-01T00:00:00Z".into()), ..challenge.clone() },
        Challenge { digest: Some("sha-256=:AA==:".into()), ..challenge.clone() },
    ] {
        assert!(pay(&changed, "/other", &coupon).await.is(problem::INVALID_CHALLENGE), "{changed:?}");
    }
    // At the same gateway under another name.
    let request = town.http.get(town.url("/other")).header("authorization", payment::full(&challenge, &coupon));
    let elsewhere = request.header("host", "elsewhere.example").send().await.unwrap();
    assert!(read_problem(elsewhere).await.is(problem::INVALID_CHALLENGE));
    let wanted = town.get("/other").await.headers()[names::PAYMENT_REQUIRED].to_str().unwrap().to_owned();
    let wanted = PaymentRequired::read(&wanted).unwrap().accepts.remove(0);
    let request = town.http.get(town.url("/other")).header(names::PAYMENT_SIGNATURE, x402::signature(&wanted, &coupon));
    let elsewhere = request.header("host", "elsewhere.example").send().await.unwrap();
    assert!(read_problem(elsewhere).await.is(problem::INVALID_CHALLENGE));
    let wanted = x402::PaymentRequirements::new(&ChallengeKey::derive(&[0; 32]), &cheap, crate::town::NOW, "host");
    let request = town.http.get(town.url("/other")).header(names::PAYMENT_SIGNATURE, x402::signature(&wanted, &coupon));
    assert!(read_problem(request.send().await.unwrap()).await.is(problem::INVALID_CHALLENGE));
    // A cheap resource's challenge at a dear one.
    let (hello, _) = town.challenge("/hello").await;
    assert!(pay(&hello, "/other", &coupon).await.is(problem::INVALID_CHALLENGE));
    town.clock.advance(Span::from_secs(301));
    assert!(pay(&challenge, "/other", &coupon).await.is(problem::EXPIRED));
    assert_eq!(town.seen.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_402_says_anew_how_to_pay_so_that_the_next_request_can() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 10_000).await;
    let (challenge, _) = town.challenge("/other").await;
    let coupon = buyer.coupon("GET", "/other", b"", 1);
    let forged = Challenge { id: "AAAAAAAAAAAAAAAAAAAAAA".into(), ..challenge.clone() };
    let unbound = farthing_coupon::micro::Coupon { mac: farthing_coupon::secret::Mac([0; 16]), ..coupon };
    let mut stream = buyer.get("/forever", 1).await;
    let more = names::stream_path(stream.headers()[names::STREAM].to_str().unwrap());
    stream.chunk().await.unwrap();
    let foreign = town.buyer(2, 10).await.coupon("POST", &more, b"", 1);
    let get = |path: &str| town.http.get(town.url(path));
    let post = || town.http.post(town.url(&more));
    let mut all = vec![
        ("nothing paid", get("/other?a=b"), "/other?a=b", "GET"),
        ("forged", get("/other").header("authorization", payment::full(&forged, &coupon)), "/other", "GET"),
        ("too little", get("/other").header("authorization", payment::compact(&coupon)), "/other", "GET"),
        ("unbound", get("/other").header("authorization", payment::compact(&unbound)), "/other", "GET"),
        ("more, unpaid", post(), &more, "POST"),
        ("more, from another session", post().header("authorization", payment::compact(&foreign)), &more, "POST"),
    ];
    let late = payment::full(&challenge, &coupon);
    all.push(("expired", get("/other").header("authorization", late), "/other", "GET"));
    for (what, request, path, method) in all {
        if what == "expired" {
            town.clock.advance(Span::from_secs(301));
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 402, "{what}");
        let now = farthing_driver::Clock::now(&town.clock);
        let ours = farthing_dialects::quote::request_digest(method, path, b"");
        let headers: Vec<_> = answer.headers().get_all("www-authenticate").iter().collect();
        assert_eq!(headers.len(), 2, "{what}");
        for header in headers {
            let challenge = Challenge::read_all(header.to_str().unwrap()).unwrap().remove(0);
            let quote = challenge.quote().unwrap();
            assert!(quote.request == ours && now < quote.expires, "{what}");
        }
        let required = PaymentRequired::read(answer.headers()[names::PAYMENT_REQUIRED].to_str().unwrap()).unwrap();
        assert!(required.resource.url.ends_with(path), "{what}: {}", required.resource.url);
        assert_eq!(required.accepts[0].quote().unwrap().0.request, ours, "{what}");
        let v1: PaymentRequiredV1 = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert!(v1.accepts[0].resource.ends_with(path), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_or_body_too_large_is_refused_in_words() {
    let town = Town::new().await;
    let long = town.http.get(town.url("/hello")).header("x-long", "a".repeat(17 << 10));
    let many = (0..70).fold(town.http.get(town.url("/hello")), |request, n| request.header(format!("x-{n}"), "a"));
    for request in [long, many] {
        let problem: Problem = read(request.send().await.unwrap(), 431).await;
        assert!(problem.detail.contains("send less"), "{problem:?}");
    }
    let body = farthing_gateway::BODY_BYTES_MAX + 1;
    let head = format!("POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {body}\r\n\r\n");
    let answer = raw(&town, &head).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"detail\":"), "{answer}");
    assert_eq!(town.seen.calls(), 0);
}

/// All that comes back on a connection of its own.
async fn raw(town: &Town, head: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(town.base.trim_start_matches("http://")).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn read(answer: reqwest::Response, status: u16) -> Problem {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_of_the_service_costs_nothing_and_cannot_be_had_without_end() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 1).await;
    for n in 1..=120 {
        let answer = buyer.get("/nowhere", 1).await;
        assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (404, 0), "{n}");
    }
    let coupon = buyer.coupon("GET", "/nowhere", b"", 1);
    let refused = read_problem(buyer.send("/nowhere", &coupon).await).await;
    assert!(refused.is(problem::RATE) && town.seen.calls() == 120, "{refused:?}");
    town.clock.advance(Span::from_secs(60));
    let answer = buyer.send("/nowhere", &coupon).await;
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (404, 0));
    town.control.clear().await.unwrap();
    assert_eq!(town.bank.paid(), (0, 0));

    let prices =
        crate::town::PRICES.replace("[[route]]\npath = \"/free\"", "charge_errors = true\n[[route]]\npath = \"/free\"");
    let town = Town::with(&prices, |_| {}).await;
    let mut buyer = town.buyer(1, 10).await;
    let answer = buyer.get("/nowhere", 1).await;
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (404, 1));
    let answer = buyer.get("/fails", 1).await;
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (500, 0), "what failed is never charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_holds_when_prices_rise_and_a_lower_payment_is_turned_away_unused() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    let (challenge, quote) = town.challenge("/other").await;
    let dearer = crate::town::PRICES.replace("0.0003 XTS", "0.0005 XTS");
    std::fs::write(town.home.path().join("prices.toml"), dearer).unwrap();
    town.control.reload().await.unwrap();
    let coupon = buyer.coupon("GET", "/other", b"", quote.units);
    let request = town.http.get(town.url("/other")).header("authorization", payment::full(&challenge, &coupon));
    let answer = request.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 3));
    // Without the quote today's price counts; the seller says the coupons were not used.
    let coupon = buyer.coupon("GET", "/other", b"", 3);
    let answer = read_problem(buyer.send("/other", &coupon).await).await;
    assert!(answer.is(problem::INSUFFICIENT));
    assert_eq!(buyer.refused(&answer), Some(0));
    let answer = buyer.get("/other", 5).await;
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_refuses_giant_jumps_and_forged_words_before_the_service_hears_of_them() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100_000).await;
    let first = buyer.coupon("GET", "/hello", b"", 1);
    for units in [0, WINDOW + 1, u32::MAX] {
        let bad = farthing_coupon::micro::Coupon { units, ..first };
        assert_eq!(send(&town, "/hello", &bad).await.status(), 422, "{units}");
    }
    // The largest numbers too: what is added to them before they are refused must not overflow.
    for (index, units) in [(100_001, 1), (u32::MAX, 1), (u32::MAX - 1, 1), (u32::MAX, WINDOW), (u32::MAX, u32::MAX)] {
        let far = farthing_coupon::micro::Coupon { index, units, ..first };
        let answer = read_problem(send(&town, "/hello", &far).await).await;
        assert!(answer.is(problem::OUT_OF_RANGE) && answer.status == 422, "{index} {units}: {answer:?}");
    }
    let mut forged = first;
    forged.word.0[0] ^= 1;
    assert!(read_problem(send(&town, "/hello", &forged).await).await.is(problem::VERIFICATION_FAILED));
    let mut stolen = first;
    stolen.index = 2;
    assert!(read_problem(send(&town, "/hello", &stolen).await).await.is(problem::VERIFICATION_FAILED));
    assert_eq!(town.seen.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_refuses_paths_that_could_mean_others_and_receipts_of_the_service_s_making() {
    let town = Town::new().await;
    let status = async |path: &str| {
        let answer = raw(&town, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    for path in ["/free/../hello", "/free%2f..%2fhello", "/%2e%2e/hello", "/free/..;/hello"] {
        assert_eq!(status(path).await, "400", "{path}");
    }
    assert_eq!(status("//hello").await, "402");
    assert_eq!(town.seen.calls(), 0);
    let mut buyer = town.buyer(1, 10).await;
    let answer = buyer.get("/forges", 1).await;
    assert_eq!(answer.headers().get_all(names::PAYMENT_RECEIPT).iter().count(), 1);
    assert_eq!(buyer.charged(&answer), 1);
}
