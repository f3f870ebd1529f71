//! Many at once, and bodies that are none.

use std::time::Duration;

use farthing_broker::client::{BrokerAskError, BrokerClient};
use farthing_broker::messages::{
    BODY_BYTES_MAX, EXCHANGE_PATH, ExchangeAnswer, ExchangeAsk, GOODS_PATH, PAY_PATH, PREFETCH_PATH, SERIAL_PATH,
    SHELF_PATH,
};
use farthing_core::refusal::{Code, Money};
use farthing_core::wire;

use crate::exchange::{COUPONS, PRICE, SONG, ask, market_of, opened, settled};
use crate::stall::UNITS;
use crate::town::key;

/// How often one that is told to come again does, and the longest pause before it.
const TRIES: u32 = 300;
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Sends an ask until it is answered; whatever else comes must leave the coupon alone.
async fn insist(broker: BrokerClient, asked: ExchangeAsk) -> ExchangeAnswer {
    for nth in 1..=TRIES {
        match broker.exchange(&asked).await {
            Ok(answer) => return answer,
            Err(BrokerAskError::Refused(why)) => assert!(
                matches!(why.code, Code::State | Code::Rate | Code::Range) && why.money != Money::MovedBefore,
                "{why:?}"
            ),
            Err(BrokerAskError::NotSent(_) | BrokerAskError::Unknown(_)) => {}
        }
        tokio::time::sleep((Duration::from_millis(20) * nth).min(PAUSE_MAX)).await;
    }
    panic!("no answer in {TRIES} tries");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_exchanges_at_once_are_each_whole_and_paid_once() {
    const BUYERS: u8 = 20;
    const EACH: u32 = 50;
    let all = u32::from(BUYERS) * EACH;
    let (town, stall, _) = market_of(UNITS * all, 10_000_000).await;
    let mut buyers = Vec::new();
    for seed in 0..BUYERS {
        buyers.push(town.stranger(100 + seed, COUPONS * EACH).await);
    }
    let mut sending = tokio::task::JoinSet::new();
    for (of, buyer) in buyers.iter_mut().enumerate() {
        for _ in 0..EACH {
            let (broker, asked) = (town.to_broker(), ask(buyer, &stall, SONG));
            sending.spawn(async move { (of, insist(broker, asked).await) });
        }
    }
    for (of, answer) in sending.join_all().await {
        assert_eq!(opened(&town, &stall, &mut buyers[of], &answer).unwrap(), SONG);
    }
    let paid = PRICE * u64::from(EACH);
    for buyer in &buyers {
        assert_eq!(settled(&town, &stall, buyer).await, [1_000_000 - paid, PRICE * u64::from(all), 10_000_000]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_that_asks_for_what_nobody_has_does_not_drain_the_brokers_stock() {
    // The stock is worth three products.
    let (town, stall, mut drainer) = market_of(3 * UNITS, 1_000_000).await;
    for n in 0..20_u8 {
        let asked = ask(&mut drainer, &stall, &[b'x', n]);
        let answer = town.to_broker().exchange(&asked).await.unwrap();
        assert!(matches!(answer, ExchangeAnswer::Off { .. }), "{answer:?}");
        assert_eq!(opened(&town, &stall, &mut drainer, &answer), None);
    }
    assert_eq!(drainer.spender.left(), 1_000, "and it cost nothing");
    let mut honest = town.stranger(2, 1_000).await;
    for _ in 0..3 {
        let asked = ask(&mut honest, &stall, SONG);
        let answer = town.to_broker().exchange(&asked).await.unwrap();
        assert_eq!(opened(&town, &stall, &mut honest, &answer).unwrap(), SONG);
    }
    assert_eq!(settled(&town, &stall, &honest).await, [1_000_000 - 3 * PRICE, 3 * PRICE, 1_000_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_long_or_none_are_refused_and_change_nothing() {
    let (town, stall, mut stranger) = market_of(10 * UNITS, 1_000_000).await;
    let whole = wire::encode(&ask(&mut stranger, &stall, SONG));
    let http = reqwest::Client::new();
    let broker = town.broker().endpoint().to_string();
    let long = vec![0_u8; BODY_BYTES_MAX + (64 << 10)];
    for at in [broker.trim_end_matches('/'), &stall.origin] {
        for path in [SERIAL_PATH, PREFETCH_PATH, EXCHANGE_PATH, GOODS_PATH, PAY_PATH] {
            let post = |body: &[u8]| http.post(format!("{at}{path}")).body(body.to_vec()).send();
            // The body may still be on its way when the connection closes.
            if let Ok(answer) = post(&long).await {
                assert!(matches!(answer.status().as_u16(), 413 | 400 | 502), "{path}: {}", answer.status());
            }
            let mut behind = whole.clone();
            behind.push(0);
            for body in [&b""[..], b"rubbish", &whole[..whole.len() / 2], &behind] {
                let status = post(body).await.unwrap().status().as_u16();
                assert!((400..500).contains(&status), "{path}: {status}");
            }
        }
    }
    for name in ["rubbish", "%00", &"a".repeat(2_000), &key(99).id().to_string()] {
        let status = http.get(format!("{broker}{SHELF_PATH}/{name}")).send().await.unwrap().status().as_u16();
        assert!((400..500).contains(&status), "{name}: {status}");
    }
    let asked: ExchangeAsk = wire::decode(&whole).unwrap();
    let answer = town.to_broker().exchange(&asked).await.unwrap();
    assert_eq!(opened(&town, &stall, &mut stranger, &answer).unwrap(), SONG);
    assert_eq!(settled(&town, &stall, &stranger).await, [1_000_000 - PRICE, PRICE, 1_000_000]);
}
