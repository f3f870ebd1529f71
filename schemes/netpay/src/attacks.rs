//! The attacks of the protocol book's §14 and what stops each.

use farthing_core::chain::{Word, WordError};
use farthing_core::evidence::Verdict;
use farthing_core::id::{NetworkId, OrderId};
use farthing_core::refusal::Code;
use farthing_core::time::{SKEW, Span};
use farthing_core::wire;
use farthing_ledger::AccountKind::{Customer, Deposit};
use farthing_role::Halt;

use crate::bank::{CaseState, NetPay, Terms};
use crate::messages::{AskRelease, Claim, Defend, Freed, Pay, Register, RegisterAnswer, Release, Reserve};
use crate::payee::PayError;
use crate::payer::{Purse, PurseError};
use crate::testing::{HERE, ORDER, World, key, leave, paid, refused};
use crate::verdict;

const PAYER: u8 = 10;
const S1: u8 = 20;
const S2: u8 = 30;

fn enrolled() -> World {
    let mut world = World::new();
    world.enrol(key(PAYER).id(), 1_000_000, 50_000);
    world.enrol(key(S1).id(), 0, 0);
    world.enrol(key(S2).id(), 0, 0);
    world
}

fn code(halt: Halt) -> Code {
    match halt {
        Halt::Refused(why) => why.code,
        Halt::Store(why) => panic!("{why}"),
    }
}

#[test]
fn payees_are_paid_each_unit_once_and_the_rest_comes_back() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    assert_eq!(world.balance(Customer, payer.account), 900_000);
    let first = world.visit(&mut payer, &key(S1), 20, 5);
    let (release, claim) = leave(&world, &key(S1), &first);
    assert_eq!(payer.purse.on_release(HERE, release, 5), Ok(5));
    let second = world.visit(&mut payer, &key(S2), 15, 15);
    assert_eq!(second.reserve().body().from, 6, "units given back are used first");
    let (release, later) = leave(&world, &key(S2), &second);
    payer.purse.on_release(HERE, release, 15).unwrap();
    assert_eq!(paid(&world.claim(&key(S1), vec![claim])[0]), (5_000, 0));
    assert_eq!(paid(&world.claim(&key(S2), vec![later])[0]), (15_000, 0));
    world.now = world.now.after(Span::from_days(10));
    world.act(|bank, cx| bank.refund_due(cx)).unwrap();
    assert_eq!(world.balance(Customer, payer.account), 980_000);
    assert_eq!((world.balance(Customer, key(S1).id()), world.balance(Customer, key(S2).id())), (5_000, 15_000));
    assert!(world.evidence().is_empty());
}

#[test]
fn t1_bank_refuses_a_payee_that_spends_words_another_payee_received() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let counting = world.visit(&mut payer, &key(S1), 20, 5);
    let stolen = counting.claim().unwrap();
    assert_eq!(refused(&world.claim(&key(S2), vec![stolen.clone()])[0]), Code::NotPayee);
    let mine = world.claim(&key(S1), vec![stolen]);
    assert_eq!(paid(&mine[0]), (5_000, 0), "the theft took nothing from the one who earned it");
}

#[test]
fn t2_double_reserve_is_detected_and_the_second_payee_compensated_from_the_deposit() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let mut twin = payer.twin();
    let at_s1 = world.visit(&mut payer, &key(S1), 20, 10);
    let at_s2 = world.visit(&mut twin, &key(S2), 20, 15);
    assert_eq!(paid(&world.claim(&key(S1), vec![at_s1.claim().unwrap()])[0]), (10_000, 0));
    assert_eq!(paid(&world.claim(&key(S2), vec![at_s2.claim().unwrap()])[0]), (5_000, 10), "no unit is paid twice");
    let cases = NetPay::cases_of(&farthing_store::Overlay::new(&world.store), payer.account).unwrap();
    assert_eq!((cases.len(), cases[0].state, cases[0].contested), (1, CaseState::Open, 10));
    world.now = world.now.after(Span::from_days(2));
    world.act(|bank, cx| bank.settle_due(cx)).unwrap();
    assert!(world.is_suspended(payer.account));
    assert_eq!(world.balance(Customer, key(S2).id()), 15_000);
    assert_eq!(world.balance(Deposit, payer.account), 40_000);
    assert_eq!(world.evidence()[0].verdict, Verdict::Guilty(payer.signer.id()));
}

#[test]
fn t2_two_payees_that_saw_both_reserves_convict_without_the_bank() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let mut twin = payer.twin();
    let a = payer.reserve(world.now, key(S1).id(), 20).reserve;
    let b = twin.reserve(world.now, key(S2).id(), 20).reserve;
    let bank = world.bank.bank();
    assert_eq!(verdict::double_reserve(HERE, bank, a.clone(), b.clone(), vec![]), Verdict::Guilty(payer.signer.id()));
    let elsewhere = NetworkId([9; 16]);
    assert_eq!(verdict::double_reserve(elsewhere, bank, a.clone(), b, vec![]), Verdict::Insufficient);
    assert_eq!(verdict::double_reserve(HERE, bank, a.clone(), a, vec![]), Verdict::Insufficient);
}

#[test]
fn t2_registered_units_are_prevented_from_being_reserved_twice() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let mut twin = payer.twin();
    let a = payer.reserve(world.now, key(S1).id(), 20).reserve;
    let b = twin.reserve(world.now, key(S2).id(), 20).reserve;
    let register = |reserve| Register { reserve, previous: None };
    let noted = world.act(|bank, cx| bank.register(cx, key(S1).id(), register(a.clone()))).unwrap();
    assert!(matches!(noted, RegisterAnswer::Noted(_)));
    let again = world.act(|bank, cx| bank.register(cx, key(S1).id(), register(a))).unwrap();
    assert!(matches!(again, RegisterAnswer::Noted(_)), "noting twice is noting once");
    let taken = world.act(|bank, cx| bank.register(cx, key(S2).id(), register(b))).unwrap();
    assert!(matches!(taken, RegisterAnswer::Taken { .. }));
}

#[test]
fn t2_an_honest_payer_that_reuses_released_units_is_cleared_and_the_cheating_payee_convicted() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    // S1 releases through 5, then gets words 6 to 15 from its accomplice S2 and claims them.
    let at_s1 = world.visit(&mut payer, &key(S1), 20, 5);
    let release = at_s1.release(&key(S1), HERE, world.now);
    payer.purse.on_release(HERE, release, 5).unwrap();
    let at_s2 = world.visit(&mut payer, &key(S2), 15, 10);
    let word = payer.purse.pay_again(ORDER).unwrap().word;
    let beyond = Claim { through: 15, word, ..at_s1.claim().unwrap() };
    assert_eq!(paid(&world.claim(&key(S1), vec![beyond])[0]), (15_000, 0));
    // S2 claims what it earned: its claim carries S1's release, so the case settles at once.
    let line = &world.claim(&key(S2), vec![at_s2.claim().unwrap()])[0];
    assert_eq!(paid(line), (0, 10));
    assert_eq!(world.evidence().last().unwrap().verdict, Verdict::Guilty(key(S1).id()));
    assert!(world.is_suspended(key(S1).id()));
    assert!(!world.is_suspended(payer.account));
    assert_eq!(world.balance(Customer, key(S2).id()), 10_000, "made whole from the cheat's account");
}

#[test]
fn t2_a_framed_payer_clears_itself_with_the_release_it_kept() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let at_s1 = world.visit(&mut payer, &key(S1), 20, 5);
    let (release, _) = leave(&world, &key(S1), &at_s1);
    payer.purse.on_release(HERE, release, 5).unwrap();
    let at_s2 = world.visit(&mut payer, &key(S2), 15, 10);
    // S2 claims first and hides the release; S1 then claims beyond its own.
    let hidden = Claim { previous: None, ..at_s2.claim().unwrap() };
    world.claim(&key(S2), vec![hidden]);
    let word = payer.purse.pay_again(ORDER).unwrap().word;
    let beyond = Claim { through: 15, word, ..at_s1.claim().unwrap() };
    assert_eq!(paid(&world.claim(&key(S1), vec![beyond])[0]), (5_000, 10));
    let cases = NetPay::cases_of(&farthing_store::Overlay::new(&world.store), payer.account).unwrap();
    let freed = payer.purse.defence(&at_s1.reserve().digest()).unwrap().clone();
    let defend = Defend { case: cases[0].number, freed };
    let case = world.act(|bank, cx| bank.defend(cx, payer.account, defend)).unwrap();
    assert_eq!(case.state, CaseState::PayeeGuilty(key(S1).id()));
    assert!(!world.is_suspended(payer.account));
}

#[test]
fn t3_payee_refuses_a_stale_or_foreign_release_in_place_of_the_one_named() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let at_s1 = world.visit(&mut payer, &key(S1), 20, 5);
    let (release, _) = leave(&world, &key(S1), &at_s1);
    payer.purse.on_release(HERE, release, 5).unwrap();
    let visit = payer.reserve(world.now, key(S2).id(), 15);
    let admit = |visit| world.payee(key(S2).id()).admit(world.now, ORDER, visit).map_err(|why| why.code);
    let mut other = visit.clone();
    // A release of the same reserve that S1 signed at another moment, saying less.
    let stale = Release { chain: payer.purse.chain(), reserve: at_s1.reserve().digest(), through: 0, time: world.now };
    other.previous.as_mut().unwrap().freed = Freed::Payee(key(S1).sign(HERE, &stale));
    assert_eq!(admit(other).unwrap_err(), Code::Range);
    let mut forged = visit.clone();
    let stale = Release { through: 5, ..stale };
    forged.previous.as_mut().unwrap().freed = Freed::Payee(key(S2).sign(HERE, &stale));
    assert_eq!(admit(forged).unwrap_err(), Code::Range);
    let mut missing = visit.clone();
    missing.previous = None;
    assert_eq!(admit(missing).unwrap_err(), Code::Range);
    assert!(admit(visit).is_ok());
}

#[test]
fn t4_bank_refuses_a_payee_that_claims_beyond_its_own_release() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let counting = world.visit(&mut payer, &key(S1), 20, 5);
    let (release, claim) = leave(&world, &key(S1), &counting);
    let pay = payer.purse.pay(1, ORDER).unwrap();
    let beyond = Claim { through: 6, word: pay.word, release: Some(release), ..claim };
    assert_eq!(refused(&world.claim(&key(S1), vec![beyond])[0]), Code::Range);
}

#[test]
fn t5_payee_refuses_an_anchor_that_does_not_hash_to_the_root_the_bank_signed() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let at_s1 = world.visit(&mut payer, &key(S1), 20, 5);
    let (release, _) = leave(&world, &key(S1), &at_s1);
    payer.purse.on_release(HERE, release, 5).unwrap();
    // A colluding S1 could quote any word it likes; only the root counts.
    let mut visit = payer.reserve(world.now, key(S2).id(), 15);
    visit.anchor = Some(Word([66; 32]));
    let refusal = world.payee(key(S2).id()).admit(world.now, ORDER, visit.clone()).unwrap_err();
    assert_eq!(refusal.code, Code::Chain);
    visit.anchor = None;
    assert_eq!(world.payee(key(S2).id()).admit(world.now, ORDER, visit).unwrap_err().code, Code::Malformed);
}

#[test]
fn t6_bank_refuses_a_third_party_that_redeems_an_overheard_claim() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let counting = world.visit(&mut payer, &key(S1), 20, 5);
    world.enrol(key(99).id(), 0, 0);
    assert_eq!(refused(&world.claim(&key(99), vec![counting.claim().unwrap()])[0]), Code::NotPayee);
}

#[test]
fn t7_nobody_pays_takes_or_claims_the_unit_after_the_last() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 10, 11);
    let mut counting = world.visit(&mut payer, &key(S1), 10, 10);
    assert_eq!(payer.purse.pay(1, ORDER), Err(PurseError::ReserveUsedUp { upto: 10 }));
    assert_eq!(payer.purse.left(), 0);
    let beyond = Pay { index: 11, word: Word([1; 32]), order: ORDER };
    assert_eq!(counting.on_pay(world.now, &beyond), Err(PayError::Word(WordError::BeyondEnd { upto: 10 })));
    let mut wide: Reserve = counting.reserve().body().clone();
    wide.upto = 11;
    let claim = Claim { reserve: payer.signer.sign(HERE, &wide), through: 11, ..counting.claim().unwrap() };
    assert_eq!(refused(&world.claim(&key(S1), vec![claim])[0]), Code::Range);
}

#[test]
fn t8_a_payer_that_crashed_between_writing_and_sending_sends_the_same_word_again() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let mut counting = world.visit(&mut payer, &key(S1), 20, 5);
    let lost = payer.purse.pay(1, ORDER).unwrap();
    let written = payer.purse.state().clone();
    let mut after = Purse::resume(written, payer.seed).unwrap();
    let again = after.pay_again(ORDER).unwrap();
    assert_eq!(again, lost);
    assert_eq!(counting.on_pay(world.now, &again), Ok(1));
    let twice = counting.on_pay(world.now, &again);
    assert_eq!(twice, Err(PayError::Word(WordError::NotAboveTip { tip: 6 })), "twice sent is once paid");
}

#[test]
fn t8_a_payer_that_wrote_ahead_agrees_with_the_payee_on_where_they_stood() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let mut counting = world.visit(&mut payer, &key(S1), 20, 5);
    let written = payer.purse.state_ahead(8);
    let mut after = Purse::resume(written, payer.seed).unwrap();
    assert_eq!(after.left_in_reserve(), 7, "what may have been sent counts as sent");
    assert_eq!(after.agree(14), Err(PurseError::FalseRelease), "more than can have been sent");
    after.agree(counting.through()).unwrap();
    let next = after.pay(1, ORDER).unwrap();
    assert_eq!(counting.on_pay(world.now, &next), Ok(1));
}

#[test]
fn t8_a_claim_repeated_after_a_lost_answer_is_paid_once() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let counting = world.visit(&mut payer, &key(S1), 20, 5);
    let id = world.request_id();
    let claim = counting.claim().unwrap();
    assert_eq!(paid(&world.claim_as(&key(S1), id, vec![claim.clone()])[0]), (5_000, 0));
    assert_eq!(paid(&world.claim_as(&key(S1), id, vec![claim.clone()])[0]), (0, 0));
    assert_eq!(paid(&world.claim(&key(S1), vec![claim])[0]), (0, 0));
    assert_eq!(world.balance(Customer, key(S1).id()), 5_000);
}

#[test]
fn a_claim_for_less_than_was_paid_changes_nothing() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let low = world.visit(&mut payer, &key(S1), 20, 5);
    let mut high = low.clone();
    let pay = payer.purse.pay(4, ORDER).unwrap();
    assert_eq!(high.on_pay(world.now, &pay), Ok(4), "a payment may jump");
    assert_eq!(paid(&world.claim(&key(S1), vec![high.claim().unwrap()])[0]), (9_000, 0));
    assert_eq!(paid(&world.claim(&key(S1), vec![low.claim().unwrap()])[0]), (0, 0));
}

#[test]
fn one_claim_listed_twice_in_a_request_is_paid_once_and_a_bad_one_hinders_no_other() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let counting = world.visit(&mut payer, &key(S1), 20, 5);
    let claim = counting.claim().unwrap();
    let forged = Claim { word: Word([3; 32]), ..claim.clone() };
    let lines = world.claim(&key(S1), vec![forged, claim.clone(), claim]);
    assert_eq!(refused(&lines[0]), Code::Chain);
    assert_eq!((paid(&lines[1]), paid(&lines[2])), ((5_000, 0), (0, 0)));
}

#[test]
fn bank_refuses_a_claim_whose_reserve_the_payer_did_not_sign() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let counting = world.visit(&mut payer, &key(S1), 20, 5);
    let claim = counting.claim().unwrap();
    let forged = Claim { reserve: key(S1).sign(HERE, counting.reserve().body()), ..claim.clone() };
    assert_eq!(refused(&world.claim(&key(S1), vec![forged])[0]), Code::Signature);
    let mut bytes = wire::encode(&claim.reserve);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let damaged = Claim { reserve: wire::decode(&bytes).unwrap(), ..claim };
    assert_eq!(refused(&world.claim(&key(S1), vec![damaged])[0]), Code::Signature);
}

#[test]
fn bank_refuses_more_hashing_than_one_request_may_cost() {
    let mut world = World::new();
    world.enrol(key(PAYER).id(), 5_000_000_000, 0);
    world.enrol(key(S1).id(), 0, 0);
    let units = farthing_core::chain::CHAIN_LEN_MAX;
    let mut payer = world.open(&key(PAYER), units, 11);
    let visit = payer.reserve(world.now, key(S1).id(), 10);
    let reserve = Reserve { from: units - 9, upto: units, ..visit.reserve.peek().unwrap() };
    let claim = |serial| Claim {
        reserve: payer.signer.sign(HERE, &Reserve { serial, ..reserve.clone() }),
        release: None,
        previous: None,
        through: units,
        word: Word([serial as u8; 32]),
    };
    let lines = world.claim(&key(S1), (0..4).map(claim).collect());
    let codes: Vec<Code> = lines.iter().map(refused).collect();
    assert_eq!(codes, [Code::Chain, Code::Chain, Code::Limit, Code::Limit]);
}

#[test]
fn payee_refuses_a_visit_that_is_forged_foreign_stale_or_for_something_else() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let visit = payer.reserve(world.now, key(S1).id(), 20);
    let admit = |at, order, visit: &crate::messages::Visit| {
        world.payee(key(S1).id()).admit(at, order, visit.clone()).map(|_| ()).map_err(|why| why.code)
    };
    assert_eq!(admit(world.now, ORDER, &visit), Ok(()));
    assert_eq!(admit(world.now, OrderId([1; 32]), &visit), Err(Code::Order));
    assert_eq!(admit(world.now.after(Span::from_hours(24)), ORDER, &visit), Err(Code::Expired));
    let other = world.payee(key(S2).id()).admit(world.now, ORDER, visit.clone()).unwrap_err();
    assert_eq!(other.code, Code::NotPayee);
    let touchstone = visit.touchstone.peek().unwrap();
    let mut forged = visit.clone();
    forged.touchstone = key(PAYER).sign(HERE, &touchstone);
    assert_eq!(admit(world.now, ORDER, &forged), Err(Code::Signature));
    forged.touchstone = key(1).sign(NetworkId([9; 16]), &touchstone);
    assert_eq!(admit(world.now, ORDER, &forged), Err(Code::Signature));
    let mut stolen = visit.clone();
    stolen.reserve = key(S2).sign(HERE, &visit.reserve.peek().unwrap());
    assert_eq!(admit(world.now, ORDER, &stolen), Err(Code::Signature));
    for (from, upto) in [(0, 5), (5, 4), (90, 101), (1, u32::MAX)] {
        let mut odd = visit.clone();
        odd.reserve = payer.signer.sign(HERE, &Reserve { from, upto, ..visit.reserve.peek().unwrap() });
        assert!(matches!(admit(world.now, ORDER, &odd), Err(Code::Range | Code::Limit)), "{from}..{upto}");
    }
}

#[test]
fn payee_refuses_payments_after_the_reserve_ended_or_for_another_order() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let mut counting = world.visit(&mut payer, &key(S1), 20, 1);
    let pay = payer.purse.pay(1, ORDER).unwrap();
    let other = Pay { order: OrderId([1; 32]), ..pay };
    assert_eq!(counting.on_pay(world.now, &other), Err(PayError::OtherOrder));
    assert_eq!(counting.on_pay(world.now.after(Span::from_hours(24)), &pay), Err(PayError::Ended));
    assert_eq!(counting.on_pay(world.now, &pay), Ok(1), "a refusal cost nothing");
}

#[test]
fn a_long_purchase_extends_its_reserve_only_where_the_last_one_was_used_up() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let counting = world.visit(&mut payer, &key(S1), 4, 3);
    let (payee, ends) = (world.payee(key(S1).id()), world.now.after(Span::from_hours(24)));
    assert_eq!(payer.purse.extend(&payer.signer, HERE, ORDER, 4, ends), Err(PurseError::InUse));
    let early = Reserve { from: 5, upto: 8, serial: 9, ..counting.reserve().body().clone() };
    let refused = counting.extend(&payee, world.now, payer.signer.sign(HERE, &early)).unwrap_err();
    let (mut counting, why) = *refused;
    assert_eq!(why.code, Code::Range);
    counting.on_pay(world.now, &payer.purse.pay(1, ORDER).unwrap()).unwrap();
    let full = counting.claim().unwrap();
    let further = payer.purse.extend(&payer.signer, HERE, ORDER, 4, ends).unwrap();
    let mut counting = counting.extend(&payee, world.now, further).unwrap();
    assert!(counting.claim().is_none(), "nothing is paid under the further reserve yet");
    counting.on_pay(world.now, &payer.purse.pay(2, ORDER).unwrap()).unwrap();
    let lines = world.claim(&key(S1), vec![full, counting.claim().unwrap()]);
    assert_eq!((paid(&lines[0]), paid(&lines[1])), ((4_000, 0), (2_000, 0)));
}

#[test]
fn payer_keeps_the_units_of_a_payee_that_releases_falsely_out_of_use() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let counting = world.visit(&mut payer, &key(S1), 20, 5);
    let honest = counting.release(&key(S1), HERE, world.now).peek().unwrap();
    for through in [4, 6] {
        // Less than it acknowledged would let it claim the difference later; more was never paid.
        let lie = key(S1).sign(HERE, &Release { through, ..honest.clone() });
        assert_eq!(payer.purse.on_release(HERE, lie, 5), Err(PurseError::FalseRelease));
    }
    let forged = key(S2).sign(HERE, &honest);
    assert_eq!(payer.purse.on_release(HERE, forged, 5), Err(PurseError::FalseRelease));
    payer.purse.abandon().unwrap();
    let next = payer.reserve(world.now, key(S2).id(), 10).reserve.peek().unwrap();
    assert_eq!(next.from, 21, "beyond all that the lying payee may claim");
    assert_eq!(payer.purse.at_risk(), 30);
}

#[test]
fn payer_spends_one_chain_at_one_payee_at_a_time() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    payer.reserve(world.now, key(S1).id(), 10);
    let ends = world.now.after(Span::from_hours(1));
    let second = payer.purse.reserve(&payer.signer, HERE, key(S2).id(), ORDER, 10, ends);
    assert_eq!(second, Err(PurseError::InUse), "a word for the second would reveal the first one's");
}

#[test]
fn two_payees_cannot_frame_a_payer_because_a_reserve_has_an_end() {
    // The book's weakness 7: pay S1 one word, reserve from 2 at S2; S2 leaks its word and S1 claims 1..2.
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let at_s1 = world.visit(&mut payer, &key(S1), 1, 1);
    payer.purse.abandon().unwrap();
    let at_s2 = world.visit(&mut payer, &key(S2), 1, 1);
    let leaked = at_s2.claim().unwrap();
    let beyond = Claim { through: 2, word: leaked.word, ..at_s1.claim().unwrap() };
    assert_eq!(refused(&world.claim(&key(S1), vec![beyond])[0]), Code::Range);
    assert_eq!(paid(&world.claim(&key(S2), vec![leaked])[0]), (1_000, 0));
    assert!(world.evidence().is_empty());
}

#[test]
fn bank_releases_for_a_vanished_payee_only_when_its_time_to_claim_is_over() {
    let mut world = enrolled();
    let mut payer = world.open(&key(PAYER), 100, 11);
    let counting = world.visit(&mut payer, &key(S1), 20, 5);
    payer.purse.abandon().unwrap();
    let reserve = counting.reserve().signed().clone();
    let ends = counting.reserve().body().expires.after(Terms::default().grace);
    let ask = |world: &mut World, at| {
        world.now = at;
        let AskRelease { reserve } = AskRelease { reserve: reserve.clone() };
        world.act(|bank, cx| bank.broker_release(cx, payer.account, reserve))
    };
    // Up to the last moment the payee may claim; then for a while neither side gets anything.
    world.now = ends.before(Span::from_millis(1));
    assert_eq!(paid(&world.claim(&key(S1), vec![counting.claim().unwrap()])[0]), (5_000, 0));
    assert_eq!(code(ask(&mut world, ends).unwrap_err()), Code::NotYet);
    assert_eq!(refused(&world.claim(&key(S1), vec![counting.claim().unwrap()])[0]), Code::Expired);
    let release = ask(&mut world, ends.after(SKEW)).unwrap();
    let bank = world.bank.bank();
    assert_eq!(payer.purse.on_broker_release(HERE, bank, release), Ok(5));
    let visit = payer.reserve(world.now, key(S2).id(), 15);
    assert_eq!(visit.reserve.peek().unwrap().from, 6);
    assert!(world.payee(key(S2).id()).admit(world.now, ORDER, visit).is_ok());
}

#[test]
fn bank_refuses_chains_of_nothing_too_long_too_dear_or_opened_twice() {
    let mut world = enrolled();
    let payer = world.open(&key(PAYER), 100, 11);
    let touchstone = payer.purse.touchstone().clone();
    let mut ask = |change: fn(&mut crate::messages::OpenChain)| {
        let mut open = crate::messages::OpenChain { header: touchstone.header.clone(), root: touchstone.root };
        open.header.salt = [1; 16];
        change(&mut open);
        let id = world.request_id();
        code(world.act(|bank, cx| bank.open(cx, key(PAYER).id(), id, &open)).unwrap_err())
    };
    assert_eq!(ask(|open| open.header.units = 0), Code::Limit);
    assert_eq!(ask(|open| open.header.units = u32::MAX), Code::Limit);
    assert_eq!(ask(|open| open.header.units = 100_000), Code::Funds);
    assert_eq!(ask(|open| open.header.unit = open.header.unit.currency().zero()), Code::Amount);
    assert_eq!(ask(|open| open.header.not_after = farthing_core::time::Time::from_millis(1)), Code::Expired);
    assert_eq!(ask(|open| open.header.not_after = open.header.not_after.after(Span::from_days(99))), Code::Limit);
    assert_eq!(ask(|open| open.header.scope = farthing_core::chain::Scope::Payee(open.header.payer)), Code::Version);
    assert_eq!(ask(|open| open.header.salt = [11; 16]), Code::Conflict);
    let rich = farthing_core::amount::Currency::XTS.micros(farthing_core::amount::AMOUNT_MAX_MICROS).unwrap();
    let mut open = crate::messages::OpenChain { header: touchstone.header.clone(), root: touchstone.root };
    open.header.unit = rich;
    let id = world.request_id();
    assert_eq!(code(world.act(|bank, cx| bank.open(cx, key(PAYER).id(), id, &open)).unwrap_err()), Code::Amount);
}

#[test]
fn payer_refuses_a_touchstone_for_another_chain() {
    let mut world = enrolled();
    let payer = world.open(&key(PAYER), 100, 11);
    let other = world.open(&key(PAYER), 100, 12);
    let mut state = payer.purse.state().clone();
    state.touchstone = other.purse.state().touchstone.clone();
    assert_eq!(Purse::resume(state, payer.seed).unwrap_err(), PurseError::WrongTouchstone);
}
