//! `wallet.toml`: what the owner may change by hand.

use std::collections::BTreeMap;
use std::path::Path;

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::time::Span;
use serde::{Deserialize, Serialize};

use super::error::WalletError;
use super::home::Home;
use super::policy::Policy;

/// The most petnames kept.
pub const NAMES_MAX: usize = 10_000;

/// The least time for a payee to deposit, in days: no payee takes drafts that leave it less.
const LIFE_DAYS_MIN: u64 = 3;

/// The most, in days: no bank remembers them longer.
const LIFE_DAYS_MAX: u64 = 30;

/// The longest `wallet.toml` that is read.
pub(crate) const SETTINGS_BYTES_MAX: u64 = 1 << 20;

/// The wallet's bank, pinned: nothing it says is believed under another key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankPin {
    /// Where it is: see [`farthing_net::http::endpoint`](farthing_net::http).
    pub endpoint: String,
    /// The key of its statements.
    pub key: PeerId,
    /// Its network.
    pub network: NetworkId,
    /// Its currency.
    pub currency: Currency,
}

/// How chains are opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChainSettings {
    /// What a unit of a spare chain is worth, in micros. Prices that are no multiple of it are paid
    /// from chains opened for the purpose.
    pub unit_micros: u64,
    /// What a chain is worth, in micros, unless a purchase needs more.
    pub value_micros: u64,
    /// How many chains are kept open in advance, so that buying works while the bank is down.
    pub spare: usize,
    /// How many hours a chain lives.
    pub life_hours: u64,
    /// How many hours a reserve runs.
    pub reserve_hours: u64,
    /// How many pieces a reserve covers.
    pub reserve_pieces: u32,
}

impl Default for ChainSettings {
    fn default() -> Self {
        Self {
            unit_micros: 10,
            value_micros: 250_000,
            spare: 2,
            life_hours: 7 * 24,
            reserve_hours: 24,
            reserve_pieces: farthing_netpay::messages::RESERVE_WIDTH,
        }
    }
}

impl ChainSettings {
    /// How long a chain lives.
    pub(crate) const fn life(&self) -> Span {
        Span::from_hours(self.life_hours)
    }

    /// How long a reserve runs.
    pub(crate) const fn reserve_life(&self) -> Span {
        Span::from_hours(self.reserve_hours)
    }
}

/// When earnings are redeemed without being asked. Whatever it says, what would be lost otherwise
/// is redeemed in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedeemPolicy {
    /// As soon as this much is earned; never by amount if not set.
    pub threshold: Option<Amount>,
    /// Every so many hours; never by time if not set.
    pub every_hours: Option<u64>,
    /// So many hours before the time to claim is over.
    pub before_deadline_hours: u64,
}

impl Default for RedeemPolicy {
    fn default() -> Self {
        Self { threshold: None, every_hours: None, before_deadline_hours: 24 }
    }
}

/// How drafts are written and taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DraftSettings {
    /// The limit to ask for in certificates, in micros: what payees may hold of this wallet's drafts,
    /// and what a stolen wallet can promise in a day. The bank may allow less.
    pub limit_micros: u64,
    /// How many days the payee of a draft has to deposit it.
    pub life_days: u64,
    /// Above this amount the bank is asked before a draft is served for; never if not set.
    pub ask_above: Option<Amount>,
    /// How often it is asked below that, by lot: so many times in a million.
    pub spot_checks: u32,
    /// How many minutes after it was written a draft is still taken: by file it takes longer than by
    /// wire. The certificate must hold in any case.
    pub late_minutes: u64,
}

impl Default for DraftSettings {
    fn default() -> Self {
        Self { limit_micros: 5_000_000, life_days: 14, ask_above: None, spot_checks: 0, late_minutes: 12 * 60 }
    }
}

/// Everything in `wallet.toml`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The bank.
    pub bank: BankPin,
    /// What may be spent.
    #[serde(default)]
    pub policy: Policy,
    /// How chains are opened.
    #[serde(default)]
    pub chains: ChainSettings,
    /// When earnings are redeemed.
    #[serde(default)]
    pub redeem: RedeemPolicy,
    /// How drafts are written and taken.
    #[serde(default)]
    pub drafts: DraftSettings,
    /// Petnames: local, for people only; they never choose whom to pay.
    #[serde(default)]
    pub names: BTreeMap<String, PeerId>,
}

impl Settings {
    /// The defaults with this bank.
    #[must_use]
    pub fn with_bank(bank: BankPin) -> Self {
        Self {
            bank,
            policy: Policy::default(),
            chains: ChainSettings::default(),
            redeem: RedeemPolicy::default(),
            drafts: DraftSettings::default(),
            names: BTreeMap::new(),
        }
    }

    /// Reads `wallet.toml` in a wallet's folder.
    ///
    /// # Errors
    /// [`WalletError::Settings`] with line and remedy, or what the disk said.
    pub fn read(home: &Path) -> Result<Self, WalletError> {
        Home::open(home)?.read_settings()
    }

    /// Writes `wallet.toml` in a wallet's folder. A wallet that is open goes by it the next time.
    ///
    /// # Errors
    /// [`WalletError::Settings`] for settings that make no sense, or what the disk said.
    pub fn write(&self, home: &Path) -> Result<(), WalletError> {
        Home::open(home)?.write_settings(self)
    }

    /// Reads the text of a file; the error names the line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let settings: Self = toml::from_str(text).map_err(|why| why.to_string())?;
        settings.check()?;
        Ok(settings)
    }

    /// What the types do not say.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.names.len() > NAMES_MAX {
            return Err(format!("[names] holds more than {NAMES_MAX}"));
        }
        let chains = &self.chains;
        if chains.unit_micros == 0 || chains.value_micros < chains.unit_micros {
            return Err("[chains] unit_micros must be above zero and no more than value_micros".into());
        }
        if chains.reserve_pieces == 0 || chains.reserve_hours == 0 || chains.life_hours <= chains.reserve_hours {
            return Err(
                "[chains] reserve_pieces and reserve_hours must be above zero, life_hours above reserve_hours".into()
            );
        }
        let drafts = &self.drafts;
        if !(LIFE_DAYS_MIN..=LIFE_DAYS_MAX).contains(&drafts.life_days) || drafts.limit_micros == 0 {
            return Err(format!(
                "[drafts] life_days must be from {LIFE_DAYS_MIN} to {LIFE_DAYS_MAX}, and limit_micros above zero"
            ));
        }
        self.currency().micros(drafts.limit_micros).map_err(|why| format!("[drafts] limit_micros: {why}"))?;
        self.currency().micros(chains.value_micros).map_err(|why| format!("[chains] value_micros: {why}"))?;
        let Policy { per_request, per_payee, per_hour, total, per_tool, approve_above } = self.policy;
        let (threshold, ask_above) = (self.redeem.threshold, self.drafts.ask_above);
        let amounts = [per_request, per_payee, per_hour, total, per_tool, approve_above, threshold, ask_above];
        match amounts.into_iter().flatten().find(|amount| amount.currency() != self.currency()) {
            Some(odd) => Err(format!("{odd} is not in {}, the bank's currency", self.currency())),
            None => Ok(()),
        }
    }

    /// The currency of the bank.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.bank.currency
    }

    /// What a unit of a spare chain is worth.
    pub(crate) fn unit(&self) -> Amount {
        // `check` has seen that it is in range.
        self.currency().micros(self.chains.unit_micros).unwrap_or(self.currency().zero())
    }
}
