//! Logging, to standard error only.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::Common;

/// The environment variable that chooses what is logged, such as `farthing_bank=debug,warn`.
pub(crate) const LOG_ENV: &str = "FARTHING_LOG";

/// Starts logging. Servers tell what they do; other commands speak for themselves and log only
/// warnings, unless told otherwise by `-v`, `-q` or [`LOG_ENV`].
pub(crate) fn start(common: &Common, server: bool) {
    let level = match (common.quiet, common.verbose, server) {
        (true, ..) => "error",
        (_, 0, false) => "warn,libp2p=error,libp2p_swarm=error",
        (_, 0, true) | (_, 1, _) => "info,libp2p=warn,libp2p_swarm=warn",
        (_, 2, _) => "debug,libp2p=info,hyper=info,h2=info",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env(LOG_ENV).unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    // Somebody else's logger, in tests, will do as well.
    let _ = if common.log_json { builder.json().try_init() } else { builder.with_target(false).try_init() };
}
