//! Verdicts: pure functions of signed statements that any stranger can run again.
//!
//! Soundness: an honest seller draws number and nonce anew for every invoice and promises only what
//! it sealed; an honest bank answers a purchase once; an honest buyer logs each unit once. So nobody
//! is found guilty by what others sign, whoever conspires. What no verdict can show is that a
//! product never came: there the loss is bounded by one request instead.

use farthing_core::evidence::{Evidence, EvidenceKind, Verdict};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::sign::{Signed, Statement, Verified};
use farthing_core::wire;

use crate::exchange::{Goods, Promise};
use crate::messages::{Authorisation, Clear};
use crate::micro::{LogEntry, OrderLog, log_digest};

/// Judges a piece of evidence of the coupons' kinds; anything else, and anything that cannot be
/// read, is insufficient.
#[must_use]
pub fn judge(network: NetworkId, bank: PeerId, evidence: &Evidence) -> Verdict {
    let verdict = match (evidence.kind, evidence.statements.as_slice()) {
        (EvidenceKind::InvoiceFork, [a, b]) => read(&a.0).zip(read(&b.0)).map(|(a, b)| invoice_fork(network, a, b)),
        (EvidenceKind::AuthorisationFork, [a, b]) => {
            read(&a.0).zip(read(&b.0)).map(|(a, b)| authorisation_fork(network, bank, a, b))
        }
        (EvidenceKind::OrderLogFork, [a, b]) => read(&a.0).zip(read(&b.0)).map(|(a, b)| order_log_fork(network, a, b)),
        (EvidenceKind::BrokenPromise, [goods]) => {
            wire::decode(&goods.0).ok().map(|goods| broken_promise(network, &goods))
        }
        _ => None,
    };
    verdict.unwrap_or(Verdict::Insufficient)
}

/// Two invoices under one number and nonce that say different things: guilty is the seller.
#[must_use]
pub fn invoice_fork(network: NetworkId, a: Signed<Clear>, b: Signed<Clear>) -> Verdict {
    fork(network, a, b, |x, y| (x.terms.tid, x.terms.nonce) == (y.terms.tid, y.terms.nonce))
}

/// Two answers of the bank to one purchase: guilty is the bank.
#[must_use]
pub fn authorisation_fork(
    network: NetworkId,
    bank: PeerId,
    a: Signed<Authorisation>,
    b: Signed<Authorisation>,
) -> Verdict {
    if a.claimed_signer() != bank {
        return Verdict::Insufficient; // Anybody may sign answers; only the bank's mean something.
    }
    fork(network, a, b, |x, y| x.common == y.common)
}

/// Two logs of one chain that share units and differ: guilty is the buyer.
#[must_use]
pub fn order_log_fork(network: NetworkId, a: Signed<OrderLog>, b: Signed<OrderLog>) -> Verdict {
    fork(network, a, b, |x, y| x.chain == y.chain && x.from.max(y.from) <= x.through.min(y.through))
}

/// Goods that do not open to what their promise says: guilty is the seller that signed it.
#[must_use]
pub fn broken_promise(network: NetworkId, goods: &Goods) -> Verdict {
    match goods.promise.clone().verify(network) {
        Ok(promise) if is_broken(&promise, goods) => Verdict::Guilty(promise.signer()),
        _ => Verdict::Insufficient,
    }
}

fn is_broken(promise: &Verified<Promise>, goods: &Goods) -> bool {
    let promise = promise.body();
    goods.is_what_was_promised_on(promise) && goods.open_for(promise).is_none()
}

/// Whether a line is in a log that the buyer signed: what it was about is no longer disputable.
/// `entries` are all lines of the log.
#[must_use]
pub fn was_ordered(network: NetworkId, log: Signed<OrderLog>, entries: &[LogEntry], line: &LogEntry) -> bool {
    let Ok(log) = log.verify(network) else { return false };
    log.body().digest == log_digest(log.body().chain, entries) && entries.contains(line)
}

/// Two different statements of one signer that no honest party makes both.
fn fork<T: Statement>(
    network: NetworkId,
    a: Signed<T>,
    b: Signed<T>,
    same_matter: impl FnOnce(&T, &T) -> bool,
) -> Verdict {
    let (Ok(a), Ok(b)) = (a.verify(network), b.verify(network)) else { return Verdict::Insufficient };
    let forked = a.signer() == b.signer() && a.digest() != b.digest() && same_matter(a.body(), b.body());
    if forked { Verdict::Guilty(a.signer()) } else { Verdict::Insufficient }
}

fn read<T>(bytes: &[u8]) -> Option<Signed<T>> {
    wire::decode(bytes).ok()
}

#[cfg(test)]
mod tests;
