//! How many streams strangers may hold, in all and each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farthing_core::id::PeerId;

/// A fixed number of seats, and how many each peer has taken.
#[derive(Debug)]
pub(super) struct Seats {
    total: usize,
    per_peer: usize,
    taken: Mutex<HashMap<PeerId, usize>>,
}

impl Seats {
    pub(super) fn new(total: usize, per_peer: usize) -> Arc<Self> {
        Arc::new(Self { total, per_peer, taken: Mutex::default() })
    }

    /// A seat for `peer`, until it is dropped; `None` if the house or the peer's share is full.
    pub(super) fn take(self: &Arc<Self>, peer: PeerId) -> Option<Seat> {
        let mut taken = self.taken();
        if taken.values().sum::<usize>() >= self.total {
            return None;
        }
        let mine = taken.get(&peer).copied().unwrap_or(0);
        if mine >= self.per_peer {
            return None;
        }
        taken.insert(peer, mine + 1);
        Some(Seat { seats: Arc::clone(self), peer })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<PeerId, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One seat. Dropping it makes room.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    peer: PeerId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        match taken.get_mut(&self.peer) {
            Some(mine) if *mine > 1 => *mine -= 1,
            _ => _ = taken.remove(&self.peer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_gets_its_share_and_all_together_the_house() {
        let seats = Seats::new(3, 2);
        let (a, b) = (PeerId([1; 32]), PeerId([2; 32]));
        let first = seats.take(a).unwrap();
        let _second = seats.take(a).unwrap();
        assert!(seats.take(a).is_none(), "its share is used up");
        let third = seats.take(b).unwrap();
        assert!(seats.take(b).is_none(), "the house is full");
        drop(first);
        assert!(seats.take(b).is_some());
        drop(third);
        assert!(seats.take(a).is_some());
    }
}
