//! §5's T1, T4 and T6: payments, and tokens of a broker.

use farthing_core::chain::{JUMP_MAX, Word, WordError};
use farthing_core::time::Span;
use farthing_core::wire;

use crate::exchange::product_digest;
use crate::micro::{COUPON_BYTES_MAX, Coupon, Pay, log_digest, micro_order};
use crate::session::{PayError, SESSION_BYTES_MAX, Session, SessionState, WINDOW};
use crate::spender::{SpendError, Spender};
use crate::testing::{ALIAS, BUYER, HERE, S1, World, key, order_in, request};
use crate::verdict;

#[test]
fn t1_a_coupon_seen_on_the_wire_buys_the_thief_nothing() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 100);
    session.accept(world.now, &spender.pay(1, order_in(&spender, "/")).unwrap(), 1).unwrap();
    let sent = spender.pay(1, order_in(&spender, "/news")).unwrap();
    // The thief has index, word and binding, and wants something else.
    let theft = Pay { order: order_in(&spender, "/jewels"), ..sent };
    assert_eq!(session.accept(world.now, &theft, 1), Err(PayError::Unbound));
    // It does not know the key of the session, only one of its own.
    let (thief, _) = world.open(BUYER, 66, S1, 100);
    let mac = {
        let mut thief = thief;
        thief.pay(1, theft.order).unwrap().mac
    };
    assert_eq!(session.accept(world.now, &Pay { mac, ..theft }, 1), Err(PayError::Unbound));
    // Nor can it change how much is paid, or bring the payment to another session.
    assert_eq!(session.accept(world.now, &Pay { units: 2, ..sent }, 2), Err(PayError::Unbound));
    let (_, mut other) = world.open(BUYER, 67, S1, 100);
    assert_eq!(other.accept(world.now, &sent, 1), Err(PayError::Unbound));
    assert!(session.accept(world.now, &sent, 1).is_ok(), "the owner still gets what it paid for");
}

#[test]
fn t4_seller_refuses_indices_beyond_the_end_repeated_or_with_wrong_words() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 10);
    let order = order_in(&spender, "/a");
    let first = spender.pay(1, order).unwrap();
    session.accept(world.now, &first, 1).unwrap();
    assert_eq!(session.accept(world.now, &first, 1), Err(PayError::Served { index: 1 }));
    // A dishonest buyer binds nonsense under its own key.
    let lie = |spender: &Spender, index, units, word| spender.forge(index, units, word, order);
    let word = Word([9; 32]);
    assert_eq!(session.accept(world.now, &lie(&spender, 2, 1, word), 1), Err(WordError::NotOnChain.into()));
    for (index, units) in [(11, 1), (u32::MAX, 1), (3, 0), (3, 4), (0, 0), (0, 1), (5, u32::MAX)] {
        let why = session.accept(world.now, &lie(&spender, index, units, word), units);
        assert_eq!(why, Err(PayError::Range { units: 10 }), "{units} units up to {index}");
    }
    let twice = spender.pay(2, order).unwrap();
    assert_eq!(session.accept(world.now, &twice, 1), Err(PayError::Price { quoted: 1 }));
    assert_eq!(session.accept(world.now, &twice, 3), Err(PayError::Price { quoted: 3 }));
    assert_eq!(session.accept(world.now, &twice, 2).unwrap().fresh, 2);
    assert_eq!(session.accept(session.not_after(), &twice, 2), Err(PayError::Ended));
    assert_eq!(spender.pay(8, order).unwrap_err(), SpendError::UsedUp { left: 7 });
}

#[test]
fn t4_a_wrong_word_below_the_tip_is_refused_too() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 10);
    let order = order_in(&spender, "/a");
    let late = spender.pay(1, order).unwrap();
    session.accept(world.now, &spender.pay(1, order).unwrap(), 1).unwrap();
    let wrong = spender.forge(1, 1, Word([9; 32]), order);
    assert_eq!(session.accept(world.now, &wrong, 1), Err(WordError::NotOnChain.into()));
    assert_eq!(session.accept(world.now, &late, 1).unwrap().fresh, 0);
}

#[test]
fn seller_is_not_made_to_hash_by_giant_jumps_nor_by_strangers() {
    use farthing_core::meter::{Op, measure};
    let mut world = World::new();
    world.enrol(key(15).id(), 100_000_000);
    let (spender, mut session) = world.open(15, ALIAS, S1, 100_000);
    let order = order_in(&spender, "/a");
    let far = spender.forge(JUMP_MAX + 1, 1, Word([1; 32]), order);
    let (why, cost) = measure(|| session.accept(world.now, &far, 1));
    assert_eq!(why, Err(WordError::JumpTooFar.into()));
    assert!(cost.of(Op::Hash) <= 2, "{cost:?}");
    let unbound = Pay { units: 2, ..spender.forge(JUMP_MAX, 1, Word([1; 32]), order) };
    let (why, cost) = measure(|| session.accept(world.now, &unbound, 2));
    assert_eq!(why, Err(PayError::Unbound));
    assert_eq!(cost.of(Op::Hash), 1);
}

#[test]
fn a_payment_costs_the_seller_two_hashes_and_no_signature() {
    use farthing_core::meter::{Op, measure};
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 10);
    let pay = spender.pay(1, order_in(&spender, "/a")).unwrap();
    let (_, cost) = measure(|| session.accept(world.now, &pay, 1).unwrap());
    assert_eq!((cost.of(Op::Hash), cost.of(Op::Verify)), (2, 0), "one step of the chain, one binding");
}

#[test]
fn an_open_session_and_a_coupon_are_as_small_as_promised() {
    let mut world = World::new();
    world.enrol(key(15).id(), 1_050_000_000);
    let units = farthing_core::chain::CHAIN_LEN_MAX;
    let (mut spender, mut session) = world.open(15, ALIAS, S1, units);
    let order = order_in(&spender, "/a");
    for _ in 0..600 {
        let pay = spender.pay(WINDOW.min(1_700), order).unwrap();
        let entry = session.accept(world.now, &pay, 1_700).unwrap().entry;
        session.give_back(&entry, 1_699);
        spender.on_ack(&session.ack(&entry, 1_699, order)).unwrap();
    }
    let pay = spender.pay(1_000, order).unwrap();
    let written = wire::encode(session.state());
    assert!(written.len() <= SESSION_BYTES_MAX && size_of::<Session>() <= SESSION_BYTES_MAX, "{}", written.len());
    let sent = wire::encode(&pay.coupon(session.chain()));
    assert!(sent.len() <= COUPON_BYTES_MAX, "{}", sent.len());
    let coupon: Coupon = wire::decode(&sent).unwrap();
    let state: SessionState = wire::decode(&written).unwrap();
    let mut resumed = Session::resume(state);
    assert!(resumed.accept(world.now, &coupon.about(order), 1_000).is_ok(), "and both survive being written");
    assert_eq!(resumed.accept(world.now, &coupon.about(order), 1_000), Err(PayError::Served { index: pay.index }));
}

#[test]
fn a_hundred_thousand_sessions_stay_open_and_apart() {
    let mut world = World::new();
    let (spender, session) = world.open(BUYER, ALIAS, S1, 100);
    let mut all = vec![session; 100_000];
    assert!(all.capacity() * size_of::<Session>() < 256 << 20);
    let mut spender = spender;
    let pay = spender.pay(1, order_in(&spender, "/a")).unwrap();
    for at in [0, 50_000, 99_999] {
        assert!(all[at].accept(world.now, &pay, 1).is_ok());
        assert_eq!(all[at].accept(world.now, &pay, 1), Err(PayError::Served { index: 1 }));
    }
    assert_eq!(all.iter().map(|session| session.through()).sum::<u32>(), 3);
}

#[test]
fn t6_late_tokens_are_served_once_bring_no_money_and_a_duplicate_brings_nothing() {
    let mut world = World::new();
    let (mut broker, mut session) = world.open(BUYER, ALIAS, S1, 100);
    let (ada, bob) = (product_digest(b"ada"), product_digest(b"bob"));
    let ends = world.now.after(Span::from_hours(1));
    let first = broker.token(1, ada, ends).unwrap();
    let second = broker.token(2, bob, ends).unwrap();
    let third = broker.token(1, ada, ends).unwrap();
    assert_eq!(session.accept_token(world.now, &third.spend(&request("/c"), 0), 1).unwrap().fresh, 4);
    assert_eq!(session.accept_token(world.now, &first.spend(&request("/a"), 0), 1).unwrap().fresh, 0);
    let again = session.accept_token(world.now, &first.spend(&request("/a"), 0), 1);
    assert_eq!(again, Err(PayError::Served { index: 1 }));
    assert_eq!(session.accept_token(world.now, &first.spend(&request("/b"), 0), 1), again);
    assert_eq!(session.accept_token(ends, &second.spend(&request("/b"), 0), 2), Err(PayError::TokenEnded));
    assert_eq!(session.accept_token(world.now, &second.spend(&request("/b"), 0), 2).unwrap().fresh, 0);
    assert_eq!(session.through(), 4);
}

#[test]
fn t6_a_token_is_worth_nothing_to_who_saw_it_or_changed_it_and_a_bare_word_less() {
    let mut world = World::new();
    let (mut broker, mut session) = world.open(BUYER, ALIAS, S1, 100);
    let (holder, ends) = (product_digest(b"ada"), world.now.after(Span::from_hours(1)));
    let token = broker.token(1, holder, ends).unwrap();
    let sent = token.spend(&request("/a"), 0);
    let mut theft = sent;
    theft.order = micro_order(token.realm, &request("/b"));
    assert_eq!(session.accept_token(world.now, &theft, 1), Err(PayError::Unbound));
    let mut longer = sent;
    longer.terms.expires = ends.after(Span::from_hours(1));
    assert_eq!(session.accept_token(world.now, &longer, 1), Err(PayError::Unbound));
    let mut mine = sent;
    mine.terms.holder = product_digest(b"eve");
    assert_eq!(session.accept_token(world.now, &mine, 1), Err(PayError::Unbound));
    // The token's binding is not one of the session's: its holder cannot pay as the broker does.
    assert_eq!(session.accept(world.now, &sent.pay(), 1), Err(PayError::Unbound));
    assert!(session.accept_token(world.now, &sent, 1).is_ok());
}

#[test]
fn where_many_tokens_are_out_the_broker_brings_the_money_forward() {
    let mut world = World::new();
    world.enrol(key(15).id(), 100_000_000);
    let (mut broker, mut session) = world.open(15, ALIAS, S1, 10_000);
    let (holder, ends) = (product_digest(b"ada"), world.now.after(Span::from_hours(1)));
    let lost = (0..2).map(|_| broker.token(2_048, holder, ends).unwrap()).last().unwrap();
    assert_eq!(broker.token(1, holder, ends), Err(SpendError::TooManyOpen));
    let seen = session.on_tip(world.now, &broker.tip().unwrap()).unwrap();
    assert_eq!(broker.on_seen(&crate::micro::Seen { index: 4_097, ..seen }), Err(SpendError::Forged));
    broker.on_seen(&seen).unwrap();
    let next = broker.token(1, holder, ends).unwrap();
    assert_eq!(session.accept_token(world.now, &next.spend(&request("/a"), 0), 1).unwrap().fresh, 1);
    assert_eq!(session.accept_token(world.now, &lost.spend(&request("/b"), 0), 2_048), Err(PayError::TooLate));
    let mut forged = broker.tip().unwrap();
    forged.word = Word([1; 32]);
    assert_eq!(session.on_tip(world.now, &forged), Err(PayError::Unbound));
}

#[test]
fn buyer_believes_no_answer_that_is_not_the_sellers_to_that_payment() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 100);
    let order = order_in(&spender, "/a");
    let pay = spender.pay(5, order).unwrap();
    let entry = session.accept(world.now, &pay, 5).unwrap().entry;
    let good = session.ack(&entry, 5, order);
    for bad in [
        crate::micro::Ack { charged: 4, ..good },
        crate::micro::Ack { response: product_digest(b"x"), ..good },
        crate::micro::Ack { turn: 9, ..good },
    ] {
        assert_eq!(spender.on_ack(&bad), Err(SpendError::Forged));
    }
    assert_eq!(spender.on_ack(&crate::micro::Ack { index: 4, ..good }), Err(SpendError::NotOpen));
    assert_eq!(spender.on_ack(&good), Ok(5));
    assert_eq!(spender.on_ack(&good), Err(SpendError::NotOpen));
}

#[test]
fn what_was_bought_is_not_disputable_once_its_log_is_signed() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 100);
    let mut lines = Vec::new();
    for name in ["/a", "/b", "/c"] {
        let pay = spender.pay(2, order_in(&spender, name)).unwrap();
        lines.push(session.accept(world.now, &pay, 2).unwrap().entry);
        if name == "/c" {
            assert_eq!(spender.sign_log(&key(ALIAS), HERE, 6, &lines), Err(SpendError::Logged), "one is open");
        }
        spender.on_ack(&session.ack(&lines[lines.len() - 1], 2, pay.order)).unwrap();
    }
    let log = spender.sign_log(&key(ALIAS), HERE, 6, &lines).unwrap();
    assert_eq!(spender.sign_log(&key(ALIAS), HERE, 6, &lines), Err(SpendError::Logged), "once for each unit");
    let mut shuffled = lines.clone();
    shuffled.reverse();
    assert_eq!(log.peek().unwrap().digest, log_digest(session.chain(), &shuffled));
    assert!(verdict::was_ordered(HERE, log.clone(), &shuffled, &lines[1]));
    let denied = crate::micro::LogEntry { order: order_in(&spender, "/d"), ..lines[1] };
    assert!(!verdict::was_ordered(HERE, log, &shuffled, &denied));
}
