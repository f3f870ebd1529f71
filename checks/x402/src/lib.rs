//! A bank with a facilitator, and a wallet that programs in other languages can ask for payments.
//!
//! For tests only: the wallet keeps nothing on disk and has no policy.

mod purse;
mod stock;
mod town;
mod wallet;

pub use purse::Purse;
pub use stock::Stock;
pub use town::{Town, key, micros};
pub use wallet::serve;
