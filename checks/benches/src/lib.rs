//! Benches: every figure as a ratio against a baseline of the same run.
//!
//! A figure by itself says more about the machine than about the code. So each bench runs its two
//! sides in turn, several rounds, and prints the median of both and of their ratio, beside the goal.

mod race;
pub mod scene;

pub use race::{Goal, Race, Table, timed};
