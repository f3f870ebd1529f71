//! The account at the bank: opened, funded, paid out.

use farthing_bank::messages::{
    AccountOpened, Balances, DESTINATION_MAX, Deposit, Fund, NOTE_MAX, OpenAccount, Payout, Progress, Text, kind,
};
use farthing_core::amount::Amount;
use farthing_core::refusal::Code;
use farthing_core::wire::{self, Wire};

use super::Wallet;
use super::desk::{Desk, DeskError};
use super::error::WalletError;
use super::journal::Answered;
use super::records::About;

impl Wallet {
    /// Opens the account. Harmless where it is open.
    ///
    /// # Errors
    /// [`WalletError::Bank`].
    pub async fn open_account(&self, desk: &dyn Desk) -> Result<AccountOpened, WalletError> {
        let seal = self.inner.seed.seal(0).public();
        let reply = self.look_up(desk, kind::OPEN_ACCOUNT, wire::encode(&OpenAccount { seal })).await?;
        read(&reply)
    }

    /// Asks for money from outside to be credited. Left unanswered, the same request is sent again
    /// by [`upkeep`](Self::upkeep), or by asking for the very same once more.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn fund(&self, desk: &dyn Desk, amount: Amount, note: Text<NOTE_MAX>) -> Result<Progress, WalletError> {
        read(&self.move_money(desk, kind::FUND, &Fund { amount, note }).await?)
    }

    /// Asks for money to be paid out. Left unanswered, the same request is sent again by
    /// [`upkeep`](Self::upkeep), or by asking for the very same once more.
    ///
    /// # Errors
    /// [`WalletError`]; [`WalletError::Restored`] before reconciliation.
    pub async fn payout(
        &self,
        desk: &dyn Desk,
        amount: Amount,
        destination: Text<DESTINATION_MAX>,
    ) -> Result<Progress, WalletError> {
        if self.is_restored() {
            return Err(WalletError::Restored);
        }
        read(&self.move_money(desk, kind::PAYOUT, &Payout { amount, destination }).await?)
    }

    /// Moves money into the deposit against cheating, or out of it again.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn deposit(&self, desk: &dyn Desk, amount: Amount, withdraw: bool) -> Result<Balances, WalletError> {
        read(&self.move_money(desk, kind::DEPOSIT, &Deposit { amount, withdraw }).await?)
    }

    /// Money comes in and goes out only on books that agree: where the bank says that they were not
    /// compared, they are, and it is asked once more.
    async fn move_money<M: Wire>(&self, desk: &dyn Desk, kind: u16, message: &M) -> Result<Vec<u8>, WalletError> {
        let message = wire::encode(message);
        match self.move_once(desk, kind, message.clone()).await {
            Err(WalletError::Refused(why) | WalletError::Bank(DeskError::Refused(why)))
                if why.code == Code::Reconcile && !self.is_restored() =>
            {
                self.compare_books(desk).await?;
                self.move_once(desk, kind, message).await
            }
            moved => moved,
        }
    }

    async fn move_once(&self, desk: &dyn Desk, kind: u16, message: Vec<u8>) -> Result<Vec<u8>, WalletError> {
        let _errand = self.inner.errand.lock().await;
        // The very same, asked for and unanswered: that is the one that is meant.
        let before = self.pending().await?.into_iter().find(|(_, row)| row.kind == kind && row.message == message);
        let answer = match before {
            Some((id, row)) => self.send(desk, id, row).await?,
            None => self.request(desk, kind, message, About::Account).await?,
        };
        match answer {
            Answered::Account(reply) => Ok(reply),
            _ => Err(WalletError::FalseAnswer("it is for another request")),
        }
    }
}

fn read<T: Wire>(reply: &[u8]) -> Result<T, WalletError> {
    wire::decode(reply).map_err(|_| WalletError::FalseAnswer("it cannot be read"))
}
