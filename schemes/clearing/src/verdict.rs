//! Verdicts: pure functions of signed statements that any stranger can run again.
//!
//! Under the shared key alone nothing can be proven to others: both ends hold it. Where requests
//! and logs are signed, whoever speaks in two ways is convicted by its own signatures.
//!
//! Soundness: an honest wallet signs one request for each number of an epoch, and its log only grows
//! within an epoch; a restored copy gets another epoch before it may pay. An honest bank signs one
//! receipt for each authorisation.

use farthing_core::evidence::{Evidence, EvidenceKind, Verdict};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::sign::{Signed, Statement};
use farthing_core::wire;

use crate::messages::{BankReceipt, TransferRequest};
use crate::reconciliation::LogStatement;

/// Judges a piece of evidence of the clearing's kinds; anything else, and anything that cannot be
/// read, is insufficient.
#[must_use]
pub fn judge(network: NetworkId, bank: PeerId, evidence: &Evidence) -> Verdict {
    let [one, other] = evidence.statements.as_slice() else { return Verdict::Insufficient };
    let (one, other) = (&one.0[..], &other.0[..]);
    match evidence.kind {
        EvidenceKind::ClearingRequestFork => both(one, other, |a, b| transfer_fork(network, a, b)),
        EvidenceKind::ClearingReceiptFork => both(one, other, |a, b| receipt_fork(network, bank, a, b)),
        EvidenceKind::ClearingLogFork => both(one, other, |a, b| log_fork(network, a, b)),
        _ => Verdict::Insufficient,
    }
}

/// Two requests under one epoch and number: guilty is the payer.
#[must_use]
pub fn transfer_fork(network: NetworkId, a: Signed<TransferRequest>, b: Signed<TransferRequest>) -> Verdict {
    fork(network, a, b, |x, y| (x.epoch, x.sequence) == (y.epoch, y.sequence))
}

/// Two receipts for one authorisation: guilty is the bank.
#[must_use]
pub fn receipt_fork(network: NetworkId, bank: PeerId, a: Signed<BankReceipt>, b: Signed<BankReceipt>) -> Verdict {
    if a.claimed_signer() != bank {
        return Verdict::Insufficient; // Anybody may sign receipts; only the bank's mean something.
    }
    fork(network, a, b, |x, y| x.auth == y.auth)
}

/// Two logs of one epoch with equally many payments made, that differ there: guilty is their owner.
/// Payments received do not convict: their order comes from the bank.
#[must_use]
pub fn log_fork(network: NetworkId, a: Signed<LogStatement>, b: Signed<LogStatement>) -> Verdict {
    fork(network, a, b, |x, y| {
        let (one, other) = (x.log.outgoing, y.log.outgoing);
        x.epoch == y.epoch && one.n == other.n && one.head != other.head
    })
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

fn both<T>(one: &[u8], other: &[u8], judge: impl FnOnce(Signed<T>, Signed<T>) -> Verdict) -> Verdict {
    match (wire::decode(one), wire::decode(other)) {
        (Ok(one), Ok(other)) => judge(one, other),
        _ => Verdict::Insufficient,
    }
}
