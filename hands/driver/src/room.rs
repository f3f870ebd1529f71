//! How much may wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts what was taken and is not yet answered, and lets in no more than fits.
pub(crate) struct Room {
    taken: AtomicUsize,
    bytes: AtomicUsize,
    most: usize,
    most_bytes: usize,
}

/// A place in the room, free again when this is dropped.
pub(crate) struct Seat {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    pub(crate) fn new(most: usize, most_bytes: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), bytes: AtomicUsize::new(0), most, most_bytes })
    }

    /// A place for so many bytes, if there is one now; nobody waits.
    pub(crate) fn enter(self: &Arc<Self>, bytes: usize) -> Option<Seat> {
        // First taken, then looked: two at the door may both be turned away, never both let in.
        let seat = Seat { room: Arc::clone(self), bytes };
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        (taken < self.most && held.saturating_add(bytes) <= self.most_bytes).then_some(seat)
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Seat {
    /// What it counts for.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(1, Ordering::Relaxed);
        self.room.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_room_turns_away_until_somebody_leaves() {
        let room = Room::new(2, 100);
        let first = room.enter(50).unwrap();
        assert!(room.enter(51).is_none(), "too many bytes");
        let second = room.enter(50).unwrap();
        assert!(room.enter(0).is_none(), "no place left");
        drop(first);
        assert!(room.enter(50).is_some());
        drop(second);
        assert_eq!(room.taken(), 0);
    }
}
