//! What falls due: requests unanswered, releases to ask for, cases to answer, chains to open and
//! to close, earnings to redeem, certificates to renew, books to compare.

use farthing_bank::messages::{Cases, kind as bank_kind};
use farthing_core::id::RequestId;
use farthing_core::sign::Verified;
use farthing_core::time::{SKEW, Span, Time};
use farthing_core::wire;
use farthing_netpay::bank::{Case, CaseState};
use farthing_netpay::messages::{AskRelease, BrokerRelease, Defend, Freed, kind};
use farthing_netpay::payer::OpenReserve;
use farthing_role::{Context, Halt, Scan};

use super::chains::{Taken, units_for};
use super::desk::Desk;
use super::earning::forget;
use super::error::WalletError;
use super::journal::Answered;
use super::policy;
use super::records::{self, AHEAD, About, DUE, PAST, PAYING, PURSES, Paying, PurseRecord, REQUESTS, What};
use super::redeem::{RedeemReport, due_digest};
use super::{Wallet, start};

/// How long a chain that is over is kept for the case that its owner is accused.
const KEEP_OVER: Span = Span::from_days(30);

/// The most visits forgotten in one round.
const FORGET_PER_ROUND: usize = 1_024;

/// A spare chain must run at least so long.
const SPARE_RUNS: Span = Span::from_hours(24);

/// What one round of upkeep did.
#[derive(Debug, Default)]
pub struct Upkeep {
    /// Chains opened in advance.
    pub opened: u32,
    /// Chains and sessions that ended and whose rest came back.
    pub refunded: u32,
    /// Abandoned reserves that the bank released.
    pub released: u32,
    /// Cases against this wallet that were answered.
    pub defended: u32,
    /// Cases against this wallet to which it has no answer: talk to the operator.
    pub undefended: u32,
    /// Certificates for drafts that were renewed.
    pub renewed: u32,
    /// Lines of online clearing that were learnt from the bank.
    pub repaired: u32,
    /// What was redeemed, if a redemption was due.
    pub redeemed: Option<RedeemReport>,
    /// What went wrong on the way; it is tried again next time.
    pub troubles: Vec<WalletError>,
}

impl Wallet {
    /// Does what has fallen due. Nothing here is urgent but what [`redeem_is_due`] says, and all of
    /// it can be repeated.
    ///
    /// [`redeem_is_due`]: Self::redeem_is_due
    ///
    /// # Errors
    /// [`WalletError`] where the wallet itself fails or its clock is behind; what goes wrong at the
    /// bank is in the report.
    pub async fn upkeep(&self, desk: &dyn Desk) -> Result<Upkeep, WalletError> {
        let now = self.checked_now()?;
        let refunded = self.close_chains(now).await?.saturating_add(self.close_coupons(now).await?);
        let mut done = Upkeep { refunded, ..Upkeep::default() };
        self.forget_past(now).await?;
        self.forget_singles(now).await?;
        self.forget_orders(now).await?;
        if self.redeem_is_due().await? {
            match self.redeem(desk).await {
                Ok(report) => done.redeemed = Some(report),
                Err(why) => done.troubles.push(why),
            }
        }
        let _errand = self.inner.errand.lock().await;
        let (answered, trouble) = self.settle(desk).await?;
        done.troubles.extend(trouble);
        for answer in answered {
            done.count(&answer);
        }
        if !done.troubles.is_empty() || self.is_restored() {
            return Ok(done);
        }
        for (step, result) in [
            ("releases", self.ask_releases(desk, now, &mut done).await),
            ("cases", self.answer_cases(desk, &mut done).await),
            ("chains", self.keep_spares(desk, now, &mut done).await),
            ("clearing", self.keep_clearing(desk, &mut done).await),
            ("drafts", self.keep_drafts(desk, now, &mut done).await),
        ] {
            if let Err(why) = result {
                tracing::debug!(step, %why, "not done this time");
                done.troubles.push(why);
            }
        }
        Ok(done)
    }

    /// Does the upkeep every so often, for as long as the wallet is healthy. With an interval of
    /// an hour or less the timer of [`RedeemPolicy`](super::RedeemPolicy) is kept to the hour.
    pub async fn tend(&self, every: std::time::Duration) {
        let mut clock = tokio::time::interval(every);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.is_healthy() {
            clock.tick().await;
            let troubles = match self.desk().await {
                Ok(desk) => self.upkeep(&*desk).await.map(|done| done.troubles),
                Err(why) => Err(why),
            };
            let troubles = troubles.unwrap_or_else(|why| vec![why]);
            if let Some(why) = troubles.first() {
                tracing::info!(%why, "upkeep goes on next time");
                // The bank may have moved or changed its keys: it is asked anew who it is.
                *self.inner.desk.lock().await = None;
            }
        }
    }

    /// Stores the bank's release of an abandoned reserve and ends the request.
    pub(crate) async fn take_broker_release(
        &self,
        id: RequestId,
        purse: u64,
        release: Verified<BrokerRelease>,
    ) -> Result<(), WalletError> {
        let busy = self.claim_purse(purse).ok_or(farthing_netpay::payer::PurseError::InUse)?;
        let Taken { mut purse, mut record, busy } = self.take_purse(busy).await?;
        let body = release.body().release.clone();
        let through = purse.on_broker_release(self.network(), self.bank(), release.into_signed())?;
        record.state = purse.state().clone();
        let ended = purse.state().ended.as_slice().last().and_then(|ended| ended.reserve.peek().ok());
        let units = ended.map_or(0, |reserve| (through + 1).saturating_sub(reserve.from));
        let (key, row) = (record.origin.index.to_be_bytes(), record);
        let lines = self.inner.handle.read(super::history::paying).await??;
        let line = lines.into_iter().find(|(_, paying)| paying.reserve == body.reserve);
        let done = move |cx: &mut Context<'_>| {
            records::put(cx.tx, PURSES, &key, &row);
            cx.tx.delete(AHEAD, &key);
            cx.tx.delete(REQUESTS, &id.0);
            if let Some((visit, paying)) = line {
                end_paying(cx, &visit, paying, units)?;
            }
            Ok(())
        };
        self.inner.handle.transact(done).await?;
        self.put_purse(purse, busy);
        self.raise_floor(body.time).await
    }

    /// Notes chains that are over, and forgets those that nobody can ask about any more.
    async fn close_chains(&self, now: Time) -> Result<u32, WalletError> {
        let (mut over, mut gone) = (Vec::new(), Vec::new());
        for (index, record) in self.purse_records().await? {
            let Ok(touchstone) = record.state.touchstone.peek() else { continue };
            let end = touchstone.header.not_after.after(touchstone.grace).after(SKEW);
            if end.after(KEEP_OVER) <= now {
                gone.push(index);
            } else if end <= now && !record.refunded {
                let about = touchstone.header.unit.checked_mul(record.left().into())?;
                over.push((record, What::Refunded { chain: touchstone.chain, about }));
            }
        }
        let refunded = u32::try_from(over.len()).unwrap_or(u32::MAX);
        if over.is_empty() && gone.is_empty() {
            return Ok(0);
        }
        let lines = self.inner.handle.read(super::history::paying).await??;
        let done = move |cx: &mut Context<'_>| {
            for (record, what) in over {
                // Visits that never ended are counted as spent: nobody can tell any more.
                for (visit, _) in lines.iter().filter(|(_, paying)| paying.purse == record.origin.index) {
                    cx.tx.delete(PAYING, visit);
                }
                let key = record.origin.index.to_be_bytes();
                records::put(cx.tx, PURSES, &key, &PurseRecord { refunded: true, ..record });
                start::note(cx, what);
            }
            for index in gone {
                cx.tx.delete(PURSES, &index.to_be_bytes());
                cx.tx.delete(AHEAD, &index.to_be_bytes());
            }
            Ok(())
        };
        self.inner.handle.transact(done).await?;
        Ok(refunded)
    }

    /// Forgets visits whose time to claim is long over, a bounded portion.
    async fn forget_past(&self, now: Time) -> Result<(), WalletError> {
        let before = now.before(KEEP_OVER).as_millis().to_be_bytes();
        let past = self.inner.handle.read(|reader| -> Result<_, WalletError> {
            let mut past = Vec::new();
            for table in [DUE, PAST] {
                let rows = reader.scan(table, Scan { prefix: &[], after: None, limit: FORGET_PER_ROUND })?;
                let over = |key: &Vec<u8>| key.get(..8).is_some_and(|at| at < &before[..]);
                for key in rows.into_iter().map(|(key, _)| key).take_while(over) {
                    past.push((table, due_digest(&key)?, key));
                }
            }
            Ok(past)
        });
        let past = past.await??;
        if past.is_empty() {
            return Ok(());
        }
        let done = move |cx: &mut Context<'_>| {
            for (table, digest, key) in &past {
                forget(cx, digest)?;
                cx.tx.delete(*table, key);
            }
            Ok(())
        };
        Ok(self.inner.handle.transact(done).await?)
    }

    /// Finds out what became of a payment that the bank has not answered, and fetches what is missing.
    async fn keep_clearing(&self, desk: &dyn Desk, done: &mut Upkeep) -> Result<(), WalletError> {
        let _counter = self.inner.counter.lock().await;
        self.settle_clearing(desk).await?;
        if self.comparison_is_due().await? && !self.is_restored() {
            done.repaired = self.compare_clearing(desk).await?.repaired;
        }
        Ok(())
    }

    /// Asks the bank about drafts that wait for its word, shows it what settles stopped ones, and gets
    /// certificates before they end.
    async fn keep_drafts(&self, desk: &dyn Desk, now: Time, done: &mut Upkeep) -> Result<(), WalletError> {
        let _counter = self.inner.counter.lock().await;
        if self.bank_facts().is_err() {
            return Ok(());
        }
        for alias in self.books_due(now).await? {
            match self.compare_drafts(desk, alias).await {
                Ok(_) => done.renewed = done.renewed.saturating_add(1),
                Err(why) => done.troubles.push(why),
            }
        }
        done.troubles.extend(self.settle_quarrels(desk).await?);
        self.confirm_waiting(desk).await
    }

    async fn ask_releases(&self, desk: &dyn Desk, now: Time, done: &mut Upkeep) -> Result<(), WalletError> {
        for (index, record) in self.purse_records().await? {
            let Ok(touchstone) = record.state.touchstone.peek() else { continue };
            if record.refunded || self.inner.pool().busy.contains(&index) {
                continue;
            }
            self.give_up_interrupted(index, &record, now).await?;
            let due = |open: &&OpenReserve| open.expires.after(touchstone.grace).after(SKEW) <= now;
            let open = record.state.open.iter().chain(record.state.abandoned.as_slice());
            for reserve in open.filter(due).map(|open| open.reserve.clone()) {
                let message = wire::encode(&AskRelease { reserve });
                let answer = self.request(desk, kind::ASK_RELEASE, message, About::Release(index)).await?;
                done.count(&answer);
            }
        }
        Ok(())
    }

    /// A reserve whose visit was interrupted and that has run out is abandoned for good.
    async fn give_up_interrupted(&self, index: u64, record: &PurseRecord, now: Time) -> Result<(), WalletError> {
        if record.state.open.as_ref().is_none_or(|open| now < open.expires) {
            return Ok(());
        }
        let Some(busy) = self.claim_purse(index) else { return Ok(()) };
        let Taken { mut purse, mut record, busy } = self.take_purse(busy).await?;
        purse.abandon()?;
        record.state = purse.state().clone();
        record.visit = None;
        let written = move |cx: &mut Context<'_>| {
            records::put(cx.tx, PURSES, &index.to_be_bytes(), &record);
            Ok(())
        };
        self.inner.handle.transact(written).await?;
        self.put_purse(purse, busy);
        Ok(())
    }

    /// Answers cases with the releases that this wallet has kept for the purpose.
    async fn answer_cases(&self, desk: &dyn Desk, done: &mut Upkeep) -> Result<(), WalletError> {
        let reply = self.look_up(desk, bank_kind::CASES, Vec::new()).await?;
        let cases: Cases = wire::decode(&reply).map_err(|_| WalletError::FalseAnswer("these are no cases"))?;
        let open: Vec<Case> =
            cases.netpay.into_vec().into_iter().filter(|case| case.state == CaseState::Open).collect();
        if open.is_empty() {
            return Ok(());
        }
        let records = self.purse_records().await?;
        for case in open {
            let Some(freed) = records.iter().find_map(|(_, record)| record.defence(&case)) else {
                done.undefended += 1;
                continue;
            };
            let message = wire::encode(&Defend { case: case.number, freed });
            let answer = self.request(desk, kind::DEFEND, message, About::Defend(case.number)).await?;
            done.count(&answer);
        }
        Ok(())
    }

    /// Opens chains in advance, so that buying works while the bank is down.
    async fn keep_spares(&self, desk: &dyn Desk, now: Time, done: &mut Upkeep) -> Result<(), WalletError> {
        let unit = self.inner.settings.unit();
        let chains = self.inner.settings.chains;
        let units = units_for(1, unit, chains.value_micros)?;
        let mut spare = 0;
        for (_, record) in self.free_purses(now.after(SPARE_RUNS.min(chains.life()))).await? {
            let Ok(touchstone) = record.state.touchstone.peek() else { continue };
            spare += usize::from(touchstone.header.unit == unit && record.widest(touchstone.header.units) >= units / 2);
        }
        if spare >= chains.spare {
            return Ok(());
        }
        // Asking for what the account cannot pay would be refused, and noted, at every upkeep.
        let value = unit.checked_mul(units.into())?;
        let affordable = match self.statement(desk, None, 1).await {
            Ok(_) => {
                let free = self.means().await?.free.unwrap_or(value);
                usize::try_from(free.as_micros() / value.as_micros().max(1)).unwrap_or(usize::MAX)
            }
            Err(_) => usize::MAX,
        };
        for _ in 0..affordable.min(chains.spare - spare) {
            self.open_chain(desk, units, unit).await?;
            done.opened += 1;
        }
        Ok(())
    }
}

impl Upkeep {
    fn count(&mut self, answer: &Answered) {
        match answer {
            Answered::Opened(_) => self.opened += 1,
            Answered::Released => self.released += 1,
            Answered::Defended => self.defended += 1,
            Answered::Redeemed(_) | Answered::Account(_) => {}
        }
    }
}

impl PurseRecord {
    /// The release that clears this wallet of a case: it ended one of the two reserves below the
    /// other.
    fn defence(&self, case: &Case) -> Option<Freed> {
        let ended = self.state.ended.as_slice();
        [(&case.first, &case.second), (&case.second, &case.first)].into_iter().find_map(|(side, other)| {
            let (digest, above) = (side.reserve.digest(), other.reserve.peek().ok()?.from);
            let ended = ended.iter().find(|ended| ended.reserve.digest() == digest)?;
            let through = match &ended.freed {
                Freed::Payee(signed) => signed.peek().ok()?.through,
                Freed::Bank(signed) => signed.peek().ok()?.release.through,
            };
            (through < above).then(|| ended.freed.clone())
        })
    }

    /// How many units were never paid, by this wallet's own count.
    fn left(&self) -> u32 {
        let state = &self.state;
        let units = state.touchstone.peek().map_or(0, |touchstone| touchstone.header.units);
        let fresh = units.saturating_add(1).saturating_sub(state.next);
        let freed: u32 = state.freed.as_slice().iter().map(|freed| freed.upto - freed.from + 1).sum();
        let open = state.open.iter().chain(state.abandoned.as_slice());
        let unpaid: u32 = open.map(|open| open.upto - open.paid).sum();
        fresh.saturating_add(freed).saturating_add(unpaid)
    }
}

/// Settles the policy's count of a visit that the bank has ended.
fn end_paying(cx: &mut Context<'_>, visit: &[u8; 16], paying: Paying, units: u32) -> Result<(), Halt> {
    let paid_units = paying.units_before.saturating_add(units);
    let money = |units: u32| paying.unit.checked_mul(units.into()).map_err(farthing_core::refusal::Refusal::from);
    let paid = money(paid_units)?;
    policy::give_back(cx.tx, &paying.payee, paying.hour, money(paying.units_max.saturating_sub(paid_units))?)?;
    cx.tx.delete(PAYING, visit);
    start::note(cx, What::Released { payee: paying.payee, paid, order: paying.order });
    Ok(())
}
