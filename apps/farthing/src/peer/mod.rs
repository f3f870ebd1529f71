//! What commands do with a wallet: by themselves, or by asking the process that has it open.

pub(crate) mod attendant;
pub(crate) mod buying;
pub(crate) mod find;
pub(crate) mod make;
pub(crate) mod money;
pub(crate) mod policy;
pub(crate) mod purse;
pub(crate) mod request;
pub(crate) mod selling;
pub(crate) mod turn;
pub(crate) mod words;

use std::sync::Arc;

use farthing_bank::client::{BankAddress, BankClient};
use farthing_core::amount::Currency;
use farthing_core::vault;
use farthing_net::http::endpoint::Endpoint;
use farthing_peer::wallet::{Approver, Options, Settings as WalletSettings, Wallet, WalletError};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use request::{Bought, Buy, Done, History, Moved, Progress, Receipts, Request, SessionsEnded};
pub(crate) use selling::{keep_redeeming, serve, tell_running};

use crate::cli::App;
use crate::config::Settings;
use crate::control;
use crate::fail::{Context, Failure, Kind};
use crate::secrets;
use crate::show::spinner;
use attendant::Attendant;
use turn::{Unopened, Wait};

/// The name of the file in the wallet's folder that a wallet begins with.
const VAULT: &str = "seed.vault";

/// Carries out a request: by the process that has the wallet open, or else by this one.
pub(crate) async fn ask<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Failure> {
    ask_within(app, request, Wait::default()).await
}

/// The same, waiting so long for a process that has the wallet open and does not answer.
pub(crate) async fn ask_within<T: DeserializeOwned>(app: &App, request: Request, wait: Wait) -> Result<T, Failure> {
    let waiting = spinner(app.out, request.doing());
    let answer = ask_in_turn(app, request, wait, drop).await;
    waiting.finish_and_clear();
    answer
}

/// The same, and tells how it goes.
pub(crate) async fn ask_with<T: DeserializeOwned>(
    app: &App,
    request: Request,
    on_progress: impl FnMut(Progress),
) -> Result<T, Failure> {
    ask_in_turn(app, request, Wait::default(), on_progress).await
}

async fn ask_in_turn<T: DeserializeOwned>(
    app: &App,
    request: Request,
    wait: Wait,
    mut on_progress: impl FnMut(Progress),
) -> Result<T, Failure> {
    let asked = request.to_json()?;
    let mut tell = |progress: Value| {
        if let Ok(progress) = serde_json::from_value(progress) {
            on_progress(progress);
        }
    };
    let mut turn = wait.begin();
    let answer = loop {
        if let Some(answer) = control::ask(&app.settings.home, &asked, &mut tell).await {
            break answer?;
        }
        match open_now(&app.settings, Arc::new(policy::AskedBefore)).await {
            Ok(wallet) => break by_ourselves(app, wallet, request, &mut tell).await?,
            Err(why) => turn.again(app, why).await?,
        }
    };
    serde_json::from_value(answer).or_fail("the answer makes no sense; are two versions of this program running")
}

async fn by_ourselves(
    app: &App,
    wallet: Wallet,
    request: Request,
    mut tell: impl FnMut(Value),
) -> Result<Value, Failure> {
    let attendant = Arc::new(Attendant::new(wallet.clone(), app.settings.clone()));
    let (progress, mut waiting) = tokio::sync::mpsc::channel(1);
    let work = attendant.carry_out(request, progress);
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            Some(some) = waiting.recv() => tell(some),
            done = &mut work => break done,
        }
    };
    wallet.close().await;
    done
}

/// Opens the wallet, with its passphrase if it has one. Whoever pays from it was asked before.
pub(crate) async fn open(settings: &Settings) -> Result<Wallet, Failure> {
    open_with(settings, Arc::new(policy::AskedBefore)).await
}

/// The same, with somebody who is asked about what the policy wants approved.
pub(crate) async fn open_with(settings: &Settings, approver: Arc<dyn Approver>) -> Result<Wallet, Failure> {
    open_now(settings, approver).await.map_err(Failure::from)
}

/// The same, and says so where another process has it.
async fn open_now(settings: &Settings, approver: Arc<dyn Approver>) -> Result<Wallet, Unopened> {
    let home = settings.wallet_home();
    let by_passphrase = match std::fs::read(home.join(VAULT)) {
        Ok(bytes) => asks_for_passphrase(&bytes)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(no_wallet(settings).into()),
        Err(_) => false,
    };
    let protection = secrets::for_old(settings, by_passphrase)?;
    let options = Options { approver, ..Options::default() };
    Ok(Wallet::open(&home, &protection, options).await?)
}

/// Whether a wallet's vault is opened by a passphrase; one that is damaged is named.
pub(crate) fn asks_for_passphrase(vault: &[u8]) -> Result<bool, Failure> {
    Ok(vault::asks_for_passphrase(vault).map_err(WalletError::from)?)
}

/// The key of whoever owns the wallet, and the wallet's bank: for operators.
pub(crate) async fn owner(app: &App) -> Result<(Wallet, BankClient), Failure> {
    let wallet = open(&app.settings).await?;
    let bank = wallet.connect().await?;
    Ok((wallet, bank))
}

/// The currency of the wallet's bank.
pub(crate) fn currency(settings: &Settings) -> Result<Currency, Failure> {
    Ok(wallet_settings(settings)?.bank.currency)
}

/// The bank of the wallet, or else the one that is named.
pub(crate) fn bank_of(settings: &Settings) -> Option<BankAddress> {
    let pinned = wallet_settings(settings).ok().and_then(|wallet| {
        let endpoint: Endpoint = wallet.bank.endpoint.parse().ok()?;
        Some(BankAddress::new(endpoint, Some(wallet.bank.key)))
    });
    pinned.or_else(|| settings.bank.clone())
}

/// What `wallet.toml` says.
pub(crate) fn wallet_settings(settings: &Settings) -> Result<WalletSettings, Failure> {
    let path = settings.wallet_home().join("wallet.toml");
    let text = std::fs::read_to_string(&path).map_err(|_| no_wallet(settings))?;
    toml::from_str(&text).map_err(|error| {
        Failure::usage(format_args!("{}: {}", path.display(), error.message())).next("correct the file")
    })
}

/// How the wallet is: `None` if there is none.
pub(crate) async fn checkup(settings: &Settings) -> Result<Option<String>, Failure> {
    let home = settings.wallet_home();
    let Ok(bytes) = std::fs::read(home.join(VAULT)) else { return Ok(None) };
    if let Some(answer) = control::ask(&settings.home, &Request::Ping.to_json()?, drop).await {
        return answer.map(|_| Some("open in another process, which answers".to_owned()));
    }
    if asks_for_passphrase(&bytes)? && settings.passphrase_file.is_none() {
        return Ok(Some("there, closed with a passphrase".to_owned()));
    }
    let wallet = open(settings).await?;
    let shown = match wallet.is_restored() {
        true => "opens; it was restored: run farthing wallet reconcile before paying".to_owned(),
        false => format!("opens, {}", wallet.me().short()),
    };
    wallet.close().await;
    Ok(Some(shown))
}

fn no_wallet(settings: &Settings) -> Failure {
    Failure::usage(format_args!("there is no wallet in {}", settings.home.display()))
        .next("make one: farthing wallet init --bank URL")
}

/// What the owner of a wallet can do about what it refuses.
fn remedy(error: &WalletError) -> Option<String> {
    use farthing_core::refusal::{Code, Remedy};
    use farthing_peer::wallet::{DeskError, PolicyRefusal};
    let fund = || Some("put money into the account: farthing wallet fund AMOUNT".to_owned());
    let raise = |limit: &str| {
        let flag = limit.replace('_', "-");
        Some(format!(
            "allow more: farthing wallet policy --{flag} AMOUNT, kept in wallet/wallet.toml of the home folder"
        ))
    };
    match error {
        WalletError::Policy(PolicyRefusal::Over { which, .. }) => raise(which.key()),
        WalletError::Policy(PolicyRefusal::NotApproved { .. }) => raise("approve_above"),
        WalletError::NoChain(_) => fund(),
        WalletError::Refused(refusal)
        | WalletError::Bank(DeskError::Refused(refusal) | DeskError::TurnedAway(refusal))
            if refusal.code == Code::Funds || refusal.remedy == Remedy::Fund =>
        {
            fund()
        }
        _ => None,
    }
}

impl From<WalletError> for Failure {
    fn from(error: WalletError) -> Self {
        use farthing_core::refusal::Money;
        use farthing_peer::wallet::DeskError;
        match error {
            WalletError::Missing(_) | WalletError::Exists(_) => Self::usage(error),
            WalletError::InUse(_) => {
                Self::damaged("the wallet is in use by another process, which cannot do this for us")
                    .next("wait until it has ended, or stop it")
            }
            WalletError::Exposed { .. }
            | WalletError::Vault(_)
            | WalletError::Foreign(_)
            | WalletError::Store(_)
            | WalletError::Records(_)
            | WalletError::Backup { .. }
            | WalletError::Clock(_)
            | WalletError::Restored => Self::damaged(error),
            WalletError::Settings { .. } | WalletError::Seed(_) => Self::usage(error),
            WalletError::Policy(_) | WalletError::NoChain(_) | WalletError::Price(..) => {
                remedy(&error).into_iter().fold(Self::new(Kind::Funds, error), Self::next)
            }
            WalletError::Refused(refusal)
            | WalletError::Bank(DeskError::Refused(refusal) | DeskError::TurnedAway(refusal)) => refusal.into(),
            WalletError::Bank(DeskError::NotSent(_)) => Self::new(Kind::NotReachable, "the bank does not answer")
                .money(Money::Unmoved)
                .next("see that it runs: farthing doctor"),
            WalletError::Bank(DeskError::Unknown(_)) => {
                Self::new(Kind::OutcomeUnknown, "the bank's answer went missing on the way")
                    .money(Money::Unknown)
                    .next("run the same command again: the same request is repeated, and is carried out once")
            }
            WalletError::FalseAnswer(_) | WalletError::SellerChanged { .. } | WalletError::Session(_) => {
                Self::new(Kind::Refused, error)
            }
            error => Self::other(error),
        }
    }
}
