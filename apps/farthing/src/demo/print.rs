//! The demo tells what it does, step by step, on standard error.

use std::fmt::Display;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::show::Out;

/// The story so far.
pub(super) struct Story {
    out: Out,
    steps: AtomicU32,
}

impl Story {
    /// Begins, with a line on what this is.
    pub(super) fn new(out: Out) -> Self {
        out.note("A bank, an index and three peers trade files on this machine, with play money (XTS).\n");
        Self { out, steps: AtomicU32::new(0) }
    }

    /// The next step.
    pub(super) fn step(&self, what: impl Display) {
        let number = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        self.out.note(format_args!("{number:>2}  {what}"));
    }

    /// More about the step.
    pub(super) fn more(&self, what: impl Display) {
        self.out.note(format_args!("    {what}"));
    }
}
