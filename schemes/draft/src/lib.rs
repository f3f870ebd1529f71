//! Offline drafts (Kelsey and Schneier, peer-to-peer metering, §4), hardened.

pub mod bank;
pub mod interbank;
#[cfg(any(test, feature = "literal"))]
pub mod literal;
pub mod messages;
pub mod payee;
pub mod payer;
mod rows;
pub mod verdict;
pub mod wallet;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod testing;
