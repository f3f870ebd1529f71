//! Verdicts: pure functions of signed statements that any stranger can run again.
//!
//! Soundness: an honest payer never signs two reserves over the same units unless it holds the
//! release that ended one of them below the other, and an honest payee never claims beyond its own
//! release. So nobody can be found guilty by what others sign, whoever conspires. Signatures are
//! checked strictly here, one by one, whatever fast check they passed before.

use farthing_core::evidence::{Evidence, EvidenceKind, Verdict};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::sign::{Signed, Verified};
use farthing_core::wire;
use farthing_role::RequestBody;

use crate::messages::{Claims, Freed, Release, Reserve, kind};
use crate::payee::freed_by;

/// Judges a piece of evidence of NetPay's kinds; anything else, and anything that cannot be read,
/// is insufficient.
#[must_use]
pub fn judge(network: NetworkId, bank: PeerId, evidence: &Evidence) -> Verdict {
    let statements = evidence.statements.as_slice();
    let verdict = match (evidence.kind, statements) {
        (EvidenceKind::DoubleReserve, [a, b, releases @ ..]) => {
            let releases = releases.iter().filter_map(|r| wire::decode(&r.0).ok()).collect();
            read(&a.0).zip(read(&b.0)).map(|(a, b)| double_reserve(network, bank, a, b, releases))
        }
        (EvidenceKind::ClaimBeyondRelease, [claim, release]) => {
            read(&claim.0).zip(read(&release.0)).map(|(claim, release)| claim_beyond_release(network, claim, release))
        }
        _ => None,
    };
    verdict.unwrap_or(Verdict::Insufficient)
}

/// Two reserves of one payer over the same units, and whatever releases the payer answered with:
/// the payer is guilty unless one of them ends one reserve below the other.
#[must_use]
pub fn double_reserve(
    network: NetworkId,
    bank: PeerId,
    a: Signed<Reserve>,
    b: Signed<Reserve>,
    releases: Vec<Freed>,
) -> Verdict {
    let (Ok(a), Ok(b)) = (a.verify(network), b.verify(network)) else { return Verdict::Insufficient };
    let (x, y) = (a.body(), b.body());
    let shared = a.signer() == b.signer() && x.chain == y.chain && a.digest() != b.digest();
    let overlap = x.from.max(y.from) <= x.upto.min(y.upto);
    if !shared || !overlap {
        return Verdict::Insufficient;
    }
    let ends = |ended: &Verified<Reserve>, other: &Reserve, freed: &Freed| {
        let release = freed_by(network, bank, ended.body().payee, freed.clone());
        release.is_ok_and(|r| r.reserve == ended.digest() && r.through < other.from)
    };
    if releases.iter().any(|freed| ends(&a, y, freed) || ends(&b, x, freed)) {
        return Verdict::Insufficient;
    }
    Verdict::Guilty(a.signer())
}

/// A payee's signed claim and its own signed release: guilty if the claim goes beyond.
#[must_use]
pub fn claim_beyond_release(network: NetworkId, claim: Signed<RequestBody>, release: Signed<Release>) -> Verdict {
    let (Ok(claim), Ok(release)) = (claim.verify(network), release.verify(network)) else {
        return Verdict::Insufficient;
    };
    if claim.signer() != release.signer() || claim.body().kind != kind::CLAIM {
        return Verdict::Insufficient;
    }
    let Ok(claims) = wire::decode::<Claims>(&claim.body().message) else { return Verdict::Insufficient };
    let beyond = |item: &crate::messages::Claim| {
        item.reserve.digest() == release.body().reserve && item.through > release.body().through
    };
    if claims.items.as_slice().iter().any(beyond) { Verdict::Guilty(claim.signer()) } else { Verdict::Insufficient }
}

fn read<T>(bytes: &[u8]) -> Option<Signed<T>> {
    wire::decode(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{HERE, Payer, World, key};

    const PAYEES: [u8; 3] = [20, 30, 40];

    /// What an honest payer signs, and the releases it is given, on its way through some visits.
    fn honest_trace(visits: &[(usize, u32, u32, bool)]) -> (World, Payer, Vec<Signed<Reserve>>, Vec<Freed>) {
        let mut world = World::new();
        world.enrol(key(10).id(), 1_000_000, 0);
        let mut payer = world.open(&key(10), 200, 11);
        let (mut reserves, mut releases) = (Vec::new(), Vec::new());
        for (payee, width, units, vanishes) in visits {
            let payee = key(PAYEES[*payee]);
            if payer.purse.left() < *width {
                break;
            }
            let order = crate::testing::ORDER;
            let ends = world.now.after(farthing_core::time::Span::from_hours(24));
            let Ok(visit) = payer.purse.reserve(&payer.signer, HERE, payee.id(), order, *width, ends) else { continue };
            reserves.push(visit.reserve.clone());
            let mut counting = world.payee(payee.id()).admit(world.now, order, visit).unwrap();
            let units = *units.min(width);
            if units > 0 {
                counting.on_pay(world.now, &payer.purse.pay(units, order).unwrap()).unwrap();
            }
            if *vanishes {
                payer.purse.abandon().unwrap();
            } else {
                let release = counting.release(&payee, HERE, world.now);
                payer.purse.on_release(HERE, release.clone(), units).unwrap();
                releases.push(Freed::Payee(release));
            }
        }
        (world, payer, reserves, releases)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Soundness: whatever pair of an honest payer's reserves its payees bring, and whatever
        /// they sign themselves, the releases it kept clear it.
        #[test]
        fn no_set_of_payees_can_make_an_honest_payer_guilty(
            visits in prop::collection::vec((0_usize..3, 1_u32..40, 0_u32..40, any::<bool>()), 1..8),
            lies in prop::collection::vec((0_usize..8, 0_u32..200), 0..4),
        ) {
            let (world, payer, reserves, mut releases) = honest_trace(&visits);
            for (which, through) in lies {
                let Some(reserve) = reserves.get(which) else { continue };
                let liar = PAYEES.iter().map(|seed| key(*seed)).find(|k| k.id() == reserve.peek().unwrap().payee).unwrap();
                let lie = Release { chain: payer.purse.chain(), reserve: reserve.digest(), through, time: world.now };
                releases.push(Freed::Payee(liar.sign(HERE, &lie)));
            }
            for a in &reserves {
                for b in &reserves {
                    let verdict = double_reserve(HERE, world.bank.bank(), a.clone(), b.clone(), releases.clone());
                    prop_assert_eq!(verdict, Verdict::Insufficient);
                }
            }
        }

        /// Soundness for payees: nobody is guilty of claiming beyond a release that somebody else signed.
        #[test]
        fn no_payer_can_make_an_honest_payee_guilty(units in 1_u32..20, through in 0_u32..40) {
            let mut world = World::new();
            world.enrol(key(10).id(), 1_000_000, 0);
            let mut payer = world.open(&key(10), 100, 11);
            let payee = key(20);
            let counting = world.visit(&mut payer, &payee, 20, units);
            let release = counting.release(&payee, HERE, world.now);
            let id = world.request_id();
            let claim = world.claim_request(&payee, id, vec![counting.claim().unwrap()]);
            let signed: Signed<RequestBody> = wire::decode(&claim.proof).unwrap();
            prop_assert_eq!(claim_beyond_release(HERE, signed.clone(), release.clone()), Verdict::Insufficient);
            let lie = Release { through, ..release.peek().unwrap() };
            let forged = payer.signer.sign(HERE, &lie);
            prop_assert_eq!(claim_beyond_release(HERE, signed, forged), Verdict::Insufficient);
        }
    }

    #[test]
    fn evidence_that_is_rubbish_contradictory_or_of_another_kind_convicts_nobody() {
        let accused = key(1).id();
        let rubbish = || farthing_core::evidence::StatementBytes(vec![0xff; 40]);
        for kind in [EvidenceKind::DoubleReserve, EvidenceKind::ClaimBeyondRelease, EvidenceKind::LogFork] {
            for count in 0..4 {
                let statements = (0..count).map(|_| rubbish()).collect();
                let statements = farthing_core::wire::Bounded::new(statements).unwrap();
                let evidence = Evidence { kind, accused, statements };
                assert_eq!(judge(HERE, accused, &evidence), Verdict::Insufficient);
            }
        }
    }
}
