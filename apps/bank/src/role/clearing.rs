//! The online clearing at the bank: frames, keys, and what must have been compared before.

use farthing_clearing::bank::{self as scheme, Clearing};
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::wire::Bounded;
use farthing_role::{Context, Halt, Records};

use super::BankRole;
use crate::messages::{CASES_LISTED_MAX, CaseList, ListCases, ListedCase};

impl BankRole {
    /// The clearing, for checking frames off the write path.
    pub(crate) const fn clearing(&self) -> &Clearing {
        &self.clearing
    }

    /// Carries out a frame, in a transaction of its own. Its bytes are the answer once it is durable.
    ///
    /// # Errors
    /// [`Halt`]: a refusal that changed nothing.
    pub(crate) fn on_frame(&self, cx: &mut Context<'_>, frame: scheme::Checked) -> Result<Vec<u8>, Halt> {
        self.alarm.check()?;
        Self::recorded(cx, |cx| self.clearing.apply(cx, frame))
    }

    /// Money comes in from the outside and goes out to it only on books that agree (Kelsey and
    /// Schneier, §3.3).
    pub(super) fn books_agree(&self, cx: &Context<'_>, customer: PeerId) -> Result<(), Halt> {
        if self.clearing.needs_reconciliation(&*cx.tx, customer, cx.now)? {
            let why = "compare your books with the bank's first (farthing reconcile): money comes in and goes out only \
                       on books that agree; none has moved";
            return Err(Refusal::new(Code::Reconcile, why).into());
        }
        Ok(())
    }

    pub(super) fn clearing_cases(tx: &dyn Records, ask: &ListCases) -> Result<CaseList, Halt> {
        let after = ask.after.as_ref().map(<[u8; 16]>::as_slice);
        let cases = scheme::cases(tx, after, CASES_LISTED_MAX)?;
        let mut items = Vec::with_capacity(cases.len());
        for (key, case) in cases {
            let id = key.try_into().map_err(|_| farthing_ledger::StoreFault("a case is damaged".into()))?;
            items.push(ListedCase { id, case });
        }
        Ok(CaseList { items: Bounded::new(items).unwrap_or_else(Bounded::empty) })
    }
}
