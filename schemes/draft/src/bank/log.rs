//! Reading a holder's log: page by page, in constant memory, each entry against what was deposited.

use std::collections::BTreeMap;

use farthing_core::amount::Amount;
use farthing_core::audit::{AuditLog, Direction, Entry};
use farthing_core::evidence::EvidenceKind;
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::{Signed, Statement, Verified};
use farthing_core::wire::{self, Wire};
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt, Records, Scan, Table};

use super::Drafts;
use super::records::{
    self, Given, HOLDERS, Holder, RECEIPTS, SPENT, STOPS, Spent, StopRow, WALKS, WRITTEN, Walk, Written, numbered,
};
use crate::messages::{
    Closing, DepositReceipt, Differs, Digest, Draft, LogPage, PAGE_MAX, PROBLEMS_MAX, PageTaken, Problem,
};
use crate::rows::decode;
use crate::verdict;

/// The most entries that one reconciliation reads: bounds what a holder makes the bank remember.
pub const ENTRIES_MAX: u64 = 1_000_000;

/// How many rows are read at a time. An entry looked up by itself would cost several times as much.
const ROWS_AT_ONCE: usize = 128;

/// What is wrong with an entry, and the draft that shows it.
type Found = (Problem, Option<Signed<Draft>>);

/// What the bank knows about the entries of one page, by number.
struct Known {
    spent: BTreeMap<u64, Spent>,
    stopped: BTreeMap<u64, StopRow>,
    given: BTreeMap<u64, Given>,
}

impl Known {
    /// An honest page goes on from the log as it was read: these are the numbers it has.
    fn read(tx: &dyn Records, key: PeerId, at: &AuditLog, page: &LogPage) -> Result<Self, StoreFault> {
        let entries = page.entries.as_slice();
        let sent = entries.iter().filter(|entry| entry.direction == Direction::Out).count();
        let (sent, received) = ((at.outgoing.n, sent), (at.incoming.n, entries.len() - sent));
        Ok(Self {
            spent: numbers(tx, SPENT, key, sent)?,
            stopped: numbers(tx, STOPS, key, sent)?,
            given: numbers(tx, RECEIPTS, key, received)?,
        })
    }
}

/// The rows of a party with the next `count` numbers after one.
fn numbers<T: Wire>(
    tx: &dyn Records,
    table: Table,
    party: PeerId,
    (after, count): (u64, usize),
) -> Result<BTreeMap<u64, T>, StoreFault> {
    let last = after.saturating_add(count as u64);
    let mut found = BTreeMap::new();
    let mut place = numbered(party, after);
    if count == 0 {
        return Ok(found);
    }
    loop {
        let limit = ROWS_AT_ONCE.min(count);
        let rows = tx.scan(table, Scan { prefix: &party.0, after: Some(&place), limit })?;
        let full = rows.len() == limit;
        for (key, row) in rows {
            let number = key.last_chunk().map_or(u64::MAX, |number| u64::from_be_bytes(*number));
            if number > last {
                return Ok(found);
            }
            found.insert(number, decode(table, &row)?);
            place = key;
        }
        if !full {
            return Ok(found);
        }
    }
}

impl Drafts {
    /// Reads one page: each entry must follow the last; each draft that was deposited must be the
    /// one in the log, and commit to the log as it was before it; each receipt must be one the bank
    /// gave. `proof` is the signed request, kept if it shows a misdeed.
    ///
    /// # Errors
    /// [`Halt`]: out of turn, or entries that do not follow; then nothing of the page was taken.
    pub fn page(&self, cx: &mut Context<'_>, key: PeerId, page: &LogPage, proof: &[u8]) -> Result<PageTaken, Halt> {
        let holder = records::holder(&*cx.tx, key)?;
        let mut walk = self.walk(cx, key, page.opening)?;
        walk.entries = walk.entries.saturating_add(page.entries.as_slice().len() as u64);
        if walk.entries > ENTRIES_MAX {
            let why = "too many entries for one reconciliation: close this one, and begin another";
            return Err(Refusal::new(Code::Limit, why).into());
        }
        let known = Known::read(&*cx.tx, key, &walk.at, page)?;
        for entry in page.entries.as_slice() {
            let before = walk.at;
            walk.at = follow(before, entry)?;
            let found = match entry.direction {
                Direction::Out => self.compare_draft(cx, key, &known, &mut walk, before, entry)?,
                Direction::In => compare_receipt(&known, entry),
            };
            let Some((problem, draft)) = found else { continue };
            if let (Differs::Altered, Some(draft)) = (problem.what, draft) {
                let shown = [wire::encode(&draft), proof.to_vec()];
                verdict::file(cx, self.chart.network, self.bank(), EvidenceKind::ConcealedDraft, key, shown)?;
            }
            note(&mut walk, problem);
        }
        self.forget_written(cx, key, holder)?;
        cx.tx.put(WALKS, &key.0, wire::encode(&walk));
        Ok(PageTaken { at: walk.at })
    }

    fn compare_draft(
        &self,
        cx: &mut Context<'_>,
        key: PeerId,
        known: &Known,
        walk: &mut Walk,
        before: AuditLog,
        entry: &Entry,
    ) -> Result<Option<Found>, Halt> {
        let log = before.commitment();
        let Some(spent) = known.spent.get(&entry.t) else {
            let written = Written { draft: Digest(entry.reference), log: Digest(log), amount: entry.amount };
            if known.stopped.get(&entry.t).is_some_and(|stop| stop.draft == written.draft) {
                return Ok(None); // Stopped: its money is set aside already.
            }
            cx.tx.put(WRITTEN, &numbered(key, entry.t), wire::encode(&written));
            walk.outstanding = walk.outstanding.checked_add(entry.amount).map_err(Refusal::from)?;
            return Ok(None);
        };
        let what = if spent.draft.digest() != entry.reference {
            Differs::Altered
        } else {
            let body = spent.draft.peek().map_err(Refusal::from)?;
            if body.log == log && body.amount == entry.amount && body.payee == entry.peer {
                return Ok(None);
            }
            Differs::History
        };
        Ok(Some((Problem { number: entry.t, what }, Some(spent.draft.clone()))))
    }

    /// What was deposited of this holder's beyond the end of its log, though written before it was
    /// closed; and what a deposit showed since the last time.
    pub(super) fn find_concealed(
        &self,
        cx: &mut Context<'_>,
        closing: &Verified<Closing>,
        holder: &Holder,
        walk: &mut Walk,
    ) -> Result<(), Halt> {
        if let Some(problem) = holder.problem {
            note(walk, problem);
        }
        let (key, end) = (closing.signer(), closing.body().log.outgoing.n);
        let after = numbered(key, end);
        let scan = Scan { prefix: &key.0, after: Some(&after), limit: PROBLEMS_MAX };
        for (_, row) in cx.tx.scan(SPENT, scan)? {
            let spent: Spent = decode(SPENT, &row)?;
            let body = spent.draft.peek().map_err(Refusal::from)?;
            if body.time < closing.body().time {
                let shown = [wire::encode(&spent.draft), wire::encode(closing.signed())];
                verdict::file(cx, self.chart.network, self.bank(), EvidenceKind::ConcealedDraft, key, shown)?;
                note(walk, Problem { number: body.number, what: Differs::Concealed });
            }
        }
        Ok(())
    }

    /// Forgets entries too old to be deposited, a page of them for each page that is read.
    fn forget_written(&self, cx: &mut Context<'_>, key: PeerId, mut holder: Holder) -> Result<(), Halt> {
        if holder.forget == 0 {
            return Ok(());
        }
        let rows = cx.tx.scan(WRITTEN, Scan { prefix: &key.0, after: None, limit: PAGE_MAX })?;
        let last = numbered(key, holder.forget);
        for (place, row) in rows.into_iter().take_while(|(place, _)| *place <= last) {
            holder.outstanding = less(holder.outstanding, decode::<Written>(WRITTEN, &row)?.amount);
            cx.tx.delete(WRITTEN, &place);
        }
        cx.tx.put(HOLDERS, &key.0, wire::encode(&holder));
        Ok(())
    }
}

fn compare_receipt(known: &Known, entry: &Entry) -> Option<Found> {
    let same = known
        .given
        .get(&entry.t)
        .is_some_and(|given| (given.draft.0, given.payer, given.amount) == (entry.reference, entry.peer, entry.amount));
    (!same).then_some((Problem { number: entry.t, what: Differs::Receipt }, None))
}

/// The log after one more entry of its owner's, which must be about drafts.
fn follow(log: AuditLog, entry: &Entry) -> Result<AuditLog, Refusal> {
    let (chain, kind) = match entry.direction {
        Direction::Out => (log.outgoing, Draft::KIND),
        Direction::In => (log.incoming, DepositReceipt::KIND),
    };
    if entry.kind != kind {
        return Err(Refusal::new(Code::Log, "this log is about drafts and receipts for them, and nothing else"));
    }
    let chain = chain.after(entry)?;
    Ok(match entry.direction {
        Direction::Out => AuditLog { outgoing: chain, ..log },
        Direction::In => AuditLog { incoming: chain, ..log },
    })
}

/// What is left, and never less than nothing.
pub(super) fn less(from: Amount, amount: Amount) -> Amount {
    from.checked_sub(amount).unwrap_or_else(|_| from.currency().zero())
}

fn note(walk: &mut Walk, problem: Problem) {
    if walk.problems.len() < PROBLEMS_MAX {
        walk.problems.push(problem);
    }
}
