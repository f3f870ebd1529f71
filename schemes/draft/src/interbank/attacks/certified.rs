use farthing_core::refusal::{Code, Fault, Remedy};
use farthing_core::sign::Verified;
use farthing_core::time::Span;
use farthing_ledger::{ACCOUNT_MAX, Ledger};
use farthing_role::Halt;
use farthing_store::Reader;

use super::super::messages::{Cashier, Certify, Fate};
use super::super::testing::*;
use super::super::{Payers, check_certified, endorse};
use crate::messages::Draft;

fn certify(
    town: &mut Town,
    asker: u8,
    cheque: &Verified<Draft>,
) -> Result<super::super::messages::Certification, Code> {
    let request = Certify { cheque: cheque.signed().clone(), serial: SERIAL };
    let said = town.act(0, |bank, cx| bank.cheques.certify(cx, &bank.payers, key(asker).id(), request));
    match said {
        Ok(said) => {
            check_certified(cheque, said.clone()).unwrap();
            Ok(said.peek().unwrap())
        }
        refused => Err(code(refused)),
    }
}

/// Spends all that Alice may spend.
fn spend_the_rest(town: &mut Town) {
    let account = town.account(0, ALICE);
    let available = town.act(0, |_, cx| Ok(cx.tx.account(account)?)).unwrap().unwrap().available_amount().unwrap();
    let draft = town.draft(1_000, available.as_micros());
    let all = town.signed(ALICE, &draft);
    town.deposit(&all);
    town.run();
}

#[test]
fn a_certified_cheque_clears_whatever_its_payor_spends_afterwards() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    let said = certify(&mut town, ALICE, &cheque).unwrap();
    assert_eq!(certify(&mut town, ALICE, &cheque).unwrap(), said);
    spend_the_rest(&mut town);
    let (presented, _) = town.deposit(&cheque);
    town.run();
    assert_eq!(fate(town.present(1, key(CAROL).id(), &presented).unwrap()), Fate::Cleared);
    assert_eq!((town.balance(0, ALICE), town.balance(1, CAROL)), (0, i128::from(FUNDS)));
}

#[test]
fn a_bank_that_cannot_pay_what_it_certified_says_so_as_its_own_trouble_and_bounces_nothing() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    let said = certify(&mut town, ALICE, &cheque).unwrap();
    // Somebody at the bank gave the hold back.
    town.act(0, |_, cx| Ok(Ledger(&mut *cx.tx).release(said.hold, cx.now)?)).unwrap();
    town.deposit(&cheque);
    let sent = town.send_due(1).remove(0);
    match town.carry(1, &sent) {
        Err(Halt::Refused(why)) => assert_eq!((why.fault, why.remedy), (Fault::Us, Remedy::Again)),
        answered => panic!("{answered:?}"),
    }
    assert_eq!(town.provisional(1, key(CAROL).id()), 300);
}

#[test]
fn t6_a_certified_hold_is_released_only_after_until() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    let said = certify(&mut town, ALICE, &cheque).unwrap();
    assert!(said.until > cheque.body().deposit_by);
    let expire = |town: &mut Town| town.act(0, |_, cx| Ok(Ledger(&mut *cx.tx).expire(said.hold, cx.now)?));
    town.now = cheque.body().deposit_by;
    assert_eq!(code(expire(&mut town)), Code::NotYet);
    let held = |town: &Town| town.banks[0].store.hold(said.hold).unwrap().unwrap().rest;
    assert_eq!(held(&town), micros(300));
    town.now = said.until;
    expire(&mut town).unwrap();
    assert!(held(&town).is_zero());
}

#[test]
fn a_payor_cannot_use_the_number_of_a_certified_cheque_for_another_nor_certify_twice() {
    let mut town = Town::new(2);
    let (draft, other) = (town.draft(5, 300), town.draft(5, 400));
    let (cheque, other) = (town.signed(ALICE, &draft), town.signed(ALICE, &other));
    certify(&mut town, ALICE, &cheque).unwrap();
    assert_eq!(certify(&mut town, ALICE, &other), Err(Code::Conflict));
    town.deposit(&other);
    town.deposit(&cheque);
    town.run();
    assert_eq!(town.balance(1, CAROL), 300);
}

#[test]
fn a_bank_certifies_only_for_the_payor_and_only_what_is_there_and_not_over() {
    let mut town = Town::new(2);
    let cheque = town.cheque(ALICE, 300);
    assert_eq!(certify(&mut town, CAROL, &cheque), Err(Code::Policy));
    let rich = town.cheque(ALICE, FUNDS + 1);
    assert_eq!(certify(&mut town, ALICE, &rich), Err(Code::Funds));
    let long = Draft { deposit_by: town.now.after(Span::from_days(31)), ..town.draft(9, 3) };
    let long = town.signed(ALICE, &long);
    assert_eq!(certify(&mut town, ALICE, &long), Err(Code::Limit));
    town.deposit(&cheque);
    town.run();
    assert_eq!(certify(&mut town, ALICE, &cheque), Err(Code::Spent));
    town.now = rich.body().deposit_by;
    assert_eq!(certify(&mut town, ALICE, &rich), Err(Code::Expired));
}

#[test]
fn payee_refuses_a_certification_of_another_cheque_or_by_another_bank() {
    let mut town = Town::new(2);
    let (cheque, other) = (town.cheque(ALICE, 300), town.cheque(ALICE, 300));
    let said = certify(&mut town, ALICE, &cheque).unwrap();
    let good = bank_key(0).sign(network(0), &said);
    assert_eq!(check_certified(&other, good.clone()).unwrap_err().code, Code::Certificate);
    let forged = bank_key(1).sign(network(0), &said);
    assert_eq!(check_certified(&cheque, forged).unwrap_err().code, Code::Signature);
    let short = altered(&bank_key(0), network(0), &good, |said| said.until = cheque.body().time);
    assert_eq!(check_certified(&cheque, short).unwrap_err().code, Code::Certificate);
    assert!(check_certified(&cheque, good).is_ok());
}

fn buy(town: &mut Town, buyer: u8, amount: u64) -> Verified<Draft> {
    let request = town.request_id();
    let deposit_by = town.now.after(Span::from_days(1));
    let order = farthing_core::id::OrderId([2; 32]);
    let ask = Cashier { payee: key(CAROL).id(), amount: micros(amount), order, deposit_by };
    let buyer = key(buyer).id();
    let cheque = town.act(0, |bank, cx| bank.cheques.cashier(cx, buyer, request, &ask)).unwrap();
    let again = town.act(0, |bank, cx| bank.cheques.cashier(cx, buyer, request, &ask)).unwrap();
    assert_eq!(cheque, again);
    cheque.verify_by(network(0), bank_key(0).id()).unwrap()
}

#[test]
fn a_cashiers_cheque_is_paid_for_when_it_is_bought_and_clears_once() {
    let mut town = Town::new(3);
    let cheque = buy(&mut town, ALICE, 300);
    assert_eq!(town.balance(0, ALICE), i128::from(FUNDS) - 300);
    spend_the_rest(&mut town);
    let before = town.balance(2, CAROL);
    town.deposit(&cheque);
    town.run();
    assert_eq!(town.balance(2, CAROL), before + 300);
    town.now = cheque.body().deposit_by;
    town.act(0, |bank, cx| bank.cheques.tick(cx)).unwrap();
    assert_eq!(town.balance(0, ALICE), 0);
}

#[test]
fn a_cashiers_cheque_that_nobody_presents_is_given_back_and_never_paid_as_well() {
    let mut town = Town::new(2);
    let (cheque, other) = (buy(&mut town, ALICE, 300), buy(&mut town, ALICE, 300));
    assert_ne!(cheque.digest(), other.digest());
    town.deposit(&cheque);
    let sent = town.send_due(1).remove(0);
    town.act(0, |bank, cx| bank.cheques.tick(cx)).unwrap();
    assert_eq!(town.balance(0, ALICE), i128::from(FUNDS) - 600);
    town.now = cheque.body().deposit_by;
    town.act(0, |bank, cx| bank.cheques.tick(cx)).unwrap();
    assert_eq!(town.balance(0, ALICE), i128::from(FUNDS));
    let _ = town.carry(1, &sent);
    assert_eq!((town.balance(0, ALICE), town.balance(1, CAROL)), (i128::from(FUNDS), 0));
}

#[test]
fn a_buyer_whose_account_is_full_gets_its_money_back_later_and_keeps_nobody_waiting() {
    let mut town = Town::new(2);
    town.enrol(0, 11, FUNDS);
    let full = buy(&mut town, ALICE, 300);
    town.now = town.now.after(Span::from_millis(1));
    buy(&mut town, 11, 300);
    town.enrol(0, ALICE, ACCOUNT_MAX - (FUNDS - 300));
    town.now = full.body().deposit_by.after(Span::from_millis(1));
    assert!(!town.act(0, |bank, cx| bank.cheques.tick(cx)).unwrap());
    assert_eq!((town.balance(0, 11), town.balance(0, ALICE)), (i128::from(FUNDS), i128::from(ACCOUNT_MAX)));
    let other = town.draft(77, 500);
    let (spends, outside) = (town.signed(ALICE, &other), town.outside(0));
    town.act(0, |bank, cx| bank.payers.pay(cx, &spends, SERIAL, outside)).unwrap();
    town.now = town.now.after(Span::from_days(1));
    for _ in 0..2 {
        town.act(0, |bank, cx| bank.cheques.tick(cx)).unwrap();
        assert_eq!(town.balance(0, ALICE), i128::from(ACCOUNT_MAX) - 200);
    }
}

#[test]
fn nobody_draws_a_cheque_in_the_banks_name() {
    let mut town = Town::new(2);
    // Even with the bank's own key: what it keeps no record of having sold, it does not pay. It does
    // not say so either, for this is the bank's own trouble, until the cheque has ended.
    let draft = town.draft(5, 300);
    let cheque = bank_key(0).sign(network(0), &draft).verify(network(0)).unwrap();
    let presented = endorse(&key(CAROL), &cheque, 0, bank_key(1).id(), town.now).unwrap();
    town.present(1, key(CAROL).id(), &presented).unwrap();
    town.run();
    assert_eq!(fate(town.present(1, key(CAROL).id(), &presented).unwrap()), Fate::Bounced(Code::Expired));
    assert_eq!(town.balance(1, CAROL), 0);
}
