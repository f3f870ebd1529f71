//! The buyer's side of a session: hands out disjoint ranges of units, so that requests in parallel
//! never use one twice, and sends the same payment again where an answer went missing.

use farthing_core::amount::Amount;
use farthing_core::chain::{JUMP_MAX, Pebbles, SEED_BYTES};
use farthing_core::id::{ChainId, NetworkId, OrderId, PeerId};
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::Time;
use farthing_core::wire::Bounded;
use minicbor::{Decode, Encode};

use crate::messages::{Authorisation, Common};
use crate::micro::{Ack, LogEntry, OrderLog, Pay, Seen, SessionKey, Tip, Token, TokenTerms, log_digest};
use crate::secret::Digest;
use crate::window::WINDOW;

/// The most payments without an answer, and the most ranges to use again.
pub const OPEN_MAX: usize = 1_024;

/// Units from the first to the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Stretch {
    /// The first.
    #[n(0)]
    pub from: u32,
    /// The last.
    #[n(1)]
    pub upto: u32,
}

impl Stretch {
    const fn count(self) -> u32 {
        self.upto + 1 - self.from
    }
}

/// What a buyer writes down of a session before it sends anything.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct SpenderState {
    /// All that was agreed on.
    #[n(0)]
    common: Common,
    /// The bank's yes.
    #[n(1)]
    authorisation: Signed<Authorisation>,
    /// What may be bought.
    #[n(2)]
    realm: OrderId,
    /// Known to the seller and us.
    #[n(3)]
    key: SessionKey,
    /// The lowest unit whose word never left.
    #[n(4)]
    next: u32,
    /// The highest unit that the seller answered for.
    #[n(5)]
    answered: u32,
    /// Payments without an answer.
    #[n(6)]
    open: Bounded<LogEntry, OPEN_MAX>,
    /// Units whose money the seller may have, and that it did not use.
    #[n(7)]
    free: Bounded<Stretch, OPEN_MAX>,
    /// The last unit under a signed log.
    #[n(8)]
    logged: u32,
    /// How often the seller gave units back.
    #[n(9)]
    turn: u32,
    /// Units that the seller gave back and would serve no more; nothing where there are none. It
    /// can clear none of them, so they come back when the session ends.
    #[n(10)]
    forgone: Option<u32>,
}

impl SpenderState {
    /// Units that the seller was paid, or may have been: those that it gave back are not among them.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.at_risk().saturating_sub(self.free_units()).saturating_sub(self.forgone.unwrap_or(0))
    }

    /// The highest unit whose word may have left.
    #[must_use]
    pub const fn at_risk(&self) -> u32 {
        self.next - 1
    }

    /// Units that the seller gave back and that can be paid again.
    #[must_use]
    pub fn free_units(&self) -> u32 {
        self.free.as_slice().iter().map(|free| free.count()).sum()
    }

    /// Takes units nobody else gets: free ones that the seller would still serve, or fresh ones.
    fn take(&mut self, units: u32) -> Result<Stretch, SpendError> {
        if units == 0 || units > WINDOW {
            return Err(SpendError::Units);
        }
        if self.open.as_slice().len() >= OPEN_MAX {
            return Err(SpendError::TooManyOpen);
        }
        self.forget_late(self.next - 1);
        let free = self.free.as_slice();
        if let Some(at) = free.iter().position(|free| free.count() >= units) {
            let mut all = free.to_vec();
            let taken = Stretch { from: all[at].from, upto: all[at].from + (units - 1) };
            all[at].from += units;
            all.retain(|free| free.from <= free.upto);
            self.free = Bounded::new(all).unwrap_or_else(Bounded::empty);
            return Ok(taken);
        }
        let from = self.next;
        let left = (self.common.header.units + 1).saturating_sub(from);
        if left < units {
            return Err(SpendError::UsedUp { left });
        }
        let upto = from + (units - 1);
        let lowest = self.open.as_slice().iter().map(|open| open.index - open.units + 1).min().unwrap_or(from);
        if upto - lowest >= WINDOW || upto - self.answered > JUMP_MAX {
            return Err(SpendError::TooManyOpen);
        }
        self.forget_late(upto);
        self.next = upto + 1;
        Ok(Stretch { from, upto })
    }

    /// Forgoes free units that the seller would no longer serve once `tip` is paid.
    fn forget_late(&mut self, tip: u32) {
        let lowest = (tip + 1).saturating_sub(WINDOW);
        if self.free.as_slice().iter().all(|free| free.from >= lowest) {
            return;
        }
        let before = self.free_units();
        let mut all = self.free.as_slice().to_vec();
        all.iter_mut().for_each(|free| free.from = free.from.max(lowest));
        all.retain(|free| free.from <= free.upto);
        self.free = Bounded::new(all).unwrap_or_else(Bounded::empty);
        self.forgo(before.saturating_sub(self.free_units()));
    }

    /// Notes units to use again; where there are too many ranges already they are forgone.
    fn push_free(&mut self, stretch: Stretch) {
        let mut all = self.free.as_slice().to_vec();
        all.push(stretch);
        match Bounded::new(all) {
            Some(all) => self.free = all,
            None => self.forgo(stretch.count()),
        }
    }

    fn forgo(&mut self, units: u32) {
        if units > 0 {
            self.forgone = Some(self.forgone.unwrap_or(0).saturating_add(units));
        }
    }
}

/// An open session as its buyer holds it.
#[derive(Debug)]
pub struct Spender {
    state: SpenderState,
    pebbles: Pebbles,
    chain: ChainId,
}

/// Why a buyer cannot do what it is asked to. Nothing may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpendError {
    /// A payment of nothing, or of more than one payment may be.
    #[error("a payment is from 1 to {WINDOW} units")]
    Units,
    /// Not enough units left.
    #[error("the session has {left} units left: open another one")]
    UsedUp {
        /// How many are left.
        left: u32,
    },
    /// Too many payments open, or the oldest too far behind: the seller would find it too late.
    #[error("too many payments without an answer: send the oldest again, or the tip, first")]
    TooManyOpen,
    /// No payment with that index is open.
    #[error("no payment with that index is open")]
    NotOpen,
    /// The answer is not the seller's to that payment.
    #[error("the answer is not the seller's to this payment; the payment stands as it stood")]
    Forged,
    /// The seed is of another chain.
    #[error("this seed is of another session")]
    WrongSeed,
    /// A log is signed once for each unit, and not while payments in it are open.
    #[error("units were logged before, or payments among them are open")]
    Logged,
}

impl Spender {
    pub(crate) fn open(
        common: Common,
        authorisation: Signed<Authorisation>,
        realm: OrderId,
        key: SessionKey,
        pebbles: Pebbles,
    ) -> Self {
        let chain = common.chain();
        let state = SpenderState {
            common,
            authorisation,
            realm,
            key,
            next: 1,
            answered: 0,
            open: Bounded::empty(),
            free: Bounded::empty(),
            logged: 0,
            turn: 0,
            forgone: None,
        };
        Self { state, pebbles, chain }
    }

    /// A session taken up again after a restart, from what this buyer wrote down, never from what
    /// the seller claims. Payments without an answer are sent [`again`](Self::again).
    ///
    /// # Errors
    /// [`SpendError::WrongSeed`].
    pub fn resume(state: SpenderState, seed: [u8; SEED_BYTES]) -> Result<Self, SpendError> {
        let pebbles = Pebbles::new(&state.common.header, seed).filter(|chain| chain.root() == state.common.root);
        let pebbles = pebbles.ok_or(SpendError::WrongSeed)?;
        Ok(Self { chain: state.common.chain(), state, pebbles })
    }

    /// What must be written down before anything that a method returned is sent.
    #[must_use]
    pub const fn state(&self) -> &SpenderState {
        &self.state
    }

    /// The state to write down so that the next `ahead` units may be paid without writing again:
    /// they count as sent, and units that were given back, which may be used meanwhile, as spent. A
    /// crash then costs at most so many units, and those given back.
    #[must_use]
    pub fn state_ahead(&self, ahead: u32) -> SpenderState {
        let end = self.state.common.header.units.saturating_add(1);
        let next = self.state.next.saturating_add(ahead).min(end);
        SpenderState { next, free: Bounded::empty(), ..self.state.clone() }
    }

    /// The state to write down so that one payment of `units` may be made without writing again:
    /// exactly the units it takes count as sent.
    ///
    /// # Errors
    /// [`SpendError`], as for the payment itself.
    pub fn state_after(&self, units: u32) -> Result<SpenderState, SpendError> {
        let mut state = self.state.clone();
        state.take(units)?;
        Ok(state)
    }

    /// Pays `units` for an order (M-1; see [`micro_order`](crate::micro::micro_order)). No two
    /// payments share a unit, whatever order they arrive in. Units that the seller gave back are
    /// used first.
    ///
    /// # Errors
    /// [`SpendError`].
    pub fn pay(&mut self, units: u32, order: Digest) -> Result<Pay, SpendError> {
        let taken = self.state.take(units)?;
        let word = self.pebbles.word(taken.upto).ok_or(SpendError::UsedUp { left: 0 })?;
        let pay = self.state.key.pay(taken.upto, units, self.state.turn, word, order);
        self.push_open(pay.entry())?;
        Ok(pay)
    }

    /// The same payment once more, for the same units and order, so it is never paid twice.
    #[must_use]
    pub fn again(&mut self, index: u32) -> Option<Pay> {
        let LogEntry { index, units, order } = *self.find(index)?;
        Some(self.state.key.pay(index, units, self.state.turn, self.pebbles.word(index)?, order))
    }

    /// Payments without an answer, oldest first.
    #[must_use]
    pub fn unanswered(&self) -> &[LogEntry] {
        self.state.open.as_slice()
    }

    /// Takes the seller's answer (M-2): how many units it used. What it did not use is free again.
    ///
    /// # Errors
    /// [`SpendError::NotOpen`] or [`SpendError::Forged`].
    pub fn on_ack(&mut self, ack: &Ack) -> Result<u32, SpendError> {
        let entry = *self.find(ack.index).ok_or(SpendError::NotOpen)?;
        if !self.state.key.answers(&entry, ack) || ack.charged > entry.units {
            return Err(SpendError::Forged);
        }
        self.close(entry.index);
        self.state.answered = self.state.answered.max(entry.index);
        self.state.turn = self.state.turn.max(ack.turn);
        if ack.charged < entry.units {
            self.state.push_free(Stretch { from: entry.index - entry.units + ack.charged + 1, upto: entry.index });
        }
        Ok(ack.charged)
    }

    /// Takes a payment back whose word never left.
    ///
    /// # Errors
    /// [`SpendError::NotOpen`].
    pub fn cancel(&mut self, index: u32) -> Result<(), SpendError> {
        let entry = *self.find(index).ok_or(SpendError::NotOpen)?;
        self.close(index);
        self.state.push_free(Stretch { from: index - entry.units + 1, upto: index });
        Ok(())
    }

    /// Gives a payment up that was never answered: its units count as spent.
    ///
    /// # Errors
    /// [`SpendError::NotOpen`].
    pub fn give_up(&mut self, index: u32) -> Result<(), SpendError> {
        self.find(index).ok_or(SpendError::NotOpen)?;
        self.close(index);
        Ok(())
    }

    /// The money up to the highest unit whose word left, for no order: see [`Tip`]. `None` while
    /// nothing was paid.
    #[must_use]
    pub fn tip(&mut self) -> Option<Tip> {
        let index = self.state.next - 1;
        let index = index.min(self.state.answered.saturating_add(JUMP_MAX));
        Some(self.state.key.tip(index, self.pebbles.word(index)?))
    }

    /// Takes the seller's word on how much money it holds.
    ///
    /// # Errors
    /// [`SpendError::Forged`], also for more than ever left.
    pub fn on_seen(&mut self, seen: &Seen) -> Result<(), SpendError> {
        if self.state.key.seen(seen.index) != *seen || seen.index >= self.state.next {
            return Err(SpendError::Forged);
        }
        self.state.answered = self.state.answered.max(seen.index);
        Ok(())
    }

    /// Draws a coupon for somebody else to spend with the seller (a broker's prefetched form).
    /// Whether and when its holder spends it is the holder's affair: it is not open here.
    ///
    /// # Errors
    /// [`SpendError`].
    pub fn token(&mut self, units: u32, holder: Digest, expires: Time) -> Result<Token, SpendError> {
        let taken = self.state.take(units)?;
        let word = self.pebbles.word(taken.upto).ok_or(SpendError::UsedUp { left: 0 })?;
        let terms = TokenTerms { index: taken.upto, units, holder, expires };
        Ok(Token { terms, word, chain: self.chain, realm: self.state.realm, key: self.state.key.token_key(&terms) })
    }

    /// Signs what was bought with the units from the last log up to `through` (the paper leaves the
    /// micro-description disputable). `entries` are this buyer's own lines for them.
    ///
    /// # Errors
    /// [`SpendError::Logged`].
    pub fn sign_log(
        &mut self,
        signer: &SecretKey,
        network: NetworkId,
        through: u32,
        entries: &[LogEntry],
    ) -> Result<Signed<OrderLog>, SpendError> {
        let from = self.state.logged + 1;
        let ours = |entry: &LogEntry| entry.index >= from && entry.index <= through;
        let is_free = self.state.free.as_slice().iter().any(|free| free.from <= through);
        let is_open = self.unanswered().iter().any(|open| open.index - open.units < through);
        if through < from || through >= self.state.next || is_open || is_free || !entries.iter().all(ours) {
            return Err(SpendError::Logged);
        }
        self.state.logged = through;
        let log = OrderLog { chain: self.chain, from, through, digest: log_digest(self.chain, entries) };
        Ok(signer.sign(network, &log))
    }

    /// How many units could still be paid.
    #[must_use]
    pub fn left(&self) -> u32 {
        let fresh = (self.state.common.header.units + 1).saturating_sub(self.state.next);
        fresh.saturating_add(self.state.free_units())
    }

    /// The most that the seller can clear: every unit whose word may have left.
    #[must_use]
    pub const fn at_risk(&self) -> u32 {
        self.state.at_risk()
    }

    /// The chain.
    #[must_use]
    pub const fn chain(&self) -> ChainId {
        self.chain
    }

    /// What may be bought.
    #[must_use]
    pub const fn realm(&self) -> OrderId {
        self.state.realm
    }

    /// What one unit is worth.
    #[must_use]
    pub const fn unit(&self) -> Amount {
        self.state.common.header.unit
    }

    /// How many units the session has.
    #[must_use]
    pub const fn units(&self) -> u32 {
        self.state.common.header.units
    }

    /// When the session ends.
    #[must_use]
    pub const fn not_after(&self) -> Time {
        self.state.common.header.not_after
    }

    /// Who is paid.
    #[must_use]
    pub const fn seller(&self) -> Option<PeerId> {
        self.state.common.seller()
    }

    /// The bank's yes.
    #[must_use]
    pub const fn authorisation(&self) -> &Signed<Authorisation> {
        &self.state.authorisation
    }

    /// A payment of this buyer's own making that its rules would never make.
    #[cfg(test)]
    pub(crate) fn forge(&self, index: u32, units: u32, word: farthing_core::chain::Word, order: Digest) -> Pay {
        self.state.key.pay(index, units, self.state.turn, word, order)
    }

    fn find(&self, index: u32) -> Option<&LogEntry> {
        self.state.open.as_slice().iter().find(|open| open.index == index)
    }

    fn close(&mut self, index: u32) {
        let rest = self.state.open.as_slice().iter().filter(|open| open.index != index).copied().collect();
        self.state.open = Bounded::new(rest).unwrap_or_else(Bounded::empty);
    }

    fn push_open(&mut self, entry: LogEntry) -> Result<(), SpendError> {
        let mut all = self.state.open.as_slice().to_vec();
        all.push(entry);
        self.state.open = Bounded::new(all).ok_or(SpendError::TooManyOpen)?;
        Ok(())
    }
}
