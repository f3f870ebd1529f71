//! What operators get, besides deciding on movements.

use farthing_core::id::{PeerId, RequestId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::wire::{self, Bounded};
use farthing_draft::bank::IDENTITIES_MAX;
use farthing_ledger::Ledger;
use farthing_role::{Context, EVIDENCE, Filed, Halt, Scan};

use super::BankRole;
use super::ask::OfficeAsk;
use super::copies::epoch_of;
use crate::chart::{CUSTOMERS, decode};
use crate::messages::{
    About, CustomerReport, DraftKey, EVIDENCE_PART_BYTES, EVIDENCE_SHOWN_MAX, EvidenceList, EvidencePart,
    EvidencePartOf, EvidenceSummary, ListEvidence, Suspend, Suspended,
};
use crate::rail;

impl BankRole {
    /// Does what an operator asks; who is one was looked at.
    pub(super) fn office(
        &self,
        cx: &mut Context<'_>,
        operator: PeerId,
        id: RequestId,
        ask: OfficeAsk,
    ) -> Result<Vec<u8>, Halt> {
        Ok(match ask {
            OfficeAsk::ListPending(ask) => wire::encode(&rail::list(cx, ask.after)?),
            OfficeAsk::Decide(ask) => {
                if ask.approve {
                    self.alarm.check()?;
                }
                let desk = rail::Desk { chart: &self.chart, operators: &self.operators, interbank: &self.interbank };
                let (decided, customer) = rail::decide(cx, &desk, operator, &ask)?;
                self.drafts.collect(cx, customer)?;
                wire::encode(&decided)
            }
            OfficeAsk::Suspend(ask) => wire::encode(&self.suspend(cx, &ask)?),
            OfficeAsk::ListEvidence(ask) => wire::encode(&Self::evidence(cx, &ask)?),
            OfficeAsk::EvidencePart(ask) => wire::encode(&Self::evidence_part(cx, &ask)?),
            OfficeAsk::ListCases(ask) => wire::encode(&Self::clearing_cases(&*cx.tx, &ask)?),
            OfficeAsk::SettleDispute(ask) => {
                self.clearing.settle(cx, ask.customer)?;
                wire::encode(&ask)
            }
            OfficeAsk::RetireKey(ask) => {
                self.clearing.retire(cx, ask.customer)?;
                wire::encode(&ask)
            }
            OfficeAsk::Pardon(ask) => {
                self.drafts.pardon(cx, ask.key)?;
                wire::encode(&ask)
            }
            OfficeAsk::JudgeStop(ask) => {
                self.alarm.check()?;
                self.drafts.judge_stop(cx, ask.payer, ask.number, ask.finding)?;
                wire::encode(&ask)
            }
            OfficeAsk::Report(ask) => wire::encode(&self.report(cx, ask)?),
            OfficeAsk::OpenPeer(ask) => wire::encode(&self.open_peer(cx, &ask)?),
            OfficeAsk::ListPeers => wire::encode(&self.list_peers(cx)?),
            OfficeAsk::ClosePeer(ask) => wire::encode(&self.close_peer(cx, ask)?),
            OfficeAsk::OpenRoute(ask) => wire::encode(&self.open_route(cx, &ask)?),
            OfficeAsk::SettlePeer(ask) => wire::encode(&self.settle_peer(cx, operator, id, &ask)?),
            OfficeAsk::PeerDay(ask) => wire::encode(&self.peer_day(cx, ask)?),
            OfficeAsk::ListCheques => wire::encode(&self.list_cheques(cx)?),
        })
    }

    /// All that answers for a customer.
    fn report(&self, cx: &Context<'_>, ask: About) -> Result<CustomerReport, Halt> {
        let About { customer } = ask;
        known(cx, customer)?;
        let balances = self.chart.balances(&*cx.tx, customer)?;
        let (owed, credit_used) = self.drafts.owed(cx, customer)?;
        let mut drafts = Vec::with_capacity(IDENTITIES_MAX);
        let (mut stops, mut stopped) = (Vec::new(), self.chart.currency.zero());
        for key in self.drafts.keys_of(cx, customer)? {
            for stop in self.drafts.open_stops(cx, key)? {
                stopped = stopped.checked_add(stop.amount).map_err(Refusal::from)?;
                stops.push(stop);
            }
            if let Some(holder) = self.drafts.holder_of(&*cx.tx, key)? {
                let (total, until, outstanding) = (holder.total, holder.certified_until, holder.outstanding);
                drafts.push(DraftKey { key, total, until, outstanding, problem: holder.problem.is_some() });
            }
        }
        Ok(CustomerReport {
            balances,
            credit_used,
            credit: self.drafts.terms().credit,
            owed,
            suspended: cx.tx.account(self.chart.customer(customer))?.is_some_and(|account| account.frozen),
            clearing: farthing_clearing::bank::account(&*cx.tx, customer)?.map(|record| record.standing),
            epoch: epoch_of(&*cx.tx, customer)?,
            drafts: Bounded::new(drafts).unwrap_or_else(Bounded::empty),
            stops: Bounded::new(stops).unwrap_or_else(Bounded::empty),
            stopped,
        })
    }

    /// Lets nothing leave a customer's account. Its deposit stays open to those it owes
    /// compensation; the customer cannot touch it while suspended.
    pub(super) fn suspend(&self, cx: &mut Context<'_>, ask: &Suspend) -> Result<Suspended, Halt> {
        known(cx, ask.customer)?;
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

/// Refuses a key without an account, in words for an operator.
fn known(cx: &Context<'_>, key: PeerId) -> Result<(), Halt> {
    let why = "this key has no account here: name the customer's own, not one that it writes drafts with";
    cx.tx.get(CUSTOMERS, &key.0)?.map(drop).ok_or_else(|| Refusal::new(Code::Unknown, why).into())
}
