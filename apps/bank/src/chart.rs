//! The chart of accounts, and the bank's own tables and reasons.

use farthing_core::amount::{Amount, Currency};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{AccountId, NetworkId, PeerId, RequestId, TransferId, time_of, timed};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::time::Time;
use farthing_core::wire::{self, Wire};
use farthing_ledger::{Account, AccountKind, Books, Ledger, Posted, Reason, StoreFault, Transfer};
use farthing_role::{Context, Halt, Records, Table};
use minicbor::{Decode, Encode};

use crate::messages::Balances;

/// Money from outside.
pub const REASON_FUND: Reason = Reason(0x0001);
/// Money to the outside.
pub const REASON_PAYOUT: Reason = Reason(0x0002);
/// Into the deposit.
pub const REASON_DEPOSIT: Reason = Reason(0x0003);
/// The bank's own money for credit lines, brought in or taken out by its owner.
pub const REASON_CAPITAL: Reason = Reason(0x0006);
/// Out of the deposit.
pub const REASON_WITHDRAW: Reason = Reason(0x0004);

/// Customers by key.
pub(crate) const CUSTOMERS: Table = Table("bank_customers");
/// Things that are counted.
pub(crate) const COUNTS: Table = Table("bank_counts");
/// Transfers of each customer's account, by number.
pub(crate) const LINES: Table = Table("bank_lines");
/// How many lines each account has had.
pub(crate) const LINE_COUNTS: Table = Table("bank_line_counts");
/// Running sums over all accounts of one kind.
pub(crate) const SUMS: Table = Table("bank_sums");
/// Funding and pay-outs that wait for operators, by number.
pub(crate) const PENDING: Table = Table("bank_pending");
/// How much play money each customer got today.
pub(crate) const PLAY: Table = Table("bank_play");
/// Until when each customer's deposit is bound.
pub(crate) const BOUND: Table = Table("bank_bound");
/// Which copy of each customer's wallet may spend.
pub(crate) const COPIES: Table = Table("bank_copies");
/// Peer banks by key: where they are reached, and how far their statements were compared.
pub(crate) const BANKS: Table = Table("bank_peers");
/// Signed liability reports, by time.
pub(crate) const REPORTS: Table = Table("bank_reports");

const MILLIS_PER_DAY: u64 = 86_400_000;

/// The accounts of a bank: whose is called what.
#[derive(Clone, Copy, Debug)]
pub struct Chart {
    /// The bank's network.
    pub network: NetworkId,
    /// Its currency.
    pub currency: Currency,
}

impl Chart {
    /// A customer's own money.
    #[must_use]
    pub fn customer(&self, peer: PeerId) -> AccountId {
        Account::id_for(self.network, AccountKind::Customer, &peer.0, self.currency)
    }

    /// A customer's deposit against cheating.
    #[must_use]
    pub fn deposit(&self, peer: PeerId) -> AccountId {
        Account::id_for(self.network, AccountKind::Deposit, &peer.0, self.currency)
    }

    /// The outside.
    #[must_use]
    pub fn world(&self) -> AccountId {
        Account::id_for(self.network, AccountKind::World, b"world", self.currency)
    }

    /// Opens the account of the outside, if that was not done before.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn open_world(&self, cx: &mut Context<'_>) -> Result<(), Halt> {
        let world = Account::new(self.world(), AccountKind::World, self.currency, None, cx.now);
        Ledger(&mut *cx.tx).open(world)?;
        Ok(())
    }

    /// What a customer has.
    ///
    /// # Errors
    /// [`Halt`]: [`Code::Unknown`] without an account.
    pub fn balances(&self, books: &dyn Books, peer: PeerId) -> Result<Balances, Halt> {
        let account = books.account(self.customer(peer))?.ok_or_else(no_account)?;
        let deposit = books.account(self.deposit(peer))?.ok_or_else(no_account)?;
        let damaged = || StoreFault(format!("the account {} is damaged", account.id));
        Ok(Balances {
            balance: account.balance_amount().ok_or_else(damaged)?,
            held: self.currency.micros(account.held).map_err(|_| damaged())?,
            deposit: deposit.balance_amount().ok_or_else(damaged)?,
        })
    }

    /// Refuses an amount of nothing or of another currency.
    ///
    /// # Errors
    /// [`Code::Amount`].
    pub fn check(&self, amount: Amount) -> Result<(), Refusal> {
        if amount.currency() != self.currency {
            return Err(Refusal::new(Code::Amount, format!("this bank keeps accounts in {} only", self.currency)));
        }
        if amount.is_zero() {
            return Err(Refusal::new(Code::Amount, "an amount of nothing: name a larger one"));
        }
        Ok(())
    }
}

/// The refusal of somebody without an account.
pub(crate) fn no_account() -> Refusal {
    let why = "you have no account here: open one first";
    Refusal::new(Code::Unknown, why).remedy(farthing_core::refusal::Remedy::Mend)
}

/// Moves money for a request, at most once however often it is asked.
pub(crate) fn post(cx: &mut Context<'_>, transfer: Transfer) -> Result<Posted, Halt> {
    Ok(Ledger(&mut *cx.tx).post(transfer)?)
}

/// The id of what a request moves or holds.
pub(crate) fn transfer_id(id: RequestId, what: &str, customer: PeerId) -> TransferId {
    TransferId(timed(time_of(&id.0), &hash(Purpose::Transfer, &[what.as_bytes(), &customer.0, &id.0])))
}

/// Reads a record.
pub(crate) fn read<T: Wire>(tx: &(impl Records + ?Sized), table: Table, key: &[u8]) -> Result<Option<T>, StoreFault> {
    tx.get(table, key)?.map(|bytes| decode(table, &bytes)).transpose()
}

/// Reads a row of a table.
pub(crate) fn decode<T: Wire>(table: Table, bytes: &[u8]) -> Result<T, StoreFault> {
    wire::decode(bytes).map_err(|why| StoreFault(format!("a row of {} is damaged: {why}", table.0)))
}

/// Counts one more and says how many there were before.
pub(crate) fn count_up(cx: &mut Context<'_>, what: &[u8]) -> Result<u64, StoreFault> {
    let before: u64 = read(&*cx.tx, COUNTS, what)?.unwrap_or_default();
    cx.tx.put(COUNTS, what, wire::encode(&before.saturating_add(1)));
    Ok(before)
}

/// A sum that begins anew every day (UTC).
#[derive(Clone, Copy, Default, Encode, Decode)]
pub(crate) struct Daily {
    #[n(0)]
    day: u64,
    #[n(1)]
    sum: u64,
}

impl Daily {
    /// The sum after one more, if that stays within the limit.
    pub(crate) fn add(self, now: Time, more: u64, most: u64) -> Option<Self> {
        let day = now.as_millis() / MILLIS_PER_DAY;
        let before = if self.day == day { self.sum } else { 0 };
        let sum = before.checked_add(more).filter(|sum| *sum <= most)?;
        Some(Self { day, sum })
    }
}
