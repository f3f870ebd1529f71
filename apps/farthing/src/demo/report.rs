//! What the demo shows in the end: who paid whom, what it cost, the books, and the checks.

use std::path::Path;
use std::time::Duration;

use farthing_core::amount::Amount;
use farthing_core::id::ContentId;
use serde::Serialize;

use super::alone::Alone;
use super::cost::PartyCost;
use super::market::Market;
use super::settle::{Books, Redemption};
use super::trade::Trade;
use crate::fail::Failure;
use crate::show::{Column, bytes, count, table};

/// Everything the demo has found out.
pub(super) struct Parts {
    pub(super) trade: Trade,
    pub(super) costs: Vec<PartyCost>,
    pub(super) alone: Alone,
    pub(super) redeemed: Vec<Redemption>,
    pub(super) before: Books,
    pub(super) after: Books,
}

/// The same, to be shown.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    purchase: Purchase,
    paid: Vec<Paid>,
    costs: Vec<PartyCost>,
    payment_alone: Alone,
    books: Vec<Line>,
    bank: [BankLine; 2],
    checks: Vec<Check>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Purchase {
    title: String,
    content: ContentId,
    size: u64,
    pieces: u64,
    pieces_without_bank: u64,
    seconds: f64,
    microseconds_per_payment: f64,
}

#[derive(Debug, Serialize)]
struct Paid {
    from: &'static str,
    to: &'static str,
    pieces: u64,
    payments: u64,
    paid: Amount,
    redeemed: Amount,
    receipts: usize,
    requests_to_bank: u32,
    redeem_milliseconds: f64,
}

/// A peer's books, before and after.
#[derive(Debug, Serialize)]
struct Line {
    who: &'static str,
    account_before: Amount,
    account_after: Amount,
    chains_before: Amount,
    chains_after: Amount,
    unredeemed_after: Amount,
    /// Micros more, or less.
    change_micros: i64,
}

/// The bank's books at one moment.
#[derive(Debug, Serialize)]
struct BankLine {
    owed_to_customers: Amount,
    backing_chains: Amount,
    other: Amount,
    funded: Amount,
    journal_rows: u64,
}

#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    ok: bool,
    figures: String,
}

impl Report {
    /// Puts everything together and checks it.
    pub(super) fn of(parts: Parts, took: Duration) -> Result<Self, Failure> {
        let Parts { trade, costs, alone, redeemed, before, after } = parts;
        let books: Vec<Line> = before.peers.iter().zip(&after.peers).map(line).collect();
        let buyer = before.peers.first().map_or("buyer", |peer| peer.name);
        let paid = paid(buyer, &trade, &redeemed);
        let checks = checks(&trade, &paid, &before, &after, &books)?;
        let payments: u64 = paid.iter().map(|line| line.payments).sum();
        Ok(Self {
            purchase: Purchase {
                title: trade.title,
                content: trade.bought.content,
                size: trade.size,
                pieces: trade.pieces,
                pieces_without_bank: trade.without_bank,
                seconds: trade.bought.seconds,
                microseconds_per_payment: per(trade.bought.seconds * 1e6, payments),
            },
            paid,
            costs,
            payment_alone: alone,
            books,
            bank: [bank_line(&before), bank_line(&after)],
            checks,
            seconds: took.as_secs_f64(),
        })
    }

    /// Whether every check holds.
    pub(super) fn is_right(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

fn per(sum: f64, n: u64) -> f64 {
    // As many payments as a demo has fit the mantissa.
    sum / (n.max(1) as f64)
}

fn line((before, after): (&super::settle::Stand, &super::settle::Stand)) -> Line {
    let all = |stand: &super::settle::Stand| {
        [stand.account, stand.chains, stand.earned].iter().map(|amount| amount.as_micros()).sum::<u64>().cast_signed()
    };
    Line {
        who: before.name,
        account_before: before.account,
        account_after: after.account,
        chains_before: before.chains,
        chains_after: after.chains,
        unredeemed_after: after.earned,
        change_micros: all(after) - all(before),
    }
}

fn bank_line(books: &Books) -> BankLine {
    BankLine {
        owed_to_customers: books.bank.customers,
        backing_chains: books.bank.chains,
        other: books.bank.rest,
        funded: books.bank.funded,
        journal_rows: books.bank.journal_rows,
    }
}

fn paid(buyer: &'static str, trade: &Trade, redeemed: &[Redemption]) -> Vec<Paid> {
    let by_seller = |one: &Redemption| trade.bought.sellers.iter().find(|paid| paid.seller == one.seller);
    let line = |one: &Redemption| {
        let paid = by_seller(one)?;
        Some(Paid {
            from: buyer,
            to: one.name,
            pieces: paid.pieces,
            payments: paid.payments,
            paid: paid.paid,
            redeemed: one.redeemed.paid,
            receipts: paid.receipts,
            requests_to_bank: one.redeemed.requests,
            redeem_milliseconds: one.time.as_secs_f64() * 1e3,
        })
    };
    redeemed.iter().filter_map(line).collect()
}

fn checks(trade: &Trade, paid: &[Paid], before: &Books, after: &Books, books: &[Line]) -> Result<Vec<Check>, Failure> {
    let pieces: u64 = paid.iter().map(|line| line.pieces).sum();
    let payments: u64 = paid.iter().map(|line| line.payments).sum();
    let (spent, redeemed) = (sum(paid.iter().map(|line| line.paid))?, sum(paid.iter().map(|line| line.redeemed))?);
    let change: i64 = books.iter().map(|line| line.change_micros).sum();
    let have = |books: &Books| sum(books.peers.iter().flat_map(|peer| [peer.account, peer.chains, peer.earned]));
    let owed = |books: &Books| sum([books.bank.customers, books.bank.chains, books.bank.rest]);
    let mut checks = vec![
        Check {
            what: "what was bought is what was sold, byte for byte",
            ok: trade.identical,
            figures: bytes(trade.size),
        },
        Check {
            what: "one payment for each piece, and none twice",
            ok: pieces == trade.pieces && payments == pieces,
            figures: format!("{}, {}", count(payments, "payment"), count(pieces, "piece")),
        },
        Check {
            what: "sellers redeemed what they were paid",
            ok: spent == redeemed,
            figures: format!("{spent} paid, {redeemed} redeemed"),
        },
        Check {
            what: "what peers have is what the bank owes",
            ok: have(before)? == owed(before)? && have(after)? == owed(after)?,
            figures: format!("{} before, {} after", owed(before)?, owed(after)?),
        },
        Check {
            what: "no money was made or lost",
            ok: change == 0 && owed(before)? == before.bank.funded && owed(after)? == after.bank.funded,
            figures: format!("{} came in, {} is there", after.bank.funded, have(after)?),
        },
        Check {
            what: "the bank's journal gives every balance",
            ok: after.bank.journal_rows > before.bank.journal_rows,
            figures: format!("{} rows recomputed", after.bank.journal_rows),
        },
    ];
    // A purchase of a piece or two is over before any bank can be killed.
    if trade.without_bank > 0 {
        let figures = format!("{} bought without it", count(trade.without_bank, "piece"));
        checks.insert(2, Check { what: "the bank was down meanwhile", ok: true, figures });
    }
    Ok(checks)
}

fn sum(amounts: impl IntoIterator<Item = Amount>) -> Result<Amount, Failure> {
    let zero = farthing_core::amount::Currency::XTS.zero();
    amounts.into_iter().try_fold(zero, Amount::checked_add).map_err(Failure::other)
}

/// The report for people.
pub(super) fn words(report: &Report) -> String {
    let sections = [
        ("Who paid whom", who_paid_whom(report)),
        ("What each payment cost its parties", what_it_cost(report)),
        ("Books before and after: money in the account, and in open chains", books(report)),
        ("Checks", checked(report)),
    ];
    let mut text = String::new();
    for (title, body) in sections {
        text.push_str(&format!("\n{title}\n\n{body}\n"));
    }
    text.push_str(&format!("\nAll of it took {:.1} seconds.", report.seconds));
    text
}

fn who_paid_whom(report: &Report) -> String {
    let columns = [
        Column::Text("from"),
        Column::Text("to"),
        Column::Number("pieces"),
        Column::Number("payments"),
        Column::Number("paid"),
        Column::Number("redeemed"),
        Column::Number("requests to redeem"),
    ];
    let rows = report.paid.iter().map(|line| {
        [
            line.from.to_owned(),
            line.to.to_owned(),
            line.pieces.to_string(),
            line.payments.to_string(),
            line.paid.to_string(),
            line.redeemed.to_string(),
            line.requests_to_bank.to_string(),
        ]
    });
    table(&columns, rows)
}

fn what_it_cost(report: &Report) -> String {
    let columns = [
        Column::Text("party"),
        Column::Number("messages"),
        Column::Number("bytes"),
        Column::Number("hashes"),
        Column::Number("signed"),
        Column::Number("signatures checked"),
    ];
    let rows = report.costs.iter().map(|party| {
        // The bank was not there.
        let each = |n: u64| format!("{:.2}", per(n as f64, party.payments));
        let cost = &party.cost;
        let bytes = format!("{:.0}", per(cost.bytes as f64, party.payments));
        [party.party.to_owned(), each(cost.messages), bytes, each(cost.hashes), each(cost.signed), each(cost.checked)]
    });
    let (alone, purchase) = (&report.payment_alone, &report.purchase);
    let redeem = report.paid.iter().map(|line| line.redeem_milliseconds).fold(0.0, f64::max);
    let notes = [
        "Counted are all messages of the visits, their beginning and end included; the content is not.".to_owned(),
        format!(
            "The payment alone: {:.2} microseconds to pay ({:.2} hashes), {:.2} to check ({:.0} hash).",
            alone.payer_microseconds, alone.payer_hashes, alone.payee_microseconds, alone.payee_hashes
        ),
        format!(
            "With network, disk, delivery and check of its 256 KiB: {:.0} microseconds, two sellers at once.",
            purchase.microseconds_per_payment
        ),
        format!("Redeeming all payments of a visit: one request to the bank, {redeem:.0} milliseconds."),
    ];
    format!("{}\n\n  {}", table(&columns, rows), notes.join("\n  "))
}

fn books(report: &Report) -> String {
    let columns = [
        Column::Text("party"),
        Column::Number("account before"),
        Column::Number("chains before"),
        Column::Number("account after"),
        Column::Number("chains after"),
        Column::Number("change"),
    ];
    let peers = report.books.iter().map(|line| {
        [
            line.who.to_owned(),
            line.account_before.to_string(),
            line.chains_before.to_string(),
            line.account_after.to_string(),
            line.chains_after.to_string(),
            signed(line.change_micros, line.account_after),
        ]
    });
    let [before, after] = &report.bank;
    let bank = [
        "bank owes".to_owned(),
        before.owed_to_customers.to_string(),
        before.backing_chains.to_string(),
        after.owed_to_customers.to_string(),
        after.backing_chains.to_string(),
        signed(0, after.funded),
    ];
    table(&columns, peers.chain([bank]))
}

/// A change, in the currency of `like`.
fn signed(micros: i64, like: Amount) -> String {
    let sign = match micros {
        ..0 => "-",
        0 => "",
        1.. => "+",
    };
    let amount = like.currency().micros(micros.unsigned_abs());
    amount.map_or_else(|why| why.to_string(), |amount| format!("{sign}{amount}"))
}

fn checked(report: &Report) -> String {
    let mark = |ok: bool| if ok { "ok" } else { "NOT OK" };
    let rows =
        report.checks.iter().map(|check| [mark(check.ok).to_owned(), check.what.to_owned(), check.figures.clone()]);
    table(&[Column::Text(""), Column::Text(""), Column::Text("")], rows).trim_start_matches('\n').to_owned()
}

/// How to go on by hand.
pub(super) fn by_hand(report: &Report, market: &Market, folder: &Path) -> String {
    let program = std::env::current_exe().map_or_else(|_| "farthing".to_owned(), |path| path.display().to_string());
    let cleo = market.buyer.home.display();
    let ada = market.sellers.first().map(|seller| seller.home.display().to_string()).unwrap_or_default();
    let (bank, word) = (market.bank_home.display(), super::trade::query(&report.purchase.title));
    format!(
        "\nEverything is still running, in {}. In another window:\n\n  \
         F={program}\n  \
         $F --home {cleo} search {word}\n  \
         $F --home {cleo} buy 1 --out /tmp --yes\n  \
         $F --home {cleo} history\n  \
         $F --home {cleo} wallet show\n  \
         $F --home {ada} earnings\n  \
         $F --home {ada} redeem\n  \
         $F --home {bank} bank audit\n  \
         $F --home {bank} bank liabilities --bank {}\n\n\
         Ctrl-C stops it and removes the folder.",
        folder.display(),
        market.client.address().endpoint()
    )
}
