//! Conservation: what everybody has is what came in and did not go out.

use std::collections::BTreeMap;

use farthing_core::amount::Currency;

use crate::account::{Account, AccountKind};

/// Sums over all accounts of one currency, in micros.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    balances: [i128; AccountKind::ALL.len()],
    /// What open holds set aside.
    pub held: i128,
}

impl Totals {
    /// The sum of the balances of one kind.
    #[must_use]
    pub const fn of(&self, kind: AccountKind) -> i128 {
        self.balances[kind as usize]
    }

    /// What all but the outside have: Σ customer + backing + deposit + fees + suspense.
    #[must_use]
    pub fn inside(&self) -> i128 {
        self.balances.iter().sum::<i128>() - self.of(AccountKind::World)
    }

    /// What came in and was not paid out: the outside's balance, turned round.
    #[must_use]
    pub const fn funded(&self) -> i128 {
        -self.of(AccountKind::World)
    }

    /// Whether money was neither made nor lost (invariant I1).
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.inside() == self.funded()
    }

    /// Counts one more account of this currency.
    pub fn add(&mut self, account: &Account) {
        self.balances[account.kind as usize] += account.balance();
        self.held += i128::from(account.held);
    }
}

/// The totals of each currency.
#[must_use]
pub fn conservation<'a>(accounts: impl IntoIterator<Item = &'a Account>) -> BTreeMap<Currency, Totals> {
    let mut totals: BTreeMap<Currency, Totals> = BTreeMap::new();
    for account in accounts {
        totals.entry(account.currency).or_default().add(account);
    }
    totals
}
