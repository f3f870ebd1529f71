//! A session in use: units reserved for requests side by side, written down in blocks.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farthing_core::amount::Amount;
use farthing_core::id::{ChainId, OrderId, PeerId};
use farthing_core::sign::{Signed, Statement};
use farthing_core::time::{SKEW, Span, Time};
use farthing_coupon::messages::Answer;
use farthing_coupon::micro::{SessionName, micro_order};
use farthing_coupon::spender::{SpendError, Spender, SpenderState};
use farthing_role::Context;

use super::books::{ENDED, EndedRow};
use super::rows::{SessionRow, Tally};
use super::ticket::Ticket;
use super::{PAY_MARGIN, SESSIONS, SessionInfo};
use crate::wallet::chains::secrets;
use crate::wallet::error::WalletError;
use crate::wallet::policy::{self, Approval, PolicyRefusal};
use crate::wallet::records::{self, Origin, What};
use crate::wallet::{AHEAD_MIN, Wallet, start};

/// How long after its end a session can be cleared, where the bank did not say.
const GRACE: Span = Span::from_hours(48);

/// A block is at least this part of its session.
const AHEAD_PART: u32 = 64;

/// Unanswered payments of earlier runs that are given up to make room for one new payment.
const GIVE_UP_MAX: usize = 64;

/// A session that is open, to pay with. Clones pay from the same.
#[derive(Clone)]
pub struct CouponSession {
    wallet: Wallet,
    open: Arc<Open>,
}

/// What a payment is for.
#[derive(Clone, Copy, Debug)]
pub struct Spend<'a> {
    /// How many units.
    pub units: u32,
    /// The hash of the request that is paid for.
    pub request: [u8; 32],
    /// On behalf of which tool, where the program has several.
    pub tool: Option<&'a str>,
}

/// What all who use a session share.
pub(crate) struct Open {
    pub(super) origin: Origin,
    pub(super) site: String,
    pub(super) description: String,
    pub(super) seller: PeerId,
    pub(super) realm: OrderId,
    pub(super) unit: Amount,
    pub(super) chain: ChainId,
    pub(super) not_after: Time,
    /// Payments somebody waits for the answer of; the other unanswered ones may be sent again.
    claimed: Mutex<HashSet<u32>>,
    held: tokio::sync::Mutex<Held>,
}

struct Held {
    spender: Spender,
    /// How many units there are.
    units: u32,
    /// The last unit that the records count as sent.
    durable: u32,
    /// Whether the records count units as free to use again.
    listed: bool,
    /// How many units the policy counts.
    counted: u32,
    /// When the policy last counted some.
    hour: u64,
    /// What was paid for.
    tally: Tally,
    /// Whether the records say less than is known.
    dirty: bool,
    /// Whether it was closed.
    over: bool,
}

impl Open {
    pub(super) fn new(row: SessionRow, spender: Spender) -> Result<Self, WalletError> {
        let SessionRow { origin, site, description, hour, tally, .. } = row;
        let seller = spender.seller().ok_or(WalletError::Records("a session names no seller".into()))?;
        Ok(Self {
            origin,
            site,
            description,
            seller,
            realm: spender.realm(),
            unit: spender.unit(),
            chain: spender.chain(),
            not_after: spender.not_after(),
            claimed: Mutex::default(),
            held: tokio::sync::Mutex::new(Held {
                units: spender.units(),
                durable: spender.at_risk(),
                listed: spender.state().free_units() > 0,
                counted: spender.state().used(),
                hour,
                tally: tally.unwrap_or_default(),
                dirty: false,
                over: false,
                spender,
            }),
        })
    }

    /// From what was written down, and from nothing else.
    pub(super) fn resume(row: SessionRow, words: [u8; 32]) -> Result<Self, WalletError> {
        let spender = Spender::resume(row.state.clone(), words)?;
        Self::new(row, spender)
    }

    pub(super) fn claimed(&self) -> MutexGuard<'_, HashSet<u32>> {
        // A panic leaves it whole.
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn row(&self, held: &Held, state: SpenderState, hour: u64) -> SessionRow {
        let (origin, site, description) = (self.origin, self.site.clone(), self.description.clone());
        SessionRow { origin, site, description, state, hour, tally: Some(held.tally) }
    }
}

impl CouponSession {
    pub(super) const fn new(wallet: Wallet, open: Arc<Open>) -> Self {
        Self { wallet, open }
    }

    pub(super) fn open(&self) -> &Open {
        &self.open
    }

    /// How a header names it.
    #[must_use]
    pub fn name(&self) -> SessionName {
        SessionName::of(self.open.chain)
    }

    /// Its chain.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.open.chain
    }

    /// What may be bought in it.
    #[must_use]
    pub fn realm(&self) -> OrderId {
        self.open.realm
    }

    /// What a unit is worth.
    #[must_use]
    pub fn unit(&self) -> Amount {
        self.open.unit
    }

    /// Who is paid.
    #[must_use]
    pub fn seller(&self) -> PeerId {
        self.open.seller
    }

    /// When it ends.
    #[must_use]
    pub fn not_after(&self) -> Time {
        self.open.not_after
    }

    /// How many units can still be paid.
    pub async fn left(&self) -> u32 {
        let held = self.open.held.lock().await;
        if held.over { 0 } else { held.spender.left() }
    }

    /// Pays for a request, if the policy allows it. No two requests get the same units, and the
    /// same request, paid before and never answered, gets the same payment again.
    ///
    /// # Errors
    /// [`WalletError`]; nothing may be sent.
    pub async fn pay(&self, spend: Spend<'_>) -> Result<Ticket, WalletError> {
        let now = self.wallet.checked_now()?;
        if now.after(PAY_MARGIN) >= self.open.not_after {
            return Err(WalletError::Session("has ended"));
        }
        let order = micro_order(self.open.realm, &spend.request);
        let price = self.open.unit.checked_mul(spend.units.into())?;
        let mut held = self.open.held.lock().await;
        if held.over {
            return Err(WalletError::Session("was closed"));
        }
        let unanswered = held.spender.unanswered().iter();
        let mut same = unanswered.filter(|entry| entry.order == order && entry.units == spend.units);
        let lost = {
            let mut claimed = self.open.claimed();
            same.find(|entry| !claimed.contains(&entry.index)).map(|entry| entry.index).inspect(|index| {
                claimed.insert(*index);
            })
        };
        if let Some(pay) = lost.and_then(|index| held.spender.again(index)) {
            return Ok(Ticket::new(self.clone(), pay, price, spend.tool, true));
        }
        self.allow(spend, price).await?;
        let paid = match self.draw(&mut held, spend.units, now).await {
            Ok(()) => self.take(&mut held, spend.units, order),
            Err(why) => Err(why),
        };
        match paid {
            Ok(pay) => {
                self.open.claimed().insert(pay.index);
                held.dirty = true;
                Ok(Ticket::new(self.clone(), pay, price, spend.tool, false))
            }
            Err(why) => {
                self.give_tool_back(spend.tool, price);
                Err(why)
            }
        }
    }

    /// Writes down what is known, and gives the policy back what a block counted too much.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn flush(&self) -> Result<(), WalletError> {
        let mut held = self.open.held.lock().await;
        if held.over || !held.dirty {
            return Ok(());
        }
        let row = self.open.row(&held, held.spender.state().clone(), held.hour);
        let used = held.spender.state().used();
        self.write(&mut held, used, move |cx, key| {
            records::put(cx.tx, SESSIONS, key, &row);
        })
        .await
    }

    /// Ends the session on this side: nothing more is paid from it. Once the seller has cleared it
    /// for good, or when it ends, the bank gives back what was not charged. Gives how it stood.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn finish(&self) -> Result<SessionInfo, WalletError> {
        self.finish_at(None).await
    }

    /// The same, where the seller says which is the highest unit it was paid. Less than it gave
    /// receipts for is not believed, nor more than was paid; what lies between goes back to the
    /// policy, until the bank tells what was cleared ([`Wallet::coupon_settle`]).
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn finish_at(&self, through: Option<u32>) -> Result<SessionInfo, WalletError> {
        let mut held = self.open.held.lock().await;
        let mut info = self.look(&held)?;
        if held.over {
            return Ok(info);
        }
        let (used, charged) = (held.spender.state().used(), held.tally.charged);
        let counted = through.map_or(used, |through| used.min(through.max(charged)));
        info.paid = info.unit.checked_mul(counted.into())?;
        info.unanswered = info.unit.checked_mul(counted.saturating_sub(charged).into())?;
        let ended = self.in_doubt(&held, &info)?;
        let what = What::SessionEnded {
            payee: info.seller,
            site: info.site.clone(),
            description: info.description.clone(),
            held: info.held,
            paid: info.paid,
            requests: info.requests,
            receipt: info.receipt,
        };
        let noted = move |cx: &mut Context<'_>, key: &[u8]| {
            cx.tx.delete(SESSIONS, key);
            let line = start::note(cx, what);
            if let Some(ended) = ended {
                records::put(cx.tx, ENDED, &ended.chain.0, &EndedRow { line, ..ended });
            }
        };
        self.write(&mut held, counted, noted).await?;
        held.over = true;
        self.wallet.inner.coupons.open().remove(&self.open.origin.index);
        Ok(info)
    }

    /// What is to be asked of the bank, if more may be cleared than there are receipts for: a seller's
    /// word that it took nothing, or gave something back, is checked by what the bank pays it.
    fn in_doubt(&self, held: &Held, info: &SessionInfo) -> Result<Option<EndedRow>, WalletError> {
        let charged = held.tally.charged;
        if held.spender.state().at_risk() <= charged {
            return Ok(None);
        }
        let said = held.spender.authorisation().peek().map(|authorisation| authorisation.answer);
        let grace = if let Ok(Answer::Yes { grace, .. }) = said { grace } else { GRACE };
        Ok(Some(EndedRow {
            chain: info.chain,
            seller: info.seller,
            line: [0; 16],
            hour: held.hour,
            counted: info.paid,
            charged: info.unit.checked_mul(charged.into())?,
            cleared: info.unit.currency().zero(),
            after: 0,
            until: info.not_after.after(grace).after(SKEW),
        }))
    }

    /// How it stands.
    ///
    /// # Errors
    /// [`WalletError::Amount`], which no session's value gives.
    pub async fn info(&self) -> Result<SessionInfo, WalletError> {
        self.look(&*self.open.held.lock().await)
    }

    fn look(&self, held: &Held) -> Result<SessionInfo, WalletError> {
        let (open, state) = (&self.open, held.spender.state());
        let worth = |units: u32| open.unit.checked_mul(units.into());
        let unanswered = state.used().saturating_sub(held.tally.charged);
        let given_back = state.at_risk().saturating_sub(state.used());
        Ok(SessionInfo {
            chain: open.chain,
            site: open.site.clone(),
            seller: open.seller,
            description: open.description.clone(),
            realm: open.realm,
            unit: open.unit,
            held: worth(held.units)?,
            left: if held.over { 0 } else { held.spender.left() },
            paid: worth(state.used())?,
            unanswered: worth(unanswered)?,
            at_risk: worth(unanswered.saturating_add(given_back))?,
            requests: held.tally.requests,
            receipt: held.tally.receipt.map(|index| (self.name(), index)),
            not_after: open.not_after,
        })
    }

    /// Says something about the session, as the key that signs for it.
    pub fn sign<T: Statement>(&self, statement: &T) -> Signed<T> {
        let (_, pseudonym) = secrets(&self.wallet.inner.seed, &self.open.origin);
        pseudonym.sign(self.wallet.network(), statement)
    }

    /// Changes the session as an answer, or its absence, says.
    pub(super) async fn settle<T>(
        &self,
        index: u32,
        change: impl FnOnce(&mut Spender, &mut Tally) -> Result<T, SpendError>,
    ) -> Result<T, WalletError> {
        let mut held = self.open.held.lock().await;
        let Held { spender, tally, .. } = &mut *held;
        let done = change(spender, tally)?;
        held.dirty = true;
        self.open.claimed().remove(&index);
        Ok(done)
    }

    /// Puts back what a tool was counted for and did not spend.
    pub(super) fn give_tool_back(&self, tool: Option<&str>, back: Amount) {
        if let Some(tool) = tool.filter(|_| self.wallet.inner.settings.policy.per_tool.is_some()) {
            self.wallet.inner.coupons.allowances.put(tool, back);
        }
    }

    /// Asks the policy about one request, and its owner where the policy wants that.
    async fn allow(&self, spend: Spend<'_>, price: Amount) -> Result<(), WalletError> {
        let policy = self.wallet.inner.settings.policy;
        policy.check_request(price)?;
        if let Some(above) = policy.approve_above
            && price.compare(above)?.is_gt()
        {
            let (payee, order) = (self.open.seller, self.open.realm);
            let ask = Approval { payee, order, description: self.open.description.clone(), at_most: price };
            if !self.wallet.inner.approver.approve(&ask).await {
                return Err(PolicyRefusal::NotApproved { asked: price, above }.into());
            }
        }
        match spend.tool {
            Some(tool) => self.wallet.allow_tool(tool, price).await,
            None => Ok(()),
        }
    }

    /// Sees to it that so many units more may be paid: counted by the policy, and written down.
    async fn draw(&self, held: &mut Held, units: u32, now: Time) -> Result<(), WalletError> {
        let paid = held.spender.at_risk();
        if !held.listed && paid.saturating_add(units).min(held.units) <= held.durable {
            return Ok(());
        }
        let block = AHEAD_MIN.max(held.units / AHEAD_PART).max(units);
        // A whole block, or only what is needed now where that is too much.
        let exact = held.spender.state_after(units).unwrap_or_else(|_| held.spender.state_ahead(units));
        let (hour, before, unit, seller) = (policy::hour_of(now), held.counted, self.open.unit, self.open.seller);
        let mut rows = Vec::new();
        for state in [held.spender.state_ahead(block), exact] {
            let more = unit.checked_mul(state.used().saturating_sub(before).into())?;
            let back = unit.checked_mul(before.saturating_sub(state.used()).into())?;
            rows.push((self.open.row(held, state, hour), more, back));
        }
        let policy = self.wallet.inner.settings.policy.without_request_cap();
        let key = self.open.origin.index.to_be_bytes();
        let counted = move |cx: &mut Context<'_>| {
            let mut refused = None;
            for (row, more, back) in rows {
                match policy.charge(cx.tx, &seller, hour, more)? {
                    Ok(()) => {
                        policy::give_back(cx.tx, &seller, hour, back)?;
                        records::put(cx.tx, SESSIONS, &key, &row);
                        return Ok(Ok(row.state));
                    }
                    Err(no) => refused = Some(no),
                }
            }
            Ok(refused.map_or(Err(WalletError::Session("has ended")), |no| Err(no.into())))
        };
        let written: SpenderState = self.wallet.inner.handle.transact(counted).await??;
        (held.durable, held.listed) = (written.at_risk(), written.free_units() > 0);
        (held.counted, held.hour) = (written.used(), hour);
        Ok(())
    }

    /// Takes units, giving up payments of earlier runs that stand in the way.
    fn take(
        &self,
        held: &mut Held,
        units: u32,
        order: farthing_coupon::secret::Digest,
    ) -> Result<farthing_coupon::micro::Pay, WalletError> {
        for _ in 0..GIVE_UP_MAX {
            match held.spender.pay(units, order) {
                Err(SpendError::TooManyOpen) => {
                    let claimed = self.open.claimed();
                    let old = held.spender.unanswered().iter().find(|entry| !claimed.contains(&entry.index));
                    let Some(old) = old.map(|entry| entry.index) else { return Err(SpendError::TooManyOpen.into()) };
                    drop(claimed);
                    held.spender.give_up(old)?;
                }
                paid => return Ok(paid?),
            }
        }
        Err(SpendError::TooManyOpen.into())
    }

    /// Writes the session as it is, together with what else belongs to it, and settles with the
    /// policy, which counts `used` units from then on.
    async fn write(
        &self,
        held: &mut Held,
        used: u32,
        also: impl FnOnce(&mut Context<'_>, &[u8]) + Send + 'static,
    ) -> Result<(), WalletError> {
        let paid = held.spender.at_risk();
        let back = self.open.unit.checked_mul(held.counted.saturating_sub(used).into())?;
        let (key, seller, hour) = (self.open.origin.index.to_be_bytes(), self.open.seller, held.hour);
        let written = move |cx: &mut Context<'_>| {
            policy::give_back(cx.tx, &seller, hour, back)?;
            also(cx, &key);
            Ok(())
        };
        self.wallet.inner.handle.transact(written).await?;
        (held.durable, held.listed) = (paid, held.spender.state().free_units() > 0);
        (held.counted, held.dirty) = (used, false);
        Ok(())
    }
}

impl std::fmt::Debug for CouponSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CouponSession {} at {}", self.open.chain.short(), self.open.site)
    }
}
