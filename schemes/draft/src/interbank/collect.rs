//! A bank that a cheque is not drawn on: credits provisionally, passes on, and waits for the answer.
//!
//! The bank of deposit and every correspondent between it and the bank drawn on do the same. The
//! difference is only whom they do it for.

use farthing_core::evidence::EvidenceKind;
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{AccountId, PeerId, RequestId, timed};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::{SKEW, Span, Time};
use farthing_core::title::{Hop, Title};
use farthing_core::wire;
use farthing_ledger::{Account, AccountKind, Ledger, Reason, Transfer};
use farthing_role::{Context, Halt, Scan};

use super::check::CheckedPresentation;
use super::messages::{Answer, Digest, Fate, Final, Hops, Outcome, Presentation, kind};
use super::records::{self, Answered, ITEMS, Item, OUTBOX, State, Taker, Waiting};
use super::{Interbank, REASON_AVAILABLE, REASON_COLLECTED, REASON_PROVISIONAL, REASON_REVERSED, transfer_id, verdict};
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

/// Where a cheque stands after an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Not answered for good.
    Waiting,
    /// Answered for good, now or before.
    Done(Fate),
    /// The answer convicts the bank that signed it: evidence was filed. The books stand as they were.
    Convicted(PeerId),
}

/// An answer whose signatures hold and which is about the cheque that was passed on.
struct Proven {
    drawee: Verified<Outcome>,
    /// What the next bank says: the same where it is the one drawn on.
    next: Verified<Outcome>,
    end: Final,
}

impl Interbank {
    /// NQ-2 and NQ-3 at a bank that the cheque is not drawn on.
    pub(super) fn collect(
        &self,
        cx: &mut Context<'_>,
        checked: &CheckedPresentation,
        taker: Taker,
    ) -> Result<Answer, Halt> {
        let draft = checked.cheque.body();
        if cx.now >= draft.deposit_by {
            return Err(Refusal::new(Code::Expired, "the cheque has ended").remedy(Remedy::Stop).into());
        }
        let (next, network) = self.next_bank(cx, draft.bank, draft.amount.currency())?;
        if network != draft.network {
            return Err(Refusal::new(Code::Malformed, "the cheque's bank is not one of the cheque's network").into());
        }
        if checked.held.holders().contains(&next) {
            return Err(Refusal::new(Code::Policy, "the cheque comes from the bank it would go to").into());
        }
        let hop = checked.held.title().next(next, draft.order, cx.now);
        let hop = hop.map_err(|why| Refusal::new(Code::Limit, why.to_string()).remedy(Remedy::Stop))?;
        self.check_limit(cx, next, draft.amount)?;
        let (cheque, chain) = (checked.digest(), checked.chain());
        let provisional = self.open_provisional(cx, taker, draft)?;
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
        };
        let matter = Matter { cheque, chain };
        let collection = self.collection(next, draft.amount.currency());
        self.post(cx, draft, matter, collection, provisional, REASON_PROVISIONAL)?;
        let key = records::item_key(cheque, chain);
        cx.tx.put(ITEMS, &key, wire::encode(&item));
        cx.tx.put(OUTBOX, &records::due_key(cx.now, &key), Vec::new());
        Ok(Answer::Pending { next })
    }

    /// Takes another number of the payor's certificate for a cheque that was passed on, and sends it
    /// again at once.
    pub(super) fn mend(
        &self,
        cx: &mut Context<'_>,
        mut item: Item,
        checked: &CheckedPresentation,
    ) -> Result<Answer, Halt> {
        let key = records::item_key(checked.digest(), checked.chain());
        item.serial = checked.serial;
        let State::Waiting(waiting) = &mut item.state else {
            return Err(Refusal::new(Code::State, "the cheque was answered already").into());
        };
        cx.tx.delete(OUTBOX, &records::due_key(waiting.due, &key));
        waiting.due = cx.now;
        cx.tx.put(OUTBOX, &records::due_key(cx.now, &key), Vec::new());
        let next = waiting.next;
        cx.tx.put(ITEMS, &key, wire::encode(&item));
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

    /// NQ-4: what the next bank answered. Cleared, the provisional credit becomes available and the
    /// next bank owes the money; bounced, it is taken back. Said once more, nothing changes; said
    /// otherwise, it is evidence.
    ///
    /// # Errors
    /// [`Halt`]: an answer that is forged, about another cheque, from another bank, or from the
    /// future. Nothing changed and the bank goes on asking.
    pub fn on_answer(
        &self,
        cx: &mut Context<'_>,
        from: PeerId,
        matter: Matter,
        answer: Answer,
    ) -> Result<Progress, Halt> {
        let key = records::item_key(matter.cheque, matter.chain);
        let unknown = || Refusal::new(Code::Unknown, "no such cheque was taken here");
        let item: Item = records::read(&*cx.tx, ITEMS, &key)?.ok_or_else(unknown)?;
        let draft = item.cheque.peek().map_err(Refusal::from)?;
        if draft.bank == self.bank() {
            return Err(unknown().into());
        }
        match (answer, &item.state) {
            (Answer::Pending { .. }, State::Waiting(_)) => Ok(Progress::Waiting),
            (Answer::Pending { .. }, State::Answered(before)) => Ok(Progress::Done(fate_of(&before.end)?)),
            (Answer::Final(end), State::Waiting(waiting)) => {
                if waiting.next != from {
                    return Err(Refusal::new(Code::Certificate, "the cheque was passed on to another bank").into());
                }
                let proven = self.prove(cx, &item, waiting, &draft, *end)?;
                if proven.drawee.body().amount != draft.amount || proven.next.body().amount != draft.amount {
                    return self.false_outcome(cx, &item, &proven);
                }
                self.conclude(cx, matter, item, &draft, proven)
            }
            (Answer::Final(end), State::Answered(before)) => self.said_otherwise(cx, &draft, from, before, &end),
        }
    }

    /// Notes that the next bank refused a cheque without a signed answer: for the operator to see.
    /// Nothing else changes, for a refusal that nobody signed settles nothing.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn on_refusal(&self, cx: &mut Context<'_>, matter: Matter, why: Refusal) -> Result<(), Halt> {
        let key = records::item_key(matter.cheque, matter.chain);
        let Some(mut item) = records::read::<Item>(&*cx.tx, ITEMS, &key)? else { return Ok(()) };
        if let State::Waiting(waiting) = &mut item.state {
            waiting.trouble = Some(why);
            cx.tx.put(ITEMS, &key, wire::encode(&item));
        }
        Ok(())
    }

    /// Believes an answer if its signatures hold and it is about this cheque: the endorsements go on
    /// from ours to the bank drawn on, which answered by them; and the next bank, where that is
    /// another one, says the same to us.
    fn prove(
        &self,
        cx: &Context<'_>,
        item: &Item,
        waiting: &Waiting,
        draft: &Draft,
        end: Final,
    ) -> Result<Proven, Halt> {
        let ours = passed_on(&item.cheque, &item.hops, &waiting.hop)?;
        let title = Title { hops: end.hops.clone(), ..ours.clone() };
        let held = title.verify(draft.network).map_err(|why| Refusal::new(Code::Certificate, why.to_string()))?;
        let (theirs, sent) = (held.title().hops.as_slice(), ours.hops.as_slice());
        let goes_on = theirs.len() >= sent.len() && theirs.iter().zip(sent).all(|(a, b)| a.digest() == b.digest());
        let direct = waiting.next == draft.bank;
        if !goes_on || held.holder() != draft.bank || direct != end.bank.is_none() {
            return Err(Refusal::new(Code::Certificate, "the answer is to another chain of endorsements").into());
        }
        let drawee = end.drawee.clone().verify_by(draft.network, draft.bank).map_err(Refusal::from)?;
        let giver = held.giver().unwrap_or(draft.payee);
        about(&drawee, ours.issue, held.title().head(), giver, cx.now)?;
        let next = match &end.bank {
            None => drawee.clone(),
            Some(next) => {
                let network = self.peer(cx, waiting.next, draft.amount.currency())?.network;
                let next = next.clone().verify_by(network, waiting.next).map_err(Refusal::from)?;
                about(&next, ours.issue, ours.head(), self.bank(), cx.now)?;
                next
            }
        };
        if (drawee.body().fate == Fate::Cleared) != (next.body().fate == Fate::Cleared) {
            return Err(Refusal::new(Code::Conflict, "the next bank and the bank drawn on say different things").into());
        }
        Ok(Proven { drawee, next, end })
    }

    /// Books the end of a cheque, and says it on to whoever brought it.
    fn conclude(
        &self,
        cx: &mut Context<'_>,
        matter: Matter,
        mut item: Item,
        draft: &Draft,
        proven: Proven,
    ) -> Result<Progress, Halt> {
        let State::Waiting(waiting) = &item.state else { return Ok(Progress::Waiting) };
        let (next, due, currency) = (waiting.next, waiting.due, draft.amount.currency());
        let fate = proven.drawee.body().fate;
        let (collection, provisional) = (self.collection(next, currency), self.provisional(item.taker, draft));
        if fate == Fate::Cleared {
            let settlement = self.settlement(next, currency);
            self.post(cx, draft, matter, settlement, collection, REASON_COLLECTED)?;
            let beneficiary = self.beneficiary(item.taker, draft.amount);
            self.post(cx, draft, matter, provisional, beneficiary, REASON_AVAILABLE)?;
            self.note_received(cx, next, proven.next.body(), matter.chain)?;
        } else {
            self.post(cx, draft, matter, provisional, collection, REASON_REVERSED)?;
        }
        verdict::file_if_guilty(
            cx,
            draft.network,
            EvidenceKind::FalseOutcome,
            draft.bank,
            [wire::encode(&item.cheque), wire::encode(proven.drawee.signed())],
        );
        let Matter { cheque, chain } = matter;
        let said = Outcome { cheque, chain, to: item.taker.peer(), amount: draft.amount, fate, time: cx.now };
        let bank = Some(self.say(cx, item.taker, said)?);
        let heard = Some(proven.next.into_signed());
        item.state = State::Answered(Answered { end: Final { bank, ..proven.end }, heard });
        let key = records::item_key(cheque, chain);
        cx.tx.delete(OUTBOX, &records::due_key(due, &key));
        cx.tx.put(ITEMS, &key, wire::encode(&item));
        Ok(Progress::Done(fate))
    }

    /// An answer signed by the bank drawn on, or the next one, for another amount than the cheque's.
    fn false_outcome(&self, cx: &mut Context<'_>, item: &Item, proven: &Proven) -> Result<Progress, Halt> {
        let draft = item.cheque.peek().map_err(Refusal::from)?;
        let statements = [wire::encode(&item.cheque), wire::encode(proven.drawee.signed())];
        let kind = EvidenceKind::FalseOutcome;
        if verdict::file_if_guilty(cx, draft.network, kind, draft.bank, statements) {
            return Ok(Progress::Convicted(draft.bank));
        }
        Err(Refusal::new(Code::Amount, "the next bank answered for another amount than the cheque's").into())
    }

    /// A second answer to what was answered: the same again, or evidence against whoever signed both.
    fn said_otherwise(
        &self,
        cx: &mut Context<'_>,
        draft: &Draft,
        from: PeerId,
        before: &Answered,
        now: &Final,
    ) -> Result<Progress, Halt> {
        let drawee = (draft.bank, draft.network, Some(&before.end.drawee), Some(&now.drawee));
        let next = match &now.bank {
            Some(said) => {
                (from, self.peer(cx, from, draft.amount.currency())?.network, before.heard.as_ref(), Some(said))
            }
            None => drawee,
        };
        for (signer, network, before, now) in [drawee, next] {
            let (Some(before), Some(now)) = (before, now) else { continue };
            let statements = [wire::encode(before), wire::encode(now)];
            if verdict::file_if_guilty(cx, network, EvidenceKind::OutcomeFork, signer, statements) {
                return Ok(Progress::Convicted(signer));
            }
        }
        Ok(Progress::Done(fate_of(&before.end)?))
    }

    /// One movement of a cheque: each happens at most once for a cheque and chain.
    fn post(
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
    fn provisional(&self, taker: Taker, draft: &Draft) -> AccountId {
        self.account(AccountKind::Suspense, &[b"cheques", &taker.peer().0], draft.amount.currency())
    }

    fn open_provisional(&self, cx: &mut Context<'_>, taker: Taker, draft: &Draft) -> Result<AccountId, Halt> {
        let id = self.provisional(taker, draft);
        let account = Account::new(id, AccountKind::Suspense, draft.amount.currency(), Some(taker.peer()), cx.now);
        Ledger(&mut *cx.tx).open(account)?;
        Ok(id)
    }
}

/// Whether an outcome is about this cheque, this chain and this presenter, and not from the future.
fn about(said: &Verified<Outcome>, cheque: [u8; 32], chain: [u8; 32], to: PeerId, now: Time) -> Result<(), Refusal> {
    let said = said.body();
    if (said.cheque.0, said.chain.0, said.to) != (cheque, chain, to) {
        return Err(Refusal::new(Code::Certificate, "the answer is about another cheque, chain or presenter"));
    }
    if said.time > now.after(SKEW) {
        return Err(Refusal::new(Code::Clock, "the answer is from the future: compare the clocks"));
    }
    Ok(())
}

/// The title as this bank passed it on.
fn passed_on(cheque: &Signed<Draft>, hops: &Hops, hop: &Signed<Hop>) -> Result<Title, Refusal> {
    let first = cheque.peek()?.payee;
    let title = Title { issue: cheque.digest(), first, hops: hops.clone() };
    title.passed(hop.clone()).map_err(|why| Refusal::new(Code::Limit, why.to_string()))
}

fn fate_of(end: &Final) -> Result<Fate, Refusal> {
    Ok(end.drawee.peek()?.fate)
}
