//! `farthing wallet policy`: what may be spent without asking.

use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, PoisonError};

use farthing_core::amount::{Amount, AmountError, Currency};
use farthing_peer::wallet::{Approval, Approver, Policy};
use futures::future::BoxFuture;

use crate::cli::wallet::PolicyArgs;
use crate::cli::{App, Typed};
use crate::config::Settings;
use crate::fail::{Context, Failure};
use crate::show::{Column, confirm, table};

/// An amount, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(Option<Typed>);

impl std::str::FromStr for Limit {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|typed| Self(Some(typed))) }
    }
}

/// Asks nobody: whoever wants to buy was asked before, by the command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskedBefore;

impl Approver for AskedBefore {
    fn approve<'a>(&'a self, _: &'a Approval) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(true))
    }
}

/// Asks the owner about each request above the threshold; once for the same.
#[derive(Debug)]
pub(crate) struct Asks {
    /// The answer is yes.
    pub(crate) yes: bool,
    approved: Mutex<Option<Approval>>,
}

impl Asks {
    /// Somebody who asks, unless told that the answer is yes.
    pub(crate) const fn new(yes: bool) -> Self {
        Self { yes, approved: Mutex::new(None) }
    }
}

impl Approver for Asks {
    fn approve<'a>(&'a self, ask: &'a Approval) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let mut approved = self.approved.lock().unwrap_or_else(PoisonError::into_inner);
            if approved.as_ref() == Some(ask) {
                return true;
            }
            let question = format!("This may cost {}, paid to {}. Pay it?", ask.at_most, ask.payee.short());
            // Where nobody can be asked, the answer is no.
            let yes = confirm(self.yes, &question).unwrap_or(false);
            if yes {
                *approved = Some(ask.clone());
            }
            yes
        })
    }
}

/// How to allow more, by command, and where that is written.
pub(crate) fn raise(settings: &Settings, limit: &str) -> String {
    let file = settings.wallet_home().join("wallet.toml");
    let flag = limit.replace('_', "-");
    format!("allow more: {} wallet policy --{flag} AMOUNT, kept in {}", settings.program(), file.display())
}

/// Whether the owner wants to be asked about a purchase of so much.
pub(crate) fn asks_above(app: &App, most: Amount) -> Result<bool, Failure> {
    let above = super::wallet_settings(&app.settings)?.policy.approve_above;
    Ok(above.is_some_and(|above| most.as_micros() > above.as_micros()))
}

/// Shows the policy, and changes it where a limit is given.
pub(crate) fn run(app: &App, args: &PolicyArgs) -> Result<(), Failure> {
    let mut settings = super::wallet_settings(&app.settings)?;
    let currency = settings.bank.currency;
    let policy = &mut settings.policy;
    let changes = [
        (args.per_request, &mut policy.per_request),
        (args.per_payee, &mut policy.per_payee),
        (args.per_hour, &mut policy.per_hour),
        (args.total, &mut policy.total),
        (args.per_tool, &mut policy.per_tool),
        (args.approve_above, &mut policy.approve_above),
    ];
    let mut changed = false;
    for (given, current) in changes {
        if let Some(limit) = given {
            *current = limit.amount(currency)?;
            changed = true;
        }
    }
    if changed {
        write(app, &settings)?;
        app.out.note("Changed. A process that has the wallet open goes by it after its next start.");
    }
    app.out.result(&settings.policy, || words(&settings.policy))
}

impl Limit {
    fn amount(self, currency: Currency) -> Result<Option<Amount>, Failure> {
        self.0.map(|typed| typed.amount(currency)).transpose()
    }
}

fn write(app: &App, settings: &farthing_peer::wallet::Settings) -> Result<(), Failure> {
    use std::io::Write;
    let path = app.settings.wallet_home().join("wallet.toml");
    let unfinished = path.with_extension("toml.changed");
    let text = toml::to_string(settings).map_err(Failure::other)?;
    let written = || -> std::io::Result<()> {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &path)
    };
    written().or_fail(format_args!("cannot write {}", path.display()))
}

fn words(policy: &Policy) -> String {
    let shown = |limit: Option<Amount>| limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string());
    let rows = [
        ["one purchase, --per-request".to_owned(), shown(policy.per_request)],
        ["one seller, --per-payee".to_owned(), shown(policy.per_payee)],
        ["one hour, --per-hour".to_owned(), shown(policy.per_hour)],
        ["all together, --total".to_owned(), shown(policy.total)],
        ["one tool, --per-tool".to_owned(), shown(policy.per_tool)],
        ["asked about above, --approve-above".to_owned(), shown(policy.approve_above)],
    ];
    table(&[Column::Text("what"), Column::Number("at most")], rows)
}
