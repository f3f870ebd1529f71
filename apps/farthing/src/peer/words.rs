//! The answers in words.

use std::fmt::Write as _;

use farthing_core::amount::Amount;

use super::find::{Found, Offers};
use super::request::{Bought, Earnings, Exposure, History, Moved, Redeemed, Standing};
use crate::show::{Column, bytes, count, table};

/// What there is.
pub(crate) fn standing(at: &Standing) -> String {
    let amount = |amount: Option<Amount>| {
        amount.map_or_else(|| "the bank does not answer".to_owned(), |amount| amount.to_string())
    };
    let mut rows = vec![
        ["account at the bank".to_owned(), amount(at.balance)],
        ["ready to spend without it".to_owned(), at.ready.to_string()],
        ["earned, not redeemed".to_owned(), at.unredeemed.to_string()],
        ["spent so far".to_owned(), at.spent.to_string()],
    ];
    if !at.in_sessions.is_zero() {
        rows.insert(1, ["  of that left in web sessions".to_owned(), at.in_sessions.to_string()]);
    }
    if at.held.is_some_and(|held| !held.is_zero()) {
        rows.insert(1, ["  of that set aside".to_owned(), amount(at.held)]);
    }
    if at.deposit.is_some_and(|deposit| !deposit.is_zero()) {
        rows.push(["deposit against cheating".to_owned(), amount(at.deposit)]);
    }
    let mut text = format!(
        "{}\nbank {}\n\n{}",
        at.peer,
        at.bank,
        table(&[Column::Text(""), Column::Number("")], rows).trim_start_matches('\n')
    );
    if at.suspended {
        text.push_str("\n\nThe bank lets nothing leave this account. Ask its operator.");
    }
    if at.restored {
        text.push_str("\n\nThis wallet was restored. Before it pays: farthing wallet reconcile");
    }
    text
}

/// What came of funding, a pay-out or a deposit.
pub(crate) fn moved(at: &Moved) -> String {
    if let Some(number) = at.waiting {
        let until = at.waits_until.as_deref().unwrap_or("later");
        return format!("{} waits for the bank's operators under number {number}, until {until} UTC.", at.amount);
    }
    let balance = at.balance.map_or_else(String::new, |balance| format!(" The account holds {balance}."));
    format!("Done: {}.{balance}\nReady to spend without the bank: {}.", at.amount, at.ready)
}

/// What was earned.
pub(crate) fn earnings(at: &Earnings) -> String {
    let mut text = format!("{} earned and not redeemed, from {}.", at.unredeemed, count(at.visits, "visit"));
    match &at.redeem_before {
        Some(before) => _ = write!(text, "\nRedeem before {before} UTC: farthing redeem"),
        None => text.push_str("\nNothing to redeem."),
    }
    if !at.by_gateway.is_zero() {
        let _ = write!(text, "\n{} was taken by the gateway so far: farthing gateway revenue", at.by_gateway);
    }
    text.push_str(&uncleared(at.uncleared));
    if !at.lapsed.is_zero() {
        let _ = write!(text, "\n{} was not redeemed in time and is lost.", at.lapsed);
    }
    text
}

/// What the gateway has taken and not turned into money.
fn uncleared(amount: Amount) -> String {
    if amount.is_zero() {
        return String::new();
    }
    format!(
        "\n{amount} that the gateway took is not cleared at the bank. It clears by itself while it runs, \
         every ten minutes; now: farthing gateway clear"
    )
}

/// What would be redeemed.
pub(crate) fn would_redeem(at: &Earnings) -> String {
    let visits = count(at.visits, "visit");
    format!("Would redeem {} from {visits}. Nothing was done.{}", at.unredeemed, uncleared(at.uncleared))
}

/// What was redeemed.
pub(crate) fn redeemed(at: &Redeemed) -> String {
    let (visits, requests) = (count(at.visits.into(), "visit"), count(at.requests.into(), "request"));
    let mut text = format!("{} redeemed from {visits}, with {requests} to the bank.", at.paid);
    for refused in &at.refused {
        let _ = write!(text, "\nThe bank turned away: {refused}");
    }
    if at.contested > 0 {
        let _ = write!(text, "\n{} somebody else claims too; the bank looks into it.", count(at.contested, "unit"));
    }
    if !at.rest.is_zero() {
        let _ = write!(text, "\n{} is left for later.", at.rest);
    }
    text + &uncleared(at.uncleared)
}

/// What could be lost.
pub(crate) fn exposure(at: &Exposure) -> String {
    let mut text = if at.risks.is_empty() {
        "Nothing is at risk.".to_owned()
    } else {
        let columns = [Column::Text("how"), Column::Number("at most"), Column::Text("to"), Column::Text("until (UTC)")];
        let rows = at
            .risks
            .iter()
            .map(|risk| [risk.how.clone(), risk.at_most.to_string(), risk.to.short(), risk.until.clone()]);
        format!("{}\n\n  {} at the most, all together", table(&columns, rows), at.total)
    };
    if !at.sessions.is_empty() {
        let columns = [
            Column::Text("site"),
            Column::Number("set aside"),
            Column::Number("spent"),
            Column::Number("requests"),
            Column::Text("until (UTC)"),
        ];
        let rows = at.sessions.iter().map(|session| {
            let (held, paid, requests) = (session.held, session.paid, session.requests);
            [session.site.clone(), held.to_string(), paid.to_string(), requests.to_string(), session.until.clone()]
        });
        let _ = write!(
            text,
            "\n\nSessions with web sites. What is not spent comes back when they end, or now: farthing get SITE \
             --close\n\n{}",
            table(&columns, rows)
        );
    }
    text
}

/// What happened.
pub(crate) fn history(at: &History) -> String {
    if at.lines.is_empty() {
        return "Nothing has happened yet.".to_owned();
    }
    let columns = [
        Column::Text("when (UTC)"),
        Column::Text("what"),
        Column::Number("amount"),
        Column::Text("with"),
        Column::Text("details"),
    ];
    let rows = at.lines.iter().map(|line| {
        [
            line.at.clone(),
            line.what.clone(),
            line.amount.map(|amount| amount.to_string()).unwrap_or_default(),
            line.with.map(|with| with.short()).unwrap_or_default(),
            line.detail.clone(),
        ]
    });
    table(&columns, rows)
}

/// What a search found.
pub(crate) fn found(at: &Found) -> String {
    if at.hits.is_empty() {
        return "Nothing was found.".to_owned();
    }
    let columns = [
        Column::Number("#"),
        Column::Text("title"),
        Column::Number("size"),
        Column::Number("price"),
        Column::Number("sellers"),
        Column::Text("content"),
    ];
    let rows = at.hits.iter().map(|hit| {
        [
            hit.number.to_string(),
            hit.title.clone(),
            if hit.service.is_some() { "service".to_owned() } else { bytes(hit.size) },
            hit.total.to_string(),
            hit.sellers.len().to_string(),
            hit.content.short(),
        ]
    });
    let mut text = table(&columns, rows);
    let services: Vec<_> = at.hits.iter().filter_map(|hit| Some((hit.number, hit.service.as_ref()?))).collect();
    if services.len() < at.hits.len() {
        text.push_str("\n\nBuy one by its number: farthing buy 1");
    }
    if !services.is_empty() {
        text.push_str("\n\nServices are paid for by the request:");
    }
    for (number, url) in services {
        let _ = write!(text, "\n{number}: farthing get '{url}'");
    }
    if at.more {
        text.push_str("\nThere is more: add words, or raise --limit.");
    }
    text
}

/// What a purchase would cost.
pub(crate) fn offer(at: &Offers) -> String {
    let (pieces, sellers) = (count(at.pieces, "piece"), count(at.sellers.len() as u64, "seller"));
    format!("{}, {} in {pieces}, {} at most, from {sellers}", at.title, bytes(at.size), at.total)
}

/// What was bought.
pub(crate) fn bought(at: &Bought) -> String {
    let mut text = match &at.file {
        Some(file) if at.sellers.is_empty() => format!("{} is there already; nothing was paid.", file.display()),
        Some(file) => format!("{} is complete, for {}.", file.display(), at.paid),
        None => format!(
            "Not complete: {}.\n{} paid. Buying again goes on from here, and pays for no piece twice.",
            at.why.as_deref().unwrap_or("it stopped"),
            at.paid
        ),
    };
    if let Some(next) = &at.next {
        let _ = write!(text, "\n  Next: {next}");
    }
    let columns = [
        Column::Text("seller"),
        Column::Number("pieces"),
        Column::Number("paid"),
        Column::Number("receipts"),
        Column::Text(""),
    ];
    // What our own wallet says was said above.
    let worth_telling = at
        .sellers
        .iter()
        .filter(|seller| seller.pieces > 0 || (seller.left.is_some() && at.stopped.as_deref() != Some("wallet")));
    let rows = worth_telling.map(|seller| {
        [
            seller.seller.short(),
            seller.pieces.to_string(),
            seller.paid.to_string(),
            seller.receipts.to_string(),
            seller.left.clone().unwrap_or_default(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        let _ = write!(text, "\n\n{}", table(&columns, rows));
    }
    text
}
