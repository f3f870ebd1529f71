//! `farthing index`: run an index.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::{Args, Subcommand};
use farthing_core::id::NetworkId;
use farthing_driver::{Clock, SystemClock};
use farthing_index::server::Index;
use farthing_index::store::{IndexStore, StoreLimits};
use farthing_net::http::server::{Limits, ServerConfig, Tls};
use serde_json::json;

use super::App;
use crate::fail::{Context, Failure};
use crate::home::private_dir;
use crate::stop::{StopArgs, asked_to_stop};

/// Where an index listens by default.
const LISTEN: &str = "127.0.0.1:8090";

/// Run an index.
#[derive(Debug, Subcommand)]
pub(crate) enum IndexCommand {
    /// Serve until stopped
    Serve(ServeArgs),
}

/// Arguments of `farthing index serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; beyond this machine, TLS is used with a certificate of its own making
    #[arg(long, value_name = "IP:PORT", default_value = LISTEN)]
    listen_on: SocketAddr,
    /// Whose sellers are listed: a bank's network, net1...; asked of the bank if not given
    #[arg(long, value_name = "NETWORK")]
    network: Option<NetworkId>,
    #[command(flatten)]
    stop: StopArgs,
}

/// Runs a command of the group.
pub(crate) async fn run(app: &App, command: IndexCommand) -> Result<(), Failure> {
    match command {
        IndexCommand::Serve(args) => serve(app, args).await,
    }
}

async fn serve(app: &App, args: ServeArgs) -> Result<(), Failure> {
    let network = match args.network {
        Some(network) => network,
        None => super::bank::connect(app.settings.bank()?.clone()).await?.network(),
    };
    let home = app.settings.index_home();
    private_dir(&home)?;
    let store = IndexStore::open(&home.join("index.sqlite"), StoreLimits::default()).map_err(Failure::damaged)?;
    let clock = Arc::new(|| SystemClock.now());
    let tls = if args.listen_on.ip().is_loopback() { Tls::PlainLoopbackOnly } else { Tls::SelfMade { dir: home } };
    let config = ServerConfig { listen: args.listen_on, tls, limits: Limits::default() };
    let index = Index { network, store: Arc::new(store), clock };
    let bound =
        index.bind(config).await.map_err(|error| Failure::other(error).next("choose another with --listen-on"))?;
    let endpoint = bound.endpoint().or_fail("the index has no address")?;
    app.out.announce(&json!({ "listening": endpoint.to_string(), "network": network }), || {
        format!("The index for {network} is at {endpoint}\nStop it with Ctrl-C.")
    })?;
    bound.serve(asked_to_stop(args.stop)).await;
    Ok(())
}
