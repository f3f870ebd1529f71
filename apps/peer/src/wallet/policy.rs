//! What the wallet may spend without asking, and what it has counted so far.

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{OrderId, PeerId};
use farthing_core::time::Time;
use farthing_ledger::StoreFault;
use farthing_role::{Records, Scan};
use farthing_store::Reader;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::error::WalletError;
use super::records::{self, BUDGET};

/// Milliseconds in an hour: the policy counts by the clock's hours.
const HOUR_MILLIS: u64 = 3_600_000;

/// At most so many hours are forgotten at once.
const HOURS_FORGOTTEN: usize = 64;

/// What may be spent. A cap that is not set does not bind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The most that one purchase may cost.
    pub per_request: Option<Amount>,
    /// The most that one payee may ever get.
    pub per_payee: Option<Amount>,
    /// The most that may be spent in one hour of the clock.
    pub per_hour: Option<Amount>,
    /// The most that may be spent in all.
    pub total: Option<Amount>,
    /// The most that one tool of a program may spend in all, where the program names its tools.
    pub per_tool: Option<Amount>,
    /// Above this a purchase needs its owner's word.
    pub approve_above: Option<Amount>,
}

/// Which rule of a [`Policy`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cap {
    /// [`Policy::per_request`].
    Request,
    /// [`Policy::per_payee`].
    Payee,
    /// [`Policy::per_hour`].
    Hour,
    /// [`Policy::total`].
    Total,
    /// [`Policy::per_tool`].
    Tool,
}

impl Cap {
    /// Its name in `wallet.toml`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Request => "per_request",
            Self::Payee => "per_payee",
            Self::Hour => "per_hour",
            Self::Total => "total",
            Self::Tool => "per_tool",
        }
    }
}

/// The policy's no. Nothing was paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyRefusal {
    /// A cap would be exceeded.
    #[error(
        "the wallet's policy allows {cap} {key}, {left} of it is left, and this may cost {asked}: raise `{key}` in the \
         policy, or buy less; nothing was paid",
        key = .which.key()
    )]
    Over {
        /// Which.
        which: Cap,
        /// What it allows.
        cap: Amount,
        /// What is left of that.
        left: Amount,
        /// What was asked for.
        asked: Amount,
    },
    /// The owner did not agree.
    #[error(
        "this may cost {asked}, more than {above}, and was not approved: approve it, or raise `approve_above` in the \
         wallet's policy; nothing was paid"
    )]
    NotApproved {
        /// What was asked for.
        asked: Amount,
        /// From where on the owner is asked.
        above: Amount,
    },
    /// The visit would pay more than was allowed when it began.
    #[error("this purchase may pay {left} more, and {asked} was asked for: begin another purchase; nothing was paid")]
    Visit {
        /// What is left.
        left: Amount,
        /// What was asked for.
        asked: Amount,
    },
}

/// What the owner is asked to approve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approval {
    /// Who would be paid.
    pub payee: PeerId,
    /// For what.
    pub order: OrderId,
    /// The same in the seller's words.
    pub description: String,
    /// What it may cost at the most.
    pub at_most: Amount,
}

/// Asks the owner.
pub trait Approver: Send + Sync + 'static {
    /// Whether the owner agrees.
    fn approve<'a>(&'a self, ask: &'a Approval) -> BoxFuture<'a, bool>;
}

/// Agrees to nothing: for a wallet with nobody in front of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NobodyApproves;

impl Approver for NobodyApproves {
    fn approve<'a>(&'a self, _: &'a Approval) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(false))
    }
}

/// What is left to spend under a policy; `None` where no cap binds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Budget {
    /// In one purchase.
    pub per_request: Option<Amount>,
    /// With the payee that was asked about.
    pub per_payee: Option<Amount>,
    /// In this hour.
    pub per_hour: Option<Amount>,
    /// In all.
    pub total: Option<Amount>,
    /// What was spent in all, purchases in progress counted in full.
    pub spent: Amount,
}

/// The hour of the clock.
pub(crate) fn hour_of(now: Time) -> u64 {
    now.as_millis() / HOUR_MILLIS
}

fn payee_key(payee: &PeerId) -> Vec<u8> {
    [b"p", &payee.0[..]].concat()
}

fn hour_key(hour: u64) -> Vec<u8> {
    [b"h", &hour.to_be_bytes()[..]].concat()
}

const TOTAL_KEY: &[u8] = b"t";

/// What has been counted.
struct Counted {
    payee: Amount,
    hour: Amount,
    total: Amount,
}

impl Counted {
    fn read(
        get: impl Fn(&[u8]) -> Result<Option<Amount>, StoreFault>,
        currency: Currency,
        payee: &PeerId,
        hour: u64,
    ) -> Result<Self, StoreFault> {
        let at = |key: &[u8]| get(key).map(|sum| sum.unwrap_or(currency.zero()));
        Ok(Self { payee: at(&payee_key(payee))?, hour: at(&hour_key(hour))?, total: at(TOTAL_KEY)? })
    }

    fn write(&self, tx: &mut (impl Records + ?Sized), payee: &PeerId, hour: u64) {
        records::put(tx, BUDGET, &payee_key(payee), &self.payee);
        records::put(tx, BUDGET, &hour_key(hour), &self.hour);
        records::put(tx, BUDGET, TOTAL_KEY, &self.total);
    }
}

impl Policy {
    fn left(&self, counted: &Counted, currency: Currency) -> [(Cap, Option<(Amount, Amount)>); 4] {
        let left =
            |cap: Option<Amount>, used: Amount| cap.map(|cap| (cap, cap.checked_sub(used).unwrap_or(currency.zero())));
        [
            (Cap::Request, left(self.per_request, currency.zero())),
            (Cap::Payee, left(self.per_payee, counted.payee)),
            (Cap::Hour, left(self.per_hour, counted.hour)),
            (Cap::Total, left(self.total, counted.total)),
        ]
    }

    /// Whether one request may cost so much.
    pub(crate) fn check_request(&self, asked: Amount) -> Result<(), PolicyRefusal> {
        match self.per_request.filter(|cap| exceeds(asked, *cap)) {
            Some(cap) => Err(PolicyRefusal::Over { which: Cap::Request, cap, left: cap, asked }),
            None => Ok(()),
        }
    }

    /// The same for what several requests share.
    pub(crate) const fn without_request_cap(self) -> Self {
        Self { per_request: None, ..self }
    }

    /// Counts a purchase at the most it may cost, if every cap allows that. Writes nothing on a no.
    pub(crate) fn charge(
        &self,
        tx: &mut (impl Records + ?Sized),
        payee: &PeerId,
        hour: u64,
        asked: Amount,
    ) -> Result<Result<(), PolicyRefusal>, StoreFault> {
        let currency = asked.currency();
        let mut counted = Counted::read(|key| get_in(tx, key), currency, payee, hour)?;
        for (which, left) in self.left(&counted, currency) {
            if let Some((cap, left)) = left.filter(|(_, left)| exceeds(asked, *left)) {
                return Ok(Err(PolicyRefusal::Over { which, cap, left, asked }));
            }
        }
        for sum in [&mut counted.payee, &mut counted.hour, &mut counted.total] {
            *sum = sum.checked_add(asked).unwrap_or(*sum);
        }
        counted.write(tx, payee, hour);
        forget_hours(tx, hour)?;
        Ok(Ok(()))
    }

    /// What is left with this payee now.
    pub(crate) fn budget(
        &self,
        reader: &dyn Reader,
        currency: Currency,
        payee: &PeerId,
        now: Time,
    ) -> Result<Budget, WalletError> {
        let counted = Counted::read(|key| records::look(reader, BUDGET, key), currency, payee, hour_of(now))?;
        let [request, payee, hour, total] = self.left(&counted, currency).map(|(_, left)| left.map(|(_, left)| left));
        Ok(Budget { per_request: request, per_payee: payee, per_hour: hour, total, spent: counted.total })
    }
}

/// Counts what a tool may spend, if its cap allows that; gives what was counted.
pub(crate) fn charge_tool(
    tx: &mut (impl Records + ?Sized),
    tool: &str,
    cap: Amount,
    asked: Amount,
) -> Result<Result<Amount, PolicyRefusal>, StoreFault> {
    let key = tool_key(tool);
    let used = get_in(tx, &key)?.unwrap_or(asked.currency().zero());
    let left = cap.checked_sub(used).unwrap_or(asked.currency().zero());
    if exceeds(asked, left) {
        return Ok(Err(PolicyRefusal::Over { which: Cap::Tool, cap, left, asked }));
    }
    records::put(tx, BUDGET, &key, &used.checked_add(asked).unwrap_or(cap));
    Ok(Ok(asked))
}

/// Gives back what a tool was counted for and did not spend.
pub(crate) fn give_tool_back(tx: &mut (impl Records + ?Sized), tool: &str, back: Amount) -> Result<(), StoreFault> {
    let key = tool_key(tool);
    let used = get_in(tx, &key)?.unwrap_or(back.currency().zero());
    records::put(tx, BUDGET, &key, &used.checked_sub(back).unwrap_or(back.currency().zero()));
    Ok(())
}

fn tool_key(tool: &str) -> Vec<u8> {
    [b"o", tool.as_bytes()].concat()
}

/// Hours that are over need no counting, but for the last: what a visit did not cost goes back there.
fn forget_hours(tx: &mut (impl Records + ?Sized), hour: u64) -> Result<(), StoreFault> {
    let kept = hour_key(hour.saturating_sub(1));
    let rows = tx.scan(BUDGET, Scan { prefix: b"h", after: None, limit: HOURS_FORGOTTEN })?;
    rows.iter().map(|(key, _)| key).filter(|key| **key < kept).for_each(|key| tx.delete(BUDGET, key));
    Ok(())
}

/// Gives back what came back long after it was spent: in the sums, not in an hour that is over.
pub(crate) fn give_back_late(tx: &mut (impl Records + ?Sized), payee: &PeerId, back: Amount) -> Result<(), StoreFault> {
    for key in [&payee_key(payee)[..], TOTAL_KEY] {
        let sum = get_in(tx, key)?.unwrap_or(back.currency().zero());
        records::put(tx, BUDGET, key, &sum.checked_sub(back).unwrap_or(back.currency().zero()));
    }
    Ok(())
}

/// Gives back what a purchase was counted for and did not cost.
pub(crate) fn give_back(
    tx: &mut (impl Records + ?Sized),
    payee: &PeerId,
    hour: u64,
    back: Amount,
) -> Result<(), StoreFault> {
    let mut counted = Counted::read(|key| get_in(tx, key), back.currency(), payee, hour)?;
    for sum in [&mut counted.payee, &mut counted.hour, &mut counted.total] {
        *sum = sum.checked_sub(back).unwrap_or(back.currency().zero());
    }
    counted.write(tx, payee, hour);
    Ok(())
}

fn get_in(tx: &(impl Records + ?Sized), key: &[u8]) -> Result<Option<Amount>, StoreFault> {
    tx.get(BUDGET, key)?.map(|bytes| records::read(BUDGET, &bytes)).transpose()
}

/// Another currency exceeds every cap.
fn exceeds(asked: Amount, left: Amount) -> bool {
    asked.compare(left).map_or(true, core::cmp::Ordering::is_gt)
}
