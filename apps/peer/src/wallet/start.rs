//! Making a wallet and opening it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use farthing_core::seed::Seed;
use farthing_core::time::{Time, TimeFloor};
use farthing_core::vault::Protection;
use farthing_driver::{Clock, Config, Driver, DriverHandle, NoRole, OsEntropy, SystemClock};
use farthing_role::{Context, Table};
use farthing_store::{SqliteOptions, SqliteStore, StoreError};

use super::error::WalletError;
use super::home::{Home, random};
use super::policy::{Approver, NobodyApproves};
use super::records::{self, HISTORY, Happened, META, Meta, SELF, TABLES, What, Witness};
use super::settings::Settings;
use super::{Inner, Wallet};

/// How a wallet runs; the default is right for everybody but tests and programs with a person in
/// front of them.
#[derive(Clone)]
pub struct Options {
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// Who is asked about purchases above the threshold of the policy.
    pub approver: Arc<dyn Approver>,
    /// How large the file of records may grow, in bytes; as large as the disk allows if not set.
    pub max_bytes: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), approver: Arc::new(NobodyApproves), max_bytes: None }
    }
}

/// A clock that others hold too.
struct Shared(Arc<dyn Clock>);

impl Clock for Shared {
    fn now(&self) -> Time {
        self.0.now()
    }
}

impl Wallet {
    /// Makes a new wallet in a folder that holds none. The seed must be a fresh one; for one that
    /// was in use before, see [`restore_from_seed`](Self::restore_from_seed).
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn create(
        home: &Path,
        seed: &Seed,
        protection: &Protection,
        settings: &Settings,
        options: Options,
    ) -> Result<Self, WalletError> {
        let home = Home::create(home)?;
        home.write_settings(settings)?;
        home.write_seed(seed, protection)?;
        Self::start(home, protection, options, Beginning::New).await
    }

    /// Makes a wallet of a seed that was in use before and of which nothing else is left. It
    /// receives at once, and pays after [`reconcile`](Self::reconcile). What its chains had left
    /// comes back from the bank when they end; earnings that were not redeemed are lost with their
    /// words.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn restore_from_seed(
        home: &Path,
        seed: &Seed,
        protection: &Protection,
        settings: &Settings,
        options: Options,
    ) -> Result<Self, WalletError> {
        let home = Home::create(home)?;
        home.write_settings(settings)?;
        home.write_seed(seed, protection)?;
        Self::start(home, protection, options, Beginning::Found).await
    }

    /// Opens the wallet in a folder. Visits that were interrupted count as abandoned, and can be
    /// [resumed](Self::resume).
    ///
    /// # Errors
    /// [`WalletError`]: nothing is changed by any of them.
    pub async fn open(home: &Path, protection: &Protection, options: Options) -> Result<Self, WalletError> {
        Self::start(Home::open(home)?, protection, options, Beginning::Found).await
    }

    pub(crate) async fn start(
        home: Home,
        protection: &Protection,
        options: Options,
        beginning: Beginning,
    ) -> Result<Self, WalletError> {
        let settings = home.read_settings()?;
        let seed = home.read_seed(protection)?;
        let key = seed.identity();
        let fresh = Meta {
            copy: random()?,
            epoch: 0,
            next_chain: 0,
            floor: TimeFloor::default(),
            restored: false,
            witnesses: [None, None],
            redeemed: options.clock.now(),
            owner: key.id(),
            network: settings.bank.network,
            version: 0,
            presence: None,
            bank: None,
            began: None,
        };
        let handle = run(&home, &options)?;
        let (found, next) = (home.find_witness(), home.make_witness()?);
        let meta = handle.transact(move |cx| admit_records(cx, fresh, found, next, beginning)).await?;
        if meta.owner != key.id() {
            return Err(WalletError::Foreign(home.records()));
        }
        if meta.network != settings.bank.network {
            let why = "[bank] network: the wallet's records belong to another bank's network".into();
            return Err(WalletError::Settings { path: home.path().join("wallet.toml"), why });
        }
        home.call_witness()?;
        if meta.restored {
            // Whoever pays with it is told; a warning would only alarm those who do not.
            tracing::info!(epoch = meta.epoch, "the wallet was restored or copied: it pays only after reconciliation");
        }
        let inner = Inner {
            home,
            settings,
            seed,
            key,
            handle,
            clock: options.clock,
            approver: options.approver,
            desk: tokio::sync::Mutex::default(),
            meta: Mutex::new(meta),
            pool: Mutex::default(),
            live: Mutex::default(),
            errand: tokio::sync::Mutex::default(),
            coupons: super::coupon::Coupons::default(),
            counter: tokio::sync::Mutex::default(),
            presence: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Changes the row about the wallet itself, durably.
    pub(crate) async fn change_meta(&self, change: impl FnOnce(&mut Meta) + Send + 'static) -> Result<(), WalletError> {
        let changed = self.inner.handle.transact(move |cx| change_meta(cx, change)).await?;
        let mut meta = self.inner.meta();
        // Two changes may come back in another order than they were made in.
        if meta.version < changed.version {
            *meta = changed;
        }
        Ok(())
    }

    /// Notes a moment that the bank has signed.
    pub(crate) async fn raise_floor(&self, signed: Time) -> Result<(), WalletError> {
        if signed <= self.inner.meta().floor.floor {
            return Ok(());
        }
        self.change_meta(move |meta| meta.floor.raise(signed)).await
    }

    /// What the clock shows, if it may be believed.
    pub(crate) fn checked_now(&self) -> Result<Time, WalletError> {
        let now = self.inner.clock.now();
        self.inner.meta().floor.check(now)?;
        Ok(now)
    }
}

/// How the records of a wallet begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Beginning {
    /// With a fresh seed: nothing was ever signed under it.
    New,
    /// With a seed that was in use; records found are gone on with if they are where they were.
    Found,
}

pub(crate) fn run(home: &Home, options: &Options) -> Result<DriverHandle, WalletError> {
    let tables: Vec<Table> = TABLES.iter().chain(farthing_driver::TABLES).copied().collect();
    let limits = SqliteOptions { max_bytes: options.max_bytes };
    let store = SqliteStore::open(home.records(), &tables, &limits).map_err(|why| match why {
        StoreError::Locked(_) => WalletError::InUse(home.path().into()),
        StoreError::Exposed { path, mode, harm } => {
            let should = if path.is_dir() { 0o700 } else { 0o600 };
            WalletError::Exposed { path, mode, should, harm }
        }
        other => WalletError::Store(other),
    })?;
    let config = Config { check_workers: 1, tick_every: None, ..Config::default() };
    let clock = Shared(Arc::clone(&options.clock));
    Ok(Driver::start(Arc::new(NoRole), store, clock, OsEntropy, config)?)
}

/// Takes the records as they are, as fresh ones, or as a copy that must not go on as if it were
/// the only one.
fn admit_records(
    cx: &mut Context<'_>,
    fresh: Meta,
    found: Option<Witness>,
    next: Witness,
    beginning: Beginning,
) -> Result<Meta, farthing_role::Halt> {
    let known: Option<Meta> = records::get(&*cx.tx, META, SELF)?;
    let meta = match known {
        // Somebody else's records are left as they are.
        Some(meta) if meta.owner != fresh.owner || meta.network != fresh.network => return Ok(meta),
        Some(meta) if found.is_some() && meta.witnesses.contains(&found) => meta,
        Some(meta) => next_epoch(cx, meta, fresh.copy),
        None if beginning == Beginning::New => fresh,
        None => next_epoch(cx, Meta { redeemed: cx.now, ..fresh.clone() }, fresh.copy),
    };
    let meta = Meta { witnesses: [found, Some(next)], version: meta.version + 1, ..meta };
    records::put(cx.tx, META, SELF, &meta);
    Ok(meta)
}

/// Retires all chains there are and draws the line that only the bank's word crosses.
fn next_epoch(cx: &mut Context<'_>, meta: Meta, copy: [u8; 16]) -> Meta {
    let epoch = meta.epoch.saturating_add(1);
    note(cx, What::Restored { epoch });
    Meta { copy, epoch, restored: true, presence: None, began: Some(cx.now), ..meta }
}

fn change_meta(cx: &mut Context<'_>, change: impl FnOnce(&mut Meta)) -> Result<Meta, farthing_role::Halt> {
    let damaged = || farthing_ledger::StoreFault("the row about the wallet is gone".into());
    let mut meta: Meta = records::get(&*cx.tx, META, SELF)?.ok_or_else(damaged)?;
    change(&mut meta);
    meta.version += 1;
    records::put(cx.tx, META, SELF, &meta);
    Ok(meta)
}

/// Writes down what happened; gives the line's key.
pub(crate) fn note(cx: &mut Context<'_>, what: What) -> [u8; 16] {
    let bytes = farthing_core::wire::encode(&what);
    let unique = farthing_core::hash::hash(farthing_core::hash::Purpose::AuditEntry, &[&cx.dice, &bytes]);
    let key = farthing_core::id::timed(cx.now, &unique);
    records::put(cx.tx, HISTORY, &key, &Happened { at: cx.now, what });
    key
}
