//! The command line: one file for each group of commands.

pub(crate) mod bank;
pub(crate) mod broker;
pub(crate) mod buy;
pub(crate) mod contacts;
pub(crate) mod delegate;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod drafts;
pub(crate) mod facilitator;
pub(crate) mod gateway;
pub(crate) mod get;
pub(crate) mod help;
pub(crate) mod index;
pub(crate) mod pay;
pub(crate) mod proxy;
pub(crate) mod sell;
pub(crate) mod wallet;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use farthing_bank::client::BankAddress;
use farthing_core::amount::{Amount, Currency, parse_micros};
use farthing_net::http::endpoint::Endpoint;
use farthing_net::peer::Multiaddr;

use crate::config::Settings;
use crate::fail::Failure;
use crate::show::Out;

/// Pay a stranger a fraction of a cent: sell files by the piece, buy them, pay with one hash each
#[derive(Debug, Parser)]
#[command(
    name = "farthing",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    propagate_version = true,
    after_help = "See it work, with nothing to configure:  farthing demo\n\
                  Exit codes, configuration, environment:  farthing help exit-codes|config|environment"
)]
pub(crate) struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// The folder that holds keys, money and settings [default: ~/.farthing]
    #[arg(long, global = true, env = "FARTHING_HOME", hide_env = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// The configuration file [default: farthing.toml in the home folder]
    #[arg(long, global = true, env = "FARTHING_CONFIG", hide_env = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The bank's address, such as https://bank.example or http://127.0.0.1:8080
    #[arg(long, global = true, env = "FARTHING_BANK", hide_env = true, value_name = "URL")]
    pub(crate) bank: Option<BankAddress>,
    /// The index's address
    #[arg(long, global = true, env = "FARTHING_INDEX", hide_env = true, value_name = "URL")]
    pub(crate) index: Option<Endpoint>,
    /// Where a peer listens, such as /ip4/127.0.0.1/tcp/0; may be given several times
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) listen: Vec<Multiaddr>,
    /// Print one JSON object on standard output, and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Ask nothing: the answer is yes
    #[arg(long, short = 'y', global = true)]
    pub(crate) yes: bool,
    /// Say more; twice for still more
    #[arg(long, short = 'v', global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say only what was asked for, and errors
    #[arg(long, short = 'q', global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Read the passphrase from the first line of this file
    #[arg(long, global = true, env = "FARTHING_PASSPHRASE_FILE", hide_env = true, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Keep keys without a passphrase: whoever reads the file has the money
    #[arg(long, global = true, conflicts_with = "passphrase_file")]
    pub(crate) insecure_no_passphrase: bool,
    /// Log as JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) log_json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch a bank, an index and three peers trade real files on this machine
    Demo(demo::DemoArgs),
    /// Your money: open a wallet, fund it, see what it holds
    #[command(subcommand)]
    Wallet(wallet::WalletCommand),
    /// Sell the files of a folder
    Share(sell::ShareArgs),
    /// Sell what was shared before
    Serve(sell::ServeArgs),
    /// See what was earned
    Earnings,
    /// Turn payments received into money at the bank
    Redeem(sell::RedeemArgs),
    /// Find files for sale
    Search(buy::SearchArgs),
    /// Buy a file
    Buy(buy::BuyArgs),
    /// Pay somebody
    Pay(Box<pay::PayArgs>),
    /// Ask to be paid: a link, and a code for cameras
    Request(pay::RequestArgs),
    /// Take payments, or one that was handed over as text
    Receive(pay::ReceiveArgs),
    /// Your names for others
    #[command(subcommand)]
    Contacts(contacts::ContactsCommand),
    /// Promises that the bank will pay: written, held, deposited, stopped
    Drafts(drafts::DraftsArgs),
    /// Compare books with the bank, as is needed before a restored wallet pays
    Reconcile,
    /// See what was paid and received
    History(wallet::HistoryArgs),
    /// Proofs of payment, signed by those who were paid
    #[command(subcommand)]
    Receipts(wallet::ReceiptsCommand),
    /// Ask an HTTP service, and pay if it wants to be paid
    Get(Box<get::GetArgs>),
    /// Pay an HTTP service for programs that cannot be changed: a proxy on this machine
    Proxy(Box<proxy::ProxyArgs>),
    /// Charge for an HTTP service: a gateway in front of it
    Gateway(Box<gateway::GatewayArgs>),
    /// Stand between buyers and sellers who do not know each other: a broker of coupons
    Broker(Box<broker::BrokerArgs>),
    /// See what a server with stock x402 software is configured with to be paid
    Facilitator(facilitator::FacilitatorArgs),
    /// Run a bank
    #[command(subcommand)]
    Bank(bank::BankCommand),
    /// Run an index, where files for sale are found
    #[command(subcommand)]
    Index(index::IndexCommand),
    /// See whether everything is in order, and what to do if not
    Doctor,
    /// Print completions for a shell
    Completions(help::CompletionsArgs),
    /// Write the manual pages into a folder
    Man(help::ManArgs),
    /// Explain a command, or one of: exit-codes, config, environment
    Help(help::HelpArgs),
}

impl Command {
    /// Whether the command runs until it is stopped, and so logs what it does.
    pub(crate) fn is_server(&self) -> bool {
        if let Self::Gateway(args) = self {
            return args.serves();
        }
        if let Self::Broker(args) = self {
            return args.serves();
        }
        matches!(
            self,
            Self::Proxy(_)
                | Self::Bank(bank::BankCommand::Serve(_) | bank::BankCommand::Signer(_))
                | Self::Index(index::IndexCommand::Serve(_))
        )
    }
}

/// What a command runs with.
#[derive(Debug)]
pub(crate) struct App {
    /// Flags, environment, file and defaults, put together.
    pub(crate) settings: Settings,
    /// Where results go.
    pub(crate) out: Out,
    /// Ask nothing.
    pub(crate) yes: bool,
}

impl Cli {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { common, command } = self;
        let out = Out::new(common.json, common.quiet);
        // These work even when the configuration does not.
        match &command {
            Command::Completions(args) => return help::completions(args),
            Command::Man(args) => return help::man(args, out),
            Command::Help(args) => return help::explain(args),
            Command::Doctor => return doctor::run(&common, out).await,
            Command::Bank(bank::BankCommand::Signer(args)) => return bank::signer(args).await,
            _ => {}
        }
        let app = App { settings: Settings::resolve(&common)?, out, yes: common.yes };
        match command {
            Command::Demo(args) => demo::run(&app, args).await,
            Command::Wallet(command) => wallet::run(&app, command).await,
            Command::Share(args) => sell::share(&app, args).await,
            Command::Serve(args) => sell::serve(&app, args).await,
            Command::Earnings => sell::earnings(&app).await,
            Command::Redeem(args) => sell::redeem(&app, args).await,
            Command::Search(args) => buy::search(&app, args).await,
            Command::Buy(args) => buy::buy(&app, args).await,
            Command::Pay(args) => pay::pay(&app, *args).await,
            Command::Request(args) => pay::request(&app, args).await,
            Command::Receive(args) => pay::receive(&app, args).await,
            Command::Contacts(command) => contacts::run(&app, command).await,
            Command::Drafts(args) => drafts::run(&app, args).await,
            Command::Reconcile => wallet::run(&app, wallet::WalletCommand::Reconcile).await,
            Command::History(args) => wallet::history(&app, args).await,
            Command::Receipts(command) => wallet::receipts(&app, command).await,
            Command::Get(args) => get::run(&app, *args).await,
            Command::Proxy(args) => proxy::run(&app, *args).await,
            Command::Gateway(args) => gateway::run(&app, *args).await,
            Command::Broker(args) => broker::run(&app, *args).await,
            Command::Facilitator(args) => facilitator::run(&app, args).await,
            Command::Bank(command) => bank::run(&app, command).await,
            Command::Index(command) => index::run(&app, command).await,
            Command::Doctor | Command::Completions(_) | Command::Man(_) | Command::Help(_) => Ok(()),
        }
    }
}

/// An amount as it is typed: `0.0005 XTS`, or `0.0005` where the currency is plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Typed {
    micros: u64,
    currency: Option<Currency>,
}

/// An amount of zero, where that would do nothing.
pub(crate) fn nothing() -> Failure {
    Failure::usage("an amount of zero does nothing").next("name an amount above zero")
}

impl Typed {
    /// Whether it is zero.
    pub(crate) const fn is_zero(self) -> bool {
        self.micros == 0
    }

    /// The amount as by [`amount`](Self::amount), which must be more than zero.
    pub(crate) fn some(self, currency: Currency) -> Result<Amount, Failure> {
        if self.is_zero() { Err(nothing()) } else { self.amount(currency) }
    }

    /// The amount, in `currency` unless another was typed.
    pub(crate) fn amount(self, currency: Currency) -> Result<Amount, Failure> {
        if let Some(typed) = self.currency.filter(|typed| *typed != currency) {
            return Err(Failure::usage(format_args!("the bank keeps {currency}, not {typed}"))
                .next(format_args!("name the amount in {currency}")));
        }
        currency.micros(self.micros).map_err(Failure::usage)
    }
}

impl std::str::FromStr for Typed {
    type Err = farthing_core::amount::AmountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.contains(' ') {
            let amount: Amount = text.parse()?;
            return Ok(Self { micros: amount.as_micros(), currency: Some(amount.currency()) });
        }
        Ok(Self { micros: parse_micros(text)?, currency: None })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_amount_needs_no_currency_and_bears_no_wrong_one() {
        let xts = |text: &str| text.parse::<Typed>().unwrap().amount(Currency::XTS);
        assert_eq!(xts("0.0005").unwrap().as_micros(), 500);
        assert_eq!(xts(" 0.0005 XTS ").unwrap().as_micros(), 500);
        assert!(xts("0.0005 USD").is_err());
        for rubbish in ["", "-1", "1e3", "0.0000001", "1 xts", "1XTS"] {
            assert!(rubbish.parse::<Typed>().is_err(), "{rubbish:?} was read as an amount");
        }
    }
}
