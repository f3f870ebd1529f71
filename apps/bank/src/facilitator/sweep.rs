//! What falls due: clearing sessions, handing money on, and forgetting.

use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{PeerId, RequestId, TransferId, timed};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::wire::{self, Bounded};
use farthing_coupon::bank::{ClearRequest, Coupons};
use farthing_coupon::clearing::{ClearOutcome, Clearings};
use farthing_coupon::micro::SessionName;
use farthing_coupon::session::Session;
use farthing_ledger::{Ledger, LedgerError, StoreFault, Transfer};
use farthing_role::{Context, Halt, Scan, Table};

use super::rows::split_timed;
use super::rows::{CONFIRMS, ENDS, FORGET, OWED, PAYMENTS, PaymentRow, SESSIONS, SessionRow, UNCLEARED};
use super::sessions::session;
use super::{Facilitator, REASON_FACILITATED};
use crate::chart::{count_up, read};

/// The most sessions cleared, servers paid and payments forgotten in one tick.
const PER_TICK: usize = 128;

const _: () = assert!(PER_TICK <= farthing_coupon::clearing::CLEARING_ITEMS_MAX, "a tick is one clearing");

impl Facilitator {
    /// Clears what was settled and hands it on, a bounded portion; says whether more waits.
    pub(crate) fn sweep(&self, cx: &mut Context<'_>, coupons: &Coupons) -> Result<bool, Halt> {
        let ended = self.clear_ended(cx, coupons)?;
        let cleared = self.clear_settled(cx, coupons)?;
        let paid = self.hand_on(cx)?;
        Ok(ended || cleared || paid || forget(cx)?)
    }

    fn clear_settled(&self, cx: &mut Context<'_>, coupons: &Coupons) -> Result<bool, Halt> {
        let rows = cx.tx.scan(UNCLEARED, Scan { prefix: &[], after: None, limit: PER_TICK })?;
        let mut sessions = Vec::with_capacity(rows.len());
        for (key, _) in &rows {
            cx.tx.delete(UNCLEARED, key);
            sessions.extend(self.open_session(cx, key)?);
        }
        for (mut row, session, cleared) in self.clear(cx, coupons, sessions, false)? {
            if cleared {
                let name = SessionName::of(session.chain());
                row.state = session.state().clone();
                cx.tx.put(SESSIONS, &name.0, wire::encode(&row));
            }
        }
        Ok(rows.len() == PER_TICK)
    }

    /// The last clearing of a session that is over: the rest goes back to its buyer.
    fn clear_ended(&self, cx: &mut Context<'_>, coupons: &Coupons) -> Result<bool, Halt> {
        let due = due(cx, ENDS)?;
        let mut sessions = Vec::with_capacity(due.len());
        for (key, name) in &due {
            cx.tx.delete(ENDS, key);
            cx.tx.delete(UNCLEARED, name);
            sessions.extend(self.open_session(cx, name)?);
        }
        for (row, session, _) in self.clear(cx, coupons, sessions, true)? {
            cx.tx.delete(SESSIONS, &SessionName::of(session.chain()).0);
            cx.tx.delete(CONFIRMS, &row.common.0);
        }
        Ok(due.len() == PER_TICK)
    }

    fn open_session(&self, cx: &Context<'_>, name: &[u8]) -> Result<Option<(SessionRow, Session)>, Halt> {
        let name = name.try_into().map_err(|_| StoreFault("a session's row is damaged".into()))?;
        match session(&*cx.tx, SessionName(name)) {
            Ok(found) => Ok(Some(found)),
            Err(Halt::Refused(why)) if why.code == Code::Unknown => Ok(None),
            Err(halt) => Err(halt),
        }
    }

    /// Clears sessions by one request of the facilitator to the bank it lives in.
    fn clear(
        &self,
        cx: &mut Context<'_>,
        coupons: &Coupons,
        sessions: Vec<(SessionRow, Session)>,
        is_final: bool,
    ) -> Result<Vec<(SessionRow, Session, bool)>, Halt> {
        if sessions.is_empty() {
            return Ok(Vec::new());
        }
        let number = count_up(cx, b"facilitator-clearings")?;
        let unique = hash(Purpose::Request, &[b"facilitator clearing", &number.to_be_bytes()]);
        let items = sessions.iter().map(|(_, session)| session.clearing(is_final)).collect();
        let request = ClearRequest {
            seller: self.id(),
            id: RequestId(timed(cx.now, &unique)),
            proof: Vec::new(),
            clearings: Clearings { items: Bounded::new(items).unwrap_or_else(Bounded::empty) },
        };
        let checked = coupons.check_clearings(vec![request], &*cx.tx).pop();
        let checked = checked.ok_or_else(|| Refusal::new(Code::State, "the clearing was not checked"))??;
        let receipt = coupons.clear(cx, checked)?.peek().map_err(Refusal::from)?;
        let mut done = Vec::with_capacity(sessions.len());
        for ((row, mut session), line) in sessions.into_iter().zip(receipt.lines.as_slice()) {
            session.on_cleared(line);
            let cleared = match &line.outcome {
                ClearOutcome::Paid { .. } => true,
                ClearOutcome::Refused(why) => {
                    // The bank refuses itself: its books say why, and its operator must know.
                    tracing::error!(chain = %line.chain, %why, "a session of the facilitator was not cleared");
                    false
                }
            };
            done.push((row, session, cleared));
        }
        Ok(done)
    }

    /// Moves what was settled to the servers it is owed to, as far as it was cleared.
    fn hand_on(&self, cx: &mut Context<'_>) -> Result<bool, Halt> {
        let rows = cx.tx.scan(OWED, Scan { prefix: &[], after: None, limit: PER_TICK })?;
        let full = rows.len() == PER_TICK;
        for (key, value) in rows {
            let micros: u64 = crate::chart::decode(OWED, &value)?;
            let to = key.as_slice().try_into().map_err(|_| StoreFault("a row of what is owed is damaged".into()))?;
            let amount = self.chart.currency.micros(micros).map_err(Refusal::from)?;
            let number = count_up(cx, b"facilitator-payments")?;
            let unique = hash(Purpose::Transfer, &[b"facilitated", &number.to_be_bytes()]);
            let transfer = Transfer {
                id: TransferId(timed(cx.now, &unique)),
                debit: self.chart.customer(self.id()),
                credit: self.chart.customer(PeerId(to)),
                amount,
                reason: REASON_FACILITATED,
                reference: [0; 32],
                at: cx.now,
                hold: None,
            };
            match Ledger(&mut *cx.tx).post(transfer) {
                Ok(_) => cx.tx.delete(OWED, &key),
                // Some of it is not cleared yet: at the next tick.
                Err(LedgerError::Refused(why)) => tracing::warn!(%why, "what was settled is not handed on yet"),
                Err(LedgerError::Store(fault)) => return Err(fault.into()),
            }
        }
        Ok(full)
    }
}

/// Forgets payments that nobody needs to ask about any more.
fn forget(cx: &mut Context<'_>) -> Result<bool, Halt> {
    let due = due(cx, FORGET)?;
    for (key, payment) in &due {
        let row: Option<PaymentRow> = read(&*cx.tx, PAYMENTS, payment)?;
        // One that was kept first and then settled is forgotten later.
        if row.is_some_and(|row| row.until <= cx.now) {
            cx.tx.delete(PAYMENTS, payment);
        }
        cx.tx.delete(FORGET, key);
    }
    Ok(due.len() == PER_TICK)
}

/// A key that begins with a time, and the rest of it.
type DueKey = (Vec<u8>, Vec<u8>);

/// Keys whose time has come, with what they are about.
fn due(cx: &Context<'_>, table: Table) -> Result<Vec<DueKey>, StoreFault> {
    let rows = cx.tx.scan(table, Scan { prefix: &[], after: None, limit: PER_TICK })?;
    let split = |(key, _): (Vec<u8>, Vec<u8>)| {
        let (at, what) = split_timed(&key)?;
        (at <= cx.now).then(|| (key.clone(), what.to_vec()))
    };
    Ok(rows.into_iter().map_while(split).collect())
}
