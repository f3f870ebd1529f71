//! What a customer keeps: one state for paying and being paid, since everybody does both.
//!
//! The state is the caller's to store, before anything made from it leaves; so are the entries of
//! the log and the receipts, which only grow. [`payer`](crate::payer), [`payee`](crate::payee) and
//! [`compare`](crate::compare) say what can be done with it.

use farthing_core::amount::Amount;
use farthing_core::audit::{AuditLog, Direction, Entry};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::replay::{REPLAY_WINDOW, ReplayWindow};
use farthing_core::seal::{SealKey, Sealed};
use farthing_core::sign::Signed;
use farthing_core::wire::Bounded;
use minicbor::{Decode, Encode};

use crate::frame::MessageId;
use crate::keys::CustomerKey;
use crate::messages::{KeyGrant, TransferRequest};
use crate::reconciliation::{CURRENCIES_MAX, Line};

/// How many receipts may wait for earlier ones: as many as the window of their numbers is wide.
pub const EARLY_MAX: usize = REPLAY_WINDOW as usize;

/// Whether the wallet may pay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Standing {
    /// It may.
    #[n(0)]
    Ready,
    /// It must compare books with the bank first; it can still be paid.
    #[n(1)]
    MustReconcile,
}

/// A request whose answer has not come.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Pending {
    /// Its name: the authorisation, if it becomes one.
    #[n(0)]
    pub auth: MessageId,
    /// What it says.
    #[n(1)]
    pub request: TransferRequest,
    /// The bytes that went, or will go, to the bank: these and no others, however often.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub frame: Vec<u8>,
    /// Whether a comparison has found it among the payments made.
    #[n(3)]
    pub found: bool,
}

/// A receipt that came before one with a lower number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct Early {
    #[n(0)]
    pub(crate) number: u64,
    #[n(1)]
    pub(crate) line: Line,
}

/// A customer's state.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Wallet {
    #[n(0)]
    pub(crate) network: NetworkId,
    #[n(1)]
    pub(crate) me: PeerId,
    #[n(2)]
    pub(crate) bank: PeerId,
    #[n(3)]
    pub(crate) key: CustomerKey,
    #[n(4)]
    pub(crate) epoch: u64,
    /// `S_A`.
    #[n(5)]
    pub(crate) next: u64,
    #[n(6)]
    pub(crate) log: AuditLog,
    #[n(7)]
    pub(crate) standing: Standing,
    #[n(8)]
    pub(crate) pending: Option<Pending>,
    #[n(9)]
    pub(crate) window: ReplayWindow,
    /// In order of their numbers.
    #[n(10)]
    pub(crate) early: Bounded<Early, EARLY_MAX>,
    #[n(11)]
    pub(crate) balances: Bounded<Amount, CURRENCIES_MAX>,
}

/// Reads the bank's answer to [`Enrol`](crate::messages::Enrol) or
/// [`Rotate`](crate::messages::Rotate).
///
/// # Errors
/// [`Code::Decrypt`], [`Code::Signature`], or [`Code::NotPayee`] where it is somebody else's key.
pub fn open_grant(
    network: NetworkId,
    me: PeerId,
    bank: PeerId,
    seal: &SealKey,
    grant: &Sealed<Signed<KeyGrant>>,
) -> Result<KeyGrant, Refusal> {
    let grant = seal.open(network, grant)?.verify_by(network, bank)?;
    if grant.body().customer == me {
        Ok(grant.body().clone())
    } else {
        Err(Refusal::new(Code::NotPayee, "the key is another customer's"))
    }
}

impl Wallet {
    /// A wallet with nothing in it. If the bank knew the customer before, it must first compare
    /// books, and learns all that it forgot.
    #[must_use]
    pub fn new(network: NetworkId, bank: PeerId, grant: KeyGrant) -> Self {
        Self {
            network,
            me: grant.customer,
            bank,
            key: grant.key,
            epoch: 1,
            next: 1,
            log: AuditLog::new(grant.customer),
            standing: if grant.fresh { Standing::Ready } else { Standing::MustReconcile },
            pending: None,
            window: ReplayWindow::default(),
            early: Bounded::empty(),
            balances: Bounded::empty(),
        }
    }

    /// Takes a new key in place of the old one. The bank does not read the old one any more, so
    /// what was asked under it is found out by comparing books.
    pub fn rotate(&mut self, grant: KeyGrant) {
        if grant.key.version() > self.key.version() {
            self.key = grant.key;
            self.standing = Standing::MustReconcile;
        }
    }

    /// To be called on a wallet that was restored from a copy, before anything else: what it
    /// remembers may be old, and another copy may be alive.
    pub fn restored(&mut self) {
        self.standing = Standing::MustReconcile;
    }

    /// Whose wallet it is.
    #[must_use]
    pub const fn owner(&self) -> PeerId {
        self.me
    }

    /// The version of the key it shares with the bank.
    #[must_use]
    pub const fn key_version(&self) -> u32 {
        self.key.version()
    }

    /// The number of this copy.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether it may pay.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// Its log: how far, and the hash over all of it.
    #[must_use]
    pub const fn log(&self) -> &AuditLog {
        &self.log
    }

    /// The request whose answer has not come.
    #[must_use]
    pub const fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    /// What it has, as far as it knows; the bank's figure is told at every comparison.
    #[must_use]
    pub fn balances(&self) -> &[Amount] {
        self.balances.as_slice()
    }

    /// Appends to the log.
    pub(crate) fn append(&mut self, line: &Line, direction: Direction) -> Result<Entry, Refusal> {
        let (log, entry) = self.log.append(line.event(direction))?;
        self.log = log;
        Ok(entry)
    }

    /// Notes money that came or went. Where the wallet knows no balance, or the sum makes no sense,
    /// it waits for the bank's figure.
    pub(crate) fn count(&mut self, amount: Amount, direction: Direction) {
        let mut balances = self.balances.as_slice().to_vec();
        match balances.iter_mut().find(|balance| balance.currency() == amount.currency()) {
            Some(balance) => {
                let counted = match direction {
                    Direction::In => balance.checked_add(amount),
                    Direction::Out => balance.checked_sub(amount),
                };
                *balance = counted.unwrap_or(*balance);
            }
            None if direction == Direction::In => balances.push(amount),
            None => {}
        }
        if let Some(balances) = Bounded::new(balances) {
            self.balances = balances;
        }
    }
}
