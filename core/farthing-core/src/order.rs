//! Orders and receipts: what a payment is for, and that it was made.
//!
//! A hash chain by itself proves *that* somebody was paid, never *what for*. So every payment names
//! an order by its hash, and the payee signs a receipt over order and payment.

use minicbor::{Decode, Encode};

use crate::amount::Amount;
use crate::hash::{Purpose, hash};
use crate::id::{ContentId, OrderId, PeerId};
use crate::sign::Statement;
use crate::time::Time;
use crate::wire;

/// The longest description in an order.
pub const DESCRIPTION_MAX: usize = 512;

/// What is bought from whom at which price.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Order {
    /// Who is paid.
    #[n(0)]
    pub payee: PeerId,
    /// The content, where there is some.
    #[n(1)]
    pub content: Option<ContentId>,
    /// The length of the content in bytes.
    #[n(2)]
    pub size: u64,
    /// The length of a piece in bytes; the last may be shorter.
    #[n(3)]
    pub piece: u32,
    /// What one piece costs.
    #[n(4)]
    pub price: Amount,
    /// What it is, in words.
    #[n(5)]
    pub description: String,
    /// When it was made.
    #[n(6)]
    pub created: Time,
    /// Until when the price holds.
    #[n(7)]
    pub expires: Time,
    /// Random, so that two orders alike are two orders.
    #[cbor(n(8), with = "minicbor::bytes")]
    pub nonce: [u8; 16],
}

impl Order {
    /// The order's identity: the hash of all it says.
    #[must_use]
    pub fn id(&self) -> OrderId {
        OrderId(hash(Purpose::Order, &[&wire::encode(self)]))
    }

    /// How many pieces there are; none for pieces of nothing.
    #[must_use]
    pub const fn pieces(&self) -> u64 {
        if self.piece == 0 { 0 } else { self.size.div_ceil(self.piece as u64) }
    }

    /// What all pieces cost.
    ///
    /// # Errors
    /// When that is out of range.
    pub fn total(&self) -> Result<Amount, crate::amount::AmountError> {
        self.price.checked_mul(self.pieces())
    }
}

/// Which payment a receipt is for.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PaymentRef {
    /// The chain, coin, draft or transfer.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub instrument: [u8; 32],
    /// The first unit paid, where units are counted.
    #[n(1)]
    pub from: u32,
    /// The last unit paid.
    #[n(2)]
    pub through: u32,
}

/// The payee's word that it was paid.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Receipt {
    /// What for.
    #[n(0)]
    pub order: OrderId,
    /// With what.
    #[n(1)]
    pub payment: PaymentRef,
    /// How much.
    #[n(2)]
    pub amount: Amount,
    /// Who paid: the key that signed the payment, a pseudonym perhaps.
    #[n(3)]
    pub payer: PeerId,
    /// When, by the payee's clock.
    #[n(4)]
    pub time: Time,
}

impl Statement for Receipt {
    const KIND: u16 = 0x0003;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Currency;

    #[test]
    fn an_order_is_named_by_all_it_says() {
        let order = Order {
            payee: PeerId([1; 32]),
            content: Some(ContentId([2; 32])),
            size: 1_000_001,
            piece: 1_000,
            price: Currency::XTS.micros(3).unwrap(),
            description: "a file".into(),
            created: Time::from_millis(1),
            expires: Time::from_millis(2),
            nonce: [0; 16],
        };
        assert_eq!(order.pieces(), 1_001);
        assert_eq!(order.total().unwrap().as_micros(), 3_003);
        let dearer = Order { price: Currency::XTS.micros(4).unwrap(), ..order.clone() };
        let again = Order { nonce: [1; 16], ..order.clone() };
        assert_ne!(order.id(), dearer.id());
        assert_ne!(order.id(), again.id());
        assert_eq!(Order { piece: 0, ..order }.pieces(), 0);
    }
}
