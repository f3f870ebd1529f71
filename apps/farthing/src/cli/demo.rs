//! `farthing demo`.
use clap::Args;

use super::App;
use crate::fail::Failure;

/// Arguments of `farthing demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {}

/// Runs it.
pub(crate) async fn run(_: &App, _: DemoArgs) -> Result<(), Failure> {
    Ok(())
}
