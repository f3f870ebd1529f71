//! What is said in NetPay, and by whom. The names of the messages are the book's, NPP-1 to NPP-8.

use farthing_core::amount::Amount;
use farthing_core::chain::{Header, Word};
use farthing_core::id::{ChainId, OrderId, PeerId};
use farthing_core::refusal::Refusal;
use farthing_core::sign::{Signed, Statement};
use farthing_core::time::{Span, Time};
use farthing_core::wire::Bounded;
use minicbor::{Decode, Encode};

/// The most units one reserve may cover. Bounds what a vanished payee can lock up.
pub const RESERVE_WIDTH_MAX: u32 = 1 << 16;

/// How many units a reserve covers where nobody says otherwise.
pub const RESERVE_WIDTH: u32 = 64;

/// The most visits claimed in one request.
pub const CLAIM_ITEMS_MAX: usize = 256;

/// NPP-1, payer to bank: open this chain. The payer drew the seed, so not even the bank can spend
/// or frame.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct OpenChain {
    /// What the chain is bound to.
    #[n(0)]
    pub header: Header,
    /// Its root `w_0`.
    #[n(1)]
    pub root: Word,
}

/// NPP-2, the bank's word that a chain is backed: the *touchstone* `T`.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Touchstone {
    /// The chain (the paper's `IDe`).
    #[n(0)]
    pub chain: ChainId,
    /// Its root `w_0`.
    #[n(1)]
    pub root: Word,
    /// What it is bound to: payer, units, value of a unit, expiry.
    #[n(2)]
    pub header: Header,
    /// How long after its reserve has ended a payee may still claim.
    #[n(3)]
    pub grace: Span,
    /// When it was opened, by the bank's clock.
    #[n(4)]
    pub opened: Time,
}

impl Statement for Touchstone {
    const KIND: u16 = 0x0101;
}

/// NPP-3, signed by the chain's payer: these units are for this payee.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Reserve {
    /// Of which chain.
    #[n(0)]
    pub chain: ChainId,
    /// For whom. Nobody else can claim them.
    #[n(1)]
    pub payee: PeerId,
    /// The first unit.
    #[n(2)]
    pub from: u32,
    /// The last unit; the bound that keeps two payees from framing the payer.
    #[n(3)]
    pub upto: u32,
    /// The order the visit begins with.
    #[n(4)]
    pub order: OrderId,
    /// The digest of the release that freed these units, where an earlier reserve held them.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub previous: Option<[u8; 32]>,
    /// Counts the reserves of a chain, so that no two are alike.
    #[n(6)]
    pub serial: u32,
    /// The first moment at which the payee should take no more words.
    #[n(7)]
    pub expires: Time,
}

impl Statement for Reserve {
    const KIND: u16 = 0x0102;
}

/// NPP-6, signed by the payee: I was paid through this unit and claim no further.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Release {
    /// Of which chain.
    #[n(0)]
    pub chain: ChainId,
    /// The digest of the reserve it ends.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub reserve: [u8; 32],
    /// The last unit paid; one below the reserve's first where nothing was.
    #[n(2)]
    pub through: u32,
    /// When.
    #[n(3)]
    pub time: Time,
}

impl Statement for Release {
    const KIND: u16 = 0x0103;
}

/// Signed by the bank in place of a payee that vanished: the reserve has ended, it was paid through
/// this unit, and no more will be.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct BrokerRelease {
    /// The same as a payee would have said.
    #[n(0)]
    pub release: Release,
}

impl Statement for BrokerRelease {
    const KIND: u16 = 0x0104;
}

/// Either kind of release: what frees units for another reserve.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Freed {
    /// By the payee.
    #[n(0)]
    Payee(#[n(0)] Signed<Release>),
    /// By the bank.
    #[n(1)]
    Bank(#[n(0)] Signed<BrokerRelease>),
}

impl Freed {
    /// The digest by which the next reserve names it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        match self {
            Self::Payee(signed) => signed.digest(),
            Self::Bank(signed) => signed.digest(),
        }
    }
}

/// NPP-3 whole, payer to payee: what a visit begins with.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Visit {
    /// The bank's word for the chain.
    #[n(0)]
    pub touchstone: Signed<Touchstone>,
    /// The payer's word for these units.
    #[n(1)]
    pub reserve: Signed<Reserve>,
    /// The reserve and the release that freed the units, where `previous` names one.
    #[n(2)]
    pub previous: Option<Previous>,
    /// The word just below the first reserved unit, to hash down to the root once; absent for the
    /// first unit of a chain.
    #[n(3)]
    pub anchor: Option<Word>,
}

/// An earlier reserve that has ended, and what ended it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Previous {
    /// The earlier reserve.
    #[n(0)]
    pub reserve: Signed<Reserve>,
    /// What ended it.
    #[n(1)]
    pub freed: Freed,
}

/// NPP-4, payer to payee, over their authenticated session: a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Pay {
    /// How many units are paid in all.
    #[n(0)]
    pub index: u32,
    /// The word that proves it.
    #[n(1)]
    pub word: Word,
    /// What for.
    #[n(2)]
    pub order: OrderId,
}

/// NPP-7, payee to bank: pay me for these visits.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Claims {
    /// The visits.
    #[n(0)]
    pub items: Bounded<Claim, CLAIM_ITEMS_MAX>,
}

/// One visit claimed.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Claim {
    /// The payer's reserve, which names the claimant.
    #[n(0)]
    pub reserve: Signed<Reserve>,
    /// The claimant's own release, where it gave one.
    #[n(1)]
    pub release: Option<Signed<Release>>,
    /// The reserve that held these units before and the release that freed them, where the
    /// claimant's reserve names one: its defence, and the payer's.
    #[n(2)]
    pub previous: Option<Previous>,
    /// The last unit paid.
    #[n(3)]
    pub through: u32,
    /// The word that proves it.
    #[n(4)]
    pub word: Word,
}

/// NPP-8, signed by the bank: what came of the claims.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ClaimReceipt {
    /// The request it answers.
    #[n(0)]
    pub request: farthing_core::id::RequestId,
    /// One line for each claim, in order.
    #[n(1)]
    pub lines: Bounded<ClaimLine, CLAIM_ITEMS_MAX>,
    /// When, by the bank's clock.
    #[n(2)]
    pub time: Time,
}

impl Statement for ClaimReceipt {
    const KIND: u16 = 0x0105;
}

/// What came of one claim.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ClaimLine {
    /// Of which chain.
    #[n(0)]
    pub chain: ChainId,
    /// The first unit of the reserve.
    #[n(1)]
    pub from: u32,
    /// Paid, or why not.
    #[n(2)]
    pub outcome: ClaimOutcome,
}

/// Whether a claim was paid.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum ClaimOutcome {
    /// The reserve stands paid.
    #[n(0)]
    Paid {
        /// What was paid now; nothing if all of it was paid before.
        #[n(0)]
        amount: Amount,
        /// The last unit of this reserve that was settled.
        #[n(1)]
        through: u32,
        /// Units that another reserve holds and that were not paid; a case is open about them.
        #[n(2)]
        contested: u32,
    },
    /// Turned away; nothing was paid for it now.
    #[n(1)]
    Refused(#[n(0)] Refusal),
}

/// Payee to bank, optional: note this reserve now. The only step that *prevents* a double spend;
/// everything offline only detects it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Register {
    /// The payer's reserve, which names the sender.
    #[n(0)]
    pub reserve: Signed<Reserve>,
    /// The reserve that held these units before and what freed them, where there was one.
    #[n(1)]
    pub previous: Option<Previous>,
}

/// The bank's word that a reserve is noted and that nobody else will be paid its units.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Registered {
    /// The digest of the reserve.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub reserve: [u8; 32],
    /// When, by the bank's clock.
    #[n(1)]
    pub time: Time,
}

impl Statement for Registered {
    const KIND: u16 = 0x0106;
}

/// The bank's answer to [`Register`].
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum RegisterAnswer {
    /// Noted: serve.
    #[n(0)]
    Noted(#[n(0)] Signed<Registered>),
    /// Another reserve of the same payer holds some of the units: do not serve. A case is open.
    #[n(1)]
    Taken {
        /// The case.
        #[n(0)]
        case: u64,
        /// The other reserve: with the sender's own, evidence against the payer.
        #[n(1)]
        other: Signed<Reserve>,
    },
}

/// Payer to bank: this payee vanished; release what it did not claim.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct AskRelease {
    /// The reserve that has ended.
    #[n(0)]
    pub reserve: Signed<Reserve>,
}

/// Payer to bank: here is the release that answers the case against me.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Defend {
    /// The case.
    #[n(0)]
    pub case: u64,
    /// The release of one of the two reserves in question.
    #[n(1)]
    pub freed: Freed,
}

/// The bank's numbering of NetPay's requests.
pub mod kind {
    /// [`OpenChain`](super::OpenChain).
    pub const OPEN: u16 = 0x0180;
    /// [`Register`](super::Register).
    pub const REGISTER: u16 = 0x0181;
    /// [`Claims`](super::Claims).
    pub const CLAIM: u16 = 0x0182;
    /// [`AskRelease`](super::AskRelease).
    pub const ASK_RELEASE: u16 = 0x0183;
    /// [`Defend`](super::Defend).
    pub const DEFEND: u16 = 0x0184;
}
