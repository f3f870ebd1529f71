//! Sending again, and knowing what was sent.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};

/// How often a request is sent at most.
pub const SEND_TRIES: usize = 5;
/// The longest wait a server can ask for between two tries; told to wait longer, we give up.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
/// The first pause between two tries; it doubles, with some chance added.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No try reached the server: it has done nothing, and no money has moved.
    #[error("the server cannot be reached, and nothing was sent; try again later")]
    NotSent(#[source] reqwest::Error),
    /// At least one try may have reached the server. Ask again later with the very same request,
    /// never with a new one.
    #[error("the answer went missing; the server may have acted, so ask again with the very same request")]
    OutcomeUnknown(#[source] reqwest::Error),
}

/// Sends a request that does no harm when repeated (because it only reads, or carries an id that
/// the server knows again), up to [`SEND_TRIES`] times.
///
/// `request` makes the same request each time. An answer is an answer, refusals included; only
/// 429 and 503 are tried again, after the pause they ask for, and returned when the tries are used
/// up or the pause is longer than [`ANSWER_WAIT_MAX`].
///
/// # Errors
/// [`SendError`], which tells apart what was certainly not sent from what may have been.
pub async fn send_idempotent(mut request: impl FnMut() -> RequestBuilder) -> Result<Response, SendError> {
    let pauses = ExponentialBuilder::new().with_min_delay(PAUSE).with_jitter();
    let mut pauses = pauses.with_max_times(SEND_TRIES - 1).build();
    // The error of a try that may have reached the server.
    let mut lost = None;
    loop {
        let (wait, outcome) = match request().send().await {
            Ok(answer) if is_overload(answer.status()) => (retry_after(&answer).unwrap_or_default(), Ok(answer)),
            Ok(answer) => return Ok(answer),
            // An address may carry what is nobody's business in a log.
            Err(error) => (Duration::ZERO, Err(error.without_url())),
        };
        let pause = pauses.next().filter(|_| wait <= ANSWER_WAIT_MAX);
        match (pause, outcome) {
            (Some(pause), outcome) => {
                lost = outcome.err().filter(may_have_been_sent).or(lost);
                tokio::time::sleep(pause.max(wait)).await;
            }
            (None, Err(error)) if may_have_been_sent(&error) => {
                return Err(SendError::OutcomeUnknown(error));
            }
            // Turned away or unreachable now, which says nothing about the try that was lost.
            (None, outcome) => {
                return match lost {
                    Some(error) => Err(SendError::OutcomeUnknown(error)),
                    None => outcome.map_err(SendError::NotSent),
                };
            }
        }
    }
}

fn may_have_been_sent(error: &reqwest::Error) -> bool {
    !(error.is_connect() || error.is_builder())
}

fn is_overload(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// How long the server asks us to wait, in whole seconds; dates are not understood.
pub(super) fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
