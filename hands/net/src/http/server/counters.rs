//! Requests counted by route and status.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::StatusCode;
use metrics::{Counter, Histogram, SharedString};

use crate::http::ops;

/// The most pairs of a route and a status whose counters are kept at hand; those of others are looked
/// up each time.
const HANDLES_MAX: usize = 1_024;

/// The counters of requests, looked up once. Nothing is counted before
/// [`install_metrics`](ops::install_metrics): a counter looked up before that never counts.
#[derive(Default)]
pub(super) struct Counters(RwLock<HashMap<Arc<str>, HashMap<StatusCode, Handle>>>);

/// What is counted of answers with one status at one route.
struct Handle {
    requests: Counter,
    seconds: Histogram,
}

/// The name of those that no route answered.
const NO_ROUTE: &str = "none";

impl Counters {
    /// Counts an answer that took so long.
    pub(super) fn count(&self, route: Option<&Arc<str>>, status: StatusCode, time: Duration) {
        if !ops::counts() {
            return;
        }
        let name = route.map_or(NO_ROUTE, |route| route);
        let handles = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = handles.get(name).and_then(|statuses| statuses.get(&status)) {
            return handle.count(time);
        }
        drop(handles);
        let route = route.map_or_else(|| NO_ROUTE.into(), Arc::clone);
        let handle = Handle::new(&route, status);
        handle.count(time);
        let mut handles = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if handles.values().map(HashMap::len).sum::<usize>() < HANDLES_MAX {
            handles.entry(route).or_default().insert(status, handle);
        }
    }
}

impl Handle {
    fn new(route: &Arc<str>, status: StatusCode) -> Self {
        let labels = [
            ("route", SharedString::from(Arc::clone(route))),
            ("status", SharedString::from(status.as_str().to_owned())),
        ];
        Self {
            requests: metrics::counter!("farthing_http_requests_total", &labels),
            seconds: metrics::histogram!("farthing_http_request_seconds", &labels[..1]),
        }
    }

    fn count(&self, time: Duration) {
        self.requests.increment(1);
        self.seconds.record(time);
    }
}
