//! What customers ask for.

use farthing_core::amount::{Amount, Currency};
use farthing_core::cert::RoleName;
use farthing_core::id::{AccountId, TransferId};
use farthing_core::seal::SealPublic;
use farthing_core::time::Time;
use farthing_core::wire::Bounded;
use farthing_ledger::Reason;
use farthing_netpay::bank::Case;
use minicbor::{Decode, Encode};

/// The most bytes of a note.
pub const NOTE_MAX: usize = 256;
/// The most bytes of a destination.
pub const DESTINATION_MAX: usize = 256;
/// The most lines of a statement shown at once.
pub const LINES_SHOWN_MAX: usize = 256;
/// The most cases shown at once.
const CASES_SHOWN_MAX: usize = 64;

/// Text for people, at most `MAX` bytes, without control characters or others that deceive the eye.
#[derive(Clone, PartialEq, Eq, Debug, Default, Encode)]
#[cbor(transparent)]
pub struct Text<const MAX: usize>(#[n(0)] String);

impl<const MAX: usize> Text<MAX> {
    /// The text, if it is short and clean enough.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (text.len() <= MAX && !text.chars().any(farthing_net::content::deceives)).then_some(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'b, C, const MAX: usize> Decode<'b, C> for Text<MAX> {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::new(d.str()?).ok_or_else(|| minicbor::decode::Error::message("a text too long or deceptive"))
    }
}

/// Opens the sender's accounts (its own and its deposit) in the bank's currency. Opened before,
/// they stay as they are; a new sealing key takes the place of the old one.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct OpenAccount {
    /// The key to seal messages to the sender; certificates will carry it.
    #[n(0)]
    pub seal: SealPublic,
}

/// The sender has accounts.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct AccountOpened {
    /// Its own money.
    #[n(0)]
    pub customer: AccountId,
    /// Its deposit against cheating.
    #[n(1)]
    pub deposit: AccountId,
    /// The currency of both.
    #[n(2)]
    pub currency: Currency,
    /// When they were first opened.
    #[n(3)]
    pub opened: Time,
}

/// Asks for a certificate.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Certify {
    /// To be what.
    #[n(0)]
    pub role: RoleName,
    /// The head of the sender's audit log.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub log_head: [u8; 32],
}

/// Asks how the sender's account stands.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct StatementOf {
    /// Only lines with numbers above this; the last ones where absent.
    #[n(0)]
    pub after: Option<u64>,
    /// At most so many lines, and no more than [`LINES_SHOWN_MAX`].
    #[n(1)]
    pub limit: u16,
}

/// How an account stands.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Statement {
    /// What the customer has and owes to nobody.
    #[n(0)]
    pub balances: Balances,
    /// Nothing may leave: the operator has to be asked.
    #[n(1)]
    pub suspended: bool,
    /// Transfers, the earliest first.
    #[n(2)]
    pub lines: Bounded<Line, LINES_SHOWN_MAX>,
    /// The number of the last transfer there is.
    #[n(3)]
    pub last: u64,
    /// When, by the bank's clock.
    #[n(4)]
    pub time: Time,
}

/// One transfer to or from the customer's account.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Line {
    /// Counted for each account from 1.
    #[n(0)]
    pub number: u64,
    /// The transfer.
    #[n(1)]
    pub transfer: TransferId,
    /// Whether it came in.
    #[n(2)]
    pub received: bool,
    /// How much.
    #[n(3)]
    pub amount: Amount,
    /// Why.
    #[n(4)]
    pub reason: Reason,
    /// What it is about: the id of a chain, for NetPay.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub reference: [u8; 32],
    /// When.
    #[n(6)]
    pub at: Time,
}

/// What a customer has.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Balances {
    /// In its account, what is held included.
    #[n(0)]
    pub balance: Amount,
    /// Of that, set aside for pay-outs that were not carried out yet.
    #[n(1)]
    pub held: Amount,
    /// In its deposit.
    #[n(2)]
    pub deposit: Amount,
}

/// Moves money into the deposit or out of it again.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Deposit {
    /// How much.
    #[n(0)]
    pub amount: Amount,
    /// Out of the deposit rather than into it: once no chain of the sender can be claimed any more
    /// and no case is open.
    #[n(1)]
    pub withdraw: bool,
}

/// Asks for money from outside to be credited.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Fund {
    /// How much.
    #[n(0)]
    pub amount: Amount,
    /// For the operator: how the money came.
    #[n(1)]
    pub note: Text<NOTE_MAX>,
}

/// Asks for money to be paid out.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Payout {
    /// How much.
    #[n(0)]
    pub amount: Amount,
    /// For the operator: where to.
    #[n(1)]
    pub destination: Text<DESTINATION_MAX>,
}

/// How far funding or paying out has come.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Progress {
    /// It is done.
    #[n(0)]
    Done(#[n(0)] Balances),
    /// Operators decide; a pay-out is set aside until they have.
    #[n(1)]
    Waiting {
        /// The number under which they know it.
        #[n(0)]
        number: u64,
        /// When it lapses undecided.
        #[n(1)]
        until: Time,
    },
}

/// Cases against the sender.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Cases {
    /// NetPay's.
    #[n(0)]
    pub netpay: Bounded<Case, CASES_SHOWN_MAX>,
}
