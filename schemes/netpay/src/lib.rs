//! P2P-NetPay (Dai and Grundy, 2007), hardened: one hash pays, offline from the bank.
//!
//! A payer opens a *chain* with the bank, which sets its whole value aside and signs a
//! *touchstone*. At each payee the payer signs one *reserve*, so many units for this payee and no
//! other, and then pays by sending *paywords*: one hash to check, no signature, nobody to ask. When
//! it leaves, the payee signs a *release* of what was not used. The payee later *claims* what it
//! earned, many visits in one request.
//!
//! The paper lets the broker make the chain, binds a word to no payee and an index to no bound, and
//! so lets words be spent twice, stolen, and blamed on the innocent. The protocol book's §14 lists
//! the flaws; `docs/schemes/netpay.md` says how each is mended and which test shows it. The paper's
//! own protocol is in `literal.rs`, for tests only.

pub mod bank;
#[cfg(any(test, feature = "literal"))]
pub mod literal;
pub mod messages;
pub mod payee;
pub mod payer;
pub mod verdict;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod testing;
