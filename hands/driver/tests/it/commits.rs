//! One commit for many, and no word before it.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use farthing_core::refusal::{Code, Refusal};
use farthing_driver::{Config, NoReply};

use crate::toy::{Ask, committed, counter, number, peer, request, set};
use crate::watched::{memory, on_both};
use crate::{NOW, code, config, poll_once, rig, rig_with};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn a_reply_leaves_only_after_its_commit() {
    on_both(|store| {
        runtime().block_on(async {
            let rig = rig(store);
            rig.watch.hold_commits();
            let mut answer = pin!(rig.handle.submit(request(peer(1), NOW, 1, Ask::Add, 5)));
            assert_eq!(poll_once(answer.as_mut()), None);
            rig.watch.wait_for_begun(1);
            // A reply sent before the commit would be here by now: one thread does both.
            assert_eq!(poll_once(answer.as_mut()), None, "the reply left before the commit");
            rig.watch.let_go();
            assert_eq!(number(&answer.await.unwrap()), 5);
            assert_eq!(rig.watch.commits(), 1);
        });
    });
}

#[test]
fn a_refusal_that_saw_an_uncommitted_state_leaves_only_after_the_commit() {
    runtime().block_on(async {
        let rig = rig(memory());
        rig.watch.hold_commits();
        // The first commit holds the writer, so that the other two share the next.
        let mut zeroth = pin!(rig.handle.transact(|cx| Ok(set(cx.tx, peer(9), 1))));
        assert!(poll_once(zeroth.as_mut()).is_none());
        rig.watch.wait_for_begun(1);
        let mut written = pin!(rig.handle.transact(|cx| Ok(set(cx.tx, peer(1), 1))));
        let mut refused = pin!(rig.handle.transact(|cx| {
            let seen = counter(cx.tx, peer(1))?;
            Err::<(), _>(Refusal::new(Code::State, format!("saw {seen}")).into())
        }));
        assert!(poll_once(written.as_mut()).is_none());
        assert!(poll_once(refused.as_mut()).is_none());
        rig.watch.let_one_go();
        rig.watch.wait_for_begun(2);
        assert!(poll_once(refused.as_mut()).is_none(), "the refusal left before the commit");
        rig.watch.let_go();
        let Err(NoReply::Refused(why)) = refused.await else { panic!("not refused") };
        assert_eq!(why.detail, "saw 1");
        assert_eq!(rig.watch.commits(), 2);
    });
}

#[test]
fn a_hundred_waiting_callers_share_one_commit() {
    on_both(|store| {
        runtime().block_on(async {
            let rig = rig(store);
            rig.watch.hold_commits();
            let mut first = Box::pin(rig.handle.transact(|cx| Ok(set(cx.tx, peer(9), 1))));
            assert!(poll_once(first.as_mut()).is_none());
            rig.watch.wait_for_begun(1);
            let add = |cx: &mut farthing_role::Context<'_>| {
                let sum = counter(cx.tx, peer(1))? + 1;
                Ok(number(&set(cx.tx, peer(1), sum)))
            };
            let mut answers: Vec<_> = (0..100).map(|_| Box::pin(rig.handle.transact(add))).collect();
            for answer in &mut answers {
                assert!(poll_once(answer.as_mut()).is_none());
            }
            rig.watch.let_go();
            first.await.unwrap();
            for (at, answer) in (1..).zip(answers) {
                assert_eq!(answer.await.unwrap(), at);
            }
            assert_eq!(rig.watch.commits(), 2);
        });
    });
}

#[test]
fn no_commit_holds_more_than_a_batch() {
    runtime().block_on(async {
        let rig = rig_with(memory(), Config { batch_max: 10, ..config() });
        rig.watch.hold_commits();
        let mut answers: Vec<_> =
            (0..31).map(|_| Box::pin(rig.handle.transact(|cx| Ok(set(cx.tx, peer(1), 1))))).collect();
        assert!(poll_once(answers[0].as_mut()).is_none());
        rig.watch.wait_for_begun(1);
        for answer in &mut answers[1..] {
            assert!(poll_once(answer.as_mut()).is_none());
        }
        rig.watch.let_go();
        for answer in answers {
            answer.await.unwrap();
        }
        assert_eq!(rig.watch.commits(), 1 + 3);
    });
}

#[test]
fn a_refused_request_leaves_no_trace_of_what_it_wrote_first() {
    on_both(|store| {
        let rig = rig(store);
        let give = request(peer(1), NOW, 1, Ask::Give, 5);
        assert_eq!(code(rig.handle.submit_blocking(give.clone())), Code::Funds);
        let seen = rig.handle.read_blocking(|reader| (committed(reader, peer(1)), committed(reader, peer(2))));
        assert_eq!(seen.unwrap(), (0, 0));
        // Nor is the refusal kept: funded, the very same request is carried out.
        rig.handle.submit_blocking(request(peer(1), NOW, 2, Ask::Add, 5)).unwrap();
        assert_eq!(number(&rig.handle.submit_blocking(give).unwrap()), 0);
    });
}

#[test]
fn refusals_and_repeats_cost_no_commit() {
    let rig = rig(memory());
    let add = request(peer(1), NOW, 1, Ask::Add, 5);
    rig.handle.submit_blocking(add.clone()).unwrap();
    rig.handle.submit_blocking(add).unwrap();
    assert_eq!(code(rig.handle.submit_blocking(request(peer(1), NOW, 2, Ask::Give, 6))), Code::Funds);
    assert_eq!(rig.watch.commits(), 1);
}

#[test]
fn a_caller_that_gives_up_changes_nothing() {
    runtime().block_on(async {
        let rig = rig(memory());
        rig.watch.hold_commits();
        let add = request(peer(1), NOW, 1, Ask::Add, 5);
        {
            let mut answer = pin!(rig.handle.submit(add.clone()));
            assert!(poll_once(answer.as_mut()).is_none());
        }
        rig.watch.wait_for_begun(1);
        rig.watch.let_go();
        assert_eq!(number(&rig.handle.submit(add).await.unwrap()), 5);
        assert_eq!(rig.role.applied.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_caller_whose_time_is_over_knows_no_outcome_and_learns_it_by_asking_again() {
    runtime().block_on(async {
        let rig = rig_with(memory(), Config { answer_within: Duration::ZERO, ..config() });
        rig.watch.hold_commits();
        let add = request(peer(1), NOW, 1, Ask::Add, 5);
        assert_eq!(rig.handle.submit(add.clone()).await, Err(NoReply::Unknown));
        assert_eq!(rig.handle.submit_blocking(add.clone()), Err(NoReply::Unknown));
        rig.watch.let_go();
        drop(rig.handle);
        let rig = crate::rig(rig.watch.take_back());
        assert_eq!(number(&rig.handle.submit(add).await.unwrap()), 5);
        assert_eq!(rig.role.applied.load(Ordering::SeqCst), 0, "it was carried out the first time");
    });
}

#[test]
fn a_full_queue_refuses_at_once_and_serves_on_later() {
    runtime().block_on(async {
        let rig = rig_with(memory(), Config { waiting_max: 4, ..config() });
        rig.watch.hold_commits();
        let mut answers: Vec<_> =
            (0..4).map(|at| Box::pin(rig.handle.submit(request(peer(1), NOW, at, Ask::Add, 1)))).collect();
        for answer in &mut answers {
            assert!(poll_once(answer.as_mut()).is_none());
        }
        let fifth = request(peer(1), NOW, 5, Ask::Add, 1);
        let mut refused = pin!(rig.handle.submit(fifth.clone()));
        assert_eq!(code(poll_once(refused.as_mut()).expect("an answer at once")), Code::Rate);
        assert_eq!(code(rig.handle.transact_blocking(|_| Ok(()))), Code::Rate);
        rig.watch.let_go();
        for answer in answers {
            answer.await.unwrap();
        }
        assert_eq!(number(&rig.handle.submit(fifth).await.unwrap()), 5);
    });
}

#[test]
fn stopping_answers_all_that_was_taken_and_takes_no_more() {
    on_both(|store| {
        runtime().block_on(async {
            let rig = rig(store);
            rig.watch.hold_commits();
            let submit = |at| rig.handle.submit(request(peer(1), NOW, at, Ask::Add, 1));
            let mut answers: Vec<_> = (0..50).map(|at| Box::pin(submit(at))).collect();
            for answer in &mut answers {
                assert!(poll_once(answer.as_mut()).is_none());
            }
            let mut stopped = pin!(rig.handle.stop());
            assert!(poll_once(stopped.as_mut()).is_none());
            assert_eq!(submit(99).await, Err(NoReply::Down));
            assert_eq!(rig.handle.transact(|_| Ok(())).await, Err(NoReply::Down));
            rig.watch.let_go();
            for (sum, answer) in (1..).zip(answers) {
                assert_eq!(number(&answer.await.unwrap()), sum);
            }
            stopped.await;
            assert!(rig.handle.is_healthy());
            assert_eq!(rig.handle.read(|_| ()).await, Err(NoReply::Down));
        });
    });
}

#[test]
fn a_driver_that_nobody_holds_any_more_gives_its_store_back() {
    let rig = rig(memory());
    rig.handle.submit_blocking(request(peer(1), NOW, 1, Ask::Add, 5)).unwrap();
    let watch = rig.watch.clone();
    drop(rig);
    assert_eq!(committed(&*watch.take_back(), peer(1)), 5);
}
