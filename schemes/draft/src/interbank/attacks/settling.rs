use farthing_core::amount::Currency;
use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::refusal::Code;
use farthing_core::sign::Signed;
use farthing_core::time::Span;
use farthing_core::wire::Bounded;
use farthing_role::Halt;

use super::super::messages::{Answer, Digest, Line, Outcome, Page};
use super::super::testing::*;
use super::super::verdict::outcome_denied;
use super::super::{Comparison, Discrepancy, Movement, day_of};

pub(super) fn movement(town: &Town, at: usize, with: usize, amount: u64, paid: bool) -> Movement {
    let reference = [amount as u8; 32];
    Movement { bank: bank_key(with).id(), amount: micros(amount), paid, reference, outside: town.outside(at) }
}

fn state(town: &mut Town, at: usize, to: usize, day: u64, after: Option<Digest>) -> Result<Signed<Page>, Halt> {
    let to = bank_key(to).id();
    town.act(at, |bank, cx| bank.cheques.state_day(cx, to, Currency::XTS, day, after))
}

fn compare(town: &mut Town, at: usize, from: usize, page: &Signed<Page>) -> Result<Comparison, Halt> {
    let (from, page) = (bank_key(from).id(), page.clone());
    town.act(at, |bank, cx| bank.cheques.compare(cx, from, page))
}

/// Three cheques of 300 cleared on one day, which is over now.
fn a_day(town: &mut Town) -> u64 {
    for _ in 0..3 {
        let cheque = town.cheque(ALICE, 300);
        town.deposit(&cheque);
        for sent in town.send_due(1) {
            town.carry(1, &sent).unwrap();
        }
    }
    let day = day_of(town.now);
    town.now = town.now.after(Span::from_days(1));
    day
}

#[test]
fn two_banks_state_a_day_agree_and_pay_the_difference_off() {
    let mut town = Town::new(2);
    let day = a_day(&mut town);
    let page = state(&mut town, 0, 1, day, None).unwrap();
    assert_eq!(state(&mut town, 0, 1, day, None).unwrap(), page);
    let found = compare(&mut town, 1, 0, &page).unwrap();
    assert_eq!((found.agreed, found.discrepancies, found.next, found.forked), (3, vec![], None, false));
    let theirs = state(&mut town, 1, 0, day, None).unwrap();
    assert_eq!(compare(&mut town, 0, 1, &theirs).unwrap().agreed, 0);
    let peer = bank_key(0).id();
    let totals = town.act(1, |bank, cx| bank.cheques.day_totals(cx, peer, Currency::XTS, day)).unwrap();
    assert_eq!(totals, (micros(0), micros(900)));
    for (at, with, paid) in [(0, 1, true), (1, 0, false)] {
        let paid = movement(&town, at, with, 900, paid);
        for _ in 0..2 {
            town.act(at, |bank, cx| bank.cheques.pay_off(cx, &paid)).unwrap();
        }
    }
    assert_eq!((town.owed(1, 0), town.owed(0, 1)), ((0, 0), (0, 0)));
}

#[test]
fn nothing_more_is_paid_off_than_is_owed_nor_the_wrong_way() {
    let mut town = Town::new(2);
    a_day(&mut town);
    for (at, with, amount, paid) in [(0, 1, 901, true), (0, 1, 1, false), (1, 0, 1, true), (1, 0, 901, false)] {
        let movement = movement(&town, at, with, amount, paid);
        assert_eq!(code(town.act(at, |bank, cx| bank.cheques.pay_off(cx, &movement))), Code::Amount);
    }
}

#[test]
fn an_answer_that_did_not_arrive_is_named_and_the_lines_agree_once_it_did() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    town.deposit(&cheque);
    let sent = town.send_due(1).pop().unwrap();
    let lost = farthing_core::wire::decode(&sent.message).unwrap();
    town.present(0, bank_key(1).id(), &lost).unwrap();
    let day = day_of(town.now);
    town.now = town.now.after(Span::from_days(1));
    let page = state(&mut town, 0, 1, day, None).unwrap();
    let line = Line { cheque: Digest(cheque.digest()), amount: micros(300) };
    assert_eq!(compare(&mut town, 1, 0, &page).unwrap().discrepancies[0], Discrepancy::Unheard(line));
    town.run();
    let found = compare(&mut town, 1, 0, &page).unwrap();
    assert_eq!((found.agreed, found.discrepancies, found.forked), (1, vec![], false));
}

#[test]
fn a_bank_that_denies_a_clearing_it_signed_convicts_itself() {
    let mut town = Town::new(2);
    let day = a_day(&mut town);
    let honest = state(&mut town, 0, 1, day, None).unwrap();
    let denying = altered(&bank_key(0), network(0), &honest, |page| {
        let lines = page.lines.as_slice()[1..].to_vec();
        page.lines = Bounded::new(lines).unwrap();
        page.total = micros(600);
    });
    let denied = honest.peek().unwrap().lines.as_slice()[0];
    let found = compare(&mut town, 1, 0, &denying).unwrap();
    assert_eq!(found.discrepancies, [Discrepancy::Denied { signed: denied, stated: None }]);
    assert_eq!(town.evidence(1), [(EvidenceKind::OutcomeDenied, Verdict::Guilty(bank_key(0).id()))]);
    // The honest page, shown afterwards, shows that there were two.
    let found = compare(&mut town, 1, 0, &honest).unwrap();
    assert!(found.forked && found.discrepancies.is_empty());
    assert!(town.evidence(1).contains(&(EvidenceKind::StatementFork, Verdict::Guilty(bank_key(0).id()))));
}

#[test]
fn a_bank_that_states_less_than_it_signed_or_a_false_total_is_found_out() {
    let mut town = Town::new(2);
    let day = a_day(&mut town);
    let honest = state(&mut town, 0, 1, day, None).unwrap();
    let cheaper = altered(&bank_key(0), network(0), &honest, |page| {
        let mut lines = page.lines.as_slice().to_vec();
        lines[2].amount = micros(3);
        page.lines = Bounded::new(lines).unwrap();
    });
    let found = compare(&mut town, 1, 0, &cheaper).unwrap();
    assert!(matches!(found.discrepancies[..], [Discrepancy::Denied { stated: Some(_), .. }]));
    assert_eq!(town.evidence(1).len(), 1);
    let mut town = Town::new(2);
    let day = a_day(&mut town);
    let honest = state(&mut town, 0, 1, day, None).unwrap();
    let false_total = altered(&bank_key(0), network(0), &honest, |page| page.total = micros(1));
    let found = compare(&mut town, 1, 0, &false_total).unwrap();
    assert_eq!(found.discrepancies, [Discrepancy::Total { stated: micros(1), signed: micros(900) }]);
}

/// What bank 0 said of a cheque that cleared.
fn signed_outcome(town: &mut Town, cheque: Digest) -> Signed<Outcome> {
    town.act(0, |bank, cx| bank.cheques.inquire(cx, key(CAROL).id(), cheque)).unwrap().drawee
}

#[test]
fn pages_cover_each_cheque_once_and_the_end_of_one_page_hides_none() {
    let mut town = Town::new(2);
    let day = a_day(&mut town);
    let whole = state(&mut town, 0, 1, day, None).unwrap();
    let lines = whole.peek().unwrap().lines.into_vec();
    let first = altered(&bank_key(0), network(0), &whole, |page| {
        page.lines = Bounded::new(lines[..2].to_vec()).unwrap();
        page.more = true;
    });
    let second = state(&mut town, 0, 1, day, Some(lines[1].cheque)).unwrap();
    assert_eq!(second.peek().unwrap().lines.as_slice(), &lines[2..]);
    let found = compare(&mut town, 1, 0, &first).unwrap();
    assert_eq!((found.agreed, found.next), (2, Some(lines[1].cheque)));
    assert_eq!(compare(&mut town, 1, 0, &second).unwrap().agreed, 1);
    let hiding = altered(&bank_key(0), network(0), &second, |page| page.lines = Bounded::empty());
    let found = compare(&mut town, 1, 0, &hiding).unwrap();
    assert_eq!(found.discrepancies.len(), 1);
    // One page does not convict a bank of what stands on the other.
    let (third, peer) = (lines[2].cheque, bank_key(0).id());
    let outcome = signed_outcome(&mut town, third);
    assert_eq!(outcome_denied(network(0), outcome.clone(), first.clone()), Verdict::Insufficient);
    assert_eq!(outcome_denied(network(0), outcome, hiding), Verdict::Guilty(peer));
    for line in lines {
        let covering = [&first, &second].iter().filter(|page| page.peek().unwrap().covers(line.cheque)).count();
        assert_eq!(covering, 1);
    }
}

#[test]
fn a_day_is_stated_only_when_it_is_over_and_nothing_is_paid_on_it_afterwards() {
    let mut town = Town::new(2);
    let day = day_of(town.now);
    assert_eq!(code(state(&mut town, 0, 1, day, None)), Code::NotYet);
    let cheque = town.cheque(ALICE, 300);
    town.deposit(&cheque);
    let morning = town.now;
    town.now = town.now.after(Span::from_days(1));
    let page = state(&mut town, 0, 1, day, None).unwrap();
    // A clock set back does not put a line on a page that is out.
    town.now = morning;
    let sent = town.send_due(1).pop().unwrap();
    assert_eq!(code(town.carry(1, &sent)), Code::Clock);
    assert_eq!(town.balance(0, ALICE), i128::from(FUNDS));
    town.now = morning.after(Span::from_secs(23 * 3_600 + 1_800));
    town.run();
    assert_eq!(state(&mut town, 0, 1, day, None).unwrap(), page);
    assert_eq!(town.balance(1, CAROL), 300);
}

fn close(town: &mut Town, at: usize, with: usize) -> Result<(), Halt> {
    let with = bank_key(with).id();
    town.act(at, |bank, cx| bank.cheques.close_peer(cx, with, Currency::XTS))
}

#[test]
fn a_bank_that_closes_a_peer_and_opens_it_again_does_not_forget_which_days_it_stated() {
    let mut town = Town::new(2);
    let day = day_of(town.now);
    let morning = town.now;
    town.now = town.now.after(Span::from_days(1));
    let page = state(&mut town, 0, 1, day, None).unwrap();
    close(&mut town, 0, 1).unwrap();
    town.open_peer(0, 1, FUNDS);
    // The clock set back, a cheque comes: paid now, it would be missing on a page that is out.
    town.now = morning;
    let cheque = town.cheque(ALICE, 300);
    town.deposit(&cheque);
    let sent = town.send_due(1).pop().unwrap();
    assert_eq!(code(town.carry(1, &sent)), Code::Clock);
    assert_eq!((town.balance(0, ALICE), town.balance(1, CAROL)), (i128::from(FUNDS), 0));
    assert_eq!(state_later(&mut town, 0, 1, day), page);
    town.run();
    assert!(town.evidence(1).is_empty());
    assert_eq!(town.balance(1, CAROL), 300);
}

/// What a bank states of a day once it is over.
fn state_later(town: &mut Town, at: usize, to: usize, day: u64) -> Signed<Page> {
    town.now = town.now.after(Span::from_secs(23 * 3_600 + 1_800));
    state(town, at, to, day, None).unwrap()
}

#[test]
fn a_bank_does_not_close_a_peer_with_a_cheque_under_way_to_it_or_for_it_or_money_owed() {
    let mut town = Town::new(3);
    let cheque = town.cheque(ALICE, 300);
    town.deposit(&cheque);
    let sent = town.send_due(2).pop().unwrap();
    assert_eq!(code(close(&mut town, 2, 1)), Code::State);
    town.carry(2, &sent).unwrap();
    // At the bank between, the cheque is under way for the one that brought it.
    assert_eq!(code(close(&mut town, 1, 2)), Code::State);
    assert_eq!(code(close(&mut town, 1, 0)), Code::State);
    town.run();
    assert_eq!(town.balance(2, CAROL), 300);
    for (at, with) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        assert_eq!(code(close(&mut town, at, with)), Code::State);
    }
    for (at, with, paid) in [(0, 1, true), (1, 0, false), (1, 2, true), (2, 1, false)] {
        let paid = movement(&town, at, with, 300, paid);
        town.act(at, |bank, cx| bank.cheques.pay_off(cx, &paid)).unwrap();
        close(&mut town, at, with).unwrap();
    }
}

#[test]
fn a_bank_takes_from_a_closed_peer_and_sends_to_it_nothing_but_still_states_what_it_paid() {
    let mut town = Town::new(3);
    let day = a_day_between(&mut town);
    for (at, with) in [(0, 1), (2, 1)] {
        close(&mut town, at, with).unwrap();
    }
    let cheque = town.cheque(ALICE, 300);
    let presented = town.endorsed(&cheque, 2);
    assert_eq!(code(town.present(2, key(CAROL).id(), &presented)), Code::Unknown, "no way is left");
    let via = bank_key(1).id();
    let route = town.act(2, |bank, cx| bank.cheques.open_route(cx, key(9).id(), network(9), Currency::XTS, via));
    assert_eq!(code(route), Code::Unknown);
    town.enrol(1, CAROL, 0);
    let presented = town.endorsed(&cheque, 1);
    town.present(1, key(CAROL).id(), &presented).unwrap();
    let sent = town.send_due(1).pop().unwrap();
    assert_eq!(code(town.carry(1, &sent)), Code::Unknown, "the bank drawn on takes nothing from it");
    let page = state_later(&mut town, 0, 1, day);
    assert_eq!(compare(&mut town, 1, 0, &page).unwrap().agreed, 1);
    town.open_peer(0, 1, FUNDS);
    town.run();
    assert_eq!(town.balance(1, CAROL), 300);
}

/// One cheque cleared by way of bank 1, and everything paid off.
fn a_day_between(town: &mut Town) -> u64 {
    let cheque = town.cheque(ALICE, 300);
    town.deposit(&cheque);
    town.run();
    for (at, with, paid) in [(0, 1, true), (1, 0, false), (1, 2, true), (2, 1, false)] {
        let paid = movement(town, at, with, 300, paid);
        town.act(at, |bank, cx| bank.cheques.pay_off(cx, &paid)).unwrap();
    }
    day_of(town.now)
}

#[test]
fn a_bank_compares_no_page_that_is_forged_foreign_or_out_of_order() {
    let mut town = Town::new(2);
    let day = a_day(&mut town);
    let page = state(&mut town, 0, 1, day, None).unwrap();
    let forged = altered(&key(66), network(0), &page, |_| ());
    assert_eq!(code(compare(&mut town, 1, 0, &forged)), Code::Signature);
    let foreign = altered(&bank_key(0), network(0), &page, |page| page.to = key(66).id());
    assert_eq!(code(compare(&mut town, 1, 0, &foreign)), Code::Malformed);
    let twice = altered(&bank_key(0), network(0), &page, |page| {
        let line = page.lines.as_slice()[0];
        page.lines = Bounded::new(vec![line, line]).unwrap();
    });
    assert_eq!(code(compare(&mut town, 1, 0, &twice)), Code::Malformed);
    assert!(compare(&mut town, 1, 0, &page).is_ok());
}

#[test]
fn an_answer_dated_back_to_a_day_that_was_stated_without_it_convicts_the_bank() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    town.deposit(&cheque);
    let day = day_of(town.now);
    let morning = town.now;
    town.now = town.now.after(Span::from_secs(23 * 3_600 + 1_800));
    let page = state(&mut town, 0, 1, day, None).unwrap();
    compare(&mut town, 1, 0, &page).unwrap();
    let sent = town.send_due(1).pop().unwrap();
    let presented = farthing_core::wire::decode(&sent.message).unwrap();
    let mut told = end(town.present(0, bank_key(1).id(), &presented).unwrap());
    told.drawee = altered(&bank_key(0), network(0), &told.drawee, |said| said.time = morning);
    let (from, matter) = (sent.to, sent.matter);
    let told = Answer::Final(Box::new(told));
    town.act(1, |bank, cx| bank.cheques.on_answer(cx, from, matter, told)).unwrap();
    assert_eq!(town.evidence(1), [(EvidenceKind::OutcomeDenied, Verdict::Guilty(bank_key(0).id()))]);
    assert_eq!(town.balance(1, CAROL), 300);
}
