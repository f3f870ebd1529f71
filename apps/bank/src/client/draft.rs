//! Drafts' questions. Each is asked by the key that writes or takes the drafts, a pseudonym perhaps;
//! only the enrolment is the account's own.

use farthing_core::cert::Certificate;
use farthing_core::id::RequestId;
use farthing_core::sign::{SecretKey, Signed, Verified};
use farthing_draft::messages::{
    Closing, Confirm, Confirmed, Deposit, DepositReceipt, Enrol, Finding, LogPage, Opening, PageTaken, Proof,
    Reconcile, Reconciled, Stop, Stopped, kind,
};

use super::ask::unreadable;
use super::{AskError, BankClient};
use crate::messages::{Closed, Confirmation, Enrolled};

#[allow(clippy::missing_errors_doc, reason = "each fails with AskError, as ask does")]
impl BankClient {
    /// As the account: enrols a key of its own.
    pub async fn draft_enrol(&self, key: &SecretKey, id: RequestId, enrol: &Enrol) -> Result<Enrolled, AskError> {
        self.call(key, id, kind::ENROL, enrol).await
    }

    /// KSF-R1: asks the bank to compare books.
    pub async fn draft_reconcile(
        &self,
        key: &SecretKey,
        id: RequestId,
        ask: &Reconcile,
    ) -> Result<Signed<Opening>, AskError> {
        self.call(key, id, kind::RECONCILE, ask).await
    }

    /// KSF-R2: a page of the log.
    pub async fn draft_log_page(&self, key: &SecretKey, id: RequestId, page: &LogPage) -> Result<PageTaken, AskError> {
        self.call(key, id, kind::LOG_PAGE, page).await
    }

    /// KSF-R3: the end of the log; gives what the comparison came to and, where the books agree and
    /// one was wanted, the certificate.
    pub async fn draft_close(
        &self,
        key: &SecretKey,
        id: RequestId,
        closing: &Signed<Closing>,
    ) -> Result<(Signed<Reconciled>, Option<Signed<Certificate>>), AskError> {
        let Closed { said, certificate } = self.call(key, id, kind::CLOSE, closing).await?;
        Ok((said, certificate))
    }

    /// KSD-1: deposits drafts, at most [`DRAFTS_MAX`](farthing_draft::messages::DRAFTS_MAX).
    pub async fn draft_deposit(
        &self,
        key: &SecretKey,
        id: RequestId,
        deposit: &Deposit,
    ) -> Result<Verified<DepositReceipt>, AskError> {
        self.bank_said(self.call(key, id, kind::DEPOSIT, deposit).await?)
    }

    /// Has a draft confirmed before serving for it. A no comes as the bank's refusal.
    pub async fn draft_confirm(
        &self,
        key: &SecretKey,
        id: RequestId,
        confirm: &Confirm,
    ) -> Result<Verified<Confirmed>, AskError> {
        match self.call(key, id, kind::CONFIRM, confirm).await? {
            Confirmation::Yes(said) => self.bank_said(said),
            Confirmation::No(refusal) => Err(AskError::Refused { refusal, authenticated: true }),
        }
    }

    /// KSS-1: stops a draft that nobody has deposited.
    pub async fn draft_stop(
        &self,
        key: &SecretKey,
        id: RequestId,
        stop: &Signed<Stop>,
    ) -> Result<Verified<Stopped>, AskError> {
        self.bank_said(self.call(key, id, kind::STOP, stop).await?)
    }

    /// Either side of a stopped draft: what it has to show.
    pub async fn draft_prove(&self, key: &SecretKey, id: RequestId, proof: &Proof) -> Result<Finding, AskError> {
        self.call(key, id, kind::PROVE, proof).await
    }

    /// A reply of the signer's must be the bank's certificate.
    pub(super) fn authority_said(&self, signed: Signed<Certificate>) -> Result<Verified<Certificate>, AskError> {
        signed.verify_by(self.network(), self.info().body().authority).map_err(|_| unreadable())
    }
}
