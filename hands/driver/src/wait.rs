//! Waiting for an answer on a thread that runs no other tasks.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What the future gives, unless that takes longer.
pub(crate) fn wait<T>(future: impl Future<Output = T>, longest: Duration) -> Option<T> {
    let until = Instant::now().checked_add(longest);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    // A task of tokio's that blocks here all the same must not be told to let others go first: it
    // would never be woken.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(value);
        }
        // A wait beyond the end of time has no end.
        let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return None;
        }
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_blocks_all_the_same_gets_its_answers() {
        for _ in 0..1_000 {
            let (caller, answer) = tokio::sync::oneshot::channel();
            caller.send(7).unwrap();
            assert_eq!(wait(answer, Duration::ZERO), Some(Ok(7)));
        }
    }

    #[test]
    fn a_caller_that_waits_in_vain_is_let_go() {
        assert_eq!(wait(std::future::pending::<()>(), Duration::from_millis(1)), None);
        assert_eq!(wait(async { 7 }, Duration::ZERO), Some(7));
    }
}
