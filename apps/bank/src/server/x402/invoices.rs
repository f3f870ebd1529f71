//! Invoices that were not paid yet. In memory only: a buyer whose invoice is gone has signed
//! nothing that could be used, and begins again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use farthing_core::time::{Span, Time};
use farthing_coupon::secret::Digest;
use farthing_coupon::seller::Invoiced;

/// The most invoices kept; the oldest gives way.
const INVOICES_MAX: usize = 10_000;
/// For how long one is kept: as long as the bank would take it.
const INVOICE_LIFE: Span = Span::from_secs(600);

#[derive(Default)]
struct Open {
    by_name: BTreeMap<Digest, (Time, Invoiced)>,
    by_age: VecDeque<Digest>,
}

/// The open invoices.
#[derive(Default)]
pub(super) struct Invoices(Mutex<Open>);

impl Invoices {
    /// Keeps one.
    pub(super) fn keep(&self, now: Time, common: Digest, invoiced: Invoiced) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while open.by_age.len() >= INVOICES_MAX {
            let Some(oldest) = open.by_age.pop_front() else { break };
            open.by_name.remove(&oldest);
        }
        if open.by_name.insert(common, (now, invoiced)).is_none() {
            open.by_age.push_back(common);
        }
    }

    /// Finds one, and leaves it there for repeats.
    pub(super) fn find(&self, now: Time, common: Digest) -> Option<Invoiced> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, invoiced) = open.by_name.get(&common)?;
        (now < made.after(INVOICE_LIFE)).then(|| invoiced.clone())
    }
}
