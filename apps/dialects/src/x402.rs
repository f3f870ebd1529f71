//! x402: version 2 in three headers, version 1 in a body and two headers.
//!
//! The scheme is `batch-settlement`: many payments, settled together later. The payload is the same
//! coupon. `extra` carries the quote, and an `id` bound to all of the requirements and to the host
//! that asks ([`PaymentRequirements::is_of`]); a version 2 client repeats them in `accepted`. A
//! version 1 client repeats only scheme and network, and the coupon is checked against today's price.

use farthing_core::id::{NetworkId, PeerId};
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_coupon::micro::{Ack, Coupon, SessionName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::credential::{Credential, Form};
use crate::payment::{Details, Payload, micros_of};
use crate::quote::{ChallengeKey, Quote};
use crate::{Unreadable, b64, receipt};

/// The scheme.
pub const SCHEME: &str = "batch-settlement";
/// What a network's name begins with.
pub const NETWORK_PREFIX: &str = "farthing:";
/// The reason given where a payment was taken and given back.
pub const NOTHING_CHARGED: &str = "nothing_charged";
/// The most ways to pay that are read.
const ACCEPTS_MAX: usize = 16;

/// The name of a network in x402 (CAIP-2 in form).
#[must_use]
pub fn network_name(network: NetworkId) -> String {
    format!("{NETWORK_PREFIX}{network}")
}

/// The network of that name.
///
/// # Errors
/// [`Unreadable::Foreign`].
pub fn read_network(name: &str) -> Result<NetworkId, Unreadable> {
    name.strip_prefix(NETWORK_PREFIX).and_then(|id| id.parse().ok()).ok_or(Unreadable::Foreign)
}

/// What is paid for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceInfo {
    /// Its address.
    pub url: String,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The media type of the answer.
    #[serde(default, rename = "mimeType", skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

/// One way to pay, version 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// How.
    pub scheme: String,
    /// Where.
    pub network: String,
    /// In what: for us the currency.
    pub asset: String,
    /// How much at most, in millionths.
    pub amount: String,
    /// Whom.
    pub pay_to: String,
    /// For how long it holds.
    pub max_timeout_seconds: u64,
    /// What else the scheme needs.
    #[serde(default)]
    pub extra: Value,
}

/// What is wanted, version 2: the `PAYMENT-REQUIRED` header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// 2.
    pub x402_version: u32,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is paid for.
    pub resource: ResourceInfo,
    /// The ways to pay.
    pub accepts: Vec<PaymentRequirements>,
}

/// A payment, version 2: the `PAYMENT-SIGNATURE` header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload {
    /// 2.
    pub x402_version: u32,
    /// What is paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceInfo>,
    /// The way that was chosen, unchanged.
    pub accepted: PaymentRequirements,
    /// The payment.
    pub payload: Value,
}

/// One way to pay, version 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirementsV1 {
    /// How.
    pub scheme: String,
    /// Where.
    pub network: String,
    /// How much at most, in millionths.
    pub max_amount_required: String,
    /// The resource's address.
    pub resource: String,
    /// In words.
    pub description: String,
    /// The media type of the answer.
    #[serde(default)]
    pub mime_type: String,
    /// Whom.
    pub pay_to: String,
    /// For how long it holds.
    pub max_timeout_seconds: u64,
    /// In what.
    pub asset: String,
    /// What else the scheme needs.
    #[serde(default)]
    pub extra: Value,
}

/// What is wanted, version 1: members of the body of a 402.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequiredV1 {
    /// 1.
    pub x402_version: u32,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The ways to pay.
    pub accepts: Vec<PaymentRequirementsV1>,
}

/// A payment, version 1: the `X-PAYMENT` header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayloadV1 {
    /// 1.
    pub x402_version: u32,
    /// How.
    pub scheme: String,
    /// Where.
    pub network: String,
    /// The payment.
    pub payload: Value,
}

/// What came of it: `PAYMENT-RESPONSE` and `X-PAYMENT-RESPONSE`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleResponse {
    /// Whether it was taken.
    pub success: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// The payment's name; empty where there is none.
    pub transaction: String,
    /// Where.
    pub network: String,
    /// How much was charged, in millionths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// What else the scheme has to say.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub extra: Value,
}

/// The quote and its id, in `extra`.
#[derive(Serialize, Deserialize)]
struct Extra {
    #[serde(flatten)]
    details: Details,
    /// Seconds since 1970.
    expires: u64,
    id: String,
}

/// The acknowledgement, in a response's `extra`.
#[derive(Serialize, Deserialize)]
struct Acked {
    ack: String,
}

impl PaymentRequirements {
    /// The way to pay a quote of a host, named as `realm` is in the `Payment` scheme.
    #[must_use]
    pub fn new(key: &ChallengeKey, quote: &Quote, now: Time, realm: &str) -> Self {
        let mut wants = Self {
            scheme: SCHEME.to_owned(),
            network: network_name(quote.network),
            asset: quote.coupon.currency().code().to_owned(),
            amount: micros_of(quote),
            pay_to: quote.seller.to_string(),
            max_timeout_seconds: quote.expires.since(now).as_millis().div_ceil(1_000).max(1),
            extra: Value::Null,
        };
        let expires = quote.expires.as_millis() / 1_000;
        let extra = Extra { details: Details::of(quote), expires, id: wants.id(key, quote, realm) };
        wants.extra = serde_json::to_value(extra).unwrap_or_default();
        wants
    }

    /// Whether they are that key's own word for that host, unchanged.
    #[must_use]
    pub fn is_of(&self, key: &ChallengeKey, realm: &str) -> bool {
        self.quote().is_ok_and(|(quote, id)| self.with_slots(&quote, realm, |slots| key.knows(slots, &id)))
    }

    fn id(&self, key: &ChallengeKey, quote: &Quote, realm: &str) -> String {
        self.with_slots(quote, realm, |slots| key.id(slots))
    }

    /// All that the id is bound to.
    fn with_slots<T>(&self, quote: &Quote, realm: &str, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        with(&[
            b"x402",
            realm.as_bytes(),
            self.scheme.as_bytes(),
            self.network.as_bytes(),
            self.asset.as_bytes(),
            self.amount.as_bytes(),
            self.pay_to.as_bytes(),
            &self.max_timeout_seconds.to_be_bytes(),
            &wire::encode(quote),
        ])
    }

    /// The quote in it, and its id.
    ///
    /// # Errors
    /// [`Unreadable::Foreign`] for another scheme or network; others where it makes no sense.
    pub fn quote(&self) -> Result<(Quote, String), Unreadable> {
        read_quote(&self.scheme, &self.network, &self.pay_to, &self.asset, &self.amount, &self.extra)
    }
}

impl PaymentRequirementsV1 {
    /// The same in version 1, for the resource at an address.
    #[must_use]
    pub fn new(v2: PaymentRequirements, resource: &str) -> Self {
        Self {
            scheme: v2.scheme,
            network: v2.network,
            max_amount_required: v2.amount,
            resource: resource.to_owned(),
            description: String::new(),
            mime_type: String::new(),
            pay_to: v2.pay_to,
            max_timeout_seconds: v2.max_timeout_seconds,
            asset: v2.asset,
            extra: v2.extra,
        }
    }

    /// The quote in it, and its id.
    ///
    /// # Errors
    /// [`Unreadable::Foreign`] for another scheme or network; others where it makes no sense.
    pub fn quote(&self) -> Result<(Quote, String), Unreadable> {
        read_quote(&self.scheme, &self.network, &self.pay_to, &self.asset, &self.max_amount_required, &self.extra)
    }
}

fn read_quote(
    scheme: &str,
    network: &str,
    pay_to: &str,
    asset: &str,
    amount: &str,
    extra: &Value,
) -> Result<(Quote, String), Unreadable> {
    let network = read_network(network)?;
    if scheme != SCHEME {
        return Err(Unreadable::Foreign);
    }
    let seller: PeerId = pay_to.parse().map_err(|_| Unreadable::Syntax)?;
    let extra = Extra::deserialize(extra).map_err(|_| Unreadable::Json)?;
    if extra.details.network != network {
        return Err(Unreadable::Syntax);
    }
    let expires = extra.expires.checked_mul(1_000).ok_or(Unreadable::Syntax)?;
    Ok((extra.details.quote(seller, asset, amount, Time::from_millis(expires))?, extra.id))
}

impl PaymentRequired {
    /// What a server wants for a resource.
    #[must_use]
    pub fn new(accepts: PaymentRequirements, url: &str) -> Self {
        let resource = ResourceInfo { url: url.to_owned(), description: None, mime_type: None };
        Self { x402_version: 2, error: None, resource, accepts: vec![accepts] }
    }

    /// As the value of the header.
    #[must_use]
    pub fn header(&self) -> String {
        b64::json_padded(self)
    }

    /// Reads the header.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(value: &str) -> Result<Self, Unreadable> {
        let read: Self = b64::read_json_padded(value)?;
        if read.x402_version != 2 {
            return Err(Unreadable::Foreign);
        }
        if read.accepts.len() > ACCEPTS_MAX { Err(Unreadable::TooLong) } else { Ok(read) }
    }
}

/// `PAYMENT-SIGNATURE`: a coupon for one of the ways to pay.
#[must_use]
pub fn signature(accepted: &PaymentRequirements, coupon: &Coupon) -> String {
    b64::json_padded(&PaymentPayload {
        x402_version: 2,
        resource: None,
        accepted: accepted.clone(),
        payload: payload(coupon),
    })
}

/// `X-PAYMENT`, version 1.
#[must_use]
pub fn signature_v1(network: NetworkId, coupon: &Coupon) -> String {
    b64::json_padded(&PaymentPayloadV1 {
        x402_version: 1,
        scheme: SCHEME.to_owned(),
        network: network_name(network),
        payload: payload(coupon),
    })
}

/// A coupon as an x402 payload.
#[must_use]
pub fn payload(coupon: &Coupon) -> Value {
    serde_json::to_value(Payload::of(coupon)).unwrap_or_default()
}

/// The coupon in an x402 payload.
///
/// # Errors
/// [`Unreadable`].
pub fn read_payload(payload: &Value) -> Result<Coupon, Unreadable> {
    Payload::deserialize(payload).map_err(|_| Unreadable::Json)?.coupon()
}

/// Reads `PAYMENT-SIGNATURE`.
///
/// # Errors
/// [`Unreadable`].
pub fn read_signature(value: &str) -> Result<Credential, Unreadable> {
    let read: PaymentPayload = b64::read_json_padded(value)?;
    if read.x402_version != 2 {
        return Err(Unreadable::Foreign);
    }
    let coupon = read_payload(&read.payload)?;
    read.accepted.quote()?;
    Ok(Credential { coupon, bearer: None, form: Form::X402V2(Box::new(read.accepted)) })
}

/// Reads `X-PAYMENT`.
///
/// # Errors
/// [`Unreadable`].
pub fn read_signature_v1(value: &str) -> Result<Credential, Unreadable> {
    let read: PaymentPayloadV1 = b64::read_json_padded(value)?;
    if read.x402_version != 1 || read.scheme != SCHEME {
        return Err(Unreadable::Foreign);
    }
    read_network(&read.network)?;
    Ok(Credential { coupon: read_payload(&read.payload)?, bearer: None, form: Form::X402V1 })
}

impl SettleResponse {
    /// What became of a payment; `amount` in millionths. Of a payment that was given back nothing was
    /// settled.
    #[must_use]
    pub fn settled(network: NetworkId, session: SessionName, ack: &Ack, amount: u64) -> Self {
        let charged = ack.charged > 0;
        Self {
            success: charged,
            error_reason: (!charged).then(|| NOTHING_CHARGED.to_owned()),
            payer: None,
            transaction: receipt::reference(session, ack.index),
            network: network_name(network),
            amount: Some(amount.to_string()),
            extra: serde_json::to_value(Acked { ack: b64::cbor(ack) }).unwrap_or_default(),
        }
    }

    /// As the value of the header.
    #[must_use]
    pub fn header(&self) -> String {
        b64::json_padded(self)
    }

    /// Reads the header.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(value: &str) -> Result<Self, Unreadable> {
        b64::read_json_padded(value)
    }

    /// The seller's acknowledgement in it.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn ack(&self) -> Result<Ack, Unreadable> {
        b64::read_cbor(&Acked::deserialize(&self.extra).map_err(|_| Unreadable::Json)?.ack)
    }
}
