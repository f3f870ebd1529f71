//! Clearing's questions: keys by ordinary requests, and everything else in frames.

use farthing_clearing::frame::MessageId;
use farthing_clearing::messages::{Enrol, KeyGrant, Rotate, kind};
use farthing_core::id::RequestId;
use farthing_core::refusal::{Code, Money, Refusal};
use farthing_core::seal::Sealed;
use farthing_core::sign::{SecretKey, Signed, Verified};
use farthing_core::wire::{self, MESSAGE_MAX};
use farthing_net::http::client::{ReadError, SendError, read_bounded, read_problem, send_idempotent};
use reqwest::header::CONTENT_TYPE;

use super::ask::{forged, unsigned};
use super::{AskError, BankClient};
use crate::messages::{Answer, AnswerOutcome, CBOR, FrameAnswer, REQUEST_MESSAGE_MAX};

#[allow(clippy::missing_errors_doc, reason = "each fails with AskError, as ask does")]
impl BankClient {
    /// Asks for the key that the sender shares with the bank, for the first time or again. Opened by
    /// [`open_grant`](farthing_clearing::wallet::open_grant).
    pub async fn clearing_enrol(
        &self,
        key: &SecretKey,
        id: RequestId,
        enrol: &Enrol,
    ) -> Result<Sealed<Signed<KeyGrant>>, AskError> {
        self.call(key, id, kind::ENROL, enrol).await
    }

    /// Has that key replaced.
    pub async fn clearing_rotate(
        &self,
        key: &SecretKey,
        id: RequestId,
        rotate: &Rotate,
    ) -> Result<Sealed<Signed<KeyGrant>>, AskError> {
        self.call(key, id, kind::ROTATE, rotate).await
    }

    /// Sends a frame of the clearing and gives the bank's frame. Tries several times with the very
    /// same bytes; after [`AskError::Unknown`] send them again. A refusal that the bank did not sign is
    /// nobody's word: it leaves a pending request pending.
    pub async fn clearing_frame(&self, frame: &[u8]) -> Result<Vec<u8>, AskError> {
        if frame.len() > REQUEST_MESSAGE_MAX {
            return Err(AskError::NotSent(format!("the frame is longer than {REQUEST_MESSAGE_MAX} bytes")));
        }
        let url = self.address.endpoint().url("/clearing");
        let request = || self.http.post(url.clone()).header(CONTENT_TYPE, CBOR).body(frame.to_vec());
        let answer = send_idempotent(request).await.map_err(|why| match why {
            SendError::NotSent(why) => AskError::NotSent(why.to_string()),
            SendError::OutcomeUnknown(why) => AskError::Unknown(why.to_string()),
        })?;
        let lost = |why: ReadError| AskError::Unknown(why.to_string());
        if !answer.status().is_success() {
            let problem = read_problem(answer).await.map_err(lost)?;
            return Err(match problem.code {
                // The very frame may have been carried out before its key was replaced.
                Some(code @ Code::Decrypt) => {
                    let refusal = Refusal::new(code, problem.detail).money(Money::Unknown);
                    AskError::Refused { refusal, authenticated: false }
                }
                _ => unsigned(problem),
            });
        }
        let body = read_bounded(answer, MESSAGE_MAX).await.map_err(lost)?;
        match wire::decode(&body).map_err(|_| forged())? {
            FrameAnswer::Frame(frame) => Ok(frame),
            FrameAnswer::Refused(signed) => {
                let signed: Verified<Answer> = signed.verify_by(self.network(), self.bank()).map_err(|_| forged())?;
                let answer = signed.body();
                match answer.outcome.clone() {
                    AnswerOutcome::Refused(refusal) if answer.request == MessageId::of(frame).0 => {
                        Err(AskError::Refused { refusal, authenticated: true })
                    }
                    _ => Err(forged()),
                }
            }
        }
    }
}
