//! Where time and randomness come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use farthing_core::time::{Span, Time};

/// A clock.
pub trait Clock: Send + Sync + 'static {
    /// What it shows.
    fn now(&self) -> Time;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        // A clock before 1970 shows 1970, which every floor refuses.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that stands until it is set, for tests and simulations. Clones show the same.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: Time) -> Self {
        Self(Arc::new(AtomicU64::new(now.as_millis())))
    }

    /// Sets it, forward or back.
    pub fn set(&self, now: Time) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }

    /// Sets it forward.
    pub fn advance(&self, by: Span) {
        self.set(self.now().after(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// The operating system gave no randomness. Nothing can be done without; the process ends.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the operating system gave no randomness: {0}")]
pub struct Starved(pub String);

/// A source of randomness.
pub trait Entropy: Send + 'static {
    /// Fills the bytes with fresh randomness.
    ///
    /// # Errors
    /// [`Starved`].
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Starved>;
}

/// The randomness of the operating system; outside of tests the only one.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Starved> {
        getrandom::fill(bytes).map_err(|why| Starved(why.to_string()))
    }
}
