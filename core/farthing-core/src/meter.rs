//! The meter: what a payment costs is counted where it is spent, never estimated.
//!
//! Every wrapper around a primitive in this crate counts itself here, in counters of the running
//! thread: roles run to the end of a step on one thread, so the difference of the counters around
//! a step is the cost of that step. The protocol book's §25 says how the counts are reported.

use std::cell::Cell;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Op {
    /// A message sent.
    Message,
    /// A byte sent.
    Byte,
    /// A signature made.
    Sign,
    /// A signature checked.
    Verify,
    /// A chain step or another hash of a short input.
    Hash,
    /// An authenticated encryption or decryption under a session key.
    Aead,
    /// A sealed message sealed or opened (HPKE).
    Hpke,
}

const OPS: usize = 7;

/// Counts of every [`Op`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts([u64; OPS]);

thread_local! {
    static COUNTS: [Cell<u64>; OPS] = const { [const { Cell::new(0) }; OPS] };
}

/// Counts `n` of `op` on this thread.
#[inline]
pub fn count(op: Op, n: u64) {
    COUNTS.with(|counts| {
        let cell = &counts[op as usize];
        cell.set(cell.get().wrapping_add(n));
    });
}

/// Runs a step and says what it cost.
pub fn measure<R>(step: impl FnOnce() -> R) -> (R, Counts) {
    let before = now();
    let result = step();
    (result, now().less(before))
}

fn now() -> Counts {
    COUNTS.with(|counts| Counts(core::array::from_fn(|op| counts[op].get())))
}

impl Counts {
    /// How many of one operation.
    #[must_use]
    pub const fn of(&self, op: Op) -> u64 {
        self.0[op as usize]
    }

    /// These and those.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(core::array::from_fn(|op| self.0[op].saturating_add(other.0[op])))
    }

    /// As many, with `n` more of one operation.
    #[must_use]
    pub fn with(mut self, op: Op, n: u64) -> Self {
        self.0[op as usize] = self.0[op as usize].saturating_add(n);
        self
    }

    fn less(self, earlier: Self) -> Self {
        Self(core::array::from_fn(|op| self.0[op].wrapping_sub(earlier.0[op])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_costs_what_it_counts_and_no_more() {
        count(Op::Hash, 5);
        let ((), cost) = measure(|| {
            count(Op::Hash, 2);
            count(Op::Sign, 1);
        });
        assert_eq!(cost, Counts::default().with(Op::Hash, 2).with(Op::Sign, 1));
        assert_eq!(cost.plus(cost).of(Op::Hash), 4);
    }
}
