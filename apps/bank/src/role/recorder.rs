//! What the bank writes down beside every transfer: a line for the customer, and the running sums.

use farthing_core::amount::Currency;
use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_ledger::{Account, AccountKind, Books, Entry, Hold, LedgerWrite, StoreFault, Transfer};
use farthing_role::{Records, Row, Scan, Table, Transaction};
use minicbor::{Decode, Encode};

use crate::chart::{LINE_COUNTS, LINES, SUMS, read};
use crate::messages::Line;

/// The most lines kept for one account; older ones are in the journal only.
pub(super) const LINES_KEPT: u64 = 10_000;

/// Sums over all accounts of each kind, in micros, kept with every transfer. Compared now and then
/// with the accounts themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode)]
pub(crate) struct Sums {
    #[n(0)]
    by_kind: [i64; AccountKind::ALL.len()],
}

impl Sums {
    /// The sums as last written.
    pub(crate) fn key(currency: Currency) -> Vec<u8> {
        currency.code().as_bytes().to_vec()
    }

    /// The sum of one kind.
    pub(crate) const fn of(&self, kind: AccountKind) -> i64 {
        self.by_kind[kind as usize]
    }

    fn add(&mut self, kind: AccountKind, micros: i64) -> Result<(), StoreFault> {
        let sum = &mut self.by_kind[kind as usize];
        // The outside cannot turn over so much, and all others together have what it gave.
        *sum = sum.checked_add(micros).ok_or_else(|| StoreFault("the running sums are damaged".into()))?;
        Ok(())
    }
}

/// A transaction that notes what the ledger moves in it.
pub(super) struct Recorder<'a> {
    tx: &'a mut dyn Transaction,
    moved: Vec<(Transfer, AccountKind, AccountKind)>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(tx: &'a mut dyn Transaction) -> Self {
        Self { tx, moved: Vec::new() }
    }

    /// Writes lines and sums of all that moved.
    pub(super) fn finish(self) -> Result<(), StoreFault> {
        let Self { tx, moved } = self;
        for (transfer, debit, credit) in moved {
            let currency = transfer.amount.currency();
            let key = Sums::key(currency);
            let mut sums: Sums = read(&*tx, SUMS, &key)?.unwrap_or_default();
            let micros =
                i64::try_from(transfer.amount.as_micros()).map_err(|_| StoreFault("an amount out of range".into()))?;
            sums.add(debit, -micros)?;
            sums.add(credit, micros)?;
            tx.put(SUMS, &key, wire::encode(&sums));
            for (account, kind, received) in [(transfer.debit, debit, false), (transfer.credit, credit, true)] {
                if kind == AccountKind::Customer {
                    write_line(tx, account, &transfer, received)?;
                }
            }
        }
        Ok(())
    }
}

fn write_line(
    tx: &mut dyn Transaction,
    account: AccountId,
    transfer: &Transfer,
    received: bool,
) -> Result<(), StoreFault> {
    let number = read::<u64>(&*tx, LINE_COUNTS, &account.0)?.unwrap_or_default().saturating_add(1);
    let Transfer { id, amount, reason, reference, at, .. } = *transfer;
    let line = Line { number, transfer: id, received, amount, reason, reference, at };
    tx.put(LINE_COUNTS, &account.0, wire::encode(&number));
    tx.put(LINES, &line_key(account, number), wire::encode(&line));
    if let Some(old) = number.checked_sub(LINES_KEPT) {
        tx.delete(LINES, &line_key(account, old));
    }
    Ok(())
}

/// Where the line with that number is.
pub(super) fn line_key(account: AccountId, number: u64) -> Vec<u8> {
    [&account.0[..], &number.to_be_bytes()].concat()
}

impl Records for Recorder<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        self.tx.get(table, key)
    }

    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Row>, StoreFault> {
        self.tx.scan(table, scan)
    }

    fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) {
        self.tx.put(table, key, value);
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        self.tx.delete(table, key);
    }
}

impl Books for Recorder<'_> {
    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreFault> {
        self.tx.account(id)
    }

    fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, StoreFault> {
        self.tx.transfer(id)
    }

    fn hold(&self, id: TransferId) -> Result<Option<Hold>, StoreFault> {
        self.tx.hold(id)
    }

    fn holds_due(&self, now: Time, limit: usize) -> Result<Vec<Hold>, StoreFault> {
        self.tx.holds_due(now, limit)
    }

    fn write(&mut self, write: LedgerWrite) {
        if let (Entry::Moved(transfer), [Some(debit), Some(credit)]) = (&write.entry, &write.accounts) {
            self.moved.push((*transfer, debit.kind, credit.kind));
        }
        self.tx.write(write);
    }
}
