//! Offline drafts (Kelsey and Schneier, peer-to-peer metering, §4), hardened.

pub mod bank;
pub mod interbank;
pub mod messages;
pub mod payee;
pub mod payer;
mod rows;
pub mod verdict;
pub mod wallet;
