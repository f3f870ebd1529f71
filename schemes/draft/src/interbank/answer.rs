//! NQ-4 at a bank that passed a cheque on: which answers it believes, and what follows from them.

use farthing_core::evidence::EvidenceKind;
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Verified;
use farthing_core::time::{SKEW, Time};
use farthing_core::title::Title;
use farthing_core::wire;
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt};

use super::collect::{Matter, passed_on};
use super::messages::{Answer, Fate, Final, Outcome};
use super::records::{self, Answered, ITEMS, Item, OUTBOX, State, Waiting};
use super::verdict::Case;
use super::{Interbank, REASON_AVAILABLE, REASON_COLLECTED, REASON_REVERSED};
use crate::messages::Draft;

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
                    return if self.false_outcome(cx, &item, &draft, &proven)? {
                        Ok(Progress::Convicted(draft.bank))
                    } else {
                        let why = "the next bank answered for another amount than the cheque's";
                        Err(Refusal::new(Code::Amount, why).into())
                    };
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
        let fits = direct == end.bank.is_none() && direct == (theirs.len() == sent.len());
        if !goes_on || !fits || held.holder() != draft.bank {
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
        if item.late && fate == Fate::Cleared {
            // Clocks that stand apart. It is owed within the limit as any other, or asked for again.
            self.credit(cx, item.taker, draft, matter, next)?;
            item.late = false;
        }
        let (collection, provisional) = (self.collection(next, currency), self.provisional(item.taker, currency));
        if fate == Fate::Cleared {
            let settlement = self.settlement(next, currency);
            self.post(cx, draft, matter, settlement, collection, REASON_COLLECTED)?;
            let beneficiary = self.beneficiary(item.taker, draft.amount);
            self.post(cx, draft, matter, provisional, beneficiary, REASON_AVAILABLE)?;
            self.note_received(cx, next, &proven.next, matter.chain)?;
        } else if !item.late {
            self.post(cx, draft, matter, provisional, collection, REASON_REVERSED)?;
        }
        self.false_outcome(cx, &item, draft, &proven)?;
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

    /// Files an answer of the bank drawn on that the cheque itself rules out, once for each cheque
    /// however often it is given; says whether it convicts.
    fn false_outcome(
        &self,
        cx: &mut Context<'_>,
        item: &Item,
        draft: &Draft,
        proven: &Proven,
    ) -> Result<bool, StoreFault> {
        let case = Case {
            network: draft.network,
            kind: EvidenceKind::FalseOutcome,
            accused: draft.bank,
            about: &proven.drawee.body().cheque.0,
        };
        case.file_if_guilty(cx, [wire::encode(&item.cheque), wire::encode(proven.drawee.signed())])
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
            let about = before.peek().map_err(Refusal::from)?.chain.0;
            let case = Case { network, kind: EvidenceKind::OutcomeFork, accused: signer, about: &about };
            if case.file_if_guilty(cx, statements)? {
                return Ok(Progress::Convicted(signer));
            }
        }
        Ok(Progress::Done(fate_of(&before.end)?))
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

fn fate_of(end: &Final) -> Result<Fate, Refusal> {
    Ok(end.drawee.peek()?.fate)
}
