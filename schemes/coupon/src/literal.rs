//! The paper's own forms, so that their flaws can be shown. For tests, models and simulations; no
//! network node can reach them.
//!
//! As printed in §§4.2 and 4.3: a micro-payment is `i, A^i(P_B)` beside the description, bound to
//! nothing; a clearing is `SIG_A, V′, A^{n-j}(P_B)`, signed by nobody, and nothing says what a
//! second one means. SHA-256 stands for MD5. An index here counts the coupons paid, as everywhere
//! in this crate; the paper's exponent runs down.

use std::collections::BTreeMap;

use farthing_core::hash::{Purpose, hash};

/// A coupon of the paper: plain iterated hashing.
pub type PlainCoupon = [u8; 32];

/// The paper's `A`.
#[must_use]
pub fn a(coupon: &PlainCoupon) -> PlainCoupon {
    hash(Purpose::ChainId, &[coupon])
}

/// The coupons of a chain of `n`, `[0]` being the root that is authorised.
#[must_use]
pub fn chain(seed: PlainCoupon, n: usize) -> Vec<PlainCoupon> {
    let mut coupons = vec![seed];
    for _ in 0..n {
        coupons.push(a(coupons.last().unwrap_or(&seed)));
    }
    coupons.reverse();
    coupons
}

/// What goes over the wire: `i, A^i(P_B)`, and what is asked for, side by side.
#[derive(Clone, Debug)]
pub struct BareCoupon {
    /// How many coupons are paid in all.
    pub index: usize,
    /// The coupon.
    pub coupon: PlainCoupon,
    /// The micro-description.
    pub request: String,
}

/// The seller of §4.2.
#[derive(Clone, Debug)]
pub struct Seller {
    /// The last coupon seen.
    pub last: (usize, PlainCoupon),
    /// What was delivered.
    pub served: Vec<String>,
}

impl Seller {
    /// Opens at an authorised root.
    #[must_use]
    pub const fn new(root: PlainCoupon) -> Self {
        Self { last: (0, root), served: Vec::new() }
    }

    /// Serves whoever brings the next coupon, whatever it asks for.
    pub fn serve(&mut self, payment: &BareCoupon) -> bool {
        let (index, last) = self.last;
        let good = payment.index == index + 1 && a(&payment.coupon) == last;
        if good {
            self.last = (payment.index, payment.coupon);
            self.served.push(payment.request.clone());
        }
        good
    }
}

/// How the acquirer takes a second clearing of a chain; the paper leaves it open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// 3KP's way: a payment is cleared once.
    Refuse,
    /// Intermediary coupons may be cleared, each for what it is worth.
    Pay,
}

/// The acquirer of §4.3.
#[derive(Clone, Debug)]
pub struct Acquirer {
    /// The authorised roots: `H(V′)` and the root.
    pub roots: BTreeMap<PlainCoupon, PlainCoupon>,
    /// Chains cleared, and for how much.
    pub paid: BTreeMap<PlainCoupon, usize>,
    /// What a second clearing means.
    pub again: Again,
}

impl Acquirer {
    /// Clear-Request: whoever knows `V′` clears; returns how many coupons were paid for.
    pub fn clear(&mut self, opening: &PlainCoupon, index: usize, coupon: PlainCoupon) -> usize {
        let Some(root) = self.roots.get(&a(opening)) else { return 0 };
        let reached = (0..index).fold(coupon, |coupon, _| a(&coupon));
        if reached != *root || (self.again == Again::Refuse && self.paid.contains_key(root)) {
            return 0;
        }
        *self.paid.entry(*root).or_default() += index;
        index
    }
}
