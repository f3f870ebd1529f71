//! `farthing gateway`: charge for any HTTP service.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use farthing_core::amount::Currency;
use farthing_core::sign::SecretKey;
use farthing_driver::SystemClock;
use farthing_gateway::acquirer::BankDesk;
use farthing_gateway::clearing::{ClearError, ClearWhen, Cleared};
use farthing_gateway::prices::single;
use farthing_gateway::report::{Report, ReportError, Revenue, SessionLine, shown};
use farthing_gateway::{
    Bank, Behind, ClearStoppedError, Config, Control, Durability, Gateway, Keys, Listed, PriceSource, StartError,
    clear_stopped, records_in,
};
use farthing_index::client::IndexClient;
use farthing_net::http::endpoint::Endpoint;
use farthing_net::http::server::Tls;
use farthing_peer::wallet::Wallet;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::{App, Typed};
use crate::control;
use crate::fail::{Context, Failure};
use crate::home::private_dir;
use crate::peer;
use crate::show::{Column, count, table};
use crate::stop::{StopArgs, asked_to_stop};

/// Where a gateway listens by default.
const LISTEN: &str = "127.0.0.1:8402";
/// How records come about.
const START: &str = "start the gateway once: farthing gateway --upstream URL --price AMOUNT";
/// The most sessions that are shown.
const SHOWN_MAX: usize = 1_000;

/// Arguments of `farthing gateway`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct GatewayArgs {
    #[command(subcommand)]
    command: Option<GatewayCommand>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// What else is there to know.
#[derive(Debug, Clone, Copy, Subcommand)]
enum GatewayCommand {
    /// Show open sessions
    Sessions,
    /// Show what was earned
    Revenue,
    /// Turn coupons into money at the bank now, whether the gateway runs or not
    Clear,
}

/// Arguments of serving.
#[derive(Debug, Args)]
struct ServeArgs {
    /// The service that is charged for, such as http://127.0.0.1:8000, or https://host with
    /// #sha256=… behind it where no authority vouches for its certificate
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// A folder whose files are charged for, instead of a service: ranges and types included,
    /// hidden files and links out of the folder left out
    #[arg(long, value_name = "FOLDER", conflicts_with = "upstream")]
    serve: Option<PathBuf>,
    /// What every request costs, such as "0.0001 XTS"
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, required_unless_present = "prices")]
    price: Option<Typed>,
    /// A file of prices by route; read again when it changes or on SIGHUP
    #[arg(long, value_name = "FILE", conflicts_with = "price")]
    prices: Option<PathBuf>,
    /// Where to listen; beyond this machine, TLS is used with a certificate of its own making
    #[arg(long, value_name = "IP:PORT", default_value = LISTEN)]
    listen_on: SocketAddr,
    /// Where this machine's own tools find health, readiness and metrics, such as 127.0.0.1:9402
    #[arg(long, value_name = "IP:PORT")]
    ops_on: Option<SocketAddr>,
    /// How long the service may take to begin its answer; then the payment is given back
    #[arg(long, value_name = "TIME", default_value = "25s")]
    upstream_time: humantime::Duration,
    /// How long a running answer or connection waits for more money before it ends
    #[arg(long, value_name = "TIME", default_value = "30s")]
    money_time: humantime::Duration,
    /// The longest body of a request, in MiB: it is held whole, since the payment is bound to it
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    body_max: u16,
    /// When payments are on disk: "each", before the service is asked; or a time such as 10ms, at
    /// most so much later
    #[arg(long, value_name = "WHEN", default_value = "each", value_parser = durability)]
    durability: Durability,
    /// Turn coupons into money at the bank so often
    #[arg(long, value_name = "TIME", default_value = "10m")]
    clear_every: humantime::Duration,
    /// Or as soon as about this much was taken
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    clear_at: Option<Typed>,
    /// How customers reach the gateway, for the index; what it listens on if not given
    #[arg(long, value_name = "URL")]
    public_url: Option<Endpoint>,
    /// Do not tell the index of the service
    #[arg(long, conflicts_with = "public_url")]
    unlisted: bool,
    #[command(flatten)]
    stop: StopArgs,
}

fn durability(text: &str) -> Result<Durability, String> {
    if text == "each" {
        return Ok(Durability::Each);
    }
    let time: Duration =
        humantime::parse_duration(text).map_err(|why| format!("each, or a time such as 10ms: {why}"))?;
    let fits = (Duration::from_millis(1)..=Duration::from_secs(60)).contains(&time);
    if fits { Ok(Durability::Every(time)) } else { Err("from 1ms to 1m".to_owned()) }
}

impl GatewayArgs {
    /// Whether it runs until it is stopped.
    pub(crate) const fn serves(&self) -> bool {
        self.command.is_none()
    }
}

/// Runs the command.
pub(crate) async fn run(app: &App, args: GatewayArgs) -> Result<(), Failure> {
    match args.command {
        None => serve(app, args.serve).await,
        Some(GatewayCommand::Sessions) => sessions(app),
        Some(GatewayCommand::Revenue) => revenue(app),
        Some(GatewayCommand::Clear) => clear(app).await,
    }
}

async fn serve(app: &App, args: ServeArgs) -> Result<(), Failure> {
    let home = app.settings.gateway_home();
    private_dir(&home)?;
    let (wallet, bank) = owner(app).await?;
    let (currency, network) = (bank.currency, bank.network);
    let behind = match (args.upstream, args.serve) {
        (Some(service), _) => Behind::Service(service),
        (None, Some(folder)) => Behind::Folder(folder),
        (None, None) if args.prices.is_some() => Behind::Nothing,
        (None, None) => {
            let why = "name what is charged for: --upstream http://127.0.0.1:8000, or --serve FOLDER";
            return Err(Failure::usage(why));
        }
    };
    let prices = match (args.price, args.prices) {
        (Some(price), _) => PriceSource::Fixed(single(price.amount(currency)?).map_err(Failure::usage)?),
        (None, Some(file)) => PriceSource::File(file),
        (None, None) => return Err(Failure::usage("give a --price, or a file of --prices")),
    };
    let threshold = args.clear_at.map(|typed| typed.amount(currency)).transpose()?;
    let mut config = Config::new(behind, args.listen_on, home.clone(), prices);
    config.tls =
        if args.listen_on.ip().is_loopback() { Tls::PlainLoopbackOnly } else { Tls::SelfMade { dir: home.clone() } };
    config.ops = args.ops_on;
    config.wait_for_upstream(args.upstream_time.into());
    config.streams.pause = args.money_time.into();
    config.take_bodies(usize::from(args.body_max) << 20);
    config.durability = args.durability;
    config.clear = ClearWhen { every: args.clear_every.into(), threshold };
    if let Some(index) = app.settings.index.clone().filter(|_| !args.unlisted) {
        config.listed = Some(Listed { index: IndexClient::new(index, network)?, at: args.public_url });
    } else if args.public_url.is_some() {
        return Err(Failure::usage("no index is named that could be told the address").next("add --index URL"));
    }
    let gateway = Gateway::start(config, &Keys::of(wallet.identity()), bank, Arc::new(SystemClock)).await?;
    let endpoint = gateway.endpoint().or_fail("the gateway has no address")?;
    let (exposure, charging) = (gateway.exposure(), gateway.charging());
    let told = json!({
        "listening": endpoint.to_string(), "seller": wallet.me(), "exposure": exposure, "charging": charging,
    });
    app.out.announce(&told, || {
        format!(
            "The gateway is at {endpoint}\nCharging: {charging}.\nDurability: {exposure}.\nTry: farthing get {endpoint}/\nStop it with Ctrl-C."
        )
    })?;
    let reloading = tokio::spawn(reload_on_hangup(gateway.control()));
    let attending = attend(&home, Desk { gateway: gateway.control(), currency });
    gateway.run(asked_to_stop(args.stop)).await;
    reloading.abort();
    if let Some(attending) = attending {
        attending.abort();
    }
    Ok(())
}

/// The owner's wallet, closed so that others may use it meanwhile, and its bank.
async fn owner(app: &App) -> Result<(Wallet, Bank), Failure> {
    let (wallet, client) = peer::owner(app).await?;
    let key = Arc::new(SecretKey::from_seed(&wallet.identity()));
    let bank = Bank {
        network: client.network(),
        key: client.bank(),
        currency: client.info().body().currency,
        address: client.address().endpoint().to_string(),
        acquirer: Arc::new(BankDesk::new(client, key)),
    };
    wallet.close().await;
    Ok((wallet, bank))
}

/// Lets other commands ask a gateway that runs. One that cannot be asked serves all the same.
fn attend(home: &Path, desk: Desk) -> Option<JoinHandle<()>> {
    match control::Control::listen(home) {
        Ok(listening) => Some(tokio::spawn(listening.serve(Arc::new(desk)))),
        Err(why) => {
            tracing::warn!(%why, "`farthing gateway clear` will not reach this gateway while it runs");
            None
        }
    }
}

/// A gateway that runs, for other commands.
struct Desk {
    gateway: Control,
    currency: Currency,
}

/// What [`Desk`] is asked.
const CLEAR: &str = "clear";

impl control::Attend for Desk {
    fn attend(self: Arc<Self>, request: Value, _: control::Progress) -> BoxFuture<'static, Result<Value, Failure>> {
        Box::pin(async move {
            if request != CLEAR {
                return Err(Failure::usage("this gateway is of another version, and knows no such command"));
            }
            Ok(cleared_json(&self.gateway.clear().await?, self.currency))
        })
    }
}

/// Clears: by the gateway that runs, or where none does, from its books.
async fn clear(app: &App) -> Result<(), Failure> {
    let home = app.settings.gateway_home();
    let cleared = match control::ask(&home, &json!(CLEAR), drop).await {
        Some(answer) => answer?,
        None if records_in(&home).exists() => {
            let (_, bank) = owner(app).await?;
            let currency = bank.currency;
            cleared_json(&clear_stopped(&home, bank, Arc::new(SystemClock)).await?, currency)
        }
        None => return Err(Failure::usage("no gateway was ever started here").next(START)),
    };
    app.out.result(&cleared, || cleared_words(&cleared))
}

fn cleared_json(cleared: &Cleared, currency: Currency) -> Value {
    let Cleared { paid, refused, micros, waiting } = *cleared;
    json!({ "cleared": shown(currency, micros), "paid": paid, "refused": refused, "waiting": waiting })
}

fn cleared_words(cleared: &Value) -> String {
    let number = |name: &str| cleared[name].as_u64().unwrap_or_default();
    let amount = cleared["cleared"].as_str().unwrap_or_default();
    let mut text = format!("{amount} cleared from {}.", count(number("paid"), "session"));
    if number("refused") > 0 {
        let _ = write!(text, "\nThe bank turned away {}; the log says why.", count(number("refused"), "session"));
    }
    if number("waiting") > 0 {
        let waiting = count(number("waiting"), "session");
        let _ = write!(text, "\n{waiting} more as soon as the requests in flight have ended.");
    }
    text
}

/// SIGHUP reads the price file again, as servers do.
async fn reload_on_hangup(control: Control) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        match control.reload().await {
            Ok(()) => tracing::info!("the prices were read again"),
            Err(why) => tracing::error!(%why, "the old prices stay in force"),
        }
    }
}

fn report(app: &App) -> Result<Report, Failure> {
    Ok(Report::open(&app.settings.gateway_home())?)
}

fn sessions(app: &App) -> Result<(), Failure> {
    let (mut lines, mut all): (Vec<SessionLine>, usize) = (Vec::new(), 0);
    report(app)?.sessions(|line| {
        all += 1;
        if lines.len() < SHOWN_MAX {
            lines.push(line);
        }
    })?;
    app.out.result(&json!({ "sessions": lines, "all": all }), || {
        let columns = [
            Column::Text("session"),
            Column::Text("coupon"),
            Column::Number("units"),
            Column::Number("paid"),
            Column::Number("uncleared"),
            Column::Text("closed"),
        ];
        let rows = lines.iter().map(|line| {
            let closed = if line.closed { "yes" } else { "no" };
            let numbers = [line.units, line.paid, line.uncleared].map(|number| number.to_string());
            let [units, paid, uncleared] = numbers;
            [line.chain.short(), line.unit.clone(), units, paid, uncleared, closed.to_owned()]
        });
        format!("{}\n{all} sessions", table(&columns, rows))
    })
}

fn revenue(app: &App) -> Result<(), Failure> {
    let revenue = report(app)?.revenue()?;
    let currency = peer::currency(&app.settings)?;
    app.out.result(&json!({ "revenue": revenue, "currency": currency.code() }), || {
        let Revenue { open, over, paid_micros, cleared_micros, unanswered } = revenue;
        let (paid, cleared) = (shown(currency, paid_micros), shown(currency, cleared_micros));
        format!(
            "Paid by coupons: {paid}\nCleared at the bank: {cleared}\nSessions: {open} open, {over} over\nRequests to the bank without an answer: {unanswered}"
        )
    })
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        Self::damaged(error).next(START)
    }
}

impl From<ClearError> for Failure {
    fn from(error: ClearError) -> Self {
        match error {
            ClearError::Store(why) => Self::damaged(why).next("run the same command again"),
            ClearError::Bank(why) => why.into(),
        }
    }
}

impl From<ClearStoppedError> for Failure {
    fn from(error: ClearStoppedError) -> Self {
        match error {
            ClearStoppedError::Start(why) => why.into(),
            ClearStoppedError::Clear(why) => why.into(),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Behind(_) | StartError::Prices(_) => Self::usage(error),
            StartError::Bind(_) => Self::other(error).next("choose another with --listen-on"),
            StartError::Address(_) => Self::other(error),
            StartError::Store(_) | StartError::Fault(_) | StartError::NoReply(_) | StartError::Folder(_) => {
                Self::damaged(error)
            }
        }
    }
}
