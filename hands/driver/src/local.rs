//! The same without threads, for one caller.

use std::sync::Arc;

use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt};
use farthing_store::{Reader, Store};

use crate::clock::{Clock, Entropy};
use crate::engine::Engine;

/// Transactions of a single caller, each committed before its result is known.
///
/// Many callers share one commit through [`Driver::start`](crate::Driver::start) with
/// [`NoRole`](crate::NoRole) and [`transact`](crate::DriverHandle::transact).
pub struct Local {
    engine: Engine,
    fault: Option<StoreFault>,
}

impl Local {
    /// Takes over a store that was opened with [`TABLES`](crate::TABLES) and the caller's own.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub fn open(store: impl Store + 'static, clock: impl Clock, entropy: impl Entropy) -> Result<Self, StoreFault> {
        let engine = Engine::open(Box::new(store), Arc::new(clock), Box::new(entropy))?;
        Ok(Self { engine, fault: None })
    }

    /// Runs one transaction. Its result is durable when this returns; after a refusal nothing has
    /// changed.
    ///
    /// # Errors
    /// [`Halt::Refused`] by the work, or because the clock is behind. [`Halt::Store`]: whether
    /// the changes were committed is unknown until the store is opened again; every later call
    /// fails alike.
    pub fn run<T>(&mut self, work: impl FnOnce(&mut Context<'_>) -> Result<T, Halt>) -> Result<T, Halt> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone().into());
        }
        let now = self.engine.now().map_err(|behind| Halt::Refused(behind.into()))?;
        let done = self.engine.transaction(now, 1, |batch| match batch.step(work) {
            Err(Halt::Store(fault)) => Err(fault),
            Err(Halt::Refused(why)) => Ok(Err(why)),
            Ok(result) => Ok(Ok(result)),
        });
        match done {
            Ok(result) => result.map_err(Halt::Refused),
            Err(fault) => {
                self.fault = Some(fault.clone());
                Err(fault.into())
            }
        }
    }

    /// The store as last committed.
    #[must_use]
    pub fn reader(&self) -> &dyn Reader {
        self.engine.store()
    }
}
