//! What is said: enrolling, and the payment itself (KSO-1 to KSO-4).

use farthing_core::amount::Amount;
use farthing_core::id::{OrderId, PeerId, RequestId};
use farthing_core::order::Receipt;
use farthing_core::refusal::Refusal;
use farthing_core::seal::SealPublic;
use farthing_core::sign::{Signed, Statement};
use farthing_core::time::Time;
use minicbor::{Decode, Encode};

use crate::frame::MessageId;
use crate::keys::CustomerKey;

/// Numbers of the requests that are made of the bank in the ordinary, signed way.
pub mod kind {
    /// [`Enrol`](super::Enrol): give me my key.
    pub const ENROL: u16 = 0x0280;
    /// [`Rotate`](super::Rotate): give me another key.
    pub const ROTATE: u16 = 0x0281;
}

/// The customer asks for the key it shares with the bank, for the first time or after it lost it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Enrol {
    /// To what the key is sealed.
    #[n(0)]
    pub seal: SealPublic,
}

/// The customer asks for a new key, because the old one may be known to others.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Rotate {
    /// To what the key is sealed.
    #[n(0)]
    pub seal: SealPublic,
    /// The version that is to be replaced; a repeat replaces nothing more.
    #[n(1)]
    pub version: u32,
}

/// The bank's answer to both, signed, and sealed to the customer.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct KeyGrant {
    /// Whose key it is.
    #[n(0)]
    pub customer: PeerId,
    /// The request it answers.
    #[n(1)]
    pub request: RequestId,
    /// The key.
    #[n(2)]
    pub key: CustomerKey,
    /// Whether the customer was unknown until now: it has no past to compare.
    #[n(3)]
    pub fresh: bool,
}

impl Statement for KeyGrant {
    const KIND: u16 = 0x0503;
}

/// `X0` of KSO-1, payer to bank: pay so much to this payee.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct TransferRequest {
    /// Which copy of the wallet speaks, as the bank numbers them.
    #[n(0)]
    pub epoch: u64,
    /// `S_A`: rises by one with each request that the bank takes up.
    #[n(1)]
    pub sequence: u64,
    /// `V`: the payer's log so far.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub commitment: [u8; 32],
    /// How many receipts of payments to itself are in that log.
    #[n(3)]
    pub received: u64,
    /// `W`.
    #[n(4)]
    pub amount: Amount,
    /// `ID_C`.
    #[n(5)]
    pub payee: PeerId,
    /// What for.
    #[n(6)]
    pub order: OrderId,
    /// When, by the payer's clock.
    #[n(7)]
    pub time: Time,
    /// Whether the bank shall sign a receipt.
    #[n(8)]
    pub receipt: bool,
}

impl Statement for TransferRequest {
    const KIND: u16 = 0x0501;
}

/// KSO-1's content: as the paper has it, or signed as well, so that not even the bank could have
/// made it up.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Asking {
    /// Under the shared key alone.
    #[n(0)]
    Plain(#[n(0)] TransferRequest),
    /// Signed by the payer.
    #[n(1)]
    Signed(#[n(0)] Signed<TransferRequest>),
}

/// `X1` of KSO-2, bank to payer.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct TransferAnswer {
    /// `hash(M0)`: which request it answers.
    #[n(0)]
    pub answers: MessageId,
    /// That request's number.
    #[n(1)]
    pub sequence: u64,
    /// The number that the bank expects next.
    #[n(2)]
    pub next: u64,
    /// What became of it.
    #[n(3)]
    pub result: TransferResult,
}

/// What became of a request to transfer.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum TransferResult {
    /// The money has moved.
    #[n(0)]
    Paid(#[n(0)] Authorised),
    /// It has not, and the number is used up.
    #[n(1)]
    Refused(#[n(0)] Refusal),
    /// It has not, by these bytes, and the number is where it was: books must be compared.
    #[n(2)]
    TurnedAway(#[n(0)] Refusal),
}

/// The rest of `X1` where the money moved. The paper has Carol's sequence number here, which is
/// none of Alice's business; it is in the ticket.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Authorised {
    /// `ID_A`.
    #[n(0)]
    pub payer: PeerId,
    /// `ID_C`.
    #[n(1)]
    pub payee: PeerId,
    /// `W`.
    #[n(2)]
    pub amount: Amount,
    /// `T_E`: the first moment at which the payee serves no more for it.
    #[n(3)]
    pub expires: Time,
    /// `Z1`: what convinces the payee.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub ticket: Vec<u8>,
    /// The bank's signed word, where it was asked for.
    #[n(5)]
    pub receipt: Option<Signed<BankReceipt>>,
}

/// `Y1`, inside `Z1`, bank to payee.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Ticket {
    /// `hash(M0)`: the authorisation.
    #[n(0)]
    pub auth: MessageId,
    /// `ID_A`.
    #[n(1)]
    pub payer: PeerId,
    /// `ID_C`.
    #[n(2)]
    pub payee: PeerId,
    /// `W`.
    #[n(3)]
    pub amount: Amount,
    /// `T_E`.
    #[n(4)]
    pub expires: Time,
    /// The number of this payment among all that the payee received, from 1.
    #[n(5)]
    pub number: u64,
    /// What for.
    #[n(6)]
    pub order: OrderId,
}

/// The bank's word that money moved, to show to others.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct BankReceipt {
    /// The authorisation.
    #[n(0)]
    pub auth: MessageId,
    /// Who paid.
    #[n(1)]
    pub payer: PeerId,
    /// Who was paid.
    #[n(2)]
    pub payee: PeerId,
    /// How much.
    #[n(3)]
    pub amount: Amount,
    /// What for.
    #[n(4)]
    pub order: OrderId,
    /// When.
    #[n(5)]
    pub time: Time,
}

impl Statement for BankReceipt {
    const KIND: u16 = 0x0502;
}

/// KSO-3, payer to payee.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Payment {
    /// `Z1`.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub ticket: Vec<u8>,
    /// Whether the payee shall sign its receipt.
    #[n(1)]
    pub sign: bool,
}

/// KSO-4, payee to payer: it came. Without it the payer holds the bank's answer, and the payee's
/// silence shows.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Acknowledged {
    /// Over the authenticated connection that the payment came by.
    #[n(0)]
    Plain(#[n(0)] Receipt),
    /// Signed by the payee.
    #[n(1)]
    Signed(#[n(0)] Signed<Receipt>),
}
