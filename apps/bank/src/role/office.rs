//! What operators get, besides deciding on movements.

use farthing_core::refusal::{Code, Refusal};
use farthing_core::wire::Bounded;
use farthing_ledger::Ledger;
use farthing_role::{Context, EVIDENCE, Filed, Halt, Scan};

use super::{BankRole, customer};
use crate::chart::decode;
use crate::messages::{
    EVIDENCE_PART_BYTES, EVIDENCE_SHOWN_MAX, EvidenceList, EvidencePart, EvidencePartOf, EvidenceSummary, ListEvidence,
    Suspend, Suspended,
};

impl BankRole {
    /// Lets nothing leave a customer's account. Its deposit stays open to those it owes
    /// compensation; the customer cannot touch it while suspended.
    pub(super) fn suspend(&self, cx: &mut Context<'_>, ask: &Suspend) -> Result<Suspended, Halt> {
        customer(cx, ask.customer)?;
        let account = self.chart.customer(ask.customer);
        let now = cx.now;
        let mut ledger = Ledger(&mut *cx.tx);
        if ask.suspended {
            ledger.freeze(account, now)?;
        } else {
            ledger.unfreeze(account, now)?;
        }
        Ok(Suspended { customer: ask.customer, suspended: ask.suspended })
    }

    pub(super) fn evidence(cx: &Context<'_>, ask: &ListEvidence) -> Result<EvidenceList, Halt> {
        let after = ask.after.as_ref().map(<[u8; 16]>::as_slice);
        let rows = cx.tx.scan(EVIDENCE, Scan { prefix: &[], after, limit: EVIDENCE_SHOWN_MAX })?;
        let mut items = Vec::with_capacity(rows.len());
        for (key, row) in rows {
            let Filed { evidence, verdict, filed } = decode(EVIDENCE, &row)?;
            let id = key.try_into().map_err(|_| farthing_ledger::StoreFault("a row of evidence is damaged".into()))?;
            let bytes = u32::try_from(row.len()).unwrap_or(u32::MAX);
            items.push(EvidenceSummary { id, kind: evidence.kind, accused: evidence.accused, verdict, filed, bytes });
        }
        Ok(EvidenceList { items: Bounded::new(items).unwrap_or_else(Bounded::empty) })
    }

    pub(super) fn evidence_part(cx: &Context<'_>, ask: &EvidencePartOf) -> Result<EvidencePart, Halt> {
        let row = cx.tx.get(EVIDENCE, &ask.id)?;
        let row = row.ok_or_else(|| Refusal::new(Code::Unknown, "there is no such piece of evidence"))?;
        let rest = row.get(ask.offset as usize..).unwrap_or_default();
        let bytes = rest.get(..EVIDENCE_PART_BYTES).unwrap_or(rest).to_vec();
        Ok(EvidencePart { total: u32::try_from(row.len()).unwrap_or(u32::MAX), bytes })
    }
}
