//! A queue whose takers take all that fits at once.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What an item counts for.
pub(crate) trait Weight {
    /// In bytes.
    fn bytes(&self) -> usize;

    /// Whether a taker that gathers more must stop gathering for it.
    fn urgent(&self) -> bool {
        false
    }
}

/// First in, first out. How much may be inside is the [`Room`](crate::room::Room)'s question.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

struct State<T> {
    items: VecDeque<T>,
    /// How many takers sleep: nobody is woken who does not.
    asleep: usize,
    /// How many items there must be before a sleeper is woken.
    wanted: usize,
    /// Whether somebody must not wait until more have gathered.
    urgent: bool,
    /// How often somebody took.
    turns: u64,
    closed: bool,
}

/// What a taker got: perhaps nothing, when its time was over.
pub(crate) struct Taken<T> {
    /// Which turn this was: 0, 1, 2 and so on in order of the items.
    pub(crate) turn: u64,
    pub(crate) items: Vec<T>,
}

impl<T: Weight> Queue<T> {
    pub(crate) fn new() -> Self {
        let state = State { items: VecDeque::new(), asleep: 0, wanted: 1, urgent: false, turns: 0, closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Appends items; gives them back if the queue is closed.
    pub(crate) fn push(&self, items: impl IntoIterator<Item = T>) -> Result<(), Vec<T>> {
        let mut state = self.lock();
        if state.closed {
            return Err(items.into_iter().collect());
        }
        for item in items {
            state.urgent |= item.urgent();
            state.items.push_back(item);
        }
        let wake = state.asleep > 0 && (state.urgent || state.items.len() >= state.wanted);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits until there is something, the queue is closed or the time is over, and takes the
    /// first items: at most `most`, and no more than `most_bytes` unless the first alone is.
    /// `None` once the queue is closed and empty.
    pub(crate) fn take(&self, most: usize, most_bytes: usize, until: Option<Instant>) -> Option<Taken<T>> {
        self.gather(1, Duration::ZERO, most, most_bytes, until)
    }

    /// The same, but waits a little for so many to be there.
    pub(crate) fn gather(
        &self,
        least: usize,
        linger: Duration,
        most: usize,
        most_bytes: usize,
        until: Option<Instant>,
    ) -> Option<Taken<T>> {
        let lingers = (least > 1 && !linger.is_zero()).then(|| Instant::now() + linger);
        let mut state = self.lock();
        while !state.closed && !state.urgent {
            let gathering = lingers.filter(|end| Instant::now() < *end);
            state.wanted = if gathering.is_some() { least } else { 1 };
            if state.items.len() >= state.wanted {
                break;
            }
            state.asleep += 1;
            let over;
            (state, over) = self.sleep(state, gathering.or(until));
            state.asleep -= 1;
            if over && gathering.is_none() {
                break;
            }
        }
        state.urgent = false;
        if state.items.is_empty() && state.closed {
            return None;
        }
        let mut bytes = 0_usize;
        let fits = state.items.iter().take(most).take_while(|item| {
            bytes = bytes.saturating_add(item.bytes());
            bytes <= most_bytes
        });
        let count = fits.count().max(1).min(state.items.len());
        let items = state.items.drain(..count).collect();
        let turn = state.turns;
        if count > 0 {
            state.turns += 1;
        }
        let others = state.asleep > 0 && !state.items.is_empty();
        drop(state);
        if others {
            self.arrived.notify_one();
        }
        Some(Taken { turn, items })
    }

    /// Takes no more items; those inside can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// How many items are inside.
    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Whether it takes no more items.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Takes no more items and gives up those inside.
    pub(crate) fn close_now(&self) -> Vec<T> {
        self.close();
        self.lock().items.drain(..).collect()
    }

    fn sleep<'a>(&self, state: MutexGuard<'a, State<T>>, until: Option<Instant>) -> (MutexGuard<'a, State<T>>, bool) {
        let Some(until) = until else {
            return (self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner), false);
        };
        let left = until.saturating_duration_since(Instant::now());
        let (state, over) = self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        (state, over.timed_out())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing inside can be left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weight for usize {
        fn bytes(&self) -> usize {
            *self
        }

        fn urgent(&self) -> bool {
            *self == 77
        }
    }

    const LONG: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_taker_that_gathers_waits_for_enough_but_not_when_it_is_urgent_or_over() {
        let queue = Queue::new();
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| queue.gather(3, LONG, 10, 10, None).unwrap().items);
            for item in 1..=3 {
                queue.push([item]).unwrap();
            }
            assert_eq!(taker.join().unwrap(), [1, 2, 3]);
        });
        queue.push([1]).unwrap();
        assert_eq!(queue.gather(3, Duration::from_millis(1), 10, 10, None).unwrap().items, [1]);
        queue.push([77]).unwrap();
        assert_eq!(queue.gather(3, LONG, 10, 10, None).unwrap().items, [77]);
        queue.push([1]).unwrap();
        queue.close();
        assert_eq!(queue.gather(3, LONG, 10, 10, None).unwrap().items, [1]);
    }

    #[test]
    fn a_taker_gets_what_fits_in_order_and_at_least_one() {
        let queue = Queue::new();
        queue.push([3, 3, 5, 100, 1]).unwrap();
        let mut taken = Vec::new();
        for turn in 0..3 {
            let portion = queue.take(10, 10, None).unwrap();
            assert_eq!(portion.turn, turn);
            taken.push(portion.items);
        }
        assert_eq!(taken, [vec![3, 3], vec![5], vec![100]]);
        assert_eq!(queue.take(10, 10, Some(Instant::now())).unwrap().items, [1]);
        assert!(queue.take(10, 10, Some(Instant::now())).unwrap().items.is_empty());
    }

    #[test]
    fn a_closed_queue_gives_what_is_inside_and_takes_nothing() {
        let queue = Queue::new();
        queue.push([1, 2]).unwrap();
        queue.close();
        assert_eq!(queue.push([3]), Err(vec![3]));
        assert_eq!(queue.take(1, 10, None).unwrap().items, [1]);
        assert_eq!(queue.take(9, 10, None).unwrap().items, [2]);
        assert!(queue.take(9, 10, None).is_none());
    }
}
