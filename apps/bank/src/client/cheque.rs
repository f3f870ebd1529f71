//! Cheques: customers' questions, and what one bank asks another.

use farthing_core::id::RequestId;
use farthing_core::sign::{SecretKey, Signed, Verified};
use farthing_draft::interbank::messages::{
    Answer, Cashier, Certification, Certify, Digest, Final, Inquiry, Page, PageRequest, Presentation, kind,
};
use farthing_draft::messages::Draft;

use super::{AskError, BankClient};

#[allow(clippy::missing_errors_doc, reason = "each fails with AskError, as ask does")]
impl BankClient {
    /// NQ-2, NQ-3 and NQ-5: presents a cheque. Presented again it gets the same answer, or how it went
    /// on; take another id each time while it is pending, so that no stored answer is repeated.
    pub async fn present_cheque(
        &self,
        key: &SecretKey,
        id: RequestId,
        presentation: &Presentation,
    ) -> Result<Answer, AskError> {
        self.call(key, id, kind::PRESENT, presentation).await
    }

    /// NQ-0: has the money of a cheque held.
    pub async fn certify_cheque(
        &self,
        key: &SecretKey,
        id: RequestId,
        certify: &Certify,
    ) -> Result<Verified<Certification>, AskError> {
        self.bank_said(self.call(key, id, kind::CERTIFY, certify).await?)
    }

    /// Buys a cheque that the bank draws on itself.
    pub async fn cashiers_cheque(
        &self,
        key: &SecretKey,
        id: RequestId,
        order: &Cashier,
    ) -> Result<Verified<Draft>, AskError> {
        self.bank_said(self.call(key, id, kind::CASHIER, order).await?)
    }

    /// As payor or payee: what became of a cheque drawn on this bank.
    pub async fn inquire_cheque(&self, key: &SecretKey, id: RequestId, cheque: Digest) -> Result<Final, AskError> {
        self.call(key, id, kind::INQUIRE, &Inquiry { cheque }).await
    }

    /// As a peer bank: a page of this bank's statement of a day.
    pub async fn statement_page(
        &self,
        key: &SecretKey,
        id: RequestId,
        page: &PageRequest,
    ) -> Result<Signed<Page>, AskError> {
        self.call(key, id, kind::PAGE, page).await
    }
}
