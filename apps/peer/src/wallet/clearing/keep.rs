//! The row in which the state of online clearing is kept, sealed: it holds a key. And its log.

use farthing_clearing::wallet as scheme;
use farthing_core::aead::{NONCE_LEN, SharedKey};
use farthing_core::audit::{Direction, Entry};
use farthing_core::hash::{Purpose, hash};
use farthing_core::seed::{KeyPurpose, Which};
use farthing_core::wire;
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt, Scan};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::wallet::Wallet;
use crate::wallet::records::{self, CLEARING, CLEARING_LOG, SELF};

/// What is about the sealed row and not hidden.
const ABOUT: &[u8] = b"wallet clearing";

/// The state as it is in memory.
pub(super) struct Kept(pub(super) scheme::Wallet);

/// The state as it is in the records.
#[derive(Encode, Decode)]
struct Row {
    #[cbor(n(0), with = "minicbor::bytes")]
    nonce: [u8; NONCE_LEN],
    #[cbor(n(1), with = "minicbor::bytes")]
    sealed: Vec<u8>,
}

/// Opens and seals it.
pub(super) struct Keeper(SharedKey);

impl Wallet {
    pub(super) fn keeper(&self) -> Keeper {
        Keeper(SharedKey::new(self.inner.seed.derive(KeyPurpose::Vault, Which::For(ABOUT))))
    }
}

impl Keeper {
    pub(super) fn read(&self, cx: &Context<'_>) -> Result<Option<Kept>, Halt> {
        let Some(Row { nonce, sealed }) = records::get(&*cx.tx, CLEARING, SELF)? else { return Ok(None) };
        let damaged = || StoreFault("the row about online clearing does not open".into());
        let plain = Zeroizing::new(self.0.open(&nonce, ABOUT, &sealed).map_err(|_| damaged())?);
        let state = wire::decode(&plain).map_err(|_| damaged())?;
        Ok(Some(Kept(state)))
    }

    pub(super) fn write(&self, cx: &mut Context<'_>, Kept(state): &Kept) {
        let plain = Zeroizing::new(wire::encode(state));
        // Grown from dice and content: no two contents ever share one.
        let full = hash(Purpose::Request, &[ABOUT, &cx.dice, &plain]);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&full[..NONCE_LEN]);
        let sealed = self.0.seal(&nonce, ABOUT, &plain);
        records::put(cx.tx, CLEARING, SELF, &Row { nonce, sealed });
    }
}

/// Stores an entry of the log.
pub(super) fn append(cx: &mut Context<'_>, entry: &Entry) {
    records::put(cx.tx, CLEARING_LOG, &place(entry.direction, entry.t), entry);
}

/// At most so many entries of a direction with numbers above `after`.
pub(super) fn entries(
    cx: &Context<'_>,
    direction: Direction,
    after: u64,
    limit: usize,
) -> Result<Vec<Entry>, StoreFault> {
    let (prefix, after) = (side(direction), place(direction, after));
    let rows = cx.tx.scan(CLEARING_LOG, Scan { prefix: &prefix, after: Some(&after), limit })?;
    rows.iter().map(|(_, value)| records::read(CLEARING_LOG, value)).collect()
}

const fn side(direction: Direction) -> [u8; 1] {
    match direction {
        Direction::Out => [0],
        Direction::In => [1],
    }
}

fn place(direction: Direction, t: u64) -> Vec<u8> {
    [&side(direction)[..], &t.to_be_bytes()].concat()
}
