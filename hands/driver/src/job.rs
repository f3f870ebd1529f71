//! What the writer does: one job after the other, many to a commit.

use farthing_core::refusal::Refusal;
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt};
use farthing_store::Snapshot;
use tokio::sync::oneshot;

use crate::no_reply::NoReply;
use crate::queue::Weight;
use crate::room::Seat;

/// Something to do inside a transaction. Dropped unanswered, it tells its caller that the outcome
/// is unknown.
pub(crate) trait Job: Send {
    /// Does it. What it wrote is kept only if it does not halt.
    fn run(&mut self, cx: &mut Context<'_>) -> Result<(), Halt>;

    /// Tells the caller, after the commit; `refused` says why it was not done.
    fn speak(self: Box<Self>, refused: Option<Refusal>);
}

/// What the writer can be asked for.
pub(crate) enum Task {
    /// A job, and its place in the room until it is answered.
    Job(Box<dyn Job>, Seat),
    /// A view of the store as last committed.
    Look(oneshot::Sender<Result<Box<dyn Snapshot>, StoreFault>>),
    /// What has fallen due, now.
    Tick(oneshot::Sender<Result<(), NoReply>>),
}

impl Weight for Task {
    fn bytes(&self) -> usize {
        match self {
            Self::Job(_, seat) => seat.bytes(),
            Self::Look(_) | Self::Tick(_) => 0,
        }
    }

    /// A checker that looks holds up the very requests that are gathered.
    fn urgent(&self) -> bool {
        matches!(self, Self::Look(_) | Self::Tick(_))
    }
}

/// A caller's own transaction.
pub(crate) struct Errand<F, T> {
    work: Option<F>,
    result: Option<T>,
    caller: oneshot::Sender<Result<T, NoReply>>,
}

impl<F, T> Errand<F, T> {
    pub(crate) fn new(work: F, caller: oneshot::Sender<Result<T, NoReply>>) -> Self {
        Self { work: Some(work), result: None, caller }
    }
}

impl<F, T> Job for Errand<F, T>
where
    F: FnOnce(&mut Context<'_>) -> Result<T, Halt> + Send,
    T: Send,
{
    fn run(&mut self, cx: &mut Context<'_>) -> Result<(), Halt> {
        if let Some(work) = self.work.take() {
            self.result = Some(work(cx)?);
        }
        Ok(())
    }

    fn speak(self: Box<Self>, refused: Option<Refusal>) {
        let answer = match (refused, self.result) {
            (Some(why), _) => Err(NoReply::Refused(why)),
            (None, Some(result)) => Ok(result),
            (None, None) => Err(NoReply::Unknown),
        };
        // Whoever gave up waiting changes nothing.
        let _ = self.caller.send(answer);
    }
}
