//! The wallet: pays, is paid, and writes everything down before it says anything.
//!
//! A [`Wallet`] lives in one folder: `wallet.toml` (bank, policy, names), `seed.vault` (the seed,
//! sealed) and `wallet.sqlite` (everything else). One process at a time may have it open.
//!
//! As payer it spends NetPay chains that it opened in advance ([`Wallet::begin`], [`Spending`]); as
//! payee it counts words ([`Wallet::admit`], [`Earning`]) and redeems them later, many visits in
//! one request ([`Wallet::redeem`]). Sessions with sellers are in [`coupon`]. Single payments go by
//! [`draft`] or [`clearing`]: what is handed over is a [`Handover`], and [`Wallet::take`] takes it.
//! [`choose`] says which scheme fits. [`Wallet::upkeep`] does what falls due.
//!
//! # Copies
//! A chain spent from two copies of a wallet would be spent twice, and its owner found guilty. So
//! chains belong to an *epoch*, and those of an earlier one are never spent: their rest comes back
//! from the bank when they end. The epoch advances when a backup is restored, and when the records
//! are not the ones that were open last: a small *witness* file beside them is made anew at every
//! opening, so a copied folder has another one, and records put back from an older copy know an
//! older one. From then on the wallet receives, and pays only after [`Wallet::reconcile`]. Keys of
//! new chains are drawn from the seed *and* fresh randomness, so no two copies ever make the same
//! chain.
//!
//! Reconciling makes a copy the one that spends: the bank refuses what any other asks that opens or
//! moves money, be it a chain, a session, a transfer or a certificate. A copy that hears so stops
//! paying by every scheme until its owner has it reconciled in turn. What it had set aside before,
//! chains and sessions of its own, nobody else can spend.
//!
//! What this does not see: a snapshot of the whole disk or virtual machine put back or run twice,
//! and records exchanged for a copy made since the wallet was last opened. Do not run a wallet from
//! such; restore its backup or its phrase instead.

mod account;
mod backup;
mod chains;
mod choice;
pub mod clearing;
mod contacts;
pub mod coupon;
mod desk;
pub mod draft;
mod earning;
mod error;
mod history;
mod home;
mod journal;
mod means;
mod orders;
mod policy;
mod presence;
mod reconcile;
mod records;
mod redeem;
mod settings;
mod single;
mod spending;
mod start;
mod upkeep;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use farthing_core::id::{NetworkId, PeerId};
use farthing_core::seed::{KeyPurpose, Seed, Which};
use farthing_core::sign::SecretKey;
use farthing_core::time::Time;
use farthing_core::vault::Protection;
use farthing_driver::{Clock, DriverHandle};
use farthing_netpay::payee::{Payee, Terms};
use farthing_netpay::payer::Purse;
use zeroize::Zeroizing;

pub use backup::BACKUP_MAX;
pub use chains::{PURSES_MAX, UNITS_MAX, VISITS_MAX};
pub use choice::{Choice, Circumstances, NoSuchScheme, Scheme, choose};
pub use contacts::{CONTACT_ADDRESS_MAX, CONTACT_NAME_MAX, Contact};
pub use desk::{Desk, DeskError};
pub use earning::{Earning, LIVE_MAX};
pub use error::WalletError;
pub use history::{Earnings, Exposure, HISTORY_PAGE, Risk};
pub use means::Means;
pub use orders::{ADDRESSES_MAX, ORDERS_MAX, Paid, PaymentRequest, RequestState, Requested};
pub use policy::{Approval, Approver, Budget, Cap, NobodyApproves, Policy, PolicyRefusal};
pub use presence::BankFacts;
pub use reconcile::{DraftBooks, Reconciled};
pub use records::{Happened, What};
pub use redeem::RedeemReport;
pub use settings::{BankPin, ChainSettings, DraftSettings, NAMES_MAX, RedeemPolicy, Settings};
pub use single::{Expected, Handover, Outgoing, OutgoingState, Purchase, Taken};
pub use spending::{AHEAD_MIN, Spending, Want};
pub use start::Options;
pub use upkeep::Upkeep;

use earning::Live;
use home::Home;
use records::Meta;

/// Chains kept ready in memory between visits; others are made again from their seeds.
const IDLE_PURSES_MAX: usize = 16;

/// A wallet. Clones lead to the same.
#[derive(Clone)]
pub struct Wallet {
    pub(crate) inner: Arc<Inner>,
}

/// What all clones share.
pub(crate) struct Inner {
    home: Home,
    settings: Settings,
    seed: Seed,
    key: SecretKey,
    handle: DriverHandle,
    clock: Arc<dyn Clock>,
    approver: Arc<dyn Approver>,
    desk: tokio::sync::Mutex<Option<Arc<dyn Desk>>>,
    /// As last committed.
    meta: Mutex<Meta>,
    pool: Mutex<Pool>,
    /// Visits as payee that somebody holds, by digest of the reserve.
    live: Mutex<HashMap<[u8; 32], Weak<Live>>>,
    /// Held by whoever sends requests to the bank that are written down.
    errand: tokio::sync::Mutex<()>,
    /// Sessions with sellers who take coupons.
    coupons: coupon::Coupons,
    /// Held by whoever talks with the bank about clearing and drafts. Taken after `errand`, never before.
    counter: tokio::sync::Mutex<()>,
    /// When the bank last said that this copy is the present one, or last kept silent about it.
    presence: Mutex<Option<presence::Asked>>,
}

/// Which chains are in use, and some that are not.
#[derive(Default)]
struct Pool {
    busy: HashSet<u64>,
    idle: HashMap<u64, Purse>,
}

impl std::fmt::Debug for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wallet of {:?} in {}", self.me(), self.inner.home.path().display())
    }
}

impl Wallet {
    /// Whose wallet it is.
    #[must_use]
    pub fn me(&self) -> PeerId {
        self.inner.key.id()
    }

    /// The secret of the identity, for the transport between peers.
    #[must_use]
    pub fn identity(&self) -> Zeroizing<[u8; 32]> {
        home::bare(&self.inner.seed.derive(KeyPurpose::Identity, Which::Nth(0)))
    }

    /// The key that signs as this wallet.
    #[must_use]
    pub fn key(&self) -> &SecretKey {
        &self.inner.key
    }

    /// The seed, to show its words to the owner and to nobody else.
    #[must_use]
    pub fn seed(&self) -> &Seed {
        &self.inner.seed
    }

    /// Seals the seed anew: another passphrase, or none. Backups made before keep theirs.
    ///
    /// # Errors
    /// [`WalletError::Vault`], or what the disk said; the old protection then still holds.
    pub fn protect(&self, protection: &Protection) -> Result<(), WalletError> {
        self.inner.home.write_seed(&self.inner.seed, protection)
    }

    /// The network of its bank.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.inner.settings.bank.network
    }

    /// Its bank.
    #[must_use]
    pub fn bank(&self) -> PeerId {
        self.inner.settings.bank.key
    }

    /// Its settings, as they were when it was opened.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Its folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.inner.home.path()
    }

    /// What it insists on as payee.
    #[must_use]
    pub fn payee(&self) -> Payee {
        Payee { me: self.me(), network: self.network(), bank: self.bank(), terms: Terms::default() }
    }

    /// What its clock shows.
    #[must_use]
    pub fn now(&self) -> Time {
        self.inner.clock.now()
    }

    /// Whether it was restored or copied and may not pay before [`reconcile`](Self::reconcile).
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.inner.meta().restored
    }

    /// False once the records could not be written: the process should end and start again.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.inner.handle.is_healthy()
    }

    /// Finishes what is being written and lets go of the folder. Other clones can do nothing more.
    pub async fn close(&self) {
        if let Err(why) = self.flush_coupons().await {
            tracing::info!(%why, "sessions were not written down as they stand: their last blocks count as spent");
        }
        self.inner.handle.stop().await;
    }
}

impl Inner {
    fn meta(&self) -> MutexGuard<'_, Meta> {
        // A panic leaves none of these half changed.
        self.meta.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked_presence(&self) -> MutexGuard<'_, Option<presence::Asked>> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> MutexGuard<'_, HashMap<[u8; 32], Weak<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
