//! The journal's chain of hashes: no row can be changed, dropped or put in without the head telling.

use farthing_core::hash::{Purpose, hash};
use farthing_core::id::TransferId;
use farthing_core::wire;

use crate::entry::Entry;

/// A row of the journal as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalRow {
    /// Its number: 1, 2, 3 and so on without a gap.
    pub seq: u64,
    /// The id the entry uses up, so that it can be found and cannot be used again.
    pub id: Option<TransferId>,
    /// The canonical bytes of the [`Entry`].
    pub entry: Vec<u8>,
    /// Hash of the row before, the number and the entry.
    pub hash: [u8; 32],
}

/// How far a journal goes: the number and hash of its last row; zeros for an empty journal.
///
/// A bank publishes its heads signed, so that it can never present two pasts (K-S's audit log
/// turned on the bank itself).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// The number of the last row.
    pub seq: u64,
    /// The hash of the last row.
    pub hash: [u8; 32],
}

impl Head {
    /// The head after one more row with these canonical bytes.
    #[must_use]
    pub fn after(self, entry: &[u8]) -> Self {
        // Numbers cannot run out: at a million rows a second they last half a million years.
        let seq = self.seq.saturating_add(1);
        Self { seq, hash: hash(Purpose::Journal, &[&self.hash, &seq.to_be_bytes(), entry]) }
    }

    /// Appends an entry: moves this head on and gives the row to store.
    pub fn append(&mut self, entry: &Entry) -> JournalRow {
        let bytes = wire::encode(entry);
        *self = self.after(&bytes);
        JournalRow { seq: self.seq, id: entry.id(), entry: bytes, hash: self.hash }
    }
}
