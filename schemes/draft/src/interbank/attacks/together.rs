//! Cheques over the bank's real drafts: a payer with a certificate at one bank, a payee at another.

use farthing_core::amount::Currency;
use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::id::TransferId;
use farthing_core::refusal::Code;
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::{SKEW, Span};
use farthing_core::wire;
use farthing_ledger::{Ledger, Reason, Transfer};
use farthing_role::Halt;

use super::super::messages::{Certification, Certify, Fate, Presentation};
use super::super::testing as there;
use super::super::{Interbank, PeerTerms, Progress, Terms, check_certified, endorse};
use crate::messages::{Agreement, Draft, Outcome, Stop, StopReason};
use crate::testing::{ALICE, BANK, CAROL, DAVE, HERE, World, code, key, micros, refused};

/// Alice's bank, which keeps drafts, and Carol's, which collects them; and the cheques at the first.
struct Pair {
    here: World,
    cheques: Interbank,
    there: there::Town,
}

impl Pair {
    /// Alice has ten thousand, and a certificate over a thousand.
    fn new() -> Self {
        let (mut here, mut there) = (World::new(), there::Town::new(1));
        here.now = there.now;
        let cheques = Interbank::new(HERE, key(BANK), Terms::default());
        let (ours, theirs) = (key(BANK).id(), there::bank_key(0).id());
        let with = |bank, network| PeerTerms { bank, network, limit: micros(100_000) };
        here.act(|_, cx| cheques.open_peer(cx, with(theirs, there::network(0)))).unwrap();
        there.act(0, |bank, cx| bank.cheques.open_peer(cx, with(ours, HERE))).unwrap();
        here.reconcile(ALICE, 1_000).unwrap();
        Self { here, cheques, there }
    }

    /// A cheque of Alice's for Carol, and the number of the certificate it is under.
    fn cheque(&mut self, amount: u64) -> (Verified<Draft>, u64) {
        let drawn = self.here.draw(ALICE, CAROL, amount).unwrap();
        let item = self.here.item(&drawn);
        (item.draft.verify(HERE).unwrap(), item.serial)
    }

    /// Carol deposits at her bank, which asks Alice's; what came of it.
    fn deposit_there(&mut self, cheque: &Verified<Draft>, serial: u64) -> Fate {
        self.there.now = self.here.now;
        let presented = endorse(&key(CAROL), cheque, serial, there::bank_key(0).id(), self.here.now).unwrap();
        self.there.present(0, key(CAROL).id(), &presented).unwrap();
        let sent = self.there.send_due(0).pop().unwrap();
        let asked: Presentation = wire::decode(&sent.message).unwrap();
        let checked = self.cheques.check(there::bank_key(0).id(), asked).unwrap();
        let cheques = &self.cheques;
        let answer = self.here.act(|drafts, cx| cheques.present(cx, drafts, &checked)).unwrap();
        let heard = self.there.act(0, |bank, cx| bank.cheques.on_answer(cx, sent.to, sent.matter, answer)).unwrap();
        let Progress::Done(fate) = heard else { panic!("{heard:?}") };
        fate
    }

    fn certify(&mut self, cheque: &Verified<Draft>, serial: u64) -> Result<Signed<Certification>, Halt> {
        let (cheques, ask) = (&self.cheques, Certify { cheque: cheque.signed().clone(), serial });
        self.here.act(|drafts, cx| cheques.certify(cx, drafts, key(ALICE).id(), ask))
    }

    /// Alice spends all that she may spend.
    fn spend_the_rest(&mut self) {
        let id = TransferId([1; 16]);
        let all = self.here.bank.chart().customer(key(ALICE).id());
        let credit = self.here.bank.chart().customer(key(DAVE).id());
        self.here
            .act(|_, cx| {
                let amount = cx.tx.account(all)?.unwrap().available_amount().unwrap();
                let (reason, at) = (Reason(9), cx.now);
                let spend = Transfer { id, debit: all, credit, amount, reason, reference: [0; 32], at, hold: None };
                Ok(Ledger(&mut *cx.tx).post(spend)?)
            })
            .unwrap();
    }

    fn carol_there(&self) -> i128 {
        self.there.balance(0, CAROL)
    }

    /// What Carol's bank is owed by Alice's, as each of them sees it.
    fn owed(&mut self) -> (i128, i128) {
        let (ours, theirs, cheques) = (key(BANK).id(), there::bank_key(0).id(), &self.cheques);
        let here = self.here.act(|_, cx| cheques.position(cx, theirs, Currency::XTS)).unwrap();
        let there = self.there.act(0, |bank, cx| bank.cheques.position(cx, ours, Currency::XTS)).unwrap();
        assert_eq!((here.collecting, there.collecting), (0, 0));
        (-here.owed, there.owed)
    }
}

#[test]
fn a_draft_deposited_at_another_bank_is_paid_and_its_payer_reconciles_with_it() {
    let mut pair = Pair::new();
    let (cheque, serial) = pair.cheque(300);
    assert_eq!(pair.deposit_there(&cheque, serial), Fate::Cleared);
    assert_eq!((pair.here.balance(ALICE), pair.carol_there()), (9_700, 300));
    assert_eq!(pair.owed(), (300, 300));
    let said = pair.here.reconcile(ALICE, 1_000).unwrap();
    assert!(matches!(said.result, Agreement::Agreed(Some(_))));
    assert!(said.outstanding.is_zero(), "it is paid, and no longer only promised");
    // Taken while the log that has it is not reconciled, or before: the same.
    let (cheque, serial) = pair.cheque(200);
    assert_eq!(pair.here.reconcile(ALICE, 1_000).unwrap().outstanding, micros(200));
    assert_eq!(pair.deposit_there(&cheque, serial), Fate::Cleared);
    assert!(pair.here.reconcile(ALICE, 1_000).unwrap().outstanding.is_zero());
    assert!(pair.here.evidence().is_empty());
}

#[test]
fn a_certified_draft_clears_at_another_bank_though_its_payer_spends_all_else_and_cannot_be_stopped() {
    let mut pair = Pair::new();
    let (cheque, serial) = pair.cheque(300);
    let said = pair.certify(&cheque, serial).unwrap();
    check_certified(&cheque, said.clone()).unwrap();
    assert_eq!(pair.certify(&cheque, serial).unwrap(), said);
    pair.spend_the_rest();
    assert_eq!(code(stop(&mut pair, &cheque)), Code::State);
    assert_eq!(pair.deposit_there(&cheque, serial), Fate::Cleared);
    assert_eq!((pair.here.balance(ALICE), pair.carol_there()), (0, 300));
    assert_eq!(pair.owed(), (300, 300));
}

#[test]
fn a_certified_draft_that_is_deposited_at_its_own_bank_is_paid_out_of_what_was_held() {
    let mut pair = Pair::new();
    let (cheque, serial) = pair.cheque(300);
    pair.certify(&cheque, serial).unwrap();
    pair.spend_the_rest();
    let item = crate::messages::Item { draft: cheque.signed().clone(), serial };
    assert_eq!(crate::testing::paid(&pair.here.deposit_items(CAROL, vec![item])[0]), 300);
    assert_eq!((pair.here.balance(ALICE), pair.here.balance(CAROL)), (0, 300));
    assert_eq!(pair.deposit_there(&cheque, serial), Fate::Bounced(Code::Spent));
    assert_eq!((pair.carol_there(), pair.owed()), (0, (0, 0)));
}

#[test]
fn a_draft_that_its_payers_account_does_not_cover_bounces_at_another_bank_and_suspends_nobody() {
    let mut pair = Pair::new();
    let (cheque, serial) = pair.cheque(300);
    pair.spend_the_rest();
    assert_eq!(pair.deposit_there(&cheque, serial), Fate::Bounced(Code::Funds));
    assert_eq!((pair.here.balance(ALICE), pair.carol_there(), pair.owed()), (0, 0, (0, 0)));
    assert!(!pair.here.is_suspended(ALICE));
    // Bounced there, it is still a draft, and Alice answers for it at her own bank.
    pair.here.fund(pair.here.bank.chart().customer(key(ALICE).id()), 1_000);
    let item = crate::messages::Item { draft: cheque.signed().clone(), serial };
    assert_eq!(crate::testing::paid(&pair.here.deposit_items(CAROL, vec![item])[0]), 300);
    assert_eq!(pair.here.balance(ALICE), 700);
}

fn stop(pair: &mut Pair, cheque: &Verified<Draft>) -> Result<(), Halt> {
    let stop = Stop { draft: cheque.signed().clone(), reason: StopReason::NotDelivered, time: pair.here.now };
    let stop = key(ALICE).sign(HERE, &stop);
    pair.here.act(|drafts, cx| drafts.stop(cx, key(ALICE).id(), stop)).map(drop)
}

#[test]
fn a_stopped_draft_bounces_at_another_bank_and_its_money_goes_back_once() {
    let mut pair = Pair::new();
    let (cheque, serial) = pair.cheque(300);
    stop(&mut pair, &cheque).unwrap();
    assert_eq!(pair.here.balance(ALICE), 9_700);
    assert_eq!(pair.deposit_there(&cheque, serial), Fate::Bounced(Code::State));
    assert_eq!((pair.carol_there(), pair.owed()), (0, (0, 0)));
    pair.here.now = cheque.body().deposit_by.after(SKEW).after(Span::from_days(3));
    for _ in 0..3 {
        pair.here.act(|drafts, cx| drafts.tick(cx)).unwrap();
        assert_eq!(pair.here.balance(ALICE), 10_000);
    }
}

#[test]
fn a_draft_deposited_here_and_there_is_paid_where_it_came_first() {
    let mut pair = Pair::new();
    let (first, serial) = pair.cheque(300);
    let item = |draft: &Verified<Draft>| crate::messages::Item { draft: draft.signed().clone(), serial };
    assert_eq!(crate::testing::paid(&pair.here.deposit_items(CAROL, vec![item(&first)])[0]), 300);
    assert_eq!(pair.deposit_there(&first, serial), Fate::Bounced(Code::Spent));
    assert_eq!((pair.here.balance(CAROL), pair.carol_there()), (300, 0));
    let (second, _) = pair.cheque(200);
    assert_eq!(pair.deposit_there(&second, serial), Fate::Cleared);
    let line = pair.here.deposit_items(CAROL, vec![item(&second)]).remove(0);
    assert!(matches!(line.outcome, Outcome::Taken { number: 0, .. }), "another bank collected it: {line:?}");
    assert_eq!((pair.here.balance(ALICE), pair.here.balance(CAROL), pair.carol_there()), (9_500, 300, 200));
    assert_eq!(pair.owed(), (200, 200));
    let said = pair.here.reconcile(CAROL, 100).unwrap();
    assert!(matches!(said.result, Agreement::Agreed(Some(_))), "no receipt of hers is missing: {said:?}");
}

#[test]
fn two_drafts_of_one_number_here_and_there_pay_the_first_and_convict_the_payer() {
    let mut pair = Pair::new();
    let before = pair.here.wallets[&ALICE].clone();
    let (first, serial) = pair.cheque(300);
    pair.here.wallets.insert(ALICE, before);
    let (second, _) = pair.cheque(400);
    assert_eq!(first.body().number, second.body().number);
    assert_eq!(pair.deposit_there(&first, serial), Fate::Cleared);
    assert_eq!(pair.deposit_there(&second, serial), Fate::Bounced(Code::Conflict));
    let item = crate::messages::Item { draft: second.signed().clone(), serial };
    assert_eq!(refused(&pair.here.deposit_items(CAROL, vec![item])[0]), Code::Conflict);
    assert_eq!(code(pair.certify(&second, serial)), Code::Spent, "presented already");
    let filed: Vec<_> = pair.here.evidence().iter().map(|f| (f.evidence.kind, f.verdict)).collect();
    assert_eq!(filed, [(EvidenceKind::DraftFork, Verdict::Guilty(key(ALICE).id()))]);
    assert_eq!((pair.here.balance(ALICE), pair.carol_there(), pair.owed()), (9_700, 300, (300, 300)));
}

#[test]
fn a_draft_under_another_certificate_than_its_payers_bounces_at_another_bank() {
    let mut pair = Pair::new();
    pair.here.reconcile(CAROL, 100).unwrap();
    let (cheque, serial) = pair.cheque(300);
    assert_eq!(pair.deposit_there(&cheque, serial - 1), Fate::Bounced(Code::Certificate));
    assert_eq!((pair.here.balance(ALICE), pair.carol_there()), (10_000, 0));
}
