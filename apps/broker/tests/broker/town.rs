//! A bank, a broker, sellers and buyers in one process.

use std::sync::Arc;
use std::time::Duration;

use farthing_bank::client::BankClient;
use farthing_bank::home::{BankHome, Config, Unlock};
use farthing_bank::messages::Text;
use farthing_bank::server::{Bank, Options, SignerChoice};
use farthing_broker::client::{BrokerAskError, BrokerClient};
use farthing_broker::messages::{Passed, PrefetchAnswer, PrefetchAsk, SerialAnswer, SerialAsk};
use farthing_broker::server::{BrokerServer, Setup, StartError, Terms};
use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{PeerId, RequestId};
use farthing_core::refusal::Code;
use farthing_core::seal::SealKey;
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_coupon::broker::{Form, Want};
use farthing_coupon::buyer::Buyer;
use farthing_coupon::micro::Pay;
use farthing_coupon::secret::Digest;
use farthing_coupon::spender::Spender;
use farthing_dialects::quote::request_digest;
use farthing_dialects::service::CloseSession;
use farthing_driver::{Clock, ManualClock};
use farthing_net::http::endpoint::Endpoint;
use farthing_net::http::server::{Limits, ServerConfig, Tls};
use farthing_store::StoreError;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tempfile::TempDir;

use crate::shop::Shop;

const BEGIN: Time = Time::from_millis(1_800_000_000_000);
const BROKER: [u8; 32] = [200; 32];

pub(crate) fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

pub(crate) struct Town {
    dir: TempDir,
    pub(crate) clock: ManualClock,
    bank: Bank,
    pub(crate) client: BankClient,
    broker: Option<BrokerServer>,
    sellers: Vec<Endpoint>,
    pub(crate) units: u32,
}

impl Town {
    pub(crate) async fn new() -> Self {
        Self::at(BEGIN).await
    }

    pub(crate) async fn at(begin: Time) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::play("Town bank", Currency::XTS);
        config.listen.set_port(0);
        config.limits.requests_per_second = 100_000;
        let home = BankHome::init(dir.path().join("bank"), config, &Unlock::insecure()).unwrap();
        let clock = ManualClock::at(begin);
        let options =
            Options { clock: Arc::new(clock.clone()), ..Options::new(SignerChoice::InThisProcess, Unlock::insecure()) };
        let bank = Bank::start(home, options).await.unwrap();
        let client = BankClient::connect(bank.bank_address().clone()).await.unwrap();
        Self { dir, clock, bank, client, broker: None, sellers: Vec::new(), units: 100 }
    }

    /// A town with one shop and a broker that buys from it with sessions of so many units.
    pub(crate) async fn with_shop(units: u32) -> (Self, Shop) {
        let mut town = Self::new().await;
        town.units = units;
        let shop = Shop::open(&town, 20).await;
        town.fund(&town.broker_key(), 1_000_000).await;
        town.buy_from(shop.origin.parse().unwrap()).await;
        (town, shop)
    }

    /// Starts the broker, with this seller.
    pub(crate) async fn buy_from(&mut self, seller: Endpoint) {
        self.sellers.push(seller);
        self.start_broker().await;
    }

    pub(crate) fn broker_key(&self) -> SecretKey {
        SecretKey::from_seed(&BROKER)
    }

    async fn start_broker(&mut self) {
        // One that was killed lets go of its records a moment later.
        loop {
            match BrokerServer::start(self.setup()).await {
                Err(StartError::Store(StoreError::Locked(_))) => tokio::time::sleep(Duration::from_millis(5)).await,
                started => return self.broker = Some(started.unwrap()),
            }
        }
    }

    fn setup(&self) -> Setup {
        let listen = "127.0.0.1:0".parse().unwrap();
        Setup {
            records: self.path("broker.db"),
            identity: BROKER.into(),
            bank: self.client.clone(),
            terms: Terms { units: self.units, ..Terms::new(micros(100), self.sellers.clone()) },
            server: ServerConfig { listen, tls: Tls::PlainLoopbackOnly, limits: Limits::default() },
            clock: Arc::new(self.clock.clone()),
            every: None,
        }
    }

    /// The broker's process is killed, and started again from what is on disk.
    pub(crate) async fn kill_and_restart_broker(&mut self) {
        drop(self.broker.take());
        self.start_broker().await;
    }

    /// The same, and all that the broker wrote down is gone.
    pub(crate) async fn lose_brokers_records(&mut self) {
        drop(self.broker.take());
        for end in ["", "-wal", "-shm"] {
            // Not all of them are there at all times.
            let _ = std::fs::remove_file(self.path(&format!("broker.db{end}")));
        }
        self.start_broker().await;
    }

    /// A file of the town.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// No money was made or lost.
    pub(crate) async fn check_conserved(&self) {
        assert!(self.bank.count_and_publish().await.unwrap().is_conserved() && self.bank.alarm().is_none());
    }

    pub(crate) fn broker(&self) -> &BrokerServer {
        self.broker.as_ref().unwrap()
    }

    pub(crate) fn to_broker(&self) -> BrokerClient {
        BrokerClient::new(self.broker().endpoint().clone()).unwrap()
    }

    pub(crate) fn id(&self) -> RequestId {
        BankClient::new_id(self.clock.now()).unwrap()
    }

    pub(crate) async fn fund(&self, key: &SecretKey, money: u64) {
        let seal = SealKey::from_seed(&[1; 32]).public();
        self.client.open_account(key, self.id(), seal).await.unwrap();
        if money > 0 {
            self.client.fund(key, self.id(), micros(money), Text::default()).await.unwrap();
        }
    }

    /// What somebody has, and what of it is set aside.
    pub(crate) async fn money(&self, key: &SecretKey) -> (u64, u64) {
        let balances = self.client.statement(key, self.id(), None, 0).await.unwrap().balances;
        (balances.balance.as_micros(), balances.held.as_micros())
    }

    /// All coupons become money, and no money was made or lost.
    pub(crate) async fn settle(&self, shop: &Shop) {
        self.broker().clear_now().await.unwrap();
        shop.clear().await;
        self.check_conserved().await;
    }

    /// A stranger with money and a session with the broker.
    pub(crate) async fn stranger(&self, seed: u8, units: u32) -> Stranger {
        let account = key(seed);
        self.fund(&account, 1_000_000).await;
        let (broker, mut rng) = (self.to_broker(), ChaCha20Rng::from_seed([seed; 32]));
        let bank_seal = self.client.info().body().seal;
        let (network, bank) = (self.client.network(), self.client.bank());
        let buyer = Buyer { account: &account, pseudonym: &account, network, bank, bank_seal };
        let offer = broker.offer().await.unwrap();
        let ends = self.clock.now().after(Span::from_hours(24));
        let (asked, initiate) = buyer.initiate(&offer.order, units, ends, [seed; 32], &mut rng).unwrap();
        let invoice = broker.initiate(&initiate).await.unwrap();
        let (pending, purchase) = buyer.on_invoice(self.clock.now(), asked, invoice, &mut rng).unwrap();
        let confirm = broker.open(pending.payment()).await.unwrap();
        // The very same once more is the very same session.
        assert_eq!(broker.open(pending.payment()).await.unwrap(), confirm);
        let spender = purchase.on_confirm(&buyer, confirm).map_err(|refused| refused.1).unwrap();
        Stranger { account: key(seed), spender }
    }
}

/// Somebody whom no seller knows.
pub(crate) struct Stranger {
    pub(crate) account: SecretKey,
    pub(crate) spender: Spender,
}

impl Stranger {
    /// What a request for an item costs: a coupon for so many of the seller's units.
    pub(crate) fn ask(&mut self, seller: PeerId, path: &str, units: u32) -> SerialAsk {
        let http = Passed { method: "GET".into(), path: path.into(), media_type: None, body: Vec::new() };
        let request = request_digest(&http.method, &http.path, &http.body);
        let want = Want { seller, units, request, form: Form::Serial };
        SerialAsk { chain: self.spender.chain(), pay: self.pay(&want, units), want, http }
    }

    pub(crate) fn prefetch(&mut self, seller: PeerId, units: u32, expires: Time) -> PrefetchAsk {
        let form = Form::Prefetch { holder: Digest([9; 32]), expires };
        let want = Want { seller, units, request: [0; 32], form };
        PrefetchAsk { chain: self.spender.chain(), pay: self.pay(&want, units), want }
    }

    /// The shop's units are worth ten of ours.
    fn pay(&mut self, want: &Want, units: u32) -> Pay {
        self.spender.pay(units * 10, want.order(self.spender.realm())).unwrap()
    }

    pub(crate) async fn serial(&mut self, town: &Town, ask: &SerialAsk) -> Result<SerialAnswer, BrokerAskError> {
        let answer = town.to_broker().serial(ask).await?;
        // Repeats find it closed.
        let _ = self.spender.on_ack(&answer.ack);
        Ok(answer)
    }

    pub(crate) async fn token(&mut self, town: &Town, ask: &PrefetchAsk) -> PrefetchAnswer {
        town.to_broker().prefetch(ask).await.unwrap()
    }

    pub(crate) async fn close(&self, town: &Town) {
        let close = CloseSession { chain: self.spender.chain(), at: town.clock.now() };
        town.to_broker().close(&self.account.sign(town.client.network(), &close)).await.unwrap();
    }
}

/// Why the broker refused.
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, BrokerAskError>) -> Code {
    match answer {
        Err(BrokerAskError::Refused(refusal)) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}
