//! Paying: a visit at one payee, from the reserve to the release.

use farthing_core::amount::Amount;
use farthing_core::chain::JUMP_MAX;
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{OrderId, PeerId, timed};
use farthing_core::order::{Order, Receipt};
use farthing_core::refusal::Code;
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::Span;
use farthing_netpay::messages::{Pay, RESERVE_WIDTH_MAX, Release, Reserve, Visit};
use farthing_netpay::payer::{Purse, PurseError};
use farthing_role::Context;

use super::chains::{Busy, Taken, VISITS_MAX, secrets, units_for};
use super::desk::DeskError;
use super::error::WalletError;
use super::policy::{self, Approval, PolicyRefusal};
use super::records::{self, AHEAD, Ahead, PAYING, PURSES, Paying, PurseRecord, What};
use super::{Wallet, start};

/// Units are written down as paid in blocks of at least so many, so that most payments touch no
/// disk.
pub const AHEAD_MIN: u32 = 16;

/// A block is at least this part of its reserve.
const AHEAD_PART: u32 = 4;

/// A chain must run at least so long for a visit to begin.
const CHAIN_MARGIN: Span = Span::from_hours(1);

/// What is wanted from one payee.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Want {
    /// Whom to pay.
    pub payee: PeerId,
    /// What for; its price is that of a piece.
    pub order: Order,
    /// Into how many units at least a piece is to be divided; 1 where nobody cares.
    pub units_per_piece: u32,
    /// How many pieces.
    pub pieces: u64,
    /// What all of it may cost at the most.
    pub max_total: Amount,
}

/// A visit in progress, as its payer holds it. Dropped without [`finish`](Self::finish) or
/// [`abandon`](Self::abandon), it counts as interrupted: its payee may claim what was paid, and
/// [`Wallet::resume`] takes it up again.
pub struct Spending {
    wallet: Wallet,
    purse: Purse,
    record: PurseRecord,
    visit: [u8; 16],
    paying: Paying,
    signer: SecretKey,
    /// The last unit that the records count as paid.
    durable: u32,
    busy: Busy,
}

impl Wallet {
    /// Begins a visit: the policy is asked and has counted it, a reserve is signed, and both are
    /// written down. Give the [`Visit`] to the payee.
    ///
    /// # Errors
    /// [`WalletError`]: nothing was paid and nothing is reserved.
    pub async fn begin(&self, want: Want) -> Result<(Visit, Spending), WalletError> {
        let now = self.checked_now()?;
        self.make_sure_present().await?;
        check_order(&want, now)?;
        let price = want.order.price;
        let whole = price.checked_mul(want.pieces)?;
        let asked = if whole.compare(want.max_total)?.is_gt() { want.max_total } else { whole };
        let pieces = asked.as_micros() / price.as_micros().max(1);
        if pieces == 0 {
            return Err(PolicyRefusal::Visit { left: want.max_total, asked: price }.into());
        }
        let most = price.checked_mul(pieces)?;
        self.ask_owner(&want, most).await?;
        let Taken { mut purse, mut record, busy } = self.purse_for(price, want.units_per_piece, pieces).await?;
        give_up_open(&mut purse, &mut record)?;

        let unit = purse.touchstone().header.unit;
        let units_per_piece = units(price, unit).unwrap_or(1);
        let units_max = u32::try_from(pieces.saturating_mul(units_per_piece.into())).unwrap_or(u32::MAX);
        let width = self.width(&purse, units_per_piece, units_max);
        let expires = now.after(self.inner.settings.chains.reserve_life());
        let (_, signer) = secrets(&self.inner.seed, &record.origin);
        let order = want.order.id();
        let visit = purse.reserve(&signer, self.network(), want.payee, order, width, expires)?;

        let paying = Paying {
            purse: record.origin.index,
            payee: want.payee,
            order,
            description: want.order.description,
            unit,
            units_per_piece,
            units_max,
            units_before: 0,
            reserve: visit.reserve.digest(),
            hour: policy::hour_of(now),
        };
        let id = timed(now, &hash(Purpose::Statement, &[&paying.reserve]));
        record.state = purse.state().clone();
        record.visit = Some(id);
        let (policy, row, line) = (self.inner.settings.policy, record.clone(), paying.clone());
        let counted = move |cx: &mut Context<'_>| {
            if let Err(no) = policy.charge(cx.tx, &line.payee, line.hour, most)? {
                return Ok(Err(no));
            }
            records::put(cx.tx, PURSES, &line.purse.to_be_bytes(), &row);
            records::put(cx.tx, PAYING, &id, &line);
            Ok(Ok(()))
        };
        self.inner.handle.transact(counted).await??;
        let durable = visit_start(&purse);
        let spending = Spending { wallet: self.clone(), purse, record, visit: id, paying, signer, durable, busy };
        Ok((visit, spending))
    }

    /// Takes an interrupted visit for the same order at the same payee up again; `None` if there is
    /// none that still runs. Ask the payee how far it was paid, and [`agree`](Spending::agree).
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn resume(&self, payee: PeerId, order: OrderId) -> Result<Option<(Visit, Spending)>, WalletError> {
        let now = self.checked_now()?;
        if self.is_restored() {
            return Err(WalletError::Restored);
        }
        let paying = self.inner.handle.read(super::history::paying).await??;
        let meta = self.inner.meta().clone();
        for (id, paying) in paying.into_iter().filter(|(_, p)| p.payee == payee && p.order == order) {
            let Some(busy) = self.claim_purse(paying.purse) else { continue };
            let Taken { mut purse, mut record, busy } = self.take_purse(busy).await?;
            give_up_open(&mut purse, &mut record)?;
            if !record.origin.is_current(&meta) || !take_up(&mut purse, &paying, now) {
                continue;
            }
            let visit = purse.visit()?;
            let (_, signer) = secrets(&self.inner.seed, &record.origin);
            record.state = purse.state().clone();
            record.visit = Some(id);
            let durable = record.state.open.as_ref().map_or(0, |open| open.paid);
            let mut spending =
                Spending { wallet: self.clone(), purse, record, visit: id, paying, signer, durable, busy };
            spending.write().await?;
            return Ok(Some((visit, spending)));
        }
        Ok(None)
    }

    /// Gets the owner's word where the policy asks for it.
    async fn ask_owner(&self, want: &Want, most: Amount) -> Result<(), WalletError> {
        let policy = self.inner.settings.policy;
        if let Some(above) = policy.approve_above
            && most.compare(above)?.is_gt()
        {
            let ask = Approval {
                payee: want.payee,
                order: want.order.id(),
                description: want.order.description.clone(),
                at_most: most,
            };
            if !self.inner.approver.approve(&ask).await {
                return Err(PolicyRefusal::NotApproved { asked: most, above }.into());
            }
        }
        Ok(())
    }

    /// How wide a reserve is: whole pieces, as many as the settings say, as are wanted and as fit.
    fn width(&self, purse: &Purse, units_per_piece: u32, wanted: u32) -> u32 {
        let pieces = self.inner.settings.chains.reserve_pieces;
        let state = purse.state();
        let fresh = (purse.touchstone().header.units + 1).saturating_sub(state.next);
        let freed = state.freed.as_slice().iter().map(|freed| freed.upto - freed.from + 1).max().unwrap_or(0);
        let most = pieces.saturating_mul(units_per_piece).min(wanted).min(RESERVE_WIDTH_MAX).min(fresh.max(freed));
        (most / units_per_piece).max(1).saturating_mul(units_per_piece)
    }

    /// A free chain that can pay, the best of those there are; or a new one.
    async fn purse_for(&self, price: Amount, least: u32, pieces: u64) -> Result<Taken, WalletError> {
        if let Some(taken) = self.best_purse(price, least, pieces).await? {
            return Ok(taken);
        }
        // One request at a time; whoever waited here may find a chain that another one opened.
        let _errand = self.inner.errand.lock().await;
        if let Some(taken) = self.best_purse(price, least, pieces).await? {
            return Ok(taken);
        }
        let desk = match self.desk().await {
            Ok(desk) => desk,
            Err(WalletError::Bank(_)) => return Err(WalletError::NoChain(price)),
            Err(why) => return Err(why),
        };
        let (_, trouble) = self.settle(&*desk).await?;
        if let Some(taken) = self.best_purse(price, least, pieces).await? {
            return Ok(taken);
        }
        if let Some(why) = trouble {
            return Err(unreachable_means_no_chain(why, price));
        }
        let unit = self.unit_for(price, least)?;
        let need = pieces.saturating_mul(units(price, unit).unwrap_or(1).into());
        let value = self.inner.settings.chains.value_micros;
        let mut opened = self.open_chain(&*desk, units_for(need, unit, value)?, unit).await;
        if matches!(
            &opened,
            Err(WalletError::Bank(DeskError::Refused(why)) | WalletError::Refused(why)) if why.code == Code::Funds
        ) {
            // Not enough for a chain to keep: one for this purchase only.
            opened = self.open_chain(&*desk, units_for(need, unit, 0)?, unit).await;
        }
        let index = opened.map_err(|why| unreachable_means_no_chain(why, price))?;
        let busy = self.claim_purse(index).ok_or(WalletError::NoChain(price))?;
        self.take_purse(busy).await
    }

    async fn best_purse(&self, price: Amount, least: u32, pieces: u64) -> Result<Option<Taken>, WalletError> {
        let until = self.checked_now()?.after(CHAIN_MARGIN);
        let mut fitting = Vec::new();
        for (index, record) in self.free_purses(until).await? {
            let Ok(touchstone) = record.state.touchstone.peek() else { continue };
            let Some(per_piece) = units(price, touchstone.header.unit).filter(|per| *per >= least) else { continue };
            let widest = record.widest(touchstone.header.units);
            if widest < per_piece || record.visits() >= VISITS_MAX {
                continue;
            }
            // As much of the purchase as possible; then the chain that is most used already.
            let covers = u64::from(widest / per_piece).min(pieces);
            fitting.push((std::cmp::Reverse(covers), widest, index));
        }
        fitting.sort_unstable();
        for (_, _, index) in fitting {
            if let Some(busy) = self.claim_purse(index) {
                return self.take_purse(busy).await.map(Some);
            }
        }
        Ok(None)
    }

    /// What a unit of a chain for this price is worth: that of the spare chains if it divides.
    fn unit_for(&self, price: Amount, least: u32) -> Result<Amount, WalletError> {
        let unit = self.inner.settings.unit();
        if units(price, unit).is_some_and(|per| per >= least) {
            return Ok(unit);
        }
        let micros = price.as_micros();
        let least = u64::from(least.max(1));
        if micros == 0 || !micros.is_multiple_of(least) {
            return Err(WalletError::Price(price, (micros / least).max(1)));
        }
        Ok(price.currency().micros(micros / least)?)
    }
}

impl Spending {
    /// What one unit is worth.
    #[must_use]
    pub const fn unit(&self) -> Amount {
        self.paying.unit
    }

    /// How many units a piece costs.
    #[must_use]
    pub const fn units_per_piece(&self) -> u32 {
        self.paying.units_per_piece
    }

    /// Units left in the open reserve.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.purse.left_in_reserve()
    }

    /// The last unit paid; one below the reserve's first while none was.
    #[must_use]
    pub fn through(&self) -> u32 {
        self.purse.state().open.as_ref().map_or(0, |open| open.paid)
    }

    /// What was paid in this visit.
    ///
    /// # Errors
    /// When that is out of range, which no chain's value is.
    pub fn paid(&self) -> Result<Amount, WalletError> {
        Ok(self.paying.unit.checked_mul(self.units_paid().into())?)
    }

    /// Pays so many units more. Units are written down ahead in blocks, so most payments wait for
    /// no disk.
    ///
    /// # Errors
    /// [`PolicyRefusal::Visit`] beyond what the visit was begun for; [`PurseError::ReserveUsedUp`]:
    /// [`extend`](Self::extend).
    pub async fn pay(&mut self, units: u32) -> Result<Pay, WalletError> {
        let left = self.paying.units_max.saturating_sub(self.units_paid());
        if units > left {
            let money = |units: u32| self.paying.unit.checked_mul(units.into());
            return Err(PolicyRefusal::Visit { left: money(left)?, asked: money(units)? }.into());
        }
        let state = self.purse.state();
        let open = state.open.as_ref().ok_or(PurseError::NoReserve)?;
        if open.expires <= self.wallet.now() {
            return Err(PurseError::Expired.into());
        }
        let target = open.paid.saturating_add(units);
        if target > open.upto {
            return Err(PurseError::ReserveUsedUp { upto: open.upto }.into());
        }
        if target > self.durable {
            let block = AHEAD_MIN.max((open.upto - open.from + 1) / AHEAD_PART).max(units);
            let ahead = Ahead { reserve: self.paying.reserve, paid: open.paid.saturating_add(block).min(open.upto) };
            let (paid, key) = (ahead.paid, self.paying.purse.to_be_bytes());
            let counted = move |cx: &mut Context<'_>| {
                records::put(cx.tx, AHEAD, &key, &ahead);
                Ok(())
            };
            self.wallet.inner.handle.transact(counted).await?;
            self.durable = paid;
        }
        Ok(self.purse.pay(units, self.paying.order)?)
    }

    /// The last payment once more, where its answer went missing.
    #[must_use]
    pub fn pay_again(&mut self) -> Option<Pay> {
        self.purse.pay_again(self.paying.order)
    }

    /// Reserves further units for the same payee, once none are [left](Self::left). Give the
    /// reserve to the payee.
    ///
    /// # Errors
    /// [`PurseError::UsedUp`] at the end of the chain and [`PurseError::InUse`] where the next units
    /// are not free: finish this visit and begin another.
    pub async fn extend(&mut self) -> Result<Signed<Reserve>, WalletError> {
        let now = self.wallet.checked_now()?;
        let open = self.purse.state().open.as_ref().ok_or(PurseError::NoReserve)?;
        let before = self.paying.units_before.saturating_add(open.upto - open.from + 1);
        let wanted = self.paying.units_max.saturating_sub(self.units_paid());
        let per = self.paying.units_per_piece;
        let most = self.wallet.inner.settings.chains.reserve_pieces.saturating_mul(per);
        let width = most.min(wanted).clamp(1, RESERVE_WIDTH_MAX);
        let left = (self.purse.touchstone().header.units + 1).saturating_sub(self.purse.state().next);
        if left < per.min(width) {
            return Err(PurseError::UsedUp { left }.into());
        }
        let width = (width.min(left) / per).max(1).saturating_mul(per);
        let expires = now.after(self.wallet.inner.settings.chains.reserve_life());
        let network = self.wallet.network();
        let reserve = self.purse.extend(&self.signer, network, self.paying.order, width, expires)?;
        self.paying.units_before = before;
        self.paying.reserve = reserve.digest();
        self.durable = visit_start(&self.purse);
        self.write().await?;
        Ok(reserve)
    }

    /// Agrees with the payee on how far it was paid, after a restart or a lost answer.
    ///
    /// # Errors
    /// [`PurseError::FalseRelease`] for more than may have been sent.
    pub fn agree(&mut self, through: u32) -> Result<(), WalletError> {
        Ok(self.purse.agree(through)?)
    }

    /// Ends the visit with the payee's release, and its receipt if it gave one. `paid_at_least` is
    /// the last unit the payee is known to have been paid. Gives what was paid.
    ///
    /// # Errors
    /// [`PurseError::FalseRelease`]: the visit is then abandoned, the reserve counts as spent until
    /// the bank releases it, and the rest of the chain stays usable.
    pub async fn finish(
        mut self,
        release: Signed<Release>,
        receipt: Option<Signed<Receipt>>,
        paid_at_least: u32,
    ) -> Result<Amount, WalletError> {
        if let Err(why) = self.purse.on_release(self.wallet.network(), release, paid_at_least) {
            self.abandon().await?;
            return Err(why.into());
        }
        let through = self.purse.state().ended.as_slice().last().and_then(|ended| match &ended.freed {
            farthing_netpay::messages::Freed::Payee(release) => release.peek().ok().map(|release| release.through),
            farthing_netpay::messages::Freed::Bank(_) => None,
        });
        let from = self.record.state.open.as_ref().map_or(1, |open| open.from);
        let units = self.paying.units_before.saturating_add((through.unwrap_or(0) + 1).saturating_sub(from));
        let paid = self.paying.unit.checked_mul(units.into())?;
        let receipt = receipt.filter(|receipt| self.believes(receipt, paid));
        let back = self.paying.unit.checked_mul(self.paying.units_max.saturating_sub(units).into())?;
        self.record.state = self.purse.state().clone();
        self.record.visit = None;
        let (row, line, visit) = (self.record.clone(), self.paying.clone(), self.visit);
        let ended = move |cx: &mut Context<'_>| {
            let key = line.purse.to_be_bytes();
            records::put(cx.tx, PURSES, &key, &row);
            cx.tx.delete(AHEAD, &key);
            cx.tx.delete(PAYING, &visit);
            policy::give_back(cx.tx, &line.payee, line.hour, back)?;
            let Paying { payee, order, description, .. } = line;
            start::note(cx, What::Bought { payee, order, description, paid, receipt });
            Ok(())
        };
        self.wallet.inner.handle.transact(ended).await?;
        let Self { wallet, purse, busy, .. } = self;
        wallet.put_purse(purse, busy);
        Ok(paid)
    }

    /// Gives the visit up: the payee is gone. Its reserve counts as spent until the bank releases
    /// it; the visit can still be [resumed](Wallet::resume).
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn abandon(mut self) -> Result<(), WalletError> {
        self.purse.abandon()?;
        self.record.visit = None;
        self.write().await?;
        let Self { wallet, purse, busy, .. } = self;
        wallet.put_purse(purse, busy);
        Ok(())
    }

    /// Whether a receipt is the payee's word for this payment.
    fn believes(&self, receipt: &Signed<Receipt>, paid: Amount) -> bool {
        let verified = receipt.clone().verify_by(self.wallet.network(), self.paying.payee);
        verified.is_ok_and(|receipt| {
            let body = receipt.body();
            body.order == self.paying.order && body.payment.instrument == self.purse.chain().0 && body.amount == paid
        })
    }

    fn units_paid(&self) -> u32 {
        let open = self.purse.state().open.as_ref();
        let here = open.map_or(0, |open| (open.paid + 1).saturating_sub(open.from));
        self.paying.units_before.saturating_add(here)
    }

    /// Writes chain and visit down as they stand.
    async fn write(&mut self) -> Result<(), WalletError> {
        self.record.state = self.purse.state().clone();
        let (row, line, visit) = (self.record.clone(), self.paying.clone(), self.visit);
        let written = move |cx: &mut Context<'_>| {
            let key = line.purse.to_be_bytes();
            records::put(cx.tx, PURSES, &key, &row);
            cx.tx.delete(AHEAD, &key);
            records::put(cx.tx, PAYING, &visit, &line);
            Ok(())
        };
        Ok(self.wallet.inner.handle.transact(written).await?)
    }
}

impl std::fmt::Debug for Spending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spending at {:?}, paid through {}", self.paying.payee, self.through())
    }
}

/// How many units make up a price; `None` if it is no whole number of them, or too many for a word.
fn units(price: Amount, unit: Amount) -> Option<u32> {
    let units = price.units_of(unit).filter(|units| unit.checked_mul(*units) == Ok(price))?;
    u32::try_from(units).ok().filter(|units| (1..=JUMP_MAX).contains(units))
}

fn check_order(want: &Want, now: farthing_core::time::Time) -> Result<(), WalletError> {
    let order = &want.order;
    if order.payee != want.payee {
        return Err(WalletError::Order("for another payee"));
    }
    if order.expires <= now {
        return Err(WalletError::Order("over: ask for a new one"));
    }
    if order.price.is_zero() {
        return Err(WalletError::Price(order.price, 1));
    }
    Ok(())
}

/// The unit below the first of the open reserve: as far as the records count it as paid.
fn visit_start(purse: &Purse) -> u32 {
    purse.state().open.as_ref().map_or(0, |open| open.from - 1)
}

/// A reserve found open although nobody held the chain belongs to an interrupted visit.
fn give_up_open(purse: &mut Purse, record: &mut PurseRecord) -> Result<(), WalletError> {
    if record.is_interrupted() {
        purse.abandon()?;
        record.visit = None;
        record.state = purse.state().clone();
    }
    Ok(())
}

/// Takes up the abandoned reserve of just this visit.
fn take_up(purse: &mut Purse, paying: &Paying, now: farthing_core::time::Time) -> bool {
    for _ in 0..purse.state().abandoned.as_slice().len() {
        match purse.take_up(paying.payee, now).map(|open| open.reserve.digest() == paying.reserve) {
            Ok(true) => return true,
            // Another visit at the same payee: it goes to the end of the line.
            Ok(false) if purse.abandon().is_ok() => {}
            _ => return false,
        }
    }
    false
}

/// The bank out of reach is no fault of the purchase.
fn unreachable_means_no_chain(why: WalletError, price: Amount) -> WalletError {
    match why {
        WalletError::Bank(DeskError::NotSent(_) | DeskError::Unknown(_)) => WalletError::NoChain(price),
        other => other,
    }
}
