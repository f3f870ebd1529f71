//! Group commit: many payments, one sync of the disk.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use farthing_coupon::micro::SessionName;
use tokio::sync::{Notify, watch};

use super::lock;

/// Which sessions changed since the last commit began.
#[derive(Debug)]
pub(super) struct Journal {
    collecting: Mutex<Collecting>,
    pub(super) wake: Notify,
    durable: watch::Sender<u64>,
    failed: AtomicBool,
}

#[derive(Debug)]
struct Collecting {
    /// Numbered from 1.
    batch: u64,
    changed: Vec<SessionName>,
    /// The log is to be folded with this batch.
    fold: bool,
    /// The last batch with which it was.
    folded: u64,
}

/// What is to be committed.
pub(super) struct Due {
    pub(super) batch: u64,
    pub(super) changed: Vec<SessionName>,
    pub(super) fold: bool,
}

/// Payments cannot be written down any more: the process is to end and to read its store again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("payments cannot be written down at present")]
pub struct NotDurable;

impl Journal {
    pub(super) fn new() -> Self {
        Self {
            collecting: Mutex::new(Collecting { batch: 1, changed: Vec::new(), fold: false, folded: 0 }),
            wake: Notify::new(),
            durable: watch::Sender::new(0),
            failed: AtomicBool::new(false),
        }
    }

    /// A session changed: it goes into the batch that is given back. `marked` is the last one it
    /// went into.
    pub(super) fn mark(&self, name: SessionName, marked: &mut u64) -> u64 {
        let mut collecting = lock(&self.collecting);
        let batch = collecting.batch;
        if *marked != batch {
            *marked = batch;
            collecting.changed.push(name);
            let first = collecting.changed.len() == 1;
            drop(collecting);
            if first {
                self.wake.notify_one();
            }
        }
        batch
    }

    /// Has the log folded, unless there is nothing in it or it is under way; it is once the batch that
    /// is given back is on disk.
    pub(super) fn fold(&self) -> u64 {
        let mut collecting = lock(&self.collecting);
        if collecting.changed.is_empty() && collecting.folded + 1 == collecting.batch {
            return collecting.folded;
        }
        collecting.fold = true;
        self.wake.notify_one();
        collecting.batch
    }

    /// How many sessions have changed.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.collecting).changed.len()
    }

    /// Takes what has changed, to be committed; whoever finds the log full folds it then.
    pub(super) fn take(&self, full: bool) -> Option<Due> {
        let mut collecting = lock(&self.collecting);
        if collecting.changed.is_empty() && !collecting.fold {
            return None;
        }
        let (batch, fold) = (collecting.batch, collecting.fold || full);
        collecting.batch += 1;
        collecting.fold = false;
        if fold {
            collecting.folded = batch;
        }
        Some(Due { batch, changed: std::mem::take(&mut collecting.changed), fold })
    }

    pub(super) fn committed(&self, batch: u64) {
        self.durable.send_replace(batch);
    }

    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
        self.durable.send_modify(|_| {});
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Whether that batch is on disk.
    pub(super) fn has(&self, batch: u64) -> bool {
        *self.durable.borrow() >= batch
    }

    /// Waits until that batch is on disk.
    pub(super) async fn wait(&self, batch: u64) -> Result<(), NotDurable> {
        let mut durable = self.durable.subscribe();
        let done = durable.wait_for(|done| *done >= batch || self.has_failed()).await;
        let reached = done.is_ok_and(|done| *done >= batch);
        if reached { Ok(()) } else { Err(NotDurable) }
    }
}
