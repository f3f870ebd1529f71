//! At the bank: what is deposited, by whom, how often.

use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::id::{AccountId, TransferId};
use farthing_core::refusal::Code;
use farthing_core::time::Span;
use farthing_core::wire;
use farthing_ledger::{ACCOUNT_MAX, Ledger, Reason, Transfer};

use crate::bank::{Answer, Terms};
use crate::messages::{Confirm, Item, Outcome, kind};
use crate::payee::HeldState;
use crate::testing::{ALICE, CAROL, DAVE, HERE, World, code, key, micros, paid, refused, terms};

/// A second draft under the number of the first, as a payer with two copies of its wallet makes it.
fn twin(world: &mut World, payee: u8, amount: u64) -> Item {
    let before = world.wallets[&ALICE].clone();
    let drawn = world.draw(ALICE, payee, amount).unwrap();
    world.wallets.insert(ALICE, before);
    world.item(&drawn)
}

#[test]
fn t1_a_draft_deposited_twice_is_credited_once_and_gets_the_same_receipt() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let drawn = world.pay(ALICE, CAROL, 300);
    let item = world.item(&drawn);
    let first = world.deposit_items(CAROL, vec![item.clone(), item.clone()]);
    world.later(Span::from_days(20));
    let again = world.deposit_items(CAROL, vec![item]);
    assert_eq!((paid(&first[0]), &first[0], &first[0]), (300, &first[1], &again[0]));
    assert_eq!((world.balance(ALICE), world.balance(CAROL)), (9_700, 300));
}

#[test]
fn t2_dave_cannot_deposit_carols_draft() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let drawn = world.pay(ALICE, CAROL, 300);
    let item = world.item(&drawn);
    let lines = world.deposit_items(DAVE, vec![item.clone()]);
    assert_eq!((refused(&lines[0]), world.balance(DAVE)), (Code::NotPayee, 0));
    assert_eq!(paid(&world.deposit_items(CAROL, vec![item])[0]), 300);
}

#[test]
fn t3_two_drafts_under_one_number_pay_the_first_and_convict_the_payer() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let first = twin(&mut world, CAROL, 300);
    let second = twin(&mut world, DAVE, 200);
    assert_eq!(paid(&world.deposit_items(CAROL, vec![first])[0]), 300);
    for _ in 0..3 {
        assert_eq!(refused(&world.deposit_items(DAVE, vec![second.clone()])[0]), Code::Conflict);
    }
    assert_eq!((world.balance(ALICE), world.balance(CAROL), world.balance(DAVE)), (9_700, 300, 0));
    let filed = world.evidence();
    assert_eq!(filed.len(), 1, "filed once, however often it is shown");
    assert_eq!(filed[0].evidence.kind, EvidenceKind::DraftFork);
    assert_eq!(filed[0].verdict, Verdict::Guilty(key(ALICE).id()));
}

#[test]
fn t3_who_holds_a_draft_that_forks_a_paid_one_is_compensated_once_from_the_deposit_and_the_payer_suspended() {
    let mut world = World::new();
    let deposit = world.bank.chart().deposit(key(ALICE).id());
    world.fund(deposit, 250);
    world.enrol(50, 0);
    world.reconcile(ALICE, 1_000).unwrap();
    let (first, second, third) = (twin(&mut world, CAROL, 300), twin(&mut world, DAVE, 200), twin(&mut world, 50, 100));
    let late = twin(&mut world, 50, 90);
    assert_eq!(paid(&world.deposit_items(CAROL, vec![first])[0]), 300);
    for _ in 0..3 {
        for (payee, item, got, rest) in [(DAVE, &second, 200, 0), (50, &third, 50, 50)] {
            let lines = world.deposit_items(payee, vec![item.clone(), item.clone()]);
            for line in lines {
                let Outcome::Compensated { paid, lost, why } = line.outcome else { panic!("{line:?}") };
                assert_eq!((paid, lost, why.code), (micros(got), micros(rest), Code::Conflict));
            }
        }
        world.later(Span::from_days(1));
    }
    assert_eq!((world.balance(CAROL), world.balance(DAVE), world.balance(50)), (300, 200, 50));
    assert_eq!((world.balance(ALICE), world.balance_of(deposit)), (9_700, 0), "the deposit pays, not the account");
    assert!(world.is_suspended(ALICE));
    assert_eq!(world.evidence().len(), 2, "filed once for each, however often it is shown");
    assert_eq!(refused(&world.deposit_items(50, vec![late])[0]), Code::Conflict, "nothing is left");

    // What is forgotten is paid no more.
    world.fund(deposit, 500);
    world.later(Span::from_days(200));
    while world.act(|bank, cx| bank.tick(cx)).unwrap() {}
    for (payee, item) in [(DAVE, second), (50, third)] {
        world.deposit_items(payee, vec![item]);
    }
    assert_eq!((world.balance(DAVE), world.balance(50), world.balance_of(deposit)), (200, 50, 500));
}

#[test]
fn a_payee_that_was_compensated_holds_the_draft_no_longer_and_knows_why() {
    let mut world = World::new();
    let deposit = world.bank.chart().deposit(key(ALICE).id());
    world.fund(deposit, 250);
    world.reconcile(ALICE, 1_000).unwrap();
    let first = twin(&mut world, CAROL, 300);
    let number = world.pay(ALICE, DAVE, 400).payment.draft.peek().unwrap().number;
    world.deposit_items(CAROL, vec![first]);
    assert!(matches!(world.deposit(DAVE)[0].outcome, Outcome::Compensated { .. }));
    assert!(world.deposit(DAVE).is_empty(), "nothing waits for a deposit any more");
    let held = world.takes(DAVE, |payee, cx| payee.held(cx, key(ALICE).id(), number)).unwrap();
    let HeldState::Lost(why) = held.state else { panic!("{held:?}") };
    assert!(why.detail.contains("compensated") && why.detail.contains("lost"), "{why}");
}

#[test]
fn a_payer_that_forks_a_draft_to_itself_does_not_get_its_deposit_back() {
    let mut world = World::new();
    let deposit = world.bank.chart().deposit(key(ALICE).id());
    world.fund(deposit, 250);
    world.alias(ALICE, 51).unwrap();
    world.reconcile(ALICE, 1_000).unwrap();
    let (first, own) = (twin(&mut world, CAROL, 300), twin(&mut world, 51, 200));
    assert_eq!(paid(&world.deposit_items(CAROL, vec![first])[0]), 300);
    assert_eq!(refused(&world.deposit_items(51, vec![own])[0]), Code::Conflict);
    assert_eq!((world.balance(ALICE), world.balance_of(deposit)), (9_700, 250));
}

#[test]
fn t5_a_payer_that_overspends_at_five_payees_pays_up_to_policy_is_named_and_gets_no_certificate() {
    let mut terms = terms();
    terms.credit = micros(200);
    let mut world = World::with(terms);
    // A payer whose own program does not hold it back.
    let (poor, payees) = (40, [50, 51, 52, 53, 54]);
    world.enrol(poor, 1_000);
    let chart = *world.bank.chart();
    world.fund(chart.credit(), 10_000);
    world.fund(chart.deposit(key(poor).id()), 300);
    world.reconcile(poor, 1_000).unwrap();
    for payee in payees {
        world.enrol(payee, 0);
    }
    for payee in payees {
        for _ in 0..2 {
            give_budget(&mut world, poor, 1_000);
            world.pay(poor, payee, 400);
        }
    }
    let (mut credited, mut owed) = (0, 0);
    for payee in payees {
        for line in world.deposit(payee) {
            let Outcome::Taken { paid, owed: rest, .. } = line.outcome else { panic!("{line:?}") };
            credited += paid.as_micros();
            owed += rest.as_micros();
        }
    }
    // Balance, then credit line, then deposit: 1,000 + 200 + 300; the rest waits in its name.
    assert_eq!((credited, owed), (1_500, 10 * 400 - 1_500));
    assert_eq!((world.balance(poor), world.balance_of(chart.deposit(key(poor).id()))), (0, 0));
    assert!(world.is_suspended(poor));
    assert_eq!(code(world.reconcile(poor, 1_000)), Code::Suspended);
    // Money that comes in goes to those it is owed to, in order, when they ask again.
    world.fund(chart.customer(key(poor).id()), 500);
    let item = {
        assert!(world.deposit(51).is_empty(), "all was deposited");
        world.takes(51, |payee, cx| payee.ask_again(cx, key(poor).id(), 4)).unwrap()
    };
    world.deposit_items(51, vec![item]);
    let all: u64 = payees.iter().map(|payee| world.balance(*payee)).sum();
    assert_eq!((all, world.balance(poor)), (2_000, 0));
    assert!(world.is_suspended(poor), "still to be looked at");
}

/// What a payer does that runs a program of its own.
pub(super) fn give_budget(world: &mut World, payer: u8, budget: u64) {
    world
        .pays(payer, |payer, cx, _| {
            let mut log = crate::wallet::Log::read(&*cx.tx, payer.key.id())?.unwrap();
            log.budget = Some(micros(budget));
            log.write(cx, payer.key.id());
            Ok(())
        })
        .unwrap();
}

#[test]
fn an_honest_payer_writes_no_more_than_its_account_was_known_to_cover() {
    let mut world = World::new();
    world.enrol(40, 600);
    world.reconcile(40, 1_000).unwrap();
    world.pay(40, CAROL, 400);
    assert_eq!(code(world.draw(40, CAROL, 300)), Code::Funds);
    world.pay(40, CAROL, 200);
    // Reconciled before anything was deposited: what is outstanding counts.
    world.reconcile(40, 1_000).unwrap();
    assert_eq!(code(world.draw(40, CAROL, 1)), Code::Funds);
    world.deposit(CAROL);
    assert_eq!((world.balance(40), world.balance(CAROL)), (0, 600));
    assert!(!world.is_suspended(40));
}

#[test]
fn bank_refuses_a_draft_under_a_certificate_that_is_not_the_payers_or_did_not_hold() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    world.reconcile(DAVE, 1_000).unwrap();
    let drawn = world.pay(ALICE, CAROL, 300);
    for serial in [0, 2, 99] {
        let item = Item { serial, ..world.item(&drawn) };
        assert_eq!(refused(&world.deposit_items(CAROL, vec![item])[0]), Code::Certificate);
    }
    // One that Alice wrote before her certificate began.
    let mut body = drawn.payment.draft.peek().unwrap();
    body.number = 7;
    body.time = body.time.before(Span::from_hours(1));
    let item = Item { draft: key(ALICE).sign(HERE, &body), serial: 1 };
    assert_eq!(refused(&world.deposit_items(CAROL, vec![item])[0]), Code::Certificate);
}

#[test]
fn bank_refuses_a_draft_after_its_last_day_and_one_that_would_last_for_ever() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let drawn = world.pay(ALICE, CAROL, 300);
    let mut body = drawn.payment.draft.peek().unwrap();
    body.number = 7;
    body.deposit_by = body.time.after(Span::from_days(31));
    let item = Item { draft: key(ALICE).sign(HERE, &body), serial: 1 };
    assert_eq!(refused(&world.deposit_items(CAROL, vec![item])[0]), Code::Limit);
    world.later(Span::from_days(7));
    assert_eq!(refused(&world.deposit_items(CAROL, vec![world.item(&drawn)])[0]), Code::Expired);
}

#[test]
fn bank_refuses_a_draft_with_anything_altered() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let drawn = world.pay(ALICE, CAROL, 300);
    let bytes = wire::encode(&drawn.payment.draft);
    let mut turned_away = 0;
    for at in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        let Ok(draft) = wire::decode(&forged) else { continue };
        let lines = world.deposit_items(CAROL, vec![Item { draft, serial: 1 }]);
        assert!(matches!(lines[0].outcome, Outcome::Refused(_)), "byte {at}");
        turned_away += 1;
    }
    assert!(turned_away > 100);
    assert_eq!(world.balance(CAROL), 0);
}

#[test]
fn a_confirmed_draft_is_paid_though_the_payer_spends_everything_else_meanwhile() {
    let mut world = World::new();
    world.enrol(40, 500);
    world.payee_terms.ask_above = Some(micros(100));
    world.reconcile(40, 500).unwrap();
    let drawn = world.draw(40, CAROL, 300).unwrap();
    let taken = world.accept(CAROL, drawn.sealed.as_ref().unwrap(), 300).unwrap();
    let crate::payee::Taken::AskFirst(accepted) = taken else { panic!("{taken:?}") };
    assert!(accepted.receipt.is_none(), "nothing is acknowledged before the bank has said yes");
    assert!(world.deposit(CAROL).is_empty(), "nor deposited");
    let ask = Confirm { item: world.item(&drawn) };
    let carol = key(CAROL).id();
    let answer = world.act(|bank, cx| bank.confirm(cx, carol, ask.clone())).unwrap();
    let Answer::Yes(confirmed) = answer else { panic!("{answer:?}") };
    world.takes(CAROL, |payee, cx| payee.on_confirmed(cx, accepted.payer, accepted.number, *confirmed)).unwrap();
    // The payer cannot stop it, and another draft finds what is left only.
    let stop = world.pays(40, |payer, cx, _| payer.stop(cx, 1, crate::messages::StopReason::NotDelivered)).unwrap();
    assert_eq!(code(world.act(|bank, cx| bank.stop(cx, key(40).id(), stop))), Code::State);
    world.payee_terms.ask_above = None;
    give_budget(&mut world, 40, 500);
    world.pay(40, DAVE, 400);
    let lines = world.deposit(DAVE);
    assert_eq!(paid(&lines[0]), 200);
    assert_eq!(paid(&world.deposit(CAROL)[0]), 300);
    assert_eq!((world.balance(CAROL), world.balance(40)), (300, 0));
}

#[test]
fn a_payer_that_overspends_is_met_by_a_spot_check() {
    let mut world = World::new();
    world.enrol(40, 100);
    world.payee_terms.spot_checks = 1_000_000;
    world.reconcile(40, 500).unwrap();
    give_budget(&mut world, 40, 500);
    let drawn = world.draw(40, CAROL, 300).unwrap();
    let taken = world.accept(CAROL, drawn.sealed.as_ref().unwrap(), 300).unwrap();
    assert!(matches!(taken, crate::payee::Taken::AskFirst(_)), "{taken:?}");
    let ask = Confirm { item: world.item(&drawn) };
    let carol = key(CAROL).id();
    let answer = world.act(|bank, cx| bank.confirm(cx, carol, ask)).unwrap();
    assert!(matches!(answer, Answer::No(ref why) if why.code == Code::Funds), "{answer:?}");
    // Nothing was served, so the draft goes back, and is worth nothing from now on.
    let number = drawn.payment.draft.peek().unwrap().number;
    world.takes(CAROL, |payee, cx| payee.give_back(cx, key(40).id(), number)).unwrap();
    assert!(world.deposit(CAROL).is_empty());
}

#[test]
fn what_was_promised_before_a_suspension_is_paid_and_nothing_else() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    world.pay(ALICE, CAROL, 300);
    let account = world.bank.chart().customer(key(ALICE).id());
    world
        .act(|_, cx| {
            let now = cx.now;
            Ok(farthing_ledger::Ledger(&mut *cx.tx).freeze(account, now)?)
        })
        .unwrap();
    assert_eq!(paid(&world.deposit(CAROL)[0]), 300);
    assert!(world.is_suspended(ALICE));
    assert_eq!(code(world.reconcile(ALICE, 1_000)), Code::Suspended);
}

#[test]
fn a_deposit_is_sealed_to_the_bank_and_opens_with_no_other_key() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let drawn = world.pay(ALICE, CAROL, 300);
    let deposit =
        crate::messages::Deposit { items: farthing_core::wire::Bounded::new(vec![world.item(&drawn)]).unwrap() };
    let request = world.request(CAROL, kind::DEPOSIT, wire::encode(&deposit));
    let bank = crate::testing::seal_key(1);
    let sealed = farthing_core::seal::seal(HERE, &bank.public(), &request, &mut world.rng).unwrap();
    assert_eq!(bank.open(HERE, &sealed).unwrap(), request);
    assert!(crate::testing::seal_key(CAROL).open(HERE, &sealed).is_err());
}

#[test]
fn a_payee_whose_account_is_full_does_not_keep_the_next_one_from_its_money() {
    let mut world = World::with(Terms { credit: micros(100), ..terms() });
    world.fund(world.bank.chart().credit(), 100);
    world.enrol(40, 0);
    world.reconcile(ALICE, 1_000).unwrap();
    for payee in [CAROL, DAVE] {
        world.pay(ALICE, payee, 300);
    }
    let (alice, carol, away) = {
        let chart = world.bank.chart();
        (chart.customer(key(ALICE).id()), chart.customer(key(CAROL).id()), chart.customer(key(40).id()))
    };
    move_all(&mut world, 1, alice, away, 10_000);
    // Carol has 100 out of the credit line, and is first of those who wait.
    world.deposit(CAROL);
    world.later(Span::from_secs(1));
    world.deposit(DAVE);
    world.fund(carol, ACCOUNT_MAX - 100);
    world.fund(alice, 700);
    let collect = |world: &mut World| world.act(|bank, cx| bank.collect(cx, key(ALICE).id())).unwrap();
    collect(&mut world);
    // And the bank comes last.
    assert_eq!((world.balance(DAVE), world.balance(CAROL), world.balance(ALICE)), (300, ACCOUNT_MAX, 400));
    move_all(&mut world, 2, carol, away, 500);
    for _ in 0..2 {
        collect(&mut world);
        assert_eq!((world.balance(CAROL), world.balance(ALICE)), (ACCOUNT_MAX - 300, 100));
    }
}

fn move_all(world: &mut World, nth: u8, debit: AccountId, credit: AccountId, amount: u64) {
    let (id, amount, reason, at) = (TransferId([nth; 16]), micros(amount), Reason(9), world.now);
    let transfer = Transfer { id, debit, credit, amount, reason, reference: [0; 32], at, hold: None };
    world.act(|_, cx| Ok(Ledger(&mut *cx.tx).post(transfer)?)).unwrap();
}
