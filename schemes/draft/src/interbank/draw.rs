//! The bank that a cheque is drawn on: pays it once, or says why not, and stands by what it said.

use farthing_core::amount::Amount;
use farthing_core::evidence::EvidenceKind;
use farthing_core::id::{AccountId, PeerId};
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::title::{Title, parting};
use farthing_core::wire;
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt, Records};

use super::check::CheckedPresentation;
use super::messages::{Answer, Digest, Fate, Final, Outcome};
use super::records::{self, Answered, CERTIFIED, DRAWN, ITEMS, Item, State, Taker};
use super::verdict::Case;
use super::{Interbank, Payers};

impl Interbank {
    /// Takes a cheque that was checked: pays it, if it is drawn on this bank, or else takes it for
    /// collection and passes it on. The same cheque by the same chain of endorsements gets the same
    /// answer, now and after any restart.
    ///
    /// # Errors
    /// [`Halt`], in which case nothing was noted and no money moved: nobody here to take it for, no
    /// way to its bank, the limit between the banks, a cheque past its end. What the bank drawn on
    /// finds wrong with the cheque itself is no refusal but a signed answer.
    pub fn present(
        &self,
        cx: &mut Context<'_>,
        payers: &dyn Payers,
        checked: &CheckedPresentation,
    ) -> Result<Answer, Halt> {
        let key = records::item_key(checked.digest(), checked.chain());
        if let Some(item) = records::read::<Item>(&*cx.tx, ITEMS, &key)? {
            return Ok(match item.state {
                State::Waiting(waiting) => Answer::Pending { next: waiting.next },
                State::Answered(answered) => Answer::Final(Box::new(answered.end)),
            });
        }
        let taker = self.taker(cx, checked)?;
        if checked.cheque.body().bank == self.bank() {
            self.draw(cx, payers, checked, taker)
        } else {
            self.collect(cx, checked, taker)
        }
    }

    /// Whether this cheque was presented here before, by the same chain of endorsements:
    /// [`present`](Self::present) will only repeat itself.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub fn was_presented(&self, tx: &dyn Records, checked: &CheckedPresentation) -> Result<bool, StoreFault> {
        Ok(tx.get(ITEMS, &records::item_key(checked.digest(), checked.chain()))?.is_some())
    }

    /// For whom the cheque is taken: the payee, if it is a customer here, or the peer bank that
    /// endorsed it.
    fn taker(&self, cx: &Context<'_>, checked: &CheckedPresentation) -> Result<Taker, Halt> {
        let (giver, currency) = (checked.giver, checked.cheque.body().amount.currency());
        let by_payee = checked.held.title().hops.as_slice().len() == 1;
        if by_payee && cx.tx.account(self.customer(giver, currency))?.is_some() {
            return Ok(Taker::Customer(giver));
        }
        self.peers_only(cx, giver, currency)?;
        Ok(Taker::Bank(giver))
    }

    /// Where the money of a cheque goes once it is cleared.
    pub(super) fn beneficiary(&self, taker: Taker, amount: Amount) -> AccountId {
        match taker {
            Taker::Customer(payee) => self.customer(payee, amount.currency()),
            Taker::Bank(bank) => self.settlement(bank, amount.currency()),
        }
    }

    /// NQ-3 at the bank drawn on. Chain and signature were checked; here, in the book's order, the
    /// end, the number, the funds.
    fn draw(
        &self,
        cx: &mut Context<'_>,
        payers: &dyn Payers,
        checked: &CheckedPresentation,
        taker: Taker,
    ) -> Result<Answer, Halt> {
        let draft = checked.cheque.body();
        let fate = match self.pay_out(cx, payers, checked, taker) {
            Ok(()) => Fate::Cleared,
            // Our own trouble is no word on the cheque: whoever asks, asks again.
            Err(Halt::Refused(why)) if why.fault != Fault::Us => Fate::Bounced(why.code),
            Err(halt) => return Err(halt),
        };
        let (cheque, chain) = (checked.digest(), checked.chain());
        if cx.tx.get(DRAWN, &cheque.0)?.is_none() {
            cx.tx.put(DRAWN, &cheque.0, wire::encode(&chain));
        }
        let outcome = Outcome { cheque, chain, to: taker.peer(), amount: draft.amount, fate, time: cx.now };
        let drawee = self.say(cx, taker, outcome)?;
        let hops = checked.held.title().hops.clone();
        let end = Final { hops: hops.clone(), drawee, bank: None };
        let state = State::Answered(Answered { end: end.clone(), heard: None });
        let item =
            Item { cheque: checked.cheque.signed().clone(), hops, taker, serial: checked.serial, state, late: false };
        cx.tx.put(ITEMS, &records::item_key(cheque, chain), wire::encode(&item));
        Ok(Answer::Final(Box::new(end)))
    }

    /// Moves the money, or refuses before anything but evidence is written.
    fn pay_out(
        &self,
        cx: &mut Context<'_>,
        payers: &dyn Payers,
        checked: &CheckedPresentation,
        taker: Taker,
    ) -> Result<(), Halt> {
        let draft = checked.cheque.body();
        if let Some(first) = records::read::<Digest>(&*cx.tx, DRAWN, &checked.digest().0)? {
            self.presented_twice(cx, checked, first)?;
            return Err(Refusal::new(Code::Spent, "the cheque was presented by another way before").into());
        }
        if cx.now >= draft.deposit_by {
            return Err(Refusal::new(Code::Expired, "the cheque has ended").into());
        }
        let to = self.beneficiary(taker, draft.amount);
        if checked.cheque.signer() == self.bank() {
            self.draw_cashier(cx, checked, to).map_err(our_trouble)
        } else {
            let certified = cx.tx.get(CERTIFIED, &checked.digest().0)?.is_some();
            payers.pay(cx, &checked.cheque, checked.serial, to).map_err(|halt| match halt {
                // It has not ended: that was looked at above.
                Halt::Refused(why) if certified || why.code == Code::Expired => our_trouble(why.into()),
                other => other,
            })
        }
    }

    /// Two chains for one cheque: whoever signed both successors of one endorsement is found here.
    fn presented_twice(&self, cx: &mut Context<'_>, checked: &CheckedPresentation, first: Digest) -> Result<(), Halt> {
        let key = records::item_key(checked.digest(), first);
        let Some(item) = records::read::<Item>(&*cx.tx, ITEMS, &key)? else { return Ok(()) };
        let title = checked.held.title();
        let before = Title { hops: item.hops, ..title.clone() };
        if let Some((a, b)) = parting(&before, title) {
            let statements = [wire::encode(a), wire::encode(b)];
            let case = Case {
                network: self.network,
                kind: EvidenceKind::TitleFork,
                accused: b.claimed_signer(),
                about: &checked.digest().0,
            };
            case.file_if_guilty(cx, statements)?;
        }
        Ok(())
    }

    /// Signs what became of a cheque, and puts it on the day's statement if it is owed to a bank.
    pub(super) fn say(&self, cx: &mut Context<'_>, taker: Taker, said: Outcome) -> Result<Signed<Outcome>, Halt> {
        if let (Taker::Bank(bank), Fate::Cleared) = (taker, said.fate) {
            self.note_paid(cx, bank, &said)?;
        }
        Ok(self.key.sign(self.network, &said))
    }

    /// What became of a cheque drawn on this bank, to show its payor, or a payee whose bank is silent:
    /// the answer to the chain by which it was presented first.
    ///
    /// # Errors
    /// [`Code::Unknown`]: never presented here. [`Code::NotPayee`]: neither payor nor payee asks.
    pub fn inquire(&self, cx: &Context<'_>, asker: PeerId, cheque: Digest) -> Result<Final, Halt> {
        let unknown = || Refusal::new(Code::Unknown, "the cheque was never presented here: no money moved");
        let chain: Digest = records::read(&*cx.tx, DRAWN, &cheque.0)?.ok_or_else(unknown)?;
        let item: Item = records::read(&*cx.tx, ITEMS, &records::item_key(cheque, chain))?.ok_or_else(unknown)?;
        if asker != item.cheque.claimed_signer() && asker != item.cheque.peek().map_err(Refusal::from)?.payee {
            return Err(Refusal::new(Code::NotPayee, "the cheque is between others").into());
        }
        match item.state {
            State::Answered(answered) => Ok(answered.end),
            State::Waiting(_) => Err(unknown().into()),
        }
    }
}

/// What keeps a bank from paying what it vouched for is no word on the cheque, but that it was paid.
fn our_trouble(halt: Halt) -> Halt {
    match halt {
        Halt::Refused(why) if why.code != Code::Spent => Halt::Refused(why.blame(Fault::Us).remedy(Remedy::Again)),
        other => other,
    }
}
