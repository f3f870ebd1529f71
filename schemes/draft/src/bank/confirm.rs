//! Online confirmation: above its threshold, or at random, a payee asks before it serves.

use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_ledger::{Hold, HoldState, Ledger};
use farthing_role::{Context, Halt};

use super::Drafts;
use super::records::{self, CONFIRMED, ConfirmedRow, DueRow, DueWhat, numbered};
use super::take::Examined;
use crate::messages::{Confirm, Confirmed, Digest, Draft, Outcome};

/// What the bank says to a payee that asks.
#[derive(Debug)]
pub enum Answer {
    /// The money is set aside.
    Yes(Box<Signed<Confirmed>>),
    /// It is not; the refusal says why, and evidence may have been filed.
    No(Refusal),
}

impl Drafts {
    /// Sets the money of a draft aside for its payee until [`Terms::confirm_time`](super::Terms)
    /// is over or the last day of deposit, whichever is first. Deposited before, it is paid for
    /// certain; it can no longer be stopped.
    ///
    /// # Errors
    /// [`Halt`], as for a deposit.
    pub fn confirm(&self, cx: &mut Context<'_>, payee: PeerId, ask: Confirm) -> Result<Answer, Halt> {
        let draft = ask.item.draft.verify(self.chart.network).map_err(Refusal::from)?;
        let body = draft.body();
        if body.payee != payee {
            return Err(Refusal::new(Code::NotPayee, "the draft names another payee").into());
        }
        let to = self.chart.customer(self.account_of(cx, payee)?);
        let (holder, before) = match self.examine(cx, &draft, ask.item.serial, Some(to))? {
            Examined::Pay(found) => (found.0, found.2),
            Examined::Fork(other) => return Ok(Answer::No(self.file_fork(cx, &draft, other)?)),
            Examined::Stopped(_) => return Ok(Answer::No(Refusal::new(Code::State, "the payer stopped this draft"))),
            Examined::Again(spent) => {
                let why = match spent.outcome {
                    Outcome::Taken { .. } => Refusal::new(Code::Spent, "you have deposited this draft already"),
                    Outcome::Compensated { why, .. } => why,
                    _ => Refusal::new(Code::State, "the payer stopped this draft"),
                };
                return Ok(Answer::No(why));
            }
        };
        let until = body.deposit_by.min(cx.now.after(self.terms.confirm_time));
        let row = match before.filter(|row| row.until > cx.now) {
            Some(row) => row,
            None => match self.reserve(cx, &draft, holder.account, until, None) {
                Ok(row) => row,
                Err(Halt::Refused(why)) if matches!(why.code, Code::Funds | Code::Suspended) => {
                    // The payee learns that the answer is no, not how rich the payer is.
                    let why = "the payer's account does not cover the draft: do not serve";
                    return Ok(Answer::No(Refusal::new(Code::Funds, why).blame(Fault::Third).remedy(Remedy::Stop)));
                }
                Err(halt) => return Err(halt),
            },
        };
        let said = Confirmed { draft: Digest(draft.digest()), amount: body.amount, until: row.until };
        Ok(Answer::Yes(Box::new(self.key.sign(self.chart.network, &said))))
    }

    /// Sets the money of a draft aside, in place of what was set aside for it `before`.
    pub(super) fn reserve(
        &self,
        cx: &mut Context<'_>,
        draft: &Verified<Draft>,
        account: PeerId,
        until: Time,
        before: Option<&ConfirmedRow>,
    ) -> Result<ConfirmedRow, Halt> {
        if let Some(before) = before
            && cx.tx.hold(before.hold)?.is_some_and(|hold| hold.state == HoldState::Open)
        {
            Ledger(&mut *cx.tx).release(before.hold, cx.now)?;
        }
        let (number, amount) = (draft.body().number, draft.body().amount);
        // One that has ended may be followed by another: each has its own end in its name.
        let parts: [&[u8]; 4] = [b"draft", b"confirm", &draft.digest(), &until.as_millis().to_be_bytes()];
        let hold = super::transfer_id(cx.now, &parts);
        let aside = Hold::new(hold, self.chart.customer(account), amount, until, draft.digest());
        Ledger(&mut *cx.tx).hold(aside, cx.now)?;
        let row = ConfirmedRow { draft: draft.signed().clone(), hold, until };
        let due = DueRow { payer: draft.signer(), number, what: DueWhat::Confirmed };
        records::due(&mut *cx.tx, row.forget_at()?, &due);
        cx.tx.put(CONFIRMED, &numbered(draft.signer(), number), wire::encode(&row));
        Ok(row)
    }
}
