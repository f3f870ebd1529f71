//! What a payment came to: the seller's acknowledgement, as a header.

use farthing_core::amount::Amount;
use farthing_core::time::Time;
use farthing_coupon::micro::{Ack, SessionName};
use serde::{Deserialize, Serialize};

use crate::names::METHOD;
use crate::payment::rfc3339;
use crate::{Unreadable, b64};

/// What a compact receipt begins with.
const COMPACT: &str = "farthing.";
/// The draft's status of a payment that was charged, all of it or a part.
const CHARGED: &str = "success";
/// Ours for one that was given back whole: the request failed, or cost nothing.
const NOT_CHARGED: &str = "not-charged";

/// `Payment-Receipt` in the draft's form.
#[derive(Serialize, Deserialize)]
struct ReceiptJson {
    method: String,
    reference: String,
    status: String,
    /// What was charged, in millionths.
    amount: String,
    currency: String,
    timestamp: String,
    /// The acknowledgement in canonical CBOR, in base64url.
    ack: String,
}

/// A receipt as brief as its payment was.
#[must_use]
pub fn compact(ack: &Ack) -> String {
    format!("{COMPACT}{}", b64::cbor(ack))
}

/// A receipt in the draft's form for a payment of which so much was charged, in money. `reference`
/// names the session and the payment in it.
#[must_use]
pub fn full(session: SessionName, ack: &Ack, charged: Amount, now: Time) -> String {
    b64::json_url(&ReceiptJson {
        method: METHOD.to_owned(),
        reference: reference(session, ack.index),
        status: if charged.is_zero() { NOT_CHARGED } else { CHARGED }.to_owned(),
        amount: charged.as_micros().to_string(),
        currency: charged.currency().code().to_owned(),
        timestamp: rfc3339(now),
        ack: b64::cbor(ack),
    })
}

/// Reads a receipt of either form. Whether it is the seller's word, the buyer's session knows.
///
/// # Errors
/// [`Unreadable`].
pub fn read(value: &str) -> Result<Ack, Unreadable> {
    let value = value.trim();
    if let Some(ack) = value.strip_prefix(COMPACT) {
        return b64::read_cbor(ack);
    }
    let receipt: ReceiptJson = b64::read_json_url(value)?;
    if receipt.method != METHOD {
        return Err(Unreadable::Foreign);
    }
    b64::read_cbor(&receipt.ack)
}

/// Names a payment for people: the session and its highest unit.
#[must_use]
pub fn reference(session: SessionName, index: u32) -> String {
    format!("{}.{index}", b64::url(&session.0))
}
