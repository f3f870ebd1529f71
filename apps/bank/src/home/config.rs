//! What an operator decides: `bank.toml`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use farthing_core::amount::{Amount, Currency};
use farthing_core::cert::{CERTIFICATE_LIFE_MAX, Limits, RoleName};
use farthing_core::id::PeerId;
use farthing_core::time::Span;
use farthing_net::http::server::Tls;
use serde::{Deserialize, Serialize};

use super::schemes::{BanksTerms, ClearingTerms, DraftTerms};
use crate::messages::{NAME_MAX, Text};

/// The most operators.
const OPERATORS_MAX: usize = 64;
/// Where a bank listens if nobody says otherwise.
const PORT: u16 = 7_878;
/// A chain may live for a year at most.
const CHAIN_DAYS_MAX: u64 = 365;
/// Nobody is given longer than this to claim or answer: 30 days.
const HOURS_MAX: u64 = 30 * 24;
/// A ticket and a comparison are good for a day at most.
const SECS_MAX: u64 = 86_400;

/// A bank's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bank's name. Its network follows from it: never change it once there are customers.
    pub name: String,
    /// The currency of its accounts. Never change it once there are customers.
    pub currency: Currency,
    /// Where it listens.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// How money comes in and goes out.
    pub rail: RailName,
    /// Who may decide on funding and pay-outs, suspend, and read evidence.
    #[serde(default)]
    pub operators: Vec<PeerId>,
    /// How connections are protected.
    #[serde(default)]
    pub tls: TlsConfig,
    /// What the bank insists on.
    #[serde(default)]
    pub terms: Terms,
    /// How far anybody may go.
    pub limits: AccountLimits,
    /// Who may be certified as more than a peer.
    #[serde(default)]
    pub roles: Roles,
    /// The online clearing.
    #[serde(default)]
    pub clearing: ClearingTerms,
    /// Offline drafts.
    #[serde(default)]
    pub draft: DraftTerms,
    /// Cheques between banks.
    #[serde(default)]
    pub banks: BanksTerms,
    /// Whether the bank settles for servers that speak stock x402.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facilitator: Option<FacilitatorTerms>,
}

/// How the bank settles for servers that speak x402.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FacilitatorTerms {
    /// What one coupon is worth; prices are whole numbers of it. Sessions open under another value
    /// end at their time, but take no more payments once it is changed.
    pub coupon: Amount,
    /// The address that servers and buyers reach the bank under, where that is not the one it
    /// listens on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// How money comes in and goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RailName {
    /// Play money: whoever asks gets it, up to a limit. For demonstrations and tests.
    Play,
    /// Two operators approve each case by hand.
    Operators,
}

/// How connections are protected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TlsConfig {
    /// Not at all; on this machine only.
    #[default]
    Plain,
    /// By a self-made certificate, recognised by its fingerprint.
    SelfMade,
    /// By a certificate given as PEM files.
    Files {
        /// The certificate and those that lead to its authority.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

impl TlsConfig {
    /// As the server wants it; a self-made certificate is kept in the bank's folder.
    pub(crate) fn for_server(&self, home: &Path) -> Tls {
        match self {
            Self::Plain => Tls::PlainLoopbackOnly,
            Self::SelfMade => Tls::SelfMade { dir: home.join("tls") },
            Self::Files { cert, key } => Tls::Files { cert: cert.clone(), key: key.clone() },
        }
    }
}

/// What the bank insists on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// The longest life of a chain, in days.
    pub chain_days: u64,
    /// How long after its reserve has ended a payee may still claim, in hours.
    pub grace_hours: u64,
    /// How long an accused payer has to answer, in hours.
    pub answer_hours: u64,
    /// How long certificates hold, in hours.
    pub certificate_hours: u64,
    /// What an account must have deposited before it may open chains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deposit: Option<Amount>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { chain_days: 30, grace_hours: 48, answer_hours: 48, certificate_hours: 24, deposit: None }
    }
}

impl Terms {
    pub(crate) const fn certificate_life(&self) -> Span {
        Span::from_hours(self.certificate_hours)
    }

    pub(crate) fn coupon(&self) -> farthing_coupon::bank::Terms {
        farthing_coupon::bank::Terms {
            life_max: Span::from_days(self.chain_days),
            grace: Span::from_hours(self.grace_hours),
            ..farthing_coupon::bank::Terms::default()
        }
    }

    pub(crate) fn netpay(&self) -> farthing_netpay::bank::Terms {
        farthing_netpay::bank::Terms {
            life_max: Span::from_days(self.chain_days),
            grace: Span::from_hours(self.grace_hours),
            deposit: self.deposit,
            answer_time: Span::from_hours(self.answer_hours),
        }
    }
}

/// How far anybody may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountLimits {
    /// The most that one payment may be, as certificates state it.
    pub per_item: Amount,
    /// The most that may be owed in all, as certificates state it.
    pub total: Amount,
    /// The most play money that one account gets in a day.
    pub play_per_day: Amount,
    /// The most accounts opened in a day.
    pub accounts_per_day: u64,
    /// Requests of one account in each second, in the long run; twice as many at once.
    pub requests_per_second: u32,
}

impl AccountLimits {
    pub(crate) const fn certified(&self) -> Limits {
        Limits { per_item: self.per_item, total: self.total }
    }
}

/// Who may be certified as more than a peer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Roles {
    /// Find content.
    pub index: Vec<PeerId>,
    /// Settle fair exchanges.
    pub arbiter: Vec<PeerId>,
    /// Issue coins.
    pub mint: Vec<PeerId>,
}

impl Roles {
    /// Whether somebody may be certified so; everybody may be a peer.
    #[must_use]
    pub fn allow(&self, who: PeerId, role: RoleName) -> bool {
        match role {
            RoleName::Peer => true,
            RoleName::Index => self.index.contains(&who),
            RoleName::Arbiter => self.arbiter.contains(&who),
            RoleName::Mint => self.mint.contains(&who),
            // Comes with a reconciliation, never for the asking.
            RoleName::Drawer => false,
        }
    }
}

impl Config {
    /// A bank that gives play money to everybody, on this machine only.
    #[must_use]
    pub fn play(name: &str, currency: Currency) -> Self {
        // Whole units far below the largest amount always fit.
        let units = |units: u64| currency.micros(units * 1_000_000).unwrap_or_else(|_| currency.zero());
        Self {
            name: name.to_owned(),
            currency,
            listen: default_listen(),
            rail: RailName::Play,
            operators: Vec::new(),
            tls: TlsConfig::Plain,
            terms: Terms::default(),
            limits: AccountLimits {
                per_item: units(10),
                total: units(100),
                play_per_day: units(1_000),
                accounts_per_day: 10_000,
                requests_per_second: 200,
            },
            roles: Roles::default(),
            clearing: ClearingTerms::default(),
            draft: DraftTerms::default(),
            banks: BanksTerms::default(),
            facilitator: Some(FacilitatorTerms {
                coupon: currency.micros(100).unwrap_or_else(|_| currency.zero()),
                url: None,
            }),
        }
    }

    /// Reads a configuration; what is wrong is told with its line and key.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|why| why.to_string().trim().to_owned())
    }

    pub(super) fn to_toml(&self) -> Result<String, String> {
        toml::to_string(self).map_err(|why| why.to_string())
    }

    /// What the form alone does not show.
    pub(super) fn check(&self) -> Result<(), String> {
        let name = Text::<NAME_MAX>::new(self.name.as_str()).filter(|name| !name.as_str().is_empty());
        name.ok_or(format!("`name` has 1 to {NAME_MAX} bytes and no hidden characters"))?;
        let terms = &self.terms;
        let certificate_max = CERTIFICATE_LIFE_MAX.as_millis() / 3_600_000;
        within("terms.chain_days", terms.chain_days, CHAIN_DAYS_MAX)?;
        within("terms.grace_hours", terms.grace_hours, HOURS_MAX)?;
        within("terms.answer_hours", terms.answer_hours, HOURS_MAX)?;
        within("terms.certificate_hours", terms.certificate_hours, certificate_max)?;
        within("clearing.ticket_secs", self.clearing.ticket_secs, SECS_MAX)?;
        within("clearing.reconciled_secs", self.clearing.reconciled_secs, SECS_MAX)?;
        within("draft.certificate_hours", self.draft.certificate_hours, certificate_max)?;
        within("draft.confirm_hours", self.draft.confirm_hours, HOURS_MAX)?;
        within("draft.answer_hours", self.draft.answer_hours, HOURS_MAX)?;
        within("banks.margin_hours", self.banks.margin_hours, HOURS_MAX)?;
        within("limits.requests_per_second", self.limits.requests_per_second.into(), u32::MAX as u64 / 2)?;
        let limits = &self.limits;
        let amounts = [
            ("limits.per_item", Some(limits.per_item)),
            ("limits.total", Some(limits.total)),
            ("limits.play_per_day", Some(limits.play_per_day)),
            ("terms.deposit", terms.deposit),
            ("clearing.limit", self.clearing.limit),
            ("draft.per_item", self.draft.per_item),
            ("draft.total", self.draft.total),
            ("draft.credit", self.draft.credit),
            ("draft.credit_total", self.draft.credit_total),
            ("facilitator.coupon", self.facilitator.as_ref().map(|terms| terms.coupon)),
        ];
        for (key, amount) in amounts {
            if amount.is_some_and(|amount| amount.currency() != self.currency) {
                return Err(format!("`{key}` must be in {}, the bank's currency", self.currency));
            }
        }
        if self.facilitator.as_ref().is_some_and(|terms| terms.coupon.is_zero()) {
            return Err("`facilitator.coupon` is worth something".into());
        }
        let mut operators = self.operators.clone();
        operators.sort_unstable();
        operators.dedup();
        if operators.len() != self.operators.len() || operators.len() > OPERATORS_MAX {
            return Err(format!("`operators` names at most {OPERATORS_MAX} keys, each once"));
        }
        if self.rail == RailName::Operators && operators.len() < 2 {
            return Err("`operators` must name at least two keys: each pay-out takes two pairs of eyes".into());
        }
        Ok(())
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))
}

fn within(key: &str, value: u64, most: u64) -> Result<(), String> {
    if (1..=most).contains(&value) { Ok(()) } else { Err(format!("`{key}` is {value}; it may be 1 to {most}")) }
}
