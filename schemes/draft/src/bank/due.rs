//! What falls due: stops that nobody answered, and rows that nobody needs any more.

use farthing_core::time::{Span, Time};
use farthing_role::{Context, Halt, Scan};

use super::Drafts;
use super::records::{
    self, CONFIRMED, ConfirmedRow, DUE, DueRow, DueWhat, HOLDERS, Holder, RECEIPTS, REMEMBERED, SPENT, STOPS, Spent,
    StopRow, numbered,
};
use crate::messages::Outcome;
use crate::rows::{decode, read};

/// The most rows that are seen to in one go.
const DUE_AT_ONCE: usize = 256;

/// When something that could not be done is tried again.
const AGAIN: Span = Span::from_hours(24);

impl Drafts {
    /// Does what has fallen due, a bounded portion; says whether more waits.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn tick(&self, cx: &mut Context<'_>) -> Result<bool, Halt> {
        let rows = cx.tx.scan(DUE, Scan { prefix: &[], after: None, limit: DUE_AT_ONCE })?;
        let full = rows.len() == DUE_AT_ONCE;
        for (key, row) in rows {
            let at = key.first_chunk().map_or(Time::default(), |at| Time::from_millis(u64::from_be_bytes(*at)));
            if cx.now < at {
                return Ok(false);
            }
            let row: DueRow = decode(DUE, &row)?;
            match row.what {
                DueWhat::Stop => match self.end_stop(cx, row.payer, row.number) {
                    // Perhaps the account cannot take so much now. Nothing was written.
                    Err(Halt::Refused(_)) => records::due(&mut *cx.tx, cx.now.after(AGAIN), &row),
                    done => done?,
                },
                DueWhat::Spent => self.forget(cx, &row)?,
                DueWhat::Confirmed => self.forget_confirmed(cx, &row)?,
                DueWhat::Compensated => self.forget_compensated(cx, &row, cx.now.after(AGAIN))?,
            }
            cx.tx.delete(DUE, &key);
        }
        Ok(full)
    }

    /// Forgets a draft long past its last day, deposited or stopped, unless its payer's log still has
    /// to be compared with it, or something is owed for it.
    fn forget(&self, cx: &mut Context<'_>, row: &DueRow) -> Result<(), Halt> {
        let key = numbered(row.payer, row.number);
        let spent: Option<Spent> = read(&*cx.tx, SPENT, &key)?;
        let stop: Option<StopRow> = read(&*cx.tx, STOPS, &key)?;
        if spent.is_none() && stop.is_none() {
            return Ok(());
        }
        let holder: Option<Holder> = read(&*cx.tx, HOLDERS, &row.payer.0)?;
        let compared = holder.is_none_or(|holder| row.number <= holder.known.outgoing.n);
        let open = stop.is_some_and(|stop| stop.is_open());
        let owed = matches!(&spent, Some(Spent { outcome: Outcome::Taken { owed, .. }, .. }) if !owed.is_zero());
        if !compared || open || owed {
            records::due(&mut *cx.tx, cx.now.after(REMEMBERED), row);
            return Ok(());
        }
        if let Some(Spent { outcome: Outcome::Taken { number, .. }, draft, .. }) = spent
            && let Ok(draft) = draft.peek()
        {
            self.forget_receipt(cx, draft.payee, number)?;
        }
        cx.tx.delete(SPENT, &key);
        cx.tx.delete(STOPS, &key);
        Ok(())
    }

    /// Forgets that a draft was set aside, unless it was set aside again for longer.
    fn forget_confirmed(&self, cx: &mut Context<'_>, row: &DueRow) -> Result<(), Halt> {
        let key = numbered(row.payer, row.number);
        let Some(confirmed) = read::<ConfirmedRow>(&*cx.tx, CONFIRMED, &key)? else { return Ok(()) };
        if confirmed.forget_at()? <= cx.now {
            cx.tx.delete(CONFIRMED, &key);
        }
        Ok(())
    }

    /// A receipt is needed until its payee's log was compared with it.
    fn forget_receipt(&self, cx: &mut Context<'_>, payee: farthing_core::id::PeerId, number: u64) -> Result<(), Halt> {
        let holder: Option<Holder> = read(&*cx.tx, HOLDERS, &payee.0)?;
        if holder.is_none_or(|holder| number <= holder.known.incoming.n) {
            cx.tx.delete(RECEIPTS, &numbered(payee, number));
        }
        Ok(())
    }
}
