//! What a server asks: x402's verify and settle, of both versions.

use farthing_core::amount::{Amount, Currency};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::refusal::Refusal;
use farthing_core::time::Span;
use farthing_coupon::micro::Coupon;
use farthing_dialects::x402::{
    PaymentPayload, PaymentPayloadV1, PaymentRequirements, PaymentRequirementsV1, SCHEME, read_network, read_payload,
};
use serde::Deserialize;
use serde_json::Value;

/// The longest time for which a payment is kept for one delivery: ten minutes.
const KEPT_SECONDS_MAX: u64 = 600;
/// The longest name of an item.
const ITEM_BYTES_MAX: usize = 2 << 10;

/// What a coupon at a facilitator pays for: so much to this account, for an item if the server names
/// one. Buyer and facilitator both work it out from what the server wants. (Version 2 lets only the
/// buyer say which address it asked for, and there is nothing in binding a buyer's word to itself.)
#[must_use]
pub fn request_digest(item: &str, pay_to: PeerId, amount: Amount) -> [u8; 32] {
    let (micros, currency) = (amount.as_micros().to_be_bytes(), amount.currency());
    hash(Purpose::CouponOrder, &[b"x402", item.as_bytes(), &pay_to.0, &micros, currency.code().as_bytes()])
}

/// The item that a server names in what it wants: `extra.item`, or in version 1 the resource.
#[must_use]
pub fn item_of(wanted: &Value) -> &str {
    let named = wanted["extra"]["item"].as_str();
    named.or_else(|| wanted["resource"].as_str()).unwrap_or_default()
}

/// Why a payment is not taken, in x402's words and in ours. Nothing was charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct No {
    /// For programs.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) message: String,
}

impl No {
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl From<Refusal> for No {
    fn from(why: Refusal) -> Self {
        Self::new("refused", why.detail)
    }
}

/// A payment that a server brings, and what it wants for it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The payment.
    pub(crate) coupon: Coupon,
    /// What is paid for, if the server says so.
    pub(crate) item: String,
    /// Whom.
    pub(crate) pay_to: PeerId,
    /// What the buyer agreed to.
    pub(crate) agreed: Amount,
    /// What the server asks for: that, or less when it settles.
    pub(crate) wanted: Amount,
    /// For how long the payment is kept while the server works.
    pub(crate) kept: Span,
    /// Who is known to ask, by its pass.
    pub(crate) holder: Option<PeerId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    payment_payload: Value,
    payment_requirements: Value,
}

/// The parts that both versions have.
struct Wanted<'a> {
    scheme: &'a str,
    network: &'a str,
    asset: &'a str,
    pay_to: &'a str,
}

impl Asked {
    /// Reads the body of `/verify` or `/settle`.
    pub(crate) fn read(bytes: &[u8], network: NetworkId) -> Result<Self, No> {
        let request: Request =
            serde_json::from_slice(bytes).map_err(|_| invalid("this is no request to a facilitator"))?;
        match request.payment_payload.get("x402Version").and_then(Value::as_u64) {
            Some(2) => Self::v2(&request, network),
            Some(1) => Self::v1(&request, network),
            _ => Err(No::new("invalid_x402_version", "versions 1 and 2 are spoken here")),
        }
    }

    fn v2(request: &Request, here: NetworkId) -> Result<Self, No> {
        let payload: PaymentPayload = read(&request.payment_payload)?;
        let wanted: PaymentRequirements = read(&request.payment_requirements)?;
        let PaymentRequirements { scheme, network, asset, amount, pay_to, max_timeout_seconds, .. } = &wanted;
        let agreed = &payload.accepted;
        if (&agreed.scheme, &agreed.network, &agreed.asset, &agreed.pay_to) != (scheme, network, asset, pay_to) {
            let why = "the buyer agreed to something else than the server wants";
            return Err(No::new("invalid_payment_requirements", why));
        }
        let parts = Wanted { scheme, network, asset, pay_to };
        let item = item_of(&request.payment_requirements);
        Self::new(&payload.payload, &parts, (&agreed.amount, amount), item, *max_timeout_seconds, here)
    }

    fn v1(request: &Request, here: NetworkId) -> Result<Self, No> {
        let payload: PaymentPayloadV1 = read(&request.payment_payload)?;
        let wanted: PaymentRequirementsV1 = read(&request.payment_requirements)?;
        if (&payload.scheme, &payload.network) != (&wanted.scheme, &wanted.network) {
            return Err(No::new("invalid_scheme", "the payment is of another scheme or network than the server wants"));
        }
        let PaymentRequirementsV1 { scheme, network, asset, max_amount_required, pay_to, .. } = &wanted;
        let (parts, amount) = (Wanted { scheme, network, asset, pay_to }, max_amount_required);
        let item = item_of(&request.payment_requirements);
        Self::new(&payload.payload, &parts, (amount, amount), item, wanted.max_timeout_seconds, here)
    }

    fn new(
        payload: &Value,
        parts: &Wanted<'_>,
        (agreed, wanted): (&str, &str),
        item: &str,
        seconds: u64,
        here: NetworkId,
    ) -> Result<Self, No> {
        if parts.scheme != SCHEME {
            return Err(No::new("invalid_scheme", format!("only {SCHEME} is spoken here")));
        }
        if read_network(parts.network) != Ok(here) {
            return Err(No::new("invalid_network", "this is another network's facilitator"));
        }
        let wrong = |what: &str| No::new("invalid_payment_requirements", what);
        let currency: Currency = parts.asset.parse().map_err(|_| wrong("the asset is a currency's three letters"))?;
        let micros = |text: &str| {
            let micros = text.parse::<u64>().ok().and_then(|micros| currency.micros(micros).ok());
            micros.ok_or_else(|| wrong("an amount is a number of millionths"))
        };
        let (agreed, wanted) = (micros(agreed)?, micros(wanted)?);
        let pay_to = parts.pay_to.parse().map_err(|_| wrong("payTo names an account at this bank, peer1…"))?;
        if item.len() > ITEM_BYTES_MAX {
            return Err(wrong("the item's name is too long"));
        }
        let coupon = read_payload(payload).map_err(|why| invalid(&format!("the payment is {why}")))?;
        let kept = Span::from_secs(seconds.clamp(1, KEPT_SECONDS_MAX));
        Ok(Self { coupon, item: item.to_owned(), pay_to, agreed, wanted, kept, holder: None })
    }
}

fn invalid(why: &str) -> No {
    No::new("invalid_payload", why)
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, No> {
    T::deserialize(value).map_err(|_| invalid("the payment or what is wanted for it cannot be read"))
}
