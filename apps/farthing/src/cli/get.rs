//! `farthing get`: ask any HTTP service, and pay if it wants to be paid.

use std::io::{Read, Write};
use std::path::PathBuf;

use clap::Args;
use farthing_client::{Advice, BODY_MAX, Closed, Options, Paid, PayError, PayingClient, Price, Receipt};
use farthing_core::amount::Amount;
use farthing_core::id::PeerId;
use farthing_net::http::client::client as http_client;
use farthing_net::http::endpoint::Endpoint;
use farthing_peer::wallet::Wallet;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use serde_json::json;

use super::{App, Typed};
use crate::fail::{Context, Failure, Kind};
use crate::peer::purse::Purse;
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
    /// For which of your tools: each has its own limit, --per-tool of farthing wallet policy
    #[arg(long = "as", value_name = "TOOL")]
    tool: Option<String>,
    /// Approve it, whatever it costs above --approve-above of farthing wallet policy
    #[arg(long)]
    approve: bool,
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
    let purse = Purse::open(app, args.wallet.as_deref(), args.tool.as_deref(), args.approve).await?;
    let done = with_purse(app, &args, request, &purse).await;
    purse.wallet.close().await;
    done
}

async fn with_purse(app: &App, args: &GetArgs, request: Request, purse: &Purse) -> Result<(), Failure> {
    let wallet = &purse.wallet;
    let per_request = args.max.map(|max| max.amount(wallet.settings().currency())).transpose()?;
    let client = client(wallet.clone(), &args.url, Options { per_request, ..purse.options() })?;
    if let Some(seller) = args.trust {
        wallet.coupon_trust(&args.url.origin().ascii_serialization(), seller).await?;
    }
    if args.close {
        let closed = client.close(&args.url).await?;
        return app.out.result(&closed_json(&closed)?, || closed_words(&closed));
    }
    if args.dry_run {
        let price = client.quote(request).await?;
        return app.out.result(&json!({ "dry_run": true, "price": price.as_ref().map(price_json) }), || {
            price.as_ref().map_or_else(|| "It is free.".to_owned(), price_words)
        });
    }
    let answer = match &purse.tool {
        Some(tool) => client.execute_for(tool, request).await,
        None => client.execute(request).await,
    };
    match answer {
        Ok(paid) => deliver(app, args, paid).await,
        Err(why) => Err(purse.failure(app, why).await),
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
    let json = app.out.is_json();
    if json {
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
    // A program has the result already, and one is enough.
    let fails = |kind, why: String| if json { Failure::told(kind) } else { Failure::new(kind, why) };
    if let Some(why) = broken {
        return Err(why.into());
    }
    let failed = status.is_client_error() || status.is_server_error();
    if !failed {
        app.out.note(receipt_words(&receipt));
    }
    match receipt {
        Receipt::False { .. } => {
            Err(fails(Kind::Other, "the server's receipt is not the seller's word: do not trust this server".into()))
        }
        Receipt::Checked { whole: false, .. } if status.is_success() => {
            Err(fails(Kind::Other, "the answer is not the one that the receipt names: do not use it".into()))
        }
        _ if failed => Err(fails(Kind::Answered, format!("the server answered {status}; {}", charged(&receipt)))),
        _ => Ok(()),
    }
}

/// What an answer that is an error has cost.
fn charged(receipt: &Receipt) -> String {
    match receipt {
        Receipt::Free => "nothing was charged".to_owned(),
        Receipt::Checked { cost, .. } | Receipt::Settled { cost } if cost.is_zero() => "nothing was charged".to_owned(),
        Receipt::Checked { cost, .. } | Receipt::Settled { cost } => format!("{cost} was charged"),
        Receipt::Running { at_most } | Receipt::Missing { at_most } | Receipt::False { at_most } => {
            format!("up to {at_most} may have been charged")
        }
    }
}

fn closed_json(closed: &Closed) -> Result<serde_json::Value, Failure> {
    let Closed { sessions, held, charged, unanswered } = closed;
    let returns = comes_back(closed)?;
    Ok(json!({ "closed": sessions, "held": held, "charged": charged, "unanswered": unanswered, "returns": returns }))
}

fn comes_back(closed: &Closed) -> Result<Amount, Failure> {
    let paid = closed.charged.checked_add(closed.unanswered).map_err(Failure::other)?;
    closed.held.checked_sub(paid).map_err(Failure::other)
}

fn closed_words(closed: &Closed) -> String {
    let Closed { sessions, held, charged, unanswered } = closed;
    if *sessions == 0 {
        return "No session is open with this site.".to_owned();
    }
    let back = comes_back(closed).map_or_else(|_| "the rest".to_owned(), |back| back.to_string());
    let sessions = crate::show::count((*sessions).into(), "session");
    let doubt = if unanswered.is_zero() {
        String::new()
    } else {
        format!(" For {unanswered} there is no receipt: the bank's statement will tell whether it was charged.")
    };
    format!(
        "{sessions} ended. Of {held} set aside, {charged} was charged by the seller's receipts, and {back} comes \
         back.{doubt}"
    )
}

const fn receipt_name(receipt: &Receipt) -> &'static str {
    match receipt {
        Receipt::Free => "free",
        Receipt::Checked { whole: true, .. } => "checked",
        Receipt::Settled { .. } => "settled",
        Receipt::Checked { whole: false, .. } => "of-another-answer",
        Receipt::Running { .. } => "running",
        Receipt::Missing { .. } => "missing",
        Receipt::False { .. } => "false",
    }
}

fn receipt_words(receipt: &Receipt) -> String {
    match receipt {
        Receipt::Free => "free".to_owned(),
        Receipt::Checked { cost, .. } | Receipt::Settled { cost } => format!("cost {cost}"),
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
                    Advice::Allow(_) => (Kind::Funds, Some("see farthing wallet policy")),
                    Advice::Approve => (Kind::Funds, Some("add --approve, or --yes")),
                    Advice::Reconcile => (Kind::Damaged, Some("compare this wallet with the bank: farthing reconcile")),
                    Advice::Fund => (Kind::Funds, Some("put money into the account: farthing wallet fund AMOUNT")),
                };
                let failure = Self::new(kind, &why).money(money);
                next.into_iter().fold(failure, Self::next)
            }
        }
    }
}
