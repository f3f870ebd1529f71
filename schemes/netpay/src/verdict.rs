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
    if claims.items.as_slice().iter().any(beyond) {
        Verdict::Guilty(claim.signer())
    } else {
        Verdict::Insufficient
    }
}

fn read<T>(bytes: &[u8]) -> Option<Signed<T>> {
    wire::decode(bytes).ok()
}
