//! Online clearing: each payment is asked of the bank, which moves the money and gives a ticket that
//! convinces the payee.
//!
//! [`Wallet::pay_clearing`] gives the ticket to hand over, [`Wallet::take_ticket`] takes one. A request
//! whose answer went missing is sent again, byte for byte, by whatever comes next: another payment,
//! [`Wallet::upkeep`], [`Wallet::reconcile`]. [`Wallet::join_clearing`] gets the key that this wallet
//! shares with the bank; who is to be paid must have joined.
//!
//! The shared key lies in the records, sealed under a key of the seed's.

mod compare;
mod keep;
mod pay;
mod take;

use farthing_clearing::messages::{Enrol, KeyGrant, kind};
use farthing_clearing::wallet::{self as scheme, Standing, open_grant};
use farthing_core::amount::Amount;
use farthing_core::seal::Sealed;
use farthing_core::sign::Signed;
use farthing_core::wire;
use farthing_role::Context;

use super::Wallet;
use super::desk::Desk;
use super::error::WalletError;

pub use compare::Compared;

use keep::Kept;

/// How this wallet stands with online clearing, for its owner to look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClearingBook {
    /// Whether it may pay at once; else books are compared first.
    pub ready: bool,
    /// How many payments it made and received, as far as it knows.
    pub lines: (u64, u64),
    /// What its account holds, as far as it knows.
    pub balances: Vec<Amount>,
    /// A payment that was asked for and not answered.
    pub pending: Option<Amount>,
}

impl Wallet {
    /// Joins online clearing, to pay or be paid by it. Harmless where it has joined.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn join_clearing(&self, desk: &dyn Desk) -> Result<(), WalletError> {
        let _counter = self.inner.counter.lock().await;
        if self.clearing_state().await?.is_some() { Ok(()) } else { self.get_key(desk).await }
    }

    /// Joins again: for a wallet that has forgotten whether it had, and for one whose key was replaced. The
    /// caller holds the counter.
    pub(crate) async fn rejoin_clearing(&self, desk: &dyn Desk) -> Result<(), WalletError> {
        self.get_key(desk).await
    }

    /// How it stands; `None` if this wallet has not joined.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn clearing_book(&self) -> Result<Option<ClearingBook>, WalletError> {
        let restored = self.is_restored();
        Ok(self.clearing_state().await?.map(|state| ClearingBook {
            ready: state.standing() == Standing::Ready && !restored,
            lines: (state.log().outgoing.n, state.log().incoming.n),
            balances: state.balances().to_vec(),
            pending: state.pending().map(|pending| pending.request.amount),
        }))
    }

    /// Gets the key that this wallet shares with the bank: the first one, or the one in place of one
    /// that was replaced.
    async fn get_key(&self, desk: &dyn Desk) -> Result<(), WalletError> {
        self.checked_now()?;
        let seal = self.inner.seed.seal(0);
        let message = wire::encode(&Enrol { seal: seal.public() });
        let reply = self.ask_afresh(desk, &self.inner.key, kind::ENROL, message).await?;
        let grant: Sealed<Signed<KeyGrant>> =
            wire::decode(&reply).map_err(|_| WalletError::FalseAnswer("it is no key"))?;
        let grant = open_grant(self.network(), self.me(), self.bank(), &seal, &grant)?;
        let (keep, network, bank) = (self.keeper(), self.network(), self.bank());
        let kept = move |cx: &mut Context<'_>| {
            let state = match keep.read(cx)? {
                Some(Kept(mut state)) => {
                    // Whoever asks again has to compare books, whatever this wallet thinks.
                    state.restored();
                    state.rotate(grant);
                    state
                }
                None => scheme::Wallet::new(network, bank, grant),
            };
            keep.write(cx, &Kept(state));
            Ok(())
        };
        Ok(self.inner.handle.transact(kept).await?)
    }

    /// What this wallet keeps; `None` if it has not joined.
    pub(crate) async fn clearing_state(&self) -> Result<Option<scheme::Wallet>, WalletError> {
        let keep = self.keeper();
        let state = self.inner.handle.transact(move |cx| keep.read(cx)).await?;
        Ok(state.map(|Kept(state)| state))
    }
}
