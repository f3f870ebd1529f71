//! What ended sessions have cost in the end.
//!
//! A session is written down ahead, so a crash leaves units in the books that were never paid, and a
//! payment without an answer may have been charged or not. The bank knows: what the seller has
//! cleared is in the statement, under the session's chain. A session that ended in doubt is kept
//! until no more of it can be cleared, and books and policy follow the bank, in both directions.

use farthing_core::amount::Amount;
use farthing_core::id::{ChainId, PeerId};
use farthing_core::time::Time;
use farthing_coupon::bank::{REASON_CLEAR, REASON_REFUND};
use farthing_role::{Context, Scan, Table};
use minicbor::{Decode, Encode};

use super::rows::SESSIONS_MAX;
use crate::wallet::error::WalletError;
use crate::wallet::policy::{self, Policy};
use crate::wallet::records::{self, HISTORY, Happened, What};
use crate::wallet::{Desk, Wallet};

/// Sessions that ended with payments of which nobody knows whether they were charged, by chain.
pub(crate) const ENDED: Table = Table("wallet_coupon_ended");

/// The most lines of the statement asked for at once.
const LINES: u16 = 256;

/// The most pages of the statement read in one go; the rest is read next time.
const PAGES_MAX: usize = 1_000;

/// A session that ended in doubt.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct EndedRow {
    /// Its chain.
    #[n(0)]
    pub(super) chain: ChainId,
    /// Who was paid.
    #[n(1)]
    pub(super) seller: PeerId,
    /// The line of the history that tells of it.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(super) line: [u8; 16],
    /// The hour in which the policy last counted units of it.
    #[n(3)]
    pub(super) hour: u64,
    /// What books and policy count.
    #[n(4)]
    pub(super) counted: Amount,
    /// What the seller charged, by its own word on each payment.
    #[n(5)]
    pub(super) charged: Amount,
    /// What the bank has paid out of it, as far as the statement was read.
    #[n(6)]
    pub(super) cleared: Amount,
    /// The last line of the statement that was read for it.
    #[n(7)]
    pub(super) after: u64,
    /// From then on nothing more of it can be cleared.
    #[n(8)]
    pub(super) until: Time,
}

/// What the bank's statement has told of sessions that ended in doubt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settled {
    /// What the policy got back.
    pub back: Amount,
    /// Sessions whose seller has not cleared yet.
    pub open: u32,
}

impl EndedRow {
    /// What it has cost, once the bank tells: all that was acknowledged is cleared, or no more can be.
    fn known(&self, now: Time) -> Option<Amount> {
        let has_cleared =
            !self.cleared.is_zero() && self.charged.compare(self.cleared).is_ok_and(|order| order.is_le());
        (has_cleared || self.until <= now).then_some(self.cleared)
    }
}

impl Wallet {
    /// Corrects what the books and the policy count of sessions that ended in doubt, by the bank's
    /// statement of what their sellers have cleared. Should one clear more later, that is counted too.
    ///
    /// # Errors
    /// [`WalletError`]; what was not corrected now is next time.
    pub async fn coupon_settle(&self, desk: &dyn Desk) -> Result<Settled, WalletError> {
        let zero = self.inner.settings.currency().zero();
        let read = |reader: &dyn farthing_store::Reader| {
            let rows = reader.scan(ENDED, Scan { prefix: &[], after: None, limit: SESSIONS_MAX })?;
            rows.iter().map(|(_, row)| Ok(records::read(ENDED, row)?)).collect::<Result<Vec<EndedRow>, WalletError>>()
        };
        let mut rows = self.inner.handle.read(read).await??;
        let mut settled = Settled { back: zero, open: 0 };
        let Some(mut after) = rows.iter().map(|row| row.after).min() else { return Ok(settled) };
        for _ in 0..PAGES_MAX {
            let page = self.statement(desk, Some(after), LINES).await?;
            let lines = page.lines.as_slice();
            for line in lines {
                let about = |row: &&mut EndedRow| row.chain.0 == line.reference && line.number > row.after;
                let Some(row) = rows.iter_mut().find(about) else { continue };
                if line.reason == REASON_CLEAR && !line.received {
                    row.cleared = row.cleared.checked_add(line.amount)?;
                } else if line.reason == REASON_REFUND && line.received {
                    row.cleared = row.cleared.checked_sub(line.amount).unwrap_or(zero);
                }
            }
            let Some(last) = lines.last() else { break };
            after = last.number;
            if after >= page.last {
                break;
            }
        }
        let now = self.now();
        for row in &mut rows {
            row.after = row.after.max(after);
            let Some(cost) = row.known(now) else {
                settled.open = settled.open.saturating_add(1);
                continue;
            };
            settled.back = settled.back.checked_add(row.counted.checked_sub(cost).unwrap_or(zero))?;
        }
        let corrected = move |cx: &mut Context<'_>| {
            for row in rows {
                correct(cx, row, now)?;
            }
            Ok(())
        };
        self.inner.handle.transact(corrected).await?;
        Ok(settled)
    }
}

/// Has policy and history say what a session has cost.
fn correct(cx: &mut Context<'_>, mut row: EndedRow, now: Time) -> Result<(), farthing_role::Halt> {
    if let Some(cost) = row.known(now)
        && cost != row.counted
    {
        if let Ok(back) = row.counted.checked_sub(cost) {
            // An hour that is over counts nothing any more.
            if row.hour.saturating_add(1) >= policy::hour_of(now) {
                policy::give_back(cx.tx, &row.seller, row.hour, back)?;
            } else {
                policy::give_back_late(cx.tx, &row.seller, back)?;
            }
        } else if let Ok(more) = cost.checked_sub(row.counted) {
            // It was paid, whatever the limits say: no limit is asked.
            let _ = Policy::default().charge(cx.tx, &row.seller, policy::hour_of(now), more)?;
        }
        if let Some(bytes) = cx.tx.get(HISTORY, &row.line)? {
            let mut happened: Happened = records::read(HISTORY, &bytes)?;
            if let What::SessionEnded { paid, .. } = &mut happened.what {
                *paid = cost;
            }
            records::put(cx.tx, HISTORY, &row.line, &happened);
        }
        row.counted = cost;
    }
    if row.until <= now {
        cx.tx.delete(ENDED, &row.chain.0);
    } else {
        records::put(cx.tx, ENDED, &row.chain.0, &row);
    }
    Ok(())
}
