//! Other banks: what operators decide about them, and what the sender is told and tells.

use farthing_core::id::{PeerId, RequestId};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::time::{Span, Time};
use farthing_core::wire::{self, Bounded};
use farthing_draft::interbank::messages::{Answer, Digest, Page};
use farthing_draft::interbank::{Comparison, Discrepancy, Matter, Outgoing, PeerTerms, UnderWay, day_of};
use farthing_role::{Context, Halt, Records, Scan};
use minicbor::{Decode, Encode};

use super::BankRole;
use crate::chart::{BANKS, decode, read};
use crate::client::BankAddress;
use crate::messages::{
    CHEQUES_SHOWN_MAX, ChequeLine, ChequeList, DISCREPANCIES_MAX, Difference, OpenPeer, OpenRoute, PEERS_MAX, PeerDay,
    PeerDayOf, PeerLine, PeerList, PeerNamed, Progress, SettlePeer, Text, URL_MAX,
};
use crate::rail;

/// How far back days are asked for that were never compared: 31 days.
const DAYS_BACK_MAX: u64 = 31;
/// How long a day must be over before it is asked for: clocks differ.
pub(crate) const DAY_MARGIN: Span = Span::from_secs(600);
/// The most pages of one day that are compared.
const PAGES_MAX: usize = 1_024;

/// Where a peer bank is reached, and how far its statements were compared.
#[derive(Clone, Encode, Decode)]
pub(crate) struct PeerRow {
    #[n(0)]
    pub(crate) url: Text<URL_MAX>,
    /// The day on which it was opened: nothing is compared before.
    #[n(1)]
    opened: u64,
    /// The last day whose whole statement was compared.
    #[n(2)]
    compared: Option<u64>,
    /// When it was last reached.
    #[n(3)]
    reached: Option<Time>,
    /// The day on which the accounts were closed. The row goes once that day was compared, lest the
    /// other bank denies what it signed on it.
    #[n(4)]
    closed: Option<u64>,
}

impl PeerRow {
    /// The first day that is over and was not compared.
    pub(crate) fn next_day(&self, now: Time) -> Option<u64> {
        let today = day_of(now);
        let next = self.compared.map_or(self.opened, |day| day.saturating_add(1));
        let next = next.max(today.saturating_sub(DAYS_BACK_MAX));
        let end = self.closed.map_or(today, |closed| today.min(closed.saturating_add(1)));
        (next < end).then_some(next)
    }

    /// Whether the accounts are closed and nothing is left to compare, or too late.
    fn is_done(&self, now: Time) -> bool {
        let late = day_of(now).saturating_sub(DAYS_BACK_MAX);
        self.closed.is_some_and(|closed| self.compared >= Some(closed) || closed < late)
    }
}

/// All peer banks with their rows, closed ones until their last day was compared.
pub(crate) fn peers(tx: &dyn Records) -> Result<Vec<(PeerId, PeerRow)>, Halt> {
    let rows = tx.scan(BANKS, Scan { prefix: &[], after: None, limit: PEERS_MAX })?;
    let mut all = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        let bank = key.try_into().map_err(|_| farthing_ledger::StoreFault("a row of peer banks is damaged".into()))?;
        all.push((PeerId(bank), decode(BANKS, &row)?));
    }
    Ok(all)
}

impl BankRole {
    pub(super) fn open_peer(&self, cx: &mut Context<'_>, ask: &OpenPeer) -> Result<PeerNamed, Halt> {
        self.chart.check(ask.limit)?;
        let address: BankAddress = ask.url.as_str().parse().map_err(|_| {
            Refusal::new(Code::Malformed, "this is no address of a bank: copy it again whole").remedy(Remedy::Mend)
        })?;
        if address.bank().is_some_and(|bank| bank != ask.bank) {
            return Err(Refusal::new(Code::Malformed, "the address names another bank").into());
        }
        let over = peers(&*cx.tx)?.into_iter().filter(|(_, row)| row.is_done(cx.now));
        over.for_each(|(bank, _)| cx.tx.delete(BANKS, &bank.0));
        let before: Option<PeerRow> = read(&*cx.tx, BANKS, &ask.bank.0)?;
        if before.is_none() && peers(&*cx.tx)?.len() >= PEERS_MAX {
            return Err(Refusal::new(Code::Limit, format!("a bank has at most {PEERS_MAX} peers")).into());
        }
        self.interbank.open_peer(cx, PeerTerms { bank: ask.bank, network: ask.network, limit: ask.limit })?;
        let fresh =
            PeerRow { url: Text::default(), opened: day_of(cx.now), compared: None, reached: None, closed: None };
        let row = PeerRow { url: ask.url.clone(), closed: None, ..before.unwrap_or(fresh) };
        cx.tx.put(BANKS, &ask.bank.0, wire::encode(&row));
        Ok(PeerNamed { bank: ask.bank })
    }

    pub(super) fn close_peer(&self, cx: &mut Context<'_>, ask: PeerNamed) -> Result<PeerNamed, Halt> {
        self.interbank.close_peer(cx, ask.bank, self.chart.currency)?;
        let today = day_of(cx.now);
        note(cx, ask.bank, |row| row.closed = row.closed.or(Some(today)))?;
        Ok(ask)
    }

    pub(super) fn open_route(&self, cx: &mut Context<'_>, ask: &OpenRoute) -> Result<PeerNamed, Halt> {
        self.interbank.open_route(cx, ask.bank, ask.network, self.chart.currency, ask.via)?;
        Ok(PeerNamed { bank: ask.bank })
    }

    pub(super) fn list_peers(&self, cx: &Context<'_>) -> Result<PeerList, Halt> {
        let mut items = Vec::new();
        for (bank, row) in peers(&*cx.tx)?.into_iter().filter(|(_, row)| row.closed.is_none()) {
            let position = self.interbank.position(cx, bank, self.chart.currency)?;
            let micros = |sum: i128| i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX });
            items.push(PeerLine {
                bank,
                url: row.url,
                owed: micros(position.owed),
                collecting: micros(position.collecting),
                limit: position.limit,
                compared: row.compared,
                reached: row.reached,
            });
        }
        Ok(PeerList { items: Bounded::new(items).unwrap_or_else(Bounded::empty) })
    }

    pub(super) fn list_cheques(&self, cx: &Context<'_>) -> Result<ChequeList, Halt> {
        let under_way = self.interbank.under_way(cx, CHEQUES_SHOWN_MAX)?;
        let line = |cheque: UnderWay| {
            let UnderWay { matter, amount, taker, next, tries, trouble } = cheque;
            ChequeLine { cheque: matter.cheque, amount, taker, next, tries, trouble }
        };
        let items = under_way.into_iter().map(line).collect();
        Ok(ChequeList { items: Bounded::new(items).unwrap_or_else(Bounded::empty) })
    }

    /// Notes that money moved outside; it is booked when a second operator approves.
    pub(super) fn settle_peer(
        &self,
        cx: &mut Context<'_>,
        operator: PeerId,
        id: RequestId,
        ask: &SettlePeer,
    ) -> Result<Progress, Halt> {
        self.chart.check(ask.amount)?;
        let owed = self.interbank.position(cx, ask.bank, self.chart.currency)?.owed;
        let owed = if ask.paid { -owed } else { owed };
        if owed < i128::from(ask.amount.as_micros()) {
            let why = "less than that is owed that way; compare the books first";
            return Err(Refusal::new(Code::Amount, why).into());
        }
        self.chart.open_world(cx)?;
        rail::settle(cx, operator, id, ask)
    }

    /// Compares a day with the pages of the peer's statement that arrived. Changes nothing: it is asked
    /// as a question.
    pub(super) fn peer_day(&self, cx: &mut Context<'_>, ask: PeerDayOf) -> Result<PeerDay, Halt> {
        let PeerDayOf { bank, day } = ask;
        let currency = self.chart.currency;
        self.interbank.position(cx, bank, currency)?; // Refuses a stranger, of whom nothing is ever asked.
        let (paid, received) = self.interbank.day_totals(cx, bank, currency, day)?;
        let pages = self.interbank.pages_of(&*cx.tx, bank, currency, day, PAGES_MAX)?;
        let (mut agreed, mut found, mut stated) = (0_u64, Vec::new(), false);
        for page in pages {
            let Comparison { agreed: here, discrepancies, next, .. } = self.interbank.compare(cx, bank, page)?;
            agreed = agreed.saturating_add(here as u64);
            found.extend(discrepancies.into_iter().map(difference));
            stated |= next.is_none();
        }
        found.truncate(DISCREPANCIES_MAX);
        let discrepancies = Bounded::new(found).unwrap_or_else(Bounded::empty);
        Ok(PeerDay { paid, received, stated, agreed, discrepancies })
    }

    /// What is to be sent to peer banks now; the next attempt is written down with it.
    pub(crate) fn cheques_due(&self, cx: &mut Context<'_>, limit: usize) -> Result<Vec<Outgoing>, Halt> {
        self.alarm.check()?;
        self.interbank.send_due(cx, limit)
    }

    /// What a peer bank answered about a cheque, or that it refused.
    pub(crate) fn on_peer_answer(
        &self,
        cx: &mut Context<'_>,
        from: PeerId,
        matter: Matter,
        answer: Result<Answer, Refusal>,
    ) -> Result<(), Halt> {
        self.alarm.check()?;
        Self::recorded(cx, |cx| {
            match answer {
                Ok(answer) => drop(self.interbank.on_answer(cx, from, matter, answer)?),
                Err(why) => self.interbank.on_refusal(cx, matter, why)?,
            }
            let now = cx.now;
            note(cx, from, |row| row.reached = Some(now))
        })
    }

    /// Compares a page of a peer's statement and notes how far that went; says after which cheque the
    /// next page begins.
    pub(crate) fn on_peer_page(
        &self,
        cx: &mut Context<'_>,
        from: PeerId,
        day: u64,
        page: Signed<Page>,
    ) -> Result<(Option<Digest>, Vec<Discrepancy>), Halt> {
        if page.peek().map_err(Refusal::from)?.day != day {
            return Err(Refusal::new(Code::Malformed, "the page is of another day").into());
        }
        Self::recorded(cx, |cx| {
            let Comparison { discrepancies, next, .. } = self.interbank.compare(cx, from, page)?;
            let now = cx.now;
            note(cx, from, |row| {
                row.reached = Some(now);
                row.compared = if next.is_none() { row.compared.max(Some(day)) } else { row.compared };
            })?;
            Ok((next, discrepancies))
        })
    }
}

fn note(cx: &mut Context<'_>, bank: PeerId, change: impl FnOnce(&mut PeerRow)) -> Result<(), Halt> {
    if let Some(mut row) = read::<PeerRow>(&*cx.tx, BANKS, &bank.0)? {
        change(&mut row);
        if row.is_done(cx.now) {
            cx.tx.delete(BANKS, &bank.0);
        } else {
            cx.tx.put(BANKS, &bank.0, wire::encode(&row));
        }
    }
    Ok(())
}

fn difference(found: Discrepancy) -> Difference {
    match found {
        Discrepancy::Unheard(line) => Difference::Unheard(line),
        Discrepancy::Denied { signed, stated } => {
            Difference::Denied { cheque: signed.cheque, signed: signed.amount, stated }
        }
        Discrepancy::Total { stated, signed } => Difference::Total { stated, signed },
    }
}
