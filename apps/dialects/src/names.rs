//! Names of headers, and of the places a gateway serves itself. All free of charge.

/// What the client can pay with: `farthing/session, farthing/charge;q=0.5`.
pub const ACCEPT_PAYMENT: &str = "accept-payment";
/// The receipt for a payment, on the answer or in its trailer.
pub const PAYMENT_RECEIPT: &str = "payment-receipt";
/// x402 version 2, server to client: what is wanted.
pub const PAYMENT_REQUIRED: &str = "payment-required";
/// x402 version 2, client to server: the payment.
pub const PAYMENT_SIGNATURE: &str = "payment-signature";
/// x402 version 2, server to client: what came of it.
pub const PAYMENT_RESPONSE: &str = "payment-response";
/// x402 version 1, client to server: the payment.
pub const X_PAYMENT: &str = "x-payment";
/// x402 version 1, server to client: what came of it.
pub const X_PAYMENT_RESPONSE: &str = "x-payment-response";
/// The client's own name for a request, so that it is not carried out twice.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Names an answer whose cost is not known when its headers leave. Its receipt is in the trailer
/// and at [`receipt_path`]; more is paid at [`stream_path`].
pub const STREAM: &str = "farthing-stream";
/// Says `true` on an answer that was given before and is given again.
pub const REPEATED: &str = "farthing-repeated";

/// The authentication scheme.
pub const SCHEME: &str = "Payment";
/// The payment method, and what compact forms begin with.
pub const METHOD: &str = "farthing";
/// One payment by itself.
pub const CHARGE: &str = "charge";
/// Payments within a session.
pub const SESSION: &str = "session";

/// Below it lies everything that is the gateway's own.
pub const WELL_KNOWN: &str = "/.well-known/farthing";
/// `GET`: what is on sale, an [`Offer`](crate::service::Offer) in CBOR.
pub const OFFER_PATH: &str = "/.well-known/farthing/offer";
/// `GET`: the price list in JSON, for people and programs.
pub const CATALOGUE_PATH: &str = "/.well-known/farthing/catalogue";
/// `POST` an `Initiate`, get a `Signed<Clear>`: the invoice.
pub const INITIATE_PATH: &str = "/.well-known/farthing/open/initiate";
/// `POST` a `Payment`, get a `Confirm`. The same bytes may be sent again and again.
pub const OPEN_PATH: &str = "/.well-known/farthing/open/payment";
/// `POST` a `Signed<CloseSession>`, get a [`SessionView`](crate::service::SessionView).
pub const CLOSE_PATH: &str = "/.well-known/farthing/close";
/// `POST` a `Signed<AskSession>`, get a [`SessionView`](crate::service::SessionView).
pub const SESSION_PATH: &str = "/.well-known/farthing/session";
/// `POST` a [`BringTip`](crate::service::BringTip), get a `Seen`: money without an order.
pub const TIP_PATH: &str = "/.well-known/farthing/tip";
/// The media type of every body under [`WELL_KNOWN`] except the catalogue.
pub const CBOR: &str = "application/cbor";

/// Where more is paid for a running answer: a paid request like any other (`POST`, empty body),
/// of as many units as the client likes.
#[must_use]
pub fn stream_path(stream: &str) -> String {
    format!("{WELL_KNOWN}/stream/{stream}")
}

/// Where the receipt of a streamed answer is found once it has ended (`GET`).
#[must_use]
pub fn receipt_path(stream: &str) -> String {
    format!("{WELL_KNOWN}/receipt/{stream}")
}
