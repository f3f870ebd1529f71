//! The bank's copy of each customer's log, by number: the last few lines stand in the customer's own
//! record, which every payment writes anyway; the ones before, in runs of [`RUN`].

use farthing_core::audit::{AuditLog, Direction, SubChain};
use farthing_core::id::PeerId;
use farthing_core::wire::{self, Bounded};
use farthing_ledger::StoreFault;
use farthing_role::{Context, Records, Scan, Table};
use minicbor::{Decode, Encode};

use super::records::{self, AccountRecord};
use crate::reconciliation::{Line, Lines};

/// Payments made, by payer and number of the last line of a run.
pub(super) const OUTGOING: Table = Table("clearing_outgoing");
/// Payments received, by payee and number of the last line of a run.
pub(super) const INCOMING: Table = Table("clearing_incoming");

/// How many lines make a run: so few that a customer's record stays within a page of the database,
/// and so many that most payments touch no other page.
pub(super) const RUN: usize = 4;

/// The lines of a log that are in no run yet.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Recent {
    #[n(0)]
    outgoing: Bounded<Line, RUN>,
    #[n(1)]
    incoming: Bounded<Line, RUN>,
}

impl Recent {
    pub(super) const fn new() -> Self {
        Self { outgoing: Bounded::empty(), incoming: Bounded::empty() }
    }

    const fn of(&self, direction: Direction) -> &Bounded<Line, RUN> {
        match direction {
            Direction::Out => &self.outgoing,
            Direction::In => &self.incoming,
        }
    }

    const fn of_mut(&mut self, direction: Direction) -> &mut Bounded<Line, RUN> {
        match direction {
            Direction::Out => &mut self.outgoing,
            Direction::In => &mut self.incoming,
        }
    }
}

/// Lines of a customer's log and the head after them.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
struct Run {
    #[n(0)]
    lines: Bounded<Line, RUN>,
    #[cbor(n(1), with = "minicbor::bytes")]
    head: [u8; 32],
}

const fn table(direction: Direction) -> Table {
    match direction {
        Direction::Out => OUTGOING,
        Direction::In => INCOMING,
    }
}

fn row_key(customer: PeerId, t: u64) -> [u8; 40] {
    let mut key = [0; 40];
    key[..32].copy_from_slice(&customer.0);
    key[32..].copy_from_slice(&t.to_be_bytes());
    key
}

/// How far the runs go; what follows is recent.
fn in_runs(record: &AccountRecord, direction: Direction) -> u64 {
    record.log.of(direction).n.saturating_sub(record.recent.of(direction).as_slice().len() as u64)
}

/// Notes a line, after which the customer's log stands as `log` says. The record is the caller's to
/// store.
pub(super) fn append(
    cx: &mut Context<'_>,
    customer: PeerId,
    record: &mut AccountRecord,
    direction: Direction,
    line: Line,
    log: AuditLog,
) {
    let before = record.log.of(direction);
    let recent = record.recent.of_mut(direction);
    let mut lines = core::mem::replace(recent, Bounded::empty());
    if lines.as_slice().len() == RUN {
        let run = Run { lines, head: before.head };
        cx.tx.put(table(direction), &row_key(customer, before.n), wire::encode(&run));
        lines = Bounded::empty();
    }
    let mut lines = lines.into_vec();
    lines.push(line);
    *recent = Bounded::new(lines).unwrap_or_else(Bounded::empty);
    record.log = log;
}

/// Lines with numbers above `after`, in order, at most `limit`.
pub(super) fn following(
    tx: &dyn Records,
    customer: PeerId,
    record: &AccountRecord,
    direction: Direction,
    after: u64,
    limit: usize,
) -> Result<Vec<Line>, StoreFault> {
    let (in_runs, mut lines) = (in_runs(record, direction), Vec::new());
    let passed = |first: u64| usize::try_from(after.saturating_sub(first)).unwrap_or(usize::MAX);
    if after < in_runs && limit > 0 {
        let (table, from) = (table(direction), row_key(customer, after));
        let runs = limit.div_ceil(RUN).saturating_add(1);
        for (key, row) in tx.scan(table, Scan { prefix: &customer.0, after: Some(&from), limit: runs })? {
            let run: Run = records::decode(table, &row)?;
            let last = key.last_chunk().map_or(0, |t| u64::from_be_bytes(*t));
            lines.extend(run.lines.into_vec().into_iter().skip(passed(last.saturating_sub(RUN as u64))));
        }
    }
    if lines.len() < limit {
        lines.extend(record.recent.of(direction).as_slice().iter().skip(passed(in_runs)));
    }
    lines.truncate(limit);
    Ok(lines)
}

/// A customer's sub-chain when it had `n` entries; `None` where it never had. At most [`RUN`] hashes.
pub(super) fn sub_chain_at(
    tx: &dyn Records,
    customer: PeerId,
    record: &AccountRecord,
    direction: Direction,
    n: u64,
) -> Result<Option<SubChain>, StoreFault> {
    let now = record.log.of(direction);
    if n >= now.n {
        return Ok((n == now.n).then_some(now));
    }
    let base = n - n % RUN as u64;
    let head = match base {
        0 => Some(SubChain::start(customer, direction).head),
        _ => records::read(tx, table(direction), &row_key(customer, base))?.map(|run: Run| run.head),
    };
    let Some(head) = head else { return Ok(None) };
    let mut at = SubChain { n: base, head };
    for line in following(tx, customer, record, direction, base, (n - base) as usize)? {
        match at.after(&line.entry(at.n.saturating_add(1), direction)) {
            Ok(next) => at = next,
            Err(_) => return Ok(None),
        }
    }
    Ok((at.n == n).then_some(at))
}

/// The lines that follow, up to a log's end, at most `limit` in all.
pub(super) fn lines(
    tx: &dyn Records,
    customer: PeerId,
    record: &AccountRecord,
    after: (u64, u64),
    upto: &AuditLog,
    limit: usize,
) -> Result<Lines, StoreFault> {
    let portion = |direction, after, room| {
        let missing = upto.of(direction).n.saturating_sub(after);
        let wanted = usize::try_from(missing).unwrap_or(usize::MAX).min(room);
        following(tx, customer, record, direction, after, wanted)
    };
    let outgoing = portion(Direction::Out, after.0, limit)?;
    let incoming = portion(Direction::In, after.1, limit - outgoing.len())?;
    let bounded = |lines| Bounded::new(lines).unwrap_or_else(Bounded::empty);
    Ok(Lines { outgoing: bounded(outgoing), incoming: bounded(incoming) })
}

#[cfg(test)]
mod tests;
