//! Who holds a draft that forks another: compensated out of the deposit of whoever signed both.

use farthing_core::amount::Amount;
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_ledger::Transfer;
use farthing_role::{Context, Halt, Scan};

use super::money::{self, micros, reach, room};
use super::records::{self, COMPENSATED, DueRow, DueWhat, REMEMBERED, Spent, numbered};
use super::take::Destination;
use super::{Drafts, REASON_COMPENSATED};
use crate::messages::{Draft, Outcome};
use crate::rows::{decode, read};

/// The most rows of one number that are forgotten in one go.
const FORGOTTEN_AT_ONCE: usize = 64;

impl Drafts {
    /// What a draft that forks another was compensated with, if it was.
    pub(super) fn compensated(&self, cx: &Context<'_>, draft: &Verified<Draft>) -> Result<Option<Spent>, Halt> {
        Ok(read(&*cx.tx, COMPENSATED, &place(draft))?)
    }

    /// Files the evidence against who signed both drafts, and pays the later one out of the
    /// signer's deposit as far as it goes: once, and only to a payee with an account here that
    /// could have deposited it. Where nothing can be paid it is refused, and may be shown again.
    pub(super) fn compensate(
        &self,
        cx: &mut Context<'_>,
        draft: &Verified<Draft>,
        other: Signed<Draft>,
        to: Destination<'_>,
    ) -> Result<Outcome, Halt> {
        let why = self.file_fork(cx, draft, other.clone())?;
        let (payer, body) = (draft.signer(), draft.body());
        let account = self.account_of(cx, payer)?;
        let timely = cx.now < body.deposit_by && to.payee.is_some() && to.account != self.chart.customer(account);
        // What was checked together with others is checked alone: nobody else pays for a signature.
        let proven = [other, draft.signed().clone()].into_iter().all(|one| one.verify(self.chart.network).is_ok());
        let Some(room) = cx.tx.account(to.account)?.as_ref().map(room).filter(|_| timely && proven) else {
            return Ok(Outcome::Refused(why));
        };
        let deposit = self.chart.deposit(account);
        let part = body.amount.as_micros().min(reach(cx, deposit)?).min(room);
        if part == 0 {
            return Ok(Outcome::Refused(why));
        }
        let paid = micros(body.amount, part)?;
        let compensation = Transfer {
            id: self.draft_transfer(draft, b"compensation"),
            debit: deposit,
            credit: to.account,
            amount: paid,
            reason: REASON_COMPENSATED,
            reference: draft.digest(),
            at: cx.now,
            hold: None,
        };
        money::post(cx, compensation)?;
        let lost = body.amount.checked_sub(paid).map_err(Refusal::from)?;
        let outcome = Outcome::Compensated { paid, lost, why: in_words(paid, lost) };
        let row = Spent { draft: draft.signed().clone(), outcome: outcome.clone(), to: to.account };
        cx.tx.put(COMPENSATED, &place(draft), wire::encode(&row));
        let due = DueRow { payer, number: body.number, what: DueWhat::Compensated };
        records::due(&mut *cx.tx, body.deposit_by.after(REMEMBERED), &due);
        Ok(outcome)
    }

    /// Forgets compensations under a number that nobody can ask for any more.
    pub(super) fn forget_compensated(&self, cx: &mut Context<'_>, row: &DueRow, again: Time) -> Result<(), Halt> {
        let prefix = numbered(row.payer, row.number);
        let rows = cx.tx.scan(COMPENSATED, Scan { prefix: &prefix, after: None, limit: FORGOTTEN_AT_ONCE })?;
        if rows.len() == FORGOTTEN_AT_ONCE {
            records::due(&mut *cx.tx, again, row);
        }
        for (key, bytes) in rows {
            let draft = decode::<Spent>(COMPENSATED, &bytes)?.draft.peek().map_err(Refusal::from)?;
            if draft.deposit_by.after(REMEMBERED) <= cx.now {
                cx.tx.delete(COMPENSATED, &key);
            }
        }
        Ok(())
    }
}

/// Where a compensation is: payer and number, then which of the drafts under it.
fn place(draft: &Verified<Draft>) -> Vec<u8> {
    [&numbered(draft.signer(), draft.body().number)[..], &draft.digest()].concat()
}

fn in_words(paid: Amount, lost: Amount) -> Refusal {
    let why = format!(
        "the payer wrote two drafts under this number and the other came first: its deposit compensated you with \
         {paid}, and {lost} is lost; the evidence is filed"
    );
    Refusal::new(Code::Conflict, why).blame(Fault::Third).remedy(Remedy::Stop)
}
