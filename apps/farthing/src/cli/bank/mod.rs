//! `farthing bank`: run a bank, and look after it.

mod books;
mod operate;
mod peers;
mod serve;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use farthing_bank::client::{BankAddress, BankClient, ConnectError};
use farthing_bank::home::{HomeError, RailName, Unlock};
use farthing_core::amount::{Amount, Currency};
use farthing_core::id::PeerId;
use farthing_core::refusal::Money;

use super::App;
use crate::fail::{Failure, Kind};
use crate::stop::StopArgs;

/// Run a bank.
#[derive(Debug, Subcommand)]
pub(crate) enum BankCommand {
    /// Make a bank: its folder, its configuration and its keys
    Init(InitArgs),
    /// Serve until stopped
    Serve(ServeArgs),
    /// Sign certificates for the serving process, which starts this by itself
    #[command(hide = true)]
    Signer(SignerArgs),
    /// Recompute every balance from the journal, and name the first bad row
    Audit,
    /// Copy books, keys and configuration, while the bank runs or not
    Backup(BackupArgs),
    /// Every account with its balance
    Accounts,
    /// What the bank owes and what it has, signed; asks the bank's server
    Liabilities,
    /// What waits for two operators
    Pending,
    /// Approve a funding or a pay-out; the second operator's approval carries it out
    Approve(NumberArgs),
    /// Reject a funding or a pay-out; what was set aside goes back
    Reject(NumberArgs),
    /// Let nothing leave a customer's account
    Suspend(CustomerArgs),
    /// Let money leave a customer's account again
    Unsuspend(CustomerArgs),
    /// Evidence of cheating: all of it in short, or one piece into a file
    Evidence(EvidenceArgs),
    /// Accounts that clearing stopped, because a number, a log or the books did not fit
    Cases,
    /// All that answers for a customer, in the order in which its drafts are paid from it
    Report(CustomerArgs),
    /// Let a customer whose books differed compare them again
    SettleDispute(CustomerArgs),
    /// Replace the key that a customer shares with the bank for clearing
    RotateKey(CustomerArgs),
    /// Let a key whose drafts did not agree with its log begin a new one
    Pardon(KeyArgs),
    /// Decide a stopped draft
    JudgeStop(watch::JudgeStopArgs),
    /// Other banks: accounts with them, limits, settlement, statements
    #[command(subcommand)]
    Peers(peers::PeersCommand),
}

/// Arguments of `farthing bank init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The bank's name, for people
    #[arg(long)]
    name: String,
    /// The currency of its accounts; XTS is the code for tests
    #[arg(long, default_value = "XTS", value_name = "CODE")]
    currency: Currency,
    /// How money comes in: play money to whoever asks, or as two operators approve
    #[arg(long, value_enum, default_value = "play")]
    rail: Rail,
    /// Who approves funding and pay-outs; may be given several times, at least twice for operators
    #[arg(long = "operator", value_name = "PEER")]
    operators: Vec<PeerId>,
    /// Where it will listen; beyond this machine, TLS is used with a certificate of its own making
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7878")]
    listen_on: SocketAddr,
    /// A certificate for TLS, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// What an account must have deposited before it may open chains
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    deposit: Option<Amount>,
}

/// How money comes in and goes out.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Rail {
    Play,
    Operators,
}

impl From<Rail> for RailName {
    fn from(rail: Rail) -> Self {
        match rail {
            Rail::Play => Self::Play,
            Rail::Operators => Self::Operators,
        }
    }
}

/// Arguments of `farthing bank serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen, instead of where bank.toml says
    #[arg(long, value_name = "IP:PORT")]
    listen_on: Option<SocketAddr>,
    #[command(flatten)]
    stop: StopArgs,
}

/// Arguments of `farthing bank signer`.
#[derive(Debug, Args)]
pub(crate) struct SignerArgs {
    /// The bank's folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Arguments of `farthing bank backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The new folder; keys are in it, sealed as they are
    dir: PathBuf,
}

/// Arguments of `farthing bank approve` and `reject`.
#[derive(Debug, Args)]
pub(crate) struct NumberArgs {
    /// The number that `farthing bank pending` shows
    number: u64,
}

/// Arguments of `farthing bank suspend`, `unsuspend`, `report`, `settle-dispute` and `rotate-key`.
#[derive(Debug, Args)]
pub(crate) struct CustomerArgs {
    /// The customer, peer1...
    customer: PeerId,
}

/// Arguments of `farthing bank pardon`.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// The key that wrote the drafts, peer1...
    key: PeerId,
}

/// Arguments of `farthing bank evidence`.
#[derive(Debug, Args)]
pub(crate) struct EvidenceArgs {
    /// Which piece, by the number that the list shows; all in short if not given
    #[arg(value_name = "ID", requires = "file")]
    id: Option<String>,
    /// Where to write it
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs a command of the group.
pub(crate) async fn run(app: &App, command: BankCommand) -> Result<(), Failure> {
    match command {
        BankCommand::Init(args) => serve::init(app, args),
        BankCommand::Serve(args) => serve::serve(app, args).await,
        BankCommand::Signer(args) => signer(&args).await,
        BankCommand::Audit => books::audit(app),
        BankCommand::Backup(args) => books::backup(app, &args),
        BankCommand::Accounts => books::accounts(app),
        BankCommand::Liabilities => books::liabilities(app).await,
        BankCommand::Pending => operate::pending(app).await,
        BankCommand::Approve(args) => operate::decide(app, args.number, true).await,
        BankCommand::Reject(args) => operate::decide(app, args.number, false).await,
        BankCommand::Suspend(args) => operate::suspend(app, args.customer, true).await,
        BankCommand::Unsuspend(args) => operate::suspend(app, args.customer, false).await,
        BankCommand::Evidence(EvidenceArgs { id: Some(id), file: Some(file) }) => operate::fetch(app, &id, &file).await,
        BankCommand::Evidence(_) => operate::evidence(app).await,
        BankCommand::Cases => watch::cases(app).await,
        BankCommand::Report(args) => watch::report(app, args.customer).await,
        BankCommand::SettleDispute(args) => watch::settle_dispute(app, args.customer).await,
        BankCommand::RotateKey(args) => watch::rotate(app, args.customer).await,
        BankCommand::Pardon(args) => watch::pardon(app, args.key).await,
        BankCommand::JudgeStop(args) => watch::judge_stop(app, &args).await,
        BankCommand::Peers(command) => peers::run(app, command).await,
    }
}

/// Signs certificates for the serving process; needs no settings.
pub(crate) async fn signer(args: &SignerArgs) -> Result<(), Failure> {
    serve::signer(args).await
}

/// Asks a bank who it is.
pub(crate) async fn connect(address: BankAddress) -> Result<BankClient, Failure> {
    BankClient::connect(address).await.map_err(Failure::from)
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unreachable(_) => Self::new(Kind::NotReachable, "the bank does not answer")
                .money(Money::Unmoved)
                .next("see that it runs and that its address is right: farthing doctor"),
            ConnectError::Refused(problem) => Self::new(Kind::Refused, problem.detail).money(Money::Unmoved),
            error => Self::new(Kind::Refused, error).money(Money::Unmoved),
        }
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        match error {
            HomeError::Config { .. } | HomeError::Exists(_) | HomeError::Missing(_) => Self::usage(error),
            HomeError::Exposed { .. } | HomeError::Key { .. } => Self::damaged(error),
            HomeError::Io { .. } | HomeError::Starved(_) => Self::other(error),
        }
    }
}

/// How the bank's keys open: by a passphrase, unless they were made without one.
fn unlock(app: &App, new: bool) -> Result<Unlock, Failure> {
    let key = std::fs::read(app.settings.bank_home().join("bank.key")).unwrap_or_default();
    if !new && !farthing_core::vault::asks_for_passphrase(&key)? {
        return Ok(Unlock::insecure());
    }
    match crate::secrets::typed(&app.settings, new)? {
        Some(typed) => Unlock::passphrase(typed).map_err(|why| Failure::usage(why).next("choose another passphrase")),
        None => Ok(Unlock::insecure()),
    }
}
