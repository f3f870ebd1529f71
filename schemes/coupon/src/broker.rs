//! The broker (the paper's §5, Figure 3): buys from every seller and sells to every buyer, so that
//! strangers need no session of their own.
//!
//! A buyer's coupon is bound to a [`Want`]: this much of this seller for this request. The broker
//! checks it, and in the same step draws a coupon on its own session with the seller. What it drew is
//! remembered under the buyer's coupon, so a repeat gives the same one and never a second. It is
//! sent to the seller at once, given to the buyer as a token for later, or withheld until the seller
//! has shown the goods. Nobody can lose more than the one coupon in question, and the broker none:
//! it never draws before it was paid.

mod job;

use std::collections::BTreeMap;

use farthing_core::evidence::{Evidence, EvidenceKind, StatementBytes, Verdict};
use farthing_core::id::{ChainId, NetworkId, PeerId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::Time;
use farthing_core::wire::{self, Bounded};

use crate::exchange::{Goods, product_digest};
use crate::micro::{Ack, Pay, micro_order};
use crate::secret::Digest;
use crate::session::{PayError, Session, WINDOW};
use crate::spender::{SpendError, Spender};
use crate::verdict;

pub use job::{Drawn, Form, Job, Translated, Want};

/// The most coupons that the broker remembers translations of.
pub const JOBS_MAX: usize = 1 << 20;

/// Names a translation: the buyer's chain and the index of the coupon.
pub type JobName = (ChainId, u32);

/// The broker. What it keeps, it keeps in rows: a session for each buyer, a spender for each seller,
/// a job for each coupon translated. A method changes at most one of each; all three are written
/// down in one transaction before anything is sent.
#[derive(Debug)]
pub struct Broker {
    key: SecretKey,
    network: NetworkId,
    /// What a translation costs, in the buyer's units.
    fee: u32,
    buyers: BTreeMap<ChainId, Session>,
    sellers: BTreeMap<PeerId, Spender>,
    jobs: BTreeMap<JobName, Job>,
}

/// Why the broker does not translate a coupon. Nothing changed, and the coupon is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// No session with this buyer.
    #[error("the broker has no session on this chain")]
    NoBuyer,
    /// No session with this seller, or none left.
    #[error("the broker has no session with this seller")]
    NoSeller,
    /// Other currencies, or a price out of range.
    #[error("the price cannot be given in the buyer's units")]
    Price,
    /// The coupon was made for something else than what is wanted.
    #[error("the coupon was not made for this")]
    OtherWant,
    /// No such coupon was translated, or it is past that.
    #[error("no translation of that coupon waits for this")]
    NoJob,
    /// Too much to remember.
    #[error("the broker is busy: try again later with the same coupon")]
    Busy,
    /// The buyer's coupon is not good.
    #[error(transparent)]
    Pay(#[from] PayError),
    /// The broker's own session does not give one.
    #[error("the broker cannot pay the seller: {0}")]
    Spend(#[from] SpendError),
}

impl From<BrokerError> for Refusal {
    fn from(why: BrokerError) -> Self {
        let code = match why {
            BrokerError::Pay(why) => return why.into(),
            BrokerError::NoBuyer | BrokerError::NoSeller | BrokerError::NoJob => Code::Unknown,
            BrokerError::Price => Code::Amount,
            BrokerError::OtherWant => Code::Order,
            BrokerError::Busy | BrokerError::Spend(_) => Code::Rate,
        };
        Self::new(code, why.to_string())
    }
}

/// What came of goods shown to the broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Exchanged {
    /// They are what was ordered: the coupon goes to the seller, the goods with their key to the
    /// buyer.
    Fair {
        /// For the seller.
        pay: Box<Pay>,
        /// For the buyer.
        goods: Box<Goods>,
        /// For the buyer, with the goods: its coupon is used up.
        ack: Ack,
    },
    /// They are not: the seller gets nothing, the buyer may use its coupon again.
    Off {
        /// For the buyer.
        ack: Ack,
        /// Why.
        why: Refusal,
        /// Against the seller, where its own promise convicts it.
        evidence: Option<Box<Evidence>>,
    },
}

impl Broker {
    /// A broker, from its rows; none of them the first time.
    #[must_use]
    pub fn new(
        key: SecretKey,
        network: NetworkId,
        fee: u32,
        buyers: Vec<Session>,
        sellers: Vec<Spender>,
        jobs: Vec<(JobName, Job)>,
    ) -> Self {
        let buyers = buyers.into_iter().map(|session| (session.chain(), session)).collect();
        let sellers = sellers.into_iter().filter_map(|spender| Some((spender.seller()?, spender))).collect();
        Self { key, network, fee, buyers, sellers, jobs: jobs.into_iter().collect() }
    }

    /// Takes a new buyer, or a further session of one.
    pub fn add_buyer(&mut self, session: Session) {
        self.buyers.insert(session.chain(), session);
    }

    /// Takes a new seller, or a further session with one.
    pub fn add_seller(&mut self, spender: Spender) {
        if let Some(seller) = spender.seller() {
            self.sellers.insert(seller, spender);
        }
    }

    /// The session with a buyer: to write down, and to clear.
    #[must_use]
    pub fn buyer(&self, chain: ChainId) -> Option<&Session> {
        self.buyers.get(&chain)
    }

    /// All sessions with buyers: to clear.
    pub fn buyers(&self) -> impl Iterator<Item = &Session> {
        self.buyers.values()
    }

    /// Lets go of a buyer's session that was cleared for the last time, and of its translations.
    pub fn remove_buyer(&mut self, chain: ChainId) {
        self.buyers.remove(&chain);
        let jobs: Vec<JobName> = self.jobs.range((chain, 0)..=(chain, u32::MAX)).map(|(name, _)| *name).collect();
        for name in jobs {
            self.jobs.remove(&name);
        }
    }

    /// The session with a seller: to write down.
    #[must_use]
    pub fn seller(&self, seller: PeerId) -> Option<&Spender> {
        self.sellers.get(&seller)
    }

    /// What became of a coupon: to write down.
    #[must_use]
    pub fn job(&self, name: JobName) -> Option<&Job> {
        self.jobs.get(&name)
    }

    /// What `units` of a seller cost a buyer, in the buyer's units.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn quote(&self, buyer: ChainId, seller: PeerId, units: u32) -> Result<u32, BrokerError> {
        let session = self.buyers.get(&buyer).ok_or(BrokerError::NoBuyer)?;
        let spender = self.sellers.get(&seller).ok_or(BrokerError::NoSeller)?;
        self.price(session, spender, units)
    }

    fn price(&self, session: &Session, spender: &Spender, units: u32) -> Result<u32, BrokerError> {
        let price = spender.unit().checked_mul(units.into()).map_err(|_| BrokerError::Price)?;
        let price = price.units_of(session.unit()).and_then(|units| u32::try_from(units).ok());
        price.and_then(|price| price.checked_add(self.fee)).ok_or(BrokerError::Price)
    }

    /// Translates a buyer's coupon (BT-1) into one of the seller's. The same coupon once more gives
    /// what it gave the first time.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn translate(&mut self, now: Time, buyer: ChainId, pay: &Pay, want: &Want) -> Result<Drawn, BrokerError> {
        let session = self.buyers.get(&buyer).ok_or(BrokerError::NoBuyer)?;
        if pay.order != want.order(session.realm()) {
            return Err(BrokerError::OtherWant);
        }
        if let Some(job) = self.repeated(buyer, pay) {
            return Ok(job.drawn.clone());
        }
        if self.jobs.len() >= JOBS_MAX {
            return Err(BrokerError::Busy);
        }
        let spender = self.sellers.get(&want.seller).ok_or(BrokerError::NoSeller)?;
        let price = self.price(session, spender, want.units)?;
        let mut paid = session.clone();
        let accepted = paid.accept(now, pay, price)?;
        let spender = self.sellers.get_mut(&want.seller).ok_or(BrokerError::NoSeller)?;
        let order = micro_order(spender.realm(), &want.request);
        let drawn = match want.form {
            Form::Serial => Drawn::Forward(spender.pay(want.units, order)?),
            Form::Prefetch { holder, expires } => Drawn::Token(spender.token(want.units, holder, expires)?),
            Form::Exchange { .. } => Drawn::Withheld(spender.pay(want.units, order)?),
        };
        let job = Job { paid: accepted.entry, turn: pay.turn, want: *want, drawn: drawn.clone() };
        self.forget_before(buyer, paid.through());
        self.buyers.insert(buyer, paid);
        self.jobs.insert((buyer, pay.index), job);
        Ok(drawn)
    }

    /// The translation that a coupon is a repeat of, if it is one. Whoever sends it again may know by
    /// now that units of other coupons were given back; only where its own were, is it another payment.
    #[must_use]
    pub fn repeated(&self, buyer: ChainId, pay: &Pay) -> Option<&Job> {
        let session = self.buyers.get(&buyer)?;
        let job = self.jobs.get(&(buyer, pay.index))?;
        (job.paid == pay.entry() && !job.is_past(pay.turn) && session.made(pay)).then_some(job)
    }

    /// Takes the seller's answer (BT-3) and makes the buyer's (BT-4). What the seller did not use is
    /// the broker's to use again, and the buyer's in turn.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn on_ack(&mut self, name: JobName, ack: &Ack) -> Result<Ack, BrokerError> {
        let job = self.jobs.get(&name).ok_or(BrokerError::NoJob)?;
        match job.drawn {
            Drawn::Done(done) => return Ok(done),
            Drawn::Forward(_) => {}
            Drawn::Token(_) | Drawn::Withheld(_) => return Err(BrokerError::NoJob),
        }
        let (want, paid) = (job.want, job.paid);
        let charged = self.sellers.get_mut(&want.seller).ok_or(BrokerError::NoSeller)?.on_ack(ack)?;
        let price = if charged == 0 { 0 } else { self.quote(name.0, want.seller, charged)? };
        self.finish(name, price.min(paid.units), ack.response)
    }

    /// The seller says that a coupon was used, and gives its word on no part of it: it is given up, and
    /// so is the buyer's.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn on_used(&mut self, name: JobName) -> Result<Ack, BrokerError> {
        let job = self.jobs.get(&name).ok_or(BrokerError::NoJob)?;
        let (seller, paid) = (job.want.seller, job.paid);
        let pay = match job.drawn {
            Drawn::Done(done) => return Ok(done),
            Drawn::Forward(pay) => pay,
            Drawn::Token(_) | Drawn::Withheld(_) => return Err(BrokerError::NoJob),
        };
        // In a session that was replaced nothing is open any more.
        if self.drew(seller, &pay)
            && let Some(spender) = self.sellers.get_mut(&seller)
        {
            spender.give_up(pay.index)?;
        }
        self.finish(name, paid.units, Digest([0; 32]))
    }

    /// Takes the goods that the seller shows for a withheld coupon, and lets go of both sides in one
    /// step, or of neither.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn on_goods(&mut self, now: Time, name: JobName, goods: Goods) -> Result<Exchanged, BrokerError> {
        let job = self.jobs.get_mut(&name).ok_or(BrokerError::NoJob)?;
        let (Drawn::Withheld(pay), Form::Exchange { product }) = (&job.drawn, job.want.form) else {
            return Err(BrokerError::NoJob);
        };
        let pay = *pay;
        let session = self.buyers.get(&name.0).ok_or(BrokerError::NoBuyer)?;
        match goods.open(self.network, job.want.seller, now, pay.order, product) {
            Ok(product) => {
                job.drawn = Drawn::Forward(pay);
                let ack = session.ack(&job.paid, job.paid.units, product_digest(&product));
                Ok(Exchanged::Fair { pay: Box::new(pay), goods: Box::new(goods), ack })
            }
            Err(why) => {
                let accused = job.want.seller;
                let broken = verdict::broken_promise(self.network, &goods) == Verdict::Guilty(accused);
                let statements = Bounded::new(vec![StatementBytes(wire::encode(&goods))]);
                let evidence = statements
                    .filter(|_| broken)
                    .map(|statements| Box::new(Evidence { kind: EvidenceKind::BrokenPromise, accused, statements }));
                Ok(Exchanged::Off { ack: self.call_off(name)?, why, evidence })
            }
        }
    }

    /// Calls an exchange off whose goods never came: the seller's coupon never left, and the buyer's
    /// is good again.
    ///
    /// # Errors
    /// [`BrokerError::NoJob`] where the coupon has left.
    pub fn call_off(&mut self, name: JobName) -> Result<Ack, BrokerError> {
        let job = self.jobs.get(&name).ok_or(BrokerError::NoJob)?;
        let Drawn::Withheld(pay) = job.drawn else { return Err(BrokerError::NoJob) };
        let seller = job.want.seller;
        // Of a session that was replaced nothing is cancelled: its rest comes back when it ends.
        if self.drew(seller, &pay)
            && let Some(spender) = self.sellers.get_mut(&seller)
        {
            spender.cancel(pay.index)?;
        }
        self.finish(name, 0, Digest([0; 32]))
    }

    /// Whether a payment was drawn on the session there is with a seller now, and has no answer.
    pub fn drew(&mut self, seller: PeerId, pay: &Pay) -> bool {
        let again = self.sellers.get_mut(&seller).and_then(|spender| spender.again(pay.index));
        again.is_some_and(|again| again.entry() == pay.entry() && again.word == pay.word)
    }

    /// Exchanges that are not over: to go on with after a restart, or where a seller did not answer.
    pub fn open_exchanges(&self) -> impl Iterator<Item = (JobName, &Job)> {
        self.jobs.iter().filter(|(_, job)| job.is_open_exchange()).map(|(name, job)| (*name, job))
    }

    /// Whether a coupon of this buyer's waits for goods. Until then it is not the broker's to clear.
    #[must_use]
    pub fn withholds(&self, buyer: ChainId) -> bool {
        self.jobs.range((buyer, 0)..=(buyer, u32::MAX)).any(|(_, job)| job.is_withheld())
    }

    /// Signs that a coupon was taken and for what. A buyer that got nothing keeps it; a broker whose
    /// receipts pile up loses its name.
    ///
    /// # Errors
    /// [`BrokerError::NoJob`].
    pub fn receipt(&self, name: JobName, now: Time) -> Result<Signed<Translated>, BrokerError> {
        let job = self.jobs.get(&name).ok_or(BrokerError::NoJob)?;
        let said = Translated { chain: name.0, paid: job.paid, seller: job.want.seller, time: now };
        Ok(self.key.sign(self.network, &said))
    }

    fn finish(&mut self, name: JobName, charged: u32, response: Digest) -> Result<Ack, BrokerError> {
        let session = self.buyers.get_mut(&name.0).ok_or(BrokerError::NoBuyer)?;
        let job = self.jobs.get_mut(&name).ok_or(BrokerError::NoJob)?;
        session.give_back(&job.paid, charged);
        let ack = session.ack(&job.paid, charged, response);
        job.drawn = Drawn::Done(ack);
        Ok(ack)
    }

    /// Forgets finished translations whose coupons the buyer's session refuses as too late anyway.
    fn forget_before(&mut self, buyer: ChainId, through: u32) {
        let late = through.saturating_sub(2 * WINDOW);
        let jobs = self.jobs.range((buyer, 0)..(buyer, late));
        let old: Vec<JobName> = jobs.filter(|(_, job)| !job.is_open_exchange()).map(|(name, _)| *name).collect();
        for name in old {
            self.jobs.remove(&name);
        }
    }
}
