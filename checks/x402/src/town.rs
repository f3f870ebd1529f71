//! A bank in this process, with customers.

use std::path::PathBuf;
use std::sync::Arc;

use farthing_bank::client::BankClient;
use farthing_bank::home::{BankHome, Config, Unlock};
use farthing_bank::messages::{Balances, Progress, Text};
use farthing_bank::server::{Bank, Options, SignerChoice};
use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{PeerId, RequestId};
use farthing_core::seal::SealKey;
use farthing_core::sign::SecretKey;
use farthing_core::time::Time;
use farthing_driver::{Clock, ManualClock};
use tempfile::TempDir;

const BEGIN: Time = Time::from_millis(1_800_000_000_000);

/// An amount of play money.
#[must_use]
pub fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).expect("a small amount")
}

/// Somebody's key.
#[must_use]
pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// A bank whose clock the test moves.
pub struct Town {
    dir: TempDir,
    /// The bank's clock.
    pub clock: ManualClock,
    bank: Option<Bank>,
    /// A way to the bank.
    pub client: BankClient,
}

impl Town {
    /// A bank that gives play money and settles for servers.
    pub async fn new() -> Self {
        Self::at(BEGIN).await
    }

    /// The same, beginning at that time.
    pub async fn at(begin: Time) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut config = Config::play("Town bank", Currency::XTS);
        config.listen.set_port(0);
        config.limits.requests_per_second = 100_000;
        BankHome::init(dir.path().join("bank"), config, &Unlock::insecure()).expect("a bank");
        let clock = ManualClock::at(begin);
        let (bank, client) = start(&dir, &clock).await;
        Self { dir, clock, bank: Some(bank), client }
    }

    /// The running bank.
    ///
    /// # Panics
    /// While it is stopped.
    #[must_use]
    pub fn bank(&self) -> &Bank {
        self.bank.as_ref().expect("the bank is open")
    }

    /// Its folder.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("bank")
    }

    /// Where it answers, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.bank().address())
    }

    /// Stops it.
    pub async fn stop(&mut self) {
        if let Some(bank) = self.bank.take() {
            bank.stop().await;
        }
    }

    /// Stops it and starts it again, elsewhere.
    pub async fn restart(&mut self) {
        self.stop().await;
        let (bank, client) = start(&self.dir, &self.clock).await;
        self.bank = Some(bank);
        self.client = client;
    }

    /// An id for a request.
    #[must_use]
    pub fn id(&self) -> RequestId {
        BankClient::new_id(self.clock.now()).expect("randomness")
    }

    /// Somebody with an account and so many micros.
    pub async fn customer(&self, seed: u8, money: u64) -> SecretKey {
        let key = key(seed);
        let seal = SealKey::from_seed(&[seed; 32]).public();
        self.client.open_account(&key, self.id(), seal).await.expect("an account");
        if money > 0 {
            let progress = self.client.fund(&key, self.id(), micros(money), Text::default()).await.expect("money");
            assert!(matches!(progress, Progress::Done(_)));
        }
        key
    }

    /// What somebody has.
    pub async fn balances(&self, key: &SecretKey) -> Balances {
        self.client.statement(key, self.id(), None, 0).await.expect("a statement").balances
    }

    /// What somebody has that is not set aside, and what is, in micros.
    pub async fn money(&self, key: &SecretKey) -> (u64, u64) {
        let Balances { balance, held, .. } = self.balances(key).await;
        (balance.as_micros(), held.as_micros())
    }

    /// Has everything done that is due, and the books counted.
    pub async fn settle_up(&self) {
        self.bank().tick_now().await.expect("a tick");
        let report = self.bank().count_and_publish().await.expect("a count");
        assert!(report.is_conserved() && self.bank().alarm().is_none());
        farthing_bank::audit::audit(&self.home()).expect("a clean audit");
    }

    /// A key as x402 names it.
    #[must_use]
    pub fn name(key: &SecretKey) -> String {
        let id: PeerId = key.id();
        id.to_string()
    }
}

async fn start(dir: &TempDir, clock: &ManualClock) -> (Bank, BankClient) {
    let home = BankHome::open(dir.path().join("bank"), &Unlock::insecure()).expect("a bank");
    let options =
        Options { clock: Arc::new(clock.clone()), ..Options::new(SignerChoice::InThisProcess, Unlock::insecure()) };
    let bank = Bank::start(home, options).await.expect("the bank opens");
    let client = BankClient::connect(bank.bank_address().clone()).await.expect("the bank answers");
    (bank, client)
}
