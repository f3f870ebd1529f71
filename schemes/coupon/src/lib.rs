//! µ-iKP coupons (Hauser, Steiner and Waidner, 1996), hardened: the bank is asked once, and then
//! each request to one seller is paid with one hash.
//!
//! A buyer and a seller agree on a purchase of up to `n` coupons of value `v` by the six messages
//! of 3KP ([`messages`]): the [`buyer`] signs under a pseudonym, the [`seller`] forwards, and the
//! [`bank`], iKP's acquirer, sets `n·v` aside and signs that it did. From then on a payment is a
//! word of the chain, bound under a session key to the request it pays for ([`micro`]). The buyer's
//! side is a [`spender`], the seller's a [`session`], which takes payments in any order: the
//! highest index is the money, the set of served indices is what was delivered. The seller clears
//! in parts and is paid the difference each time; what was never spent goes back.
//!
//! Strangers who buy one thing once go through a [`broker`], which is a seller to every buyer and a
//! buyer to every seller. `docs/schemes/coupon.md` lists the paper's weaknesses, how each is mended
//! and which test shows it; the paper's own forms are in `literal` and 1KP and 2KP in
//! `reduced`, for tests only.

pub mod bank;
pub mod broker;
pub mod buyer;
mod change;
pub mod clearing;
pub mod exchange;
#[cfg(any(test, feature = "literal"))]
pub mod literal;
pub mod messages;
pub mod micro;
#[cfg(any(test, feature = "literal"))]
pub mod reduced;
pub mod secret;
pub mod seller;
pub mod session;
pub mod spender;
pub mod verdict;
mod window;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod broker_faults;
#[cfg(test)]
mod testing;
