//! The bank as iKP's acquirer: sets `n·v` aside once, pays each coupon once, and gives back what
//! was not spent.
//!
//! All state is records in the bank's transaction beside the ledger; [`Coupons`] itself is two keys
//! and terms. The bank never knows a chain's seed nor what is bought.

mod authorise;
mod clear;
mod records;
mod release;

use farthing_core::amount::Currency;
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{AccountId, NetworkId, PeerId, TransferId, timed};
use farthing_core::seal::{SealKey, SealPublic};
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_ledger::{Account, AccountKind, Reason};

pub use authorise::CheckedAuth;
pub use clear::{CheckedClearings, ClearRequest, STEPS_PER_REQUEST_MAX, verify_clearings};
pub use records::{RelationRecord, TABLES};

/// Coupons paid, out of their hold.
pub const REASON_CLEAR: Reason = Reason(0x0301);
/// Coupons given back by their seller.
pub const REASON_REFUND: Reason = Reason(0x0302);

/// What the bank insists on.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The longest a session may run, and so hold its buyer's money.
    pub life_max: Span,
    /// How long after a session has ended its seller may still clear.
    pub grace: Span,
    /// How long after its invoice a purchase may be brought.
    pub invoice_life: Span,
}

impl Default for Terms {
    fn default() -> Self {
        Self { life_max: Span::from_days(30), grace: Span::from_days(2), invoice_life: Span::from_secs(600) }
    }
}

/// Coupons at the bank.
#[derive(Debug)]
pub struct Coupons {
    network: NetworkId,
    key: SecretKey,
    seal: SealKey,
    terms: Terms,
}

impl Coupons {
    /// Coupons under the bank's statement key and the key that opens slips.
    #[must_use]
    pub const fn new(network: NetworkId, key: SecretKey, seal: SealKey, terms: Terms) -> Self {
        Self { network, key, seal, terms }
    }

    /// The key that signs authorisations and receipts.
    #[must_use]
    pub fn bank(&self) -> PeerId {
        self.key.id()
    }

    /// The key to seal slips with.
    #[must_use]
    pub const fn slips(&self) -> SealPublic {
        self.seal.public()
    }

    fn customer(&self, peer: PeerId, currency: Currency) -> AccountId {
        Account::id_for(self.network, AccountKind::Customer, &peer.0, currency)
    }
}

/// The id of a transfer or hold: as old as what causes it, and the same at every repeat.
fn transfer_id(at: Time, parts: &[&[u8]]) -> TransferId {
    TransferId(timed(at, &hash(Purpose::Transfer, parts)))
}
