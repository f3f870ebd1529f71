//! The bank: pays every draft once, to the payee it names, as far as the payer is good for it; keeps
//! what is disputed; and lets nobody write on who does not show its whole log.
//!
//! All state is records in the bank's transaction beside the ledger; [`Drafts`] itself is a key,
//! a chart of accounts and terms. The bank never learns what is bought.

mod chart;
mod cheques;
mod compensate;
mod confirm;
mod deposit;
mod due;
mod enrol;
mod log;
mod money;
mod open_stops;
mod reconcile;
mod records;
mod stops;
mod take;

use farthing_core::amount::Amount;
use farthing_core::cert::{CERTIFICATE_LIFE, Limits};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{NetworkId, PeerId, TransferId, timed};
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_ledger::Reason;

pub use chart::Chart;
pub use confirm::Answer;
pub use deposit::{CheckedDeposit, DepositRequest};
pub use enrol::IDENTITIES_MAX;
pub use log::ENTRIES_MAX;
pub use open_stops::OpenStop;
pub(crate) use records::FILED;
pub use records::{Holder, Mark, TABLES};
pub use stops::STOPS_OPEN_MAX;
pub use take::Destination;

/// A draft paid.
pub const REASON_DRAFT: Reason = Reason(0x0601);
/// A draft paid from the payer's credit line.
pub const REASON_CREDIT: Reason = Reason(0x0602);
/// A draft paid from the payer's deposit.
pub const REASON_SECURITY: Reason = Reason(0x0603);
/// A used credit line, or a draft that could not be paid in time, made good.
pub const REASON_REPAID: Reason = Reason(0x0604);
/// Money for a stopped draft, set aside.
pub const REASON_STOP: Reason = Reason(0x0605);
/// Money for a stopped draft, to whom the finding says.
pub const REASON_FOUND: Reason = Reason(0x0606);
/// A draft that forks another, compensated from the payer's deposit.
pub const REASON_COMPENSATED: Reason = Reason(0x0607);

/// What the bank insists on and vouches for.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long a certificate holds: a week at most.
    pub certificate_life: Span,
    /// What one account's certificates may state: for one draft, and in all of them together.
    pub limits: Limits,
    /// How far the bank itself pays for an account that has nothing left.
    pub credit: Amount,
    /// How long a confirmed draft stays set aside.
    pub confirm_time: Span,
    /// How long the payee of a stopped draft has to show that it delivered.
    pub answer_time: Span,
}

impl Terms {
    /// Certificates of a day, no credit, two days to answer.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            certificate_life: CERTIFICATE_LIFE,
            limits,
            credit: limits.total.currency().zero(),
            confirm_time: Span::from_days(2),
            answer_time: Span::from_days(2),
        }
    }
}

/// Drafts at the bank they are drawn on.
#[derive(Debug)]
pub struct Drafts {
    chart: Chart,
    key: SecretKey,
    terms: Terms,
}

impl Drafts {
    /// Drafts under the bank's statement key.
    #[must_use]
    pub const fn new(chart: Chart, key: SecretKey, terms: Terms) -> Self {
        Self { chart, key, terms }
    }

    /// The key that signs receipts; drafts name it as the bank they are drawn on.
    #[must_use]
    pub fn bank(&self) -> PeerId {
        self.key.id()
    }

    /// The network in which everything is signed.
    #[must_use]
    pub const fn network(&self) -> NetworkId {
        self.chart.network
    }

    /// What it insists on and vouches for.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Its accounts.
    #[must_use]
    pub const fn chart(&self) -> &Chart {
        &self.chart
    }
}

/// The id of a transfer or hold: as old as what causes it, and the same at every repeat.
fn transfer_id(at: Time, parts: &[&[u8]]) -> TransferId {
    TransferId(timed(at, &hash(Purpose::Transfer, parts)))
}
