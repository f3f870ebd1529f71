use farthing_coupon::session::WINDOW;
use farthing_dialects::quote::{ResponseDigest, UnitKind};
use farthing_dialects::service::{AskSession, BringTip, CloseSession, SessionView};
use farthing_dialects::x402::{self, PaymentRequired, PaymentRequiredV1, SettleResponse};
use farthing_dialects::{names, payment, problem, receipt};

use crate::town::{HERE, Town, problem as read_problem, seller};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_paid_by_one_coupon_and_receipted_with_what_came_back() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    for n in 1..=3_u32 {
        let answer = buyer.get("/hello", 1).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["cache-control"], "private");
        let ack = receipt::read(answer.headers()[names::PAYMENT_RECEIPT].to_str().unwrap()).unwrap();
        assert_eq!(buyer.charged(&answer), 1);
        let body = answer.bytes().await.unwrap();
        let mut digest = ResponseDigest::new(200);
        digest.update(&body);
        assert_eq!((&body[..], ack.index, ack.response), (&b"hello"[..], n, digest.finish()));
    }
    assert_eq!(town.seen.calls(), 3);
    let seen = town.seen.headers.lock().unwrap().clone().unwrap();
    assert!(!seen.contains_key("authorization"), "payments are not the service's business");
    town.control.clear().await.unwrap();
    assert_eq!(town.bank.paid(), (300, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dialect_buys_the_same() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    let (challenge, quote) = town.challenge("/other").await;
    assert_eq!((quote.units, quote.kind, quote.seller), (3, UnitKind::Request, seller(&town)));
    let coupon = buyer.coupon("GET", "/other", b"", quote.units);
    let request = town.http.get(town.url("/other")).header("authorization", payment::full(&challenge, &coupon));
    let answer = request.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 3));

    let refused = town.get("/other").await;
    let header = refused.headers()[names::PAYMENT_REQUIRED].to_str().unwrap().to_owned();
    let wanted = PaymentRequired::read(&header).unwrap();
    let v1: PaymentRequiredV1 = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
    assert_eq!((v1.x402_version, v1.accepts[0].quote().unwrap().0.units), (1, 3));
    let coupon = buyer.coupon("GET", "/other", b"", 3);
    let request = town.http.get(town.url("/other"));
    let answer =
        request.header(names::PAYMENT_SIGNATURE, x402::signature(&wanted.accepts[0], &coupon)).send().await.unwrap();
    let settled = SettleResponse::read(answer.headers()[names::PAYMENT_RESPONSE].to_str().unwrap()).unwrap();
    assert!(settled.success && settled.amount.as_deref() == Some("300"));
    assert_eq!(buyer.spender.on_ack(&settled.ack().unwrap()), Ok(3));

    let coupon = buyer.coupon("GET", "/other", b"", 3);
    let request = town.http.get(town.url("/other")).header(names::X_PAYMENT, x402::signature_v1(HERE, &coupon));
    let answer = request.send().await.unwrap();
    let settled = SettleResponse::read(answer.headers()[names::X_PAYMENT_RESPONSE].to_str().unwrap()).unwrap();
    assert_eq!(buyer.spender.on_ack(&settled.ack().unwrap()), Ok(3));
    assert_eq!(town.seen.calls(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_how_to_pay_and_is_never_cached() {
    let town = Town::new().await;
    let answer = town.get("/hello").await;
    assert_eq!(answer.headers().get_all("www-authenticate").iter().count(), 2);
    let total: usize = answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!(answer.headers().values().all(|value| value.len() < 2 << 10), "{total}");
    let problem = read_problem(answer).await;
    assert!(problem.is(problem::PAYMENT_REQUIRED));
    let only = town.http.get(town.url("/hello")).header(names::ACCEPT_PAYMENT, "farthing/charge").send().await.unwrap();
    let all: Vec<_> = only.headers().get_all("www-authenticate").iter().collect();
    assert!(all.len() == 1 && all[0].to_str().unwrap().contains("intent=\"charge\""));
    assert_eq!(town.seen.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn free_routes_free_requests_and_preflights_cost_nothing() {
    let town = Town::new().await;
    assert_eq!(town.get("/free").await.text().await.unwrap(), "free");
    let tier = [town.get("/tier").await, town.get("/tier").await, town.get("/tier").await];
    assert_eq!(tier.map(|answer| answer.status().as_u16()), [404, 404, 402]);
    let preflight = town
        .http
        .request(reqwest::Method::OPTIONS, town.url("/hello"))
        .header("origin", "https://page.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization");
    let answer = preflight.send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["access-control-allow-headers"]),
        (204, &"authorization".parse().unwrap())
    );
    assert_eq!(town.seen.calls(), 3, "a browser's question beforehand is answered here");
    // Whatever else is asked by OPTIONS is a request like any other.
    let options = || town.http.request(reqwest::Method::OPTIONS, town.url("/hello"));
    for request in [options(), options().header("origin", "https://page.example")] {
        assert_eq!(request.send().await.unwrap().status(), 402);
    }
    assert_eq!(town.seen.calls(), 3);
    let from_page = town.http.get(town.url("/hello")).header("origin", "https://page.example").send().await.unwrap();
    assert_eq!(from_page.status(), 402);
    assert!(from_page.headers()["access-control-expose-headers"].to_str().unwrap().contains("payment-receipt"));
    let catalogue: serde_json::Value =
        serde_json::from_slice(&town.get(names::CATALOGUE_PATH).await.bytes().await.unwrap()).unwrap();
    assert_eq!(catalogue["coupon"], "0.0001 XTS");
    let openapi: serde_json::Value =
        serde_json::from_slice(&town.get("/openapi.json").await.bytes().await.unwrap()).unwrap();
    assert_eq!(openapi["paths"]["/other"]["get"]["x-payment-info"]["offers"][0]["amount"], "300");
    assert!(openapi["paths"]["/free"]["get"].get("x-payment-info").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_one_a_second_sells_one_request_a_second_whoever_asks_for_the_price() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 10).await;
    for second in 0..3 {
        for _ in 0..3 {
            assert_eq!(town.get("/limited").await.status(), 402, "asking what it costs is not counted");
        }
        let answer = buyer.get("/limited", 1).await;
        assert_eq!(answer.status(), 404, "the service is asked");
        assert_eq!((buyer.charged(&answer), town.seen.calls()), (0, second + 1));
        let coupon = buyer.coupon("GET", "/limited", b"", 1);
        let refused = read_problem(buyer.send("/limited", &coupon).await).await;
        assert!(refused.is(problem::RATE) && refused.detail.contains("nothing was taken"), "{refused:?}");
        buyer.spender.cancel(coupon.index).unwrap();
        assert_eq!(town.seen.calls(), second + 1);
        town.clock.advance(farthing_core::time::Span::from_secs(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_prices_hands_out_nothing_free_once_more() {
    let town = Town::new().await;
    let tier = async || town.get("/tier").await.status().as_u16();
    assert_eq!([tier().await, tier().await, tier().await], [404, 404, 402]);
    // Another price, and another route in front: the tier's route has another number now.
    let first = "[[route]]\npath = \"/new\"\nfree = true\n[[route]]\npath = \"/free\"";
    let changed = crate::town::PRICES.replace("[[route]]\npath = \"/free\"", first).replace("0.0003", "0.0004");
    std::fs::write(town.home.path().join("prices.toml"), changed).unwrap();
    town.control.reload().await.unwrap();
    assert_eq!(town.challenge("/other").await.1.units, 4, "the change is in force");
    assert_eq!(tier().await, 402);
    town.clock.advance(farthing_core::time::Span::from_hours(1));
    assert_eq!([tier().await, tier().await, tier().await], [404, 404, 402]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_shown_and_closed_by_its_owner_alone_and_its_rest_goes_back() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    buyer.get("/other", 3).await;
    let (chain, at) = (buyer.spender.chain(), crate::town::NOW);
    let stranger = farthing_core::sign::SecretKey::from_seed(&[77; 32]);
    let forged = stranger.sign(HERE, &CloseSession { chain, at });
    assert_eq!(town.post::<SessionView>(names::CLOSE_PATH, &forged).await.unwrap_err().0, 404);
    let asked = buyer.pseudonym.sign(HERE, &AskSession { chain, at });
    let view: SessionView = town.post(names::SESSION_PATH, &asked).await.unwrap();
    assert_eq!((view.through, view.cleared, view.closed), (3, 0, false));
    let said = buyer.pseudonym.sign(HERE, &CloseSession { chain, at });
    let view: SessionView = town.post(names::CLOSE_PATH, &said).await.unwrap();
    assert!(view.closed);
    let answer = buyer.get("/hello", 1).await;
    let status = answer.status();
    assert!(read_problem(answer).await.is(problem::SESSION_CLOSED) || status == 410);
    town.control.clear().await.unwrap();
    assert_eq!(town.bank.paid(), (300, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn money_may_be_brought_without_an_order() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 10_000).await;
    let coupon = buyer.coupon("GET", "/never-sent", b"", WINDOW);
    let tip = buyer.spender.tip().unwrap();
    let said = BringTip { session: coupon.session, tip };
    let seen = town.post(names::TIP_PATH, &said).await.unwrap();
    buyer.spender.on_seen(&seen).unwrap();
    assert_eq!(seen.index, WINDOW);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_given_again_for_the_same_payment_and_the_same_idempotency_key() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    let coupon = buyer.coupon("GET", "/hello", b"", 1);
    let first = buyer.send("/hello", &coupon).await;
    let again = buyer.send("/hello", &coupon).await;
    assert_eq!(again.headers()[names::REPEATED], "true");
    assert_eq!(first.headers()[names::PAYMENT_RECEIPT], again.headers()[names::PAYMENT_RECEIPT]);
    assert_eq!((again.text().await.unwrap(), town.seen.calls()), ("hello".into(), 1));
    buyer.charged(&first);

    let keyed = async |coupon: &farthing_coupon::micro::Coupon, path: &str| {
        let request = town.http.get(town.url(path)).header("authorization", payment::compact(coupon));
        request.header(names::IDEMPOTENCY_KEY, "order-1").send().await.unwrap()
    };
    let one = buyer.coupon("GET", "/hello", b"", 1);
    let answer = keyed(&one, "/hello").await;
    assert_eq!(buyer.charged(&answer), 1);
    let two = buyer.coupon("GET", "/hello", b"", 1);
    let answer = keyed(&two, "/hello").await;
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 0));
    let three = buyer.coupon("GET", "/other", b"", 3);
    assert!(read_problem(keyed(&three, "/other").await).await.is(problem::REPLAYED));
    assert_eq!(town.seen.calls(), 2);
}
