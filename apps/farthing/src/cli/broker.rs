//! `farthing broker`: stand between buyers and sellers who do not know each other.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use farthing_broker::server::{BrokerServer, Setup, StartError, Terms};
use farthing_driver::SystemClock;
use farthing_net::http::endpoint::Endpoint;
use farthing_net::http::server::{Limits, ServerConfig, Tls};
use serde_json::json;

use super::{App, Typed};
use crate::fail::Failure;
use crate::home::private_dir;
use crate::peer;
use crate::stop::{StopArgs, asked_to_stop};

/// Where a broker listens by default.
const LISTEN: &str = "127.0.0.1:8404";
/// The usual value of a coupon, in millionths: a hundredth of a cent.
const COUPON_MICROS: u64 = 100;

/// Arguments of `farthing broker`.
#[derive(Debug, Args)]
pub(crate) struct BrokerArgs {
    /// A seller to buy from, such as a gateway's http://127.0.0.1:8402; may be given several times
    #[arg(long = "seller", value_name = "URL", required = true)]
    sellers: Vec<Endpoint>,
    /// How many units to keep ready with each seller; their price is set aside at the bank
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    units: u32,
    /// What one coupon of the buyers is worth, such as "0.0001 XTS"
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    coupon: Option<Typed>,
    /// What to take for each translation, in the buyers' coupons
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    fee: u32,
    /// Where to listen; beyond this machine, TLS is used with a certificate of its own making
    #[arg(long, value_name = "IP:PORT", default_value = LISTEN)]
    listen_on: SocketAddr,
    /// Meet sellers and turn coupons into money at the bank so often
    #[arg(long, value_name = "TIME", default_value = "1m")]
    every: humantime::Duration,
    #[command(flatten)]
    stop: StopArgs,
}

/// Runs a broker until it is stopped.
pub(crate) async fn run(app: &App, args: BrokerArgs) -> Result<(), Failure> {
    let home = app.settings.home.join("broker");
    private_dir(&home)?;
    let (wallet, bank) = peer::owner(app).await?;
    let (identity, currency) = (wallet.identity(), bank.info().body().currency);
    // Others may use the wallet meanwhile.
    wallet.close().await;
    let coupon = match args.coupon {
        Some(typed) => typed.amount(currency)?,
        None => currency.micros(COUPON_MICROS).map_err(Failure::other)?,
    };
    let terms = Terms { fee: args.fee, units: args.units, ..Terms::new(coupon, args.sellers) };
    let records = home.join("broker.db");
    let tls = if args.listen_on.ip().is_loopback() { Tls::PlainLoopbackOnly } else { Tls::SelfMade { dir: home } };
    let setup = Setup {
        records,
        identity,
        bank,
        terms,
        server: ServerConfig { listen: args.listen_on, tls, limits: Limits::default() },
        clock: Arc::new(SystemClock),
        every: Some(args.every.into()),
    };
    let broker = BrokerServer::start(setup).await?;
    let endpoint = broker.endpoint().to_string();
    app.out.announce(&json!({ "listening": endpoint, "broker": wallet.me() }), || {
        format!("The broker is at {endpoint}\nStop it with Ctrl-C.")
    })?;
    asked_to_stop(args.stop).await;
    broker.stop().await;
    Ok(())
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Bind(_) => Self::other(error).next("choose another address with --listen-on"),
            StartError::Sellers => Self::usage(error),
            error => Self::damaged(error),
        }
    }
}
