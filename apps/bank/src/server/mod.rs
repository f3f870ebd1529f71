//! The bank as a server.
//!
//! [`Bank::start`] opens the books, counts them, takes the port and serves; [`Bank::until`] keeps it
//! going. Everything a stranger can make it do is bounded: the HTTP server by its limits, each
//! customer by a rate, each request by the role.

mod clock;
mod desk;
mod frames;
mod log_keeper;
mod pages;
mod report;
mod sender;
mod x402;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farthing_driver::{Clock, Driver, DriverHandle, NoReply, OsEntropy, SystemClock};
use farthing_ledger::StoreFault;
use farthing_net::http::endpoint::EndpointError;
use farthing_net::http::server::{BindError, Limits, Server, ServerConfig};
use farthing_role::Context;
use farthing_store::audit::{AuditError, audit};
use farthing_store::{Overlay, Reader, SqliteOptions, SqliteStore, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::alarm::Alarm;
use crate::chart::Chart;
use crate::clearing_log::{ClearingLog, ClearingLogError};
use crate::client::BankAddress;
use crate::facilitator::Facilitator;
use crate::home::{BankHome, HomeError, Unlock};
use crate::messages::{BankInfo, LiabilityReport, REQUEST_BYTES_MAX, Text};
use crate::published::{self, NotTheLatest};
use crate::role::{BankRole, tables};
use crate::signer::{CertificateSigner, ChildSigner, InProcessSigner, SignerCommand, SignerError};

pub use clock::SharedClock;
use desk::Desk;
use log_keeper::LogKeeper;
use report::Reporter;
use sender::Sender;

/// How often the liabilities are looked at and, if anything moved, published.
pub const REPORT_EVERY: Duration = Duration::from_secs(10);

/// How often it is looked whether the store still answers.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// Bytes that sealing adds to a request.
const SEAL_BYTES: usize = 256;

/// Who signs certificates.
pub enum SignerChoice {
    /// A process of its own, started so.
    Process(SignerCommand),
    /// The server's own process: for demonstrations and tests.
    InThisProcess,
}

/// What is not in the configuration.
pub struct Options {
    /// Who signs certificates.
    pub signer: SignerChoice,
    /// How the keys open.
    pub unlock: Unlock,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What strangers may use up.
    pub limits: Limits,
    /// How requests are batched.
    pub driver: farthing_driver::Config,
    /// How often liabilities are published.
    pub report_every: Duration,
}

impl Options {
    /// The usual ones.
    #[must_use]
    pub fn new(signer: SignerChoice, unlock: Unlock) -> Self {
        Self {
            signer,
            unlock,
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            driver: farthing_driver::Config::default(),
            report_every: REPORT_EVERY,
        }
    }
}

/// Why a bank does not start. Nobody was served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Its books.
    #[error("{}: {why}", path.display())]
    Store {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: StoreError,
    },
    /// Its books are older than what it has published.
    #[error(transparent)]
    NotTheLatest(#[from] NotTheLatest),
    /// The clearing's log outside of the books.
    #[error(transparent)]
    ClearingLog(#[from] ClearingLogError),
    /// The books could not be read.
    #[error(transparent)]
    Fault(#[from] StoreFault),
    /// Its port or certificate.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its address.
    #[error(transparent)]
    Address(#[from] EndpointError),
    /// Its signer.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The first count of the books was not written down.
    #[error("the books cannot be counted: {0}")]
    Count(NoReply),
}

/// The bank can no longer be trusted to remember: its process must end, and find out at the next
/// start what was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store has failed: start the bank again; every answer given so far is kept")]
pub struct Broken;

/// A bank that serves.
pub struct Bank {
    address: SocketAddr,
    bank: BankAddress,
    driver: DriverHandle,
    reporter: Arc<Reporter>,
    sender: Arc<Sender>,
    alarm: Arc<Alarm>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Bank {
    /// Starts a bank: opens its books and counts them, takes the port, and serves in the background.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(home: BankHome, options: Options) -> Result<Self, StartError> {
        let Options { signer, unlock, clock, limits, driver, report_every } = options;
        let signer: Arc<dyn CertificateSigner> = match signer {
            SignerChoice::Process(command) => {
                let signer = ChildSigner::new(&home, unlock, command);
                signer.start().await?;
                Arc::new(signer)
            }
            SignerChoice::InThisProcess => Arc::new(InProcessSigner::open(&home, &unlock, Arc::clone(&clock))?),
        };
        // Before the books are opened: a taken port must not make anybody wait for a lock.
        let body_bytes = limits.body_bytes.max(REQUEST_BYTES_MAX + SEAL_BYTES);
        let tls = home.config.tls.for_server(home.path());
        let config = ServerConfig { listen: home.config.listen, tls, limits: Limits { body_bytes, ..limits } };
        let server = Server::bind(config).await?;
        let bank = BankAddress::new(server.endpoint()?, Some(home.bank()));

        let path = home.books();
        let at_books = |why| StartError::Store { path: path.clone(), why };
        let store = SqliteStore::open(&path, &tables(), &SqliteOptions::default()).map_err(at_books)?;
        let folder = home.path().to_owned();
        published::check(&folder, &store)?;
        let log = ClearingLog::open(&home.clearing_log(), &Overlay::new(&store))?;
        let chart = Chart { network: home.network(), currency: home.config.currency };
        let alarm = Arc::new(Alarm::default());
        let store = audited(store, &alarm).await?;
        let (bank_key, keys) = (home.bank(), home.keys.facilitator);
        let terms = home.config.facilitator.as_ref();
        let facilitator = terms.map(|terms| Facilitator::new(chart, bank_key, keys, terms.coupon));
        let role = BankRole::new(chart, home.keys.schemes, &home.config, Arc::clone(&alarm));
        let role = Arc::new(role.with_facilitator(facilitator));
        let rail = role.rail();
        let clock = SharedClock(clock);
        let driver = Driver::start(Arc::clone(&role), store, clock.clone(), OsEntropy, driver)?;
        let key = Arc::new(home.keys.statement);
        let reporter =
            Arc::new(Reporter::new(folder, chart, Arc::clone(&key), driver.clone(), clock.clone(), Arc::clone(&alarm)));
        let (capital, owner) = (home.config.draft.credit_total, Arc::clone(&role));
        driver.transact(move |cx| owner.bring_capital(cx, capital)).await.map_err(StartError::Count)?;
        reporter.count_and_publish().await.map_err(StartError::Count)?;
        let sender = Sender::new(Arc::clone(&role), chart, driver.clone(), Arc::clone(&key), clock.clone());
        let (sender, keeper) = (Arc::new(sender), LogKeeper::new(log, driver.clone()));

        let terms = home.config.terms.netpay();
        let info = BankInfo {
            name: Text::new(home.config.name.as_str()).unwrap_or_default(),
            network: chart.network,
            bank: key.id(),
            authority: home.keys.authority,
            seal: home.keys.seal.public(),
            currency: chart.currency,
            rail: Text::new(rail).unwrap_or_default(),
            chain_life_max: terms.life_max,
            grace: terms.grace,
            answer_time: terms.answer_time,
            deposit: terms.deposit,
            limits: home.config.limits.certified(),
            certificate_life: home.config.terms.certificate_life(),
            time: clock.now(),
        };
        let desk = Desk {
            network: chart.network,
            key,
            seal: home.keys.seal,
            driver: driver.clone(),
            role,
            signer,
            clock,
            rates: desk::rates(home.config.limits.requests_per_second),
        };
        let address = server.address();
        let desk = Arc::new(desk);
        let router = pages::router(Arc::clone(&desk), info, Arc::clone(&reporter), Arc::clone(&alarm));
        let router = match &home.config.facilitator {
            Some(terms) => {
                let enrolling = Arc::clone(&desk.role);
                let enrol = move |cx: &mut Context<'_>| enrolling.enrol_facilitator(cx);
                driver.transact(enrol).await.map_err(StartError::Count)?;
                router.merge(x402::router(desk, &bank, terms))
            }
            None => router,
        };
        let (stop, stopping) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(server.serve(router, stopped(stopping.clone()))),
            tokio::spawn(Arc::clone(&reporter).run(report_every, stopped(stopping.clone()))),
            tokio::spawn(Arc::clone(&sender).run(stopped(stopping.clone()))),
            tokio::spawn(keeper.run(stopped(stopping))),
        ];
        tracing::info!(%address, %bank, rail, "the bank is open");
        Ok(Self { address, bank, driver, reporter, sender, alarm, stop, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How customers name it: server, certificate and key.
    #[must_use]
    pub const fn bank_address(&self) -> &BankAddress {
        &self.bank
    }

    /// Why it has stopped paying out, if it has.
    #[must_use]
    pub fn alarm(&self) -> Option<&str> {
        self.alarm.reason()
    }

    /// Counts all accounts now and publishes the liabilities.
    ///
    /// # Errors
    /// [`NoReply`].
    pub async fn count_and_publish(&self) -> Result<LiabilityReport, NoReply> {
        self.reporter.count_and_publish().await
    }

    /// Does what has fallen due now, without waiting for the next second.
    ///
    /// # Errors
    /// [`NoReply`].
    pub async fn tick_now(&self) -> Result<(), NoReply> {
        self.driver.tick_now().await
    }

    /// Asks other banks now what is due to be asked, and waits for their answers.
    ///
    /// # Errors
    /// [`NoReply`].
    pub async fn exchange_now(&self) -> Result<(), NoReply> {
        self.sender.exchange().await
    }

    /// Serves until `shutdown` is done or the store fails, then stops: takes nothing more, answers
    /// what it has taken, and closes the books.
    ///
    /// # Errors
    /// [`Broken`]; the process should end with an error.
    pub async fn until(self, shutdown: impl Future<Output = ()>) -> Result<(), Broken> {
        let driver = self.driver.clone();
        let broken = async {
            let mut look = tokio::time::interval(WATCH_EVERY);
            while driver.is_healthy() {
                look.tick().await;
            }
        };
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            () = broken => Err(Broken),
        };
        self.stop().await;
        ended
    }

    /// Stops: takes nothing more, answers what it has taken, and closes the books.
    pub async fn stop(self) {
        let Self { driver, stop, tasks, .. } = self;
        // Nobody listens any more only if all have ended by themselves.
        let _ = stop.send(true);
        for task in tasks {
            if let Err(why) = task.await {
                tracing::error!(%why, "a task of the bank did not end well");
            }
        }
        driver.stop().await;
        tracing::info!("the bank is closed");
    }
}

/// Starts a bank and serves until `shutdown` is done. `started` learns where it listens.
///
/// # Errors
/// [`RunError`].
pub async fn run(
    home: BankHome,
    options: Options,
    started: impl FnOnce(&Bank),
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let bank = Bank::start(home, options).await?;
    started(&bank);
    Ok(bank.until(shutdown).await?)
}

/// Why a bank did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It did not go on.
    #[error(transparent)]
    Broken(#[from] Broken),
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error says that nobody is left who could stop us: stop.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Recomputes every balance from the journal before anybody is served. Books that fail raise the
/// alarm: the bank answers and takes money in, but pays nothing out.
async fn audited(store: SqliteStore, alarm: &Alarm) -> Result<SqliteStore, StartError> {
    let pass = move || {
        let found = audit(&store).map(drop).and_then(|()| match store.damage()? {
            Some(what) => Err(AuditError::Store(StoreFault(what))),
            None => Ok(()),
        });
        (store, found)
    };
    let done = tokio::task::spawn_blocking(pass).await;
    let (store, found) = done.map_err(|why| StoreFault(format!("the audit ended early: {why}")))?;
    if let Err(why) = found {
        alarm.raise(why.to_string());
    }
    Ok(store)
}
