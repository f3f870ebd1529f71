//! Runs any role: batch, commit once, then speak.
//!
//! The driver is the only place that knows about commits. It takes requests from many callers,
//! has the role check them beside each other, applies what is waiting as one batch, commits the
//! batch with the replies inside, and only then lets anybody hear of it. So durability costs one
//! sync of the disk per batch, nothing is said that a crash could unsay, and a request repeated
//! after a lost answer gets the stored answer instead of happening twice.
//!
//! [`Driver::start`] gives a [`DriverHandle`] for many callers; [`Local`] is the same without
//! threads, for one caller.
//!
//! # When something breaks
//! A store that does not commit, a role that panics while it applies, and an operating system
//! without randomness all end the same way: everybody in the batch gets [`NoReply::Unknown`], the
//! driver takes nothing more ([`DriverHandle::is_healthy`] is false), and the process is expected to
//! end and to read its store again. Nothing is retried in place. A role that panics while it
//! *checks* has changed nothing: the request that made it panic is refused, all others go on.
//!
//! # Time
//! Each batch has one moment. It never lies before one that was committed earlier: the latest is
//! kept in the store, and a clock that stands behind it by more than
//! [`SKEW`](farthing_core::time::SKEW) has every request refused with
//! [`Code::Clock`](farthing_core::refusal::Code::Clock) until it is right again.

mod ask;
mod check;
mod clock;
mod config;
mod driver;
mod engine;
mod handle;
mod job;
mod local;
mod no_reply;
mod no_role;
mod queue;
mod replies;
mod room;
mod shared;
mod wait;
mod writer;

pub use clock::{Clock, Entropy, ManualClock, OsEntropy, Starved, SystemClock};
pub use config::{
    ANSWER_WITHIN, BATCH_BYTES_MAX, BATCH_MAX, CHECK_BATCH_MAX, CHECK_WORKERS_MAX, Config, LINGER_MAX, LINGER_SHARE,
    TICK_EVERY, TICK_ROUNDS_MAX, WAITING_BYTES_MAX, WAITING_MAX,
};
pub use driver::Driver;
pub use engine::CLOCK;
pub use handle::DriverHandle;
pub use local::Local;
pub use no_reply::NoReply;
pub use no_role::NoRole;
pub use replies::{CONFLICTS, Conflict, PROOF_MAX, PRUNE_MAX, REPLIES, REPLY_MARGIN};

use farthing_role::Table;

/// The tables the driver keeps beside those of the role; name them too when opening the store.
pub const TABLES: &[Table] = &[REPLIES, CONFLICTS, CLOCK];
