//! Some of the sessions, under one lock.

use std::collections::HashMap;

use farthing_core::time::Time;
use farthing_core::wire;
use farthing_coupon::micro::{Ack, Bearer, Coupon, LogEntry, Pay, SessionName, micro_order};
use farthing_coupon::secret::Digest;
use farthing_coupon::session::{Accepted, PayError, Session};

use super::answers::Answers;
use super::journal::Journal;
use super::log::{Changed, Written};
use super::records::SessionRecord;
use super::{Denied, Payment, Purpose, Taken};

#[derive(Default)]
pub(super) struct Shard {
    pub(super) open: HashMap<SessionName, Box<Entry>>,
    pub(super) answers: Answers,
    /// How many sessions have left memory.
    pub(super) removals: u64,
    tick: u64,
}

pub(super) struct Entry {
    pub(super) session: Session,
    pub(super) closed: bool,
    /// The last batch it went into.
    pub(super) marked: u64,
    /// Something of it is in the log and not in its own row.
    pub(super) logged: bool,
    /// Payments that are being served.
    busy: u32,
    /// The units of those: what they come to is not known yet.
    pub(super) in_flight: u32,
    used: u64,
}

/// What a session takes in memory beside itself, the table's own room at its worst included.
const OVERHEAD: usize = 128;
const _: () =
    assert!(100_000 * (size_of::<Entry>() + OVERHEAD) < 256 << 20, "a hundred thousand open sessions fit into 256 MiB");

/// What taking a coupon gave, and what it brought.
pub(super) struct Outcome {
    pub(super) what: Taken,
    pub(super) fresh: u64,
    pub(super) unit_micros: u64,
}

/// The response named in the acknowledgement of a payment that bought nothing.
pub(crate) const NOTHING: Digest = Digest([0; 32]);

impl Shard {
    pub(super) fn insert(&mut self, name: SessionName, session: Session, closed: bool, max: usize, journal: &Journal) {
        if self.open.len() >= max.max(1) {
            self.evict(max, journal);
        }
        self.tick += 1;
        let entry = Entry { session, closed, marked: 0, logged: false, busy: 0, in_flight: 0, used: self.tick };
        self.open.entry(name).or_insert_with(|| Box::new(entry));
    }

    /// Lets an eighth of the sessions go: those used longest ago whose rows say how they stand.
    fn evict(&mut self, max: usize, journal: &Journal) {
        let idle = |entry: &Entry| entry.busy == 0 && !entry.logged && journal.has(entry.marked);
        let mut ages: Vec<(u64, SessionName)> =
            self.open.iter().filter(|(_, entry)| idle(entry)).map(|(name, entry)| (entry.used, *name)).collect();
        ages.sort_unstable();
        let excess = self.open.len().saturating_sub(max) + max / 8 + 1;
        if ages.len() < excess {
            journal.fold();
        }
        for (_, name) in ages.into_iter().take(excess) {
            self.open.remove(&name);
            self.removals += 1;
        }
    }

    pub(super) fn take(
        &mut self,
        now: Time,
        coupon: &Coupon,
        purpose: Purpose<'_>,
        units: &impl Fn(&Session) -> Result<u32, Denied>,
        journal: &Journal,
    ) -> Result<Outcome, Denied> {
        let name = coupon.session;
        self.tick += 1;
        let entry = self.open.get_mut(&name).ok_or(Denied::Absent)?;
        entry.used = self.tick;
        let pay = coupon.about(micro_order(entry.session.realm(), purpose.request));
        let old = |what| Outcome { what, fresh: 0, unit_micros: 0 };
        if let Some(slot) = self.answers.find(name, pay.index)
            && slot.entry == pay.entry()
            && !slot.is_past(pay.turn)
        {
            made_here(now, &entry.session, coupon, &pay, purpose.bearer)?;
            return match slot.answer() {
                Some(answer) => Ok(old(Taken::Again(answer, None, entry.session.unit()))),
                None => Err(Denied::InProgress),
            };
        }
        if entry.closed {
            return Err(Denied::Closed);
        }
        let before = purpose.key.and_then(|key| self.answers.by_key(name, key));
        let before = before.map(|slot| (slot.entry.order == pay.order, slot.answer()));
        match &before {
            Some((false, _)) => return Err(Denied::KeyReused),
            Some((true, None)) => return Err(Denied::InProgress),
            Some((true, Some(_))) | None => {}
        }
        let price = units(&entry.session)?;
        let taken = match accept(&mut entry.session, now, coupon, &pay, purpose.bearer, price) {
            Ok(taken) => taken,
            Err(why) => return Err(Denied::Pay(why, unused(&entry.session, &pay, why))),
        };
        let batch = journal.mark(name, &mut entry.marked);
        let unit = entry.session.unit();
        let what = match before {
            Some((_, Some(answer))) => {
                entry.session.give_back(&taken.entry, 0);
                Taken::Again(answer, Some(entry.session.ack(&taken.entry, 0, NOTHING)), unit)
            }
            _ => {
                entry.busy += 1;
                entry.in_flight = entry.in_flight.saturating_add(taken.entry.units);
                self.answers.begin(name, taken.entry, purpose.key);
                Taken::Fresh(Payment { session: name, entry: taken.entry, batch, unit })
            }
        };
        Ok(Outcome { what, fresh: u64::from(taken.fresh), unit_micros: unit.as_micros() })
    }

    pub(super) fn settle(
        &mut self,
        name: SessionName,
        used: &[(LogEntry, u32)],
        response: Digest,
        journal: &Journal,
    ) -> (Vec<Ack>, Option<u64>) {
        // It is here: what is being served keeps it in memory.
        let Some(entry) = self.open.get_mut(&name) else { return (Vec::new(), None) };
        let mut batch = None;
        for (paid, charged) in used {
            entry.busy = entry.busy.saturating_sub(1);
            entry.in_flight = entry.in_flight.saturating_sub(paid.units);
            if *charged < paid.units {
                entry.session.give_back(paid, *charged);
                batch = Some(journal.mark(name, &mut entry.marked));
            }
        }
        (used.iter().map(|(paid, charged)| entry.session.ack(paid, *charged, response)).collect(), batch)
    }

    /// What changed in a session since it was last written down; it goes into the log.
    pub(super) fn change(&mut self, name: SessionName, log: &mut Written) -> Option<Changed> {
        let entry = self.open.get_mut(&name)?;
        if !entry.logged {
            entry.logged = true;
            log.sessions.push(name);
        }
        Some(Changed { name, change: entry.session.take_change(), closed: entry.closed })
    }

    /// Nothing of a session is in the log any more.
    pub(super) fn folded(&mut self, name: SessionName) {
        if let Some(entry) = self.open.get_mut(&name) {
            entry.logged = false;
        }
    }

    /// A session as it is written down whole.
    pub(super) fn whole(&mut self, name: SessionName) -> Option<(SessionName, Vec<u8>)> {
        let entry = self.open.get_mut(&name)?;
        // All of it is written down now.
        let _ = entry.session.take_change();
        let record = SessionRecord { state: entry.session.state().clone(), closed: entry.closed };
        Some((name, wire::encode(&record)))
    }
}

/// Takes a payment, or the token of a bearer.
fn accept(
    session: &mut Session,
    now: Time,
    coupon: &Coupon,
    pay: &Pay,
    bearer: Option<Bearer>,
    price: u32,
) -> Result<Accepted, PayError> {
    match bearer {
        None => session.accept(now, pay, price),
        Some(bearer) => session.accept_token(now, &coupon.token_about(pay.order, bearer), price),
    }
}

/// Whether a payment was made by who holds the session's key, or the token's: a trial on a copy tells.
fn made_here(now: Time, session: &Session, coupon: &Coupon, pay: &Pay, bearer: Option<Bearer>) -> Result<(), Denied> {
    match accept(&mut session.clone(), now, coupon, pay, bearer, pay.units) {
        Err(why @ (PayError::Unbound | PayError::Range { .. })) => Err(Denied::Pay(why, None)),
        _ => Ok(()),
    }
}

/// The seller's word that a refused payment was not used, where that is certain: it was bound, and
/// none of its units was ever served.
fn unused(session: &Session, pay: &Pay, why: PayError) -> Option<Ack> {
    let bound = matches!(why, PayError::Price { .. } | PayError::Stale { .. });
    let untouched = || {
        pay.units <= farthing_coupon::session::WINDOW
            && !(pay.entry().first()..=pay.index).any(|unit| session.is_served(unit))
    };
    (bound && untouched()).then(|| session.ack(&pay.entry(), 0, NOTHING))
}
