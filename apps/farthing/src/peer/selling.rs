//! Selling, until stopped.

use std::sync::Arc;
use std::time::Duration;

use farthing_core::amount::Amount;
use farthing_driver::SystemClock;
use farthing_index::client::IndexClient;
use farthing_peer::shop::{Folder, Price, Shelf, Shop, ShopConfig, ShopError, Takings};
use farthing_peer::talk::Deadlines;
use farthing_peer::wallet::Wallet;
use indicatif::ProgressBar;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::attendant::{Attendant, SELLS, start_node};
use super::request::Request;
use crate::cli::App;
use crate::cli::sell::{RedeemWhen, ServeArgs};
use crate::config::Settings;
use crate::control::{self, Control};
use crate::fail::Failure;
use crate::home::private_dir;
use crate::shares::{Share, Shares};
use crate::show::{count, spinner};
use crate::stop::{asked_to_stop, signalled};

/// How often the wallet looks after what falls due.
const TEND_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether it is time to redeem.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A shop that is open.
pub(crate) struct OpenShop {
    /// Answers other commands.
    pub(crate) attendant: Arc<Attendant>,
    /// What was sold so far.
    pub(crate) takings: watch::Receiver<Takings>,
    /// How many files are for sale, once that is known.
    pub(crate) files: watch::Receiver<Arc<Shelf>>,
    running: tokio::task::JoinHandle<Result<(), ShopError>>,
    stop: CancellationToken,
}

impl OpenShop {
    /// Opens a shop for these folders.
    pub(crate) fn open(wallet: Wallet, settings: &Settings, shares: &[Share]) -> Result<Self, Failure> {
        let index = settings.index.clone().map(|endpoint| IndexClient::new(endpoint, wallet.network())).transpose()?;
        let config = ShopConfig {
            folders: folders(shares),
            home: settings.home.join("shop"),
            index,
            deadlines: Deadlines::default(),
            clock: Arc::new(SystemClock),
        };
        let node = start_node(&wallet, settings, true)?;
        let shop = Shop::new(wallet.clone(), Arc::clone(&node), config)?;
        let (takings, files, shop_folders) = (shop.takings(), shop.shelf(), shop.folders());
        let stop = CancellationToken::new();
        let running = tokio::spawn(shop.run(stop.clone()));
        let attendant = Arc::new(Attendant::of_shop(node, shop_folders, wallet, settings.clone()));
        Ok(Self { attendant, takings, files, running, stop })
    }

    /// Waits until the shop closes by itself, which it does only if something fails.
    pub(crate) async fn closed(&mut self) -> Result<(), Failure> {
        match (&mut self.running).await {
            Ok(ended) => Ok(ended?),
            Err(error) => Err(Failure::other(error)),
        }
    }

    /// Closes it: buyers get their releases, the index is told, the wallet is closed.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.stop.cancel();
        let ended = self.running.await.map_err(Failure::other)?;
        self.attendant.wallet().close().await;
        Ok(ended?)
    }
}

/// The folders as a shop takes them.
pub(super) fn folders(shares: &[Share]) -> Vec<Folder> {
    let folder = |share: &Share| Folder {
        path: share.folder.clone(),
        price: Price { amount: share.price, per: share.per.into() },
        tags: Vec::new(),
        hidden: false,
    };
    shares.iter().map(folder).collect()
}

/// Has the seller that is running in this home, if there is one, sell what the shares say now;
/// false if none is running.
pub(crate) async fn tell_running(app: &App) -> Result<bool, Failure> {
    let waiting = spinner(app.out, "telling the seller that is running");
    let answer = control::ask(&app.settings.home, &Request::Reshare.to_json()?, drop).await;
    waiting.finish_and_clear();
    match answer {
        None => Ok(false),
        Some(Ok(answer)) => Ok(says_it_sells(&answer)),
        Some(Err(failure)) => Err(failure),
    }
}

/// Whether the process that answered has a shop open, and is not one that pays or looks.
fn says_it_sells(answer: &serde_json::Value) -> bool {
    answer.get("words").is_some_and(|words| words == SELLS)
}

/// Whether a process of this home has a shop or a door open.
pub(super) async fn is_open(settings: &Settings) -> Result<bool, Failure> {
    let there = control::ask(&settings.home, &Request::Ping.to_json()?, drop).await;
    Ok(there.is_some_and(|answer| answer.is_ok_and(|answer| says_it_sells(&answer))))
}

/// Sells what is shared, until stopped.
pub(crate) async fn serve(app: &App, args: ServeArgs) -> Result<(), Failure> {
    if is_open(&app.settings).await? {
        return Err(Failure::damaged("a seller is running in this home already")
            .next("leave it running: farthing share changes what it sells; or stop it first"));
    }
    let shares = Shares::read(&app.settings.home)?.all;
    if shares.is_empty() {
        return Err(Failure::usage("nothing is shared").next("farthing share FOLDER --price \"0.0005 XTS\""));
    }
    // Whoever can enter the home can ask this process to pay.
    private_dir(&app.settings.home)?;
    let threshold = threshold(&app.settings, args.redeem)?;
    let wallet = super::open(&app.settings).await?;
    if app.settings.index.is_none() {
        app.out.warn("no index is named, so nobody will find what you sell; add --index URL");
    }
    let mut shop = OpenShop::open(wallet, &app.settings, &shares)?;
    let control = Control::listen(&app.settings.home)?;
    let answering = tokio::spawn(control.serve(Arc::clone(&shop.attendant)));
    let wallet = shop.attendant.wallet().clone();
    let tending = tokio::spawn(async move { wallet.tend(TEND_EVERY).await });
    let delivering = tokio::spawn(super::money::act::keep_handing_over(Arc::clone(&shop.attendant)));
    let redeeming = tokio::spawn(redeem_now_and_then(Arc::clone(&shop.attendant), args.redeem, threshold));
    let line = spinner(app.out, "looking through the folders");
    let showing = tokio::spawn(show(app.out, line.clone(), shop.files.clone(), shop.takings.clone(), shares.len()));
    let ended = tokio::select! {
        () = asked_to_stop(args.stop) => Ok(()),
        ended = shop.closed() => Err(ended.err().unwrap_or_else(|| Failure::other("the shop has closed"))),
    };
    for task in [showing, redeeming, tending, answering, delivering] {
        task.abort();
        let _ = task.await;
    }
    line.finish_and_clear();
    ended?;
    app.out.note("Closing; buyers get what they paid for.");
    let sold = *shop.takings.borrow();
    shop.close().await?;
    app.out.note(format_args!("{} sold in {}.", count(sold.pieces, "piece"), count(sold.visits, "visit")));
    Ok(())
}

/// Says what is for sale, then keeps one line about what was sold.
async fn show(
    out: crate::show::Out,
    line: ProgressBar,
    mut files: watch::Receiver<Arc<Shelf>>,
    mut takings: watch::Receiver<Takings>,
    folders: usize,
) {
    if files.changed().await.is_err() {
        return;
    }
    let found = files.borrow().len() as u64;
    let words =
        || format!("{} of {} for sale. Stop with Ctrl-C.", count(found, "file"), count(folders as u64, "folder"));
    line.suspend(|| {
        // A reader that went away does not keep the shop from selling.
        let _ = out.announce(&json!({ "selling": found, "folders": folders }), words);
    });
    loop {
        let (sold, found) = (*takings.borrow_and_update(), files.borrow_and_update().len() as u64);
        let (pieces, visits) = (count(sold.pieces, "piece"), count(sold.visits, "visit"));
        line.set_message(format!("{} for sale, {pieces} sold in {visits}", count(found, "file")));
        let changed = tokio::select! {
            changed = takings.changed() => changed,
            changed = files.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Redeems by threshold or by timer until stopped, without selling.
pub(crate) async fn keep_redeeming(app: &App, when: RedeemWhen) -> Result<(), Failure> {
    let threshold = threshold(&app.settings, when)?;
    let wallet = super::open(&app.settings).await?;
    let attendant = Arc::new(Attendant::new(wallet.clone(), app.settings.clone()));
    app.out.note("Redeeming when it is time. Stop with Ctrl-C.");
    tokio::select! {
        () = signalled() => {}
        () = redeem_now_and_then(attendant, when, threshold) => {}
    }
    wallet.close().await;
    Ok(())
}

fn threshold(settings: &Settings, when: RedeemWhen) -> Result<Option<Amount>, Failure> {
    when.threshold.map(|typed| typed.amount(super::currency(settings)?)).transpose()
}

/// Redeems as often as asked for; does nothing, for ever, if it was not asked for.
async fn redeem_now_and_then(attendant: Arc<Attendant>, when: RedeemWhen, threshold: Option<Amount>) {
    if threshold.is_none() && when.every.is_none() {
        return std::future::pending().await;
    }
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut last = tokio::time::Instant::now();
    loop {
        look.tick().await;
        let by_time = when.every.is_some_and(|every| last.elapsed() >= *every);
        let by_amount = match (threshold, attendant.wallet().earnings().await) {
            (Some(threshold), Ok(earnings)) => {
                !earnings.unclaimed.is_zero() && earnings.unclaimed.as_micros() >= threshold.as_micros()
            }
            _ => false,
        };
        if !by_time && !by_amount {
            continue;
        }
        match attendant.redeem().await {
            Ok(redeemed) => tracing::info!(paid = %redeemed.paid, "redeemed"),
            Err(why) => tracing::warn!(%why, "could not redeem; it is tried again"),
        }
        last = tokio::time::Instant::now();
    }
}

impl From<ShopError> for Failure {
    fn from(error: ShopError) -> Self {
        let gone = matches!(error, ShopError::NotAFolder(_) | ShopError::Disk { .. });
        let failure = Self::other(error);
        if gone { failure.next("if a folder is gone: farthing share --remove FOLDER") } else { failure }
    }
}
