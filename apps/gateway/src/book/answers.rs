//! Answers kept for repeats: at most one delivery and one charge for a payment.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use farthing_coupon::micro::{Ack, LogEntry, SessionName};

/// The longest body kept for repeats, and the longest that is held back for its receipt.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// What an answer counts for beside its body.
const OVERHEAD: usize = 1 << 10;

/// An answer that was given.
#[derive(Debug)]
pub struct Stored {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, if it was short enough to keep.
    pub body: Option<Bytes>,
    /// The receipts: one for each payment.
    pub acks: Vec<Ack>,
}

/// A payment, and its answer once there is one.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) entry: LogEntry,
    pub(super) answer: Option<Arc<Stored>>,
    key: Option<[u8; 32]>,
}

impl Slot {
    /// Whether a payment that looks the same is a new one: its units came back in the meantime, and
    /// whoever made it knows.
    pub(super) fn is_past(&self, turn: u32) -> bool {
        let ack = self.answer.as_ref().and_then(|answer| answer.acks.first());
        ack.is_some_and(|ack| ack.charged < self.entry.units && turn >= ack.turn)
    }
}

/// The answers of some sessions.
#[derive(Debug, Default)]
pub(super) struct Answers {
    slots: HashMap<(SessionName, u32), Slot>,
    keys: HashMap<(SessionName, [u8; 32]), u32>,
    done: VecDeque<(SessionName, u32)>,
    bytes: usize,
}

impl Answers {
    pub(super) fn find(&self, session: SessionName, index: u32) -> Option<&Slot> {
        self.slots.get(&(session, index))
    }

    /// The payment that came with this idempotency key.
    pub(super) fn by_key(&self, session: SessionName, key: [u8; 32]) -> Option<&Slot> {
        self.slots.get(&(session, *self.keys.get(&(session, key))?))
    }

    /// A payment was taken and is being served.
    pub(super) fn begin(&mut self, session: SessionName, entry: LogEntry, key: Option<[u8; 32]>) {
        if let Some(key) = key {
            self.keys.insert((session, key), entry.index);
        }
        self.forget((session, entry.index), key);
        self.slots.insert((session, entry.index), Slot { entry, answer: None, key });
    }

    /// It was answered; the oldest answers beyond `max` bytes are forgotten.
    pub(super) fn end(&mut self, session: SessionName, index: u32, stored: Arc<Stored>, max: usize) {
        let Some(slot) = self.slots.get_mut(&(session, index)) else { return };
        self.bytes += weight(&stored);
        slot.answer = Some(stored);
        self.done.push_back((session, index));
        while self.bytes > max {
            let Some(oldest) = self.done.pop_front() else { return };
            self.forget(oldest, None);
        }
    }

    /// Forgets an answer, unless it is still to come.
    fn forget(&mut self, name: (SessionName, u32), keep: Option<[u8; 32]>) {
        if self.slots.get(&name).is_none_or(|slot| slot.answer.is_none()) {
            return;
        }
        let Some(slot) = self.slots.remove(&name) else { return };
        self.bytes -= slot.answer.map_or(0, |answer| weight(&answer));
        if let Some(key) = slot.key.filter(|key| keep != Some(*key)) {
            self.keys.remove(&(name.0, key));
        }
    }
}

fn weight(stored: &Stored) -> usize {
    OVERHEAD + stored.body.as_ref().map_or(0, Bytes::len)
}
