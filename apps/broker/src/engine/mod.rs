//! The broker with a store, a bank and hands.

mod buyers;
mod clearing;
mod exchange;
mod sellers;
mod stall;
mod translate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farthing_bank::client::{AskError, BankClient};
use farthing_core::id::{ChainId, PeerId};
use farthing_core::order::Order;
use farthing_core::refusal::{Code, Fault, Money, Refusal, Remedy};
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::Time;
use farthing_coupon::broker::Broker;
use farthing_coupon::exchange::stall::{Shelf, Shown, Stall};
use farthing_coupon::secret::Digest;
use farthing_coupon::seller::{Invoiced, Seller, Terms};
use farthing_coupon::session::Session;
use farthing_coupon::spender::Spender;
use farthing_driver::{Clock, DriverHandle, NoReply};
use farthing_ledger::StoreFault;
use farthing_net::http::client::client;
use farthing_net::http::endpoint::Endpoint;
use farthing_store::Reader;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::rows::{self, BUYERS, BuyerRow, SELLERS, SHOWN, SellerRow};
use crate::server::Terms as BrokerTerms;

/// The most invoices kept that were not paid yet; then all are forgotten, and buyers begin again.
const INVOICES_MAX: usize = 10_000;

/// What changes in one step with the store.
pub(crate) struct Desk {
    pub(crate) broker: Broker,
    /// Sessions that take no more payments.
    pub(crate) closed: BTreeSet<ChainId>,
    pub(crate) origins: BTreeMap<PeerId, String>,
    /// At a stall: what was shown in each session and is not paid yet.
    pub(crate) shown: BTreeMap<ChainId, Shown>,
}

/// All that a running broker has.
pub(crate) struct Engine {
    pub(crate) seller: Seller,
    /// The same key once more, for questions to the bank.
    pub(crate) key: SecretKey,
    pub(crate) order: Order,
    pub(crate) bank: BankClient,
    pub(crate) driver: DriverHandle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lines: Mutex<BTreeMap<String, Line>>,
    pub(crate) terms: BrokerTerms,
    /// Changed on the driver's thread only, where a change and its rows are one.
    pub(crate) desk: Arc<Mutex<Desk>>,
    pub(crate) invoices: Mutex<BTreeMap<Digest, Invoiced>>,
    /// How many requests are with each seller just now.
    pub(crate) away: Mutex<BTreeMap<PeerId, usize>>,
    /// One purchase from a seller at a time, and one clearing.
    pub(crate) buying: tokio::sync::Mutex<()>,
    pub(crate) clearing: tokio::sync::Mutex<()>,
    /// One exchange with a stall at a time: it shows one product before it is paid for it.
    pub(crate) gates: Mutex<BTreeMap<PeerId, Arc<tokio::sync::Mutex<()>>>>,
    /// Shelves seen lately, and when.
    pub(crate) shelves: Mutex<BTreeMap<PeerId, (Time, Signed<Shelf>)>>,
    /// What it sells itself.
    pub(crate) stall: Option<Arc<Stall>>,
}

/// The desk as it was written down.
pub(crate) fn load(books: &dyn Reader, key: SecretKey, bank: &BankClient, fee: u32) -> Result<Desk, StoreFault> {
    let mut closed = BTreeSet::new();
    let mut buyers = Vec::new();
    for (_, row) in rows::all::<BuyerRow>(books, BUYERS)? {
        let session = Session::resume(row.state);
        if row.closed {
            closed.insert(session.chain());
        }
        buyers.push(session);
    }
    let (mut sellers, mut origins) = (Vec::new(), BTreeMap::new());
    for (_, row) in rows::all::<SellerRow>(books, SELLERS)? {
        let wrong = |why| StoreFault(format!("a session with a seller is damaged: {why}"));
        let spender = Spender::resume(row.state, row.seed).map_err(wrong)?;
        origins.extend(spender.seller().map(|seller| (seller, row.origin)));
        sellers.push(spender);
    }
    let broker = Broker::new(key, bank.network(), fee, buyers, sellers, rows::jobs(books)?);
    let chain =
        |key: &[u8]| key.try_into().map(ChainId).map_err(|_| StoreFault("a shown product's row is damaged".into()));
    let shown = rows::all::<Shown>(books, SHOWN)?.into_iter().map(|(key, shown)| Ok((chain(&key)?, shown)));
    Ok(Desk { broker, closed, origins, shown: shown.collect::<Result<_, StoreFault>>()? })
}

/// The broker as a seller: the same at every start.
pub(crate) fn seller(key: SecretKey, seal: farthing_core::seal::SealKey, bank: &BankClient) -> Seller {
    Seller { key, seal, network: bank.network(), bank: bank.bank(), terms: Terms::default() }
}

/// A request that is with a seller, until it is dropped.
pub(crate) struct Away<'a>(&'a Engine, PeerId);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        let mut away = lock(&self.0.away);
        if let Some(count) = away.get_mut(&self.1) {
            *count = count.saturating_sub(1);
        }
    }
}

/// A way to a seller.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) http: reqwest::Client,
    base: String,
}

impl Line {
    /// The address of a path, query and all.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl Engine {
    /// Notes that a request is with a seller.
    pub(crate) fn away(&self, seller: PeerId) -> Away<'_> {
        *lock(&self.away).entry(seller).or_default() += 1;
        Away(self, seller)
    }

    /// The way to the seller at an address, with its certificate checked as the address says.
    pub(crate) fn line(&self, origin: &str) -> Result<Line, Refusal> {
        let mut lines = lock(&self.lines);
        if let Some(line) = lines.get(origin) {
            return Ok(line.clone());
        }
        let nowhere = || Refusal::new(Code::Unknown, "this seller's address leads nowhere");
        let endpoint: Endpoint = origin.parse().map_err(|_| nowhere())?;
        let http = client(&endpoint).map_err(|_| nowhere())?;
        let base = endpoint.url("").as_str().trim_end_matches('/').to_owned();
        let line = Line { http, base };
        // As many as there are sellers.
        lines.insert(origin.to_owned(), line.clone());
        Ok(line)
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fresh randomness of the operating system.
pub(crate) fn random() -> Result<[u8; 32], Refusal> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|why| {
        tracing::error!(%why, "the operating system gave no randomness");
        Refusal::new(Code::State, "the broker cannot draw numbers just now").blame(Fault::Us).remedy(Remedy::Again)
    })?;
    Ok(bytes)
}

pub(crate) fn dice() -> Result<ChaCha20Rng, Refusal> {
    Ok(ChaCha20Rng::from_seed(random()?))
}

/// What a caller is told where the broker's own store gave no answer.
pub(crate) fn no_reply(why: NoReply) -> Refusal {
    match why {
        NoReply::Refused(why) => why,
        NoReply::Down => later("the broker is closing: send the very same again later"),
        NoReply::Unknown => {
            later("the broker does not know yet what came of it: send the very same again").money(Money::Unknown)
        }
    }
}

/// What a buyer is told where the bank refused, or gave no answer.
pub(crate) fn no_answer(why: &AskError) -> Refusal {
    match why {
        AskError::Refused { refusal, .. } => refusal.clone(),
        AskError::NotSent(_) | AskError::Unknown(_) => {
            later("the bank does not answer: send the very same again").money(why.money())
        }
    }
}

pub(crate) fn later(why: &'static str) -> Refusal {
    Refusal::new(Code::State, why).blame(Fault::Us).remedy(Remedy::Again)
}
