//! The accounts that drafts move money between.

use farthing_core::amount::Currency;
use farthing_core::id::{AccountId, NetworkId, PeerId};
use farthing_ledger::{Account, AccountKind, Ledger};
use farthing_role::{Context, Halt};

/// What is called how; customers' accounts and deposits as everywhere in the bank.
#[derive(Clone, Copy, Debug)]
pub struct Chart {
    /// The bank's network.
    pub network: NetworkId,
    /// The currency it keeps accounts in.
    pub currency: Currency,
}

impl Chart {
    /// A customer's own money.
    #[must_use]
    pub fn customer(&self, peer: PeerId) -> AccountId {
        self.id(AccountKind::Customer, &peer.0)
    }

    /// A customer's deposit against cheating.
    #[must_use]
    pub fn deposit(&self, peer: PeerId) -> AccountId {
        self.id(AccountKind::Deposit, &peer.0)
    }

    /// The bank's own money for credit lines. While it is empty nobody has any credit.
    #[must_use]
    pub fn credit(&self) -> AccountId {
        self.id(AccountKind::Fees, b"draft credit")
    }

    /// What was set aside for stopped drafts.
    #[must_use]
    pub fn suspense(&self) -> AccountId {
        self.id(AccountKind::Suspense, b"stopped drafts")
    }

    /// Opens the two accounts that are nobody's, if that was not done before.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn open(&self, cx: &mut Context<'_>) -> Result<(), Halt> {
        let mut ledger = Ledger(&mut *cx.tx);
        for (id, kind) in [(self.credit(), AccountKind::Fees), (self.suspense(), AccountKind::Suspense)] {
            ledger.open(Account::new(id, kind, self.currency, None, cx.now))?;
        }
        Ok(())
    }

    fn id(&self, kind: AccountKind, label: &[u8]) -> AccountId {
        Account::id_for(self.network, kind, label, self.currency)
    }
}
