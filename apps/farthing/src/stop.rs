//! When to stop: Ctrl-C, the termination signal, or the end of whoever started us.

use clap::Args;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// What else stops a server.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct StopArgs {
    /// Stop when standard input ends: so that servers started by another program end with it
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

/// Done once the process is asked to stop.
pub(crate) async fn asked_to_stop(args: StopArgs) {
    tokio::select! {
        () = signalled() => {}
        () = stdin_ended(), if args.stop_with_stdin => {}
    }
    tracing::info!("stopping");
}

/// Done at Ctrl-C or at the termination signal.
pub(crate) async fn signalled() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn stdin_ended() {
    let mut stdin = tokio::io::stdin();
    let mut some = [0; 64];
    while matches!(stdin.read(&mut some).await, Ok(1..)) {}
}
