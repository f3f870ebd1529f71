//! What a running answer has used of what was paid for it, and the wait for more.

use std::sync::Mutex;
use std::time::Duration;

use farthing_coupon::micro::{LogEntry, SessionName};
use farthing_dialects::quote::{Quote, UnitKind};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::book::lock;

/// The most payments for one answer.
pub const TOP_UPS_MAX: usize = 4_096;

/// Counts a running answer.
#[derive(Debug)]
pub(crate) struct Meter {
    quote: Quote,
    pub(crate) session: SessionName,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    payments: Vec<LogEntry>,
    units: u32,
    bytes: u64,
    /// How long it has run, pauses left out, up to `running`.
    ran: Duration,
    running: Option<Instant>,
    ended: bool,
}

/// Nothing more was paid in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the money ran out, and no more came in time")]
pub(crate) struct RanOut;

/// The answer has ended, or takes no more payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Over;

impl Meter {
    pub(crate) fn new(quote: Quote, session: SessionName, first: LogEntry) -> Self {
        let state = State {
            payments: vec![first],
            units: first.units,
            bytes: 0,
            ran: Duration::ZERO,
            running: None,
            ended: false,
        };
        Self { quote, session, state: Mutex::new(state), changed: Notify::new() }
    }

    /// More was paid.
    pub(crate) fn add(&self, entry: LogEntry) -> Result<(), Over> {
        let mut state = lock(&self.state);
        if state.ended || state.payments.len() >= TOP_UPS_MAX {
            return Err(Over);
        }
        state.units = state.units.saturating_add(entry.units);
        state.payments.push(entry);
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    /// How many bytes may be sent at once now.
    pub(crate) fn bytes_left(&self) -> u64 {
        match self.quote.kind {
            UnitKind::Byte => {
                let state = lock(&self.state);
                self.quote.covered_by(state.units).saturating_sub(state.bytes)
            }
            UnitKind::Request | UnitKind::Second => u64::MAX,
        }
    }

    /// For how long it may run from now.
    pub(crate) fn time_left(&self) -> Duration {
        match self.quote.kind {
            UnitKind::Second => {
                let state = lock(&self.state);
                Duration::from_secs(self.quote.covered_by(state.units)).saturating_sub(state.ran_until_now())
            }
            UnitKind::Request | UnitKind::Byte => Duration::MAX,
        }
    }

    /// So many bytes were sent.
    pub(crate) fn sent(&self, bytes: usize) {
        lock(&self.state).bytes += bytes as u64;
    }

    /// The answer runs from now on.
    pub(crate) fn run(&self) {
        let mut state = lock(&self.state);
        state.running.get_or_insert_with(Instant::now);
    }

    /// Waits until there is money to go on; a pause costs nothing.
    pub(crate) async fn paid(&self, patience: Duration) -> Result<(), RanOut> {
        let deadline = Instant::now() + patience;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.bytes_left() > 0 && !self.time_left().is_zero() {
                self.run();
                return Ok(());
            }
            lock(&self.state).pause();
            tokio::time::timeout_at(deadline, changed).await.map_err(|_| RanOut)?;
        }
    }

    /// Ends it: how much of each payment was used. `free` gives everything back.
    pub(crate) fn end(&self, free: bool) -> Vec<(LogEntry, u32)> {
        let mut state = lock(&self.state);
        state.pause();
        state.ended = true;
        let mut used = match self.quote.kind {
            _ if free => 0,
            UnitKind::Request => state.units,
            UnitKind::Byte => self.quote.coupons_over(state.bytes),
            UnitKind::Second => self.quote.coupons_over(state.ran.as_secs() + u64::from(state.ran.subsec_nanos() > 0)),
        };
        let share = |paid: &LogEntry| {
            let charged = used.min(paid.units);
            used -= charged;
            (*paid, charged)
        };
        state.payments.iter().map(share).collect()
    }
}

impl State {
    fn ran_until_now(&self) -> Duration {
        self.ran + self.running.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn pause(&mut self) {
        self.ran = self.ran_until_now();
        self.running = None;
    }
}
