//! Making a wallet, saving it, and making it again.

use std::path::Path;
use std::sync::Arc;

use dialoguer::Password;
use farthing_core::seed::Seed;
use farthing_peer::wallet::{BankPin, Options, Settings as WalletSettings, Wallet};
use serde_json::json;
use std::io::IsTerminal;
use zeroize::Zeroizing;

use super::attendant::Attendant;
use super::{Done, Moved, Request, VAULT, words};
use crate::cli::{App, Typed, nothing};
use crate::config::Settings;
use crate::fail::{Context, Failure};
use crate::home::private_dir;
use crate::secrets::{self, Hidden};
use crate::show::{agreed, spinner};

/// Opens a wallet and an account at the bank. Run again, it goes on where it broke off.
pub(crate) async fn init(app: &App, fund: Option<Typed>) -> Result<(), Failure> {
    let settings = &app.settings;
    if fund.is_some_and(Typed::is_zero) {
        return Err(nothing());
    }
    private_dir(&settings.home)?;
    let waiting = spinner(app.out, "asking the bank who it is");
    let there = settings.wallet_home().join(VAULT).exists();
    let (wallet, bank) = if there {
        let wallet = super::open(settings).await?;
        let bank = wallet.connect().await?;
        (wallet, bank)
    } else {
        let bank = crate::cli::bank::connect(settings.bank()?.clone()).await?;
        waiting.finish_and_clear();
        let protection = secrets::for_new(settings)?;
        let mut entropy = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *entropy).or_fail("the operating system gave no randomness")?;
        let seed = Seed::from_entropy(*entropy);
        let wanted = WalletSettings::with_bank(BankPin::of(&bank));
        let wallet = Wallet::create(&settings.wallet_home(), &seed, &protection, &wanted, Options::default()).await?;
        (wallet, bank)
    };
    waiting.finish_and_clear();
    let attendant = Arc::new(Attendant::new(wallet.clone(), settings.clone()));
    wallet.open_account(&bank).await?;
    remember_addresses(app)?;
    let peer = wallet.me();
    let funded = match fund {
        Some(typed) => {
            let amount = typed.amount(bank.info().body().currency)?;
            let (progress, _) = tokio::sync::mpsc::channel(1);
            let moved = attendant.carry_out(Request::Fund { amount, note: String::new() }, progress).await?;
            Some(serde_json::from_value::<Moved>(moved).map_err(Failure::other)?)
        }
        None => {
            super::money::take::be_ready(&wallet, &bank).await;
            None
        }
    };
    wallet.close().await;
    let name = bank.info().body().name.as_str().to_owned();
    app.out.result(&json!({ "peer": peer, "bank": name, "made": !there, "funded": funded }), || {
        let mut lines = vec![format!("You are {peer}."), format!("Your account is open at {name}.")];
        match &funded {
            Some(moved) => lines.push(words::moved(moved)),
            None => lines.push("Put money into it: farthing wallet fund AMOUNT".to_owned()),
        }
        if !there {
            lines.push("Write down the 24 words that bring the keys back: farthing wallet words".to_owned());
        }
        lines.join("\n")
    })
}

/// Writes the configuration file, if there is none, so that addresses need not be given again.
fn remember_addresses(app: &App) -> Result<(), Failure> {
    let settings = &app.settings;
    if settings.config.exists() {
        return Ok(());
    }
    let line =
        |key: &str, address: Option<String>| address.map_or_else(String::new, |at| format!("{key} = \"{at}\"\n"));
    let bank = line("bank", settings.bank.as_ref().map(ToString::to_string));
    let text = bank + &line("index", settings.index.as_ref().map(ToString::to_string));
    std::fs::write(&settings.config, text).or_fail(format_args!("cannot write {}", settings.config.display()))
}

/// Shows the recovery phrase, to a person who has asked for it.
pub(crate) async fn show_words(app: &App) -> Result<(), Failure> {
    let nobody = || {
        Failure::usage("whoever sees the words has the money, and nobody is there to be asked")
            .next("add --yes to have them shown")
    };
    if !agreed(app.yes, "Whoever sees these words has the money. Show them?", nobody)? {
        return Err(Failure::usage("not confirmed; nothing was shown"));
    }
    let wallet = super::open(&app.settings).await?;
    let phrase = wallet.seed().words();
    wallet.close().await;
    app.out.result(&json!({ "words": phrase.expose() }), || phrase.expose())
}

/// Writes a backup, opened by the same passphrase as the wallet.
pub(crate) async fn backup(app: &App, file: &Path) -> Result<(), Failure> {
    let settings = &app.settings;
    let by_passphrase = asks_for_passphrase(settings)?;
    let passphrase = if by_passphrase { secrets::typed(settings, false)?.map(Hidden) } else { None };
    let file = std::path::absolute(file)?;
    let done: Done = super::ask(app, Request::Backup { file: file.clone(), passphrase }).await?;
    app.out.result(&json!({ "file": file }), || &done.words)
}

/// Makes a wallet from a backup or from the recovery phrase. It pays after `wallet reconcile`.
pub(crate) async fn restore(app: &App, file: Option<&Path>, words_file: Option<&Path>) -> Result<(), Failure> {
    let settings = &app.settings;
    private_dir(&settings.home)?;
    let home = settings.wallet_home();
    let wallet = match file {
        Some(file) => {
            let protection = secrets::for_old(settings, !settings.no_passphrase)?;
            Wallet::restore(&home, file, &protection, Options::default()).await?
        }
        None => {
            let bank = crate::cli::bank::connect(settings.bank()?.clone()).await?;
            let seed =
                Seed::parse(&phrase(words_file)?).map_err(|why| Failure::usage(why).next("look at the words again"))?;
            let wanted = WalletSettings::with_bank(BankPin::of(&bank));
            let protection = secrets::for_new(settings)?;
            Wallet::restore_from_seed(&home, &seed, &protection, &wanted, Options::default()).await?
        }
    };
    let peer = wallet.me();
    wallet.close().await;
    app.out.result(&json!({ "peer": peer, "restored": true }), || {
        format!("You are {peer} again. The wallet can be paid at once.\nBefore it pays, compare books with the bank: farthing wallet reconcile")
    })
}

fn phrase(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    if let Some(file) = file {
        let text = std::fs::read_to_string(file).or_fail(format_args!("cannot read {}", file.display()))?;
        return Ok(Zeroizing::new(text));
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("the recovery phrase is needed, and nobody is there to type it")
            .next("add --words-file FILE"));
    }
    let typed = Password::new().with_prompt("The 24 words (not shown)").interact().map_err(Failure::other)?;
    Ok(Zeroizing::new(typed))
}

fn asks_for_passphrase(settings: &Settings) -> Result<bool, Failure> {
    let bytes = std::fs::read(settings.wallet_home().join(VAULT)).map_err(|_| super::no_wallet(settings))?;
    super::asks_for_passphrase(&bytes)
}
