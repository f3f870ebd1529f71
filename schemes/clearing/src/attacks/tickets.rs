//! T4 and T6: tickets on their way to the payee.

use farthing_core::refusal::{Code, Money};
use farthing_core::replay::REPLAY_WINDOW;
use farthing_core::time::{SKEW, Span, Time};

use crate::compare::Next;
use crate::messages::Payment;
use crate::payer::Paid;
use crate::testing::{CAROL, DAVE, World, expected, micros};

#[test]
fn t4_a_ticket_brought_twice_is_served_once_in_whatever_order() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let paid: Vec<Paid> = (1..6).map(|order| world.pay(&mut alice, CAROL, 10, order)).collect();
    for at in [3, 1, 4, 0, 2] {
        let fresh = carol.receive(world.now, &paid[at], &expected(10, at as u8 + 1)).unwrap();
        assert!(fresh.outcome.is_ok());
        let again = carol.receive(world.now, &paid[at], &expected(10, at as u8 + 1)).unwrap_err();
        assert_eq!((again.code, again.money), (Code::Replay, Money::MovedBefore));
    }
    assert_eq!(carol.wallet.balances(), [micros(50)]);
    assert_eq!(carol.wallet.log().incoming.n, 5);
    assert_eq!(carol.paid_orders.len(), 5);
    // The log is as if they had come in order: the bank takes the next payment.
    let frame = carol.ask(world.now, DAVE, 5, 9);
    let answer = world.hand(&frame).unwrap();
    carol.hear(&answer).unwrap();
    assert_eq!(world.balance(DAVE), 5);
}

#[test]
fn t4_a_ticket_that_comes_too_late_is_booked_and_not_served() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let paid = world.pay(&mut alice, CAROL, 10, 1);
    let last = paid.expires.after(SKEW).before(Span::from_millis(1));
    assert!(carol.clone().receive(last, &paid, &expected(10, 1)).unwrap().outcome.is_ok());
    let late = carol.receive(paid.expires.after(SKEW), &paid, &expected(10, 1)).unwrap();
    let why = late.outcome.unwrap_err();
    assert_eq!((why.code, why.money), (Code::Expired, Money::MovedBefore));
    assert_eq!((late.entries.len(), carol.wallet.balances()), (1, &[micros(10)][..]));
    assert_eq!(carol.receive(world.now, &paid, &expected(10, 1)).unwrap_err().code, Code::Replay, "nor ever again");
}

#[test]
fn t6_a_ticket_of_another_payee_or_cut_and_pasted_opens_nothing() {
    let (mut world, [mut alice, mut carol, dave]) = World::new();
    let paid = world.pay(&mut alice, CAROL, 10, 1);
    assert_eq!(dave.wallet.open_ticket(&paid.payment(false)).unwrap_err().code, Code::Decrypt);
    let mut halves = world.pay(&mut alice, CAROL, 10, 2).ticket;
    let middle = halves.len() / 2;
    halves[middle..].copy_from_slice(&paid.ticket[middle..]);
    let pasted = Payment { ticket: halves, sign: false };
    assert_eq!(carol.wallet.open_ticket(&pasted).unwrap_err().code, Code::Decrypt);
    assert!(carol.receive(world.now, &paid, &expected(10, 1)).unwrap().outcome.is_ok());
}

#[test]
fn weakness_6_a_payment_for_one_order_is_not_taken_for_another_or_at_another_price() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let paid = world.pay(&mut alice, CAROL, 10, 1);
    let why = carol.clone().receive(world.now, &paid, &expected(10, 2)).unwrap().outcome.unwrap_err();
    assert_eq!((why.code, why.money), (Code::Order, Money::MovedBefore));
    let why = carol.receive(world.now, &paid, &expected(11, 1)).unwrap().outcome.unwrap_err();
    assert_eq!(why.code, Code::Amount);
    assert_eq!(carol.wallet.balances(), [micros(10)], "the money is hers all the same");
}

#[test]
fn a_payer_that_swaps_in_the_ticket_of_an_earlier_payment_buys_nothing() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let old = world.pay(&mut alice, CAROL, 10, 1);
    carol.receive(world.now, &old, &expected(10, 1)).unwrap();
    let _never_sent = world.pay(&mut alice, CAROL, 10, 2);
    assert_eq!(carol.receive(world.now, &old, &expected(10, 2)).unwrap_err().code, Code::Replay);
}

#[test]
fn weakness_1_the_payees_number_is_in_its_ticket_and_told_to_nobody_else() {
    let (mut world, [mut alice, mut carol, mut dave]) = World::new();
    world.pay_and_deliver(&mut alice, &mut dave, 100, 1);
    let mut frames = Vec::new();
    for payments in [0, 3] {
        for order in 0..payments {
            world.pay_and_deliver(&mut alice, &mut carol, 1, order);
        }
        let paid = world.pay(&mut dave, CAROL, 10, 9);
        let number = carol.wallet.open_ticket(&paid.payment(false)).unwrap().ticket().number;
        assert_eq!(number, u64::from(payments) + 1 + u64::from(payments > 0));
        carol.receive(world.now, &paid, &expected(10, 9)).unwrap();
        frames.push(paid.ticket.len());
        assert!(dave.wallet.open_ticket(&paid.payment(false)).is_err(), "the payer cannot read it");
    }
    assert_eq!(frames[0], frames[1]);
}

#[test]
fn a_payee_that_missed_more_than_the_window_learns_all_when_books_are_compared() {
    let (mut world, [mut alice, mut carol, mut dave]) = World::new();
    let lost = world.pay(&mut alice, CAROL, 1, 1);
    for _ in 0..REPLAY_WINDOW {
        let paid = world.pay(&mut alice, CAROL, 1, 2);
        carol.receive(world.now, &paid, &expected(1, 2)).unwrap();
    }
    assert!(carol.wallet.lacks_receipts());
    assert_eq!(carol.wallet.log().incoming.n, 0, "they wait for the first");
    // One more does not fit: nothing is lost, the bank has it.
    let more = world.pay(&mut alice, CAROL, 1, 3);
    assert_eq!(carol.receive(world.now, &more, &expected(1, 3)).unwrap_err().code, Code::Reconcile);
    assert_eq!(world.compare(&mut carol), Next::Agreed(None));
    assert_eq!(carol.wallet.log().incoming.n, REPLAY_WINDOW + 2);
    assert_eq!(carol.wallet.balances(), [micros(REPLAY_WINDOW + 2)]);
    assert!(!carol.wallet.lacks_receipts());
    assert_eq!(carol.receive(world.now, &lost, &expected(1, 1)).unwrap_err().code, Code::Replay);
    world.pay_and_deliver(&mut carol, &mut dave, 5, 1);
}

#[test]
fn a_ticket_that_comes_after_a_thousand_others_is_not_taken_for_a_repeat() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let late = world.pay(&mut alice, CAROL, 1, 1);
    for _ in 1..REPLAY_WINDOW {
        world.pay(&mut alice, CAROL, 1, 2);
    }
    let last = world.pay(&mut alice, CAROL, 1, 3);
    carol.receive(world.now, &last, &expected(1, 3)).unwrap();
    let why = carol.receive(world.now, &late, &expected(1, 1)).unwrap_err();
    assert_eq!((why.code, why.money), (Code::Reconcile, Money::MovedBefore));
    assert_eq!(world.compare(&mut carol), Next::Agreed(None));
    assert!(carol.paid_orders.contains(&late.line.order), "the comparison brings it");
}

#[test]
fn tickets_outlive_no_key_and_their_money_is_repaired() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let paid = world.pay(&mut alice, CAROL, 10, 1);
    world.rotate(&mut carol);
    let why = carol.receive(Time::from_millis(1_700_000_000_000), &paid, &expected(10, 1)).unwrap_err();
    assert_eq!(why.code, Code::Decrypt, "who stole the old key could have made it");
    assert_eq!(world.compare(&mut carol), Next::Agreed(None));
    assert_eq!(carol.paid_orders, [paid.line.order]);
    assert_eq!(carol.wallet.balances(), [micros(10)]);
}
