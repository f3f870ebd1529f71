//! Afterwards: the bank comes back, sellers redeem, books are compared.

use std::time::{Duration, Instant};

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::PeerId;

use super::children::{self, Served};
use super::market::Market;
use super::print::Story;
use crate::fail::Failure;
use crate::peer::request::Redeemed;

/// What one party has.
#[derive(Debug, Clone)]
pub(super) struct Stand {
    /// Who.
    pub(super) name: &'static str,
    /// In its account at the bank.
    pub(super) account: Amount,
    /// In open chains, not spent.
    pub(super) chains: Amount,
    /// Earned, and not redeemed.
    pub(super) earned: Amount,
}

/// Everybody's books at one moment.
#[derive(Debug, Clone)]
pub(super) struct Books {
    /// Each peer.
    pub(super) peers: Vec<Stand>,
    /// The bank's, recomputed from its journal.
    pub(super) bank: BankBooks,
}

/// What the bank owes, and what it has for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct BankBooks {
    /// What customers have.
    pub(super) customers: Amount,
    /// What backs chains.
    pub(super) chains: Amount,
    /// Everything else it owes: deposits, fees, what is not settled.
    pub(super) rest: Amount,
    /// What came in and was not paid out.
    pub(super) funded: Amount,
    /// How many rows its journal has.
    pub(super) journal_rows: u64,
}

/// What one seller redeemed, and how long that took.
pub(super) struct Redemption {
    /// Who.
    pub(super) name: &'static str,
    /// Its key.
    pub(super) seller: PeerId,
    /// What.
    pub(super) redeemed: Redeemed,
    /// How long.
    pub(super) time: Duration,
}

/// Looks into everybody's books.
pub(super) async fn books(market: &Market) -> Result<Books, Failure> {
    let mut peers = Vec::new();
    let sellers = market.sellers.iter().map(|seller| (seller.name, seller.wallet()));
    for (name, wallet) in std::iter::once((market.buyer.name, market.buyer.attendant.wallet())).chain(sellers) {
        let statement = wallet.statement(&market.client, None, 1).await?;
        peers.push(Stand {
            name,
            account: statement.balances.balance,
            chains: wallet.ready().await?,
            earned: wallet.earnings().await?.unclaimed,
        });
    }
    Ok(Books { peers, bank: audit(market).await? })
}

/// The bank opens again, and the sellers redeem what they earned.
pub(super) async fn redeem(market: &mut Market, story: &Story) -> Result<Vec<Redemption>, Failure> {
    let listen = market.client.address().endpoint().to_string().replace("http://", "");
    let bank = Served::start(&market.bank_home, &["bank", "serve", "--listen-on", &listen]).await?;
    story.step(format_args!("The bank opens again (process {}); what it had written down is still there", bank.pid()));
    market.bank = Some(bank);
    let mut redemptions = Vec::new();
    for seller in &market.sellers {
        let began = Instant::now();
        let redeemed = seller.attendant().redeem().await?;
        let time = began.elapsed();
        redemptions.push(Redemption { name: seller.name, seller: seller.wallet().me(), redeemed, time });
    }
    let told: Vec<String> = redemptions.iter().map(|one| format!("{} {}", one.name, one.redeemed.paid)).collect();
    story.step(format_args!("Ada and Ben redeem what they were paid: {}", told.join(", ")));
    Ok(redemptions)
}

/// The bank's books, every balance recomputed from its journal by another process while it runs.
async fn audit(market: &Market) -> Result<BankBooks, Failure> {
    let audit = children::run(&market.bank_home, &["bank", "audit"]).await?;
    let totals = &audit["summary"]["totals"][Currency::XTS.code()];
    let sum = |kind: &str| totals[kind].as_i64().unwrap_or_default();
    let amount = |micros: i64| Currency::XTS.micros(micros.unsigned_abs()).map_err(Failure::other);
    Ok(BankBooks {
        customers: amount(sum("customer"))?,
        chains: amount(sum("backing"))?,
        rest: amount(sum("deposit") + sum("fees") + sum("suspense"))?,
        // The outside owes the bank what it has brought in.
        funded: amount(-sum("world"))?,
        journal_rows: audit["summary"]["journal_rows"].as_u64().unwrap_or_default(),
    })
}
