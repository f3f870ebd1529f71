//! The broker as a server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use farthing_bank::client::BankClient;
use farthing_core::amount::Amount;
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{OrderId, PeerId};
use farthing_core::order::Order;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seal::SealKey;
use farthing_core::seed::{KeyPurpose, Seed, Which};
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_core::wire::{self, Bounded, Wire};
use farthing_coupon::exchange::stall::Stall;
use farthing_dialects::names::{CBOR, CLOSE_PATH, INITIATE_PATH, OFFER_PATH, OPEN_PATH};
use farthing_dialects::service::Offer;
use farthing_driver::{Clock, Config, Driver, NoReply, NoRole, OsEntropy};
use farthing_ledger::StoreFault;
use farthing_net::http::endpoint::{Endpoint, EndpointError};
use farthing_net::http::ops;
use farthing_net::http::problem::{Problem, not_found};
use farthing_net::http::server::{BindError, Server, ServerConfig};
use farthing_role::Table;
use farthing_store::{SqliteOptions, SqliteStore, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::engine::{self, Engine};
use crate::messages::{
    BODY_BYTES_MAX, EXCHANGE_PATH, GOODS_PATH, PAY_PATH, PREFETCH_PATH, SELLERS_MAX, SELLERS_PATH, SERIAL_PATH,
    SHELF_PATH, SellerLine, SellerList,
};
use crate::rows::TABLES;

/// What is taken in beside the body that is passed on.
const ENVELOPE_BYTES: usize = 16 << 10;

/// On what terms a broker works.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What one of the buyers' coupons is worth.
    pub coupon: Amount,
    /// What a translation costs besides, in buyers' coupons.
    pub fee: u32,
    /// Where the sellers are.
    pub sellers: Vec<Endpoint>,
    /// How many units a session with a seller has.
    pub units: u32,
    /// What it sells itself, whole, through other brokers.
    pub stall: Option<Shelved>,
    /// A session that ends so soon is not used any more.
    pub margin: Span,
}

impl Terms {
    /// Usual terms: a thousand units with each seller, no fee.
    #[must_use]
    pub const fn new(coupon: Amount, sellers: Vec<Endpoint>) -> Self {
        Self { coupon, fee: 0, sellers, units: 1_000, stall: None, margin: Span::from_secs(120) }
    }
}

/// What a stall sells, and through whom.
#[derive(Debug, Clone, Default)]
pub struct Shelved {
    /// The brokers that goods are shown to before they are paid.
    pub brokers: BTreeSet<PeerId>,
    /// Name, product, and its price in coupons.
    pub products: Vec<(String, Vec<u8>, u32)>,
}

/// What a broker is started with.
pub struct Setup {
    /// Where it keeps its records.
    pub records: PathBuf,
    /// The secret of its account at the bank, which must be open. Its other keys grow from it.
    pub identity: Zeroizing<[u8; 32]>,
    /// Its bank, which must be the sellers' and the buyers'.
    pub bank: BankClient,
    /// Its terms.
    pub terms: Terms,
    /// Where it listens.
    pub server: ServerConfig,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// How often sellers are met and buyers' sessions cleared; `None` for only when told to.
    pub every: Option<Duration>,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its records could not be read.
    #[error(transparent)]
    Fault(#[from] StoreFault),
    /// The same.
    #[error("the records do not answer: {0}")]
    Driver(#[from] NoReply),
    /// Its port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its address.
    #[error(transparent)]
    Address(#[from] EndpointError),
    /// Too many sellers.
    #[error("a broker buys from at most {SELLERS_MAX} sellers")]
    Sellers,
    /// A product that cannot be sold so.
    #[error("{0}")]
    Product(Refusal),
}

/// A broker that serves.
pub struct BrokerServer {
    address: SocketAddr,
    endpoint: Endpoint,
    engine: Arc<Engine>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared(Arc<dyn Clock>);

impl Clock for Shared {
    fn now(&self) -> Time {
        self.0.now()
    }
}

impl BrokerServer {
    /// Starts a broker: opens its records, meets its sellers, and serves in the background.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(setup: Setup) -> Result<Self, StartError> {
        let Setup { records, identity, bank, terms, server, clock, every } = setup;
        if terms.sellers.len() > SELLERS_MAX {
            return Err(StartError::Sellers);
        }
        let server = Server::bind(server).await?;
        let (address, endpoint) = (server.address(), server.endpoint()?);
        let key = || SecretKey::from_seed(&identity);
        // A key for session secrets, which nothing else is sealed to.
        let sessions = Seed::from_entropy(*identity).derive(KeyPurpose::Seal, Which::For(b"broker"));
        let sessions = SealKey::from_seed(sessions.expose());
        let tables: Vec<Table> = TABLES.iter().chain(farthing_driver::TABLES).copied().collect();
        let store = SqliteStore::open(&records, &tables, &SqliteOptions::default())?;
        let desk = engine::load(&store, key(), &bank, terms.fee)?;
        let config = Config { check_workers: 1, tick_every: None, ..Config::default() };
        let driver = Driver::start(Arc::new(NoRole), store, Shared(Arc::clone(&clock)), OsEntropy, config)?;
        let order = order(key().id(), terms.coupon);
        let stall = terms.stall.clone().map(|shelved| stall(key(), &bank, order.id(), shelved)).transpose();
        let engine = Arc::new(Engine {
            seller: engine::seller(key(), sessions, &bank),
            key: key(),
            order,
            bank,
            driver,
            clock,
            lines: Mutex::new(BTreeMap::new()),
            terms,
            desk: Arc::new(Mutex::new(desk)),
            invoices: Mutex::new(BTreeMap::new()),
            away: Mutex::new(BTreeMap::new()),
            buying: tokio::sync::Mutex::new(()),
            clearing: tokio::sync::Mutex::new(()),
            gates: Mutex::new(BTreeMap::new()),
            shelves: Mutex::new(BTreeMap::new()),
            stall: stall.map_err(StartError::Product)?.map(Arc::new),
        });
        engine.meet_sellers().await;
        let (stop, stopping) = watch::channel(false);
        let mut tasks = vec![tokio::spawn(server.serve(router(Arc::clone(&engine)), stopped(stopping.clone())))];
        if let Some(every) = every {
            tasks.push(tokio::spawn(keep_going(Arc::clone(&engine), every, stopped(stopping))));
        }
        match engine.stall {
            None => tracing::info!(%address, "the broker is open"),
            Some(_) => tracing::info!(%address, "the stall is open"),
        }
        Ok(Self { address, endpoint, engine, stop, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How buyers name it.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// False once its records have failed: then its process must end.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.engine.driver.is_healthy()
    }

    /// Clears what buyers paid, now.
    ///
    /// # Errors
    /// A [`Refusal`]; it is tried again with the next round.
    pub async fn clear_now(&self) -> Result<(), Refusal> {
        self.engine.clear().await
    }

    /// Goes on with exchanges whose buyer or seller went away, now.
    pub async fn go_on_now(&self) {
        self.engine.go_on_with_exchanges().await;
    }

    /// Opens sessions with sellers where there are none, now.
    pub async fn meet_sellers_now(&self) {
        self.engine.meet_sellers().await;
    }

    /// Stops: takes nothing more and closes its records.
    pub async fn stop(mut self) {
        // Nobody listens any more only if all have ended by themselves.
        let _ = self.stop.send(true);
        for task in std::mem::take(&mut self.tasks) {
            if let Err(why) = task.await {
                tracing::error!(%why, "a task of the broker did not end well");
            }
        }
        self.engine.driver.stop().await;
    }
}

/// Dropped without being stopped, it breaks off whatever runs, as a killed process does.
impl Drop for BrokerServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What buyers' sessions are for: the same at every start, so that they outlive it.
fn order(broker: PeerId, coupon: Amount) -> Order {
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&hash(Purpose::Order, &[b"broker", &broker.0])[..16]);
    Order {
        payee: broker,
        content: None,
        size: 0,
        piece: 1,
        price: coupon,
        description: "coupons of other sellers".to_owned(),
        created: Time::default(),
        expires: Time::from_millis(u64::MAX),
        nonce,
    }
}

/// A stall with its shelf filled.
fn stall(key: SecretKey, bank: &BankClient, realm: OrderId, shelved: Shelved) -> Result<Stall, Refusal> {
    let mut stall = Stall::new(key, bank.network(), realm, shelved.brokers);
    for (name, product, units) in shelved.products {
        stall.put(&name, product, units)?;
    }
    Ok(stall)
}

async fn keep_going(engine: Arc<Engine>, every: Duration, stop: impl Future<Output = ()>) {
    let mut round = tokio::time::interval(every);
    // The first tick is at once, and the start has met the sellers already.
    round.tick().await;
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            _ = round.tick() => {}
        }
        engine.meet_sellers().await;
        engine.go_on_with_exchanges().await;
        if let Err(why) = engine.clear().await {
            tracing::warn!(%why, "not cleared yet");
        }
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error says that nobody is left who could stop us: stop.
    let _ = stopping.wait_for(|stop| *stop).await;
}

type House = State<Arc<Engine>>;
type Answer = Result<([(axum::http::HeaderName, &'static str); 2], Vec<u8>), Problem>;

fn router(engine: Arc<Engine>) -> Router {
    let driver = engine.driver.clone();
    let ready = move || match driver.is_healthy() {
        true => Ok(()),
        false => Err("the records have failed: the broker must be started again".to_owned()),
    };
    Router::new()
        .route(OFFER_PATH, get(offer))
        .route(SELLERS_PATH, get(sellers))
        .route(INITIATE_PATH, post(initiate))
        .route(OPEN_PATH, post(open))
        .route(CLOSE_PATH, post(close))
        .route(SERIAL_PATH, post(serial))
        .route(PREFETCH_PATH, post(prefetch))
        .route(EXCHANGE_PATH, post(exchange))
        .route(SHELF_PATH, get(shelf))
        .route(&format!("{SHELF_PATH}/{{seller}}"), get(shelf_of))
        .route(GOODS_PATH, post(goods))
        .route(PAY_PATH, post(pay))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX + ENVELOPE_BYTES))
        .merge(ops::router(ready))
        .fallback(not_found)
        .with_state(engine)
}

async fn offer(State(engine): House) -> impl IntoResponse {
    said(&Offer {
        order: engine.order.clone(),
        network: engine.bank.network(),
        bank: engine.bank.bank(),
        bank_address: engine.bank.address().to_string(),
        life_min_secs: engine.seller.terms.life_min.as_millis() / 1_000,
        units_max: farthing_core::chain::CHAIN_LEN_MAX,
    })
}

async fn sellers(State(engine): House) -> impl IntoResponse {
    let desk = engine.desk();
    let lines = desk.origins.iter().filter_map(|(seller, origin)| {
        let spender = desk.broker.seller(*seller)?;
        let (unit, realm, ends) = (spender.unit(), spender.realm(), spender.not_after());
        Some(SellerLine { seller: *seller, origin: origin.clone(), unit, realm, ends })
    });
    let sellers = Bounded::new(lines.take(SELLERS_MAX).collect()).unwrap_or_else(Bounded::empty);
    let named = engine.terms.sellers.iter().map(ToString::to_string);
    let waiting = named.filter(|named| !desk.origins.values().any(|met| met == named)).collect();
    let waiting = Bounded::new(waiting).unwrap_or_else(Bounded::empty);
    said(&SellerList { sellers, fee: engine.terms.fee, waiting })
}

async fn initiate(State(engine): House, body: Bytes) -> Answer {
    Ok(said(&engine.invoice(&read(&body)?)?))
}

async fn open(State(engine): House, body: Bytes) -> Answer {
    Ok(said(&engine.open(read(&body)?).await?))
}

async fn close(State(engine): House, body: Bytes) -> Answer {
    Ok(said(&engine.close(read(&body)?).await?))
}

async fn serial(State(engine): House, body: Bytes) -> Answer {
    Ok(said(&engine.serial(read(&body)?).await?))
}

async fn prefetch(State(engine): House, body: Bytes) -> Answer {
    Ok(said(&engine.prefetch(read(&body)?).await?))
}

async fn exchange(State(engine): House, body: Bytes) -> Answer {
    Ok(said(&engine.exchange(read(&body)?).await?))
}

async fn shelf(State(engine): House) -> Answer {
    Ok(said(&engine.shelf()?))
}

async fn shelf_of(State(engine): House, Path(seller): Path<String>) -> Answer {
    let nobody = |_| Refusal::new(Code::Malformed, "this is no seller's key");
    Ok(said(&engine.shelf_of(seller.parse().map_err(nobody)?).await?))
}

async fn goods(State(engine): House, body: Bytes) -> Answer {
    Ok(said(&engine.show(read(&body)?).await?))
}

async fn pay(State(engine): House, body: Bytes) -> Answer {
    Ok(said(&engine.paid(read(&body)?).await?))
}

fn read<T: Wire>(body: &[u8]) -> Result<T, Problem> {
    wire::decode(body).map_err(|why| Refusal::from(why).into())
}

fn said<T: minicbor::Encode<()>>(value: &T) -> ([(axum::http::HeaderName, &'static str); 2], Vec<u8>) {
    ([(CONTENT_TYPE, CBOR), (CACHE_CONTROL, "no-store")], wire::encode(value))
}
