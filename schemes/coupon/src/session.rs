//! The seller's side of a session: takes payments in any order, each unit once.
//!
//! A gateway serves many requests of one buyer at once, and they overtake each other. So two things
//! are kept apart that a simpler payee keeps as one. The *money* is the highest index seen, since
//! its word gives all those below. The *entitlement* is the set of units that were served, kept for
//! the last [`WINDOW`] units. A payment below the tip is served once and brings no new money; one
//! above it brings all the money in between.

// Strangers name these numbers.
#![warn(clippy::arithmetic_side_effects)]

use farthing_core::amount::Amount;
use farthing_core::chain::{Claimed, Header, Payword, Tag, Word, WordError, prove_many};
use farthing_core::id::{ChainId, OrderId};
use farthing_core::refusal::{Code, Money, Refusal, Remedy};
use farthing_core::time::Time;
use minicbor::{Decode, Encode};

use crate::change::Touched;
use crate::clearing::{ClearLine, ClearOutcome, Clearing};
use crate::micro::{Ack, LogEntry, Pay, Seen, SessionKey, Tip, TokenPay};
use crate::secret::{Digest, Secret};
use crate::window::Window;

pub use crate::change::{CHANGE_BYTES_MAX, SessionChange};
pub use crate::window::WINDOW;

/// The most bytes that an open session takes in memory, and written down.
pub const SESSION_BYTES_MAX: usize = 1_024;

const _: () = assert!(size_of::<Session>() <= SESSION_BYTES_MAX, "a session has outgrown its limit");

/// What a seller writes down of a session: enough to go on after a crash.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct SessionState {
    /// What the chain is bound to.
    #[n(0)]
    header: Header,
    /// Its root.
    #[n(1)]
    root: Word,
    /// What may be bought.
    #[n(2)]
    realm: OrderId,
    /// Known to the buyer and us.
    #[n(3)]
    key: SessionKey,
    /// `V′`.
    #[n(4)]
    opening: Secret,
    /// The highest word seen: the money.
    #[n(5)]
    tip: Payword,
    /// What was served: the entitlement.
    #[n(6)]
    window: Window,
    /// How often units were given back.
    #[n(7)]
    turn: u32,
    /// The highest unit the bank is known to have paid for.
    #[n(8)]
    cleared: u32,
    /// How many units were charged in all: those served, less those given back. Never more than the
    /// tip, since each unit is charged once. This is what is cleared.
    #[n(9)]
    charged: u32,
}

impl SessionState {
    /// Brings what was written down to where a later change says. False, and nothing changes, if
    /// the change is damaged.
    #[must_use]
    pub fn change(&mut self, change: &SessionChange) -> bool {
        let SessionChange { tip, turn, cleared, charged, window } = change;
        if !self.window.put(window) {
            return false;
        }
        (self.tip, self.turn, self.cleared, self.charged) = (*tip, *turn, *cleared, *charged);
        true
    }
}

/// An open session.
#[derive(Clone, Debug)]
pub struct Session {
    state: SessionState,
    chain: ChainId,
    tag: Tag,
    /// What was touched since it was written down.
    touched: Touched,
}

/// A payment that was taken: serve it, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// What to write into the log.
    pub entry: LogEntry,
    /// How many units of money it brought: more than its own if it overtook others, none if it was
    /// overtaken.
    pub fresh: u32,
}

/// Why a payment is turned away; the session stands as it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayError {
    /// The chain has ended.
    #[error("the session has ended: open another one; no money moved")]
    Ended,
    /// The units named do not exist.
    #[error("the units named lie outside the session's {units}; no money moved")]
    Range {
        /// How many the session has.
        units: u32,
    },
    /// Not made for this request in this session: forged, stolen, or turned to another request.
    #[error("the coupon was not made for this request in this session; no money moved")]
    Unbound,
    /// The payment is not what the request costs.
    #[error("the request costs {quoted} units: pay exactly that; no money moved")]
    Price {
        /// What it costs.
        quoted: u32,
    },
    /// Some of its units were served before. A repeat is answered from what was stored.
    #[error(
        "the coupon was used before: a repeat of the same request gets the same answer, another needs another coupon"
    )]
    Served {
        /// The payment's index, to look up what was stored.
        index: u32,
    },
    /// Some of its units were given back since it was made. Whoever made it makes another.
    #[error("units were given back since this coupon was made: make it again, knowing of {turn} times")]
    Stale {
        /// How often units were given back.
        turn: u32,
    },
    /// Overtaken by more than [`WINDOW`] units.
    #[error("the coupon comes too late: {WINDOW} later units were paid since; it was paid for, and is lost")]
    TooLate,
    /// The token has ended.
    #[error("the token has ended: ask the broker for another one")]
    TokenEnded,
    /// The word is not good.
    #[error(transparent)]
    Word(#[from] WordError),
}

impl From<PayError> for Refusal {
    fn from(why: PayError) -> Self {
        let code = match why {
            PayError::Ended | PayError::TokenEnded => Code::Expired,
            PayError::Range { .. } | PayError::TooLate => Code::Range,
            PayError::Unbound => Code::Order,
            PayError::Price { .. } => Code::Amount,
            PayError::Served { .. } => Code::Replay,
            PayError::Stale { .. } => Code::Sequence,
            PayError::Word(WordError::NotOnChain) => Code::Chain,
            PayError::Word(WordError::JumpTooFar) => Code::Limit,
            PayError::Word(WordError::NotAboveTip { .. } | WordError::BeyondEnd { .. }) => Code::Range,
        };
        let refusal = Self::new(code, why.to_string());
        match why {
            PayError::Ended | PayError::TokenEnded | PayError::Stale { .. } => refusal.remedy(Remedy::Mend),
            PayError::TooLate => refusal.money(Money::MovedBefore),
            _ => refusal,
        }
    }
}

impl Session {
    pub(crate) fn open(header: Header, root: Word, realm: OrderId, key: SessionKey, opening: Secret) -> Self {
        let (tip, window) = (Payword::root(root), Window::new());
        Self::resume(SessionState { header, root, realm, key, opening, tip, window, turn: 0, cleared: 0, charged: 0 })
    }

    /// A session taken up again, from what this seller itself wrote down.
    #[must_use]
    pub fn resume(state: SessionState) -> Self {
        let (chain, tag) = (state.header.chain_id(&state.root), Tag::new(&state.header));
        Self { chain, tag, state, touched: Touched::default() }
    }

    /// What must be written down before an accepted payment is served, here or in
    /// [parts](Self::take_change).
    #[must_use]
    pub const fn state(&self) -> &SessionState {
        &self.state
    }

    /// What changed since this was last called, to be written down beside what is there already.
    /// Whoever calls it writes it down, or never answers again.
    #[must_use]
    pub fn take_change(&mut self) -> SessionChange {
        let window = self.state.window.part(self.touched.take());
        // Named one by one, so that whatever is added to a session is thought of here.
        let SessionState { header: _, root: _, realm: _, key: _, opening: _, tip, window: _, turn, cleared, charged } =
            self.state;
        SessionChange { tip, turn, cleared, charged, window }
    }

    /// Takes a payment (M-1) for a request that costs `price` units, or refuses it. All of it
    /// happens in this one step: of many copies of a payment that arrive at once, one is accepted.
    ///
    /// Range before binding, binding before hashing: only who knows the session's key can make us
    /// hash, and never more than [`JUMP_MAX`](farthing_core::chain::JUMP_MAX) steps.
    ///
    /// # Errors
    /// [`PayError`]; the session stands as it stood.
    #[inline]
    pub fn accept(&mut self, now: Time, pay: &Pay, price: u32) -> Result<Accepted, PayError> {
        self.check_range(now, pay)?;
        if !self.state.key.binds(pay) {
            return Err(PayError::Unbound);
        }
        self.consume(pay, price)
    }

    /// Takes a token that a broker drew on this session and gave to its holder.
    ///
    /// # Errors
    /// [`PayError`]; the session stands as it stood.
    pub fn accept_token(&mut self, now: Time, token: &TokenPay, price: u32) -> Result<Accepted, PayError> {
        let pay = token.pay();
        self.check_range(now, &pay)?;
        if !self.state.key.token_key(&token.terms).binds(token) {
            return Err(PayError::Unbound);
        }
        if now >= token.terms.expires {
            return Err(PayError::TokenEnded);
        }
        self.consume(&pay, price)
    }

    fn check_range(&self, now: Time, pay: &Pay) -> Result<(), PayError> {
        if now >= self.state.header.not_after {
            return Err(PayError::Ended);
        }
        let units = self.state.header.units;
        let inside = pay.index <= units && (1..=WINDOW.min(pay.index)).contains(&pay.units);
        if inside { Ok(()) } else { Err(PayError::Range { units }) }
    }

    fn consume(&mut self, pay: &Pay, price: u32) -> Result<Accepted, PayError> {
        if pay.units != price {
            return Err(PayError::Price { quoted: price });
        }
        let (index, from, before) = (pay.index, pay.entry().first(), self.state.tip.index());
        if from.saturating_add(WINDOW) <= before {
            return Err(PayError::TooLate);
        }
        let mut known = from..=index.min(before);
        if known.clone().any(|unit| self.state.window.is_served(unit)) {
            return Err(PayError::Served { index });
        }
        let turn = self.state.turn;
        if pay.turn != turn && known.any(|unit| self.state.window.was_returned(unit)) {
            return Err(PayError::Stale { turn });
        }
        if index > before {
            self.state.tip = self.state.tip.advance(&self.tag, self.state.header.units, index, pay.word)?;
            self.enter(before, index);
        } else {
            let claimed = Claimed { tag: self.tag, known: self.state.tip, index, word: pay.word };
            prove_many(&[claimed]).pop().unwrap_or(Err(WordError::NotOnChain))?;
        }
        self.state.window.serve(from, index);
        self.touched.add(from, index);
        self.state.charged = self.state.charged.saturating_add(pay.units);
        Ok(Accepted { entry: pay.entry(), fresh: index.saturating_sub(before) })
    }

    /// The tip rose from one unit to another.
    fn enter(&mut self, before: u32, upto: u32) {
        let from = before.saturating_add(1);
        self.state.window.enter(from, upto);
        self.touched.add(from, upto);
    }

    /// Takes the money up to an index without serving anything for it. A repeat is answered alike.
    ///
    /// # Errors
    /// [`PayError`]; the session stands as it stood.
    pub fn on_tip(&mut self, now: Time, tip: &Tip) -> Result<Seen, PayError> {
        if now >= self.state.header.not_after {
            return Err(PayError::Ended);
        }
        if !self.state.key.brings(tip) {
            return Err(PayError::Unbound);
        }
        let before = self.state.tip.index();
        if tip.index > before {
            self.state.tip = self.state.tip.advance(&self.tag, self.state.header.units, tip.index, tip.word)?;
            self.enter(before, tip.index);
        }
        Ok(self.state.key.seen(self.state.tip.index()))
    }

    /// Whether a payment was made in this session, by who holds its key.
    pub(crate) fn made(&self, pay: &Pay) -> bool {
        self.state.key.binds(pay)
    }

    /// Gives units of an accepted payment back, because the request failed or cost less: only the
    /// lowest `charged` stay used, and the buyer may use the others for another request. What it does
    /// not use is never cleared. Called at most once for a payment, before its answer. A copy of the
    /// payment that somebody kept buys nothing with them: see [`Pay::turn`].
    pub fn give_back(&mut self, paid: &LogEntry, charged: u32) {
        if charged >= paid.units {
            return;
        }
        self.state.charged = self.state.charged.saturating_sub(paid.units.saturating_sub(charged));
        let lowest = self.state.tip.index().saturating_add(1).saturating_sub(WINDOW);
        let from = paid.first().saturating_add(charged).max(lowest);
        self.state.window.give_back(from, paid.index);
        self.touched.add(from, paid.index);
        self.state.turn = self.state.turn.saturating_add(1);
    }

    /// The answer to a payment (M-2): so much of it was used, for this response.
    #[must_use]
    pub fn ack(&self, paid: &LogEntry, charged: u32, response: Digest) -> Ack {
        self.state.key.ack(paid, charged.min(paid.units), self.state.turn, response)
    }

    /// The highest unit paid.
    #[must_use]
    pub const fn through(&self) -> u32 {
        self.state.tip.index()
    }

    /// Whether a unit was served, or is past being served.
    #[must_use]
    pub fn is_served(&self, unit: u32) -> bool {
        let tip = self.state.tip.index();
        unit <= tip && (unit.saturating_add(WINDOW) <= tip || self.state.window.is_served(unit))
    }

    /// How many units were charged in all.
    #[must_use]
    pub const fn charged(&self) -> u32 {
        self.state.charged
    }

    /// How many units the bank is known to have paid for.
    #[must_use]
    pub const fn cleared(&self) -> u32 {
        self.state.cleared
    }

    /// Units that were charged and not yet cleared.
    #[must_use]
    pub const fn uncleared(&self) -> u32 {
        self.state.charged.saturating_sub(self.state.cleared)
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
        self.state.header.unit
    }

    /// How many units the session has.
    #[must_use]
    pub const fn units(&self) -> u32 {
        self.state.header.units
    }

    /// When it ends.
    #[must_use]
    pub const fn not_after(&self) -> Time {
        self.state.header.not_after
    }

    /// The buyer's pseudonym.
    #[must_use]
    pub const fn buyer(&self) -> farthing_core::id::PeerId {
        self.state.header.payer
    }

    /// What to clear as the session stands (C-1); the caller signs one request for many of them.
    /// After a final one the caller takes no more payments: what was not spent goes back.
    ///
    /// As many units as were charged, whichever they were: all are worth the same, and the word of
    /// that many lies below the highest one held. So what a buyer reserved and did not use, or got
    /// back because a request failed, is never claimed.
    #[must_use]
    pub fn clearing(&self, is_final: bool) -> Clearing {
        self.clearing_without(0, is_final)
    }

    /// The same without so many units, of payments that are still being served: what those come to
    /// is not known yet, and a later clearing asks for it.
    #[must_use]
    pub fn clearing_without(&self, in_flight: u32, is_final: bool) -> Clearing {
        let through = self.state.charged.saturating_sub(in_flight).max(self.state.cleared);
        Clearing {
            chain: self.chain,
            through,
            word: self.state.tip.below(&self.tag, through).word(),
            opening: (self.state.cleared == 0).then(|| self.state.opening.clone()),
            is_final,
        }
    }

    /// Notes what the bank paid for (C-2). If that is less than was claimed, the next clearing asks
    /// for the rest.
    pub fn on_cleared(&mut self, line: &ClearLine) {
        if let ClearOutcome::Paid { through, .. } = line.outcome
            && line.chain == self.chain
        {
            self.state.cleared = self.state.cleared.max(through.min(self.state.charged));
        }
    }
}
