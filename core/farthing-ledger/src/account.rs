//! Accounts: who has how much, and what of it is set aside.

use farthing_core::amount::{AMOUNT_MAX_MICROS, Amount, Currency};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{AccountId, NetworkId, PeerId};
use farthing_core::time::Time;
use minicbor::{Decode, Encode};

/// The largest balance of an account, in micros; the outside ([`AccountKind::World`]) excepted.
pub const ACCOUNT_MAX: u64 = AMOUNT_MAX_MICROS;

/// The most that may ever be posted to one side of an account, in micros: 2^62, some four million
/// million units. Both sides together, and what is held, still fit a signed 64-bit column.
pub const TURNOVER_MAX: u64 = 1 << 62;

const _: () = assert!(ACCOUNT_MAX <= TURNOVER_MAX && TURNOVER_MAX < i64::MAX as u64);

/// What an account is for.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode, serde::Serialize, serde::Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum AccountKind {
    /// The outside, where money comes from and goes to: the one kind whose debits may exceed its
    /// credits. Less its balance is what was funded and not yet paid out.
    #[n(0)]
    World,
    /// A customer's own money.
    #[n(1)]
    Customer,
    /// What backs an instrument in circulation (a chain, a coin), until it is redeemed or expires.
    #[n(2)]
    Backing,
    /// A customer's deposit against cheating.
    #[n(3)]
    Deposit,
    /// What the bank earned.
    #[n(4)]
    Fees,
    /// Money whose owner is not settled yet.
    #[n(5)]
    Suspense,
}

impl AccountKind {
    /// Every kind, in order of number.
    pub const ALL: [Self; 6] = [Self::World, Self::Customer, Self::Backing, Self::Deposit, Self::Fees, Self::Suspense];

    /// The kind of that number, as [`as u8`](Self::ALL) gives it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// An account as it stands. All amounts are micros of its currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Account {
    /// Its name; see [`id_for`](Self::id_for).
    #[n(0)]
    pub id: AccountId,
    /// What it is for.
    #[n(1)]
    pub kind: AccountKind,
    /// The one currency it holds.
    #[n(2)]
    pub currency: Currency,
    /// Whose it is, if it is a peer's.
    #[n(3)]
    pub owner: Option<PeerId>,
    /// Nothing may leave while this is set.
    #[n(4)]
    pub frozen: bool,
    /// Everything that ever left.
    #[n(5)]
    pub debits_posted: u64,
    /// Everything that ever came in.
    #[n(6)]
    pub credits_posted: u64,
    /// What open holds set aside; part of the balance, but not available.
    #[n(7)]
    pub held: u64,
    /// When it was opened.
    #[n(8)]
    pub opened: Time,
}

impl Account {
    /// An account nothing was posted to yet.
    #[must_use]
    pub const fn new(
        id: AccountId,
        kind: AccountKind,
        currency: Currency,
        owner: Option<PeerId>,
        opened: Time,
    ) -> Self {
        Self { id, kind, currency, owner, frozen: false, debits_posted: 0, credits_posted: 0, held: 0, opened }
    }

    /// The name of the account of that kind and currency in a network, for an owner's key or
    /// another label. The same question gives the same name everywhere.
    #[must_use]
    pub fn id_for(network: NetworkId, kind: AccountKind, label: &[u8], currency: Currency) -> AccountId {
        let full = hash(Purpose::Account, &[&network.0, &[kind as u8], label, currency.code().as_bytes()]);
        let mut id = [0; 16];
        id.copy_from_slice(&full[..16]);
        AccountId(id)
    }

    /// Credits less debits, in micros; below nothing only for the outside.
    #[must_use]
    pub fn balance(&self) -> i128 {
        i128::from(self.credits_posted) - i128::from(self.debits_posted)
    }

    /// The balance less what is held, in micros: what a new transfer or hold may take.
    #[must_use]
    pub fn available(&self) -> i128 {
        self.balance() - i128::from(self.held)
    }

    /// The balance as an amount; `None` only for the outside.
    #[must_use]
    pub fn balance_amount(&self) -> Option<Amount> {
        self.amount_of(self.balance())
    }

    /// What is available as an amount; `None` only for the outside.
    #[must_use]
    pub fn available_amount(&self) -> Option<Amount> {
        self.amount_of(self.available())
    }

    /// Whether the account obeys the rules that hold between any two operations: no side above
    /// [`TURNOVER_MAX`], and, unless it is the outside, nothing spent or held that is not there
    /// and no balance above [`ACCOUNT_MAX`].
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let bounded = self.debits_posted.max(self.credits_posted).max(self.held) <= TURNOVER_MAX;
        let covered = self.available() >= 0 && self.balance() <= i128::from(ACCOUNT_MAX);
        bounded && (self.kind == AccountKind::World || covered)
    }

    /// Whether the other was opened alike: all but the moment, and whatever was posted since.
    pub(crate) fn opened_like(&self, other: &Self) -> bool {
        (self.id, self.kind, self.currency, self.owner) == (other.id, other.kind, other.currency, other.owner)
    }

    fn amount_of(&self, micros: i128) -> Option<Amount> {
        self.currency.micros(u64::try_from(micros).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_number() {
        for kind in AccountKind::ALL {
            assert_eq!(AccountKind::from_number(kind as u8), Some(kind));
        }
        assert_eq!(AccountKind::from_number(6), None);
    }

    #[test]
    fn an_account_has_another_name_in_another_network_kind_or_currency() {
        let (here, there) = (NetworkId([1; 16]), NetworkId([2; 16]));
        let eur = Currency::new(*b"EUR").unwrap();
        let ours = Account::id_for(here, AccountKind::Customer, b"owner", Currency::XTS);
        assert_eq!(ours, Account::id_for(here, AccountKind::Customer, b"owner", Currency::XTS));
        assert_ne!(ours, Account::id_for(there, AccountKind::Customer, b"owner", Currency::XTS));
        assert_ne!(ours, Account::id_for(here, AccountKind::Deposit, b"owner", Currency::XTS));
        assert_ne!(ours, Account::id_for(here, AccountKind::Customer, b"owner", eur));
        assert_ne!(ours, Account::id_for(here, AccountKind::Customer, b"other", Currency::XTS));
    }
}
