//! Making a bank, and running it.

use farthing_bank::home::{BankHome, Config, TlsConfig};
use farthing_bank::server::{Bank, Options, RunError, SignerChoice, StartError, run};
use farthing_bank::signer::{self, SignerCommand};
use farthing_driver::SystemClock;
use serde_json::json;

use super::super::App;
use super::{InitArgs, ServeArgs, SignerArgs, unlock};
use crate::fail::{Context, Failure};
use crate::home::private_dir;
use crate::stop::asked_to_stop;

/// Makes a bank.
pub(super) fn init(app: &App, args: InitArgs) -> Result<(), Failure> {
    private_dir(&app.settings.home)?;
    let tls = match (args.tls_cert, args.tls_key) {
        (Some(cert), Some(key)) => TlsConfig::Files { cert, key },
        _ if args.listen_on.ip().is_loopback() => TlsConfig::Plain,
        _ => TlsConfig::SelfMade,
    };
    let mut config = Config::play(&args.name, args.currency);
    config.rail = args.rail.into();
    config.operators = args.operators;
    config.listen = args.listen_on;
    config.tls = tls;
    config.terms.deposit = args.deposit;
    let home = BankHome::init(app.settings.bank_home(), config, &unlock(app, true)?)?;
    let (bank, network) = (home.bank(), home.network());
    app.out.result(&json!({ "bank": bank, "network": network, "dir": home.path() }), || {
        format!(
            "{} is ready in {}.\nIts key is {bank}\nStart it: {} bank serve",
            home.config.name,
            home.path().display(),
            app.settings.program()
        )
    })
}

/// Runs a bank until it is stopped.
pub(super) async fn serve(app: &App, args: ServeArgs) -> Result<(), Failure> {
    let folder = app.settings.bank_home();
    // Whoever has no bank should hear that, before being asked for its passphrase.
    BankHome::config_of(&folder)?;
    let unlock = unlock(app, false)?;
    let mut home = BankHome::open(&folder, &unlock)?;
    if let Some(listen) = args.listen_on {
        home.config.listen = listen;
    }
    let (name, network) = (home.config.name.clone(), home.network());
    let program = std::env::current_exe().or_fail("this program cannot find itself")?;
    let arguments = ["bank".into(), "signer".into(), folder.into_os_string()];
    let signer = SignerChoice::Process(SignerCommand { program, args: arguments.into() });
    let started = |bank: &Bank| {
        let address = bank.bank_address().to_string();
        // A reader that went away does not keep the bank from opening.
        let _ = app.out.announce(&json!({ "listening": address, "network": network }), || {
            format!("{name} is open. Its address, key included:\n  {address}\nStop it with Ctrl-C.")
        });
    };
    run(home, Options::new(signer, unlock), started, asked_to_stop(args.stop)).await.map_err(Failure::from)
}

/// Signs for the serving process, which speaks first.
pub(super) async fn signer(args: &SignerArgs) -> Result<(), Failure> {
    signer::serve(&args.dir, tokio::io::stdin(), tokio::io::stdout(), SystemClock).await.map_err(Failure::other)
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Start(StartError::Home(error)) => error.into(),
            RunError::Start(StartError::Bind(error)) => Self::other(error).next("choose another with --listen-on"),
            RunError::Start(error @ StartError::Store { .. }) => Self::damaged(error),
            error => Self::other(error),
        }
    }
}
