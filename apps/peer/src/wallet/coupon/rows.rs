//! What a wallet writes down about coupons.

use farthing_core::amount::Amount;
use farthing_core::id::PeerId;
use farthing_core::time::Time;
use farthing_coupon::buyer::Pending;
use farthing_coupon::spender::SpenderState;
use farthing_role::{Scan, Table};
use farthing_store::Reader;
use minicbor::{Decode, Encode};

use crate::wallet::error::WalletError;
use crate::wallet::records::{self, Origin};

/// Sessions that are open, by number.
pub(crate) const SESSIONS: Table = Table("wallet_coupon_sessions");
/// Sessions that were signed for and not confirmed, by number.
pub(crate) const OPENINGS: Table = Table("wallet_coupon_openings");
/// Whose key each site was paid under the first time, by the site's name.
pub(crate) const SITES: Table = Table("wallet_coupon_sites");

/// The most sessions open or being opened at a time.
pub const SESSIONS_MAX: usize = 1_024;

/// The longest name of a site, in bytes.
pub const SITE_MAX: usize = 300;

/// A session as it stands, paid ahead of what left perhaps.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct SessionRow {
    /// From what its keys are derived.
    #[n(0)]
    pub(crate) origin: Origin,
    /// Where its seller is.
    #[n(1)]
    pub(crate) site: String,
    /// What is sold, in the seller's words.
    #[n(2)]
    pub(crate) description: String,
    /// The session as its buyer holds it.
    #[n(3)]
    pub(crate) state: SpenderState,
    /// The hour in which the policy last counted units of it.
    #[n(4)]
    pub(crate) hour: u64,
    /// What was paid for; sessions of an earlier version do not know it.
    #[n(5)]
    pub(crate) tally: Option<Tally>,
}

/// What was paid for in a session, as far as it was written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode)]
pub(crate) struct Tally {
    /// How many requests cost something.
    #[n(0)]
    pub(crate) requests: u32,
    /// How many units the seller charged, by its own word.
    #[n(1)]
    pub(crate) charged: u32,
    /// The highest unit of the last payment that the seller acknowledged.
    #[n(2)]
    pub(crate) receipt: Option<u32>,
}

impl Tally {
    /// Counts a request that cost something.
    pub(crate) const fn count(&mut self) {
        self.requests = self.requests.saturating_add(1);
    }

    /// Counts one that was acknowledged.
    pub(crate) const fn acknowledge(&mut self, index: u32, charged: u32) {
        self.count();
        self.charged = self.charged.saturating_add(charged);
        self.receipt = Some(index);
    }
}

/// A session that was signed for: the bank may have set the money aside.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct OpeningRow {
    /// From what its keys are derived.
    #[n(0)]
    pub(crate) origin: Origin,
    /// Where its seller is.
    #[n(1)]
    pub(crate) site: String,
    /// What is sold, in the seller's words.
    #[n(2)]
    pub(crate) description: String,
    /// Who sells.
    #[n(3)]
    pub(crate) seller: PeerId,
    /// What was signed.
    #[n(4)]
    pub(crate) pending: Pending,
    /// When the session ends, and what the bank has set aside comes back.
    #[n(5)]
    pub(crate) not_after: Time,
    /// What the bank may have set aside; openings of an earlier version do not know it.
    #[n(6)]
    pub(crate) at_most: Option<Amount>,
}

/// Every open session.
pub(crate) fn sessions(reader: &dyn Reader) -> Result<Vec<SessionRow>, WalletError> {
    let rows = reader.scan(SESSIONS, Scan { prefix: &[], after: None, limit: SESSIONS_MAX })?;
    rows.into_iter().map(|(_, value)| Ok(records::read(SESSIONS, &value)?)).collect()
}

/// Every session that waits to be confirmed, the oldest first.
pub(crate) fn openings(reader: &dyn Reader) -> Result<Vec<OpeningRow>, WalletError> {
    let rows = reader.scan(OPENINGS, Scan { prefix: &[], after: None, limit: SESSIONS_MAX })?;
    rows.into_iter().map(|(_, value)| Ok(records::read(OPENINGS, &value)?)).collect()
}
