//! Buying: `farthing search` and `buy`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::pay::By;
use super::{App, Typed};
use crate::fail::{Failure, Kind};
use crate::peer::{self, Bought, Buy, Request, find, policy, words};
use crate::show::{bar, confirm, count};
use farthing_peer::talk::handover::LOT_MAX;

/// Arguments of `farthing search`.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Words that must all occur
    #[arg(required = true)]
    words: Vec<String>,
    /// At most so many hits
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: u32,
}

/// Arguments of `farthing buy`.
#[derive(Debug, Args)]
pub(crate) struct BuyArgs {
    /// The content's identifier (content1...), or the number of a hit of the last search
    what: String,
    /// The folder for the file [default: the current one, or `downloads` of the configuration]
    #[arg(long, short = 'o', value_name = "DIR")]
    out: Option<PathBuf>,
    /// The most it may cost
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    max: Option<Typed>,
    /// Where --max is not enough for all of it, buy as much as it pays for
    #[arg(long)]
    partial: bool,
    /// By which scheme: netpay pays piece by piece, draft and clearing pay for up to 256 pieces together
    #[arg(long, value_enum, default_value = "auto")]
    scheme: By,
    /// Only see what it would cost
    #[arg(long)]
    dry_run: bool,
}

/// Finds files for sale.
pub(crate) async fn search(app: &App, args: SearchArgs) -> Result<(), Failure> {
    let found = find::search(app, &args.words.join(" "), args.limit).await?;
    app.out.result(&found, || words::found(&found))
}

/// What a purchase would be.
#[derive(Debug, Serialize)]
struct DryRun<'a> {
    dry_run: bool,
    offer: &'a find::Offers,
}

/// By which scheme, and why: what a seller is trusted with goes with it.
fn how(by: By, offers: &find::Offers) -> Result<String, Failure> {
    let piece = offers.piece_price;
    Ok(match by {
        By::Auto | By::Netpay => format!(
            "By netpay, because many small payments cost one hash each, and the bank is not asked. A seller is trusted \
             with one piece at a time, {piece}."
        ),
        By::Draft | By::Clearing => {
            let together = offers.pieces.min(LOT_MAX);
            let most = piece.checked_mul(together).map_err(Failure::other)?;
            let scheme = if by == By::Draft { "draft" } else { "clearing" };
            format!(
                "By {scheme}, because it was asked for. A seller is trusted with up to {} at a time, {most}.",
                count(together, "piece")
            )
        }
        By::Coupon => {
            return Err(Failure::usage("coupons pay web services, by the request").next("farthing get URL"));
        }
    })
}

/// Buys a file.
pub(crate) async fn buy(app: &App, args: BuyArgs) -> Result<(), Failure> {
    let content = find::content(app, &args.what)?;
    let offers = find::offers(app, content).await?;
    if let Some(url) = &offers.service {
        return Err(Failure::usage("this is a service and no file: it is paid for by the request")
            .next(format_args!("farthing get '{url}'")));
    }
    let most = match args.max {
        Some(max) => max.amount(offers.total.currency())?,
        None => offers.total,
    };
    if args.dry_run {
        return app.out.result(&DryRun { dry_run: true, offer: &offers }, || words::offer(&offers));
    }
    app.out.note(words::offer(&offers));
    app.out.note(how(args.scheme, &offers)?);
    // A limit is the owner's word, unless the owner wants to be asked about so much.
    let said = app.yes || (args.max.is_some() && !policy::asks_above(app, most)?);
    if !confirm(said, &format!("Buy it for at most {most}?"))? {
        return Err(Failure::usage("not confirmed; nothing was bought"));
    }
    let folder = args.out.unwrap_or_else(|| app.settings.downloads.clone());
    let folder = std::path::absolute(folder)?;
    let index = app.settings.index()?.to_string();
    let request =
        Request::Buy(Buy { content, folder, most, partial: args.partial, scheme: args.scheme.wanted(), index });
    let progress = bar(app.out, offers.size);
    let bought: Result<Bought, Failure> = peer::ask_with(app, request, |at: peer::Progress| {
        progress.set_position(at.bytes);
        progress.set_message(format!("{} spent", at.spent));
    })
    .await;
    progress.finish_and_clear();
    let bought = bought?;
    app.out.result(&bought, || words::bought(&bought))?;
    // Why it is not complete was told; it shows in the exit code too.
    match bought.stopped.as_deref() {
        None => Ok(()),
        Some("no-seller") => Err(Failure::told(Kind::NotReachable)),
        Some("budget" | "wallet") => Err(Failure::told(Kind::Funds)),
        Some(_) => Err(Failure::told(Kind::Other)),
    }
}
