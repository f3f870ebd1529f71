//! Check, apply, tick: order, dice and facts.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use farthing_core::refusal::{Code, Refusal};
use farthing_driver::{Config, TICK_ROUNDS_MAX};

use crate::toy::{Ask, committed, counter, number, peer, request, set};
use crate::watched::{memory, on_both};
use crate::{NOW, code, config, rig, rig_with};

#[test]
fn requests_take_effect_in_the_order_of_one_caller_whoever_checks_them() {
    let rig = rig_with(memory(), Config { check_workers: 4, ..config() });
    let asks = (0..5_000).map(|at| request(peer(1), NOW, at, Ask::Add, 1));
    for (sum, answer) in (1..).zip(rig.handle.submit_many(asks)) {
        assert_eq!(number(&answer.unwrap()), sum);
    }
}

#[test]
fn no_two_requests_get_the_same_dice() {
    let rig = rig(memory());
    let asks = (0..1_000).map(|at| request(peer(1), NOW, at, Ask::Roll, 0));
    let dice: BTreeSet<Vec<u8>> =
        rig.handle.submit_many(asks).into_iter().map(|reply| reply.unwrap()[8..].to_vec()).collect();
    assert_eq!(dice.len(), 1_000);
    assert!(!dice.contains(&vec![0; 32]));
}

#[test]
fn facts_and_reads_show_everything_answered_before() {
    on_both(|store| {
        let rig = rig(store);
        for at in 1..=20 {
            rig.handle.submit_blocking(request(peer(1), NOW, 2 * at, Ask::Add, 1)).unwrap();
            let fact = rig.handle.submit_blocking(request(peer(1), NOW, 2 * at + 1, Ask::Facts, 0)).unwrap();
            assert_eq!(number(&fact), at);
            assert_eq!(rig.handle.read_blocking(|reader| committed(reader, peer(1))), Ok(at));
        }
    });
}

#[tokio::test]
async fn what_is_due_is_done_in_bounded_portions_each_durable() {
    let rig = rig(memory());
    rig.role.due.store(5, Ordering::SeqCst);
    rig.handle.tick_now().await.unwrap();
    assert_eq!(rig.role.ticks.load(Ordering::SeqCst), 5);
    assert_eq!(rig.watch.commits(), 5);
    assert_eq!(rig.handle.read(|reader| committed(reader, peer(0xff))).await, Ok(5));

    rig.role.due.store(usize::MAX, Ordering::SeqCst);
    rig.handle.tick_now().await.unwrap();
    assert_eq!(
        rig.role.ticks.load(Ordering::SeqCst),
        5 + TICK_ROUNDS_MAX,
        "an endless role does not hold everybody up"
    );
}

#[test]
fn what_is_due_is_done_by_itself_while_requests_are_served() {
    let rig = rig_with(memory(), Config { tick_every: Some(Duration::from_millis(1)), ..config() });
    rig.role.due.store(usize::MAX, Ordering::SeqCst);
    let mut unique = 0;
    while rig.role.ticks.load(Ordering::SeqCst) < 50 {
        unique += 1;
        rig.handle.submit_blocking(request(peer(1), NOW, unique, Ask::Add, 1)).unwrap();
    }
}

#[tokio::test]
async fn a_caller_s_own_transaction_lasts_whole_or_leaves_no_trace() {
    let rig = rig(memory());
    let sum = rig.handle.transact(|cx| Ok(set(cx.tx, peer(1), 7))).await.unwrap();
    assert_eq!(number(&sum), 7);
    let refused = rig.handle.transact(|cx| {
        set(cx.tx, peer(1), 8);
        assert_eq!(counter(cx.tx, peer(1))?, 8);
        Err::<(), _>(Refusal::new(Code::Policy, "on second thoughts, no").into())
    });
    assert_eq!(code(refused.await), Code::Policy);
    assert_eq!(rig.handle.read(|reader| committed(reader, peer(1))).await, Ok(7));
}
