//! How a paid request looks over HTTP.
//!
//! There is one [`Quote`](quote::Quote) and one set of books; a dialect only writes the quote down
//! in its own words, and reads a coupon out of its own header:
//!
//! - [`payment`]: the `Payment` authentication scheme (draft-httpauth-payment-01), method
//!   `farthing`, intents `charge` and `session`;
//! - [`x402`]: x402 version 2 (three headers) and version 1 (a body and two headers), scheme
//!   `batch-settlement`, network `farthing:<network>`.
//!
//! Both sides use this crate, and it touches no socket. Everything read here comes from strangers:
//! lengths are checked first, reading costs a bounded amount and never panics.
//!
//! One thing differs from the draft. A credential there repeats the whole challenge, some 700 bytes,
//! with every request. The first one here does so too; after it `Authorization: Payment <coupon>`
//! says the same in about 100 bytes, since the coupon is bound to the request and the request has
//! one price. A receipt comes back in the form in which the payment came.

mod b64;
mod compact;
pub mod credential;
pub mod names;
mod params;
pub mod payment;
pub mod problem;
pub mod quote;
pub mod receipt;
pub mod service;
pub mod x402;

#[cfg(test)]
mod tests;

/// The longest header that is written, and the longest text in it that is read: 4 KiB. What is
/// written stays under 2 KiB.
pub const HEADER_BYTES_MAX: usize = 4 << 10;

/// Something that does not read as what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Longer than [`HEADER_BYTES_MAX`], or with more parts than there may be.
    #[error("longer than {HEADER_BYTES_MAX} bytes, or with too many parts")]
    TooLong,
    /// Not base64url without padding (or, for x402, base64).
    #[error("not in base64")]
    Base64,
    /// Not the JSON that belongs there.
    #[error("not the JSON object that belongs here")]
    Json,
    /// Not what a coupon, acknowledgement or order looks like in canonical CBOR.
    #[error("not in canonical CBOR")]
    Cbor,
    /// Not written as the scheme wants it: a parameter is missing, double or malformed.
    #[error("not written as the scheme wants it: something is missing, double or malformed")]
    Syntax,
    /// Of another scheme, method or network.
    #[error("of another payment method or network")]
    Foreign,
}
