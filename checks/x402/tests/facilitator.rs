//! The facilitator over loopback, by hand-made requests: what stock servers send, and what nobody
//! should.

use farthing_bank::facilitator::{FacilitatorPass, REASON_FACILITATED};
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_driver::Clock;
use farthing_x402_checks::{Purse, Town, micros};
use serde_json::{Value, json};

const ITEM: &str = "weather";

/// A server with an account, a buyer with a session, and a bank between them.
struct Fair {
    town: Town,
    shop: SecretKey,
    buyer: SecretKey,
    purse: Purse,
}

impl Fair {
    async fn new() -> Self {
        let town = Town::new().await;
        let (shop, buyer) = (town.customer(2, 0).await, town.customer(1, 1_000_000).await);
        let purse = open(&town, &buyer, 11, 1_000).await.unwrap();
        Self { town, shop, buyer, purse }
    }

    fn wanted(&self, amount: u64) -> Value {
        wanted(&self.town, &self.shop, amount)
    }

    /// A payment of so much, and the request to the facilitator that carries it.
    fn paid(&mut self, amount: u64) -> Value {
        let wanted = self.wanted(amount);
        let payload = self.purse.pay(&wanted).unwrap();
        request(&wanted, &wanted, &payload)
    }

    async fn verify(&self, request: &Value) -> Value {
        post(&self.town, "/verify", request).await
    }

    async fn settle(&self, request: &Value) -> Value {
        post(&self.town, "/settle", request).await
    }

    /// Settles with a pass of somebody.
    async fn settle_as(&self, who: &SecretKey, until: Time, request: &Value) -> Value {
        let pass = FacilitatorPass::issue(who, self.town.client.network(), until);
        let asked = reqwest::Client::new().post(format!("{}/settle", self.town.url())).bearer_auth(pass).json(request);
        asked.send().await.unwrap().json().await.unwrap()
    }

    /// Settles as the server does.
    async fn settle_as_shop(&self, request: &Value) -> Value {
        self.settle_as(&self.shop, self.town.clock.now().after(Span::from_hours(1)), request).await
    }
}

async fn open(town: &Town, buyer: &SecretKey, pseudonym: u8, units: u32) -> Result<Purse, String> {
    Purse::open(&town.client, &town.url(), buyer, pseudonym, units, town.clock.now()).await
}

fn wanted(town: &Town, shop: &SecretKey, amount: u64) -> Value {
    json!({
        "scheme": "batch-settlement", "network": format!("farthing:{}", town.client.network()), "asset": "XTS",
        "amount": amount.to_string(), "payTo": Town::name(shop), "maxTimeoutSeconds": 60, "extra": { "item": ITEM },
    })
}

fn request(wanted: &Value, accepted: &Value, payload: &Value) -> Value {
    json!({
        "x402Version": 2,
        "paymentPayload": {
            "x402Version": 2, "accepted": accepted, "payload": payload,
        },
        "paymentRequirements": wanted,
    })
}

async fn post(town: &Town, path: &str, request: &Value) -> Value {
    let answer = reqwest::Client::new().post(format!("{}{path}", town.url())).json(request).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

fn reason(answer: &Value) -> &str {
    let no = answer["isValid"] == json!(false) || answer["success"] == json!(false);
    assert!(no, "{answer}");
    answer["invalidReason"].as_str().or(answer["errorReason"].as_str()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_verifies_delivers_settles_and_is_paid() {
    let mut fair = Fair::new().await;
    assert_eq!(fair.town.money(&fair.buyer).await, (1_000_000, 100_000));
    let first = fair.paid(500);
    let valid = fair.verify(&first).await;
    assert_eq!(valid["isValid"], json!(true));
    let settled = fair.settle(&first).await;
    assert_eq!((&settled["success"], &settled["amount"]), (&json!(true), &json!("500")));
    assert_eq!(settled["payer"], valid["payer"]);
    assert_eq!(fair.purse.on_response(&settled), Ok(5));
    let second = fair.paid(100);
    fair.verify(&second).await;
    assert_eq!(fair.settle(&second).await["success"], json!(true));
    fair.town.settle_up().await;
    assert_eq!(fair.town.money(&fair.shop).await, (600, 0));
    assert_eq!(fair.town.money(&fair.buyer).await, (999_400, 99_400));
    let lines = fair.town.client.statement(&fair.shop, fair.town.id(), None, 10).await.unwrap().lines;
    assert!(lines.as_slice().iter().all(|line| line.reason == REASON_FACILITATED && line.received));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_facilitator_says_what_it_settles_and_where_sessions_are_opened() {
    let town = Town::new().await;
    let supported: Value = reqwest::get(format!("{}/supported", town.url())).await.unwrap().json().await.unwrap();
    for (kind, version) in supported["kinds"].as_array().unwrap().iter().zip([2, 1]) {
        assert_eq!((&kind["x402Version"], &kind["scheme"]), (&json!(version), &json!("batch-settlement")));
        assert_eq!(kind["network"], json!(format!("farthing:{}", town.client.network())));
        assert_eq!(kind["extra"]["facilitator"], json!(town.url()));
    }
    assert!(supported["extensions"].is_array() && supported["signers"]["farthing:*"].is_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_payment_is_one_delivery_and_one_charge_however_often_it_is_brought() {
    let mut fair = Fair::new().await;
    let paid = fair.paid(100);
    let all = futures_all((0..50).map(|_| fair.verify(&paid))).await;
    let (good, bad): (Vec<_>, Vec<_>) = all.iter().partition(|answer| answer["isValid"] == json!(true));
    assert_eq!((good.len(), bad.len()), (1, 49));
    assert!(bad.iter().all(|answer| reason(answer) == "payment_in_use"));
    let all = futures_all((0..50).map(|_| fair.settle(&paid))).await;
    // A server whose answer went missing asks again and hears the same.
    assert!(all.iter().all(|answer| *answer == all[0] && answer["success"] == json!(true)));
    assert_eq!(reason(&fair.verify(&paid).await), "payment_already_settled");
    fair.town.settle_up().await;
    assert_eq!(fair.town.money(&fair.shop).await.0, 100);
    // Long after it is forgotten, the session still knows.
    fair.town.clock.advance(Span::from_hours(2));
    fair.town.settle_up().await;
    assert_eq!(reason(&fair.verify(&paid).await), "payment_already_settled");
    assert_eq!(reason(&fair.settle(&paid).await), "payment_already_settled");
    fair.town.settle_up().await;
    assert_eq!(fair.town.money(&fair.shop).await.0, 100);
}

async fn futures_all<F: Future<Output = Value>>(all: impl Iterator<Item = F>) -> Vec<Value> {
    let mut done = Vec::new();
    let mut running: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        running.retain_mut(|future| match future.as_mut().poll(cx) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_kept_for_a_server_that_failed_is_good_again() {
    let mut fair = Fair::new().await;
    // The server says that it did not deliver.
    let paid = fair.paid(300);
    assert_eq!(fair.verify(&paid).await["isValid"], json!(true));
    let mut nothing = paid.clone();
    nothing["paymentRequirements"]["amount"] = json!("0");
    assert_eq!(fair.settle_as_shop(&nothing).await["amount"], json!("0"));
    assert_eq!(fair.verify(&paid).await["isValid"], json!(true));
    // Or it says nothing any more.
    fair.town.clock.advance(Span::from_secs(59));
    assert_eq!(reason(&fair.verify(&paid).await), "payment_in_use");
    fair.town.clock.advance(Span::from_secs(1));
    assert_eq!(fair.verify(&paid).await["isValid"], json!(true));
    assert_eq!(fair.settle(&paid).await["amount"], json!("300"));
    // What was settled is not let go again.
    assert_eq!(fair.settle_as_shop(&nothing).await["amount"], json!("300"));
    fair.town.settle_up().await;
    assert_eq!(fair.town.money(&fair.shop).await.0, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_settle_for_less_and_the_rest_is_the_buyers_to_use_again() {
    let mut fair = Fair::new().await;
    let mut paid = fair.paid(1_000);
    assert_eq!(fair.verify(&paid).await["isValid"], json!(true));
    paid["paymentRequirements"]["amount"] = json!("1100");
    assert_eq!(reason(&fair.settle_as_shop(&paid).await), "invalid_payment_requirements");
    paid["paymentRequirements"]["amount"] = json!("200");
    let settled = fair.settle_as_shop(&paid).await;
    assert_eq!(settled["amount"], json!("200"));
    assert_eq!(fair.purse.on_response(&settled), Ok(2));
    assert_eq!(fair.purse.left(), 998);
    let again = fair.paid(800);
    assert_eq!(fair.verify(&again).await["isValid"], json!(true));
    assert_eq!(fair.settle(&again).await["success"], json!(true));
    fair.town.settle_up().await;
    assert_eq!(fair.town.money(&fair.shop).await.0, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_cannot_settle_its_own_payment_for_less_or_let_it_go_while_the_server_works() {
    let mut fair = Fair::new().await;
    let paid = fair.paid(1_000);
    assert_eq!(fair.verify(&paid).await["isValid"], json!(true));
    let now = fair.town.clock.now();
    let later = now.after(Span::from_hours(1));
    for less in ["0", "100"] {
        let mut less_of_it = paid.clone();
        less_of_it["paymentRequirements"]["amount"] = json!(less);
        assert_eq!(reason(&fair.settle(&less_of_it).await), "invalid_payment_requirements");
        // Nor with a pass of its own, or one of the server's that has ended.
        assert_eq!(reason(&fair.settle_as(&fair.buyer, later, &less_of_it).await), "invalid_payment_requirements");
        assert_eq!(reason(&fair.settle_as(&fair.shop, now, &less_of_it).await), "invalid_payment_requirements");
    }
    assert_eq!(reason(&fair.verify(&paid).await), "payment_in_use");
    assert_eq!(fair.settle(&paid).await["amount"], json!("1000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_refused_for_anything_else_than_it_was_made_for() {
    let mut fair = Fair::new().await;
    let thief = fair.town.customer(3, 0).await;
    let paid = fair.paid(300);
    let payload = paid["paymentPayload"]["payload"].clone();
    let elsewhere = wanted(&fair.town, &thief, 300);
    let (cheaper, dearer) = (fair.wanted(200), fair.wanted(400));
    let good = fair.wanted(300);
    let mut gold = good.clone();
    gold["extra"]["item"] = json!("gold");
    let mut forged = payload.clone();
    let text = forged["coupon"].as_str().unwrap().to_owned();
    let other = if text.ends_with('A') { "B" } else { "A" };
    forged["coupon"] = json!(format!("{}{other}", &text[..text.len() - 1]));
    for (request, why) in [
        (request(&elsewhere, &elsewhere, &payload), "invalid_payload"),
        (request(&cheaper, &cheaper, &payload), "invalid_payload"),
        (request(&dearer, &dearer, &payload), "invalid_payload"),
        (request(&gold, &gold, &payload), "invalid_payload"),
        (request(&good, &elsewhere, &payload), "invalid_payment_requirements"),
        (request(&good, &good, &forged), "invalid_payload"),
    ] {
        assert_eq!(reason(&fair.verify(&request).await), why, "{request}");
        assert_eq!(reason(&fair.settle(&request).await), why, "{request}");
    }
    // A server may settle for less than was agreed, but not verify so.
    assert_eq!(reason(&fair.verify(&request(&cheaper, &good, &payload)).await), "invalid_payment_requirements");
    assert_eq!(fair.verify(&paid).await["isValid"], json!(true));
    fair.town.settle_up().await;
    assert_eq!(fair.town.money(&thief).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_facilitator_refuses_rubbish_and_what_is_not_for_it() {
    let mut fair = Fair::new().await;
    let paid = fair.paid(300);
    let with = |path: &[&str], value: Value| {
        let mut bad = paid.clone();
        for root in ["paymentRequirements", "paymentPayload"] {
            let mut at = &mut bad[root];
            if root == "paymentPayload" && path[0] != "payload" && path[0] != "x402Version" {
                at = &mut at["accepted"];
            }
            for step in path {
                at = &mut at[*step];
            }
            *at = value.clone();
        }
        bad
    };
    for (bad, why) in [
        (json!({}), "invalid_payload"),
        (json!([1, 2]), "invalid_x402_version"),
        (with(&["x402Version"], json!(3)), "invalid_x402_version"),
        (with(&["scheme"], json!("exact")), "invalid_scheme"),
        (with(&["network"], json!("eip155:8453")), "invalid_network"),
        (with(&["asset"], json!("USDC")), "invalid_payment_requirements"),
        (with(&["asset"], json!("EUR")), "invalid_payment_requirements"),
        (with(&["amount"], json!("0.3")), "invalid_payment_requirements"),
        (with(&["amount"], json!("-300")), "invalid_payment_requirements"),
        (with(&["amount"], json!("0")), "invalid_payment_requirements"),
        (with(&["amount"], json!("150")), "invalid_payment_requirements"),
        (with(&["amount"], json!("18446744073709551615")), "invalid_payment_requirements"),
        (with(&["payTo"], json!("0x1234")), "invalid_payment_requirements"),
        (with(&["payTo"], json!(Town::name(&farthing_x402_checks::key(9)))), "unknown_recipient"),
        (with(&["payload"], json!({ "coupon": "AAAA" })), "invalid_payload"),
        (with(&["payload"], json!({ "coupon": 7 })), "invalid_payload"),
        (with(&["payload"], json!({})), "invalid_payload"),
    ] {
        assert_eq!(reason(&fair.verify(&bad).await), why, "{bad}");
        assert_eq!(reason(&fair.settle(&bad).await), why, "{bad}");
    }
    let huge = fair.town.url();
    let huge = reqwest::Client::new().post(format!("{huge}/verify")).body(vec![b' '; 1 << 20]).send().await;
    assert_eq!(huge.unwrap().status(), 413);
    // Words of a session that nobody opened here.
    let mut stranger = Town::new().await;
    let buyer = stranger.customer(1, 1_000_000).await;
    let mut purse = open(&stranger, &buyer, 12, 10).await.unwrap();
    let good = fair.wanted(300);
    let payload = purse.pay(&good).unwrap();
    assert_eq!(reason(&fair.verify(&request(&good, &good, &payload)).await), "unknown_session");
    stranger.stop().await;
    assert_eq!(fair.verify(&paid).await["isValid"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_between_verify_and_settle_loses_and_doubles_nothing() {
    let mut fair = Fair::new().await;
    let (paid, other) = (fair.paid(300), fair.paid(200));
    assert_eq!(fair.verify(&paid).await["isValid"], json!(true));
    assert_eq!(fair.settle(&other).await["success"], json!(true));
    fair.town.restart().await;
    assert_eq!(reason(&fair.verify(&paid).await), "payment_in_use");
    assert_eq!(reason(&fair.verify(&other).await), "payment_already_settled");
    let settled = fair.settle(&paid).await;
    fair.town.restart().await;
    assert_eq!(fair.settle(&paid).await, settled);
    let url = fair.town.url();
    let again = fair.purse.open_again(&url).await.unwrap();
    assert_eq!(again, fair.purse.confirm);
    fair.town.settle_up().await;
    assert_eq!(fair.town.money(&fair.shop).await.0, 500);
    assert_eq!(fair.town.money(&fair.buyer).await, (999_500, 99_500));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_buyer_did_not_spend_comes_back_when_it_closes_or_the_session_ends() {
    let mut fair = Fair::new().await;
    let paid = fair.paid(300);
    assert_eq!(fair.settle(&paid).await["success"], json!(true));
    let unused = fair.paid(100);
    let mut late = open(&fair.town, &fair.buyer, 12, 500).await.unwrap();
    let view = fair.purse.close(&fair.town.client, fair.town.clock.now()).await.unwrap();
    assert_eq!((view.through, view.closed), (3, true));
    assert_eq!(reason(&fair.verify(&unused).await), "session_ended");
    fair.town.settle_up().await;
    assert_eq!(fair.town.money(&fair.shop).await.0, 300);
    assert_eq!(fair.town.money(&fair.buyer).await, (999_700, 50_000));
    assert_eq!(reason(&fair.settle(&unused).await), "unknown_session");
    // The other one is left to end by itself, with something settled in its last moment.
    let good = fair.wanted(200);
    let last = request(&good, &good, &late.pay(&good).unwrap());
    fair.town.clock.advance(Span::from_millis(Span::from_hours(24).as_millis() - 1));
    assert_eq!(fair.settle(&last).await["success"], json!(true));
    fair.town.clock.advance(Span::from_millis(1));
    let after = request(&good, &good, &late.pay(&good).unwrap());
    assert_eq!(reason(&fair.verify(&after).await), "session_ended");
    fair.town.settle_up().await;
    assert_eq!(fair.town.money(&fair.shop).await.0, 500);
    assert_eq!(fair.town.money(&fair.buyer).await, (999_500, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_opens_only_with_money_and_only_once() {
    let fair = Fair::new().await;
    let poor = fair.town.customer(4, 1_000).await;
    let why = open(&fair.town, &poor, 14, 11).await.err().unwrap();
    assert!(why.contains("funds"), "{why}");
    assert!(open(&fair.town, &poor, 15, 10).await.is_ok());
    // The very same words again are the same session.
    let url = fair.town.url();
    assert_eq!(fair.purse.open_again(&url).await.unwrap(), fair.purse.confirm);
    assert_eq!(fair.town.money(&fair.buyer).await.1, 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn coupons_of_another_offer_buy_nothing() {
    let mut fair = Fair::new().await;
    let before = fair.paid(1_000);
    fair.town.stop().await;
    let file = fair.town.home().join("bank.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let (old, new) = (micros(100).to_string(), micros(1_000).to_string());
    assert!(config.contains(&old));
    std::fs::write(&file, config.replace(&old, &new)).unwrap();
    fair.town.restart().await;
    assert_eq!(reason(&fair.verify(&before).await), "unknown_session");
    // Ten coupons of a hundred are no ten of a thousand.
    let dear = fair.wanted(10_000);
    let payload = fair.purse.pay(&fair.wanted(1_000)).unwrap();
    assert_eq!(reason(&fair.settle(&request(&dear, &dear, &payload)).await), "unknown_session");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_in_the_words_of_version_one_is_taken_alike() {
    let mut fair = Fair::new().await;
    let wanted = json!({
        "scheme": "batch-settlement", "network": format!("farthing:{}", fair.town.client.network()), "asset": "XTS",
        "maxAmountRequired": "700", "payTo": Town::name(&fair.shop), "maxTimeoutSeconds": 60, "resource": "https://shop.example/weather",
        "description": "weather", "mimeType": "application/json", "outputSchema": null, "extra": null,
    });
    let payload = fair.purse.pay(&wanted).unwrap();
    let mut paid = json!({
        "x402Version": 1,
        "paymentPayload": {
            "x402Version": 1, "scheme": "batch-settlement", "network": wanted["network"], "payload": payload,
        },
        "paymentRequirements": wanted,
    });
    assert_eq!(fair.verify(&paid).await["isValid"], json!(true));
    assert_eq!(fair.settle(&paid).await["amount"], json!("700"));
    paid["paymentPayload"]["network"] = json!("farthing:else");
    assert_eq!(reason(&fair.verify(&paid).await), "invalid_scheme");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_whose_books_do_not_add_up_promises_nothing_more() {
    let mut fair = Fair::new().await;
    let (paid, other) = (fair.paid(300), fair.paid(300));
    assert_eq!(fair.settle(&paid).await["success"], json!(true));
    fair.town.stop().await;
    let books = rusqlite::Connection::open(fair.town.home().join("bank.db")).unwrap();
    books.execute("UPDATE accounts SET credits = credits + 1000000 WHERE kind = 1", []).unwrap();
    drop(books);
    fair.town.restart().await;
    assert_eq!(reason(&fair.verify(&other).await), "refused");
    assert_eq!(reason(&fair.settle(&other).await), "refused");
    fair.town.bank().tick_now().await.unwrap();
    assert_eq!(fair.town.money(&fair.shop).await.0, 1_000_000);
}
