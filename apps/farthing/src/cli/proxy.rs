//! `farthing proxy`: pays for programs that cannot be changed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use farthing_client::{Options, proxy};
use reqwest::Url;
use serde_json::json;

use super::{App, Typed, get};
use crate::fail::{Context, Failure};
use crate::peer::purse::{Purse, Wait};
use crate::stop::{StopArgs, asked_to_stop};

/// Where the proxy listens by default.
const LISTEN: &str = "127.0.0.1:8403";

/// Arguments of `farthing proxy`.
#[derive(Debug, Args)]
pub(crate) struct ProxyArgs {
    /// The service that wants to be paid, such as https://api.example; #sha256=... pins its certificate
    #[arg(long, value_name = "URL")]
    upstream: Url,
    /// Where to listen; on this machine only, since whoever reaches it spends your money
    #[arg(long, value_name = "IP:PORT", default_value = LISTEN)]
    listen_on: SocketAddr,
    /// The most that may be spent in an hour
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    max_per_hour: Typed,
    /// The most that one request may cost
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    max: Option<Typed>,
    /// Approve what costs more than --approve-above of farthing wallet policy
    #[arg(long)]
    approve: bool,
    /// For which of your tools: each has its own limit, --per-tool of farthing wallet policy
    #[arg(long = "as", value_name = "TOOL")]
    tool: Option<String>,
    /// Pay from this file of `farthing wallet delegate`
    #[arg(long, value_name = "FILE")]
    wallet: Option<PathBuf>,
    /// How long the upstream has to begin an answer, connecting included
    #[arg(long, value_name = "TIME", default_value = "2m")]
    timeout: humantime::Duration,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    stop: StopArgs,
}

/// Runs the proxy until it is stopped.
pub(crate) async fn run(app: &App, args: ProxyArgs) -> Result<(), Failure> {
    // Nobody is there to be asked while it runs: what needs approval was approved, or is refused.
    let purse = Purse::open(app, args.wallet.as_deref(), args.tool.as_deref(), args.approve, args.wait).await?;
    let wallet = &purse.wallet;
    let currency = wallet.settings().currency();
    let options = Options {
        per_hour: Some(args.max_per_hour.amount(currency)?),
        per_request: args.max.map(|max| max.amount(currency)).transpose()?,
        answer_time: Some(*args.timeout),
        ..purse.options()
    };
    let mut upstream = args.upstream.clone();
    upstream.set_fragment(None);
    let client = get::client(wallet.clone(), &args.upstream, options)?;
    let router = proxy::router(client.clone(), upstream, args.listen_on, args.tool).map_err(Failure::usage)?;
    let listener = tokio::net::TcpListener::bind(args.listen_on).await;
    let listener = listener.or_fail(format_args!("cannot listen at {}", args.listen_on))?;
    let address = listener.local_addr()?;
    app.out.announce(&json!({ "listening": format!("http://{address}"), "upstream": args.upstream.as_str() }), || {
        format!("The proxy is at http://{address}\nWhat is asked there is asked at {}, and paid for.\nStop it with Ctrl-C.", args.upstream)
    })?;
    let door = purse.attend(app);
    axum::serve(listener, router).with_graceful_shutdown(asked_to_stop(args.stop)).await?;
    app.out.note(format_args!("spent {}", client.spent()));
    if let Some(door) = door {
        door.close().await;
    }
    wallet.close().await;
    Ok(())
}
