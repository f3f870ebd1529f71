//! `farthing wallet`, `history` and `receipts`: your money.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{App, Typed, delegate};
use crate::fail::{Context, Failure};
use crate::peer::{self, Request, make, policy, words};
use crate::show::{confirm, count};

/// Your money.
#[derive(Debug, Subcommand)]
pub(crate) enum WalletCommand {
    /// Open a wallet, and an account at a bank
    Init(InitArgs),
    /// See what there is
    #[command(visible_alias = "balance")]
    Show,
    /// Put money into the account
    Fund(FundArgs),
    /// Have money paid out
    Payout(PayoutArgs),
    /// Deposit money with the bank against cheating, or take it back
    Deposit(DepositArgs),
    /// See or change what may be spent without asking
    Policy(PolicyArgs),
    /// See the most you can lose, to whom, and until when
    Exposure,
    /// Write everything into one encrypted file
    Backup(BackupArgs),
    /// Begin again from a backup or from the recovery phrase
    Restore(RestoreArgs),
    /// Set money aside in a file to hand to a program, which can spend that and no more
    Delegate(delegate::DelegateArgs),
    /// Compare books with the bank, as is needed once after a restore before paying
    Reconcile,
    /// Show the 24 words from which the keys can be made again
    Words,
}

/// Arguments of `farthing wallet init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// How much to put into the account at once
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    fund: Option<Typed>,
}

/// Arguments of `farthing wallet fund`.
#[derive(Debug, Args)]
pub(crate) struct FundArgs {
    /// How much
    #[arg(allow_hyphen_values = true)]
    amount: Typed,
    /// For the bank's operator: how the money comes
    #[arg(long, default_value = "")]
    note: String,
    /// Only see what would be asked
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `farthing wallet payout`.
#[derive(Debug, Args)]
pub(crate) struct PayoutArgs {
    /// How much
    #[arg(allow_hyphen_values = true)]
    amount: Typed,
    /// For the bank's operator: where to
    #[arg(long)]
    to: String,
    /// Only see what would be asked
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `farthing wallet deposit`.
#[derive(Debug, Args)]
pub(crate) struct DepositArgs {
    /// How much
    #[arg(allow_hyphen_values = true)]
    amount: Typed,
    /// Take it back rather than put it in
    #[arg(long)]
    withdraw: bool,
    /// Only see what would be asked
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `farthing wallet policy`. Each takes an amount, or `none` for no limit.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// The most one purchase may cost
    #[arg(long, value_name = "AMOUNT|none", allow_hyphen_values = true)]
    pub(crate) per_request: Option<policy::Limit>,
    /// The most one seller may ever get
    #[arg(long, value_name = "AMOUNT|none", allow_hyphen_values = true)]
    pub(crate) per_payee: Option<policy::Limit>,
    /// The most that may be spent in an hour
    #[arg(long, value_name = "AMOUNT|none", allow_hyphen_values = true)]
    pub(crate) per_hour: Option<policy::Limit>,
    /// The most that may be spent in all
    #[arg(long, value_name = "AMOUNT|none", allow_hyphen_values = true)]
    pub(crate) total: Option<policy::Limit>,
    /// The most one tool of a program may spend in all, where the program names its tools
    #[arg(long, value_name = "AMOUNT|none", allow_hyphen_values = true)]
    pub(crate) per_tool: Option<policy::Limit>,
    /// Above this a purchase is asked about
    #[arg(long, value_name = "AMOUNT|none", allow_hyphen_values = true)]
    pub(crate) approve_above: Option<policy::Limit>,
}

/// Arguments of `farthing wallet backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The new file
    file: PathBuf,
}

/// Arguments of `farthing wallet restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup; without one, the recovery phrase is used
    file: Option<PathBuf>,
    /// The file that holds the recovery phrase, instead of typing it
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    words_file: Option<PathBuf>,
}

/// Arguments of `farthing history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// At most so many lines, the latest
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: usize,
}

/// Proofs of payment.
#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptsCommand {
    /// Write all receipts into a file, as JSON with the signed bytes of each, and what was paid in
    /// sessions with web sites
    Export(ExportArgs),
}

/// Arguments of `farthing receipts export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The new file
    file: PathBuf,
}

/// Runs a command of the group.
pub(crate) async fn run(app: &App, command: WalletCommand) -> Result<(), Failure> {
    let out = app.out;
    match command {
        WalletCommand::Init(args) => make::init(app, args.fund).await,
        WalletCommand::Show => {
            let standing = peer::ask(app, Request::Standing).await?;
            out.result(&standing, || words::standing(&standing))
        }
        WalletCommand::Fund(args) => {
            let amount = args.amount.some(peer::currency(&app.settings)?)?;
            let request = Request::Fund { amount, note: args.note };
            moving(app, request, args.dry_run, &format!("Put {amount} into the account")).await
        }
        WalletCommand::Payout(args) => {
            let amount = args.amount.some(peer::currency(&app.settings)?)?;
            let question = format!("Have {amount} paid out to {}", args.to);
            moving(app, Request::Payout { amount, to: args.to }, args.dry_run, &question).await
        }
        WalletCommand::Deposit(args) => {
            let amount = args.amount.some(peer::currency(&app.settings)?)?;
            let verb = if args.withdraw { "Take back" } else { "Deposit" };
            let request = Request::Deposit { amount, withdraw: args.withdraw };
            moving(app, request, args.dry_run, &format!("{verb} {amount}")).await
        }
        WalletCommand::Policy(args) => policy::run(app, &args),
        WalletCommand::Exposure => {
            let exposure = peer::ask(app, Request::Exposure).await?;
            out.result(&exposure, || words::exposure(&exposure))
        }
        WalletCommand::Backup(args) if args.file.exists() => {
            let why = format_args!(
                "{} is there already: a backup is not written over; nothing was done",
                args.file.display()
            );
            Err(Failure::usage(why).next("name a file that is not there"))
        }
        WalletCommand::Backup(args) => make::backup(app, &args.file).await,
        WalletCommand::Restore(args) => make::restore(app, args.file.as_deref(), args.words_file.as_deref()).await,
        WalletCommand::Reconcile => {
            let reconciled: peer::Done = peer::ask(app, Request::Reconcile).await?;
            out.result(&reconciled, || &reconciled.words)
        }
        WalletCommand::Delegate(args) => delegate::run(app, args).await,
        WalletCommand::Words => make::show_words(app).await,
    }
}

/// Asks the owner, then the bank.
async fn moving(app: &App, request: Request, dry_run: bool, question: &str) -> Result<(), Failure> {
    if dry_run {
        return app.out.result(&json!({ "dry_run": true, "would": question }), || {
            format!("Would: {question}. Nothing was done.")
        });
    }
    if !confirm(app.yes, &format!("{question}?"))? {
        return Err(Failure::usage("not confirmed; nothing was done"));
    }
    let moved: peer::Moved = peer::ask(app, request).await?;
    app.out.result(&moved, || words::moved(&moved))
}

/// Shows what was paid and received.
pub(crate) async fn history(app: &App, args: HistoryArgs) -> Result<(), Failure> {
    let lines: peer::History = peer::ask(app, Request::History { limit: args.limit }).await?;
    app.out.result(&lines, || words::history(&lines))
}

/// Runs a command about receipts.
pub(crate) async fn receipts(app: &App, command: ReceiptsCommand) -> Result<(), Failure> {
    let ReceiptsCommand::Export(args) = command;
    let receipts: peer::Receipts = peer::ask(app, Request::Receipts).await?;
    let text = serde_json::to_string_pretty(&receipts).map_err(Failure::other)?;
    let shown = args.file.display();
    std::fs::write(&args.file, text).or_fail(format_args!("cannot write {shown}"))?;
    let (found, sessions) = (receipts.receipts.len(), receipts.sessions.len());
    app.out.result(&json!({ "file": args.file, "receipts": found, "sessions": sessions }), || {
        let (found, sessions) = (count(found as u64, "receipt"), count(sessions as u64, "session"));
        format!("{found}, and what was paid in {sessions} with web sites, in {shown}")
    })
}
