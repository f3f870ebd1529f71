//! The first stage: many requests checked in one go, beside other batches and the commit.

use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use farthing_core::refusal::{Code, Fault, Refusal};
use farthing_core::time::Time;
use farthing_ledger::StoreFault;
use farthing_role::{Halt, Records, Request, Role, Row, Scan, Table};
use farthing_store::Snapshot;

use crate::ask::{Ask, Asked};
use crate::config::{BATCH_BYTES_MAX, CHECK_BATCH_MAX};
use crate::job::Task;
use crate::shared::Shared;

/// Checks whatever waits, until the driver stops.
pub(crate) fn run<R: Role>(shared: &Shared, role: &Arc<R>) {
    // Poisons and leaves even if what follows panics.
    let leaving = Leaving(shared);
    while let Some(taken) = shared.asked.take(CHECK_BATCH_MAX, BATCH_BYTES_MAX, None) {
        let tasks = check_batch(shared, role, taken.items);
        shared.pass_on(taken.turn, tasks);
    }
    drop(leaving);
}

struct Leaving<'a>(&'a Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("a checking thread panicked");
        }
        self.0.checker_left();
    }
}

fn check_batch<R: Role>(shared: &Shared, role: &Arc<R>, asked: Vec<Asked>) -> Vec<Task> {
    let requests = asked.iter().map(|asked| asked.request.clone()).collect();
    let now = shared.now();
    let facts = Facts { shared, snapshot: OnceCell::new() };
    let verdicts = checked(&**role, now, requests, &facts).unwrap_or_else(|| {
        // Somebody's request makes the role panic, or lose count. Alone, it harms nobody else.
        let alone = |asked: &Asked| {
            let verdict = checked(&**role, now, vec![asked.request.clone()], &facts).and_then(|mut only| only.pop());
            verdict.unwrap_or_else(|| Err(broke_check(&asked.request)))
        };
        asked.iter().map(alone).collect()
    });
    let ask = |(asked, verdict): (Asked, _)| {
        let Asked { request, caller, seat } = asked;
        let ask = Ask {
            role: Arc::clone(role),
            sender: request.sender,
            id: request.id,
            digest: request.digest(),
            proof: request.proof,
            verdict: Some(verdict),
            answer: None,
            caller,
        };
        Task::Job(Box::new(ask), seat)
    };
    asked.into_iter().zip(verdicts).map(ask).collect()
}

/// The role's verdicts, one for each request; `None` if it panicked or answered too few or many.
fn checked<R: Role>(
    role: &R,
    now: Time,
    requests: Vec<Request>,
    facts: &Facts<'_>,
) -> Option<Vec<Result<R::Checked, Halt>>> {
    let count = requests.len();
    // A check changes nothing, so nothing can be left half done.
    let verdicts = catch_unwind(AssertUnwindSafe(|| role.check(now, requests, facts))).ok()?;
    (verdicts.len() == count).then_some(verdicts)
}

fn broke_check(request: &Request) -> Halt {
    tracing::error!(sender = %request.sender, id = %request.id, kind = request.kind, "a request broke its check; it was refused");
    Refusal::new(Code::Malformed, "this request cannot be checked here; nothing was done").blame(Fault::Us).into()
}

/// Records as last committed, fetched only if the role looks at any.
struct Facts<'a> {
    shared: &'a Shared,
    snapshot: OnceCell<Box<dyn Snapshot>>,
}

impl Facts<'_> {
    fn snapshot(&self) -> Result<&dyn Snapshot, StoreFault> {
        if let Some(snapshot) = self.snapshot.get() {
            return Ok(&**snapshot);
        }
        let fresh = self.shared.look()?;
        Ok(&**self.snapshot.get_or_init(|| fresh))
    }
}

impl Records for Facts<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        self.snapshot()?.get(table, key)
    }

    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Row>, StoreFault> {
        self.snapshot()?.scan(table, scan)
    }

    // Facts are lent for reading only: nobody can come by the exclusive reference these take.
    fn put(&mut self, _: Table, _: &[u8], _: Vec<u8>) {}

    fn delete(&mut self, _: Table, _: &[u8]) {}
}
