//! The way to the bank, as far as a wallet needs one.

use std::sync::Arc;

use farthing_bank::client::{AskError, BankAddress, BankClient, ConnectError};
use farthing_core::id::RequestId;
use farthing_core::refusal::{Money, Refusal, Remedy};
use farthing_core::seal::SealPublic;
use farthing_core::sign::SecretKey;
use farthing_net::http::endpoint::Endpoint;
use futures::future::BoxFuture;

use super::Wallet;
use super::error::WalletError;
use super::presence::BankFacts;
use super::settings::BankPin;

/// Why the bank gave no reply. Three outcomes, never two: only a refusal says that it was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// The bank refused, and signed that.
    #[error("the bank refused: {0}")]
    Refused(Refusal),
    /// Somebody on the way refused; the bank may know nothing of it.
    #[error("the bank was not asked: {0}; try again later, the same request is sent once more")]
    TurnedAway(Refusal),
    /// Nothing was sent.
    #[error("the bank cannot be reached ({0}); no money moved; try again later")]
    NotSent(String),
    /// Sent, and not answered.
    #[error("the bank did not answer ({0}); money may have moved; the same request is sent again later and tells")]
    Unknown(String),
}

impl DeskError {
    /// The refusal that ends a request: the bank's own, and not to be tried again.
    pub(crate) fn last_word(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) if refusal.remedy != Remedy::Again => Some(refusal),
            _ => None,
        }
    }

    /// The bank's own refusal, for now or for good, after which no money has moved.
    pub(crate) fn refused_unmoved(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) if refusal.money == Money::Unmoved => Some(refusal),
            _ => None,
        }
    }
}

impl From<AskError> for DeskError {
    fn from(why: AskError) -> Self {
        match why {
            AskError::Refused { refusal, authenticated: true } => Self::Refused(refusal),
            AskError::Refused { refusal, authenticated: false } => Self::TurnedAway(refusal),
            AskError::NotSent(why) => Self::NotSent(why),
            AskError::Unknown(why) => Self::Unknown(why),
        }
    }
}

/// Somebody who takes requests to the bank and brings its replies back.
pub trait Desk: Send + Sync + 'static {
    /// Asks as `key`'s owner; the canonical bytes of the reply. The same id and message may be
    /// asked any number of times and are carried out once.
    fn ask<'a>(
        &'a self,
        key: &'a SecretKey,
        id: RequestId,
        kind: u16,
        message: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, DeskError>>;

    /// The same, for the copy of a wallet that the bank counts under that number; 0 for a wallet that
    /// never had a second copy.
    fn ask_as<'a>(
        &'a self,
        key: &'a SecretKey,
        epoch: u64,
        id: RequestId,
        kind: u16,
        message: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, DeskError>> {
        let _ = epoch;
        self.ask(key, id, kind, message)
    }

    /// Brings a frame of online clearing to the bank, and its frame back. The same frame may be
    /// brought any number of times and is carried out once.
    fn clear(&self, frame: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, DeskError>> {
        let _ = frame;
        Box::pin(std::future::ready(Err(DeskError::NotSent("no online clearing this way".into()))))
    }

    /// What the bank says of itself; `None` where nobody asked it.
    fn facts(&self) -> Option<BankFacts> {
        None
    }

    /// The key to which the bank wants slips sealed; `None` where no coupons are opened this way.
    fn slips(&self) -> Option<SealPublic> {
        None
    }
}

impl Desk for BankClient {
    fn ask<'a>(
        &'a self,
        key: &'a SecretKey,
        id: RequestId,
        kind: u16,
        message: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, DeskError>> {
        Box::pin(async move { Ok(Self::ask(self, key, id, kind, message).await?) })
    }

    fn ask_as<'a>(
        &'a self,
        key: &'a SecretKey,
        epoch: u64,
        id: RequestId,
        kind: u16,
        message: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, DeskError>> {
        Box::pin(async move { Ok(self.clone().with_epoch(epoch).ask(key, id, kind, message).await?) })
    }

    fn clear(&self, frame: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, DeskError>> {
        Box::pin(async move { Ok(self.clearing_frame(&frame).await?) })
    }

    fn facts(&self) -> Option<BankFacts> {
        let info = self.info().body();
        Some(BankFacts { authority: info.authority, limits: info.limits })
    }

    fn slips(&self) -> Option<SealPublic> {
        Some(self.info().body().seal)
    }
}

impl BankPin {
    /// Pins the bank that a client talks to.
    #[must_use]
    pub fn of(client: &BankClient) -> Self {
        let info = client.info().body();
        Self {
            endpoint: client.address().endpoint().to_string(),
            key: info.bank,
            network: info.network,
            currency: info.currency,
        }
    }

    fn address(&self) -> Result<BankAddress, DeskError> {
        let endpoint: Endpoint =
            self.endpoint.parse().map_err(|why| DeskError::NotSent(format!("wallet.toml, [bank] endpoint: {why}")))?;
        Ok(BankAddress::new(endpoint, Some(self.key)))
    }
}

impl Wallet {
    /// Uses this way to the bank from now on, instead of connecting by itself.
    pub async fn set_desk(&self, desk: Arc<dyn Desk>) {
        *self.inner.desk.lock().await = Some(desk);
    }

    /// The way to the bank; connects if there is none yet.
    pub(crate) async fn desk(&self) -> Result<Arc<dyn Desk>, WalletError> {
        let mut desk = self.inner.desk.lock().await;
        if let Some(desk) = &*desk {
            return Ok(Arc::clone(desk));
        }
        let client = self.connect().await?;
        let new: Arc<dyn Desk> = Arc::new(client);
        *desk = Some(Arc::clone(&new));
        Ok(new)
    }

    /// Connects to the wallet's bank, and to no other.
    ///
    /// # Errors
    /// [`WalletError::Bank`]; [`WalletError::FalseAnswer`] if another bank answers there.
    pub async fn connect(&self) -> Result<BankClient, WalletError> {
        let pin = &self.inner.settings.bank;
        let client = BankClient::connect(pin.address()?).await.map_err(|why| match why {
            ConnectError::Impostor(why) => WalletError::FalseAnswer(why),
            other => WalletError::Bank(DeskError::NotSent(other.to_string())),
        })?;
        if client.network() != pin.network {
            return Err(WalletError::FalseAnswer("the bank is in another network than the wallet"));
        }
        self.raise_floor(client.info().body().time).await?;
        self.learn(&client).await?;
        Ok(client)
    }
}
