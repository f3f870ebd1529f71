//! A bank that a cheque is not drawn on: credits provisionally, passes on, and waits for the answer.
//!
//! The bank of deposit and every correspondent between it and the bank drawn on do the same. The
//! difference is only whom they do it for.

use farthing_core::amount::{Amount, Currency};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{AccountId, PeerId, RequestId, timed};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::time::Span;
use farthing_core::title::{Hop, Title};
use farthing_core::wire;
use farthing_ledger::{Account, AccountKind, Ledger, Reason, Transfer};
use farthing_role::{Context, Halt, Scan};

use super::check::CheckedPresentation;
use super::messages::{Answer, Digest, Hops, Presentation, kind, under_certificate};
use super::records::{self, ITEMS, Item, OUTBOX, State, Taker, Waiting};
use super::{Interbank, REASON_PROVISIONAL, transfer_id};
use crate::messages::Draft;

/// How long a bank waits for an answer before it asks again the first time: 10 seconds. The wait
/// doubles each time.
pub const RETRY_FIRST: Span = Span::from_secs(10);

/// The longest wait: an hour. A bank never gives up by itself, for only the bank drawn on knows
/// whether the money moved.
pub const RETRY_MAX: Span = Span::from_hours(1);

/// The name of a cheque presented here: the cheque, and the chain of endorsements by which it came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Matter {
    /// The cheque.
    pub cheque: Digest,
    /// The chain.
    pub chain: Digest,
}

/// A cheque under way, for the operator to see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnderWay {
    /// Which.
    pub matter: Matter,
    /// For how much.
    pub amount: Amount,
    /// The payee here, or the bank that brought it.
    pub taker: PeerId,
    /// Who has it now.
    pub next: PeerId,
    /// How often that bank was asked.
    pub tries: u32,
    /// What it last refused the cheque for, without a signed answer.
    pub trouble: Option<Refusal>,
}

/// A request to send to a peer bank, once what it says is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// To whom.
    pub to: PeerId,
    /// Under which id; a new one each time, so that no stored *pending* is repeated for ever.
    pub id: RequestId,
    /// Which message ([`kind::PRESENT`]).
    pub kind: u16,
    /// The canonical bytes of the [`Presentation`].
    pub message: Vec<u8>,
    /// What the answer is about; handed back to [`Interbank::on_answer`].
    pub matter: Matter,
}

impl Interbank {
    /// NQ-2 and NQ-3 at a bank that the cheque is not drawn on.
    ///
    /// A cheque that has ended is taken from no customer. From a bank it is, without any money: that
    /// bank has credited it, and only the bank drawn on can say that nothing came of it. Otherwise a
    /// cheque that found no room on its way before its end would be under way for ever.
    pub(super) fn collect(
        &self,
        cx: &mut Context<'_>,
        checked: &CheckedPresentation,
        taker: Taker,
    ) -> Result<Answer, Halt> {
        let draft = checked.cheque.body();
        let late = cx.now >= draft.deposit_by;
        if late && matches!(taker, Taker::Customer(_)) {
            return Err(Refusal::new(Code::Expired, "the cheque has ended").remedy(Remedy::Stop).into());
        }
        let (next, network) = self.next_bank(cx, draft.bank, draft.amount.currency())?;
        if network != draft.network {
            return Err(Refusal::new(Code::Malformed, "the cheque's bank is not one of the cheque's network").into());
        }
        if checked.held.holders().contains(&next) {
            return Err(Refusal::new(Code::Policy, "the cheque comes from the bank it would go to").into());
        }
        let hop = checked.held.title().next(next, under_certificate(checked.serial), cx.now);
        let hop = hop.map_err(|why| Refusal::new(Code::Limit, why.to_string()).remedy(Remedy::Stop))?;
        let matter = Matter { cheque: checked.digest(), chain: checked.chain() };
        if !late {
            self.credit(cx, taker, draft, matter, next)?;
        }
        let item = Item {
            cheque: checked.cheque.signed().clone(),
            hops: checked.held.title().hops.clone(),
            taker,
            serial: checked.serial,
            state: State::Waiting(Waiting {
                next,
                hop: self.key.sign(draft.network, &hop),
                due: cx.now,
                tries: 0,
                trouble: None,
            }),
            late,
        };
        let key = records::item_key(matter.cheque, matter.chain);
        cx.tx.put(ITEMS, &key, wire::encode(&item));
        cx.tx.put(OUTBOX, &records::due_key(cx.now, &key), Vec::new());
        Ok(Answer::Pending { next })
    }

    /// What is to be sent to peer banks now, at most `limit`: each cheque passed on and not answered,
    /// at first at once and then at growing intervals. The next attempt is written down before this
    /// one is made; the caller commits, then sends.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn send_due(&self, cx: &mut Context<'_>, limit: usize) -> Result<Vec<Outgoing>, Halt> {
        let rows = cx.tx.scan(OUTBOX, Scan { prefix: &[], after: None, limit })?;
        let mut sending = Vec::new();
        for (row, _) in rows {
            let (due, about) = records::due_of(&row)?;
            if cx.now < due {
                break;
            }
            cx.tx.delete(OUTBOX, &row);
            let Some(mut item) = records::read::<Item>(&*cx.tx, ITEMS, about)? else { continue };
            let (State::Waiting(waiting), Some((cheque, chain))) = (&mut item.state, records::item_of(about)) else {
                continue;
            };
            let wait = RETRY_FIRST.as_millis().saturating_mul(1 << waiting.tries.min(20)).min(RETRY_MAX.as_millis());
            waiting.due = cx.now.after(Span::from_millis(wait));
            waiting.tries = waiting.tries.saturating_add(1);
            let unique = hash(Purpose::Request, &[&cheque.0, &chain.0, &waiting.tries.to_be_bytes()]);
            let (to, due) = (waiting.next, waiting.due);
            let title = passed_on(&item.cheque, &item.hops, &waiting.hop)?;
            let message =
                wire::encode(&Presentation { cheque: item.cheque.clone(), hops: title.hops, serial: item.serial });
            let id = RequestId(timed(cx.now, &unique));
            cx.tx.put(OUTBOX, &records::due_key(due, about), Vec::new());
            cx.tx.put(ITEMS, about, wire::encode(&item));
            sending.push(Outgoing { to, id, kind: kind::PRESENT, message, matter: Matter { cheque, chain } });
        }
        Ok(sending)
    }

    /// Cheques that were passed on and not answered, at most `limit`, those that are asked for next
    /// first.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn under_way(&self, cx: &Context<'_>, limit: usize) -> Result<Vec<UnderWay>, Halt> {
        let rows = cx.tx.scan(OUTBOX, Scan { prefix: &[], after: None, limit })?;
        let mut found = Vec::with_capacity(rows.len());
        for (row, _) in rows {
            let (_, about) = records::due_of(&row)?;
            let item = records::read::<Item>(&*cx.tx, ITEMS, about)?;
            let (Some(item), Some((cheque, chain))) = (item, records::item_of(about)) else { continue };
            let State::Waiting(Waiting { next, tries, trouble, .. }) = item.state else { continue };
            let amount = item.cheque.peek().map_err(Refusal::from)?.amount;
            let matter = Matter { cheque, chain };
            found.push(UnderWay { matter, amount, taker: item.taker.peer(), next, tries, trouble });
        }
        Ok(found)
    }

    /// One movement of a cheque: each happens at most once for a cheque and chain.
    pub(super) fn post(
        &self,
        cx: &mut Context<'_>,
        draft: &Draft,
        matter: Matter,
        debit: AccountId,
        credit: AccountId,
        reason: Reason,
    ) -> Result<(), Halt> {
        let about: [&[u8]; 4] = [b"cheque", &matter.cheque.0, &matter.chain.0, &reason.0.to_be_bytes()];
        let transfer = Transfer {
            id: transfer_id(draft.time, &about),
            debit,
            credit,
            amount: draft.amount,
            reason,
            reference: matter.cheque.0,
            at: cx.now,
            hold: None,
        };
        Ledger(&mut *cx.tx).post(transfer)?;
        Ok(())
    }

    /// Where provisional credit stands: nothing can be paid out of it but by an answer.
    pub(super) fn provisional(&self, taker: Taker, currency: Currency) -> AccountId {
        self.account(AccountKind::Suspense, &[b"cheques", &taker.peer().0], currency)
    }

    /// Credits a cheque provisionally, within the limit of the bank that it goes to.
    pub(super) fn credit(
        &self,
        cx: &mut Context<'_>,
        taker: Taker,
        draft: &Draft,
        matter: Matter,
        next: PeerId,
    ) -> Result<(), Halt> {
        self.check_limit(cx, next, draft.amount)?;
        let currency = draft.amount.currency();
        let provisional = self.provisional(taker, currency);
        let account = Account::new(provisional, AccountKind::Suspense, currency, Some(taker.peer()), cx.now);
        Ledger(&mut *cx.tx).open(account)?;
        self.post(cx, draft, matter, self.collection(next, currency), provisional, REASON_PROVISIONAL)
    }
}

/// The title as this bank passed it on.
pub(super) fn passed_on(cheque: &Signed<Draft>, hops: &Hops, hop: &Signed<Hop>) -> Result<Title, Refusal> {
    let first = cheque.peek()?.payee;
    let title = Title { issue: cheque.digest(), first, hops: hops.clone() };
    title.passed(hop.clone()).map_err(|why| Refusal::new(Code::Limit, why.to_string()))
}
