//! T1, T2, T3, T5 and T7: requests to transfer.

use farthing_core::amount::Currency;
use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::id::OrderId;
use farthing_core::meter::{Op, measure};
use farthing_core::refusal::{Code, Money, Remedy};
use farthing_core::seed::Secret;
use farthing_core::time::{SKEW, Span};
use farthing_ledger::Ledger;
use farthing_role::REQUEST_HORIZON;
use farthing_store::Overlay;

use crate::bank::{CASES_PER_DAY, Clearing, Terms};
use crate::compare::Next;
use crate::frame::{Frame, FrameKind};
use crate::keys::MasterKey;
use crate::messages::{Acknowledged, Asking, TransferAnswer, TransferRequest, TransferResult};
use crate::payee::acknowledge;
use crate::payer::{Answered, Transfer};
use crate::testing::{ALICE, CAROL, Customer, DAVE, FUNDED, HERE, World, code, expected, key, micros, rng, transfer};
use crate::wallet;

/// A request of Alice's own making, whatever her wallet thinks of it.
fn forge(alice: &Customer, change: impl FnOnce(&mut TransferRequest)) -> Vec<u8> {
    let wallet = &alice.wallet;
    let mut request = TransferRequest {
        epoch: wallet.epoch,
        sequence: wallet.next,
        commitment: wallet.log.commitment(),
        received: wallet.log.incoming.n,
        amount: micros(100),
        payee: key(CAROL).id(),
        order: OrderId([1; 32]),
        time: farthing_core::time::Time::from_millis(1_700_000_000_000),
        receipt: false,
    };
    change(&mut request);
    Frame::seal(HERE, FrameKind::Transfer, wallet.me, &wallet.key, [5; 24], &Asking::Plain(request))
}

#[test]
fn t1_a_request_replayed_after_success_gets_the_same_answer_and_moves_nothing() {
    let (mut world, [mut alice, ..]) = World::new();
    let frame = alice.ask(world.now, CAROL, 100, 1);
    let answer = world.hand(&frame).unwrap();
    for _ in 0..3 {
        assert_eq!(world.hand(&frame).unwrap(), answer, "byte for byte");
    }
    alice.hear(&answer).unwrap();
    assert_eq!((world.balance(ALICE), world.balance(CAROL)), (FUNDED - 100, 100));
    assert_eq!(alice.hear(&answer).unwrap_err().code, Code::Replay, "nor does the wallet book it twice");
    world.pay(&mut alice, CAROL, 1, 2);
}

#[test]
fn t2_an_answer_lost_on_the_way_costs_one_payment_and_the_wallet_lets_no_second_one_out() {
    let (mut world, [mut alice, ..]) = World::new();
    let frame = alice.ask(world.now, CAROL, 100, 1);
    world.hand(&frame).unwrap(); // The answer is lost.
    let another = alice.wallet.pay(world.now, &transfer(CAROL, 100, 1), None, &mut rng(4));
    assert_eq!(another.unwrap_err().code, Code::State);
    let again = alice.wallet.pending().unwrap().frame.clone();
    assert_eq!(again, frame);
    let answer = world.hand(&again).unwrap();
    assert!(matches!(alice.hear(&answer), Ok(Answered::Paid(..))));
    assert_eq!(world.balance(CAROL), 100);
}

#[test]
fn t3_another_amount_under_the_same_number_stops_the_account_and_convicts_who_signed() {
    let (mut world, [mut alice, ..]) = World::new();
    let mut thief = alice.clone();
    let signer = key(ALICE);
    let first = alice.wallet.pay(world.now, &transfer(CAROL, 100, 1), Some(&signer), &mut rng(4)).unwrap();
    let answer = world.hand(&first).unwrap();
    alice.hear(&answer).unwrap();
    let second = thief.wallet.pay(world.now, &transfer(DAVE, 900, 1), Some(&signer), &mut rng(5)).unwrap();
    let why = world.refused(&mut thief, &second);
    assert_eq!((why.code, why.remedy, why.money), (Code::Conflict, Remedy::Reconcile, Money::Unmoved));
    assert_eq!((world.balance(CAROL), world.balance(DAVE)), (100, 0));
    // Evidence for everybody, a case for the operator, and nothing more leaves the account.
    let filed = &world.evidence()[0];
    assert_eq!(filed.evidence.kind, EvidenceKind::ClearingRequestFork);
    assert_eq!(filed.verdict, Verdict::Guilty(signer.id()));
    assert_eq!(crate::verdict::judge(HERE, world.bank.bank(), &filed.evidence), filed.verdict);
    let case = &world.cases()[0];
    assert_eq!((case.customer, case.code, case.numbers), (signer.id(), Code::Conflict, (2, 1)));
    let frame = alice.ask(world.now, CAROL, 1, 2);
    assert_eq!(world.refused(&mut alice, &frame).code, Code::Reconcile);
    // Books compared, it goes on.
    assert!(matches!(world.compare(&mut alice), Next::Agreed(Some(_))));
    world.pay(&mut alice, CAROL, 1, 3);
}

#[test]
fn an_unsigned_fork_stops_the_account_too_but_convicts_nobody() {
    let (mut world, [mut alice, ..]) = World::new();
    let mut twin = alice.clone();
    twin.rng = rng(99);
    let second = twin.ask(world.now, DAVE, 900, 1);
    let first = alice.ask(world.now, CAROL, 100, 1);
    let answer = world.hand(&first).unwrap();
    assert_eq!(twin.hear(&answer).unwrap_err().code, Code::Replay, "an answer to the other copy's request");
    alice.hear(&answer).unwrap();
    assert_eq!(world.refused(&mut twin, &second).code, Code::Conflict);
    assert!(world.evidence().is_empty(), "both ends hold the key: it proves nothing to others");
    assert_eq!(world.cases().len(), 1);
}

#[test]
fn a_number_ahead_of_its_time_stops_the_account_until_books_are_compared() {
    let (mut world, [mut alice, ..]) = World::new();
    let jump = forge(&alice, |request| request.sequence = 7);
    assert_eq!(world.hand(&jump).map(|_| ()), Ok(()));
    assert_eq!(world.cases()[0].numbers, (1, 7));
    let frame = alice.ask(world.now, CAROL, 1, 2);
    assert_eq!(world.refused(&mut alice, &frame).code, Code::Reconcile);
    assert_eq!(world.balance(CAROL), 0);
    // More of the same fills no table: the account is stopped before the number is looked at.
    for sequence in 8..20 {
        world.hand(&forge(&alice, |request| request.sequence = sequence)).unwrap();
    }
    assert_eq!(world.cases().len(), 1);
    world.compare(&mut alice);
    world.pay(&mut alice, CAROL, 1, 3);
}

#[test]
fn an_old_request_replayed_by_the_network_stops_nobody() {
    let (mut world, [mut alice, ..]) = World::new();
    let mut kept = Vec::new();
    for order in 1..5 {
        let frame = alice.ask(world.now, CAROL, 10, order);
        let answer = world.hand(&frame).unwrap();
        alice.hear(&answer).unwrap();
        kept.push(frame);
    }
    for frame in &kept {
        world.hand(frame).unwrap();
    }
    assert!(world.cases().is_empty());
    world.pay(&mut alice, CAROL, 10, 9);
    assert_eq!(world.balance(CAROL), 50);
}

#[test]
fn t5_a_payer_that_edits_an_old_entry_of_its_log_is_found_out_with_its_next_payment() {
    let (mut world, [mut alice, ..]) = World::new();
    world.pay(&mut alice, CAROL, 100, 1);
    world.pay(&mut alice, CAROL, 200, 2);
    // Alice would rather have paid less.
    let mut edited = farthing_core::audit::AuditLog::new(alice.id());
    for mut entry in alice.outgoing.clone() {
        entry.amount = micros(1);
        edited.outgoing = edited.outgoing.after(&entry).unwrap();
    }
    alice.wallet.log = edited;
    let frame = alice.ask(world.now, CAROL, 1, 3);
    let why = world.refused(&mut alice, &frame);
    assert_eq!((why.code, why.remedy), (Code::Log, Remedy::Reconcile));
    assert_eq!(alice.wallet.standing(), wallet::Standing::MustReconcile);
    assert_eq!(world.cases()[0].code, Code::Log);
    assert_eq!(world.balance(CAROL), 300);
}

#[test]
fn a_customer_that_stops_its_own_account_again_and_again_floods_no_operator() {
    let (mut world, [mut alice, ..]) = World::new();
    let stop = |world: &mut World, alice: &mut Customer| {
        alice.wallet.next += 7;
        let ahead = alice.ask(world.now, CAROL, 1, 1);
        assert_eq!(world.refused(alice, &ahead).code, Code::Sequence);
        assert!(matches!(world.compare(alice), Next::Agreed(_)));
    };
    for _ in 0..=CASES_PER_DAY {
        stop(&mut world, &mut alice);
    }
    assert_eq!(world.cases().len(), CASES_PER_DAY as usize);
    world.now = world.now.after(Span::from_secs(24 * 60 * 60));
    stop(&mut world, &mut alice);
    assert_eq!(world.cases().len(), CASES_PER_DAY as usize + 1, "another day, another word");
}

#[test]
fn a_frame_opened_before_its_key_was_replaced_is_not_carried_out_after() {
    let (mut world, [mut alice, ..]) = World::new();
    let frame = alice.ask(world.now, CAROL, 100, 1);
    let checked = world.bank.check(&frame, &Overlay::new(&world.store)).unwrap();
    world.rotate(&mut alice);
    assert_eq!(world.act(|bank, cx| bank.apply(cx, checked)).map_err(code), Err(Code::Certificate));
    assert_eq!(world.balance(CAROL), 0);
}

#[test]
fn t7_the_banks_answer_thrown_back_at_it_opens_nothing() {
    let (mut world, [mut alice, ..]) = World::new();
    let frame = alice.ask(world.now, CAROL, 100, 1);
    let answer = world.hand(&frame).unwrap();
    assert_eq!(world.hand(&answer), Err(Code::Malformed), "it names no customer");
    // Dressed up as a request of Alice's.
    let mut dressed = Frame::read(&answer, FrameKind::Answer).unwrap();
    dressed.customer = Some(alice.id());
    for kind in [FrameKind::Transfer, FrameKind::Hello, FrameKind::Page, FrameKind::Fetch] {
        dressed.kind = kind;
        assert_eq!(world.hand(&farthing_core::wire::encode(&dressed)), Err(Code::Decrypt));
    }
    // Nor is her own request an answer to her.
    assert!(alice.hear(&frame).is_err());
    assert!(matches!(alice.hear(&answer), Ok(Answered::Paid(..))));
}

#[test]
fn what_fails_after_the_number_uses_it_up_and_both_sides_go_on_from_the_next() {
    let (mut world, [mut alice, ..]) = World::new();
    let poor = alice.ask(world.now, CAROL, FUNDED + 1, 1);
    let answer = world.hand(&poor).unwrap();
    let why = world.refused(&mut alice, &poor);
    assert_eq!((why.code, why.remedy, why.money), (Code::Funds, Remedy::Fund, Money::Unmoved));
    assert_eq!(world.hand(&poor).unwrap(), answer, "the refusal is repeated, not looked at again");
    let stranger = alice.ask(world.now, 99, 5, 2);
    assert_eq!(world.refused(&mut alice, &stranger).code, Code::Unknown);
    let zero = forge(&alice, |request| request.amount = Currency::XTS.zero());
    world.hand(&zero).unwrap();
    alice.wallet.next += 1;
    let own = forge(&alice, |request| request.payee = key(ALICE).id());
    let answer = Frame::read(&world.hand(&own).unwrap(), FrameKind::Answer).unwrap();
    let answer: TransferAnswer = answer.open(HERE, alice.id(), &alice.wallet.key).unwrap();
    assert!(matches!(answer.result, TransferResult::Refused(why) if why.code == Code::Unknown));
    alice.wallet.next += 1;
    for time in [world.now.after(SKEW).after(Span::from_millis(1)), world.now.before(REQUEST_HORIZON)] {
        let untimely = forge(&alice, |request| request.time = time);
        world.hand(&untimely).unwrap();
        alice.wallet.next += 1;
    }
    assert_eq!(world.balance(CAROL), 0);
    world.pay(&mut alice, CAROL, 5, 3);
    assert_eq!(world.balance(CAROL), 5);
}

#[test]
fn a_request_that_was_refused_for_want_of_money_is_not_carried_out_when_money_comes() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let frame = carol.ask(world.now, ALICE, 50, 1);
    assert_eq!(world.refused(&mut carol, &frame).code, Code::Funds);
    world.pay_and_deliver(&mut alice, &mut carol, 100, 2);
    world.hand(&frame).unwrap();
    assert_eq!(world.balance(CAROL), 100);
}

#[test]
fn a_suspended_account_neither_pays_nor_loses_its_number_and_is_not_paid() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let (id, now) = (world.account(farthing_ledger::AccountKind::Customer, alice.id()), world.now);
    world.act(|_, cx| Ok(Ledger(&mut *cx.tx).freeze(id, now)?)).unwrap();
    let frame = alice.ask(world.now, CAROL, 100, 1);
    assert_eq!(world.refused(&mut alice, &frame).code, Code::Suspended);
    assert!(alice.wallet.pending().is_some(), "the bytes may still be carried out one day");
    let frame = carol.ask(world.now, ALICE, 1, 2);
    assert_eq!(world.refused(&mut carol, &frame).code, Code::Unknown);
    world.act(|_, cx| Ok(Ledger(&mut *cx.tx).unfreeze(id, now)?)).unwrap();
    assert!(matches!(world.compare(&mut alice), Next::Agreed(_)));
    world.pay(&mut alice, CAROL, 100, 3);
    assert_eq!(world.balance(CAROL), 100);
}

#[test]
fn a_stranger_gets_nothing_done_and_nothing_opened() {
    let (mut world, [mut alice, ..]) = World::new();
    let mut stranger = alice.clone();
    stranger.wallet.me = key(77).id();
    let frame = stranger.ask(world.now, CAROL, 100, 1);
    let (answer, cost) = measure(|| world.hand(&frame));
    assert_eq!(answer, Err(Code::Unknown));
    assert_eq!((cost.of(Op::Aead), cost.of(Op::Hash), cost.of(Op::Verify)), (0, 0, 0));
    let good = alice.ask(world.now, CAROL, 100, 1);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(world.hand(&bad).is_err(), "byte {at} may be changed");
    }
    assert!(world.cases().is_empty());
    assert_eq!(world.balance(CAROL), 0);
}

#[test]
fn weakness_4_a_signed_request_and_a_signed_receipt_bind_both_sides() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let with_receipt = Transfer { receipt: true, ..transfer(CAROL, 100, 1) };
    let frame = alice.wallet.pay(world.now, &with_receipt, Some(&key(ALICE)), &mut rng(4)).unwrap();
    let answer = world.hand(&frame).unwrap();
    assert_eq!(world.hand(&frame).unwrap(), answer, "with its signature");
    let Answered::Paid(paid, entry) = alice.hear(&answer).unwrap() else { panic!("refused") };
    assert_eq!(entry.reference, paid.auth.0);
    let receipt = paid.receipt.clone().unwrap().verify_by(HERE, world.bank.bank()).unwrap();
    assert_eq!((receipt.body().amount, receipt.body().order), (micros(100), OrderId([1; 32])));
    let received = carol.receive(world.now, &paid, &expected(100, 1)).unwrap().outcome.unwrap();
    let signed = acknowledge(HERE, &key(CAROL), received.clone(), true);
    paid.on_receipt(HERE, alice.id(), &signed).unwrap();
    // Not by somebody else, nor for something else.
    let dave = acknowledge(HERE, &key(DAVE), received.clone(), true);
    assert_eq!(paid.on_receipt(HERE, alice.id(), &dave).unwrap_err().code, Code::Signature);
    let mut other = received;
    other.amount = micros(99);
    assert_eq!(paid.on_receipt(HERE, alice.id(), &Acknowledged::Plain(other)).unwrap_err().code, Code::Order);
    // Somebody else's signature on a request is as good as none.
    let frame = alice.wallet.pay(world.now, &transfer(CAROL, 1, 2), Some(&key(DAVE)), &mut rng(5)).unwrap();
    assert_eq!(world.hand(&frame), Err(Code::Signature));
}

#[test]
fn a_payment_costs_six_openings_and_seals_and_no_signature() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    world.pay_and_deliver(&mut alice, &mut carol, 1, 1);
    let (frame, asking) = measure(|| alice.ask(world.now, CAROL, 100, 2));
    let (answer, clearing) = measure(|| world.hand(&frame).unwrap());
    let (paid, hearing) = measure(|| match alice.hear(&answer).unwrap() {
        Answered::Paid(paid, _) => paid,
        other => panic!("{other:?}"),
    });
    let (received, receiving) = measure(|| carol.receive(world.now, &paid, &expected(100, 2)).unwrap());
    let payment = farthing_core::wire::encode(&paid.payment(false));
    let receipt = farthing_core::wire::encode(&acknowledge(HERE, &key(CAROL), received.outcome.unwrap(), false));
    let all = asking.plus(clearing).plus(hearing).plus(receiving);
    assert_eq!((all.of(Op::Sign), all.of(Op::Verify), all.of(Op::Hpke)), (0, 0, 0));
    assert_eq!(
        (asking.of(Op::Aead), clearing.of(Op::Aead), hearing.of(Op::Aead), receiving.of(Op::Aead)),
        (1, 3, 1, 1)
    );
    let bytes = [frame.len(), answer.len(), payment.len(), receipt.len()];
    assert!(bytes.iter().sum::<usize>() <= 1_000, "four messages, {bytes:?} bytes");
}

#[test]
fn a_repeat_is_answered_even_when_the_account_was_stopped_meanwhile() {
    let (mut world, [mut alice, ..]) = World::new();
    let frame = alice.ask(world.now, CAROL, 100, 1);
    let answer = world.hand(&frame).unwrap(); // Lost.
    let jump = forge(&alice, |request| request.sequence = 9);
    world.hand(&jump).unwrap();
    assert_eq!(world.hand(&frame).unwrap(), answer);
    let record = world.act(|bank, cx| bank.needs_reconciliation(&*cx.tx, alice.id(), cx.now).map_err(Into::into));
    assert_eq!(record, Ok(true));
}

#[test]
fn one_request_moves_no_more_than_the_terms_allow() {
    let (mut world, [mut alice, ..]) = World::new();
    world.bank = Clearing::new(
        HERE,
        key(1),
        MasterKey::new(Secret::new([9; 32])),
        Terms { limit: 100, ..Terms::of(vec![Currency::XTS]) },
    );
    let frame = alice.ask(world.now, CAROL, 101, 1);
    assert_eq!(world.refused(&mut alice, &frame).code, Code::Limit);
    world.pay(&mut alice, CAROL, 100, 2);
    assert_eq!(world.balance(CAROL), 100);
}

#[test]
fn a_payer_that_forgets_a_receipt_it_has_acknowledged_is_found_out() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    world.pay_and_deliver(&mut alice, &mut carol, 100, 1);
    let before = carol.wallet.log;
    world.pay_and_deliver(&mut alice, &mut carol, 100, 2);
    let frame = carol.ask(world.now, DAVE, 500, 3); // Refused for want of money, but it acknowledges both.
    assert_eq!(world.refused(&mut carol, &frame).code, Code::Funds);
    carol.wallet.log = before;
    let frame = carol.ask(world.now, DAVE, 5, 4);
    assert_eq!(world.refused(&mut carol, &frame).code, Code::Log);
}

#[test]
fn payer_believes_no_answer_that_is_not_what_it_asked_even_from_the_bank() {
    let (mut world, [mut alice, ..]) = World::new();
    let frame = alice.ask(world.now, CAROL, 100, 1);
    let good = world.hand(&frame).unwrap();
    let read = Frame::read(&good, FrameKind::Answer).unwrap();
    let told: TransferAnswer = read.open(HERE, alice.id(), &alice.wallet.key).unwrap();
    let TransferResult::Paid(authorised) = &told.result else { panic!("refused") };
    let lies: [fn(&mut crate::messages::Authorised); 3] =
        [|lie| lie.amount = micros(99), |lie| lie.payee = key(DAVE).id(), |lie| lie.payer = key(DAVE).id()];
    for lie in lies {
        let mut changed = authorised.clone();
        lie(&mut changed);
        let answer = TransferAnswer { result: TransferResult::Paid(changed), ..told.clone() };
        let answer = Frame::seal(HERE, FrameKind::Answer, alice.id(), &alice.wallet.key, [3; 24], &answer);
        let why = alice.hear(&answer).unwrap_err();
        assert_eq!((why.code, why.money, why.remedy), (Code::Conflict, Money::Unknown, Remedy::Appeal));
        assert!(alice.wallet.pending().is_some());
    }
    alice.hear(&good).unwrap();
}
