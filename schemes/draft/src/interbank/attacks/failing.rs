use farthing_core::refusal::{Code, Refusal};
use farthing_core::time::Span;

use super::super::messages::{Answer, Fate};
use super::super::testing::*;
use super::super::{Progress, RETRY_FIRST, RETRY_MAX};

#[test]
fn a_forwarding_sent_twice_or_answered_twice_moves_the_money_once() {
    let mut town = Town::new(3);
    let cheque = town.cheque(ALICE, 300);
    let (presented, pending) = town.deposit(&cheque);
    assert_eq!(town.present(2, key(CAROL).id(), &presented).unwrap(), pending);
    let sent = town.send_due(2).remove(0);
    for _ in 0..3 {
        assert_eq!(town.carry(2, &sent).unwrap(), Progress::Waiting);
    }
    assert_eq!(town.provisional(1, bank_key(2).id()), 300);
    let on = town.send_due(1).remove(0);
    for _ in 0..3 {
        assert_eq!(town.carry(1, &on).unwrap(), Progress::Done(Fate::Cleared));
        assert_eq!(town.carry(2, &sent).unwrap(), Progress::Done(Fate::Cleared));
    }
    assert_eq!((town.balance(0, ALICE), town.balance(2, CAROL)), (i128::from(FUNDS) - 300, 300));
    assert_eq!((town.owed(2, 1), town.owed(1, 0)), ((300, 0), (300, 0)));
    assert!(town.evidence(0).is_empty() && town.evidence(1).is_empty() && town.evidence(2).is_empty());
}

#[test]
fn a_lost_answer_is_asked_for_again_even_after_the_cheque_has_ended() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    let (presented, _) = town.deposit(&cheque);
    let sent = town.send_due(1).remove(0);
    let lost: super::super::messages::Presentation = farthing_core::wire::decode(&sent.message).unwrap();
    assert_eq!(fate(town.present(0, bank_key(1).id(), &lost).unwrap()), Fate::Cleared);
    town.now = cheque.body().deposit_by.after(Span::from_days(40));
    town.run();
    assert_eq!(fate(town.present(1, key(CAROL).id(), &presented).unwrap()), Fate::Cleared);
    assert_eq!((town.balance(0, ALICE), town.balance(1, CAROL)), (i128::from(FUNDS) - 300, 300));
    assert!(town.evidence(1).is_empty(), "the bank drawn on paid in time: nobody is to blame");
}

#[test]
fn a_bank_that_is_down_for_days_is_asked_at_growing_intervals_and_never_given_up() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    let (presented, _) = town.deposit(&cheque);
    let started = town.now;
    let (mut tries, mut ids) = (0, Vec::new());
    while town.now.since(started) < Span::from_hours(20) {
        if let Some(sent) = town.send_due(1).pop() {
            assert!(!ids.contains(&sent.id), "an id is never used for two attempts");
            ids.push(sent.id);
            tries += 1;
            let matter = sent.matter;
            let down = Refusal::new(Code::Rate, "nobody is there");
            town.act(1, |bank, cx| bank.cheques.on_refusal(cx, matter, down)).unwrap();
        }
        town.now = town.now.after(RETRY_FIRST);
    }
    assert!((20..40).contains(&tries), "{tries}");
    let under_way = town.act(1, |bank, cx| bank.cheques.under_way(cx, 9)).unwrap();
    assert_eq!((under_way.len(), under_way[0].tries, under_way[0].amount), (1, tries, micros(300)));
    assert_eq!(under_way[0].trouble.as_ref().unwrap().code, Code::Rate);
    assert!(RETRY_FIRST < RETRY_MAX);
    assert_eq!(town.provisional(1, key(CAROL).id()), 300);
    town.run();
    assert_eq!(fate(town.present(1, key(CAROL).id(), &presented).unwrap()), Fate::Cleared);
    assert!(town.act(1, |bank, cx| bank.cheques.under_way(cx, 9)).unwrap().is_empty());
}

#[test]
fn a_bank_that_dies_between_any_two_steps_goes_on_where_it_was() {
    // Every step of the whole conversation, with a death before each one of them.
    for dying in 0..6 {
        let mut town = Town::new(3);
        let cheque = town.cheque(ALICE, 300);
        let presented = town.endorsed(&cheque, 2);
        let carol = key(CAROL).id();
        let mut step = 0;
        let mut dies = || {
            step += 1;
            step - 1 == dying
        };
        if dies() {
            assert_eq!(code(town.present_or_crash(2, carol, &presented, true)), Code::State);
        }
        town.present(2, carol, &presented).unwrap();
        if dies() {
            let _ = town.act_or_crash(2, true, |bank, cx| bank.cheques.send_due(cx, 9));
        }
        let sent = town.send_due(2).remove(0);
        let forwarded = farthing_core::wire::decode(&sent.message).unwrap();
        if dies() {
            assert_eq!(code(town.present_or_crash(1, bank_key(2).id(), &forwarded, true)), Code::State);
        }
        town.present(1, bank_key(2).id(), &forwarded).unwrap();
        let on = town.send_due(1).remove(0);
        let onward = farthing_core::wire::decode(&on.message).unwrap();
        if dies() {
            assert_eq!(code(town.present_or_crash(0, bank_key(1).id(), &onward, true)), Code::State);
        }
        let answer = town.present(0, bank_key(1).id(), &onward).unwrap();
        let (from, matter) = (bank_key(0).id(), on.matter);
        if dies() {
            let _ = town.act_or_crash(1, true, |bank, cx| bank.cheques.on_answer(cx, from, matter, answer.clone()));
        }
        town.act(1, |bank, cx| bank.cheques.on_answer(cx, from, matter, answer)).unwrap();
        let answer = town.present(1, bank_key(2).id(), &forwarded).unwrap();
        let (from, matter) = (bank_key(1).id(), sent.matter);
        if dies() {
            let _ = town.act_or_crash(2, true, |bank, cx| bank.cheques.on_answer(cx, from, matter, answer.clone()));
        }
        town.act(2, |bank, cx| bank.cheques.on_answer(cx, from, matter, answer)).unwrap();
        assert_eq!((town.balance(0, ALICE), town.balance(2, CAROL)), (i128::from(FUNDS) - 300, 300), "{dying}");
        assert_eq!((town.owed(2, 1), town.owed(1, 0)), ((300, 0), (300, 0)));
    }
}

#[test]
fn a_silent_correspondent_is_found_out_by_asking_the_bank_drawn_on() {
    let mut town = Town::new(3);
    let cheque = town.cheque(ALICE, 300);
    let (presented, _) = town.deposit(&cheque);
    let sent = town.send_due(2).remove(0);
    town.carry(2, &sent).unwrap();
    let on = town.send_due(1).remove(0);
    town.carry(1, &on).unwrap();
    // The correspondent has the money and says nothing: the deposit stays pending.
    assert!(matches!(town.present(2, key(CAROL).id(), &presented).unwrap(), Answer::Pending { .. }));
    let digest = crate::messages::Digest(cheque.digest());
    let told = town.act(0, |bank, cx| bank.cheques.inquire(cx, key(CAROL).id(), digest)).unwrap();
    let said = told.drawee.verify_by(network(0), bank_key(0).id()).unwrap();
    assert_eq!((said.body().fate, said.body().to), (Fate::Cleared, bank_key(1).id()));
    assert_eq!(code(town.act(0, |bank, cx| bank.cheques.inquire(cx, key(66).id(), digest))), Code::NotPayee);
}
