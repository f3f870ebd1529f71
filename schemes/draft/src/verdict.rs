//! Verdicts: pure functions of signed statements that any stranger can run again.
//!
//! Soundness: an honest payer writes each number once, in the order of its clock, puts every draft
//! into its log, and neither stops what it acknowledged nor acknowledges what it stopped; an honest
//! payee deposits nothing that it gave back; an honest bank counts each payee's receipts once. So
//! nobody is found guilty by what others sign, whoever conspires. Every signature is checked
//! strictly here, however it was checked before.

use farthing_core::audit::Direction;
use farthing_core::evidence::{Evidence, EvidenceKind, StatementBytes, Verdict};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::sign::{Signed, Statement};
use farthing_core::wire::{self, Bounded};
use farthing_role::{Context, Filed, Halt, RequestBody};

use crate::bank::FILED;
use crate::messages::{
    Closing, Delivered, Deposit, DepositReceipt, Draft, LogPage, Outcome, Returned, Stop, StopReason, kind,
};

/// Judges a piece of evidence of the drafts' kinds; anything else, and anything that cannot be
/// read, is insufficient.
#[must_use]
pub fn judge(network: NetworkId, bank: PeerId, evidence: &Evidence) -> Verdict {
    let [a, b] = evidence.statements.as_slice() else { return Verdict::Insufficient };
    let guilty = match evidence.kind {
        EvidenceKind::DraftFork => draft_fork(network, a, b),
        EvidenceKind::StopAfterDelivery => stop_after_delivery(network, a, b),
        EvidenceKind::DepositAfterReturn => deposit_after_return(network, bank, a, b),
        EvidenceKind::ConcealedDraft => concealed(network, a, b),
        EvidenceKind::DepositReceiptFork => receipt_fork(network, bank, a, b),
        _ => None,
    };
    guilty.map_or(Verdict::Insufficient, Verdict::Guilty)
}

/// Two drafts under one number: the payer.
fn draft_fork(network: NetworkId, a: &StatementBytes, b: &StatementBytes) -> Option<PeerId> {
    let (a, b) = (proven::<Draft>(network, a)?, proven::<Draft>(network, b)?);
    let forked = a.signer() == b.signer() && a.body().number == b.body().number && a.digest() != b.digest();
    forked.then_some(a.signer())
}

/// Stopped as not delivered, and acknowledged as delivered: the payer.
fn stop_after_delivery(network: NetworkId, stop: &StatementBytes, word: &StatementBytes) -> Option<PeerId> {
    let (stop, word) = (proven::<Stop>(network, stop)?, proven::<Delivered>(network, word)?);
    let same = stop.signer() == word.signer() && stop.body().draft.digest() == word.body().draft.0;
    (same && stop.body().reason == StopReason::NotDelivered).then_some(stop.signer())
}

/// Given back, and deposited: the payee.
fn deposit_after_return(
    network: NetworkId,
    bank: PeerId,
    returned: &StatementBytes,
    request: &StatementBytes,
) -> Option<PeerId> {
    let (returned, request) = (proven::<Returned>(network, returned)?, proven::<RequestBody>(network, request)?);
    let asked = request.body();
    if request.signer() != returned.signer() || asked.to != bank || asked.kind != kind::DEPOSIT {
        return None;
    }
    let deposit: Deposit = wire::decode(&asked.message).ok()?;
    let draft = returned.body().draft.0;
    deposit.items.as_slice().iter().any(|item| item.draft.digest() == draft).then_some(returned.signer())
}

/// A draft that a log leaves out though it was written before the log was signed, or a page of that
/// log that has another one in its place: the payer.
fn concealed(network: NetworkId, draft: &StatementBytes, log: &StatementBytes) -> Option<PeerId> {
    let draft = proven::<Draft>(network, draft)?;
    let (payer, body) = (draft.signer(), draft.body());
    if let Some(closing) = proven::<Closing>(network, log) {
        let said = closing.body();
        let left_out = said.log.outgoing.n < body.number && body.time < said.time;
        return (closing.signer() == payer && left_out).then_some(payer);
    }
    let request = proven::<RequestBody>(network, log)?;
    if request.signer() != payer || request.body().kind != kind::LOG_PAGE {
        return None;
    }
    let page: LogPage = wire::decode(&request.body().message).ok()?;
    let mut entries = page.entries.as_slice().iter();
    let another = entries
        .any(|entry| entry.direction == Direction::Out && entry.t == body.number && entry.reference != draft.digest());
    another.then_some(payer)
}

/// One receipt number for two drafts, or two for one: the bank.
fn receipt_fork(network: NetworkId, bank: PeerId, a: &StatementBytes, b: &StatementBytes) -> Option<PeerId> {
    let (a, b) = (proven::<DepositReceipt>(network, a)?, proven::<DepositReceipt>(network, b)?);
    if a.signer() != bank || b.signer() != bank || a.body().payee != b.body().payee {
        return None; // Anybody may sign receipts; only the bank's mean something.
    }
    let numbered = |receipt: &DepositReceipt| -> Vec<_> {
        let lines = receipt.lines.as_slice().iter();
        lines
            .filter_map(|l| if let Outcome::Taken { number, .. } = l.outcome { Some((l.draft, number)) } else { None })
            .collect()
    };
    let (ours, theirs) = (numbered(a.body()), numbered(b.body()));
    let forked = ours.iter().any(|(draft, number)| theirs.iter().any(|(other, at)| (draft == other) != (number == at)));
    forked.then_some(bank)
}

fn proven<T: Statement>(network: NetworkId, bytes: &StatementBytes) -> Option<farthing_core::sign::Verified<T>> {
    wire::decode::<Signed<T>>(&bytes.0).ok()?.verify(network).ok()
}

/// A piece of evidence.
pub(crate) fn evidence(kind: EvidenceKind, accused: PeerId, statements: impl IntoIterator<Item = Vec<u8>>) -> Evidence {
    let statements = statements.into_iter().map(StatementBytes).collect();
    Evidence { kind, accused, statements: Bounded::new(statements).unwrap_or_else(Bounded::empty) }
}

/// Files evidence at the bank with its verdict, once however often it is shown; says whether it
/// convicts and is new: shown again to a pardoned account, it suspends nobody.
pub(crate) fn file(
    cx: &mut Context<'_>,
    network: NetworkId,
    bank: PeerId,
    kind: EvidenceKind,
    accused: PeerId,
    statements: impl IntoIterator<Item = Vec<u8>>,
) -> Result<bool, Halt> {
    let evidence = evidence(kind, accused, statements);
    let verdict = judge(network, bank, &evidence);
    let unique = hash(Purpose::Statement, &[&wire::encode(&evidence)]);
    if cx.tx.get(FILED, &unique)?.is_some() {
        return Ok(false);
    }
    cx.tx.put(FILED, &unique, Vec::new());
    Filed::file(cx, evidence, verdict);
    Ok(matches!(verdict, Verdict::Guilty(_)))
}

#[cfg(test)]
mod tests;
