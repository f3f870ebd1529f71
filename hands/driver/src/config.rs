//! Limits and intervals.

use std::time::Duration;

/// At most so many requests take effect in one commit: 1,024.
pub const BATCH_MAX: usize = 1_024;

/// At most so many bytes of requests take effect in one commit: 4 MiB, or one larger request.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// After a commit with several callers the next batch waits for them to come back, an eighth
/// ([`LINGER_SHARE`]) of the time the commit took and no longer than this: one millisecond.
pub const LINGER_MAX: Duration = Duration::from_millis(1);

/// Which part of the time of a commit is given to gathering the next batch.
pub const LINGER_SHARE: u32 = 8;

/// At most so many requests are checked in one go: 256.
pub const CHECK_BATCH_MAX: usize = 256;

/// At most so many threads check: 16.
pub const CHECK_WORKERS_MAX: usize = 16;

/// At most so many requests are taken and not yet answered: 16,384. More are refused at once.
pub const WAITING_MAX: usize = 16_384;

/// At most so many bytes of requests are taken and not yet answered: 64 MiB.
pub const WAITING_BYTES_MAX: usize = 64 << 20;

/// How long a caller waits for its answer: 30 seconds. After that it knows no more than before it
/// asked, and its request may still take effect.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How often what has fallen due is looked for: every second.
pub const TICK_EVERY: Duration = Duration::from_secs(1);

/// At most so many portions of what has fallen due are done before `tick_now` answers: 64.
pub const TICK_ROUNDS_MAX: usize = 64;

const _: () = assert!(BATCH_MAX <= WAITING_MAX && BATCH_BYTES_MAX <= WAITING_BYTES_MAX);
const _: () = assert!(farthing_core::wire::MESSAGE_MAX <= BATCH_BYTES_MAX, "every message fits a batch");

/// How a driver runs. The default is right for a server with many callers.
#[derive(Clone, Debug)]
pub struct Config {
    /// At most so many requests in one commit; see [`BATCH_MAX`].
    pub batch_max: usize,
    /// At most so many requests taken and not yet answered; see [`WAITING_MAX`].
    pub waiting_max: usize,
    /// How many threads check, at least one and at most [`CHECK_WORKERS_MAX`].
    pub check_workers: usize,
    /// How often what has fallen due is looked for; `None` for never by itself.
    pub tick_every: Option<Duration>,
    /// How long a caller waits for its answer; see [`ANSWER_WITHIN`].
    pub answer_within: Duration,
}

impl Default for Config {
    fn default() -> Self {
        // One processor is left for applying and committing.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            batch_max: BATCH_MAX,
            waiting_max: WAITING_MAX,
            check_workers: processors.saturating_sub(1).clamp(1, CHECK_WORKERS_MAX),
            tick_every: Some(TICK_EVERY),
            answer_within: ANSWER_WITHIN,
        }
    }
}
