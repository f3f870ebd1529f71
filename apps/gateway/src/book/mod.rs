//! The one set of books behind every dialect: sessions, what they paid, and what was answered.
//!
//! A payment is taken in one step under the lock of its session's shard: looked up among those
//! answered before, checked, counted and noted as being served. The session is then in the batch
//! that is being collected, and once that batch is in the log the request is passed on.

mod answers;
mod journal;
pub(crate) mod log;
pub mod records;
mod shard;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farthing_core::amount::Amount;
use farthing_core::id::OrderId;
use farthing_core::wire;
use farthing_coupon::micro::{Ack, Bearer, Coupon, LogEntry, Seen, SessionName, Tip};
use farthing_coupon::secret::Digest;
use farthing_coupon::session::{PayError, Session};
use farthing_driver::{Clock, DriverHandle, NoReply};
use farthing_role::{Context, Halt};

use answers::Kept;
pub use answers::{ANSWER_BYTES_MAX, Given, Stored};
use journal::Journal;
pub use journal::NotDurable;
use log::{Batch, Written};
use records::{SESSIONS, SessionRecord};
pub(crate) use shard::NOTHING;
use shard::Shard;

/// Parts that the sessions are spread over, each with a lock of its own.
const SHARDS: usize = 64;
/// How often others that are ready go before a commit, where each payment waits for one.
const TURNS_MAX: usize = 8;

/// How much is kept in memory.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Sessions in memory; others are read from disk when they pay.
    pub sessions: usize,
    /// Bytes of answers kept for repeats.
    pub answer_bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { sessions: 100_000, answer_bytes: 64 << 20 }
    }
}

/// Sessions and answers.
pub struct Book {
    shards: Vec<Mutex<Shard>>,
    journal: Journal,
    handle: DriverHandle,
    clock: Arc<dyn Clock>,
    room: Room,
    /// Money taken and not cleared, in micros: an estimate, for deciding when to clear.
    uncleared: AtomicU64,
}

/// A payment that was taken. Whoever holds it settles it, whatever happens.
#[derive(Debug)]
pub struct Payment {
    /// In which session.
    pub session: SessionName,
    /// Which units, for what.
    pub entry: LogEntry,
    /// The batch that must be on disk before it is served.
    pub batch: u64,
    /// What one unit is worth.
    pub unit: Amount,
}

/// What became of a coupon.
#[derive(Debug)]
pub enum Taken {
    /// It was taken: serve the request, once.
    Fresh(Payment),
    /// It was answered before, or its idempotency key was. In the second case the acknowledgement
    /// gives this payment back. The amount is what one unit is worth.
    Again(Arc<Stored>, Option<Ack>, Amount),
}

/// Why a coupon was not taken.
#[derive(Debug)]
pub enum Denied {
    /// No such session in memory; it may be on disk.
    Absent,
    /// No such session.
    Unknown,
    /// The session takes no more payments.
    Closed,
    /// The same payment is being served.
    InProgress,
    /// The idempotency key came before with another request.
    KeyReused,
    /// The coupon is of another value than the quote says.
    OtherCoupon,
    /// Too many requests from there failed lately, for nothing.
    TooOften,
    /// The session refuses it. Where units were certainly not used, the acknowledgement says so.
    Pay(PayError, Option<Ack>),
}

/// What a coupon is presented for.
#[derive(Debug, Clone, Copy)]
pub struct Purpose<'a> {
    /// The request's digest.
    pub request: &'a [u8; 32],
    /// Its idempotency key, hashed.
    pub key: Option<[u8; 32]>,
    /// Who spends it, where it is a broker's token.
    pub bearer: Option<Bearer>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves nothing half done: every change is one assignment or insertion.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book {
    /// A book over a store that is being driven, with nothing in memory yet. What a gateway that was
    /// killed left in the log is folded first.
    ///
    /// # Errors
    /// [`NoReply`] where the store does not answer, or what is in the log cannot be read.
    pub async fn start(handle: DriverHandle, clock: Arc<dyn Clock>, room: Room) -> Result<Self, NoReply> {
        handle.transact(|cx| Ok(log::fold_all(cx.tx)?)).await?;
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        Ok(Self { shards, journal: Journal::new(), handle, clock, room, uncleared: AtomicU64::new(0) })
    }

    /// The store.
    #[must_use]
    pub const fn handle(&self) -> &DriverHandle {
        &self.handle
    }

    /// False once payments can no longer be written down.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.journal.has_failed() && self.handle.is_healthy()
    }

    fn shard(&self, name: SessionName) -> MutexGuard<'_, Shard> {
        lock(&self.shards[usize::from(name.0[0]) % SHARDS])
    }

    /// Takes a coupon for a request whose price `units` knows, or says why not.
    ///
    /// # Errors
    /// [`Denied`]; nothing has changed. [`NoReply`] where the store does not answer.
    pub async fn take(
        &self,
        coupon: &Coupon,
        purpose: Purpose<'_>,
        units: impl Fn(&Session) -> Result<u32, Denied> + Send,
    ) -> Result<Result<Taken, Denied>, NoReply> {
        match self.try_take(coupon, purpose, &units) {
            Err(Denied::Absent) => {}
            done => return Ok(done),
        }
        // Seldom: whoever's session is here does not carry the room it takes.
        if !Box::pin(self.load(coupon.session)).await? {
            return Ok(Err(Denied::Unknown));
        }
        Ok(self.try_take(coupon, purpose, &units))
    }

    fn try_take(
        &self,
        coupon: &Coupon,
        purpose: Purpose<'_>,
        units: &impl Fn(&Session) -> Result<u32, Denied>,
    ) -> Result<Taken, Denied> {
        let now = self.clock.now();
        let mut shard = self.shard(coupon.session);
        let taken = shard.take(now, coupon, purpose, units, &self.journal)?;
        let added = taken.fresh.saturating_mul(taken.unit_micros);
        drop(shard);
        self.uncleared.fetch_add(added, Ordering::Relaxed);
        Ok(taken.what)
    }

    /// Waits until a payment is on disk.
    ///
    /// # Errors
    /// [`NotDurable`].
    pub async fn durable(&self, batch: u64) -> Result<(), NotDurable> {
        self.journal.wait(batch).await
    }

    /// Settles payments of one request: so many units of each were used, for this response. Gives
    /// the receipts, and the batch that must be on disk before those that give something back leave.
    pub fn settle(&self, session: SessionName, used: &[(LogEntry, u32)], response: Digest) -> (Vec<Ack>, Option<u64>) {
        self.shard(session).settle(session, used, response, &self.journal)
    }

    /// Keeps the answer to a payment for repeats.
    pub fn answered(&self, session: SessionName, index: u32, given: &Given<'_>) {
        let kept = Kept::new(given);
        self.shard(session).answers.end(session, index, kept, self.room.answer_bytes / SHARDS);
    }

    /// Takes money without an order.
    ///
    /// # Errors
    /// [`Denied`]; [`NoReply`] where the store does not answer.
    pub async fn tip(&self, name: SessionName, tip: &Tip) -> Result<Result<Seen, Denied>, NoReply> {
        if !self.load(name).await? {
            return Ok(Err(Denied::Unknown));
        }
        let now = self.clock.now();
        let (seen, batch) = {
            let mut shard = self.shard(name);
            let Some(entry) = shard.open.get_mut(&name) else { return Ok(Err(Denied::Unknown)) };
            match entry.session.on_tip(now, tip) {
                Ok(seen) => (seen, self.journal.mark(name, &mut entry.marked)),
                Err(why) => return Ok(Err(Denied::Pay(why, None))),
            }
        };
        self.durable(batch).await.map_err(|NotDurable| NoReply::Unknown)?;
        Ok(Ok(seen))
    }

    /// Looks at a session, or changes it; a change is on disk when this returns. `change` is told how
    /// many units are paid for by requests that are being served.
    ///
    /// # Errors
    /// [`NoReply`].
    pub(crate) async fn with<T: Send>(
        &self,
        name: SessionName,
        change: impl FnOnce(&mut Session, &mut bool, u32) -> T + Send,
    ) -> Result<Option<T>, NoReply> {
        if !self.load(name).await? {
            return Ok(None);
        }
        let (done, batch) = {
            let mut shard = self.shard(name);
            let Some(entry) = shard.open.get_mut(&name) else { return Ok(None) };
            let done = change(&mut entry.session, &mut entry.closed, entry.in_flight);
            (done, self.journal.mark(name, &mut entry.marked))
        };
        self.durable(batch).await.map_err(|NotDurable| NoReply::Unknown)?;
        Ok(Some(done))
    }

    /// A session was opened; `beside` is written down with it.
    ///
    /// # Errors
    /// [`NoReply`].
    pub async fn open(
        &self,
        session: Session,
        beside: impl FnOnce(&mut Context<'_>) -> Result<(), Halt> + Send + 'static,
    ) -> Result<(), NoReply> {
        let name = SessionName::of(session.chain());
        let record = SessionRecord { state: session.state().clone(), closed: false };
        let fresh = self
            .handle
            .transact(move |cx| {
                beside(cx)?;
                let fresh = cx.tx.get(SESSIONS, &name.0)?.is_none();
                if fresh {
                    cx.tx.put(SESSIONS, &name.0, wire::encode(&record));
                }
                Ok(fresh)
            })
            .await?;
        if fresh {
            self.shard(name).insert(name, session, false, self.room.sessions / SHARDS, &self.journal);
        }
        Ok(())
    }

    /// A session is over: it leaves memory; its record goes in `with`'s transaction.
    pub(crate) fn forget(&self, name: SessionName) {
        let mut shard = self.shard(name);
        shard.open.remove(&name);
        shard.removals += 1;
    }

    /// Brings a session into memory; says whether there is one.
    ///
    /// # Errors
    /// [`NoReply`] where the store does not answer.
    async fn load(&self, name: SessionName) -> Result<bool, NoReply> {
        loop {
            let removals = {
                let shard = self.shard(name);
                if shard.open.contains_key(&name) {
                    return Ok(true);
                }
                shard.removals
            };
            let found = self.handle.read(|store| store.get(SESSIONS, &name.0)).await?;
            let Some(bytes) = found.map_err(|_| NoReply::Down)? else { return Ok(false) };
            let Ok(record) = wire::decode::<SessionRecord>(&bytes) else {
                tracing::error!(?name, "the record of a session cannot be read");
                return Ok(false);
            };
            let mut shard = self.shard(name);
            // What was read is current only if nothing left memory since.
            if shard.removals == removals {
                let session = Session::resume(record.state);
                shard.insert(name, session, record.closed, self.room.sessions / SHARDS, &self.journal);
                return Ok(true);
            }
        }
    }

    /// Money taken and not cleared, about.
    #[must_use]
    pub fn uncleared_micros(&self) -> u64 {
        self.uncleared.load(Ordering::Relaxed)
    }

    /// Counts it anew, after clearing.
    pub(crate) fn set_uncleared(&self, micros: u64) {
        self.uncleared.store(micros, Ordering::Relaxed);
    }

    /// How many sessions are in memory.
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).open.len()).sum()
    }

    /// Has every session written down whole, as it stands.
    ///
    /// # Errors
    /// [`NoReply`] where that is not possible.
    pub async fn fold(&self) -> Result<(), NoReply> {
        self.durable(self.journal.fold()).await.map_err(|NotDurable| NoReply::Unknown)
    }

    /// Commits batch after batch, each collected for at least `gather`, until `stop`; then once more.
    pub async fn keep(self: Arc<Self>, gather: Duration, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        let (mut stopping, mut log) = (false, Written::default());
        while !stopping {
            tokio::select! {
                () = &mut stop => stopping = true,
                () = self.journal.wake.notified() => {}
            }
            if stopping {
                self.journal.fold();
            } else if gather.is_zero() {
                self.let_others_in().await;
            } else {
                tokio::time::sleep(gather).await;
            }
            if !self.commit(&mut log).await {
                return;
            }
        }
    }

    /// Requests that are ready to be worked on pay first, and share the commit.
    async fn let_others_in(&self) {
        let mut waiting = 0;
        for _ in 0..TURNS_MAX {
            let before = std::mem::replace(&mut waiting, self.journal.waiting());
            if waiting <= before {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Writes down what has changed so far.
    async fn commit(&self, log: &mut Written) -> bool {
        let Some(due) = self.journal.take(log.is_full()) else { return true };
        let sessions = due.changed.len();
        let (batch, appended) = if due.fold {
            let mut names = log.sessions.clone();
            names.extend(due.changed);
            names.sort_unstable();
            names.dedup();
            let whole = names.into_iter().filter_map(|name| self.shard(name).whole(name)).collect();
            (Batch::Whole(whole, log.numbers.clone()), None)
        } else {
            let changed = due.changed.into_iter().filter_map(|name| self.shard(name).change(name, log)).collect();
            let batch = Batch::parts(log.numbers.end, changed);
            let size = batch.size();
            (batch, Some(size))
        };
        match self.handle.transact(move |cx| Ok(batch.write(cx.tx)?)).await {
            Ok(()) => {
                metrics::histogram!("farthing_gateway_batch_sessions").record(sessions as f64);
                if due.fold {
                    log.sessions.iter().for_each(|name| self.shard(*name).folded(*name));
                }
                log.note(appended);
                self.journal.committed(due.batch);
                true
            }
            Err(why) => {
                tracing::error!(%why, "payments cannot be written down: no more are taken; start the gateway again");
                self.journal.fail();
                false
            }
        }
    }
}

/// What may be bought in a session, and what with.
#[must_use]
pub fn realm_and_unit(session: &Session) -> (OrderId, Amount) {
    (session.realm(), session.unit())
}
