//! Stop-payment, and who abuses it.

use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::refusal::Code;
use farthing_core::time::Span;
use farthing_role::{Records, Scan, Table};
use farthing_store::Overlay;

use crate::messages::{Confirm, DRAFT_LIFE_MAX, Draft, Finding, Outcome, Proof, Stop, StopReason};
use crate::testing::{ALICE, CAROL, HERE, World, code, key, micros, paid, refused};

/// A draft over 300 that Alice has paid and stopped.
fn stopped(world: &mut World, reason: StopReason) {
    let stop = world.pays(ALICE, |payer, cx, _| payer.stop(cx, 1, reason)).unwrap();
    world.act(|bank, cx| bank.stop(cx, key(ALICE).id(), stop)).unwrap();
}

fn paid_once() -> World {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    world.pay(ALICE, CAROL, 300);
    world
}

#[test]
fn t7_a_payer_that_stops_after_the_goods_came_pays_and_is_convicted() {
    let mut world = paid_once();
    let before = world.wallets[&ALICE].clone();
    let delivered = world.pays(ALICE, |payer, cx, _| payer.delivered(cx, 1)).unwrap();
    world.takes(CAROL, |payee, cx| payee.on_delivered(cx, key(ALICE).id(), 1, delivered)).unwrap();
    // Its own program would not: it stops with a copy that does not know.
    let reason = StopReason::NotDelivered;
    assert_eq!(code(world.pays(ALICE, |payer, cx, _| payer.stop(cx, 1, reason))), Code::State);
    world.wallets.insert(ALICE, before);
    stopped(&mut world, reason);
    assert_eq!(world.balance(ALICE), 9_700);
    let lines = world.deposit(CAROL);
    assert!(matches!(lines[0].outcome, Outcome::Stopped { .. }), "{lines:?}");
    let proof = world.takes(CAROL, |payee, cx| payee.proof(cx, key(ALICE).id(), 1)).unwrap().unwrap();
    assert_eq!(world.act(|bank, cx| bank.prove(cx, key(CAROL).id(), proof)).unwrap(), Finding::Pay);
    assert_eq!((world.balance(CAROL), world.balance(ALICE)), (300, 9_700));
    assert!(world.is_suspended(ALICE));
    let filed = world.evidence();
    assert_eq!(filed[0].evidence.kind, EvidenceKind::StopAfterDelivery);
    assert_eq!(filed[0].verdict, Verdict::Guilty(key(ALICE).id()));
    // Carol asks again and has her receipt; nothing more is paid.
    let lines = world.deposit(CAROL);
    assert_eq!((paid(&lines[0]), world.balance(CAROL)), (300, 300));
}

#[test]
fn a_stop_costs_the_money_at_once_and_is_refused_without_it() {
    let mut world = World::new();
    world.enrol(40, 300);
    world.reconcile(40, 1_000).unwrap();
    world.pay(40, CAROL, 300);
    let stop = world.pays(40, |payer, cx, _| payer.stop(cx, 1, StopReason::NotDelivered)).unwrap();
    let account = world.bank.chart().customer(key(40).id());
    let elsewhere = world.bank.chart().customer(key(ALICE).id());
    let away = farthing_ledger::Transfer {
        id: farthing_core::id::TransferId([1; 16]),
        debit: account,
        credit: elsewhere,
        amount: micros(1),
        reason: farthing_ledger::Reason(1),
        reference: [0; 32],
        at: world.now,
        hold: None,
    };
    world.act(|_, cx| Ok(farthing_ledger::Ledger(&mut *cx.tx).post(away)?)).unwrap();
    assert_eq!(code(world.act(|bank, cx| bank.stop(cx, key(40).id(), stop.clone()))), Code::Funds);
    world.fund(account, 1);
    let first = world.act(|bank, cx| bank.stop(cx, key(40).id(), stop.clone())).unwrap();
    assert_eq!(world.balance(40), 0);
    let again = world.act(|bank, cx| bank.stop(cx, key(40).id(), stop)).unwrap();
    assert_eq!(first, again);
}

#[test]
fn a_deposited_draft_cannot_be_stopped() {
    let mut world = paid_once();
    world.deposit(CAROL);
    let stop = world.pays(ALICE, |payer, cx, _| payer.stop(cx, 1, StopReason::NotDelivered)).unwrap();
    assert_eq!(code(world.act(|bank, cx| bank.stop(cx, key(ALICE).id(), stop))), Code::Spent);
}

#[test]
fn nobody_stops_a_strangers_draft_or_one_that_never_was() {
    let mut world = paid_once();
    let stop = world.pays(ALICE, |payer, cx, _| payer.stop(cx, 1, StopReason::NotDelivered)).unwrap();
    assert_eq!(code(world.act(|bank, cx| bank.stop(cx, key(CAROL).id(), stop.clone()))), Code::Signature);
    let mut forged = stop.peek().unwrap();
    forged.draft = key(CAROL).sign(crate::testing::HERE, &forged.draft.peek().unwrap());
    let forged = key(ALICE).sign(crate::testing::HERE, &forged);
    assert_eq!(code(world.act(|bank, cx| bank.stop(cx, key(ALICE).id(), forged))), Code::Signature);
}

#[test]
fn what_nobody_shows_to_be_delivered_goes_back_when_the_time_is_over() {
    for deposited in [false, true] {
        let mut world = paid_once();
        stopped(&mut world, StopReason::NotDelivered);
        if deposited {
            assert!(matches!(world.deposit(CAROL)[0].outcome, Outcome::Stopped { .. }));
            world.later(Span::from_days(2));
        } else {
            world.later(Span::from_days(8));
        }
        world.act(|bank, cx| bank.tick(cx)).unwrap();
        assert_eq!((world.balance(ALICE), world.balance(CAROL)), (10_000, 0));
        let suspense = world.bank.chart().suspense();
        assert_eq!(world.balance_of(suspense), 0);
        let lines = world.deposit(CAROL);
        if deposited {
            assert_eq!(lines[0].outcome, Outcome::GoneBack);
        } else {
            assert_eq!(refused(&lines[0]), Code::Expired);
        }
        assert_eq!(world.balance(CAROL), 0);
    }
}

#[test]
fn a_payee_that_deposits_what_it_gave_back_is_not_paid_and_is_convicted() {
    for deposited_first in [false, true] {
        let mut world = paid_once();
        let before = world.wallets[&CAROL].clone();
        let returned = world.takes(CAROL, |payee, cx| payee.give_back(cx, key(ALICE).id(), 1)).unwrap();
        assert!(world.deposit(CAROL).is_empty(), "its own program would not deposit it");
        world.wallets.insert(CAROL, before);
        world.pays(ALICE, |payer, cx, _| payer.on_returned(cx, 1, &returned)).unwrap();
        stopped(&mut world, StopReason::Returned);
        let proof = Proof::Returned { number: 1, returned };
        if deposited_first {
            assert!(matches!(world.deposit(CAROL)[0].outcome, Outcome::Stopped { .. }));
        }
        assert_eq!(world.act(|bank, cx| bank.prove(cx, key(ALICE).id(), proof)).unwrap(), Finding::GiveBack);
        assert_eq!(world.balance(ALICE), 10_000);
        assert_eq!(world.deposit(CAROL)[0].outcome, Outcome::GoneBack);
        assert_eq!(world.balance(CAROL), 0);
        let filed = world.evidence();
        assert_eq!(filed[0].evidence.kind, EvidenceKind::DepositAfterReturn);
        assert_eq!(filed[0].verdict, Verdict::Guilty(key(CAROL).id()));
        assert!(world.is_suspended(CAROL));
    }
}

#[test]
fn an_operator_may_decide_what_nobody_can_prove_and_only_once() {
    let mut world = paid_once();
    stopped(&mut world, StopReason::NotDelivered);
    world.deposit(CAROL);
    let alice = key(ALICE).id();
    world.act(|bank, cx| bank.judge_stop(cx, alice, 1, Finding::Pay)).unwrap();
    assert_eq!((world.balance(ALICE), world.balance(CAROL)), (9_700, 300));
    assert!(!world.is_suspended(ALICE));
    assert_eq!(code(world.act(|bank, cx| bank.judge_stop(cx, alice, 1, Finding::GiveBack))), Code::State);
    world.later(Span::from_days(30));
    world.act(|bank, cx| bank.tick(cx)).unwrap();
    assert_eq!((world.balance(ALICE), world.balance(CAROL)), (9_700, 300));
}

#[test]
fn a_stopped_draft_is_not_counted_twice_against_its_payers_budget() {
    let mut world = World::new();
    world.enrol(40, 600);
    world.reconcile(40, 1_000).unwrap();
    world.pay(40, CAROL, 200);
    world.pay(40, CAROL, 100);
    assert_eq!(world.reconcile(40, 1_000).unwrap().outstanding, micros(300));
    let stop = |world: &mut World, number| {
        let stop = world.pays(40, |payer, cx, _| payer.stop(cx, number, StopReason::NotDelivered)).unwrap();
        world.act(|bank, cx| bank.stop(cx, key(40).id(), stop)).unwrap();
    };
    stop(&mut world, 1);
    let said = world.reconcile(40, 1_000).unwrap();
    assert_eq!((said.balance, said.outstanding), (micros(400), micros(100)));
    // One that is stopped before its page is read.
    world.pay(40, CAROL, 50);
    stop(&mut world, 3);
    let said = world.reconcile(40, 1_000).unwrap();
    assert_eq!((said.balance, said.outstanding), (micros(350), micros(100)));
    world.later(Span::from_days(8));
    world.act(|bank, cx| bank.tick(cx)).unwrap();
    assert_eq!(world.balance(40), 600);
}

/// How many rows the bank keeps in a table.
fn rows(world: &World, table: &'static str) -> usize {
    let all = Scan { prefix: &[], after: None, limit: 100 };
    Overlay::new(&world.store).scan(Table(table), all).unwrap().len()
}

#[test]
fn a_stop_that_nobody_answered_and_a_draft_that_was_only_confirmed_are_forgotten_in_time() {
    let mut world = paid_once();
    stopped(&mut world, StopReason::NotDelivered);
    let confirmed = world.pay(ALICE, CAROL, 200);
    let item = world.item(&confirmed);
    world.act(|bank, cx| bank.confirm(cx, key(CAROL).id(), Confirm { item })).unwrap();
    let ticks = |world: &mut World, days: u64| {
        world.later(Span::from_days(days));
        for _ in 0..3 {
            world.act(|bank, cx| bank.tick(cx)).unwrap();
        }
        (rows(world, "draft_stops"), rows(world, "draft_confirmed"))
    };
    assert_eq!(ticks(&mut world, 8), (1, 1), "nobody can deposit them any more, and a fork is still seen");
    assert_eq!(world.balance(ALICE), 10_000);
    // Not while the payer's log is still to be compared with them.
    assert_eq!(ticks(&mut world, 62), (1, 0));
    world.reconcile(ALICE, 1_000).unwrap();
    assert_eq!(ticks(&mut world, 62), (0, 0));
    assert_eq!(world.balance(ALICE), 10_000);
}

#[test]
fn nobody_stops_a_draft_that_lasts_longer_than_any_bank_remembers() {
    let mut world = paid_once();
    let honest = world.pay(ALICE, CAROL, 100).payment.draft.peek().unwrap();
    let deposit_by = honest.time.after(DRAFT_LIFE_MAX).after(Span::from_millis(1));
    let draft = key(ALICE).sign(HERE, &Draft { deposit_by, ..honest });
    let stop = key(ALICE).sign(HERE, &Stop { draft, reason: StopReason::NotDelivered, time: world.now });
    assert_eq!(code(world.act(|bank, cx| bank.stop(cx, key(ALICE).id(), stop))), Code::Limit);
    assert_eq!(world.balance(ALICE), 10_000);
}
