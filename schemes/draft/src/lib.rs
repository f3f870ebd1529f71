//! Offline drafts (Kelsey and Schneier, peer-to-peer metering, §4), hardened.

pub mod interbank;
pub mod messages;
