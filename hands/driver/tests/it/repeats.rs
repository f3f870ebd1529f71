//! Repeats are harmless, contradictions are noticed.

use std::sync::atomic::Ordering;

use farthing_core::refusal::{Code, Money};
use farthing_core::time::{SKEW, Span, Time};
use farthing_driver::{CONFLICTS, Conflict, NoReply, PRUNE_MAX, REPLIES, REPLY_MARGIN};
use farthing_role::{REQUEST_HORIZON, Records, Request, Row, Scan, Table};
use farthing_store::{Overlay, Reader};

use crate::toy::{Ask, committed, number, peer, request};
use crate::watched::{memory, on_both};
use crate::{NOW, code, rig};

#[test]
fn duplicates_sent_at_once_have_one_effect_and_identical_replies() {
    on_both(|store| {
        let rig = rig(store);
        let mut sum = 0;
        for (unique, copies) in [1_usize, 2, 16, 1_000].into_iter().enumerate() {
            let add = request(peer(1), NOW, unique as u64, Ask::Add, 5);
            let replies = rig.handle.submit_many(vec![add; copies]);
            sum += 5;
            assert!(replies.iter().all(|reply| number(reply.as_ref().unwrap()) == sum));
            assert_eq!(rig.role.applied.load(Ordering::SeqCst), unique + 1);
        }
        assert_eq!(rig.handle.read_blocking(|reader| committed(reader, peer(1))), Ok(sum));
    });
}

#[test]
fn duplicates_from_many_threads_have_one_effect_and_identical_replies() {
    on_both(|store| {
        let rig = rig(store);
        let roll = request(peer(1), NOW, 1, Ask::Roll, 0);
        let replies: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let ask = || (0..20).map(|_| rig.handle.submit_blocking(roll.clone()).unwrap()).collect::<Vec<_>>();
            let callers: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
            callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
        });
        assert!(replies.iter().all(|reply| *reply == replies[0]));
        assert_eq!(rig.role.applied.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn driver_refuses_and_notes_another_request_under_an_answered_id() {
    on_both(|store| {
        let rig = rig(store);
        let first = request(peer(1), NOW, 1, Ask::Add, 5);
        let second = Request { message: 6_u64.to_be_bytes().to_vec(), proof: vec![7; 9], ..first.clone() };
        let third = Request { kind: Ask::Roll as u16, ..first.clone() };
        rig.handle.submit_blocking(first.clone()).unwrap();
        for other in [&second, &third, &second] {
            assert_eq!(code(rig.handle.submit_blocking(other.clone())), Code::Conflict);
        }
        assert_eq!(number(&rig.handle.submit_blocking(first.clone()).unwrap()), 5);
        assert_eq!(rig.role.applied.load(Ordering::SeqCst), 1);
        let noted = rig.handle.read_blocking(|reader| Conflict::list(&Overlay::new(reader), None, 9).unwrap());
        let conflict = Conflict { first: first.digest(), second: second.digest(), at: NOW, proof: second.proof };
        assert_eq!(noted, Ok(vec![(first.id, peer(1), conflict)]), "the first contradiction, once");
    });
}

#[test]
fn driver_refuses_the_contradiction_that_sits_in_the_same_batch() {
    let rig = rig(memory());
    let first = request(peer(1), NOW, 1, Ask::Add, 5);
    let second = Request { message: 6_u64.to_be_bytes().to_vec(), ..first.clone() };
    let answers = rig.handle.submit_many([first, second]);
    assert_eq!(number(answers[0].as_ref().unwrap()), 5);
    assert_eq!(code(answers[1].clone()), Code::Conflict);
}

#[test]
fn two_senders_may_use_the_same_id() {
    let rig = rig(memory());
    let mine = request(peer(1), NOW, 1, Ask::Add, 5);
    let theirs = Request { sender: peer(2), ..request(peer(1), NOW, 1, Ask::Add, 7) };
    assert_eq!(number(&rig.handle.submit_blocking(mine).unwrap()), 5);
    assert_eq!(number(&rig.handle.submit_blocking(theirs).unwrap()), 7);
}

#[test]
fn a_repeat_gets_its_reply_even_if_the_check_would_refuse_it_today() {
    let rig = rig(memory());
    let deadline = NOW.after(Span::from_secs(1)).as_millis();
    let add = request(peer(1), NOW, 1, Ask::AddBefore, deadline);
    let reply = rig.handle.submit_blocking(add.clone());
    rig.clock.advance(Span::from_secs(2));
    assert_eq!(code(rig.handle.submit_blocking(request(peer(1), NOW, 2, Ask::AddBefore, deadline))), Code::Certificate);
    assert_eq!(rig.handle.submit_blocking(add), reply);
}

#[test]
fn driver_refuses_a_request_older_than_the_horizon_or_from_the_future() {
    let rig = rig(memory());
    let made = |made| rig.handle.submit_blocking(request(peer(1), made, 1, Ask::Add, 1));
    let too_old = made(NOW.before(REQUEST_HORIZON));
    let Err(NoReply::Refused(why)) = &too_old else { panic!("carried out") };
    assert_eq!(why.money, Money::Unknown, "it may have been carried out in its time");
    assert_eq!(code(too_old), Code::Expired);
    assert_eq!(code(made(NOW.after(SKEW).after(Span::from_millis(1)))), Code::NotYet);
    assert_eq!(rig.role.applied.load(Ordering::SeqCst), 0);
    assert!(made(NOW.before(REQUEST_HORIZON).after(Span::from_millis(1))).is_ok());
    assert!(made(NOW.after(SKEW)).is_ok());
}

fn rows(reader: &dyn Reader, table: Table) -> Vec<Row> {
    Overlay::new(reader).scan(table, Scan { prefix: &[], after: None, limit: usize::MAX >> 1 }).unwrap()
}

#[tokio::test]
async fn replies_are_forgotten_in_portions_once_no_repeat_can_be_timely() {
    let rig = rig(memory());
    let later = Span::from_hours(3);
    let count = PRUNE_MAX + 10;
    let ask = |made: Time, unique| request(peer(1), made, unique, Ask::Add, 1);
    for at in 0..count as u64 {
        drop(rig.handle.submit_many([ask(NOW, at)]));
    }
    let contradiction = Request { kind: Ask::Roll as u16, ..ask(NOW, 0) };
    assert_eq!(code(rig.handle.submit(contradiction).await), Code::Conflict);
    rig.clock.advance(later);
    let young = ask(NOW.after(later), 0);
    rig.handle.submit(young.clone()).await.unwrap();
    let kept = || async { rig.handle.read(|reader| rows(reader, REPLIES).len()).await.unwrap() };

    let over = NOW.after(REQUEST_HORIZON).after(REPLY_MARGIN);
    rig.clock.set(over.before(Span::from_millis(1)));
    rig.handle.tick_now().await.unwrap();
    assert_eq!(kept().await, count + 1, "none is old enough");
    rig.clock.set(over);
    let commits = rig.watch.commits();
    rig.handle.tick_now().await.unwrap();
    assert_eq!(kept().await, 1, "all but the young one are");
    assert_eq!(rig.watch.commits() - commits, 2, "in two portions");
    assert!(rows_of(&rig, CONFLICTS).await.is_empty());
    assert_eq!(code(rig.handle.submit(ask(NOW, 0)).await), Code::Expired, "what is forgotten is never done again");
    assert_eq!(number(&rig.handle.submit(young).await.unwrap()), count as u64 + 1);
}

async fn rows_of(rig: &crate::Rig, table: Table) -> Vec<Row> {
    rig.handle.read(|reader| rows(reader, table)).await.unwrap()
}

#[test]
fn after_a_crash_the_same_requests_get_the_same_replies() {
    on_both(|store| {
        let first = rig(store);
        let asks: Vec<Request> = (0..100).map(|at| request(peer(1), NOW, at, Ask::Roll, 0)).collect();
        let replies = first.handle.submit_many(asks.clone());
        // The next commit never ends well; whatever it held is given up.
        first.watch.break_commit(first.watch.commits() + 1, crate::watched::Break::Before);
        assert_eq!(first.handle.submit_blocking(request(peer(1), NOW, 999, Ask::Add, 1)), Err(NoReply::Unknown));
        let second = rig(first.watch.take_back());
        assert_eq!(second.handle.submit_many(asks), replies);
        assert_eq!(second.role.applied.load(Ordering::SeqCst), 0);
    });
}
