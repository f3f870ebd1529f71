//! Waiting for something that happens elsewhere.

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up; far longer than it ever does.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until there is something to see.
///
/// # Panics
/// After [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not happen within {PATIENCE:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}
