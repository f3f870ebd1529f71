//! Accounts that stopped or owe, and what an operator does about them.

use clap::{Args, ValueEnum};
use farthing_bank::messages::{Finding, ListedCase, OpenStop, Standing, StopReason};
use farthing_core::id::PeerId;
use farthing_core::refusal::Code;
use serde_json::json;

use super::super::App;
use super::operate::Operator;
use crate::fail::Failure;
use crate::show::{Column, moment, table};

/// Arguments of `farthing bank judge-stop`.
#[derive(Debug, Args)]
pub(crate) struct JudgeStopArgs {
    /// Who wrote the draft, peer1...
    payer: PeerId,
    /// Its number
    number: u64,
    /// Who gets the money
    #[arg(value_enum)]
    finding: Found,
}

/// Who gets the money of a stopped draft.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Found {
    /// The payee: it delivered
    Pay,
    /// The payer
    GiveBack,
}

/// Lists accounts that stopped because a number, a log or the books did not fit.
pub(super) async fn cases(app: &App) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let mut items = Vec::new();
    loop {
        let after = items.last().map(|item: &ListedCase| item.id);
        let page = operator.bank.clearing_cases(operator.key(), Operator::id()?, after).await?;
        if page.items.as_slice().is_empty() {
            break;
        }
        items.extend(page.items.into_vec());
    }
    let json: Vec<_> = items
        .iter()
        .map(|item| {
            let (expected, came) = item.case.numbers;
            json!({
                "customer": item.case.customer, "time": moment(item.case.time), "what": item.case.code,
                "expected": expected, "came": came, "differences": item.case.problems.as_slice().len(),
            })
        })
        .collect();
    app.out.result(&json!({ "cases": json }), || {
        if items.is_empty() {
            return "No account has stopped.".to_owned();
        }
        let columns = [
            Column::Text("when (UTC)"),
            Column::Text("customer"),
            Column::Text("what"),
            Column::Number("number expected"),
            Column::Number("number that came"),
            Column::Number("differences"),
        ];
        let rows = items.iter().map(|item| {
            let case = &item.case;
            [
                moment(case.time),
                case.customer.to_string(),
                what_was_wrong(case.code).to_owned(),
                case.numbers.0.to_string(),
                case.numbers.1.to_string(),
                case.problems.as_slice().len().to_string(),
            ]
        });
        table(&columns, rows)
    })
}

const fn what_was_wrong(code: Code) -> &'static str {
    match code {
        Code::Conflict => "two requests under one number",
        Code::Sequence => "a number ahead of its turn",
        Code::Log => "books that differ",
        _ => "something else",
    }
}

/// Shows where a customer stands.
pub(super) async fn report(app: &App, customer: PeerId) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let report = operator.bank.report(operator.key(), Operator::id()?, customer).await?;
    let clearing = match report.clearing {
        None => "not used",
        Some(Standing::Active) => "may pay",
        Some(Standing::MustReconcile) => "must compare books first",
        Some(Standing::Disputed) => "books differ: settle it (farthing bank settle-dispute)",
    };
    let keys: Vec<_> = report
        .drafts
        .as_slice()
        .iter()
        .map(|key| {
            json!({
                "key": key.key, "certified": key.total, "until": moment(key.until), "outstanding": key.outstanding,
                "log_not_whole": key.problem,
            })
        })
        .collect();
    let stops: Vec<_> = report
        .stops
        .as_slice()
        .iter()
        .map(|stop| {
            json!({
                "payer": stop.payer, "number": stop.number, "payee": stop.payee, "amount": stop.amount,
                "reason": why_stopped(stop.reason), "deposited": stop.claimed, "until": moment(stop.until),
            })
        })
        .collect();
    let balances = &report.balances;
    let json = json!({
        "customer": customer, "balance": balances.balance, "held": balances.held, "credit_used": report.credit_used,
        "credit": report.credit, "deposit": balances.deposit, "owed": report.owed, "suspended": report.suspended,
        "clearing": clearing, "copy": report.epoch, "draft_keys": keys, "stops": stops,
        "set_aside_for_stops": report.stopped,
    });
    app.out.result(&json, || {
        let sums = [
            ("1. account", balances.balance.to_string()),
            ("   of it set aside", balances.held.to_string()),
            ("   besides, set aside for stopped drafts", report.stopped.to_string()),
            ("2. credit line used", format!("{} of {}", report.credit_used, report.credit)),
            ("3. deposit", balances.deposit.to_string()),
            ("4. owed to payees", report.owed.to_string()),
            ("suspended", if report.suspended { "yes" } else { "no" }.to_owned()),
            ("clearing", clearing.to_owned()),
            ("copy of its wallet", report.epoch.to_string()),
        ];
        let rows = sums.into_iter().map(|(what, sum)| [what.to_owned(), sum]);
        let mut text = table(&[Column::Text("drafts are paid from"), Column::Number("")], rows);
        for key in report.drafts.as_slice() {
            text.push_str(&format!(
                "\n{} may write {} until {} UTC; {} of it is not deposited{}",
                key.key,
                key.total,
                moment(key.until),
                key.outstanding,
                if key.problem { "; its log was not whole" } else { "" }
            ));
        }
        for stop in report.stops.as_slice() {
            text.push_str(&stop_in_words(stop));
        }
        text
    })
}

const fn why_stopped(reason: StopReason) -> &'static str {
    match reason {
        StopReason::NotDelivered => "not delivered",
        StopReason::Returned => "given back",
    }
}

fn stop_in_words(stop: &OpenStop) -> String {
    let OpenStop { payer, number, payee, amount, reason, claimed, until } = *stop;
    format!(
        "\nStopped as {}: {amount} to {payee}{}. It goes back on {} UTC, unless something is shown.\n  Decide it: \
         farthing bank judge-stop {payer} {number} pay|give-back",
        why_stopped(reason),
        if claimed { ", who has deposited it" } else { "" },
        moment(until),
    )
}

/// Lets a customer whose books differed compare them again.
pub(super) async fn settle_dispute(app: &App, customer: PeerId) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let done = operator.bank.settle_dispute(operator.key(), Operator::id()?, customer).await?;
    app.out.result(&json!({ "customer": done.customer }), || "It compares books again before it pays.")
}

/// Replaces the key that a customer shares with the bank.
pub(super) async fn rotate(app: &App, customer: PeerId) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let done = operator.bank.retire_key(operator.key(), Operator::id()?, customer).await?;
    app.out.result(
        &json!({ "customer": done.customer }),
        || "Its old key says nothing any more. Its wallet asks for another by itself, and compares books.",
    )
}

/// Lets a key whose drafts did not agree with its log begin again.
pub(super) async fn pardon(app: &App, key: PeerId) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let done = operator.bank.pardon(operator.key(), Operator::id()?, key).await?;
    app.out.result(&json!({ "key": done.key }), || {
        "It may begin a new log. What it wrote before is paid when it comes. If its account is suspended, unsuspend it."
    })
}

/// Decides a stopped draft.
pub(super) async fn judge_stop(app: &App, args: &JudgeStopArgs) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let (finding, words) = match args.finding {
        Found::Pay => (Finding::Pay, "The payee is paid."),
        Found::GiveBack => (Finding::GiveBack, "The payer has its money back."),
    };
    let done = operator.bank.judge_stop(operator.key(), Operator::id()?, args.payer, args.number, finding).await?;
    app.out.result(&json!({ "payer": done.payer, "number": done.number }), || words)
}
