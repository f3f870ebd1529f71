//! Drafts that another bank collects: paid whole or not at all, out of the same spent-set.

use farthing_core::id::{AccountId, PeerId, TransferId};
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::sign::Verified;
use farthing_core::time::Time;
use farthing_ledger::HoldState;
use farthing_role::{Context, Halt};

use super::Drafts;
use super::records::{ConfirmedRow, Holder, Issued};
use super::take::{Destination, Examined};
use crate::interbank::Payers;
use crate::messages::{Draft, Outcome};

impl Payers for Drafts {
    fn set_aside(
        &self,
        cx: &mut Context<'_>,
        asker: PeerId,
        draft: &Verified<Draft>,
        serial: u64,
        until: Time,
    ) -> Result<TransferId, Halt> {
        let (holder, _, before) = self.payable(cx, draft, serial, None)?;
        if asker != draft.signer() && asker != holder.account {
            return Err(Refusal::new(Code::Policy, "only its payer has a cheque certified")
                .remedy(Remedy::Stop)
                .into());
        }
        if let Some(row) = before.as_ref().filter(|row| row.until >= until)
            && cx.tx.hold(row.hold)?.is_some_and(|hold| hold.state == HoldState::Open)
        {
            return Ok(row.hold);
        }
        Ok(self.reserve(cx, draft, holder.account, until, before.as_ref())?.hold)
    }

    fn pay(&self, cx: &mut Context<'_>, draft: &Verified<Draft>, serial: u64, to: AccountId) -> Result<(), Halt> {
        let (holder, issued, confirmed) = self.payable(cx, draft, serial, Some(to))?;
        let aside = match &confirmed {
            Some(row) if row.until > cx.now => cx.tx.hold(row.hold)?.is_some_and(|hold| hold.state == HoldState::Open),
            _ => false,
        };
        if !aside && !self.covers(cx, holder.account, draft.body().amount)? {
            // The other bank learns that the answer is no, not how rich the payer is.
            let why = "the payer's account does not cover the cheque";
            return Err(Refusal::new(Code::Funds, why).blame(Fault::Third).remedy(Remedy::Stop).into());
        }
        let to = Destination { account: to, payee: None, proof: &[] };
        self.pay_checked(cx, draft, holder, &issued, confirmed, to).map(|_: Outcome| ())
    }
}

impl Drafts {
    /// A draft that nobody took and nobody stopped, with what stands behind it.
    fn payable(
        &self,
        cx: &mut Context<'_>,
        draft: &Verified<Draft>,
        serial: u64,
        to: Option<AccountId>,
    ) -> Result<(Holder, Issued, Option<ConfirmedRow>), Halt> {
        match self.examine(cx, draft, serial, to)? {
            Examined::Pay(found) => Ok(*found),
            Examined::Again(_) => Err(Refusal::new(Code::Spent, "the draft was taken before").into()),
            Examined::Stopped(_) => {
                Err(Refusal::new(Code::State, "the payer stopped this draft").blame(Fault::Third).into())
            }
            Examined::Fork(other) => Err(self.file_fork(cx, draft, other)?.into()),
        }
    }
}
