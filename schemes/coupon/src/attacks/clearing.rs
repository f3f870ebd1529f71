//! §4's T6 and §5's T2, T3, T5 and T7: coupons become money once.

use farthing_core::chain::Word;
use farthing_core::refusal::Code;
use farthing_core::time::Span;
use farthing_core::wire;
use farthing_role::RequestBody;

use crate::clearing::{Clearing, Clearings, Refund};
use crate::messages::kind;
use crate::secret::Secret;
use crate::session::Session;
use crate::spender::Spender;
use crate::testing::{ALIAS, BUYER, HERE, S1, S2, World, code, key, order_in, paid, refused};

fn spend(world: &World, spender: &mut Spender, session: &mut Session, times: u32) {
    for _ in 0..times {
        let pay = spender.pay(1, order_in(spender, "page")).unwrap();
        let accepted = session.accept(world.now, &pay, 1).unwrap();
        spender.on_ack(&session.ack(&accepted.entry, 1, pay.order)).unwrap();
    }
}

#[test]
fn a_seller_clears_in_parts_and_at_last_and_the_rest_goes_back() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 100);
    spend(&world, &mut spender, &mut session, 5);
    let lines = world.clear(S1, vec![session.clearing(false)]);
    assert_eq!(paid(&lines[0]), 5_000);
    session.on_cleared(&lines[0]);
    assert_eq!(session.uncleared(), 0);
    spend(&world, &mut spender, &mut session, 3);
    assert_eq!(session.uncleared(), 3);
    let last = session.clearing(true);
    assert!(last.opening.is_none(), "V′ is shown once");
    assert_eq!(paid(&world.clear(S1, vec![last])[0]), 3_000);
    assert_eq!((world.balance(BUYER), world.balance(S1)), ((992_000, 0), (8_000, 0)));
}

#[test]
fn what_was_given_back_or_never_used_is_never_cleared() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 100);
    // A maximum of 40 authorised and 3 charged; then a request that failed.
    for (units, charged) in [(40, 3), (20, 0)] {
        let pay = spender.pay(units, order_in(&spender, "page")).unwrap();
        let accepted = session.accept(world.now, &pay, units).unwrap();
        session.give_back(&accepted.entry, charged);
        spender.on_ack(&session.ack(&accepted.entry, charged, pay.order)).unwrap();
    }
    assert!(session.through() > session.charged());
    assert_eq!((session.charged(), session.uncleared()), (3, 3));
    assert_eq!(paid(&world.clear(S1, vec![session.clearing(true)])[0]), 3_000);
    assert_eq!((world.balance(BUYER), world.balance(S1)), ((997_000, 0), (3_000, 0)));
}

#[test]
fn t2_a_clearing_for_less_than_is_held_costs_the_seller_nothing_and_a_forged_one_is_not_read() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 100);
    spend(&world, &mut spender, &mut session, 2);
    let low = session.clearing(false);
    spend(&world, &mut spender, &mut session, 8);
    // The buyer puts a cheaper word in its place: it cannot sign for the seller.
    let honest = world.clear_request(S1, vec![session.clearing(false)]);
    let body = honest.peek().unwrap();
    let message = wire::encode(&Clearings { items: farthing_core::wire::Bounded::new(vec![low.clone()]).unwrap() });
    let forged = key(ALIAS).sign(HERE, &RequestBody { message, ..body });
    assert_eq!(refused(&world.clear_signed(forged).unwrap()[0]), Code::NotPayee);
    // Even the seller's own mistake only delays the rest.
    assert_eq!(paid(&world.clear(S1, vec![low.clone()])[0]), 2_000);
    assert_eq!(paid(&world.clear_signed(honest).unwrap()[0]), 8_000);
    assert_eq!(paid(&world.clear(S1, vec![low])[0]), 0, "out of order changes nothing");
    assert_eq!(world.balance(S1).0, 10_000);
}

#[test]
fn t3_a_clearing_repeated_reordered_or_listed_twice_is_paid_once() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 100);
    spend(&world, &mut spender, &mut session, 5);
    let request = world.clear_request(S1, vec![session.clearing(false), session.clearing(false)]);
    let lines = world.clear_signed(request.clone()).unwrap();
    assert_eq!((paid(&lines[0]), paid(&lines[1])), (5_000, 0));
    let again = world.clear_signed(request).unwrap();
    assert_eq!((paid(&again[0]), paid(&again[1])), (0, 0));
    assert_eq!((world.balance(BUYER), world.balance(S1)), ((995_000, 95_000), (5_000, 0)));
}

#[test]
fn t6_bank_refuses_to_clear_more_than_is_held_or_without_the_words() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 10);
    spend(&world, &mut spender, &mut session, 4);
    let good = session.clearing(false);
    let forged = |through, word: u8| Clearing { through, word: Word([word; 32]), ..good.clone() };
    let lines = world.clear(S1, vec![forged(11, 1), forged(u32::MAX, 1), forged(10, 1), good.clone()]);
    let codes: Vec<Code> = lines[..3].iter().map(refused).collect();
    assert_eq!(codes, [Code::Range, Code::Range, Code::Chain], "and the good one is not hindered");
    assert_eq!(paid(&lines[3]), 4_000);
    assert_eq!(refused(&world.clear(S2, vec![good])[0]), Code::NotPayee);
}

#[test]
fn bank_refuses_a_first_clearing_that_does_not_open_v_prime() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 10);
    spend(&world, &mut spender, &mut session, 4);
    let good = session.clearing(false);
    let none = Clearing { opening: None, ..good.clone() };
    let wrong = Clearing { opening: Some(Secret::draw(&mut world.rng)), ..good.clone() };
    let lines = world.clear(S1, vec![none.clone(), wrong, good, none]);
    assert_eq!((refused(&lines[0]), refused(&lines[1])), (Code::Signature, Code::Signature));
    assert_eq!((paid(&lines[2]), paid(&lines[3])), (4_000, 0));
}

#[test]
fn t5_a_chain_is_authorised_for_one_seller_once() {
    let mut world = World::new();
    let signing = world.sign(BUYER, ALIAS, S1, 100);
    world.answer(S1, signing.committed.request());
    // At another seller: the chain names its payee.
    let seller = world.seller(S2);
    let offer = world.offer(S2);
    let why = seller.invoice(world.now, &offer, &signing.initiate, &mut world.rng).unwrap_err();
    assert_eq!(why.code, Code::NotPayee);
    // At the same seller once more: one hold.
    let (account, alias, offer) = (key(BUYER), key(ALIAS), world.offer(S1));
    let seller = world.seller(S1);
    let (invoiced, invoice) = seller.invoice(world.now, &offer, &signing.initiate, &mut world.rng).unwrap();
    let buyer = world.buyer(&account, &alias);
    let again = world.ask_again(&signing);
    let (pending, _) = buyer.on_invoice(world.now, again, invoice, &mut world.rng).unwrap();
    let committed = seller.on_payment(&invoiced, pending.payment().clone()).unwrap();
    let why = world.authorise(key(S1).id(), committed.request().clone()).unwrap_err();
    assert_eq!(code(why), Code::Conflict);
    assert_eq!(world.balance(BUYER).1, 100_000);
}

#[test]
fn t7_nothing_is_cleared_after_expiry_and_grace_and_the_hold_is_released() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 100);
    spend(&world, &mut spender, &mut session, 5);
    let first = session.clearing(false);
    spend(&world, &mut spender, &mut session, 5);
    let ends = session.not_after().after(Span::from_days(2));
    world.now = ends.before(Span::from_millis(1));
    world.act(|bank, cx| bank.release_due(cx)).unwrap();
    assert_eq!(paid(&world.clear(S1, vec![first.clone()])[0]), 5_000, "up to the last moment");
    assert_eq!(world.balance(BUYER), (995_000, 95_000));
    world.now = ends;
    assert_eq!(refused(&world.clear(S1, vec![session.clearing(false)])[0]), Code::Expired);
    world.act(|bank, cx| bank.release_due(cx)).unwrap();
    assert_eq!(world.balance(BUYER), (995_000, 0));
    assert_eq!(refused(&world.clear(S1, vec![session.clearing(false)])[0]), Code::Expired);
    assert_eq!(paid(&world.clear(S1, vec![first])[0]), 0, "what was cleared stays cleared");
}

#[test]
fn t7_after_the_final_clearing_nothing_more_is_paid() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 100);
    spend(&world, &mut spender, &mut session, 5);
    assert_eq!(paid(&world.clear(S1, vec![session.clearing(true)])[0]), 5_000);
    spend(&world, &mut spender, &mut session, 5);
    assert_eq!(refused(&world.clear(S1, vec![session.clearing(true)])[0]), Code::Expired);
    // An unused session may be ended as well.
    let (_, unused) = world.open(BUYER, 12, S1, 100);
    assert_eq!(paid(&world.clear(S1, vec![unused.clearing(true)])[0]), 0);
    assert_eq!(world.balance(BUYER), (995_000, 0));
}

#[test]
fn a_refund_goes_up_to_what_was_cleared_and_a_repeat_moves_nothing() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 100);
    spend(&world, &mut spender, &mut session, 5);
    world.clear(S1, vec![session.clearing(false)]);
    let refund = |world: &mut World, seller: u8, units| {
        let id = world.request_id();
        let refund = Refund { chain: session.chain(), units };
        world.act(|bank, cx| bank.refund(cx, key(seller).id(), id, &refund)).map_err(code)
    };
    assert_eq!(refund(&mut world, S2, 1).unwrap_err(), Code::NotPayee);
    assert_eq!(refund(&mut world, S1, 6).unwrap_err(), Code::Range);
    assert_eq!(refund(&mut world, S1, 2).unwrap().amount.as_micros(), 2_000);
    assert_eq!(refund(&mut world, S1, 2).unwrap().amount.as_micros(), 0);
    assert_eq!(refund(&mut world, S1, 5).unwrap().units, 5);
    assert_eq!((world.balance(BUYER).0, world.balance(S1).0), (1_000_000, 0));
}

#[test]
fn many_sessions_of_many_buyers_clear_in_one_request_and_a_bad_request_spoils_only_itself() {
    let mut world = World::new();
    let mut all = Vec::new();
    for alias in 40..60 {
        let (mut spender, mut session) = world.open(BUYER, alias, S1, 20);
        spend(&world, &mut spender, &mut session, u32::from(alias - 39));
        all.push(session.clearing(false));
    }
    let good = world.clear_request(S1, all);
    let body = good.peek().unwrap();
    let mut bytes = wire::encode(&good);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let damaged: farthing_core::sign::Signed<RequestBody> = wire::decode(&bytes).unwrap();
    let elsewhere = key(S1).sign(HERE, &RequestBody { to: key(9).id(), ..body.clone() });
    let other_kind = key(S1).sign(HERE, &RequestBody { kind: kind::REFUND, ..body });
    let requests = vec![damaged, good.clone(), elsewhere, other_kind];
    let verified = crate::bank::verify_clearings(HERE, world.bank.bank(), world.now, requests);
    let codes: Vec<_> = verified.iter().map(|request| request.as_ref().map(|_| ()).map_err(|why| why.code)).collect();
    assert_eq!(codes, [Err(Code::Signature), Ok(()), Err(Code::NotPayee), Err(Code::NotPayee)]);
    let lines = world.clear_signed(good).unwrap();
    assert_eq!(lines.iter().map(paid).sum::<u64>(), (1..=20).map(|n| n * 1_000).sum::<u64>());
}

#[test]
fn bank_refuses_more_hashing_than_one_request_may_cost() {
    let mut world = World::new();
    world.enrol(key(15).id(), 5_000_000_000);
    let units = farthing_core::chain::CHAIN_LEN_MAX;
    let (_, session) = world.open(15, ALIAS, S1, units);
    let item = |n: u8| Clearing { through: units, word: Word([n; 32]), ..session.clearing(false) };
    let codes: Vec<Code> = world.clear(S1, (0..4).map(item).collect()).iter().map(refused).collect();
    assert_eq!(codes, [Code::Chain, Code::Chain, Code::Limit, Code::Limit]);
}
