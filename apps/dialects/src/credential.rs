//! The payment in a request, whichever dialect it speaks.

use farthing_coupon::micro::{Bearer, Coupon};

use crate::payment::Challenge;
use crate::x402::PaymentRequirements;
use crate::{Unreadable, names, payment, x402};

/// A coupon as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    /// The payment.
    pub coupon: Coupon,
    /// Where it is a broker's token: who may spend it, and until when.
    pub bearer: Option<Bearer>,
    /// How it was written; the answer is written likewise.
    pub form: Form,
}

/// In which words a coupon came.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// `Payment …`: the packed coupon alone.
    Compact,
    /// The draft's: with the challenge it answers.
    Full(Box<Challenge>),
    /// x402 version 2, with what it accepts.
    X402V2(Box<PaymentRequirements>),
    /// x402 version 1.
    X402V1,
}

/// Why the payment in a request cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCredential {
    /// More than one: only one of them could be served, and which one nobody said.
    #[error("more than one payment in one request: send exactly one; none was taken")]
    Several,
    /// One that cannot be read.
    #[error("the payment cannot be read: it is {0}; nothing was taken")]
    Unreadable(#[from] Unreadable),
}

/// Finds the payment in a request's headers (names in lower case). `Authorization` of another
/// scheme is none of our business; everything that says it is a payment must be one, alone.
///
/// # Errors
/// [`BadCredential`].
pub fn find<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<Option<Credential>, BadCredential> {
    let mut found = None;
    for (name, value) in headers {
        let carries = match name {
            "authorization" => payment::is_payment(value),
            names::PAYMENT_SIGNATURE | names::X_PAYMENT => true,
            _ => false,
        };
        if carries && found.replace((name, value)).is_some() {
            return Err(BadCredential::Several);
        }
    }
    let Some((name, value)) = found else { return Ok(None) };
    let text = str::from_utf8(value).map_err(|_| Unreadable::Syntax)?;
    let credential = match name {
        names::PAYMENT_SIGNATURE => x402::read_signature(text)?,
        names::X_PAYMENT => x402::read_signature_v1(text)?,
        _ => payment::read_credential(text)?,
    };
    Ok(Some(credential))
}
