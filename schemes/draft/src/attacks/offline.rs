//! Between payer and payee, where nobody asks the bank.

use farthing_core::evidence::Verdict;
use farthing_core::id::OrderId;
use farthing_core::refusal::Code;
use farthing_core::time::{SKEW, Span};

use crate::messages::{Digest, Payment, Shown};
use crate::payee::{Expected, Taken};
use crate::testing::{ALICE, CAROL, DAVE, HERE, ORDER, World, code, key, micros};
use crate::verdict;

#[test]
fn t4_payee_with_its_clock_rolled_back_refuses_a_stale_certificate() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let stale = world.draw(ALICE, CAROL, 100).unwrap();
    // A day later the certificate has ended, and Carol has heard from the bank since.
    world.later(Span::from_hours(25));
    world.reconcile(DAVE, 1_000).unwrap();
    world.enrol(40, 1_000);
    world.reconcile(40, 1_000).unwrap();
    world.pay(40, CAROL, 100);
    world.now = world.now.before(Span::from_hours(25));
    assert_eq!(code(world.accept(CAROL, stale.sealed.as_ref().unwrap(), 100)), Code::Clock);
}

#[test]
fn payee_refuses_a_draft_for_another_payee_order_or_amount() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let drawn = world.draw(ALICE, CAROL, 100).unwrap();
    let payment = drawn.payment.clone();
    let right = Expected { order: ORDER, amount: micros(100) };
    let take = |world: &mut World, payee, payment: Payment, expected: Expected| {
        code(world.takes(payee, |payee, cx| payee.accept(cx, payment, &expected)))
    };
    assert_eq!(take(&mut world, DAVE, payment.clone(), right), Code::NotPayee);
    let order = Expected { order: OrderId([8; 32]), ..right };
    assert_eq!(take(&mut world, CAROL, payment.clone(), order), Code::Order);
    let cheap = Expected { amount: micros(200), ..right };
    assert_eq!(take(&mut world, CAROL, payment.clone(), cheap), Code::Order);
    assert!(world.takes(CAROL, |payee, cx| payee.accept(cx, payment, &right)).is_ok());
}

#[test]
fn payee_refuses_a_draft_signed_by_another_key_than_its_certificate() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let drawn = world.draw(ALICE, CAROL, 100).unwrap();
    let forged = key(DAVE).sign(HERE, &drawn.payment.draft.peek().unwrap());
    let payment = Payment { draft: forged, ..drawn.payment };
    let right = Expected { order: ORDER, amount: micros(100) };
    assert_eq!(code(world.takes(CAROL, |payee, cx| payee.accept(cx, payment, &right))), Code::Certificate);
}

#[test]
fn payee_refuses_a_certificate_that_is_not_for_drafts_or_not_the_authoritys() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let drawn = world.draw(ALICE, CAROL, 100).unwrap();
    let Shown::Whole(signed) = drawn.payment.certificate.clone() else { panic!() };
    let right = Expected { order: ORDER, amount: micros(100) };
    let mut peer = signed.peek().unwrap();
    peer.role = farthing_core::cert::RoleName::Peer;
    let as_peer = Shown::Whole(key(crate::testing::AUTHORITY).sign(HERE, &peer));
    let own = Shown::Whole(key(ALICE).sign(HERE, &signed.peek().unwrap()));
    let unknown = Shown::Known(Digest(signed.digest()));
    for (certificate, expected) in [(as_peer, Code::Certificate), (own, Code::Signature), (unknown, Code::Certificate)]
    {
        let payment = Payment { certificate, ..drawn.payment.clone() };
        assert_eq!(code(world.takes(CAROL, |payee, cx| payee.accept(cx, payment, &right))), expected);
    }
}

#[test]
fn payee_refuses_old_drafts_and_ones_it_could_not_deposit_in_time() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let drawn = world.draw(ALICE, CAROL, 100).unwrap();
    world.later(SKEW);
    world.later(Span::from_millis(1));
    assert_eq!(code(world.accept(CAROL, drawn.sealed.as_ref().unwrap(), 100)), Code::Clock);
    let mut hasty = world.purchase(CAROL, 100);
    hasty.life = Span::from_hours(1);
    let drawn = world.pays(ALICE, |payer, cx, rng| payer.draw(cx, &hasty, rng)).unwrap();
    assert_eq!(code(world.accept(CAROL, drawn.sealed.as_ref().unwrap(), 100)), Code::Policy);
}

#[test]
fn the_same_draft_again_gets_the_same_receipt_and_another_of_its_number_convicts_the_payer() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let before = world.wallets[&ALICE].clone();
    let drawn = world.draw(ALICE, CAROL, 100).unwrap();
    let sealed = drawn.sealed.clone().unwrap();
    let first = world.accept(CAROL, &sealed, 100).unwrap();
    assert_eq!(world.accept(CAROL, &sealed, 100).unwrap(), first);
    world.wallets.insert(ALICE, before);
    world.later(Span::from_secs(1));
    let twin = world.draw(ALICE, CAROL, 100).unwrap();
    let Taken::Conflict(evidence) = world.accept(CAROL, twin.sealed.as_ref().unwrap(), 100).unwrap() else { panic!() };
    assert_eq!(verdict::judge(HERE, world.bank.bank(), &evidence), Verdict::Guilty(key(ALICE).id()));
    // Nobody is convicted by one draft shown twice.
    let mut same = *evidence;
    let one = same.statements.as_slice()[0].clone();
    same.statements = farthing_core::wire::Bounded::new(vec![one.clone(), one]).unwrap();
    assert_eq!(verdict::judge(HERE, world.bank.bank(), &same), Verdict::Insufficient);
}

#[test]
fn payee_holds_no_more_of_one_payer_than_its_certificate_states_under_however_many_certificates() {
    let mut world = World::new();
    world.reconcile(ALICE, 900).unwrap();
    world.pay(ALICE, CAROL, 500);
    assert_eq!(code(world.draw(ALICE, CAROL, 501)), Code::Limit);
    world.reconcile(ALICE, 900).unwrap();
    let drawn = world.draw(ALICE, CAROL, 450).unwrap();
    assert_eq!(code(world.accept(CAROL, drawn.sealed.as_ref().unwrap(), 450)), Code::Limit);
    world.deposit(CAROL);
    assert!(world.accept(CAROL, drawn.sealed.as_ref().unwrap(), 450).is_ok());
}

#[test]
fn what_a_listener_sees_names_neither_payer_nor_payees_certificate() {
    let mut world = World::new();
    world.reconcile(ALICE, 1_000).unwrap();
    let drawn = world.draw(ALICE, CAROL, 100).unwrap();
    let seen = farthing_core::wire::encode(drawn.sealed.as_ref().unwrap());
    let has = |secret: &[u8]| seen.windows(secret.len()).any(|part| part == secret);
    assert!(!has(&key(ALICE).id().0) && !has(&ORDER.0));
    // From the second draft on the certificate goes by its digest.
    let first = seen.len();
    world.accept(CAROL, drawn.sealed.as_ref().unwrap(), 100).unwrap();
    let receipt = world.takes(CAROL, |payee, cx| payee.held(cx, key(ALICE).id(), 1)).unwrap().receipt.unwrap();
    world.pays(ALICE, |payer, cx, _| payer.on_receipt(cx, 1, receipt)).unwrap();
    let second = world.pay(ALICE, CAROL, 100);
    assert!(matches!(second.payment.certificate, Shown::Known(_)));
    assert!(farthing_core::wire::encode(second.sealed.as_ref().unwrap()).len() + 200 < first);
}

#[test]
fn a_payee_never_learns_the_account_behind_a_pseudonym_and_the_bank_charges_it() {
    let mut world = World::new();
    world.alias(ALICE, 11).unwrap();
    world.alias(ALICE, 12).unwrap();
    // Together they may state no more than the account could alone.
    world.reconcile(11, 600).unwrap();
    assert_eq!(code(world.reconcile(12, 600)), Code::Limit);
    world.reconcile(12, 400).unwrap();
    let drawn = world.pay(11, CAROL, 300);
    let bytes = farthing_core::wire::encode(&drawn.payment);
    assert!(!bytes.windows(32).any(|part| part == key(ALICE).id().0));
    world.pay(12, CAROL, 200);
    world.deposit(CAROL);
    assert_eq!((world.balance(ALICE), world.balance(CAROL)), (9_500, 500));
}

#[test]
fn nobody_enrols_a_strangers_key_or_one_with_an_account_of_its_own() {
    let mut world = World::new();
    let stranger = key(DAVE).sign(
        HERE,
        &crate::messages::Alias {
            account: key(CAROL).id(),
            bank: world.bank.bank(),
            seal: crate::testing::seal_key(DAVE).public(),
        },
    );
    let ask = crate::messages::Enrol { alias: stranger };
    assert_eq!(code(world.act(|bank, cx| bank.enrol(cx, key(ALICE).id(), ask.clone()))), Code::Signature);
    assert_eq!(code(world.act(|bank, cx| bank.enrol(cx, key(CAROL).id(), ask))), Code::Conflict);
    world.alias(ALICE, 11).unwrap();
    assert_eq!(code(world.alias(CAROL, 11)), Code::Conflict);
}

#[test]
fn a_queue_takes_the_good_drafts_with_one_receipt_and_turns_each_bad_one_away() {
    let mut world = World::new();
    world.payee_terms.queued_max = Some(micros(200));
    world.reconcile(ALICE, 1_000).unwrap();
    let drawn: Vec<_> = (0..4).map(|_| world.draw(ALICE, CAROL, 100).unwrap()).collect();
    let mut queue: Vec<Payment> = drawn.iter().map(|drawn| drawn.payment.clone()).collect();
    let mut body = queue[1].draft.peek().unwrap();
    body.amount = micros(99);
    let mut bytes = farthing_core::wire::encode(&key(ALICE).sign(HERE, &body));
    *bytes.last_mut().unwrap() ^= 1;
    queue[1].draft = farthing_core::wire::decode(&bytes).unwrap();
    let expected = Expected { order: ORDER, amount: micros(100) };
    let (codes, strict, receipts) = world
        .takes(CAROL, |payee, cx| {
            let mut digests = Vec::new();
            let mut codes = Vec::new();
            let mut strict = Vec::new();
            for checked in payee.check_queue(cx.now, queue, &*cx.tx) {
                let taken = checked.and_then(|checked| payee.accept_checked(cx, checked, &expected, false));
                match taken {
                    Ok(Taken::Serve(accepted)) => {
                        strict.push(payee.held(cx, accepted.payer, accepted.number)?.strict);
                        digests.push(accepted.draft);
                    }
                    other => codes.push(code(other)),
                }
            }
            Ok((codes, strict, payee.receipts(cx.now, digests).unwrap()))
        })
        .unwrap();
    assert_eq!(codes, [Code::Signature]);
    // Two of a hundred each may rest on the batch; the third was checked by itself.
    assert_eq!(strict, [false, false, true]);
    world.pays(ALICE, |payer, cx, _| payer.on_receipts(cx, 1, receipts.clone())).unwrap();
    assert_eq!(code(world.pays(ALICE, |payer, cx, _| payer.on_receipts(cx, 2, receipts.clone()))), Code::Order);
    assert_eq!(world.deposit(CAROL).len(), 3);
    assert_eq!(world.balance(CAROL), 300);
}

#[test]
fn pseudonyms_grow_from_the_seed_and_are_not_the_identity() {
    let seed = farthing_core::seed::Seed::from_entropy([5; 32]);
    let ids: std::collections::BTreeSet<_> = (0..5).map(|n| crate::wallet::pseudonym(&seed, n).0.id()).collect();
    assert_eq!(ids.len(), 5);
    assert!(!ids.contains(&seed.identity().id()));
}
