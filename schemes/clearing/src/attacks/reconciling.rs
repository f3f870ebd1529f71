//! Comparing books: what is repaired, what is disputed, and who must.

use farthing_core::audit::{AuditLog, Direction};
use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::id::OrderId;
use farthing_core::refusal::Code;
use farthing_core::time::Span;
use farthing_core::wire::Bounded;

use crate::bank::{LogEvent, LogHead, Terms, log_head, log_rows, verify_log};
use crate::compare::{Extent, Fate, Next};
use crate::frame::{Frame, FrameKind, MessageId};
use crate::reconciliation::{
    Agreed, Closing, LINES_MAX, LOG_PAGE_MAX, Lines, LogStatement, Page, PageAnswer, PageVerdict, Problem,
};
use crate::testing::{ALICE, CAROL, Customer, DAVE, FUNDED, HERE, World, expected, key, micros};
use farthing_store::Overlay;

#[test]
fn a_comparison_takes_four_messages_and_repairs_receipts_that_never_came() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    world.pay_and_deliver(&mut alice, &mut carol, 10, 1);
    let lost = world.pay(&mut alice, CAROL, 20, 2);
    world.pay(&mut alice, CAROL, 30, 3); // Lost as well.
    let (mut comparison, hello) = carol.wallet.compare(world.now, Extent::SinceAgreed, &mut carol.rng);
    let challenge = world.hand(&hello).unwrap();
    let Next::Send(page) = carol.step(&mut comparison, &challenge).unwrap().next else { panic!("no page") };
    let end = world.hand(&page).unwrap();
    assert_eq!(world.hand(&page).unwrap(), end, "a repeat changes nothing");
    let progress = carol.step(&mut comparison, &end).unwrap();
    assert_eq!(progress.next, Next::Agreed(None));
    assert_eq!(progress.repaired.len(), 2);
    assert_eq!(carol.wallet.balances(), [micros(60)]);
    assert_eq!(carol.paid_orders, [1, 2, 3].map(|order| OrderId([order; 32])), "the shop knows what was paid");
    // The ticket that turns up afterwards buys nothing twice.
    assert_eq!(carol.receive(world.now, &lost, &expected(20, 2)).unwrap_err().code, Code::Replay);
    world.pay(&mut carol, ALICE, 60, 4);
}

#[test]
fn the_fate_of_a_pending_payment_is_told_and_its_ticket_comes_with_it() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let frame = alice.ask(world.now, CAROL, 10, 1);
    world.hand(&frame).unwrap(); // The answer never comes.
    let Next::Agreed(Some(Fate::Paid(Some(paid)))) = world.compare(&mut alice) else { panic!("not paid") };
    assert!(carol.receive(world.now, &paid, &expected(10, 1)).unwrap().outcome.is_ok());
    assert_eq!((alice.wallet.pending(), alice.outgoing.len()), (None, 1));
    // And of one that never reached the bank: not paid, and never will be.
    let frame = alice.ask(world.now, CAROL, 10, 2);
    assert_eq!(world.compare(&mut alice), Next::Agreed(Some(Fate::NotPaid)));
    world.hand(&frame).unwrap();
    assert_eq!(world.balance(CAROL), 10, "the bytes come too late");
    world.pay(&mut alice, CAROL, 10, 3);
    // And of one that the bank refused.
    let frame = alice.ask(world.now, CAROL, FUNDED, 4);
    world.hand(&frame).unwrap();
    assert_eq!(world.compare(&mut alice), Next::Agreed(Some(Fate::NotPaid)));
}

#[test]
fn both_outcomes_end_with_a_number_that_both_use_next() {
    let (mut world, [mut alice, ..]) = World::new();
    world.pay(&mut alice, CAROL, 10, 1);
    world.compare(&mut alice);
    world.pay(&mut alice, CAROL, 10, 2);
    // Alice forges an entry; the books differ, and her number is the bank's all the same.
    forge_entry(&mut alice);
    assert!(matches!(world.compare(&mut alice), Next::Disputed(_)));
    let next = alice.wallet.next;
    world.act(|bank, cx| bank.settle(cx, alice.id())).unwrap();
    alice.wallet.adopt();
    (alice.outgoing, alice.incoming) = (Vec::new(), Vec::new());
    assert_eq!(world.compare(&mut alice), Next::Agreed(None));
    assert_eq!(alice.wallet.next, next + 1);
    world.pay(&mut alice, CAROL, 10, 3);
    assert_eq!(alice.outgoing.len(), 3);
}

/// Alice books a payment that never was.
fn forge_entry(alice: &mut Customer) {
    let line = crate::reconciliation::Line {
        auth: MessageId([66; 32]),
        peer: key(CAROL).id(),
        amount: micros(1),
        order: OrderId([6; 32]),
    };
    let entry = alice.wallet.append(&line, Direction::Out).unwrap();
    alice.store(entry);
}

#[test]
fn every_entry_that_differs_is_named_and_the_account_stays_shut_until_the_operator_settles_it() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    for order in 1..5 {
        world.pay_and_deliver(&mut alice, &mut carol, 10, order);
    }
    let mut log = AuditLog::new(alice.id());
    alice.outgoing[1].amount = micros(1);
    alice.outgoing[3].peer = key(DAVE).id();
    for entry in &alice.outgoing {
        log.outgoing = log.outgoing.after(entry).unwrap();
    }
    alice.wallet.log = log;
    forge_entry(&mut alice);
    let direction = Direction::Out;
    let Next::Disputed(problems) = world.compare_by(&mut alice, Extent::Whole) else { panic!("agreed") };
    let named = [
        Problem::Differs { direction, t: 2 },
        Problem::Differs { direction, t: 4 },
        Problem::NotAtBank { direction, t: 5 },
        Problem::Heads,
    ];
    assert_eq!(problems, named);
    assert!(problems[0].to_string().contains("show the operator"));
    assert_eq!(world.cases()[0].problems.as_slice(), named);
    // Not even the right books open it again before the operator has looked.
    alice.wallet.adopt();
    (alice.outgoing, alice.incoming) = (Vec::new(), Vec::new());
    assert_eq!(world.compare(&mut alice), Next::Disputed(vec![Problem::Open]));
    assert_eq!(world.cases().len(), 1);
    let (id, now) = (alice.id(), world.now);
    assert!(world.bank.needs_reconciliation(&Overlay::new(&world.store), id, now).unwrap());
    // It can still be paid, and pays again once settled.
    world.pay(&mut carol, ALICE, 5, 9);
    world.act(|bank, cx| bank.settle(cx, id)).unwrap();
    assert_eq!(world.compare(&mut alice), Next::Agreed(None));
    assert_eq!(alice.outgoing.len(), 4);
    assert_eq!(alice.wallet.balances(), [micros(FUNDED - 40 + 5)]);
    assert!(world.act(|bank, cx| bank.settle(cx, id)).is_err(), "there is nothing left to settle");
}

#[test]
fn a_log_longer_than_a_page_goes_in_pages_both_ways() {
    let (mut world, [mut alice, _, _]) = World::new();
    let payments = (LOG_PAGE_MAX * 2 + 7) as u64;
    for _ in 0..payments {
        world.pay(&mut alice, CAROL, 1, 1);
    }
    assert_eq!(world.compare(&mut alice), Next::Agreed(None));
    // A wallet that lost everything gets it all back.
    let mut restored = world.enrol(ALICE);
    assert!(LINES_MAX < payments as usize);
    assert_eq!(world.compare(&mut restored), Next::Agreed(None));
    assert_eq!(restored.wallet.log(), alice.wallet.log());
    assert_eq!(restored.outgoing, alice.outgoing);
    let mut carol = world.enrol(CAROL);
    assert_eq!(world.compare(&mut carol), Next::Agreed(None));
    assert_eq!(carol.wallet.balances(), [micros(payments)]);
    world.pay(&mut restored, CAROL, 1, 1);
    world.pay(&mut carol, ALICE, 1, 1);
}

#[test]
fn receipts_that_come_during_a_comparison_are_booked_once() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let paid: Vec<_> = (1..6).map(|order| world.pay(&mut alice, CAROL, 10, order)).collect();
    carol.receive(world.now, &paid[0], &expected(10, 1)).unwrap();
    let (mut comparison, hello) = carol.wallet.compare(world.now, Extent::SinceAgreed, &mut carol.rng);
    let challenge = world.hand(&hello).unwrap();
    let Next::Send(page) = carol.step(&mut comparison, &challenge).unwrap().next else { panic!("no page") };
    let end = world.hand(&page).unwrap();
    // Before the bank's last word arrives: the second, the fourth, and one that is newer than it.
    let newer = world.pay(&mut alice, CAROL, 10, 6);
    for (at, order) in [(1, 2), (3, 4)] {
        carol.receive(world.now, &paid[at], &expected(10, order)).unwrap();
    }
    carol.receive(world.now, &newer, &expected(10, 6)).unwrap();
    assert_eq!(carol.step(&mut comparison, &end).unwrap().next, Next::Agreed(None));
    assert_eq!(carol.incoming.iter().map(|entry| entry.t).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    for (paid, order) in paid.iter().chain([&newer]).zip(1..) {
        assert_eq!(carol.receive(world.now, paid, &expected(10, order)).unwrap_err().code, Code::Replay);
    }
    world.pay(&mut carol, ALICE, 60, 7);
}

#[test]
fn a_receipt_that_waited_during_a_comparison_is_not_taken_again_after_it() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let (mut comparison, hello) = carol.wallet.compare(world.now, Extent::SinceAgreed, &mut carol.rng);
    let challenge = world.hand(&hello).unwrap();
    let Next::Send(page) = carol.step(&mut comparison, &challenge).unwrap().next else { panic!("no page") };
    let end = world.hand(&page).unwrap();
    let late = world.pay(&mut alice, CAROL, 10, 1);
    let early = world.pay(&mut alice, CAROL, 10, 2);
    carol.receive(world.now, &early, &expected(10, 2)).unwrap();
    assert_eq!(carol.step(&mut comparison, &end).unwrap().next, Next::Agreed(None));
    assert_eq!(carol.receive(world.now, &early, &expected(10, 2)).unwrap_err().code, Code::Replay);
    carol.receive(world.now, &late, &expected(10, 1)).unwrap();
    assert_eq!(carol.wallet.log().incoming.n, 2);
}

/// Alice's comparison up to the page that is due.
fn due(world: &mut World, alice: &mut Customer) -> (crate::compare::Comparison, MessageId) {
    world.now = world.now.after(Span::from_millis(1));
    let (mut comparison, hello) = alice.wallet.compare(world.now, Extent::Whole, &mut alice.rng);
    let challenge = world.hand(&hello).unwrap();
    let _page = alice.step(&mut comparison, &challenge).unwrap();
    (comparison, MessageId::of(&challenge))
}

#[test]
fn a_log_that_ends_before_its_last_entry_is_disputed() {
    let (mut world, [mut alice, ..]) = World::new();
    world.pay(&mut alice, CAROL, 10, 1);
    let (_, answers) = due(&mut world, &mut alice);
    let start = AuditLog::new(alice.id());
    let page = Page {
        answers,
        start: Some(start),
        outgoing: Bounded::new(alice.outgoing.clone()).unwrap(),
        incoming: Bounded::empty(),
        closing: Some(Closing { log: start, pending: None, signed: None }),
    };
    let page = Frame::seal(HERE, FrameKind::Page, alice.id(), &alice.wallet.key, [8; 24], &page);
    let answer = Frame::read(&world.hand(&page).unwrap(), FrameKind::PageAnswer).unwrap();
    let answer: PageAnswer = answer.open(HERE, alice.id(), &alice.wallet.key).unwrap();
    let PageVerdict::Disputed(disputed) = answer.verdict else { panic!("agreed") };
    assert_eq!(disputed.problems.as_slice(), [Problem::Heads]);
}

#[test]
fn a_wallet_believes_no_lines_that_do_not_lead_to_the_log_the_bank_names() {
    let (mut world, [mut alice, ..]) = World::new();
    let (mut comparison, _) = due(&mut world, &mut alice);
    let line = crate::reconciliation::Line {
        auth: MessageId([66; 32]),
        peer: key(CAROL).id(),
        amount: micros(FUNDED),
        order: OrderId([6; 32]),
    };
    let mut log = AuditLog::new(alice.id());
    log.outgoing.n = 1; // The head is not the one that this line gives.
    let missing = Lines { outgoing: Bounded::new(vec![line]).unwrap(), incoming: Bounded::empty() };
    let agreed = Agreed { next: 9, epoch: 2, log, balances: Bounded::empty(), outcome: None, missing };
    let answer = PageAnswer { answers: comparison.sent(), verdict: PageVerdict::Agreed(agreed) };
    let answer = Frame::seal(HERE, FrameKind::PageAnswer, alice.id(), &alice.wallet.key, [8; 24], &answer);
    let before = alice.wallet.clone();
    assert_eq!(alice.step(&mut comparison, &answer).unwrap_err().code, Code::Conflict);
    assert_eq!(alice.wallet, before);
    assert_eq!(alice.wallet.standing(), crate::wallet::Standing::MustReconcile);
}

#[test]
fn a_challenge_to_an_earlier_hello_is_not_taken_for_the_answer_to_this_one() {
    let (mut world, [mut alice, ..]) = World::new();
    let (_, first) = alice.wallet.compare(world.now, Extent::SinceAgreed, &mut alice.rng);
    let old = world.hand(&first).unwrap();
    let (mut comparison, _) = alice.wallet.compare(world.now, Extent::SinceAgreed, &mut alice.rng);
    assert_eq!(alice.step(&mut comparison, &old).unwrap_err().code, Code::Replay);
}

#[test]
fn an_old_hello_or_page_replayed_by_the_network_interrupts_nothing() {
    let (mut world, [mut alice, ..]) = World::new();
    world.pay(&mut alice, CAROL, 10, 1);
    let (mut old, old_hello) = alice.wallet.compare(world.now, Extent::SinceAgreed, &mut alice.rng);
    let challenge = world.hand(&old_hello).unwrap();
    let Next::Send(old_page) = alice.step(&mut old, &challenge).unwrap().next else { panic!("no page") };
    world.now = world.now.after(Span::from_secs(1));
    let (mut comparison, hello) = alice.wallet.compare(world.now, Extent::SinceAgreed, &mut alice.rng);
    let challenge = world.hand(&hello).unwrap();
    assert_eq!(world.hand(&old_hello), Err(Code::Sequence));
    assert_eq!(world.hand(&old_page), Err(Code::State));
    assert_eq!(world.hand(&hello).unwrap(), challenge);
    let Next::Send(page) = alice.step(&mut comparison, &challenge).unwrap().next else { panic!("no page") };
    let end = world.hand(&page).unwrap();
    assert_eq!(world.hand(&old_page), Err(Code::State));
    assert_eq!(alice.step(&mut comparison, &end).unwrap().next, Next::Agreed(None));
    // A whole comparison, played again, moves neither number nor epoch.
    let before = world.act(|_, cx| Ok(cx.tx.scan(crate::bank::TABLES[0], all())?)).unwrap();
    for frame in [&hello, &page] {
        let _ = world.hand(frame);
    }
    assert_eq!(world.act(|_, cx| Ok(cx.tx.scan(crate::bank::TABLES[0], all())?)).unwrap(), before);
    world.pay(&mut alice, CAROL, 10, 2);
}

const fn all() -> farthing_role::Scan<'static> {
    farthing_role::Scan { prefix: &[], after: None, limit: 100 }
}

#[test]
fn money_goes_out_only_on_books_that_agree() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let needs = |world: &World, who: &Customer| {
        world.bank.needs_reconciliation(&Overlay::new(&world.store), who.id(), world.now).unwrap()
    };
    assert!(!needs(&world, &alice), "nothing has happened yet");
    let stranger = world.bank.needs_reconciliation(&Overlay::new(&world.store), key(77).id(), world.now);
    assert!(!stranger.unwrap(), "who does not use the clearing never must");
    world.pay_and_deliver(&mut alice, &mut carol, 10, 1);
    assert!(needs(&world, &alice));
    assert!(world.act(|bank, cx| bank.require_reconciled(cx, alice.id())).is_err());
    world.compare(&mut alice);
    world.compare(&mut carol);
    assert!(!needs(&world, &alice) && !needs(&world, &carol));
    // Money that comes in does not shut the door at once, but after a while.
    world.pay_and_deliver(&mut alice, &mut carol, 10, 2);
    assert!(!needs(&world, &carol));
    world.now = world.now.after(Terms::of(Vec::new()).reconciled_for);
    assert!(needs(&world, &carol));
    world.compare(&mut carol);
    assert!(!needs(&world, &carol));
}

#[test]
fn weakness_7_the_banks_own_log_shows_every_row_that_was_altered_taken_out_or_added() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    let start = world.act(|_, cx| Ok(log_head(&*cx.tx)?)).unwrap();
    for order in 1..5 {
        world.pay_and_deliver(&mut alice, &mut carol, 10, order);
    }
    world.compare(&mut alice);
    let rows = world.act(|_, cx| Ok(log_rows(&*cx.tx, start.seq, 100)?)).unwrap();
    let head = world.act(|_, cx| Ok(log_head(&*cx.tx)?)).unwrap();
    assert_eq!((rows.len(), head.seq), (5, start.seq + 5));
    assert_eq!(verify_log(start, &rows), Ok(head));
    for at in 0..rows.len() {
        let mut missing = rows.clone();
        missing.remove(at);
        assert_ne!(verify_log(start, &missing), Ok(head));
    }
    let mut forged = rows.clone();
    if let LogEvent::Moved { amount, .. } = &mut forged[1].event {
        *amount = micros(1);
    }
    assert!(verify_log(start, &forged).is_err());
    assert!(verify_log(LogHead::default(), &rows).is_err(), "nor does it follow from anything else");
}

#[test]
fn a_customer_that_signs_two_logs_of_one_epoch_is_convicted_and_an_honest_one_never() {
    let (mut world, [mut alice, ..]) = World::new();
    world.pay(&mut alice, CAROL, 10, 1);
    let honest = LogStatement { epoch: 1, log: alice.wallet.log };
    let mut other = honest.clone();
    other.log.outgoing.head[0] ^= 1;
    let sign = |statement: &LogStatement| key(ALICE).sign(HERE, statement);
    assert_eq!(crate::verdict::log_fork(HERE, sign(&honest), sign(&other)), Verdict::Guilty(alice.id()));
    world.pay(&mut alice, CAROL, 10, 2);
    let grown = LogStatement { epoch: 1, log: alice.wallet.log };
    let next_copy = LogStatement { epoch: 2, ..other.clone() };
    let mut received = honest.clone();
    received.log.incoming.head[0] ^= 1; // The bank could have told it two ways.
    for innocent in [&grown, &next_copy, &received, &honest] {
        assert_eq!(crate::verdict::log_fork(HERE, sign(&honest), sign(innocent)), Verdict::Insufficient);
    }
    let stranger = key(DAVE).sign(HERE, &other);
    assert_eq!(crate::verdict::log_fork(HERE, sign(&honest), stranger), Verdict::Insufficient);
}

#[test]
fn the_bank_files_two_signed_logs_that_differ() {
    let (mut world, [mut alice, ..]) = World::new();
    world.pay(&mut alice, CAROL, 10, 1);
    let mut liar = alice.clone();
    liar.outgoing[0].amount = micros(1);
    liar.wallet.log.outgoing =
        farthing_core::audit::SubChain::start(liar.id(), Direction::Out).after(&liar.outgoing[0]).unwrap();
    for teller in [&mut liar, &mut alice] {
        world.now = world.now.after(Span::from_millis(1));
        let (mut comparison, hello) = teller.wallet.compare(world.now, Extent::Whole, &mut teller.rng);
        let challenge = world.hand(&hello).unwrap();
        let entries = teller.outgoing.clone();
        let mut read = |direction, _, _| if direction == Direction::Out { entries.clone() } else { Vec::new() };
        let signer = key(ALICE);
        let rng = &mut teller.rng;
        let progress = comparison.step(&mut teller.wallet, &challenge, &mut read, Some(&signer), rng).unwrap();
        let Next::Send(page) = progress.next else { panic!("no page") };
        world.hand(&page).unwrap();
    }
    let filed = &world.evidence()[0];
    assert_eq!(filed.evidence.kind, EvidenceKind::ClearingLogFork);
    assert_eq!(filed.verdict, Verdict::Guilty(alice.id()));
    assert_eq!(crate::verdict::judge(HERE, world.bank.bank(), &filed.evidence), filed.verdict);
}

#[test]
fn a_bank_that_signs_two_receipts_for_one_authorisation_is_convicted() {
    let (world, [alice, ..]) = World::new();
    let receipt = crate::messages::BankReceipt {
        auth: MessageId([1; 32]),
        payer: alice.id(),
        payee: key(CAROL).id(),
        amount: micros(1),
        order: OrderId([1; 32]),
        time: world.now,
    };
    let other = crate::messages::BankReceipt { amount: micros(2), ..receipt.clone() };
    let later = crate::messages::BankReceipt { auth: MessageId([2; 32]), ..other.clone() };
    let sign = |who: u8, receipt| key(who).sign(HERE, receipt);
    let judge = |a, b| crate::verdict::receipt_fork(HERE, world.bank.bank(), a, b);
    assert_eq!(judge(sign(1, &receipt), sign(1, &other)), Verdict::Guilty(world.bank.bank()));
    assert_eq!(judge(sign(1, &receipt), sign(1, &later)), Verdict::Insufficient);
    assert_eq!(judge(sign(1, &receipt), sign(1, &receipt)), Verdict::Insufficient);
    assert_eq!(judge(sign(5, &receipt), sign(5, &other)), Verdict::Insufficient, "anybody can sign receipts");
}
