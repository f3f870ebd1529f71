//! `farthing get`: ask any HTTP service, and pay if it wants to be paid.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use farthing_client::{Advice, BODY_MAX, Options, Paid, PayError, PayingClient, Price, Receipt};
use farthing_core::amount::Amount;
use farthing_core::id::PeerId;
use farthing_core::refusal::Money;
use farthing_net::http::client::client as http_client;
use farthing_net::http::endpoint::Endpoint;
use farthing_peer::wallet::Wallet;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request as WebRequest, StatusCode, Url};
use serde_json::json;

use super::{App, Typed};
use crate::fail::{Context, Failure, Kind};
use crate::peer::purse::{Purse, Wait};
use crate::peer::{self, Request, SessionsEnded};
use crate::show::moment;
use crate::stop::signalled;

/// How long an answer may take that comes over a connection with a pinned certificate.
const PINNED_TIME: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);

/// What to do where the answer is lost and its price is not.
const PAID_AGAIN: &str = "mend that first: asking again is paid for again";

/// What to do where nobody knows what was charged.
const TOLD_BY_THE_BANK: &str = "end the session, and the bank says what was charged: farthing wallet reconcile";

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
    /// How long the server has to begin its answer, connecting included
    #[arg(long, value_name = "TIME", default_value = "2m")]
    timeout: humantime::Duration,
    #[command(flatten)]
    wait: Wait,
    /// Ask nothing; end the session with the site, so that what was not spent comes back
    #[arg(long, conflicts_with_all = ["request", "header", "data", "output", "dry_run"])]
    close: bool,
    /// Pay this key at the site from now on, where it was another one before
    #[arg(long, value_name = "PEER")]
    trust: Option<PeerId>,
}

/// Runs the command.
pub(crate) async fn run(app: &App, args: GetArgs) -> Result<(), Failure> {
    let request = web_request(&args)?;
    // Whoever cannot write the answer down has no use for it, and pays nothing.
    let output = args.output.as_deref().map(Output::open).transpose()?;
    if args.close && args.wallet.is_none() {
        let site = Request::EndSessions { site: args.url.to_string() };
        let closed: SessionsEnded = peer::ask_within(app, site, args.wait).await?;
        return app.out.result(&closed, || closed_words(&closed));
    }
    let purse = Purse::open(app, args.wallet.as_deref(), args.tool.as_deref(), args.approve, args.wait).await?;
    // Other commands are answered for as long as this one has the wallet.
    let door = purse.attend(app);
    let done = with_purse(app, &args, request, output, &purse).await;
    if let Some(door) = door {
        door.close().await;
    }
    purse.wallet.close().await;
    done
}

async fn with_purse(
    app: &App,
    args: &GetArgs,
    request: WebRequest,
    output: Option<Output>,
    purse: &Purse,
) -> Result<(), Failure> {
    let wallet = &purse.wallet;
    let per_request = args.max.map(|max| max.amount(wallet.settings().currency())).transpose()?;
    let client = client(
        wallet.clone(),
        &args.url,
        Options { per_request, answer_time: Some(*args.timeout), ..purse.options() },
    )?;
    if let Some(seller) = args.trust {
        wallet.coupon_trust(&args.url.origin().ascii_serialization(), seller).await?;
    }
    if args.close {
        let closed = SessionsEnded::of(&client.close(&args.url).await?)?;
        return app.out.result(&closed, || closed_words(&closed));
    }
    if args.dry_run {
        let price = client.quote(request).await?;
        return app.out.result(&json!({ "dry_run": true, "price": price.as_ref().map(price_json) }), || {
            price.as_ref().map_or_else(|| "It is free.".to_owned(), price_words)
        });
    }
    let asked = async {
        match &purse.tool {
            Some(tool) => client.execute_for(tool, request).await,
            None => client.execute(request).await,
        }
    };
    let answer = tokio::select! {
        answer = asked => answer,
        () = signalled() => return Err(stopped(client.spent())),
    };
    match answer {
        Ok(paid) => deliver(app, args, output, paid).await,
        Err(why) => Err(purse.failure(app, why).await),
    }
}

/// Why there is no answer, where its owner stopped the command before one began.
fn stopped(spent: Amount) -> Failure {
    if spent.is_zero() {
        return Failure::new(Kind::Refused, "stopped before anything was paid").money(Money::Unmoved);
    }
    let next = "the same command again sends the same payment; or end the session, and the bank says what was \
                charged: farthing wallet reconcile";
    Failure::new(Kind::OutcomeUnknown, format_args!("stopped: up to {spent} may have been paid"))
        .money(Money::Unknown)
        .next(next)
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

fn web_request(args: &GetArgs) -> Result<WebRequest, Failure> {
    if !matches!(args.url.scheme(), "http" | "https") {
        return Err(Failure::usage(format_args!("nothing can be paid over {}:", args.url.scheme()))
            .next("give an address that begins with http:// or https://"));
    }
    let body = args.data.as_deref().map(body).transpose()?;
    let usual = if body.is_some() { Method::POST } else { Method::GET };
    let mut url = args.url.clone();
    let pinned = url.fragment().is_some_and(|fragment| fragment.starts_with("sha256="));
    url.set_fragment(None);
    let mut request = WebRequest::new(args.request.clone().unwrap_or(usual), url);
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

/// The file of an answer, opened before anything is paid, and emptied once there is an answer.
struct Output {
    file: std::fs::File,
    path: PathBuf,
    is_new: bool,
}

impl Output {
    fn open(path: &Path) -> Result<Self, Failure> {
        let is_new = !path.exists();
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.or_fail(format_args!("cannot write {}; nothing was paid", path.display()))?;
        Ok(Self { file, path: path.to_owned(), is_new })
    }

    /// For the answer that has come.
    fn emptied(mut self) -> std::io::Result<std::fs::File> {
        self.is_new = false;
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.try_clone()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.is_new {
            // There was none before, and no answer came for it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// How reading an answer ended.
enum End {
    /// At its end.
    Read,
    /// Whoever reads it went away, as `head` does.
    Left,
    /// It broke off.
    Broke(PayError),
    /// It could not be written.
    Unwritten(std::io::Error),
    /// Its owner stopped it.
    Stopped,
    /// It does not fit into a JSON result.
    TooLong,
}

async fn deliver(app: &App, args: &GetArgs, output: Option<Output>, mut paid: Paid) -> Result<(), Failure> {
    let (status, headers) = (paid.status(), paid.headers().clone());
    let collects = app.out.is_json() && output.is_none();
    let mut collected = Vec::new();
    let (mut sink, mut end): (Box<dyn Write + Send>, Option<End>) = match output.map(Output::emptied) {
        Some(Ok(file)) => (Box::new(file), None),
        Some(Err(why)) => (Box::new(std::io::sink()), Some(End::Unwritten(why))),
        None if collects => (Box::new(std::io::sink()), None),
        None => (Box::new(std::io::stdout()), None),
    };
    if args.include && !app.out.is_json() {
        // If nobody reads any more, the body finds that out.
        if let Err(why) = sink.write_all(&head(status, &headers))
            && why.kind() != std::io::ErrorKind::BrokenPipe
        {
            end = Some(End::Unwritten(why));
        }
    }
    let asked_to_stop = signalled();
    tokio::pin!(asked_to_stop);
    while end.is_none() {
        let chunk = tokio::select! {
            chunk = paid.chunk() => chunk,
            () = &mut asked_to_stop => {
                end = Some(End::Stopped);
                continue;
            }
        };
        match chunk {
            Ok(Some(some)) if collects => {
                if some.len() > JSON_BODY_MAX - collected.len() {
                    end = Some(End::TooLong);
                } else {
                    collected.extend_from_slice(&some);
                }
            }
            Ok(Some(some)) => {
                if let Err(why) = sink.write_all(&some).and_then(|()| sink.flush()) {
                    let is_gone = why.kind() == std::io::ErrorKind::BrokenPipe;
                    end = Some(if is_gone { End::Left } else { End::Unwritten(why) });
                }
            }
            Ok(None) => end = Some(End::Read),
            Err(why) => end = Some(End::Broke(why)),
        }
    }
    let left = paid.leave().await;
    conclude(app, args, status, left, collects.then_some(&collected), end.unwrap_or(End::Read))
}

fn head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut head = format!("{:?} {status}\r\n", reqwest::Version::HTTP_11).into_bytes();
    for (name, value) in headers {
        head.extend_from_slice(format!("{name}: ").as_bytes());
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Says what came of it: one result for programs, whatever happened.
fn conclude(
    app: &App,
    args: &GetArgs,
    status: StatusCode,
    receipt: Receipt,
    body: Option<&Vec<u8>>,
    end: End,
) -> Result<(), Failure> {
    let failed = status.is_client_error() || status.is_server_error();
    let cost = charged(&receipt);
    let failure = match end {
        End::Unwritten(why) => {
            let what = args.output.as_ref().map_or_else(|| "the answer".to_owned(), |file| file.display().to_string());
            Some(Failure::other(format_args!("cannot write {what}: {why}; {cost}")).next(PAID_AGAIN))
        }
        End::TooLong => {
            Some(Failure::usage(format_args!("the answer is too long for a JSON result; {cost}")).next("add -o FILE"))
        }
        End::Stopped => {
            Some(Failure::other(format_args!("stopped before the answer's end; {cost}")).next(TOLD_BY_THE_BANK))
        }
        End::Broke(PayError::BrokeOff { why, .. }) => {
            let failure = Failure::other(format_args!("{why}; {cost} for what came"));
            Some(failure.next("raise --max where a limit is named; asking again is paid for again"))
        }
        End::Broke(why) => Some(why.into()),
        End::Left if !failed => None,
        End::Read | End::Left => match receipt {
            Receipt::False { .. } => {
                Some(Failure::other("the server's receipt is not the seller's word: do not trust this server"))
            }
            Receipt::Checked { whole: false, .. } if status.is_success() => {
                Some(Failure::other("the answer is not the one that the receipt names: do not use it"))
            }
            _ if failed => Some(Failure::new(Kind::Answered, format_args!("the server answered {status}; {cost}"))),
            _ => None,
        },
    };
    if app.out.is_json() {
        let mut result = json!({
            "url": args.url.as_str(),
            "status": status.as_u16(),
            "cost": receipt.cost(),
            "receipt": receipt_name(&receipt),
            "file": args.output,
            "body": body.map(|body| String::from_utf8_lossy(body)),
        });
        if let (Some(failure), Some(result)) = (&failure, result.as_object_mut()) {
            result.extend(failure.to_json().as_object().cloned().unwrap_or_default());
        }
        app.out.result(&result, || "").map_err(|why| Failure::other(format_args!("{}; {cost}", why.what())))?;
        // A program has it all already, and one result is enough.
        return failure.map_or(Ok(()), |failure| {
            app.out.error(&failure);
            Err(Failure::told(failure.kind()))
        });
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    app.out.note(receipt_words(&receipt));
    Ok(())
}

/// What an answer that is an error has cost.
fn charged(receipt: &Receipt) -> String {
    match receipt {
        Receipt::Free => "nothing was charged".to_owned(),
        Receipt::Denied { at_most } => {
            format!("nothing was charged, by its own word, which is not proven: it was sent {at_most}")
        }
        Receipt::Checked { cost, .. } | Receipt::Settled { cost } if cost.is_zero() => "nothing was charged".to_owned(),
        Receipt::Checked { cost, .. } | Receipt::Settled { cost } => format!("{cost} was charged"),
        Receipt::Running { at_most } | Receipt::Missing { at_most } | Receipt::False { at_most } => {
            format!("up to {at_most} may have been charged")
        }
    }
}

fn closed_words(closed: &SessionsEnded) -> String {
    let SessionsEnded { closed: sessions, held, charged, unanswered, returns } = closed;
    if *sessions == 0 {
        return "No session is open with this site.".to_owned();
    }
    let sessions = crate::show::count((*sessions).into(), "session");
    let doubt = if unanswered.is_zero() {
        String::new()
    } else {
        format!(
            " For {unanswered} there is no receipt: once the seller has cleared, farthing wallet reconcile tells whether it was charged."
        )
    };
    format!(
        "{sessions} ended. Of {held} set aside, {charged} was charged by the seller's receipts, and {returns} comes \
         back.{doubt}"
    )
}

const fn receipt_name(receipt: &Receipt) -> &'static str {
    match receipt {
        Receipt::Free => "free",
        Receipt::Denied { .. } => "denied",
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
        Receipt::Denied { at_most } => {
            format!("the server says it took nothing, without a proof; it was sent {at_most}")
        }
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
            PayError::NothingSent(_) => Self::new(Kind::NotReachable, why)
                .money(money)
                .next("see that the address is right and its server runs, and run the same command again"),
            PayError::Unknown { .. } => {
                Self::new(Kind::OutcomeUnknown, why).money(money).next("run the same command again")
            }
            PayError::Spent { .. } => Self::new(Kind::Other, why)
                .money(money)
                .next("ask the server's operator whether it was done, before asking again"),
            PayError::Denied { .. } => Self::new(Kind::Other, why).money(money).next(TOLD_BY_THE_BANK),
            PayError::BrokeOff { .. } => Self::new(Kind::Other, why).next(PAID_AGAIN),
            PayError::Wallet(why) => why.into(),
            PayError::Refused { ref advice, .. } => {
                let (kind, next) = match advice {
                    Advice::Stop => (Kind::Refused, None),
                    Advice::Later => (Kind::Refused, Some("run the same command again in a moment")),
                    Advice::Change => (Kind::Funds, Some("raise --max, or see farthing wallet policy")),
                    Advice::Allow(_) => (Kind::Funds, Some("see farthing wallet policy")),
                    Advice::Approve => (Kind::Funds, Some("add --approve, or --yes")),
                    Advice::Reconcile => {
                        (Kind::Damaged, Some("compare this wallet with the bank: farthing wallet reconcile"))
                    }
                    Advice::Fund => (Kind::Funds, Some("put money into the account: farthing wallet fund AMOUNT")),
                };
                let failure = Self::new(kind, &why).money(money);
                next.into_iter().fold(failure, Self::next)
            }
        }
    }
}
