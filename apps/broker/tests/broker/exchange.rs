//! Small products for coupons: nobody has one without letting go of the other.

use farthing_broker::client::BrokerAskError;
use farthing_broker::messages::{ExchangeAnswer, ExchangeAsk, GOODS_PATH};
use farthing_core::evidence::Verdict;
use farthing_core::refusal::{Code, Money};
use farthing_core::time::Span;
use farthing_coupon::broker::{Form, Want};
use farthing_coupon::exchange::{product_digest, request_of};
use farthing_coupon::verdict;

use crate::stall::{Stall, TROUBLES, Trouble, UNITS};
use crate::town::{Stranger, Town, key, refused};

pub(crate) const SONG: &[u8] = b"a song";
const POEM: &[u8] = b"a poem";
/// What a product costs, in micros.
pub(crate) const PRICE: u64 = 2_000;
/// The same in the buyers' coupons.
pub(crate) const COUPONS: u32 = 20;

async fn market() -> (Town, Stall, Stranger) {
    market_of(1_000, 1_000_000).await
}

/// A stall, and a broker with so much money and so many units there.
pub(crate) async fn market_of(units: u32, money: u64) -> (Town, Stall, Stranger) {
    let mut town = Town::new().await;
    town.units = units;
    let stall = Stall::open(&town, &[("song", SONG), ("poem", POEM)]).await;
    town.fund(&town.broker_key(), money).await;
    town.buy_from(stall.origin.parse().unwrap()).await;
    stall.know_realm(town.to_broker().sellers().await.unwrap().sellers.as_slice()[0].realm);
    let stranger = town.stranger(1, 1_000).await;
    (town, stall, stranger)
}

pub(crate) fn ask(stranger: &mut Stranger, stall: &Stall, product: &[u8]) -> ExchangeAsk {
    let product = product_digest(product);
    let form = Form::Exchange { product: Some(product) };
    let want = Want { seller: stall.id(), units: UNITS, request: request_of(product), form };
    let pay = stranger.spender.pay(COUPONS, want.order(stranger.spender.realm())).unwrap();
    ExchangeAsk { chain: stranger.spender.chain(), pay, want }
}

/// The product in an answer, after the buyer has settled with its broker.
pub(crate) fn opened(town: &Town, stall: &Stall, stranger: &mut Stranger, answer: &ExchangeAnswer) -> Option<Vec<u8>> {
    let (ack, charged) = match answer {
        ExchangeAnswer::Fair { ack, .. } => (ack, COUPONS),
        ExchangeAnswer::Off { ack, .. } => (ack, 0),
    };
    assert_eq!(stranger.spender.on_ack(ack), Ok(charged));
    let ExchangeAnswer::Fair { goods, .. } = answer else { return None };
    let promise = goods.promise.peek().unwrap();
    let product =
        goods.open(town.client.network(), stall.id(), promise.expires.before(Span::from_secs(1)), promise.order, None);
    Some(product.unwrap())
}

/// Every coupon is money by now: what buyer, stall and broker have.
pub(crate) async fn settled(town: &Town, stall: &Stall, stranger: &Stranger) -> [u64; 3] {
    town.broker().go_on_now().await;
    town.broker().clear_now().await.unwrap();
    stall.server.as_ref().unwrap().clear_now().await.unwrap();
    town.check_conserved().await;
    let [buyer, seller] = [town.money(&stranger.account).await.0, town.money(&key(crate::stall::SELLER)).await.0];
    [buyer, seller, town.money(&town.broker_key()).await.0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_buys_a_product_that_it_sees_on_the_shelf_and_everybody_is_paid() {
    let (town, stall, mut stranger) = market().await;
    let shelf = town.to_broker().shelf(stall.id()).await.unwrap();
    let shelf = shelf.verify_by(town.client.network(), stall.id()).unwrap();
    let mut names: Vec<_> = shelf.body().items.as_slice().iter().map(|item| (&item.name[..], item.units)).collect();
    names.sort_unstable();
    assert_eq!(names, [("poem", UNITS), ("song", UNITS)]);
    for product in [SONG, POEM, SONG] {
        let ask = ask(&mut stranger, &stall, product);
        let answer = town.to_broker().exchange(&ask).await.unwrap();
        assert_eq!(town.to_broker().exchange(&ask).await.unwrap(), answer, "again, and it costs nothing more");
        assert_eq!(opened(&town, &stall, &mut stranger, &answer).unwrap(), product);
    }
    assert_eq!(settled(&town, &stall, &stranger).await, [1_000_000 - 3 * PRICE, 3 * PRICE, 1_000_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_that_seals_other_goods_gets_nothing_and_is_convicted_by_its_own_hand() {
    let (town, stall, mut stranger) = market().await;
    stall.plan(Trouble::Lie);
    let asked = ask(&mut stranger, &stall, SONG);
    let answer = town.to_broker().exchange(&asked).await.unwrap();
    let ExchangeAnswer::Off { why, evidence: Some(evidence), .. } = &answer else { panic!("{answer:?}") };
    assert_eq!(why.code, Code::Goods);
    let verdict = verdict::judge(town.client.network(), town.client.bank(), evidence);
    assert_eq!(verdict, Verdict::Guilty(stall.id()));
    assert_eq!(opened(&town, &stall, &mut stranger, &answer), None);
    assert_eq!(town.to_broker().exchange(&asked).await.unwrap(), answer, "once off, it stays off");
    assert_eq!(stranger.spender.left(), 1_000);
    // The same coupons buy the song once it is one.
    let again = ask(&mut stranger, &stall, SONG);
    assert_eq!(again.pay.index, asked.pay.index);
    let answer = town.to_broker().exchange(&again).await.unwrap();
    assert_eq!(opened(&town, &stall, &mut stranger, &answer).unwrap(), SONG);
    assert_eq!(settled(&town, &stall, &stranger).await, [1_000_000 - PRICE, PRICE, 1_000_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_and_whoever_is_killed_between_any_two_steps_the_exchange_is_whole() {
    let (mut town, mut stall, mut stranger) = market().await;
    let mut bought = 0;
    for trouble in TROUBLES {
        for restart in [false, true] {
            stall.plan(trouble);
            let asked = ask(&mut stranger, &stall, SONG);
            let (broker, first) = (town.to_broker(), asked.clone());
            let asking = tokio::spawn(async move { broker.exchange(&first).await });
            if matches!(trouble, Trouble::Hanging(_)) {
                stall.hangs().await;
                asking.abort();
                town.kill_and_restart_broker().await;
            } else {
                let lost = asking.await.unwrap();
                if let Err(BrokerAskError::Refused(why)) = lost {
                    assert_eq!(why.money, Money::Unknown, "{trouble:?}");
                }
            }
            if restart {
                town.kill_and_restart_broker().await;
                stall.start(&town, &[("song", SONG), ("poem", POEM)]).await;
            }
            let answer = town.to_broker().exchange(&asked).await.unwrap();
            assert_eq!(opened(&town, &stall, &mut stranger, &answer).unwrap(), SONG, "{trouble:?}");
            bought += PRICE;
            // The seller has been paid, or will be before it shows anything else.
            let poem = ask(&mut stranger, &stall, POEM);
            town.broker().go_on_now().await;
            let answer = town.to_broker().exchange(&poem).await.unwrap();
            assert_eq!(opened(&town, &stall, &mut stranger, &answer).unwrap(), POEM, "{trouble:?}");
            bought += PRICE;
        }
    }
    assert!(stranger.spender.unanswered().is_empty());
    assert_eq!(settled(&town, &stall, &stranger).await, [1_000_000 - bought, bought, 1_000_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_that_vanishes_keeps_nobody_waiting_and_finds_its_product_when_it_returns() {
    for trouble in TROUBLES {
        let (mut town, stall, mut stranger) = market().await;
        stall.plan(trouble);
        let asked = ask(&mut stranger, &stall, SONG);
        let (broker, first) = (town.to_broker(), asked.clone());
        let asking = tokio::spawn(async move { broker.exchange(&first).await });
        if matches!(trouble, Trouble::Hanging(_)) {
            stall.hangs().await;
            asking.abort();
            town.kill_and_restart_broker().await;
        } else {
            let _ = asking.await;
        }
        // Without the buyer, and without the coupon being cleared before it is anybody's.
        town.broker().clear_now().await.unwrap();
        town.broker().go_on_now().await;
        assert_eq!(settled(&town, &stall, &stranger).await, [1_000_000 - PRICE, PRICE, 1_000_000], "{trouble:?}");
        let answer = town.to_broker().exchange(&asked).await.unwrap();
        assert_eq!(opened(&town, &stall, &mut stranger, &answer).unwrap(), SONG);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_that_is_down_costs_the_buyer_nothing() {
    let (town, mut stall, mut stranger) = market().await;
    stall.close();
    let asked = ask(&mut stranger, &stall, SONG);
    // Nothing is known of the ask, so the coupon waits.
    assert_eq!(refused(town.to_broker().exchange(&asked).await), Code::State);
    town.broker().clear_now().await.unwrap();
    assert_eq!(town.money(&stranger.account).await.0, 1_000_000, "not cleared while it waits");
    // The seller never comes back, and the session ends.
    town.clock.advance(Span::from_hours(24));
    town.broker().go_on_now().await;
    town.broker().clear_now().await.unwrap();
    assert_eq!(town.money(&stranger.account).await, (1_000_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_seller_refuses_or_cannot_read_is_called_off_and_the_coupon_is_good_again() {
    let (town, mut stall, mut stranger) = market().await;
    // Not on the shelf; another price than it has.
    let noise = ask(&mut stranger, &stall, b"noise");
    let mut cheap = ask(&mut stranger, &stall, SONG);
    cheap.want.units = UNITS / 2;
    stranger.spender.cancel(cheap.pay.index).unwrap();
    cheap.pay = stranger.spender.pay(COUPONS / 2, cheap.want.order(stranger.spender.realm())).unwrap();
    for (asked, code) in [(noise, Code::Unknown), (cheap, Code::Amount)] {
        let answer = town.to_broker().exchange(&asked).await.unwrap();
        let ExchangeAnswer::Off { why, evidence: None, ack } = &answer else { panic!("{answer:?}") };
        assert_eq!((why.code, ack.charged), (code, 0));
        stranger.spender.on_ack(ack).unwrap();
    }
    assert_eq!(stranger.spender.left(), 1_000);
    // Rubbish is no answer: the same ask finds the goods.
    stall.plan(Trouble::Rubbish);
    let asked = ask(&mut stranger, &stall, SONG);
    assert!(town.to_broker().exchange(&asked).await.is_err());
    let answer = town.to_broker().exchange(&asked).await.unwrap();
    assert_eq!(opened(&town, &stall, &mut stranger, &answer).unwrap(), SONG);
    // Taken off the shelf by now.
    stall.start(&town, &[("poem", POEM)]).await;
    let asked = ask(&mut stranger, &stall, SONG);
    let answer = town.to_broker().exchange(&asked).await.unwrap();
    assert_eq!(opened(&town, &stall, &mut stranger, &answer), None);
    assert_eq!(settled(&town, &stall, &stranger).await, [1_000_000 - PRICE, PRICE, 1_000_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_exchanged_buys_nothing_else_and_a_coupon_for_something_else_exchanges_nothing() {
    let (town, stall, mut stranger) = market().await;
    let asked = ask(&mut stranger, &stall, SONG);
    let poem = product_digest(POEM);
    let other = Want { request: request_of(poem), form: Form::Exchange { product: Some(poem) }, ..asked.want };
    let wrong = [
        other,
        Want { form: Form::Exchange { product: None }, ..asked.want },
        Want { form: Form::Serial, ..asked.want },
        Want { request: [0; 32], ..asked.want },
        Want { units: UNITS + 1, ..asked.want },
    ];
    for want in wrong {
        assert_eq!(refused(town.to_broker().exchange(&ExchangeAsk { want, ..asked.clone() }).await), Code::Order);
    }
    let thief = town.stranger(2, 100).await;
    let stolen = ExchangeAsk { chain: thief.spender.chain(), ..asked.clone() };
    assert_eq!(refused(town.to_broker().exchange(&stolen).await), Code::Order);
    let answer = town.to_broker().exchange(&asked).await.unwrap();
    assert_eq!(opened(&town, &stall, &mut stranger, &answer).unwrap(), SONG);
    assert_eq!(settled(&town, &stall, &stranger).await, [1_000_000 - PRICE, PRICE, 1_000_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_copies_of_an_exchange_at_once_are_one_and_many_buyers_wait_their_turn() {
    let (town, stall, mut stranger) = market().await;
    let asked = ask(&mut stranger, &stall, SONG);
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (broker, asked) = (town.to_broker(), asked.clone());
        sending.spawn(async move { broker.exchange(&asked).await.unwrap() });
    }
    let answers = sending.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(opened(&town, &stall, &mut stranger, &answers[0]).unwrap(), SONG);
    let asks: Vec<_> = (0..3).map(|nth| ask(&mut stranger, &stall, if nth == 1 { POEM } else { SONG })).collect();
    let mut sending = tokio::task::JoinSet::new();
    for asked in asks {
        let broker = town.to_broker();
        sending.spawn(async move { broker.exchange(&asked).await.unwrap() });
    }
    for answer in sending.join_all().await {
        assert!(opened(&town, &stall, &mut stranger, &answer).is_some());
    }
    assert_eq!(settled(&town, &stall, &stranger).await, [1_000_000 - 4 * PRICE, 4 * PRICE, 1_000_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_sells_through_the_brokers_it_names_and_to_nobody_else() {
    let (town, stall, _) = market().await;
    let direct = farthing_broker::client::BrokerClient::new(stall.origin.parse().unwrap()).unwrap();
    let offer = direct.offer().await.unwrap();
    let stranger = key(1);
    let (network, bank) = (town.client.network(), town.client.bank());
    let bank_seal = town.client.info().body().seal;
    let buyer = farthing_coupon::buyer::Buyer { account: &stranger, pseudonym: &stranger, network, bank, bank_seal };
    let ends = farthing_driver::Clock::now(&town.clock).after(Span::from_hours(24));
    let mut dice = <rand_chacha::ChaCha20Rng as rand_chacha::rand_core::SeedableRng>::from_seed([1; 32]);
    let (_, initiate) = buyer.initiate(&offer.order, 10, ends, [1; 32], &mut dice).unwrap();
    assert_eq!(refused(direct.initiate(&initiate).await), Code::Policy);
    assert_eq!(refused(town.to_broker().shelf(key(77).id()).await), Code::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_looks_and_does_not_pay_sees_one_product_and_no_more() {
    let (town, stall, mut stranger) = market().await;
    // The goods come to the broker, which is killed and its records with it: it never pays.
    stall.plan(Trouble::Hanging(GOODS_PATH));
    let asked = ask(&mut stranger, &stall, SONG);
    let (broker, first) = (town.to_broker(), asked.clone());
    let asking = tokio::spawn(async move { broker.exchange(&first).await });
    stall.hangs().await;
    asking.abort();
    let mut town = town;
    town.lose_brokers_records().await;
    // It opens another session, and sees nothing there until the one in which it owes has ended.
    let mut other = town.stranger(2, 1_000).await;
    let poem = ask(&mut other, &stall, POEM);
    let answer = town.to_broker().exchange(&poem).await.unwrap();
    let ExchangeAnswer::Off { why, .. } = &answer else { panic!("{answer:?}") };
    assert_eq!(why.code, Code::State);
    town.clock.advance(Span::from_hours(24));
    town.broker().meet_sellers_now().await;
    let mut third = town.stranger(3, 1_000).await;
    let poem = ask(&mut third, &stall, POEM);
    let answer = town.to_broker().exchange(&poem).await.unwrap();
    assert_eq!(opened(&town, &stall, &mut third, &answer).unwrap(), POEM);
}
