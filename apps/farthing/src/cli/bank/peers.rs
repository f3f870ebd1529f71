//! Other banks: who may present cheques here, how the bank stands with them, and settling with them.

use clap::{ArgGroup, Args, Subcommand};
use farthing_bank::client::BankAddress;
use farthing_bank::messages::{Difference, OpenPeer, OpenRoute, PeerDay, PeerDayOf, Progress, SettlePeer, Text};
use farthing_core::amount::{Amount, Currency};
use farthing_core::id::PeerId;
use farthing_driver::{Clock, SystemClock};
use serde_json::json;

use super::super::App;
use super::books::signed;
use super::connect;
use super::operate::Operator;
use crate::fail::Failure;
use crate::show::{Column, moment, table};

/// Milliseconds of a day.
const DAY_MILLIS: u64 = 86_400_000;

/// Arguments of `farthing bank peers`.
#[derive(Debug, Subcommand)]
pub(crate) enum PeersCommand {
    /// Open accounts with another bank, or change its limit or address
    Add(AddArgs),
    /// All banks with accounts here, and who owes whom
    List,
    /// Close the accounts with a bank, once nothing is owed or under way
    Remove(PeerArgs),
    /// Have cheques on a bank without accounts here collected by one that has
    Route(RouteArgs),
    /// Record money that moved between two banks outside; another operator approves it
    Settle(SettleArgs),
    /// Compare a day with the other bank's signed statement
    Statement(StatementArgs),
    /// Cheques sent to other banks and not answered
    Cheques,
}

/// Arguments of `farthing bank peers add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The bank's address, key included
    #[arg(value_name = "URL")]
    address: BankAddress,
    /// The most it may owe this bank, cheques under way included
    #[arg(long, value_name = "AMOUNT")]
    limit: Amount,
}

/// Arguments of `farthing bank peers remove`.
#[derive(Debug, Args)]
pub(crate) struct PeerArgs {
    /// The bank, peer1...
    peer: PeerId,
}

/// Arguments of `farthing bank peers route`.
#[derive(Debug, Args)]
pub(crate) struct RouteArgs {
    /// The address of the bank that cheques are drawn on, key included
    #[arg(value_name = "URL")]
    address: BankAddress,
    /// The bank with accounts here that passes them on, peer1...
    #[arg(long, value_name = "PEER")]
    via: PeerId,
}

/// Arguments of `farthing bank peers settle`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("way").required(true))]
pub(crate) struct SettleArgs {
    /// The bank, peer1...
    peer: PeerId,
    /// How much
    amount: Amount,
    /// It paid this bank
    #[arg(long = "in", group = "way")]
    paid_in: bool,
    /// This bank paid it
    #[arg(long = "out", group = "way")]
    paid_out: bool,
}

/// Arguments of `farthing bank peers statement`.
#[derive(Debug, Args)]
pub(crate) struct StatementArgs {
    /// The bank, peer1...
    peer: PeerId,
    /// Which day, counted from 1970 (UTC); yesterday if not given
    day: Option<u64>,
}

/// Runs a command of the group.
pub(super) async fn run(app: &App, command: PeersCommand) -> Result<(), Failure> {
    match command {
        PeersCommand::Add(args) => add(app, args).await,
        PeersCommand::List => list(app).await,
        PeersCommand::Remove(args) => remove(app, args.peer).await,
        PeersCommand::Route(args) => route(app, args).await,
        PeersCommand::Settle(args) => settle(app, &args).await,
        PeersCommand::Statement(args) => statement(app, &args).await,
        PeersCommand::Cheques => cheques(app).await,
    }
}

async fn add(app: &App, args: AddArgs) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let peer = connect(pinned(args.address)?).await?;
    let url = Text::new(peer.address().to_string()).ok_or_else(|| Failure::usage("the address is too long"))?;
    let ask = OpenPeer { bank: peer.bank(), network: peer.network(), url, limit: args.limit };
    let done = operator.bank.open_peer(operator.key(), Operator::id()?, &ask).await?;
    let name = peer.info().body().name.as_str().to_owned();
    app.out.result(&json!({ "bank": done.bank, "name": name, "limit": args.limit }), || {
        format!(
            "Accounts with {name} are open: it may owe {} at most.\nIts operator must open accounts with this bank too.",
            args.limit
        )
    })
}

/// An address without a key would open accounts with whoever answers there.
fn pinned(address: BankAddress) -> Result<BankAddress, Failure> {
    if address.bank().is_some() {
        return Ok(address);
    }
    Err(Failure::usage("the address does not name the bank's key").next("copy it whole, with #...bank=peer1..."))
}

async fn list(app: &App) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let list = operator.bank.peers(operator.key(), Operator::id()?).await?;
    let items = list.items.as_slice();
    let sum = |currency: Currency, micros: i64| signed(currency, micros.into());
    let json: Vec<_> = items
        .iter()
        .map(|peer| {
            let currency = peer.limit.currency();
            json!({
                "bank": peer.bank, "address": peer.url.as_str(), "owes": sum(currency, peer.owed),
                "under_way": sum(currency, peer.collecting), "limit": peer.limit,
                "compared_day": peer.compared, "reached": peer.reached.map(moment),
            })
        })
        .collect();
    app.out.result(&json!({ "peers": json }), || {
        if items.is_empty() {
            return "There are no accounts with other banks.".to_owned();
        }
        let columns = [
            Column::Text("bank"),
            Column::Number("owes us"),
            Column::Number("under way"),
            Column::Number("limit"),
            Column::Number("compared to day"),
            Column::Text("last reached (UTC)"),
            Column::Text("address"),
        ];
        let rows = items.iter().map(|peer| {
            let currency = peer.limit.currency();
            [
                peer.bank.to_string(),
                sum(currency, peer.owed),
                sum(currency, peer.collecting),
                peer.limit.to_string(),
                peer.compared.map_or_else(|| "-".to_owned(), |day| day.to_string()),
                peer.reached.map_or_else(|| "never".to_owned(), moment),
                peer.url.as_str().to_owned(),
            ]
        });
        table(&columns, rows)
    })
}

async fn remove(app: &App, bank: PeerId) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let done = operator.bank.close_peer(operator.key(), Operator::id()?, bank).await?;
    app.out.result(&json!({ "bank": done.bank }), || "The accounts are closed: no cheque goes or comes that way.")
}

async fn route(app: &App, args: RouteArgs) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let far = connect(pinned(args.address)?).await?;
    let ask = OpenRoute { bank: far.bank(), network: far.network(), via: args.via };
    let done = operator.bank.open_route(operator.key(), Operator::id()?, &ask).await?;
    app.out.result(&json!({ "bank": done.bank, "via": args.via }), || {
        format!("Cheques on {} go by way of {}.", far.info().body().name.as_str(), args.via.short())
    })
}

async fn settle(app: &App, args: &SettleArgs) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let ask = SettlePeer { bank: args.peer, amount: args.amount, paid: args.paid_out && !args.paid_in };
    match operator.bank.settle_peer(operator.key(), Operator::id()?, &ask).await? {
        Progress::Waiting { number, until } => {
            let json = json!({ "number": number, "until": moment(until) });
            app.out.result(&json, || {
                format!("Noted as number {number}. Another operator must approve it: farthing bank approve {number}")
            })
        }
        Progress::Done(_) => Err(Failure::other("the bank booked this without a second operator")),
    }
}

async fn statement(app: &App, args: &StatementArgs) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let today = SystemClock.now().as_millis() / DAY_MILLIS;
    let day = args.day.unwrap_or(today.saturating_sub(1));
    let found = operator.bank.peer_day(operator.key(), Operator::id()?, PeerDayOf { bank: args.peer, day }).await?;
    let PeerDay { paid, received, stated, agreed, discrepancies } = found;
    let wrong: Vec<_> = discrepancies.as_slice().iter().map(in_words).collect();
    let json = json!({
        "bank": args.peer, "day": day, "paid": paid, "received": received, "stated": stated, "agreed": agreed,
        "differs": wrong,
    });
    app.out.result(&json, || {
        let mut lines = vec![format!("Day {day}: this bank paid {paid}, the other {received}.")];
        lines.push(match (stated, wrong.is_empty()) {
            (false, _) if day >= today => "It is not over yet: banks ask each other for a day once it is.".to_owned(),
            (false, _) => "The other bank's statement of that day has not come yet; it is asked for.".to_owned(),
            (true, true) => format!("Its signed statement agrees in all {agreed} lines."),
            (true, false) => format!("Its signed statement agrees in {agreed} lines, and differs:"),
        });
        lines.extend(wrong.iter().map(|wrong| format!("  {wrong}")));
        lines.join("\n")
    })
}

fn in_words(difference: &Difference) -> String {
    match difference {
        Difference::Unheard(line) => {
            format!("cheque {} over {}: stated, its answer has not come yet", hex::encode(line.cheque.0), line.amount)
        }
        Difference::Denied { cheque, signed, stated } => {
            let stated = stated.map_or_else(|| "not at all".to_owned(), |stated| format!("as {stated}"));
            let cheque = hex::encode(cheque.0);
            format!("cheque {cheque}: cleared over {signed} by its signature, stated {stated}; evidence is filed")
        }
        Difference::Total { stated, signed } => format!("the lines agree, but it states {stated} in all, not {signed}"),
    }
}

async fn cheques(app: &App) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let list = operator.bank.cheques_under_way(operator.key(), Operator::id()?).await?;
    let items = list.items.as_slice();
    let why = |trouble: &Option<farthing_core::refusal::Refusal>| {
        trouble.as_ref().map_or_else(String::new, |why| why.detail.clone().into_owned())
    };
    let json: Vec<_> = items
        .iter()
        .map(|cheque| {
            json!({
                "cheque": hex::encode(cheque.cheque.0), "amount": cheque.amount, "for": cheque.taker,
                "at": cheque.next, "asked": cheque.tries, "trouble": cheque.trouble.as_ref().map(|why| &why.detail),
            })
        })
        .collect();
    app.out.result(&json!({ "cheques": json }), || {
        if items.is_empty() {
            return "No cheque is under way.".to_owned();
        }
        let columns = [
            Column::Text("cheque"),
            Column::Number("amount"),
            Column::Text("for"),
            Column::Text("now at"),
            Column::Number("asked"),
            Column::Text("last refused"),
        ];
        let rows = items.iter().map(|cheque| {
            [
                hex::encode(&cheque.cheque.0[..8]),
                cheque.amount.to_string(),
                cheque.taker.short(),
                cheque.next.short(),
                cheque.tries.to_string(),
                why(&cheque.trouble),
            ]
        });
        table(&columns, rows)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::super::Cli;

    #[test]
    fn every_command_about_other_banks_is_understood_and_money_has_a_direction() {
        let bank = farthing_core::id::PeerId([7; 32]);
        let url = format!("http://127.0.0.1:1#bank={bank}");
        let peer = bank.to_string();
        let understood = |words: &[&str]| Cli::try_parse_from([&["farthing", "bank", "peers"], words].concat()).is_ok();
        assert!(understood(&["add", &url, "--limit", "5 XTS"]) && !understood(&["add", &url]));
        assert!(understood(&["list"]) && understood(&["cheques"]) && understood(&["remove", &peer]));
        assert!(understood(&["route", &url, "--via", &peer]));
        assert!(understood(&["statement", &peer]) && understood(&["statement", &peer, "20000"]));
        assert!(understood(&["settle", &peer, "1 XTS", "--in"]) && understood(&["settle", &peer, "1 XTS", "--out"]));
        assert!(!understood(&["settle", &peer, "1 XTS"]) && !understood(&["settle", &peer, "1 XTS", "--in", "--out"]));
    }
}
