//! What ends: holds whose sessions are over, and refunds by sellers.

use farthing_core::id::{PeerId, RequestId, time_of};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::wire;
use farthing_ledger::{Ledger, StoreFault, Transfer};
use farthing_role::{Context, Halt, Scan};

use super::records::{self, ANSWERS, DUE, Due, RELATIONS, RelationRecord, SEEN};
use super::{Coupons, REASON_REFUND, transfer_id};
use crate::clearing::{Refund, Refunded};

/// The most authorisations ended in one tick.
const ENDED_PER_TICK: usize = 256;

impl Coupons {
    /// Releases the holds of sessions whose time to clear is over, and forgets what only mattered
    /// until then, a bounded portion; says whether more waits.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn release_due(&self, cx: &mut Context<'_>) -> Result<bool, Halt> {
        let rows = cx.tx.scan(DUE, Scan { prefix: &[], after: None, limit: ENDED_PER_TICK })?;
        let full = rows.len() == ENDED_PER_TICK;
        for (key, value) in rows {
            let at = key.get(..8).and_then(|at| at.try_into().ok()).map(u64::from_be_bytes);
            let at = at.ok_or_else(|| StoreFault("a due row is damaged".into()))?;
            if cx.now.as_millis() < at {
                return Ok(false);
            }
            let due: Due = records::decode(DUE, &value)?;
            if let Some(chain) = due.chain {
                let relation: Option<RelationRecord> = records::read(&*cx.tx, RELATIONS, &chain.0)?;
                if let Some(mut relation) = relation.filter(|relation| !relation.closed) {
                    self.release(cx, &mut relation)?;
                    cx.tx.put(RELATIONS, &chain.0, wire::encode(&relation));
                }
            }
            cx.tx.delete(SEEN, &records::seen_key(due.seller, due.tid, due.nonce));
            cx.tx.delete(ANSWERS, &due.common.0);
            cx.tx.delete(DUE, &key);
        }
        Ok(full)
    }

    /// Gives cleared coupons back to the buyer (iKP's 9), out of the seller's account. The count is
    /// of all refunds of the session, so a repeat moves nothing.
    ///
    /// # Errors
    /// [`Halt`]: another's session, more than was cleared, or not enough money.
    pub fn refund(
        &self,
        cx: &mut Context<'_>,
        seller: PeerId,
        id: RequestId,
        refund: &Refund,
    ) -> Result<Refunded, Halt> {
        let mut relation = records::relation(&*cx.tx, refund.chain)?;
        if relation.seller != seller {
            return Err(Refusal::new(Code::NotPayee, "the session is another seller's").into());
        }
        if refund.units > relation.cleared {
            return Err(Refusal::new(Code::Range, "no more can be given back than was cleared").into());
        }
        let units = refund.units.saturating_sub(relation.refunded);
        let amount = relation.header.unit.checked_mul(units.into()).map_err(Refusal::from)?;
        if !amount.is_zero() {
            let transfer = Transfer {
                id: transfer_id(time_of(&id.0), &[b"coupon refund", &seller.0, &id.0]),
                debit: self.customer(seller, amount.currency()),
                credit: self.customer(relation.owner, amount.currency()),
                amount,
                reason: REASON_REFUND,
                reference: refund.chain.0,
                at: cx.now,
                hold: None,
            };
            Ledger(&mut *cx.tx).post(transfer)?;
            relation.refunded = refund.units;
            cx.tx.put(RELATIONS, &refund.chain.0, wire::encode(&relation));
        }
        Ok(Refunded { chain: refund.chain, amount, units: relation.refunded })
    }
}
