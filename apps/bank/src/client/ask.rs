//! One question and its answer.

use farthing_core::id::RequestId;
use farthing_core::refusal::{Code, Money, Refusal};
use farthing_core::seal::seal;
use farthing_core::sign::{SecretKey, Signed, Statement, Verified};
use farthing_core::wire::{self, MESSAGE_MAX, Wire};
use farthing_net::http::client::{SendError, read_bounded, read_problem, send_idempotent};
use farthing_net::http::problem::Problem;
use farthing_role::{Request, RequestBody};
use minicbor::Encode;
use reqwest::header::CONTENT_TYPE;

use super::{BankClient, dice};
use crate::messages::{Answer, AnswerOutcome, CBOR, REQUEST_MESSAGE_MAX};

/// Why a question was not answered with yes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The bank refused; the refusal says whether money may have moved and what to do next.
    #[error("the bank refused: {refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// Whether the bank signed the refusal. It does not before it knows who asks.
        authenticated: bool,
    },
    /// Nothing was sent, and no money has moved.
    #[error("nothing was sent: {0}; try again later")]
    NotSent(String),
    /// It was sent, and what came of it is unknown: money may have moved. Ask again later with the
    /// same id and message, never with another id.
    #[error("the outcome is unknown and money may have moved ({0}); ask again with the very same request")]
    Unknown(String),
}

impl AskError {
    /// Whether money may have moved by this request.
    #[must_use]
    pub const fn money(&self) -> Money {
        match self {
            Self::Refused { refusal, .. } => refusal.money,
            Self::NotSent(_) => Money::Unmoved,
            Self::Unknown(_) => Money::Unknown,
        }
    }

    /// The code of the refusal, if it is one.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.code),
            _ => None,
        }
    }
}

impl BankClient {
    /// Asks the bank something as `key`'s owner and gives the canonical bytes of the reply. Tries
    /// several times with the very same bytes.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(&self, key: &SecretKey, id: RequestId, kind: u16, message: Vec<u8>) -> Result<Vec<u8>, AskError> {
        let digest = Request::unsigned(key.id(), id, kind, message.clone()).digest();
        let bytes = self.sealed(key, id, kind, message)?;
        let url = self.address.endpoint().url("/v1/messages");
        let request = || self.http.post(url.clone()).header(CONTENT_TYPE, CBOR).body(bytes.clone());
        let answer = send_idempotent(request).await.map_err(|why| match why {
            SendError::NotSent(why) => AskError::NotSent(why.to_string()),
            SendError::OutcomeUnknown(why) => AskError::Unknown(why.to_string()),
        })?;
        let lost = |why: farthing_net::http::client::ReadError| AskError::Unknown(why.to_string());
        if !answer.status().is_success() {
            return Err(unsigned(read_problem(answer).await.map_err(lost)?));
        }
        let body = read_bounded(answer, MESSAGE_MAX).await.map_err(lost)?;
        let signed: Signed<Answer> = wire::decode(&body).map_err(|_| forged())?;
        let answer = signed.verify_by(self.network(), self.bank()).map_err(|_| forged())?;
        if answer.body().request != digest {
            return Err(forged());
        }
        match answer.body().outcome.clone() {
            AnswerOutcome::Done(reply) => Ok(reply),
            AnswerOutcome::Refused(refusal) => Err(AskError::Refused { refusal, authenticated: true }),
        }
    }

    /// The bytes of a question: signed, then sealed to the bank.
    fn sealed(&self, key: &SecretKey, id: RequestId, kind: u16, message: Vec<u8>) -> Result<Vec<u8>, AskError> {
        if message.len() > REQUEST_MESSAGE_MAX {
            return Err(AskError::NotSent(format!("the request is longer than {REQUEST_MESSAGE_MAX} bytes")));
        }
        let body = RequestBody { id, to: self.bank(), kind, message, epoch: self.epoch };
        let signed = key.sign(self.network(), &body);
        let sealed = seal(self.network(), &self.info.body().seal, &signed, &mut dice()?);
        Ok(wire::encode(&sealed.map_err(|why| AskError::NotSent(why.to_string()))?))
    }

    /// Asks with a message and reads the reply.
    pub(super) async fn call<M: Encode<()>, R: Wire>(
        &self,
        key: &SecretKey,
        id: RequestId,
        kind: u16,
        message: &M,
    ) -> Result<R, AskError> {
        let reply = self.ask(key, id, kind, wire::encode(message)).await?;
        wire::decode(&reply).map_err(|_| unreadable())
    }

    /// A reply that the bank signed by itself, beside the answer it came in: to be kept and shown.
    pub(super) fn bank_said<T: Statement>(&self, signed: Signed<T>) -> Result<Verified<T>, AskError> {
        signed.verify_by(self.network(), self.bank()).map_err(|_| unreadable())
    }
}

/// An answer that somebody else made up, or that belongs elsewhere.
pub(super) fn forged() -> AskError {
    AskError::Unknown("the answer is not the bank's, or not to this question".into())
}

/// The bank signed an answer that makes no sense.
pub(super) fn unreadable() -> AskError {
    AskError::Unknown("the bank's reply cannot be read; is this program older than the bank?".into())
}

/// A refusal from before the bank knew who asks.
pub(super) fn unsigned(problem: Problem) -> AskError {
    if problem.money == Money::Unknown {
        return AskError::Unknown(problem.detail);
    }
    let Problem { code, fault, money, remedy, detail, .. } = problem;
    let refusal = Refusal { code: code.unwrap_or(Code::Malformed), fault, money, remedy, detail: detail.into() };
    AskError::Refused { refusal, authenticated: false }
}
