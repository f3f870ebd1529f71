//! A buyer's side of a broker: sends what its session has paid for.

use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Signed;
use farthing_core::wire::{self, Wire};
use farthing_coupon::exchange::stall::Shelf;
use farthing_coupon::messages::{Clear, Confirm, Initiate, Payment};
use farthing_dialects::names::{CBOR, CLOSE_PATH, INITIATE_PATH, OFFER_PATH, OPEN_PATH};
use farthing_dialects::service::{CloseSession, Offer, SessionView};
use farthing_net::http::client::{ClientError, SendError, client, read_bounded, read_problem, send_idempotent};
use farthing_net::http::endpoint::Endpoint;

use crate::messages::{
    BODY_BYTES_MAX, EXCHANGE_PATH, ExchangeAnswer, ExchangeAsk, PREFETCH_PATH, PrefetchAnswer, PrefetchAsk,
    SELLERS_PATH, SERIAL_PATH, SHELF_PATH, SellerList, SerialAnswer, SerialAsk,
};

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = BODY_BYTES_MAX + (16 << 10);

/// Why a broker gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerAskError {
    /// It refused; the refusal says what to do next.
    #[error("the broker refused: {0}")]
    Refused(Refusal),
    /// Nothing was sent.
    #[error("nothing was sent: {0}; try again later")]
    NotSent(String),
    /// It was sent, and what came of it is unknown: send the very same again, with the same coupon.
    #[error("the outcome is unknown ({0}); send the very same again")]
    Unknown(String),
}

/// A way to a broker.
#[derive(Clone, Debug)]
pub struct BrokerClient {
    http: reqwest::Client,
    endpoint: Endpoint,
}

#[allow(clippy::missing_errors_doc, reason = "each fails with BrokerAskError")]
impl BrokerClient {
    /// A way to the broker at that address.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn new(endpoint: Endpoint) -> Result<Self, ClientError> {
        Ok(Self { http: client(&endpoint)?, endpoint })
    }

    /// What sessions with it are for.
    pub async fn offer(&self) -> Result<Offer, BrokerAskError> {
        self.get(OFFER_PATH).await
    }

    /// Whom it buys from.
    pub async fn sellers(&self) -> Result<SellerList, BrokerAskError> {
        self.get(SELLERS_PATH).await
    }

    /// Initiate, for the invoice.
    pub async fn initiate(&self, initiate: &Initiate) -> Result<Signed<Clear>, BrokerAskError> {
        self.post(INITIATE_PATH, wire::encode(initiate)).await
    }

    /// Payment, for Confirm.
    pub async fn open(&self, payment: &Payment) -> Result<Confirm, BrokerAskError> {
        self.post(OPEN_PATH, wire::encode(payment)).await
    }

    /// I am done.
    pub async fn close(&self, close: &Signed<CloseSession>) -> Result<SessionView, BrokerAskError> {
        self.post(CLOSE_PATH, wire::encode(close)).await
    }

    /// Has a request carried out by a seller, for a coupon.
    pub async fn serial(&self, ask: &SerialAsk) -> Result<SerialAnswer, BrokerAskError> {
        self.post(SERIAL_PATH, wire::encode(ask)).await
    }

    /// Gets a token for later, for a coupon.
    pub async fn prefetch(&self, ask: &PrefetchAsk) -> Result<PrefetchAnswer, BrokerAskError> {
        self.post(PREFETCH_PATH, wire::encode(ask)).await
    }

    /// Exchanges a coupon for a small product.
    pub async fn exchange(&self, ask: &ExchangeAsk) -> Result<ExchangeAnswer, BrokerAskError> {
        self.post(EXCHANGE_PATH, wire::encode(ask)).await
    }

    /// What a seller of small products has, by its own word: check that it is.
    pub async fn shelf(&self, seller: PeerId) -> Result<Signed<Shelf>, BrokerAskError> {
        self.get(&format!("{SHELF_PATH}/{seller}")).await
    }

    async fn get<T: Wire>(&self, path: &str) -> Result<T, BrokerAskError> {
        let url = self.endpoint.url(path);
        self.ask(|| self.http.get(url.clone())).await
    }

    async fn post<T: Wire>(&self, path: &str, body: Vec<u8>) -> Result<T, BrokerAskError> {
        let url = self.endpoint.url(path);
        self.ask(|| self.http.post(url.clone()).header("content-type", CBOR).body(body.clone())).await
    }

    async fn ask<T: Wire>(&self, request: impl FnMut() -> reqwest::RequestBuilder) -> Result<T, BrokerAskError> {
        let answer = send_idempotent(request).await.map_err(|why| match why {
            SendError::NotSent(why) => BrokerAskError::NotSent(why.to_string()),
            SendError::OutcomeUnknown(why) => BrokerAskError::Unknown(why.to_string()),
        })?;
        let lost = |why: farthing_net::http::client::ReadError| BrokerAskError::Unknown(why.to_string());
        if !answer.status().is_success() {
            let problem = read_problem(answer).await.map_err(lost)?;
            let code = problem.code.unwrap_or(Code::State);
            let (fault, money, remedy) = (problem.fault, problem.money, problem.remedy);
            return Err(BrokerAskError::Refused(Refusal { code, fault, money, remedy, detail: problem.detail.into() }));
        }
        let body = read_bounded(answer, ANSWER_BYTES_MAX).await.map_err(lost)?;
        wire::decode(&body).map_err(|why| BrokerAskError::Unknown(why.to_string()))
    }
}
