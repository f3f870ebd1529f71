//! The bank's side: backs chains, pays claims once, releases for vanished payees, gives back what
//! was not spent, and settles double reserves by verdict.
//!
//! All state is records in the bank's transaction beside the ledger; [`NetPay`] itself is a key and
//! terms. The bank never knows a chain's seed, so it can refuse but neither spend nor frame.

mod cases;
mod chains;
mod claims;
mod records;
mod units;

use farthing_core::amount::Amount;
use farthing_core::id::{AccountId, NetworkId, PeerId, TransferId};
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_ledger::{Account, AccountKind, Reason};

pub use cases::{Case, CaseState};
pub use claims::{CheckedClaims, ClaimRequest, STEPS_PER_REQUEST_MAX};
pub use records::{ChainRecord, TABLES};

/// Money set aside for a chain.
pub const REASON_OPEN: Reason = Reason(0x0101);
/// A claim paid.
pub const REASON_CLAIM: Reason = Reason(0x0102);
/// What a chain had left, given back.
pub const REASON_REFUND: Reason = Reason(0x0103);
/// Compensation by verdict.
pub const REASON_VERDICT: Reason = Reason(0x0104);

/// What the bank insists on.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The longest life of a chain.
    pub life_max: Span,
    /// How long after its reserve has ended a payee may still claim.
    pub grace: Span,
    /// What an account must have deposited against cheating before it may open chains.
    pub deposit: Option<Amount>,
    /// How long an accused payer has to answer.
    pub answer_time: Span,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            life_max: Span::from_days(30),
            grace: Span::from_days(2),
            deposit: None,
            answer_time: Span::from_days(2),
        }
    }
}

/// NetPay at the bank.
#[derive(Debug)]
pub struct NetPay {
    network: NetworkId,
    key: SecretKey,
    terms: Terms,
}

impl NetPay {
    /// NetPay under the bank's statement key.
    #[must_use]
    pub const fn new(network: NetworkId, key: SecretKey, terms: Terms) -> Self {
        Self { network, key, terms }
    }

    /// The key that signs touchstones and receipts.
    #[must_use]
    pub fn bank(&self) -> PeerId {
        self.key.id()
    }

    fn customer(&self, peer: PeerId, currency: farthing_core::amount::Currency) -> AccountId {
        Account::id_for(self.network, AccountKind::Customer, &peer.0, currency)
    }

    fn deposit(&self, peer: PeerId, currency: farthing_core::amount::Currency) -> AccountId {
        Account::id_for(self.network, AccountKind::Deposit, &peer.0, currency)
    }
}

/// The id of a transfer: as old as the request that causes it, and the same at every repeat.
fn transfer_id(at: Time, parts: &[&[u8]]) -> TransferId {
    TransferId(farthing_core::id::timed(at, &farthing_core::hash::hash(farthing_core::hash::Purpose::Transfer, parts)))
}
