//! What is said, and by whom.

use farthing_core::amount::{Amount, AmountError};
use farthing_core::id::{ContentId, NetworkId, PeerId};
use farthing_core::order::{DESCRIPTION_MAX, Order, Receipt};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::{Signed, Statement};
use farthing_core::time::{SKEW, Span, Time};
use farthing_core::wire::Bounded;
use farthing_net::content::{Manifest, PIECE_BYTES};
use farthing_netpay::messages::{Pay, Release, Reserve, Visit};
use minicbor::{Decode, Encode};

use super::VERSIONS_MAX;
use super::handover::{Lot, Terms};
use crate::wallet::Handover;

/// How long a quoted price holds, and an interrupted visit can be taken up again.
pub const ORDER_LIFE: Span = Span::from_hours(24);

/// What a buyer says.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Ask {
    /// The greeting.
    #[n(0)]
    Hello(#[n(0)] Hello),
    /// For how much do you sell this?
    #[n(1)]
    Want(#[n(0)] Box<Want>),
    /// I pay with these units, for the order just quoted.
    #[n(2)]
    Begin(#[n(0)] Box<Visit>),
    /// And with these, the former being used up. Not answered.
    #[n(3)]
    Extend(#[n(0)] Signed<Reserve>),
    /// A payment, and the piece it is for.
    #[n(4)]
    Pay(#[n(0)] PayFor),
    /// A piece of content that costs nothing.
    #[n(5)]
    Get(#[n(0)] u64),
    /// The piece of the last payment once more: it did not arrive.
    #[n(6)]
    Again(#[n(0)] u64),
    /// That was all.
    #[n(7)]
    Done,
    /// I leave, and here is why.
    #[n(8)]
    Refused(#[n(0)] Refusal),
    /// I pay for these pieces of the content just quoted, all at once.
    #[n(9)]
    Lot(#[n(0)] Box<Lot>),
    /// I want to pay this order, which is for no content.
    #[n(10)]
    Owe(#[n(0)] Box<Order>),
    /// And here is the money for it.
    #[n(11)]
    Hand(#[n(0)] Box<Handover>),
}

/// What a seller says.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Answer {
    /// The greeting.
    #[n(0)]
    Hello(#[n(0)] Welcome),
    /// The order at its price.
    #[n(1)]
    Quote(#[n(0)] Signed<Quote>),
    /// The reserve is good.
    #[n(2)]
    Accepted(#[n(0)] Accepted),
    /// The next frame is this piece with its proof, a Bao slice.
    #[n(3)]
    Piece(#[n(0)] u64),
    /// The visit is over.
    #[n(4)]
    Released(#[n(0)] Box<Released>),
    /// The visit is over before its end, and here is why.
    #[n(5)]
    Refused(#[n(0)] Refusal),
    /// The order can be paid.
    #[n(6)]
    Terms(#[n(0)] Box<Terms>),
    /// The payment is here.
    #[n(7)]
    Thanks(#[n(0)] Box<Signed<Receipt>>),
}

/// A buyer's greeting.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Hello {
    /// The versions it speaks, the best first.
    #[n(0)]
    pub versions: Bounded<u16, VERSIONS_MAX>,
    /// The network it pays in.
    #[n(1)]
    pub network: NetworkId,
}

/// A seller's greeting.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Welcome {
    /// The version spoken from here on.
    #[n(0)]
    pub version: u16,
    /// The network it is paid in.
    #[n(1)]
    pub network: NetworkId,
}

/// What a buyer is after.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Want {
    /// Which content.
    #[n(0)]
    pub content: ContentId,
    /// The seller's own quote of an earlier visit that broke off, to go on with.
    #[n(1)]
    pub again: Option<Signed<Quote>>,
}

/// The seller's word that it sells at this price until the order expires.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct Quote(#[n(0)] pub Order);

impl Statement for Quote {
    const KIND: u16 = 0x0401;
}

/// A payment with its purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PayFor {
    /// The payment: exactly the price of a piece above the last one.
    #[n(0)]
    pub pay: Pay,
    /// The piece.
    #[n(1)]
    pub piece: u64,
}

/// How a visit stands as it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Accepted {
    /// The last unit paid; one below the first reserved while none is.
    #[n(0)]
    pub through: u32,
    /// Which piece the last payment was for, if it was in an earlier visit that broke off and the
    /// seller still knows.
    #[n(1)]
    pub last: Option<u64>,
}

/// How a visit ended. Both are absent where nothing was reserved.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Released {
    /// What was paid, and that no more will be claimed.
    #[n(0)]
    pub release: Option<Signed<Release>>,
    /// What it was paid for; absent where nothing was paid.
    #[n(1)]
    pub receipt: Option<Signed<Receipt>>,
}

impl Quote {
    /// What is sold: root and size.
    #[must_use]
    pub fn manifest(&self) -> Option<Manifest> {
        Some(Manifest { root: self.0.content?, size: self.0.size })
    }

    /// Whether a buyer of `content` should take it up at `now`, from `seller`.
    ///
    /// # Errors
    /// A refusal that says what is wrong with it.
    pub fn check(&self, seller: PeerId, content: ContentId, now: Time) -> Result<(), Refusal> {
        let order = &self.0;
        if order.payee != seller {
            return Err(Refusal::new(Code::NotPayee, "the quote names another seller"));
        }
        if order.content != Some(content) {
            return Err(Refusal::new(Code::Order, "the quote is for other content"));
        }
        if order.piece as usize != PIECE_BYTES || order.size > farthing_net::content::CONTENT_BYTES_MAX {
            return Err(Refusal::new(Code::Order, "the quote is for pieces of another length, or too much content"));
        }
        if order.description.len() > DESCRIPTION_MAX {
            return Err(Refusal::new(Code::Malformed, "the quote's description is too long"));
        }
        if order.created > now.after(SKEW) {
            return Err(Refusal::new(Code::NotYet, "the quote is made in the future: a clock is wrong"));
        }
        if order.expires <= now {
            return Err(Refusal::new(Code::Expired, "the quote has expired"));
        }
        order.total()?;
        Ok(())
    }
}

/// How many whole units make up the price of a piece.
///
/// # Errors
/// [`AmountError::Mixed`] for another currency, [`AmountError::TooLarge`] if it is no whole number
/// of units, or of too many.
pub fn units_per_piece(price: Amount, unit: Amount) -> Result<u32, AmountError> {
    let units = price.units_of(unit).ok_or(AmountError::Mixed(price.currency(), unit.currency()))?;
    if unit.checked_mul(units)? != price {
        return Err(AmountError::TooLarge);
    }
    u32::try_from(units).map_err(|_| AmountError::TooLarge)
}

#[cfg(test)]
mod tests {
    use farthing_core::wire::{self, Malformed};

    use super::*;

    #[test]
    fn seller_refuses_a_message_with_something_behind_it_and_one_of_the_other_side() {
        let ask = Ask::Get(7);
        let mut bytes = wire::encode(&ask);
        assert_eq!(wire::decode::<Ask>(&bytes), Ok(ask));
        bytes.push(0);
        assert_eq!(wire::decode::<Ask>(&bytes), Err(Malformed::NotCanonical));
        let welcome = Answer::Hello(Welcome { version: 1, network: NetworkId([1; 16]) });
        assert!(wire::decode::<Ask>(&wire::encode(&welcome)).is_err());
    }

    #[test]
    fn seller_refuses_a_greeting_of_endless_versions() {
        let hello = |n: usize| (vec![1_u16; n], NetworkId([1; 16]));
        let framed = |n: usize| wire::encode(&hello(n));
        assert!(wire::decode::<Hello>(&framed(VERSIONS_MAX)).is_ok());
        assert!(wire::decode::<Hello>(&framed(VERSIONS_MAX + 1)).is_err());
    }

    #[test]
    fn a_price_that_is_no_whole_number_of_units_cannot_be_paid() {
        let amount = |text: &str| text.parse::<Amount>().unwrap();
        assert_eq!(units_per_piece(amount("0.0006 XTS"), amount("0.0002 XTS")), Ok(3));
        assert!(units_per_piece(amount("0.0005 XTS"), amount("0.0002 XTS")).is_err());
        assert!(units_per_piece(amount("0.0004 USD"), amount("0.0002 XTS")).is_err());
        assert!(units_per_piece(amount("50000 XTS"), amount("0.000001 XTS")).is_err());
    }
}
