//! Translating coupons: a buyer's into a seller's.

use std::sync::Arc;

use farthing_core::id::ChainId;
use farthing_core::refusal::{Code, Money, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::wire;
use farthing_coupon::broker::{BrokerError, Drawn, Form, JobName, Translated, Want};
use farthing_coupon::micro::Pay;
use farthing_coupon::spender::SpendError;
use farthing_dialects::payment;
use farthing_dialects::quote::request_digest;
use farthing_role::{Context, Halt};
use reqwest::Method;

use super::{Desk, Engine, later, lock, no_reply};
use crate::heard::{Heard, Said, hear};
use crate::messages::{BODY_BYTES_MAX, Passed, PrefetchAnswer, PrefetchAsk, SerialAnswer, SerialAsk, TEXT_BYTES_MAX};
use crate::rows::{self, ANSWERS, AnswerRow, BUYERS, BuyerRow, JOBS, SELLERS, SellerRow, job_key, seller_key};

impl Engine {
    /// Pays a seller with a buyer's coupon and brings what it answers.
    pub(crate) async fn serial(&self, ask: SerialAsk) -> Result<SerialAnswer, Refusal> {
        let SerialAsk { chain, pay, want, http } = ask;
        check(&http)?;
        let is_of_request = want.request == request_digest(&http.method, &http.path, &http.body);
        if want.form != Form::Serial || !is_of_request || pay.order != want.order(self.order.id()) {
            return Err(Refusal::new(Code::Order, "the coupon was made for another request"));
        }
        let name = (chain, pay.index);
        let drawn = match self.draw_for(chain, pay, want).await? {
            Forwarding::Answered(answer) => return Ok(*answer),
            Forwarding::With(drawn) => drawn,
            // Answered by another copy of the request in between, or given up.
            Forwarding::Gone => match self.draw_for(chain, pay, want).await? {
                Forwarding::Answered(answer) => return Ok(*answer),
                _ => {
                    let why = "the seller never answered, and its session is over: this coupon is lost";
                    return Err(Refusal::new(Code::Expired, why).money(Money::MovedBefore).remedy(Remedy::Stop));
                }
            },
        };
        let _away = self.away(want.seller);
        let heard = self.pass_on(&want, &drawn, &http).await?;
        self.finish(name, (pay, drawn), want, heard).await
    }

    /// The seller's coupon for a buyer's, if it can still be sent.
    async fn draw_for(&self, chain: ChainId, pay: Pay, want: Want) -> Result<Forwarding, Refusal> {
        let drawn = match self.translate(chain, pay, want).await? {
            Translation::Answered(answer) => return Ok(Forwarding::Answered(answer)),
            Translation::Drawn(drawn) => match *drawn {
                (Drawn::Forward(drawn), ..) => drawn,
                _ => return Err(Refusal::new(Code::Replay, "this coupon was used, and its answer is forgotten")),
            },
        };
        let waits = self.desk().broker.seller(want.seller).is_some_and(|s| s.unanswered().contains(&drawn.entry()));
        Ok(if waits { Forwarding::With(drawn) } else { Forwarding::Gone })
    }

    /// Gives a token for a buyer's coupon.
    pub(crate) async fn prefetch(&self, ask: PrefetchAsk) -> Result<PrefetchAnswer, Refusal> {
        let PrefetchAsk { chain, pay, want } = ask;
        if !matches!(want.form, Form::Prefetch { .. }) {
            return Err(Refusal::new(Code::Order, "only tokens are given here"));
        }
        if let Translation::Drawn(drawn) = self.translate(chain, pay, want).await?
            && let (Drawn::Token(token), receipt, _) = *drawn
        {
            return Ok(PrefetchAnswer { token, receipt });
        }
        Err(Refusal::new(Code::Replay, "this coupon was used for something else"))
    }

    /// Takes the buyer's coupon and draws the seller's, in one transaction.
    pub(super) async fn translate(&self, chain: ChainId, pay: Pay, want: Want) -> Result<Translation, Refusal> {
        match self.draw(chain, pay, want).await {
            Err(Drawing::Short) => {
                self.renew(want.seller, want.units).await?;
                self.draw(chain, pay, want).await.map_err(Drawing::into)
            }
            drawn => drawn.map_err(Drawing::into),
        }
    }

    async fn draw(&self, chain: ChainId, pay: Pay, want: Want) -> Result<Translation, Drawing> {
        let desk = Arc::clone(&self.desk);
        let work = move |cx: &mut Context<'_>| {
            let mut desk = lock(&desk);
            if let Some(answer) = answered(cx, &desk, (chain, pay.index), &pay)? {
                return Ok(Some(Translation::Answered(Box::new(answer))));
            }
            if desk.closed.contains(&chain) && desk.broker.job((chain, pay.index)).is_none() {
                return Err(Refusal::new(Code::State, "the session is closed: open another one").into());
            }
            let before = desk.broker.job((chain, pay.index)).cloned();
            let drawn = match desk.broker.translate(cx.now, chain, &pay, &want) {
                Ok(drawn) => drawn,
                Err(BrokerError::Spend(SpendError::UsedUp { .. })) => return Ok(None),
                Err(why) => return Err(Halt::Refused(why.into())),
            };
            let receipt = desk.broker.receipt((chain, pay.index), cx.now).map_err(Refusal::from)?;
            write(cx, &desk, (chain, pay.index), &want)?;
            let is_new = before.as_ref() != desk.broker.job((chain, pay.index));
            Ok(Some(Translation::Drawn(Box::new((drawn, receipt, is_new)))))
        };
        match self.driver.transact(work).await {
            Ok(Some(drawn)) => Ok(drawn),
            Ok(None) => Err(Drawing::Short),
            Err(why) => Err(Drawing::Refused(no_reply(why))),
        }
    }

    /// BT-2 and BT-3: the request with our coupon, and what the seller answers. Where nothing is known
    /// of the coupon afterwards, it goes with the same request the next time.
    async fn pass_on(&self, want: &Want, drawn: &Pay, http: &Passed) -> Result<Heard, Refusal> {
        let (origin, chain) = self.way_to(want.seller)?;
        let method = Method::from_bytes(http.method.as_bytes());
        let method = method.map_err(|_| Refusal::new(Code::Malformed, "this is no method of HTTP"))?;
        let line = self.line(&origin)?;
        let mut request = line
            .http
            .request(method, line.url(&http.path))
            .header(reqwest::header::AUTHORIZATION, payment::compact(&drawn.coupon(chain)))
            .body(http.body.clone());
        if let Some(media_type) = &http.media_type {
            request = request.header(reqwest::header::CONTENT_TYPE, media_type);
        }
        let answer = request.send().await.map_err(|_| lost())?;
        let status = answer.status().as_u16();
        match hear(&line.http, &line.url(""), answer, drawn.index).await {
            heard @ (Heard::Settled(..) | Heard::Used(..)) => Ok(heard),
            // Our own coupon is the seller's to answer for: the buyer's waits with it.
            Heard::Refused(told) => {
                tracing::warn!(seller = %want.seller.short(), status, why = told.detail, "a seller refuses a coupon");
                let why = format!("the seller refuses the broker's coupon ({}): send the very same again", told.detail);
                Err(Refusal { detail: why.into(), ..lost() })
            }
            Heard::Unproven(_) => {
                tracing::warn!(seller = %want.seller.short(), status, "an answer without a receipt");
                Err(lost())
            }
            Heard::Nothing => Err(lost()),
        }
    }

    /// Takes the seller's acknowledgement and makes the buyer's; keeps the answer for repeats.
    async fn finish(
        &self,
        name: JobName,
        (pay, drawn): (Pay, Pay),
        want: Want,
        heard: Heard,
    ) -> Result<SerialAnswer, Refusal> {
        let desk = Arc::clone(&self.desk);
        let work = move |cx: &mut Context<'_>| {
            let mut desk = lock(&desk);
            if let Some(answer) = answered(cx, &desk, name, &pay)? {
                return Ok(answer);
            }
            // Answered by another copy of the request, and paid anew since: this is not its answer.
            if desk.broker.job(name).is_none_or(|job| job.drawn != Drawn::Forward(drawn)) {
                return Err(lost().into());
            }
            let (said, ack) = match heard {
                Heard::Settled(said, ack) => (said, desk.broker.on_ack(name, &ack).map_err(Refusal::from)?),
                Heard::Used(said, _) => (said, desk.broker.on_used(name).map_err(Refusal::from)?),
                Heard::Refused(_) | Heard::Unproven(_) | Heard::Nothing => return Err(lost().into()),
            };
            let Said { status, media_type, body } = said;
            let answer = SerialAnswer { status, media_type, body, ack };
            rows::keep(cx, ANSWERS, name, &AnswerRow { pay, answer: answer.clone() })?;
            write(cx, &desk, name, &want)?;
            Ok(answer)
        };
        self.driver.transact(work).await.map_err(no_reply)
    }
}

fn lost() -> Refusal {
    later("the seller did not answer: send the very same again, and it costs nothing more").money(Money::Unknown)
}

/// What was answered to a coupon, if it was, and is remembered.
fn answered(cx: &Context<'_>, desk: &Desk, name: JobName, pay: &Pay) -> Result<Option<SerialAnswer>, Halt> {
    let row = rows::read::<AnswerRow>(&*cx.tx, ANSWERS, &job_key(name))?;
    // The row is of the job as it stands once that is done, and of one before it until then.
    let is_repeat = desk.broker.repeated(name.0, pay).is_some_and(|job| matches!(job.drawn, Drawn::Done(_)));
    Ok(row.filter(|row| row.pay == *pay || is_repeat).map(|row| row.answer))
}

/// What came of a buyer's coupon.
pub(super) enum Translation {
    /// Its seller has answered already.
    Answered(Box<SerialAnswer>),
    /// This was drawn for it; whether now, or before.
    Drawn(Box<(Drawn, Signed<Translated>, bool)>),
}

/// How a buyer's coupon goes on to the seller.
enum Forwarding {
    Answered(Box<SerialAnswer>),
    With(Pay),
    Gone,
}

/// Why nothing was drawn.
enum Drawing {
    /// The session with the seller has too little left.
    Short,
    Refused(Refusal),
}

impl From<Drawing> for Refusal {
    fn from(why: Drawing) -> Self {
        match why {
            Drawing::Short => later("the broker's session with this seller is used up: send the very same again"),
            Drawing::Refused(why) => why,
        }
    }
}

/// Writes down the three rows that a step may have changed.
pub(super) fn write(cx: &mut Context<'_>, desk: &Desk, name: JobName, want: &Want) -> Result<(), Halt> {
    if let Some(session) = desk.broker.buyer(name.0) {
        let row = BuyerRow { state: session.state().clone(), closed: desk.closed.contains(&name.0) };
        cx.tx.put(BUYERS, &name.0.0, wire::encode(&row));
    }
    if let Some(spender) = desk.broker.seller(want.seller)
        && let Some(row) = rows::read::<SellerRow>(&*cx.tx, SELLERS, seller_key(&want.seller))?
    {
        let row = SellerRow { state: spender.state().clone(), ..row };
        cx.tx.put(SELLERS, seller_key(&want.seller), wire::encode(&row));
    }
    match desk.broker.job(name) {
        Some(job) => cx.tx.put(JOBS, &job_key(name), wire::encode(job)),
        None => cx.tx.delete(JOBS, &job_key(name)),
    }
    Ok(())
}

fn check(http: &Passed) -> Result<(), Refusal> {
    let long = http.media_type.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX);
    if http.body.len() > BODY_BYTES_MAX || http.path.len().max(http.method.len()) > TEXT_BYTES_MAX || long {
        return Err(Refusal::new(Code::Limit, "the request is too long to be passed on"));
    }
    if !http.path.starts_with('/') || http.path.starts_with("//") {
        return Err(Refusal::new(Code::Malformed, "a path begins with one slash"));
    }
    Ok(())
}
