//! Liability reports: the books counted, signed, published and kept.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use farthing_clearing::bank::{LogHead, log_head};
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{Span, Time};
use farthing_core::wire;
use farthing_driver::{Clock, DriverHandle, NoReply};
use farthing_ledger::{AccountKind, Head, StoreFault, Totals};
use farthing_role::{Context, Halt, Scan};
use farthing_store::{Overlay, Reader};

use super::SharedClock;
use crate::alarm::Alarm;
use crate::chart::{Chart, REPORTS, SUMS, read};
use crate::messages::LiabilityReport;
use crate::published;
use crate::role::Sums;

/// All accounts are counted in every so many reports; in between the running sums tell.
const COUNT_EVERY: u32 = 30;
/// Accounts read at once.
const PAGE: usize = 1_000;
/// A report is published although nothing moved when the last one is older than this.
const REPORT_AGE_MAX: Span = Span::from_hours(1);
/// How long reports are kept.
const REPORT_LIFE: Span = Span::from_days(90);
/// The most old reports forgotten with each new one.
const FORGOTTEN_AT_ONCE: usize = 8;

/// Publishes what the bank owes.
pub(super) struct Reporter {
    home: PathBuf,
    chart: Chart,
    key: Arc<SecretKey>,
    driver: DriverHandle,
    clock: SharedClock,
    alarm: Arc<Alarm>,
    latest: RwLock<Option<Published>>,
}

/// A report that is written down.
#[derive(Clone)]
pub(super) struct Published {
    pub(super) report: LiabilityReport,
    pub(super) signed: Signed<LiabilityReport>,
}

/// The sums at one moment.
struct Books {
    sums: Sums,
    /// The same, counted account by account.
    counted: Option<Totals>,
    head: Head,
    /// How far the clearing's log goes.
    clearing: LogHead,
}

impl Reporter {
    pub(super) fn new(
        home: PathBuf,
        chart: Chart,
        key: Arc<SecretKey>,
        driver: DriverHandle,
        clock: SharedClock,
        alarm: Arc<Alarm>,
    ) -> Self {
        Self { home, chart, key, driver, clock, alarm, latest: RwLock::new(None) }
    }

    /// The last report, once there is one.
    pub(super) fn latest(&self) -> Option<Published> {
        self.latest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Publishes now and then until it is told to stop.
    pub(super) async fn run(self: Arc<Self>, every: Duration, stop: impl Future<Output = ()>) {
        let mut round = tokio::time::interval(every);
        // The first tick is at once, and the start has published already.
        round.tick().await;
        let mut count = 0_u32;
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = round.tick() => {}
            }
            count = count.wrapping_add(1);
            if let Err(why) = self.publish(count.is_multiple_of(COUNT_EVERY)).await {
                tracing::warn!(%why, "the liabilities were not published");
            }
        }
    }

    /// Counts all accounts and publishes what they say.
    pub(super) async fn count_and_publish(&self) -> Result<LiabilityReport, NoReply> {
        self.publish(true).await
    }

    async fn publish(&self, count: bool) -> Result<LiabilityReport, NoReply> {
        let snapshot = self.driver.snapshot().await?;
        let chart = self.chart;
        let books = tokio::task::spawn_blocking(move || look(&chart, &*snapshot, count)).await;
        let books = match books {
            Ok(Ok(books)) => books,
            Ok(Err(fault)) => {
                tracing::error!(%fault, "the books cannot be counted");
                return Err(NoReply::Down);
            }
            Err(_) => return Err(NoReply::Down),
        };
        let now = self.clock.now();
        let report = self.report(&books, now);
        let latest = self.latest();
        let fresh = latest.filter(|latest| {
            let before = &latest.report;
            let far = |report: &LiabilityReport| (report.journal_rows, report.journal_head, report.clearing);
            let moved = far(before) != far(&report);
            !moved && before.is_conserved() == report.is_conserved() && now.since(before.time) < REPORT_AGE_MAX
        });
        if let Some(latest) = fresh {
            return Ok(latest.report);
        }
        let signed = self.key.sign(self.chart.network, &report);
        let kept = signed.clone();
        self.driver.transact(move |cx| keep(cx, now, &kept)).await?;
        for (kind, sum) in [("customer", report.customer), ("backing", report.backing), ("deposit", report.deposit)] {
            metrics::gauge!("farthing_bank_owed_micros", "kind" => kind).set(sum as f64);
        }
        // Only after the books themselves are durable so far; without it the next start notices less.
        if let Err(why) = published::save(&self.home, books.head) {
            tracing::error!(%why, "the published head was not written beside the books");
        }
        let published = Published { report: report.clone(), signed };
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Some(published);
        Ok(report)
    }

    /// The report these books make. Raises the alarm where they do not add up.
    fn report(&self, books: &Books, now: Time) -> LiabilityReport {
        let of = |kind| match &books.counted {
            Some(counted) => counted.of(kind),
            None => i128::from(books.sums.of(kind)),
        };
        let differs = AccountKind::ALL.iter().find(|kind| of(**kind) != i128::from(books.sums.of(**kind)));
        if let Some(kind) = differs {
            self.alarm.raise(format!(
                "the {kind:?} accounts hold {}, the running sum is {}",
                of(*kind),
                books.sums.of(*kind)
            ));
        }
        let sum = |kind, sign: i128| {
            u64::try_from(sign * of(kind)).unwrap_or_else(|_| {
                self.alarm.raise(format!("the {kind:?} accounts hold {}, which cannot be", of(kind)));
                0
            })
        };
        let report = LiabilityReport {
            currency: self.chart.currency,
            customer: sum(AccountKind::Customer, 1),
            backing: sum(AccountKind::Backing, 1),
            deposit: sum(AccountKind::Deposit, 1),
            fees: sum(AccountKind::Fees, 1),
            suspense: sum(AccountKind::Suspense, 1),
            funded: sum(AccountKind::World, -1),
            journal_rows: books.head.seq,
            journal_head: books.head.hash,
            time: now,
            clearing: Some(books.clearing),
        };
        if !report.is_conserved() {
            self.alarm.raise(format!("the bank owes {} micros and was given {}", report.owed(), report.funded));
        }
        report
    }
}

fn look(chart: &Chart, snapshot: &dyn Reader, count: bool) -> Result<Books, StoreFault> {
    let clearing = log_head(&Overlay::new(snapshot))?;
    let sums = read(&Overlay::new(snapshot), SUMS, &Sums::key(chart.currency))?.unwrap_or_default();
    let head = snapshot.head()?;
    let counted = if count { Some(counted(chart, snapshot)?) } else { None };
    Ok(Books { sums, counted, head, clearing })
}

fn counted(chart: &Chart, snapshot: &dyn Reader) -> Result<Totals, StoreFault> {
    let mut totals = Totals::default();
    let mut after = None;
    loop {
        let page = snapshot.accounts(after, PAGE)?;
        page.iter().filter(|account| account.currency == chart.currency).for_each(|account| totals.add(account));
        after = page.last().map(|account| account.id);
        if page.len() < PAGE {
            return Ok(totals);
        }
    }
}

fn keep(cx: &mut Context<'_>, now: Time, signed: &Signed<LiabilityReport>) -> Result<(), Halt> {
    let old = cx.tx.scan(REPORTS, Scan { prefix: &[], after: None, limit: FORGOTTEN_AT_ONCE })?;
    let oldest = now.before(REPORT_LIFE).as_millis().to_be_bytes();
    for (key, _) in old.iter().filter(|(key, _)| key.as_slice() < oldest.as_slice()) {
        cx.tx.delete(REPORTS, key);
    }
    cx.tx.put(REPORTS, &now.as_millis().to_be_bytes(), wire::encode(signed));
    Ok(())
}
