//! What one client may spend, beside the wallet's own policy: counted in memory, for as long as it
//! lives.

use std::sync::{Mutex, PoisonError};

use farthing_core::amount::{Amount, Currency};
use farthing_core::time::Time;

use crate::error::{Advice, PayError};

/// Milliseconds in an hour: counted by the clock's hours.
const HOUR_MILLIS: u64 = 3_600_000;

/// Caps and counts.
#[derive(Debug)]
pub(crate) struct Caps {
    per_hour: Option<Amount>,
    total: Option<Amount>,
    counted: Mutex<Counted>,
}

#[derive(Debug)]
struct Counted {
    hour: u64,
    this_hour: Amount,
    total: Amount,
}

impl Caps {
    pub(crate) fn new(currency: Currency, per_hour: Option<Amount>, total: Option<Amount>) -> Self {
        let counted = Counted { hour: 0, this_hour: currency.zero(), total: currency.zero() };
        Self { per_hour, total, counted: Mutex::new(counted) }
    }

    /// Counts a payment at the most it may cost, if that is allowed. Requests side by side cannot
    /// slip through together.
    pub(crate) fn reserve(&self, now: Time, price: Amount) -> Result<(), PayError> {
        let mut counted = self.counted();
        let hour = now.as_millis() / HOUR_MILLIS;
        if counted.hour != hour {
            counted.hour = hour;
            counted.this_hour = price.currency().zero();
        }
        let (this_hour, total) = (counted.this_hour.checked_add(price)?, counted.total.checked_add(price)?);
        for (cap, would, per) in [(self.per_hour, this_hour, "an hour"), (self.total, total, "all")] {
            if let Some(cap) = cap.filter(|cap| would.compare(*cap).map_or(true, |order| order.is_gt())) {
                let why = format!("this costs up to {price}, and {cap} may be spent in {per}: raise the cap, or wait");
                return Err(PayError::refused(why, Advice::Change));
            }
        }
        (counted.this_hour, counted.total) = (this_hour, total);
        Ok(())
    }

    /// Gives back what a payment did not cost.
    pub(crate) fn give_back(&self, back: Amount) {
        let mut counted = self.counted();
        let zero = back.currency().zero();
        counted.this_hour = counted.this_hour.checked_sub(back).unwrap_or(zero);
        counted.total = counted.total.checked_sub(back).unwrap_or(zero);
    }

    /// What was spent, requests in progress counted in full.
    pub(crate) fn spent(&self) -> Amount {
        self.counted().total
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, Counted> {
        // A panic leaves it whole.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_refuse_what_would_exceed_them_and_an_hour_ends() {
        let xts = |micros| Currency::XTS.micros(micros).unwrap();
        let caps = Caps::new(Currency::XTS, Some(xts(10)), Some(xts(15)));
        let (now, later) = (Time::from_millis(0), Time::from_millis(HOUR_MILLIS));
        caps.reserve(now, xts(8)).unwrap();
        assert!(caps.reserve(now, xts(3)).is_err());
        caps.give_back(xts(1));
        caps.reserve(now, xts(3)).unwrap();
        assert!(caps.reserve(now, xts(1)).is_err(), "the hour is used up");
        caps.reserve(later, xts(5)).unwrap();
        assert!(caps.reserve(later, xts(1)).is_err(), "everything is used up");
        assert_eq!(caps.spent(), xts(15));
    }
}
