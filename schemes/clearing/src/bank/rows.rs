//! The bank's rows of each customer's log: a line and the head after it, by number.

use farthing_core::audit::{AuditLog, Direction, SubChain};
use farthing_core::id::PeerId;
use farthing_core::wire::{self, Bounded};
use farthing_ledger::StoreFault;
use farthing_role::{Context, Records, Scan, Table};
use minicbor::{Decode, Encode};

use super::records;
use crate::reconciliation::{Line, Lines};

/// Payments made, by payer and number.
pub(super) const OUTGOING: Table = Table("clearing_outgoing");
/// Payments received, by payee and number.
pub(super) const INCOMING: Table = Table("clearing_incoming");
/// A line of a customer's log and the head after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Row {
    #[n(0)]
    pub(super) line: Line,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(super) head: [u8; 32],
}

const fn rows_of(direction: Direction) -> Table {
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

pub(super) fn put_row(cx: &mut Context<'_>, customer: PeerId, direction: Direction, t: u64, row: &Row) {
    cx.tx.put(rows_of(direction), &row_key(customer, t), wire::encode(row));
}

/// Rows with numbers above `after`, in order, at most `limit`.
pub(super) fn rows(
    tx: &dyn Records,
    customer: PeerId,
    direction: Direction,
    after: u64,
    limit: usize,
) -> Result<Vec<Row>, StoreFault> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let (table, after) = (rows_of(direction), row_key(customer, after));
    let rows = tx.scan(table, Scan { prefix: &customer.0, after: Some(&after), limit })?;
    rows.into_iter().map(|(_, row)| records::decode(table, &row)).collect()
}

/// A customer's sub-chain when it had `n` entries; `None` where it never had.
pub(super) fn sub_chain_at(
    tx: &dyn Records,
    customer: PeerId,
    direction: Direction,
    n: u64,
) -> Result<Option<SubChain>, StoreFault> {
    if n == 0 {
        return Ok(Some(SubChain::start(customer, direction)));
    }
    let row: Option<Row> = records::read(tx, rows_of(direction), &row_key(customer, n))?;
    Ok(row.map(|row| SubChain { n, head: row.head }))
}

/// The lines that follow, up to a log's end, at most `limit` in all.
pub(super) fn lines(
    tx: &dyn Records,
    customer: PeerId,
    after: (u64, u64),
    upto: &AuditLog,
    limit: usize,
) -> Result<Lines, StoreFault> {
    let portion = |direction, after, upto: u64, room| {
        let wanted = usize::try_from(upto.saturating_sub(after)).unwrap_or(usize::MAX).min(room);
        let rows = rows(tx, customer, direction, after, wanted)?;
        Ok::<_, StoreFault>(rows.into_iter().map(|row| row.line).collect::<Vec<_>>())
    };
    let outgoing = portion(Direction::Out, after.0, upto.outgoing.n, limit)?;
    let incoming = portion(Direction::In, after.1, upto.incoming.n, limit - outgoing.len())?;
    let bounded = |lines| Bounded::new(lines).unwrap_or_else(Bounded::empty);
    Ok(Lines { outgoing: bounded(outgoing), incoming: bounded(incoming) })
}
