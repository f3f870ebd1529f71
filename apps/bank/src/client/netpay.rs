//! NetPay's questions: NPP-1 to NPP-8, as far as they go to the bank.

use farthing_core::id::RequestId;
use farthing_core::sign::{SecretKey, Signed, Verified};
use farthing_netpay::bank::Case;
use farthing_netpay::messages::{
    AskRelease, BrokerRelease, ClaimReceipt, Claims, Defend, OpenChain, Register, RegisterAnswer, Reserve, Touchstone,
    kind,
};

use super::{AskError, BankClient};

#[allow(clippy::missing_errors_doc, reason = "each fails with AskError, as ask does")]
impl BankClient {
    /// Opens a chain (NPP-1) and gets its touchstone (NPP-2).
    pub async fn open_chain(
        &self,
        key: &SecretKey,
        id: RequestId,
        open: &OpenChain,
    ) -> Result<Verified<Touchstone>, AskError> {
        self.bank_said(self.call(key, id, kind::OPEN, open).await?)
    }

    /// Has a reserve noted, so that nobody else is paid its units.
    pub async fn register(
        &self,
        key: &SecretKey,
        id: RequestId,
        register: &Register,
    ) -> Result<RegisterAnswer, AskError> {
        self.call(key, id, kind::REGISTER, register).await
    }

    /// Claims visits (NPP-7) and gets the receipt (NPP-8).
    pub async fn claim(
        &self,
        key: &SecretKey,
        id: RequestId,
        claims: &Claims,
    ) -> Result<Verified<ClaimReceipt>, AskError> {
        self.bank_said(self.call(key, id, kind::CLAIM, claims).await?)
    }

    /// Has the bank release for a payee that vanished.
    pub async fn ask_release(
        &self,
        key: &SecretKey,
        id: RequestId,
        reserve: Signed<Reserve>,
    ) -> Result<Verified<BrokerRelease>, AskError> {
        self.bank_said(self.call(key, id, kind::ASK_RELEASE, &AskRelease { reserve }).await?)
    }

    /// Answers a case with a release.
    pub async fn defend(&self, key: &SecretKey, id: RequestId, defend: &Defend) -> Result<Case, AskError> {
        self.call(key, id, kind::DEFEND, defend).await
    }
}
