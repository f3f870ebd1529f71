//! Finding what to buy.

use farthing_core::amount::Amount;
use farthing_core::id::{ContentId, NetworkId, PeerId};
use farthing_driver::{Clock, SystemClock};
use farthing_index::client::{IndexClient, Offer};
use farthing_index::store::{PAGE_MAX, Page};
use serde::Serialize;

use crate::cli::App;
use crate::fail::{Context, Failure, Kind};
use crate::show::spinner;

/// The file in the home folder that remembers the hits of the last search.
const LAST_SEARCH: &str = "last-search.json";

/// What a search found.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    /// The hits, one for each content, best first.
    pub(crate) hits: Vec<Offers>,
    /// Listings that did not prove themselves.
    pub(crate) dropped: usize,
    /// There is more.
    pub(crate) more: bool,
}

/// One content, and who sells it.
#[derive(Debug, Serialize)]
pub(crate) struct Offers {
    /// By this number it can be bought.
    pub(crate) number: usize,
    /// Which content.
    pub(crate) content: ContentId,
    /// What its first seller calls it.
    pub(crate) title: String,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// In so many pieces.
    pub(crate) pieces: u64,
    /// What a piece costs at the least.
    pub(crate) piece_price: Amount,
    /// What all of it costs at the most.
    pub(crate) total: Amount,
    /// Who sells it.
    pub(crate) sellers: Vec<PeerId>,
    /// Where requests are paid for, if it is no file but a service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
}

impl Offers {
    fn of(number: usize, offers: &[&Offer]) -> Option<Self> {
        let first = offers.first()?.listing();
        let pieces = first.size.div_ceil(u64::from(first.piece));
        let prices = || offers.iter().map(|offer| offer.listing().price);
        let dearest = prices().max_by_key(|price| price.as_micros())?;
        Some(Self {
            number,
            content: first.content,
            title: first.title.to_string(),
            size: first.size,
            pieces,
            piece_price: prices().min_by_key(|price| price.as_micros())?,
            total: dearest.checked_mul(pieces).ok()?,
            sellers: offers.iter().map(|offer| offer.seller()).collect(),
            service: first.service().map(str::to_owned),
        })
    }
}

/// Searches, and remembers the hits by their numbers.
pub(crate) async fn search(app: &App, query: &str, limit: u32) -> Result<Found, Failure> {
    let waiting = spinner(app.out, "searching");
    let found = client(app).await?.search(query, Page::new(0, limit.min(PAGE_MAX)), SystemClock.now()).await?;
    waiting.finish_and_clear();
    let mut contents: Vec<ContentId> = Vec::new();
    for offer in &found.offers {
        if !contents.contains(&offer.listing().content) {
            contents.push(offer.listing().content);
        }
    }
    let hits = contents.iter().enumerate().filter_map(|(at, content)| {
        let same: Vec<&Offer> = found.offers.iter().filter(|offer| offer.listing().content == *content).collect();
        Offers::of(at + 1, &same)
    });
    let found = Found { hits: hits.collect(), dropped: found.dropped, more: found.next.is_some() };
    remember(app, &contents);
    Ok(found)
}

/// Who sells a content, and for how much.
pub(crate) async fn offers(app: &App, content: ContentId) -> Result<Offers, Failure> {
    let waiting = spinner(app.out, "asking who sells it");
    let found = client(app).await?.sellers_of(&content, Page::new(0, PAGE_MAX), SystemClock.now()).await?;
    waiting.finish_and_clear();
    let all: Vec<&Offer> = found.offers.iter().collect();
    Offers::of(1, &all).ok_or_else(|| {
        Failure::new(Kind::NotReachable, "nobody sells this at the moment")
            .next("try again later, or search for something like it")
    })
}

/// Reads what the user wants: an identifier, or the number of a hit.
pub(crate) fn content(app: &App, what: &str) -> Result<ContentId, Failure> {
    let Ok(number) = what.parse::<usize>() else {
        return what.parse().map_err(|why| Failure::usage(why).next("give content1... whole, or the number of a hit"));
    };
    let path = app.settings.home.join(LAST_SEARCH);
    let last: Vec<ContentId> = std::fs::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| Failure::usage("nothing was searched for yet").next("farthing search WORDS"))?;
    let hit = number.checked_sub(1).and_then(|at| last.get(at));
    hit.copied().ok_or_else(|| {
        Failure::usage(format_args!("the last search has no hit number {number}")).next("farthing search WORDS")
    })
}

/// A client of the index for the network of the wallet, or of the bank that is named.
async fn client(app: &App) -> Result<IndexClient, Failure> {
    Ok(IndexClient::new(app.settings.index()?.clone(), network(app).await?)?)
}

async fn network(app: &App) -> Result<NetworkId, Failure> {
    match super::wallet_settings(&app.settings) {
        Ok(wallet) => Ok(wallet.bank.network),
        Err(_) => Ok(crate::cli::bank::connect(app.settings.bank()?.clone()).await?.network()),
    }
}

fn remember(app: &App, contents: &[ContentId]) {
    let remembered = crate::home::private_dir(&app.settings.home).and_then(|()| {
        let bytes = serde_json::to_vec(contents).map_err(Failure::other)?;
        std::fs::write(app.settings.home.join(LAST_SEARCH), bytes).or_fail("the hits cannot be remembered")
    });
    if let Err(why) = remembered {
        app.out.warn(why);
    }
}
