//! One payment for one request: sent, sent again where the answer is lost, and judged.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_core::amount::Amount;
use farthing_core::refusal::Money;
use farthing_coupon::spender::SpendError;
use farthing_dialects::names::STREAM;
use farthing_dialects::problem::{self, PaymentProblem};
use farthing_net::http::client::read_bounded;
use farthing_net::http::problem::PROBLEM_JSON;
use farthing_peer::wallet::WalletError;
use farthing_peer::wallet::coupon::{CouponSession, Spend, Ticket};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode};

use crate::answer::{Paid, Receipt};
use crate::client::{Inner, Unanswered};
use crate::error::PayError;
use crate::quoted::{Quoted, ack_in};
use crate::running::Running;
use crate::wanted::Wanted;

/// How many payments are tried for one request: the price may have changed, the session ended.
pub const ATTEMPTS_MAX: usize = 4;

/// How often one payment is sent for one request.
pub const RESENDS_MAX: u32 = 4;

/// The pause before a payment is sent once more; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest refusal that is read.
const PROBLEM_BYTES_MAX: usize = 16 << 10;

/// What came of a payment.
pub(crate) enum Outcome {
    /// An answer, to the request.
    Answered(Box<Paid>),
    /// Another price. By the server's word nothing was taken of what was sent.
    Quoted {
        /// What it wants now.
        new: Box<Quoted>,
        /// What was sent.
        at_most: Amount,
    },
    /// Nothing was taken: try with another session.
    Again,
}

/// What one answer says about a payment.
pub(crate) enum Judged {
    /// It is over.
    Over(Outcome),
    /// Send the very same payment again.
    Resend(Ticket, String),
    /// Refused for good.
    Refused(PayError),
}

impl Inner {
    /// Pays for a request and sends it.
    pub(crate) async fn pay(
        self: &Arc<Self>,
        wanted: &Wanted,
        quoted: &Quoted,
        session: &CouponSession,
        spend: Spend<'_>,
    ) -> Result<Outcome, PayError> {
        let price = session.unit().checked_mul(spend.units.into())?;
        self.caps.reserve(self.wallet.now(), price)?;
        let ticket = match session.pay(spend).await {
            Ok(ticket) => ticket,
            Err(why) => {
                self.caps.give_back(price);
                return match why {
                    // Others were quicker, or time was.
                    WalletError::Coupon(SpendError::UsedUp { .. }) | WalletError::Session(_) => Ok(Outcome::Again),
                    WalletError::Coupon(SpendError::TooManyOpen) => {
                        tokio::time::sleep(PAUSE).await;
                        Ok(Outcome::Again)
                    }
                    why => Err(why.into()),
                };
            }
        };
        if ticket.is_repeated() {
            // It was counted when it was first sent.
            self.caps.give_back(price);
        }
        self.send(wanted, quoted, ticket).await
    }

    /// Pays by a request that has no answer but yes, and gives what came with it; the seller's word on
    /// the payment comes later.
    pub(crate) async fn pay_bare(
        &self,
        wanted: &Wanted,
        quoted: &Quoted,
        session: &CouponSession,
        spend: Spend<'_>,
    ) -> Result<(Ticket, Bytes), PayError> {
        let price = session.unit().checked_mul(spend.units.into())?;
        self.caps.reserve(self.wallet.now(), price)?;
        let ticket = match session.pay(spend).await {
            Ok(ticket) => ticket,
            Err(why) => {
                self.caps.give_back(price);
                return Err(why.into());
            }
        };
        let mut trouble = String::new();
        for resend in 0..RESENDS_MAX {
            tokio::time::sleep(PAUSE.saturating_mul(resend)).await;
            match self.send_one(wanted.with(&quoted.headers(&ticket.coupon()))?).await {
                Ok(answer) if answer.status().is_success() => {
                    let body = read_bounded(answer, PROBLEM_BYTES_MAX).await.unwrap_or_default();
                    return Ok((ticket, body));
                }
                Ok(answer) if is_problem(&answer) => {
                    let body = read_bounded(answer, PROBLEM_BYTES_MAX).await.unwrap_or_default();
                    match serde_json::from_slice::<PaymentProblem>(&body) {
                        Ok(told) if told.money == Money::Unmoved => {
                            return Err(self.refused_bare(ticket, told).await?);
                        }
                        Ok(told) => trouble = told.detail,
                        Err(_) => trouble = "the server's refusal cannot be read".into(),
                    }
                }
                Ok(answer) => trouble = format!("the server refuses it ({})", answer.status()),
                Err(why @ Unanswered::Silent(_)) => {
                    trouble = format!("the server did not answer ({why})");
                    break;
                }
                Err(why) => trouble = format!("the server did not answer ({why})"),
            }
        }
        // It may have been taken: it counts as spent.
        let at_most = ticket.spent().await?;
        Err(PayError::Unknown { why: trouble, at_most })
    }

    /// The server says that it took nothing, or gives its word that it charged nothing.
    async fn refused_bare(&self, ticket: Ticket, told: PaymentProblem) -> Result<PayError, PayError> {
        let price = ticket.price();
        match told.ack().ok().flatten() {
            Some(ack) => self.settled(price, ticket.answered(&ack).await?),
            None => self.untaken(ticket).await?,
        }
        Ok(PayError::refused(told.detail, told.remedy.into()))
    }

    async fn send(self: &Arc<Self>, wanted: &Wanted, quoted: &Quoted, mut ticket: Ticket) -> Result<Outcome, PayError> {
        let (mut pause, price) = (PAUSE, ticket.price());
        // A payment sent earlier may have arrived, whatever happens now.
        let mut sent = ticket.is_repeated();
        let mut trouble = String::new();
        for resend in 0..RESENDS_MAX {
            if resend > 0 {
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2);
            }
            match self.send_one(wanted.with(&quoted.headers(&ticket.coupon()))?).await {
                Ok(response) => match self.judge(wanted, quoted, (ticket, sent), response).await? {
                    Judged::Over(outcome) => return Ok(outcome),
                    Judged::Refused(why) => return Err(why),
                    Judged::Resend(back, why) => {
                        (ticket, trouble, sent) = (back, why, true);
                    }
                },
                Err(why) => {
                    sent |= !matches!(why, Unanswered::NotSent);
                    trouble = format!("the server did not answer ({why})");
                    if matches!(why, Unanswered::Silent(_)) {
                        // It was given its time.
                        break;
                    }
                }
            }
        }
        if sent {
            // Left unanswered: the same request gets the same payment again.
            return Err(PayError::Unknown { why: trouble, at_most: price });
        }
        ticket.not_taken().await?;
        self.caps.give_back(price);
        Err(PayError::NothingSent("the server cannot be reached".into()))
    }

    async fn judge(
        self: &Arc<Self>,
        wanted: &Wanted,
        quoted: &Quoted,
        (ticket, was_sent): (Ticket, bool),
        response: Response,
    ) -> Result<Judged, PayError> {
        let price = ticket.price();
        let over = |paid| Ok(Judged::Over(Outcome::Answered(Box::new(paid))));
        if let Some(wanting) = quoted.wanting() {
            return self.judge_settled(wanting, ticket, response).await;
        }
        if is_problem(&response) {
            return self.judge_problem(wanted, (ticket, was_sent), response).await;
        }
        match ack_in(response.headers()) {
            Ok(Some(ack)) => match ticket.answered(&ack).await {
                Ok(cost) => {
                    self.settled(price, cost);
                    over(Paid::receipted(response, cost, ack.response))
                }
                Err(WalletError::Coupon(SpendError::Forged)) => {
                    over(Paid::unproven(response, Receipt::False { at_most: price }))
                }
                Err(why) => Err(why.into()),
            },
            Err(_) => over(Paid::unproven(response, Receipt::False { at_most: price })),
            Ok(None) if response.headers().contains_key(STREAM) => {
                let name = response.headers().get(STREAM).and_then(|name| name.to_str().ok()).unwrap_or_default();
                let (quote, site) = (quoted.quote.clone(), wanted.url().clone());
                let running = Running::new(Arc::clone(self), ticket, quote, site, name);
                over(Paid::running(response, running))
            }
            Ok(None) if response.status() == StatusCode::PAYMENT_REQUIRED => {
                match self.read_quote(wanted, response.headers(), &[]) {
                    Ok(new) => {
                        self.untaken(ticket).await?;
                        Ok(Judged::Over(Outcome::Quoted { new: Box::new(new), at_most: price }))
                    }
                    Err(why) => {
                        self.untaken(ticket).await?;
                        Ok(Judged::Refused(why.after_payment(price)))
                    }
                }
            }
            Ok(None) => {
                if !response.status().is_server_error() {
                    ticket.spent().await?;
                }
                over(Paid::unproven(response, Receipt::Missing { at_most: price }))
            }
        }
    }

    /// A refusal in the form that says what became of the payment.
    async fn judge_problem(
        &self,
        wanted: &Wanted,
        (ticket, was_sent): (Ticket, bool),
        response: Response,
    ) -> Result<Judged, PayError> {
        let (price, status, headers) = (ticket.price(), response.status(), response.headers().clone());
        let new = (status == StatusCode::PAYMENT_REQUIRED).then(|| self.read_quote(wanted, response.headers(), &[]));
        let Ok(body) = read_bounded(response, PROBLEM_BYTES_MAX).await else {
            return Ok(Judged::Resend(ticket, "the server's refusal broke off".into()));
        };
        let Ok(told) = serde_json::from_slice::<PaymentProblem>(&body) else {
            // The service's own problem, which says nothing about the payment.
            let receipt = Receipt::Missing { at_most: price };
            return Ok(Judged::Over(Outcome::Answered(Box::new(Paid::whole(status, headers, body, receipt)))));
        };
        if told.is(problem::IN_PROGRESS) || told.is(problem::NOT_DURABLE) || told.money == Money::Unknown {
            return Ok(Judged::Resend(ticket, told.detail));
        }
        if told.is(problem::REPLAYED) || told.money == Money::MovedBefore {
            // It has taken this payment, and has no answer for it: a new one would be for another request.
            ticket.spent().await?;
            let why = format!("the server says that this payment was used: {}", told.detail);
            return Ok(Judged::Refused(PayError::Spent { why, at_most: price }));
        }
        let session = ticket.session().clone();
        let is_over =
            told.is(problem::SESSION_UNKNOWN) || told.is(problem::SESSION_CLOSED) || told.is(problem::OUT_OF_RANGE);
        if is_over && was_sent {
            // It may have been taken when it was first sent, and another session would pay once more.
            ticket.spent().await?;
            session.finish().await?;
            let why = format!("the payment was sent before, and now the server says: {}", told.detail);
            return Ok(Judged::Refused(PayError::Spent { why, at_most: price }));
        }
        let receipt = match told.ack().ok().flatten() {
            Some(ack) => match ticket.answered(&ack).await {
                Ok(cost) => {
                    self.settled(price, cost);
                    Receipt::Checked { cost, whole: false }
                }
                Err(WalletError::Coupon(SpendError::Forged)) => Receipt::False { at_most: price },
                Err(why) => return Err(why.into()),
            },
            None => {
                self.untaken(ticket).await?;
                Receipt::Denied { at_most: price }
            }
        };
        let at_most = if let Receipt::Checked { cost, .. } = receipt { cost } else { price };
        if is_over {
            session.finish().await?;
            return Ok(Judged::Over(Outcome::Again));
        }
        match new {
            Some(Ok(new)) => Ok(Judged::Over(Outcome::Quoted { new: Box::new(new), at_most })),
            Some(Err(why)) => Ok(Judged::Refused(why.after_payment(at_most))),
            None if told.is(problem::MALFORMED) || told.is(problem::SEVERAL) || told.is(problem::UNSUPPORTED) => {
                let why = format!("the server cannot read the payment: {}", told.detail);
                Ok(Judged::Refused(PayError::refused(why, told.remedy.into()).after_payment(at_most)))
            }
            // The service failed, or is busy: that is the answer, and it says what it cost.
            None => Ok(Judged::Over(Outcome::Answered(Box::new(Paid::whole(status, headers, body, receipt))))),
        }
    }

    /// The server says that it took nothing.
    async fn untaken(&self, ticket: Ticket) -> Result<(), PayError> {
        let price = ticket.price();
        ticket.not_taken().await?;
        self.caps.give_back(price);
        Ok(())
    }

    pub(crate) fn settled(&self, price: Amount, cost: Amount) {
        if let Ok(back) = price.checked_sub(cost) {
            self.caps.give_back(back);
        }
    }
}

fn is_problem(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    !response.status().is_success() && kind.is_some_and(|kind| kind.as_bytes().starts_with(PROBLEM_JSON.as_bytes()))
}
