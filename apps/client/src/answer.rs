//! An answer, as it streams, and what it cost.

use bytes::{Bytes, BytesMut};
use farthing_core::amount::Amount;
use farthing_coupon::secret::Digest;
use farthing_dialects::quote::ResponseDigest;
use futures::stream::{self, Stream};
use http_body_util::BodyExt;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};

use crate::error::{Advice, PayError};
use crate::running::Running;

/// What is known about the price of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receipt {
    /// It cost nothing.
    Free,
    /// The seller's word, checked under the session's key.
    Checked {
        /// What it cost.
        cost: Amount,
        /// Whether the answer, read to its end, is the one the seller's word names.
        whole: bool,
    },
    /// The facilitator's word, checked under the session's key. It names no answer: the facilitator
    /// sees none.
    Settled {
        /// What it cost.
        cost: Amount,
    },
    /// The answer still runs; so much was paid for it up to now, and the rest of that comes back.
    Running {
        /// What it costs at the most, as paid up to now.
        at_most: Amount,
    },
    /// The server says that it took nothing, and does not prove it.
    Denied {
        /// What it cost at the most.
        at_most: Amount,
    },
    /// The server gave no receipt.
    Missing {
        /// What it cost at the most.
        at_most: Amount,
    },
    /// The server gave a receipt that is not the seller's word on this payment: nothing in it is
    /// believed.
    False {
        /// What it cost at the most.
        at_most: Amount,
    },
}

impl Receipt {
    /// What was paid, as far as is known; `None` for nothing.
    #[must_use]
    pub const fn cost(&self) -> Option<Amount> {
        match self {
            Self::Free => None,
            Self::Denied { at_most } => Some(at_most.currency().zero()),
            Self::Checked { cost, .. } | Self::Settled { cost } => Some(*cost),
            Self::Running { at_most } | Self::Missing { at_most } | Self::False { at_most } => Some(*at_most),
        }
    }
}

/// An answer. Read its body by [`chunk`](Self::chunk), [`bytes`](Self::bytes) or
/// [`into_stream`](Self::into_stream); what it cost for certain is known at its end.
#[derive(Debug)]
pub struct Paid {
    status: StatusCode,
    headers: HeaderMap,
    body: Option<reqwest::Body>,
    digest: ResponseDigest,
    /// What the seller's word names.
    named: Option<Digest>,
    receipt: Receipt,
    running: Option<Box<Running>>,
}

impl Paid {
    fn new(response: Response, receipt: Receipt) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = Some(reqwest::Body::from(response));
        let digest = ResponseDigest::new(status.as_u16());
        Self { status, headers, body, digest, named: None, receipt, running: None }
    }

    pub(crate) fn free(response: Response) -> Self {
        Self::new(response, Receipt::Free)
    }

    pub(crate) fn receipted(response: Response, cost: Amount, named: Digest) -> Self {
        Self { named: Some(named), ..Self::new(response, Receipt::Checked { cost, whole: false }) }
    }

    pub(crate) fn unproven(response: Response, receipt: Receipt) -> Self {
        Self::new(response, receipt)
    }

    pub(crate) fn running(response: Response, running: Running) -> Self {
        let receipt = Receipt::Running { at_most: running.paid() };
        Self { running: Some(Box::new(running)), ..Self::new(response, receipt) }
    }

    pub(crate) fn whole(status: StatusCode, headers: HeaderMap, body: Bytes, receipt: Receipt) -> Self {
        let digest = ResponseDigest::new(status.as_u16());
        Self { status, headers, body: Some(body.into()), digest, named: None, receipt, running: None }
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Its headers.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What it cost, as far as is known by now.
    #[must_use]
    pub const fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// The next part of the body; `None` at its end. For an answer that is paid for as it goes on,
    /// more is paid in time, as far as the caps allow.
    ///
    /// # Errors
    /// [`PayError::BrokeOff`] where it breaks off, or where the caps allow no more to be paid for it;
    /// [`PayError::Refused`] where it breaks off and was free.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, PayError> {
        while let Some(body) = &mut self.body {
            let frame = match &mut self.running {
                None => {
                    let broke_off = |why: reqwest::Error| format!("the answer broke off ({})", why.without_url());
                    body.frame().await.transpose().map_err(broke_off)
                }
                Some(running) => {
                    let frame = running.next(body).await;
                    self.receipt = Receipt::Running { at_most: running.paid() };
                    frame
                }
            };
            match frame {
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.digest.update(&data);
                        return Ok(Some(data));
                    }
                    Err(trailers) => {
                        if let (Some(running), Ok(trailers)) = (&mut self.running, trailers.into_trailers()) {
                            running.trailers(&trailers);
                        }
                    }
                },
                Err(why) => {
                    self.end().await;
                    return Err(match self.receipt.cost().filter(|cost| !cost.is_zero()) {
                        Some(at_most) => PayError::BrokeOff { why, at_most },
                        None => PayError::refused(why, Advice::Later),
                    });
                }
                Ok(None) => self.end().await,
            }
        }
        Ok(None)
    }

    /// The whole body, if it is no longer than `max`, and what it cost.
    ///
    /// # Errors
    /// [`PayError::Refused`] where it breaks off or is longer; it may have been paid for.
    pub async fn bytes(mut self, max: usize) -> Result<(Bytes, Receipt), PayError> {
        let mut read = BytesMut::new();
        while let Some(some) = self.chunk().await? {
            if some.len() > max.saturating_sub(read.len()) {
                return Err(PayError::refused(format!("the answer is longer than {max} bytes"), Advice::Stop));
            }
            read.extend_from_slice(&some);
        }
        Ok((read.freeze(), self.receipt))
    }

    /// Reads no further; gives what it cost. The server is asked for that where the answer was paid
    /// for as it went on: it has to notice, and at once says how much of the money was used.
    pub async fn leave(mut self) -> Receipt {
        if self.running.is_some() {
            self.end().await;
        }
        self.receipt
    }

    /// The body as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, PayError>> + Send + 'static {
        stream::unfold(Some(self), |paid| async move {
            let mut paid = paid?;
            match paid.chunk().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(paid))),
                Ok(None) => None,
                Err(why) => Some((Err(why), None)),
            }
        })
    }

    /// The body has ended: what did it cost, and was it the one that was paid for?
    async fn end(&mut self) {
        self.body = None;
        if let Some(running) = self.running.take() {
            let (receipt, named) = running.end().await;
            (self.receipt, self.named) = (receipt, named);
        }
        if let Receipt::Checked { whole, .. } = &mut self.receipt {
            *whole = self.named == Some(self.digest.finish());
        }
    }
}
