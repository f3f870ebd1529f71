//! Entries of a customer's log against the bank's rows.

use farthing_core::audit::{AuditLog, Direction, Entry};
use farthing_core::id::PeerId;
use farthing_ledger::StoreFault;
use farthing_role::Records;

use super::records::AccountRecord;
use super::rows;
use crate::reconciliation::{PROBLEMS_MAX, Problem};

/// Whether the log, as it is told, begins at a point where the bank's was once too.
pub(super) fn begin(
    tx: &dyn Records,
    customer: PeerId,
    record: &AccountRecord,
    start: &AuditLog,
    problems: &mut Vec<Problem>,
) -> Result<(u64, u64), StoreFault> {
    if !has_been(tx, customer, record, start)? {
        note(problems, Problem::Heads);
    }
    Ok((start.outgoing.n, start.incoming.n))
}

/// Whether the bank's log of this customer once stood so.
pub(super) fn has_been(
    tx: &dyn Records,
    customer: PeerId,
    record: &AccountRecord,
    log: &AuditLog,
) -> Result<bool, StoreFault> {
    let outgoing = rows::sub_chain_at(tx, customer, record, Direction::Out, log.outgoing.n)?;
    let incoming = rows::sub_chain_at(tx, customer, record, Direction::In, log.incoming.n)?;
    Ok(outgoing == Some(log.outgoing) && incoming == Some(log.incoming))
}

/// Compares entries with the bank's rows after number `told`; says how far they go.
pub(super) fn follow(
    tx: &dyn Records,
    customer: PeerId,
    record: &AccountRecord,
    direction: Direction,
    told: u64,
    entries: &[Entry],
    problems: &mut Vec<Problem>,
) -> Result<u64, StoreFault> {
    let known = rows::following(tx, customer, record, direction, told, entries.len())?;
    let mut known = known.iter();
    let mut t = told;
    for entry in entries {
        t = t.saturating_add(1);
        match known.next() {
            Some(line) if line.entry(t, direction) == *entry => {}
            Some(_) => note(problems, Problem::Differs { direction, t }),
            None => note(problems, Problem::NotAtBank { direction, t }),
        }
    }
    Ok(t)
}

pub(super) fn note(problems: &mut Vec<Problem>, problem: Problem) {
    if problems.len() < PROBLEMS_MAX && !problems.contains(&problem) {
        problems.push(problem);
    }
}
