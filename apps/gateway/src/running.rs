//! Starting a gateway, keeping it running, stopping it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::seal::SealKey;
use farthing_core::sign::SecretKey;
use farthing_core::time::Span;
use farthing_coupon::seller::{Seller, Terms};
use farthing_dialects::quote::ChallengeKey;
use farthing_driver::{Clock, Driver, DriverHandle, NoReply, NoRole, OsEntropy};
use farthing_ledger::StoreFault;
use farthing_net::http::endpoint::Endpoint;
use farthing_net::http::ops;
use farthing_net::http::server::{BindError, Limits, Server, ServerConfig, Tls};
use farthing_store::{SqliteOptions, SqliteStore, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::acquirer::Acquirer;
use crate::book::{Book, Room};
use crate::clearing::{ClearError, ClearWhen, Cleared, Clearer, Closing};
use crate::counter::Counter;
use crate::entrance::{self, Entrance};
use crate::gate::Gate;
use crate::guests::Guests;
use crate::listing::{Announcer, Listed};
use crate::prices::{self, PriceError, Prices, Tariff};
use crate::proxy::{BadBehind, Behind, Carriers, Proxy, Source, StreamLimits, Streams};
use crate::report::tables;

/// How long a quote holds.
pub const QUOTE_LIFE: Span = Span::from_secs(300);
/// How long the service is waited for.
pub const UPSTREAM_TIME: Duration = Duration::from_secs(25);
/// What the gateway itself may need beside that.
const OWN_TIME: Duration = Duration::from_secs(5);
/// The longest body of a request. It is read whole before a payment is taken for it, since the
/// payment is bound to it.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// The bodies of all requests at once, together: what strangers can make the gateway hold.
pub const ALL_BODY_BYTES_MAX: usize = 256 << 20;
/// How often the price file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often purchases without an answer are asked about again, and old ones forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(30);

/// When an accepted payment is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before the service is asked: nothing can be lost. Many payments share a sync of the disk.
    Each,
    /// At most so much later. After a crash the coupons of that time could be spent here again.
    Every(Duration),
}

impl Durability {
    /// What may be lost when the machine fails, in a sentence; `dearest` is the most that one request
    /// may cost.
    #[must_use]
    pub fn exposure(self, dearest: Amount) -> String {
        match self {
            Self::Each => "every payment is on disk before the service is asked: a crash loses nothing".to_owned(),
            Self::Every(time) => format!(
                "payments are on disk at most {} ms later: a crash loses at most what was paid in that time, up to {dearest} for each request",
                time.as_millis()
            ),
        }
    }
}

/// Where prices come from.
#[derive(Clone, Debug)]
pub enum PriceSource {
    /// Given, and never changed.
    Fixed(Tariff),
    /// A file, looked at again and again.
    File(PathBuf),
}

/// The keys of a gateway.
pub struct Keys {
    /// Grows the key that signs invoices: the account that is paid.
    identity: Zeroizing<[u8; 32]>,
    /// Grows the keys of sessions and quotes: the same after a restart.
    secret: Zeroizing<[u8; 32]>,
}

impl Keys {
    /// All keys, from the secret of the identity that is paid.
    #[must_use]
    pub fn of(identity: Zeroizing<[u8; 32]>) -> Self {
        let secret = Zeroizing::new(blake3::derive_key("farthing/v1/gateway/secret", &*identity));
        Self { identity, secret }
    }
}

/// The bank of a gateway.
#[derive(Clone)]
pub struct Bank {
    /// Its network.
    pub network: NetworkId,
    /// The key that signs its statements.
    pub key: PeerId,
    /// What it keeps.
    pub currency: Currency,
    /// Its address, for buyers.
    pub address: String,
    /// The way to it.
    pub acquirer: Arc<dyn Acquirer>,
}

/// How a gateway runs.
pub struct Config {
    /// What it charges for.
    pub behind: Behind,
    /// Where to listen, and how connections are protected.
    pub listen: SocketAddr,
    /// How connections are protected.
    pub tls: Tls,
    /// What strangers may use up.
    pub limits: Limits,
    /// Where this machine's own tools find health, readiness and metrics; a loopback address.
    pub ops: Option<SocketAddr>,
    /// The folder for its records.
    pub home: PathBuf,
    /// What things cost.
    pub prices: PriceSource,
    /// When a payment is on disk.
    pub durability: Durability,
    /// When to clear.
    pub clear: ClearWhen,
    /// How much is kept in memory.
    pub room: Room,
    /// How running answers are kept within bounds.
    pub streams: StreamLimits,
    /// How long the service is waited for; less than [`Limits::request_time`].
    pub patience: Duration,
    /// How long a quote holds.
    pub quote_life: Span,
    /// What it insists on when sessions are opened.
    pub terms: Terms,
    /// The index that is told of it, if any.
    pub listed: Option<Listed>,
}

impl Config {
    /// The usual settings.
    #[must_use]
    pub fn new(behind: impl Into<Behind>, listen: SocketAddr, home: PathBuf, prices: PriceSource) -> Self {
        Self {
            behind: behind.into(),
            listen,
            tls: Tls::PlainLoopbackOnly,
            limits: limits(),
            ops: None,
            home,
            prices,
            durability: Durability::Each,
            clear: ClearWhen::default(),
            room: Room::default(),
            streams: StreamLimits::default(),
            patience: UPSTREAM_TIME,
            quote_life: QUOTE_LIFE,
            terms: Terms::default(),
            listed: None,
        }
    }

    /// Waits so long for the service, and a little longer before the request itself is given up.
    pub fn wait_for_upstream(&mut self, patience: Duration) {
        self.patience = patience;
        self.limits.request_time = patience.saturating_add(OWN_TIME);
    }

    /// Takes bodies of requests up to so many bytes.
    pub fn take_bodies(&mut self, bytes: usize) {
        self.limits.body_bytes = bytes;
        self.limits.all_body_bytes = ALL_BODY_BYTES_MAX.max(bytes);
    }
}

/// What strangers may use up of a gateway: more than of a bank, since they pay.
#[must_use]
pub fn limits() -> Limits {
    const RATE: std::num::NonZeroU32 = std::num::NonZeroU32::new(1_000_000).unwrap();
    Limits {
        connections: 8_192,
        connections_per_address: 4_096,
        requests: 8_192,
        requests_per_address: 4_096,
        rate_per_address: RATE,
        burst_per_address: RATE,
        body_bytes: BODY_BYTES_MAX,
        all_body_bytes: ALL_BODY_BYTES_MAX,
        // The gateway itself refuses half of that, in words.
        header_bytes: 2 * entrance::HEAD_BYTES_MAX as u32,
        headers: 2 * entrance::HEADERS_MAX,
        ..Limits::default()
    }
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The service's address is none, or the folder.
    #[error(transparent)]
    Behind(#[from] BadBehind),
    /// The prices make no sense.
    #[error(transparent)]
    Prices(#[from] PriceError),
    /// The records cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They cannot be read.
    #[error(transparent)]
    Fault(#[from] StoreFault),
    /// They did not answer.
    #[error(transparent)]
    NoReply(#[from] NoReply),
    /// The port is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its own address is none; not in practice.
    #[error(transparent)]
    Address(#[from] farthing_net::http::endpoint::EndpointError),
    /// The folder cannot be made.
    #[error("the folder for the gateway's records cannot be made: {0}")]
    Folder(std::io::Error),
}

/// Where the records of a gateway are.
#[must_use]
pub fn records_in(home: &Path) -> PathBuf {
    home.join("gateway.sqlite")
}

/// Opens the records of a gateway, which nobody else has open.
async fn open_book(home: &Path, room: Room, clock: &Arc<dyn Clock>) -> Result<Arc<Book>, StartError> {
    make_folder(home).map_err(StartError::Folder)?;
    let store = SqliteStore::open(records_in(home), &tables(), &SqliteOptions { max_bytes: None })?;
    let driver = farthing_driver::Config { check_workers: 1, tick_every: None, ..farthing_driver::Config::default() };
    let handle = Driver::start(Arc::new(NoRole), store, Shared(Arc::clone(clock)), OsEntropy, driver)?;
    Ok(Arc::new(Book::start(handle, Arc::clone(clock), room).await?))
}

/// Why a gateway that is stopped did not clear.
#[derive(Debug, thiserror::Error)]
pub enum ClearStoppedError {
    /// Its records cannot be opened: it may be running.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Not all was cleared.
    #[error(transparent)]
    Clear(#[from] ClearError),
}

/// Clears for a gateway that does not run: what it took becomes money without it.
///
/// # Errors
/// [`ClearStoppedError`]; what was done stays done.
pub async fn clear_stopped(home: &Path, bank: Bank, clock: Arc<dyn Clock>) -> Result<Cleared, ClearStoppedError> {
    let book = open_book(home, Room::default(), &clock).await?;
    let (handle, stopping) = (book.handle().clone(), CancellationToken::new());
    let keeping = tokio::spawn(Arc::clone(&book).keep(Duration::ZERO, stopping.clone().cancelled_owned()));
    let clearer = Clearer::new(book, &bank, clock, ClearWhen::default(), Arc::default());
    let cleared = clearer.clear().await;
    stopping.cancel();
    // A task that panicked has nothing left to write down.
    let _ = keeping.await;
    handle.stop().await;
    Ok(cleared?)
}

/// A gateway that has its port and is not serving yet.
pub struct Gateway {
    server: Server,
    ops: Option<Server>,
    gate: Arc<Gate>,
    clearer: Arc<Clearer>,
    handle: DriverHandle,
    durability: Durability,
    source: PriceSource,
    /// Nothing stands behind it.
    is_alone: bool,
    currency: Currency,
    announcer: Option<Announcer>,
    repriced: Arc<Notify>,
}

impl Gateway {
    /// Opens the records, checks the prices, takes the port.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config, keys: &Keys, bank: Bank, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let tariff = match &config.prices {
            PriceSource::Fixed(tariff) => tariff.clone(),
            PriceSource::File(path) => prices::read(path, bank.currency)?,
        };
        let is_alone = config.behind == Behind::Nothing;
        answered(&tariff, is_alone)?;
        let source = Source::open(&config.behind, config.patience)?;
        let book = open_book(&config.home, config.room, &clock).await?;
        let handle = book.handle().clone();
        let seller = Seller {
            key: SecretKey::from_seed(&keys.identity),
            seal: SealKey::from_seed(&blake3::derive_key("farthing/v1/gateway/sessions", &*keys.secret)),
            network: bank.network,
            bank: bank.key,
            terms: config.terms,
        };
        let sale = (tariff.coupon, words(&tariff));
        let counter = Counter::new(
            seller,
            bank.address.clone(),
            Arc::clone(&bank.acquirer),
            Arc::clone(&book),
            Arc::clone(&clock),
            sale,
        );
        let counter = counter.await?;
        let streams = Arc::new(Streams::default());
        let closing = Arc::new(Closing::default());
        let proxy = Proxy {
            source,
            patience: config.patience,
            carriers: Carriers::default(),
            book: Arc::clone(&book),
            streams: Arc::clone(&streams),
            limits: config.streams,
            durable_first: config.durability == Durability::Each,
        };
        let clearer = Clearer::new(Arc::clone(&book), &bank, Arc::clone(&clock), config.clear, Arc::clone(&closing));
        let gate = Gate {
            prices: Prices::new(tariff),
            book,
            counter,
            proxy,
            streams,
            key: ChallengeKey::derive(&keys.secret),
            guests: Guests::default(),
            clock,
            quote_life: config.quote_life,
            closing,
            scheme: if config.tls == Tls::PlainLoopbackOnly { "http" } else { "https" },
        };
        let server =
            Server::bind(ServerConfig { listen: config.listen, tls: config.tls, limits: config.limits }).await?;
        let ops = match config.ops {
            None => None,
            Some(listen) => {
                let plain = ServerConfig { listen, tls: Tls::PlainLoopbackOnly, limits: Limits::default() };
                Some(Server::bind(plain).await?)
            }
        };
        let (gate, repriced) = (Arc::new(gate), Arc::new(Notify::new()));
        let announcer = match config.listed {
            None => None,
            Some(Listed { index, at }) => {
                let at = at.map_or_else(|| server.endpoint(), Ok)?;
                let key = SecretKey::from_seed(&keys.identity);
                Some(Announcer::new(Arc::clone(&gate), key, index, &at, Arc::clone(&repriced)))
            }
        };
        Ok(Self {
            server,
            ops,
            gate,
            clearer: Arc::new(clearer),
            handle,
            durability: config.durability,
            source: config.prices,
            is_alone,
            currency: bank.currency,
            announcer,
            repriced,
        })
    }

    /// How clients name it.
    ///
    /// # Errors
    /// None in practice: an address always makes an endpoint.
    pub fn endpoint(&self) -> Result<Endpoint, farthing_net::http::endpoint::EndpointError> {
        self.server.endpoint()
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where health, readiness and metrics are, if anywhere.
    #[must_use]
    pub fn ops_address(&self) -> Option<SocketAddr> {
        self.ops.as_ref().map(Server::address)
    }

    /// What may be lost when the machine fails.
    #[must_use]
    pub fn exposure(&self) -> String {
        self.durability.exposure(self.gate.prices.now().dearest())
    }

    /// Which answers cost something.
    #[must_use]
    pub fn charging(&self) -> String {
        self.gate.prices.now().charging()
    }

    /// A way to reload prices and to clear while it runs.
    #[must_use]
    pub fn control(&self) -> Control {
        Control {
            gate: Arc::clone(&self.gate),
            clearer: Arc::clone(&self.clearer),
            source: self.source.clone(),
            is_alone: self.is_alone,
            currency: self.currency,
            repriced: Arc::clone(&self.repriced),
        }
    }

    /// Serves until `stop` is done; then clears what was taken, if the bank answers, and lets go of
    /// the records.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let control = self.control();
        let stopping = CancellationToken::new();
        let gather = match self.durability {
            Durability::Each => Duration::ZERO,
            Durability::Every(time) => time,
        };
        let book = Arc::clone(&self.gate.book);
        let keeping = tokio::spawn(book.keep(gather, stopping.clone().cancelled_owned()));
        let (clearer, token) = (Arc::clone(&self.clearer), stopping.clone());
        let clearing = tokio::spawn(async move { clearer.keep(token.cancelled_owned()).await });
        let token = stopping.clone();
        let watching = tokio::spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                ((), ()) = async { tokio::join!(control.watch(), control.tidy()) } => {}
            }
        });
        let ops = self.ops.map(|server| {
            let book = Arc::clone(&self.gate.book);
            let ready =
                move || if book.is_healthy() { Ok(()) } else { Err("payments cannot be written down".to_owned()) };
            // Made here and not on the task: from now on everything is counted.
            let (router, token) = (ops::router(ready), stopping.clone());
            tokio::spawn(async move { server.serve(router, token.cancelled_owned()).await })
        });
        let gone = CancellationToken::new();
        let announcing = self.announcer.map(|announcer| tokio::spawn(announcer.run(gone.clone().cancelled_owned())));
        self.server.serve_with(Entrance::new(Arc::clone(&self.gate)), stop).await;
        self.gate.proxy.carriers.stop().await;
        gone.cancel();
        if let Some(announcing) = announcing {
            let _ = announcing.await;
        }
        if let Err(why) = self.clearer.clear().await {
            tracing::warn!(%why, "not all is cleared: the next start goes on with it");
        }
        stopping.cancel();
        let _ = tokio::join!(keeping, clearing, watching);
        if let Some(ops) = ops {
            let _ = ops.await;
        }
        self.handle.stop().await;
    }
}

/// What can be done with a gateway that runs.
#[derive(Clone)]
pub struct Control {
    gate: Arc<Gate>,
    clearer: Arc<Clearer>,
    source: PriceSource,
    /// Nothing stands behind it.
    is_alone: bool,
    currency: Currency,
    repriced: Arc<Notify>,
}

impl Control {
    /// Reads the price file again. If it makes no sense the prices before stay in force.
    ///
    /// # Errors
    /// [`StartError::Prices`] or [`StartError::NoReply`].
    pub async fn reload(&self) -> Result<(), StartError> {
        let PriceSource::File(path) = &self.source else { return Ok(()) };
        let tariff = prices::read(path, self.currency)?;
        answered(&tariff, self.is_alone)?;
        self.gate.counter.sell((tariff.coupon, words(&tariff))).await?;
        let before = self.gate.prices.now();
        let renumbered: Vec<_> = before.routes.iter().map(|route| tariff.number_of(route)).collect();
        self.gate.guests.renumber(|number| renumbered.get(number).copied().flatten());
        self.gate.prices.change(tariff);
        self.repriced.notify_one();
        Ok(())
    }

    /// Clears now.
    ///
    /// # Errors
    /// [`ClearError`].
    pub async fn clear(&self) -> Result<Cleared, ClearError> {
        self.clearer.clear().await
    }

    /// How many sessions are in memory, and how many answers run.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        (self.gate.book.in_memory(), self.gate.streams.count())
    }

    /// Reloads when the file changes.
    async fn watch(&self) {
        let PriceSource::File(path) = &self.source else { return std::future::pending().await };
        let mut seen = modified(path);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = modified(path);
            if now == seen {
                continue;
            }
            seen = now;
            match self.reload().await {
                Ok(()) => tracing::info!("new prices are in force"),
                Err(why) => tracing::error!(%why, "the old prices stay in force"),
            }
        }
    }

    async fn tidy(&self) {
        loop {
            if let Err(why) = self.gate.counter.tidy().await {
                tracing::warn!(%why, "purchases in progress cannot be looked at");
            }
            self.gate.proxy.tidy();
            let (sessions, streams) = self.load();
            metrics::gauge!("farthing_gateway_sessions_in_memory").set(sessions as f64);
            metrics::gauge!("farthing_gateway_streams").set(streams as f64);
            tokio::time::sleep(TIDY_EVERY).await;
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// Where nothing stands behind a gateway, every route must have an answer of its own.
fn answered(tariff: &Tariff, is_alone: bool) -> Result<(), PriceError> {
    match tariff.routes.iter().find(|route| is_alone && route.answer.is_none()) {
        None => Ok(()),
        Some(route) => Err(PriceError::Senseless {
            place: format!("route {}", route.pattern.as_str()),
            why: "nothing answers it: write answer = \"…\", or name a service or a folder to serve".into(),
        }),
    }
}

fn words(tariff: &Tariff) -> String {
    if tariff.name.is_empty() { "requests to a paid service".to_owned() } else { tariff.name.clone() }
}

/// A folder that only its owner may enter.
fn make_folder(path: &Path) -> Result<(), std::io::Error> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A clock in common.
struct Shared(Arc<dyn Clock>);

impl Clock for Shared {
    fn now(&self) -> farthing_core::time::Time {
        self.0.now()
    }
}
