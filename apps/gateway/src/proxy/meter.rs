//! What a running answer has used of what was paid for it, and the wait for more.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use farthing_coupon::micro::{Ack, LogEntry, SessionName};
use farthing_dialects::quote::{Quote, UnitKind};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::book::lock;

/// The most payments for one answer.
pub const TOP_UPS_MAX: usize = 4_096;
/// The most receipts that one payment for a running answer is answered with: the latest ones.
const ACKS_AT_ONCE: usize = 16;

/// Counts a running answer.
#[derive(Debug)]
pub(crate) struct Meter {
    quote: Quote,
    pub(crate) session: SessionName,
    /// The answer is a failure, and costs nothing at its end.
    is_free: bool,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// Those that are not acknowledged yet, the oldest first.
    payments: VecDeque<LogEntry>,
    /// Those that were used up, and the seller's word on them.
    done: Vec<(LogEntry, Ack)>,
    /// Units of all payments, and of those done.
    units: u32,
    done_units: u32,
    bytes: u64,
    /// How long it has run, pauses left out, up to `running`.
    ran: Duration,
    running: Option<Instant>,
    /// Whether it waits for money.
    waits: bool,
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
    pub(crate) fn new(quote: Quote, session: SessionName, first: LogEntry, is_free: bool) -> Self {
        let state = State {
            payments: VecDeque::from([first]),
            done: Vec::new(),
            units: first.units,
            done_units: 0,
            bytes: 0,
            ran: Duration::ZERO,
            running: None,
            waits: false,
            ended: false,
        };
        Self { quote, session, is_free, state: Mutex::new(state), changed: Notify::new() }
    }

    /// What it is charged by.
    pub(crate) const fn quote(&self) -> &Quote {
        &self.quote
    }

    /// More was paid.
    pub(crate) fn add(&self, entry: LogEntry) -> Result<(), Over> {
        let mut state = lock(&self.state);
        if state.ended || state.done.len() + state.payments.len() >= TOP_UPS_MAX {
            return Err(Over);
        }
        state.units = state.units.saturating_add(entry.units);
        state.payments.push_back(entry);
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    fn bytes_left_of(&self, state: &State) -> u64 {
        match self.quote.kind {
            UnitKind::Byte => self.quote.covered_by(state.units).saturating_sub(state.bytes),
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

    /// Takes up to so many bytes to be sent: as many as are paid for.
    pub(crate) fn take(&self, bytes: usize) -> usize {
        let mut state = lock(&self.state);
        let left = self.bytes_left_of(&state);
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes);
        state.bytes = state.bytes.saturating_add(taken as u64);
        taken
    }

    /// The answer runs from now on.
    pub(crate) fn run(&self) {
        let mut state = lock(&self.state);
        state.waits = false;
        state.running.get_or_insert_with(Instant::now);
    }

    /// Waits until there is money to go on; a pause costs nothing.
    pub(crate) async fn paid(&self, patience: Duration) -> Result<(), RanOut> {
        let deadline = Instant::now() + patience;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let bytes = self.bytes_left_of(&lock(&self.state));
            if bytes > 0 && !self.time_left().is_zero() {
                self.run();
                return Ok(());
            }
            lock(&self.state).pause();
            tokio::time::timeout_at(deadline, changed).await.map_err(|_| RanOut)?;
        }
    }

    /// Whether it waits for money at this moment.
    pub(crate) fn waits(&self) -> bool {
        lock(&self.state).waits
    }

    /// The seller's words on the payments that are used up already, the latest last: each is settled
    /// by `settle` once. The newest payment is left for the end, since it will name the whole answer.
    /// Without this a session could have no more in an answer than its window of open payments.
    pub(crate) fn used_up(&self, settle: impl Fn(LogEntry) -> Option<Ack>) -> Vec<Ack> {
        let mut state = lock(&self.state);
        // What may still be given back whole is settled at the end only.
        let by_and_by = !self.is_free && self.quote.kind != UnitKind::Request;
        while by_and_by && !state.ended && state.payments.len() > 1 {
            let used = self.used(&state);
            let Some(oldest) = state.payments.front().copied() else { break };
            if used.saturating_sub(state.done_units) < oldest.units {
                break;
            }
            let Some(ack) = settle(oldest) else { break };
            state.payments.pop_front();
            state.done_units = state.done_units.saturating_add(oldest.units);
            state.done.push((oldest, ack));
        }
        let from = state.done.len().saturating_sub(ACKS_AT_ONCE);
        state.done[from..].iter().map(|(_, ack)| *ack).collect()
    }

    /// Units used up to now.
    fn used(&self, state: &State) -> u32 {
        match self.quote.kind {
            UnitKind::Request => state.units,
            UnitKind::Byte => self.quote.coupons_over(state.bytes),
            UnitKind::Second => {
                let ran = state.ran_until_now();
                self.quote.coupons_over(ran.as_secs() + u64::from(ran.subsec_nanos() > 0))
            }
        }
    }

    /// Ends it: what was acknowledged on the way, and how much of each other payment was used. `free`
    /// gives back all that is not acknowledged.
    pub(crate) fn end(&self, free: bool) -> Ended {
        let mut state = lock(&self.state);
        state.pause();
        (state.ended, state.waits) = (true, false);
        let mut used = if free { 0 } else { self.used(&state).saturating_sub(state.done_units) };
        let share = |paid: &LogEntry| {
            let charged = used.min(paid.units);
            used -= charged;
            (*paid, charged)
        };
        let rest = state.payments.iter().map(share).collect();
        Ended { done: std::mem::take(&mut state.done), rest }
    }
}

/// The payments of an answer that has ended.
pub(crate) struct Ended {
    /// Those used up and acknowledged on the way.
    pub(crate) done: Vec<(LogEntry, Ack)>,
    /// The others, and how much of each was used.
    pub(crate) rest: Vec<(LogEntry, u32)>,
}

impl State {
    fn ran_until_now(&self) -> Duration {
        self.ran + self.running.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn pause(&mut self) {
        self.waits = true;
        self.ran = self.ran_until_now();
        self.running = None;
    }
}

#[cfg(test)]
mod tests {
    use farthing_core::amount::{Currency, Rate};
    use farthing_core::id::{NetworkId, OrderId, PeerId};
    use farthing_core::time::Time;
    use farthing_coupon::secret::{Digest, Mac};

    use super::*;

    fn meter(kind: UnitKind, units: u32) -> Meter {
        let coupon = Currency::XTS.micros(10).unwrap();
        let quote = Quote {
            network: NetworkId([0; 16]),
            seller: PeerId([0; 32]),
            realm: OrderId([0; 32]),
            coupon,
            units,
            kind,
            rate: Rate { price: coupon, per: 1 },
            expires: Time::from_millis(0),
            request: [0; 32],
        };
        Meter::new(quote, SessionName([0; 16]), entry(units, units), false)
    }

    fn entry(index: u32, units: u32) -> LogEntry {
        LogEntry { index, units, order: Digest([0; 32]) }
    }

    #[tokio::test(start_paused = true)]
    async fn seconds_are_counted_while_the_answer_runs_and_not_while_it_waits_for_money() {
        let meter = meter(UnitKind::Second, 2);
        meter.run();
        tokio::time::advance(Duration::from_millis(1_500)).await;
        assert_eq!(meter.time_left(), Duration::from_millis(500));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(meter.paid(Duration::from_secs(30)).await, Err(RanOut));
        meter.add(entry(5, 3)).unwrap();
        meter.paid(Duration::from_secs(30)).await.unwrap();
        tokio::time::advance(Duration::from_millis(1_100)).await;
        let charged: Vec<u32> = meter.end(false).rest.into_iter().map(|(_, charged)| charged).collect();
        assert_eq!(charged, [2, 2]);
        assert_eq!(meter.add(entry(6, 1)), Err(Over));
    }

    #[tokio::test(start_paused = true)]
    async fn a_payment_wakes_whoever_waits_for_it() {
        let meter = meter(UnitKind::Byte, 1);
        assert_eq!((meter.take(5), meter.take(5)), (1, 0));
        let later = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(meter.waits());
            meter.add(entry(4, 3)).unwrap();
        };
        let (paid, ()) = tokio::join!(meter.paid(Duration::from_secs(30)), later);
        assert_eq!((paid, meter.take(5)), (Ok(()), 3));
        assert!(!meter.waits());
    }

    #[tokio::test]
    async fn payments_that_are_used_up_are_settled_once_and_the_newest_at_the_end() {
        let meter = meter(UnitKind::Byte, 2);
        let ack = |paid: LogEntry| {
            Some(Ack { index: paid.index, charged: paid.units, turn: 0, response: Digest([1; 32]), mac: Mac([0; 16]) })
        };
        let settle = |meter: &Meter| meter.used_up(ack).iter().map(|ack| ack.index).collect::<Vec<_>>();
        assert_eq!(meter.take(2), 2);
        assert!(settle(&meter).is_empty(), "the newest waits");
        meter.add(entry(5, 3)).unwrap();
        assert_eq!((settle(&meter), meter.take(2)), (vec![2], 2));
        meter.add(entry(9, 4)).unwrap();
        assert_eq!(settle(&meter), [2], "only what is used up");
        assert_eq!((meter.take(2), settle(&meter)), (2, vec![2, 5]));
        let ended = meter.end(false);
        let done: Vec<u32> = ended.done.iter().map(|(paid, _)| paid.index).collect();
        let rest: Vec<_> = ended.rest.iter().map(|(paid, charged)| (paid.index, *charged)).collect();
        assert_eq!((done, rest), (vec![2, 5], vec![(9, 1)]));
        assert!(meter.used_up(|_| panic!("it has ended")).is_empty());
    }

    #[tokio::test]
    async fn nothing_is_settled_before_its_end_that_may_still_be_given_back() {
        let failed = Meter { is_free: true, ..meter(UnitKind::Byte, 1) };
        for meter in [failed, meter(UnitKind::Request, 1)] {
            assert_eq!(meter.take(1), 1);
            meter.add(entry(2, 1)).unwrap();
            assert!(meter.used_up(|_| panic!("it is not over")).is_empty());
            assert_eq!(meter.end(true).rest.iter().map(|(_, charged)| charged).sum::<u32>(), 0);
        }
    }
}
