//! Reconciliation: who hides something, who keeps two wallets.

use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::refusal::Code;
use farthing_core::time::{SKEW, Span};

use farthing_role::Table;
use farthing_store::Overlay;

use crate::messages::{Agreement, Differs, Digest, PAGE_MAX, epoch_of};
use crate::testing::{ALICE, CAROL, Counted, DAVE, World, code, key, micros, paid};

fn problems(result: &Agreement) -> Vec<(u64, Differs)> {
    match result {
        Agreement::Problems(problems) => problems.as_slice().iter().map(|p| (p.number, p.what)).collect(),
        Agreement::Agreed(_) => panic!("the books agree"),
    }
}

#[test]
fn honest_parties_on_both_sides_reconcile_again_and_again() {
    let mut world = World::new();
    for day in 0..4 {
        for seed in [ALICE, CAROL] {
            let said = world.reconcile(seed, 700).unwrap();
            assert!(matches!(said.result, Agreement::Agreed(Some(_))), "day {day}: {said:?}");
        }
        world.pay(ALICE, CAROL, 300);
        if day % 2 == 0 {
            world.deposit(CAROL);
            world.reconcile(CAROL, 700).unwrap();
            world.pay(CAROL, ALICE, 100);
            world.deposit(ALICE);
        }
        world.later(Span::from_hours(20));
    }
    world.deposit(CAROL);
    assert_eq!(world.balance(ALICE) + world.balance(CAROL), 10_000);
    assert_eq!(world.balance(CAROL), 4 * 300 - 2 * 100);
    assert!(world.evidence().is_empty());
}

#[test]
fn t6_a_payer_that_leaves_a_deposited_draft_out_of_its_log_is_suspended_and_convicted() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    world.pay(ALICE, CAROL, 100);
    let before = world.wallets[&ALICE].clone();
    world.pay(ALICE, CAROL, 300);
    world.deposit(CAROL);
    world.wallets.insert(ALICE, before);
    world.later(Span::from_secs(1));
    let said = world.reconcile(ALICE, 1_000).unwrap();
    assert_eq!(problems(&said.result), [(2, Differs::Concealed)]);
    assert!(world.is_suspended(ALICE));
    assert_eq!(code(world.reconcile(ALICE, 1_000)), Code::Suspended);
    let filed = world.evidence();
    assert_eq!(filed[0].evidence.kind, EvidenceKind::ConcealedDraft);
    assert_eq!(filed[0].verdict, Verdict::Guilty(key(ALICE).id()));
    assert_eq!(world.balance(CAROL), 400);
}

#[test]
fn t6_a_payer_with_another_draft_in_its_log_than_was_deposited_is_convicted_by_its_own_page() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let before = world.wallets[&ALICE].clone();
    world.pay(ALICE, CAROL, 300);
    world.deposit(CAROL);
    world.wallets.insert(ALICE, before);
    world.draw(ALICE, DAVE, 100).unwrap();
    let said = world.reconcile(ALICE, 1_000).unwrap();
    assert_eq!(problems(&said.result), [(1, Differs::Altered)]);
    assert_eq!(world.evidence()[0].verdict, Verdict::Guilty(key(ALICE).id()));
    assert!(world.is_suspended(ALICE));
}

#[test]
fn a_draft_that_comes_to_light_after_its_number_was_reconciled_costs_the_next_certificate() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let before = world.wallets[&ALICE].clone();
    world.pay(ALICE, CAROL, 300);
    // The log that is shown has another draft in its place.
    world.wallets.insert(ALICE, before);
    world.draw(ALICE, DAVE, 100).unwrap();
    world.reconcile(ALICE, 1_000).unwrap();
    // Carol is paid all the same.
    assert_eq!(paid(&world.deposit(CAROL)[0]), 300);
    let said = world.reconcile(ALICE, 1_000).unwrap();
    assert_eq!(problems(&said.result), [(1, Differs::Altered)]);
    assert!(world.is_suspended(ALICE));
    // Pardoned and let off, it begins anew.
    let (alice, account) = (key(ALICE).id(), world.bank.chart().customer(key(ALICE).id()));
    world.act(|bank, cx| bank.pardon(cx, alice)).unwrap();
    world
        .act(|_, cx| {
            let now = cx.now;
            Ok(farthing_ledger::Ledger(&mut *cx.tx).unfreeze(account, now)?)
        })
        .unwrap();
    world.reconcile(ALICE, 1_000).unwrap();
    let drawn = world.pay(ALICE, CAROL, 100);
    assert_eq!(epoch_of(drawn.payment.draft.peek().unwrap().number), 1);
    world.deposit(CAROL);
    world.reconcile(ALICE, 1_000).unwrap();
}

#[test]
fn a_payer_that_rewrites_its_history_is_found_by_what_its_drafts_commit_to() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let before = world.wallets[&ALICE].clone();
    world.pay(ALICE, DAVE, 500);
    let second = world.draw(ALICE, CAROL, 100).unwrap();
    world.accept(CAROL, second.sealed.as_ref().unwrap(), 100).unwrap();
    world.deposit(CAROL);
    // Dave, an accomplice, destroys his draft; the log shows a cheaper one in its place, and the
    // draft to Carol as it was.
    world.wallets.insert(ALICE, before);
    world.draw(ALICE, DAVE, 1).unwrap();
    world
        .pays(ALICE, |payer, cx, _| {
            let mut log = crate::wallet::Log::read(&*cx.tx, payer.key.id())?.unwrap();
            let body = second.payment.draft.peek().unwrap();
            let event = farthing_core::audit::Event {
                kind: 0x0601,
                reference: second.payment.draft.digest(),
                peer: body.payee,
                amount: body.amount,
                direction: farthing_core::audit::Direction::Out,
            };
            log.append(cx, payer.key.id(), event)?;
            log.write(cx, payer.key.id());
            Ok(())
        })
        .unwrap();
    let said = world.reconcile(ALICE, 1_000).unwrap();
    assert_eq!(problems(&said.result), [(2, Differs::History)]);
}

#[test]
fn a_payee_that_makes_up_a_receipt_or_swaps_two_is_told_so() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    world.pay(ALICE, CAROL, 100);
    world
        .pays(CAROL, |payer, cx, _| {
            let key = payer.key.id();
            let mut log = crate::wallet::Log::new(key, payer.copy);
            let event = farthing_core::audit::Event {
                kind: 0x0606,
                reference: [5; 32],
                peer: key,
                amount: crate::testing::micros(5),
                direction: farthing_core::audit::Direction::In,
            };
            log.append(cx, key, event)?;
            log.write(cx, key);
            Ok(())
        })
        .unwrap();
    let said = world.reconcile(CAROL, 100).unwrap();
    assert_eq!(problems(&said.result), [(1, Differs::Receipt)]);
}

#[test]
fn a_restored_wallet_pays_nothing_until_the_old_certificate_has_ended_and_then_the_old_copy_nothing() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let backup = world.wallets[&ALICE].clone();
    world.pay(ALICE, CAROL, 100);
    let (live, old) = (world.wallets[&ALICE].clone(), world.copies[&ALICE]);
    // The copy knows that it is one, and does not pay.
    let restored = Digest([99; 32]);
    world.wallets.insert(ALICE, backup);
    world.copies.insert(ALICE, restored);
    assert_eq!(code(world.draw(ALICE, CAROL, 50)), Code::Epoch);
    assert_eq!(code(world.reconcile(ALICE, 500)), Code::Epoch);
    world.later(Span::from_hours(24));
    world.later(SKEW);
    let said = world.reconcile(ALICE, 500).unwrap();
    assert!(matches!(said.result, Agreement::Agreed(Some(_))));
    let drawn = world.pay(ALICE, DAVE, 50);
    assert_eq!(epoch_of(drawn.payment.draft.peek().unwrap().number), 1);
    // The draft that the backup never knew of is paid, and nobody is accused.
    world.deposit(CAROL);
    world.deposit(DAVE);
    assert_eq!((world.balance(ALICE), world.balance(CAROL), world.balance(DAVE)), (9_850, 100, 50));
    // The old copy wakes up: its certificate has ended, and the bank has given the next to the other.
    let copy = world.wallets.insert(ALICE, live).unwrap();
    world.copies.insert(ALICE, old);
    assert_eq!(code(world.draw(ALICE, CAROL, 50)), Code::Certificate);
    assert_eq!(code(world.reconcile(ALICE, 500)), Code::Epoch);
    world.wallets.insert(ALICE, copy);
    world.copies.insert(ALICE, restored);
    assert!(matches!(world.reconcile(ALICE, 500).unwrap().result, Agreement::Agreed(Some(_))));
    assert!(world.evidence().is_empty());
}

#[test]
fn a_wallet_made_anew_from_its_seed_begins_an_epoch_and_takes_up_its_receipts() {
    let mut world = World::new();
    for seed in [ALICE, CAROL] {
        world.reconcile(seed, 400).unwrap();
    }
    world.pay(ALICE, CAROL, 100);
    world.deposit(CAROL);
    world.wallets.insert(CAROL, farthing_store::MemoryStore::new(&crate::wallet::TABLES));
    world.copies.insert(CAROL, Digest([77; 32]));
    world.later(Span::from_hours(25));
    world.reconcile(CAROL, 400).unwrap();
    world.reconcile(ALICE, 400).unwrap();
    world.pay(ALICE, CAROL, 100);
    world.deposit(CAROL);
    world.pay(CAROL, ALICE, 50);
    assert!(matches!(world.reconcile(CAROL, 400).unwrap().result, Agreement::Agreed(Some(_))));
}

#[test]
fn a_reconciliation_whose_last_answer_is_lost_is_done_again() {
    let mut world = World::new();
    world.reconcile(ALICE, 400).unwrap();
    world.pay(ALICE, CAROL, 100);
    let ask = world.payer(ALICE).reconcile();
    let alice = key(ALICE).id();
    let opening = world.act(|bank, cx| bank.reconcile(cx, alice, &ask)).unwrap();
    world.pays(ALICE, |payer, cx, _| payer.on_opening(cx, opening)).unwrap();
    let page = world.pays(ALICE, |payer, cx, _| payer.next_page(cx)).unwrap().unwrap();
    let taken = world.act(|bank, cx| bank.page(cx, alice, &page, &[])).unwrap();
    world.pays(ALICE, |payer, cx, _| payer.on_page_taken(cx, &page, &taken)).unwrap();
    let closing = world.pays(ALICE, |payer, cx, _| payer.close(cx, None)).unwrap();
    world.act(|bank, cx| bank.close(cx, alice, closing)).unwrap();
    world.pay(ALICE, CAROL, 100);
    assert!(matches!(world.reconcile(ALICE, 400).unwrap().result, Agreement::Agreed(Some(_))));
    world.deposit(CAROL);
    assert_eq!(world.balance(CAROL), 200);
}

#[test]
fn bank_takes_no_closing_out_of_turn_for_another_log_or_after_it_was_used() {
    let mut world = World::new();
    let ask = world.payer(ALICE).reconcile();
    let alice = key(ALICE).id();
    let opening = world.act(|bank, cx| bank.reconcile(cx, alice, &ask)).unwrap();
    world.pays(ALICE, |payer, cx, _| payer.on_opening(cx, opening)).unwrap();
    let closing = world.pays(ALICE, |payer, cx, _| payer.close(cx, Some(crate::testing::micros(10)))).unwrap();
    let mut other = closing.peek().unwrap();
    other.log.outgoing.n += 1;
    let other = key(ALICE).sign(crate::testing::HERE, &other);
    assert_eq!(code(world.act(|bank, cx| bank.close(cx, alice, other))), Code::Log);
    let mut old = closing.peek().unwrap();
    old.opening = Digest([0; 32]);
    let old = key(ALICE).sign(crate::testing::HERE, &old);
    assert_eq!(code(world.act(|bank, cx| bank.close(cx, alice, old))), Code::Reconcile);
    assert_eq!(code(world.act(|bank, cx| bank.close(cx, key(CAROL).id(), closing.clone()))), Code::Signature);
    world.act(|bank, cx| bank.close(cx, alice, closing.clone())).unwrap();
    assert_eq!(code(world.act(|bank, cx| bank.close(cx, alice, closing))), Code::Reconcile);
}

#[test]
fn payer_takes_no_opening_from_elsewhere_or_from_a_state_that_is_not_its_own() {
    let mut world = World::new();
    world.reconcile(ALICE, 400).unwrap();
    world.pay(ALICE, CAROL, 100);
    let ask = world.payer(ALICE).reconcile();
    let opening = world.act(|bank, cx| bank.reconcile(cx, key(ALICE).id(), &ask)).unwrap();
    let forged = key(CAROL).sign(crate::testing::HERE, &opening.peek().unwrap());
    assert_eq!(code(world.pays(ALICE, |payer, cx, _| payer.on_opening(cx, forged))), Code::Signature);
    // A bank that would have it sign a shorter log than the one its drafts belong to.
    let mut short = opening.peek().unwrap();
    short.from.outgoing.n = 7;
    let short = key(crate::testing::BANK).sign(crate::testing::HERE, &short);
    assert_eq!(code(world.pays(ALICE, |payer, cx, _| payer.on_opening(cx, short))), Code::Reconcile);
}

#[test]
fn a_payee_that_lost_a_receipt_still_agrees_with_the_bank_and_has_it_with_the_next_deposit() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    world.pay(ALICE, CAROL, 100);
    let deposit = world.takes(CAROL, |payee, cx| payee.deposit(cx, 256)).unwrap().unwrap();
    let lost = world.deposit_raw(CAROL, deposit.clone());
    let said = world.reconcile(CAROL, 100).unwrap();
    assert!(matches!(said.result, Agreement::Agreed(Some(_))), "{said:?}");
    // The receipt after it does not stand alone in the log.
    let second = world.pay(ALICE, CAROL, 200);
    let item = world.item(&second);
    let alone = crate::messages::Deposit { items: farthing_core::wire::Bounded::new(vec![item]).unwrap() };
    let receipt = world.deposit_raw(CAROL, alone.clone());
    let copy = world.copies[&CAROL];
    world.takes(CAROL, |payee, cx| payee.on_deposit_receipt(cx, copy, &alone, receipt)).unwrap();
    assert!(matches!(world.reconcile(CAROL, 100).unwrap().result, Agreement::Agreed(Some(_))));
    let lines = world.deposit(CAROL);
    assert!(lines.contains(&lost.peek().unwrap().lines.as_slice()[0]), "the same answer as the one that was lost");
    assert!(matches!(world.reconcile(CAROL, 100).unwrap().result, Agreement::Agreed(Some(_))));
    let holder = world.act(|bank, cx| Ok(bank.holder_of(&*cx.tx, key(CAROL).id())?)).unwrap().unwrap();
    assert_eq!((holder.known.incoming.n, world.balance(CAROL)), (2, 300));
}

#[test]
fn a_page_of_a_long_log_costs_what_every_page_of_it_costs_and_leaves_nothing_behind_that_grows() {
    const PAGES: usize = 8;
    let entries = (PAGES * PAGE_MAX) as u64;
    let limits = farthing_core::cert::Limits { per_item: micros(1), total: micros(entries) };
    let mut world = World::with(crate::bank::Terms::new(limits));
    world.reconcile(ALICE, entries).unwrap();
    let purchase = world.purchase(CAROL, 1);
    let purchase = crate::payer::Purchase { seal: None, ..purchase };
    let drawn = world.pays(ALICE, |payer, cx, rng| (0..entries).map(|_| payer.draw(cx, &purchase, rng)).collect());
    let drawn: Vec<crate::payer::Drawn> = drawn.unwrap();
    let (payee, to) = (Some(key(CAROL).id()), world.bank.chart().customer(key(CAROL).id()));
    world
        .act(|bank, cx| {
            for drawn in drawn.iter().step_by(2) {
                let draft = drawn.payment.draft.clone().verify(crate::testing::HERE).unwrap();
                bank.take(cx, &draft, 1, crate::bank::Destination { account: to, payee, proof: &[] })?;
            }
            Ok(())
        })
        .unwrap();
    let (ask, holder) = (world.payer(ALICE).reconcile(), key(ALICE).id());
    let opening = world.act(|bank, cx| bank.reconcile(cx, holder, &ask)).unwrap();
    world.pays(ALICE, |payer, cx, _| payer.on_opening(cx, opening)).unwrap();
    let (mut read, mut kept) = (Vec::new(), Vec::new());
    while let Some(page) = world.pays(ALICE, |payer, cx, _| payer.next_page(cx)).unwrap() {
        let counted = Counted::new(&world.store);
        let (now, mut overlay) = (world.now, Overlay::new(&counted));
        let page_taken = overlay
            .attempt(|tx| world.bank.page(&mut farthing_role::Context { now, dice: [0; 32], tx }, holder, &page, &[]));
        let changes = overlay.into_write_set();
        read.push(counted.rows());
        farthing_store::Store::commit(&mut world.store, &changes).unwrap();
        kept.push(farthing_store::Reader::get(&world.store, Table("draft_walks"), &holder.0).unwrap().unwrap().len());
        world.pays(ALICE, |payer, cx, _| payer.on_page_taken(cx, &page, &page_taken.unwrap())).unwrap();
    }
    // The holder, the walk, what was deposited of the page, and at most one portion of what follows it.
    assert!(read.iter().all(|rows| (2 + PAGE_MAX / 2..=2 + PAGE_MAX / 2 + 128).contains(rows)), "{read:?}");
    assert!(kept.iter().all(|kept| *kept < 512), "{kept:?}");
    let closing = world.pays(ALICE, |payer, cx, _| payer.close(cx, None)).unwrap();
    let reply = world.act(|bank, cx| bank.close(cx, holder, closing)).unwrap();
    assert_eq!(reply.said.peek().unwrap().outstanding, micros(entries / 2));
}
