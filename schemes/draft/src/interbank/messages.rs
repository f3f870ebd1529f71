//! What is said about cheques, by whom to whom.

use farthing_core::amount::{Amount, Currency};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{OrderId, PeerId, TransferId};
use farthing_core::refusal::Code;
use farthing_core::sign::{Signed, Statement};
use farthing_core::time::Time;
use farthing_core::title::{HOPS_MAX, Hop};
use farthing_core::wire::Bounded;
use minicbor::{Decode, Encode};

pub use crate::messages::Digest;
use crate::messages::Draft;

/// The most lines on one page of a settlement statement: a page is well below the longest statement.
/// It never changes: a page that was stated must come out the same for ever.
pub const LINES_MAX: usize = 2_048;

/// The endorsements of a cheque, in order.
pub type Hops = Bounded<Signed<Hop>, HOPS_MAX>;

/// NQ-0, payor to its bank: hold the money of this cheque.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Certify {
    /// The cheque, as it will be given to the payee.
    #[n(0)]
    pub cheque: Signed<Draft>,
    /// The number of the payor's certificate.
    #[n(1)]
    pub serial: u64,
}

/// The bank's word that a cheque's money is held. It goes with the cheque.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Certification {
    /// Which cheque.
    #[n(0)]
    pub cheque: Digest,
    /// How much is held.
    #[n(1)]
    pub amount: Amount,
    /// Under which hold.
    #[n(2)]
    pub hold: TransferId,
    /// Until when; after the cheque's own end.
    #[n(3)]
    pub until: Time,
}

impl Statement for Certification {
    const KIND: u16 = 0x0681;
}

/// A customer buys a cheque that the bank draws on itself.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Cashier {
    /// Who is paid.
    #[n(0)]
    pub payee: PeerId,
    /// How much; the customer pays it now.
    #[n(1)]
    pub amount: Amount,
    /// What for.
    #[n(2)]
    pub order: OrderId,
    /// The first moment at which it is not paid any more.
    #[n(3)]
    pub deposit_by: Time,
}

/// NQ-2 and NQ-3: a cheque with its endorsements, from whoever signed the last of them to the bank
/// that the last of them names. Sent again, it is the inquiry after a lost answer.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Presentation {
    /// The cheque.
    #[n(0)]
    pub cheque: Signed<Draft>,
    /// The endorsements: the payee's first, then that of each bank it went through.
    #[n(1)]
    pub hops: Hops,
    /// The number of the payor's certificate; nothing for a cheque that the bank draws on itself.
    /// The payee's endorsement is for this number ([`under_certificate`]), so nobody can put a wrong
    /// one in its place and have the cheque bounce.
    #[n(2)]
    pub serial: u64,
}

/// What End1 is for: collection of a cheque whose payor has the certificate of that number. Banks
/// endorse for the same.
#[must_use]
pub fn under_certificate(serial: u64) -> OrderId {
    OrderId(hash(Purpose::Order, &[b"cheque under certificate", &serial.to_be_bytes()]))
}

/// What became of a cheque.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Fate {
    /// Paid.
    #[n(0)]
    Cleared,
    /// Not paid and never will be, by this chain of endorsements, and why.
    #[n(1)]
    Bounced(#[n(0)] Code),
}

/// NQ-4: what a bank says became of a cheque. It says it once for each chain of endorsements.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Outcome {
    /// Which cheque.
    #[n(0)]
    pub cheque: Digest,
    /// By which chain of endorsements it was presented to this bank: the last one's hash.
    #[n(1)]
    pub chain: Digest,
    /// Who presented it, and is owed the money if it cleared.
    #[n(2)]
    pub to: PeerId,
    /// The amount of the cheque.
    #[n(3)]
    pub amount: Amount,
    /// Paid or not.
    #[n(4)]
    pub fate: Fate,
    /// When, by the clock of the bank that says it; decides on which day's statement it stands.
    #[n(5)]
    pub time: Time,
}

impl Statement for Outcome {
    const KIND: u16 = 0x0682;
}

/// All there is to know of a cheque's end.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Final {
    /// The endorsements with which it reached the bank drawn on.
    #[n(0)]
    pub hops: Hops,
    /// What the bank drawn on said.
    #[n(1)]
    pub drawee: Signed<Outcome>,
    /// What the answering bank says, where that is another one.
    #[n(2)]
    pub bank: Option<Signed<Outcome>>,
}

/// The answer to a [`Presentation`].
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Answer {
    /// On its way to the bank drawn on; ask again later. What was credited is not available.
    #[n(0)]
    Pending {
        /// Whom the cheque was passed on to.
        #[n(0)]
        next: PeerId,
    },
    /// Paid or bounced, for good.
    #[n(1)]
    Final(#[n(0)] Box<Final>),
}

/// One cheque on a settlement statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Line {
    /// Which cheque.
    #[n(0)]
    pub cheque: Digest,
    /// How much was paid for it.
    #[n(1)]
    pub amount: Amount,
}

/// A page of a bank's daily statement to a peer bank: the cheques it paid to it that day, in order
/// of their hashes. The peer states what it paid in return; the difference is owed.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Page {
    /// The peer bank.
    #[n(0)]
    pub to: PeerId,
    /// The day, counted from 1970, UTC.
    #[n(1)]
    pub day: u64,
    /// All that was paid on that day, on whatever page.
    #[n(2)]
    pub total: Amount,
    /// The last cheque of the page before; nothing on the first page.
    #[n(3)]
    pub after: Option<Digest>,
    /// Every cheque paid that day after that one, up to the last one here.
    #[n(4)]
    pub lines: Bounded<Line, LINES_MAX>,
    /// Whether another page follows. Where none does, nothing more was paid that day.
    #[n(5)]
    pub more: bool,
}

impl Statement for Page {
    const KIND: u16 = 0x0683;
}

impl Page {
    /// Whether this page is where a cheque stands if it was paid that day.
    #[must_use]
    pub fn covers(&self, cheque: Digest) -> bool {
        let ends = self.lines.as_slice().last().filter(|_| self.more);
        self.after.is_none_or(|after| after < cheque) && ends.is_none_or(|last| cheque <= last.cheque)
    }

    /// What it says was paid for a cheque.
    #[must_use]
    pub fn paid(&self, cheque: Digest) -> Option<Amount> {
        self.lines.as_slice().iter().find(|line| line.cheque == cheque).map(|line| line.amount)
    }
}

/// Asks a peer bank for a page of its statement.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PageRequest {
    /// The day.
    #[n(0)]
    pub day: u64,
    /// In which currency.
    #[n(1)]
    pub currency: Currency,
    /// The last cheque of the page before; nothing for the first page.
    #[n(2)]
    pub after: Option<Digest>,
}

/// Payor or payee to the bank drawn on: what became of this cheque? Answered by [`Final`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Inquiry {
    /// Which.
    #[n(0)]
    pub cheque: Digest,
}

/// The bank's numbering of requests about cheques.
pub mod kind {
    /// [`Presentation`](super::Presentation): a deposit, a forwarding or an inquiry.
    pub const PRESENT: u16 = 0x04a0;
    /// [`Certify`](super::Certify).
    pub const CERTIFY: u16 = 0x04a1;
    /// [`Cashier`](super::Cashier).
    pub const CASHIER: u16 = 0x04a2;
    /// [`PageRequest`](super::PageRequest).
    pub const PAGE: u16 = 0x04a3;
    /// [`Inquiry`](super::Inquiry).
    pub const INQUIRE: u16 = 0x04a4;
}
