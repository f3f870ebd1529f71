//! Looking into the books, beside a running bank or without one.

use farthing_bank::audit::{AuditFailure, BackupFailure};
use farthing_bank::client::BankAddress;
use farthing_bank::home::BankHome;
use farthing_bank::role::tables;
use farthing_core::amount::Currency;
use farthing_ledger::{Account, AccountKind};
use farthing_store::audit::RowName;
use farthing_store::{Reader, SqliteSnapshot, StoreError};
use serde_json::json;

use super::super::App;
use super::{BackupArgs, connect};
use crate::fail::{Failure, Kind};
use crate::show::{Column, moment, spinner, table};

/// Accounts read at once.
const PAGE: usize = 1_000;

/// Recomputes every balance.
pub(super) fn audit(app: &App) -> Result<(), Failure> {
    let waiting = spinner(app.out, "counting every row of the journal");
    let audited = farthing_bank::audit::audit(&app.settings.bank_home());
    waiting.finish_and_clear();
    match audited {
        Ok(summary) => app.out.result(&json!({ "clean": true, "summary": summary }), || &summary),
        Err(AuditFailure::Bad(bad)) => {
            let row = match bad.row {
                RowName::Journal(number) => format!("row {number} of the journal"),
                RowName::Account(id) => format!("the account {id}"),
                RowName::Hold(id) => format!("the hold {id}"),
                RowName::File => "the file".to_owned(),
            };
            let wrong = bad.wrong.to_string();
            app.out.result(&json!({ "clean": false, "row": row, "wrong": wrong }), || {
                format!("NOT CLEAN: {row} {wrong}.\nStop the bank, keep this file, and restore a backup.")
            })?;
            Err(Failure::told(Kind::Damaged))
        }
        Err(AuditFailure::Home(error)) => Err(error.into()),
        Err(error) => Err(Failure::damaged(error)),
    }
}

/// Copies the bank.
pub(super) fn backup(app: &App, args: &BackupArgs) -> Result<(), Failure> {
    let waiting = spinner(app.out, "copying");
    let copied = farthing_bank::audit::backup(&app.settings.bank_home(), &args.dir);
    waiting.finish_and_clear();
    copied.map_err(|error| match error {
        BackupFailure::Home(error) => error.into(),
        BackupFailure::Exists(_) => Failure::usage(error),
        error => Failure::other(error),
    })?;
    app.out
        .result(&json!({ "dir": args.dir }), || format!("Books, keys and configuration are in {}.", args.dir.display()))
}

/// Lists all accounts.
pub(super) fn accounts(app: &App) -> Result<(), Failure> {
    let folder = app.settings.bank_home();
    BankHome::config_of(&folder)?;
    let books =
        SqliteSnapshot::open(folder.join("bank.db"), &tables()).map_err(|error: StoreError| Failure::damaged(error))?;
    let mut all: Vec<Account> = Vec::new();
    loop {
        let page = books.accounts(all.last().map(|account| account.id), PAGE).map_err(Failure::damaged)?;
        let last = page.len() < PAGE;
        all.extend(page);
        if last {
            break;
        }
    }
    let json: Vec<_> = all
        .iter()
        .map(|account| {
            json!({
                "account": account.id, "kind": name(account.kind), "owner": account.owner,
                "balance": balance(account), "suspended": account.frozen, "opened": moment(account.opened),
            })
        })
        .collect();
    app.out.result(&json!({ "accounts": json }), || {
        let columns = [
            Column::Text("kind"),
            Column::Text("owner"),
            Column::Number("balance"),
            Column::Text("opened (UTC)"),
            Column::Text(""),
        ];
        let rows = all.iter().map(|account| {
            [
                name(account.kind).to_owned(),
                account.owner.map_or_else(|| "-".to_owned(), |owner| owner.short()),
                balance(account),
                moment(account.opened),
                if account.frozen { "suspended".to_owned() } else { String::new() },
            ]
        });
        table(&columns, rows)
    })
}

/// Credits less debits; the outside's is below zero by what it has brought in.
fn balance(account: &Account) -> String {
    let (more, less) = (account.credits_posted, account.debits_posted);
    signed(account.currency, i128::from(more) - i128::from(less))
}

pub(super) fn signed(currency: Currency, micros: i128) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let amount = u64::try_from(micros.unsigned_abs()).ok().and_then(|micros| currency.micros(micros).ok());
    amount.map_or_else(|| "out of range".to_owned(), |amount| format!("{sign}{amount}"))
}

const fn name(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::World => "outside",
        AccountKind::Customer => "customer",
        AccountKind::Backing => "chain",
        AccountKind::Deposit => "deposit",
        AccountKind::Fees => "fees",
        AccountKind::Suspense => "suspense",
    }
}

/// Shows what the bank says it owes.
pub(super) async fn liabilities(app: &App) -> Result<(), Failure> {
    let address: BankAddress = match crate::peer::bank_of(&app.settings) {
        Some(address) => address,
        None => app.settings.bank()?.clone(),
    };
    let signed = connect(address).await?.liabilities().await?;
    let report = signed.body();
    let amount = |micros: u64| self::signed(report.currency, micros.into());
    let sums = [
        ("customers have", report.customer),
        ("chains in use", report.backing),
        ("deposits", report.deposit),
        ("fees earned", report.fees),
        ("unsettled", report.suspense),
    ];
    let json = json!({
        "bank": signed.signer(), "time": moment(report.time), "conserved": report.is_conserved(),
        "customer": amount(report.customer), "backing": amount(report.backing), "deposit": amount(report.deposit),
        "fees": amount(report.fees), "suspense": amount(report.suspense), "funded": amount(report.funded),
        "clearing_rows": report.clearing.map(|head| head.seq),
        "clearing_head": report.clearing.map(|head| hex::encode(head.hash)),
        "journal_rows": report.journal_rows, "journal_head": hex::encode(report.journal_head),
    });
    app.out.result(&json, || {
        let owed = self::signed(report.currency, i128::try_from(report.owed()).unwrap_or(i128::MAX));
        let mut rows: Vec<_> = sums.iter().map(|(what, micros)| [(*what).to_owned(), amount(*micros)]).collect();
        rows.push(["owed in all".to_owned(), owed]);
        rows.push(["came in and was not paid out".to_owned(), amount(report.funded)]);
        let verdict =
            if report.is_conserved() { "The two agree: no money was made or lost." } else { "THE TWO DIFFER." };
        let at = moment(report.time);
        format!(
            "{}\n\n  {verdict}\n  Signed by {} at {at} UTC",
            table(&[Column::Text("sum"), Column::Number("amount")], rows),
            signed.signer()
        )
    })?;
    if report.is_conserved() { Ok(()) } else { Err(Failure::told(Kind::Damaged)) }
}
