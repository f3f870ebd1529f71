use std::collections::BTreeMap;

use farthing_core::amount::Currency;
use farthing_core::evidence::{Evidence, EvidenceKind, StatementBytes, Verdict};
use farthing_core::id::NetworkId;
use farthing_core::refusal::Code;
use farthing_core::sign::{Signed, Statement};
use farthing_core::time::Span;
use farthing_core::title::Hop;
use farthing_core::wire::{self, Bounded};
use proptest::prelude::*;

use super::super::day_of;
use super::super::messages::{Certification, Certify, Fate, Outcome, Page, Presentation};
use super::super::testing::*;
use super::judge;
use crate::messages::Draft;

const KINDS: [EvidenceKind; 5] = [
    EvidenceKind::TitleFork,
    EvidenceKind::OutcomeFork,
    EvidenceKind::OutcomeDenied,
    EvidenceKind::FalseOutcome,
    EvidenceKind::StatementFork,
];

/// All that was signed by anybody, by kind of statement, and what the conspirators made of it.
#[derive(Default)]
struct Said(BTreeMap<u16, Vec<Vec<u8>>>);

impl Said {
    fn hear<T: Statement>(&mut self, said: &Signed<T>) {
        self.0.entry(T::KIND).or_default().push(wire::encode(said));
    }

    /// A conspirator signs the same with a change, in whatever network.
    fn twist<T: Statement>(&mut self, said: &Signed<T>, change: impl Fn(&mut T)) {
        self.hear(said);
        for at in 0..2 {
            self.hear(&altered(&key(66), network(at), said, &change));
        }
    }

    fn all<T: Statement>(&self) -> &[Vec<u8>] {
        self.0.get(&T::KIND).map_or(&[], Vec::as_slice)
    }

    /// Every pair of statements of these kinds, put together as evidence.
    fn pairs<A: Statement, B: Statement>(&self, kind: EvidenceKind) -> Vec<Evidence> {
        let pair = |a: &Vec<u8>| {
            let a = a.clone();
            self.all::<B>().iter().map(move |b| evidence(kind, vec![a.clone(), b.clone()]))
        };
        self.all::<A>().iter().flat_map(pair).collect()
    }

    /// Everything that has the form of evidence.
    fn evidence(&self) -> Vec<Evidence> {
        let mut all = self.pairs::<Hop, Hop>(EvidenceKind::TitleFork);
        all.extend(self.pairs::<Outcome, Outcome>(EvidenceKind::OutcomeFork));
        all.extend(self.pairs::<Outcome, Page>(EvidenceKind::OutcomeDenied));
        all.extend(self.pairs::<Page, Page>(EvidenceKind::StatementFork));
        let answers = self.pairs::<Draft, Outcome>(EvidenceKind::FalseOutcome);
        for certification in self.all::<Certification>() {
            all.extend(answers.iter().map(|shown| {
                let mut statements: Vec<_> = shown.statements.as_slice().iter().map(|s| s.0.clone()).collect();
                statements.push(certification.clone());
                evidence(EvidenceKind::FalseOutcome, statements)
            }));
        }
        all.extend(answers);
        all
    }
}

fn evidence(kind: EvidenceKind, statements: Vec<Vec<u8>>) -> Evidence {
    let statements = statements.into_iter().map(StatementBytes).collect();
    Evidence { kind, accused: key(66).id(), statements: Bounded::new(statements).unwrap() }
}

#[test]
fn evidence_that_is_rubbish_of_another_kind_or_of_another_network_convicts_nobody() {
    for kind in KINDS.into_iter().chain([EvidenceKind::LogFork]) {
        for count in 0..4 {
            let shown = evidence(kind, vec![vec![0xff; 40]; count]);
            assert_eq!(judge(network(0), &shown), Verdict::Insufficient);
        }
    }
    let mut town = Town::new(1);
    let cheque = town.cheque(ALICE, 300);
    let told = end(town.deposit(&cheque).1).drawee;
    let lie = altered(&bank_key(0), network(0), &told, |said| said.fate = Fate::Bounced(Code::Funds));
    let shown = evidence(EvidenceKind::OutcomeFork, vec![wire::encode(&told), wire::encode(&lie)]);
    assert_eq!(judge(network(0), &shown), Verdict::Guilty(bank_key(0).id()));
    assert_eq!(judge(NetworkId([99; 16]), &shown), Verdict::Insufficient);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Soundness: two honest banks, an honest payee and payor, cheques that clear, bounce, end and are
    /// certified, days that are stated; and conspirators who sign whatever they like beside it. No
    /// statements put together convict anybody honest.
    #[test]
    fn no_conspiracy_convicts_an_honest_bank_or_payee(
        amounts in prop::collection::vec((1_u64..FUNDS, 0_u8..4), 1..4), shift in 0_u64..100_000,
    ) {
        let mut town = Town::new(2);
        let mut said = Said::default();
        let mut days = vec![day_of(town.now)];
        for (amount, what) in amounts {
            let cheque = town.cheque(ALICE, amount);
            said.twist(cheque.signed(), |draft| draft.amount = micros(draft.amount.as_micros() + 1));
            if what == 1 {
                let request = Certify { cheque: cheque.signed().clone(), serial: SERIAL };
                let alice = key(ALICE).id();
                if let Ok(certified) = town.act(0, |bank, cx| bank.cheques.certify(cx, &bank.payers, alice, request)) {
                    said.twist(&certified, |said: &mut Certification| said.until = said.until.after(Span::from_days(1)));
                }
            }
            let endorsed = town.endorsed(&cheque, 1);
            let Ok(_) = town.present(1, key(CAROL).id(), &endorsed) else { continue };
            if what == 2 {
                town.now = town.now.after(Span::from_days(1));
            }
            for sent in town.send_due(1) {
                let presented: Presentation = wire::decode(&sent.message).unwrap();
                for hop in presented.hops.as_slice() {
                    said.twist(hop, |hop| hop.holder = key(66).id());
                }
                let told = end(town.present(0, bank_key(1).id(), &presented).unwrap());
                said.twist(&told.drawee, |said: &mut Outcome| said.time = said.time.after(Span::from_secs(shift)));
                said.twist(&told.drawee, |said: &mut Outcome| said.amount = micros(said.amount.as_micros() + 1));
                town.carry(1, &sent).unwrap();
            }
            let notice = end(town.present(1, key(CAROL).id(), &endorsed).unwrap());
            said.hear(&notice.bank.unwrap());
            if what == 3 {
                town.now = town.now.after(Span::from_hours(13));
                days.push(day_of(town.now));
            }
        }
        town.now = town.now.after(Span::from_days(3));
        for day in days {
            for at in 0..2 {
                let to = bank_key(1 - at).id();
                let page = town.act(at, |bank, cx| bank.cheques.state_day(cx, to, Currency::XTS, day, None)).unwrap();
                said.twist(&page, |page: &mut Page| page.lines = Bounded::empty());
            }
        }
        for shown in said.evidence() {
            for at in 0..2 {
                let verdict = judge(network(at), &shown);
                let honest = matches!(verdict, Verdict::Guilty(who) if who != key(66).id());
                prop_assert!(!honest, "{:?} convicts {verdict:?}", shown.kind);
            }
        }
        prop_assert!((0..2).all(|at| town.evidence(at).is_empty()));
    }
}
