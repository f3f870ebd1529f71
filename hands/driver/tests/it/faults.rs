//! When the store, the role or the system breaks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use farthing_core::refusal::{Code, Fault};
use farthing_driver::{Driver, ManualClock, NoReply};

use crate::toy::{Ask, committed, number, peer, request, toy};
use crate::watched::{Break, Watched, memory, on_both};
use crate::{Dry, NOW, code, config, rig};

#[test]
fn a_failed_commit_leaves_its_whole_batch_unknown_and_takes_the_driver_down() {
    for how in [Break::Before, Break::After] {
        on_both(|store| {
            let broken = rig(store);
            broken.watch.break_commit(1, how);
            let asks: Vec<_> = (0..10).map(|at| request(peer(1), NOW, at, Ask::Add, 1)).collect();
            for answer in broken.handle.submit_many(asks.clone()) {
                assert!(matches!(answer, Err(NoReply::Unknown | NoReply::Down)), "{answer:?}");
            }
            assert!(!broken.handle.is_healthy());
            assert_eq!(broken.handle.submit_blocking(asks[0].clone()), Err(NoReply::Down));
            assert_eq!(broken.handle.transact_blocking(|_| Ok(())), Err(NoReply::Down));
            assert_eq!(broken.handle.read_blocking(|_| ()), Err(NoReply::Down));
            broken.handle.stop_blocking();

            // Asked again with the same requests, each is carried out once.
            let mended = rig(broken.watch.take_back());
            let replies = mended.handle.submit_many(asks);
            let sums: Vec<u64> = replies.iter().map(|reply| number(reply.as_ref().unwrap())).collect();
            assert_eq!(sums, (1..=10).collect::<Vec<_>>());
        });
    }
}

#[test]
fn the_first_to_hear_of_a_failed_commit_finds_the_driver_unhealthy() {
    let rig = rig(memory());
    rig.watch.break_commit(1, Break::Before);
    assert_eq!(rig.handle.submit_blocking(request(peer(1), NOW, 1, Ask::Add, 1)), Err(NoReply::Unknown));
    assert!(!rig.handle.is_healthy());
}

#[test]
fn a_role_that_breaks_while_it_applies_takes_the_driver_down_and_commits_nothing() {
    for breaks in [Ask::PanicInApply, Ask::FaultInApply] {
        on_both(|store| {
            let broken = rig(store);
            let answer = broken.handle.submit_blocking(request(peer(1), NOW, 1, breaks, 0));
            assert_eq!(answer, Err(NoReply::Unknown));
            assert!(!broken.handle.is_healthy());
            assert_eq!(broken.watch.commits(), 0);
            assert_eq!(committed(&*broken.watch.take_back(), peer(1)), 0);
        });
    }
}

#[test]
fn a_request_that_makes_the_check_panic_harms_nobody_else() {
    let rig = rig(memory());
    let ask = |at| if at % 10 == 3 { Ask::PanicInCheck } else { Ask::Add };
    let answers = rig.handle.submit_many((0..100).map(|at| request(peer(1), NOW, at, ask(at), 1)));
    let (mut sum, mut refused) = (0, 0);
    for (at, answer) in (0..).zip(answers) {
        if ask(at) == Ask::Add {
            sum += 1;
            assert_eq!(number(&answer.unwrap()), sum);
        } else {
            let Err(NoReply::Refused(why)) = answer else { panic!("not refused") };
            assert_eq!((why.code, why.fault), (Code::Malformed, Fault::Us));
            refused += 1;
        }
    }
    assert_eq!((sum, refused), (90, 10));
    assert!(rig.handle.is_healthy());
}

#[test]
fn without_randomness_nothing_is_done() {
    let (store, watch) = Watched::new(memory());
    let role = toy();
    let handle = Driver::start(Arc::clone(&role), store, ManualClock::at(NOW), Dry, config()).unwrap();
    assert_eq!(handle.submit_blocking(request(peer(1), NOW, 1, Ask::Add, 1)), Err(NoReply::Unknown));
    assert!(!handle.is_healthy());
    assert_eq!((watch.commits(), role.applied.load(Ordering::SeqCst)), (0, 0));
}

#[test]
fn a_message_above_the_limit_is_refused_unread() {
    let rig = rig(memory());
    let mut long = request(peer(1), NOW, 1, Ask::Add, 1);
    long.message = vec![0; farthing_core::wire::MESSAGE_MAX + 1];
    assert_eq!(code(rig.handle.submit_blocking(long)), Code::Malformed);
}
