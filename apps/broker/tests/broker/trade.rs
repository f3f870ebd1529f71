use farthing_core::refusal::Code;
use farthing_core::time::Span;
use farthing_coupon::broker::Form;
use farthing_coupon::micro::SessionName;
use farthing_coupon::session::PayError;
use farthing_driver::Clock;

use crate::town::{Town, refused};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_buys_through_the_broker_and_everybody_is_paid() {
    let (town, shop) = Town::with_shop(100).await;
    let mut stranger = town.stranger(1, 1_000).await;
    let sellers = town.to_broker().sellers().await.unwrap();
    assert_eq!(sellers.sellers.as_slice()[0].seller, shop.id());
    for (path, units) in [("/item/one", 1), ("/item/two?size=large", 3)] {
        let ask = stranger.ask(shop.id(), path, units);
        let answer = stranger.serial(&town, &ask).await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(String::from_utf8(answer.body).unwrap().starts_with("item "));
        assert_eq!(answer.ack.charged, units * 10);
    }
    town.settle(&shop).await;
    assert_eq!(town.money(&stranger.account).await, (996_000, 96_000));
    assert_eq!(town.money(&crate::town::key(20)).await, (4_000, 0));
    // What the broker paid, it was paid.
    assert_eq!(town.money(&town.broker_key()).await, (1_000_000, 96_000));
    assert!(stranger.spender.unanswered().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_sent_again_is_served_once_and_for_another_request_not_at_all() {
    let (town, shop) = Town::with_shop(100).await;
    let mut stranger = town.stranger(1, 1_000).await;
    let ask = stranger.ask(shop.id(), "/item/one", 1);
    let first = stranger.serial(&town, &ask).await.unwrap();
    assert_eq!(stranger.serial(&town, &ask).await.unwrap(), first);
    // At another path, with another want, from another session.
    let mut other = ask.clone();
    other.http.path = "/item/gold".into();
    assert_eq!(refused(stranger.serial(&town, &other).await), Code::Order);
    other.want.request = farthing_dialects::quote::request_digest("GET", "/item/gold", b"");
    assert_eq!(refused(stranger.serial(&town, &other).await), Code::Order);
    let mut dearer = ask.clone();
    dearer.want.units = 2;
    assert_eq!(refused(stranger.serial(&town, &dearer).await), Code::Order);
    let thief = town.stranger(2, 10).await;
    let stolen = farthing_broker::messages::SerialAsk { chain: thief.spender.chain(), ..ask };
    assert_eq!(refused(stranger.serial(&town, &stolen).await), Code::Order);
    assert_eq!((shop.served(), shop.earned()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_copies_of_a_coupon_at_once_are_one_purchase() {
    let (town, shop) = Town::with_shop(100).await;
    let mut stranger = town.stranger(1, 1_000).await;
    let ask = stranger.ask(shop.id(), "/item/one", 1);
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (broker, ask) = (town.to_broker(), ask.clone());
        sending.spawn(async move { broker.serial(&ask).await.unwrap() });
    }
    let answers = sending.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!((shop.served(), shop.earned()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_refuses_what_it_cannot_bring() {
    let (town, shop) = Town::with_shop(100).await;
    let mut stranger = town.stranger(1, 1_000).await;
    // Somebody it does not buy from.
    let unknown = stranger.ask(crate::town::key(77).id(), "/item/one", 1);
    assert_eq!(refused(stranger.serial(&town, &unknown).await), Code::Unknown);
    // A price that is not paid.
    let mut cheap = stranger.ask(shop.id(), "/item/one", 2);
    cheap.want.units = 3;
    cheap.pay = stranger.spender.pay(10, cheap.want.order(stranger.spender.realm())).unwrap();
    assert_eq!(refused(stranger.serial(&town, &cheap).await), Code::Amount);
    // A way out of the seller's place.
    for path in ["//elsewhere.example/", "item", ""] {
        let ask = stranger.ask(shop.id(), path, 1);
        assert_eq!(refused(stranger.serial(&town, &ask).await), Code::Malformed);
    }
    // More than is passed on.
    let mut long = stranger.ask(shop.id(), "/item/one", 1);
    long.http.path = format!("/{}", "x".repeat(3_000));
    assert_eq!(refused(stranger.serial(&town, &long).await), Code::Limit);
    // The coupon is as good as before.
    let ask = stranger.ask(shop.id(), "/item/one", 1);
    assert_eq!(stranger.serial(&town, &ask).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_seller_gives_back_comes_back_to_the_stranger() {
    let (town, shop) = Town::with_shop(100).await;
    let mut stranger = town.stranger(1, 1_000).await;
    shop.set_broken(true);
    let ask = stranger.ask(shop.id(), "/item/one", 5);
    let answer = stranger.serial(&town, &ask).await.unwrap();
    assert_eq!((answer.status, answer.ack.charged), (500, 0));
    assert_eq!(stranger.spender.left(), 1_000);
    shop.set_broken(false);
    let ask = stranger.ask(shop.id(), "/item/one", 5);
    assert_eq!(stranger.serial(&town, &ask).await.unwrap().ack.charged, 50);
    assert_eq!((shop.served(), shop.earned()), (1, 5));
    town.settle(&shop).await;
    assert_eq!(town.money(&stranger.account).await.0, 995_000);
    assert_eq!(town.money(&town.broker_key()).await.0, 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_session_is_used_up_opens_another() {
    let (town, shop) = Town::with_shop(2).await;
    let mut stranger = town.stranger(1, 1_000).await;
    for nth in 0..5 {
        let ask = stranger.ask(shop.id(), &format!("/item/{nth}"), 1);
        assert_eq!(stranger.serial(&town, &ask).await.unwrap().status, 200);
    }
    town.settle(&shop).await;
    assert_eq!(town.money(&crate::town::key(20)).await.0, 5_000);
    assert_eq!(town.money(&stranger.account).await.0, 995_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_spent_later_in_any_order_and_each_once() {
    let (mut town, shop) = Town::with_shop(100).await;
    let mut stranger = town.stranger(1, 1_000).await;
    let expires = town.clock.now().after(Span::from_hours(1));
    let mut tokens = Vec::new();
    for units in [1, 2, 1] {
        let ask = stranger.prefetch(shop.id(), units, expires);
        let given = stranger.token(&town, &ask).await;
        // Asked again, over a restart, it is the same token and costs nothing more.
        town.kill_and_restart_broker().await;
        assert_eq!(stranger.token(&town, &ask).await.token, given.token);
        let receipt = given.receipt.verify_by(town.client.network(), town.broker_key().id()).unwrap();
        assert_eq!((receipt.body().seller, receipt.body().paid), (shop.id(), ask.pay.entry()));
        // It is no coupon for anything else.
        let mut serial = stranger.ask(shop.id(), "/item/one", units);
        stranger.spender.cancel(serial.pay.index).unwrap();
        (serial.pay, serial.want) = (ask.pay, farthing_coupon::broker::Want { form: Form::Serial, ..ask.want });
        assert!(town.to_broker().serial(&serial).await.is_err());
        tokens.push((given.token, units));
    }
    for (token, units) in tokens.iter().rev() {
        let pay = token.spend(&[5; 32], 0);
        let session = SessionName::of(token.chain);
        assert_eq!(shop.take_token(session, &pay, *units), Ok(()));
        assert!(matches!(shop.take_token(session, &token.spend(&[6; 32], 0), *units), Err(PayError::Served { .. })));
    }
    assert_eq!((shop.served(), shop.earned()), (3, 4));
    town.clock.advance(Span::from_hours(1));
    town.settle(&shop).await;
    assert_eq!(town.money(&crate::town::key(20)).await.0, 4_000);
    assert_eq!(town.money(&stranger.account).await.0, 996_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_leaves_gets_back_what_it_did_not_spend() {
    let (town, shop) = Town::with_shop(100).await;
    let mut stranger = town.stranger(1, 1_000).await;
    let ask = stranger.ask(shop.id(), "/item/one", 1);
    let answer = stranger.serial(&town, &ask).await.unwrap();
    stranger.close(&town).await;
    let late = stranger.ask(shop.id(), "/item/two", 1);
    assert_eq!(refused(stranger.serial(&town, &late).await), Code::State);
    // What was bought before is still answered for.
    assert_eq!(stranger.serial(&town, &ask).await.unwrap(), answer);
    town.settle(&shop).await;
    assert_eq!(town.money(&stranger.account).await, (999_000, 0));
    // A session nobody closes ends by itself.
    let mut other = town.stranger(2, 1_000).await;
    let ask = other.ask(shop.id(), "/item/one", 1);
    other.serial(&town, &ask).await.unwrap();
    town.clock.advance(Span::from_hours(24));
    town.broker().clear_now().await.unwrap();
    assert_eq!(town.money(&other.account).await, (999_000, 0));
}
