//! Chains: opened in advance, taken out for a visit, put back.

use std::collections::HashMap;
use std::sync::Arc;

use farthing_core::amount::Amount;
use farthing_core::chain::CHAIN_LEN_MAX;
use farthing_core::id::RequestId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seed::{KeyPurpose, Seed, Which};
use farthing_core::sign::{SecretKey, Verified};
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_netpay::messages::{OpenChain, Touchstone, kind};
use farthing_netpay::payer::{ChainTerms, NewChain, Purse, PurseError};
use farthing_role::Scan;
use farthing_store::Reader;

use super::desk::Desk;
use super::error::WalletError;
use super::home::random;
use super::journal::Answered;
use super::records::{self, AHEAD, About, Ahead, Origin, PURSES, PurseRecord, REQUESTS, What};
use super::{IDLE_PURSES_MAX, Inner, Wallet, start};

/// The most chains of one wallet that are not over.
pub const PURSES_MAX: usize = 1_024;

/// The most units of a chain opened in advance: what a payee hashes at once to check an anchor.
pub const UNITS_MAX: u32 = 1 << 16;

/// A chain that remembers this many visits is left to end, so that its record stays small.
pub const VISITS_MAX: usize = 128;

const _: () = assert!(UNITS_MAX <= CHAIN_LEN_MAX && VISITS_MAX < farthing_netpay::payer::PURSE_LIST_MAX);

/// A chain is in use as long as this is held.
pub(crate) struct Busy {
    inner: Arc<Inner>,
    index: u64,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.inner.pool().busy.remove(&self.index);
    }
}

/// A chain taken out for use.
pub(crate) struct Taken {
    pub(crate) purse: Purse,
    pub(crate) record: PurseRecord,
    pub(crate) busy: Busy,
}

/// The secrets of a chain: its seed and the key that signs its reserves.
pub(crate) fn secrets(seed: &Seed, origin: &Origin) -> ([u8; 32], SecretKey) {
    let context = origin.context();
    let words = seed.derive(KeyPurpose::ChainSeed, Which::For(&context));
    let signer = seed.derive(KeyPurpose::ChainSigner, Which::For(&context));
    (*words.expose(), SecretKey::from_seed(signer.expose()))
}

impl Wallet {
    /// Marks a chain as in use, unless it is.
    pub(crate) fn claim_purse(&self, index: u64) -> Option<Busy> {
        let free = self.inner.pool().busy.insert(index);
        free.then(|| Busy { inner: Arc::clone(&self.inner), index })
    }

    /// Takes a chain out for use. Whatever was paid ahead of its record counts as paid.
    pub(crate) async fn take_purse(&self, busy: Busy) -> Result<Taken, WalletError> {
        let index = busy.index;
        let record = self.inner.handle.read(|reader| purse_record(reader, index)).await??;
        let record = record.ok_or(WalletError::Records(format!("chain {index} is gone")))?;
        let idle = self.inner.pool().idle.remove(&index).filter(|purse| *purse.state() == record.state);
        let purse = match idle {
            Some(purse) => purse,
            None => {
                let (words, _) = secrets(&self.inner.seed, &record.origin);
                let state = record.state.clone();
                heavy(move || Purse::resume(state, words)).await??
            }
        };
        Ok(Taken { purse, record, busy })
    }

    /// Puts a chain back whose record is written; it may be used again at once.
    pub(crate) fn put_purse(&self, purse: Purse, busy: Busy) {
        let mut pool = self.inner.pool();
        if pool.idle.len() < IDLE_PURSES_MAX {
            pool.idle.insert(busy.index, purse);
        }
        drop(pool);
        drop(busy);
    }

    /// Chains of this epoch that nobody uses and that do not end before `until`.
    pub(crate) async fn free_purses(&self, until: Time) -> Result<Vec<(u64, PurseRecord)>, WalletError> {
        let mut all = self.purse_records().await?;
        let meta = self.inner.meta().clone();
        let pool = self.inner.pool();
        all.retain(|(index, record)| {
            let touchstone = record.state.touchstone.peek();
            let runs = touchstone.is_ok_and(|touchstone| touchstone.header.not_after > until);
            runs && record.origin.is_current(&meta) && !pool.busy.contains(index)
        });
        Ok(all)
    }

    /// All chains that are not over, by number, as they stand with what was paid ahead.
    pub(crate) async fn purse_records(&self) -> Result<Vec<(u64, PurseRecord)>, WalletError> {
        self.inner.handle.read(purse_records).await?
    }

    /// Opens a chain: written down, asked for, and its touchstone stored.
    ///
    /// The caller holds [`Inner::errand`].
    pub(crate) async fn open_chain(&self, desk: &dyn Desk, units: u32, unit: Amount) -> Result<u64, WalletError> {
        let now = self.checked_now()?;
        if self.is_restored() {
            return Err(WalletError::Restored);
        }
        if self.purse_records().await?.len() >= PURSES_MAX {
            let why = "too many chains are open: wait until some have ended, or pay in prices that share chains";
            return Err(Refusal::new(Code::Limit, why).into());
        }
        let (copy, epoch, index) = {
            let meta = self.inner.meta();
            (meta.copy, meta.epoch, meta.next_chain)
        };
        let origin = Origin { copy, epoch, index, salt: random()? };
        let not_after = now.after(self.inner.settings.chains.life());
        let chain = self.new_chain(origin, ChainTerms { units, unit, not_after }).await?;
        // A number is used up before its request leaves, whatever becomes of that.
        self.change_meta(move |meta| meta.next_chain = meta.next_chain.max(index + 1)).await?;
        match self.request(desk, kind::OPEN, wire::encode(&chain.request()), About::Open(origin)).await? {
            Answered::Opened(index) => Ok(index),
            _ => Err(WalletError::FalseAnswer("it is for another request")),
        }
    }

    async fn new_chain(&self, origin: Origin, terms: ChainTerms) -> Result<NewChain, WalletError> {
        let (words, signer) = secrets(&self.inner.seed, &origin);
        let made = heavy(move || NewChain::new(signer.id(), terms, words, origin.salt)).await?;
        Ok(made?)
    }

    /// Stores the touchstone of a chain that was asked for.
    pub(crate) async fn take_touchstone(
        &self,
        id: RequestId,
        origin: Origin,
        message: &[u8],
        touchstone: Verified<Touchstone>,
    ) -> Result<u64, WalletError> {
        let asked: OpenChain =
            wire::decode(message).map_err(|why| WalletError::Records(format!("a request is damaged: {why}")))?;
        let terms =
            ChainTerms { units: asked.header.units, unit: asked.header.unit, not_after: asked.header.not_after };
        let chain = self.new_chain(origin, terms).await?;
        let (opened, id_of, value) = (touchstone.body().opened, touchstone.body().chain, asked.header.value()?);
        let purse = chain.opened(touchstone)?;
        let record = PurseRecord { origin, state: purse.state().clone(), visit: None, refunded: false };
        let what = What::Opened { chain: id_of, value, not_after: terms.not_after };
        let done = move |cx: &mut farthing_role::Context<'_>| {
            records::put(cx.tx, PURSES, &origin.index.to_be_bytes(), &record);
            cx.tx.delete(REQUESTS, &id.0);
            start::note(cx, what);
            Ok(())
        };
        self.inner.handle.transact(done).await?;
        self.raise_floor(opened).await?;
        Ok(origin.index)
    }
}

/// Work that would keep others waiting.
async fn heavy<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, WalletError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| WalletError::Records("the program is stopping".into()))
}

fn purse_record(reader: &dyn Reader, index: u64) -> Result<Option<PurseRecord>, WalletError> {
    let key = index.to_be_bytes();
    let Some(mut record) = records::look::<PurseRecord>(reader, PURSES, &key)? else { return Ok(None) };
    count_ahead(&mut record, records::look(reader, AHEAD, &key)?);
    Ok(Some(record))
}

fn purse_records(reader: &dyn Reader) -> Result<Vec<(u64, PurseRecord)>, WalletError> {
    let all = |table| reader.scan(table, Scan { prefix: &[], after: None, limit: PURSES_MAX });
    let mut ahead: HashMap<Vec<u8>, Vec<u8>> = all(AHEAD)?.into_iter().collect();
    let mut found = Vec::new();
    for (key, value) in all(PURSES)? {
        let mut record: PurseRecord = records::read(PURSES, &value)?;
        let paid = ahead.remove(&key).map(|bytes| records::read(AHEAD, &bytes)).transpose()?;
        count_ahead(&mut record, paid);
        found.push((record.origin.index, record));
    }
    Ok(found)
}

/// Counts words as sent that may have been sent.
fn count_ahead(record: &mut PurseRecord, ahead: Option<Ahead>) {
    if let (Some(open), Some(ahead)) = (&mut record.state.open, ahead)
        && open.reserve.digest() == ahead.reserve
    {
        open.paid = open.paid.max(ahead.paid).min(open.upto);
    }
}

impl PurseRecord {
    /// Gives up a reserve that is left open although nobody uses the chain: its payee was lost.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.state.open.is_some()
    }

    /// How many visits it remembers.
    pub(crate) fn visits(&self) -> usize {
        self.state.ended.as_slice().len() + self.state.abandoned.as_slice().len()
    }

    /// The most units that one reserve could cover now.
    pub(crate) fn widest(&self, units: u32) -> u32 {
        let fresh = units.saturating_add(1).saturating_sub(self.state.next);
        let freed = self.state.freed.as_slice().iter().map(|freed| freed.upto - freed.from + 1).max();
        fresh.max(freed.unwrap_or(0))
    }
}

/// The terms of a new chain that can pay `need` units, of the value the settings ask for.
pub(crate) fn units_for(need: u64, unit: Amount, value_micros: u64) -> Result<u32, WalletError> {
    let wanted = value_micros / unit.as_micros().max(1);
    let units = need.max(wanted.min(UNITS_MAX.into())).min(UNITS_MAX.into());
    u32::try_from(units).map_err(|_| PurseError::Units.into())
}
