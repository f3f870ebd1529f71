//! What is said when a payment is handed over, for an order of its own or for pieces of content.

use farthing_core::order::{Order, Receipt};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seal::SealPublic;
use farthing_core::sign::Signed;
use farthing_core::wire::Bounded;
use minicbor::{Decode, Encode};

use super::messages::Quote;
use super::text::Written;
use crate::wallet::{Handover, PaymentRequest, Scheme};

/// The most runs of pieces that one payment pays for.
pub const RUNS_MAX: usize = 32;

/// The most pieces that one payment pays for: 64 MiB. Bounds what a payer trusts a seller with.
pub const LOT_MAX: u64 = 256;

/// The most ways of paying that a payee can name.
pub const WAYS_MAX: usize = 8;

/// How a payee wants to be paid for an order.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Terms {
    /// What it takes.
    #[n(0)]
    pub takes: Bounded<Scheme, WAYS_MAX>,
    /// To what a draft for it is sealed when it goes another way than this stream.
    #[n(1)]
    pub seal: SealPublic,
}

/// A payment as it is handed over by hand, with what it is for.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ByHand {
    /// What is paid: made by either side.
    #[n(0)]
    pub order: Order,
    /// The payment, for exactly this order.
    #[n(1)]
    pub payment: Handover,
}

impl Written for ByHand {
    const WORD: &'static str = "payment";
    const NAME: &'static str = "a payment";
}

impl Written for Signed<PaymentRequest> {
    const WORD: &'static str = "request";
    const NAME: &'static str = "a request for payment";
}

impl Written for Signed<Receipt> {
    const WORD: &'static str = "receipt";
    const NAME: &'static str = "a receipt";
}

/// Pieces that lie next to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Run {
    /// The first.
    #[n(0)]
    pub from: u64,
    /// How many.
    #[n(1)]
    pub count: u64,
}

/// Pieces of the content quoted, paid for at once.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Lot {
    /// Which: rising, and each once.
    #[n(0)]
    pub pieces: Bounded<Run, RUNS_MAX>,
    /// The payment, for exactly [`order`](Self::order).
    #[n(1)]
    pub payment: Handover,
}

impl Lot {
    /// Runs of these pieces, which rise; nothing for none, and no more than fit a lot.
    #[must_use]
    pub fn runs(pieces: &[u64]) -> Bounded<Run, RUNS_MAX> {
        let mut runs: Vec<Run> = Vec::new();
        for piece in pieces.iter().copied().take(LOT_MAX as usize) {
            let full = runs.len() == RUNS_MAX;
            match runs.last_mut() {
                Some(run) if run.from.checked_add(run.count) == Some(piece) => run.count += 1,
                _ if full => break,
                _ => runs.push(Run { from: piece, count: 1 }),
            }
        }
        Bounded::new(runs).unwrap_or_else(Bounded::empty)
    }

    /// The order that a payment for these pieces names: the seller's quote, cut to them, so that
    /// who paid for which pieces needs no memory of its own.
    ///
    /// # Errors
    /// [`Code::Range`] for pieces that are not there, out of order, or too many.
    pub fn order(quote: &Quote, pieces: &Bounded<Run, RUNS_MAX>) -> Result<Order, Refusal> {
        let wrong = |why| Refusal::new(Code::Range, why);
        let whole = &quote.0;
        let (mut next, mut count, mut words) = (0, 0_u64, String::new());
        for run in pieces.as_slice() {
            let end = run.from.checked_add(run.count).filter(|end| *end <= whole.pieces());
            let end = end.ok_or_else(|| wrong("the content has no such pieces"))?;
            if run.count == 0 || run.from < next {
                return Err(wrong("pieces are named in rising order, each once"));
            }
            next = end;
            count += run.count;
            words.push_str(&format!(" {}-{}", run.from, end - 1));
        }
        if count == 0 || count > LOT_MAX {
            return Err(wrong("too many pieces, or none, are paid for at once"));
        }
        let size = count * u64::from(whole.piece);
        Ok(Order { size, description: format!("pieces{words} of {}", whole.id()), ..whole.clone() })
    }

    /// Whether a piece is among these.
    #[must_use]
    pub fn covers(pieces: &Bounded<Run, RUNS_MAX>, piece: u64) -> bool {
        pieces.as_slice().iter().any(|run| piece >= run.from && piece - run.from < run.count)
    }
}

#[cfg(test)]
mod tests {
    use farthing_core::amount::Currency;
    use farthing_core::id::{ContentId, PeerId};
    use farthing_core::time::Time;

    use super::*;

    fn quote(pieces: u64) -> Quote {
        Quote(Order {
            payee: PeerId([1; 32]),
            content: Some(ContentId([2; 32])),
            size: pieces * 256 - 1,
            piece: 256,
            price: Currency::XTS.micros(5).unwrap(),
            description: "a song".to_owned(),
            created: Time::from_millis(1),
            expires: Time::from_millis(2),
            nonce: [3; 16],
        })
    }

    fn runs(runs: &[(u64, u64)]) -> Bounded<Run, RUNS_MAX> {
        Bounded::new(runs.iter().map(|&(from, count)| Run { from, count }).collect()).unwrap()
    }

    #[test]
    fn a_lot_costs_its_pieces_and_names_them() {
        let order = Lot::order(&quote(10), &Lot::runs(&[0, 1, 2, 7, 9])).unwrap();
        assert_eq!(order.total().unwrap().as_micros(), 25);
        assert!(order.description.starts_with("pieces 0-2 7-7 9-9 of order1"));
        assert_ne!(order.id(), Lot::order(&quote(10), &Lot::runs(&[0, 1, 2, 7, 8])).unwrap().id());
        assert!(Lot::covers(&runs(&[(3, 2)]), 4) && !Lot::covers(&runs(&[(3, 2)]), 5));
    }

    #[test]
    fn seller_refuses_a_lot_that_names_a_piece_twice_backwards_or_beyond_the_end() {
        for bad in [&[(0, 3), (2, 1)][..], &[(4, 1), (1, 1)], &[(9, 2)], &[(0, 0)], &[], &[(u64::MAX, 2)]] {
            assert_eq!(Lot::order(&quote(10), &runs(bad)).unwrap_err().code, Code::Range, "{bad:?}");
        }
        assert!(Lot::order(&quote(1_000), &runs(&[(0, LOT_MAX + 1)])).is_err());
    }

    #[test]
    fn the_longest_lot_fits_an_order_and_its_pieces_a_request() {
        let scattered: Vec<u64> = (0..600).step_by(2).collect();
        let runs = Lot::runs(&scattered);
        assert_eq!(runs.as_slice().len(), RUNS_MAX);
        let order = Lot::order(&quote(4_000_000_000), &runs).unwrap();
        assert!(order.description.len() <= farthing_core::order::DESCRIPTION_MAX);
        let all: Vec<u64> = (0..600).collect();
        assert_eq!(Lot::runs(&all).as_slice(), [Run { from: 0, count: LOT_MAX }]);
    }
}
