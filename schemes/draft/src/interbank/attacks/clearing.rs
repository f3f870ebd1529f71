use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::refusal::Code;
use farthing_core::time::Span;
use farthing_core::title::{HOPS_MAX, Title};
use farthing_core::wire::Bounded;

use super::super::messages::{Answer, Fate, Presentation, under_certificate};
use super::super::testing::*;
use super::super::{Progress, endorse};
use crate::messages::Draft;

#[test]
fn a_cheque_drawn_on_one_bank_is_paid_at_another_and_not_available_before_it_is_cleared() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    let (presented, answer) = town.deposit(&cheque);
    assert_eq!(answer, Answer::Pending { next: bank_key(0).id() });
    assert_eq!((town.balance(1, CAROL), town.provisional(1, key(CAROL).id())), (0, 300));
    assert_eq!(town.owed(1, 0), (0, 300));
    let sent = town.send_due(1);
    assert_eq!(town.carry(1, &sent[0]).unwrap(), Progress::Done(Fate::Cleared));
    assert_eq!((town.balance(1, CAROL), town.provisional(1, key(CAROL).id())), (300, 0));
    assert_eq!(town.balance(0, ALICE), i128::from(FUNDS) - 300);
    assert_eq!((town.owed(1, 0), town.owed(0, 1)), ((300, 0), (-300, 0)));
    // NQ-5: the payee asks again and gets both banks' words.
    let told = end(town.present(1, key(CAROL).id(), &presented).unwrap());
    assert_eq!(told.drawee.verify_by(network(0), bank_key(0).id()).unwrap().body().fate, Fate::Cleared);
    let notice = told.bank.unwrap().verify_by(network(1), bank_key(1).id()).unwrap();
    assert_eq!((notice.body().to, notice.body().fate), (key(CAROL).id(), Fate::Cleared));
    assert!(town.send_due(1).is_empty());
}

#[test]
fn a_cheque_goes_through_three_banks_in_a_row_and_every_endorser_is_accountable() {
    let mut town = Town::new(3);
    let cheque = town.cheque(ALICE, 300);
    let (presented, _) = town.deposit(&cheque);
    town.run();
    let told = end(town.present(2, key(CAROL).id(), &presented).unwrap());
    let signers: Vec<_> = told.hops.as_slice().iter().map(|hop| hop.claimed_signer()).collect();
    assert_eq!(signers, [key(CAROL).id(), bank_key(2).id(), bank_key(1).id()]);
    assert_eq!((town.balance(2, CAROL), town.balance(0, ALICE)), (300, i128::from(FUNDS) - 300));
    assert_eq!((town.owed(2, 1).0, town.owed(1, 2).0), (300, -300));
    assert_eq!((town.owed(1, 0).0, town.owed(0, 1).0), (300, -300));
}

#[test]
fn a_cheque_on_the_banks_own_customer_is_paid_at_once() {
    let mut town = Town::new(1);
    let cheque = town.cheque(ALICE, 300);
    let (presented, answer) = town.deposit(&cheque);
    assert_eq!(fate(answer.clone()), Fate::Cleared);
    assert_eq!(town.present(0, key(CAROL).id(), &presented).unwrap(), answer);
    assert_eq!((town.balance(0, CAROL), town.balance(0, ALICE)), (300, i128::from(FUNDS) - 300));
}

#[test]
fn t1_a_cheque_deposited_at_two_banks_is_drawn_once_and_the_payee_convicted() {
    let mut town = Town::new(2);
    town.enrol(0, CAROL, 0);
    let cheque = town.cheque(ALICE, 300);
    let first = town.endorsed(&cheque, 0);
    assert_eq!(fate(town.present(0, key(CAROL).id(), &first).unwrap()), Fate::Cleared);
    let (second, _) = town.deposit(&cheque);
    town.run();
    assert_eq!(fate(town.present(1, key(CAROL).id(), &second).unwrap()), Fate::Bounced(Code::Spent));
    assert_eq!((town.balance(1, CAROL), town.provisional(1, key(CAROL).id())), (0, 0));
    assert_eq!(town.balance(0, ALICE), i128::from(FUNDS) - 300);
    assert_eq!(town.evidence(0), [(EvidenceKind::TitleFork, Verdict::Guilty(key(CAROL).id()))]);
    // The first answer stands, however often either is asked for.
    assert_eq!(fate(town.present(0, key(CAROL).id(), &first).unwrap()), Fate::Cleared);
}

#[test]
fn t2_a_bank_refuses_broken_reordered_and_foreign_endorsements() {
    let mut town = Town::new(3);
    let cheque = town.cheque(ALICE, 300);
    town.deposit(&cheque);
    let sent = town.send_due(2).remove(0);
    town.carry(2, &sent).unwrap();
    let sent = town.send_due(1).remove(0);
    let whole: Presentation = farthing_core::wire::decode(&sent.message).unwrap();
    let hops = whole.hops.as_slice().to_vec();
    let with = |hops: Vec<_>| Presentation { hops: Bounded::new(hops).unwrap(), ..whole.clone() };
    let correspondent = bank_key(1).id();
    let cut = with(vec![hops[0].clone(), hops[2].clone()]);
    assert_eq!(code(town.present(0, correspondent, &cut)), Code::Certificate);
    let reordered = with(vec![hops[1].clone(), hops[0].clone(), hops[2].clone()]);
    assert_eq!(code(town.present(0, correspondent, &reordered)), Code::Certificate);
    let other = town.cheque(ALICE, 300);
    let foreign = with(town.endorsed(&other, 2).hops.into_vec());
    assert_eq!(code(town.present(0, correspondent, &foreign)), Code::Certificate);
    assert_eq!(code(town.present(0, correspondent, &with(vec![]))), Code::Order);
    // Whole, but not brought by whoever endorsed it last.
    assert_eq!(code(town.present(0, bank_key(2).id(), &whole)), Code::NotPayee);
    assert_eq!(town.balance(0, ALICE), i128::from(FUNDS));
    assert_eq!(fate(town.present(0, correspondent, &whole).unwrap()), Fate::Cleared);
}

#[test]
fn t2_a_thief_cannot_deposit_a_cheque_that_names_another_payee() {
    let mut town = Town::new(2);
    town.enrol(1, 66, 0);
    let cheque = town.cheque(ALICE, 300);
    assert_eq!(endorse(&key(66), &cheque, SERIAL, bank_key(1).id(), town.now).unwrap_err().code, Code::NotPayee);
    let hop = Title::issued(cheque.digest(), key(66).id()).next(bank_key(1).id(), under_certificate(SERIAL), town.now);
    let hops = Bounded::new(vec![key(66).sign(network(0), &hop.unwrap())]).unwrap();
    let stolen = Presentation { cheque: cheque.signed().clone(), hops, serial: SERIAL };
    assert_eq!(code(town.present(1, key(66).id(), &stolen)), Code::Certificate);
    let honest = town.endorsed(&cheque, 1);
    assert_eq!(code(town.present(1, key(66).id(), &honest)), Code::NotPayee);
    assert!(town.present(1, key(CAROL).id(), &honest).is_ok());
}

#[test]
fn t2_a_bank_takes_no_cheque_that_is_endorsed_to_another() {
    let mut town = Town::new(2);
    town.enrol(0, CAROL, 0);
    let cheque = town.cheque(ALICE, 300);
    let elsewhere = town.endorsed(&cheque, 1);
    assert_eq!(code(town.present(0, key(CAROL).id(), &elsewhere)), Code::NotPayee);
    assert_eq!((town.balance(0, ALICE), town.balance(0, CAROL)), (i128::from(FUNDS), 0));
}

#[test]
fn t3_a_bank_refuses_a_cheque_whose_amount_was_edited() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    let richer = altered(&key(66), network(0), cheque.signed(), |draft| draft.amount = micros(3_000));
    // Signed anew by somebody else it is somebody else's cheque, who has no money.
    let presented = endorse(&key(CAROL), &richer.verify(network(0)).unwrap(), SERIAL, bank_key(1).id(), town.now);
    town.present(1, key(CAROL).id(), &presented.unwrap()).unwrap();
    town.run();
    assert_eq!((town.balance(0, ALICE), town.balance(1, CAROL)), (i128::from(FUNDS), 0));
    // With Alice's signature over the other amount it is nobody's.
    let honest = town.endorsed(&cheque, 1);
    let mut bytes = farthing_core::wire::encode(&honest.cheque);
    let at = bytes.windows(3).position(|three| three == [0x19, 0x01, 0x2c]).unwrap();
    bytes[at + 1] = 0x0b;
    let forged = Presentation { cheque: farthing_core::wire::decode(&bytes).unwrap(), ..honest };
    assert_eq!(forged.cheque.peek().unwrap().amount, micros(0x0b2c));
    assert_eq!(code(town.present(1, key(CAROL).id(), &forged)), Code::Signature);
}

#[test]
fn t4_a_cheque_that_ends_while_it_is_cleared_bounces_and_one_that_ended_is_not_taken() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    town.deposit(&cheque);
    let sent = town.send_due(1).remove(0);
    town.now = cheque.body().deposit_by;
    assert_eq!(town.carry(1, &sent).unwrap(), Progress::Done(Fate::Bounced(Code::Expired)));
    assert_eq!((town.balance(0, ALICE), town.provisional(1, key(CAROL).id())), (i128::from(FUNDS), 0));
    let late = Draft { deposit_by: town.now, time: town.now.before(Span::from_hours(1)), ..town.draft(99, 300) };
    let late = town.signed(ALICE, &late);
    let presented = town.endorsed(&late, 1);
    assert_eq!(code(town.present(1, key(CAROL).id(), &presented)), Code::Expired);
    assert!(town.evidence(1).is_empty());
}

#[test]
fn t5_a_bounced_cheque_takes_the_provisional_credit_back_and_nothing_else() {
    let mut town = Town::new(3);
    let cheque = town.cheque(ALICE, FUNDS + 1);
    for at in 0..3 {
        for peer in 0..3 {
            if usize::abs_diff(at, peer) == 1 {
                town.open_peer(at, peer, 2 * FUNDS);
            }
        }
    }
    let (presented, _) = town.deposit(&cheque);
    assert_eq!(town.provisional(2, key(CAROL).id()), i128::from(FUNDS) + 1);
    town.run();
    assert_eq!(fate(town.present(2, key(CAROL).id(), &presented).unwrap()), Fate::Bounced(Code::Funds));
    assert_eq!((town.balance(2, CAROL), town.provisional(2, key(CAROL).id())), (0, 0));
    assert_eq!(town.balance(0, ALICE), i128::from(FUNDS));
    for (at, of) in [(2, 1), (1, 2), (1, 0), (0, 1)] {
        assert_eq!(town.owed(at, of), (0, 0));
    }
}

#[test]
fn two_cheques_of_one_number_are_not_both_drawn() {
    let mut town = Town::new(2);
    let (a, b) = (town.draft(5, 300), town.draft(5, 400));
    let (a, b) = (town.signed(ALICE, &a), town.signed(ALICE, &b));
    town.deposit(&a);
    town.run();
    town.deposit(&b);
    town.run();
    assert_eq!((town.balance(0, ALICE), town.balance(1, CAROL)), (i128::from(FUNDS) - 300, 300));
}

#[test]
fn provisional_credit_cannot_be_spent_before_the_answer() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    town.deposit(&cheque);
    let (from, to) = (town.account(1, CAROL), town.outside(1));
    let spend = farthing_ledger::Transfer {
        id: farthing_core::id::TransferId([1; 16]),
        debit: from,
        credit: to,
        amount: micros(1),
        reason: farthing_ledger::Reason(9),
        reference: [0; 32],
        at: town.now,
        hold: None,
    };
    assert_eq!(code(town.act(1, |_, cx| Ok(farthing_ledger::Ledger(&mut *cx.tx).post(spend)?))), Code::Funds);
    town.run();
    assert!(town.act(1, |_, cx| Ok(farthing_ledger::Ledger(&mut *cx.tx).post(spend)?)).is_ok());
}

#[test]
fn a_bank_takes_no_more_cheques_than_the_other_may_owe() {
    let mut town = Town::new(2);
    town.open_peer(1, 0, 500);
    let (a, b) = (town.cheque(ALICE, 300), town.cheque(ALICE, 300));
    town.deposit(&a);
    let second = town.endorsed(&b, 1);
    assert_eq!(code(town.present(1, key(CAROL).id(), &second)), Code::Limit);
    town.run();
    // Cleared, it is owed instead of under way: the limit counts both.
    assert_eq!(code(town.present(1, key(CAROL).id(), &second)), Code::Limit);
    let movement = super::settling::movement(&town, 1, 0, 300, false);
    town.act(1, |bank, cx| bank.cheques.pay_off(cx, &movement)).unwrap();
    assert!(town.present(1, key(CAROL).id(), &second).is_ok());
}

#[test]
fn a_cheque_that_finds_no_room_on_its_way_before_its_end_does_not_fill_the_limits_for_ever() {
    let mut town = Town::new(3);
    town.open_peer(1, 0, 500);
    let cheque = town.cheque(ALICE, 600);
    let (presented, _) = town.deposit(&cheque);
    let sent = town.send_due(2).pop().unwrap();
    assert_eq!(code(town.carry(2, &sent)), Code::Limit);
    assert_eq!(town.owed(2, 1), (0, 600));
    town.now = cheque.body().deposit_by;
    let late = town.endorsed(&cheque, 2);
    assert_eq!(code(town.present(2, key(CAROL).id(), &late)), Code::Expired, "nobody begins with it now");
    let sent = town.send_due(2).pop().unwrap();
    assert_eq!(town.carry(2, &sent).unwrap(), Progress::Waiting);
    assert_eq!((town.owed(1, 0), town.provisional(1, bank_key(2).id())), ((0, 0), 0), "no money is booked for it");
    town.run();
    assert_eq!(fate(town.present(2, key(CAROL).id(), &presented).unwrap()), Fate::Bounced(Code::Expired));
    assert_eq!((town.owed(2, 1), town.provisional(2, key(CAROL).id())), ((0, 0), 0));
    assert_eq!((town.balance(0, ALICE), town.balance(2, CAROL)), (i128::from(FUNDS), 0));
    assert!((0..3).all(|at| town.evidence(at).is_empty()));
}

#[test]
fn a_cheque_that_has_ended_by_one_banks_clock_and_not_by_the_next_is_owed_within_the_limit() {
    for limit in [500, 600] {
        let mut town = Town::new(3);
        town.open_peer(1, 0, limit);
        let cheque = town.cheque(ALICE, 600);
        town.deposit(&cheque);
        let sent = town.send_due(2).pop().unwrap();
        town.now = cheque.body().deposit_by;
        assert_eq!(town.carry(2, &sent).unwrap(), Progress::Waiting);
        let on = town.send_due(1).pop().unwrap();
        let asked: Presentation = farthing_core::wire::decode(&on.message).unwrap();
        // The clock of the bank drawn on is a second behind.
        town.now = town.now.before(Span::from_secs(1));
        let answer = town.present(0, bank_key(1).id(), &asked).unwrap();
        assert_eq!(fate(answer.clone()), Fate::Cleared);
        town.now = town.now.after(Span::from_secs(2));
        let hear =
            |town: &mut Town| town.act(1, |bank, cx| bank.cheques.on_answer(cx, on.to, on.matter, answer.clone()));
        if limit == 500 {
            assert_eq!(code(hear(&mut town)), Code::Limit);
            town.open_peer(1, 0, 600);
        }
        assert_eq!(hear(&mut town).unwrap(), Progress::Done(Fate::Cleared));
        town.run();
        assert_eq!((town.balance(2, CAROL), town.owed(1, 0), town.owed(2, 1)), (600, (600, 0), (600, 0)));
    }
}

#[test]
fn a_cheque_on_an_unknown_bank_or_in_a_false_network_or_for_nothing_is_not_taken() {
    let mut town = Town::new(2);
    let honest = town.draft(5, 300);
    let mut refused = |draft: Draft| {
        let cheque = town.signed(ALICE, &draft);
        let presented = town.endorsed(&cheque, 1);
        code(town.present(1, key(CAROL).id(), &presented))
    };
    assert_eq!(refused(Draft { bank: key(99).id(), ..honest.clone() }), Code::Unknown);
    assert_eq!(refused(Draft { network: network(7), ..honest.clone() }), Code::Malformed);
    assert_eq!(refused(Draft { network: network(1), ..honest.clone() }), Code::Malformed);
    assert_eq!(refused(Draft { amount: micros(0), ..honest }), Code::Amount);
}

#[test]
fn banks_do_not_send_a_cheque_in_a_circle() {
    let mut town = Town::new(3);
    // The middle bank is misled to send cheques on bank 0 back to bank 2, and has no accounts with 0.
    let (drawee, via) = (key(77).id(), bank_key(2).id());
    town.act(1, |bank, cx| bank.cheques.open_route(cx, drawee, network(8), farthing_core::amount::Currency::XTS, via))
        .unwrap();
    let via = bank_key(1).id();
    town.act(2, |bank, cx| bank.cheques.open_route(cx, drawee, network(8), farthing_core::amount::Currency::XTS, via))
        .unwrap();
    let draft = Draft { bank: drawee, network: network(8), ..town.draft(5, 300) };
    let cheque = town.signed(ALICE, &draft);
    town.deposit(&cheque);
    let sent = town.send_due(2).remove(0);
    assert_eq!(code(town.carry(2, &sent)), Code::Policy);
}

#[test]
fn a_cheque_clears_over_eight_endorsements_and_no_bank_makes_a_ninth() {
    // The payee's endorsement, and one of every bank but the one drawn on.
    let mut town = Town::new(HOPS_MAX);
    let cheque = town.cheque(ALICE, 300);
    let (presented, _) = town.deposit(&cheque);
    town.run();
    let told = end(town.present(HOPS_MAX - 1, key(CAROL).id(), &presented).unwrap());
    assert_eq!((told.hops.as_slice().len(), town.balance(HOPS_MAX - 1, CAROL)), (HOPS_MAX, 300));
    let mut town = Town::new(HOPS_MAX + 1);
    let cheque = town.cheque(ALICE, 300);
    town.deposit(&cheque);
    for at in (3..=HOPS_MAX).rev() {
        let sent = town.send_due(at).pop().unwrap();
        town.carry(at, &sent).unwrap();
    }
    let sent = town.send_due(2).pop().unwrap();
    assert_eq!(code(town.carry(2, &sent)), Code::Limit);
    assert!(town.send_due(1).is_empty());
    assert_eq!((town.owed(1, 0), town.provisional(1, bank_key(2).id())), ((0, 0), 0));
    assert_eq!((town.balance(0, ALICE), town.balance(HOPS_MAX, CAROL)), (i128::from(FUNDS), 0));
}

#[test]
fn a_correspondent_cannot_have_a_cheque_bounce_by_naming_another_certificate() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    let honest = town.endorsed(&cheque, 1);
    let wrong = Presentation { serial: SERIAL + 1, ..honest.clone() };
    assert_eq!(code(town.present(1, key(CAROL).id(), &wrong)), Code::Order);
    town.present(1, key(CAROL).id(), &honest).unwrap();
    let sent = town.send_due(1).remove(0);
    let honest: Presentation = farthing_core::wire::decode(&sent.message).unwrap();
    let wrong = Presentation { serial: SERIAL + 1, ..honest.clone() };
    assert_eq!(code(town.present(0, bank_key(1).id(), &wrong)), Code::Order);
    assert_eq!(fate(town.present(0, bank_key(1).id(), &honest).unwrap()), Fate::Cleared);
}

#[test]
fn a_cheque_under_a_certificate_that_was_never_given_bounces() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    let presented = endorse(&key(CAROL), &cheque, SERIAL + 1, bank_key(1).id(), town.now).unwrap();
    town.present(1, key(CAROL).id(), &presented).unwrap();
    town.run();
    assert_eq!(fate(town.present(1, key(CAROL).id(), &presented).unwrap()), Fate::Bounced(Code::Certificate));
    assert_eq!(town.owed(1, 0), (0, 0));
}
