//! Revenue and sessions, read from the store as it stands, beside a gateway that runs or without one.

use std::path::Path;

use farthing_core::amount::{Amount, Currency};
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_coupon::micro::SessionName;
use farthing_coupon::session::Session;
use farthing_role::{Scan, Table};
use farthing_store::{Reader, SqliteSnapshot, StoreError};
use serde::Serialize;

use crate::book::log::Log;
use crate::book::records::{CHANGES, CLEARINGS, SESSIONS, SINGLES, SessionRecord, TABLES, TOTALS, Totals};
use crate::counter::PAGE;

/// A session, for showing.
#[derive(Clone, Debug, Serialize)]
pub struct SessionLine {
    /// Its chain.
    pub chain: farthing_core::id::ChainId,
    /// What a unit is worth.
    pub unit: String,
    /// How many units it has.
    pub units: u32,
    /// How many were paid.
    pub paid: u32,
    /// How many of those are not cleared.
    pub uncleared: u32,
    /// When it ends, in milliseconds since 1970.
    pub ends: u64,
    /// Whether it takes no more payments.
    pub closed: bool,
}

/// What was earned.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Revenue {
    /// Sessions that are open.
    pub open: u64,
    /// Sessions that are over.
    pub over: u64,
    /// What was paid in all, in micros.
    pub paid_micros: u64,
    /// What the bank has paid for, in micros.
    pub cleared_micros: u64,
    /// Requests to the bank without an answer.
    pub unanswered: u64,
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// No gateway ever ran here.
    #[error("no gateway has run in {0}: there is nothing to tell")]
    NoGateway(std::path::PathBuf),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store does not answer.
    #[error(transparent)]
    Fault(#[from] farthing_ledger::StoreFault),
}

/// A look into a gateway's records.
pub struct Report(SqliteSnapshot);

impl Report {
    /// Opens the records in a gateway's folder.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn open(home: &Path) -> Result<Self, ReportError> {
        let records = crate::records_in(home);
        if !records.exists() {
            return Err(ReportError::NoGateway(home.to_owned()));
        }
        Ok(Self(SqliteSnapshot::open(records, &tables())?))
    }

    /// Calls `with` for every session.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn sessions(&self, mut with: impl FnMut(SessionLine)) -> Result<(), ReportError> {
        let log = Log::read(|scan| self.0.scan(CHANGES, scan))?;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self.0.scan(SESSIONS, Scan { prefix: b"", after: after.as_deref(), limit: PAGE })?;
            for (key, row) in &rows {
                let (Ok(name), Ok(mut record)) = (key.as_slice().try_into(), wire::decode::<SessionRecord>(row)) else {
                    continue;
                };
                log.apply(SessionName(name), &mut record)?;
                let session = Session::resume(record.state);
                with(SessionLine {
                    chain: session.chain(),
                    unit: session.unit().to_string(),
                    units: session.units(),
                    paid: session.charged(),
                    uncleared: session.uncleared(),
                    ends: session.not_after().as_millis(),
                    closed: record.closed,
                });
            }
            match rows.last() {
                Some((last, _)) if rows.len() == PAGE => after = Some(last.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// What was earned.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn revenue(&self) -> Result<Revenue, ReportError> {
        let mut revenue = Revenue::default();
        let worth = |unit: &str, count: u32| {
            let unit: Option<Amount> = unit.parse().ok();
            unit.map_or(0, |unit| unit.as_micros().saturating_mul(u64::from(count)))
        };
        self.sessions(|line| {
            revenue.open += 1;
            revenue.paid_micros = revenue.paid_micros.saturating_add(worth(&line.unit, line.paid));
            let cleared = worth(&line.unit, line.paid - line.uncleared);
            revenue.cleared_micros = revenue.cleared_micros.saturating_add(cleared);
        })?;
        let totals = self.0.get(SINGLES, TOTALS)?.and_then(|row| wire::decode::<Totals>(&row).ok());
        if let Some(totals) = totals {
            revenue.over = totals.sessions;
            revenue.paid_micros = revenue.paid_micros.saturating_add(totals.cleared.as_micros());
            revenue.cleared_micros = revenue.cleared_micros.saturating_add(totals.cleared.as_micros());
        }
        let sent = self.0.scan(CLEARINGS, Scan { prefix: b"", after: None, limit: PAGE })?;
        revenue.unanswered = sent.len() as u64;
        Ok(revenue)
    }
}

/// Money for showing.
#[must_use]
pub fn shown(currency: Currency, micros: u64) -> String {
    currency.micros(micros).map_or_else(|_| format!("{micros} micros"), |amount| amount.to_string())
}

/// Whether a session has ended.
#[must_use]
pub const fn has_ended(line: &SessionLine, now: Time) -> bool {
    line.ends <= now.as_millis()
}

/// All tables of a gateway's store.
pub(crate) fn tables() -> Vec<Table> {
    TABLES.iter().chain(farthing_driver::TABLES).copied().collect()
}
