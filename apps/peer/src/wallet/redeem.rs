//! Redeeming: many visits in one request, as often as it takes, each unit paid once.

use farthing_core::amount::Amount;
use farthing_core::chain::Payword;
use farthing_core::id::RequestId;
use farthing_core::refusal::{Refusal, Remedy};
use farthing_core::sign::Verified;
use farthing_core::time::{Span, Time};
use farthing_core::wire::{self, Bounded};
use farthing_netpay::bank::STEPS_PER_REQUEST_MAX;
use farthing_netpay::messages::{CLAIM_ITEMS_MAX, Claim, ClaimOutcome, ClaimReceipt, Claims, kind};
use farthing_role::{Context, Halt, Scan};
use farthing_store::Reader;

use super::desk::Desk;
use super::draft::{Deposits, is_unknown_to_bank};
use super::earning::earned_with_tip;
use super::error::WalletError;
use super::journal::Answered;
use super::records::{self, About, DUE, Digest, EARNED, Earned, REQUESTS, What};
use super::{Wallet, start};

/// The most bytes of claims in one request; the rest goes into the next one.
const CLAIM_BYTES_MAX: usize = 128 << 10;

/// At most so many requests in one redemption.
const ROUNDS_MAX: usize = 1_024;

/// Rows of visits read at once.
const PAGE: usize = 256;

/// What a redemption came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedeemReport {
    /// What the bank paid now for words.
    pub paid: Amount,
    /// For how many visits.
    pub visits: u32,
    /// How many requests it took.
    pub requests: u32,
    /// Units that another payee holds; the bank has opened cases about them.
    pub contested: u64,
    /// Claims that the bank turned away, and why.
    pub refused: Vec<Refusal>,
    /// What deposits of drafts came to.
    pub drafts: Deposits,
    /// What is still earned and not paid.
    pub rest: Amount,
}

/// What came of one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Paid {
    amount: Amount,
    visits: u32,
    contested: u64,
    refused: Vec<Refusal>,
}

/// One visit to claim.
struct Claimable {
    digest: [u8; 32],
    claim: Claim,
}

impl Wallet {
    /// Redeems all that was earned, words and drafts, in as many requests as it takes. A request that an earlier run
    /// left unanswered is sent again first, with the same id. Visits in progress are redeemed as
    /// far as they have come, and the rest later.
    ///
    /// # Errors
    /// [`WalletError`]. What was paid before the error stays paid, and what is unknown is asked
    /// again next time.
    pub async fn redeem(&self, desk: &dyn Desk) -> Result<RedeemReport, WalletError> {
        let _errand = self.inner.errand.lock().await;
        let now = self.checked_now()?;
        self.change_meta(move |meta| meta.redeemed = meta.redeemed.max(now)).await?;
        let zero = self.inner.settings.currency().zero();
        let mut report = RedeemReport {
            paid: zero,
            visits: 0,
            requests: 0,
            contested: 0,
            refused: Vec::new(),
            drafts: Deposits::none(zero),
            rest: zero,
        };
        let (answered, trouble) = self.settle(desk).await?;
        for answer in answered {
            if let Answered::Redeemed(paid) = answer {
                report.add(paid)?;
            }
        }
        if let Some(why) = trouble {
            return Err(why);
        }
        let mut after = None;
        for _ in 0..ROUNDS_MAX {
            let (batch, next) = self.inner.handle.read(|reader| next_batch(reader, now, after)).await??;
            if !batch.is_empty() {
                let digests = batch.iter().map(|item| Digest(item.digest)).collect();
                let items = batch.into_iter().map(|item| item.claim).collect();
                let too_many = || WalletError::FalseAnswer("too many claims at once");
                let digests = Bounded::new(digests).ok_or_else(too_many)?;
                let claims = Claims { items: Bounded::new(items).ok_or_else(too_many)? };
                let sent = self.request(desk, kind::CLAIM, wire::encode(&claims), About::Claim(digests)).await?;
                if let Answered::Redeemed(paid) = sent {
                    report.add(paid)?;
                }
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        match self.deposit_drafts(desk).await {
            Err(why) if is_unknown_to_bank(&why) => {}
            deposited => report.drafts = deposited?,
        }
        report.rest = self.earnings().await?.unclaimed;
        Ok(report)
    }

    /// Whether the settings ask for a redemption now.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn redeem_is_due(&self) -> Result<bool, WalletError> {
        let now = self.checked_now()?;
        let policy = self.inner.settings.redeem;
        let earnings = self.earnings().await?;
        if earnings.unclaimed.is_zero() {
            return Ok(false);
        }
        let by_amount = match policy.threshold {
            Some(threshold) => earnings.unclaimed.compare(threshold)?.is_ge(),
            None => false,
        };
        let since = now.since(self.inner.meta().redeemed);
        let by_time = policy.every_hours.is_some_and(|hours| since >= Span::from_hours(hours));
        let soon = now.after(Span::from_hours(policy.before_deadline_hours));
        let in_time = earnings.earliest_deadline.is_some_and(|deadline| deadline <= soon);
        Ok(by_amount || by_time || in_time)
    }

    /// Stores what came of claims, line by line, and ends the request.
    pub(crate) async fn take_receipt(
        &self,
        id: RequestId,
        visits: Vec<Digest>,
        receipt: Verified<ClaimReceipt>,
    ) -> Result<Paid, WalletError> {
        let body = receipt.body().clone();
        if body.request != id || body.lines.as_slice().len() != visits.len() {
            return Err(WalletError::FalseAnswer("the receipt is for other claims"));
        }
        let signed = body.time;
        let zero = self.inner.settings.currency().zero();
        let done = move |cx: &mut Context<'_>| {
            let mut paid = Paid { amount: zero, visits: 0, contested: 0, refused: Vec::new() };
            for (Digest(digest), line) in visits.iter().zip(body.lines.as_slice()) {
                take_line(cx, digest, &line.outcome, &mut paid)?;
            }
            cx.tx.delete(REQUESTS, &id.0);
            if paid.visits > 0 {
                start::note(cx, What::Redeemed { amount: paid.amount, visits: paid.visits });
            }
            Ok(paid)
        };
        let paid = self.inner.handle.transact(done).await?;
        self.raise_floor(signed).await?;
        Ok(paid)
    }
}

impl RedeemReport {
    fn add(&mut self, paid: Paid) -> Result<(), WalletError> {
        self.paid = self.paid.checked_add(paid.amount)?;
        self.visits = self.visits.saturating_add(paid.visits);
        self.requests += 1;
        self.contested = self.contested.saturating_add(paid.contested);
        self.refused.extend(paid.refused);
        Ok(())
    }
}

/// What came of the claim of one visit.
fn take_line(cx: &mut Context<'_>, digest: &[u8; 32], outcome: &ClaimOutcome, paid: &mut Paid) -> Result<(), Halt> {
    let Some(mut earned): Option<Earned> = records::get(&*cx.tx, EARNED, digest)? else { return Ok(()) };
    let tip: Option<Payword> = records::get(&*cx.tx, super::records::TIPS, digest)?;
    let mut over = false;
    match outcome {
        ClaimOutcome::Paid { amount, through, contested } => {
            paid.amount = paid.amount.checked_add(*amount).map_err(Refusal::from)?;
            paid.visits += 1;
            paid.contested = paid.contested.saturating_add((*contested).into());
            earned.claimed = earned.claimed.max(*through);
            earned.refused = None;
        }
        ClaimOutcome::Refused(why) => {
            paid.refused.push(why.clone());
            earned.refused = Some(why.clone());
            if why.remedy == Remedy::Stop {
                over = true;
                let units = tip.map_or(0, |tip| earned.unclaimed(tip));
                let amount = earned.unit.checked_mul(units.into()).map_err(Refusal::from)?;
                let chain = earned.visit.touchstone.peek().map_err(Refusal::from)?.chain;
                start::note(cx, What::ClaimLost { chain, amount, why: why.clone() });
            }
        }
    }
    // A visit that can bring nothing more is left out of the next redemption.
    let ended = earned.release.is_some() || earned.expires <= cx.now;
    if over || (ended && tip.is_none_or(|tip| tip.index() <= earned.claimed)) {
        records::no_longer_due(cx.tx, earned.deadline, digest);
    }
    records::put(cx.tx, EARNED, digest, &earned);
    Ok(())
}

/// Where the next batch begins.
type After = Option<Vec<u8>>;

/// The next visits to claim, those whose time ends first before others, as many as fit a request.
fn next_batch(reader: &dyn Reader, now: Time, after: After) -> Result<(Vec<Claimable>, After), WalletError> {
    let (mut batch, mut bytes, mut steps) = (Vec::new(), 0, 0);
    let mut after = after;
    loop {
        let rows = reader.scan(DUE, Scan { prefix: &[], after: after.as_deref(), limit: PAGE })?;
        let last = rows.len() < PAGE;
        for (key, _) in rows {
            if let Some((item, cost)) = claimable(reader, now, &key)? {
                let size = wire::encode(&item.claim).len();
                let full = batch.len() >= CLAIM_ITEMS_MAX
                    || bytes + size > CLAIM_BYTES_MAX
                    || steps + cost > STEPS_PER_REQUEST_MAX;
                if full && !batch.is_empty() {
                    return Ok((batch, after));
                }
                bytes += size;
                steps += cost;
                batch.push(item);
            }
            after = Some(key);
        }
        if last {
            return Ok((batch, None));
        }
    }
}

/// What can be claimed for one visit now, and how many steps its proof costs the bank at the most.
fn claimable(reader: &dyn Reader, now: Time, key: &[u8]) -> Result<Option<(Claimable, u64)>, WalletError> {
    let digest = due_digest(key)?;
    let Some((earned, tip)) = earned_with_tip(reader, &digest)? else { return Ok(None) };
    if earned.unclaimed(tip) == 0 || earned.deadline <= now {
        return Ok(None);
    }
    let claim = Claim {
        reserve: earned.visit.reserve,
        release: earned.release,
        previous: earned.visit.previous,
        through: tip.index(),
        word: tip.word(),
    };
    Ok(Some((Claimable { digest, claim }, tip.index().into())))
}

/// The visit that a row of [`DUE`] is about.
pub(crate) fn due_digest(key: &[u8]) -> Result<[u8; 32], WalletError> {
    let digest = key.get(8..).and_then(|digest| digest.try_into().ok());
    digest.ok_or_else(|| WalletError::Records("a row of wallet_due is damaged".into()))
}
