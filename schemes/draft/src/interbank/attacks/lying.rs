use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::refusal::Code;
use farthing_core::sign::Signed;
use farthing_core::time::{SKEW, Span};

use super::super::messages::{Answer, Certify, Fate, Final, Outcome, Presentation};
use super::super::testing::*;
use super::super::verdict::{false_outcome, outcome_fork};
use super::super::{Outgoing, Progress};

/// A cheque on its way from bank 1 to bank 0, and bank 0's honest answer.
fn answered(town: &mut Town) -> (Outgoing, Final) {
    let cheque = town.cheque(ALICE, 300);
    town.deposit(&cheque);
    let sent = town.send_due(1).pop().unwrap();
    let presented: Presentation = farthing_core::wire::decode(&sent.message).unwrap();
    let answer = end(town.present(0, bank_key(1).id(), &presented).unwrap());
    (sent, answer)
}

fn tell(town: &mut Town, at: usize, sent: &Outgoing, told: Final) -> Result<Progress, farthing_role::Halt> {
    let (from, matter) = (sent.to, sent.matter);
    town.act(at, |bank, cx| bank.cheques.on_answer(cx, from, matter, Answer::Final(Box::new(told))))
}

fn said(told: &Final, change: impl FnOnce(&mut Outcome)) -> Final {
    Final { drawee: altered(&bank_key(0), network(0), &told.drawee, change), ..told.clone() }
}

#[test]
fn a_bank_that_says_cleared_and_bounced_of_one_cheque_convicts_itself() {
    let mut town = Town::new(2);
    let (sent, honest) = answered(&mut town);
    let lie = said(&honest, |said| said.fate = Fate::Bounced(Code::Funds));
    assert_eq!(tell(&mut town, 1, &sent, lie).unwrap(), Progress::Done(Fate::Bounced(Code::Funds)));
    assert_eq!(tell(&mut town, 1, &sent, honest.clone()).unwrap(), Progress::Convicted(bank_key(0).id()));
    assert_eq!(town.evidence(1), [(EvidenceKind::OutcomeFork, Verdict::Guilty(bank_key(0).id()))]);
    // The books stand as they were after the first answer.
    assert_eq!((town.balance(1, CAROL), town.provisional(1, key(CAROL).id())), (0, 0));
    assert_eq!(outcome_fork(network(0), honest.drawee.clone(), honest.drawee), Verdict::Insufficient);
}

#[test]
fn a_bank_that_answers_for_another_amount_convicts_itself_and_moves_nothing() {
    let mut town = Town::new(2);
    let (sent, honest) = answered(&mut town);
    let lie = said(&honest, |said| said.amount = micros(30));
    assert_eq!(tell(&mut town, 1, &sent, lie).unwrap(), Progress::Convicted(bank_key(0).id()));
    assert_eq!(town.evidence(1), [(EvidenceKind::FalseOutcome, Verdict::Guilty(bank_key(0).id()))]);
    assert_eq!(town.provisional(1, key(CAROL).id()), 300);
    assert_eq!(tell(&mut town, 1, &sent, honest).unwrap(), Progress::Done(Fate::Cleared));
}

#[test]
fn a_bank_that_lies_anew_at_every_retry_is_filed_once() {
    let mut town = Town::new(2);
    let (sent, honest) = answered(&mut town);
    for amount in 1..5 {
        town.now = town.now.after(Span::from_hours(1));
        let lie = said(&honest, |said| said.amount = micros(amount));
        assert_eq!(tell(&mut town, 1, &sent, lie).unwrap(), Progress::Convicted(bank_key(0).id()));
    }
    assert_eq!(town.evidence(1), [(EvidenceKind::FalseOutcome, Verdict::Guilty(bank_key(0).id()))]);
    tell(&mut town, 1, &sent, honest.clone()).unwrap();
    for nth in 1..5 {
        town.now = town.now.after(Span::from_hours(1));
        let other = said(&honest, |said| said.time = said.time.before(Span::from_millis(nth)));
        assert_eq!(tell(&mut town, 1, &sent, other).unwrap(), Progress::Convicted(bank_key(0).id()));
    }
    assert_eq!(town.evidence(1).len(), 2);
    assert_eq!(town.balance(1, CAROL), 300);
}

#[test]
fn a_bank_that_pays_after_the_end_convicts_itself_and_the_payee_has_its_money() {
    let mut town = Town::new(2);
    let (sent, honest) = answered(&mut town);
    let late = said(&honest, |said| said.time = said.time.after(Span::from_days(1)));
    town.now = town.now.after(Span::from_days(2));
    assert_eq!(tell(&mut town, 1, &sent, late).unwrap(), Progress::Done(Fate::Cleared));
    assert_eq!(town.evidence(1), [(EvidenceKind::FalseOutcome, Verdict::Guilty(bank_key(0).id()))]);
    assert_eq!(town.balance(1, CAROL), 300);
}

#[test]
fn a_bank_that_bounces_what_it_certified_is_convicted() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    let request = Certify { cheque: cheque.signed().clone(), serial: SERIAL };
    let certification =
        town.act(0, |bank, cx| bank.cheques.certify(cx, &bank.payers, key(ALICE).id(), request)).unwrap();
    town.deposit(&cheque);
    let sent = town.send_due(1).pop().unwrap();
    let presented: Presentation = farthing_core::wire::decode(&sent.message).unwrap();
    let honest = end(town.present(0, bank_key(1).id(), &presented).unwrap());
    let judge = |told: &Final, certification| {
        false_outcome(network(0), cheque.signed().clone(), told.drawee.clone(), certification)
    };
    let lie = said(&honest, |said| said.fate = Fate::Bounced(Code::Funds));
    assert_eq!(judge(&lie, Some(certification.clone())), Verdict::Guilty(bank_key(0).id()));
    assert_eq!(judge(&lie, None), Verdict::Insufficient);
    // Presented by a second way, a certified cheque bounces as any other.
    let second = said(&honest, |said| said.fate = Fate::Bounced(Code::Spent));
    assert_eq!(judge(&second, Some(certification.clone())), Verdict::Insufficient);
    assert_eq!(judge(&honest, Some(certification.clone())), Verdict::Insufficient);
    let early = said(&honest, |said| said.fate = Fate::Bounced(Code::Expired));
    assert_eq!(judge(&early, None), Verdict::Guilty(bank_key(0).id()));
}

#[test]
fn a_bank_believes_no_answer_that_is_forged_foreign_or_from_the_future() {
    let mut town = Town::new(2);
    let (sent, honest) = answered(&mut town);
    let forged = Final { drawee: altered(&key(66), network(0), &honest.drawee, |_| ()), ..honest.clone() };
    assert_eq!(code(tell(&mut town, 1, &sent, forged)), Code::Signature);
    let elsewhere = Final { drawee: altered(&bank_key(0), network(1), &honest.drawee, |_| ()), ..honest.clone() };
    assert_eq!(code(tell(&mut town, 1, &sent, elsewhere)), Code::Signature);
    let another = said(&honest, |said| said.cheque.0[0] ^= 1);
    assert_eq!(code(tell(&mut town, 1, &sent, another)), Code::Certificate);
    let others = said(&honest, |said| said.to = key(66).id());
    assert_eq!(code(tell(&mut town, 1, &sent, others)), Code::Certificate);
    let late = town.now.after(SKEW).after(Span::from_millis(1));
    let future = said(&honest, |said| said.time = late);
    assert_eq!(code(tell(&mut town, 1, &sent, future)), Code::Clock);
    let matter = sent.matter;
    let stranger = town.act(1, |bank, cx| {
        bank.cheques.on_answer(cx, bank_key(1).id(), matter, Answer::Final(Box::new(honest.clone())))
    });
    assert_eq!(code(stranger), Code::Certificate);
    assert_eq!((town.provisional(1, key(CAROL).id()), town.balance(1, CAROL)), (300, 0));
    assert_eq!(tell(&mut town, 1, &sent, honest).unwrap(), Progress::Done(Fate::Cleared));
}

/// A cheque on its way through bank 1, which has bank 0's answer: what bank 2 sent, and that answer.
fn by_way_of_a_correspondent(town: &mut Town) -> (Outgoing, Final) {
    let cheque = town.cheque(ALICE, 300);
    town.deposit(&cheque);
    let sent = town.send_due(2).pop().unwrap();
    town.carry(2, &sent).unwrap();
    let on = town.send_due(1).pop().unwrap();
    town.carry(1, &on).unwrap();
    let presented: Presentation = farthing_core::wire::decode(&sent.message).unwrap();
    let told = end(town.present(1, bank_key(2).id(), &presented).unwrap());
    (sent, told)
}

fn retold(told: &Final, change: impl FnOnce(&mut Outcome)) -> Option<Signed<Outcome>> {
    Some(altered(&bank_key(1), network(1), told.bank.as_ref().unwrap(), change))
}

#[test]
fn a_correspondent_cannot_keep_the_money_by_saying_bounced() {
    let mut town = Town::new(3);
    let (sent, honest) = by_way_of_a_correspondent(&mut town);
    let bank = retold(&honest, |said| said.fate = Fate::Bounced(Code::Funds));
    assert_eq!(code(tell(&mut town, 2, &sent, Final { bank, ..honest.clone() })), Code::Conflict);
    assert_eq!(tell(&mut town, 2, &sent, honest).unwrap(), Progress::Done(Fate::Cleared));
}

#[test]
fn a_correspondent_cannot_pass_off_the_fate_of_another_presentation() {
    let mut town = Town::new(3);
    let (sent, honest) = by_way_of_a_correspondent(&mut town);
    // Carol deposits once more by another endorsement, which bounces as it must.
    let presented: Presentation = farthing_core::wire::decode(&sent.message).unwrap();
    let cheque = presented.cheque.verify(network(0)).unwrap();
    town.now = town.now.after(Span::from_millis(1));
    let second = town.endorsed(&cheque, 2);
    town.present(2, key(CAROL).id(), &second).unwrap();
    let again = town.send_due(2).pop().unwrap();
    assert_ne!(again.matter, sent.matter);
    town.carry(2, &again).unwrap();
    let on = town.send_due(1).pop().unwrap();
    town.carry(1, &on).unwrap();
    let brought: Presentation = farthing_core::wire::decode(&again.message).unwrap();
    let bounced = end(town.present(1, bank_key(2).id(), &brought).unwrap());
    assert_eq!(bounced.drawee.peek().unwrap().fate, Fate::Bounced(Code::Spent));
    let bank = retold(&honest, |said| said.fate = Fate::Bounced(Code::Spent));
    assert_eq!(code(tell(&mut town, 2, &sent, Final { bank, ..bounced })), Code::Certificate);
    assert_eq!(tell(&mut town, 2, &sent, honest).unwrap(), Progress::Done(Fate::Cleared));
}

#[test]
fn a_correspondent_cannot_pay_less_than_the_cheque_nor_answer_without_the_bank_drawn_on() {
    let mut town = Town::new(3);
    let (sent, honest) = by_way_of_a_correspondent(&mut town);
    let less = Final { bank: retold(&honest, |said| said.amount = micros(200)), ..honest.clone() };
    assert_eq!(code(tell(&mut town, 2, &sent, less)), Code::Amount);
    let alone = Final { drawee: honest.bank.clone().unwrap(), ..honest.clone() };
    assert_eq!(code(tell(&mut town, 2, &sent, alone)), Code::Signature);
    let unsigned = Final { bank: None, ..honest.clone() };
    assert_eq!(code(tell(&mut town, 2, &sent, unsigned)), Code::Certificate);
    assert_eq!(tell(&mut town, 2, &sent, honest.clone()).unwrap(), Progress::Done(Fate::Cleared));
    let twice = Final { bank: retold(&honest, |said| said.time = said.time.before(Span::from_millis(1))), ..honest };
    assert_eq!(tell(&mut town, 2, &sent, twice).unwrap(), Progress::Convicted(bank_key(1).id()));
    assert_eq!(town.evidence(2), [(EvidenceKind::OutcomeFork, Verdict::Guilty(bank_key(1).id()))]);
}

#[test]
fn a_correspondent_that_forwards_twice_by_two_endorsements_is_convicted_and_paid_once() {
    let mut town = Town::new(3);
    let cheque = town.cheque(ALICE, 300);
    town.deposit(&cheque);
    let sent = town.send_due(2).pop().unwrap();
    town.carry(2, &sent).unwrap();
    let on = town.send_due(1).pop().unwrap();
    let honest: Presentation = farthing_core::wire::decode(&on.message).unwrap();
    let mut hops = honest.hops.as_slice().to_vec();
    let last = hops.pop().unwrap();
    hops.push(altered(&bank_key(1), network(0), &last, |hop| hop.time = hop.time.after(Span::from_millis(1))));
    let other = Presentation { hops: farthing_core::wire::Bounded::new(hops).unwrap(), ..honest.clone() };
    assert_eq!(fate(town.present(0, bank_key(1).id(), &honest).unwrap()), Fate::Cleared);
    assert_eq!(fate(town.present(0, bank_key(1).id(), &other).unwrap()), Fate::Bounced(Code::Spent));
    assert_eq!(town.evidence(0), [(EvidenceKind::TitleFork, Verdict::Guilty(bank_key(1).id()))]);
    assert_eq!(town.balance(0, ALICE), i128::from(FUNDS) - 300);
}
