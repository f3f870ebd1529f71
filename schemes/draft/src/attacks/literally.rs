//! The same attacks on the paper's own form, where they succeed.

use std::collections::{BTreeMap, BTreeSet};

use crate::literal::{Bank, PlainDraft, deposit};
use crate::messages::{Outcome, StopReason};
use crate::testing::{ALICE, BANK, CAROL, DAVE, HERE, World, key, paid, seal_key};

fn bank() -> Bank {
    let balances = BTreeMap::from([(key(ALICE).id(), 1_000)]);
    Bank { network: HERE, seal: seal_key(BANK), balances, paid: BTreeSet::new(), stopped: BTreeSet::new() }
}

fn draft(world: &World, number: u64, payee: u8) -> farthing_core::sign::Signed<PlainDraft> {
    let (payor, payee) = (key(ALICE).id(), key(payee).id());
    key(ALICE).sign(HERE, &PlainDraft { number, payor, payee, time: world.now })
}

#[test]
fn literally_a_deposit_sealed_as_printed_cannot_be_read_by_the_bank() {
    let mut world = World::new();
    let sealed = deposit(HERE, seal_key(CAROL).public(), &draft(&world, 1, CAROL), &mut world.rng).unwrap();
    assert!(bank().seal.open(HERE, &sealed).is_err());
    assert!(seal_key(CAROL).open(HERE, &sealed).is_ok(), "only whoever sent it can");
}

#[test]
fn literally_a_draft_is_worth_what_its_payee_says_and_hardened_what_it_says_itself() {
    let mut world = World::new();
    let mut bank = bank();
    assert!(bank.pay(draft(&world, 1, CAROL), 999));
    assert_eq!(bank.balances[&key(CAROL).id()], 999, "for a draft that was meant for one");
    world.reconcile(ALICE, 1_000).unwrap();
    world.pay(ALICE, CAROL, 1);
    assert_eq!(paid(&world.deposit(CAROL)[0]), 1);
}

#[test]
fn literally_overdraft_has_no_bottom_and_hardened_it_ends_where_policy_says() {
    let mut world = World::new();
    let mut bank = bank();
    for number in 0..50 {
        assert!(bank.pay(draft(&world, number, DAVE), 1_000));
    }
    assert_eq!(bank.balances[&key(ALICE).id()], 1_000 - 50_000);
    // Hardened: the payer's own program refuses, and a bank never pays more than there is; see t5.
    world.enrol(40, 100);
    world.reconcile(40, 1_000).unwrap();
    world.pay(40, DAVE, 100);
    assert!(world.draw(40, DAVE, 100).is_err());
    world.deposit(DAVE);
    assert_eq!(world.balance(40), 0);
}

#[test]
fn literally_a_stop_is_goods_for_nothing_and_hardened_the_goods_are_paid() {
    let mut world = World::new();
    let mut bank = bank();
    let sent = draft(&world, 1, CAROL);
    // Carol has delivered; Alice stops; nothing is ever asked.
    bank.stop(&key(ALICE), 1);
    assert!(!bank.pay(sent, 300));
    assert_eq!(bank.balances[&key(ALICE).id()], 1_000);
    world.reconcile(ALICE, 1_000).unwrap();
    world.pay(ALICE, CAROL, 300);
    let before = world.wallets[&ALICE].clone();
    let delivered = world.pays(ALICE, |payer, cx, _| payer.delivered(cx, 1)).unwrap();
    world.takes(CAROL, |payee, cx| payee.on_delivered(cx, key(ALICE).id(), 1, delivered)).unwrap();
    world.wallets.insert(ALICE, before);
    let stop = world.pays(ALICE, |payer, cx, _| payer.stop(cx, 1, StopReason::NotDelivered)).unwrap();
    world.act(|bank, cx| bank.stop(cx, key(ALICE).id(), stop)).unwrap();
    assert!(matches!(world.deposit(CAROL)[0].outcome, Outcome::Stopped { .. }));
    let proof = world.takes(CAROL, |payee, cx| payee.proof(cx, key(ALICE).id(), 1)).unwrap().unwrap();
    world.act(|bank, cx| bank.prove(cx, key(CAROL).id(), proof)).unwrap();
    assert_eq!((world.balance(ALICE), world.balance(CAROL)), (9_700, 300));
}
