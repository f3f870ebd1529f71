//! What a task costs, counted wherever it runs.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use farthing_core::meter::{self, Counts};

/// A future that counts what it costs.
///
/// The meter counts per thread and a task wanders among threads, but between two waits it stays on
/// one: so the cost of a task is the sum over its steps. What it has done elsewhere, on the threads
/// for the disk, is not counted.
pub struct Metered<T> {
    work: Pin<Box<dyn Future<Output = T> + Send>>,
    cost: Counts,
}

/// Counts what `work` costs.
pub fn metered<T>(work: impl Future<Output = T> + Send + 'static) -> Metered<T> {
    Metered { work: Box::pin(work), cost: Counts::default() }
}

impl<T> Future for Metered<T> {
    type Output = (T, Counts);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (polled, cost) = meter::measure(|| self.work.as_mut().poll(cx));
        self.cost = self.cost.plus(cost);
        polled.map(|done| (done, self.cost))
    }
}

#[cfg(test)]
mod tests {
    use farthing_core::meter::{Op, count};

    use super::*;

    #[tokio::test]
    async fn a_task_pays_for_its_own_steps_only() {
        let work = |n: u64| async move {
            count(Op::Hash, n);
            tokio::task::yield_now().await;
            count(Op::Sign, 1);
        };
        let (one, two) = tokio::join!(metered(work(3)), metered(work(5)));
        assert_eq!(one.1, Counts::default().with(Op::Hash, 3).with(Op::Sign, 1));
        assert_eq!(two.1, Counts::default().with(Op::Hash, 5).with(Op::Sign, 1));
    }
}
