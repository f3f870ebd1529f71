//! What is said when books are compared (KSR-1 to KSR-4), by the customer and by the bank.

use farthing_core::amount::Amount;
use farthing_core::audit::{AuditLog, Direction, Entry, Event};
use farthing_core::id::{OrderId, PeerId};
use farthing_core::sign::{Signed, Statement};
use farthing_core::time::Time;
use farthing_core::wire::Bounded;
use minicbor::{Decode, Encode};

use crate::frame::MessageId;
use crate::messages::TransferRequest;

/// The most entries of a log in one page, both directions together.
pub const LOG_PAGE_MAX: usize = 1_024;

/// The most missing lines told at once, both directions together.
pub const LINES_MAX: usize = 1_024;

/// The most differences that are named; a log with more is no less disputed.
pub const PROBLEMS_MAX: usize = 64;

/// How far ahead of the bank's a customer's number may be when books are compared; beyond, the
/// bank's counts. So nobody can drive its own number to the end of all numbers.
pub const AHEAD_MAX: u64 = 1 << 20;

/// The most currencies whose balances are told.
pub const CURRENCIES_MAX: usize = 16;

/// KSR-1, customer to bank.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Hello {
    /// `R_0`, which the paper makes and forgets to send.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub random: [u8; 16],
    /// `S_A`: the number that the customer would use next.
    #[n(1)]
    pub next: u64,
    /// When. Later than any such message before, so that an old one, replayed, interrupts nothing.
    #[n(2)]
    pub time: Time,
}

/// KSR-2, bank to customer.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Challenge {
    /// `hash(M0)`.
    #[n(0)]
    pub answers: MessageId,
    /// `S*_A`: the number that the bank expects next.
    #[n(1)]
    pub next: u64,
    /// How far both agreed the last time. Who still holds that much need only send what follows.
    #[n(2)]
    pub agreed: AuditLog,
}

/// KSR-3, customer to bank: the log, in pages that each name the message they answer.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Page {
    /// `hash(M1)`, or that of the answer to the page before.
    #[n(0)]
    pub answers: MessageId,
    /// On the first page: the state of the log that the entries follow.
    #[n(1)]
    pub start: Option<AuditLog>,
    /// Entries of payments made, in order.
    #[n(2)]
    pub outgoing: Bounded<Entry, LOG_PAGE_MAX>,
    /// Entries of payments received, in order.
    #[n(3)]
    pub incoming: Bounded<Entry, LOG_PAGE_MAX>,
    /// On the last page: where the log ends, and what is unresolved.
    #[n(4)]
    pub closing: Option<Closing>,
}

/// The end of KSR-3.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Closing {
    /// The log as the customer has it.
    #[n(0)]
    pub log: AuditLog,
    /// A request to transfer whose answer never came.
    #[n(1)]
    pub pending: Option<MessageId>,
    /// The same log signed, where the customer signs.
    #[n(2)]
    pub signed: Option<Signed<LogStatement>>,
}

/// A log as its owner vouches for it, within one epoch: it can only have grown since.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct LogStatement {
    /// Which copy of the wallet speaks.
    #[n(0)]
    pub epoch: u64,
    /// Its log.
    #[n(1)]
    pub log: AuditLog,
}

impl Statement for LogStatement {
    const KIND: u16 = 0x0504;
}

/// KSR-4, bank to customer, and what it says between pages. Each outcome ends with a sequence
/// number that both use from then on; the paper gives one only where all is well.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PageAnswer {
    /// `hash(M2)`: the page it answers.
    #[n(0)]
    pub answers: MessageId,
    /// What comes of it.
    #[n(1)]
    pub verdict: PageVerdict,
}

/// What comes of a page.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum PageVerdict {
    /// The next page, please.
    #[n(0)]
    Next,
    /// KSR-4a: the books agree.
    #[n(1)]
    Agreed(#[n(0)] Agreed),
    /// KSR-4b: they do not.
    #[n(2)]
    Disputed(#[n(0)] Disputed),
}

/// KSR-4a.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Agreed {
    /// The number that both use next.
    #[n(0)]
    pub next: u64,
    /// The epoch of the copy that has just agreed; every other copy is out.
    #[n(1)]
    pub epoch: u64,
    /// The customer's log as the bank has it: where the missing lines lead.
    #[n(2)]
    pub log: AuditLog,
    /// What the customer has, in each currency.
    #[n(3)]
    pub balances: Bounded<Amount, CURRENCIES_MAX>,
    /// The answer to the unresolved request, where there is one. Where there is none, and it is
    /// not among the missing lines, it was never carried out and never will be.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub outcome: Option<Vec<u8>>,
    /// The first of the lines that the customer lacks.
    #[n(5)]
    pub missing: Lines,
}

/// KSR-4b. The account stays shut; the money on it is not touched.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Disputed {
    /// The number that both use next.
    #[n(0)]
    pub next: u64,
    /// What does not fit.
    #[n(1)]
    pub problems: Bounded<Problem, PROBLEMS_MAX>,
}

/// One thing that does not fit, and what to do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, thiserror::Error)]
pub enum Problem {
    /// The customer has an entry that the bank does not have.
    #[n(0)]
    #[error("entry {t} ({direction:?}) is not in the bank's books: show the operator the bank's receipt for it")]
    NotAtBank {
        /// Which sub-chain.
        #[n(0)]
        direction: Direction,
        /// Its number there.
        #[n(1)]
        t: u64,
    },
    /// Both have an entry of that number, and they differ.
    #[n(1)]
    #[error("entry {t} ({direction:?}) is another one at the bank: show the operator the bank's receipt for it")]
    Differs {
        /// Which sub-chain.
        #[n(0)]
        direction: Direction,
        /// Its number there.
        #[n(1)]
        t: u64,
    },
    /// The log does not begin or end where its entries say.
    #[n(2)]
    #[error("the log does not begin or end where its entries say: it was altered; restore it, then ask the operator")]
    Heads,
    /// The operator has not settled an earlier dispute yet.
    #[n(3)]
    #[error("an earlier dispute is not settled: ask the operator")]
    Open,
}

/// A line that the customer lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Line {
    /// The authorisation.
    #[n(0)]
    pub auth: MessageId,
    /// The other party.
    #[n(1)]
    pub peer: PeerId,
    /// How much.
    #[n(2)]
    pub amount: Amount,
    /// What for.
    #[n(3)]
    pub order: OrderId,
}

impl Line {
    /// The line as an entry of a log.
    #[must_use]
    pub const fn entry(&self, t: u64, direction: Direction) -> Entry {
        let Self { auth, peer, amount, .. } = *self;
        Entry { t, kind: TransferRequest::KIND, reference: auth.0, peer, amount, direction }
    }

    /// The line as something to append to a log.
    #[must_use]
    pub const fn event(&self, direction: Direction) -> Event {
        let Self { auth, peer, amount, .. } = *self;
        Event { kind: TransferRequest::KIND, reference: auth.0, peer, amount, direction }
    }
}

/// Lines in order, from the first that is missing.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Lines {
    /// Payments made.
    #[n(0)]
    pub outgoing: Bounded<Line, LINES_MAX>,
    /// Payments received.
    #[n(1)]
    pub incoming: Bounded<Line, LINES_MAX>,
}

/// Customer to bank: I have so many lines now; the next, please.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Fetch {
    /// The answer that told of them.
    #[n(0)]
    pub answers: MessageId,
    /// How many payments made it has.
    #[n(1)]
    pub outgoing: u64,
    /// How many payments received it has.
    #[n(2)]
    pub incoming: u64,
}

/// Bank to customer.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Fetched {
    /// The request it answers.
    #[n(0)]
    pub answers: MessageId,
    /// The next lines.
    #[n(1)]
    pub lines: Lines,
}
