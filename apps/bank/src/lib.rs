//! The bank: accounts, certificates, instruments, redemption, evidence.
//!
//! [`messages`] is what is said, [`client`] says it. [`home`] is a bank's folder with its
//! configuration and keys, [`signer`] the process that certifies.

pub mod client;
pub mod home;
pub mod messages;
pub mod signer;
