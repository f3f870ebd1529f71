//! What changed since sessions were last written down whole: a row for each batch of payments.
//!
//! A session is written down whole when it opens, and from then on each batch of payments appends
//! what changed to one row, of less than a hundred bytes for each session in it. Now and then the
//! log is folded: what is in it is written down whole, and the log is emptied in the same
//! transaction. So at every moment the rows of sessions, changed as the log says in its order, are
//! what was last committed; whoever reads them without a gateway running puts both together.

use std::collections::BTreeMap;
use std::ops::Range;

use farthing_core::wire::{self, Bounded};
use farthing_coupon::micro::SessionName;
use farthing_coupon::session::{CHANGE_BYTES_MAX, SessionChange};
use farthing_ledger::StoreFault;
use farthing_role::{Records, Row, Scan};
use minicbor::{Decode, Encode};

use super::records::{CHANGES, SESSIONS, SessionRecord};

/// Sessions in one row of the log; a larger batch takes several.
const PER_ROW_MAX: usize = 1_024;
/// The log is folded when it has so many bytes: what a start has to read at most.
const LOG_BYTES_MAX: usize = 1 << 20;
/// Or so many sessions: what a fold has to write at most, beside the batch it comes with.
const LOG_SESSIONS_MAX: usize = 2_048;
/// Rows of the log read at once.
const PAGE: usize = 256;

const _: () = assert!(PER_ROW_MAX * (CHANGE_BYTES_MAX + 32) < wire::MESSAGE_MAX, "every row of the log can be read");

/// What changed in a session.
#[derive(Clone, Debug, Encode, Decode)]
pub(super) struct Changed {
    #[n(0)]
    pub(super) name: SessionName,
    #[n(1)]
    pub(super) change: SessionChange,
    #[n(2)]
    pub(super) closed: bool,
}

/// A batch as it is written down.
pub(super) enum Batch {
    /// Appended to the log, under numbers.
    Parts(Vec<(u64, Vec<u8>)>),
    /// Sessions written down whole, in place of the rows of the log with these numbers.
    Whole(Vec<(SessionName, Vec<u8>)>, Range<u64>),
}

impl Batch {
    /// What changed, in the rows of the log that begin at the number `next`.
    pub(super) fn parts(next: u64, changed: Vec<Changed>) -> Self {
        let mut rest = changed.into_iter();
        let portions = std::iter::from_fn(|| {
            let portion: Vec<Changed> = rest.by_ref().take(PER_ROW_MAX).collect();
            if portion.is_empty() { None } else { Bounded::<_, PER_ROW_MAX>::new(portion) }
        });
        Self::Parts((next..).zip(portions).map(|(number, portion)| (number, wire::encode(&portion))).collect())
    }

    /// Rows and bytes that it appends.
    pub(super) fn size(&self) -> (u64, usize) {
        match self {
            Self::Parts(rows) => (rows.len() as u64, rows.iter().map(|(_, row)| row.len()).sum()),
            Self::Whole(..) => (0, 0),
        }
    }

    /// Writes it down.
    pub(super) fn write(self, tx: &mut (impl Records + ?Sized)) -> Result<(), StoreFault> {
        match self {
            Self::Parts(rows) => rows.into_iter().for_each(|(number, row)| tx.put(CHANGES, &number.to_be_bytes(), row)),
            Self::Whole(sessions, numbers) => {
                for (name, row) in sessions {
                    // One that is over has left the table, and must not come back.
                    if tx.get(SESSIONS, &name.0)?.is_some() {
                        tx.put(SESSIONS, &name.0, row);
                    }
                }
                numbers.for_each(|number| tx.delete(CHANGES, &number.to_be_bytes()));
            }
        }
        Ok(())
    }
}

/// What is in the log, as its writer knows it.
#[derive(Default)]
pub(super) struct Written {
    /// The numbers of its rows.
    pub(super) numbers: Range<u64>,
    bytes: usize,
    /// The sessions in it.
    pub(super) sessions: Vec<SessionName>,
}

impl Written {
    /// Whether it is to be folded.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= LOG_BYTES_MAX || self.sessions.len() >= LOG_SESSIONS_MAX
    }

    /// A batch was committed.
    pub(super) fn note(&mut self, appended: Option<(u64, usize)>) {
        match appended {
            Some((rows, bytes)) => {
                self.numbers.end += rows;
                self.bytes += bytes;
            }
            None => *self = Self { numbers: self.numbers.end..self.numbers.end, ..Self::default() },
        }
    }
}

/// What the log says, by session.
#[derive(Default)]
pub(crate) struct Log {
    changed: BTreeMap<SessionName, Vec<Changed>>,
    numbers: Vec<Vec<u8>>,
}

impl Log {
    /// Reads all of it.
    ///
    /// # Errors
    /// [`StoreFault`] where the store does not answer, or a row cannot be read: then it is not known
    /// what was paid.
    pub(crate) fn read(scan: impl Fn(Scan<'_>) -> Result<Vec<Row>, StoreFault>) -> Result<Self, StoreFault> {
        let mut log = Self::default();
        loop {
            let after = log.numbers.last().map(Vec::as_slice);
            let page = scan(Scan { prefix: b"", after, limit: PAGE })?;
            let last = page.len() < PAGE;
            for (number, row) in page {
                let portion: Bounded<Changed, PER_ROW_MAX> =
                    wire::decode(&row).map_err(|_| StoreFault("a row of the gateway's log is damaged".to_owned()))?;
                for changed in portion.into_vec() {
                    log.changed.entry(changed.name).or_default().push(changed);
                }
                log.numbers.push(number);
            }
            if last {
                return Ok(log);
            }
        }
    }

    /// Brings a session to where the log says it is.
    ///
    /// # Errors
    /// [`StoreFault`] where a change is damaged.
    pub(crate) fn apply(&self, name: SessionName, record: &mut SessionRecord) -> Result<(), StoreFault> {
        for Changed { change, closed, .. } in self.changed.get(&name).into_iter().flatten() {
            record.closed = *closed;
            if !record.state.change(change) {
                return Err(StoreFault("a change of a session is damaged".to_owned()));
            }
        }
        Ok(())
    }

    /// Writes down whole what is in it, and empties it.
    fn fold(&self, tx: &mut (impl Records + ?Sized)) -> Result<(), StoreFault> {
        for name in self.changed.keys() {
            // A session that is over has no row any more.
            let Some(row) = tx.get(SESSIONS, &name.0)? else { continue };
            let damaged = |_| StoreFault("the row of a session in the gateway's log is damaged".to_owned());
            let mut record: SessionRecord = wire::decode(&row).map_err(damaged)?;
            self.apply(*name, &mut record)?;
            tx.put(SESSIONS, &name.0, wire::encode(&record));
        }
        self.numbers.iter().for_each(|number| tx.delete(CHANGES, number));
        Ok(())
    }
}

/// Folds what a gateway that was killed has left behind.
///
/// # Errors
/// As [`Log::read`].
pub(super) fn fold_all(tx: &mut (impl Records + ?Sized)) -> Result<(), StoreFault> {
    let log = Log::read(|scan| tx.scan(CHANGES, scan))?;
    log.fold(tx)
}

#[cfg(test)]
mod tests {
    use farthing_store::{MemoryStore, Overlay};

    use super::super::records::TABLES;
    use super::*;

    #[test]
    fn a_session_that_is_over_does_not_come_back_when_the_log_is_folded() {
        let (store, name) = (MemoryStore::new(TABLES), SessionName([1; 16]));
        let mut tx = Overlay::new(&store);
        tx.put(SESSIONS, &name.0, b"open".to_vec());
        Batch::Whole(vec![(name, b"later".to_vec())], 0..0).write(&mut tx).unwrap();
        assert_eq!(tx.get(SESSIONS, &name.0), Ok(Some(b"later".to_vec())));
        tx.delete(SESSIONS, &name.0);
        Batch::Whole(vec![(name, b"latest".to_vec())], 0..0).write(&mut tx).unwrap();
        assert_eq!(tx.get(SESSIONS, &name.0), Ok(None));
    }

    #[test]
    fn a_damaged_log_is_not_taken_for_an_empty_one() {
        let store = MemoryStore::new(TABLES);
        let mut tx = Overlay::new(&store);
        tx.put(CHANGES, &0_u64.to_be_bytes(), b"damaged".to_vec());
        assert!(fold_all(&mut tx).is_err());
        tx.put(CHANGES, &0_u64.to_be_bytes(), wire::encode(&Bounded::<Changed, PER_ROW_MAX>::empty()));
        assert!(fold_all(&mut tx).is_ok());
        assert_eq!(tx.get(CHANGES, &0_u64.to_be_bytes()), Ok(None));
    }
}
