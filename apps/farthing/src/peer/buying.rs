//! Buying with an open wallet.

use std::sync::Arc;

use farthing_core::amount::Amount;
use farthing_core::id::PeerId;
use farthing_core::refusal::Money;
use farthing_driver::{Clock, SystemClock};
use farthing_index::client::{IndexClient, Offer};
use farthing_index::store::{PAGE_MAX, Page};
use farthing_net::content::{FileName, Manifest, safe_name};
use farthing_net::peer::OpenError;
use farthing_peer::buyer::{Buyer, Left, Outcome, Purchase, Report, Seller, Stopped, missing, sellers_of};

use farthing_peer::talk::Deadlines;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::attendant::Attendant;
use super::remedy;
use super::request::{Bought, Buy, Progress, SellerPaid};
use crate::control;
use crate::fail::{Context, Failure, Kind};
use crate::show::count;

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
    // Under the name it is listed by, so that what is there already is not bought again.
    let name = found.offers.first().and_then(|offer| safe_name(offer.listing().title.as_str()).ok());
    let dearest = if buy.partial { None } else { dearest_for_all(&buy, name.as_ref(), &found.offers).await? };
    let (tell, told) = watch::channel(farthing_peer::buyer::Progress::default());
    let passing_on = tokio::spawn(pass_on(told, progress, currency.zero()));
    let report = fetch(at, &buy, (name, dearest), sellers, tell, CancellationToken::new()).await;
    passing_on.abort();
    Ok(bought(&buy, &report?, currency.zero()))
}

/// What a piece may cost so that the money is enough for all that is missing, whoever sells it; none
/// if nothing is.
///
/// # Errors
/// [`Kind::Funds`] if even the cheapest seller asks more. Nothing was paid.
async fn dearest_for_all(buy: &Buy, name: Option<&FileName>, offers: &[Offer]) -> Result<Option<Amount>, Failure> {
    let Some(cheapest) = offers.iter().map(Offer::listing).min_by_key(|listing| listing.price.as_micros()) else {
        return Ok(None);
    };
    let manifest = Manifest { root: buy.content, size: cheapest.size };
    let pieces = missing(&buy.folder, name, manifest).await;
    let Some(each) = buy.most.as_micros().checked_div(pieces) else { return Ok(None) };
    if cheapest.price.as_micros() <= each {
        return Ok(Some(buy.most.currency().micros(each).map_err(Failure::other)?));
    }
    let cost = cheapest.price.checked_mul(pieces).map_err(Failure::other)?;
    let what =
        format_args!("{} would cost {cost} at the least, more than {}", count(pieces, "missing piece"), buy.most)
            .to_string();
    Err(Failure::new(Kind::Funds, what)
        .money(Money::Unmoved)
        .next(format_args!("raise --max to {cost}, or add --partial to buy as much as {} pays for", buy.most)))
}

/// Buys from these sellers; a name may be known, and what a piece may cost.
pub(crate) async fn fetch(
    at: &Attendant,
    buy: &Buy,
    (name, price_max): (Option<FileName>, Option<Amount>),
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
        price_max,
        together: buy.scheme,
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

/// In one sentence; what the network says of it in detail is logged.
fn why_left(seller: PeerId, left: &Left) -> String {
    match left {
        Left::Unreachable(OpenError::Unreachable(details)) => {
            tracing::info!(seller = %seller.short(), %details, "a peer cannot be reached");
            "the peer cannot be reached".to_owned()
        }
        left => left.to_string(),
    }
}

/// The report in the words of the answer.
pub(crate) fn bought(buy: &Buy, report: &Report, zero: Amount) -> Bought {
    let (file, missing, why) = match &report.outcome {
        Outcome::Complete(path) => (Some(path.clone()), None, None),
        Outcome::Partial { missing, why } => (None, *missing, Some(why)),
    };
    let our_wallet = report.sellers.iter().find_map(|seller| match &seller.left {
        Some(Left::Wallet(why)) => Some((why.to_string(), why.0.downcast_ref().and_then(remedy))),
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
        left: seller.left.as_ref().map(|left| why_left(seller.seller, left)),
        cheated: seller.left.as_ref().is_some_and(Left::is_a_cheat),
    });
    let (our_wallet, next) = our_wallet.unzip();
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
        next: next.flatten(),
        cost: report.cost().into(),
    }
}
