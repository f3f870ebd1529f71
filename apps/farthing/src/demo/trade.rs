//! The purchase: from two sellers at once, the bank killed in the middle of it.

use std::path::Path;
use std::time::Duration;

use farthing_core::id::ContentId;
use farthing_driver::{Clock, SystemClock};
use farthing_index::client::IndexClient;
use farthing_index::store::Page;
use farthing_peer::buyer::{Outcome, Progress, Report, sellers_of};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::goods::Goods;
use super::market::{Market, price};
use super::print::Story;
use crate::fail::{Context, Failure, Kind};
use crate::peer::buying::{bought, fetch};
use crate::peer::request::{Bought, Buy};
use crate::show::{Out, bar, bytes, count};

/// How long the index may take to hear of everything.
const FIND_TIME: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// The bank is killed once one in so many pieces is there.
const KILL_AT: u64 = 8;

/// What came of the purchase.
pub(super) struct Trade {
    /// The purchase, in the words of `farthing buy`.
    pub(super) bought: Bought,
    /// What it is called.
    pub(super) title: String,
    /// Its length.
    pub(super) size: u64,
    /// How many pieces it has.
    pub(super) pieces: u64,
    /// How many of them were bought while there was no bank.
    pub(super) without_bank: u64,
    /// Whether what was bought is what was sold, byte for byte.
    pub(super) identical: bool,
}

/// Searches, and buys the largest file.
pub(super) async fn buy(market: &mut Market, goods: &Goods, out: Out, story: &Story) -> Result<Trade, Failure> {
    let index = IndexClient::new(market.index_endpoint()?, market.buyer.attendant.wallet().network())?;
    let (content, size, sellers) = find(&index, goods, market.sellers.len()).await?;
    let pieces = size.div_ceil(farthing_net::content::PIECE_BYTES as u64);
    let most = price()?.checked_mul(pieces).map_err(Failure::other)?;
    story.step(format_args!("Cleo searches for \"{}\" and finds 2 sellers of the same content", query(&goods.largest)));
    story.more(format_args!("{}, {} in {}, {most}", goods.largest, bytes(size), count(pieces, "piece")));

    let folder = market.buyer.home.join("bought");
    let wanted =
        Buy { content, folder, most, partial: true, scheme: None, index: market.index_endpoint()?.to_string() };
    story.step("Cleo buys from both at once: one hash pays for one piece, and each is checked before the next is paid");
    let (tell, told) = watch::channel(Progress::default());
    let drawn = bar(out, size);
    let bank = market.bank.take().ok_or_else(|| Failure::other("there is no bank to kill"))?;
    let buying = fetch(&market.buyer.attendant, &wanted, (None, None), sellers, tell, CancellationToken::new());
    let killing = async {
        let mut told = told.clone();
        // An error says that the purchase is over.
        let _ = told.wait_for(|at| at.of > 0 && at.pieces * KILL_AT >= at.of).await;
        bank.kill().await?;
        Ok::<u64, Failure>(told.borrow().pieces)
    };
    let drawing = async {
        let mut told = told.clone();
        while told.changed().await.is_ok() {
            let at = told.borrow_and_update().clone();
            drawn.set_position(at.bytes);
            drawn.set_message(at.spent.map(|spent| format!("{spent} spent")).unwrap_or_default());
        }
        drawn.finish_and_clear();
    };
    let (report, with_bank, ()) = tokio::join!(buying, killing, drawing);
    let (report, with_bank): (Report, u64) = (report?, with_bank?);
    let Outcome::Complete(path) = &report.outcome else {
        let done = bought(&wanted, &report, price()?.currency().zero());
        let why = done.why.unwrap_or_default();
        let left: Vec<String> = done.sellers.into_iter().filter_map(|seller| seller.left).collect();
        return Err(Failure::new(Kind::Other, format_args!("the purchase stopped: {why} {}", left.join("; "))));
    };
    let without_bank = pieces.saturating_sub(with_bank);
    story.more(format_args!(
        "The bank was killed after {with_bank} of {pieces}; the other {without_bank} were bought without it"
    ));
    story.more(format_args!("Complete after {:.2} seconds", report.time.as_secs_f64()));
    let identical = same(path, &market.sellers[0].home.join("goods").join(&goods.largest))?;
    let bought = bought(&wanted, &report, price()?.currency().zero());
    Ok(Trade { bought, title: goods.largest.clone(), size, pieces, without_bank, identical })
}

/// Asks the index until every seller is listed.
async fn find(
    index: &IndexClient,
    goods: &Goods,
    sellers: usize,
) -> Result<(ContentId, u64, Vec<farthing_peer::buyer::Seller>), Failure> {
    let query = query(&goods.largest);
    let asked = async {
        loop {
            let found = index.search(&query, Page::new(0, 100), SystemClock.now()).await?;
            let offers: Vec<_> =
                found.offers.into_iter().filter(|offer| offer.listing().title.as_str() == goods.largest).collect();
            if let Some(first) = offers.first() {
                let (content, size) = (first.listing().content, first.listing().size);
                let found = sellers_of(&content, &offers);
                if found.len() >= sellers {
                    return Ok((content, size, found));
                }
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    tokio::time::timeout(FIND_TIME, asked).await.or_fail("the index does not list what is sold")?
}

/// The longest word of a file's name.
pub(super) fn query(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric());
    words.max_by_key(|word| word.chars().count()).unwrap_or(name).to_lowercase()
}

fn same(one: &Path, other: &Path) -> Result<bool, Failure> {
    let read = |path: &Path| std::fs::read(path).or_fail(format_args!("cannot read {}", path.display()));
    Ok(read(one)? == read(other)?)
}
