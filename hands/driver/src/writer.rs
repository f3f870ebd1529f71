//! The second stage: batches applied one after the other, each committed once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farthing_core::refusal::Refusal;
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt};

use crate::config::{BATCH_BYTES_MAX, LINGER_MAX, LINGER_SHARE, TICK_ROUNDS_MAX};
use crate::engine::Engine;
use crate::job::{Job, Task};
use crate::no_reply::NoReply;
use crate::queue::Taken;
use crate::replies;
use crate::room::Seat;
use crate::shared::Shared;

/// The role's tick.
pub(crate) type Due = Box<dyn FnMut(&mut Context<'_>) -> Result<bool, Halt> + Send>;

/// The thread that alone writes.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    engine: Engine,
    due: Due,
    batch_max: usize,
    tick_every: Option<Duration>,
    next_tick: Option<Instant>,
    /// How many callers were answered by the last commit.
    answered: usize,
    /// The batch under way. Here rather than on the stack, so that nobody in it is answered
    /// before the driver is known to be broken.
    jobs: Vec<(Box<dyn Job>, Seat)>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        engine: Engine,
        due: Due,
        batch_max: usize,
        tick_every: Option<Duration>,
    ) -> Self {
        Self { shared, engine, due, batch_max, tick_every, next_tick: None, answered: 0, jobs: Vec::new() }
    }

    /// Serves until the driver stops or something breaks.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        match catch_unwind(AssertUnwindSafe(|| self.serve())) {
            Ok(Ok(())) => {}
            Ok(Err(StoreFault(why))) => shared.poison(&why),
            Err(_) => shared.poison("the role panicked while it applied a request"),
        }
        // Whoever is still in the batch learns now that the outcome is unknown.
        drop(self);
        shared.ended.send_replace(true);
    }

    fn serve(&mut self) -> Result<(), StoreFault> {
        self.schedule_tick(false);
        while let Some(taken) = self.gather() {
            let mut ticks = Vec::new();
            for task in taken.items {
                match task {
                    Task::Job(job, seat) => self.jobs.push((job, seat)),
                    // What was answered so far is committed, so looking before the batch will do.
                    Task::Look(caller) => drop(caller.send(self.engine.store().reader())),
                    Task::Tick(caller) => ticks.push(caller),
                }
            }
            if !self.jobs.is_empty() {
                self.apply()?;
            }
            for caller in ticks {
                let answer = self.tick(TICK_ROUNDS_MAX)?.map(|_| ()).map_err(NoReply::Refused);
                let _ = caller.send(answer);
            }
            if self.next_tick.is_some_and(|due| due <= Instant::now()) {
                let more = self.tick(1)?.unwrap_or(false);
                self.schedule_tick(more);
            }
        }
        Ok(())
    }

    /// Takes the next batch. Callers answered a moment ago are about to come back: without waiting
    /// for them, the first alone would have the next commit to itself and all others the one
    /// after it.
    fn gather(&mut self) -> Option<Taken<Task>> {
        let ready = &self.shared.ready;
        let least = match std::mem::take(&mut self.answered) {
            0 => 1,
            answered => answered.saturating_add(ready.len()).min(self.batch_max),
        };
        let linger = (self.engine.took() / LINGER_SHARE).min(LINGER_MAX);
        ready.gather(least, linger, self.batch_max, BATCH_BYTES_MAX, self.next_tick)
    }

    /// Applies the batch, commits it, and then answers.
    fn apply(&mut self) -> Result<(), StoreFault> {
        metrics::histogram!("farthing_driver_batch_size").record(self.jobs.len() as f64);
        metrics::gauge!("farthing_driver_queue_length").set(self.shared.room.taken() as f64);
        let jobs = &mut self.jobs;
        let refusals: Vec<Option<Refusal>> = match self.engine.now() {
            Err(behind) => jobs.iter().map(|_| Some(behind.into())).collect(),
            Ok(now) => self.engine.transaction(now, jobs.len(), |batch| {
                let run = |(job, _): &mut (Box<dyn Job>, Seat)| match batch.step(|cx| job.run(cx)) {
                    Ok(()) => Ok(None),
                    Err(Halt::Refused(why)) => Ok(Some(why)),
                    Err(Halt::Store(fault)) => Err(fault),
                };
                jobs.iter_mut().map(run).collect()
            })?,
        };
        self.shared.raise_floor(self.engine.floor());
        self.answered = self.jobs.len();
        for ((job, seat), refused) in self.jobs.drain(..).zip(refusals) {
            // The place is free before the caller hears, who may come back at once.
            drop(seat);
            job.speak(refused);
        }
        Ok(())
    }

    /// Does what has fallen due, up to so many portions, each in its own commit; says whether more
    /// waits, or why nothing can be done now.
    fn tick(&mut self, rounds: usize) -> Result<Result<bool, Refusal>, StoreFault> {
        for _ in 0..rounds {
            let now = match self.engine.now() {
                Ok(now) => now,
                Err(behind) => return Ok(Err(behind.into())),
            };
            let due = &mut self.due;
            let more = self.engine.transaction(now, 2, |batch| {
                let role = match batch.step(due) {
                    Ok(more) => more,
                    Err(Halt::Store(fault)) => return Err(fault),
                    Err(Halt::Refused(why)) => {
                        tracing::warn!(%why, "what has fallen due was refused; it is tried again at the next tick");
                        false
                    }
                };
                match batch.step(|cx| Ok(replies::prune(cx.tx, cx.now)?)) {
                    Ok(replies) => Ok(role || replies),
                    Err(Halt::Store(fault)) => Err(fault),
                    Err(Halt::Refused(_)) => Ok(role),
                }
            })?;
            self.shared.raise_floor(self.engine.floor());
            if !more {
                return Ok(Ok(false));
            }
        }
        Ok(Ok(true))
    }

    /// At once if more waits, so that waiting requests have their turn in between.
    fn schedule_tick(&mut self, more: bool) {
        let wait = if more { Some(Duration::ZERO) } else { self.tick_every };
        self.next_tick = wait.and_then(|wait| Instant::now().checked_add(wait));
    }
}
