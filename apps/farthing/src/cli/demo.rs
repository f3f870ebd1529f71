//! `farthing demo`.

use std::path::PathBuf;

use clap::Args;

use super::App;
use crate::fail::Failure;

/// Arguments of `farthing demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Sell the files of this folder rather than those that come with the program
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// Leave everything running, and say how to try it by hand
    #[arg(long)]
    pub(crate) keep: bool,
}

/// Runs the demo.
pub(crate) async fn run(app: &App, args: DemoArgs) -> Result<(), Failure> {
    crate::demo::run(app, args).await
}
