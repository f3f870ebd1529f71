//! Verdicts about cheques: pure functions of signed statements that any stranger can run again.
//!
//! Soundness rests on what honest parties do. A holder endorses a title once and writes that down
//! first. A bank answers each chain of endorsements of a cheque once, for the amount of the cheque,
//! never clears it after its end, and never bounces one that it certified but for its end or a second
//! presentation; and a day is stated only when nothing can be paid on it any more, with all that
//! was. What no verdict can show is silence: a bank that never answers.

use farthing_core::evidence::{Evidence, EvidenceKind, StatementBytes, Verdict};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::refusal::Code;
use farthing_core::sign::Signed;
use farthing_core::title;
use farthing_core::wire::{self, Wire};
use farthing_ledger::StoreFault;
use farthing_role::{Context, Filed};

use super::messages::{Certification, Fate, Outcome, Page};
use super::records::FILED;
use super::settle::day_of;
use crate::messages::Draft;
use crate::verdict::evidence;

/// Judges a piece of evidence about cheques; anything else, and anything that cannot be read, is
/// insufficient. `network` is the one in which the statements were signed.
#[must_use]
pub fn judge(network: NetworkId, evidence: &Evidence) -> Verdict {
    let verdict = match (evidence.kind, evidence.statements.as_slice()) {
        (EvidenceKind::TitleFork, [a, b]) => read(a).zip(read(b)).map(|(a, b)| title::fork(network, a, b)),
        (EvidenceKind::OutcomeFork, [a, b]) => read(a).zip(read(b)).map(|(a, b)| outcome_fork(network, a, b)),
        (EvidenceKind::OutcomeDenied, [a, b]) => read(a).zip(read(b)).map(|(a, b)| outcome_denied(network, a, b)),
        (EvidenceKind::FalseOutcome, [a, b, rest @ ..]) => {
            let certification = rest.first().map(read).unwrap_or_default();
            read(a).zip(read(b)).map(|(a, b)| false_outcome(network, a, b, certification))
        }
        (EvidenceKind::StatementFork, [a, b]) => read(a).zip(read(b)).map(|(a, b)| statement_fork(network, a, b)),
        _ => None,
    };
    verdict.unwrap_or(Verdict::Insufficient)
}

/// Two different answers of one bank to one chain of endorsements: guilty is the bank.
#[must_use]
pub fn outcome_fork(network: NetworkId, a: Signed<Outcome>, b: Signed<Outcome>) -> Verdict {
    let (Ok(a), Ok(b)) = (a.verify(network), b.verify(network)) else { return Verdict::Insufficient };
    let same = (a.body().cheque, a.body().chain) == (b.body().cheque, b.body().chain);
    convict(a.signer() == b.signer() && same && a.digest() != b.digest(), a.signer())
}

/// A bank signed that it cleared a cheque, and its statement of that day has no such line, or another
/// amount: guilty is the bank.
#[must_use]
pub fn outcome_denied(network: NetworkId, outcome: Signed<Outcome>, page: Signed<Page>) -> Verdict {
    let (Ok(outcome), Ok(page)) = (outcome.verify(network), page.verify(network)) else {
        return Verdict::Insufficient;
    };
    let (said, stated) = (outcome.body(), page.body());
    let same_day = said.to == stated.to
        && day_of(said.time) == stated.day
        && said.amount.currency() == stated.total.currency()
        && stated.covers(said.cheque);
    let denied = stated.paid(said.cheque) != Some(said.amount);
    convict(outcome.signer() == page.signer() && said.fate == Fate::Cleared && same_day && denied, outcome.signer())
}

/// An answer of the bank drawn on that the cheque itself rules out: another amount, cleared after the
/// end, ended before it, or bounced although certified. Guilty is the bank.
#[must_use]
pub fn false_outcome(
    network: NetworkId,
    cheque: Signed<Draft>,
    outcome: Signed<Outcome>,
    certification: Option<Signed<Certification>>,
) -> Verdict {
    let (Ok(cheque), Ok(outcome)) = (cheque.verify(network), outcome.verify(network)) else {
        return Verdict::Insufficient;
    };
    let (draft, said) = (cheque.body(), outcome.body());
    if outcome.signer() != draft.bank || draft.network != network || said.cheque.0 != cheque.digest() {
        return Verdict::Insufficient;
    }
    let ended = said.time >= draft.deposit_by;
    let certified = certification.and_then(|c| c.verify_by(network, draft.bank).ok());
    let certified = certified.is_some_and(|c| c.body().cheque == said.cheque);
    let wrong = said.amount != draft.amount
        || match said.fate {
            Fate::Cleared => ended,
            Fate::Bounced(Code::Expired) => !ended,
            Fate::Bounced(Code::Spent) => false,
            Fate::Bounced(_) => certified,
        };
    convict(wrong, draft.bank)
}

/// Two different pages of one bank's statement to one peer, of one day, in one place: guilty is the
/// bank.
#[must_use]
pub fn statement_fork(network: NetworkId, a: Signed<Page>, b: Signed<Page>) -> Verdict {
    let (Ok(a), Ok(b)) = (a.verify(network), b.verify(network)) else { return Verdict::Insufficient };
    let place = |page: &Page| (page.to, page.day, page.total.currency(), page.after);
    let same = place(a.body()) == place(b.body());
    convict(a.signer() == b.signer() && same && a.digest() != b.digest(), a.signer())
}

fn convict(guilty: bool, who: PeerId) -> Verdict {
    if guilty { Verdict::Guilty(who) } else { Verdict::Insufficient }
}

fn read<T: Wire>(bytes: &StatementBytes) -> Option<T> {
    wire::decode(&bytes.0).ok()
}

/// What somebody may be convicted of. One case is filed once, whatever is signed in it later: whoever
/// lies anew at every retry fills nobody's disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// Where the statements were signed.
    pub(super) network: NetworkId,
    pub(super) kind: EvidenceKind,
    pub(super) accused: PeerId,
    /// The cheque, chain or page.
    pub(super) about: &'a [u8],
}

impl Case<'_> {
    /// Files these statements if they convict and nothing was filed in this case before; says whether
    /// they do.
    pub(super) fn file_if_guilty<const N: usize>(
        &self,
        cx: &mut Context<'_>,
        statements: [Vec<u8>; N],
    ) -> Result<bool, StoreFault> {
        let evidence = evidence(self.kind, self.accused, statements);
        let verdict = judge(self.network, &evidence);
        if verdict == Verdict::Insufficient {
            return Ok(false);
        }
        let case = hash(Purpose::Statement, &[&wire::encode(&self.kind), &self.accused.0, self.about]);
        if cx.tx.get(FILED, &case)?.is_none() {
            cx.tx.put(FILED, &case, Vec::new());
            Filed::file(cx, evidence, verdict);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
