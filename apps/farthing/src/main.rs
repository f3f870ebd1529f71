//! The one binary: bank, index, peer, gateway and demo.

// The comments on commands and flags are the help that people read, where brackets around an address
// would only be in the way.
#![allow(rustdoc::bare_urls)]

mod cli;
mod config;
mod control;
mod demo;
mod fail;
mod home;
mod log;
mod peer;
mod secrets;
mod shares;
mod show;
mod stop;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::start(&cli.common, cli.command.is_server());
    let json = cli.common.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(json, &error.into()),
    };
    let done = runtime.block_on(cli.run());
    // What still runs in the background must not keep the command from ending.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => complain(json, &failure),
    }
}

fn complain(json: bool, failure: &fail::Failure) -> ExitCode {
    if !failure.is_told() {
        eprintln!("error: {failure}");
        if json {
            // Nobody may be reading any more.
            let _ = writeln!(std::io::stdout(), "{:#}", failure.to_json());
        }
    }
    failure.exit()
}
