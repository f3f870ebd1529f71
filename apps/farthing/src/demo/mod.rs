//! `farthing demo`: a bank, an index and three peers on this machine, nothing to configure.
//!
//! Bank and index are processes of their own, so that the bank can be killed for real in the middle
//! of a purchase. The peers run in this process. Everything lives in a folder of its own, which is
//! removed in the end unless it is to be kept. One module for each step.

mod alone;
mod children;
mod cost;
mod goods;
mod market;
mod print;
mod report;
mod settle;
mod trade;

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::App;
use crate::cli::demo::DemoArgs;
use crate::control::Control;
use crate::fail::{Context, Failure, Kind};
use crate::stop::signalled;

use market::Market;
use print::Story;

/// Runs the demo until its end, or until Ctrl-C.
pub(crate) async fn run(app: &App, args: DemoArgs) -> Result<(), Failure> {
    let folder = tempfile::Builder::new().prefix("farthing-demo-").tempdir();
    let folder = folder.or_fail("cannot make a folder for the demo")?;
    let story = Story::new(app.out);
    // Dropping what was started ends it; the folder goes last.
    let done = tokio::select! {
        done = play(app, &args, folder.path().to_owned(), &story) => done,
        () = signalled() => Err(Failure::new(Kind::Other, "stopped; everything was removed")),
    };
    let (report, market) = done?;
    let balanced = report.is_right();
    app.out.result(&report, || report::words(&report))?;
    if args.keep {
        keep(app, &report, market, folder.keep()).await?;
    } else {
        market.close().await?;
        app.out.note("\nTry it by hand: farthing demo --keep");
    }
    if balanced { Ok(()) } else { Err(Failure::told(Kind::Damaged)) }
}

async fn play(app: &App, args: &DemoArgs, folder: PathBuf, story: &Story) -> Result<(report::Report, Market), Failure> {
    let began = std::time::Instant::now();
    let goods = goods::spread(args.folder.as_deref(), &[folder.join("ada/goods"), folder.join("ben/goods")])?;
    let mut market = Market::open(&folder, story).await?;
    market.share(&goods, story).await?;
    let before = settle::books(&market).await?;
    let trade = trade::buy(&mut market, &goods, app.out, story).await?;
    let redeemed = settle::redeem(&mut market, story).await?;
    let after = settle::books(&market).await?;
    story.step("Another process recomputes every balance of the bank from its journal");
    let costs = cost::of(&mut market, &trade).await?;
    let report = report::Report::of(
        report::Parts { trade, costs, alone: alone::time()?, redeemed, before, after },
        began.elapsed(),
    )?;
    Ok((report, market))
}

/// Leaves it running, and says how to go on by hand.
async fn keep(app: &App, report: &report::Report, market: Market, folder: PathBuf) -> Result<(), Failure> {
    let mut answering = Vec::new();
    for seller in &market.sellers {
        let control = Control::listen(&seller.home)?;
        answering.push(tokio::spawn(control.serve(Arc::clone(&seller.shop.attendant))));
    }
    // The buyer's wallet is the user's now.
    market.buyer.attendant.wallet().close().await;
    app.out.note(report::by_hand(report, &market, &folder));
    signalled().await;
    for task in answering {
        task.abort();
        let _ = task.await;
    }
    market.close().await?;
    std::fs::remove_dir_all(&folder).or_fail(format_args!("cannot remove {}", folder.display()))?;
    app.out.note(format_args!("Stopped, and removed {}.", folder.display()));
    Ok(())
}
