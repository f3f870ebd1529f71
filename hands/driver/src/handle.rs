//! What callers hold.

use std::sync::Arc;

use farthing_core::refusal::{Code, Refusal};
use farthing_core::wire::MESSAGE_MAX;
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt, Request};
use farthing_store::{Reader, Snapshot};
use tokio::sync::oneshot;

use crate::ask::{Answer, Asked};
use crate::job::{Errand, Task};
use crate::no_reply::{NoReply, busy};
use crate::room::Seat;
use crate::shared::Shared;
use crate::wait::wait;

/// What a request or transaction counts for in the room beside the bytes of its message.
const OVERHEAD: usize = 512;

/// A way to a running driver. Clones lead to the same; once the last is gone, the driver answers
/// what it has taken and stops.
///
/// The `async` methods need a tokio runtime with timers. The blocking ones are for threads that
/// run no other tasks.
#[derive(Clone)]
pub struct DriverHandle {
    owner: Arc<Owner>,
}

struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.stop();
    }
}

type Waiting<T> = oneshot::Receiver<Result<T, NoReply>>;
type Look = oneshot::Receiver<Result<Box<dyn Snapshot>, StoreFault>>;

impl DriverHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { owner: Arc::new(Owner(shared)) }
    }

    /// Has a request carried out and gives its reply, durable by then. A repeat gets the reply it
    /// got before. Requests submitted one after the other by one caller take effect in that order.
    ///
    /// Whoever stops waiting (drops the future) changes nothing: the request may take effect.
    ///
    /// # Errors
    /// [`NoReply`]. A full queue refuses at once with [`Code::Rate`]; an answer that takes longer
    /// than [`Config::answer_within`](crate::Config::answer_within) is [`NoReply::Unknown`].
    pub async fn submit(&self, request: Request) -> Result<Vec<u8>, NoReply> {
        let answer = self.ask(request)?;
        self.within(answer).await
    }

    /// The same for a thread that can wait.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_blocking(&self, request: Request) -> Result<Vec<u8>, NoReply> {
        let answer = self.ask(request)?;
        self.wait(answer)
    }

    /// The same for many requests at once; answers in order. More than fit at once are refused
    /// with [`Code::Rate`].
    pub fn submit_many(&self, requests: impl IntoIterator<Item = Request>) -> Vec<Result<Vec<u8>, NoReply>> {
        let answers: Vec<_> = requests.into_iter().map(|request| self.ask(request)).collect();
        answers.into_iter().map(|answer| self.wait(answer?)).collect()
    }

    /// Runs a transaction of the caller's own and gives its result, durable by then. Transactions
    /// of many callers, and their requests, share one commit. The work runs on the thread that
    /// serves everybody: keep it short, and let it wait for nobody.
    ///
    /// # Errors
    /// [`NoReply`]; as for [`submit`](Self::submit).
    pub async fn transact<T, F>(&self, work: F) -> Result<T, NoReply>
    where
        T: Send + 'static,
        F: FnOnce(&mut Context<'_>) -> Result<T, Halt> + Send + 'static,
    {
        let answer = self.errand(work)?;
        self.within(answer).await
    }

    /// The same for a thread that can wait.
    ///
    /// # Errors
    /// As [`transact`](Self::transact).
    pub fn transact_blocking<T, F>(&self, work: F) -> Result<T, NoReply>
    where
        T: Send + 'static,
        F: FnOnce(&mut Context<'_>) -> Result<T, Halt> + Send + 'static,
    {
        let answer = self.errand(work)?;
        self.wait(answer)
    }

    /// Reads the store as last committed; everything answered so far is in it. The work runs
    /// here, beside everything else.
    ///
    /// # Errors
    /// [`NoReply::Down`] when the driver has ended or the store does not answer; nothing changed.
    pub async fn read<T>(&self, work: impl FnOnce(&dyn Reader) -> T) -> Result<T, NoReply> {
        let snapshot = self.snapshot().await?;
        Ok(work(&*snapshot))
    }

    /// The same for a thread that can wait.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_blocking<T>(&self, work: impl FnOnce(&dyn Reader) -> T) -> Result<T, NoReply> {
        let answer = self.look()?;
        let snapshot = wait(answer, self.shared().answer_within);
        Ok(work(&*seen(snapshot)?))
    }

    /// The store as last committed, to be read for a short while. While it is kept, the store
    /// cannot tidy up.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn snapshot(&self) -> Result<Box<dyn Snapshot>, NoReply> {
        let answer = self.look()?;
        seen(tokio::time::timeout(self.shared().answer_within, answer).await.ok())
    }

    /// Does what has fallen due now, without waiting for the next tick.
    ///
    /// # Errors
    /// [`NoReply`]; [`Code::Clock`] when the clock is behind.
    pub async fn tick_now(&self) -> Result<(), NoReply> {
        let (caller, answer) = oneshot::channel();
        self.put(Task::Tick(caller))?;
        self.within(answer).await
    }

    /// Takes no more, answers everything taken, and stops.
    pub async fn stop(&self) {
        self.shared().stop();
        // An error says that the driver is gone altogether.
        let _ = self.shared().ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// The same for a thread that can wait; at most
    /// [`Config::answer_within`](crate::Config::answer_within).
    pub fn stop_blocking(&self) {
        let _ = wait(self.stop(), self.shared().answer_within);
    }

    /// False once the store has failed or the role has panicked. Then nothing more is taken, and
    /// the process should end: only opening the store again tells what was committed.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.shared().is_poisoned()
    }

    /// How many requests and transactions are taken and not yet answered.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared().room.taken()
    }

    fn shared(&self) -> &Shared {
        &self.owner.0
    }

    fn ask(&self, request: Request) -> Result<oneshot::Receiver<Answer>, NoReply> {
        if request.message.len().max(request.proof.len()) > MESSAGE_MAX {
            return Err(Refusal::from(farthing_core::wire::Malformed::TooLong).into());
        }
        let seat = self.seat(request.message.len().saturating_add(request.proof.len()))?;
        let (caller, answer) = oneshot::channel();
        self.shared().asked.push([Asked { request, caller, seat }]).map_err(|_| NoReply::Down)?;
        Ok(answer)
    }

    fn errand<T, F>(&self, work: F) -> Result<Waiting<T>, NoReply>
    where
        T: Send + 'static,
        F: FnOnce(&mut Context<'_>) -> Result<T, Halt> + Send + 'static,
    {
        // The way to the writer stays open a little longer than that for requests.
        if self.shared().asked.is_closed() {
            return Err(NoReply::Down);
        }
        let seat = self.seat(0)?;
        let (caller, answer) = oneshot::channel();
        self.put(Task::Job(Box::new(Errand::new(work, caller)), seat))?;
        Ok(answer)
    }

    fn look(&self) -> Result<Look, NoReply> {
        let (caller, answer) = oneshot::channel();
        self.put(Task::Look(caller))?;
        Ok(answer)
    }

    fn seat(&self, bytes: usize) -> Result<Seat, NoReply> {
        self.shared().room.enter(bytes.saturating_add(OVERHEAD)).ok_or_else(|| {
            metrics::counter!("farthing_driver_refused_total", "code" => format!("{:?}", Code::Rate)).increment(1);
            busy().into()
        })
    }

    fn put(&self, task: Task) -> Result<(), NoReply> {
        self.shared().ready.push([task]).map_err(|_| NoReply::Down)
    }

    async fn within<T>(&self, answer: Waiting<T>) -> Result<T, NoReply> {
        let answer = tokio::time::timeout(self.shared().answer_within, answer).await;
        answer.map_or(Err(NoReply::Unknown), heard)
    }

    fn wait<T>(&self, answer: Waiting<T>) -> Result<T, NoReply> {
        wait(answer, self.shared().answer_within).map_or(Err(NoReply::Unknown), heard)
    }
}

/// What was answered; dropped unanswered, the outcome is unknown.
fn heard<T>(answer: Result<Result<T, NoReply>, oneshot::error::RecvError>) -> Result<T, NoReply> {
    answer.unwrap_or(Err(NoReply::Unknown))
}

/// The view that came, if one came in time.
fn seen(answer: Option<<Look as Future>::Output>) -> Result<Box<dyn Snapshot>, NoReply> {
    match answer {
        Some(Ok(Ok(snapshot))) => Ok(snapshot),
        Some(Ok(Err(fault))) => {
            tracing::error!(%fault, "the store could not be read");
            Err(NoReply::Down)
        }
        Some(Err(_)) | None => Err(NoReply::Down),
    }
}
