//! The paper's own forms fall to what the hardened ones withstand.

use crate::literal::{Bank, Request, logged};
use crate::testing::{CAROL, DAVE, World, expected};

const A: u8 = 1;
const C: u8 = 2;
const D: u8 = 3;

fn bank() -> Bank {
    Bank { balances: [(A, 1_000), (C, 0), (D, 500)].into(), ..Bank::default() }
}

#[test]
fn weakness_2_literally_a_retry_under_the_next_number_pays_twice_and_hardened_it_pays_once() {
    let mut bank = bank();
    let mut request = Request { sequence: 0, log: [0; 32], amount: 100, payer: A, payee: C };
    bank.transfer(&request).unwrap(); // M1 is lost. Alice's number rose when she asked.
    request.sequence += 1;
    request.log = logged([0; 32], C, 100); // And a careful reader even logs before sending.
    bank.transfer(&request).unwrap();
    assert_eq!(bank.balances[&C], 200, "for one purchase");
    let (mut world, [mut alice, ..]) = World::new();
    let frame = alice.ask(world.now, CAROL, 100, 1);
    world.hand(&frame).unwrap();
    let pending = alice.wallet.pending().unwrap().frame.clone();
    world.hand(&pending).unwrap();
    assert_eq!(world.balance(CAROL), 100);
}

#[test]
fn weakness_3_literally_a_receipt_that_came_late_makes_an_honest_log_look_forged() {
    let mut bank = bank();
    bank.transfer(&Request { sequence: 0, log: [0; 32], amount: 100, payer: A, payee: C }).unwrap();
    // Carol is paid by Dave as well; his ticket reaches her first, so her log has it first.
    bank.transfer(&Request { sequence: 0, log: [0; 32], amount: 50, payer: D, payee: C }).unwrap();
    let carols = logged(logged([0; 32], D, 50), A, 100);
    let honest = Request { sequence: 0, log: carols, amount: 10, payer: C, payee: A };
    assert_eq!(bank.transfer(&honest), None);
    // Hardened, payments in are ordered by the bank's numbers, whenever they come.
    let (mut world, [mut alice, mut carol, mut dave]) = World::new();
    world.pay_and_deliver(&mut alice, &mut dave, 50, 1);
    let first = world.pay(&mut alice, CAROL, 100, 1);
    let second = world.pay(&mut dave, CAROL, 50, 2);
    carol.receive(world.now, &second, &expected(50, 2)).unwrap();
    world.pay(&mut carol, DAVE, 10, 3); // With none of them in her log yet,
    carol.receive(world.now, &first, &expected(100, 1)).unwrap();
    world.pay(&mut carol, DAVE, 10, 4); // and with both.
    assert_eq!(world.balance(CAROL), 130);
}

#[test]
fn weakness_1_literally_the_payer_learns_how_often_its_payee_was_paid_and_the_payee_cannot_tell_a_replay() {
    let mut bank = bank();
    let first = bank.transfer(&Request { sequence: 0, log: [0; 32], amount: 50, payer: D, payee: C }).unwrap();
    let log = logged([0; 32], C, 50);
    let second = bank.transfer(&Request { sequence: 1, log, amount: 50, payer: D, payee: C }).unwrap();
    assert_eq!((first.payees_sequence, second.payees_sequence), (1, 2), "Carol's business, told to Dave");
    assert_eq!(first.ticket, second.ticket, "and nothing in it tells Carol one from the other");
    // Hardened: tickets::weakness_1, t4.
}
