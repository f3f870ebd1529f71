//! What every role of farthing knows, and nothing that acts.
//!
//! This crate has no socket, no disk, no clock and no dice: time and randomness are handed in.
//! Read it from the bottom up: [`amount`] and [`id`] name things, [`wire`] writes them down in one
//! way only, [`hash`] and [`sign`] prove them, [`chain`] pays with them, and [`order`], [`audit`]
//! and [`evidence`] say afterwards what happened.

pub mod aead;
pub mod amount;
pub mod audit;
pub mod cert;
pub mod chain;
pub mod evidence;
pub mod hash;
pub mod id;
pub mod meter;
pub mod order;
pub mod refusal;
pub mod replay;
pub mod seal;
pub mod seed;
pub mod session;
pub mod sign;
pub mod time;
pub mod title;
pub mod vault;
pub mod wire;
