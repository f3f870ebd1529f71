//! Whatever payers, payees and the network do, in whatever order: money is conserved, each number is
//! credited once at most, and nobody honest is accused.

use std::collections::BTreeMap;

use farthing_core::evidence::Verdict;
use farthing_core::time::Span;
use farthing_core::wire::Bounded;
use proptest::prelude::*;

use crate::interbank::Payers;
use crate::messages::{Agreement, Deposit, Item, Outcome, StopReason};
use crate::testing::{ALICE, CAROL, DAVE, HERE, World, key, terms};

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Act {
    Pay {
        from: u8,
        to: u8,
        amount: u64,
    },
    /// Written by a copy of the wallet that is then forgotten: two drafts of one number follow.
    PayFromCopy {
        to: u8,
        amount: u64,
    },
    Deposit {
        who: u8,
    },
    /// A deposit whose answer is lost.
    DepositUnheard {
        who: u8,
    },
    /// Everything ever deposited, once more, by anybody.
    Replay {
        who: u8,
    },
    Stop {
        number: u64,
    },
    Reconcile {
        who: u8,
    },
    Wait {
        hours: u64,
    },
}

fn any_act() -> impl Strategy<Value = Act> {
    let who = prop_oneof![Just(ALICE), Just(CAROL), Just(DAVE)];
    let honest = prop_oneof![Just(CAROL), Just(DAVE)];
    prop_oneof![
        6 => (who.clone(), who.clone(), 1..400_u64).prop_map(|(from, to, amount)| Act::Pay { from, to, amount }),
        1 => (honest.clone(), 1..400_u64).prop_map(|(to, amount)| Act::PayFromCopy { to, amount }),
        4 => who.clone().prop_map(|who| Act::Deposit { who }),
        2 => who.clone().prop_map(|who| Act::DepositUnheard { who }),
        2 => who.clone().prop_map(|who| Act::Replay { who }),
        1 => (1..6_u64).prop_map(|number| Act::Stop { number }),
        2 => who.prop_map(|who| Act::Reconcile { who }),
        1 => (1..40_u64).prop_map(|hours| Act::Wait { hours }),
    ]
}

/// All items ever deposited, and who was credited for each number.
#[derive(Default)]
struct Seen {
    items: Vec<Item>,
    credited: BTreeMap<([u8; 32], u64), [u8; 32]>,
}

impl Seen {
    fn deposit(&mut self, world: &mut World, who: u8, items: Vec<Item>) {
        if items.is_empty() {
            return;
        }
        let lines = world.deposit_items(who, items.clone());
        for (item, line) in items.iter().zip(&lines) {
            let number = item.draft.peek().unwrap().number;
            if let Outcome::Taken { .. } = line.outcome {
                let first = self.credited.entry((item.draft.claimed_signer().0, number)).or_insert(line.draft.0);
                assert_eq!(*first, line.draft.0, "one number, two drafts credited");
            }
        }
        self.items.extend(items);
    }

    fn act(&mut self, world: &mut World, act: Act) {
        match act {
            Act::Pay { from, to, amount } => {
                let Ok(drawn) = world.draw(from, to, amount) else { return };
                let _ = world.accept(to, drawn.sealed.as_ref().unwrap(), amount);
            }
            Act::PayFromCopy { to, amount } => {
                let before = world.wallets[&ALICE].clone();
                if let Ok(drawn) = world.draw(ALICE, to, amount) {
                    let _ = world.accept(to, drawn.sealed.as_ref().unwrap(), amount);
                }
                world.wallets.insert(ALICE, before);
            }
            Act::Deposit { who } => {
                let Some(deposit) = world.takes(who, |payee, cx| payee.deposit(cx, 8)).unwrap() else { return };
                self.items.extend(deposit.items.as_slice().to_vec());
                world.deposit(who);
                self.deposit(world, who, deposit.items.into_vec());
            }
            Act::DepositUnheard { who } => {
                let deposit = world.takes(who, |payee, cx| payee.deposit(cx, 8)).unwrap();
                self.deposit(world, who, deposit.map(|deposit| deposit.items.into_vec()).unwrap_or_default());
            }
            Act::Replay { who } => {
                let items = self.items.iter().rev().take(16).cloned().collect();
                self.deposit(world, who, items);
            }
            Act::Stop { number } => {
                let stop = world.pays(ALICE, |payer, cx, _| payer.stop(cx, number, StopReason::NotDelivered));
                let Ok(stop) = stop else { return };
                let _ = world.act(|bank, cx| bank.stop(cx, key(ALICE).id(), stop));
            }
            Act::Reconcile { who } => {
                let _ = world.reconcile(who, 300);
            }
            Act::Wait { hours } => {
                world.later(Span::from_hours(hours));
                while world.act(|bank, cx| bank.tick(cx)).unwrap() {}
            }
        }
    }
}

fn total(world: &World) -> u64 {
    let chart = world.bank.chart();
    let own: u64 = [ALICE, CAROL, DAVE].iter().map(|seed| world.balance(*seed)).sum();
    let deposits: u64 = [ALICE, CAROL, DAVE].iter().map(|seed| world.balance_of(chart.deposit(key(*seed).id()))).sum();
    own + deposits + world.balance_of(chart.suspense()) + world.balance_of(chart.credit())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_makes_or_loses_money_credits_a_number_twice_or_accuses_the_honest(
        acts in prop::collection::vec(any_act(), 0..60),
    ) {
        let mut terms = terms();
        terms.credit = crate::testing::micros(100);
        let mut world = World::with(terms);
        let credit = world.bank.chart().credit();
        world.fund(credit, 1_000);
        for seed in [ALICE, CAROL, DAVE] {
            world.reconcile(seed, 300).unwrap();
        }
        let (before, mut seen) = (total(&world), Seen::default());
        for act in acts {
            seen.act(&mut world, act);
            prop_assert_eq!(total(&world), before);
        }
        for filed in world.evidence() {
            if let Verdict::Guilty(who) = filed.verdict {
                prop_assert_eq!(who, key(ALICE).id());
            }
        }
        for seed in [CAROL, DAVE] {
            if !world.is_suspended(seed) {
                world.later(Span::from_hours(30));
                let said = world.reconcile(seed, 300).unwrap();
                prop_assert!(matches!(said.result, Agreement::Agreed(_)), "{:?}", said);
            }
        }
    }

    #[test]
    fn an_overspender_loses_all_it_has_and_is_named_whatever_it_has(
        balance in 0..2_000_u64,
        deposit in 0..500_u64,
        credit in 0..500_u64,
        amounts in prop::collection::vec(1..400_u64, 5),
    ) {
        let mut terms = terms();
        terms.credit = crate::testing::micros(credit);
        let mut world = World::with(terms);
        let (poor, chart) = (40, *world.bank.chart());
        world.enrol(poor, balance);
        world.fund(chart.deposit(key(poor).id()), deposit);
        world.fund(chart.credit(), 10_000);
        world.reconcile(poor, 1_000).unwrap();
        let mut credited = 0;
        for (payee, amount) in (50..).zip(&amounts) {
            world.enrol(payee, 0);
            super::deposits::give_budget(&mut world, poor, 1_000);
            world.pay(poor, payee, *amount);
        }
        for payee in 50..55 {
            for line in world.deposit(payee) {
                credited += crate::testing::paid(&line);
            }
        }
        let spent: u64 = amounts.iter().sum();
        prop_assert_eq!(credited, spent.min(balance + deposit + credit));
        prop_assert_eq!(world.is_suspended(poor), spent > balance + deposit + credit);
    }
}

#[test]
fn a_draft_collected_by_another_bank_is_not_paid_here_too_and_the_other_way_round() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let first = world.pay(ALICE, CAROL, 300);
    let second = world.pay(ALICE, CAROL, 200);
    let settlement = world.bank.chart().customer(key(DAVE).id());
    let collect = |world: &mut World, item: &Item| {
        let draft = item.draft.clone().verify(HERE).unwrap();
        world.act(|bank, cx| Payers::pay(bank, cx, &draft, 1, settlement))
    };
    let (first, second) = (world.item(&first), Item { serial: 1, ..world.item(&second) });
    collect(&mut world, &first).unwrap();
    let receipt =
        world.deposit_raw(CAROL, Deposit { items: Bounded::new(vec![first.clone(), second.clone()]).unwrap() });
    let lines = receipt.peek().unwrap().lines;
    assert!(matches!(lines.as_slice()[0].outcome, Outcome::Taken { number: 0, .. }));
    assert_eq!(crate::testing::paid(&lines.as_slice()[1]), 200);
    assert_eq!(crate::testing::code(collect(&mut world, &first)), farthing_core::refusal::Code::Spent);
    assert_eq!(crate::testing::code(collect(&mut world, &second)), farthing_core::refusal::Code::Spent);
    assert_eq!((world.balance(ALICE), world.balance(CAROL), world.balance(DAVE)), (9_500, 200, 300));
}

#[test]
fn a_log_of_many_pages_is_read_page_by_page_and_leaves_nothing_behind() {
    let mut world = World::with({
        let mut terms = terms();
        terms.limits.total = crate::testing::micros(100_000);
        terms
    });
    world.reconcile(ALICE, 100_000).unwrap();
    const DRAFTS: u64 = 2_500;
    for _ in 0..DRAFTS {
        world.draw(ALICE, CAROL, 1).unwrap();
    }
    let said = world.reconcile(ALICE, 100_000).unwrap();
    assert!(matches!(said.result, Agreement::Agreed(Some(_))));
    assert_eq!(said.outstanding.as_micros(), DRAFTS);
}
