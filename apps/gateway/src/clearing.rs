//! Coupons become money: in parts while sessions run, and for good when they end.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farthing_bank::client::{AskError, BankClient};
use farthing_core::amount::Amount;
use farthing_core::id::RequestId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::wire::{self, Bounded};
use farthing_coupon::bank::STEPS_PER_REQUEST_MAX;
use farthing_coupon::clearing::{CLEARING_ITEMS_MAX, ClearLine, ClearOutcome, ClearReceipt, Clearing, Clearings};
use farthing_coupon::micro::SessionName;
use farthing_coupon::session::Session;
use farthing_driver::{Clock, NoReply};
use farthing_role::Scan;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::acquirer::Acquirer;
use crate::book::records::{CLEARINGS, SESSIONS, SINGLES, Sent, SessionRecord, TOTALS, Totals};
use crate::book::{Book, lock};
use crate::counter::PAGE;
use crate::running::Bank;

/// When to clear without being asked.
#[derive(Clone, Copy, Debug)]
pub struct ClearWhen {
    /// So often.
    pub every: Duration,
    /// As soon as about this much was taken.
    pub threshold: Option<Amount>,
}

impl Default for ClearWhen {
    fn default() -> Self {
        Self { every: Duration::from_secs(600), threshold: None }
    }
}

/// How often the threshold is looked at, and whether sessions were closed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// When sessions are looked at again whose last clearing waits for requests in flight. Those end
/// within [`StreamLimits::life`](crate::StreamLimits), well before the bank's grace is over.
const WAITING_EVERY: Duration = Duration::from_secs(30);

/// Why clearing did not come to its end. What was sent is sent again, unchanged.
#[derive(Debug, thiserror::Error)]
pub enum ClearError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] NoReply),
    /// The bank did not answer, or refused the whole request.
    #[error(transparent)]
    Bank(#[from] AskError),
}

/// What clearing came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Sessions the bank paid for.
    pub paid: u64,
    /// Sessions it refused.
    pub refused: u64,
    /// Micros that came in.
    pub micros: u64,
    /// Sessions that are over and still have requests in flight: their last clearing waits for those.
    pub waiting: u64,
}

/// The most sessions that wait to be cleared for good by name; what is beyond is found by the next
/// look at all.
const CLOSING_MAX: usize = 65_536;

/// Sessions that are to be cleared for good without a look at all of them.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    names: Mutex<BTreeSet<SessionName>>,
    wanted: Notify,
}

impl Closing {
    /// A session was closed.
    pub(crate) fn add(&self, name: SessionName) {
        self.wait(name);
        self.wanted.notify_one();
    }

    /// A session is to be looked at again later.
    fn wait(&self, name: SessionName) {
        let mut names = lock(&self.names);
        if names.len() < CLOSING_MAX {
            names.insert(name);
        }
    }

    fn any(&self) -> bool {
        !lock(&self.names).is_empty()
    }

    fn take(&self) -> BTreeSet<SessionName> {
        std::mem::take(&mut lock(&self.names))
    }
}

/// One round of clearing: what came of it, and what is to be asked for.
#[derive(Default)]
struct Round {
    done: Cleared,
    items: Vec<Clearing>,
    steps: u64,
}

/// Clears for a gateway.
pub struct Clearer {
    book: Arc<Book>,
    acquirer: Arc<dyn Acquirer>,
    clock: Arc<dyn Clock>,
    when: ClearWhen,
    closing: Arc<Closing>,
    zero: Amount,
    /// One clearing at a time: two would ask for the same twice.
    clearing: tokio::sync::Mutex<()>,
}

impl Clearer {
    /// Clears what is in a book, with a bank.
    pub(crate) fn new(
        book: Arc<Book>,
        bank: &Bank,
        clock: Arc<dyn Clock>,
        when: ClearWhen,
        closing: Arc<Closing>,
    ) -> Self {
        let (acquirer, zero) = (Arc::clone(&bank.acquirer), bank.currency.zero());
        Self { book, acquirer, clock, when, closing, zero, clearing: tokio::sync::Mutex::new(()) }
    }

    /// Clears when it is time to, until `stop`.
    pub async fn keep(&self, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        let waiting_every = self.when.every.min(WAITING_EVERY);
        let (mut next, mut again) = (Instant::now() + self.when.every, Instant::now());
        loop {
            let wanted = tokio::select! {
                () = &mut stop => return,
                () = self.closing.wanted.notified() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let enough = self.when.threshold.is_some_and(|enough| enough.as_micros() <= self.book.uncleared_micros());
            let cleared = if enough || Instant::now() >= next {
                let cleared = self.clear().await;
                next = Instant::now() + self.when.every;
                cleared
            } else if wanted || (self.closing.any() && Instant::now() >= again) {
                self.clear_closed().await
            } else {
                continue;
            };
            match cleared {
                Ok(done) => tracing::info!(?done, "cleared"),
                Err(why) => tracing::warn!(%why, "not all is cleared; it is tried again"),
            }
            again = Instant::now() + waiting_every;
        }
    }

    /// Clears all that was settled, and for good what is over. What is paid by requests that are
    /// still in flight is not asked for: it may cost less, or nothing. So the last clearing of a
    /// session waits until nothing in it is in flight. What was sent before without an answer is sent
    /// again first, the very same.
    ///
    /// # Errors
    /// [`ClearError`]; what was done stays done.
    pub async fn clear(&self) -> Result<Cleared, ClearError> {
        let _one = self.clearing.lock().await;
        // All of them are looked at.
        self.closing.take();
        let mut round = self.begin_round().await?;
        self.book.fold().await?;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = Scan { prefix: b"", after: after.as_deref(), limit: PAGE };
            let rows = self.book.handle().read(|store| store.scan(SESSIONS, page)).await?;
            let rows = rows.map_err(|_| NoReply::Down)?;
            for (key, row) in &rows {
                if let Some(name) = self.named(key, row) {
                    self.add(name, &mut round).await?;
                }
            }
            match rows.last() {
                Some((last, _)) if rows.len() == PAGE => after = Some(last.clone()),
                _ => break,
            }
        }
        self.begin(round.items, &mut round.done).await?;
        self.book.set_uncleared(0);
        Ok(round.done)
    }

    /// Clears the sessions that were closed, and no others: one that ends costs no look at all of them.
    async fn clear_closed(&self) -> Result<Cleared, ClearError> {
        let _one = self.clearing.lock().await;
        let names = self.closing.take();
        let cleared = async {
            let mut round = self.begin_round().await?;
            for name in &names {
                self.add(*name, &mut round).await?;
            }
            self.begin(round.items, &mut round.done).await?;
            Ok(round.done)
        };
        let cleared = cleared.await;
        if cleared.is_err() {
            names.into_iter().for_each(|name| self.closing.wait(name));
        }
        cleared
    }

    /// What was sent before is sent again.
    async fn begin_round(&self) -> Result<Round, ClearError> {
        let mut round = Round::default();
        for (id, sent) in self.sent_before().await? {
            self.send(id, sent.clearings, &mut round.done).await?;
        }
        Ok(round)
    }

    /// The name of a session in whose row there is something to clear.
    fn named(&self, key: &[u8], row: &[u8]) -> Option<SessionName> {
        let (Ok(name), Ok(record)) = (key.try_into(), wire::decode::<SessionRecord>(row)) else { return None };
        let session = Session::resume(record.state);
        let due = session.uncleared() > 0 || record.closed || session.not_after() <= self.clock.now();
        due.then_some(SessionName(name))
    }

    /// Adds what there is to clear of a session; a request that is full is sent first.
    async fn add(&self, name: SessionName, round: &mut Round) -> Result<(), ClearError> {
        let Some((cost, item)) = self.item(name, &mut round.done).await? else { return Ok(()) };
        if round.items.len() == CLEARING_ITEMS_MAX || round.steps + cost > STEPS_PER_REQUEST_MAX {
            self.begin(std::mem::take(&mut round.items), &mut round.done).await?;
            round.steps = 0;
        }
        round.steps += cost;
        round.items.push(item);
        Ok(())
    }

    /// What there is to clear of a session, and how many steps it costs the bank.
    async fn item(&self, name: SessionName, done: &mut Cleared) -> Result<Option<(u64, Clearing)>, NoReply> {
        // Once the last clearing is on its way, nothing more is taken: that is written down first.
        let current = self.book.with(name, |session, closed, in_flight| {
            *closed |= session.not_after() <= self.clock.now();
            let (is_final, waits) = (*closed && in_flight == 0, *closed && in_flight > 0);
            let steps = session.uncleared().saturating_sub(in_flight);
            let due = is_final || steps > 0;
            (waits, due.then(|| (u64::from(steps), session.clearing_without(in_flight, is_final))))
        });
        let Some((waits, due)) = current.await? else { return Ok(None) };
        if waits {
            done.waiting += 1;
            self.closing.wait(name);
        }
        Ok(due)
    }

    async fn sent_before(&self) -> Result<Vec<(RequestId, Sent)>, NoReply> {
        let page = Scan { prefix: b"", after: None, limit: PAGE };
        let rows = self.book.handle().read(|store| store.scan(CLEARINGS, page)).await?;
        let rows = rows.map_err(|_| NoReply::Down)?.into_iter();
        Ok(rows.filter_map(|(key, row)| Some((RequestId(key.try_into().ok()?), wire::decode(&row).ok()?))).collect())
    }

    /// Writes a request down and sends it.
    async fn begin(&self, items: Vec<Clearing>, done: &mut Cleared) -> Result<(), ClearError> {
        let Some(items) = Bounded::new(items).filter(|items: &Bounded<_, _>| !items.as_slice().is_empty()) else {
            return Ok(());
        };
        let id = BankClient::new_id(self.clock.now())?;
        let clearings = Clearings { items };
        let row = wire::encode(&Sent { clearings: clearings.clone() });
        let written = self.book.handle().transact(move |cx| {
            cx.tx.put(CLEARINGS, &id.0, row);
            Ok(())
        });
        written.await?;
        self.send(id, clearings, done).await
    }

    async fn send(&self, id: RequestId, clearings: Clearings, done: &mut Cleared) -> Result<(), ClearError> {
        match self.acquirer.clear(id, &clearings).await {
            Ok(receipt) => self.take_in(id, &clearings, &receipt, done).await?,
            Err(AskError::Refused { refusal, .. }) => {
                // The whole request was turned away and nothing was paid: it is made anew next time.
                self.drop_sent(id).await?;
                return Err(AskError::Refused { refusal, authenticated: true }.into());
            }
            Err(why) => return Err(why.into()),
        }
        Ok(())
    }

    async fn drop_sent(&self, id: RequestId) -> Result<(), NoReply> {
        let gone = self.book.handle().transact(move |cx| {
            cx.tx.delete(CLEARINGS, &id.0);
            Ok(())
        });
        gone.await
    }

    async fn take_in(
        &self,
        id: RequestId,
        clearings: &Clearings,
        receipt: &ClearReceipt,
        done: &mut Cleared,
    ) -> Result<(), NoReply> {
        let (mut over, mut lost) = (Vec::new(), Vec::new());
        for line in receipt.lines.as_slice() {
            let asked = clearings.items.as_slice().iter().find(|item| item.chain == line.chain);
            let Some(asked) = asked else { continue };
            let name = SessionName::of(line.chain);
            match &line.outcome {
                ClearOutcome::Paid { amount, .. } => {
                    done.paid += 1;
                    done.micros = done.micros.saturating_add(amount.as_micros());
                    if asked.is_final && settled(asked, line) {
                        over.push((name, asked.through));
                    } else {
                        self.book.with(name, |session, _, _| session.on_cleared(line)).await?;
                    }
                }
                ClearOutcome::Refused(why) => {
                    done.refused += 1;
                    refused(name, why);
                    if asked.is_final && matches!(why.code, Code::Expired | Code::Unknown) {
                        lost.push(name);
                    }
                }
            }
        }
        metrics::counter!("farthing_gateway_cleared_micros_total").increment(done.micros);
        self.finish(id, over, lost).await
    }

    /// Sessions that are over leave, and the request is answered: in one transaction.
    /// What the bank will never pay for is forgotten too.
    async fn finish(
        &self,
        id: RequestId,
        over: Vec<(SessionName, u32)>,
        lost: Vec<SessionName>,
    ) -> Result<(), NoReply> {
        let (zero, gone, never) = (self.zero, over.clone(), lost.clone());
        let written = self.book.handle().transact(move |cx| {
            let known = cx.tx.get(SINGLES, TOTALS)?.and_then(|row| wire::decode::<Totals>(&row).ok());
            let mut totals = known.unwrap_or(Totals { sessions: 0, coupons: 0, cleared: zero });
            for (name, through) in &gone {
                let Some(row) = cx.tx.get(SESSIONS, &name.0)? else { continue };
                totals.sessions += 1;
                totals.coupons += u64::from(*through);
                if let Ok(record) = wire::decode::<SessionRecord>(&row) {
                    let worth = Session::resume(record.state).unit().checked_mul(u64::from(*through));
                    let sum = worth.and_then(|worth| totals.cleared.checked_add(worth));
                    totals.cleared = sum.unwrap_or(totals.cleared);
                }
                cx.tx.delete(SESSIONS, &name.0);
            }
            never.iter().for_each(|name| cx.tx.delete(SESSIONS, &name.0));
            cx.tx.put(SINGLES, TOTALS, wire::encode(&totals));
            cx.tx.delete(CLEARINGS, &id.0);
            Ok(())
        });
        written.await?;
        over.iter().map(|(name, _)| name).chain(&lost).for_each(|name| self.book.forget(*name));
        Ok(())
    }
}

/// Whether the bank stands where the last clearing asked it to.
fn settled(asked: &Clearing, line: &ClearLine) -> bool {
    matches!(line.outcome, ClearOutcome::Paid { through, .. } if through >= asked.through)
}

fn refused(name: SessionName, why: &Refusal) {
    tracing::warn!(?name, %why, "the bank does not pay for a session");
    metrics::counter!("farthing_gateway_clearings_refused_total").increment(1);
}
