//! KSD-1 and KSD-2: drafts deposited, many at a time.

use farthing_core::id::{PeerId, RequestId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::{Signed, Unproven, Verified, verify_batch};
use farthing_core::wire::Bounded;
use farthing_role::{Context, Halt};

use super::Drafts;
use super::records::HOLDERS;
use super::take::Destination;
use crate::messages::{Deposit, DepositLine, DepositReceipt, Digest, Draft, Outcome};
use crate::rows::read;

/// A deposit as it arrived.
#[derive(Clone, Debug)]
pub struct DepositRequest {
    /// Who deposits; the request's signature held.
    pub payee: PeerId,
    /// The request.
    pub id: RequestId,
    /// Its signed bytes, in case it shows a misdeed.
    pub proof: Vec<u8>,
    /// What is deposited.
    pub deposit: Deposit,
}

/// A deposit whose drafts' signatures were checked.
#[derive(Debug)]
pub struct CheckedDeposit {
    payee: PeerId,
    id: RequestId,
    proof: Vec<u8>,
    items: Vec<(Digest, u64, Result<Verified<Draft>, Unproven>)>,
}

impl Drafts {
    /// Checks the drafts of many deposits in one batch; changes nothing.
    #[must_use]
    pub fn check_deposits(&self, requests: Vec<DepositRequest>) -> Vec<CheckedDeposit> {
        let drafts = requests.iter().flat_map(|request| request.deposit.items.as_slice());
        let drafts: Vec<Signed<Draft>> = drafts.map(|item| item.draft.clone()).collect();
        let mut verified = verify_batch(self.chart.network, drafts).into_iter();
        let checked = |request: DepositRequest| {
            let items = request.deposit.items.into_vec().into_iter().zip(verified.by_ref());
            let items = items.map(|(item, verified)| (Digest(item.draft.digest()), item.serial, verified)).collect();
            CheckedDeposit { payee: request.payee, id: request.id, proof: request.proof, items }
        };
        requests.into_iter().map(checked).collect()
    }

    /// Pays drafts to the payee they name, each once. One that is turned away does not hinder the
    /// others; its line says why. Deposited again, a draft gets the same answer, or how it went on:
    /// this is what a payee does whose receipt was lost.
    ///
    /// # Errors
    /// [`Halt`]: no account.
    pub fn deposit(&self, cx: &mut Context<'_>, checked: CheckedDeposit) -> Result<Signed<DepositReceipt>, Halt> {
        let CheckedDeposit { payee, id, proof, items } = checked;
        self.chart.open(cx)?;
        let account = self.account_of(cx, payee)?;
        let to = Destination { account: self.chart.customer(account), payee: Some(payee), proof: &proof };
        let mut lines = Vec::with_capacity(items.len());
        for (digest, serial, draft) in items {
            let outcome = match self.deposit_one(cx, draft, serial, to) {
                Err(Halt::Refused(why)) => Outcome::Refused(why),
                Err(halt) => return Err(halt),
                Ok(outcome) => outcome?,
            };
            lines.push(DepositLine { draft: digest, outcome });
        }
        self.collect(cx, account)?;
        let unknown = || Refusal::new(Code::Unknown, "you have no account here: open one first");
        let balance = cx.tx.account(to.account)?.and_then(|account| account.balance_amount()).ok_or_else(unknown)?;
        let lines = Bounded::new(lines).unwrap_or_else(Bounded::empty);
        Ok(self.key.sign(self.chart.network, &DepositReceipt { request: id, payee, lines, balance, time: cx.now }))
    }

    /// The outer error refuses one draft, before anything was written; the inner one gives up the
    /// whole request.
    fn deposit_one(
        &self,
        cx: &mut Context<'_>,
        draft: Result<Verified<Draft>, Unproven>,
        serial: u64,
        to: Destination<'_>,
    ) -> Result<Result<Outcome, Halt>, Halt> {
        let draft = draft.map_err(Refusal::from)?;
        if Some(draft.body().payee) != to.payee {
            return Err(Refusal::new(Code::NotPayee, "the draft names another payee").into());
        }
        let examined = self.examine(cx, &draft, serial, Some(to.account))?;
        Ok(self.carry_out(cx, &draft, examined, to))
    }

    /// Whose money a key's is: an enrolled key's account, or its own.
    pub(super) fn account_of(&self, cx: &Context<'_>, key: PeerId) -> Result<PeerId, Halt> {
        Ok(read::<super::Holder>(&*cx.tx, HOLDERS, &key.0)?.map_or(key, |holder| holder.account))
    }
}
