//! §4: 3KP, from Initiate to Confirm.

use farthing_core::evidence::Verdict;
use farthing_core::refusal::Code;
use farthing_core::seal::{SealKey, seal};
use farthing_core::time::{SKEW, Span};
use farthing_core::wire;

use crate::messages::{
    Answer, AuthAnswer, AuthRequest, Authorisation, Clear, Consent, Slip, description, sealed_digest,
};
use crate::reduced::{self, Mode};
use crate::secret::{Digest, Secret};
use crate::testing::{ALIAS, BUYER, HERE, S1, S2, World, code, key, micros};

#[test]
fn six_messages_set_the_whole_value_aside_and_open_both_sides() {
    let mut world = World::new();
    let (spender, session) = world.open(BUYER, ALIAS, S1, 100);
    assert_eq!(world.balance(BUYER), (1_000_000, 100_000));
    assert_eq!((spender.chain(), spender.left(), spender.at_risk()), (session.chain(), 100, 0));
    assert_eq!(session.buyer(), key(ALIAS).id(), "the seller knows a pseudonym");
}

#[test]
fn opening_costs_four_signatures_seven_checks_and_two_seals() {
    use farthing_core::meter::{Op, measure};
    let mut world = World::new();
    let (_, cost) = measure(|| world.open(BUYER, ALIAS, S1, 100));
    assert_eq!((cost.of(Op::Sign), cost.of(Op::Verify), cost.of(Op::Hpke)), (4, 7, 4));
}

#[test]
fn nothing_the_seller_sees_names_the_account_and_nothing_the_bank_sees_names_the_goods() {
    let mut world = World::new();
    let signing = world.sign(BUYER, ALIAS, S1, 100);
    let contains = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    let account = key(BUYER).id().0;
    let to_seller = [wire::encode(&signing.initiate), wire::encode(signing.purchase.pending().payment())].concat();
    assert!(!contains(&to_seller, &account));
    let to_bank = wire::encode(signing.committed.request());
    let (order, salt) = signing.purchase.pending().description();
    assert!(!contains(&to_bank, &order.0) && !contains(&to_bank, &salt.0));
    // The buyer can prove the description later.
    assert_eq!(description(order, salt), signing.committed.request().description);
    let other = world.sign(BUYER, 12, S1, 100);
    assert_ne!(signing.initiate.buyer, other.initiate.buyer, "two purchases of one account look unrelated");
}

#[test]
fn t1_buyer_and_bank_refuse_a_price_altered_between_initiate_and_auth_request() {
    let mut world = World::new();
    let (account, alias, offer) = (key(BUYER), key(ALIAS), world.offer(S1));
    let ends = world.now.after(Span::from_days(7));
    // The seller invoices another value than was asked for.
    let buyer = world.buyer(&account, &alias);
    let (asked, initiate) = buyer.initiate(&offer, 100, ends, [ALIAS; 32], &mut world.rng).unwrap();
    let mut dearer = (offer.clone(), initiate.clone());
    (dearer.0.price, dearer.1.header.unit) = (micros(2_000), micros(2_000));
    let seller = world.seller(S1);
    let (_, invoice) = seller.invoice(world.now, &dearer.0, &dearer.1, &mut world.rng).unwrap();
    let buyer = world.buyer(&account, &alias);
    let why = buyer.on_invoice(world.now, asked, invoice, &mut world.rng).unwrap_err();
    assert_eq!(why.code, Code::Order);
    // Or it asks the bank under a CLEAR of another COMMON.
    let signing = world.sign(BUYER, ALIAS, S1, 100);
    let mut clear = signing.invoice.peek().unwrap();
    clear.common = Digest([9; 32]);
    let altered = AuthRequest { clear: key(S1).sign(HERE, &clear), ..signing.committed.request().clone() };
    assert_eq!(code(world.authorise(key(S1).id(), altered).unwrap_err()), Code::Malformed);
    // The seller is the only one who can ask, and asks before anything is opened.
    let stolen = signing.committed.request().clone();
    assert_eq!(code(world.authorise(key(S2).id(), stolen).unwrap_err()), Code::Signature);
    assert_eq!(world.balance(BUYER), (1_000_000, 0));
}

#[test]
fn t2_bank_refuses_the_slip_of_one_purchase_with_the_clear_of_another() {
    let mut world = World::new();
    let one = world.sign(BUYER, ALIAS, S1, 100);
    let two = world.sign(BUYER, 12, S1, 100);
    let (one, two) = (one.committed.request().clone(), two.committed.request().clone());
    let slip = AuthRequest { slip: one.slip.clone(), ..two.clone() };
    assert_eq!(code(world.authorise(key(S1).id(), slip).unwrap_err()), Code::Malformed);
    let consent = AuthRequest { consent: one.consent.clone(), ..two.clone() };
    assert_eq!(code(world.authorise(key(S1).id(), consent).unwrap_err()), Code::Signature);
    let both = AuthRequest { slip: one.slip, consent: one.consent, ..two };
    assert_eq!(code(world.authorise(key(S1).id(), both).unwrap_err()), Code::Malformed);
    assert_eq!(world.balance(BUYER), (1_000_000, 0));
}

#[test]
fn t3_a_replayed_auth_request_makes_one_hold_and_gets_the_same_answer() {
    let mut world = World::new();
    let signing = world.sign(BUYER, ALIAS, S1, 100);
    let first = world.answer(S1, signing.committed.request());
    world.now = world.now.after(Span::from_hours(1)); // Past the life of the invoice: a repeat is no new request.
    assert_eq!(world.answer(S1, signing.committed.request()), first);
    assert_eq!(world.balance(BUYER), (1_000_000, 100_000));
}

#[test]
fn t2_bank_refuses_a_slip_that_is_not_the_one_consented_to_or_not_for_this_common() {
    let mut world = World::new();
    let signing = world.sign(BUYER, ALIAS, S1, 100);
    let request = signing.committed.request().clone();
    // Two slips for one purchase, and the consent to the other one.
    let (account, alias, asked) = (key(BUYER), key(ALIAS), world.ask_again(&signing));
    let invoice = signing.invoice.clone();
    let mut rng = world.rng.clone();
    let (pending, _) = world.buyer(&account, &alias).on_invoice(world.now, asked, invoice, &mut rng).unwrap();
    let other = AuthRequest { slip: pending.payment().slip.clone(), ..request.clone() };
    assert_eq!(code(world.authorise(key(S1).id(), other).unwrap_err()), Code::Order);
    // A seller and the holder of the pseudonym's key change the invoice after the account signed.
    let mut clear = signing.invoice.peek().unwrap();
    clear.terms.clear = Digest([1; 32]);
    let common = crate::messages::Common {
        header: signing.initiate.header.clone(),
        root: signing.initiate.root,
        description: request.description,
        buyer: signing.initiate.buyer,
        terms: clear.terms.clone(),
    };
    clear.common = common.digest();
    let consent = Consent { common: common.digest(), ..request.consent.peek().unwrap() };
    let changed =
        AuthRequest { clear: key(S1).sign(HERE, &clear), consent: key(ALIAS).sign(HERE, &consent), ..request };
    assert_eq!(code(world.authorise(key(S1).id(), changed).unwrap_err()), Code::Malformed);
    assert_eq!(world.balance(BUYER), (1_000_000, 0));
}

#[test]
fn bank_files_a_second_invoice_under_one_number_and_refuses_a_second_slip_under_one_invoice() {
    let mut world = World::new();
    let signing = world.sign(BUYER, ALIAS, S1, 100);
    let request = signing.committed.request().clone();
    world.answer(S1, &request);
    // Another payment for the same invoice may be the buyer's doing: no evidence, and no second hold.
    let (account, alias, asked) = (key(BUYER), key(ALIAS), world.ask_again(&signing));
    let invoice = signing.invoice.clone();
    let mut rng = world.rng.clone();
    let (pending, _) = world.buyer(&account, &alias).on_invoice(world.now, asked, invoice, &mut rng).unwrap();
    let second = world.seller(S1).on_payment(&signing.invoiced, pending.payment().clone()).unwrap();
    assert_ne!(second.request(), &request);
    assert_eq!(code(world.authorise(key(S1).id(), second.request().clone()).unwrap_err()), Code::Conflict);
    assert!(world.evidence().is_empty());
    // Two invoices under one number: signed by the seller, so evidence against it.
    let other = world.sign(BUYER, 12, S1, 50);
    let mut terms = signing.invoice.peek().unwrap().terms;
    terms.accept = Digest([1; 32]);
    let common = crate::messages::Common {
        header: other.initiate.header.clone(),
        root: other.initiate.root,
        description: other.committed.request().description,
        buyer: other.initiate.buyer,
        terms: terms.clone(),
    };
    let fork = key(S1).sign(HERE, &Clear { terms, root: common.root, common: common.digest() });
    let twin = forge(&world, &common, fork, &mut rng);
    // The forged request is whole only if the buyer conspires; the bank finds the fork or refuses.
    let answer = world.authorise(key(S1).id(), twin);
    match answer {
        Ok(AuthAnswer::Conflict { other }) => assert_eq!(other, signing.invoice),
        Ok(AuthAnswer::Answered(_)) => panic!("a second hold under one number"),
        Err(why) => panic!("{why}"),
    }
    assert_eq!(world.evidence()[0].verdict, Verdict::Guilty(key(S1).id()));
    assert_eq!(world.balance(BUYER), (1_000_000, 100_000));
}

/// A request over a COMMON of the test's making, by a buyer who signs anything. Its blind is known.
fn forge(
    world: &World,
    common: &crate::messages::Common,
    clear: farthing_core::sign::Signed<Clear>,
    rng: &mut rand_chacha::ChaCha20Rng,
) -> AuthRequest {
    let blind = Secret::draw(rng);
    let mut common = common.clone();
    common.buyer = crate::messages::buyer_id(&blind, key(BUYER).id());
    let mut body = clear.peek().unwrap();
    body.common = common.digest();
    let clear = key(S1).sign(HERE, &body);
    let slip = Slip { header: common.header.clone(), common: body.common, blind, epoch: None };
    let slip = seal(HERE, &world.bank.slips(), &key(BUYER).sign(HERE, &slip), rng).unwrap();
    let consent = Consent { slip: sealed_digest(&slip), common: body.common, session: Digest([0; 32]) };
    let consent = key(12).sign(HERE, &consent);
    AuthRequest { clear, description: common.description, slip, consent }
}

#[test]
fn t4_a_seller_that_reports_no_after_yes_is_found_out_by_an_inquiry() {
    let mut world = World::new();
    let signing = world.sign(BUYER, ALIAS, S1, 100);
    world.answer(S1, signing.committed.request());
    // The seller says no, or nothing. It cannot sign the bank's no.
    let (account, alias) = (key(BUYER), key(ALIAS));
    let inquiry = signing.purchase.pending().inquiry();
    let said = world.act(|bank, cx| bank.inquire(cx, key(BUYER).id(), &inquiry)).unwrap();
    let buyer = world.buyer(&account, &alias);
    let answer = signing.purchase.on_answer(&buyer, said.clone()).unwrap();
    assert!(matches!(answer.answer, Answer::Yes { .. }));
    let lie = Authorisation { answer: Answer::No(farthing_core::refusal::Refusal::new(Code::Funds, "no")), ..answer };
    assert_eq!(signing.purchase.on_answer(&buyer, key(S1).sign(HERE, &lie)).unwrap_err().code, Code::Signature);
    let nosy = world.act(|bank, cx| bank.inquire(cx, key(S2).id(), &inquiry)).unwrap_err();
    assert_eq!(code(nosy), Code::Unknown, "only the buyer's account may ask");
}

#[test]
fn t4_a_no_is_signed_remembered_and_tells_the_seller_nothing_about_the_account() {
    let mut world = World::new();
    let signing = world.sign(BUYER, ALIAS, S1, 2_000);
    let no = world.answer(S1, signing.committed.request());
    world.enrol(key(40).id(), 5_000_000);
    assert_eq!(world.answer(S1, signing.committed.request()), no, "the same request, the same answer");
    let why = world.seller(S1).on_authorisation(&signing.committed, no.clone()).unwrap_err();
    assert_eq!(why.code, Code::Funds);
    assert!(!why.detail.contains("acct"));
    let (account, alias) = (key(BUYER), key(ALIAS));
    let answer = signing.purchase.on_answer(&world.buyer(&account, &alias), no).unwrap().answer;
    assert!(matches!(answer, Answer::No(_)));
    assert_eq!(world.balance(BUYER), (1_000_000, 0));
}

#[test]
fn t5_buyer_refuses_a_confirm_with_a_wrong_v_or_about_another_purchase() {
    let mut world = World::new();
    let signing = world.sign(BUYER, ALIAS, S1, 100);
    let other = world.sign(BUYER, 12, S1, 100);
    let answer = world.answer(S1, signing.committed.request());
    let others = world.answer(S1, other.committed.request());
    let (_, confirm) = world.seller(S1).on_authorisation(&signing.committed, answer).unwrap();
    let (account, alias) = (key(BUYER), key(ALIAS));
    let buyer = world.buyer(&account, &alias);
    let mut wrong = confirm.clone();
    wrong.accept = Secret::draw(&mut rand_chacha::ChaCha20Rng::clone(&world.rng));
    let (purchase, why) = *signing.purchase.on_confirm(&buyer, wrong).unwrap_err();
    assert_eq!(why.code, Code::Order);
    let mut wrong = confirm.clone();
    wrong.authorisation = others.clone();
    let (purchase, why) = *purchase.on_confirm(&buyer, wrong).unwrap_err();
    assert_eq!(why.code, Code::Order);
    assert!(purchase.on_confirm(&buyer, confirm).is_ok(), "a refusal cost nothing");
    assert_eq!(world.seller(S1).on_authorisation(&signing.committed, others).unwrap_err().code, Code::Order);
}

#[test]
fn a_purchase_and_a_commitment_taken_up_after_a_crash_go_on_where_they_stood() {
    let mut world = World::new();
    let signing = world.sign(BUYER, ALIAS, S1, 100);
    let written = wire::encode(signing.purchase.pending());
    let committed: crate::seller::Committed = wire::decode(&wire::encode(&signing.committed)).unwrap();
    let answer = world.answer(S1, committed.request());
    let (_, confirm) = world.seller(S1).on_authorisation(&committed, answer).unwrap();
    let pending: crate::buyer::Pending = wire::decode(&written).unwrap();
    assert_eq!(crate::buyer::Purchase::resume(pending.clone(), [99; 32]).unwrap_err().code, Code::Chain);
    let purchase = crate::buyer::Purchase::resume(pending, [ALIAS; 32]).unwrap();
    let (account, alias) = (key(BUYER), key(ALIAS));
    assert!(purchase.on_confirm(&world.buyer(&account, &alias), confirm).is_ok());
}

#[test]
fn seller_refuses_a_payment_for_another_invoice_or_with_another_session_secret() {
    let mut world = World::new();
    let signing = world.sign(BUYER, ALIAS, S1, 100);
    let other = world.sign(BUYER, 12, S1, 100);
    let seller = world.seller(S1);
    let payment = signing.purchase.pending().payment().clone();
    let theirs = other.purchase.pending().payment().clone();
    assert_eq!(seller.on_payment(&signing.invoiced, theirs.clone()).unwrap_err().code, Code::Signature);
    // Whoever sits between them would like to know the session's key: it cannot put its own there.
    let swapped = crate::messages::Payment { session: theirs.session, ..payment };
    assert_eq!(seller.on_payment(&signing.invoiced, swapped).unwrap_err().code, Code::Order);
}

#[test]
fn stale_invoices_are_refused_by_buyer_and_bank() {
    let mut world = World::new();
    let (account, alias, offer) = (key(BUYER), key(ALIAS), world.offer(S1));
    let ends = world.now.after(Span::from_days(7));
    let buyer = world.buyer(&account, &alias);
    let (asked, initiate) = buyer.initiate(&offer, 100, ends, [ALIAS; 32], &mut world.rng).unwrap();
    let seller = world.seller(S1);
    let (_, invoice) = seller.invoice(world.now, &offer, &initiate, &mut world.rng).unwrap();
    let late = world.now.after(SKEW).after(Span::from_millis(1));
    let buyer = world.buyer(&account, &alias);
    assert_eq!(buyer.on_invoice(late, asked, invoice, &mut world.rng).unwrap_err().code, Code::Expired);
    let signing = world.sign(BUYER, ALIAS, S1, 100);
    world.now = world.now.after(Span::from_secs(600));
    let why = world.authorise(key(S1).id(), signing.committed.request().clone()).unwrap_err();
    assert_eq!(code(why), Code::Expired);
}

#[test]
fn bank_refuses_a_pseudonym_that_the_account_did_not_vouch_for() {
    let mut world = World::new();
    let signing = world.sign(BUYER, ALIAS, S1, 100);
    let common = signing.purchase.pending().inquiry().common;
    // A thief of nothing but the account's name signs the slip itself.
    let body =
        Slip { header: signing.initiate.header.clone(), common, blind: Secret::draw(&mut world.rng), epoch: None };
    let slip = seal(HERE, &world.bank.slips(), &key(66).sign(HERE, &body), &mut world.rng).unwrap();
    let session = sealed_digest(&signing.purchase.pending().payment().session);
    let consent = key(ALIAS).sign(HERE, &Consent { slip: sealed_digest(&slip), common, session });
    let request = AuthRequest { slip, consent, ..signing.committed.request().clone() };
    assert_eq!(code(world.authorise(key(S1).id(), request).unwrap_err()), Code::Malformed);
    // And a slip sealed to somebody else opens for nobody here.
    let elsewhere = SealKey::from_seed(&[9; 32]).public();
    let slip = seal(HERE, &elsewhere, &key(BUYER).sign(HERE, &body), &mut world.rng).unwrap();
    let request = AuthRequest { slip, ..signing.committed.request().clone() };
    assert_eq!(code(world.authorise(key(S1).id(), request).unwrap_err()), Code::Decrypt);
}

#[test]
fn in_1kp_and_2kp_the_bank_cannot_tell_who_asked_and_in_3kp_it_can() {
    let mut world = World::new();
    let signing = world.sign(BUYER, ALIAS, S1, 100);
    let clear = signing.invoice.peek().unwrap();
    let common = crate::messages::Common {
        header: signing.initiate.header.clone(),
        root: signing.initiate.root,
        description: signing.committed.request().description,
        buyer: signing.initiate.buyer,
        terms: clear.terms.clone(),
    };
    let slip = reduced::PinSlip { common, account: key(BUYER).id(), pin: 1_234 };
    let acquirer = |mode| reduced::Acquirer {
        key: key(1),
        network: HERE,
        mode,
        pins: [(key(BUYER).id(), 1_234)].into(),
        held: Default::default(),
    };
    // 1KP: anybody may ask in the seller's name. 2KP: the seller must have signed, the buyer need not.
    let anybody = reduced::Request { sender: key(66).id(), clear, signed: None, slip };
    assert!(acquirer(Mode::One).authorise(&anybody).is_ok());
    assert_eq!(acquirer(Mode::Two).authorise(&anybody).unwrap_err().code, Code::Signature);
    let invoiced = reduced::Request { signed: Some(signing.invoice.clone()), ..anybody };
    assert!(acquirer(Mode::Two).authorise(&invoiced).is_ok(), "a bank that knows the PIN can do this alone");
    let mut wrong = invoiced.clone();
    wrong.slip.pin = 1;
    assert_eq!(acquirer(Mode::Two).authorise(&wrong).unwrap_err().code, Code::Signature);
    // 3KP: without the buyer's signature nothing happens.
    let real = signing.committed.request().clone();
    let consent = key(S1).sign(HERE, &real.consent.peek().unwrap());
    let forged = AuthRequest { consent, ..real };
    assert_eq!(code(world.authorise(key(S1).id(), forged).unwrap_err()), Code::Signature);
}
