//! How money comes in and goes out: the seam where real rails plug in.

mod operators;
mod play;

use farthing_core::id::{PeerId, RequestId};
use farthing_role::{Context, Halt};

pub(crate) use operators::{Desk, decide, lapse, list, settle};
pub use operators::{OperatorEntry, PENDING_PER_CUSTOMER_MAX, PENDING_SPAN};
pub use play::PlayMoney;

use crate::chart::Chart;
use crate::messages::{Fund, Payout, Progress};

/// Something that connects the bank to the outside. It runs inside the transaction of the request
/// and moves money only between a customer and the outside.
pub trait Rail: Send + Sync + 'static {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// Credits money from outside, or has that decided.
    ///
    /// # Errors
    /// [`Halt`].
    fn fund(
        &self,
        cx: &mut Context<'_>,
        chart: &Chart,
        customer: PeerId,
        id: RequestId,
        fund: Fund,
    ) -> Result<Progress, Halt>;

    /// Pays money out, or sets it aside and has that decided.
    ///
    /// # Errors
    /// [`Halt`].
    fn payout(
        &self,
        cx: &mut Context<'_>,
        chart: &Chart,
        customer: PeerId,
        id: RequestId,
        payout: Payout,
    ) -> Result<Progress, Halt>;
}
