//! Coupons' questions: 3KP's messages 4 and 5, the inquiry, clearings and refunds.

use farthing_core::id::RequestId;
use farthing_core::sign::{SecretKey, Signed, Verified};
use farthing_coupon::clearing::{ClearReceipt, Clearings, Refund, Refunded};
use farthing_coupon::messages::{AuthAnswer, AuthRequest, Authorisation, Inquiry, kind};

use super::{AskError, BankClient};

#[allow(clippy::missing_errors_doc, reason = "each fails with AskError, as ask does")]
impl BankClient {
    /// As the seller: has a purchase authorised (Auth-Request) and gets the bank's yes or no
    /// (Auth-Response). A no is an answer, not an error: the buyer is to have it.
    pub async fn authorise(
        &self,
        key: &SecretKey,
        id: RequestId,
        request: &AuthRequest,
    ) -> Result<AuthAnswer, AskError> {
        self.call(key, id, kind::AUTHORISE, request).await
    }

    /// As the buyer: what the bank told the seller about a purchase.
    pub async fn inquire(
        &self,
        key: &SecretKey,
        id: RequestId,
        inquiry: &Inquiry,
    ) -> Result<Verified<Authorisation>, AskError> {
        let signed: Signed<Authorisation> = self.call(key, id, kind::INQUIRE, inquiry).await?;
        self.bank_said(signed)
    }

    /// As the seller: clears sessions (C-1) and gets the receipt (C-2), a line for each. A clearing
    /// marked final also closes its session: what was not spent goes back to the buyer at once.
    pub async fn clear(
        &self,
        key: &SecretKey,
        id: RequestId,
        clearings: &Clearings,
    ) -> Result<Verified<ClearReceipt>, AskError> {
        self.bank_said(self.call(key, id, kind::CLEAR, clearings).await?)
    }

    /// As the seller: gives cleared coupons back to the buyer. The count is of all refunds of the
    /// session.
    pub async fn refund(&self, key: &SecretKey, id: RequestId, refund: &Refund) -> Result<Refunded, AskError> {
        self.call(key, id, kind::REFUND, refund).await
    }
}
