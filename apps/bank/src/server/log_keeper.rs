//! Copies the clearing's log out of the books, row by row.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farthing_clearing::bank::{LogHead, log_rows};
use farthing_driver::{DriverHandle, NoReply};
use farthing_store::Overlay;

use crate::clearing_log::{ClearingLog, ClearingLogError, PAGE};

/// How often it is looked for new rows.
const COPY_EVERY: Duration = Duration::from_secs(1);

/// Keeps the file in step with the books.
pub(super) struct LogKeeper {
    log: Arc<Mutex<ClearingLog>>,
    driver: DriverHandle,
}

impl LogKeeper {
    pub(super) fn new(log: ClearingLog, driver: DriverHandle) -> Self {
        Self { log: Arc::new(Mutex::new(log)), driver }
    }

    /// Copies until it is told to stop, and once more then.
    pub(super) async fn run(self, stop: impl Future<Output = ()>) {
        let mut rounds = tokio::time::interval(COPY_EVERY);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            let stopping = tokio::select! {
                () = &mut stop => true,
                _ = rounds.tick() => false,
            };
            if let Err(why) = self.copy().await {
                tracing::error!(why, "the clearing's log was not copied");
                metrics::counter!("farthing_bank_clearing_log_failures_total").increment(1);
            }
            if stopping {
                return;
            }
        }
    }

    /// Copies what is new, a page at a time.
    async fn copy(&self) -> Result<(), String> {
        loop {
            let head = self.head();
            let snapshot = self.driver.snapshot().await.map_err(|why: NoReply| why.to_string())?;
            let log = Arc::clone(&self.log);
            let copied = tokio::task::spawn_blocking(move || {
                let rows = log_rows(&Overlay::new(&*snapshot), head.seq, PAGE)?;
                drop(snapshot);
                log.lock().unwrap_or_else(PoisonError::into_inner).append(&rows)?;
                Ok::<_, ClearingLogError>(rows.len())
            });
            let copied = copied.await.map_err(|why| why.to_string())?;
            if copied.map_err(|why| why.to_string())? < PAGE {
                return Ok(());
            }
        }
    }

    fn head(&self) -> LogHead {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).head()
    }
}
