//! A bank, a clock that the test moves, and wallets in temporary folders.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::PeerId;
use farthing_core::order::Order;
use farthing_core::seed::Seed;
use farthing_core::time::{Span, Time};
use farthing_core::vault::Protection;
use farthing_driver::{Clock, ManualClock};
use farthing_netpay::messages::Visit;
use tempfile::TempDir;

use super::super::{BankPin, Earning, Options, Settings, Spending, Wallet, WalletError, Want};
use super::bank::{Bank, NETWORK};

/// What a wallet has at the bank when it begins, in micros.
pub(super) const FUNDS: u64 = 10_000_000;

/// What a piece costs, in micros.
pub(super) const PRICE: u64 = 500;

pub(super) struct World {
    pub(super) bank: Arc<Bank>,
    pub(super) clock: ManualClock,
    pub(super) dir: TempDir,
}

pub(super) fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

impl World {
    pub(super) fn new() -> Self {
        let clock = ManualClock::at(Time::from_millis(1_800_000_000_000));
        let dir = tempfile::tempdir().unwrap();
        Self { bank: Arc::new(Bank::new(&clock)), clock, dir }
    }

    pub(super) fn settings(&self) -> Settings {
        let endpoint = "http://127.0.0.1:1".into();
        let mut settings =
            Settings::with_bank(BankPin { endpoint, key: self.bank.id(), network: NETWORK, currency: Currency::XTS });
        settings.chains.value_micros = 100_000;
        settings
    }

    pub(super) fn options(&self) -> Options {
        Options { clock: Arc::new(self.clock.clone()), ..Options::default() }
    }

    pub(super) fn home(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new wallet with money at the bank.
    pub(super) async fn wallet(&self, name: &str) -> Wallet {
        self.wallet_with(name, &self.settings()).await
    }

    pub(super) async fn wallet_with(&self, name: &str, settings: &Settings) -> Wallet {
        let seed = seed(name);
        let home = self.home(name);
        let wallet = Wallet::create(&home, &seed, &Protection::None, settings, self.options()).await.unwrap();
        self.bank.enrol(wallet.me(), FUNDS);
        wallet.set_desk(self.bank.clone()).await;
        wallet
    }

    pub(super) async fn open(&self, name: &str) -> Result<Wallet, WalletError> {
        self.open_at(&self.home(name)).await
    }

    pub(super) async fn open_at(&self, home: &Path) -> Result<Wallet, WalletError> {
        let wallet = Wallet::open(home, &Protection::None, self.options()).await?;
        wallet.set_desk(self.bank.clone()).await;
        Ok(wallet)
    }

    /// As after a crash: nothing is finished, everything in memory is gone.
    pub(super) async fn reopen(&self, wallet: Wallet) -> Wallet {
        let home = wallet.home().to_owned();
        // Lets go of the file; writes nothing that was not written before.
        wallet.close().await;
        drop(wallet);
        self.open_at(&home).await.unwrap()
    }

    pub(super) fn order(&self, payee: PeerId, price: u64, pieces: u64) -> Order {
        let now = self.clock.now();
        Order {
            payee,
            content: None,
            size: pieces,
            piece: 1,
            price: micros(price),
            description: "a file".into(),
            created: now,
            expires: now.after(Span::from_hours(1)),
            nonce: [3; 16],
        }
    }

    pub(super) fn want(&self, payee: &Wallet, pieces: u64) -> Want {
        let order = self.order(payee.me(), PRICE, pieces);
        let max_total = micros(PRICE * pieces);
        Want { payee: payee.me(), order, units_per_piece: 1, pieces, max_total }
    }

    /// Begins a visit on both sides.
    pub(super) async fn begin(&self, payer: &Wallet, payee: &Wallet, pieces: u64) -> (Spending, Earning, Visit) {
        let want = self.want(payee, pieces);
        let order = want.order.clone();
        let (visit, spending) = payer.begin(want).await.unwrap();
        let earning = payee.admit(self.clock.now(), &order, visit.clone()).await.unwrap();
        (spending, earning, visit)
    }

    /// Everything that wallets have at the bank, and what backs chains.
    pub(super) fn money(&self, wallets: &[&Wallet]) -> i128 {
        wallets.iter().map(|wallet| i128::from(self.bank.balance(wallet.me()))).sum::<i128>() + self.bank.backing()
    }
}

/// A seed for each name.
pub(super) fn seed(name: &str) -> Seed {
    let mut entropy = [9; 32];
    for (byte, letter) in entropy.iter_mut().zip(name.bytes()) {
        *byte = letter;
    }
    Seed::from_entropy(entropy)
}

/// Pays so many pieces, each on the disk of the payee before it counts.
pub(super) async fn pay_pieces(spending: &mut Spending, earning: &Earning, pieces: u64) {
    let units = spending.units_per_piece();
    for _ in 0..pieces {
        if spending.left() < units {
            let reserve = spending.extend().await.unwrap();
            earning.extend(reserve).await.unwrap();
        }
        let pay = spending.pay(units).await.unwrap();
        assert_eq!(earning.on_pay(&pay), Ok(units));
        earning.persist().await.unwrap();
    }
}

/// Ends a visit on both sides; what was paid, in micros.
pub(super) async fn end(spending: Spending, earning: &Earning) -> u64 {
    let release = earning.release().await.unwrap();
    let receipt = earning.receipt().unwrap();
    let through = spending.through();
    spending.finish(release, Some(receipt), through).await.unwrap().as_micros()
}
