//! The payer: opens chains, reserves, pays, and takes back what was not used.
//!
//! A [`Purse`] is one open chain as its payer holds it. Its state changes only by methods that say
//! what to send; the caller writes [`Purse::state`] down *before* it sends anything, so that a crash
//! never forgets a unit that a payee may hold.

use farthing_core::amount::Amount;
use farthing_core::chain::{Header, Pebbles, SEED_BYTES, Scheme, Scope};
use farthing_core::id::{ChainId, NetworkId, OrderId, PeerId};
use farthing_core::sign::{SecretKey, Signed, Verified};
use farthing_core::time::Time;
use farthing_core::wire::Bounded;
use minicbor::{Decode, Encode};

use crate::messages::{
    BrokerRelease, Freed, OpenChain, Pay, Previous, RESERVE_WIDTH_MAX, Release, Reserve, Touchstone, Visit,
};

/// The most freed ranges and abandoned reserves a purse remembers.
pub const PURSE_LIST_MAX: usize = 1_024;

/// What a payer writes down of a chain: enough to go on after a crash, and to defend itself.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PurseState {
    /// The bank's word for the chain.
    #[n(0)]
    pub touchstone: Signed<Touchstone>,
    /// The lowest unit that was never reserved.
    #[n(1)]
    pub next: u32,
    /// How many reserves were signed.
    #[n(2)]
    pub serial: u32,
    /// The reserve in use.
    #[n(3)]
    pub open: Option<OpenReserve>,
    /// Units given back, usable again, with the proof that they were.
    #[n(4)]
    pub freed: Bounded<FreedUnits, PURSE_LIST_MAX>,
    /// Reserves whose payee went away without a release; their units are as good as spent until the
    /// bank releases them.
    #[n(5)]
    pub abandoned: Bounded<OpenReserve, PURSE_LIST_MAX>,
    /// Reserves that ended with a release: the payer's defence.
    #[n(6)]
    pub ended: Bounded<Ended, PURSE_LIST_MAX>,
}

/// A reserve and how far it was paid.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct OpenReserve {
    /// What was signed.
    #[n(0)]
    pub reserve: Signed<Reserve>,
    /// The first unit.
    #[n(1)]
    pub from: u32,
    /// The last unit.
    #[n(2)]
    pub upto: u32,
    /// The last unit whose word may have left; one below `from` while none has.
    #[n(3)]
    pub paid: u32,
    /// When it ends.
    #[n(4)]
    pub expires: Time,
    /// For whom.
    #[n(5)]
    pub payee: PeerId,
}

/// Units that a release gave back.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct FreedUnits {
    /// The first.
    #[n(0)]
    pub from: u32,
    /// The last.
    #[n(1)]
    pub upto: u32,
    /// The reserve that held them, and what ended it.
    #[n(2)]
    pub previous: Previous,
}

/// A reserve that ended.
pub type Ended = Previous;

/// Why a payer cannot do what it is asked to. Nothing was signed and nothing may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PurseError {
    /// The touchstone is not the bank's word for the chain that was asked for.
    #[error("the bank's touchstone is not for the chain that was asked for")]
    WrongTouchstone,
    /// A chain of no units or of too many.
    #[error("a chain holds from 1 to {} units", farthing_core::chain::CHAIN_LEN_MAX)]
    Units,
    /// Not enough units left in this chain.
    #[error("the chain has {left} units left: open another one")]
    UsedUp {
        /// How many are left.
        left: u32,
    },
    /// Another visit is in progress. One chain is spent at one payee at a time: a word given to one
    /// reveals all below it, and two payees could share.
    #[error("the chain is in use at another payee: finish there, or use another chain")]
    InUse,
    /// No visit is in progress.
    #[error("no reserve is open")]
    NoReserve,
    /// The reserve does not reach that far.
    #[error("the reserve ends at unit {upto}: extend it")]
    ReserveUsedUp {
        /// Its last unit.
        upto: u32,
    },
    /// A reserve of nothing, or wider than allowed.
    #[error("a reserve covers from 1 to {RESERVE_WIDTH_MAX} units")]
    Width,
    /// The chain has ended.
    #[error("the chain has ended; what was not spent comes back from the bank")]
    Expired,
    /// The release does not say what was paid; the units above the reserve stay usable.
    #[error("the release does not say what was paid; it is kept as evidence and not believed")]
    FalseRelease,
    /// Too many remembered visits.
    #[error("the chain remembers too many visits: open another one")]
    TooManyVisits,
}

/// The chain a payer is about to open: made before the bank is asked.
pub struct NewChain {
    header: Header,
    pebbles: Pebbles,
}

/// What a chain is to be.
#[derive(Clone, Copy, Debug)]
pub struct ChainTerms {
    /// How many units.
    pub units: u32,
    /// What a unit is worth.
    pub unit: Amount,
    /// When it ends.
    pub not_after: Time,
}

impl NewChain {
    /// Makes a chain from its secret seed. `signer` is the key that will sign its reserves, a fresh
    /// pseudonym for every chain if the payer likes.
    ///
    /// # Errors
    /// [`PurseError::Units`].
    pub fn new(signer: PeerId, terms: ChainTerms, seed: [u8; SEED_BYTES], salt: [u8; 16]) -> Result<Self, PurseError> {
        let header = Header {
            payer: signer,
            scheme: Scheme::NetPay,
            units: terms.units,
            unit: terms.unit,
            scope: Scope::Any,
            salt,
            not_after: terms.not_after,
        };
        let pebbles = Pebbles::new(&header, seed).ok_or(PurseError::Units)?;
        Ok(Self { header, pebbles })
    }

    /// What to ask the bank (NPP-1).
    #[must_use]
    pub fn request(&self) -> OpenChain {
        OpenChain { header: self.header.clone(), root: self.pebbles.root() }
    }

    /// Takes the bank's touchstone (NPP-2).
    ///
    /// # Errors
    /// [`PurseError::WrongTouchstone`].
    pub fn opened(self, touchstone: Verified<Touchstone>) -> Result<Purse, PurseError> {
        let body = touchstone.body();
        let ours = body.header == self.header && body.root == self.pebbles.root();
        if !ours || body.chain != self.header.chain_id(&body.root) {
            return Err(PurseError::WrongTouchstone);
        }
        let state = PurseState {
            touchstone: touchstone.signed().clone(),
            next: 1,
            serial: 0,
            open: None,
            freed: Bounded::empty(),
            abandoned: Bounded::empty(),
            ended: Bounded::empty(),
        };
        Ok(Purse { pebbles: self.pebbles, touchstone: body.clone(), state })
    }
}

/// One open chain as its payer holds it.
#[derive(Debug)]
pub struct Purse {
    pebbles: Pebbles,
    touchstone: Touchstone,
    state: PurseState,
}

impl Purse {
    /// A chain taken up again after a restart, from what was written down and its seed.
    ///
    /// # Errors
    /// [`PurseError::WrongTouchstone`] if seed and state do not belong together.
    pub fn resume(state: PurseState, seed: [u8; SEED_BYTES]) -> Result<Self, PurseError> {
        let touchstone = state.touchstone.peek().map_err(|_| PurseError::WrongTouchstone)?;
        let pebbles = Pebbles::new(&touchstone.header, seed).ok_or(PurseError::Units)?;
        if pebbles.root() != touchstone.root {
            return Err(PurseError::WrongTouchstone);
        }
        Ok(Self { pebbles, touchstone, state })
    }

    /// What must be written down before anything that a method returned is sent.
    #[must_use]
    pub const fn state(&self) -> &PurseState {
        &self.state
    }

    /// The bank's word for the chain.
    #[must_use]
    pub const fn touchstone(&self) -> &Touchstone {
        &self.touchstone
    }

    /// The chain.
    #[must_use]
    pub const fn chain(&self) -> ChainId {
        self.touchstone.chain
    }

    /// Reserves `width` units for a payee and begins a visit (NPP-3). Units given back earlier are
    /// used first.
    ///
    /// # Errors
    /// [`PurseError`].
    pub fn reserve(
        &mut self,
        signer: &SecretKey,
        network: NetworkId,
        payee: PeerId,
        order: OrderId,
        width: u32,
        expires: Time,
    ) -> Result<Visit, PurseError> {
        if self.state.open.is_some() {
            return Err(PurseError::InUse);
        }
        let (from, previous) = self.find_units(width)?;
        let upto = from + (width - 1);
        let digest = previous.as_ref().map(|previous| previous.freed.digest());
        let reserve = self.sign_reserve(signer, network, Range { from, upto, digest }, payee, order, expires)?;
        self.take_units(from, upto);
        let anchor = (from > 1).then(|| self.pebbles.word(from - 1)).flatten();
        Ok(Visit { touchstone: self.state.touchstone.clone(), reserve, previous, anchor })
    }

    /// The visit in progress once more, as it began, for a payee met again after a lost connection
    /// or a restart. Nothing new is signed.
    ///
    /// # Errors
    /// [`PurseError::NoReserve`].
    pub fn visit(&mut self) -> Result<Visit, PurseError> {
        let open = self.state.open.as_ref().ok_or(PurseError::NoReserve)?;
        let (reserve, from) = (open.reserve.clone(), open.from);
        let digest = reserve.peek().map_err(|_| PurseError::NoReserve)?.previous;
        let ended = self.state.ended.as_slice();
        let previous = digest.and_then(|digest| ended.iter().find(|ended| ended.freed.digest() == digest).cloned());
        let anchor = (from > 1).then(|| self.pebbles.word(from - 1)).flatten();
        Ok(Visit { touchstone: self.state.touchstone.clone(), reserve, previous, anchor })
    }

    /// Reserves further units for the same payee once the open reserve is used up.
    ///
    /// # Errors
    /// [`PurseError`]; where the next units in line are not free, finish this visit and begin another.
    pub fn extend(
        &mut self,
        signer: &SecretKey,
        network: NetworkId,
        order: OrderId,
        width: u32,
        expires: Time,
    ) -> Result<Signed<Reserve>, PurseError> {
        let open = self.state.open.clone().ok_or(PurseError::NoReserve)?;
        if open.paid < open.upto || open.upto + 1 != self.state.next {
            return Err(PurseError::InUse);
        }
        let from = self.state.next;
        let left = (self.touchstone.header.units + 1).saturating_sub(self.state.next);
        let width = width.min(left);
        if width == 0 {
            return Err(PurseError::UsedUp { left });
        }
        let upto = from + (width - 1);
        let range = Range { from, upto, digest: None };
        let reserve = self.sign_reserve(signer, network, range, open.payee, order, expires)?;
        self.state.next = upto + 1;
        Ok(reserve)
    }

    /// Pays `units` more (NPP-4). Nobody is asked; one hash, amortised.
    ///
    /// # Errors
    /// [`PurseError::NoReserve`] or [`PurseError::ReserveUsedUp`].
    pub fn pay(&mut self, units: u32, order: OrderId) -> Result<Pay, PurseError> {
        let open = self.state.open.as_mut().ok_or(PurseError::NoReserve)?;
        let index = open.paid.checked_add(units).filter(|index| *index <= open.upto);
        let index = index.ok_or(PurseError::ReserveUsedUp { upto: open.upto })?;
        let word = self.pebbles.word(index).ok_or(PurseError::ReserveUsedUp { upto: open.upto })?;
        open.paid = index;
        Ok(Pay { index, word, order })
    }

    /// The last payment once more, where its answer went missing: the same word, never a new one.
    #[must_use]
    pub fn pay_again(&mut self, order: OrderId) -> Option<Pay> {
        let open = self.state.open.as_ref()?;
        (open.paid >= open.from).then_some(())?;
        let index = open.paid;
        Some(Pay { index, word: self.pebbles.word(index)?, order })
    }

    /// The state to write down so that the next `ahead` units may be paid without writing again:
    /// they count as sent already. A crash then costs a question to the payee, never a forgotten
    /// unit.
    #[must_use]
    pub fn state_ahead(&self, ahead: u32) -> PurseState {
        let mut state = self.state.clone();
        if let Some(open) = &mut state.open {
            open.paid = open.paid.saturating_add(ahead).min(open.upto);
        }
        state
    }

    /// Agrees with the payee on how far it was paid, after a restart or a lost answer. It can only
    /// be between nothing and what may have been sent; understating it is the payee's own loss.
    ///
    /// # Errors
    /// [`PurseError::FalseRelease`] for anything else.
    pub fn agree(&mut self, through: u32) -> Result<(), PurseError> {
        let open = self.state.open.as_mut().ok_or(PurseError::NoReserve)?;
        if through < open.from - 1 || through > open.paid {
            return Err(PurseError::FalseRelease);
        }
        open.paid = through;
        Ok(())
    }

    /// How many units are left in the open reserve.
    #[must_use]
    pub fn left_in_reserve(&self) -> u32 {
        self.state.open.as_ref().map_or(0, |open| open.upto - open.paid)
    }

    /// How many units could still be reserved.
    #[must_use]
    pub fn left(&self) -> u32 {
        let fresh = (self.touchstone.header.units + 1).saturating_sub(self.state.next);
        let freed: u32 = self.state.freed.as_slice().iter().map(|units| units.upto - units.from + 1).sum();
        fresh.saturating_add(freed)
    }

    /// The most that payees could still take without another word from us: units whose words left,
    /// or may have left, in reserves that have not ended, and everything below them.
    #[must_use]
    pub fn at_risk(&self) -> u32 {
        let open = self.state.open.iter().chain(self.state.abandoned.as_slice());
        open.map(|open| open.upto - open.from + 1).sum()
    }

    /// Takes the payee's release (NPP-6): it must be for the open reserve and say what was paid.
    /// `paid_at_least` is what the payee is known to have been paid (the last word answered for).
    ///
    /// # Errors
    /// [`PurseError::FalseRelease`]: then the units stay out of use until the bank releases them.
    pub fn on_release(
        &mut self,
        network: NetworkId,
        release: Signed<Release>,
        paid_at_least: u32,
    ) -> Result<u32, PurseError> {
        let open = self.state.open.clone().ok_or(PurseError::NoReserve)?;
        let verified = release.verify_by(network, open.payee).map_err(|_| PurseError::FalseRelease)?;
        let body = verified.body();
        let ours = body.chain == self.chain() && body.reserve == open.reserve.digest();
        let honest = paid_at_least <= body.through && body.through <= open.paid && open.from - 1 <= body.through;
        if !ours || !honest {
            return Err(PurseError::FalseRelease);
        }
        let through = body.through;
        self.end(open, through, Freed::Payee(verified.into_signed()))?;
        self.state.open = None;
        Ok(through)
    }

    /// Gives the open reserve up: the payee is gone. Its units are counted as spent until the bank
    /// releases them.
    ///
    /// # Errors
    /// [`PurseError::NoReserve`] or [`PurseError::TooManyVisits`].
    pub fn abandon(&mut self) -> Result<(), PurseError> {
        let open = self.state.open.clone().ok_or(PurseError::NoReserve)?;
        push(&mut self.state.abandoned, open)?;
        self.state.open = None;
        Ok(())
    }

    /// Takes up an abandoned reserve again: its payee is back.
    ///
    /// # Errors
    /// [`PurseError::InUse`], or [`PurseError::NoReserve`] if none with that payee was abandoned.
    pub fn take_up(&mut self, payee: PeerId, now: Time) -> Result<&OpenReserve, PurseError> {
        if self.state.open.is_some() {
            return Err(PurseError::InUse);
        }
        let mut abandoned = std::mem::replace(&mut self.state.abandoned, Bounded::empty()).into_vec();
        let found = abandoned.iter().position(|open| open.payee == payee && now < open.expires);
        self.state.open = found.map(|at| abandoned.remove(at));
        self.state.abandoned = Bounded::new(abandoned).unwrap_or_else(Bounded::empty);
        self.state.open.as_ref().ok_or(PurseError::NoReserve)
    }

    /// Abandoned reserves that the bank can be asked to release at `now`.
    pub fn releasable(&self, now: Time) -> impl Iterator<Item = &Signed<Reserve>> {
        let due = self.touchstone.grace;
        let ended = move |open: &&OpenReserve| open.expires.after(due).after(farthing_core::time::SKEW) <= now;
        self.state.abandoned.as_slice().iter().filter(ended).map(|open| &open.reserve)
    }

    /// Takes the bank's release of an abandoned reserve.
    ///
    /// # Errors
    /// [`PurseError::FalseRelease`].
    pub fn on_broker_release(
        &mut self,
        network: NetworkId,
        bank: PeerId,
        release: Signed<BrokerRelease>,
    ) -> Result<u32, PurseError> {
        let verified = release.verify_by(network, bank).map_err(|_| PurseError::FalseRelease)?;
        let body = verified.body().release.clone();
        let mut abandoned = self.state.abandoned.as_slice().to_vec();
        let at = abandoned.iter().position(|open| open.reserve.digest() == body.reserve);
        let open = abandoned.swap_remove(at.ok_or(PurseError::FalseRelease)?);
        if body.chain != self.chain() || body.through.saturating_add(1) < open.from || body.through > open.upto {
            return Err(PurseError::FalseRelease);
        }
        self.end(open, body.through, Freed::Bank(verified.into_signed()))?;
        self.state.abandoned = Bounded::new(abandoned).unwrap_or_else(Bounded::empty);
        Ok(body.through)
    }

    /// The release that answers a case about this reserve, if there is one.
    #[must_use]
    pub fn defence(&self, reserve: &[u8; 32]) -> Option<&Freed> {
        let ended = self.state.ended.as_slice();
        ended.iter().find(|ended| ended.reserve.digest() == *reserve).map(|ended| &ended.freed)
    }

    /// Where `width` units lie: in a freed stretch, or beyond all that was ever reserved.
    fn find_units(&self, width: u32) -> Result<(u32, Option<Previous>), PurseError> {
        if width == 0 || width > RESERVE_WIDTH_MAX {
            return Err(PurseError::Width);
        }
        let fits = |units: &&FreedUnits| units.upto - units.from + 1 >= width;
        if let Some(units) = self.state.freed.as_slice().iter().find(fits) {
            return Ok((units.from, Some(units.previous.clone())));
        }
        let left = (self.touchstone.header.units + 1).saturating_sub(self.state.next);
        if left < width { Err(PurseError::UsedUp { left }) } else { Ok((self.state.next, None)) }
    }

    fn take_units(&mut self, from: u32, upto: u32) {
        if from == self.state.next {
            self.state.next = upto + 1;
            return;
        }
        let mut freed = std::mem::replace(&mut self.state.freed, Bounded::empty()).into_vec();
        if let Some(units) = freed.iter_mut().find(|units| units.from == from) {
            units.from = upto + 1;
        }
        freed.retain(|units| units.from <= units.upto);
        self.state.freed = Bounded::new(freed).unwrap_or_else(Bounded::empty);
    }

    fn sign_reserve(
        &mut self,
        signer: &SecretKey,
        network: NetworkId,
        range: Range,
        payee: PeerId,
        order: OrderId,
        expires: Time,
    ) -> Result<Signed<Reserve>, PurseError> {
        let Range { from, upto, digest } = range;
        let expires = expires.min(self.touchstone.header.not_after);
        if self.state.ended.as_slice().len() + self.state.abandoned.as_slice().len() >= PURSE_LIST_MAX - 1 {
            return Err(PurseError::TooManyVisits);
        }
        self.state.serial += 1;
        let body = Reserve {
            chain: self.chain(),
            payee,
            from,
            upto,
            order,
            previous: digest,
            serial: self.state.serial,
            expires,
        };
        let reserve = signer.sign(network, &body);
        self.state.open = Some(OpenReserve { reserve: reserve.clone(), from, upto, paid: from - 1, expires, payee });
        Ok(reserve)
    }

    /// Notes that a reserve ended at `through`, and takes back what lies above.
    fn end(&mut self, open: OpenReserve, through: u32, freed: Freed) -> Result<(), PurseError> {
        let previous = Previous { reserve: open.reserve, freed };
        push(&mut self.state.ended, previous.clone())?;
        if through < open.upto {
            push(&mut self.state.freed, FreedUnits { from: through + 1, upto: open.upto, previous })?;
        }
        Ok(())
    }
}

struct Range {
    from: u32,
    upto: u32,
    digest: Option<[u8; 32]>,
}

fn push<T: Clone>(list: &mut Bounded<T, PURSE_LIST_MAX>, item: T) -> Result<(), PurseError> {
    let mut items = list.as_slice().to_vec();
    items.push(item);
    *list = Bounded::new(items).ok_or(PurseError::TooManyVisits)?;
    Ok(())
}
