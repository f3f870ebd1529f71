//! What a facilitator remembers.

use farthing_core::time::Time;
use farthing_coupon::messages::Confirm;
use farthing_coupon::micro::{Ack, Pay, SessionName};
use farthing_coupon::secret::Digest;
use farthing_coupon::session::SessionState;
use farthing_role::Table;
use minicbor::{Decode, Encode};

/// Sessions by name.
pub(super) const SESSIONS: Table = Table("facilitator_sessions");
/// What was answered to a buyer's Payment, by `H(COMMON)`, for repeats.
pub(super) const CONFIRMS: Table = Table("facilitator_confirms");
/// Sessions by the moment they end.
pub(super) const ENDS: Table = Table("facilitator_ends");
/// Sessions with something to clear.
pub(super) const UNCLEARED: Table = Table("facilitator_uncleared");
/// Payments kept or taken, by session and index.
pub(super) const PAYMENTS: Table = Table("facilitator_payments");
/// Payments by the moment they are forgotten.
pub(super) const FORGET: Table = Table("facilitator_forget");
/// What is owed to servers, in micros.
pub(super) const OWED: Table = Table("facilitator_owed");

/// All of them.
pub(crate) const TABLES: [Table; 7] = [SESSIONS, CONFIRMS, ENDS, UNCLEARED, PAYMENTS, FORGET, OWED];

/// A session with a buyer.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct SessionRow {
    /// As the seller writes it down.
    #[n(0)]
    pub(super) state: SessionState,
    /// `H(COMMON)`.
    #[n(1)]
    pub(super) common: Digest,
    /// Whether the buyer closed it.
    #[n(2)]
    pub(super) closed: bool,
}

/// An answer to a buyer's Payment.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct ConfirmRow {
    /// The hash of the Payment.
    #[n(0)]
    pub(super) payment: Digest,
    /// The answer.
    #[n(1)]
    pub(super) confirm: Confirm,
}

/// A payment that a server brought.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct PaymentRow {
    /// The payment, which fitted its session.
    #[n(0)]
    pub(super) pay: Pay,
    /// When this is forgotten.
    #[n(1)]
    pub(super) until: Time,
    /// How far it came.
    #[n(2)]
    pub(super) state: PaymentState,
}

/// How far a payment came.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) enum PaymentState {
    /// Kept for the server that had it verified, until it is forgotten.
    #[n(0)]
    Kept,
    /// Taken.
    #[n(1)]
    Settled {
        /// How much was charged, in micros.
        #[n(0)]
        charged: u64,
        /// What the buyer is told.
        #[n(1)]
        ack: Ack,
    },
}

pub(super) fn payment_key(session: SessionName, index: u32) -> Vec<u8> {
    [&session.0[..], &index.to_be_bytes()].concat()
}

/// A key that sorts by time and then by what it is about.
pub(super) fn timed_key(at: Time, what: &[u8]) -> Vec<u8> {
    [&at.as_millis().to_be_bytes(), what].concat()
}

/// The two parts of such a key.
pub(super) fn split_timed(key: &[u8]) -> Option<(Time, &[u8])> {
    let (at, what) = key.split_at_checked(8)?;
    Some((Time::from_millis(u64::from_be_bytes(at.try_into().ok()?)), what))
}
