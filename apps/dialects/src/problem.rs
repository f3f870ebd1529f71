//! How a payment is refused: RFC 9457 problems, of the draft's types where it has one.

use farthing_core::refusal::{Fault, Money, Remedy};
use farthing_coupon::micro::Ack;
use serde::{Deserialize, Serialize};

use crate::{Unreadable, b64};

/// A kind of problem: its address, title and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// What programs go by.
    pub uri: &'static str,
    /// The kind in a few words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $status:literal $title:literal $uri:literal;)*) => {
        $($(#[$doc])* pub const $name: Kind = Kind { uri: $uri, title: $title, status: $status };)*
    };
}

kinds! {
    /// Nothing was paid; the challenges say how to.
    PAYMENT_REQUIRED = 402 "Payment Required" "https://paymentauth.org/problems/payment-required";
    /// The payment cannot be read. Nothing was taken.
    MALFORMED = 400 "Malformed Credential" "https://paymentauth.org/problems/malformed-credential";
    /// More than one payment in one request. None was taken.
    SEVERAL = 400 "Bad Request" "https://paymentauth.org/problems/bad-request";
    /// A payment of another method or network.
    UNSUPPORTED = 400 "Method Unsupported" "https://paymentauth.org/problems/method-unsupported";
    /// The challenge is not this server's, was changed, or is for another request.
    INVALID_CHALLENGE = 402 "Invalid Challenge" "https://paymentauth.org/problems/invalid-challenge";
    /// The challenge or the session has ended.
    EXPIRED = 402 "Payment Expired" "https://paymentauth.org/problems/payment-expired";
    /// The coupon was not made for this request in this session, or is forged.
    VERIFICATION_FAILED = 402 "Verification Failed" "https://paymentauth.org/problems/verification-failed";
    /// It pays less than the request costs, or more.
    INSUFFICIENT = 402 "Payment Insufficient" "https://paymentauth.org/problems/payment-insufficient";
    /// No such session here.
    SESSION_UNKNOWN = 410 "Session Not Found" "https://paymentauth.org/problems/session/channel-not-found";
    /// The session takes no more payments.
    SESSION_CLOSED = 410 "Session Closed" "https://paymentauth.org/problems/session/channel-finalized";
    /// The coupon was used before, and its answer is no longer kept.
    REPLAYED = 409 "Coupon Used" "urn:farthing:problem:coupon-used";
    /// The same payment is being served at this moment.
    IN_PROGRESS = 409 "In Progress" "urn:farthing:problem:in-progress";
    /// The coupon's units lie too far ahead or behind.
    OUT_OF_RANGE = 422 "Coupon Out Of Range" "urn:farthing:problem:out-of-range";
    /// The service behind the gateway failed. The payment was given back.
    UPSTREAM_FAILED = 502 "Upstream Failed" "urn:farthing:problem:upstream-failed";
    /// The service behind the gateway took too long. The payment was given back.
    UPSTREAM_SLOW = 504 "Upstream Timeout" "urn:farthing:problem:upstream-timeout";
    /// The gateway cannot write payments down at present. Whether this one counts is unknown.
    NOT_DURABLE = 503 "Not Recorded" "urn:farthing:problem:not-recorded";
    /// Too many requests.
    RATE = 429 "Too Many Requests" "urn:farthing:refusal:rate";
}

/// A refused payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentProblem {
    /// One of the kinds' addresses.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This case in a sentence, with what to do about it.
    pub detail: String,
    /// Whose doing.
    pub fault: Fault,
    /// Whether money may have moved.
    pub money: Money,
    /// What to do next.
    pub remedy: Remedy,
    /// The challenge it is about.
    #[serde(default, rename = "challengeId", skip_serializing_if = "Option::is_none")]
    pub challenge: Option<String>,
    /// The seller's word that the payment was not used, or that much of it: an acknowledgement in
    /// canonical CBOR, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<String>,
}

impl PaymentProblem {
    /// A problem of a kind: the client's mistake, to be mended, and no money moved.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind: kind.uri.to_owned(),
            title: kind.title.to_owned(),
            status: kind.status,
            detail: detail.into(),
            fault: Fault::Sender,
            money: Money::Unmoved,
            remedy: Remedy::Mend,
            challenge: None,
            ack: None,
        }
    }

    /// Whether it is of a kind.
    #[must_use]
    pub fn is(&self, kind: Kind) -> bool {
        self.kind == kind.uri
    }

    /// The same, with the seller's word on how much of the payment was used.
    #[must_use]
    pub fn acknowledging(mut self, ack: &Ack) -> Self {
        self.ack = Some(b64::cbor(ack));
        self
    }

    /// The seller's word on how much of the payment was used, if it gave one.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn ack(&self) -> Result<Option<Ack>, Unreadable> {
        self.ack.as_deref().map(b64::read_cbor).transpose()
    }
}
