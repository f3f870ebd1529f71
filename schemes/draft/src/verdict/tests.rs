//! Who is convicted by what, and who never is.

use farthing_core::amount::{Amount, Currency};
use farthing_core::audit::{AuditLog, Direction, Event};
use farthing_core::id::{OrderId, RequestId};
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use proptest::prelude::*;

use super::*;
use crate::messages::{DepositLine, Digest};

const HERE: NetworkId = NetworkId([1; 16]);

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn amount(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

fn draft(number: u64, micros: u64, millis: u64) -> Draft {
    let time = Time::from_millis(millis);
    Draft {
        number,
        network: HERE,
        bank: key(1).id(),
        payee: key(3).id(),
        amount: amount(micros),
        order: OrderId([4; 32]),
        deposit_by: time.after(Span::from_days(1)),
        log: [0; 32],
        time,
    }
}

fn found(kind: EvidenceKind, statements: [Vec<u8>; 2]) -> Verdict {
    judge(HERE, key(1).id(), &evidence(kind, key(2).id(), statements))
}

fn receipt(signer: u8, payee: u8, lines: &[(u8, u64)]) -> Vec<u8> {
    let line = |(draft, number): &(u8, u64)| DepositLine {
        draft: Digest([*draft; 32]),
        outcome: Outcome::Taken { number: *number, paid: amount(1), owed: amount(0) },
    };
    let lines = Bounded::new(lines.iter().map(line).collect()).unwrap();
    let (request, time) = (RequestId([0; 16]), Time::from_millis(5));
    let body = DepositReceipt { request, payee: key(payee).id(), lines, balance: amount(0), time };
    wire::encode(&key(signer).sign(HERE, &body))
}

#[test]
fn a_bank_that_numbers_receipts_two_ways_is_convicted_and_one_that_repeats_itself_is_not() {
    let kind = EvidenceKind::DepositReceiptFork;
    let first = receipt(1, 3, &[(1, 1), (2, 2)]);
    assert_eq!(found(kind, [first.clone(), receipt(1, 3, &[(3, 2)])]), Verdict::Guilty(key(1).id()));
    assert_eq!(found(kind, [first.clone(), receipt(1, 3, &[(1, 7)])]), Verdict::Guilty(key(1).id()));
    let innocent = [receipt(1, 3, &[(1, 1), (3, 3)]), receipt(1, 4, &[(3, 2)]), receipt(2, 3, &[(3, 2)])];
    for other in innocent {
        assert_eq!(found(kind, [first.clone(), other]), Verdict::Insufficient);
    }
}

#[test]
fn evidence_of_another_network_kind_or_signer_and_rubbish_convict_nobody() {
    let one = key(2).sign(HERE, &draft(1, 5, 10));
    let other = key(2).sign(HERE, &draft(1, 6, 10));
    let both = |a: &Signed<Draft>, b: &Signed<Draft>| [wire::encode(a), wire::encode(b)];
    let fork = EvidenceKind::DraftFork;
    assert_eq!(found(fork, both(&one, &other)), Verdict::Guilty(key(2).id()));
    let elsewhere = key(2).sign(NetworkId([2; 16]), &draft(1, 6, 10));
    let strangers = key(5).sign(HERE, &draft(1, 6, 10));
    let next = key(2).sign(HERE, &draft(2, 6, 10));
    for innocent in [&one, &elsewhere, &strangers, &next] {
        assert_eq!(found(fork, both(&one, innocent)), Verdict::Insufficient);
    }
    for kind in [EvidenceKind::ConcealedDraft, EvidenceKind::StopAfterDelivery, EvidenceKind::LogFork] {
        assert_eq!(found(kind, both(&one, &other)), Verdict::Insufficient);
    }
    assert_eq!(found(fork, [wire::encode(&one), vec![0xff; 40]]), Verdict::Insufficient);
    assert_eq!(judge(HERE, key(1).id(), &evidence(fork, key(2).id(), [])), Verdict::Insufficient);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever an honest payer has signed, no two of its statements convict it.
    #[test]
    fn no_pair_of_an_honest_payers_statements_convicts_it(
        steps in prop::collection::vec((0..3_u8, 1..50_u64), 1..14),
        restore_at in 0..14_usize,
    ) {
        let payer = key(2);
        let (mut log, mut time, mut epoch) = (AuditLog::new(payer.id()), 1_000, 0);
        let mut agreed = log;
        let mut statements: Vec<Vec<u8>> = Vec::new();
        for (nth, (what, micros)) in steps.into_iter().enumerate() {
            // A restored wallet goes on from what the bank knows, in an epoch of its own.
            if nth == restore_at {
                epoch += 1;
                log = agreed.in_epoch(epoch, 0);
            }
            // Two statements may fall into one millisecond.
            time += micros % 3;
            match what {
                0 | 1 => {
                    let written = payer.sign(HERE, &draft(log.outgoing.n + 1, micros, time));
                    let event = Event {
                        kind: Draft::KIND,
                        reference: written.digest(),
                        peer: key(3).id(),
                        amount: amount(micros),
                        direction: Direction::Out,
                    };
                    log = log.append(event).unwrap().0;
                    statements.push(wire::encode(&written));
                    let (reason, time) = (StopReason::NotDelivered, Time::from_millis(time));
                    let said = Digest(written.digest());
                    // Either stopped or acknowledged, never both.
                    statements.push(if micros % 2 == 0 {
                        wire::encode(&payer.sign(HERE, &Stop { draft: written, reason, time }))
                    } else {
                        wire::encode(&payer.sign(HERE, &Delivered { draft: said, time }))
                    });
                }
                _ => {
                    let closing = Closing { opening: Digest([9; 32]), log, wanted: None, time: Time::from_millis(time) };
                    statements.push(wire::encode(&payer.sign(HERE, &closing)));
                    agreed = log;
                }
            }
        }
        for kind in [
            EvidenceKind::DraftFork,
            EvidenceKind::StopAfterDelivery,
            EvidenceKind::DepositAfterReturn,
            EvidenceKind::ConcealedDraft,
            EvidenceKind::DepositReceiptFork,
        ] {
            for a in &statements {
                for b in &statements {
                    prop_assert_eq!(found(kind, [a.clone(), b.clone()]), Verdict::Insufficient);
                }
            }
        }
    }
}
