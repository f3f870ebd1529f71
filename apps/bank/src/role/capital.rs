//! The bank's own money for credit lines.

use farthing_core::amount::Amount;
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{TransferId, timed};
use farthing_core::refusal::Refusal;
use farthing_core::wire;
use farthing_ledger::Transfer;
use farthing_role::{Context, Halt};

use super::BankRole;
use crate::chart::{COUNTS, REASON_CAPITAL, count_up, post, read};

/// Where it is counted what was brought in so far.
const BROUGHT: &[u8] = b"credit-capital";

impl BankRole {
    /// Brings in, or takes out as far as it is not lent, what the owner has decided since: `total` is
    /// what shall have been brought in altogether. Nothing said is nothing changed.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub(crate) fn bring_capital(&self, cx: &mut Context<'_>, total: Option<Amount>) -> Result<(), Halt> {
        let Some(total) = total else { return Ok(()) };
        Self::recorded(cx, |cx| {
            let brought: u64 = read(&*cx.tx, COUNTS, BROUGHT)?.unwrap_or_default();
            let wanted = total.as_micros();
            self.chart.open_world(cx)?;
            self.drafts.chart().open(cx)?;
            let (credit, world) = (self.drafts.chart().credit(), self.chart.world());
            let there = cx.tx.account(credit)?.map_or(0, |account| u64::try_from(account.available()).unwrap_or(0));
            let (debit, to, moved) = if wanted >= brought {
                (world, credit, wanted - brought)
            } else {
                (credit, world, (brought - wanted).min(there))
            };
            if moved == 0 {
                return Ok(());
            }
            let number = count_up(cx, b"credit-capital-movements")?;
            let unique = hash(Purpose::Transfer, &[b"capital", &number.to_be_bytes()]);
            let transfer = Transfer {
                id: TransferId(timed(cx.now, &unique)),
                debit,
                credit: to,
                amount: self.chart.currency.micros(moved).map_err(Refusal::from)?,
                reason: REASON_CAPITAL,
                reference: [0; 32],
                at: cx.now,
                hold: None,
            };
            post(cx, transfer)?;
            let brought = if wanted >= brought { wanted } else { brought - moved };
            cx.tx.put(COUNTS, BROUGHT, wire::encode(&brought));
            Ok(())
        })
    }
}
