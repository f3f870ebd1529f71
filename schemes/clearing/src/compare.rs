//! The customer's side of a comparison of books (Kelsey and Schneier, §3.3).
//!
//! A comparison takes four messages; a long log goes in pages, and what is missing comes in pages,
//! so memory is bounded whatever the length. Each step is stored before its message leaves; one that
//! breaks off is begun again and loses nothing.

mod repair;
mod tell;

use farthing_core::audit::{AuditLog, Direction, Entry};
use farthing_core::id::OrderId;
use farthing_core::refusal::{Code, Fault, Money, Refusal, Remedy};
use farthing_core::replay::ReplayWindow;
use farthing_core::sign::SecretKey;
use farthing_core::time::Time;
use farthing_core::wire::{Bounded, Wire};
use rand_core::CryptoRng;

use crate::frame::{Frame, FrameKind, MessageId, drawn_nonce};
use crate::payer::Paid;
use crate::reconciliation::{Agreed, Challenge, Fetch, Fetched, Hello, Lines, PageAnswer, PageVerdict, Problem};
use crate::wallet::{Standing, Wallet};

/// Reads the wallet's stored entries: at most so many of a direction with numbers above `after`.
pub type Entries<'a> = &'a mut dyn FnMut(Direction, u64, usize) -> Vec<Entry>;

/// How much of the log to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// What followed the last agreement.
    SinceAgreed,
    /// All of it: names the entries where books differ.
    Whole,
}

/// A comparison under way.
#[derive(Debug)]
pub struct Comparison {
    extent: Extent,
    /// The last message sent: what the next answer must name.
    sent: MessageId,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// KSR-1 went out.
    Asked,
    /// A page went out: so many entries of each direction are told.
    Telling { outgoing: u64, incoming: u64 },
    /// The books agree; lines are still missing.
    Fetching { agreed: Box<Agreed>, about: MessageId, outgoing: u64, incoming: u64 },
}

/// A line that the bank had and the wallet lacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repaired {
    /// To store with the log.
    pub entry: Entry,
    /// What was paid for: money that came in pays this order.
    pub order: OrderId,
}

/// What a step gave. Store the wallet and the repaired entries before anything else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// In order.
    pub repaired: Vec<Repaired>,
    /// What comes now.
    pub next: Next,
}

/// What comes after a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// Send this to the bank.
    Send(Vec<u8>),
    /// The books agree and nothing is missing.
    Agreed(Option<Fate>),
    /// They do not: each problem says what to do next.
    Disputed(Vec<Problem>),
}

/// What became of the request that was pending.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The money moved. Where the bank still has its answer, the ticket can be brought to the
    /// payee; otherwise the payee learns of it when it compares books.
    Paid(Option<Box<Paid>>),
    /// It did not, and never will by that request.
    NotPaid,
}

impl Wallet {
    /// KSR-1. Nothing is paid until it has ended well.
    pub fn compare(&mut self, now: Time, extent: Extent, rng: &mut dyn CryptoRng) -> (Comparison, Vec<u8>) {
        self.standing = Standing::MustReconcile;
        let mut random = [0; 16];
        rng.fill_bytes(&mut random);
        let frame = self.frame(FrameKind::Hello, &Hello { random, next: self.next, time: now }, rng);
        (Comparison { extent, sent: MessageId::of(&frame), phase: Phase::Asked }, frame)
    }

    /// Forgets its log for the bank's. For a dispute that the operator has settled in the bank's
    /// favour; the caller forgets the entries, and the next comparison brings them all.
    pub fn adopt(&mut self) {
        self.log = AuditLog::new(self.me);
        self.window = ReplayWindow::default();
        self.early = Bounded::empty();
        self.standing = Standing::MustReconcile;
    }

    fn frame<T: Wire>(&self, kind: FrameKind, content: &T, rng: &mut dyn CryptoRng) -> Vec<u8> {
        Frame::seal(self.network, kind, self.me, &self.key, drawn_nonce(rng), content)
    }

    fn opened<T: Wire>(&self, kind: FrameKind, bytes: &[u8]) -> Result<T, Refusal> {
        Frame::read(bytes, kind)?.open(self.network, self.me, &self.key)
    }
}

impl Comparison {
    #[cfg(test)]
    pub(crate) const fn sent(&self) -> MessageId {
        self.sent
    }

    /// The bank's next message, and what to answer. `signer` signs the log, for wallets that sign.
    ///
    /// # Errors
    /// A [`Refusal`] of bytes that do not answer what was sent last, or where the wallet's own
    /// entries are gone. Nothing changed; begin again.
    pub fn step(
        &mut self,
        wallet: &mut Wallet,
        bytes: &[u8],
        entries: Entries<'_>,
        signer: Option<&SecretKey>,
        rng: &mut dyn CryptoRng,
    ) -> Result<Progress, Refusal> {
        match &self.phase {
            Phase::Asked => {
                let challenge: Challenge = wallet.opened(FrameKind::Challenge, bytes)?;
                self.fits(challenge.answers)?;
                // The paper: S_A = max(S_A, S*_A) + 1. The bank does the same, and says it again.
                wallet.next = wallet.next.max(challenge.next).saturating_add(1);
                let start = self.start(wallet, &challenge.agreed);
                let at = (start.outgoing.n, start.incoming.n);
                self.tell(wallet, MessageId::of(bytes), Some(start), at, entries, signer, rng)
            }
            Phase::Telling { outgoing, incoming } => {
                let at = (*outgoing, *incoming);
                let answer: PageAnswer = wallet.opened(FrameKind::PageAnswer, bytes)?;
                self.fits(answer.answers)?;
                match answer.verdict {
                    PageVerdict::Next => self.tell(wallet, MessageId::of(bytes), None, at, entries, signer, rng),
                    PageVerdict::Agreed(agreed) => {
                        let lines = agreed.missing.clone();
                        self.repair(wallet, Box::new(agreed), MessageId::of(bytes), at, lines, rng)
                    }
                    PageVerdict::Disputed(disputed) => {
                        wallet.next = disputed.next;
                        let problems = disputed.problems.into_vec();
                        Ok(Progress { repaired: Vec::new(), next: Next::Disputed(problems) })
                    }
                }
            }
            Phase::Fetching { agreed, about, outgoing, incoming } => {
                let (agreed, about, at) = (agreed.clone(), *about, (*outgoing, *incoming));
                let fetched: Fetched = wallet.opened(FrameKind::Lines, bytes)?;
                self.fits(fetched.answers)?;
                self.repair(wallet, agreed, about, at, fetched.lines, rng)
            }
        }
    }

    fn fits(&self, answers: MessageId) -> Result<(), Refusal> {
        if answers == self.sent {
            return Ok(());
        }
        Err(Refusal::new(Code::Replay, "this answers another message; wait, or begin the comparison again")
            .money(Money::Unmoved)
            .remedy(Remedy::Again))
    }

    /// KSR-4a, and what follows it: appends what was missing.
    fn repair(
        &mut self,
        wallet: &mut Wallet,
        agreed: Box<Agreed>,
        about: MessageId,
        at: (u64, u64),
        lines: Lines,
        rng: &mut dyn CryptoRng,
    ) -> Result<Progress, Refusal> {
        let (outgoing, incoming) = (lines.outgoing.into_vec(), lines.incoming.into_vec());
        let had = (at.0 + outgoing.len() as u64, at.1 + incoming.len() as u64);
        let goal = (agreed.log.outgoing.n, agreed.log.incoming.n);
        if had.0 > goal.0 || had.1 > goal.1 || (had == at && had != goal) {
            return Err(unbelievable());
        }
        let mut mended = wallet.clone();
        (mended.next, mended.epoch) = (agreed.next, agreed.epoch);
        mended.balances = agreed.balances.clone();
        let mut repaired = mended.take_lines(at.0, &outgoing, Direction::Out)?;
        repaired.extend(mended.take_lines(at.1, &incoming, Direction::In)?);
        if had != goal {
            let fetch = Fetch { answers: about, outgoing: had.0, incoming: had.1 };
            let frame = mended.frame(FrameKind::Fetch, &fetch, rng);
            *wallet = mended;
            self.sent = MessageId::of(&frame);
            self.phase = Phase::Fetching { agreed, about, outgoing: had.0, incoming: had.1 };
            return Ok(Progress { repaired, next: Next::Send(frame) });
        }
        // Receipts may have come since: then the next payment's commitment says whether all fits.
        let same = mended.log.outgoing == agreed.log.outgoing
            && (mended.log.incoming.n > agreed.log.incoming.n || mended.log.incoming == agreed.log.incoming);
        if !same {
            return Err(unbelievable());
        }
        let fate = mended.fate(agreed.outcome.as_deref())?;
        mended.pending = None;
        mended.standing = Standing::Ready;
        *wallet = mended;
        Ok(Progress { repaired, next: Next::Agreed(fate) })
    }
}

fn unbelievable() -> Refusal {
    Refusal::new(Code::Conflict, "the bank contradicts itself: keep everything and talk to the operator")
        .blame(Fault::Third)
        .money(Money::Unknown)
}
