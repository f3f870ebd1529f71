//! The `Payment` authentication scheme: draft-httpauth-payment-01, method `farthing`.
//!
//! `request` is the quote in JSON, as the draft wants it: amount, currency and recipient for
//! everybody, the rest under `methodDetails`. The challenge's `id` is a MAC over all the rest of it
//! ([`Challenge::is_of`]), so it is checked and not remembered.

use farthing_core::amount::{Currency, Rate};
use farthing_core::id::{NetworkId, OrderId, PeerId};
use farthing_core::time::Time;
use farthing_coupon::micro::{Bearer, Coupon};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::credential::{Credential, Form};
use crate::names::{METHOD, SCHEME};
use crate::quote::{ChallengeKey, Quote, UnitKind};
use crate::{Unreadable, b64, compact, params};

/// A challenge, of this method or another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The server's name for it.
    pub id: String,
    /// Where it holds: the host.
    pub realm: String,
    /// How to pay; ours is [`METHOD`].
    pub method: String,
    /// [`CHARGE`](crate::names::CHARGE), [`SESSION`](crate::names::SESSION) or something else.
    pub intent: String,
    /// What to pay: JSON in base64url, repeated unchanged in the credential.
    pub request: String,
    /// Until when, by RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Of the request's body; other servers'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Another server's own affair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<String>,
}

impl Challenge {
    /// The challenge for a quote.
    #[must_use]
    pub fn new(key: &ChallengeKey, quote: &Quote, realm: &str, intent: &str) -> Self {
        let unsealed = Self {
            id: String::new(),
            realm: realm.to_owned(),
            method: METHOD.to_owned(),
            intent: intent.to_owned(),
            request: b64::json_url(&RequestJson::of(quote)),
            expires: Some(rfc3339(quote.expires)),
            description: None,
            digest: None,
            opaque: None,
        };
        Self { id: key.id(&unsealed.slots()), ..unsealed }
    }

    /// Whether it is that key's own word, unchanged in everything that a client sees.
    #[must_use]
    pub fn is_of(&self, key: &ChallengeKey) -> bool {
        key.knows(&self.slots(), &self.id)
    }

    /// All that the id is bound to. The draft ("Challenge binding") wants a fixed order, and a place
    /// for what is left out too.
    fn slots(&self) -> [&[u8]; 9] {
        [
            SCHEME.as_bytes(),
            self.realm.as_bytes(),
            self.method.as_bytes(),
            self.intent.as_bytes(),
            self.request.as_bytes(),
            self.expires.as_deref().unwrap_or_default().as_bytes(),
            self.description.as_deref().unwrap_or_default().as_bytes(),
            self.digest.as_deref().unwrap_or_default().as_bytes(),
            self.opaque.as_deref().unwrap_or_default().as_bytes(),
        ]
    }

    /// As the value of a `WWW-Authenticate` header.
    #[must_use]
    pub fn header(&self) -> String {
        let optional = [
            ("expires", &self.expires),
            ("description", &self.description),
            ("digest", &self.digest),
            ("opaque", &self.opaque),
        ];
        let always = [
            ("id", &self.id),
            ("realm", &self.realm),
            ("method", &self.method),
            ("intent", &self.intent),
            ("request", &self.request),
        ];
        let given = optional.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let all = always.into_iter().chain(given);
        let all: Vec<String> = all.map(|(name, value)| format!("{name}={}", params::quote(value))).collect();
        format!("{SCHEME} {}", all.join(", "))
    }

    /// All `Payment` challenges in one value of a `WWW-Authenticate` header; those of other schemes
    /// are passed over.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_all(value: &str) -> Result<Vec<Self>, Unreadable> {
        let all = params::challenges(value)?.into_iter();
        all.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME)).map(|(_, params)| Self::of(params)).collect()
    }

    fn of(mut params: Vec<(String, String)>) -> Result<Self, Unreadable> {
        let mut take = |name: &str| {
            let at = params.iter().position(|(given, _)| given == name)?;
            Some(params.swap_remove(at).1)
        };
        let (expires, description, digest, opaque) =
            (take("expires"), take("description"), take("digest"), take("opaque"));
        let mut must = |name| take(name).filter(|value| !value.is_empty()).ok_or(Unreadable::Syntax);
        Ok(Self {
            id: must("id")?,
            realm: must("realm")?,
            method: must("method")?,
            intent: must("intent")?,
            request: must("request")?,
            expires,
            description,
            digest,
            opaque,
        })
    }

    /// The quote in it, if it is of this method. A client checks that it is for the request it
    /// made; a server checks that it is its own by [`is_of`](Self::is_of).
    ///
    /// # Errors
    /// [`Unreadable::Foreign`] for another method; others where it makes no sense.
    pub fn quote(&self) -> Result<Quote, Unreadable> {
        if self.method != METHOD {
            return Err(Unreadable::Foreign);
        }
        let expires = self.expires.as_deref().ok_or(Unreadable::Syntax)?;
        let request: RequestJson = b64::read_json_url(&self.request)?;
        request.quote(read_rfc3339(expires)?)
    }
}

/// `request` in JSON. Amounts are in millionths, as strings.
#[derive(Serialize, Deserialize)]
struct RequestJson {
    amount: String,
    currency: String,
    recipient: PeerId,
    #[serde(rename = "methodDetails")]
    details: Details,
}

/// The part of a quote that is this method's own; x402 carries the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Details {
    pub(crate) network: NetworkId,
    pub(crate) realm: OrderId,
    pub(crate) coupon: String,
    pub(crate) units: u32,
    pub(crate) kind: UnitKind,
    pub(crate) price: String,
    pub(crate) per: u64,
    pub(crate) request: String,
}

impl Details {
    pub(crate) fn of(quote: &Quote) -> Self {
        Self {
            network: quote.network,
            realm: quote.realm,
            coupon: quote.coupon.as_micros().to_string(),
            units: quote.units,
            kind: quote.kind,
            price: quote.rate.price.as_micros().to_string(),
            per: quote.rate.per,
            request: b64::url(&quote.request),
        }
    }

    pub(crate) fn quote(
        &self,
        seller: PeerId,
        currency: &str,
        amount: &str,
        expires: Time,
    ) -> Result<Quote, Unreadable> {
        let currency: Currency = currency.parse().map_err(|_| Unreadable::Foreign)?;
        let micros = |text: &str| {
            let plain = text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
            let micros = plain.then(|| text.parse::<u64>().ok()).flatten();
            micros.and_then(|micros| currency.micros(micros).ok()).ok_or(Unreadable::Syntax)
        };
        let request = b64::read_url(&self.request)?;
        let quote = Quote {
            network: self.network,
            seller,
            realm: self.realm,
            coupon: micros(&self.coupon)?,
            units: self.units,
            kind: self.kind,
            rate: Rate { price: micros(&self.price)?, per: self.per },
            expires,
            request: request.try_into().map_err(|_| Unreadable::Syntax)?,
        };
        let quote = quote.checked()?;
        if quote.amount().ok() == Some(micros(amount)?) { Ok(quote) } else { Err(Unreadable::Syntax) }
    }
}

/// What a quote asks for in all, in millionths. [`Quote::checked`] has seen that there is such an
/// amount.
pub(crate) fn micros_of(quote: &Quote) -> String {
    quote.amount().map_or(u64::MAX, farthing_core::amount::Amount::as_micros).to_string()
}

impl RequestJson {
    fn of(quote: &Quote) -> Self {
        Self {
            amount: micros_of(quote),
            currency: quote.coupon.currency().code().to_owned(),
            recipient: quote.seller,
            details: Details::of(quote),
        }
    }

    fn quote(&self, expires: Time) -> Result<Quote, Unreadable> {
        self.details.quote(self.recipient, &self.currency, &self.amount, expires)
    }
}

/// A credential in JSON.
#[derive(Serialize, Deserialize)]
struct CredentialJson {
    challenge: Challenge,
    payload: Payload,
}

/// The payment in it: a coupon in canonical CBOR, in base64url.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payload {
    pub(crate) coupon: String,
}

impl Payload {
    pub(crate) fn of(coupon: &Coupon) -> Self {
        Self { coupon: b64::cbor(coupon) }
    }

    pub(crate) fn coupon(&self) -> Result<Coupon, Unreadable> {
        b64::read_cbor(&self.coupon)
    }
}

/// `Authorization` for a coupon alone: what is sent once the price is known.
#[must_use]
pub fn compact(coupon: &Coupon) -> String {
    format!("{SCHEME} {}", compact::write(coupon, None))
}

/// `Authorization` for a broker's token: the same, with who may spend it and until when.
#[must_use]
pub fn token(coupon: &Coupon, bearer: &Bearer) -> String {
    format!("{SCHEME} {}", compact::write(coupon, Some(bearer)))
}

/// `Authorization` in the draft's form: the challenge and the coupon that answers it.
#[must_use]
pub fn full(challenge: &Challenge, coupon: &Coupon) -> String {
    let credential = CredentialJson { challenge: challenge.clone(), payload: Payload::of(coupon) };
    format!("{SCHEME} {}", b64::json_url(&credential))
}

/// Whether an `Authorization` header is of this scheme.
#[must_use]
pub fn is_payment(value: &[u8]) -> bool {
    value.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME.as_bytes()))
        && value.get(SCHEME.len()).is_none_or(|next| matches!(next, b' ' | b'\t' | b','))
}

/// Reads an `Authorization` header of this scheme.
///
/// # Errors
/// [`Unreadable`].
pub fn read_credential(value: &str) -> Result<Credential, Unreadable> {
    b64::bounded(value)?;
    if !is_payment(value.as_bytes()) {
        return Err(Unreadable::Foreign);
    }
    let said = b64::read_url(value[SCHEME.len()..].trim_matches([' ', '\t']))?;
    if compact::is_packed(&said) {
        let (coupon, bearer) = compact::read(&said)?;
        return Ok(Credential { coupon, bearer, form: Form::Compact });
    }
    let CredentialJson { challenge, payload } = serde_json::from_slice(&said).map_err(|_| Unreadable::Json)?;
    if challenge.method != METHOD {
        return Err(Unreadable::Foreign);
    }
    Ok(Credential { coupon: payload.coupon()?, bearer: None, form: Form::Full(Box::new(challenge)) })
}

/// The most preferences read in an `Accept-Payment` header.
const PREFERENCES_MAX: usize = 32;

/// Whether a client that sent this `Accept-Payment` header takes a challenge of this method and
/// intent. Nothing sent, or nothing readable, takes all.
#[must_use]
pub fn accepts(header: Option<&str>, intent: &str) -> bool {
    let Some(header) = header.filter(|header| b64::bounded(header).is_ok()) else { return true };
    let mut best: Option<(u8, bool)> = None;
    for entry in header.split(',').take(PREFERENCES_MAX) {
        let mut parts = entry.split(';').map(str::trim);
        let Some((method, wanted)) = parts.next().and_then(|name| name.split_once('/')) else { continue };
        let fits = (method == METHOD || method == "*") && (wanted == intent || wanted == "*");
        let zero = parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.trim_matches(['0', '.']).is_empty()));
        let exact = u8::from(method == METHOD) + u8::from(wanted == intent);
        if fits && best.is_none_or(|(before, _)| before < exact) {
            best = Some((exact, !zero));
        }
    }
    best.is_some_and(|(_, wanted)| wanted)
}

/// A moment as RFC 3339 writes it, in whole seconds.
pub(crate) fn rfc3339(at: Time) -> String {
    let seconds = i64::try_from(at.as_millis() / 1_000).unwrap_or(i64::MAX);
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok();
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| "9999-12-31T23:59:59Z".to_owned())
}

fn read_rfc3339(text: &str) -> Result<Time, Unreadable> {
    let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| Unreadable::Syntax)?;
    let seconds = u64::try_from(at.unix_timestamp()).map_err(|_| Unreadable::Syntax)?;
    seconds.checked_mul(1_000).map(Time::from_millis).ok_or(Unreadable::Syntax)
}
