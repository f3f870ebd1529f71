//! Servers that settle through a facilitator, as stock x402 software does.
//!
//! Such a server keeps no sessions. It names itself in `payTo` and lets the bank of its network
//! take its payments: the bank is the facilitator, with which the buyer opens one session for all
//! such servers. The wallet asks its own bank and nobody that a server names, so a server cannot
//! lead it to somebody else.
//!
//! # What is paid for
//! A payment is bound to the server's account, the amount, and the item if the server names one:
//! [`request_digest`]. The facilitator does not see the answer, so its word on a payment names none.
//!
//! # Never twice
//! A payment that was sent is kept for the request it was made for, whatever the server says of it:
//! its units go to no other server, which could be told of another's charge. Sent once more after
//! an answer went missing, it is the same payment; if the facilitator has settled it by then, the
//! answer is lost, and the error says what it cost.

use farthing_bank::facilitator::{item_of, request_digest};
use farthing_core::amount::{Amount, Currency, Rate};
use farthing_core::id::{OrderId, PeerId};
use farthing_core::time::{Span, Time};
use farthing_coupon::micro::Coupon;
use farthing_coupon::session::WINDOW;
use farthing_coupon::spender::SpendError;
use farthing_dialects::Unreadable;
use farthing_dialects::names::{PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, X_PAYMENT, X_PAYMENT_RESPONSE};
use farthing_dialects::quote::{Quote, UnitKind};
use farthing_dialects::x402::{
    self, PaymentRequired, PaymentRequiredV1, PaymentRequirements, PaymentRequirementsV1, SCHEME, SettleResponse,
    read_network,
};
use farthing_net::http::client::read_bounded;
use farthing_peer::wallet::WalletError;
use farthing_peer::wallet::coupon::Ticket;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Paid, Receipt};
use crate::client::Inner;
use crate::error::{Advice, PayError};
use crate::pay::{Judged, Outcome};

/// For so long at the most a price is taken to hold; these servers name no end.
const HOLDS_MAX: Span = Span::from_secs(600);

/// The longest 402 that is read for what it wants.
pub(crate) const WANTED_BYTES_MAX: usize = 64 << 10;

/// The longest reason of a server that is shown, in characters.
const SAID_MAX: usize = 200;

/// The most ways to pay that are read of version 1.
const ACCEPTS_MAX: usize = 16;

/// What a server wants, in which version of x402.
#[derive(Clone, Debug)]
pub(crate) enum Wanting {
    /// Version 2: repeated in the payment.
    V2(Box<PaymentRequirements>),
    /// Version 1: whom to pay is all that is needed later.
    V1(PeerId),
}

/// What the facilitator says of itself, and the server repeats.
#[derive(Deserialize)]
struct Extra {
    /// Where it is. There must be one; the wallet goes to its own bank.
    #[serde(rename = "facilitator")]
    _facilitator: String,
    realm: OrderId,
    seller: PeerId,
    coupon: String,
}

impl Wanting {
    /// What a version 2 server wants, as a quote.
    ///
    /// # Errors
    /// [`Unreadable::Foreign`] where it does not settle through a facilitator of ours.
    pub(crate) fn read_v2(wanted: PaymentRequirements, now: Time) -> Result<(Quote, Self), Unreadable> {
        let item = item_of(&serde_json::json!({ "extra": wanted.extra })).to_owned();
        let PaymentRequirements { scheme, network, asset, amount, pay_to, max_timeout_seconds, extra } = &wanted;
        let asked = Asked { scheme, network, asset, amount, pay_to, extra, item: &item };
        let quote = asked.quote(holds(now, *max_timeout_seconds))?;
        Ok((quote, Self::V2(Box::new(wanted))))
    }

    /// The first way of ours to pay in the body of a version 1 server's 402, as a quote.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(crate) fn read_v1(body: &[u8], now: Time) -> Result<(Quote, Self), Unreadable> {
        let required: PaymentRequiredV1 = serde_json::from_slice(body).map_err(|_| Unreadable::Foreign)?;
        if required.x402_version != 1 {
            return Err(Unreadable::Foreign);
        }
        let mut found = Err(Unreadable::Foreign);
        for wanted in required.accepts.into_iter().take(ACCEPTS_MAX) {
            let item = item_of(&serde_json::json!({ "extra": wanted.extra, "resource": wanted.resource })).to_owned();
            let PaymentRequirementsV1 { scheme, network, asset, max_amount_required, pay_to, extra, .. } = &wanted;
            let asked = Asked { scheme, network, asset, amount: max_amount_required, pay_to, extra, item: &item };
            match asked.quote(holds(now, wanted.max_timeout_seconds)).and_then(|quote| Ok((quote, asked.pay_to()?))) {
                Ok((quote, pay_to)) => return Ok((quote, Self::V1(pay_to))),
                Err(Unreadable::Foreign) => {}
                Err(why) => found = Err(why),
            }
        }
        found
    }

    /// Whom the facilitator hands the money on to.
    pub(crate) fn pay_to(&self) -> Option<PeerId> {
        match self {
            Self::V2(wanted) => wanted.pay_to.parse().ok(),
            Self::V1(pay_to) => Some(*pay_to),
        }
    }

    /// The header that carries a coupon.
    pub(crate) fn header(&self, quote: &Quote, coupon: &Coupon) -> (&'static str, String) {
        match self {
            Self::V2(wanted) => (PAYMENT_SIGNATURE, x402::signature(wanted, coupon)),
            Self::V1(_) => (X_PAYMENT, x402::signature_v1(quote.network, coupon)),
        }
    }

    /// What came of a payment, if the answer says.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(crate) fn settled(&self, headers: &HeaderMap) -> Result<Option<SettleResponse>, Unreadable> {
        let name = match self {
            Self::V2(_) => PAYMENT_RESPONSE,
            Self::V1(_) => X_PAYMENT_RESPONSE,
        };
        let Some(value) = headers.get(name) else { return Ok(None) };
        SettleResponse::read(value.to_str().map_err(|_| Unreadable::Syntax)?).map(Some)
    }
}

/// Why a server wants to be paid once more, in its facilitator's words: of either version, if it
/// says.
pub(crate) fn refusal(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let header = headers.get(PAYMENT_REQUIRED).and_then(|value| value.to_str().ok());
    let of_header = header.and_then(|value| PaymentRequired::read(value).ok()).and_then(|required| required.error);
    let of_body = || serde_json::from_slice::<PaymentRequiredV1>(body).ok().and_then(|required| required.error);
    of_header.or_else(of_body)
}

/// The parts that both versions have.
struct Asked<'a> {
    scheme: &'a str,
    network: &'a str,
    asset: &'a str,
    amount: &'a str,
    pay_to: &'a str,
    extra: &'a Value,
    item: &'a str,
}

impl Asked<'_> {
    fn pay_to(&self) -> Result<PeerId, Unreadable> {
        self.pay_to.parse().map_err(|_| Unreadable::Syntax)
    }

    fn quote(&self, expires: Time) -> Result<Quote, Unreadable> {
        let network = read_network(self.network)?;
        let extra = Extra::deserialize(self.extra).map_err(|_| Unreadable::Foreign)?;
        let currency: Currency = self.asset.parse().map_err(|_| Unreadable::Foreign)?;
        if self.scheme != SCHEME {
            return Err(Unreadable::Foreign);
        }
        let micros = |text: &str| {
            let micros = text.parse::<u64>().ok().and_then(|micros| currency.micros(micros).ok());
            micros.filter(|amount| !amount.is_zero()).ok_or(Unreadable::Syntax)
        };
        let (amount, coupon) = (micros(self.amount)?, micros(&extra.coupon)?);
        let units = whole(amount, coupon).filter(|units| *units <= WINDOW).ok_or(Unreadable::Syntax)?;
        let pay_to = self.pay_to()?;
        Ok(Quote {
            network,
            seller: extra.seller,
            realm: extra.realm,
            coupon,
            units,
            kind: UnitKind::Request,
            rate: Rate { price: amount, per: 1 },
            expires,
            request: request_digest(self.item, pay_to, amount),
        })
    }
}

/// An amount in coupons, if it comes out even.
fn whole(amount: Amount, coupon: Amount) -> Option<u32> {
    let units = u32::try_from(amount.as_micros() / coupon.as_micros()).ok()?;
    (coupon.checked_mul(units.into()) == Ok(amount)).then_some(units)
}

fn holds(now: Time, seconds: u64) -> Time {
    now.after(HOLDS_MAX.min(Span::from_secs(seconds.max(1))))
}

/// What the bank knows of a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// It was not settled up to now.
    Untaken,
    /// The session takes no payments: there is none, or it is over.
    NoSession,
    /// It may have been.
    Perhaps,
}

impl Inner {
    /// What an answer says about a payment that a facilitator settles.
    pub(crate) async fn judge_settled(
        &self,
        wanting: &Wanting,
        ticket: Ticket,
        response: Response,
    ) -> Result<Judged, PayError> {
        let price = ticket.price();
        let over = |paid| Ok(Judged::Over(Outcome::Answered(Box::new(paid))));
        let missing = Receipt::Missing { at_most: price };
        match wanting.settled(response.headers()) {
            Err(_) => over(Paid::unproven(response, Receipt::False { at_most: price })),
            Ok(Some(said)) if said.success => match said.ack() {
                Ok(ack) => match ticket.answered(&ack).await {
                    Ok(cost) => {
                        self.settled(price, cost);
                        over(Paid::unproven(response, Receipt::Settled { cost }))
                    }
                    Err(WalletError::Coupon(SpendError::Forged)) => {
                        over(Paid::unproven(response, Receipt::False { at_most: price }))
                    }
                    Err(why) => Err(why.into()),
                },
                Err(_) => over(Paid::unproven(response, missing)),
            },
            Ok(Some(said)) => self.refused(ticket, &said.error_reason.unwrap_or_default()).await,
            Ok(None) if response.status() == StatusCode::PAYMENT_REQUIRED => {
                let headers = response.headers().clone();
                let body = read_bounded(response, WANTED_BYTES_MAX).await.unwrap_or_default();
                self.refused(ticket, &refusal(&headers, &body).unwrap_or_default()).await
            }
            Ok(None) if response.status().is_client_error() || response.status().is_server_error() => {
                // Such servers settle only what they have answered well; the bank knows.
                let receipt = match self.known(&ticket).await {
                    Known::Untaken => Receipt::Settled { cost: price.currency().zero() },
                    Known::NoSession | Known::Perhaps => missing,
                };
                over(Paid::unproven(response, receipt))
            }
            Ok(None) => {
                ticket.spent().await?;
                over(Paid::unproven(response, missing))
            }
        }
    }

    /// The server wants to be paid once more. Its word alone frees no unit.
    async fn refused(&self, ticket: Ticket, reason: &str) -> Result<Judged, PayError> {
        let at_most = ticket.price();
        match reason {
            "payment_in_use" | "settlement_pending" => {
                return Ok(Judged::Resend(ticket, "the server is still at work on this payment".into()));
            }
            "payment_already_settled" => {
                ticket.spent().await?;
                let why = "this payment was settled before, and its answer went missing".into();
                return Err(PayError::Spent { why, at_most });
            }
            _ => {}
        }
        let said = if reason.is_empty() { "it does not say why" } else { reason };
        let why = format!("the server does not take the payment ({})", plain(said));
        let known = self.known(&ticket).await;
        if known == Known::NoSession {
            let session = ticket.session().clone();
            drop(ticket);
            session.finish().await?;
            self.settled(at_most, at_most.currency().zero());
            return Ok(Judged::Over(Outcome::Again));
        }
        if ticket.is_repeated() {
            // Refused twice: another time it is another payment.
            ticket.spent().await?;
        }
        Err(match known {
            Known::Untaken => PayError::refused(why, Advice::Later),
            _ => PayError::Unknown { why, at_most },
        })
    }

    /// Asks the wallet's bank.
    async fn known(&self, ticket: &Ticket) -> Known {
        match self.look(ticket.session()).await {
            Ok(Some(view)) if view.through >= ticket.pay().index => Known::Perhaps,
            Ok(Some(view)) if view.closed => Known::NoSession,
            Ok(Some(_)) => Known::Untaken,
            // One that was sent before may have been settled while there was a session.
            Ok(None) if !ticket.is_repeated() => Known::NoSession,
            _ => Known::Perhaps,
        }
    }
}

/// What a server says, fit to be shown.
fn plain(said: &str) -> String {
    said.chars().filter(|c| !c.is_control()).take(SAID_MAX).collect()
}
