//! Time as a value. Nobody here looks at a clock; whoever has one hands the moment in.

use core::fmt;

use minicbor::{Decode, Encode};

/// How far two honest clocks may stand apart: 120 seconds.
pub const SKEW: Span = Span::from_secs(120);

/// A moment: milliseconds since 1970, UTC.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode, serde::Serialize, serde::Deserialize,
)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct Time(#[n(0)] u64);

/// A length of time in milliseconds.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    Encode,
    Decode,
    serde::Serialize,
    serde::Deserialize,
)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct Span(#[n(0)] u64);

impl Span {
    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// So many seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// So many hours.
    #[must_use]
    pub const fn from_hours(hours: u64) -> Self {
        Self::from_secs(hours.saturating_mul(3_600))
    }

    /// So many days.
    #[must_use]
    pub const fn from_days(days: u64) -> Self {
        Self::from_hours(days.saturating_mul(24))
    }

    /// In milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl Time {
    /// So many milliseconds after 1970 began.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// In milliseconds since 1970 began.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// That much later; the end of time where it would overflow.
    #[must_use]
    pub const fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// That much earlier; 1970 where it would be before.
    #[must_use]
    pub const fn before(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// How long since `earlier`; nothing if that is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// A half-open stretch of time: from its first moment up to, but not including, its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Window {
    /// The first moment inside.
    #[n(0)]
    pub from: Time,
    /// The first moment outside again.
    #[n(1)]
    pub to: Time,
}

impl Window {
    /// Whether `now` is inside.
    #[must_use]
    pub fn contains(self, now: Time) -> bool {
        self.from <= now && now < self.to
    }
}

/// The latest moment an authority has signed, as far as this party has seen.
///
/// A clock set back would make stale certificates good again and let a deadline pass twice, so a
/// party whose clock stands before this floor (less [`SKEW`]) refuses to act.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode)]
pub struct TimeFloor {
    /// The latest signed moment seen.
    #[n(0)]
    pub floor: Time,
}

/// The local clock stands before a moment that an authority has already signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the clock of this machine is behind: set it right and try again; nothing was done")]
pub struct ClockBehind;

impl TimeFloor {
    /// Notes a moment that an authority signed. The caller stores the floor.
    pub fn raise(&mut self, signed: Time) {
        self.floor = self.floor.max(signed);
    }

    /// Whether the clock may be believed.
    ///
    /// # Errors
    /// [`ClockBehind`] when `now` is earlier than the floor less [`SKEW`].
    pub fn check(self, now: Time) -> Result<(), ClockBehind> {
        if now.after(SKEW) < self.floor { Err(ClockBehind) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_before_its_end() {
        let window = Window { from: Time(10), to: Time(20) };
        assert!(!window.contains(Time(9)));
        assert!(window.contains(Time(10)));
        assert!(window.contains(Time(19)));
        assert!(!window.contains(Time(20)));
    }

    #[test]
    fn party_refuses_to_act_when_its_clock_was_rolled_back() {
        let mut floor = TimeFloor::default();
        floor.raise(Time::from_millis(1_000_000));
        floor.raise(Time::from_millis(500));
        assert!(floor.check(Time::from_millis(1_000_000)).is_ok());
        assert!(floor.check(Time::from_millis(1_000_000).before(SKEW)).is_ok());
        assert_eq!(floor.check(Time::from_millis(999_999).before(SKEW)), Err(ClockBehind));
    }
}
