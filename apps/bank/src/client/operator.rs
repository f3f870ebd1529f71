//! An operator's questions.

use farthing_core::id::{PeerId, RequestId};
use farthing_core::sign::SecretKey;

use super::{AskError, BankClient};
use crate::messages::{
    Decide, Decided, EvidenceList, EvidencePart, EvidencePartOf, ListEvidence, ListPending, PendingList, Suspend,
    Suspended, kind,
};

#[allow(clippy::missing_errors_doc, reason = "each fails with AskError, as ask does")]
impl BankClient {
    /// Funding and pay-outs that wait for a decision.
    pub async fn pending(&self, key: &SecretKey, id: RequestId, after: u64) -> Result<PendingList, AskError> {
        self.call(key, id, kind::LIST_PENDING, &ListPending { after }).await
    }

    /// Approves or rejects one of them.
    pub async fn decide(
        &self,
        key: &SecretKey,
        id: RequestId,
        number: u64,
        approve: bool,
    ) -> Result<Decided, AskError> {
        self.call(key, id, kind::DECIDE, &Decide { number, approve }).await
    }

    /// Suspends a customer, or ends its suspension.
    pub async fn suspend(
        &self,
        key: &SecretKey,
        id: RequestId,
        customer: PeerId,
        suspended: bool,
    ) -> Result<Suspended, AskError> {
        self.call(key, id, kind::SUSPEND, &Suspend { customer, suspended }).await
    }

    /// What evidence was filed, after a piece or from the beginning.
    pub async fn evidence(
        &self,
        key: &SecretKey,
        id: RequestId,
        after: Option<[u8; 16]>,
    ) -> Result<EvidenceList, AskError> {
        self.call(key, id, kind::LIST_EVIDENCE, &ListEvidence { after }).await
    }

    /// A part of a piece of evidence, to be put together by the caller.
    pub async fn evidence_part(
        &self,
        key: &SecretKey,
        id: RequestId,
        piece: [u8; 16],
        offset: u32,
    ) -> Result<EvidencePart, AskError> {
        self.call(key, id, kind::EVIDENCE_PART, &EvidencePartOf { id: piece, offset }).await
    }
}
