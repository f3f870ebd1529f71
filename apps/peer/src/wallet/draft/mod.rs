//! Drafts: promises written offline, taken offline, and settled with the bank later.
//!
//! [`Wallet::pay_draft`] writes one and gives what to hand over, [`Wallet::take_draft`] takes one,
//! [`Wallet::deposit_drafts`] has the bank pay what is held. A certificate of a day says how much may
//! be written; [`Wallet::renew_drafts`] gets the next one for the whole log of its key.
//!
//! Drafts are written under the wallet's own name or under one of [`ALIAS_MAX`] pseudonyms, each with
//! a key, a log and a certificate of its own. They are taken under the wallet's own name.

mod books;
mod deposit;
mod pay;
mod quarrel;
mod take;

use farthing_core::amount::Amount;
use farthing_core::id::{OrderId, PeerId};
use farthing_core::seal::SealKey;
use farthing_core::sign::SecretKey;
use farthing_core::time::{SKEW, Span, Time};
use farthing_draft::messages::Digest;
use farthing_draft::payee::{HeldState, Payee, Terms};
use farthing_draft::payer::Payer;
use farthing_draft::wallet::pseudonym;

use super::Wallet;
use super::error::WalletError;

pub use books::DraftBook;
pub(crate) use books::is_unknown_to_bank;
pub use deposit::Deposits;

/// The highest number of a pseudonym: they and the wallet's own name are as many keys as a bank takes.
pub const ALIAS_MAX: u32 = farthing_draft::bank::IDENTITIES_MAX as u32 - 2;

/// A draft that this wallet holds, for its owner to look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldDraft {
    /// Which.
    pub instrument: [u8; 32],
    /// Who wrote it: a pseudonym perhaps.
    pub payer: PeerId,
    /// Its number.
    pub number: u64,
    /// What for.
    pub order: OrderId,
    /// The same in words, where this wallet had asked for it.
    pub description: String,
    /// How much.
    pub amount: Amount,
    /// When it was taken.
    pub at: Time,
    /// The first moment at which it cannot be deposited any more.
    pub deposit_by: Time,
    /// How it stands.
    pub state: HeldState,
    /// Whether the payer has said that the goods came.
    pub delivered: bool,
}

impl Wallet {
    /// A key that writes drafts, and the key to seal messages to it.
    pub(crate) fn draft_key(&self, alias: Option<u32>) -> (SecretKey, SealKey) {
        let seed = &self.inner.seed;
        alias.map_or_else(|| (seed.identity(), seed.seal(0)), |n| pseudonym(seed, n))
    }

    /// Who writes drafts under that name.
    pub(crate) fn drawer(&self, alias: Option<u32>) -> Result<Payer, WalletError> {
        if alias.is_some_and(|n| n > ALIAS_MAX) {
            return Err(WalletError::Order("under a pseudonym of too high a number"));
        }
        Ok(Payer {
            key: self.draft_key(alias).0,
            network: self.network(),
            bank: self.bank(),
            authority: self.bank_facts()?.authority,
            copy: Digest(self.copy_token()),
        })
    }

    /// Who takes drafts.
    pub(crate) fn taker(&self) -> Result<Payee, WalletError> {
        let (key, seal) = self.draft_key(None);
        let it = self.inner.settings.drafts;
        // What was forgotten since a backup was made must not be taken again.
        let (now, began) = (self.now(), self.inner.meta().began.unwrap_or_default());
        let late = Span::from_secs(it.late_minutes.saturating_mul(60)).min(now.since(began)).max(SKEW);
        let terms = Terms { ask_above: it.ask_above, spot_checks: it.spot_checks, late_max: late, ..Terms::default() };
        let authority = self.bank_facts()?.authority;
        Ok(Payee { key, seal, network: self.network(), bank: self.bank(), authority, terms })
    }
}
