//! One transaction after the other over a store, each with one moment and fresh randomness.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farthing_core::time::{ClockBehind, Time, TimeFloor};
use farthing_core::wire;
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt, Records, Table};
use farthing_store::{Overlay, Reader, Store};

use crate::clock::{Clock, Entropy};

/// Where the latest committed moment is kept.
pub const CLOCK: Table = Table("driver_clock");

/// The one key in [`CLOCK`].
const FLOOR: &[u8] = b"floor";

/// Randomness for one message.
type Dice = [u8; 32];

pub(crate) struct Engine {
    store: Box<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Box<dyn Entropy>,
    floor: TimeFloor,
    /// How long the last commit took.
    took: Duration,
    /// Unused dice: drawn for a whole batch at once, each used once.
    dice: Vec<u8>,
}

/// A transaction under way.
pub(crate) struct Batch<'a> {
    now: Time,
    overlay: Overlay<'a>,
    dice: std::slice::ChunksExact<'a, u8>,
}

impl Engine {
    pub(crate) fn open(
        store: Box<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Box<dyn Entropy>,
    ) -> Result<Self, StoreFault> {
        let floor = match store.get(CLOCK, FLOOR)? {
            Some(bytes) => wire::decode(&bytes).map_err(|_| StoreFault("the committed time is damaged".to_owned()))?,
            None => TimeFloor::default(),
        };
        Ok(Self { store, clock, entropy, floor, took: Duration::ZERO, dice: Vec::new() })
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The latest committed moment.
    pub(crate) fn floor(&self) -> Time {
        self.floor.floor
    }

    /// How long the last commit took.
    pub(crate) fn took(&self) -> Duration {
        self.took
    }

    /// The moment of the next transaction, never before a committed one.
    pub(crate) fn now(&self) -> Result<Time, ClockBehind> {
        let now = self.clock.now();
        self.floor.check(now)?;
        Ok(now.max(self.floor.floor))
    }

    /// Runs up to `steps` steps in one transaction and commits what they wrote, if anything. After
    /// a fault the outcome is unknown and the engine must not be used again.
    pub(crate) fn transaction<T>(
        &mut self,
        now: Time,
        steps: usize,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        self.dice.resize(steps.saturating_mul(size_of::<Dice>()), 0);
        self.entropy.fill(&mut self.dice).map_err(|why| StoreFault(why.to_string()))?;
        let base: &dyn Reader = &*self.store;
        let mut batch = Batch { now, overlay: Overlay::new(base), dice: self.dice.chunks_exact(size_of::<Dice>()) };
        let result = work(&mut batch)?;
        let mut overlay = batch.overlay;
        if overlay.is_unchanged() {
            return Ok(result);
        }
        let floor = TimeFloor { floor: now };
        overlay.put(CLOCK, FLOOR, wire::encode(&floor));
        let changes = overlay.into_write_set();
        let began = Instant::now();
        self.store.commit(&changes)?;
        self.took = began.elapsed();
        metrics::histogram!("farthing_driver_commit_seconds").record(self.took);
        self.floor = floor;
        Ok(result)
    }
}

impl Batch<'_> {
    /// One step, whose writes are kept only if it does not halt.
    pub(crate) fn step<T>(&mut self, work: impl FnOnce(&mut Context<'_>) -> Result<T, Halt>) -> Result<T, Halt> {
        let dice = self.dice.next().and_then(|dice| dice.try_into().ok());
        // Asking for more steps than announced must never mean dice that somebody knows.
        let dice = dice.ok_or_else(|| StoreFault("no randomness is left for this transaction".to_owned()))?;
        let now = self.now;
        self.overlay.attempt(|tx| work(&mut Context { now, dice, tx }))
    }
}
