//! Who pays: the payer's account, then the bank's credit line, then the payer's deposit; and what
//! is left waits, while the payer is suspended.

use farthing_core::amount::Amount;
use farthing_core::id::{AccountId, PeerId, TransferId};
use farthing_core::refusal::Refusal;
use farthing_core::sign::Verified;
use farthing_core::wire;
use farthing_ledger::{ACCOUNT_MAX, Account, Ledger, Reason, StoreFault, TURNOVER_MAX, Transfer};
use farthing_role::{Context, Halt, Scan};

use super::records::{CREDIT, DEBTS, Debt, SPENT, Spent, numbered};
use super::{Drafts, REASON_CREDIT, REASON_DRAFT, REASON_REPAID, REASON_SECURITY, transfer_id};
use crate::messages::{Digest, Draft, Outcome};
use crate::rows::{decode, read};

/// The most debts of one account that are looked at in one go.
const DEBTS_AT_ONCE: usize = 64;

/// What was paid for a draft, and what was not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    pub(super) paid: Amount,
    pub(super) owed: Amount,
}

impl Drafts {
    /// Pays a draft as far as the payer is good for it. A frozen account pays what it promised
    /// before, and nothing else.
    pub(super) fn draw(
        &self,
        cx: &mut Context<'_>,
        account: PeerId,
        draft: &Verified<Draft>,
        to: AccountId,
        hold: Option<TransferId>,
    ) -> Result<Drawn, Halt> {
        let amount = draft.body().amount;
        let reference = draft.digest();
        let own = self.chart.customer(account);
        let zero = amount.currency().zero();
        let transfer = |what: &[u8], debit, amount, reason| {
            let id = self.draft_transfer(draft, what);
            Transfer { id, debit, credit: to, amount, reason, reference, at: cx.now, hold: None }
        };
        if hold.is_some() {
            let all = Transfer { hold, ..transfer(b"own", own, amount, REASON_DRAFT) };
            post(cx, all)?;
            return Ok(Drawn { paid: amount, owed: zero });
        }
        let line = self.credit_left(cx, account)?;
        let sources: [(&[u8], AccountId, u64, Reason); 3] = [
            (b"own", own, reach(cx, own)?, REASON_DRAFT),
            (b"credit", self.chart.credit(), line, REASON_CREDIT),
            (b"security", self.chart.deposit(account), reach(cx, self.chart.deposit(account))?, REASON_SECURITY),
        ];
        let mut rest = amount.as_micros();
        let mut parts = Vec::with_capacity(sources.len());
        for (what, debit, most, reason) in sources {
            let part = rest.min(most);
            if part > 0 {
                rest -= part;
                parts.push(transfer(what, debit, micros(amount, part)?, reason));
            }
        }
        for part in parts {
            post(cx, part)?;
            if part.reason == REASON_CREDIT {
                self.use_credit(cx, account, part.amount)?;
            }
        }
        let owed = micros(amount, rest)?;
        if !owed.is_zero() {
            let debt =
                Debt { draft: Digest(reference), payer: draft.signer(), number: draft.body().number, to, rest: owed };
            let key = [&account.0[..], &cx.now.as_millis().to_be_bytes(), &reference].concat();
            cx.tx.put(DEBTS, &key, wire::encode(&debt));
            self.suspend(cx, account)?;
        }
        Ok(Drawn { paid: amount.checked_sub(owed).map_err(Refusal::from)?, owed })
    }

    /// Whether account and credit line cover so much, leaving the deposit alone.
    pub(super) fn covers(&self, cx: &Context<'_>, account: PeerId, amount: Amount) -> Result<bool, Halt> {
        let own = reach(cx, self.chart.customer(account))?;
        Ok(own.saturating_add(self.credit_left(cx, account)?) >= amount.as_micros())
    }

    /// Nothing leaves an account that answers for more than it has, or was caught, until an
    /// operator has looked at it.
    pub(super) fn suspend(&self, cx: &mut Context<'_>, account: PeerId) -> Result<(), Halt> {
        let id = self.chart.customer(account);
        if cx.tx.account(id)?.is_some() {
            Ledger(&mut *cx.tx).freeze(id, cx.now)?;
        }
        Ok(())
    }

    /// Pays what an account owes out of what it has: payees first, in order, then the bank. To be
    /// called whenever money has come in; a bounded portion at a time.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn collect(&self, cx: &mut Context<'_>, account: PeerId) -> Result<(), Halt> {
        let own = self.chart.customer(account);
        let rows = cx.tx.scan(DEBTS, Scan { prefix: &account.0, after: None, limit: DEBTS_AT_ONCE })?;
        let mut all = rows.len() < DEBTS_AT_ONCE;
        for (key, row) in rows {
            let mut debt: Debt = decode(DEBTS, &row)?;
            let (left, there) = (reach(cx, own)?, cx.tx.account(debt.to)?.map_or(0, |to| room(&to)));
            if left == 0 {
                return Ok(());
            }
            let part = left.min(debt.rest.as_micros()).min(there);
            // Who cannot take it now gets it later, and nobody else waits for that.
            all &= there >= debt.rest.as_micros();
            if part == 0 {
                continue;
            }
            let part = micros(debt.rest, part)?;
            self.repay(cx, own, debt.to, part, debt.rest, debt.draft)?;
            debt.rest = debt.rest.checked_sub(part).map_err(Refusal::from)?;
            self.note_paid(cx, &debt, part)?;
            if debt.rest.is_zero() { cx.tx.delete(DEBTS, &key) } else { cx.tx.put(DEBTS, &key, wire::encode(&debt)) }
        }
        let used = self.credit_used(cx, account)?;
        let part = reach(cx, own)?.min(used.as_micros());
        if all && part > 0 {
            let part = micros(used, part)?;
            self.repay(cx, own, self.chart.credit(), part, used, Digest(account.0))?;
            let used = used.checked_sub(part).map_err(Refusal::from)?;
            cx.tx.put(CREDIT, &account.0, wire::encode(&used));
        }
        Ok(())
    }

    fn repay(
        &self,
        cx: &mut Context<'_>,
        debit: AccountId,
        credit: AccountId,
        amount: Amount,
        before: Amount,
        what: Digest,
    ) -> Result<(), Halt> {
        // Distinct for every part that is paid: the dice are this request's own.
        let parts: [&[u8]; 4] = [b"repay", &what.0, &before.as_micros().to_be_bytes(), &cx.dice];
        let (id, at) = (transfer_id(cx.now, &parts), cx.now);
        post(cx, Transfer { id, debit, credit, amount, reason: REASON_REPAID, reference: what.0, at, hold: None })
    }

    fn note_paid(&self, cx: &mut Context<'_>, debt: &Debt, part: Amount) -> Result<(), Halt> {
        let key = numbered(debt.payer, debt.number);
        let Some(mut spent) = read::<Spent>(&*cx.tx, SPENT, &key)? else { return Ok(()) };
        if let Outcome::Taken { paid, owed, .. } = &mut spent.outcome {
            *paid = paid.checked_add(part).map_err(Refusal::from)?;
            *owed = owed.checked_sub(part).map_err(Refusal::from)?;
        }
        cx.tx.put(SPENT, &key, wire::encode(&spent));
        Ok(())
    }

    /// What an account owes to payees for drafts that could not be paid, and to the bank for its
    /// credit line.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn owed(&self, cx: &Context<'_>, account: PeerId) -> Result<(Amount, Amount), Halt> {
        let mut debts = self.chart.currency.zero();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let scan = Scan { prefix: &account.0, after: after.as_deref(), limit: DEBTS_AT_ONCE };
            let rows = cx.tx.scan(DEBTS, scan)?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(last.clone());
            for (_, row) in &rows {
                debts = debts.checked_add(decode::<Debt>(DEBTS, row)?.rest).map_err(Refusal::from)?;
            }
        }
        Ok((debts, self.credit_used(cx, account)?))
    }

    fn credit_used(&self, cx: &Context<'_>, account: PeerId) -> Result<Amount, StoreFault> {
        Ok(read(&*cx.tx, CREDIT, &account.0)?.unwrap_or_else(|| self.chart.currency.zero()))
    }

    /// What is left of an account's credit line, and there to be lent.
    fn credit_left(&self, cx: &Context<'_>, account: PeerId) -> Result<u64, Halt> {
        let used = self.credit_used(cx, account)?;
        let left = self.terms.credit.as_micros().saturating_sub(used.as_micros());
        Ok(left.min(reach(cx, self.chart.credit())?))
    }

    fn use_credit(&self, cx: &mut Context<'_>, account: PeerId, more: Amount) -> Result<(), Halt> {
        let used = self.credit_used(cx, account)?.checked_add(more).map_err(Refusal::from)?;
        cx.tx.put(CREDIT, &account.0, wire::encode(&used));
        Ok(())
    }
}

/// How much may leave an account, in micros.
pub(super) fn reach(cx: &Context<'_>, id: AccountId) -> Result<u64, StoreFault> {
    let Some(account) = cx.tx.account(id)? else { return Ok(0) };
    let available = u64::try_from(account.available()).unwrap_or(0);
    Ok(available.min(TURNOVER_MAX.saturating_sub(account.debits_posted)))
}

/// How much an account can still take, in micros.
pub(super) fn room(account: &Account) -> u64 {
    let balance = u64::try_from(account.balance()).unwrap_or(0);
    ACCOUNT_MAX.saturating_sub(balance).min(TURNOVER_MAX.saturating_sub(account.credits_posted))
}

/// Moves money that was promised before, from a frozen account too.
pub(super) fn post(cx: &mut Context<'_>, transfer: Transfer) -> Result<(), Halt> {
    let frozen = cx.tx.account(transfer.debit)?.is_some_and(|account| account.frozen);
    let mut ledger = Ledger(&mut *cx.tx);
    if frozen {
        ledger.unfreeze(transfer.debit, cx.now)?;
    }
    ledger.post(transfer)?;
    if frozen {
        ledger.freeze(transfer.debit, cx.now)?;
    }
    Ok(())
}

pub(super) fn micros(like: Amount, micros: u64) -> Result<Amount, Halt> {
    Ok(like.currency().micros(micros).map_err(Refusal::from)?)
}
