//! The gateway: a reverse proxy that is paid for every request, byte or second.
//!
//! In front of any HTTP service, or of a folder of files, it says what a request costs ([`prices`]),
//! in every dialect that [`farthing_dialects`] writes, takes one coupon for it ([`book`]), passes it
//! on, and gives the payment back where the service fails. Sessions are opened once by 3KP with the bank's consent and
//! cleared in parts ([`clearing`]); in between the bank is not asked.
//!
//! What can be lost: with [`Durability::Each`] nothing; with [`Durability::Every`] what is taken in
//! that time, if the machine fails, since those coupons could be spent here again.

pub mod acquirer;
pub mod book;
mod catalogue;
pub mod clearing;
mod cors;
mod counter;
mod entrance;
mod gate;
mod guests;
mod listing;
mod local;
mod pages;
pub mod prices;
mod proxy;
mod refuse;
pub mod report;
mod running;
mod to_the_end;

pub use listing::Listed;
pub use local::BadFolder;
pub use proxy::{
    BadBehind, BadUpstream, Behind, STREAMS_MAX, StreamLimits, TOP_UPS_MAX, UPGRADED_MAX, Upstream, UpstreamError,
};
pub use running::{
    ALL_BODY_BYTES_MAX, BODY_BYTES_MAX, Bank, ClearStoppedError, Config, Control, Durability, Gateway, Keys,
    PriceSource, QUOTE_LIFE, StartError, UPSTREAM_TIME, clear_stopped, limits, records_in,
};
