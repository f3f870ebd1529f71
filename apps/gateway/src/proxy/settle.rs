//! The end of a running answer: what it cost, and where its receipts are found.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use farthing_coupon::micro::Ack;
use farthing_dialects::quote::ResponseDigest;

use super::meter::{Ended, Meter};
use crate::book::{Book, Given, lock};

/// Receipts of streamed answers kept for those who ask.
const RECEIPTS_MAX: usize = 65_536;
/// Answers that run at once.
pub const STREAMS_MAX: usize = 65_536;

/// Answers that are running, and the receipts of those that have ended.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    running: HashMap<String, Arc<Meter>>,
    receipts: HashMap<String, Receipts>,
    ended: VecDeque<String>,
}

/// What is known of an answer that has ended.
#[derive(Debug)]
struct Receipts {
    acks: Vec<Ack>,
    /// Why it is not whole, if it is not.
    why: Option<String>,
}

impl Streams {
    /// Names a running answer; `None` where too many run.
    pub(crate) fn begin(&self, meter: &Arc<Meter>) -> Option<String> {
        let mut name = [0; 16];
        getrandom::fill(&mut name).ok()?;
        let name = URL_SAFE_NO_PAD.encode(name);
        let mut inner = lock(&self.0);
        if inner.running.len() >= STREAMS_MAX {
            return None;
        }
        inner.running.insert(name.clone(), Arc::clone(meter));
        Some(name)
    }

    pub(crate) fn running(&self, name: &str) -> Option<Arc<Meter>> {
        lock(&self.0).running.get(name).cloned()
    }

    /// The receipts of an answer that has ended.
    pub(crate) fn receipts(&self, name: &str) -> Option<Vec<Ack>> {
        lock(&self.0).receipts.get(name).map(|ended| ended.acks.clone())
    }

    /// How a named answer fares, for those who wait for more of it.
    pub(crate) fn state(&self, name: &str) -> State {
        let inner = lock(&self.0);
        match (inner.running.get(name), inner.receipts.get(name)) {
            (Some(meter), _) if meter.waits() => State::Waits,
            (Some(_), _) => State::Runs,
            (None, Some(ended)) => {
                let charged = ended.acks.iter().fold(0, |sum: u32, ack| sum.saturating_add(ack.charged));
                State::Over { why: ended.why.clone(), charged }
            }
            (None, None) => State::Unknown,
        }
    }

    /// How many run.
    pub(crate) fn count(&self) -> usize {
        lock(&self.0).running.len()
    }

    fn end(&self, name: &str, acks: Vec<Ack>, why: Option<String>) {
        let mut inner = lock(&self.0);
        inner.running.remove(name);
        if inner.ended.len() >= RECEIPTS_MAX
            && let Some(oldest) = inner.ended.pop_front()
        {
            inner.receipts.remove(&oldest);
        }
        inner.receipts.insert(name.to_owned(), Receipts { acks, why });
        inner.ended.push_back(name.to_owned());
    }
}

/// How an answer fares.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It goes on.
    Runs,
    /// It waits for more money.
    Waits,
    /// It has ended, whole or not, and so many coupons were charged.
    Over {
        /// Why it is not whole.
        why: Option<String>,
        /// Coupons.
        charged: u32,
    },
    /// There is none, or it ended long ago.
    Unknown,
}

/// Settles a running answer once, at the latest when it is dropped.
pub(super) struct Settlement {
    pub(super) book: Arc<Book>,
    pub(super) streams: Arc<Streams>,
    pub(super) name: String,
    pub(super) meter: Arc<Meter>,
    pub(super) digest: ResponseDigest,
    pub(super) status: StatusCode,
    pub(super) headers: axum::http::HeaderMap,
    /// The service failed or said no: nothing is charged.
    pub(super) failed: bool,
    pub(super) settled: bool,
}

impl Settlement {
    /// Settles it, and gives the receipts and the batch that must be on disk before they leave.
    /// `why` says why the answer is not whole, if it is not.
    pub(super) fn end(&mut self, free: bool, why: Option<&dyn std::fmt::Display>) -> (Vec<Ack>, Option<u64>) {
        self.settled = true;
        let Ended { done, rest } = self.meter.end(free || self.failed);
        let (last, batch) = self.book.settle(self.meter.session, &rest, self.digest.finish());
        let acks: Vec<Ack> = done.iter().map(|(_, ack)| *ack).chain(last).collect();
        let given = Given { status: self.status, headers: &self.headers, body: None, acks: &acks };
        let paid = done.iter().map(|(paid, _)| paid).chain(rest.iter().map(|(paid, _)| paid));
        for paid in paid {
            self.book.answered(self.meter.session, paid.index, &given);
        }
        self.streams.end(&self.name, acks.clone(), why.map(ToString::to_string));
        (acks, batch)
    }
}

impl Drop for Settlement {
    /// The client went away: what was sent until then is charged.
    fn drop(&mut self) {
        if !self.settled {
            self.end(false, Some(&"the client went away"));
        }
    }
}
