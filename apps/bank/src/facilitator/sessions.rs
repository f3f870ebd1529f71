//! Opening, closing and looking at sessions.

use farthing_core::hash::{Purpose, hash};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::time::{SKEW, Time};
use farthing_core::wire;
use farthing_coupon::bank::{CheckedAuth, Coupons};
use farthing_coupon::messages::{AuthAnswer, Confirm, Payment};
use farthing_coupon::micro::SessionName;
use farthing_coupon::secret::Digest;
use farthing_coupon::seller::Committed;
use farthing_coupon::session::Session;
use farthing_dialects::service::{AskSession, CloseSession, SessionView};
use farthing_role::{Context, Halt, Records};

use super::Facilitator;
use super::rows::{CONFIRMS, ConfirmRow, ENDS, SESSIONS, SessionRow, timed_key};
use crate::chart::read;
use crate::role::require_present;

/// A buyer's Payment, by its hash.
pub(crate) fn payment_digest(payment: &Payment) -> Digest {
    Digest(hash(Purpose::Request, &[b"facilitator", &wire::encode(payment)]))
}

impl Facilitator {
    /// What was answered to that very Payment before, if it was.
    pub(crate) fn confirmed(tx: &dyn Records, common: Digest, payment: Digest) -> Result<Option<Confirm>, Halt> {
        let row: Option<ConfirmRow> = read(tx, CONFIRMS, &common.0)?;
        Ok(row.filter(|row| row.payment == payment).map(|row| row.confirm))
    }

    /// Has a purchase authorised and opens its session, in one transaction.
    pub(crate) fn open(
        &self,
        cx: &mut Context<'_>,
        coupons: &Coupons,
        committed: &Committed,
        checked: &CheckedAuth,
        payment: Digest,
    ) -> Result<Confirm, Halt> {
        let common = committed.request().clear.peek().map_err(Refusal::from)?.common;
        if let Some(before) = Self::confirmed(&*cx.tx, common, payment)? {
            return Ok(before);
        }
        if !coupons.was_answered(&*cx.tx, checked)? {
            require_present(cx, checked.account(), checked.epoch())?;
        }
        let signed = match coupons.authorise(cx, checked)? {
            AuthAnswer::Answered(signed) => signed,
            AuthAnswer::Conflict { .. } => {
                return Err(Refusal::new(Code::Conflict, "this invoice was paid in another way before").into());
            }
        };
        // A no goes back as the refusal it is, and nothing of it stays.
        let (session, confirm) = self.seller.on_authorisation(committed, signed)?;
        let name = SessionName::of(session.chain());
        if cx.tx.get(SESSIONS, &name.0)?.is_some() {
            return Err(Refusal::new(Code::Conflict, "a session of that name is open: draw another chain").into());
        }
        let row = SessionRow { state: session.state().clone(), common, closed: false };
        cx.tx.put(SESSIONS, &name.0, wire::encode(&row));
        cx.tx.put(ENDS, &timed_key(session.not_after(), &name.0), Vec::new());
        cx.tx.put(CONFIRMS, &common.0, wire::encode(&ConfirmRow { payment, confirm: confirm.clone() }));
        Ok(confirm)
    }

    /// Takes no more payments in a session; what was not spent goes back at the next tick.
    pub(crate) fn close(&self, cx: &mut Context<'_>, ask: Signed<CloseSession>) -> Result<SessionView, Halt> {
        let claimed = ask.peek().map_err(Refusal::from)?;
        let name = SessionName::of(claimed.chain);
        let (mut row, session) = session(&*cx.tx, name)?;
        ask.verify_by(self.chart.network, session.buyer()).map_err(Refusal::from)?;
        check_fresh(cx.now, claimed.at)?;
        if !row.closed {
            row.closed = true;
            cx.tx.put(SESSIONS, &name.0, wire::encode(&row));
            cx.tx.delete(ENDS, &timed_key(session.not_after(), &name.0));
            cx.tx.put(ENDS, &timed_key(cx.now, &name.0), Vec::new());
        }
        Ok(view(&row, &session))
    }

    /// How a session stands.
    pub(crate) fn look(&self, tx: &dyn Records, now: Time, ask: Signed<AskSession>) -> Result<SessionView, Halt> {
        let claimed = ask.peek().map_err(Refusal::from)?;
        let (row, session) = session(tx, SessionName::of(claimed.chain))?;
        ask.verify_by(self.chart.network, session.buyer()).map_err(Refusal::from)?;
        check_fresh(now, claimed.at)?;
        Ok(view(&row, &session))
    }
}

/// A session as it was written down.
pub(super) fn session(tx: &(impl Records + ?Sized), name: SessionName) -> Result<(SessionRow, Session), Halt> {
    let row: Option<SessionRow> = read(tx, SESSIONS, &name.0)?;
    let unknown = || Refusal::new(Code::Unknown, "no such session is open here: open one").remedy(Remedy::Mend);
    let row = row.ok_or_else(unknown)?;
    let session = Session::resume(row.state.clone());
    Ok((row, session))
}

fn view(row: &SessionRow, session: &Session) -> SessionView {
    let through = session.through();
    SessionView {
        chain: session.chain(),
        units: session.units(),
        through,
        cleared: session.cleared(),
        closed: row.closed,
    }
}

fn check_fresh(now: Time, said: Time) -> Result<(), Refusal> {
    if now.since(said) > SKEW || said.since(now) > SKEW {
        return Err(Refusal::new(Code::Expired, "this was said too long ago: say it anew").remedy(Remedy::Mend));
    }
    Ok(())
}
