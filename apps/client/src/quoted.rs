//! What a server asks, in whichever dialect, and what it asked last time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use farthing_core::amount::Amount;
use farthing_core::time::Time;
use farthing_coupon::micro::{Ack, Coupon};
use farthing_dialects::names::{PAYMENT_RECEIPT, PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, SESSION};
use farthing_dialects::payment::{self, Challenge};
use farthing_dialects::quote::{Quote, UnitKind};
use farthing_dialects::x402::{self, PaymentRequired, PaymentRequirements, SettleResponse};
use farthing_dialects::{Unreadable, receipt};
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

use crate::facilitated::Wanting;
use crate::wanted::Wanted;

/// How many prices are remembered; when there are more, all are asked for again.
pub const PRICES_MAX: usize = 4_096;

/// Where the `Payment` scheme puts its payment.
const AUTHORIZATION_NAME: &str = "authorization";

/// The most `WWW-Authenticate` headers that are read.
const CHALLENGE_HEADERS_MAX: usize = 8;

/// A price, as a person or a program wants to see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Price {
    /// The most that the request will cost.
    pub at_most: Amount,
    /// What is counted.
    pub kind: UnitKind,
    /// What so many of them cost.
    pub rate: farthing_core::amount::Rate,
    /// Who would be paid.
    pub seller: farthing_core::id::PeerId,
    /// Until when the price holds.
    pub expires: Time,
}

/// A quote and how to answer it.
#[derive(Clone, Debug)]
pub(crate) struct Quoted {
    pub(crate) quote: Quote,
    dialect: Dialect,
}

/// In which words the server asked.
#[derive(Clone, Debug)]
enum Dialect {
    /// The `Payment` scheme; without the challenge where the price is known from before.
    Payment(Option<Box<Challenge>>),
    /// x402, version 2.
    X402(Box<PaymentRequirements>),
    /// x402 at a server that settles through a facilitator.
    Facilitated(Wanting),
}

impl Quoted {
    /// Reads a 402. `Payment` comes first, unless the request has an `Authorization` of its own; the
    /// body is read last, for version 1 of x402.
    ///
    /// # Errors
    /// [`Unreadable`], which is [`Unreadable::Foreign`] where no way to pay is ours.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8], wanted: &Wanted, now: Time) -> Result<Self, Unreadable> {
        let mut found = Err(Unreadable::Foreign);
        if !wanted.is_authorised_otherwise() {
            for value in headers.get_all(WWW_AUTHENTICATE).iter().take(CHALLENGE_HEADERS_MAX) {
                match payment_challenge(value.as_bytes()) {
                    Ok(quoted) => return Ok(quoted),
                    Err(Unreadable::Foreign) => {}
                    Err(why) => found = Err(why),
                }
            }
        }
        if let Some(value) = headers.get(PAYMENT_REQUIRED) {
            let required = PaymentRequired::read(value.to_str().map_err(|_| Unreadable::Syntax)?)?;
            for accepted in required.accepts {
                match accepted.quote() {
                    Ok((quote, _)) => return Ok(Self { quote, dialect: Dialect::X402(Box::new(accepted)) }),
                    Err(Unreadable::Foreign) => continue,
                    Err(why) => found = Err(why),
                }
                match Wanting::read_v2(accepted, now) {
                    Ok((quote, wanting)) => return Ok(Self { quote, dialect: Dialect::Facilitated(wanting) }),
                    Err(Unreadable::Foreign) => {}
                    Err(why) => found = Err(why),
                }
            }
        }
        if matches!(found, Err(Unreadable::Foreign)) && !body.is_empty() {
            let (quote, wanting) = Wanting::read_v1(body, now)?;
            return Ok(Self { quote, dialect: Dialect::Facilitated(wanting) });
        }
        found
    }

    /// Whether these headers say in words of ours how to pay.
    pub(crate) fn is_in(headers: &HeaderMap) -> bool {
        headers.contains_key(PAYMENT_REQUIRED)
            || headers.get_all(WWW_AUTHENTICATE).iter().any(|value| payment::is_payment(value.as_bytes()))
    }

    /// Whether a facilitator settles it.
    pub(crate) const fn is_facilitated(&self) -> bool {
        matches!(self.dialect, Dialect::Facilitated(_))
    }

    /// What the server wants, where a facilitator settles it.
    pub(crate) const fn wanting(&self) -> Option<&Wanting> {
        match &self.dialect {
            Dialect::Facilitated(wanting) => Some(wanting),
            _ => None,
        }
    }

    /// The headers that carry a coupon.
    pub(crate) fn headers(&self, coupon: &Coupon) -> Vec<(&'static str, String)> {
        match &self.dialect {
            Dialect::Payment(None) => vec![(AUTHORIZATION_NAME, payment::compact(coupon))],
            Dialect::Payment(Some(challenge)) => {
                vec![(AUTHORIZATION_NAME, payment::full(challenge, coupon))]
            }
            Dialect::X402(accepted) => vec![(PAYMENT_SIGNATURE, x402::signature(accepted, coupon))],
            Dialect::Facilitated(wanting) => vec![wanting.header(&self.quote, coupon)],
        }
    }

    /// A quote whose challenge is not needed any more.
    pub(crate) const fn known(quote: Quote) -> Self {
        Self { quote, dialect: Dialect::Payment(None) }
    }

    /// The same price for a later request to the same place. x402 repeats its quote each time, and
    /// a quote is for one request.
    fn for_later(&self) -> Option<Self> {
        let reusable = matches!(self.dialect, Dialect::Payment(_)) && self.quote.kind == UnitKind::Request;
        reusable.then(|| Self::known(self.quote.clone()))
    }

    pub(crate) fn price(&self) -> Result<Price, farthing_core::amount::AmountError> {
        let Quote { kind, rate, seller, expires, .. } = self.quote;
        let seller = self.wanting().and_then(Wanting::pay_to).unwrap_or(seller);
        Ok(Price { at_most: self.quote.amount()?, kind, rate, seller, expires })
    }
}

/// The challenge that opens a session, or else any of ours.
fn payment_challenge(value: &[u8]) -> Result<Quoted, Unreadable> {
    let text = str::from_utf8(value).map_err(|_| Unreadable::Syntax)?;
    let mut ours: Vec<(Quote, Challenge)> = Vec::new();
    let mut bad = Unreadable::Foreign;
    for challenge in Challenge::read_all(text)? {
        match challenge.quote() {
            Ok(quote) => ours.push((quote, challenge)),
            Err(Unreadable::Foreign) => {}
            Err(why) => bad = why,
        }
    }
    ours.sort_by_key(|(_, challenge)| challenge.intent != SESSION);
    let (quote, challenge) = ours.into_iter().next().ok_or(bad)?;
    Ok(Quoted { quote, dialect: Dialect::Payment(Some(Box::new(challenge))) })
}

/// The seller's word in an answer, if there is one.
///
/// # Errors
/// [`Unreadable`].
pub(crate) fn ack_in(headers: &HeaderMap) -> Result<Option<Ack>, Unreadable> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().map_err(|_| Unreadable::Syntax));
    if let Some(value) = text(PAYMENT_RECEIPT) {
        return receipt::read(value?).map(Some);
    }
    match text(PAYMENT_RESPONSE) {
        Some(value) => SettleResponse::read(value?)?.ack().map(Some),
        None => Ok(None),
    }
}

/// Every word of the seller after an answer that was paid for in parts; what cannot be read is
/// left out.
pub(crate) fn acks_in(trailers: &HeaderMap) -> Vec<Ack> {
    let all = trailers.get_all(PAYMENT_RECEIPT).iter().filter_map(|value| value.to_str().ok());
    all.filter_map(|value| receipt::read(value).ok()).collect()
}

/// Prices as they were last time, by site, method and path.
#[derive(Default)]
pub(crate) struct Prices(Mutex<HashMap<(String, String, String), Quoted>>);

impl Prices {
    pub(crate) fn of(&self, wanted: &Wanted) -> Option<Quoted> {
        if wanted.is_authorised_otherwise() {
            return None;
        }
        let prices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        prices.get(&key(wanted)).cloned()
    }

    pub(crate) fn remember(&self, wanted: &Wanted, quoted: &Quoted) {
        let Some(later) = quoted.for_later() else { return };
        let mut prices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if prices.len() >= PRICES_MAX {
            prices.clear();
        }
        prices.insert(key(wanted), later);
    }

    pub(crate) fn forget(&self, wanted: &Wanted) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(wanted));
    }
}

fn key(wanted: &Wanted) -> (String, String, String) {
    (wanted.site.clone(), wanted.method().to_string(), wanted.url().path().to_owned())
}
