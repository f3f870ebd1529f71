//! Many requests at once, overtaking each other, failing and coming back: each unit is served once.

use std::sync::Mutex;

use farthing_core::wire;
use proptest::prelude::*;

use crate::micro::Pay;
use crate::session::{PayError, Session, WINDOW};
use crate::spender::{SpendError, Spender};
use crate::testing::{ALIAS, BUYER, S1, World, key, order_in};

#[test]
fn of_a_payment_that_arrives_a_thousand_times_in_parallel_one_is_served() {
    let mut world = World::new();
    let (mut spender, session) = world.open(BUYER, ALIAS, S1, 100);
    let pays: Vec<Pay> = (0..10).map(|_| spender.pay(3, order_in(&spender, "/a")).unwrap()).collect();
    let (session, now) = (Mutex::new(session), world.now);
    let served: usize = std::thread::scope(|scope| {
        let run = || {
            let copies = (0..100).flat_map(|_| pays.iter());
            copies.filter(|pay| session.lock().unwrap().accept(now, pay, 3).is_ok()).count()
        };
        let workers: Vec<_> = (0..10).map(|_| scope.spawn(run)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(served, 10);
    assert_eq!(session.lock().unwrap().through(), 30);
}

#[test]
fn units_given_back_pay_for_another_request_and_a_kept_copy_of_the_first_one_buys_nothing() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 100);
    let failed = spender.pay(2, order_in(&spender, "/broken")).unwrap();
    let entry = session.accept(world.now, &failed, 2).unwrap().entry;
    session.give_back(&entry, 0);
    // A listener who kept the payment would like the answer that its owner never got.
    assert_eq!(session.accept(world.now, &failed, 2), Err(PayError::Stale { turn: 1 }));
    assert_eq!(spender.on_ack(&session.ack(&entry, 0, failed.order)), Ok(0));
    assert_eq!(spender.left(), 100);
    let other = spender.pay(2, order_in(&spender, "/whole")).unwrap();
    assert_eq!(other.index, 2, "the same units");
    assert_eq!(session.accept(world.now, &other, 2).unwrap().fresh, 0, "for the same money");
    assert_eq!(session.accept(world.now, &failed, 2), Err(PayError::Served { index: 2 }));
    assert_eq!(session.through(), 2);
}

#[test]
fn a_maximum_is_authorised_and_the_actual_charged() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 100);
    let pay = spender.pay(50, order_in(&spender, "/stream")).unwrap();
    let entry = session.accept(world.now, &pay, 50).unwrap().entry;
    session.give_back(&entry, 12);
    assert_eq!(spender.on_ack(&session.ack(&entry, 12, pay.order)), Ok(12));
    assert_eq!((spender.left(), spender.at_risk()), (88, 50));
    assert!(session.is_served(12) && !session.is_served(13));
    let next = spender.pay(38, order_in(&spender, "/more")).unwrap();
    assert_eq!((next.index, session.accept(world.now, &next, 38).unwrap().fresh), (50, 0));
    assert_eq!(spender.pay(1, next.order).unwrap().index, 51);
}

#[test]
fn a_payment_overtaken_by_more_than_the_window_is_too_late_and_buyers_do_not_let_it_happen() {
    let mut world = World::new();
    world.enrol(key(15).id(), 100_000_000);
    let (mut spender, mut session) = world.open(15, ALIAS, S1, 10_000);
    let order = order_in(&spender, "/a");
    let lost = spender.pay(1, order).unwrap();
    for _ in 1..WINDOW / 64 {
        let pay = spender.pay(64, order).unwrap();
        let entry = session.accept(world.now, &pay, 64).unwrap().entry;
        spender.on_ack(&session.ack(&entry, 64, order)).unwrap();
    }
    assert_eq!(spender.pay(64, order), Err(SpendError::TooManyOpen), "the oldest would fall out of the window");
    assert_eq!(spender.unanswered(), [lost.entry()]);
    assert!(session.clone().accept(world.now, &lost, 1).is_ok());
    spender.give_up(1).unwrap();
    let pay = spender.pay(64, order).unwrap();
    session.accept(world.now, &pay, 64).unwrap();
    assert_eq!(session.accept(world.now, &lost, 1), Err(PayError::TooLate));
}

#[test]
fn a_unit_is_not_taken_for_served_because_another_stood_in_its_place_a_window_ago() {
    let mut world = World::new();
    world.enrol(key(15).id(), 100_000_000);
    let (mut spender, mut session) = world.open(15, ALIAS, S1, 10_000);
    let order = order_in(&spender, "/a");
    let first = spender.pay(WINDOW, order).unwrap();
    let entry = session.accept(world.now, &first, WINDOW).unwrap().entry;
    spender.on_ack(&session.ack(&entry, WINDOW, order)).unwrap();
    let late = spender.pay(1, order).unwrap();
    session.accept(world.now, &spender.pay(1, order).unwrap(), 1).unwrap();
    assert!(!session.is_served(late.index));
    assert_eq!(session.accept(world.now, &late, 1).unwrap().fresh, 0);
}

#[test]
fn a_buyer_after_a_restart_sends_the_same_payment_and_forgets_no_unit_it_wrote_ahead() {
    let mut world = World::new();
    let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 100);
    let lost = spender.pay(3, order_in(&spender, "/a")).unwrap();
    let written = wire::encode(spender.state());
    let mut after = Spender::resume(wire::decode(&written).unwrap(), [ALIAS; 32]).unwrap();
    assert_eq!(after.again(3), Some(lost));
    assert_eq!(Spender::resume(wire::decode(&written).unwrap(), [1; 32]).unwrap_err(), SpendError::WrongSeed);
    session.accept(world.now, &after.again(3).unwrap(), 3).unwrap();
    let ahead = wire::encode(&after.state_ahead(16));
    for _ in 0..16 {
        session.accept(world.now, &after.pay(1, lost.order).unwrap(), 1).unwrap();
    }
    let mut crashed = Spender::resume(wire::decode(&ahead).unwrap(), [ALIAS; 32]).unwrap();
    let next = crashed.pay(1, lost.order).unwrap();
    assert_eq!(next.index, 20, "no unit is used twice");
    assert!(session.accept(world.now, &next, 1).is_ok());
}

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Served,
    Failed,
    Half,
    AnswerLost,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever overtakes whatever, whatever fails, is copied or sent again: no unit is served twice,
    /// the seller holds money for all it served, and an honest buyer gets all that it paid for.
    #[test]
    fn each_unit_is_served_once_in_any_order(
        steps in prop::collection::vec((1_u32..6, 0_usize..8, prop_oneof![
            6 => Just(Fate::Served), 1 => Just(Fate::Failed), 1 => Just(Fate::Half), 2 => Just(Fate::AnswerLost),
        ]), 1..80),
    ) {
        let mut world = World::new();
        let (mut spender, mut session) = world.open(BUYER, ALIAS, S1, 400);
        let (mut wire, mut copies): (Vec<Pay>, Vec<Pay>) = Default::default();
        let mut done = std::collections::BTreeMap::new();
        let mut served = 0;
        for (nth, (units, which, fate)) in steps.into_iter().enumerate() {
            let order = order_in(&spender, &format!("/{nth}"));
            if let Ok(pay) = spender.pay(units, order) {
                wire.push(pay);
            }
            if wire.len() > which {
                let pay = wire.remove(which);
                copies.push(pay);
                served += deliver(&mut world, &mut spender, &mut session, &mut done, &pay, fate);
            }
            // A listener sends everything again that it ever saw; what is delivered so, is to it.
            for copy in &copies {
                prop_assert!(session.accept(world.now, copy, copy.units).is_err());
            }
            prop_assert!(served <= session.through());
            prop_assert!(session.through() <= spender.at_risk());
        }
        // In the end the buyer asks again for everything it has no answer to.
        for _ in 0..3 {
            for entry in spender.unanswered().to_vec() {
                let pay = spender.again(entry.index).unwrap();
                served += deliver(&mut world, &mut spender, &mut session, &mut done, &pay, Fate::Served);
            }
        }
        prop_assert!(spender.unanswered().is_empty());
        prop_assert_eq!(400 - spender.left(), served, "paid for is delivered");
    }
}

/// The seller's application: stores each answer with the payment and gives it again to a repeat.
fn deliver(
    world: &mut World,
    spender: &mut Spender,
    session: &mut Session,
    done: &mut std::collections::BTreeMap<(u32, crate::secret::Digest), crate::micro::Ack>,
    pay: &Pay,
    fate: Fate,
) -> u32 {
    let name = (pay.index, pay.order);
    let (ack, charged) = match done.get(&name) {
        Some(ack) => (*ack, 0),
        None => {
            let Ok(accepted) = session.accept(world.now, pay, pay.units) else { return 0 };
            let charged = match fate {
                Fate::Served | Fate::AnswerLost => pay.units,
                Fate::Failed => 0,
                Fate::Half => pay.units / 2,
            };
            session.give_back(&accepted.entry, charged);
            (session.ack(&accepted.entry, charged, pay.order), charged)
        }
    };
    done.insert(name, ack);
    if !matches!(fate, Fate::AnswerLost) {
        spender.on_ack(&ack).unwrap();
    }
    charged
}
