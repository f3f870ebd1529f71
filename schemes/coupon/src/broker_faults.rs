//! The broker between strangers: what it translates, and what nobody can lose by it.

mod storm;

use farthing_core::chain::Word;
use farthing_core::evidence::Verdict;
use farthing_core::id::{ChainId, PeerId};
use farthing_core::refusal::Code;
use farthing_core::time::Span;

use crate::broker::{Broker, BrokerError, Drawn, Exchanged, Form, Want};
use crate::exchange::{Goods, PRODUCT_MAX, Promise, product_digest};
use crate::micro::{Ack, Pay, micro_order};
use crate::session::{PayError, Session};
use crate::spender::{SpendError, Spender};
use crate::testing::{HERE, S1, S2, World, key, paid, request};
use crate::verdict;

const ADA: u8 = 50;
const BOB: u8 = 51;
const BROKER: u8 = 60;

/// Two buyers and two sellers that never heard of each other, and a broker that knows all.
struct Fair {
    world: World,
    broker: Broker,
    /// Buyers by their account.
    ada: Spender,
    bob: Spender,
    /// What the sellers hold.
    shops: [(PeerId, Session); 2],
}

impl Fair {
    fn new() -> Self {
        let mut world = World::new();
        for seed in [ADA, BOB, BROKER] {
            world.enrol(key(seed).id(), 1_000_000);
        }
        let (ada, of_ada) = world.open(ADA, 71, BROKER, 100);
        let (bob, of_bob) = world.open(BOB, 72, BROKER, 100);
        let (at_s1, shop1) = world.open(BROKER, 73, S1, 150);
        let (at_s2, shop2) = world.open(BROKER, 74, S2, 150);
        let mut broker = Broker::new(key(BROKER), HERE, 0, vec![of_ada], vec![at_s1], vec![]);
        broker.add_buyer(of_bob);
        broker.add_seller(at_s2);
        let shops = [(key(S1).id(), shop1), (key(S2).id(), shop2)];
        Self { world, broker, ada, bob, shops }
    }

    fn want(&self, seller: u8, units: u32, name: &str, form: Form) -> Want {
        Want { seller: key(seller).id(), units, request: request(name), form }
    }

    /// Ada pays the broker for something, and the broker draws for it.
    fn ask(&mut self, want: &Want) -> (Pay, Result<Drawn, BrokerError>) {
        let price = self.broker.quote(self.ada.chain(), want.seller, want.units).unwrap();
        let pay = self.ada.pay(price, want.order(self.ada.realm())).unwrap();
        let drawn = self.broker.translate(self.world.now, self.ada.chain(), &pay, want);
        (pay, drawn)
    }

    fn forwarded(&mut self, want: &Want) -> (Pay, Pay) {
        match self.ask(want) {
            (pay, Ok(Drawn::Forward(forward))) => (pay, forward),
            other => panic!("{other:?}"),
        }
    }

    fn name(&self, pay: &Pay) -> (ChainId, u32) {
        (self.ada.chain(), pay.index)
    }
}

const RESPONSE: crate::secret::Digest = crate::secret::Digest([5; 32]);

#[test]
fn a_coupon_of_the_buyers_becomes_one_of_the_sellers_and_both_are_cleared_once() {
    let mut fair = Fair::new();
    let want = fair.want(S1, 3, "/a", Form::Serial);
    let (pay, forward) = fair.forwarded(&want);
    let now = fair.world.now;
    let shop = &mut fair.shops[0].1;
    let entry = shop.accept(now, &forward, 3).unwrap().entry;
    assert_eq!(entry.order, micro_order(shop.realm(), &request("/a")), "the seller sees the buyer's request");
    assert_ne!(shop.buyer(), key(ADA).id());
    let answer = shop.ack(&entry, 3, RESPONSE);
    let ack = fair.broker.on_ack(fair.name(&pay), &answer).unwrap();
    assert_eq!(fair.broker.on_ack(fair.name(&pay), &answer).unwrap(), ack, "a repeat of the answer");
    assert_eq!((fair.ada.on_ack(&ack), ack.response), (Ok(3), RESPONSE));
    let shop = fair.shops[0].1.clearing(true);
    assert_eq!(paid(&fair.world.clear(S1, vec![shop])[0]), 3_000);
    let of_ada = fair.broker.buyer(fair.ada.chain()).unwrap().clearing(true);
    assert_eq!(paid(&fair.world.clear(BROKER, vec![of_ada])[0]), 3_000);
    assert_eq!((fair.world.balance(ADA).0, fair.world.balance(S1).0), (997_000, 3_000));
    assert_eq!(fair.world.balance(BROKER).0, 1_000_000, "the broker neither won nor lost");
}

#[test]
fn broker_draws_one_coupon_for_one_however_often_it_comes() {
    let mut fair = Fair::new();
    let want = fair.want(S1, 1, "/a", Form::Serial);
    let (pay, forward) = fair.forwarded(&want);
    let (now, chain) = (fair.world.now, fair.ada.chain());
    for _ in 0..10 {
        assert_eq!(fair.broker.translate(now, chain, &pay, &want), Ok(Drawn::Forward(forward)));
    }
    assert_eq!(fair.broker.seller(want.seller).unwrap().at_risk(), 1);
    // The same coupon for something else: bound to what it was made for.
    let other = fair.want(S2, 1, "/b", Form::Serial);
    assert_eq!(fair.broker.translate(now, chain, &pay, &other), Err(BrokerError::OtherWant));
    let forged = Pay { order: other.order(fair.ada.realm()), ..pay };
    let served = BrokerError::Pay(PayError::Unbound);
    assert_eq!(fair.broker.translate(now, chain, &forged, &other), Err(served));
    // A repeat is not answered to whoever only saw the coupon go by and changed its binding.
    let guess = Pay { mac: crate::secret::Mac([0; 16]), ..pay };
    assert_eq!(fair.broker.translate(now, chain, &guess, &want), Err(served));
}

#[test]
fn broker_that_cannot_pay_takes_no_coupon_and_a_coupon_not_good_draws_none() {
    let mut fair = Fair::new();
    let (now, chain) = (fair.world.now, fair.ada.chain());
    let dear = fair.want(S1, 151, "/a", Form::Serial);
    assert_eq!(fair.broker.quote(chain, dear.seller, 151), Ok(151));
    let cheap = fair.want(S1, 80, "/a", Form::Serial);
    let (_, first) = fair.ask(&cheap);
    assert!(first.is_ok());
    let bob = fair.bob.chain();
    let pay = fair.bob.pay(80, cheap.order(fair.bob.realm())).unwrap();
    let broke = BrokerError::Spend(SpendError::UsedUp { left: 70 });
    assert_eq!(fair.broker.translate(now, bob, &pay, &cheap), Err(broke));
    assert_eq!(fair.broker.buyer(bob).unwrap().through(), 0, "bob's coupon is still good");
    let short = fair.want(S2, 2, "/b", Form::Serial);
    let pay = fair.bob.pay(1, short.order(fair.bob.realm())).unwrap();
    let price = BrokerError::Pay(PayError::Price { quoted: 2 });
    assert_eq!(fair.broker.translate(now, bob, &pay, &short), Err(price));
    let lie = fair.bob.forge(82, 2, Word([1; 32]), short.order(fair.bob.realm()));
    assert!(fair.broker.translate(now, bob, &lie, &short).is_err());
    assert_eq!(fair.broker.seller(short.seller).unwrap().at_risk(), 0, "nothing was drawn");
    let nobody = Want { seller: key(99).id(), ..short };
    let pay = fair.bob.pay(2, nobody.order(fair.bob.realm())).unwrap();
    assert_eq!(fair.broker.translate(now, bob, &pay, &nobody), Err(BrokerError::NoSeller));
    assert_eq!(fair.broker.translate(now, ChainId([9; 32]), &pay, &nobody), Err(BrokerError::NoBuyer));
}

#[test]
fn what_the_seller_did_not_use_comes_back_to_the_buyer_and_the_broker_is_whole() {
    let mut fair = Fair::new();
    let want = fair.want(S1, 10, "/a", Form::Serial);
    let (pay, forward) = fair.forwarded(&want);
    let (now, chain) = (fair.world.now, fair.ada.chain());
    let shop = &mut fair.shops[0].1;
    let entry = shop.accept(now, &forward, 10).unwrap().entry;
    shop.give_back(&entry, 4);
    let answer = shop.ack(&entry, 4, RESPONSE);
    let forged = Ack { charged: 9, ..answer };
    let refused = fair.broker.on_ack(fair.name(&pay), &forged);
    assert_eq!(refused, Err(BrokerError::Spend(SpendError::Forged)));
    let ack = fair.broker.on_ack(fair.name(&pay), &answer).unwrap();
    assert_eq!(fair.ada.on_ack(&ack), Ok(4));
    assert_eq!(fair.broker.translate(now, chain, &pay, &want), Ok(Drawn::Done(ack)), "a repeat is answered");
    let next = fair.want(S1, 6, "/b", Form::Serial);
    let (again, forward) = fair.forwarded(&next);
    assert_eq!((again.index, forward.index), (10, 10), "the six units again, on both sides");
    assert!(fair.shops[0].1.accept(now, &forward, 6).is_ok());
    let (tip, risk) = (fair.broker.buyer(chain).unwrap().through(), fair.broker.seller(want.seller).unwrap().at_risk());
    assert_eq!((tip, risk), (10, 10));
}

#[test]
fn t6_prefetched_tokens_of_two_buyers_arrive_late_and_out_of_order_and_each_is_served_once() {
    let mut fair = Fair::new();
    let (now, expires) = (fair.world.now, fair.world.now.after(Span::from_hours(1)));
    let form = |holder: &[u8]| Form::Prefetch { holder: product_digest(holder), expires };
    let want = fair.want(S1, 2, "", form(b"ada"));
    let Ok(Drawn::Token(first)) = fair.ask(&want).1 else { panic!("no token") };
    let theirs = fair.want(S1, 1, "", form(b"bob"));
    let pay = fair.bob.pay(1, theirs.order(fair.bob.realm())).unwrap();
    let Ok(Drawn::Token(second)) = fair.broker.translate(now, fair.bob.chain(), &pay, &theirs) else { panic!() };
    let again = fair.broker.translate(now, fair.bob.chain(), &pay, &theirs);
    assert_eq!(again, Ok(Drawn::Token(second.clone())), "asked twice, drawn once");
    let shop = &mut fair.shops[0].1;
    assert_eq!(shop.accept_token(now, &second.spend(&request("/b"), 0), 1).unwrap().fresh, 3);
    let late = shop.accept_token(now, &first.spend(&request("/a"), 0), 2).unwrap();
    assert_eq!(late.fresh, 0, "entitlement, and no new money");
    let twice = shop.accept_token(now, &first.spend(&request("/a"), 0), 2);
    assert_eq!(twice, Err(PayError::Served { index: 2 }));
    // Given back, it is spent again by its holder, and not by who kept a copy.
    shop.give_back(&late.entry, 0);
    let kept = shop.accept_token(now, &first.spend(&request("/a"), 0), 2);
    assert_eq!(kept, Err(PayError::Stale { turn: 1 }));
    assert!(shop.accept_token(now, &first.spend(&request("/a"), 1), 2).is_ok());
    assert_eq!(
        fair.broker.on_ack((fair.bob.chain(), pay.index), &shop.ack(&late.entry, 2, RESPONSE)),
        Err(BrokerError::NoJob)
    );
}

#[test]
fn a_token_is_bought_for_a_request_of_ones_own_choosing_later_but_of_that_realm_only() {
    let mut fair = Fair::new();
    let expires = fair.world.now.after(Span::from_hours(1));
    let want = fair.want(S1, 1, "", Form::Prefetch { holder: product_digest(b"ada"), expires });
    let Ok(Drawn::Token(token)) = fair.ask(&want).1 else { panic!("no token") };
    let now = fair.world.now;
    let [(_, shop1), (_, shop2)] = &mut fair.shops;
    assert_eq!(shop2.accept_token(now, &token.spend(&request("/a"), 0), 1), Err(PayError::Unbound));
    assert!(shop1.accept_token(now, &token.spend(&request("/a"), 0), 1).is_ok());
}

#[test]
fn broker_keeps_its_rows_and_a_receipt_says_what_it_took() {
    let mut fair = Fair::new();
    let want = fair.want(S1, 1, "/a", Form::Serial);
    let (pay, _) = fair.forwarded(&want);
    let receipt = fair.broker.receipt(fair.name(&pay), fair.world.now).unwrap();
    let said = receipt.verify_by(HERE, key(BROKER).id()).unwrap();
    assert_eq!((said.body().paid, said.body().seller), (pay.entry(), want.seller));
    assert!(fair.broker.receipt((fair.ada.chain(), 9), fair.world.now).is_err());
}

/// What somebody does to goods before the broker sees them.
type Twist = fn(&mut Fair, Goods) -> Goods;

fn exchange(fair: &mut Fair, product: Option<&[u8]>) -> (Pay, Pay) {
    let form = Form::Exchange { product: product.map(product_digest) };
    let want = fair.want(S1, 2, "/song", form);
    match fair.ask(&want) {
        (pay, Ok(Drawn::Withheld(withheld))) => (pay, withheld),
        other => panic!("{other:?}"),
    }
}

fn sealed(fair: &mut Fair, order: crate::secret::Digest, product: &[u8]) -> Goods {
    let expires = fair.world.now.after(Span::from_hours(1));
    Goods::seal(&key(S1), HERE, order, product, expires, &mut fair.world.rng).unwrap()
}

#[test]
fn a_product_changes_hands_only_together_with_its_coupon() {
    let mut fair = Fair::new();
    let (pay, withheld) = exchange(&mut fair, Some(b"a song"));
    let goods = sealed(&mut fair, withheld.order, b"a song");
    let (name, now) = (fair.name(&pay), fair.world.now);
    // The answer of a seller that was not paid yet means nothing.
    let early = fair.shops[0].1.ack(&withheld.entry(), 2, RESPONSE);
    assert_eq!(fair.broker.on_ack(name, &early), Err(BrokerError::NoJob));
    let Ok(Exchanged::Fair { pay: to_seller, goods: to_buyer, ack: told }) = fair.broker.on_goods(now, name, goods)
    else {
        panic!("not fair")
    };
    let product = to_buyer.open(HERE, key(S1).id(), now, withheld.order, Some(product_digest(b"a song"))).unwrap();
    assert_eq!(product, b"a song");
    let entry = fair.shops[0].1.accept(now, &to_seller, 2).unwrap().entry;
    let answer = fair.shops[0].1.ack(&entry, 2, RESPONSE);
    let ack = fair.broker.on_ack(name, &answer).unwrap();
    assert_eq!((ack.response, told.response), (RESPONSE, product_digest(b"a song")));
    assert_eq!(fair.ada.on_ack(&told), Ok(2), "the goods come with the broker's word");
    assert_eq!(fair.broker.call_off(name), Err(BrokerError::NoJob), "too late to call it off");
}

#[test]
fn a_seller_of_other_goods_than_promised_gets_nothing_and_is_convicted() {
    let mut fair = Fair::new();
    let (pay, withheld) = exchange(&mut fair, None);
    let mut goods = sealed(&mut fair, withheld.order, b"noise");
    let lie = Promise { product: product_digest(b"a song"), ..goods.promise.peek().unwrap() };
    goods.promise = key(S1).sign(HERE, &lie);
    let (name, now) = (fair.name(&pay), fair.world.now);
    let Ok(Exchanged::Off { ack, why, evidence }) = fair.broker.on_goods(now, name, goods) else { panic!("fair") };
    assert_eq!(why.code, Code::Goods);
    let verdict = verdict::judge(HERE, fair.world.bank.bank(), &evidence.unwrap());
    assert_eq!(verdict, Verdict::Guilty(key(S1).id()));
    assert_eq!(fair.ada.on_ack(&ack), Ok(0));
    assert_eq!(fair.ada.left(), 100, "the buyer has its coupons back");
    assert_eq!(fair.broker.seller(key(S1).id()).unwrap().left(), 150, "and so has the broker");
}

#[test]
fn goods_for_another_order_damaged_stale_or_too_large_are_not_paid_and_accuse_nobody() {
    let other = |fair: &mut Fair, order| sealed(fair, order, b"another song");
    let cases: [(Code, Twist); 4] = [
        (Code::Order, |fair, _| sealed(fair, product_digest(b"another order"), b"a song")),
        (Code::Goods, |_, mut goods| {
            goods.sealed[0] ^= 1;
            goods
        }),
        (Code::Expired, |fair, goods| {
            fair.world.now = fair.world.now.after(Span::from_hours(2));
            goods
        }),
        (Code::Signature, |_, goods| Goods { promise: key(S2).sign(HERE, &goods.promise.peek().unwrap()), ..goods }),
    ];
    for (expected, twist) in cases {
        let mut fair = Fair::new();
        let (pay, withheld) = exchange(&mut fair, Some(b"a song"));
        let goods = sealed(&mut fair, withheld.order, b"a song");
        let goods = twist(&mut fair, goods);
        let (name, now) = (fair.name(&pay), fair.world.now);
        let Ok(Exchanged::Off { ack, why, evidence }) = fair.broker.on_goods(now, name, goods) else { panic!("fair") };
        assert_eq!((why.code, evidence), (expected, None));
        assert_eq!(fair.ada.on_ack(&ack), Ok(0));
    }
    let mut fair = Fair::new();
    let (pay, withheld) = exchange(&mut fair, Some(b"a song"));
    let goods = other(&mut fair, withheld.order);
    let (name, now) = (fair.name(&pay), fair.world.now);
    let Ok(Exchanged::Off { why, .. }) = fair.broker.on_goods(now, name, goods) else { panic!("fair") };
    assert_eq!(why.code, Code::Order, "not the song the buyer asked for by its hash");
    let large = vec![0; PRODUCT_MAX + 1];
    let refused = Goods::seal(&key(S1), HERE, withheld.order, &large, now, &mut fair.world.rng).unwrap_err();
    assert_eq!(refused.code, Code::Limit);
}

#[test]
fn an_exchange_whose_goods_never_come_is_called_off_and_costs_nobody_anything() {
    let mut fair = Fair::new();
    let (pay, _) = exchange(&mut fair, None);
    let name = fair.name(&pay);
    let ack = fair.broker.call_off(name).unwrap();
    assert_eq!(fair.ada.on_ack(&ack), Ok(0));
    assert_eq!((fair.ada.left(), fair.broker.seller(key(S1).id()).unwrap().left()), (100, 150));
}
