//! A bounded number of seats, in all and for each guest.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many seats there are, and who sits on them.
#[derive(Debug)]
pub(crate) struct Seats<G: Copy + Eq + Hash> {
    total: usize,
    each: usize,
    taken: Mutex<Taken<G>>,
}

#[derive(Debug)]
struct Taken<G> {
    all: usize,
    by: HashMap<G, usize>,
}

impl<G: Copy + Eq + Hash> Seats<G> {
    pub(crate) fn new(total: usize, each: usize) -> Arc<Self> {
        let taken = Mutex::new(Taken { all: 0, by: HashMap::new() });
        Arc::new(Self { total, each, taken })
    }

    /// A seat for `guest`, until it is dropped; `None` if the house or the guest's share is full.
    pub(crate) fn take(self: &Arc<Self>, guest: G) -> Option<Seat<G>> {
        let mut taken = self.taken();
        let mine = taken.by.get(&guest).copied().unwrap_or(0);
        if taken.all >= self.total || mine >= self.each {
            return None;
        }
        taken.all += 1;
        taken.by.insert(guest, mine + 1);
        Some(Seat { seats: Arc::clone(self), guest })
    }

    fn taken(&self) -> MutexGuard<'_, Taken<G>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One seat. Dropping it makes room.
#[derive(Debug)]
pub(crate) struct Seat<G: Copy + Eq + Hash> {
    seats: Arc<Seats<G>>,
    guest: G,
}

impl<G: Copy + Eq + Hash> Drop for Seat<G> {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.all -= 1; // We are one of them.
        match taken.by.get_mut(&self.guest) {
            Some(mine) if *mine > 1 => *mine -= 1,
            _ => _ = taken.by.remove(&self.guest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_guest_gets_its_share_and_all_together_the_house() {
        let seats = Seats::new(3, 2);
        let first = seats.take('a').unwrap();
        let _second = seats.take('a').unwrap();
        assert!(seats.take('a').is_none(), "its share is used up");
        let third = seats.take('b').unwrap();
        assert!(seats.take('b').is_none(), "the house is full");
        drop(first);
        assert!(seats.take('b').is_some());
        drop(third);
        assert!(seats.take('a').is_some());
    }
}
