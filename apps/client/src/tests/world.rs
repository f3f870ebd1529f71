//! A wallet in a temporary folder, whose bank says yes to everything.

use std::path::Path;
use std::sync::Arc;

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{NetworkId, PeerId, RequestId};
use farthing_core::seal::{SealKey, SealPublic};
use farthing_core::seed::Seed;
use farthing_core::sign::SecretKey;
use farthing_core::vault::Protection;
use farthing_peer::wallet::{BankPin, Desk, DeskError, Options as WalletOptions, Policy, Settings, Wallet};
use futures::future::BoxFuture;
use tempfile::TempDir;

use crate::client::{Options, PayingClient};

pub(super) const NETWORK: NetworkId = NetworkId([7; 16]);

pub(super) fn bank_key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

pub(super) fn bank_id() -> PeerId {
    bank_key().id()
}

pub(super) fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

/// Knows the key for slips and nothing else: the seller has the bank's key in these tests.
struct Away;

impl Desk for Away {
    fn ask<'a>(
        &'a self,
        _: &'a SecretKey,
        _: RequestId,
        _: u16,
        _: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, DeskError>> {
        Box::pin(std::future::ready(Err(DeskError::NotSent("nobody is there".into()))))
    }

    fn slips(&self) -> Option<SealPublic> {
        Some(SealKey::from_seed(&[1; 32]).public())
    }
}

pub(super) struct World {
    dir: TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(super) async fn wallet(&self, policy: Policy) -> Wallet {
        let endpoint = "http://127.0.0.1:1".into();
        let pin = BankPin { endpoint, key: bank_id(), network: NETWORK, currency: Currency::XTS };
        let settings = Settings { policy, ..Settings::with_bank(pin) };
        let home = self.dir.path().join("wallet");
        let seed = Seed::from_entropy([9; 32]);
        let wallet =
            Wallet::create(&home, &seed, &Protection::None, &settings, WalletOptions::default()).await.unwrap();
        wallet.set_desk(Arc::new(Away)).await;
        wallet
    }

    /// Closes a wallet and opens it again, as another run of the program does.
    pub(super) async fn restart(&self, wallet: Wallet) -> Wallet {
        let home = wallet.home().to_owned();
        wallet.close().await;
        drop(wallet);
        Self::open(&home).await
    }

    async fn open(home: &Path) -> Wallet {
        let wallet = Wallet::open(home, &Protection::None, WalletOptions::default()).await.unwrap();
        wallet.set_desk(Arc::new(Away)).await;
        wallet
    }

    pub(super) async fn client(&self, options: Options) -> PayingClient {
        PayingClient::new(self.wallet(Policy::default()).await, options).unwrap()
    }
}
