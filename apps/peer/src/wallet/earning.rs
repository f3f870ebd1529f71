//! Being paid: a visit as its payee holds it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farthing_core::amount::Amount;
use farthing_core::chain::Payword;
use farthing_core::id::{ChainId, OrderId};
use farthing_core::order::{Order, Receipt};
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::time::Time;
use farthing_netpay::messages::{Freed, Pay, Previous, Release, Reserve, Visit};
use farthing_netpay::payee::Counting;
use farthing_role::{Context, Halt, Scan};
use farthing_store::Reader;
use minicbor::{Decode, Encode};

use super::error::WalletError;
use super::records::{self, BOUGHT, DUE, EARNED, Earned, HELD, TIPS, What};
use super::{Wallet, start};

/// The most stretches of one chain that this payee holds.
const HELD_MAX: usize = 4_096;

/// The most visits in progress.
pub const LIVE_MAX: usize = 65_536;

/// A visit in progress, as its payee holds it. Two connections under one reserve share it, so no
/// word is ever counted twice.
#[derive(Clone)]
pub struct Earning {
    wallet: Wallet,
    live: Arc<Live>,
}

/// What all holders of a visit share.
pub(crate) struct Live {
    state: Mutex<State>,
    /// Held while the visit changes hands with the disk: extended or released.
    turn: tokio::sync::Mutex<()>,
}

struct State {
    counting: Counting,
    digest: [u8; 32],
    /// The first unit of the visit.
    first: u32,
    order: OrderId,
    description: String,
    /// The last unit known to be on the disk.
    durable: u32,
    /// What the last payment was for, as the shop counts its goods.
    bought: Option<u64>,
    release: Option<Signed<Release>>,
}

/// Units of a chain that one reserve gives this payee.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
struct Stretch {
    /// The last of them, lowered by a release.
    #[n(0)]
    through: u32,
    /// The reserve.
    #[cbor(n(1), with = "minicbor::bytes")]
    reserve: [u8; 32],
}

impl Wallet {
    /// Admits a visit and writes it down. A reserve that is known already, because its payer comes
    /// back, gives the visit as it stands, with its tip.
    ///
    /// # Errors
    /// A [`Refusal`] for the payer; nothing is changed.
    pub async fn admit(&self, now: Time, order: &Order, visit: Visit) -> Result<Earning, Refusal> {
        self.inner.meta().floor.check(now).map_err(|why| Refusal::from(WalletError::from(why)))?;
        let (id, digest) = (order.id(), visit.reserve.digest());
        if let Some(earning) = self.taken_up(digest).await? {
            return earning.for_order(id);
        }
        let kept = visit.clone();
        let counting = self.payee().admit(now, id, visit)?;
        let earned = earned(&counting, kept, id, &order.description, counting.reserve().body().from);
        self.hold(&earned, digest, counting.tip(), None, None).await?;
        let state = State::new(counting, digest, &earned, None);
        Ok(self.share(state))
    }

    /// The visit under a reserve that is known: held by somebody now, or on the disk.
    async fn taken_up(&self, digest: [u8; 32]) -> Result<Option<Earning>, Refusal> {
        let held = self.inner.live().get(&digest).and_then(std::sync::Weak::upgrade);
        if let Some(live) = held {
            return Ok(Some(Earning { wallet: self.clone(), live }));
        }
        let look =
            |reader: &dyn Reader| Ok((earned_with_tip(reader, &digest)?, records::look(reader, BOUGHT, &digest)?));
        let found = self.inner.handle.read(look).await;
        let found = found.map_err(WalletError::from).and_then(|found| found).map_err(Refusal::from)?;
        let (Some((earned, tip)), bought) = found else { return Ok(None) };
        let counting = self.payee().resume(earned.order, earned.visit.clone(), tip)?;
        Ok(Some(self.share(State::new(counting, digest, &earned, bought))))
    }

    /// Makes a visit known to all connections; one that was faster stays.
    fn share(&self, state: State) -> Earning {
        let mut live = self.inner.live();
        if live.len() >= LIVE_MAX {
            live.retain(|_, held| held.strong_count() > 0);
        }
        let digest = state.digest;
        if let Some(held) = live.get(&digest).and_then(std::sync::Weak::upgrade) {
            return Earning { wallet: self.clone(), live: held };
        }
        let held = Arc::new(Live { state: Mutex::new(state), turn: tokio::sync::Mutex::default() });
        live.insert(digest, Arc::downgrade(&held));
        Earning { wallet: self.clone(), live: held }
    }

    /// Writes a reserve down, unless it overlaps one that this payee holds; with it the word below
    /// its first unit, which is the last one of the reserve before it.
    async fn hold(
        &self,
        earned: &Earned,
        digest: [u8; 32],
        tip: Payword,
        before: Option<[u8; 32]>,
        bought: Option<u64>,
    ) -> Result<(), Refusal> {
        let row = earned.clone();
        let written = self.inner.handle.transact(move |cx| {
            if let Some(before) = before {
                raise_tip(cx, &before, tip, bought)?;
            }
            if cx.tx.get(EARNED, &digest)?.is_some() {
                return Ok(());
            }
            let chain = chain_of(&row)?;
            if let Some(previous) = &row.visit.previous {
                lower_held(cx, chain, previous)?;
            }
            check_overlap(cx, chain, &row)?;
            let stretch = Stretch { through: row.upto, reserve: digest };
            records::put(cx.tx, HELD, &held_key(chain, row.from, &digest), &stretch);
            records::put(cx.tx, DUE, &records::due_key(row.deadline, &digest), &());
            raise_tip(cx, &digest, tip, bought)?;
            records::put(cx.tx, EARNED, &digest, &row);
            Ok(())
        });
        written.await.map_err(|why| Refusal::from(WalletError::from(why)))
    }
}

impl Earning {
    /// The count as it stands.
    #[must_use]
    pub fn counting(&self) -> Counting {
        self.live.state().counting.clone()
    }

    /// The highest unit paid.
    #[must_use]
    pub fn through(&self) -> u32 {
        self.live.state().counting.through()
    }

    /// The last unit reserved.
    #[must_use]
    pub fn upto(&self) -> u32 {
        self.live.state().counting.upto()
    }

    /// What one unit is worth.
    #[must_use]
    pub fn unit(&self) -> Amount {
        self.live.state().counting.unit()
    }

    /// Counts a payment in memory and says how many units it is worth. Serve only after
    /// [`persist`](Self::persist).
    ///
    /// # Errors
    /// A [`Refusal`] for the payer; the visit stands as it stood.
    pub fn on_pay(&self, pay: &Pay) -> Result<u32, Refusal> {
        let now = self.wallet.now();
        let mut state = self.live.state();
        if state.release.is_some() {
            return Err(released());
        }
        Ok(state.counting.on_pay(now, pay)?)
    }

    /// Notes what the last payment was for; written down with it by [`persist`](Self::persist), so
    /// that a payer that comes back after a crash of ours gets what it paid for.
    pub fn note(&self, goods: u64) {
        self.live.state().bought = Some(goods);
    }

    /// What the last payment was for, if that was noted.
    #[must_use]
    pub fn bought(&self) -> Option<u64> {
        self.live.state().bought
    }

    /// Returns once the count is on the disk, together with that of other visits.
    ///
    /// # Errors
    /// [`WalletError::Records`]: serve nothing.
    pub async fn persist(&self) -> Result<(), WalletError> {
        let (digest, tip, bought) = {
            let state = self.live.state();
            let tip = state.counting.tip();
            if tip.index() <= state.durable {
                return Ok(());
            }
            (state.digest, tip, state.bought)
        };
        self.wallet.inner.handle.transact(move |cx| raise_tip(cx, &digest, tip, bought)).await?;
        let mut state = self.live.state();
        if state.digest == digest {
            state.durable = state.durable.max(tip.index());
        }
        Ok(())
    }

    /// Takes a further reserve of the same chain in the same visit, and writes it down.
    ///
    /// # Errors
    /// A [`Refusal`] for the payer; the visit stands as it stood.
    pub async fn extend(&self, reserve: Signed<Reserve>) -> Result<(), Refusal> {
        let _turn = self.live.turn.lock().await;
        let digest = reserve.digest();
        let (counting, before, first, order, description, bought) = {
            let state = self.live.state();
            if state.digest == digest {
                return Ok(());
            }
            if state.release.is_some() {
                return Err(released());
            }
            let description = state.description.clone();
            (state.counting.clone(), state.digest, state.first, state.order, description, state.bought)
        };
        // A reserve known from another connection has words of its own: going on below them would
        // sell them twice.
        let known = self.wallet.inner.handle.read(|reader| earned_with_tip(reader, &digest)).await;
        let known = known.map_err(WalletError::from).and_then(|known| known).map_err(Refusal::from)?;
        if known.is_some() {
            return Err(Refusal::new(Code::Replay, "this reserve is in use already: begin the visit with it")
                .remedy(Remedy::Mend));
        }
        let last = counting.tip();
        let touchstone = counting.touchstone().signed().clone();
        let now = self.wallet.now();
        let next = counting.extend(&self.wallet.payee(), now, reserve.clone()).map_err(|refused| refused.1)?;
        let visit = Visit { touchstone, reserve, previous: None, anchor: None };
        let earned = earned(&next, visit, order, &description, first);
        self.wallet.hold(&earned, digest, last, Some(before), bought).await?;
        let mut state = self.live.state();
        (state.counting, state.digest, state.durable) = (next, digest, last.index());
        drop(state);
        let mut live = self.wallet.inner.live();
        live.remove(&before);
        live.insert(digest, Arc::downgrade(&self.live));
        Ok(())
    }

    /// Ends the visit: the release of what was not used, written down first. Asked again it is the
    /// same.
    ///
    /// # Errors
    /// [`WalletError::Records`]: send nothing.
    pub async fn release(&self) -> Result<Signed<Release>, WalletError> {
        let _turn = self.live.turn.lock().await;
        let now = self.wallet.now();
        let (digest, release, tip, bought, sold) = {
            let mut state = self.live.state();
            if let Some(release) = &state.release {
                return Ok(release.clone());
            }
            let release = state.counting.release(self.wallet.key(), self.wallet.network(), now);
            // From here on no word is counted, whatever becomes of the writing.
            state.release = Some(release.clone());
            (state.digest, release, state.counting.tip(), state.bought, state.sold()?)
        };
        let row = release.clone();
        self.wallet.inner.handle.transact(move |cx| end_visit(cx, digest, (tip, bought), row, sold)).await?;
        Ok(release)
    }

    /// A receipt for all of the visit, as far as it was paid.
    ///
    /// # Errors
    /// When the amount is out of range, which that of no admitted chain is.
    pub fn receipt(&self) -> Result<Signed<Receipt>, WalletError> {
        let state = self.live.state();
        let receipt = state.counting.receipt(state.first, self.wallet.now())?;
        Ok(self.wallet.key().sign(self.wallet.network(), &receipt))
    }

    fn for_order(self, order: OrderId) -> Result<Self, Refusal> {
        let state = self.live.state();
        if state.order != order {
            return Err(Refusal::new(Code::Order, "the reserve is for another order"));
        }
        drop(state);
        Ok(self)
    }
}

impl std::fmt::Debug for Earning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.live.state();
        write!(f, "Earning on {:?}, paid through {}", state.counting.chain(), state.counting.through())
    }
}

impl Live {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing inside is left half changed by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(counting: Counting, digest: [u8; 32], earned: &Earned, bought: Option<u64>) -> Self {
        Self {
            durable: counting.through(),
            bought,
            counting,
            digest,
            first: earned.first,
            order: earned.order,
            description: earned.description.clone(),
            release: earned.release.clone(),
        }
    }

    /// What the visit comes to, for the history; nothing where nothing was paid.
    fn sold(&self) -> Result<Option<What>, WalletError> {
        let units = (self.counting.through() + 1).saturating_sub(self.first);
        let earned = self.counting.unit().checked_mul(units.into())?;
        let (order, description) = (self.order, self.description.clone());
        let payer = self.counting.touchstone().body().header.payer;
        Ok((units > 0).then_some(What::Sold { payer, order, description, earned }))
    }
}

/// What is written down of a visit.
fn earned(counting: &Counting, visit: Visit, order: OrderId, description: &str, first: u32) -> Earned {
    let reserve = counting.reserve().body();
    let touchstone = counting.touchstone().body();
    Earned {
        visit,
        order,
        description: description.to_owned(),
        unit: counting.unit(),
        from: reserve.from,
        upto: reserve.upto,
        first,
        expires: reserve.expires,
        deadline: reserve.expires.after(touchstone.grace),
        claimed: reserve.from - 1,
        release: None,
        refused: None,
        payer: touchstone.header.payer,
    }
}

/// Makes a higher word durable, and what it paid for; a lower one changes nothing.
fn raise_tip(cx: &mut Context<'_>, digest: &[u8; 32], tip: Payword, bought: Option<u64>) -> Result<(), Halt> {
    let known: Option<Payword> = records::get(&*cx.tx, TIPS, digest)?;
    if known.is_none_or(|known| known.index() < tip.index()) {
        records::put(cx.tx, TIPS, digest, &tip);
        if let Some(bought) = bought {
            records::put(cx.tx, BOUGHT, digest, &bought);
        }
    }
    Ok(())
}

/// Where the reserve before was this payee's own, what ended it bounds what this payee holds: the
/// bank may have released it while this payee was away. Signatures were checked at admission.
fn lower_held(cx: &mut Context<'_>, chain: ChainId, previous: &Previous) -> Result<(), Halt> {
    let Ok(reserve) = previous.reserve.peek() else { return Ok(()) };
    let digest = previous.reserve.digest();
    let key = held_key(chain, reserve.from, &digest);
    let Some(stretch): Option<Stretch> = records::get(&*cx.tx, HELD, &key)? else { return Ok(()) };
    let release = match &previous.freed {
        Freed::Payee(signed) => signed.peek().ok(),
        Freed::Bank(signed) => signed.peek().ok().map(|bank| bank.release),
    };
    if let Some(release) = release.filter(|release| release.through < stretch.through) {
        records::put(cx.tx, HELD, &key, &Stretch { through: release.through, ..stretch });
    }
    Ok(())
}

/// Refuses units that this payee holds already under another reserve: the payer has signed two
/// over the same units, or its words would be sold twice.
fn check_overlap(cx: &Context<'_>, chain: ChainId, earned: &Earned) -> Result<(), Halt> {
    let rows = cx.tx.scan(HELD, Scan { prefix: &chain.0, after: None, limit: HELD_MAX })?;
    if rows.len() >= HELD_MAX {
        return Err(Refusal::new(Code::Limit, "too many reserves of one chain: pay from another one").into());
    }
    for (key, value) in rows {
        let from = key.get(32..36).and_then(|at| at.try_into().ok()).map_or(0, u32::from_be_bytes);
        let stretch: Stretch = records::read(HELD, &value)?;
        if from <= earned.upto && earned.from <= stretch.through {
            let why = "the reserve overlaps another one for this payee that was not released";
            return Err(Refusal::new(Code::Conflict, why).into());
        }
    }
    Ok(())
}

fn end_visit(
    cx: &mut Context<'_>,
    digest: [u8; 32],
    (tip, bought): (Payword, Option<u64>),
    release: Signed<Release>,
    sold: Option<What>,
) -> Result<(), Halt> {
    raise_tip(cx, &digest, tip, bought)?;
    let gone = || farthing_ledger::StoreFault("a visit in progress is not on record".into());
    let mut earned: Earned = records::get(&*cx.tx, EARNED, &digest)?.ok_or_else(gone)?;
    let key = held_key(chain_of(&earned)?, earned.from, &digest);
    if tip.index() < earned.from {
        cx.tx.delete(HELD, &key);
        records::no_longer_due(cx.tx, earned.deadline, &digest);
    } else {
        records::put(cx.tx, HELD, &key, &Stretch { through: tip.index(), reserve: digest });
    }
    earned.release = Some(release);
    records::put(cx.tx, EARNED, &digest, &earned);
    if let Some(sold) = sold {
        start::note(cx, sold);
    }
    Ok(())
}

/// A visit on record and how far it was paid.
pub(crate) fn earned_with_tip(
    reader: &dyn Reader,
    digest: &[u8; 32],
) -> Result<Option<(Earned, Payword)>, WalletError> {
    let Some(earned) = records::look::<Earned>(reader, EARNED, digest)? else { return Ok(None) };
    let gone = || WalletError::Records("the word of a visit is gone".into());
    let tip = records::look(reader, TIPS, digest)?.ok_or_else(gone)?;
    Ok(Some((earned, tip)))
}

/// Forgets a visit that nobody can claim for or come back to any more.
pub(crate) fn forget(cx: &mut Context<'_>, digest: &[u8; 32]) -> Result<(), Halt> {
    if let Some(earned) = records::get::<Earned>(&*cx.tx, EARNED, digest)? {
        cx.tx.delete(HELD, &held_key(chain_of(&earned)?, earned.from, digest));
    }
    cx.tx.delete(EARNED, digest);
    cx.tx.delete(TIPS, digest);
    cx.tx.delete(BOUGHT, digest);
    Ok(())
}

fn chain_of(earned: &Earned) -> Result<ChainId, Halt> {
    let reserve = earned.visit.reserve.peek();
    Ok(reserve.map_err(|_| farthing_ledger::StoreFault("a reserve on record is damaged".into()))?.chain)
}

/// Chain, first unit, and enough of the reserve to tell two that begin alike apart.
fn held_key(chain: ChainId, from: u32, digest: &[u8; 32]) -> Vec<u8> {
    [&chain.0[..], &from.to_be_bytes(), &digest[..16]].concat()
}

fn released() -> Refusal {
    Refusal::new(Code::State, "the visit has ended: begin another one with a new reserve")
        .blame(Fault::Nobody)
        .remedy(Remedy::Mend)
}
