//! Waiting for a wallet that another process has open.

use std::time::Duration;

use clap::Args;
use farthing_peer::wallet::WalletError;
use tokio::time::Instant;

use crate::cli::App;
use crate::fail::Failure;

/// For how long a command waits for its turn, unless it is told otherwise.
const WAIT: Duration = Duration::from_secs(30);

/// How soon it is tried again: at first, and at the most.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Processes pause for different times, one of so many, that differ by so much.
const SPREAD: Duration = Duration::from_millis(3);
const SPREAD_PARTS: u32 = 16;

/// After so long it is said what is waited for.
const QUIET: Duration = Duration::from_secs(1);

/// How long to wait.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Wait {
    /// How long to wait for another command that has the wallet open, such as 5s; 0s not at all
    #[arg(long, value_name = "TIME", default_value = "30s")]
    wait: humantime::Duration,
}

impl Default for Wait {
    fn default() -> Self {
        Self { wait: WAIT.into() }
    }
}

impl Wait {
    /// Begins to wait.
    pub(crate) fn begin(self) -> Turn {
        let now = Instant::now();
        Turn { since: now, until: now + *self.wait, wait: *self.wait, pause: PAUSE, is_told: false }
    }
}

/// Why a wallet is not open.
pub(crate) enum Unopened {
    /// Another process has it; what it says of itself if it has to be told.
    Busy(Failure),
    /// For another reason, which waiting does not change.
    Failed(Failure),
}

impl From<WalletError> for Unopened {
    fn from(why: WalletError) -> Self {
        match why {
            WalletError::InUse(_) => Self::Busy(why.into()),
            why => Self::Failed(why.into()),
        }
    }
}

impl From<Failure> for Unopened {
    fn from(why: Failure) -> Self {
        Self::Failed(why)
    }
}

impl From<Unopened> for Failure {
    fn from(why: Unopened) -> Self {
        match why {
            Unopened::Busy(why) | Unopened::Failed(why) => why,
        }
    }
}

/// Somebody who waits.
pub(crate) struct Turn {
    since: Instant,
    until: Instant,
    wait: Duration,
    pause: Duration,
    is_told: bool,
}

impl Turn {
    /// Pauses before the next try, if there is one.
    ///
    /// # Errors
    /// Why the wallet does not open, if waiting does not help, or was long enough.
    pub(crate) async fn again(&mut self, app: &App, why: Unopened) -> Result<(), Failure> {
        let why = match why {
            Unopened::Busy(why) => why,
            Unopened::Failed(why) => return Err(why),
        };
        let now = Instant::now();
        if now >= self.until {
            return Err(why);
        }
        if !self.is_told && now.duration_since(self.since) >= QUIET {
            self.is_told = true;
            let wait = humantime::format_duration(self.wait);
            app.out.note(format_args!("another command has the wallet open; waiting for it, up to {wait}"));
        }
        // Many who wait do not knock at the same time.
        let apart = SPREAD.saturating_mul(std::process::id() % SPREAD_PARTS);
        tokio::time::sleep_until((now + self.pause + apart).min(self.until)).await;
        self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
        Ok(())
    }
}
