//! Settlement: every day both banks state what they paid each other, compare line by line, and pay the
//! difference off outside.

use std::collections::BTreeMap;

use farthing_core::amount::{Amount, Currency};
use farthing_core::evidence::EvidenceKind;
use farthing_core::id::{AccountId, PeerId};
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::{SKEW, Span, Time};
use farthing_core::wire::{self, Bounded};
use farthing_ledger::{Ledger, Transfer};
use farthing_role::{Context, Halt, Records, Scan};

use super::messages::{Digest, LINES_MAX, Line, Outcome, Page};
use super::records::{
    self, DAYS, DayRecord, ITEMS, Item, PAGES, PAID, PEERS, PageRecord, RECEIVED, ReceivedRecord, State,
};
use super::verdict::Case;
use super::{Interbank, REASON_SETTLED, transfer_id};

const DAY: Span = Span::from_days(1);

/// The day of a moment, counted from 1970, UTC.
#[must_use]
pub const fn day_of(time: Time) -> u64 {
    time.as_millis() / DAY.as_millis()
}

/// How a peer bank's page and this bank's records differ in one cheque.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discrepancy {
    /// The peer states that it paid this, and its answer has not arrived. The cheque, if there is one,
    /// is still being asked for; once answered the lines agree.
    Unheard(Line),
    /// The peer signed that it cleared this and does not state it, or not for as much. Evidence was
    /// filed.
    Denied {
        /// What was signed.
        signed: Line,
        /// What is stated.
        stated: Option<Amount>,
    },
    /// The lines agree and their stated total does not.
    Total {
        /// What the peer states.
        stated: Amount,
        /// What its answers add up to.
        signed: Amount,
    },
}

/// What comparing a page gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Comparison {
    /// How many lines agree.
    pub agreed: usize,
    /// Every line that does not.
    pub discrepancies: Vec<Discrepancy>,
    /// After which cheque the next page begins; nothing where this was the last.
    pub next: Option<Digest>,
    /// Whether the peer stated this page otherwise before. Evidence was filed.
    pub forked: bool,
}

/// Money that moved between two banks outside, as the operator records it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Movement {
    /// The peer bank.
    pub bank: PeerId,
    /// How much.
    pub amount: Amount,
    /// Whether this bank paid; otherwise the peer did.
    pub paid: bool,
    /// What names the movement outside; recorded twice, it counts once.
    pub reference: [u8; 32],
    /// The bank's account of the outside, whence its money comes and goes.
    pub outside: AccountId,
}

impl Interbank {
    /// A page of this bank's statement to a peer: what it paid it on a day that is over. Once a day was
    /// stated, nothing is paid on it any more, so a page never changes.
    ///
    /// # Errors
    /// [`Halt`]: no accounts with this bank; a day that is not over.
    pub fn state_day(
        &self,
        cx: &mut Context<'_>,
        to: PeerId,
        currency: Currency,
        day: u64,
        after: Option<Digest>,
    ) -> Result<Signed<Page>, Halt> {
        let mut peer = self.peer(cx, to, currency)?;
        if day_of(cx.now.before(SKEW)) <= day {
            return Err(Refusal::new(Code::NotYet, "the day is not over yet").into());
        }
        if peer.open_day <= day {
            peer.open_day = day + 1;
            cx.tx.put(PEERS, &records::pair_key(to, currency), wire::encode(&peer));
        }
        let prefix = records::day_key(to, currency, day);
        let from = after.map(|after| records::line_key(to, currency, day, after));
        let rows = cx.tx.scan(PAID, Scan { prefix: &prefix, after: from.as_deref(), limit: LINES_MAX + 1 })?;
        let more = rows.len() > LINES_MAX;
        let mut lines = Vec::with_capacity(rows.len().min(LINES_MAX));
        for (key, value) in rows.into_iter().take(LINES_MAX) {
            lines.push(Line { cheque: cheque_of(&key)?, amount: records::decode(PAID, &value)? });
        }
        let lines = Bounded::new(lines).unwrap_or_else(Bounded::empty);
        let total = self.day(cx, to, currency, day)?.paid;
        Ok(self.key.sign(self.network, &Page { to, day, total, after, lines, more }))
    }

    /// Compares a page of a peer's statement with the answers this bank holds, line by line. Anything
    /// the peer signed and now denies is filed as evidence. Compared again, the same comes out, less
    /// what was repaired since.
    ///
    /// # Errors
    /// [`Halt`]: a forged page, one for another bank, or lines out of order.
    pub fn compare(&self, cx: &mut Context<'_>, from: PeerId, page: Signed<Page>) -> Result<Comparison, Halt> {
        let currency = page.peek().map_err(Refusal::from)?.total.currency();
        let network = self.peer(cx, from, currency)?.network;
        let page = page.verify_by(network, from).map_err(Refusal::from)?;
        let body = page.body();
        check_page(body, self.bank())?;
        let day_key = records::day_key(from, currency, body.day);
        let place = [&day_key[..], &body.after.map_or([0; 32], |after| after.0)].concat();
        let forked = match records::read::<PageRecord>(&*cx.tx, PAGES, &place)? {
            Some(before) => {
                let statements = [wire::encode(&before), wire::encode(page.signed())];
                let case = Case { network, kind: EvidenceKind::StatementFork, accused: from, about: &place };
                case.file_if_guilty(cx, statements)?
            }
            None => {
                cx.tx.put(PAGES, &place, wire::encode(page.signed()));
                false
            }
        };
        let mut found = Comparison { agreed: 0, discrepancies: Vec::new(), next: None, forked };
        let stated: BTreeMap<Digest, Amount> =
            body.lines.as_slice().iter().map(|line| (line.cheque, line.amount)).collect();
        for line in body.lines.as_slice() {
            let key = records::line_key(from, currency, body.day, line.cheque);
            if cx.tx.get(RECEIVED, &key)?.is_none() {
                found.discrepancies.push(Discrepancy::Unheard(*line));
            }
        }
        let mut after = body.after.map(|after| records::line_key(from, currency, body.day, after));
        'pages: loop {
            let rows = cx.tx.scan(RECEIVED, Scan { prefix: &day_key, after: after.as_deref(), limit: LINES_MAX })?;
            let full = rows.len() == LINES_MAX;
            after = rows.last().map(|(key, _)| key.clone());
            for (key, value) in rows {
                let cheque = cheque_of(&key)?;
                if !body.covers(cheque) {
                    break 'pages;
                }
                let received: ReceivedRecord = records::decode(RECEIVED, &value)?;
                let stated = stated.get(&cheque).copied();
                if stated == Some(received.amount) {
                    found.agreed += 1;
                } else {
                    let signed = Line { cheque, amount: received.amount };
                    self.denied(cx, network, from, &received, cheque, wire::encode(page.signed()))?;
                    found.discrepancies.push(Discrepancy::Denied { signed, stated });
                }
            }
            if !full {
                break;
            }
        }
        found.next = body.lines.as_slice().last().filter(|_| body.more).map(|line| line.cheque);
        let signed = self.day(cx, from, currency, body.day)?.received;
        if !body.more && found.discrepancies.is_empty() && signed != body.total {
            found.discrepancies.push(Discrepancy::Total { stated: body.total, signed });
        }
        Ok(found)
    }

    /// The pages of a peer's statement of a day that arrived, in order, at most `limit`; each can be
    /// compared again.
    ///
    /// # Errors
    /// [`StoreFault`](farthing_ledger::StoreFault).
    pub fn pages_of(
        &self,
        tx: &dyn Records,
        from: PeerId,
        currency: Currency,
        day: u64,
        limit: usize,
    ) -> Result<Vec<Signed<Page>>, farthing_ledger::StoreFault> {
        let prefix = records::day_key(from, currency, day);
        let rows = tx.scan(PAGES, Scan { prefix: &prefix, after: None, limit })?;
        rows.iter().map(|(_, page)| records::decode::<PageRecord>(PAGES, page)).collect()
    }

    /// What both banks paid each other on a day: ours, theirs.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn day_totals(
        &self,
        cx: &Context<'_>,
        bank: PeerId,
        currency: Currency,
        day: u64,
    ) -> Result<(Amount, Amount), Halt> {
        let record = self.day(cx, bank, currency, day)?;
        Ok((record.paid, record.received))
    }

    /// Records that what one bank owed the other was paid off outside, wholly or in part. Operator's
    /// work. The same reference counts once.
    ///
    /// # Errors
    /// [`Halt`]: more than is owed that way, or a reference that was used for something else.
    pub fn pay_off(&self, cx: &mut Context<'_>, movement: &Movement) -> Result<(), Halt> {
        let Movement { bank, amount, paid, reference, outside } = *movement;
        let settlement = self.settlement(bank, amount.currency());
        let (debit, credit) = if paid { (settlement, outside) } else { (outside, settlement) };
        let transfer = Transfer {
            id: transfer_id(Time::from_millis(0), &[b"settled", &bank.0, &reference]),
            debit,
            credit,
            amount,
            reason: REASON_SETTLED,
            reference,
            at: cx.now,
            hold: None,
        };
        let again = cx.tx.transfer(transfer.id)?.is_some();
        let owed = self.position(cx, bank, amount.currency())?.owed;
        let owed = if paid { -owed } else { owed };
        if !again && owed < i128::from(amount.as_micros()) {
            return Err(Refusal::new(Code::Amount, "less than that is owed that way; compare the books first").into());
        }
        Ledger(&mut *cx.tx).post(transfer)?;
        Ok(())
    }

    /// Puts what this bank paid a peer on the day's statement; refuses where that day was stated.
    pub(super) fn note_paid(&self, cx: &mut Context<'_>, bank: PeerId, said: &Outcome) -> Result<(), Halt> {
        let (currency, day) = (said.amount.currency(), day_of(said.time));
        if day < self.peer(cx, bank, currency)?.open_day {
            let why = "the clock of this bank stands before a day it has stated already";
            return Err(Refusal::new(Code::Clock, why).blame(Fault::Us).remedy(Remedy::Again).into());
        }
        let mut record = self.day(cx, bank, currency, day)?;
        record.paid = record.paid.checked_add(said.amount).map_err(Refusal::from)?;
        cx.tx.put(DAYS, &records::day_key(bank, currency, day), wire::encode(&record));
        let key = records::line_key(bank, currency, day, said.cheque);
        cx.tx.put(PAID, &key, wire::encode(&said.amount));
        Ok(())
    }

    /// Notes what a peer signed to have paid, under the day on which it said so.
    pub(super) fn note_received(
        &self,
        cx: &mut Context<'_>,
        bank: PeerId,
        signed: &Verified<Outcome>,
        chain: Digest,
    ) -> Result<(), Halt> {
        let said = signed.body();
        let (currency, day) = (said.amount.currency(), day_of(said.time));
        let mut record = self.day(cx, bank, currency, day)?;
        record.received = record.received.checked_add(said.amount).map_err(Refusal::from)?;
        cx.tx.put(DAYS, &records::day_key(bank, currency, day), wire::encode(&record));
        let key = records::line_key(bank, currency, day, said.cheque);
        cx.tx.put(RECEIVED, &key, wire::encode(&ReceivedRecord { amount: said.amount, chain }));
        self.was_it_stated(cx, bank, signed)
    }

    /// An answer about a day that the peer stated already must be on its pages.
    fn was_it_stated(&self, cx: &mut Context<'_>, bank: PeerId, signed: &Verified<Outcome>) -> Result<(), Halt> {
        let said = signed.body();
        let currency = said.amount.currency();
        let network = self.peer(cx, bank, currency)?.network;
        let case = Case { network, kind: EvidenceKind::OutcomeDenied, accused: bank, about: &said.cheque.0 };
        let prefix = records::day_key(bank, currency, day_of(said.time));
        let mut after: Option<Vec<u8>> = None;
        while let Some((key, page)) =
            cx.tx.scan(PAGES, Scan { prefix: &prefix, after: after.as_deref(), limit: 1 })?.pop()
        {
            let statements = [wire::encode(signed.signed()), page];
            case.file_if_guilty(cx, statements)?;
            after = Some(key);
        }
        Ok(())
    }

    fn denied(
        &self,
        cx: &mut Context<'_>,
        network: farthing_core::id::NetworkId,
        from: PeerId,
        received: &ReceivedRecord,
        cheque: Digest,
        page: Vec<u8>,
    ) -> Result<(), Halt> {
        let key = records::item_key(cheque, received.chain);
        let item: Option<Item> = records::read(&*cx.tx, ITEMS, &key)?;
        if let Some(State::Answered(answered)) = item.map(|item| item.state)
            && let Some(heard) = answered.heard
        {
            let case = Case { network, kind: EvidenceKind::OutcomeDenied, accused: from, about: &cheque.0 };
            case.file_if_guilty(cx, [wire::encode(&heard), page])?;
        }
        Ok(())
    }

    fn day(&self, cx: &Context<'_>, bank: PeerId, currency: Currency, day: u64) -> Result<DayRecord, Halt> {
        let record = records::read(&*cx.tx, DAYS, &records::day_key(bank, currency, day))?;
        Ok(record.unwrap_or(DayRecord { paid: currency.zero(), received: currency.zero() }))
    }
}

/// Refuses a page that is for another bank, mixes currencies, or is not in order.
fn check_page(page: &Page, to: PeerId) -> Result<(), Refusal> {
    let lines = page.lines.as_slice();
    let first = page.after.zip(lines.first()).is_none_or(|(after, line)| after < line.cheque);
    let ascending = first && lines.windows(2).all(|pair| pair[0].cheque < pair[1].cheque);
    let one_currency = lines.iter().all(|line| line.amount.currency() == page.total.currency());
    if page.to != to || !ascending || !one_currency || (page.more && lines.is_empty()) {
        return Err(Refusal::new(Code::Malformed, "the page is for another bank, or its lines are out of order"));
    }
    Ok(())
}

/// The cheque at the end of a line's key.
fn cheque_of(key: &[u8]) -> Result<Digest, Halt> {
    let cheque = key.split_last_chunk().map(|(_, cheque)| Digest(*cheque));
    Ok(cheque.ok_or_else(|| farthing_ledger::StoreFault("a line of a statement is damaged".into()))?)
}
