//! The broker: keeps a session with every seller and takes one from every buyer, so that strangers
//! who want one thing once need no session of their own.
//!
//! [`server`] runs it, [`client`] and [`customer`] are a buyer's side, [`pocket`] keeps its tokens,
//! [`spend`] spends them, and [`messages`] is what they say. What a broker
//! is and what it can do to whom is told in [`farthing_coupon::broker`]; this crate gives it a
//! store, a bank, an address, and hands to reach the sellers.
//!
//! # What a crash costs
//! A coupon is taken, and the seller's drawn for it, in one transaction; only then anything is sent.
//! A buyer that got no answer sends the same coupon again and gets what was drawn the first time.
//! So nobody loses more than the one coupon in question, whichever of the three is killed when.

pub mod client;
pub mod customer;
mod engine;
mod heard;
pub mod messages;
pub mod pocket;
mod rows;
pub mod server;
pub mod spend;
