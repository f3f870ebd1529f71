//! What a party keeps for itself, whichever side it is on: its audit log, the entries it was made
//! of, and the latest moment an authority signed.

use farthing_core::amount::Amount;
use farthing_core::audit::{AuditLog, Direction, Entry, Event};
use farthing_core::cert::Certificate;
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seal::SealKey;
use farthing_core::seed::{KeyPurpose, Seed, Which};
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{Time, TimeFloor};
use farthing_core::wire;
use farthing_role::{Context, Halt, Records, Table};
use minicbor::{Decode, Encode};

use crate::messages::{Digest, epoch_of};
use crate::rows::read;

/// The log of each of the party's keys.
pub(crate) const LOGS: Table = Table("draft_logs");
/// What the logs are made of: key, then place.
pub(crate) const ENTRIES: Table = Table("draft_entries");
/// The latest signed moment.
const FLOOR: Table = Table("draft_floor");
/// Drafts written: key, then number.
pub(crate) const DRAWN: Table = Table("draft_drawn");
/// Which certificate each payee has seen.
pub(crate) const SHOWN: Table = Table("draft_shown");
/// A reconciliation under way, by key.
pub(crate) const ROUNDS: Table = Table("draft_rounds");
/// Drafts taken: payer, then number.
pub(crate) const HELD: Table = Table("draft_held");
/// Drafts to deposit, by last day.
pub(crate) const TO_DEPOSIT: Table = Table("draft_to_deposit");
/// What is held of each payer.
pub(crate) const EXPOSURE: Table = Table("draft_exposure");
/// Certificates that were checked, by digest.
pub(crate) const KNOWN: Table = Table("draft_known");
/// The same by their end.
pub(crate) const KNOWN_ENDS: Table = Table("draft_known_ends");
/// Receipts that came before the one that should.
pub(crate) const EARLY: Table = Table("draft_early");

/// The tables of a party that writes or takes drafts.
pub const TABLES: [Table; 12] =
    [LOGS, ENTRIES, FLOOR, DRAWN, SHOWN, ROUNDS, HELD, TO_DEPOSIT, EXPOSURE, KNOWN, KNOWN_ENDS, EARLY];

/// The `n`-th key of a party for drafts, and the key to seal messages to it: pseudonyms that nobody
/// but the bank can tell to be one party's. Grown from the wallet's seed, like everything else.
#[must_use]
pub fn pseudonym(seed: &Seed, n: u32) -> (SecretKey, SealKey) {
    let name = [&b"draft"[..], &n.to_be_bytes()].concat();
    let secret = |purpose| seed.derive(purpose, Which::For(&name));
    (SecretKey::from_seed(secret(KeyPurpose::Identity).expose()), SealKey::from_seed(secret(KeyPurpose::Seal).expose()))
}

/// The log of one key, and what it may still do.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Log {
    /// The copy of the wallet that kept it.
    #[n(0)]
    pub copy: Digest,
    /// The log.
    #[n(1)]
    pub log: AuditLog,
    /// How many entries it has had, both ways.
    #[n(2)]
    pub places: u64,
    /// The log as last reconciled.
    #[n(3)]
    pub reconciled: AuditLog,
    /// How many entries it had then.
    #[n(4)]
    pub reconciled_places: u64,
    /// The certificate to write drafts under.
    #[n(5)]
    pub certificate: Option<Signed<Certificate>>,
    /// What may still be written until the next reconciliation.
    #[n(6)]
    pub budget: Option<Amount>,
    /// When the last statement of this key was made: the next is not earlier.
    #[n(7)]
    pub last: Time,
}

impl Log {
    /// The log of a key that has none.
    pub(crate) fn new(key: PeerId, copy: Digest) -> Self {
        let log = AuditLog::new(key);
        Self {
            copy,
            log,
            places: 0,
            reconciled: log,
            reconciled_places: 0,
            certificate: None,
            budget: None,
            last: Time::default(),
        }
    }

    pub(crate) fn read(tx: &dyn Records, key: PeerId) -> Result<Option<Self>, Halt> {
        Ok(read(tx, LOGS, &key.0)?)
    }

    pub(crate) fn write(&self, cx: &mut Context<'_>, key: PeerId) {
        cx.tx.put(LOGS, &key.0, wire::encode(self));
    }

    /// Appends what happened, and stores its entry.
    pub(crate) fn append(&mut self, cx: &mut Context<'_>, key: PeerId, event: Event) -> Result<Entry, Halt> {
        let (log, entry) = self.log.append(event).map_err(Refusal::from)?;
        if event.direction == Direction::Out && epoch_of(entry.t) != epoch_of(self.log.outgoing.n) {
            return Err(Refusal::new(Code::Limit, "this key has written all drafts it can: take another").into());
        }
        self.log = log;
        self.places = self.places.saturating_add(1);
        cx.tx.put(ENTRIES, &place(key, self.places), wire::encode(&entry));
        Ok(entry)
    }
}

/// A key, then a place in its log: in order.
pub(crate) fn place(key: PeerId, place: u64) -> Vec<u8> {
    [&key.0[..], &place.to_be_bytes()].concat()
}

/// Refuses to act on a clock that stands before a signed moment.
pub(crate) fn check_clock(tx: &dyn Records, now: Time) -> Result<(), Halt> {
    let floor: TimeFloor = read(tx, FLOOR, b"floor")?.unwrap_or_default();
    Ok(floor.check(now).map_err(Refusal::from)?)
}

/// Notes a moment that an authority signed.
pub(crate) fn raise_clock(cx: &mut Context<'_>, signed: Time) -> Result<(), Halt> {
    let mut floor: TimeFloor = read(&*cx.tx, FLOOR, b"floor")?.unwrap_or_default();
    if signed > floor.floor {
        floor.raise(signed);
        cx.tx.put(FLOOR, b"floor", wire::encode(&floor));
    }
    Ok(())
}
