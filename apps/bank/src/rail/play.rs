//! Play money: whoever asks gets it.

use farthing_core::amount::Amount;
use farthing_core::id::{PeerId, RequestId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::wire;
use farthing_ledger::Transfer;
use farthing_role::{Context, Halt};

use super::Rail;
use crate::chart::{Chart, Daily, PLAY, REASON_FUND, REASON_PAYOUT, post, read, transfer_id};
use crate::messages::{Fund, Payout, Progress};

/// Play money, credited and paid out at once.
#[derive(Clone, Copy, Debug)]
pub struct PlayMoney {
    /// The most that one account gets in a day.
    pub per_day: Amount,
}

impl Rail for PlayMoney {
    fn name(&self) -> &'static str {
        "play money"
    }

    fn fund(
        &self,
        cx: &mut Context<'_>,
        chart: &Chart,
        customer: PeerId,
        id: RequestId,
        fund: Fund,
    ) -> Result<Progress, Halt> {
        let got: Daily = read(&*cx.tx, PLAY, &customer.0)?.unwrap_or_default();
        let got = got.add(cx.now, fund.amount.as_micros(), self.per_day.as_micros()).ok_or_else(|| {
            Refusal::new(Code::Limit, format!("an account gets at most {} of play money in a day", self.per_day))
        })?;
        cx.tx.put(PLAY, &customer.0, wire::encode(&got));
        let transfer = Transfer {
            id: transfer_id(id, "fund", customer),
            debit: chart.world(),
            credit: chart.customer(customer),
            amount: fund.amount,
            reason: REASON_FUND,
            reference: [0; 32],
            at: cx.now,
            hold: None,
        };
        post(cx, transfer)?;
        Ok(Progress::Done(chart.balances(&*cx.tx, customer)?))
    }

    fn payout(
        &self,
        cx: &mut Context<'_>,
        chart: &Chart,
        customer: PeerId,
        id: RequestId,
        payout: Payout,
    ) -> Result<Progress, Halt> {
        let transfer = Transfer {
            id: transfer_id(id, "payout", customer),
            debit: chart.customer(customer),
            credit: chart.world(),
            amount: payout.amount,
            reason: REASON_PAYOUT,
            reference: [0; 32],
            at: cx.now,
            hold: None,
        };
        post(cx, transfer)?;
        Ok(Progress::Done(chart.balances(&*cx.tx, customer)?))
    }
}
