//! What an operator decides about clearing, drafts and cheques: three sections of `bank.toml`.

use std::path::PathBuf;

use farthing_core::amount::{Amount, Currency};
use farthing_core::cert::Limits;
use farthing_core::time::Span;
use serde::{Deserialize, Serialize};

use super::config::AccountLimits;

/// What the bank insists on where it clears each payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClearingTerms {
    /// The most that one request may move; as much as there is if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Amount>,
    /// How long a payee may serve for a ticket, in seconds.
    pub ticket_secs: u64,
    /// How long a comparison of books stays good for funding and pay-out while money only comes in, in
    /// seconds.
    pub reconciled_secs: u64,
    /// The file to which the clearing's log is copied row by row; best on a disk of its own. A relative
    /// path begins in the bank's folder.
    pub log: PathBuf,
    /// Raise it to replace all keys that customers share with the bank at once, should the master of
    /// them have become known: every wallet then enrols again and compares its books.
    pub key_generation: u64,
}

impl Default for ClearingTerms {
    fn default() -> Self {
        Self {
            limit: None,
            ticket_secs: 600,
            reconciled_secs: 900,
            log: PathBuf::from("clearing.log"),
            key_generation: 0,
        }
    }
}

impl ClearingTerms {
    pub(crate) fn terms(&self, currency: Currency) -> farthing_clearing::bank::Terms {
        let usual = farthing_clearing::bank::Terms::of(vec![currency]);
        farthing_clearing::bank::Terms {
            limit: self.limit.map_or(usual.limit, |limit| limit.as_micros()),
            ticket_life: Span::from_secs(self.ticket_secs),
            reconciled_for: Span::from_secs(self.reconciled_secs),
            ..usual
        }
    }
}

/// What the bank vouches for where drafts are written offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DraftTerms {
    /// The most that one draft may be; `limits.per_item` if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_item: Option<Amount>,
    /// The most that the certificates of one account may state together; `limits.total` if nothing is
    /// said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Amount>,
    /// How far the bank itself pays for one account that has nothing left; nothing if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit: Option<Amount>,
    /// The bank's own money for all credit lines together; brought in, or taken out as far as it is not
    /// lent, at the next start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_total: Option<Amount>,
    /// How long certificates to write drafts hold, in hours.
    pub certificate_hours: u64,
    /// How long a confirmed draft stays set aside, in hours.
    pub confirm_hours: u64,
    /// How long the payee of a stopped draft has to show that it delivered, in hours.
    pub answer_hours: u64,
}

impl Default for DraftTerms {
    fn default() -> Self {
        Self {
            per_item: None,
            total: None,
            credit: None,
            credit_total: None,
            certificate_hours: 24,
            confirm_hours: 48,
            answer_hours: 48,
        }
    }
}

impl DraftTerms {
    pub(crate) fn terms(&self, limits: &AccountLimits) -> farthing_draft::bank::Terms {
        let certified =
            Limits { per_item: self.per_item.unwrap_or(limits.per_item), total: self.total.unwrap_or(limits.total) };
        let usual = farthing_draft::bank::Terms::new(certified);
        farthing_draft::bank::Terms {
            certificate_life: Span::from_hours(self.certificate_hours),
            credit: self.credit.unwrap_or(usual.credit),
            confirm_time: Span::from_hours(self.confirm_hours),
            answer_time: Span::from_hours(self.answer_hours),
            ..usual
        }
    }
}

/// What the bank insists on where it deals with other banks. Which ones, operators say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BanksTerms {
    /// How long after the end of a certified cheque its money stays held, in hours.
    pub margin_hours: u64,
    /// The most cheques that one customer may present in a day: each is remembered for ever, here and
    /// at every bank on its way, whether it is worth anything or not.
    pub cheques_per_day: u64,
}

impl Default for BanksTerms {
    fn default() -> Self {
        Self { margin_hours: 24, cheques_per_day: 1_000 }
    }
}

impl BanksTerms {
    pub(crate) const fn terms(&self) -> farthing_draft::interbank::Terms {
        farthing_draft::interbank::Terms { margin: Span::from_hours(self.margin_hours) }
    }
}
