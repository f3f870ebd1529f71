use farthing_core::evidence::StatementBytes;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::time::{Span, Time};
use farthing_core::wire::Bounded;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::exchange::product_digest;
use crate::messages::{Answer, Random};
use crate::testing::{ALIAS, BUYER, HERE, S1, S2, World, key, order_in};

fn goods(product: &[u8]) -> Goods {
    let mut rng = ChaCha20Rng::from_seed([4; 32]);
    Goods::seal(&key(S1), HERE, product_digest(b"order"), product, Time::from_millis(9), &mut rng).unwrap()
}

fn evidence(kind: EvidenceKind, statements: Vec<Vec<u8>>) -> Evidence {
    let statements = statements.into_iter().map(StatementBytes).collect();
    Evidence { kind, accused: key(S1).id(), statements: Bounded::new(statements).unwrap() }
}

#[test]
fn each_misdeed_convicts_the_one_who_signed_it() {
    let mut world = World::new();
    let bank = world.bank.bank();
    let signing = world.sign(BUYER, ALIAS, S1, 10);
    let a = signing.invoice.clone();
    let mut body = a.peek().unwrap();
    body.terms.accept = product_digest(b"other");
    let b = key(S1).sign(HERE, &body);
    let pair = vec![wire::encode(&a), wire::encode(&b)];
    assert_eq!(judge(HERE, bank, &evidence(EvidenceKind::InvoiceFork, pair)), Verdict::Guilty(key(S1).id()));

    let yes = world.answer(S1, signing.committed.request());
    let no = Authorisation { answer: Answer::No(Refusal::new(Code::Funds, "no")), ..yes.peek().unwrap() };
    let pair = vec![wire::encode(&yes), wire::encode(&key(1).sign(HERE, &no))];
    assert_eq!(judge(HERE, bank, &evidence(EvidenceKind::AuthorisationFork, pair.clone())), Verdict::Guilty(bank));
    let elsewhere = judge(HERE, key(2).id(), &evidence(EvidenceKind::AuthorisationFork, pair));
    assert_eq!(elsewhere, Verdict::Insufficient);

    let log = |through| OrderLog { chain: yes.peek().unwrap().chain, from: 1, through, digest: product_digest(b"log") };
    let pair = vec![wire::encode(&key(ALIAS).sign(HERE, &log(4))), wire::encode(&key(ALIAS).sign(HERE, &log(5)))];
    assert_eq!(judge(HERE, bank, &evidence(EvidenceKind::OrderLogFork, pair)), Verdict::Guilty(key(ALIAS).id()));

    let mut broken = goods(b"a song");
    let promise = Promise { product: product_digest(b"another song"), ..broken.promise.peek().unwrap() };
    broken.promise = key(S1).sign(HERE, &promise);
    let shown = evidence(EvidenceKind::BrokenPromise, vec![wire::encode(&broken)]);
    assert_eq!(judge(HERE, bank, &shown), Verdict::Guilty(key(S1).id()));
}

#[test]
fn a_statement_made_in_another_network_convicts_nobody_here() {
    let mut world = World::new();
    let a = world.sign(BUYER, ALIAS, S1, 10).invoice;
    let mut body = a.peek().unwrap();
    body.terms.accept = product_digest(b"other");
    let there = NetworkId([99; 16]);
    assert_eq!(invoice_fork(HERE, a, key(S1).sign(there, &body)), Verdict::Insufficient);
}

#[test]
fn evidence_that_is_rubbish_or_of_another_kind_convicts_nobody() {
    let kinds = [
        EvidenceKind::InvoiceFork,
        EvidenceKind::AuthorisationFork,
        EvidenceKind::OrderLogFork,
        EvidenceKind::BrokenPromise,
        EvidenceKind::LogFork,
    ];
    for kind in kinds {
        for count in 0..4 {
            let shown = evidence(kind, vec![vec![0xff; 40]; count]);
            assert_eq!(judge(HERE, key(1).id(), &shown), Verdict::Insufficient);
        }
        let shown = evidence(kind, vec![wire::encode(&goods(b"a song"))]);
        assert_eq!(judge(HERE, key(1).id(), &shown), Verdict::Insufficient);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Soundness: whatever pairs the others make of all that honest parties signed, and whatever
    /// they sign themselves beside it, nobody honest is found guilty.
    #[test]
    fn no_conspiracy_makes_an_honest_party_guilty(purchases in 2_u8..5, payments in 1_u32..12, tid in any::<[u8; 16]>()) {
        let mut world = World::new();
        let bank = world.bank.bank();
        let (mut invoices, mut answers, mut logs) = (Vec::new(), Vec::new(), Vec::new());
        for alias in 0..purchases {
            let signing = world.sign(BUYER, 40 + alias, S1, 30);
            let answer = world.answer(S1, signing.committed.request());
            prop_assert_eq!(&world.answer(S1, signing.committed.request()), &answer);
            answers.push(answer.clone());
            invoices.push(signing.invoice.clone());
            let (mut session, confirm) = world.seller(S1).on_authorisation(&signing.committed, answer).unwrap();
            let (account, pseudonym) = (key(BUYER), key(40 + alias));
            let mut spender = signing.purchase.on_confirm(&world.buyer(&account, &pseudonym), confirm).unwrap();
            for nth in 0..payments {
                let pay = spender.pay(2, order_in(&spender, &format!("/{nth}"))).unwrap();
                let entry = session.accept(world.now, &pay, 2).unwrap().entry;
                spender.on_ack(&session.ack(&entry, 2, pay.order)).unwrap();
                if nth % 3 == 2 {
                    logs.push(spender.sign_log(&pseudonym, HERE, entry.index, &[entry]).unwrap());
                }
            }
        }
        // The conspirators (another seller, and the buyer's accomplice) sign what they like.
        for invoice in invoices.clone() {
            let mut body = invoice.peek().unwrap();
            body.common = product_digest(&tid);
            invoices.push(key(S2).sign(HERE, &body));
            body.terms.tid = Random(tid);
            invoices.push(key(S2).sign(HERE, &body));
        }
        for answer in answers.clone() {
            let lie = Authorisation { answer: Answer::No(Refusal::new(Code::Funds, "no")), ..answer.peek().unwrap() };
            answers.push(key(S2).sign(HERE, &lie));
        }
        let honest = |verdict| match verdict {
            Verdict::Guilty(who) => who != key(S1).id() && who != bank && (40..45).all(|alias| who != key(alias).id()),
            Verdict::Insufficient => true,
        };
        for a in &invoices {
            prop_assert!(invoices.iter().all(|b| honest(invoice_fork(HERE, a.clone(), b.clone()))));
        }
        for a in &answers {
            prop_assert!(answers.iter().all(|b| honest(authorisation_fork(HERE, bank, a.clone(), b.clone()))));
        }
        for a in &logs {
            prop_assert!(logs.iter().all(|b| honest(order_log_fork(HERE, a.clone(), b.clone()))));
        }
    }

    /// Soundness for sellers: no change to honest goods, by whoever holds them, breaks their promise.
    #[test]
    fn nobody_can_break_an_honest_sellers_promise_for_it(
        product in prop::collection::vec(any::<u8>(), 0..200), at in any::<usize>(), bit in 0_u8..8, which in 0..3,
    ) {
        let honest = goods(&product);
        prop_assert_eq!(broken_promise(HERE, &honest), Verdict::Insufficient);
        let opened = honest.open(HERE, key(S1).id(), Time::from_millis(1), product_digest(b"order"), None);
        prop_assert_eq!(opened.unwrap(), product);
        let mut twisted = honest.clone();
        match which {
            0 => { let at = at % twisted.sealed.len(); twisted.sealed[at] ^= 1 << bit; }
            1 => twisted.key = twisted.key.grow(&[&[bit]]),
            _ => {
                let later = Time::from_millis(9).after(Span::from_millis(at as u64));
                twisted.promise = key(S2).sign(HERE, &Promise { expires: later, ..honest.promise.peek().unwrap() });
            }
        }
        prop_assert!(broken_promise(HERE, &twisted) != Verdict::Guilty(key(S1).id()));
    }
}
