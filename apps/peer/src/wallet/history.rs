//! What was earned, what was spent, and what could still be lost.

use farthing_core::amount::Amount;
use farthing_core::id::PeerId;
use farthing_core::order::Receipt;
use farthing_core::sign::Signed;
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_role::Scan;
use farthing_store::Reader;

use farthing_bank::messages::{Balances, Statement, StatementOf, kind};

use super::Wallet;
use super::chains::PURSES_MAX;
use super::desk::Desk;
use super::earning::earned_with_tip;
use super::error::WalletError;
use super::means::{self, Said};
use super::policy::Budget;
use super::records::{self, DUE, HISTORY, Happened, PAYING, Paying, What};
use super::redeem::due_digest;

/// The most visits as payer that have not ended.
pub(crate) const PAYING_MAX: usize = 4_096;

/// The most lines of history read at once.
pub const HISTORY_PAGE: usize = 1_000;

/// Rows of visits read at once.
const PAGE: usize = 1_024;

/// What was earned and not redeemed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Earnings {
    /// What the bank still owes for words and drafts held.
    pub unclaimed: Amount,
    /// In how many visits.
    pub visits: u64,
    /// How many drafts of it are held.
    pub drafts: u64,
    /// When the first of all can no longer be claimed.
    pub earliest_deadline: Option<Time>,
    /// What could no longer be claimed when it was looked at.
    pub lapsed: Amount,
}

/// What could be lost to one party at the most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exposure {
    /// To whom.
    pub to: PeerId,
    /// How much at the most.
    pub at_most: Amount,
    /// Until when.
    pub until: Time,
    /// How.
    pub risk: Risk,
}

/// How money could be lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Risk {
    /// The payee of a visit in progress may claim what was paid and deliver nothing for the last
    /// payment.
    Visit,
    /// The payee of an abandoned reserve may claim what was paid; what was not is out of use until
    /// the bank releases it.
    Abandoned,
    /// The seller of a session may have what was paid without an answer, and could clear what it gave
    /// back.
    Session,
    /// A draft was taken and not deposited: it is paid as far as its payer and what the bank vouches for
    /// are good for it, and lost if it is not deposited in time.
    Draft,
    /// A single payment was handed over, or is to be, and its payee has not acknowledged it.
    Unacknowledged,
    /// Earned and not redeemed: lost if it is not claimed in time, or if this wallet's file is lost.
    Unredeemed,
}

impl Wallet {
    /// What was earned and not redeemed.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn earnings(&self) -> Result<Earnings, WalletError> {
        let (now, zero) = (self.now(), self.inner.settings.currency().zero());
        let mut earnings = Earnings { unclaimed: zero, visits: 0, drafts: 0, earliest_deadline: None, lapsed: zero };
        let each = |exposure: Exposure| {
            if exposure.until <= now {
                earnings.lapsed = earnings.lapsed.checked_add(exposure.at_most)?;
                return Ok(());
            }
            earnings.unclaimed = earnings.unclaimed.checked_add(exposure.at_most)?;
            earnings.visits += 1;
            earnings.earliest_deadline.get_or_insert(exposure.until);
            Ok(())
        };
        self.inner.handle.read(|reader| each_unclaimed(reader, each)).await??;
        for draft in self.drafts_due().await? {
            if draft.until <= now {
                earnings.lapsed = earnings.lapsed.checked_add(draft.at_most)?;
                continue;
            }
            earnings.unclaimed = earnings.unclaimed.checked_add(draft.at_most)?;
            earnings.drafts += 1;
            let first = earnings.earliest_deadline.map_or(draft.until, |first| first.min(draft.until));
            earnings.earliest_deadline = Some(first);
        }
        Ok(earnings)
    }

    /// The most that could be lost, to whom, until when: visits in progress, abandoned reserves,
    /// sessions with something unanswered, payments not acknowledged, earnings not redeemed.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn exposure(&self) -> Result<Vec<Exposure>, WalletError> {
        let mut found = Vec::new();
        for (_, record) in self.purse_records().await? {
            let Ok(touchstone) = record.state.touchstone.peek() else { continue };
            let open = record.state.open.iter().map(|open| (open, Risk::Visit));
            let abandoned = record.state.abandoned.as_slice().iter().map(|open| (open, Risk::Abandoned));
            for (open, risk) in open.chain(abandoned) {
                let at_most = touchstone.header.unit.checked_mul((open.upto - open.from + 1).into())?;
                let until = open.expires.after(touchstone.grace);
                found.push(Exposure { to: open.payee, at_most, until, risk });
            }
        }
        found.extend(self.coupon_exposure().await?);
        found.extend(self.unacknowledged().await?);
        let now = self.now();
        found.extend(self.drafts_due().await?.into_iter().filter(|draft| draft.until > now));
        let each = |exposure: Exposure| {
            if exposure.until > now {
                found.push(exposure);
            }
            Ok(())
        };
        self.inner.handle.read(|reader| each_unclaimed(reader, each)).await??;
        Ok(found)
    }

    /// What happened after a line of the history, the earliest first; at most [`HISTORY_PAGE`]
    /// lines. The key of the last line leads to the next page.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn history(&self, after: Option<[u8; 16]>) -> Result<Vec<([u8; 16], Happened)>, WalletError> {
        let page = move |reader: &dyn Reader| {
            let after = after.as_ref().map(|key| &key[..]);
            let rows = reader.scan(HISTORY, Scan { prefix: &[], after, limit: HISTORY_PAGE })?;
            let read = |(key, value): (Vec<u8>, Vec<u8>)| {
                let key =
                    key.try_into().map_err(|_| WalletError::Records("a line of the history is damaged".into()))?;
                Ok((key, records::read(HISTORY, &value)?))
            };
            rows.into_iter().map(read).collect()
        };
        self.inner.handle.read(page).await?
    }

    /// All receipts, the earliest first.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn receipts(&self) -> Result<Vec<Signed<Receipt>>, WalletError> {
        let (mut receipts, mut after) = (Vec::new(), None);
        loop {
            let page = self.history(after).await?;
            let Some((last, _)) = page.last() else { return Ok(receipts) };
            after = Some(*last);
            receipts.extend(page.into_iter().filter_map(|(_, line)| match line.what {
                What::Bought { receipt, .. } | What::Paid { receipt, .. } => receipt,
                _ => None,
            }));
        }
    }

    /// What may still be spent, with this payee where one is named.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn budget(&self, payee: Option<PeerId>) -> Result<Budget, WalletError> {
        let (policy, now, currency) = (self.inner.settings.policy, self.now(), self.inner.settings.currency());
        let nobody = PeerId([0; 32]);
        let whom = payee.unwrap_or(nobody);
        self.inner.handle.read(|reader| policy.budget(reader, currency, &whom, now)).await?
    }

    /// What could still be spent from open chains without the bank.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn ready(&self) -> Result<Amount, WalletError> {
        let mut sum = self.inner.settings.currency().zero();
        if self.is_restored() {
            return Ok(sum);
        }
        let (now, meta) = (self.now(), self.inner.meta().clone());
        for (_, record) in self.purse_records().await? {
            let Ok(touchstone) = record.state.touchstone.peek() else { continue };
            if !record.origin.is_current(&meta) || touchstone.header.not_after <= now {
                continue;
            }
            let fresh = touchstone.header.units.saturating_add(1).saturating_sub(record.state.next);
            let freed: u32 = record.state.freed.as_slice().iter().map(|freed| freed.upto - freed.from + 1).sum();
            sum = sum.checked_add(touchstone.header.unit.checked_mul(u64::from(fresh) + u64::from(freed))?)?;
        }
        Ok(sum)
    }

    /// How the account stands at the bank, with the transfers after that number or the last ones.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn statement(&self, desk: &dyn Desk, after: Option<u64>, limit: u16) -> Result<Statement, WalletError> {
        let message = wire::encode(&StatementOf { after, limit });
        let before = self.before_asking().await?;
        let reply = self.look_up(desk, kind::STATEMENT, message).await?;
        let statement: Statement = wire::decode(&reply).map_err(|_| WalletError::FalseAnswer("it is no statement"))?;
        let Balances { balance, held, .. } = statement.balances;
        let said = Said { has: balance.checked_sub(held)?, suspended: statement.suspended };
        self.inner.handle.transact(move |cx| means::learn(cx, before, said)).await?;
        self.raise_floor(statement.time).await?;
        Ok(statement)
    }

    /// Asks something that moves no money, under an id that nobody needs again. The clock is not
    /// asked whether it is right: the answer may be what tells.
    pub(crate) async fn look_up(&self, desk: &dyn Desk, kind: u16, message: Vec<u8>) -> Result<Vec<u8>, WalletError> {
        self.ask_afresh(desk, &self.inner.key, kind, message).await
    }
}

/// Visits as payer that have not ended.
pub(crate) fn paying(reader: &dyn Reader) -> Result<Vec<([u8; 16], Paying)>, WalletError> {
    let rows = reader.scan(PAYING, Scan { prefix: &[], after: None, limit: PAYING_MAX })?;
    let read = |(key, value): (Vec<u8>, Vec<u8>)| {
        let key = key.try_into().map_err(|_| WalletError::Records("a row of wallet_paying is damaged".into()))?;
        Ok((key, records::read(PAYING, &value)?))
    };
    rows.into_iter().map(read).collect()
}

/// Every visit with words that the bank has not paid for, the earliest deadline first.
fn each_unclaimed(
    reader: &dyn Reader,
    mut each: impl FnMut(Exposure) -> Result<(), WalletError>,
) -> Result<(), WalletError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = reader.scan(DUE, Scan { prefix: &[], after: after.as_deref(), limit: PAGE })?;
        let last = rows.len() < PAGE;
        for (key, _) in rows {
            if let Some((earned, tip)) = earned_with_tip(reader, &due_digest(&key)?)? {
                let at_most = earned.unit.checked_mul(earned.unclaimed(tip).into())?;
                if !at_most.is_zero() {
                    let (to, until) = (earned.payer, earned.deadline);
                    each(Exposure { to, at_most, until, risk: Risk::Unredeemed })?;
                }
            }
            after = Some(key);
        }
        if last {
            return Ok(());
        }
    }
}

const _: () = assert!(PURSES_MAX <= PAYING_MAX, "every chain may have a visit in progress");
