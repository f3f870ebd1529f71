//! `farthing broker`: stand between buyers and sellers who do not know each other, sell a small
//! product through one, and buy from one.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use farthing_broker::client::BrokerAskError;
use farthing_broker::customer::{self, BuyError, Customer};
use farthing_broker::messages::Passed;
use farthing_broker::pocket::{Kept, Pocket, PocketError};
use farthing_broker::server::{BrokerServer, Setup, Shelved, StartError, Terms};
use farthing_broker::spend::{self, SpendError};
use farthing_client::Options;
use farthing_core::amount::{Amount, Currency};
use farthing_core::evidence::Verdict;
use farthing_core::id::PeerId;
use farthing_core::refusal::Money;
use farthing_core::time::Span;
use farthing_driver::{Clock, SystemClock};
use farthing_net::http::endpoint::Endpoint;
use farthing_net::http::server::{Limits, ServerConfig, Tls};
use farthing_peer::wallet::Wallet;
use reqwest::{Method, Request, Url};
use serde_json::json;

use super::{App, Typed};
use crate::fail::{Context, Failure, Kind};
use crate::home::private_dir;
use crate::peer;
use crate::show::{Column, moment, table};
use crate::stop::{StopArgs, asked_to_stop};

/// Where a broker listens by default, and where a stall does.
const LISTEN: &str = "127.0.0.1:8404";
const OFFER_LISTEN: &str = "127.0.0.1:8405";
/// The usual value of a coupon, in millionths: a hundredth of a cent.
const COUPON_MICROS: u64 = 100;
/// The most tokens bought by one command.
const PREFETCH_MAX: u32 = 1_000;
/// The longest evidence that is read.
const EVIDENCE_BYTES_MAX: u64 = 1 << 20;

/// Arguments of `farthing broker`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "As a broker:  farthing broker --seller http://127.0.0.1:8402\n\
                  As a seller:  farthing broker offer song.txt --price 0.002 --broker peer1...\n\
                  As a buyer:   farthing broker sellers http://127.0.0.1:8404\n              \
                                farthing broker buy http://127.0.0.1:8404 song.txt -o song.txt"
)]
pub(crate) struct BrokerArgs {
    #[command(subcommand)]
    command: Option<BrokerCommand>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// What sellers and buyers do.
#[derive(Debug, Subcommand)]
enum BrokerCommand {
    /// Sell small files whole through a broker, which compares them before it pays
    Offer(OfferArgs),
    /// See whom a broker buys from, and what small products they sell
    Sellers(SellersArgs),
    /// Buy a small product: broker lets go of coupon and product together, or of neither
    Buy(BuyArgs),
    /// Have a request to a seller carried out and paid for by the broker
    Get(GetArgs),
    /// Buy tokens now, to spend with a seller later, in any order
    Prefetch(PrefetchArgs),
    /// Show the tokens there are
    Tokens,
    /// Make a request and pay with a token: without wallet, session or broker
    Spend(SpendArgs),
    /// End the sessions with a broker, so that what was not spent comes back
    Close(CloseArgs),
    /// Judge evidence against a seller: by what it signed, and by nothing else
    Judge(JudgeArgs),
}

/// Arguments of serving.
#[derive(Debug, Args)]
struct ServeArgs {
    /// A seller to buy from, such as a gateway's http://127.0.0.1:8402 or a stall's
    /// http://127.0.0.1:8405; may be given several times
    #[arg(long = "seller", value_name = "URL", required = true)]
    sellers: Vec<Endpoint>,
    /// How many units to keep ready with each seller; their price is set aside at the bank
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    units: u32,
    /// What to take for each translation, in the buyers' coupons
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    fee: u32,
    /// Where to listen; beyond this machine, TLS is used with a certificate of its own making
    #[arg(long, value_name = "IP:PORT", default_value = LISTEN)]
    listen_on: SocketAddr,
    #[command(flatten)]
    counter: CounterArgs,
}

/// What broker and stall have in common.
#[derive(Debug, Args)]
struct CounterArgs {
    /// What one coupon of the buyers is worth, such as "0.0001 XTS"
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    coupon: Option<Typed>,
    /// Meet sellers, go on with what waits, and turn coupons into money at the bank so often
    #[arg(long, value_name = "TIME", default_value = "1m")]
    every: humantime::Duration,
    #[command(flatten)]
    stop: StopArgs,
}

/// Arguments of `farthing broker offer`.
#[derive(Debug, Args)]
struct OfferArgs {
    /// What to sell; at most 64 KiB each
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What each costs, such as "0.002 XTS"; rounded up to whole coupons
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    price: Typed,
    /// The key of a broker to sell through, as it prints it: it sees a product before it pays for it;
    /// may be given several times
    #[arg(long = "broker", value_name = "PEER", required = true)]
    brokers: Vec<PeerId>,
    /// Where to listen; beyond this machine, TLS is used with a certificate of its own making
    #[arg(long, value_name = "IP:PORT", default_value = OFFER_LISTEN)]
    listen_on: SocketAddr,
    #[command(flatten)]
    counter: CounterArgs,
}

/// Arguments of `farthing broker sellers`.
#[derive(Debug, Args)]
struct SellersArgs {
    /// The broker's address
    broker: Endpoint,
}

/// Arguments of `farthing broker buy`.
#[derive(Debug, Args)]
struct BuyArgs {
    /// The broker's address
    broker: Endpoint,
    /// The product's name, as `farthing broker sellers` shows it
    product: String,
    /// The seller, by its key or address, where several sell a product of that name
    #[arg(long, value_name = "PEER|URL")]
    seller: Option<String>,
    /// Write it into this file
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// The most it may cost
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    max: Option<Typed>,
    /// Where evidence goes if the seller cheats
    #[arg(long, value_name = "FILE", default_value = "cheat.evidence")]
    evidence: PathBuf,
}

/// Arguments of `farthing broker get`.
#[derive(Debug, Args)]
struct GetArgs {
    /// The broker's address
    broker: Endpoint,
    /// The address at the seller
    url: Url,
    /// The method
    #[arg(long, short = 'X', value_name = "METHOD", default_value = "GET")]
    request: Method,
    /// The body
    #[arg(long, short = 'd', value_name = "DATA", default_value = "")]
    data: String,
    /// Write the answer into this file
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// The most it may cost
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    max: Option<Typed>,
}

/// Arguments of `farthing broker prefetch`.
#[derive(Debug, Args)]
struct PrefetchArgs {
    /// The broker's address
    broker: Endpoint,
    /// The seller, by its key or address
    seller: String,
    /// What each token is to be worth at the seller: what a request costs there
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    price: Typed,
    /// How many tokens
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=PREFETCH_MAX as i64))]
    count: u32,
    /// How long they are to hold; no longer than the broker's own session with the seller
    #[arg(long = "for", value_name = "TIME", default_value = "12h")]
    life: humantime::Duration,
    /// The most one token may cost, the broker's fee with it
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    max: Option<Typed>,
}

/// Arguments of `farthing broker spend`.
#[derive(Debug, Args)]
struct SpendArgs {
    /// The address at the seller; #sha256=... after it pins the server's certificate
    url: Url,
    /// The method
    #[arg(long, short = 'X', value_name = "METHOD", default_value = "GET")]
    request: Method,
    /// The body
    #[arg(long, short = 'd', value_name = "DATA", default_value = "")]
    data: String,
    /// Write the answer into this file
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Arguments of `farthing broker close`.
#[derive(Debug, Args)]
struct CloseArgs {
    /// The broker's address
    broker: Endpoint,
}

/// Arguments of `farthing broker judge`.
#[derive(Debug, Args)]
struct JudgeArgs {
    /// The file that `farthing broker buy` wrote
    file: PathBuf,
}

impl BrokerArgs {
    /// Whether it runs until it is stopped.
    pub(crate) const fn serves(&self) -> bool {
        matches!(self.command, None | Some(BrokerCommand::Offer(_)))
    }
}

/// Runs the command.
pub(crate) async fn run(app: &App, args: BrokerArgs) -> Result<(), Failure> {
    match args.command {
        None => serve(app, args.serve).await,
        Some(BrokerCommand::Offer(args)) => offer(app, args).await,
        Some(BrokerCommand::Sellers(args)) => sellers(app, args).await,
        Some(BrokerCommand::Buy(args)) => buy(app, args).await,
        Some(BrokerCommand::Get(args)) => get(app, args).await,
        Some(BrokerCommand::Prefetch(args)) => prefetch(app, args).await,
        Some(BrokerCommand::Tokens) => tokens(app),
        Some(BrokerCommand::Spend(args)) => spend(app, args).await,
        Some(BrokerCommand::Close(args)) => close(app, args).await,
        Some(BrokerCommand::Judge(args)) => judge(app, args).await,
    }
}

/// Runs a broker until it is stopped.
async fn serve(app: &App, args: ServeArgs) -> Result<(), Failure> {
    let ServeArgs { sellers, units, fee, listen_on, counter } = args;
    let open = |coupon, _| Ok(Terms { fee, units, ..Terms::new(coupon, sellers) });
    counter
        .run(app, "broker", listen_on, open, |endpoint, me| {
            format!("The broker is at {endpoint}\nIts key, for sellers of small products: {me}\nStop it with Ctrl-C.")
        })
        .await
}

/// Runs a stall until it is stopped.
async fn offer(app: &App, args: OfferArgs) -> Result<(), Failure> {
    let OfferArgs { files, price, brokers, listen_on, counter } = args;
    let open = |coupon: Amount, currency| {
        let price = price.some(currency)?;
        let units = price.units_of(coupon).and_then(|units| u32::try_from(units).ok());
        let units =
            units.ok_or_else(|| Failure::usage("the price is too high for coupons so small").next("raise --coupon"))?;
        let products = files.iter().map(|file| {
            let product = std::fs::read(file).or_fail(format_args!("cannot read {}", file.display()))?;
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            Ok((name, product, units))
        });
        let stall =
            Shelved { brokers: BTreeSet::from_iter(brokers), products: products.collect::<Result<_, Failure>>()? };
        Ok(Terms { stall: Some(stall), ..Terms::new(coupon, Vec::new()) })
    };
    counter
        .run(app, "stall", listen_on, open, |endpoint, _| {
            format!("The stall is at {endpoint}\nIts broker is started with: --seller {endpoint}\nStop it with Ctrl-C.")
        })
        .await
}

impl CounterArgs {
    async fn run(
        self,
        app: &App,
        folder: &str,
        listen: SocketAddr,
        terms: impl FnOnce(Amount, Currency) -> Result<Terms, Failure>,
        words: impl FnOnce(&str, PeerId) -> String,
    ) -> Result<(), Failure> {
        let home = app.settings.home.join(folder);
        private_dir(&home)?;
        let (wallet, bank) = peer::owner(app).await?;
        let (identity, me, currency) = (wallet.identity(), wallet.me(), bank.info().body().currency);
        // What the broker sets aside with sellers is asked for as this copy of the wallet.
        let bank = match wallet.presence() {
            Some(epoch) => bank.with_epoch(epoch),
            None => bank,
        };
        // Others may use the wallet meanwhile.
        wallet.close().await;
        let coupon = match self.coupon {
            Some(typed) => typed.some(currency)?,
            None => currency.micros(COUPON_MICROS).map_err(Failure::other)?,
        };
        let terms = terms(coupon, currency)?;
        let records = home.join("broker.db");
        let tls = if listen.ip().is_loopback() { Tls::PlainLoopbackOnly } else { Tls::SelfMade { dir: home } };
        let setup = Setup {
            records,
            identity,
            bank,
            terms,
            server: ServerConfig { listen, tls, limits: Limits::default() },
            clock: Arc::new(SystemClock),
            every: Some(self.every.into()),
        };
        let broker = BrokerServer::start(setup).await?;
        let endpoint = broker.endpoint().to_string();
        app.out.announce(&json!({ "listening": endpoint, (folder): me }), || words(&endpoint, me))?;
        asked_to_stop(self.stop).await;
        broker.stop().await;
        Ok(())
    }
}

/// Does something at a broker with the wallet, and closes the wallet whatever came of it.
async fn at<T>(
    app: &App,
    broker: Endpoint,
    work: impl AsyncFnOnce(&Customer, Currency) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let wallet: Wallet = peer::open(&app.settings).await?;
    let currency = wallet.settings().currency();
    let done = match Customer::meet(wallet.clone(), broker).await {
        Ok(customer) => work(&customer, currency).await,
        Err(why) => Err(why.into()),
    };
    wallet.close().await;
    done
}

async fn sellers(app: &App, args: SellersArgs) -> Result<(), Failure> {
    at(app, args.broker, async |customer, _| {
        let (mut lines, mut rows) = (Vec::new(), Vec::new());
        for line in customer.sellers() {
            // A gateway has no shelf; one that is silent shows none.
            let shelf = customer.shelf(line).await.map(|shelf| shelf.items.into_vec()).unwrap_or_default();
            let mut goods = Vec::new();
            for item in shelf {
                let (_, price) = customer.price(line, item.units)?;
                rows.push([item.name.clone(), price.to_string(), item.size.to_string(), line.origin.clone()]);
                goods.push(json!({ "name": item.name, "price": price, "bytes": item.size }));
            }
            if goods.is_empty() {
                rows.push(["-".to_owned(), "by request".to_owned(), String::new(), line.origin.clone()]);
            }
            lines.push(json!({ "seller": line.seller, "at": line.origin, "unit": line.unit, "products": goods }));
        }
        for origin in customer.waiting() {
            rows.push(["-".to_owned(), "not at present".to_owned(), String::new(), origin.clone()]);
        }
        app.out.result(&json!({ "sellers": lines, "waiting": customer.waiting() }), || {
            let columns =
                [Column::Text("product"), Column::Number("price"), Column::Number("bytes"), Column::Text("seller")];
            table(&columns, rows)
        })
    })
    .await
}

async fn buy(app: &App, args: BuyArgs) -> Result<(), Failure> {
    let output = Output::open(args.output.as_deref())?;
    at(app, args.broker.clone(), async |customer, currency| {
        let most = args.max.map(|max| max.amount(currency)).transpose()?;
        let lines = match &args.seller {
            Some(seller) => vec![customer.seller(seller)?],
            None => customer.sellers().iter().collect(),
        };
        let mut found = Vec::new();
        for line in lines {
            let shelf = customer.shelf(line).await.map(|shelf| shelf.items.into_vec()).unwrap_or_default();
            found.extend(shelf.into_iter().filter(|item| item.name == args.product).map(|item| (line, item)));
        }
        let (line, item) = match found.len() {
            1 => found.remove(0),
            0 => {
                return Err(Failure::usage(format_args!("nobody sells {:?} through this broker", args.product))
                    .next("see what there is: farthing broker sellers URL"));
            }
            _ => {
                return Err(
                    Failure::usage(format_args!("several sell {:?}", args.product)).next("name one with --seller")
                );
            }
        };
        let (product, cost) = match customer.buy(line, &item, most).await {
            Ok(bought) => bought,
            Err(why) => return Err(convict(why, &args.evidence)?),
        };
        let about = json!({ "cost": cost, "seller": line.seller });
        output.deliver(app, &product, about, &format!("cost {cost}"), &format!("{cost} was charged"))
    })
    .await
}

/// Keeps the evidence there may be, and says so.
fn convict(why: BuyError, file: &Path) -> Result<Failure, Failure> {
    let (BuyError::Off { evidence, .. } | BuyError::Cheated { evidence, .. }) = &why else { return Ok(why.into()) };
    let Some(evidence) = evidence.clone() else { return Ok(why.into()) };
    std::fs::write(file, customer::evidence_bytes(&evidence))
        .or_fail(format_args!("cannot write {}", file.display()))?;
    let shown = file.display();
    Ok(Failure::from(why).next(format_args!("the seller is convicted by its own hand: farthing broker judge {shown}")))
}

async fn get(app: &App, args: GetArgs) -> Result<(), Failure> {
    let output = Output::open(args.output.as_deref())?;
    let wallet = peer::open(&app.settings).await?;
    let price = super::get::client(wallet.clone(), &args.url, Options::default());
    let mut request = Request::new(args.request.clone(), args.url.clone());
    *request.body_mut() = Some(args.data.clone().into());
    let price = match price {
        Ok(client) => client.quote(request).await.map_err(Failure::from),
        Err(why) => Err(why),
    };
    wallet.close().await;
    let price = price?.ok_or_else(|| Failure::usage("this costs nothing").next("ask the seller: farthing get URL"))?;
    at(app, args.broker, async |customer, currency| {
        let most = args.max.map(|max| max.amount(currency)).transpose()?;
        let line = customer.seller_at(price.seller, &args.url.origin().ascii_serialization())?;
        let units = price.at_most.units_of(line.unit).and_then(|units| u32::try_from(units).ok());
        let units = units.ok_or_else(|| Failure::usage("the seller's price cannot be paid in its coupons"))?;
        let http = passed(&args.request, &args.url, &args.data);
        let (answer, cost) = customer.request(line, http, units, most).await?;
        let about = json!({ "cost": cost, "seller": line.seller, "status": answer.status });
        let charged = if cost.is_zero() { "nothing was charged".to_owned() } else { format!("{cost} was charged") };
        output.deliver(app, &answer.body, about, &format!("cost {cost}"), &charged)?;
        succeeded(app, answer.status, &charged)
    })
    .await
}

async fn prefetch(app: &App, args: PrefetchArgs) -> Result<(), Failure> {
    let millis = u64::try_from(args.life.as_millis()).or_fail("the tokens would hold too long")?;
    at(app, args.broker.clone(), async |customer, currency| {
        let most = args.max.map(|max| max.amount(currency)).transpose()?;
        let line = customer.seller(&args.seller)?;
        let price = args.price.some(currency)?;
        let units = price.units_of(line.unit).and_then(|units| u32::try_from(units).ok());
        let units = units.ok_or_else(|| Failure::usage("the price is too high for the seller's coupons"))?;
        let worth = line.unit.checked_mul(units.into()).map_err(Failure::other)?;
        if worth != price {
            let what = format!("a token for this seller is worth a whole number of {}, and {price} is none", line.unit);
            return Err(Failure::usage(what).next(format_args!("the next one up: --price \"{worth}\"")));
        }
        let mut pocket = pocket(app)?;
        let (mut got, mut paid) = (Vec::new(), currency.zero());
        for _ in 0..args.count {
            let (kept, cost) = customer.prefetch(line, units, Span::from_millis(millis), most, &mut pocket).await?;
            paid = paid.checked_add(cost).map_err(Failure::other)?;
            got.push(kept);
        }
        let ends = got.iter().map(|kept| kept.token.terms.expires).min();
        let json = json!({ "tokens": got.len(), "cost": paid, "seller": line.seller, "until": ends.map(moment) });
        app.out.result(&json, || {
            let tokens = crate::show::count(got.len().try_into().unwrap_or(u64::MAX), "token");
            let until = ends.map(moment).unwrap_or_default();
            format!(
                "{tokens} for {}, cost {paid}, good until {until}.\nSpend them: farthing broker spend URL",
                line.origin
            )
        })
    })
    .await
}

fn tokens(app: &App) -> Result<(), Failure> {
    let now = SystemClock.now();
    let mut all: Vec<Kept> = pocket(app)?.tokens()?;
    all.sort_by_key(|kept| kept.token.terms.expires);
    let state = |kept: &Kept| match (now >= kept.token.terms.expires, kept.sent) {
        (true, _) => "ended",
        (false, Some(_)) => "sent, not answered",
        (false, None) => "good",
    };
    let lines = all.iter().map(|kept| {
        json!({
            "seller": kept.seller, "at": kept.origin, "worth": kept.worth(), "state": state(kept),
            "until": moment(kept.token.terms.expires), "broker": kept.broker,
        })
    });
    app.out.result(&json!({ "tokens": lines.collect::<Vec<_>>() }), || {
        let columns = [Column::Number("worth"), Column::Text("at"), Column::Text("until"), Column::Text("state")];
        let rows = all.iter().map(|kept| {
            let worth = kept.worth().map(|worth| worth.to_string()).unwrap_or_default();
            [worth, kept.origin.clone(), moment(kept.token.terms.expires), state(kept).to_owned()]
        });
        table(&columns, rows)
    })
}

async fn spend(app: &App, args: SpendArgs) -> Result<(), Failure> {
    let site = args.url.origin().ascii_serialization();
    let pin = args.url.fragment().filter(|fragment| fragment.starts_with("sha256="));
    let named = pin.map_or_else(|| site.clone(), |pin| format!("{site}#{pin}"));
    let seller: Endpoint = named.parse().map_err(Failure::usage)?;
    let http = passed(&args.request, &args.url, &args.data);
    let output = Output::open(args.output.as_deref())?;
    let answer = spend::spend(&mut pocket(app)?, SystemClock.now(), &seller, &http).await?;
    let cost =
        answer.spent.map_or_else(|| "nothing was spent".to_owned(), |worth| format!("a token of {worth} was spent"));
    let about = json!({ "status": answer.status, "spent": answer.spent });
    output.deliver(app, &answer.body, about, &cost, &cost)?;
    succeeded(app, answer.status, &cost)
}

async fn close(app: &App, args: CloseArgs) -> Result<(), Failure> {
    at(app, args.broker, async |customer, currency| {
        let ended = customer.close().await?;
        let mut kept = pocket(app)?.tokens()?;
        kept.retain(|kept| kept.broker == customer.site() && SystemClock.now() < kept.token.terms.expires);
        let worth = kept.iter().filter_map(Kept::worth).try_fold(currency.zero(), Amount::checked_add);
        let worth = worth.map_err(Failure::other)?;
        app.out.result(&json!({ "closed": ended, "tokens": kept.len(), "worth": worth }), || {
            let sessions = crate::show::count(ended.into(), "session");
            let ended = format!("{sessions} ended; what was not spent comes back once the broker has cleared.");
            if kept.is_empty() {
                return ended;
            }
            let tokens = crate::show::count(kept.len().try_into().unwrap_or(u64::MAX), "token");
            let until = kept.iter().map(|kept| kept.token.terms.expires).min().map(moment).unwrap_or_default();
            format!(
                "{ended}\n{tokens} from here, worth {worth}, were paid for and do not come back: spend them before \
                 {until} with farthing broker spend URL"
            )
        })
    })
    .await
}

async fn judge(app: &App, args: JudgeArgs) -> Result<(), Failure> {
    use std::io::Read;
    let shown = args.file.display();
    let mut bytes = Vec::new();
    let file = std::fs::File::open(&args.file).or_fail(format_args!("cannot read {shown}"))?;
    file.take(EVIDENCE_BYTES_MAX).read_to_end(&mut bytes).or_fail(format_args!("cannot read {shown}"))?;
    let wallet = peer::open(&app.settings).await?;
    let verdict = customer::judge(&wallet, &bytes);
    wallet.close().await;
    let guilty = match verdict.map_err(|why| Failure::usage(format_args!("{shown} is no evidence: {why}")))? {
        Verdict::Guilty(peer) => Some(peer),
        Verdict::Insufficient => None,
    };
    app.out.result(&json!({ "guilty": guilty }), || match guilty {
        Some(peer) => format!("Guilty: {peer}\nIt signed that it had sealed a product, and had sealed something else."),
        None => "This convicts nobody.".to_owned(),
    })
}

/// The file of tokens.
fn pocket(app: &App) -> Result<Pocket, Failure> {
    let home = app.settings.home.join("tokens");
    private_dir(&home)?;
    Ok(Pocket::open(&home.join("tokens.db"), Arc::new(SystemClock))?)
}

fn passed(method: &Method, url: &Url, data: &str) -> Passed {
    let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    Passed { method: method.to_string(), path, media_type: None, body: data.as_bytes().to_vec() }
}

/// Where what is bought goes: opened before anything is paid for.
struct Output<'a>(Option<(&'a Path, std::fs::File)>);

impl<'a> Output<'a> {
    fn open(file: Option<&'a Path>) -> Result<Self, Failure> {
        let open = |path: &'a Path| {
            let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path);
            Ok((path, opened.or_fail(format_args!("cannot write {}", path.display()))?))
        };
        file.map(open).transpose().map(Self)
    }

    /// Gives it: into the file, into the JSON result, or as it is. `charged` says what it cost where
    /// that fails.
    fn deliver(
        self,
        app: &App,
        body: &[u8],
        about: serde_json::Value,
        cost: &str,
        charged: &str,
    ) -> Result<(), Failure> {
        let lost = |what: &str, why: std::io::Error| {
            Failure::other(format_args!("cannot write {what}: {why}; {charged}")).money(Money::MovedBefore)
        };
        let file = self.0.as_ref().map(|(path, _)| *path);
        if let Some((path, mut file)) = self.0 {
            // What was in it before goes; a device has no length.
            let is_file = file.metadata().is_ok_and(|meta| meta.is_file());
            let cut = if is_file { file.set_len(0) } else { Ok(()) };
            cut.and_then(|()| file.write_all(body)).map_err(|why| lost(&path.display().to_string(), why))?;
        }
        if app.out.is_json() {
            let mut result = about;
            result["file"] = json!(file);
            result["body"] = json!(file.is_none().then(|| String::from_utf8_lossy(body)));
            return app.out.result(&result, || "");
        }
        if file.is_none() {
            let mut out = std::io::stdout();
            match out.write_all(body).and_then(|()| out.flush()) {
                // A reader that went away, as `head` does, wants no more.
                Err(why) if why.kind() == std::io::ErrorKind::BrokenPipe => {}
                written => written.map_err(|why| lost("to standard output", why))?,
            }
        }
        app.out.note(cost);
        Ok(())
    }
}

/// An answer that is an error of the seller's is none of success. `charged` says what it cost.
fn succeeded(app: &App, status: u16, charged: &str) -> Result<(), Failure> {
    match status {
        400.. if app.out.is_json() => Err(Failure::told(Kind::Answered)),
        400.. => Err(Failure::new(Kind::Answered, format_args!("the seller answered {status}; {charged}"))),
        _ => Ok(()),
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Bind(_) => Self::other(error).next("choose another address with --listen-on"),
            StartError::Sellers | StartError::Product(_) => Self::usage(error),
            error => Self::damaged(error),
        }
    }
}

impl From<BuyError> for Failure {
    fn from(why: BuyError) -> Self {
        let money = why.money();
        match why {
            BuyError::Wallet(why) => why.into(),
            BuyError::Pocket(why) => why.into(),
            BuyError::Broker(BrokerAskError::Refused(why)) => why.into(),
            BuyError::Broker(BrokerAskError::NotSent(_)) => {
                Self::new(Kind::NotReachable, "the broker cannot be reached")
                    .money(Money::Unmoved)
                    .next("see that it is running and that the address is right, and run the same command again")
            }
            BuyError::Broker(why @ BrokerAskError::Unknown(_)) => {
                Self::new(Kind::OutcomeUnknown, why).money(money).next("run the same command again")
            }
            why @ BuyError::Dear { .. } => Self::new(Kind::Funds, why).money(money).next("raise --max"),
            why @ BuyError::NotReady(_) => Self::new(Kind::Refused, why)
                .money(money)
                .next("try again in a minute; the broker's owner finds the reason in its log"),
            why @ BuyError::NoSeller(_) => Self::usage(why).next("see whom it buys from: farthing broker sellers URL"),
            why => Self::new(Kind::Refused, why).money(money),
        }
    }
}

impl From<PocketError> for Failure {
    fn from(why: PocketError) -> Self {
        match why {
            PocketError::Full => Self::usage(why),
            why => Self::damaged(why),
        }
    }
}

impl From<SpendError> for Failure {
    fn from(why: SpendError) -> Self {
        match why {
            SpendError::Pocket(why) => why.into(),
            SpendError::NotSent => Self::new(Kind::NotReachable, why)
                .money(Money::Unmoved)
                .next("see that it is running and that the address is right, and run the same command again"),
            SpendError::Unknown => {
                Self::new(Kind::OutcomeUnknown, why).money(Money::Unknown).next("run the same command again")
            }
            SpendError::NoToken { .. } => {
                Self::new(Kind::Funds, why).money(Money::Unmoved).next("get some: farthing broker prefetch")
            }
            SpendError::Spent(_) => Self::new(Kind::Refused, why).money(Money::MovedBefore),
            why => Self::new(Kind::Refused, why).money(Money::Unmoved),
        }
    }
}
