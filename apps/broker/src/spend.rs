//! Spending a prefetched token with the seller it is for: no wallet, no session, no broker.

use farthing_core::amount::Amount;
use farthing_core::time::Time;
use farthing_dialects::problem::{self, PaymentProblem};
use farthing_dialects::quote::{Quote, request_digest};
use farthing_dialects::{Unreadable, payment};
use farthing_net::http::client::{ClientError, client, read_bounded};
use farthing_net::http::endpoint::Endpoint;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode};

use crate::heard::{self, Heard, hear};
use crate::messages::{BODY_BYTES_MAX, Passed};
use crate::pocket::{Kept, Pocket, PocketError};

/// How often a token is sent for one request: once more where units were given back meanwhile.
const TRIES: usize = 2;

/// Why a token bought nothing.
#[derive(Debug, thiserror::Error)]
pub enum SpendError {
    /// No way to the seller.
    #[error(transparent)]
    Http(#[from] ClientError),
    /// The file of tokens.
    #[error(transparent)]
    Pocket(#[from] PocketError),
    /// What the seller asks cannot be read, or is for another request.
    #[error("the seller's price cannot be read: it is {0}; nothing was spent")]
    Price(#[from] Unreadable),
    /// No method of HTTP.
    #[error("this is no method of HTTP; nothing was sent")]
    Method,
    /// No token fits.
    #[error("it costs {price}, and there is no token of just that for this seller; nothing was spent")]
    NoToken {
        /// What it costs.
        price: Amount,
    },
    /// Not reached.
    #[error("the seller cannot be reached; nothing was spent")]
    NotSent,
    /// No answer came. The same request is made with the same token again.
    #[error("the seller did not answer, and the token may be spent")]
    Unknown,
    /// The seller says no. The token is good as before.
    #[error("the seller refuses the token: {0}; it is kept")]
    Refused(String),
    /// The seller says that the token was spent before.
    #[error("the seller says that the token was spent before: {0}; it is forgotten")]
    Spent(String),
}

/// What a seller answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its media type.
    pub media_type: Option<String>,
    /// Its body.
    pub body: Vec<u8>,
    /// The token that went for it, if one did.
    pub spent: Option<Amount>,
}

/// What one answer says about a token.
enum Said {
    Answer(Box<Answer>),
    /// It counts for less than the seller knows of: once more.
    Again,
}

/// Makes a request, and pays with a token if it costs something.
///
/// # Errors
/// [`SpendError`], which says what became of the token.
pub async fn spend(pocket: &mut Pocket, now: Time, seller: &Endpoint, http: &Passed) -> Result<Answer, SpendError> {
    let method = Method::from_bytes(http.method.as_bytes()).map_err(|_| SpendError::Method)?;
    let (base, line) = (seller.url("").as_str().trim_end_matches('/').to_owned(), client(seller)?);
    let request = || {
        let request = line.request(method.clone(), format!("{base}{}", http.path)).body(http.body.clone());
        http.media_type.iter().fold(request, |request, kind| request.header(CONTENT_TYPE, kind))
    };
    let free = request().send().await.map_err(|_| SpendError::NotSent)?;
    if free.status() != StatusCode::PAYMENT_REQUIRED {
        return answer(free, None).await;
    }
    let quote = quoted(&free)?;
    let digest = request_digest(&http.method, &http.path, &http.body);
    if quote.request != digest {
        return Err(Unreadable::Foreign.into());
    }
    for _ in 0..TRIES {
        let price = (quote.coupon, quote.units);
        let kept = pocket.take(now, quote.seller, quote.realm, price, digest)?;
        let no_token =
            || quote.amount().map_or(SpendError::Price(Unreadable::Syntax), |price| SpendError::NoToken { price });
        let kept = kept.ok_or_else(no_token)?;
        let (coupon, bearer) = kept.token.spend(&digest, kept.turn).coupon(kept.token.chain);
        let sent = request().header(AUTHORIZATION, payment::token(&coupon, &bearer)).send().await;
        let response = match sent {
            Ok(response) => response,
            Err(why) if why.is_connect() => {
                pocket.put_back(&kept, 0)?;
                return Err(SpendError::NotSent);
            }
            Err(_) => return Err(SpendError::Unknown),
        };
        let heard = hear(&line, &base, response, kept.token.terms.index).await;
        if let Said::Answer(answer) = judged(pocket, &kept, heard)? {
            return Ok(*answer);
        }
    }
    Err(SpendError::Refused("other payments in its session were given back meanwhile: try again".to_owned()))
}

/// What became of a token, by the seller's answer.
fn judged(pocket: &mut Pocket, kept: &Kept, heard: Heard) -> Result<Said, SpendError> {
    let answer = |said: heard::Said, spent| {
        let heard::Said { status, media_type, body } = said;
        Ok(Said::Answer(Box::new(Answer { status, media_type, body, spent })))
    };
    match heard {
        Heard::Settled(said, ack) if ack.charged > 0 => {
            pocket.forget(kept)?;
            answer(said, kept.worth())
        }
        Heard::Settled(said, ack) => {
            pocket.put_back(kept, ack.turn)?;
            match serde_json::from_slice::<PaymentProblem>(&said.body) {
                // It was sent before and given back since, or others were: this word of it counts.
                Ok(told) if told.is(problem::REPLAYED) && ack.turn > kept.turn => Ok(Said::Again),
                Ok(told) if said.status == StatusCode::PAYMENT_REQUIRED.as_u16() => {
                    Err(SpendError::Refused(told.detail))
                }
                // The service failed, or said no: that is the answer, and it cost nothing.
                _ => answer(said, None),
            }
        }
        Heard::Used(_, why) => {
            pocket.forget(kept)?;
            Err(SpendError::Spent(why))
        }
        Heard::Refused(told) => {
            pocket.put_back(kept, 0)?;
            Err(SpendError::Refused(told.detail))
        }
        Heard::Unproven(said) => {
            if said.status < StatusCode::INTERNAL_SERVER_ERROR.as_u16() {
                pocket.forget(kept)?;
            }
            answer(said, kept.worth())
        }
        Heard::Nothing => Err(SpendError::Unknown),
    }
}

/// What a 402 asks for.
fn quoted(response: &Response) -> Result<Quote, Unreadable> {
    let mut found = Err(Unreadable::Foreign);
    for value in response.headers().get_all(WWW_AUTHENTICATE) {
        let text = value.to_str().map_err(|_| Unreadable::Syntax)?;
        for challenge in payment::Challenge::read_all(text)? {
            match challenge.quote() {
                Ok(quote) => return Ok(quote),
                Err(Unreadable::Foreign) => {}
                Err(why) => found = Err(why),
            }
        }
    }
    found
}

async fn answer(response: Response, spent: Option<Amount>) -> Result<Answer, SpendError> {
    let status = response.status().as_u16();
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = read_bounded(response, BODY_BYTES_MAX).await.map_err(|_| SpendError::Unknown)?.to_vec();
    Ok(Answer { status, media_type, body, spent })
}
