//! Who asked how often: rate limits of routes, and what is free for everybody.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Mutex;

use farthing_core::time::Time;

use crate::book::lock;

/// The most addresses remembered; beyond it those of earlier hours are forgotten.
const GUESTS_MAX: usize = 65_536;

/// The most answers of 4xx that one address gets for nothing in a minute, at one route.
pub(crate) const FREE_ERRORS_MAX: u32 = 120;

/// Requests by route and address.
#[derive(Debug, Default)]
pub(crate) struct Guests(Mutex<HashMap<(usize, IpAddr), Visits>>);

#[derive(Debug, Default, Clone, Copy)]
struct Visits {
    second: u64,
    in_second: u32,
    hour: u64,
    free: u32,
    minute: u64,
    in_minute: u32,
}

impl Guests {
    /// Counts a request; false if the address asks too often.
    pub(crate) fn may_ask(&self, now: Time, route: usize, from: IpAddr, rate: Option<NonZeroU32>) -> bool {
        let Some(rate) = rate else { return true };
        let second = now.as_millis() / 1_000;
        self.visit(now, route, from, |visits| {
            if visits.second != second {
                (visits.second, visits.in_second) = (second, 0);
            }
            visits.in_second = visits.in_second.saturating_add(1);
            visits.in_second <= rate.get()
        })
    }

    /// Whether a free request of this hour is left.
    pub(crate) fn has_free(&self, now: Time, route: usize, from: IpAddr, tier: u32) -> bool {
        let hour = now.as_millis() / 3_600_000;
        let visits = || lock(&self.0).get(&(route, from)).copied();
        tier > 0 && visits().is_none_or(|visits| visits.hour != hour || visits.free < tier)
    }

    /// Uses one of the free requests of this hour, if there is one left.
    pub(crate) fn is_free(&self, now: Time, route: usize, from: IpAddr, tier: u32) -> bool {
        tier > 0
            && self.visit(now, route, from, |visits| {
                let free = visits.free < tier;
                visits.free += u32::from(free);
                free
            })
    }

    /// Whether one more request may be passed on whose no would cost nothing. That it costs nothing
    /// must not mean that a service can be asked without end for nothing.
    pub(crate) fn may_fail(&self, now: Time, route: usize, from: IpAddr) -> bool {
        let minute = now.as_millis() / 60_000;
        let guests = lock(&self.0);
        guests.get(&(route, from)).is_none_or(|visits| visits.minute != minute || visits.in_minute < FREE_ERRORS_MAX)
    }

    /// A request failed and was given back.
    pub(crate) fn failed(&self, now: Time, route: usize, from: IpAddr) {
        let minute = now.as_millis() / 60_000;
        self.visit(now, route, from, |visits| {
            if visits.minute != minute {
                (visits.minute, visits.in_minute) = (minute, 0);
            }
            visits.in_minute = visits.in_minute.saturating_add(1);
            true
        });
    }

    /// Another tariff: routes have other numbers. What is known of a route that is still there stays,
    /// for else a change of any price would hand out all that is free once more.
    pub(crate) fn renumber(&self, number: impl Fn(usize) -> Option<usize>) {
        let mut guests = lock(&self.0);
        let before = std::mem::take(&mut *guests);
        guests.extend(before.into_iter().filter_map(|((route, from), visits)| Some(((number(route)?, from), visits))));
    }

    /// Where too many are there, nobody new gets anything.
    fn visit(&self, now: Time, route: usize, from: IpAddr, with: impl FnOnce(&mut Visits) -> bool) -> bool {
        let hour = now.as_millis() / 3_600_000;
        let mut guests = lock(&self.0);
        if guests.len() >= GUESTS_MAX && !guests.contains_key(&(route, from)) {
            guests.retain(|_, visits| visits.hour == hour);
            if guests.len() >= GUESTS_MAX {
                return false;
            }
        }
        let visits = guests.entry((route, from)).or_default();
        if visits.hour != hour {
            *visits = Visits { hour, ..Visits::default() };
        }
        with(visits)
    }
}
