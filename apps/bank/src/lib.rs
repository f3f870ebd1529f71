//! The bank: accounts, certificates, instruments, redemption, evidence.
//!
//! [`messages`] is what is said, [`client`] says it.

pub mod client;
pub mod messages;
