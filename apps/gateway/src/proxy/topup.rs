//! What a client may ask and is told about an answer that still runs.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use farthing_core::refusal::Remedy;
use farthing_core::wire::{self, Bounded};
use farthing_dialects::names::{CBOR, receipt_path};
use farthing_dialects::problem::{self, PaymentProblem};
use farthing_dialects::quote::ResponseDigest;

use super::settle::State as Fares;
use super::{Answer, Meter, TOP_UPS_MAX};
use crate::book::Book;
use crate::gate::Gate;
use crate::refuse;

/// More was paid: says yes, with the receipts of payments that are used up by now.
pub(crate) fn accepted(book: &Book, meter: &Meter) -> Answer {
    // The answer is not whole yet, so that these receipts name the head of one only.
    let named = ResponseDigest::new(StatusCode::OK.as_u16()).finish();
    let acks = meter.used_up(|paid| book.settle(meter.session, &[(paid, paid.units)], named).0.first().copied());
    // No more than a list may have.
    let acks = Bounded::<_, TOP_UPS_MAX>::new(acks).map(|acks| wire::encode(&acks)).unwrap_or_default();
    (StatusCode::ACCEPTED, [(CONTENT_TYPE, CBOR)], acks).into_response()
}

/// `GET` where more is paid for a running answer: 204 while it runs, 402 while it waits for money,
/// 410 when it is over, with the reason.
pub(crate) async fn state(State(gate): State<Arc<Gate>>, Path(name): Path<String>, request: Request) -> Answer {
    let over =
        |why: String| PaymentProblem { remedy: Remedy::Stop, ..PaymentProblem::new(problem::SESSION_CLOSED, why) };
    let problem = match gate.streams.state(&name) {
        Fares::Runs => return StatusCode::NO_CONTENT.into_response(),
        Fares::Waits => {
            let problem = PaymentProblem::new(
                problem::PAYMENT_REQUIRED,
                "the answer waits for money: POST here with a coupon of the same session in Authorization",
            );
            return match gate.streams.running(&name) {
                Some(meter) => gate.challenge_more(meter.quote(), request.headers(), request.uri(), &problem),
                None => StatusCode::NO_CONTENT.into_response(),
            };
        }
        Fares::Over { why, charged } => {
            let why = why.unwrap_or_else(|| "it is whole".into());
            over(format!(
                "the answer has ended: {why}; {charged} coupons were charged, receipts are at {}",
                receipt_path(&name)
            ))
        }
        Fares::Unknown => over("no such answer is running".into()),
    };
    refuse::response(&problem)
}
