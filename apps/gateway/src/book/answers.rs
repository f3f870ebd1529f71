//! Answers kept for repeats: at most one delivery and one charge for a payment.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use farthing_coupon::micro::{Ack, LogEntry, SessionName};

/// The longest body kept for repeats, and the longest that is held back for its receipt.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Bytes of the length of a name or a value.
const LENGTH: usize = 4;
/// What an answer counts for beside its head and body: its places in the tables.
const OVERHEAD: usize = 512;

/// An answer as it is being given.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, without the receipt.
    pub headers: &'a HeaderMap,
    /// Its body, if it is short enough to keep.
    pub body: Option<&'a [u8]>,
    /// The receipts: one for each payment.
    pub acks: &'a [Ack],
}

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

/// An answer as it is kept: copied together, since head and body as they came hold on to the whole
/// buffers that they were read into.
#[derive(Debug)]
pub(super) struct Kept {
    status: StatusCode,
    /// Names and values, each after its length, and then the body.
    bytes: Box<[u8]>,
    headers: usize,
    has_body: bool,
    acks: Box<[Ack]>,
}

impl Kept {
    pub(super) fn new(given: &Given<'_>) -> Self {
        let body = given.body.unwrap_or_default();
        let field = |(name, value): (&HeaderName, &HeaderValue)| 2 * LENGTH + name.as_str().len() + value.len();
        let mut bytes = Vec::with_capacity(given.headers.iter().map(field).sum::<usize>() + body.len());
        for (name, value) in given.headers {
            for part in [name.as_str().as_bytes(), value.as_bytes()] {
                bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(body);
        Self {
            status: given.status,
            bytes: bytes.into(),
            headers: given.headers.len(),
            has_body: given.body.is_some(),
            acks: given.acks.into(),
        }
    }

    fn weight(&self) -> usize {
        OVERHEAD + self.bytes.len() + size_of_val(&*self.acks)
    }

    fn stored(&self) -> Stored {
        let mut rest = &*self.bytes;
        let mut part = || {
            let (length, after) = rest.split_first_chunk::<LENGTH>()?;
            let part;
            (part, rest) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            Some(part)
        };
        let mut headers = HeaderMap::with_capacity(self.headers);
        for _ in 0..self.headers {
            let (Some(name), Some(value)) = (part(), part()) else { break };
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        let body = self.has_body.then(|| Bytes::copy_from_slice(rest));
        Stored { status: self.status, headers, body, acks: self.acks.to_vec() }
    }
}

/// A payment, and its answer once there is one.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) entry: LogEntry,
    answer: Option<Kept>,
    key: Option<[u8; 32]>,
}

impl Slot {
    /// Its answer, if there is one yet.
    pub(super) fn answer(&self) -> Option<Arc<Stored>> {
        self.answer.as_ref().map(|kept| Arc::new(kept.stored()))
    }

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
    pub(super) fn end(&mut self, session: SessionName, index: u32, kept: Kept, max: usize) {
        let Some(slot) = self.slots.get_mut(&(session, index)) else { return };
        self.bytes += kept.weight();
        slot.answer = Some(kept);
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
        self.bytes -= slot.answer.map_or(0, |kept| kept.weight());
        if let Some(key) = slot.key.filter(|key| keep != Some(*key)) {
            self.keys.remove(&(name.0, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_as_it_was_and_holds_on_to_nothing_else() {
        let mut headers = HeaderMap::new();
        headers.append("a", HeaderValue::from_static("1"));
        headers.append("a", HeaderValue::from_bytes(b"\xff").unwrap());
        headers.append("content-type", HeaderValue::from_static(""));
        let ack = Ack {
            index: 1,
            charged: 1,
            turn: 0,
            response: farthing_coupon::secret::Digest([1; 32]),
            mac: farthing_coupon::secret::Mac([2; 16]),
        };
        let buffer = Bytes::from(vec![7; 1 << 16]);
        for body in [None, Some(Bytes::new()), Some(buffer.slice(10..20))] {
            let (status, acks) = (StatusCode::CREATED, [ack; 2]);
            let kept = Kept::new(&Given { status, headers: &headers, body: body.as_deref(), acks: &acks });
            let again = kept.stored();
            assert_eq!((again.status, &again.headers), (status, &headers));
            assert_eq!((again.body, &again.acks[..]), (body, &acks[..]));
            assert!(kept.weight() < 2 * OVERHEAD);
        }
        assert!(buffer.is_unique());
    }
}
