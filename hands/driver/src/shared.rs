//! What callers, checkers and writer share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farthing_core::time::Time;
use farthing_ledger::StoreFault;
use farthing_store::Snapshot;
use tokio::sync::{oneshot, watch};

use crate::ask::Asked;
use crate::clock::Clock;
use crate::config::Config;
use crate::job::Task;
use crate::queue::Queue;
use crate::room::Room;

pub(crate) struct Shared {
    /// Requests that wait for their check.
    pub(crate) asked: Queue<Asked>,
    /// What waits for the writer.
    pub(crate) ready: Queue<Task>,
    pub(crate) room: Arc<Room>,
    pub(crate) answer_within: Duration,
    /// Set once the driver has ended, one way or the other.
    pub(crate) ended: watch::Sender<bool>,
    clock: Arc<dyn Clock>,
    /// The latest committed moment, in milliseconds.
    floor: AtomicU64,
    poisoned: AtomicBool,
    checkers: AtomicUsize,
    lineup: Mutex<Lineup>,
}

/// Checked batches in the order in which they were taken, whichever was finished first.
#[derive(Default)]
struct Lineup {
    next: u64,
    finished: BTreeMap<u64, Vec<Task>>,
}

impl Shared {
    pub(crate) fn new(config: &Config, clock: Arc<dyn Clock>, floor: Time, checkers: usize) -> Self {
        Self {
            asked: Queue::new(),
            ready: Queue::new(),
            room: Room::new(config.waiting_max, crate::config::WAITING_BYTES_MAX),
            answer_within: config.answer_within,
            ended: watch::Sender::new(false),
            clock,
            floor: AtomicU64::new(floor.as_millis()),
            poisoned: AtomicBool::new(false),
            checkers: AtomicUsize::new(checkers),
            lineup: Mutex::default(),
        }
    }

    /// Now, and never before a committed moment.
    pub(crate) fn now(&self) -> Time {
        self.clock.now().max(Time::from_millis(self.floor.load(Ordering::Acquire)))
    }

    /// Notes a committed moment.
    pub(crate) fn raise_floor(&self, to: Time) {
        self.floor.fetch_max(to.as_millis(), Ordering::AcqRel);
    }

    /// Passes a checked batch on to the writer, once all taken before it were passed on.
    pub(crate) fn pass_on(&self, turn: u64, batch: Vec<Task>) {
        let mut lineup = self.lineup.lock().unwrap_or_else(PoisonError::into_inner);
        lineup.finished.insert(turn, batch);
        loop {
            let next = lineup.next;
            let Some(batch) = lineup.finished.remove(&next) else { return };
            lineup.next += 1;
            // Given back by a closed queue, they are dropped and their callers know no outcome.
            drop(self.ready.push(batch));
        }
    }

    /// A view of the store as last committed; on a thread of its own.
    pub(crate) fn look(&self) -> Result<Box<dyn Snapshot>, StoreFault> {
        let (caller, answer) = oneshot::channel();
        drop(self.ready.push([Task::Look(caller)]));
        answer.blocking_recv().unwrap_or_else(|_| Err(StoreFault("the driver has ended".to_owned())))
    }

    /// Takes no more, and ends once everything taken is answered.
    pub(crate) fn stop(&self) {
        self.asked.close();
    }

    /// One checker has nothing more to do; the last one closes the way to the writer.
    pub(crate) fn checker_left(&self) {
        if self.checkers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ready.close();
        }
    }

    /// Takes no more and gives up on everything taken, whose callers learn that the outcome is
    /// unknown.
    pub(crate) fn poison(&self, why: &str) {
        if !self.poisoned.swap(true, Ordering::AcqRel) {
            tracing::error!(why, "the driver gives up: outcomes are unknown until the store is opened again");
        }
        drop(self.asked.close_now());
        drop(self.ready.close_now());
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }
}
