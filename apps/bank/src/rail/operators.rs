//! Operator entry: two different operators approve each movement, the second carries it out.

use farthing_core::id::{PeerId, RequestId, TransferId};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::time::Span;
use farthing_core::wire::{self, Bounded};
use farthing_draft::interbank::{Interbank, Movement};
use farthing_ledger::{HOLD_SPAN_MAX, Hold, Ledger, Transfer};
use farthing_role::{Context, Halt, Scan};
use minicbor::{Decode, Encode};

use super::Rail;
use crate::chart::{COUNTS, Chart, PENDING, REASON_FUND, REASON_PAYOUT, count_up, decode, post, read, transfer_id};
use crate::messages::{
    Decide, Decided, Direction, Fund, NOTE_MAX, PENDING_SHOWN_MAX, Payout, Pending, PendingList, Progress, SettlePeer,
    Text,
};

/// How long operators have to decide: 14 days. What lapses goes back.
pub const PENDING_SPAN: Span = Span::from_days(14);

/// The most movements of one customer that wait at a time.
pub const PENDING_PER_CUSTOMER_MAX: u64 = 16;

/// The most that lapse in one tick.
const LAPSES_PER_TICK: usize = 64;

const _: () = assert!(PENDING_SPAN.as_millis() <= HOLD_SPAN_MAX.as_millis(), "money is held until it lapses");

/// Money moves by the hands of operators.
#[derive(Clone, Copy, Debug, Default)]
pub struct OperatorEntry;

/// What deciding takes.
pub(crate) struct Desk<'a> {
    pub(crate) chart: &'a Chart,
    /// All operators there are.
    pub(crate) operators: &'a [PeerId],
    /// For movements between banks.
    pub(crate) interbank: &'a Interbank,
}

/// A movement that waits.
#[derive(Encode, Decode)]
struct Waiting {
    /// What operators see.
    #[n(0)]
    shown: Pending,
    /// What is set aside for it.
    #[n(1)]
    hold: Option<TransferId>,
}

impl Rail for OperatorEntry {
    fn name(&self) -> &'static str {
        "operator entry"
    }

    fn fund(
        &self,
        cx: &mut Context<'_>,
        _: &Chart,
        customer: PeerId,
        id: RequestId,
        fund: Fund,
    ) -> Result<Progress, Halt> {
        let transfer = transfer_id(id, "fund", customer);
        wait(cx, Direction::In, customer, fund.amount, fund.note, transfer, None)
    }

    fn payout(
        &self,
        cx: &mut Context<'_>,
        chart: &Chart,
        customer: PeerId,
        id: RequestId,
        payout: Payout,
    ) -> Result<Progress, Halt> {
        let held = transfer_id(id, "payout-hold", customer);
        let until = cx.now.after(PENDING_SPAN);
        let hold = Hold::new(held, chart.customer(customer), payout.amount, until, [0; 32]);
        let now = cx.now;
        Ledger(&mut *cx.tx).hold(hold, now)?;
        let transfer = transfer_id(id, "payout", customer);
        wait(cx, Direction::Out, customer, payout.amount, payout.destination, transfer, Some(held))
    }
}

fn wait(
    cx: &mut Context<'_>,
    direction: Direction,
    customer: PeerId,
    amount: farthing_core::amount::Amount,
    note: Text<NOTE_MAX>,
    transfer: TransferId,
    hold: Option<TransferId>,
) -> Result<Progress, Halt> {
    if count_up(cx, &waiting_key(customer))? >= PENDING_PER_CUSTOMER_MAX {
        let why = "too many of your requests wait for the operators: let them decide first";
        return Err(Refusal::new(Code::Limit, why).remedy(Remedy::Again).into());
    }
    let number = count_up(cx, b"pending-number")? + 1;
    let until = cx.now.after(PENDING_SPAN);
    let shown = Pending { number, direction, customer, amount, note, transfer, asked: cx.now, until, approved: None };
    cx.tx.put(PENDING, &number.to_be_bytes(), wire::encode(&Waiting { shown, hold }));
    Ok(Progress::Waiting { number, until })
}

/// Money that moved between two banks outside, as one operator says: another one must say so too.
pub(crate) fn settle(
    cx: &mut Context<'_>,
    operator: PeerId,
    id: RequestId,
    ask: &SettlePeer,
) -> Result<Progress, Halt> {
    let direction = if ask.paid { Direction::ToBank } else { Direction::FromBank };
    let transfer = transfer_id(id, "settle", operator);
    let progress = wait(cx, direction, ask.bank, ask.amount, Text::default(), transfer, None)?;
    if let Progress::Waiting { number, .. } = progress {
        let key = number.to_be_bytes();
        if let Some(mut waiting) = read::<Waiting>(&*cx.tx, PENDING, &key)? {
            waiting.shown.approved = Some(operator);
            cx.tx.put(PENDING, &key, wire::encode(&waiting));
        }
    }
    Ok(progress)
}

/// What waits, after a number.
pub(crate) fn list(cx: &Context<'_>, after: u64) -> Result<PendingList, Halt> {
    let after = after.to_be_bytes();
    let rows = cx.tx.scan(PENDING, Scan { prefix: &[], after: Some(&after), limit: PENDING_SHOWN_MAX })?;
    let shown = rows.iter().map(|(_, row)| Ok(decode::<Waiting>(PENDING, row)?.shown));
    let shown: Vec<Pending> = shown.collect::<Result<_, Halt>>()?;
    Ok(PendingList { items: Bounded::new(shown).unwrap_or_else(Bounded::empty) })
}

/// An operator decides. Whoever asks is known to be one. Says whose account it was about.
pub(crate) fn decide(
    cx: &mut Context<'_>,
    desk: &Desk<'_>,
    operator: PeerId,
    ask: &Decide,
) -> Result<(Decided, PeerId), Halt> {
    let key = ask.number.to_be_bytes();
    let waiting: Option<Waiting> = read(&*cx.tx, PENDING, &key)?;
    let unknown = || Refusal::new(Code::Unknown, "nothing waits under this number: it may have been decided");
    let mut waiting = waiting.ok_or_else(unknown)?;
    if cx.now >= waiting.shown.until {
        return Err(Refusal::new(Code::Expired, "this has lapsed undecided").remedy(Remedy::Stop).into());
    }
    let customer = waiting.shown.customer;
    if operator == customer {
        return Err(Refusal::new(Code::Policy, "nobody decides on a request of its own").remedy(Remedy::Stop).into());
    }
    if !ask.approve {
        if let Some(hold) = waiting.hold {
            let now = cx.now;
            Ledger(&mut *cx.tx).release(hold, now)?;
        }
        forget(cx, &waiting.shown)?;
        return Ok((Decided::Rejected, customer));
    }
    match waiting.shown.approved {
        // Whoever is no operator any more has no say any more.
        Some(first) if first != operator && desk.operators.contains(&first) => {
            carry_out(cx, desk, &waiting)?;
            forget(cx, &waiting.shown)?;
            Ok((Decided::CarriedOut, customer))
        }
        Some(first) if first == operator => {
            let why = "you have approved this already: another operator must approve it too";
            Err(Refusal::new(Code::Policy, why).remedy(Remedy::Stop).into())
        }
        _ => {
            waiting.shown.approved = Some(operator);
            cx.tx.put(PENDING, &key, wire::encode(&waiting));
            Ok((Decided::OneOfTwo, customer))
        }
    }
}

fn carry_out(cx: &mut Context<'_>, desk: &Desk<'_>, waiting: &Waiting) -> Result<(), Halt> {
    let Waiting { shown, hold } = waiting;
    let (customer, world) = (desk.chart.customer(shown.customer), desk.chart.world());
    let mut reference = [0; 32];
    reference[24..].copy_from_slice(&shown.number.to_be_bytes());
    let (debit, credit, reason) = match shown.direction {
        Direction::In => (world, customer, REASON_FUND),
        Direction::Out => (customer, world, REASON_PAYOUT),
        Direction::FromBank | Direction::ToBank => {
            let paid = shown.direction == Direction::ToBank;
            let (bank, amount) = (shown.customer, shown.amount);
            return desk.interbank.pay_off(cx, &Movement { bank, amount, paid, reference, outside: world });
        }
    };
    let transfer = Transfer {
        id: shown.transfer,
        debit,
        credit,
        amount: shown.amount,
        reason,
        reference,
        at: cx.now,
        hold: *hold,
    };
    post(cx, transfer).map(drop)
}

/// Forgets what nobody decided in time; the ledger gives back what was set aside. Says whether more
/// waits.
pub(crate) fn lapse(cx: &mut Context<'_>) -> Result<bool, Halt> {
    let rows = cx.tx.scan(PENDING, Scan { prefix: &[], after: None, limit: LAPSES_PER_TICK })?;
    let full = rows.len() == LAPSES_PER_TICK;
    for (_, row) in rows {
        let waiting: Waiting = decode(PENDING, &row)?;
        // All wait equally long, so the first to be asked is the first to lapse.
        if cx.now < waiting.shown.until {
            return Ok(false);
        }
        forget(cx, &waiting.shown)?;
    }
    Ok(full)
}

fn forget(cx: &mut Context<'_>, shown: &Pending) -> Result<(), Halt> {
    let key = waiting_key(shown.customer);
    match read::<u64>(&*cx.tx, COUNTS, &key)?.unwrap_or_default() {
        0 | 1 => cx.tx.delete(COUNTS, &key),
        more => cx.tx.put(COUNTS, &key, wire::encode(&(more - 1))),
    }
    cx.tx.delete(PENDING, &shown.number.to_be_bytes());
    Ok(())
}

fn waiting_key(customer: PeerId) -> Vec<u8> {
    [b"pending-of", &customer.0[..]].concat()
}
