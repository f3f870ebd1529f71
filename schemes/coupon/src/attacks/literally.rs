//! The paper's own forms fall to the attacks that the hardened ones refuse.

use crate::literal::{Acquirer, Again, BareCoupon, Seller, a, chain};
use crate::testing::{ALIAS, BUYER, S1, World, key, order_in, paid, refused};

fn acquirer(root: [u8; 32], again: Again) -> Acquirer {
    Acquirer { roots: [(a(&[5; 32]), root)].into(), paid: Default::default(), again }
}

#[test]
fn literally_a_stolen_coupon_buys_what_the_thief_asks_for() {
    let coupons = chain([1; 32], 10);
    let mut seller = Seller::new(coupons[0]);
    let sent = BareCoupon { index: 1, coupon: coupons[1], request: "/news".into() };
    let theft = BareCoupon { request: "/jewels".into(), ..sent.clone() };
    assert!(seller.serve(&theft), "the thief was faster");
    assert!(!seller.serve(&sent), "and the owner gets nothing");
    assert_eq!(seller.served, ["/jewels"]);
    // Hardened: attacks::spending, t1.
}

#[test]
fn literally_a_clearing_replaced_by_a_cheaper_coupon_takes_the_sellers_money_and_hardened_it_does_not() {
    let coupons = chain([1; 32], 10);
    let mut acquirer = acquirer(coupons[0], Again::Refuse);
    // The seller sends V′ and the ninth coupon; the buyer changes the ninth into the first.
    assert_eq!(acquirer.clear(&[5; 32], 1, coupons[1]), 1);
    assert_eq!(acquirer.clear(&[5; 32], 9, coupons[9]), 0, "eight coupons are lost");
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 10);
    let order = order_in(&spender, "/a");
    session.accept(world.now, &spender.pay(1, order).unwrap(), 1).unwrap();
    let cheap = session.clearing(false);
    session.accept(world.now, &spender.pay(8, order).unwrap(), 8).unwrap();
    let thief = world.clear_request(S1, vec![cheap.clone()]).peek().unwrap();
    let forged = key(BUYER).sign(crate::testing::HERE, &thief);
    assert_eq!(refused(&world.clear_signed(forged).unwrap()[0]), farthing_core::refusal::Code::NotPayee);
    assert_eq!(paid(&world.clear(S1, vec![cheap])[0]), 1_000, "were it the seller's own");
    assert_eq!(paid(&world.clear(S1, vec![session.clearing(false)])[0]), 8_000, "the rest still comes");
}

#[test]
fn literally_a_clearing_sent_twice_is_paid_twice_and_hardened_it_is_paid_once() {
    let coupons = chain([1; 32], 10);
    let mut acquirer = acquirer(coupons[0], Again::Pay);
    assert_eq!(acquirer.clear(&[5; 32], 4, coupons[4]) + acquirer.clear(&[5; 32], 4, coupons[4]), 8);
    // And V′ is known to everybody after the first: whoever holds a coupon clears in the seller's name.
    assert_eq!(acquirer.clear(&[5; 32], 6, coupons[6]), 6);
    assert_eq!(acquirer.paid[&coupons[0]], 14, "of ten");
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 10);
    session.accept(world.now, &spender.pay(4, order_in(&spender, "/a")).unwrap(), 4).unwrap();
    assert_eq!(paid(&world.clear(S1, vec![session.clearing(false)])[0]), 4_000);
    assert_eq!(paid(&world.clear(S1, vec![session.clearing(false)])[0]), 0);
    assert_eq!(world.balance(S1).0, 4_000);
}
