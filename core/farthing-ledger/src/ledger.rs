//! The operations on the books.

use farthing_core::amount::Amount;
use farthing_core::id::{AccountId, TransferId};
use farthing_core::time::Time;

use crate::account::{ACCOUNT_MAX, Account, AccountKind, TURNOVER_MAX};
use crate::books::{Books, LedgerWrite, StoreFault};
use crate::entry::Entry;
use crate::hold::{HOLD_SPAN_MAX, Hold, HoldState};
use crate::refusal::{LedgerError, LedgerRefusal};
use crate::transfer::Transfer;

/// Whether an operation happened now or had happened before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Posted {
    /// It happened now.
    Now,
    /// The very same had happened before; nothing changed now.
    Before,
}

/// The ledger over somebody's books.
///
/// Every operation reads first, refuses in the order its documentation gives, and only then
/// writes; all of it, in one [`Books::write`], or nothing.
pub struct Ledger<'a>(pub &'a mut dyn Books);

impl Ledger<'_> {
    /// Opens an account (see [`Account::new`]). Opened before with the same kind, currency and
    /// owner, it stays as it is.
    ///
    /// # Errors
    /// In this order: [`LedgerRefusal::NotNew`], [`LedgerRefusal::AccountTaken`].
    pub fn open(&mut self, account: Account) -> Result<Posted, LedgerError> {
        let blank = Account::new(account.id, account.kind, account.currency, account.owner, account.opened);
        if account != blank {
            return Err(LedgerRefusal::NotNew.into());
        }
        if let Some(before) = self.account(account.id)? {
            let same = before.opened_like(&account);
            return if same { Ok(Posted::Before) } else { Err(LedgerRefusal::AccountTaken(account.id).into()) };
        }
        self.write([Some(account), None], None, Entry::Opened(account))
    }

    /// Moves money; with [`Transfer::hold`] set, money that was set aside before.
    ///
    /// # Errors
    /// In this order: [`ZeroAmount`](LedgerRefusal::ZeroAmount),
    /// [`SameAccount`](LedgerRefusal::SameAccount), [`IdTaken`](LedgerRefusal::IdTaken) (or
    /// [`Posted::Before`]), [`UnknownDebit`](LedgerRefusal::UnknownDebit),
    /// [`UnknownCredit`](LedgerRefusal::UnknownCredit), [`Currency`](LedgerRefusal::Currency),
    /// [`Frozen`](LedgerRefusal::Frozen) for the debited account; with a hold
    /// [`UnknownHold`](LedgerRefusal::UnknownHold), [`OthersHold`](LedgerRefusal::OthersHold),
    /// [`HoldEnded`](LedgerRefusal::HoldEnded), [`HoldOver`](LedgerRefusal::HoldOver),
    /// [`HoldShort`](LedgerRefusal::HoldShort), and without one [`Funds`](LedgerRefusal::Funds);
    /// last [`Overflow`](LedgerRefusal::Overflow).
    pub fn post(&mut self, transfer: Transfer) -> Result<Posted, LedgerError> {
        let Transfer { id, amount, .. } = transfer;
        if amount.is_zero() {
            return Err(LedgerRefusal::ZeroAmount.into());
        }
        if transfer.debit == transfer.credit {
            return Err(LedgerRefusal::SameAccount(transfer.debit).into());
        }
        if let Some(before) = self.0.transfer(id)? {
            return repeated(transfer.repeats(&before), id);
        }
        if self.0.hold(id)?.is_some() {
            return Err(LedgerRefusal::IdTaken(id).into());
        }
        let mut debit = self.account(transfer.debit)?.ok_or(LedgerRefusal::UnknownDebit(transfer.debit))?;
        let mut credit = self.account(transfer.credit)?.ok_or(LedgerRefusal::UnknownCredit(transfer.credit))?;
        if debit.currency != amount.currency() || credit.currency != amount.currency() {
            return Err(LedgerRefusal::Currency.into());
        }
        if debit.frozen {
            return Err(LedgerRefusal::Frozen(debit.id).into());
        }
        let hold = match transfer.hold {
            Some(hold) => Some(self.captured(hold, &transfer)?),
            None => {
                covers(&debit, amount)?;
                None
            }
        };
        if hold.is_some() {
            debit.held = debit.held.checked_sub(amount.as_micros()).ok_or_else(|| unsound(debit.id))?;
        }
        debit.debits_posted = turned_over(debit.debits_posted, amount, debit.id)?;
        credit.credits_posted = turned_over(credit.credits_posted, amount, credit.id)?;
        if credit.kind != AccountKind::World && credit.balance() > i128::from(ACCOUNT_MAX) {
            return Err(LedgerRefusal::Overflow(credit.id).into());
        }
        self.write([Some(debit), Some(credit)], hold, Entry::Moved(transfer))
    }

    /// Moves money out of the hold that the transfer names.
    ///
    /// # Errors
    /// As [`post`](Self::post); [`LedgerRefusal::UnknownHold`] first, where it names none.
    pub fn capture(&mut self, transfer: Transfer) -> Result<Posted, LedgerError> {
        match transfer.hold {
            Some(_) => self.post(transfer),
            None => Err(LedgerRefusal::UnknownHold(transfer.id).into()),
        }
    }

    /// Sets money aside (see [`Hold::new`]); `at` is now.
    ///
    /// # Errors
    /// In this order: [`ZeroAmount`](LedgerRefusal::ZeroAmount), [`NotNew`](LedgerRefusal::NotNew),
    /// [`IdTaken`](LedgerRefusal::IdTaken) (or [`Posted::Before`], whatever became of the hold),
    /// [`UnknownDebit`](LedgerRefusal::UnknownDebit), [`Currency`](LedgerRefusal::Currency),
    /// [`Frozen`](LedgerRefusal::Frozen), [`HoldOver`](LedgerRefusal::HoldOver),
    /// [`HoldTooLong`](LedgerRefusal::HoldTooLong), [`Funds`](LedgerRefusal::Funds),
    /// [`Overflow`](LedgerRefusal::Overflow).
    pub fn hold(&mut self, hold: Hold, at: Time) -> Result<Posted, LedgerError> {
        if hold.amount.is_zero() {
            return Err(LedgerRefusal::ZeroAmount.into());
        }
        if hold != Hold::new(hold.id, hold.account, hold.amount, hold.until, hold.reference) {
            return Err(LedgerRefusal::NotNew.into());
        }
        if let Some(before) = self.0.hold(hold.id)? {
            return repeated(hold.repeats(&before), hold.id);
        }
        if self.0.transfer(hold.id)?.is_some() {
            return Err(LedgerRefusal::IdTaken(hold.id).into());
        }
        let mut account = self.account(hold.account)?.ok_or(LedgerRefusal::UnknownDebit(hold.account))?;
        if account.currency != hold.amount.currency() {
            return Err(LedgerRefusal::Currency.into());
        }
        if account.frozen {
            return Err(LedgerRefusal::Frozen(account.id).into());
        }
        if hold.until <= at {
            return Err(LedgerRefusal::HoldOver(hold.id).into());
        }
        if hold.until > at.after(HOLD_SPAN_MAX) {
            return Err(LedgerRefusal::HoldTooLong(hold.id).into());
        }
        covers(&account, hold.amount)?;
        account.held = turned_over(account.held, hold.amount, account.id)?;
        self.write([Some(account), None], Some(hold), Entry::Held { hold, at })
    }

    /// Gives the rest of a hold back. Released before, it stays as it is. Whether whoever asks may
    /// do so is the caller's question.
    ///
    /// # Errors
    /// In this order: [`LedgerRefusal::UnknownHold`], [`LedgerRefusal::HoldEnded`].
    pub fn release(&mut self, hold: TransferId, at: Time) -> Result<Posted, LedgerError> {
        let found = self.0.hold(hold)?.ok_or(LedgerRefusal::UnknownHold(hold))?;
        match found.state {
            HoldState::Open => self.end(found, HoldState::Released, at),
            HoldState::Released => Ok(Posted::Before),
            ended => Err(LedgerRefusal::HoldEnded(hold, ended).into()),
        }
    }

    /// Gives the rest of a hold back because its time is over. Expired before, it stays as it is.
    ///
    /// # Errors
    /// In this order: [`LedgerRefusal::UnknownHold`], [`LedgerRefusal::HoldEnded`],
    /// [`LedgerRefusal::HoldLasts`].
    pub fn expire(&mut self, hold: TransferId, now: Time) -> Result<Posted, LedgerError> {
        let found = self.0.hold(hold)?.ok_or(LedgerRefusal::UnknownHold(hold))?;
        match found.state {
            HoldState::Open if found.until <= now => self.end(found, HoldState::Expired, now),
            HoldState::Open => Err(LedgerRefusal::HoldLasts(hold).into()),
            HoldState::Expired => Ok(Posted::Before),
            ended => Err(LedgerRefusal::HoldEnded(hold, ended).into()),
        }
    }

    /// Ends at most `limit` holds whose time is over, the earliest first, and says how many.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub fn expire_due(&mut self, now: Time, limit: usize) -> Result<usize, LedgerError> {
        let due = self.0.holds_due(now, limit)?;
        for hold in &due {
            self.end(*hold, HoldState::Expired, now)?;
        }
        Ok(due.len())
    }

    /// Lets nothing leave an account any more: neither transfers nor holds, nor captures of holds
    /// made before. It can still receive, and holds on it still end.
    ///
    /// # Errors
    /// [`LedgerRefusal::UnknownDebit`].
    pub fn freeze(&mut self, account: AccountId, at: Time) -> Result<Posted, LedgerError> {
        self.set_frozen(account, true, at)
    }

    /// Lets money leave a frozen account again.
    ///
    /// # Errors
    /// [`LedgerRefusal::UnknownDebit`].
    pub fn unfreeze(&mut self, account: AccountId, at: Time) -> Result<Posted, LedgerError> {
        self.set_frozen(account, false, at)
    }

    fn set_frozen(&mut self, id: AccountId, frozen: bool, at: Time) -> Result<Posted, LedgerError> {
        let mut account = self.account(id)?.ok_or(LedgerRefusal::UnknownDebit(id))?;
        if account.frozen == frozen {
            return Ok(Posted::Before);
        }
        account.frozen = frozen;
        self.write([Some(account), None], None, Entry::Frozen { account: id, frozen, at })
    }

    /// The hold after a capture.
    fn captured(&self, id: TransferId, transfer: &Transfer) -> Result<Hold, LedgerError> {
        let hold = self.0.hold(id)?.ok_or(LedgerRefusal::UnknownHold(id))?;
        if hold.account != transfer.debit {
            return Err(LedgerRefusal::OthersHold(id).into());
        }
        if hold.state != HoldState::Open {
            return Err(LedgerRefusal::HoldEnded(id, hold.state).into());
        }
        if hold.until <= transfer.at {
            return Err(LedgerRefusal::HoldOver(id).into());
        }
        let rest = hold.rest.checked_sub(transfer.amount).map_err(|_| LedgerRefusal::HoldShort(id))?;
        Ok(if rest.is_zero() { hold.ended(HoldState::Captured) } else { Hold { rest, ..hold } })
    }

    /// Ends an open hold and gives its rest back.
    fn end(&mut self, hold: Hold, state: HoldState, at: Time) -> Result<Posted, LedgerError> {
        let mut account = self.account(hold.account)?.ok_or_else(|| unsound(hold.account))?;
        account.held = account.held.checked_sub(hold.rest.as_micros()).ok_or_else(|| unsound(account.id))?;
        let entry = Entry::Released { hold: hold.id, at, expired: state == HoldState::Expired };
        self.write([Some(account), None], Some(hold.ended(state)), entry)
    }

    /// An account, believed only if it obeys the rules.
    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreFault> {
        match self.0.account(id)? {
            Some(account) if account.id != id || !account.is_sound() => Err(unsound(id)),
            found => Ok(found),
        }
    }

    fn write(
        &mut self,
        accounts: [Option<Account>; 2],
        hold: Option<Hold>,
        entry: Entry,
    ) -> Result<Posted, LedgerError> {
        // True by what was checked above; if it ever were not, nothing must be written.
        assert!(accounts.iter().flatten().all(Account::is_sound), "an account broke the rules: {entry:?}");
        assert!(hold.iter().all(Hold::is_sound), "a hold broke the rules: {entry:?}");
        self.0.write(LedgerWrite { accounts, hold, entry });
        Ok(Posted::Now)
    }
}

fn repeated(same: bool, id: TransferId) -> Result<Posted, LedgerError> {
    if same { Ok(Posted::Before) } else { Err(LedgerRefusal::IdTaken(id).into()) }
}

/// Whether so much is available; the outside has no bottom.
fn covers(account: &Account, amount: Amount) -> Result<(), LedgerRefusal> {
    let covered = account.kind == AccountKind::World || account.available() >= i128::from(amount.as_micros());
    if covered { Ok(()) } else { Err(LedgerRefusal::Funds(account.id)) }
}

/// One side of an account after one more posting.
fn turned_over(side: u64, amount: Amount, account: AccountId) -> Result<u64, LedgerRefusal> {
    side.checked_add(amount.as_micros()).filter(|side| *side <= TURNOVER_MAX).ok_or(LedgerRefusal::Overflow(account))
}

fn unsound(account: AccountId) -> StoreFault {
    StoreFault(format!("the row of account {account} breaks the rules of the books; run the audit"))
}
