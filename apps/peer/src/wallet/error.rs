//! What can go wrong with a wallet, and what to do then.

use std::io;
use std::path::PathBuf;

use farthing_core::amount::{Amount, AmountError};
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Fault, Money, Refusal, Remedy};
use farthing_core::seed::SeedError;
use farthing_core::time::ClockBehind;
use farthing_core::vault::VaultError;
use farthing_coupon::spender::SpendError;
use farthing_driver::NoReply;
use farthing_ledger::StoreFault;
use farthing_netpay::payer::PurseError;
use farthing_store::StoreError;

use super::desk::DeskError;
use super::policy::PolicyRefusal;

/// Why a wallet does not do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// There is a wallet already.
    #[error("{0} holds a wallet already: open it, or name another folder; nothing was changed")]
    Exists(PathBuf),
    /// There is no wallet.
    #[error("{0} holds no wallet: make one, or restore one from a backup or from the recovery phrase")]
    Missing(PathBuf),
    /// Somebody else uses the wallet.
    #[error("the wallet in {0} is in use by another process: stop that first; nothing was changed")]
    InUse(PathBuf),
    /// Others could read or replace a file.
    #[error("{path} has mode {mode:03o}, so others could {harm} it: chmod {should:o} it and try again")]
    Exposed {
        /// Which file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they should be.
        should: u32,
        /// What others could do.
        harm: &'static str,
    },
    /// A file that should be there cannot be read or written.
    #[error("{path}: {why}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The settings cannot be read.
    #[error("{path}: {why}; mend the file, or delete the line to get the default")]
    Settings {
        /// Which file.
        path: PathBuf,
        /// Which line, and what is wrong with it.
        why: String,
    },
    /// The file with the seed does not open.
    #[error("seed.vault: {0}")]
    Vault(#[from] VaultError),
    /// The recovery phrase is wrong.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// The records belong to another wallet than the seed.
    #[error("the records in {0} belong to another seed: somebody has mixed two wallets; put the right file back")]
    Foreign(PathBuf),
    /// The file of records does not open.
    #[error("the wallet's records: {0}")]
    Store(#[from] StoreError),
    /// The file of records does not answer.
    #[error(
        "the wallet's records cannot be used ({0}): end the program, make room on the disk, start again; what was \
             acknowledged is kept"
    )]
    Records(String),
    /// A backup that cannot be read.
    #[error(
        "{path} is no backup of a farthing wallet, or it is damaged ({why}): use another one, or the recovery phrase"
    )]
    Backup {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// The policy forbids it.
    #[error(transparent)]
    Policy(#[from] PolicyRefusal),
    /// The wallet was restored, or copied, and books were not compared yet.
    #[error(
        "this wallet was restored or copied: it can receive, but pays only after its books were compared with the \
             bank's (`farthing wallet reconcile`); nothing was paid"
    )]
    Restored,
    /// No chain can pay this, and none can be opened.
    #[error(
        "no open chain can pay {0} now, and the bank cannot be reached to open one: try again when it is back; \
             nothing was paid"
    )]
    NoChain(Amount),
    /// The price is none this wallet can pay in units.
    #[error("{0} per piece cannot be paid: the price must be above zero and a whole number of units of {1} micros")]
    Price(Amount, u64),
    /// The order is for another payee, or over.
    #[error("the order is {0}; nothing was paid")]
    Order(&'static str),
    /// The chain cannot do it.
    #[error(transparent)]
    Purse(#[from] PurseError),
    /// The session cannot do it.
    #[error(transparent)]
    Coupon(#[from] SpendError),
    /// The session is over.
    #[error("the session {0}: open another one; nothing was paid")]
    Session(&'static str),
    /// Another key than before stands at a site.
    #[error(
        "{site} was paid under the key {known} before, and shows {shown} now: ask its operator, and trust the new \
             key by hand if it is right; nothing was paid"
    )]
    SellerChanged {
        /// Which site.
        site: String,
        /// The key that is known.
        known: PeerId,
        /// The key that is shown.
        shown: PeerId,
    },
    /// No scheme can make the payment.
    #[error("{0}; nothing was paid")]
    NoScheme(&'static str),
    /// The books differ from the bank's, by online clearing.
    #[error(
        "the bank's books and this wallet's differ, and nothing can be paid by online clearing until the bank's \
             operator has settled it: {}",
        .0.join("; ")
    )]
    Disputed(Vec<String>),
    /// The bank did not do it, or did not answer.
    #[error(transparent)]
    Bank(#[from] DeskError),
    /// The answer of the bank is not what was asked for.
    #[error("the bank's answer is not what was asked for ({0}); it is not believed; ask the operator")]
    FalseAnswer(&'static str),
    /// The machine's clock is behind.
    #[error(transparent)]
    Clock(#[from] ClockBehind),
    /// An amount out of range or of the wrong currency.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// Refused, and nothing was changed.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Starved(String),
}

impl WalletError {
    /// Something about a file.
    pub(crate) fn file(path: impl Into<PathBuf>, why: io::Error) -> Self {
        Self::File { path: path.into(), why }
    }
}

impl From<NoReply> for WalletError {
    fn from(why: NoReply) -> Self {
        match why {
            NoReply::Refused(refusal) if refusal == ClockBehind.into() => Self::Clock(ClockBehind),
            NoReply::Refused(refusal) => Self::Refused(refusal),
            NoReply::Unknown | NoReply::Down => Self::Records(why.to_string()),
        }
    }
}

impl From<StoreFault> for WalletError {
    fn from(why: StoreFault) -> Self {
        Self::Records(why.0)
    }
}

impl From<WalletError> for Refusal {
    /// What the other side is told: no more than it needs.
    fn from(why: WalletError) -> Self {
        match why {
            WalletError::Refused(refusal) => refusal,
            WalletError::Clock(_) => Self::new(Code::Clock, "the clock of this side is behind"),
            _ => Self::new(Code::State, "this side cannot write its books now; try again later")
                .blame(Fault::Us)
                .money(Money::Unmoved)
                .remedy(Remedy::Again),
        }
    }
}
