//! What is said, by whom to whom. `docs/schemes/draft.md` shows the whole conversation.

use farthing_core::amount::Amount;
use farthing_core::audit::{AuditLog, Entry};
use farthing_core::cert::Certificate;
use farthing_core::id::{NetworkId, OrderId, PeerId, RequestId};
use farthing_core::refusal::Refusal;
use farthing_core::seal::{Content, SealPublic};
use farthing_core::sign::{Signed, Statement};
use farthing_core::time::{Span, Time};
use farthing_core::wire::Bounded;
use minicbor::{Decode, Encode};

/// The longest a draft may wait for its deposit: 30 days. Bounds what a bank remembers.
pub const DRAFT_LIFE_MAX: Span = Span::from_days(30);

/// A draft: the payer's promise that its bank will pay this much to this payee. Its signer is the
/// payer: the holder of the certificate it goes with, a pseudonym perhaps.
///
/// Kelsey and Schneier's `X0`. The paper's list of fields leaves out the amount, the order and the
/// end; all are under the signature here.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Draft {
    /// Its place in the payer's outgoing log: one higher than the last. Its upper half is the
    /// epoch: see [`epoch_of`].
    #[n(0)]
    pub number: u64,
    /// The network of the payer's bank; the signature is made in it.
    #[n(1)]
    pub network: NetworkId,
    /// The bank it is drawn on: the key that signs its statements.
    #[n(2)]
    pub bank: PeerId,
    /// Who is paid; nobody else can deposit it.
    #[n(3)]
    pub payee: PeerId,
    /// How much.
    #[n(4)]
    pub amount: Amount,
    /// What for.
    #[n(5)]
    pub order: OrderId,
    /// The first moment at which it cannot be deposited any more.
    #[n(6)]
    pub deposit_by: Time,
    /// The payer's audit log just before this draft (`V0`); see
    /// [`AuditLog::commitment`](farthing_core::audit::AuditLog::commitment).
    #[cbor(n(7), with = "minicbor::bytes")]
    pub log: [u8; 32],
    /// When it was written, by the payer's clock (`T0`).
    #[n(8)]
    pub time: Time,
}

impl Statement for Draft {
    const KIND: u16 = 0x0601;
}

/// The epoch of a draft's number. A wallet that lost its log begins a new epoch, whose numbers no
/// draft of the old one can have.
#[must_use]
pub const fn epoch_of(number: u64) -> u32 {
    (number >> 32) as u32
}

/// The most drafts in one deposit, and in one receipt for several.
pub const DRAFTS_MAX: usize = 256;

/// The most entries in one page of a log: with its head it fits one request of the bank.
pub const PAGE_MAX: usize = 1_024;

/// The most problems that a bank lists; whoever has more mends these first.
pub const PROBLEMS_MAX: usize = 64;

/// The digest of a draft or of another statement.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct Digest(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

/// How the payer's certificate comes with a draft.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Shown {
    /// Whole, the first time.
    #[n(0)]
    Whole(#[n(0)] Signed<Certificate>),
    /// By its digest, to a payee that has seen it.
    #[n(1)]
    Known(#[n(0)] Digest),
}

/// KSF-1, payer to payee: sealed to the payee, or inside an authenticated session. The certificate
/// is inside, so that a listener does not learn who pays (the paper sends it in the clear).
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Payment {
    /// `X0` and `S0`.
    #[n(0)]
    pub draft: Signed<Draft>,
    /// `Cert_A`.
    #[n(1)]
    pub certificate: Shown,
}

impl Content for Payment {
    const KIND: u16 = 0x0602;
}

/// Payee to payers: one signature over the drafts of a queue, by their digests. A single draft
/// gets a [`Receipt`](farthing_core::order::Receipt).
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Receipts {
    /// What was taken.
    #[n(0)]
    pub drafts: Bounded<Digest, DRAFTS_MAX>,
    /// When, by the payee's clock.
    #[n(1)]
    pub time: Time,
}

impl Statement for Receipts {
    const KIND: u16 = 0x0603;
}

/// Payer to payee, once it has the goods: the only proof of delivery that a judge believes.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Delivered {
    /// Which draft paid for them.
    #[n(0)]
    pub draft: Digest,
    /// When.
    #[n(1)]
    pub time: Time,
}

impl Statement for Delivered {
    const KIND: u16 = 0x0604;
}

/// Payee to payer: nothing was delivered, and this draft will not be deposited.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Returned {
    /// Which draft.
    #[n(0)]
    pub draft: Digest,
    /// When.
    #[n(1)]
    pub time: Time,
}

impl Statement for Returned {
    const KIND: u16 = 0x0605;
}

/// A draft with the number of the certificate it was taken under.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Item {
    /// `X0` and `S0`.
    #[n(0)]
    pub draft: Signed<Draft>,
    /// [`Certificate::serial`].
    #[n(1)]
    pub serial: u64,
}

/// KSD-1, payee to bank, inside a request that the payee signs and seals to the *bank*: the paper
/// seals it to the payee itself, so that the bank could not read it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Deposit {
    /// What is deposited.
    #[n(0)]
    pub items: Bounded<Item, DRAFTS_MAX>,
}

/// KSD-2, bank to payee.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct DepositReceipt {
    /// The request this answers.
    #[n(0)]
    pub request: RequestId,
    /// Whose receipts these are.
    #[n(1)]
    pub payee: PeerId,
    /// A line for each item, in order.
    #[n(2)]
    pub lines: Bounded<DepositLine, DRAFTS_MAX>,
    /// What the payee's account holds now.
    #[n(3)]
    pub balance: Amount,
    /// When, by the bank's clock.
    #[n(4)]
    pub time: Time,
}

impl Statement for DepositReceipt {
    const KIND: u16 = 0x0606;
}

/// What became of one draft.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct DepositLine {
    /// Which.
    #[n(0)]
    pub draft: Digest,
    /// What became of it.
    #[n(1)]
    pub outcome: Outcome,
}

/// What became of a deposited draft. Asked again, the bank says the same, or how it went on.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Outcome {
    /// Taken; `owed` of it waits until the payer has money again.
    #[n(0)]
    Taken {
        /// Its place among the payee's receipts, from 1, and so in its incoming log.
        #[n(0)]
        number: u64,
        /// What was credited.
        #[n(1)]
        paid: Amount,
        /// What could not be: the payer has overdrawn all that the bank vouches for.
        #[n(2)]
        owed: Amount,
    },
    /// The payer stopped it. The money is set aside; the payee shows that it delivered, or not.
    #[n(1)]
    Stopped {
        /// Until when.
        #[n(0)]
        answer_by: Time,
    },
    /// Not taken, and nothing moved.
    #[n(2)]
    Refused(#[n(0)] Refusal),
    /// Stopped, and the case went against the payee.
    #[n(3)]
    GoneBack,
    /// The payer wrote two drafts under its number, and the other came first. Its deposit paid for
    /// this one as far as it went.
    #[n(4)]
    Compensated {
        /// What was credited.
        #[n(0)]
        paid: Amount,
        /// What is lost.
        #[n(1)]
        lost: Amount,
        /// The same in words.
        #[n(2)]
        why: Refusal,
    },
}

/// KSS-1, payer to bank: do not pay this draft. Taken only while it was not deposited and only with
/// the money for it, so that it is no way to have goods for nothing.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Stop {
    /// The draft itself: what is stopped must exist.
    #[n(0)]
    pub draft: Signed<Draft>,
    /// Why.
    #[n(1)]
    pub reason: StopReason,
    /// When.
    #[n(2)]
    pub time: Time,
}

impl Statement for Stop {
    const KIND: u16 = 0x0607;
}

/// Why a draft is stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum StopReason {
    /// The payee never answered, or never delivered.
    #[n(0)]
    NotDelivered,
    /// The payee gave it back.
    #[n(1)]
    Returned,
}

/// The bank's answer to a stop.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Stopped {
    /// Which draft.
    #[n(0)]
    pub draft: Digest,
    /// When the money goes back, if nobody deposits the draft.
    #[n(1)]
    pub until: Time,
    /// When, by the bank's clock.
    #[n(2)]
    pub time: Time,
}

impl Statement for Stopped {
    const KIND: u16 = 0x0608;
}

/// Either side of a stopped draft to the bank: what it has to show.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Proof {
    /// The payee: the payer acknowledged the delivery.
    #[n(0)]
    Delivered {
        /// The payer.
        #[n(0)]
        payer: PeerId,
        /// The draft's number.
        #[n(1)]
        number: u64,
        /// The payer's word.
        #[n(2)]
        delivered: Signed<Delivered>,
    },
    /// The payer: the payee gave the draft back.
    #[n(1)]
    Returned {
        /// The draft's number.
        #[n(0)]
        number: u64,
        /// The payee's word.
        #[n(1)]
        returned: Signed<Returned>,
    },
}

/// What the bank found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Finding {
    /// The payee delivered and is paid.
    #[n(0)]
    Pay,
    /// The payer has its money back.
    #[n(1)]
    GiveBack,
}

/// Payee to bank, above its threshold or at random: will this draft be paid?
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Confirm {
    /// The draft and its certificate.
    #[n(0)]
    pub item: Item,
}

/// The bank's answer: it is set aside until then.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Confirmed {
    /// Which draft.
    #[n(0)]
    pub draft: Digest,
    /// How much is set aside: all of it.
    #[n(1)]
    pub amount: Amount,
    /// Until when; deposited before, it is paid.
    #[n(2)]
    pub until: Time,
}

impl Statement for Confirmed {
    const KIND: u16 = 0x0609;
}

/// Account to bank: this key is mine as well. Whoever is paid by it does not learn the account.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Enrol {
    /// Signed by the new key, so that nobody enrols a stranger's.
    #[n(0)]
    pub alias: Signed<Alias>,
}

/// A key says whose it is, to the bank only.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Alias {
    /// The account's key.
    #[n(0)]
    pub account: PeerId,
    /// The bank.
    #[n(1)]
    pub bank: PeerId,
    /// The key to seal drafts to it; its certificates carry it.
    #[n(2)]
    pub seal: SealPublic,
}

impl Statement for Alias {
    const KIND: u16 = 0x060a;
}

/// KSF-R0, holder to bank: let us compare our books.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Reconcile {
    /// Which copy of the wallet asks: drawn when its store was made or restored.
    #[n(0)]
    pub copy: Digest,
}

/// KSF-R1, bank to holder: from where on.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Opening {
    /// `R3`: fresh, so that no old answer fits.
    #[n(0)]
    pub nonce: Digest,
    /// Whose log.
    #[n(1)]
    pub holder: PeerId,
    /// The state from which the log goes on.
    #[n(2)]
    pub from: AuditLog,
    /// The copy that asked.
    #[n(3)]
    pub copy: Digest,
    /// When, by the bank's clock.
    #[n(4)]
    pub time: Time,
}

impl Statement for Opening {
    const KIND: u16 = 0x060b;
}

/// KSF-R2, holder to bank: a page of the log, in the order in which things happened.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct LogPage {
    /// The opening it answers.
    #[n(0)]
    pub opening: Digest,
    /// What happened next.
    #[n(1)]
    pub entries: Bounded<Entry, PAGE_MAX>,
}

/// The bank has read so far.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PageTaken {
    /// The log as the bank reckons it.
    #[n(0)]
    pub at: AuditLog,
}

/// KSF-R2, the end: that was all, and I sign for it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Closing {
    /// The opening it answers.
    #[n(0)]
    pub opening: Digest,
    /// The log as it stands.
    #[n(1)]
    pub log: AuditLog,
    /// The limit that the next certificate shall state; none for no certificate.
    #[n(2)]
    pub wanted: Option<Amount>,
    /// When; later than every draft written before.
    #[n(3)]
    pub time: Time,
}

impl Statement for Closing {
    const KIND: u16 = 0x060c;
}

/// KSF-R3, bank to holder.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Reconciled {
    /// The digest of the closing.
    #[n(0)]
    pub closing: Digest,
    /// The certificate's number, or what is the matter.
    #[n(1)]
    pub result: Agreement,
    /// What the account holds.
    #[n(2)]
    pub balance: Amount,
    /// What it owes: the credit line as far as it is used, and drafts that could not be paid.
    #[n(3)]
    pub owed: Amount,
    /// What drafts in this log promise that nobody has deposited yet.
    #[n(4)]
    pub outstanding: Amount,
    /// When, by the bank's clock.
    #[n(5)]
    pub time: Time,
}

impl Statement for Reconciled {
    const KIND: u16 = 0x060d;
}

/// What came of a reconciliation.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Agreement {
    /// The books agree; a certificate of that number follows, where one was wanted.
    #[n(0)]
    Agreed(#[n(0)] Option<u64>),
    /// They do not, and there is none.
    #[n(1)]
    Problems(#[n(0)] Bounded<Problem, PROBLEMS_MAX>),
}

/// Where two sets of books differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Problem {
    /// The draft's number, or that of the receipt.
    #[n(0)]
    pub number: u64,
    /// What is the matter with it.
    #[n(1)]
    pub what: Differs,
}

/// What is the matter with an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Differs {
    /// A draft was deposited that the log leaves out.
    #[n(0)]
    Concealed,
    /// The log has another draft under this number.
    #[n(1)]
    Altered,
    /// The draft commits to another history than this log.
    #[n(2)]
    History,
    /// The log has a receipt that the bank never gave, or gave for something else.
    #[n(3)]
    Receipt,
}

/// What a reconciliation leaves for the bank to send: what it says, and the certificate that its
/// offline key signs after the commit.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Reply {
    /// KSF-R3.
    #[n(0)]
    pub said: Signed<Reconciled>,
    /// What is to be signed.
    #[n(1)]
    pub certificate: Option<Certificate>,
}

/// The bank's numbering of requests about drafts.
pub mod kind {
    /// [`Deposit`](super::Deposit).
    pub const DEPOSIT: u16 = 0x0480;
    /// [`Confirm`](super::Confirm).
    pub const CONFIRM: u16 = 0x0481;
    /// [`Signed`](farthing_core::sign::Signed)`<`[`Stop`](super::Stop)`>`.
    pub const STOP: u16 = 0x0482;
    /// [`Proof`](super::Proof).
    pub const PROVE: u16 = 0x0483;
    /// [`Enrol`](super::Enrol).
    pub const ENROL: u16 = 0x0484;
    /// [`Reconcile`](super::Reconcile).
    pub const RECONCILE: u16 = 0x0485;
    /// [`LogPage`](super::LogPage).
    pub const LOG_PAGE: u16 = 0x0486;
    /// [`Signed`](farthing_core::sign::Signed)`<`[`Closing`](super::Closing)`>`.
    pub const CLOSE: u16 = 0x0487;
}
