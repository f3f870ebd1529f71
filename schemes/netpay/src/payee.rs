//! The payee: admits a visit, counts words, releases what was not used.

use farthing_core::amount::Amount;
use farthing_core::chain::{Payword, Tag, WordError};
use farthing_core::id::{ChainId, NetworkId, OrderId, PeerId};
use farthing_core::order::{PaymentRef, Receipt};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::{SecretKey, Signed, Verified};
use farthing_core::time::{Span, Time};

use crate::messages::{Claim, Freed, Pay, Previous, RESERVE_WIDTH_MAX, Release, Reserve, Touchstone, Visit};

/// What a payee insists on.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long a reserve must still run when a visit begins.
    pub margin: Span,
    /// The most it hashes to check the word below the first reserved unit. A payer further along
    /// its chain is asked to open a new one.
    pub anchor_max: u32,
    /// The longest a bank may keep an expired reserve claimable; shorter than this and the payee
    /// would have to hurry. Zero for no such wish.
    pub grace_min: Span,
}

impl Default for Terms {
    fn default() -> Self {
        Self { margin: Span::from_secs(600), anchor_max: 1 << 16, grace_min: Span::from_hours(1) }
    }
}

/// What a payee needs to know to admit a visit.
#[derive(Clone, Copy, Debug)]
pub struct Payee {
    /// Itself.
    pub me: PeerId,
    /// The network of its bank.
    pub network: NetworkId,
    /// Its bank, whose touchstones it believes.
    pub bank: PeerId,
    /// What it insists on.
    pub terms: Terms,
}

/// A visit in progress: a reserve is held, words are being counted.
#[derive(Clone, Debug)]
pub struct Counting {
    tag: Tag,
    tip: Payword,
    upto: u32,
    expires: Time,
    order: OrderId,
    visit: Box<Held>,
}

/// What a payee keeps of a visit besides the count: its proofs.
#[derive(Clone, Debug)]
struct Held {
    touchstone: Verified<Touchstone>,
    reserve: Verified<Reserve>,
    previous: Option<Previous>,
}

/// Why a payment is turned away; the visit stands as it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayError {
    /// The word is not good.
    #[error(transparent)]
    Word(#[from] WordError),
    /// The payment is for another order than the open one.
    #[error("the payment names another order than the one being served")]
    OtherOrder,
    /// The reserve has ended.
    #[error("the reserve has ended: begin a new visit with a new reserve")]
    Ended,
}

impl From<PayError> for Refusal {
    fn from(why: PayError) -> Self {
        let code = match why {
            PayError::Word(WordError::NotOnChain) => Code::Chain,
            PayError::Word(WordError::NotAboveTip { .. } | WordError::BeyondEnd { .. }) => Code::Range,
            PayError::Word(WordError::JumpTooFar) => Code::Limit,
            PayError::OtherOrder => Code::Order,
            PayError::Ended => Code::Expired,
        };
        Self::new(code, why.to_string())
    }
}

impl Payee {
    /// Admits a visit (NPP-3): touchstone, reserve and, where units are used again, the release
    /// that freed them. Everything cheap is checked before any signature, every signature before
    /// any hashing. Nothing is changed by a refusal.
    ///
    /// # Errors
    /// A [`Refusal`] that tells the payer what to mend.
    pub fn admit(&self, now: Time, order: OrderId, visit: Visit) -> Result<Counting, Refusal> {
        let claimed = visit.reserve.peek()?;
        let touchstone = self.check_touchstone(now, visit.touchstone)?;
        let reserve = self.check_reserve(now, order, touchstone.body(), visit.reserve)?;
        self.check_previous(touchstone.body(), reserve.body(), visit.previous.clone())?;
        let tag = Tag::new(&touchstone.body().header);
        let tip = self.anchor(&tag, touchstone.body(), claimed.from, visit.anchor)?;
        let (upto, expires) = (claimed.upto, claimed.expires);
        Ok(Counting {
            tag,
            tip,
            upto,
            expires,
            order,
            visit: Box::new(Held { touchstone, reserve, previous: visit.previous }),
        })
    }

    /// Takes up a visit from what this payee itself wrote down: what was admitted, and the tip it
    /// counted to. Signatures are checked again; how long the reserve still runs is not, since
    /// words already held stay good.
    ///
    /// # Errors
    /// A [`Refusal`]: the record is damaged.
    pub fn resume(&self, order: OrderId, visit: Visit, tip: Payword) -> Result<Counting, Refusal> {
        let touchstone = visit.touchstone.verify_by(self.network, self.bank)?;
        let reserve = visit.reserve.verify_by(self.network, touchstone.body().header.payer)?;
        let Reserve { from, upto, expires, .. } = *reserve.body();
        if tip.index().saturating_add(1) < from || tip.index() > upto {
            return Err(Refusal::new(Code::Range, "the tip lies outside the reserve"));
        }
        let tag = Tag::new(&touchstone.body().header);
        let held = Held { touchstone, reserve, previous: visit.previous };
        Ok(Counting { tag, tip, upto, expires, order, visit: Box::new(held) })
    }

    fn check_touchstone(&self, now: Time, signed: Signed<Touchstone>) -> Result<Verified<Touchstone>, Refusal> {
        let verified = signed.verify_by(self.network, self.bank)?;
        let touchstone = verified.body();
        if touchstone.header.chain_id(&touchstone.root) != touchstone.chain {
            return Err(Refusal::new(Code::Malformed, "the touchstone names another chain than it describes"));
        }
        if touchstone.header.not_after <= now.after(self.terms.margin) {
            return Err(Refusal::new(Code::Expired, "the chain ends too soon: pay from another one"));
        }
        if touchstone.grace < self.terms.grace_min {
            return Err(Refusal::new(Code::Policy, "the bank gives too little time to claim"));
        }
        Ok(verified)
    }

    fn check_reserve(
        &self,
        now: Time,
        order: OrderId,
        touchstone: &Touchstone,
        signed: Signed<Reserve>,
    ) -> Result<Verified<Reserve>, Refusal> {
        let verified = signed.verify_by(self.network, touchstone.header.payer)?;
        let reserve = verified.body();
        if reserve.payee != self.me {
            return Err(Refusal::new(Code::NotPayee, "the reserve is for another payee"));
        }
        check_range(touchstone, reserve)?;
        if reserve.order != order {
            return Err(Refusal::new(Code::Order, "the reserve is for another order"));
        }
        if reserve.expires <= now.after(self.terms.margin) {
            return Err(Refusal::new(Code::Expired, "the reserve ends too soon: sign one that runs longer"));
        }
        Ok(verified)
    }

    /// The release that frees these units must be the one the reserve names, for the chain, and end
    /// below its first unit. We keep it with the claim: it is the payer's defence and ours.
    fn check_previous(
        &self,
        touchstone: &Touchstone,
        reserve: &Reserve,
        previous: Option<Previous>,
    ) -> Result<(), Refusal> {
        let (digest, previous) = match (reserve.previous, previous) {
            (None, None) => return Ok(()),
            (Some(digest), Some(previous)) => (digest, previous),
            _ => return Err(Refusal::new(Code::Range, "the reserve and the release it names must come together")),
        };
        if previous.freed.digest() != digest {
            return Err(Refusal::new(Code::Range, "this is not the release that the reserve names"));
        }
        let earlier = previous.reserve.verify_by(self.network, touchstone.header.payer)?;
        let release = freed_by(self.network, self.bank, earlier.body().payee, previous.freed)?;
        let fits = release.chain == touchstone.chain
            && earlier.body().chain == touchstone.chain
            && release.reserve == earlier.digest()
            && release.through < reserve.from;
        if fits { Ok(()) } else { Err(Refusal::new(Code::Range, "the release does not free these units")) }
    }

    /// Hashes from the word below the first reserved unit down to the root that the bank signed;
    /// never from a word that an earlier payee quoted, for a colluding one could have forged it and
    /// we would never be paid.
    fn anchor(
        &self,
        tag: &Tag,
        touchstone: &Touchstone,
        from: u32,
        anchor: Option<farthing_core::chain::Word>,
    ) -> Result<Payword, Refusal> {
        let root = Payword::root(touchstone.root);
        match anchor {
            None if from == 1 => Ok(root),
            Some(word) if from > 1 => {
                if from - 1 > self.terms.anchor_max {
                    return Err(Refusal::new(Code::Limit, "too far along the chain: open a new one"));
                }
                root.anchor(tag, from - 1, word).map_err(|why| Refusal::new(Code::Chain, why.to_string()))
            }
            _ => Err(Refusal::new(Code::Malformed, "the word below the first unit must come with the reserve")),
        }
    }
}

/// Whether a reserve lies inside its chain and is no wider than allowed.
pub(crate) fn check_range(touchstone: &Touchstone, reserve: &Reserve) -> Result<(), Refusal> {
    if reserve.chain != touchstone.chain {
        return Err(Refusal::new(Code::Unknown, "the reserve is for another chain"));
    }
    if reserve.from == 0 || reserve.from > reserve.upto || reserve.upto > touchstone.header.units {
        return Err(Refusal::new(Code::Range, "the reserve does not lie inside the chain"));
    }
    if reserve.upto - reserve.from >= RESERVE_WIDTH_MAX {
        return Err(Refusal::new(Code::Limit, "the reserve covers too many units"));
    }
    if reserve.expires > touchstone.header.not_after {
        return Err(Refusal::new(Code::Expired, "the reserve would outlive its chain"));
    }
    Ok(())
}

/// Checks a release: signed by the payee of the reserve it ends, or by the bank.
pub(crate) fn freed_by(network: NetworkId, bank: PeerId, payee: PeerId, freed: Freed) -> Result<Release, Refusal> {
    Ok(match freed {
        Freed::Payee(signed) => signed.verify_by(network, payee)?.body().clone(),
        Freed::Bank(signed) => signed.verify_by(network, bank)?.body().release.clone(),
    })
}

impl Counting {
    /// Counts a payment (NPP-4): how many units it is worth. The caller makes the new count durable
    /// before it serves, and serves nothing on an error.
    ///
    /// # Errors
    /// [`PayError`]; the visit stands as it stood and nothing was lost.
    #[inline]
    pub fn on_pay(&mut self, now: Time, pay: &Pay) -> Result<u32, PayError> {
        if now >= self.expires {
            return Err(PayError::Ended);
        }
        if pay.order != self.order {
            return Err(PayError::OtherOrder);
        }
        let before = self.tip.index();
        self.tip = self.tip.advance(&self.tag, self.upto, pay.index, pay.word)?;
        Ok(pay.index - before)
    }

    /// Takes a further reserve of the same chain in the same visit, so that a long purchase needs
    /// no wide reserve. The word reached so far is the anchor.
    ///
    /// # Errors
    /// A [`Refusal`], together with the visit as it stood.
    pub fn extend(self, payee: &Payee, now: Time, reserve: Signed<Reserve>) -> Result<Self, Box<(Self, Refusal)>> {
        match self.check_extension(payee, now, reserve) {
            Err(why) => Err(Box::new((self, why))),
            Ok(reserve) => {
                let (upto, expires) = (reserve.body().upto, reserve.body().expires);
                Ok(Self { upto, expires, visit: Box::new(Held { reserve, previous: None, ..*self.visit }), ..self })
            }
        }
    }

    fn check_extension(
        &self,
        payee: &Payee,
        now: Time,
        reserve: Signed<Reserve>,
    ) -> Result<Verified<Reserve>, Refusal> {
        let verified = payee.check_reserve(now, self.order, self.visit.touchstone.body(), reserve)?;
        if self.tip.index() != self.upto || verified.body().from != self.upto + 1 || verified.body().previous.is_some()
        {
            return Err(Refusal::new(Code::Range, "a further reserve begins where the last one was used up"));
        }
        Ok(verified)
    }

    /// Turns to another order of the same payer in the same visit.
    pub const fn serve(&mut self, order: OrderId) {
        self.order = order;
    }

    /// The highest unit paid.
    #[must_use]
    pub const fn through(&self) -> u32 {
        self.tip.index()
    }

    /// The highest word held.
    #[must_use]
    pub const fn tip(&self) -> Payword {
        self.tip
    }

    /// The last unit reserved.
    #[must_use]
    pub const fn upto(&self) -> u32 {
        self.upto
    }

    /// The chain being counted.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.visit.touchstone.body().chain
    }

    /// What one unit is worth.
    #[must_use]
    pub fn unit(&self) -> Amount {
        self.visit.touchstone.body().header.unit
    }

    /// The payer's reserve.
    #[must_use]
    pub fn reserve(&self) -> &Verified<Reserve> {
        &self.visit.reserve
    }

    /// The bank's touchstone.
    #[must_use]
    pub fn touchstone(&self) -> &Verified<Touchstone> {
        &self.visit.touchstone
    }

    /// What to claim as the visit stands; `None` while nothing was paid under its reserve.
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        (self.tip.index() >= self.visit.reserve.body().from).then(|| Claim {
            reserve: self.visit.reserve.signed().clone(),
            release: None,
            previous: self.visit.previous.clone(),
            through: self.tip.index(),
            word: self.tip.word(),
        })
    }

    /// Ends the visit (NPP-6): releases what was not used. The caller stores the release with the
    /// claim before it sends it, and counts no further word under this reserve.
    #[must_use]
    pub fn release(&self, key: &SecretKey, network: NetworkId, now: Time) -> Signed<Release> {
        let release =
            Release { chain: self.chain(), reserve: self.visit.reserve.digest(), through: self.tip.index(), time: now };
        key.sign(network, &release)
    }

    /// A receipt for the units from `from` through the last one paid.
    ///
    /// # Errors
    /// When the amount is out of range, which no admitted chain makes it.
    pub fn receipt(&self, from: u32, now: Time) -> Result<Receipt, farthing_core::amount::AmountError> {
        let through = self.tip.index();
        let units = (through + 1).saturating_sub(from);
        Ok(Receipt {
            order: self.order,
            payment: PaymentRef { instrument: self.chain().0, from, through },
            amount: self.unit().checked_mul(units.into())?,
            payer: self.visit.touchstone.body().header.payer,
            time: now,
        })
    }
}
