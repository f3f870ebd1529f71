//! What the payments cost, party by party, as the meter has counted it.

use std::time::Duration;

use serde::Serialize;

use super::market::Market;
use super::trade::Trade;
use crate::fail::{Context, Failure};
use crate::peer::request::Cost;

/// How long a shop may take to end its visits.
const VISITS_TIME: Duration = Duration::from_secs(20);

/// What one party did for all payments it took part in.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PartyCost {
    /// Who.
    pub(super) party: &'static str,
    /// How many payments.
    pub(super) payments: u64,
    /// What the party did, content not counted.
    pub(super) cost: Cost,
    /// Bytes of content sent, proofs included.
    pub(super) content_bytes: u64,
}

/// What everybody did. The bank did nothing: it was not there.
pub(super) async fn of(market: &mut Market, trade: &Trade) -> Result<Vec<PartyCost>, Failure> {
    let payments = |seller| trade.bought.sellers.iter().find(|one| one.seller == seller).map_or(0, |one| one.payments);
    let mut all = vec![PartyCost {
        party: market.buyer.name,
        payments: trade.bought.sellers.iter().map(|seller| seller.payments).sum(),
        cost: trade.bought.cost,
        content_bytes: 0,
    }];
    for seller in &mut market.sellers {
        let payments = payments(seller.wallet().me());
        // A visit counts once it is over.
        let over = seller.shop.takings.wait_for(|takings| payments == 0 || takings.pieces >= payments);
        let over = tokio::time::timeout(VISITS_TIME, over).await;
        let takings = *over.or_fail("a visit does not end")?.or_fail("a shop has closed")?;
        let counted = Cost::from(takings.cost);
        let cost = Cost { bytes: counted.bytes.saturating_sub(takings.bytes), ..counted };
        all.push(PartyCost { party: seller.name, payments, cost, content_bytes: takings.bytes });
    }
    all.push(PartyCost { party: "bank", payments: 0, cost: Cost::default(), content_bytes: 0 });
    Ok(all)
}
