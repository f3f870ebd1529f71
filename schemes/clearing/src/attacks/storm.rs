//! Whatever is lost, copied, reordered or crashes: money is conserved, each purchase is paid at
//! most once, and each authorisation is served at most once.

use std::collections::BTreeSet;

use farthing_core::id::OrderId;
use farthing_core::order::Receipt;
use proptest::prelude::*;

use crate::compare::{Fate, Next};
use crate::payer::{Answered, Paid};
use crate::testing::{ALICE, CAROL, Customer, DAVE, FUNDED, World, expected};

const PRICE: u64 = 10;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A customer wants to buy something from another.
    Buy(usize, usize),
    /// A customer sends its pending bytes.
    Send(usize),
    /// One of all frames ever sent reaches the bank, and its answer is put with all answers.
    Replay(usize),
    /// One of all answers ever given reaches a customer.
    Answer(usize, usize),
    /// One of all tickets ever made reaches a customer.
    Bring(usize, usize),
    /// A customer compares books, whole.
    Compare(usize),
    /// A customer begins to, and breaks off after so many messages.
    BreakOff(usize, usize),
    /// A customer's disk is put back to an old copy, and it knows.
    Restore(usize),
    /// A copy of the disk is kept.
    Keep(usize),
    /// A customer gets another key.
    Rotate(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (who, any) = (0_usize..3, 0_usize..1_000);
    prop_oneof![
        4 => (0_usize..3, 0_usize..3).prop_map(|(a, b)| Step::Buy(a, b)),
        4 => who.clone().prop_map(Step::Send),
        3 => any.clone().prop_map(Step::Replay),
        6 => (who.clone(), any.clone()).prop_map(|(who, at)| Step::Answer(who, at)),
        6 => (who.clone(), any.clone()).prop_map(|(who, at)| Step::Bring(who, at)),
        2 => who.clone().prop_map(Step::Compare),
        1 => (who.clone(), 0_usize..3).prop_map(|(who, n)| Step::BreakOff(who, n)),
        1 => who.clone().prop_map(Step::Restore),
        1 => who.clone().prop_map(Step::Keep),
        1 => who.prop_map(Step::Rotate),
    ]
}

const SEEDS: [u8; 3] = [ALICE, CAROL, DAVE];

#[derive(Default)]
struct Network {
    frames: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
    tickets: Vec<Paid>,
    /// Receipts by seller, for the question whether one was given twice.
    served: Vec<(usize, Receipt)>,
    bought: u8,
    orders: Vec<(usize, usize, OrderId)>,
}

fn run(steps: &[Step]) {
    let (mut world, mut customers) = World::new();
    let mut copies = customers.clone();
    let mut net = Network::default();
    for (moment, step) in steps.iter().enumerate() {
        take(&mut world, &mut customers, &mut copies, &mut net, *step, moment as u8);
        check(&world, &customers, &net);
    }
    // In the end everybody compares books, and all agree with the bank about everything.
    for (customer, seed) in customers.iter_mut().zip(SEEDS) {
        assert!(matches!(world.compare(customer), Next::Agreed(_)), "an honest customer never differs");
        let balance = customer.wallet.balances().first().map_or(0, |amount| amount.as_micros());
        assert_eq!(balance, world.balance(seed));
    }
    assert!(world.evidence().is_empty());
    check(&world, &customers, &net);
}

fn take(
    world: &mut World,
    customers: &mut [Customer; 3],
    copies: &mut [Customer; 3],
    net: &mut Network,
    step: Step,
    moment: u8,
) {
    match step {
        Step::Buy(who, from) if who != from && net.bought < 250 => {
            let order = net.bought + 1;
            let transfer = crate::testing::transfer(SEEDS[from], PRICE, order);
            let customer = &mut customers[who];
            if let Ok(frame) = customer.wallet.pay(world.now, &transfer, None, &mut customer.rng) {
                net.bought = order;
                net.frames.push(frame);
                net.orders.push((who, from, transfer.order));
            }
        }
        Step::Buy(..) => {}
        Step::Send(who) => {
            let pending = customers[who].wallet.pending().map(|pending| pending.frame.clone());
            net.answers.extend(pending.and_then(|frame| world.hand(&frame).ok()));
        }
        Step::Replay(at) if !net.frames.is_empty() => {
            let frame = net.frames[at % net.frames.len()].clone();
            net.answers.extend(world.hand(&frame).ok());
        }
        Step::Replay(_) => {}
        Step::Answer(who, back) if !net.answers.is_empty() => {
            // The newest ones most often.
            let at = net.answers.len() - 1 - (back % net.answers.len().min(4));
            if let Ok(Answered::Paid(paid, _)) = customers[who].hear(&net.answers[at].clone()) {
                net.tickets.push(*paid);
            }
        }
        Step::Answer(..) => {}
        Step::Bring(who, at) if !net.tickets.is_empty() => {
            let paid = net.tickets[at % net.tickets.len()].clone();
            let order = paid.line.order.0[0];
            if let Ok(received) = customers[who].receive(world.now, &paid, &expected(PRICE, order)) {
                net.served.extend(received.outcome.ok().map(|receipt| (who, receipt)));
            }
        }
        Step::Bring(..) => {}
        Step::Compare(who) => {
            if let Next::Agreed(Some(Fate::Paid(Some(paid)))) = world.compare(&mut customers[who]) {
                net.tickets.push(*paid);
            }
        }
        Step::BreakOff(who, after) => break_off(world, &mut customers[who], net, after),
        Step::Restore(who) => {
            customers[who] = copies[who].clone();
            customers[who].rng = crate::testing::rng(moment.wrapping_add(100));
            // What it served is in its books by the comparison, so an honest payee compares first.
            customers[who].wallet.restored();
            while customers[who].wallet.key_version() < version(world, &customers[who]) {
                world.rotate_grant(&mut customers[who]);
            }
            if let Next::Agreed(Some(Fate::Paid(Some(paid)))) = world.compare(&mut customers[who]) {
                net.tickets.push(*paid);
            }
        }
        Step::Keep(who) => copies[who] = customers[who].clone(),
        Step::Rotate(who) => world.rotate(&mut customers[who]),
    }
}

fn break_off(world: &mut World, customer: &mut Customer, net: &mut Network, after: usize) {
    world.now = world.now.after(farthing_core::time::Span::from_millis(1));
    let extent = crate::compare::Extent::SinceAgreed;
    let (mut comparison, mut frame) = customer.wallet.compare(world.now, extent, &mut customer.rng);
    for _ in 0..after {
        net.frames.push(frame.clone());
        let Ok(answer) = world.hand(&frame) else { return };
        net.answers.push(answer.clone());
        let Ok(progress) = customer.step(&mut comparison, &answer) else { return };
        let Next::Send(next) = progress.next else { return };
        frame = next;
    }
    net.frames.push(frame);
}

fn version(world: &World, customer: &Customer) -> u32 {
    let tx = farthing_store::Overlay::new(&world.store);
    crate::bank::account(&tx, customer.id()).unwrap().unwrap().version
}

fn check(world: &World, customers: &[Customer; 3], net: &Network) {
    let balances: Vec<u64> = SEEDS.iter().map(|seed| world.balance(*seed)).collect();
    assert_eq!(balances.iter().sum::<u64>(), FUNDED, "money is neither made nor lost");
    // At most one debit for each intent.
    let rows = world.moved();
    let orders: BTreeSet<OrderId> = rows.iter().map(|(_, _, order)| *order).collect();
    assert_eq!(orders.len(), rows.len(), "one purchase was paid twice");
    for moved in &rows {
        assert!(net.orders.contains(&(moved.0, moved.1, moved.2)), "somebody paid what it never wanted to");
    }
    // At most one acceptance for each authorisation, and none that was not paid.
    let auths: BTreeSet<[u8; 32]> = net.served.iter().map(|(_, receipt)| receipt.payment.instrument).collect();
    assert_eq!(auths.len(), net.served.len(), "one payment was served twice");
    for (seller, receipt) in &net.served {
        assert!(rows.iter().any(|row| row.1 == *seller && row.2 == receipt.order), "served unpaid");
    }
    for customer in customers {
        let count = |entries: &[farthing_core::audit::Entry]| {
            assert!(entries.iter().zip(1..).all(|(entry, t)| entry.t == t), "a log has a hole");
            entries.len() as u64
        };
        assert_eq!(count(&customer.outgoing), customer.wallet.log().outgoing.n);
        assert_eq!(count(&customer.incoming), customer.wallet.log().incoming.n);
    }
}

impl World {
    /// Every payment the bank's log tells of: payer, payee, order.
    fn moved(&self) -> Vec<(usize, usize, OrderId)> {
        let tx = farthing_store::Overlay::new(&self.store);
        let place = |id| SEEDS.iter().position(|seed| crate::testing::key(*seed).id() == id).unwrap();
        let rows = crate::bank::log_rows(&tx, 0, 10_000).unwrap();
        rows.into_iter()
            .filter_map(|row| match row.event {
                crate::bank::LogEvent::Moved { payer, payee, order, .. } => Some((place(payer), place(payee), order)),
                _ => None,
            })
            .collect()
    }

    /// The key as it is now, to a wallet that was put back.
    fn rotate_grant(&mut self, customer: &mut Customer) {
        let fresh = self.enrol(customer.seed);
        customer.wallet.key = fresh.wallet.key;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_loss_copy_reordering_or_crash_makes_money_pays_twice_or_serves_twice(
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        run(&steps);
    }
}
