//! Starting.

use std::marker::PhantomData;
use std::sync::Arc;
use std::thread;

use farthing_ledger::StoreFault;
use farthing_role::Role;
use farthing_store::Store;

use crate::check;
use crate::clock::{Clock, Entropy};
use crate::config::{CHECK_WORKERS_MAX, Config};
use crate::engine::Engine;
use crate::handle::DriverHandle;
use crate::shared::Shared;
use crate::writer::{Due, Writer};

/// A role, running.
pub struct Driver<R: Role>(PhantomData<R>);

impl<R: Role> Driver<R> {
    /// Starts a role on threads of its own: some that check and one that writes. The store must
    /// have been opened with [`TABLES`](crate::TABLES) and those of the role.
    ///
    /// # Errors
    /// [`StoreFault`] when the store does not answer or the system gives no threads.
    pub fn start(
        role: Arc<R>,
        store: impl Store + 'static,
        clock: impl Clock,
        entropy: impl Entropy,
        config: Config,
    ) -> Result<DriverHandle, StoreFault> {
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let engine = Engine::open(Box::new(store), Arc::clone(&clock), Box::new(entropy))?;
        let checkers = config.check_workers.clamp(1, CHECK_WORKERS_MAX);
        let shared = Arc::new(Shared::new(&config, clock, engine.floor(), checkers));
        // Made first: if a thread cannot be started, dropping it stops those that were.
        let handle = DriverHandle::new(Arc::clone(&shared));
        let due: Due = {
            let role = Arc::clone(&role);
            Box::new(move |cx| role.tick(cx))
        };
        let writer = Writer::new(Arc::clone(&shared), engine, due, config.batch_max, config.tick_every);
        spawn("writer".to_owned(), move || writer.run())?;
        for number in 0..checkers {
            let (shared, role) = (Arc::clone(&shared), Arc::clone(&role));
            spawn(format!("check-{number}"), move || check::run(&shared, &role))?;
        }
        Ok(handle)
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<(), StoreFault> {
    let started = thread::Builder::new().name(name).spawn(work);
    started.map(drop).map_err(|why| StoreFault(format!("the system gave no thread: {why}")))
}
