//! `farthing get`: ask any HTTP service, and pay if it wants to be paid.

use std::io::{Read, Write};
use std::path::PathBuf;

use clap::Args;
use farthing_client::{Advice, BODY_MAX, Options, Paid, PayError, PayingClient, Price, Receipt};
use farthing_core::id::PeerId;
use farthing_core::time::Time;
use farthing_net::http::client::client as http_client;
use farthing_net::http::endpoint::Endpoint;
use farthing_peer::wallet::{Options as WalletOptions, Wallet};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use serde_json::json;

use super::{App, Typed};
use crate::fail::{Context, Failure, Kind};
use crate::peer;
use crate::show::moment;

/// How long an answer may take that comes over a connection with a pinned certificate.
const PINNED_TIME: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);

/// The longest body that is shown inside a JSON result.
const JSON_BODY_MAX: usize = 16 << 20;

/// Arguments of `farthing get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The address; #sha256=... after it pins the server's certificate
    url: Url,
    /// The method [default: GET, or POST with data]
    #[arg(long, short = 'X', value_name = "METHOD")]
    request: Option<Method>,
    /// A header, such as "Accept: text/plain"; may be given several times
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The body, as it stands here or, after @, in a file; @- is standard input
    #[arg(long, short = 'd', visible_alias = "data-binary", value_name = "DATA|@FILE")]
    data: Option<String>,
    /// Write the answer's body into this file
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Show the answer's status and headers before its body
    #[arg(long, short = 'i')]
    include: bool,
    /// The most it may cost
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    max: Option<Typed>,
    /// Only see what it would cost: the request is sent without a payment
    #[arg(long)]
    dry_run: bool,
    /// Pay from this file of `farthing wallet delegate`
    #[arg(long, value_name = "FILE")]
    wallet: Option<PathBuf>,
    /// Ask nothing; end the session with the site, so that what was not spent comes back
    #[arg(long, conflicts_with_all = ["request", "header", "data", "output", "dry_run"])]
    close: bool,
    /// Pay this key at the site from now on, where it was another one before
    #[arg(long, value_name = "PEER")]
    trust: Option<PeerId>,
}

/// Runs the command.
pub(crate) async fn run(app: &App, args: GetArgs) -> Result<(), Failure> {
    let request = request(&args)?;
    let (wallet, session_ends) = purse(app, args.wallet.as_deref()).await?;
    let done = with_wallet(app, &args, request, &wallet, session_ends).await;
    wallet.close().await;
    done
}

async fn with_wallet(
    app: &App,
    args: &GetArgs,
    request: Request,
    wallet: &Wallet,
    session_ends: Option<Time>,
) -> Result<(), Failure> {
    let currency = wallet.settings().currency();
    let per_request = args.max.map(|max| max.amount(currency)).transpose()?;
    let client = client(wallet.clone(), &args.url, Options { per_request, session_ends, ..Options::default() })?;
    if let Some(seller) = args.trust {
        wallet.coupon_trust(&args.url.origin().ascii_serialization(), seller).await?;
    }
    if args.close {
        let (sessions, paid) = client.close(&args.url).await?;
        return app.out.result(&json!({ "closed": sessions, "paid": paid }), || {
            let sessions = crate::show::count(sessions.into(), "session");
            format!(
                "{sessions} ended, in which {paid} was paid at most; what was not charged comes back from the bank."
            )
        });
    }
    if args.dry_run {
        let price = client.quote(request).await?;
        return app.out.result(&json!({ "dry_run": true, "price": price.as_ref().map(price_json) }), || {
            price.as_ref().map_or_else(|| "It is free.".to_owned(), price_words)
        });
    }
    let paid = client.execute(request).await?;
    deliver(app, args, paid).await
}

/// The wallet to pay from: that of a file, or the one of the home folder.
pub(crate) async fn purse(app: &App, file: Option<&std::path::Path>) -> Result<(Wallet, Option<Time>), Failure> {
    match file {
        Some(file) => {
            let delegate = Wallet::open_delegate(file, WalletOptions::default()).await?;
            Ok((delegate.wallet, Some(delegate.expires)))
        }
        None => Ok((peer::open(&app.settings).await?, None)),
    }
}

/// A client for an address, which may pin the server's certificate in its fragment.
pub(crate) fn client(wallet: Wallet, url: &Url, options: Options) -> Result<PayingClient, Failure> {
    let Some(pin) = url.fragment().filter(|fragment| fragment.starts_with("sha256=")) else {
        return Ok(PayingClient::new(wallet, options)?);
    };
    let named = format!("{}#{pin}", url.origin().ascii_serialization());
    let endpoint: Endpoint = named.parse().map_err(Failure::usage)?;
    let http = http_client(&endpoint).map_err(Failure::other)?;
    Ok(PayingClient::with(http, wallet, options))
}

fn request(args: &GetArgs) -> Result<Request, Failure> {
    if !matches!(args.url.scheme(), "http" | "https") {
        return Err(Failure::usage(format_args!("nothing can be paid over {}:", args.url.scheme()))
            .next("give an address that begins with http:// or https://"));
    }
    let body = args.data.as_deref().map(body).transpose()?;
    let usual = if body.is_some() { Method::POST } else { Method::GET };
    let mut url = args.url.clone();
    let pinned = url.fragment().is_some_and(|fragment| fragment.starts_with("sha256="));
    url.set_fragment(None);
    let mut request = Request::new(args.request.clone().unwrap_or(usual), url);
    if pinned {
        *request.timeout_mut() = Some(PINNED_TIME);
    }
    for header in &args.header {
        let wrong = || Failure::usage(format_args!("{header:?} is no header")).next("write it as \"Name: value\"");
        let (name, value) = header.split_once(':').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let value: HeaderValue = value.trim().parse().map_err(|_| wrong())?;
        request.headers_mut().append(name, value);
    }
    *request.body_mut() = body.map(Into::into);
    Ok(request)
}

/// The bytes that were given, or those of the file after `@`.
fn body(data: &str) -> Result<Vec<u8>, Failure> {
    let Some(file) = data.strip_prefix('@') else { return Ok(data.as_bytes().to_vec()) };
    let most = BODY_MAX as u64;
    let mut bytes = Vec::new();
    let read = if file == "-" {
        std::io::stdin().lock().take(most + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
    };
    read.or_fail(format_args!("cannot read {file}"))?;
    if bytes.len() > BODY_MAX {
        return Err(Failure::usage(format_args!("{file} is longer than {BODY_MAX} bytes")));
    }
    Ok(bytes)
}

async fn deliver(app: &App, args: &GetArgs, mut paid: Paid) -> Result<(), Failure> {
    let (status, headers) = (paid.status(), paid.headers().clone());
    let collects = app.out.is_json() && args.output.is_none();
    let mut collected = Vec::new();
    let mut sink: Box<dyn Write + Send> = match &args.output {
        Some(file) => {
            let file = std::fs::File::create(file).or_fail(format_args!("cannot write {}", file.display()))?;
            Box::new(file)
        }
        None if collects => Box::new(std::io::sink()),
        None => Box::new(std::io::stdout()),
    };
    if args.include && !app.out.is_json() {
        let mut head = format!("{:?} {status}\r\n", reqwest::Version::HTTP_11).into_bytes();
        for (name, value) in &headers {
            head.extend_from_slice(format!("{name}: ").as_bytes());
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        match sink.write_all(&head) {
            Err(why) if why.kind() != std::io::ErrorKind::BrokenPipe => return Err(why.into()),
            // If nobody reads any more, the body finds that out.
            _ => {}
        }
    }
    let mut broken = None;
    loop {
        match paid.chunk().await {
            Ok(Some(some)) if collects => {
                if some.len() > JSON_BODY_MAX - collected.len() {
                    return Err(Failure::usage("the answer is too long for a JSON result").next("add -o FILE"));
                }
                collected.extend_from_slice(&some);
            }
            // A reader that went away, as `head` does, wants no more.
            Ok(Some(some)) => match sink.write_all(&some).and_then(|()| sink.flush()) {
                Err(why) if why.kind() == std::io::ErrorKind::BrokenPipe => break,
                written => written?,
            },
            Ok(None) => break,
            Err(why) => {
                broken = Some(why);
                break;
            }
        }
    }
    let receipt = paid.receipt();
    if app.out.is_json() {
        let body = String::from_utf8_lossy(&collected);
        let result = json!({
            "url": args.url.as_str(),
            "status": status.as_u16(),
            "cost": receipt.cost(),
            "receipt": receipt_name(&receipt),
            "file": args.output,
            "body": collects.then_some(body),
        });
        app.out.result(&result, || "")?;
    }
    app.out.note(receipt_words(&receipt));
    match broken {
        Some(why) => Err(why.into()),
        None if matches!(receipt, Receipt::False { .. }) => {
            Err(Failure::new(Kind::Other, "the server's receipt is not the seller's word: do not trust this server"))
        }
        None if matches!(receipt, Receipt::Checked { whole: false, .. }) && status.is_success() => {
            Err(Failure::new(Kind::Other, "the answer is not the one that the receipt names: do not use it"))
        }
        None => Ok(()),
    }
}

const fn receipt_name(receipt: &Receipt) -> &'static str {
    match receipt {
        Receipt::Free => "free",
        Receipt::Checked { whole: true, .. } => "checked",
        Receipt::Checked { whole: false, .. } => "of-another-answer",
        Receipt::Running { .. } => "running",
        Receipt::Missing { .. } => "missing",
        Receipt::False { .. } => "false",
    }
}

fn receipt_words(receipt: &Receipt) -> String {
    match receipt {
        Receipt::Free => "free".to_owned(),
        Receipt::Checked { cost, .. } => format!("cost {cost}"),
        Receipt::Running { at_most } => format!("cost up to {at_most}; the answer was left before its end"),
        Receipt::Missing { at_most } => format!("cost up to {at_most}; the server gave no receipt"),
        Receipt::False { at_most } => format!("cost up to {at_most}; the server gave a false receipt"),
    }
}

fn price_json(price: &Price) -> serde_json::Value {
    json!({
        "at_most": price.at_most,
        "rate": price.rate.price,
        "per": price.rate.per,
        "unit": price.kind,
        "seller": price.seller,
        "holds_until": moment(price.expires),
    })
}

fn price_words(price: &Price) -> String {
    let Price { at_most, kind, rate, seller, expires } = price;
    let unit = format!("{kind:?}").to_lowercase();
    let per = if rate.per == 1 { unit } else { format!("{} {unit}s", rate.per) };
    format!(
        "It would cost up to {at_most} ({} per {per}), paid to {}; the price holds until {}.",
        rate.price,
        seller.short(),
        moment(*expires)
    )
}

impl From<PayError> for Failure {
    fn from(why: PayError) -> Self {
        let money = why.money();
        match why {
            PayError::NothingSent(_) => Self::new(Kind::NotReachable, why).money(money),
            PayError::Unknown { .. } => {
                Self::new(Kind::OutcomeUnknown, why).money(money).next("run the same command again")
            }
            PayError::Spent { .. } | PayError::BrokeOff { .. } => Self::new(Kind::Other, why).money(money),
            PayError::Wallet(why) => why.into(),
            PayError::Refused { ref advice, .. } => {
                let (kind, next) = match advice {
                    Advice::Stop => (Kind::Refused, None),
                    Advice::Later => (Kind::Refused, Some("run the same command again in a moment")),
                    Advice::Change => (Kind::Funds, Some("raise --max, or see farthing wallet policy")),
                    Advice::Fund => (Kind::Funds, Some("put money into the account: farthing wallet fund AMOUNT")),
                };
                let failure = Self::new(kind, &why).money(money);
                next.into_iter().fold(failure, Self::next)
            }
        }
    }
}
