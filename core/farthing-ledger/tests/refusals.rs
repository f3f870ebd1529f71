//! Every refusal, in its order: each request breaks many rules, and is mended one by one.

mod common;

use common::{Memory, account, at, eur, hold, id, transfer, xts};
use farthing_core::amount::{AMOUNT_MAX_MICROS, Currency};
use farthing_core::refusal::{Code, Money, Refusal, Remedy};
use farthing_ledger::{
    ACCOUNT_MAX, Account, AccountKind, HOLD_SPAN_MAX, Hold, HoldState, LedgerError, LedgerRefusal, Posted,
    TURNOVER_MAX, Transfer,
};

const WORLD: u8 = 1;
const ALICE: u8 = 2;
const BOB: u8 = 3;
const RICH: u8 = 4;
const EURO: u8 = 5;
const NOBODY: u8 = 9;

/// Alice has 100, Bob nothing, Rich all an account can hold.
fn books() -> Memory {
    let mut books = Memory::default()
        .with(WORLD, AccountKind::World, Currency::XTS)
        .with(ALICE, AccountKind::Customer, Currency::XTS)
        .with(BOB, AccountKind::Customer, Currency::XTS)
        .with(RICH, AccountKind::Customer, Currency::XTS)
        .with(EURO, AccountKind::Customer, eur());
    books.ledger().post(transfer(101, WORLD, ALICE, xts(100))).unwrap();
    books.ledger().post(transfer(102, WORLD, RICH, xts(ACCOUNT_MAX))).unwrap();
    books
}

/// Asserts that the refusal is this one and that nothing was written.
#[track_caller]
fn refused<T: std::fmt::Debug>(
    books: &mut Memory,
    step: impl FnOnce(&mut Memory) -> Result<T, LedgerError>,
    why: LedgerRefusal,
) {
    let before = books.clone();
    assert_eq!(step(books).unwrap_err(), LedgerError::Refused(why));
    assert_eq!(*books, before, "a refused request wrote something");
}

#[test]
fn ledger_refuses_a_transfer_for_its_first_fault_in_the_documented_order() {
    let mut books = books();
    books.ledger().freeze(account(BOB), at(1)).unwrap();
    let post = |t: Transfer| move |books: &mut Memory| books.ledger().post(t);
    let mut t = transfer(101, NOBODY, NOBODY, eur().zero());
    refused(&mut books, post(t), LedgerRefusal::ZeroAmount);
    t.amount = eur().micros(7).unwrap();
    refused(&mut books, post(t), LedgerRefusal::SameAccount(account(NOBODY)));
    t.credit = account(NOBODY + 1);
    refused(&mut books, post(t), LedgerRefusal::IdTaken(id(101)));
    t.id = id(7);
    refused(&mut books, post(t), LedgerRefusal::UnknownDebit(account(NOBODY)));
    t.debit = account(BOB);
    refused(&mut books, post(t), LedgerRefusal::UnknownCredit(account(NOBODY + 1)));
    t.credit = account(RICH);
    refused(&mut books, post(t), LedgerRefusal::Currency);
    t.amount = xts(7);
    refused(&mut books, post(t), LedgerRefusal::Frozen(account(BOB)));
    books.ledger().unfreeze(account(BOB), at(1)).unwrap();
    refused(&mut books, post(t), LedgerRefusal::Funds(account(BOB)));
    t.debit = account(ALICE);
    refused(&mut books, post(t), LedgerRefusal::Overflow(account(RICH)));
    t.credit = account(BOB);
    assert_eq!(books.ledger().post(t), Ok(Posted::Now));
    assert_eq!(books.accounts[&account(BOB)].balance(), 7);
}

#[test]
fn ledger_refuses_a_capture_for_its_first_fault_in_the_documented_order() {
    let mut books = books();
    for (n, amount) in [(20, 5), (21, 6), (22, 6)] {
        books.ledger().hold(hold(n, ALICE, xts(amount)), at(1)).unwrap();
    }
    books.ledger().release(id(20), at(2)).unwrap();
    let post = |t: Transfer| move |books: &mut Memory| books.ledger().capture(t);
    let mut t = transfer(7, WORLD, RICH, xts(8));
    refused(&mut books, post(t), LedgerRefusal::UnknownHold(id(7)));
    t.hold = Some(id(99));
    refused(&mut books, post(t), LedgerRefusal::UnknownHold(id(99)));
    t.hold = Some(id(20));
    refused(&mut books, post(t), LedgerRefusal::OthersHold(id(20)));
    t.debit = account(ALICE);
    t.at = at(1000);
    refused(&mut books, post(t), LedgerRefusal::HoldEnded(id(20), HoldState::Released));
    t.hold = Some(id(21));
    refused(&mut books, post(t), LedgerRefusal::HoldOver(id(21)));
    t.at = at(999);
    refused(&mut books, post(t), LedgerRefusal::HoldShort(id(21)));
    t.amount = xts(6);
    refused(&mut books, post(t), LedgerRefusal::Overflow(account(RICH)));
    t.credit = account(BOB);
    assert_eq!(books.ledger().capture(t), Ok(Posted::Now));
    assert_eq!(books.ledger().capture(t), Ok(Posted::Before));
    assert_eq!(books.holds[&id(21)].state, HoldState::Captured);
    let alice = books.accounts[&account(ALICE)];
    assert_eq!((alice.balance(), alice.held, alice.available()), (94, 6, 88));
}

#[test]
fn ledger_refuses_a_hold_for_its_first_fault_in_the_documented_order() {
    let mut books = books();
    books.ledger().freeze(account(BOB), at(1)).unwrap();
    let place = |h: Hold| move |books: &mut Memory| books.ledger().hold(h, at(1000));
    let mut h = Hold { rest: xts(1), ..hold(101, NOBODY, eur().zero()) };
    refused(&mut books, place(h), LedgerRefusal::ZeroAmount);
    h.amount = eur().micros(101).unwrap();
    refused(&mut books, place(h), LedgerRefusal::NotNew);
    h.rest = h.amount;
    refused(&mut books, place(h), LedgerRefusal::IdTaken(id(101)));
    h.id = id(7);
    refused(&mut books, place(h), LedgerRefusal::UnknownDebit(account(NOBODY)));
    h.account = account(BOB);
    refused(&mut books, place(h), LedgerRefusal::Currency);
    (h.amount, h.rest) = (xts(101), xts(101));
    refused(&mut books, place(h), LedgerRefusal::Frozen(account(BOB)));
    h.account = account(ALICE);
    refused(&mut books, place(h), LedgerRefusal::HoldOver(id(7)));
    h.until = at(1001).after(HOLD_SPAN_MAX);
    refused(&mut books, place(h), LedgerRefusal::HoldTooLong(id(7)));
    h.until = at(1000).after(HOLD_SPAN_MAX);
    refused(&mut books, place(h), LedgerRefusal::Funds(account(ALICE)));
    (h.amount, h.rest) = (xts(100), xts(100));
    assert_eq!(books.ledger().hold(h, at(1000)), Ok(Posted::Now));
    assert_eq!(books.ledger().hold(h, at(1001)), Ok(Posted::Before));
    let other = Hold { reference: [1; 32], ..h };
    refused(&mut books, place(other), LedgerRefusal::IdTaken(id(7)));
    // Nothing is left for a second hold or a transfer.
    refused(&mut books, place(Hold { id: id(8), ..h }), LedgerRefusal::Funds(account(ALICE)));
    let spend = transfer(9, ALICE, BOB, xts(1));
    refused(&mut books, |b| b.ledger().post(spend), LedgerRefusal::Funds(account(ALICE)));
}

#[test]
fn ledger_refuses_to_open_an_account_with_a_past_or_over_another() {
    let mut books = books();
    let alice = Account::new(account(ALICE), AccountKind::Customer, Currency::XTS, None, at(5));
    for bad in [
        Account { credits_posted: 5, ..alice },
        Account { debits_posted: 5, ..alice },
        Account { held: 5, ..alice },
        Account { frozen: true, ..alice },
    ] {
        refused(&mut books, |b| b.ledger().open(bad), LedgerRefusal::NotNew);
    }
    let world = Account { kind: AccountKind::World, ..alice };
    refused(&mut books, |b| b.ledger().open(world), LedgerRefusal::AccountTaken(account(ALICE)));
    let euro = Account { currency: eur(), ..alice };
    refused(&mut books, |b| b.ledger().open(euro), LedgerRefusal::AccountTaken(account(ALICE)));
    assert_eq!(books.ledger().open(alice), Ok(Posted::Before));
    assert_eq!(books.accounts[&account(ALICE)].balance(), 100, "opening again emptied the account");
}

#[test]
fn payer_cannot_make_money_by_paying_itself() {
    let mut books = books();
    let t = transfer(7, ALICE, ALICE, xts(5));
    refused(&mut books, |b| b.ledger().post(t), LedgerRefusal::SameAccount(account(ALICE)));
}

#[test]
fn ledger_posts_a_repeat_once_and_refuses_its_id_for_anything_else() {
    let mut books = books();
    let t = transfer(7, ALICE, BOB, xts(5));
    assert_eq!(books.ledger().post(t), Ok(Posted::Now));
    let posted = books.clone();
    assert_eq!(books.ledger().post(t), Ok(Posted::Before));
    assert_eq!(books.ledger().post(Transfer { at: at(50), ..t }), Ok(Posted::Before), "a later repeat is a repeat");
    assert_eq!(books, posted);
    for other in [
        Transfer { amount: xts(6), ..t },
        Transfer { amount: eur().micros(5).unwrap(), ..t },
        Transfer { debit: account(BOB), credit: account(ALICE), ..t },
        Transfer { credit: account(RICH), ..t },
        Transfer { reason: farthing_ledger::Reason(2), ..t },
        Transfer { reference: [1; 32], ..t },
        Transfer { hold: Some(id(1)), ..t },
    ] {
        refused(&mut books, |b| b.ledger().post(other), LedgerRefusal::IdTaken(id(7)));
    }
    let as_hold = hold(7, ALICE, xts(5));
    refused(&mut books, |b| b.ledger().hold(as_hold, at(1)), LedgerRefusal::IdTaken(id(7)));
    books.ledger().hold(hold(8, ALICE, xts(5)), at(1)).unwrap();
    let as_transfer = transfer(8, ALICE, BOB, xts(5));
    refused(&mut books, |b| b.ledger().post(as_transfer), LedgerRefusal::IdTaken(id(8)));
}

#[test]
fn overlapping_holds_cannot_promise_the_same_money_twice() {
    let mut books = books();
    books.ledger().hold(hold(10, ALICE, xts(60)), at(1)).unwrap();
    refused(&mut books, |b| b.ledger().hold(hold(11, ALICE, xts(41)), at(1)), LedgerRefusal::Funds(account(ALICE)));
    books.ledger().hold(hold(11, ALICE, xts(40)), at(1)).unwrap();
    // One hold's capture cannot reach into the other's money.
    let greedy = Transfer { hold: Some(id(11)), ..transfer(12, ALICE, BOB, xts(41)) };
    refused(&mut books, |b| b.ledger().capture(greedy), LedgerRefusal::HoldShort(id(11)));
}

#[test]
fn a_hold_ends_exactly_once() {
    let mut books = books();
    for n in [10, 11, 12] {
        books.ledger().hold(hold(n, ALICE, xts(10)), at(1)).unwrap();
    }
    let part = Transfer { hold: Some(id(10)), ..transfer(13, ALICE, BOB, xts(4)) };
    assert_eq!(books.ledger().capture(part), Ok(Posted::Now));
    assert_eq!(books.ledger().release(id(10), at(2)), Ok(Posted::Now));
    assert_eq!(books.ledger().release(id(10), at(3)), Ok(Posted::Before));
    refused(&mut books, |b| b.ledger().expire(id(10), at(1000)), LedgerRefusal::HoldEnded(id(10), HoldState::Released));
    refused(&mut books, |b| b.ledger().release(id(99), at(1)), LedgerRefusal::UnknownHold(id(99)));
    refused(&mut books, |b| b.ledger().expire(id(99), at(1)), LedgerRefusal::UnknownHold(id(99)));
    refused(&mut books, |b| b.ledger().expire(id(11), at(999)), LedgerRefusal::HoldLasts(id(11)));
    assert_eq!(books.ledger().expire_due(at(999), 9), Ok(0));
    assert_eq!(books.ledger().expire_due(at(1000), 1), Ok(1), "no more than asked for");
    assert_eq!(books.ledger().expire_due(at(1000), 9), Ok(1));
    assert_eq!(books.ledger().expire(id(11), at(1001)), Ok(Posted::Before));
    refused(&mut books, |b| b.ledger().release(id(11), at(1)), LedgerRefusal::HoldEnded(id(11), HoldState::Expired));
    let alice = books.accounts[&account(ALICE)];
    assert_eq!((alice.balance(), alice.held), (96, 0));
}

#[test]
fn a_frozen_account_receives_but_pays_nothing_not_even_from_a_hold() {
    let mut books = books();
    books.ledger().hold(hold(10, ALICE, xts(10)), at(1)).unwrap();
    assert_eq!(books.ledger().freeze(account(ALICE), at(2)), Ok(Posted::Now));
    assert_eq!(books.ledger().freeze(account(ALICE), at(3)), Ok(Posted::Before));
    refused(&mut books, |b| b.ledger().freeze(account(NOBODY), at(2)), LedgerRefusal::UnknownDebit(account(NOBODY)));
    let capture = Transfer { hold: Some(id(10)), ..transfer(11, ALICE, BOB, xts(1)) };
    for t in [transfer(12, ALICE, BOB, xts(1)), capture] {
        refused(&mut books, |b| b.ledger().post(t), LedgerRefusal::Frozen(account(ALICE)));
    }
    assert_eq!(books.ledger().post(transfer(13, WORLD, ALICE, xts(1))), Ok(Posted::Now));
    assert_eq!(books.ledger().release(id(10), at(3)), Ok(Posted::Now));
    assert_eq!(books.ledger().unfreeze(account(ALICE), at(4)), Ok(Posted::Now));
    assert_eq!(books.ledger().post(transfer(12, ALICE, BOB, xts(1))), Ok(Posted::Now));
}

#[test]
fn no_account_turns_over_more_than_the_limit_and_nothing_wraps() {
    let mut books = books();
    let all = xts(AMOUNT_MAX_MICROS);
    let rounds = u8::try_from(TURNOVER_MAX / AMOUNT_MAX_MICROS).unwrap();
    for round in 1..rounds - 1 {
        books.ledger().post(Transfer { reference: [1; 32], ..transfer(round, RICH, WORLD, all) }).unwrap();
        let mut back = transfer(round, WORLD, RICH, all);
        back.id.0[0] = 200;
        books.ledger().post(back).unwrap();
    }
    books.ledger().post(transfer(250, RICH, WORLD, all)).unwrap();
    // Its last balance is gone, so only the turnover forbids it.
    refused(&mut books, |b| b.ledger().post(transfer(251, WORLD, RICH, all)), LedgerRefusal::Overflow(account(WORLD)));
}

#[test]
fn books_that_break_the_rules_are_not_believed() {
    let mut books = books();
    books.accounts.get_mut(&account(ALICE)).unwrap().held = 101;
    let answer = books.ledger().post(transfer(7, ALICE, BOB, xts(1)));
    assert!(matches!(answer, Err(LedgerError::Store(_))), "{answer:?}");
}

#[test]
fn a_refusal_says_that_no_money_moved_and_tells_no_balance() {
    let refusal = Refusal::from(LedgerRefusal::Funds(account(ALICE)));
    assert_eq!((refusal.code, refusal.money, refusal.remedy), (Code::Funds, Money::Unmoved, Remedy::Fund));
    assert_eq!(Refusal::from(LedgerRefusal::IdTaken(id(1))).code, Code::Conflict);
    assert_eq!(Refusal::from(LedgerRefusal::Frozen(account(1))).code, Code::Suspended);
    assert_eq!(Refusal::from(LedgerRefusal::HoldOver(id(1))).remedy, Remedy::Stop);
}
