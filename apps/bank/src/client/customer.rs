//! A customer's questions.

use farthing_core::amount::Amount;
use farthing_core::cert::{Certificate, RoleName};
use farthing_core::id::RequestId;
use farthing_core::seal::SealPublic;
use farthing_core::sign::{SecretKey, Verified};

use super::ask::unreadable;
use super::{AskError, BankClient};
use crate::messages::{
    AccountOpened, Balances, Cases, Certify, DESTINATION_MAX, Deposit, Fund, NOTE_MAX, OpenAccount, Payout, Presence,
    Progress, Statement, StatementOf, TakeOver, Text, kind,
};

#[allow(clippy::missing_errors_doc, reason = "each fails with AskError, as ask does")]
impl BankClient {
    /// Opens the sender's accounts. Harmless where they are open.
    pub async fn open_account(
        &self,
        key: &SecretKey,
        id: RequestId,
        seal: SealPublic,
    ) -> Result<AccountOpened, AskError> {
        self.call(key, id, kind::OPEN_ACCOUNT, &OpenAccount { seal }).await
    }

    /// Has this copy of the wallet be the one that spends, and learns its epoch; any other copy is
    /// refused from now on. To be used with [`with_epoch`](Self::with_epoch).
    pub async fn take_over(&self, key: &SecretKey, id: RequestId, copy: [u8; 32]) -> Result<Presence, AskError> {
        self.call(key, id, kind::TAKE_OVER, &TakeOver { copy }).await
    }

    /// Gets a certificate, signed by the bank's certifying key.
    pub async fn certify(
        &self,
        key: &SecretKey,
        id: RequestId,
        role: RoleName,
        log_head: [u8; 32],
    ) -> Result<Verified<Certificate>, AskError> {
        self.authority_said(self.call(key, id, kind::CERTIFY, &Certify { role, log_head }).await?)
    }

    /// How the sender's account stands, with the transfers after that number or the last ones.
    pub async fn statement(
        &self,
        key: &SecretKey,
        id: RequestId,
        after: Option<u64>,
        limit: u16,
    ) -> Result<Statement, AskError> {
        self.call(key, id, kind::STATEMENT, &StatementOf { after, limit }).await
    }

    /// Moves money into the deposit, or out of it again.
    pub async fn deposit(
        &self,
        key: &SecretKey,
        id: RequestId,
        amount: Amount,
        withdraw: bool,
    ) -> Result<Balances, AskError> {
        self.call(key, id, kind::DEPOSIT, &Deposit { amount, withdraw }).await
    }

    /// Asks for money from outside to be credited.
    pub async fn fund(
        &self,
        key: &SecretKey,
        id: RequestId,
        amount: Amount,
        note: Text<NOTE_MAX>,
    ) -> Result<Progress, AskError> {
        self.call(key, id, kind::FUND, &Fund { amount, note }).await
    }

    /// Asks for money to be paid out.
    pub async fn payout(
        &self,
        key: &SecretKey,
        id: RequestId,
        amount: Amount,
        destination: Text<DESTINATION_MAX>,
    ) -> Result<Progress, AskError> {
        self.call(key, id, kind::PAYOUT, &Payout { amount, destination }).await
    }

    /// Cases against the sender.
    pub async fn cases(&self, key: &SecretKey, id: RequestId) -> Result<Cases, AskError> {
        let reply = self.ask(key, id, kind::CASES, Vec::new()).await?;
        farthing_core::wire::decode(&reply).map_err(|_| unreadable())
    }
}
