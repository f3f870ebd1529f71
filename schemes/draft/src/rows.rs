//! Reading records.

use farthing_core::wire::{self, Wire};
use farthing_ledger::StoreFault;
use farthing_role::{Records, Table};

pub(crate) fn read<T: Wire>(tx: &dyn Records, table: Table, key: &[u8]) -> Result<Option<T>, StoreFault> {
    let Some(bytes) = tx.get(table, key)? else { return Ok(None) };
    decode(table, &bytes).map(Some)
}

pub(crate) fn decode<T: Wire>(table: Table, bytes: &[u8]) -> Result<T, StoreFault> {
    wire::decode(bytes).map_err(|why| StoreFault(format!("a row of {} is damaged: {why}", table.0)))
}
