//! An HTTP client that pays.
//!
//! [`PayingClient`] is a [`reqwest::Client`] with a wallet behind it. A request that is answered by
//! 402 is paid for, within the caps of [`Options`] and the wallet's own policy, and sent again; one
//! whose price is known is paid at once. A seller is met once, in six messages (`opening.rs` tells
//! how), and from then on a payment is one hash in one header.
//!
//! # What is promised
//! - Requests side by side never use one payment twice, and no request is paid twice: a request
//!   whose answer went missing is sent again with the very same payment, now and, after
//!   [`PayError::Unknown`] or a restart, whenever the same request is made again. A server that has
//!   taken that payment and has no answer for it any more is not paid anew: [`PayError::Spent`].
//! - No server keeps the client waiting for ever for an answer to begin ([`ANSWER_TIME`]).
//! - Nothing a server says makes the client pay more than the caps, pay another key than the
//!   wallet knows at that site, or believe another count than the wallet's own.
//! - A receipt is checked under the session's key, and the answer against the receipt
//!   ([`Receipt`]).
//! - A server that settles through a facilitator, as stock x402 software does, is paid through the
//!   wallet's own bank and no other (`facilitated.rs`).
//! - Everything is bounded: bodies to be paid for, answers that the client reads for itself, tries,
//!   waits, what is remembered.
//!
//! [`proxy`] is the same for programs that cannot be changed.

mod answer;
mod caps;
mod client;
mod error;
mod facilitated;
mod opening;
mod pay;
pub mod proxy;
mod quoted;
mod running;
mod seat;
mod wanted;

#[cfg(test)]
mod tests;

pub use answer::{Paid, Receipt};
pub use client::{ANSWER_TIME, Options, PayingClient, SITES_MAX};
pub use error::{Advice, PayError};
pub use opening::Closed;
pub use pay::{ATTEMPTS_MAX, RESENDS_MAX};
pub use quoted::{PRICES_MAX, Price};
pub use wanted::BODY_MAX;
