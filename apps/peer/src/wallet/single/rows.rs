//! What is written down about single payments.

use farthing_clearing::payer::Paid;
use farthing_core::amount::Amount;
use farthing_core::id::{OrderId, PeerId};
use farthing_core::order::Receipt;
use farthing_core::sign::Signed;
use farthing_core::time::Time;
use farthing_draft::messages::Returned;
use farthing_role::{Context, Halt};
use minicbor::{Decode, Encode};

use super::{Outgoing, OutgoingState, Purchase};
use crate::wallet::choice::Scheme;
use crate::wallet::error::WalletError;
use crate::wallet::policy;
use crate::wallet::records::{self, PAYMENTS, TAKEN};

/// A payment made.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct PaymentRow {
    #[n(0)]
    pub(crate) scheme: Scheme,
    #[n(1)]
    pub(crate) payee: PeerId,
    #[n(2)]
    pub(crate) order: OrderId,
    #[n(3)]
    pub(crate) part: u32,
    #[n(4)]
    pub(crate) amount: Amount,
    #[n(5)]
    pub(crate) description: String,
    #[n(6)]
    pub(crate) alias: Option<u32>,
    #[n(7)]
    pub(crate) at: Time,
    /// The hour in which the policy counted it.
    #[n(8)]
    pub(crate) hour: u64,
    #[n(9)]
    pub(crate) state: OutgoingState,
    /// The draft's number.
    #[n(10)]
    pub(crate) number: u64,
    /// The draft's digest, or the authorisation.
    #[cbor(n(11), with = "minicbor::bytes")]
    pub(crate) instrument: [u8; 32],
    /// The bank's answer, with the ticket.
    #[n(12)]
    pub(crate) paid: Option<Paid>,
    #[n(13)]
    pub(crate) receipt: Option<Signed<Receipt>>,
    /// The line of history to which the receipt is added.
    #[cbor(n(14), with = "minicbor::bytes")]
    pub(crate) noted: Option<[u8; 16]>,
    /// The payee's word that the draft was given back.
    #[n(15)]
    pub(crate) returned: Option<Signed<Returned>>,
}

/// A payment taken, under its draft's digest or its authorisation.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct TakenRow {
    #[n(0)]
    pub(crate) scheme: Scheme,
    #[n(1)]
    pub(crate) payer: PeerId,
    #[n(2)]
    pub(crate) order: OrderId,
    #[n(3)]
    pub(crate) amount: Amount,
    #[n(4)]
    pub(crate) description: String,
    /// The draft's number, or that of the bank's receipt.
    #[n(5)]
    pub(crate) number: u64,
    #[n(6)]
    pub(crate) at: Time,
    /// What the payer was sent; a draft that the bank is asked about has none yet, and neither has
    /// money that came for nothing.
    #[n(7)]
    pub(crate) receipt: Option<Signed<Receipt>>,
    /// The last day of a draft.
    #[n(8)]
    pub(crate) until: Option<Time>,
}

/// The key of a payment: the same order, payee and part is the same payment.
pub(crate) fn payment_key(order: OrderId, payee: PeerId, part: u32) -> Vec<u8> {
    [&order.0[..], &payee.0, &part.to_be_bytes()].concat()
}

impl PaymentRow {
    /// A payment that begins.
    pub(crate) fn new(scheme: Scheme, it: &Purchase, now: Time, state: OutgoingState) -> Self {
        Self {
            scheme,
            payee: it.payee,
            order: it.order,
            part: it.part,
            amount: it.amount,
            description: it.description.clone(),
            alias: it.alias,
            at: now,
            hour: policy::hour_of(now),
            state,
            number: 0,
            instrument: [0; 32],
            paid: None,
            receipt: None,
            noted: None,
            returned: None,
        }
    }

    pub(crate) fn key(&self) -> Vec<u8> {
        payment_key(self.order, self.payee, self.part)
    }

    pub(crate) fn find(cx: &Context<'_>, key: &[u8]) -> Result<Option<Self>, Halt> {
        Ok(records::get(&*cx.tx, PAYMENTS, key)?)
    }

    pub(crate) fn write(&self, cx: &mut Context<'_>) {
        records::put(cx.tx, PAYMENTS, &self.key(), self);
    }

    /// Whether a purchase that is asked for once more is this one.
    pub(crate) fn is(&self, scheme: Scheme, it: &Purchase) -> Result<(), WalletError> {
        if (self.scheme, self.amount, self.alias) == (scheme, it.amount, it.alias) {
            return Ok(());
        }
        Err(WalletError::Order("paid already in another way, by another amount or name: it is not paid again"))
    }

    pub(crate) fn shown(self) -> Outgoing {
        Outgoing {
            given_back: self.returned.is_some(),
            scheme: self.scheme,
            payee: self.payee,
            order: self.order,
            part: self.part,
            amount: self.amount,
            description: self.description,
            alias: self.alias,
            at: self.at,
            state: self.state,
            number: self.number,
            instrument: self.instrument,
            receipt: self.receipt,
        }
    }
}

impl TakenRow {
    pub(crate) fn find(cx: &Context<'_>, instrument: &[u8; 32]) -> Result<Option<Self>, Halt> {
        Ok(records::get(&*cx.tx, TAKEN, instrument)?)
    }

    pub(crate) fn write(&self, cx: &mut Context<'_>, instrument: &[u8; 32]) {
        records::put(cx.tx, TAKEN, instrument, self);
    }
}
