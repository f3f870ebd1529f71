//! The holder's side of a reconciliation: a round of pages, each asked for again until answered.

use farthing_core::amount::Amount;
use farthing_core::audit::{AuditLog, Direction, Entry};
use farthing_core::cert::{Certificate, RoleName};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Signed;
use farthing_core::wire::{self, Bounded};
use farthing_role::{Context, Halt, Scan};
use minicbor::{Decode, Encode};

use super::Payer;
use crate::messages::{
    Agreement, Closing, Digest, LogPage, Opening, PAGE_MAX, PageTaken, Reconcile, Reconciled, epoch_of,
};
use crate::rows::{decode, read};
use crate::wallet::{ENTRIES, Log, ROUNDS, check_clock, place, raise_clock};

/// A reconciliation under way.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
struct Round {
    /// The opening.
    #[n(0)]
    opening: Digest,
    /// How many entries the bank has read.
    #[n(1)]
    sent: u64,
    /// The log as the bank has read it.
    #[n(2)]
    at: AuditLog,
    /// What was signed at the end, and how many entries the log had then.
    #[n(3)]
    closing: Option<(Digest, u64)>,
}

impl Payer {
    /// Asks the bank to compare books.
    #[must_use]
    pub const fn reconcile(&self) -> Reconcile {
        Reconcile { copy: self.copy }
    }

    /// KSF-R1. A wallet goes on from where it last agreed with the bank. One that was restored begins
    /// anew in an epoch that is the bank's to name, and that none of its old drafts can belong to.
    ///
    /// # Errors
    /// [`Halt`]: not the bank's, for another key or copy, or from a state that is not ours.
    pub fn on_opening(&self, cx: &mut Context<'_>, opening: Signed<Opening>) -> Result<(), Halt> {
        let opening = opening.verify_by(self.network, self.bank).map_err(Refusal::from)?;
        let body = opening.body();
        if (body.holder, body.copy) != (self.key.id(), self.copy) {
            return Err(Refusal::new(Code::Order, "the bank answers another key or copy").into());
        }
        raise_clock(cx, body.time)?;
        let before = Log::read(&*cx.tx, self.key.id())?;
        let anew = |epoch: u32| epoch_of(body.from.outgoing.n) > epoch && body.from.outgoing.n << 32 == 0;
        let answered = read::<Round>(&*cx.tx, ROUNDS, &self.key.id().0)?.filter(|round| round.at == body.from);
        let log = match before {
            // The bank took our last closing, and its answer was lost.
            Some(log) if log.copy == self.copy && answered.as_ref().is_some_and(|round| round.closing.is_some()) => {
                let places = answered.and_then(|round| round.closing).map_or(log.reconciled_places, |(_, at)| at);
                Log { reconciled: body.from, reconciled_places: places, ..log }
            }
            Some(log) if log.copy == self.copy && log.reconciled == body.from => log,
            // A restored copy, or an operator's pardon. The epoch is the bank's word that no other
            // copy has a certificate any more.
            Some(log) if anew(epoch_of(log.log.outgoing.n)) => self.begin_anew(&log, body.from),
            None if body.from == AuditLog::new(self.key.id()) || anew(0) => {
                self.begin_anew(&Log::new(self.key.id(), self.copy), body.from)
            }
            _ => {
                let why = "the bank goes on from a log that is not ours: talk to its operator";
                return Err(Refusal::new(Code::Reconcile, why).into());
            }
        };
        log.write(cx, self.key.id());
        let round =
            Round { opening: Digest(opening.digest()), sent: log.reconciled_places, at: log.reconciled, closing: None };
        self.write_round(cx, &round);
        Ok(())
    }

    fn begin_anew(&self, before: &Log, from: AuditLog) -> Log {
        let places = before.places;
        Log {
            log: from,
            places,
            reconciled: from,
            reconciled_places: places,
            last: before.last,
            ..Log::new(self.key.id(), self.copy)
        }
    }

    /// KSF-R2: the next page that the bank has not read; none when it has read all.
    ///
    /// # Errors
    /// [`Code::Reconcile`]: no round is open.
    pub fn next_page(&self, cx: &Context<'_>) -> Result<Option<LogPage>, Halt> {
        let round = self.round(cx)?;
        let entries = self.entries(cx, round.sent)?;
        let page = (!entries.is_empty()).then(|| Bounded::new(entries).unwrap_or_else(Bounded::empty));
        Ok(page.map(|entries| LogPage { opening: round.opening, entries }))
    }

    fn entries(&self, cx: &Context<'_>, sent: u64) -> Result<Vec<Entry>, Halt> {
        let (key, after) = (self.key.id(), place(self.key.id(), sent));
        let rows = cx.tx.scan(ENTRIES, Scan { prefix: &key.0, after: Some(&after), limit: PAGE_MAX })?;
        Ok(rows.iter().map(|(_, row)| decode(ENTRIES, row)).collect::<Result<_, _>>()?)
    }

    /// The bank has read the page that [`next_page`](Self::next_page) gave.
    ///
    /// # Errors
    /// [`Code::Log`]: it reads something else in it.
    pub fn on_page_taken(&self, cx: &mut Context<'_>, page: &LogPage, taken: &PageTaken) -> Result<(), Halt> {
        let mut round = self.round(cx)?;
        for entry in page.entries.as_slice() {
            let chain = match entry.direction {
                Direction::Out => &mut round.at.outgoing,
                Direction::In => &mut round.at.incoming,
            };
            *chain = chain.after(entry).map_err(Refusal::from)?;
            round.sent = round.sent.saturating_add(1);
        }
        if round.at != taken.at {
            return Err(Refusal::new(Code::Log, "the bank reads another log than was sent").into());
        }
        self.write_round(cx, &round);
        Ok(())
    }

    /// The end of KSF-R2: signs for the log as the bank has read it. What was written meanwhile
    /// belongs to the next round.
    ///
    /// # Errors
    /// [`Halt`]: pages are missing, or no round is open.
    pub fn close(&self, cx: &mut Context<'_>, wanted: Option<Amount>) -> Result<Signed<Closing>, Halt> {
        check_clock(&*cx.tx, cx.now)?;
        let mut round = self.round(cx)?;
        let mut log = self.own_log(cx)?;
        if round.sent != log.places {
            return Err(Refusal::new(Code::Reconcile, "the bank has not read all of the log").into());
        }
        let time = Self::moment(cx.now, &log);
        let closing = Closing { opening: round.opening, log: round.at, wanted, time };
        let closing = self.key.sign(self.network, &closing);
        round.closing = Some((Digest(closing.digest()), round.sent));
        self.write_round(cx, &round);
        log.last = time;
        log.write(cx, self.key.id());
        Ok(closing)
    }

    /// KSF-R3: the books agree, and here is a new certificate; or they do not.
    ///
    /// # Errors
    /// [`Halt`]: not the bank's, or not an answer to what was said; [`Code::Reconcile`] with what
    /// is the matter.
    pub fn on_reconciled(
        &self,
        cx: &mut Context<'_>,
        said: Signed<Reconciled>,
        certificate: Option<Signed<Certificate>>,
    ) -> Result<(), Halt> {
        let said = said.verify_by(self.network, self.bank).map_err(Refusal::from)?;
        let (body, round) = (said.body(), self.round(cx)?);
        let Some((_, places)) = round.closing.filter(|(digest, _)| *digest == body.closing) else {
            return Err(Refusal::new(Code::Order, "the bank answers another closing").into());
        };
        let serial = match &body.result {
            Agreement::Agreed(serial) => *serial,
            Agreement::Problems(problems) => {
                let why = format!("the books differ in {} places: talk to the operator", problems.as_slice().len());
                return Err(Refusal::new(Code::Reconcile, why).into());
            }
        };
        let mut log = self.own_log(cx)?;
        let since = self.written_since(cx, places, body.balance.currency().zero())?;
        if let Some(certificate) = certificate {
            let verified = certificate.verify_by(self.network, self.authority).map_err(Refusal::from)?;
            let mine = verified.body();
            if (mine.holder, mine.role, Some(mine.serial)) != (self.key.id(), RoleName::Drawer, serial) {
                return Err(Refusal::new(Code::Certificate, "the certificate is for something else").into());
            }
            let promised = body.owed.checked_add(body.outstanding).and_then(|sum| sum.checked_add(since));
            let promised = promised.map_err(Refusal::from)?;
            let free = body.balance.checked_sub(promised).unwrap_or_else(|_| body.balance.currency().zero());
            log.budget = Some(if free.as_micros() < mine.limits.total.as_micros() { free } else { mine.limits.total });
            log.certificate = Some(verified.into_signed());
        }
        (log.reconciled, log.reconciled_places) = (round.at, places);
        log.write(cx, self.key.id());
        raise_clock(cx, body.time)?;
        cx.tx.delete(ROUNDS, &self.key.id().0);
        Ok(())
    }

    /// What was promised after a closing was signed.
    fn written_since(&self, cx: &Context<'_>, mut places: u64, nothing: Amount) -> Result<Amount, Halt> {
        let mut sum = nothing;
        loop {
            let entries = self.entries(cx, places)?;
            places = places.saturating_add(entries.len() as u64);
            for entry in entries.iter().filter(|entry| entry.direction == Direction::Out) {
                sum = sum.checked_add(entry.amount).map_err(Refusal::from)?;
            }
            if entries.len() < PAGE_MAX {
                return Ok(sum);
            }
        }
    }

    fn round(&self, cx: &Context<'_>) -> Result<Round, Halt> {
        let none = || Refusal::new(Code::Reconcile, "no reconciliation is open: begin one");
        Ok(read(&*cx.tx, ROUNDS, &self.key.id().0)?.ok_or_else(none)?)
    }

    fn write_round(&self, cx: &mut Context<'_>, round: &Round) {
        cx.tx.put(ROUNDS, &self.key.id().0, wire::encode(round));
    }
}
