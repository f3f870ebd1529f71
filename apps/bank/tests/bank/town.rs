//! A town with one bank, whose clock the test moves.

use std::sync::Arc;

use farthing_bank::client::{AskError, BankClient};
use farthing_bank::home::{BankHome, Config, Unlock};
use farthing_bank::messages::{Balances, Progress, Text};
use farthing_bank::server::{Bank, Options, SignerChoice};
use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{OrderId, RequestId};
use farthing_core::refusal::Code;
use farthing_core::seal::SealKey;
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_core::wire::Bounded;
use farthing_driver::{Clock, ManualClock};
use farthing_netpay::messages::{Claim, ClaimLine, Claims, Freed};
use farthing_netpay::payee::{Payee, Terms as PayeeTerms};
use farthing_netpay::payer::{ChainTerms, NewChain, Purse};
use tempfile::TempDir;

pub(crate) const ORDER: OrderId = OrderId([8; 32]);
const BEGIN: Time = Time::from_millis(1_800_000_000_000);

pub(crate) fn units(units: u64) -> Amount {
    micros(units * 1_000_000)
}

pub(crate) fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// The code of the bank's own, signed refusal.
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, AskError>) -> Code {
    match answer {
        Err(AskError::Refused { refusal, authenticated: true }) => refusal.code,
        other => panic!("not refused by the bank: {other:?}"),
    }
}

pub(crate) struct Town {
    pub(crate) dir: TempDir,
    pub(crate) clock: ManualClock,
    pub(crate) bank: Option<Bank>,
    pub(crate) client: BankClient,
}

impl Town {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::play("Town bank", Currency::XTS);
        config.listen.set_port(0);
        config.limits.requests_per_second = 100_000;
        change(&mut config);
        BankHome::init(dir.path().join("bank"), config, &Unlock::insecure()).unwrap();
        let clock = ManualClock::at(BEGIN);
        let bank = start(&dir, &clock).await;
        let client = BankClient::connect(bank.bank_address().clone()).await.unwrap();
        Self { dir, clock, bank: Some(bank), client }
    }

    pub(crate) fn bank(&self) -> &Bank {
        self.bank.as_ref().unwrap()
    }

    pub(crate) fn home(&self) -> std::path::PathBuf {
        self.dir.path().join("bank")
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(bank) = self.bank.take() {
            bank.stop().await;
        }
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let bank = start(&self.dir, &self.clock).await;
        self.client = BankClient::connect(bank.bank_address().clone()).await.unwrap();
        self.bank = Some(bank);
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    pub(crate) fn id(&self) -> RequestId {
        BankClient::new_id(self.now()).unwrap()
    }

    /// Somebody with an account and so many units of play money.
    pub(crate) async fn customer(&self, seed: u8, money: u64) -> SecretKey {
        let key = key(seed);
        let seal = SealKey::from_seed(&[seed; 32]).public();
        self.client.open_account(&key, self.id(), seal).await.unwrap();
        if money > 0 {
            let note = Text::new("for the fair").unwrap();
            let progress = self.client.fund(&key, self.id(), units(money), note).await.unwrap();
            assert!(matches!(progress, Progress::Done(_)), "{progress:?}");
        }
        key
    }

    pub(crate) async fn balances(&self, key: &SecretKey) -> Balances {
        self.client.statement(key, self.id(), None, 0).await.unwrap().balances
    }

    pub(crate) async fn balance(&self, key: &SecretKey) -> u64 {
        self.balances(key).await.balance.as_micros()
    }

    /// A chain of that many units of a thousandth each, for a week.
    pub(crate) fn new_chain(&self, signer: &SecretKey, length: u32) -> NewChain {
        let not_after = self.now().after(Span::from_days(7));
        let terms = ChainTerms { units: length, unit: micros(1_000), not_after };
        // A seed that a test can find again; each chain has a salt of its own.
        NewChain::new(signer.id(), terms, signer.id().0, self.id().0).unwrap()
    }

    pub(crate) async fn chain(&self, payer: &SecretKey, length: u32) -> Purse {
        let new = self.new_chain(payer, length);
        let touchstone = self.client.open_chain(payer, self.id(), &new.request()).await.unwrap();
        new.opened(touchstone).unwrap()
    }

    /// A visit that is paid so many units and left with a release: the claim.
    pub(crate) fn visit(&self, purse: &mut Purse, payer: &SecretKey, payee: &SecretKey, paid: u32) -> (Claim, Freed) {
        let network = self.client.network();
        let expires = self.now().after(Span::from_hours(24));
        let visit = purse.reserve(payer, network, payee.id(), ORDER, paid + 10, expires).unwrap();
        let at = Payee { me: payee.id(), network, bank: self.client.bank(), terms: PayeeTerms::default() };
        let mut counting = at.admit(self.now(), ORDER, visit).unwrap();
        for _ in 0..paid {
            let pay = purse.pay(1, ORDER).unwrap();
            counting.on_pay(self.now(), &pay).unwrap();
        }
        let release = counting.release(payee, network, self.now());
        let claim = counting.claim().unwrap();
        purse.on_release(network, release.clone(), paid).unwrap();
        (Claim { release: Some(release.clone()), ..claim }, Freed::Payee(release))
    }

    pub(crate) async fn claim(&self, payee: &SecretKey, items: Vec<Claim>) -> Result<Vec<ClaimLine>, AskError> {
        let claims = Claims { items: Bounded::new(items).unwrap() };
        let receipt = self.client.claim(payee, self.id(), &claims).await?;
        Ok(receipt.body().lines.as_slice().to_vec())
    }
}

async fn start(dir: &TempDir, clock: &ManualClock) -> Bank {
    let home = BankHome::open(dir.path().join("bank"), &Unlock::insecure()).unwrap();
    let options =
        Options { clock: Arc::new(clock.clone()), ..Options::new(SignerChoice::InThisProcess, Unlock::insecure()) };
    Bank::start(home, options).await.unwrap()
}
