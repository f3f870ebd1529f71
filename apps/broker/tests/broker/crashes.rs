//! Nobody loses more than one coupon, whoever breaks off when.

use farthing_broker::client::BrokerAskError;
use farthing_core::refusal::{Code, Money};

use crate::town::Town;

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_between_seller_and_broker_is_fetched_with_the_same_coupon() {
    let (town, shop) = Town::with_shop(100).await;
    let mut stranger = town.stranger(1, 1_000).await;
    let ask = stranger.ask(shop.id(), "/item/one", 1);
    shop.mute(1);
    let Err(BrokerAskError::Refused(why)) = stranger.serial(&town, &ask).await else { panic!("it was lost") };
    assert_eq!(why.money, Money::Unknown);
    let answer = stranger.serial(&town, &ask).await.unwrap();
    assert_eq!(answer.body, b"item one");
    assert_eq!((shop.served(), shop.earned()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_at_any_moment_costs_nobody_a_second_coupon() {
    let (mut town, shop) = Town::with_shop(100).await;
    let mut stranger = town.stranger(1, 1_000).await;
    let rounds: u32 = 12;
    for round in 0..rounds {
        let ask = stranger.ask(shop.id(), &format!("/item/{round}"), 1);
        // Killed after it was paid and before it paid; or after it paid and before it heard; or
        // after it heard and before it said so.
        match round % 3 {
            0 => {
                let (broker, ask) = (town.to_broker(), ask.clone());
                let asking = tokio::spawn(async move { broker.serial(&ask).await });
                tokio::task::yield_now().await;
                town.kill_and_restart_broker().await;
                // Whatever became of that try.
                let _ = asking.await;
            }
            1 => {
                shop.mute(1);
                assert!(stranger.serial(&town, &ask).await.is_err());
                town.kill_and_restart_broker().await;
            }
            _ => {
                let unheard = town.to_broker().serial(&ask).await.unwrap();
                town.kill_and_restart_broker().await;
                assert_eq!(town.to_broker().serial(&ask).await.unwrap(), unheard);
            }
        }
        let answer = stranger.serial(&town, &ask).await.unwrap();
        assert_eq!(answer.body, format!("item {round}").into_bytes());
    }
    assert_eq!((shop.served(), shop.earned()), (rounds, rounds));
    assert!(stranger.spender.unanswered().is_empty());
    town.settle(&shop).await;
    assert_eq!(town.money(&stranger.account).await.0, 1_000_000 - u64::from(rounds) * 1_000);
    assert_eq!(town.money(&town.broker_key()).await.0, 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_never_asks_again_loses_one_coupon_and_the_broker_none() {
    let (mut town, shop) = Town::with_shop(100).await;
    let mut stranger = town.stranger(1, 1_000).await;
    let lost = stranger.ask(shop.id(), "/item/lost", 1);
    shop.mute(1);
    assert!(stranger.serial(&town, &lost).await.is_err());
    town.kill_and_restart_broker().await;
    let next = stranger.ask(shop.id(), "/item/next", 1);
    assert_eq!(stranger.serial(&town, &next).await.unwrap().status, 200);
    town.settle(&shop).await;
    assert_eq!(town.money(&stranger.account).await.0, 998_000);
    assert_eq!(town.money(&crate::town::key(20)).await.0, 2_000);
    assert_eq!(town.money(&town.broker_key()).await.0, 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_came_does_not_keep_the_broker_from_a_new_session() {
    let (town, shop) = Town::with_shop(2).await;
    let mut stranger = town.stranger(1, 1_000).await;
    let lost = stranger.ask(shop.id(), "/item/lost", 1);
    shop.mute(1);
    assert!(stranger.serial(&town, &lost).await.is_err());
    for nth in 0..3 {
        let ask = stranger.ask(shop.id(), &format!("/item/{nth}"), 1);
        assert_eq!(stranger.serial(&town, &ask).await.unwrap().status, 200);
    }
    // Too late for the one that was lost: it is the only one.
    let Err(BrokerAskError::Refused(why)) = stranger.serial(&town, &lost).await else { panic!("it was given up") };
    assert_eq!((why.code, why.money), (Code::Expired, Money::MovedBefore));
    town.settle(&shop).await;
    assert_eq!(town.money(&stranger.account).await.0, 996_000);
    assert_eq!(town.money(&crate::town::key(20)).await.0, 4_000);
    assert_eq!(town.money(&town.broker_key()).await.0, 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_answers_that_were_lost_each_is_fetched_whatever_came_of_the_others() {
    let (town, shop) = Town::with_shop(100).await;
    let mut stranger = town.stranger(1, 1_000).await;
    shop.set_broken(true);
    let mut asks = Vec::new();
    for nth in 0..3 {
        let ask = stranger.ask(shop.id(), &format!("/item/{nth}"), 1);
        shop.mute(1);
        assert!(stranger.serial(&town, &ask).await.is_err());
        asks.push(ask);
    }
    for mut ask in asks {
        // Made again, it knows how often units were given back by now, and is the same payment.
        ask.pay = stranger.spender.again(ask.pay.index).unwrap();
        let answer = stranger.serial(&town, &ask).await.unwrap();
        assert_eq!((answer.status, answer.ack.charged), (500, 0));
        assert_eq!(town.to_broker().serial(&ask).await.unwrap(), answer);
    }
    assert_eq!((stranger.spender.left(), stranger.spender.unanswered().len()), (1_000, 0));
    // Known to have come back, the units buy something else.
    shop.set_broken(false);
    let ask = stranger.ask(shop.id(), "/item/0", 1);
    assert_eq!(stranger.serial(&town, &ask).await.unwrap().ack.charged, 10);
    town.settle(&shop).await;
    assert_eq!(town.money(&stranger.account).await.0, 999_000);
    assert_eq!(town.money(&town.broker_key()).await.0, 1_000_000);
}
