//! Paying somebody, and being paid: `farthing pay`, `request` and `receive`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use farthing_core::amount::Amount;
use farthing_core::time::Span;
use farthing_peer::talk::text::TEXT_MAX;
use farthing_peer::wallet::Scheme;

use super::{App, Typed};
use crate::fail::{Context, Failure, Kind};
use crate::peer::money::{door, words};
use crate::peer::{self, Request, money};
use crate::show::{confirm, qr};
use crate::stop::StopArgs;

/// The name of standard input and output among files.
const STANDARD: &str = "-";

/// How long it is waited without a word.
const QUIET: Duration = Duration::from_secs(3);

/// By which scheme to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// What suits amount, payee and connection; the reason is printed
    Auto,
    /// The bank moves the money at once, and its ticket convinces the payee
    Clearing,
    /// A signed promise that the bank will pay; needs no connection to it
    Draft,
    /// Words of a chain opened in advance: for many small payments
    Netpay,
    /// A session with a web service: for farthing get
    Coupon,
}

impl By {
    /// The scheme, if one is wanted.
    pub(crate) const fn wanted(self) -> Option<Scheme> {
        match self {
            Self::Auto => None,
            Self::Clearing => Some(Scheme::Clearing),
            Self::Draft => Some(Scheme::Draft),
            Self::Netpay => Some(Scheme::Netpay),
            Self::Coupon => Some(Scheme::Coupon),
        }
    }
}

/// Arguments of `farthing pay`.
#[derive(Debug, Args)]
pub(crate) struct PayArgs {
    /// Whom: a contact's name, peer1..., or a request (farthing:request1...)
    #[arg(required_unless_present_any = ["resume", "receipt"])]
    payee: Option<String>,
    /// How much; may be left out where a request says it
    #[arg(allow_hyphen_values = true)]
    amount: Option<Typed>,
    /// By which scheme
    #[arg(long, value_enum, default_value = "auto")]
    scheme: By,
    /// What it is for: the payee sees it
    #[arg(long, default_value = "")]
    note: String,
    /// Pay under the pseudonym of this number, by a draft: the payee does not learn who pays
    #[arg(long, value_name = "N")]
    as_alias: Option<u32>,
    /// Where the payee is, such as /ip4/127.0.0.1/tcp/4001
    #[arg(long, value_name = "ADDRESS")]
    at: Option<farthing_net::peer::Multiaddr>,
    /// Write a draft as text into a new file, or - for the terminal, to be handed over by hand
    #[arg(long, value_name = "FILE|-")]
    out: Option<PathBuf>,
    /// Only see by which scheme it would be paid, and why
    #[arg(long)]
    dry_run: bool,
    /// Hand over what could not be handed over before: the same payments, never others
    #[arg(long, conflicts_with_all = ["payee", "out", "receipt"])]
    resume: bool,
    /// Take in the receipt for a draft that was handed over by hand
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["payee", "out"])]
    receipt: Option<PathBuf>,
}

/// Arguments of `farthing request`.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// How much; may be left to the payer
    #[arg(allow_hyphen_values = true)]
    amount: Option<Typed>,
    /// What it is for: the payer sees it
    #[arg(long, default_value = "")]
    note: String,
    /// How long it can be paid
    #[arg(long, value_name = "TIME", default_value = "1d")]
    life: humantime::Duration,
    /// Print the request, and do not wait for the payment
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    stop: StopArgs,
}

/// Arguments of `farthing receive`.
#[derive(Debug, Args)]
pub(crate) struct ReceiveArgs {
    /// A payment as text, from a file or - for standard input; without one, payers are let in until stopped
    #[arg(value_name = "FILE|-")]
    file: Option<PathBuf>,
    /// Where to write the receipt as text, for the payer; default: the terminal
    #[arg(long, short = 'o', value_name = "FILE", requires = "file")]
    out: Option<PathBuf>,
    #[command(flatten)]
    stop: StopArgs,
}

/// Pays somebody.
pub(crate) async fn pay(app: &App, args: PayArgs) -> Result<(), Failure> {
    if args.resume {
        let at = args.at.map(|at| at.to_string());
        let resumed: money::Resumed = patiently(app, peer::ask(app, Request::Resume { at })).await?;
        app.out.result(&resumed, || words::resumed(&resumed))?;
        return if resumed.waiting == 0 { Ok(()) } else { Err(Failure::told(Kind::NotReachable)) };
    }
    if let Some(file) = &args.receipt {
        let taken: peer::Done = peer::ask(app, Request::TakeReceipt { text: text_from(file)? }).await?;
        return app.out.result(&taken, || &taken.words);
    }
    if args.scheme == By::Coupon {
        return Err(Failure::usage("coupons pay web services, by the request").next("farthing get URL"));
    }
    let amount = args.amount.map(|amount| amount.some(peer::currency(&app.settings)?)).transpose()?;
    let mut pay = money::Pay {
        payee: args.payee.unwrap_or_default(),
        amount,
        scheme: args.scheme.wanted(),
        note: args.note,
        alias: args.as_alias,
        at: args.at.map(|at| at.to_string()),
        by_hand: args.out.is_some(),
        dry_run: true,
        order: None,
    };
    // First what it would be, then the question, then the payment.
    let plan: money::PaidNow = peer::ask(app, Request::Pay(pay.clone())).await?;
    if args.dry_run {
        return app.out.result(&plan, || words::paid(&plan));
    }
    app.out.note(words::plan(&plan));
    if !confirm(app.yes, &format!("Pay {} to {}?", plan.amount, words::who(plan.name.as_deref(), plan.payee)))? {
        return Err(Failure::usage("not confirmed; nothing was paid"));
    }
    pay.amount = Some(plan.amount);
    pay.scheme = Some(plan.scheme);
    pay.order = plan.order;
    pay.dry_run = false;
    let out = args.out.as_deref().map(NewText::begin).transpose()?;
    let mut paid: money::PaidNow = patiently(app, peer::ask(app, Request::Pay(pay))).await?;
    // It was chosen then; asked for was only what had been chosen.
    paid.because = plan.because;
    match (out, &paid.text) {
        (Some(Some(file)), Some(text)) => file.write(text)?,
        (Some(None), Some(text)) if !app.out.is_json() => return crate::show::write(format!("{text}\n").as_bytes()),
        _ => {}
    }
    app.out.result(&paid, || words::paid(&paid))?;
    if paid.state == money::PayState::Waiting { Err(Failure::told(Kind::NotReachable)) } else { Ok(()) }
}

/// Waits, and after a while says for what.
async fn patiently<T>(app: &App, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut work = std::pin::pin!(work);
    if let Ok(done) = tokio::time::timeout(QUIET, &mut work).await {
        return done;
    }
    app.out.note("Waiting for the bank or the payee to answer…");
    work.await
}

/// Asks to be paid.
pub(crate) async fn request(app: &App, args: RequestArgs) -> Result<(), Failure> {
    let currency = peer::currency(&app.settings)?;
    let amount: Option<Amount> = args.amount.map(|amount| amount.some(currency)).transpose()?;
    if args.life.is_zero() {
        return Err(Failure::usage("a request that cannot be paid for any time is none").next("--life 1d"));
    }
    let life = Span::from_millis(u64::try_from(args.life.as_millis()).unwrap_or(u64::MAX));
    let ask = money::AskFor { amount, note: args.note, life };
    door::request(app, ask, !args.no_wait, args.stop, |asked| {
        let code = qr(&asked.uri).map(|code| format!("{code}\n\n")).unwrap_or_default();
        format!("{code}{}", words::asked(asked))
    })
    .await
}

/// Takes a payment, or whatever comes.
pub(crate) async fn receive(app: &App, args: ReceiveArgs) -> Result<(), Failure> {
    let Some(file) = &args.file else { return door::receive(app, args.stop).await };
    let text = text_from(file)?;
    let out = args.out.as_deref().map(NewText::begin).transpose()?;
    let received: money::Received = peer::ask(app, Request::Take { text }).await?;
    if let (Some(Some(file)), Some(receipt)) = (out, &received.receipt) {
        file.write(receipt)?;
    }
    app.out.result(&received, || words::received(&received, args.out.as_deref()))
}

/// What a file says, or standard input.
fn text_from(file: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let limit = 2 * TEXT_MAX as u64;
    if file.as_os_str() == STANDARD {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        let opened = std::fs::File::open(file).or_fail(format_args!("cannot read {}", file.display()));
        let opened = opened.map_err(|why| Failure::usage(why.what()))?;
        opened.take(limit).read_to_end(&mut bytes).or_fail(format_args!("cannot read {}", file.display()))?;
    }
    String::from_utf8(bytes).map_err(|_| Failure::usage("this is no text").next("give the file that was handed over"))
}

/// A new file for a text, made before any money moves, so that it is not paid in vain. Without a text
/// it goes away again.
struct NewText {
    file: std::fs::File,
    path: PathBuf,
    written: bool,
}

impl NewText {
    /// `None` for the terminal.
    fn begin(path: &Path) -> Result<Option<Self>, Failure> {
        if path.as_os_str() == STANDARD {
            return Ok(None);
        }
        let file = std::fs::File::create_new(path).map_err(|why| {
            Failure::usage(format_args!("cannot make {}: {why}", path.display())).next("name a file that is not there")
        })?;
        Ok(Some(Self { file, path: path.to_owned(), written: false }))
    }

    fn write(mut self, text: &str) -> Result<(), Failure> {
        use std::io::Write;
        self.written = true;
        let written = self.file.write_all(format!("{text}\n").as_bytes()).and_then(|()| self.file.sync_all());
        written.or_fail(format_args!("cannot write {}; the payment is kept: farthing drafts", self.path.display()))
    }
}

impl Drop for NewText {
    fn drop(&mut self) {
        if !self.written
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(%error, "an empty file stays behind");
        }
    }
}
