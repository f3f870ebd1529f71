//! Selling: `farthing share`, `serve`, `earnings`, `redeem`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{App, Typed};
use crate::fail::{Context, Failure};
use crate::peer::{self, Request};
use crate::shares::{PricePer, Share, Shares};
use crate::show::{Column, table};
use crate::stop::StopArgs;

/// Arguments of `farthing share`.
#[derive(Debug, Args)]
pub(crate) struct ShareArgs {
    /// The folder; everything below it is for sale, hidden files excepted
    #[arg(required_unless_present = "list")]
    folder: Option<PathBuf>,
    /// What it costs, such as "0.0005 XTS"; 0 to give it away
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, required_unless_present_any = ["remove", "list"])]
    price: Option<Typed>,
    /// What the price is for: a piece of 256 KiB, a MiB, or a whole file
    #[arg(long, value_enum, default_value = "piece")]
    per: PricePer,
    /// Sell this folder no more
    #[arg(long, conflicts_with = "price")]
    remove: bool,
    /// Show what is shared
    #[arg(long, conflicts_with_all = ["price", "remove", "folder"])]
    list: bool,
    /// Remember the folder, and leave selling to `farthing serve`
    #[arg(long)]
    no_serve: bool,
    #[command(flatten)]
    serving: ServeArgs,
}

/// Arguments of `farthing serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) redeem: RedeemWhen,
    #[command(flatten)]
    pub(crate) stop: StopArgs,
}

/// When to redeem without being asked.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct RedeemWhen {
    /// Redeem as soon as this much was earned
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    pub(crate) threshold: Option<Typed>,
    /// Redeem every so often, such as 6h
    #[arg(long, value_name = "TIME")]
    pub(crate) every: Option<humantime::Duration>,
}

/// Arguments of `farthing redeem`.
#[derive(Debug, Args)]
pub(crate) struct RedeemArgs {
    /// Only see what would be redeemed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    when: RedeemWhen,
}

/// Shares a folder and serves.
pub(crate) async fn share(app: &App, args: ShareArgs) -> Result<(), Failure> {
    let home = &app.settings.home;
    let mut shares = Shares::read(home)?;
    if args.list {
        return list(app, &shares);
    }
    let given = args.folder.unwrap_or_default();
    let found = given.canonicalize();
    let Some(price) = args.price else {
        // One that is gone is known by where it was.
        let folder = found.or_else(|_| std::path::absolute(given))?;
        if !shares.remove(&folder) {
            return Err(
                Failure::usage(format_args!("{} is not shared", folder.display())).next("farthing share --list")
            );
        }
        shares.write(home)?;
        let running = peer::tell_running(app).await?;
        return app.out.result(&json!({ "removed": folder, "taken_over": running }), || {
            format!("{} is shared no more.{}", folder.display(), taken_over(running))
        });
    };
    let folder = found.map_err(|error| Failure::usage(format_args!("cannot share {}: {error}", given.display())))?;
    if !folder.is_dir() {
        return Err(
            Failure::usage(format_args!("{} is not a folder", folder.display())).next("share the folder it is in")
        );
    }
    let price = price.amount(peer::currency(&app.settings)?)?;
    shares.add(Share { folder: folder.clone(), price, per: args.per })?;
    shares.write(home).or_fail("the share is not remembered")?;
    let running = peer::tell_running(app).await?;
    if args.no_serve || running {
        let when = if running { "now" } else { "as soon as `farthing serve` runs" };
        return app.out.result(&json!({ "shared": folder, "price": price, "taken_over": running }), || {
            format!("{} is for sale {when}.{}", folder.display(), taken_over(running))
        });
    }
    serve(app, args.serving).await
}

const fn taken_over(running: bool) -> &'static str {
    if running { " The seller that is running has taken it over." } else { "" }
}

fn list(app: &App, shares: &Shares) -> Result<(), Failure> {
    app.out.result(&json!({ "shares": shares.all }), || {
        if shares.all.is_empty() {
            return "Nothing is shared. Begin with: farthing share FOLDER --price \"0.0005 XTS\"".to_owned();
        }
        let rows = shares.all.iter().map(|share| {
            let per = format!("a {:?}", share.per).to_lowercase();
            [share.folder.display().to_string(), share.price.to_string(), per]
        });
        table(&[Column::Text("folder"), Column::Number("price"), Column::Text("per")], rows)
    })
}

/// Serves what was shared before.
pub(crate) async fn serve(app: &App, args: ServeArgs) -> Result<(), Failure> {
    peer::serve(app, args).await
}

/// Shows what was earned.
pub(crate) async fn earnings(app: &App) -> Result<(), Failure> {
    let reply = peer::ask(app, Request::Earnings).await?;
    app.out.result(&reply, || peer::words::earnings(&reply))
}

/// Redeems, once or again and again.
pub(crate) async fn redeem(app: &App, args: RedeemArgs) -> Result<(), Failure> {
    if args.dry_run {
        let reply = peer::ask(app, Request::Earnings).await?;
        return app.out.result(&reply, || peer::words::would_redeem(&reply));
    }
    if args.when.threshold.is_some() || args.when.every.is_some() {
        return peer::keep_redeeming(app, args.when).await;
    }
    let reply = peer::ask(app, Request::Redeem).await?;
    app.out.result(&reply, || peer::words::redeemed(&reply))
}
