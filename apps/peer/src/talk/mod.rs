//! The dialogue between a buyer and a seller over one stream: one stream is one visit.
//!
//! ```text
//! buyer                              seller
//! Hello (versions, network)    ->
//!                              <-    Hello (version, network)
//! Want (content, old quote?)   ->
//!                              <-    Quote (signed order)
//! Begin (touchstone, reserve)  ->                            only if it costs something
//!                              <-    Accepted (paid through, last piece)
//! Pay (word, piece)            ->                            or Get (piece) if it is free
//!                              <-    Piece (number), then a frame with the piece and its proof
//! ...
//! Done                         ->
//!                              <-    Released (release, receipt)
//! ```
//!
//! Pieces can be paid for together, by a draft or a ticket of the bank, and are then fetched like
//! free ones, as often as it takes:
//!
//! ```text
//! Lot (pieces, payment)        ->                            instead of Begin
//!                              <-    Thanks (receipt)
//! Get (piece)                  ->
//!                              <-    Piece (number), then a frame with the piece and its proof
//! ```
//!
//! And an order of its own is paid without any content; see [`owing`]:
//!
//! ```text
//! Owe (order)                  ->                            instead of Want
//!                              <-    Terms (what is taken, a key to seal to)
//! Hand (draft or ticket)       ->                            or Begin, and Pay with Done
//!                              <-    Thanks (receipt)        or Accepted, and Released
//! ```
//!
//! Either side may say Refused instead, and the visit is over. A message out of turn is refused in
//! the same way. Each side is a chain of states: [`buying`] here, the seller's in
//! [`visit`](crate::shop).
//!
//! A visit that broke off is taken up again by quoting the old quote and beginning with the same
//! reserve: the seller states how far it was paid and which piece the last payment was for, and
//! hands that piece out [`Again`](messages::Ask::Again) for nothing.

pub mod buying;
mod error;
pub mod handover;
mod line;
pub mod messages;
mod metered;
pub mod owing;
pub mod text;

#[cfg(test)]
pub(crate) mod testing;

use std::time::Duration;

pub use error::TalkError;
pub use line::{HELD_BACK, Line};
pub use metered::{Metered, metered};

/// The versions of the dialogue spoken here, the best first.
pub const VERSIONS: [u16; 1] = [1];

/// The most versions a greeting may list.
pub const VERSIONS_MAX: usize = 8;

/// The longest message of a buyer, in bytes: a reserve with an earlier one and its release. It also
/// bounds what an idle visit keeps waiting in memory.
pub const ASK_BYTES_MAX: usize = 8 << 10;

/// The longest detail of a refusal that is kept, in characters.
pub const DETAIL_MAX: usize = 300;

/// How long each phase of a visit may take, before the other side counts as gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the stream to the answer to the greeting.
    pub greeting: Duration,
    /// From asking for content to its quote.
    pub quote: Duration,
    /// From showing a reserve to its admission.
    pub admit: Duration,
    /// How long a buyer may think between two requests; others may be fetching the last pieces.
    pub idle: Duration,
    /// From paying for a piece to having it whole.
    pub piece: Duration,
    /// How long writing one message may take.
    pub write: Duration,
    /// From the buyer's last word to the release.
    pub release: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(10),
            quote: Duration::from_secs(10),
            admit: Duration::from_secs(20),
            idle: Duration::from_secs(90),
            piece: Duration::from_secs(30),
            write: Duration::from_secs(20),
            release: Duration::from_secs(10),
        }
    }
}
