//! The driver's rules, each shown on a role of counters, in memory and on disk.

mod clock;
mod commits;
mod faults;
mod local;
mod random;
mod repeats;
mod stages;
mod toy;
mod watched;

use std::sync::Arc;

use farthing_core::refusal::Code;
use farthing_core::time::Time;
use farthing_driver::{Config, Driver, DriverHandle, Entropy, ManualClock, NoReply, OsEntropy, Starved};
use farthing_store::Store;

use crate::toy::Toy;
use crate::watched::{Watch, Watched};

/// When the tests play.
const NOW: Time = Time::from_millis(1_800_000_000_000);

/// A driver under test.
struct Rig {
    handle: DriverHandle,
    watch: Watch,
    clock: ManualClock,
    role: Arc<Toy>,
}

/// Nothing happens by itself, and nobody waits for long.
fn config() -> Config {
    Config { tick_every: None, check_workers: 2, ..Config::default() }
}

fn rig(store: Box<dyn Store>) -> Rig {
    rig_with(store, config())
}

fn rig_with(store: Box<dyn Store>, config: Config) -> Rig {
    let (store, watch) = Watched::new(store);
    let (clock, role) = (ManualClock::at(NOW), toy::toy());
    let handle = Driver::start(Arc::clone(&role), store, clock.clone(), OsEntropy, config).unwrap();
    Rig { handle, watch, clock, role }
}

/// The code of a refusal.
fn code<T: std::fmt::Debug>(answer: Result<T, NoReply>) -> Code {
    match answer {
        Err(NoReply::Refused(why)) => why.code,
        other => panic!("refused? {other:?}"),
    }
}

/// An operating system whose randomness ends.
struct Dry;

impl Entropy for Dry {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), Starved> {
        Err(Starved("as asked for".to_owned()))
    }
}

/// Polls a future once.
fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut cx) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}
