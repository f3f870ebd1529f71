//! Noticing that a shared folder has changed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// How long folders must be quiet before stock is taken, so that a file being copied in is hashed
/// once.
const QUIET: Duration = Duration::from_millis(500);

/// How long stock-taking is put off by folders that are never quiet.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often stock is taken although nothing was noticed: the system may drop notices.
const ANYWAY: Duration = Duration::from_secs(300);

/// Waits for changes. However many there are, they are one flag.
pub(super) struct Watch {
    _watcher: Option<RecommendedWatcher>,
    changed: Arc<Notify>,
}

impl Watch {
    /// Watches folders. Where the system cannot, the shop looks for itself every few minutes.
    pub(super) fn over<'a>(folders: impl Iterator<Item = &'a Path>) -> Self {
        let changed = Arc::new(Notify::new());
        let tell = Arc::clone(&changed);
        let noticed = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| !event.kind.is_access()) {
                tell.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(noticed).and_then(|mut watcher| {
            folders.into_iter().try_for_each(|folder| watcher.watch(folder, RecursiveMode::Recursive))?;
            Ok(watcher)
        });
        let _watcher = watcher.inspect_err(|why| tracing::warn!(%why, "folders cannot be watched")).ok();
        Self { _watcher, changed }
    }

    /// Returns when it is time to take stock again.
    pub(super) async fn time_to_look(&self) {
        if tokio::time::timeout(ANYWAY, self.changed.notified()).await.is_err() {
            return;
        }
        let quiet = async { while tokio::time::timeout(QUIET, self.changed.notified()).await.is_ok() {} };
        let _ = tokio::time::timeout(PATIENCE, quiet).await;
    }
}
