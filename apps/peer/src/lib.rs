//! A peer: a wallet that pays and is paid, a shop that sells content, a buyer that fetches it.

pub mod buyer;
pub mod shop;
pub mod talk;
pub mod wallet;
