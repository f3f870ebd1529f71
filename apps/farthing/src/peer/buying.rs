//! Buying with an open wallet.

use std::sync::Arc;

use farthing_core::amount::Amount;
use farthing_driver::{Clock, SystemClock};
use farthing_index::client::IndexClient;
use farthing_index::store::{PAGE_MAX, Page};
use farthing_net::content::{FileName, safe_name};
use farthing_peer::buyer::{Buyer, Left, Outcome, Purchase, Report, Seller, Stopped, sellers_of};
use farthing_peer::talk::Deadlines;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::attendant::Attendant;
use super::request::{Bought, Buy, Progress, SellerPaid};
use crate::control;
use crate::fail::{Context, Failure, Kind};

/// Finds the sellers and buys.
pub(super) async fn buy(at: &Attendant, buy: Buy, progress: control::Progress) -> Result<Bought, Failure> {
    let endpoint = buy.index.parse().map_err(Failure::usage)?;
    let index = IndexClient::new(endpoint, at.wallet().network())?;
    let found = index.sellers_of(&buy.content, Page::new(0, PAGE_MAX), SystemClock.now()).await?;
    let sellers = sellers_of(&buy.content, &found.offers);
    if sellers.is_empty() {
        return Err(Failure::new(Kind::NotReachable, "nobody sells this at the moment")
            .next("try again later, or search for something like it"));
    }
    let currency = at.wallet().settings().currency();
    let (tell, told) = watch::channel(farthing_peer::buyer::Progress::default());
    let passing_on = tokio::spawn(pass_on(told, progress, currency.zero()));
    // Under the name it is listed by, so that what is there already is not bought again.
    let name = found.offers.first().and_then(|offer| safe_name(offer.listing().title.as_str()).ok());
    let report = fetch(at, &buy, name, sellers, tell, CancellationToken::new()).await;
    passing_on.abort();
    Ok(bought(&buy, &report?, currency.zero()))
}

/// Buys from these sellers.
pub(crate) async fn fetch(
    at: &Attendant,
    buy: &Buy,
    name: Option<FileName>,
    sellers: Vec<Seller>,
    progress: watch::Sender<farthing_peer::buyer::Progress>,
    stop: CancellationToken,
) -> Result<Report, Failure> {
    std::fs::create_dir_all(&buy.folder).or_fail(format_args!("cannot make {}", buy.folder.display()))?;
    let buyer = Buyer {
        pocket: at.wallet().clone(),
        node: Arc::clone(at.node().await?),
        clock: Arc::new(SystemClock),
        deadlines: Deadlines::default(),
    };
    let purchase = Purchase {
        content: buy.content,
        sellers,
        folder: buy.folder.clone(),
        name,
        budget: Some(buy.most),
        price_max: None,
    };
    buyer
        .buy(purchase, progress, stop)
        .await
        .map_err(|error| Failure::other(error).next("mend that and buy again: nothing is paid twice"))
}

async fn pass_on(mut told: watch::Receiver<farthing_peer::buyer::Progress>, progress: control::Progress, zero: Amount) {
    while told.changed().await.is_ok() {
        let at = told.borrow_and_update().clone();
        let at = Progress { pieces: at.pieces, of: at.of, bytes: at.bytes, spent: at.spent.unwrap_or(zero) };
        let Ok(value) = serde_json::to_value(at) else { return };
        // A slow reader misses some of it.
        if let Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) = progress.try_send(value) {
            return;
        }
    }
}

/// The report in the words of the answer.
pub(crate) fn bought(buy: &Buy, report: &Report, zero: Amount) -> Bought {
    let (file, missing, why) = match &report.outcome {
        Outcome::Complete(path) => (Some(path.clone()), None, None),
        Outcome::Partial { missing, why } => (None, *missing, Some(why)),
    };
    let our_wallet = report.sellers.iter().find_map(|seller| match &seller.left {
        Some(Left::Wallet(why)) => Some(why.to_string()),
        _ => None,
    });
    let stopped = why.map(|why| match why {
        Stopped::NoSeller if our_wallet.is_some() => "wallet",
        Stopped::NoSeller => "no-seller",
        Stopped::Budget => "budget",
        Stopped::Asked => "asked",
        Stopped::Disk(_) => "disk",
    });
    let sellers = report.sellers.iter().map(|seller| SellerPaid {
        seller: seller.seller,
        pieces: seller.pieces,
        payments: seller.payments,
        paid: seller.paid.unwrap_or(zero),
        receipts: seller.receipts.len(),
        left: seller.left.as_ref().map(ToString::to_string),
        cheated: seller.left.as_ref().is_some_and(Left::is_a_cheat),
    });
    Bought {
        file,
        content: buy.content,
        pieces_before: report.pieces_before,
        paid: report.paid.unwrap_or(zero),
        seconds: report.time.as_secs_f64(),
        sellers: sellers.collect(),
        missing,
        why: why.map(|why| our_wallet.unwrap_or_else(|| why.to_string())),
        stopped: stopped.map(str::to_owned),
        cost: report.cost().into(),
    }
}
