//! What is written down.

use farthing_core::amount::Amount;
use farthing_core::id::RequestId;
use farthing_core::order::Order;
use farthing_core::time::Time;
use farthing_coupon::clearing::Clearings;
use farthing_coupon::messages::Confirm;
use farthing_coupon::seller::Committed;
use farthing_coupon::session::SessionState;
use farthing_role::Table;
use minicbor::{Decode, Encode};

/// Open sessions, by name, as they were when they were last written down whole.
pub const SESSIONS: Table = Table("gateway_sessions");
/// What changed in sessions since their rows were written, a row for each batch of payments, by
/// number.
pub const CHANGES: Table = Table("gateway_changes");
/// Purchases that the bank is or was asked about, by the hash of what was agreed on.
pub const OPENINGS: Table = Table("gateway_openings");
/// Clearings that were sent, or are about to be, and have no answer yet, by request.
pub const CLEARINGS: Table = Table("gateway_clearings");
/// One record of each kind, by name.
pub const SINGLES: Table = Table("gateway_singles");

/// The tables of a gateway.
pub const TABLES: &[Table] = &[SESSIONS, CHANGES, OPENINGS, CLEARINGS, SINGLES];

/// The order that is on sale, in [`SINGLES`].
pub(crate) const ORDER: &[u8] = b"order";
/// [`Totals`], in [`SINGLES`].
pub(crate) const TOTALS: &[u8] = b"totals";

/// A session.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct SessionRecord {
    /// How it stands.
    #[n(0)]
    pub(crate) state: SessionState,
    /// It takes no more payments, and is to be cleared for good.
    #[n(1)]
    pub(crate) closed: bool,
}

/// A purchase on its way through the bank.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct Opening {
    /// What the buyer signed.
    #[n(0)]
    pub(crate) committed: Committed,
    /// The request to the bank, the same at every repeat.
    #[n(1)]
    pub(crate) request: RequestId,
    /// The bank's yes, for the buyer.
    #[n(2)]
    pub(crate) confirm: Option<Confirm>,
    /// When it may be forgotten.
    #[n(3)]
    pub(crate) until: Time,
}

/// A clearing without an answer.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct Sent {
    /// What is cleared.
    #[n(0)]
    pub(crate) clearings: Clearings,
}

/// What sessions that are over came to.
#[derive(Clone, Copy, Debug, Encode, Decode)]
pub(crate) struct Totals {
    /// Sessions that are over.
    #[n(0)]
    pub(crate) sessions: u64,
    /// Coupons they paid.
    #[n(1)]
    pub(crate) coupons: u64,
    /// What the bank paid for them.
    #[n(2)]
    pub(crate) cleared: Amount,
}

/// An order on sale.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct OnSale(#[n(0)] pub(crate) Order);
