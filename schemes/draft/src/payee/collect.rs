//! Depositing what is held, and writing down what came of it.

use farthing_core::amount::Amount;
use farthing_core::audit::{Direction, Event};
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::{Signed, Statement};
use farthing_core::wire::{self, Bounded};
use farthing_role::{Context, Halt, Scan};
use minicbor::{Decode, Encode};

use super::accept::deposit_key;
use super::{Held, HeldState, Payee};
use crate::messages::{Deposit, DepositReceipt, Digest, Item, Outcome, Proof};
use crate::rows::read;
use crate::wallet::{EARLY, HELD, Log, TO_DEPOSIT, place, raise_clock};

/// A receipt that is not in the log yet.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
struct Early {
    #[n(0)]
    draft: Digest,
    #[n(1)]
    payer: PeerId,
    #[n(2)]
    amount: Amount,
}

impl Payee {
    /// KSD-1: the next drafts to deposit, those first whose last day is nearest, at most `limit`.
    /// Asked again before the bank has answered, it gives the same ones again. A signature that was
    /// only checked together with others is checked by itself first; a draft of which it turns out
    /// worthless is lost.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn deposit(&self, cx: &mut Context<'_>, limit: usize) -> Result<Option<Deposit>, Halt> {
        let limit = limit.min(crate::messages::DRAFTS_MAX);
        let rows = cx.tx.scan(TO_DEPOSIT, Scan { prefix: &[], after: None, limit })?;
        let mut items = Vec::with_capacity(rows.len());
        for (key, _) in rows {
            let place = key.get(8..).unwrap_or_default();
            let Some(mut held) = read::<Held>(&*cx.tx, HELD, place)? else { continue };
            if !held.strict {
                let signed = held.draft.clone();
                if let Err(why) = signed.verify(self.network) {
                    self.lose(cx, held, why.into())?;
                    continue;
                }
            }
            if held.state == HeldState::Held {
                held.state = HeldState::Sent;
                cx.tx.put(HELD, place, wire::encode(&held));
            }
            items.push(Item { draft: held.draft, serial: held.serial });
        }
        Ok(Bounded::new(items).filter(|items| !items.as_slice().is_empty()).map(|items| Deposit { items }))
    }

    /// KSD-2: what the bank says became of `deposit`.
    ///
    /// # Errors
    /// [`Halt`]: not the bank's word to us.
    pub fn on_deposit_receipt(
        &self,
        cx: &mut Context<'_>,
        copy: Digest,
        deposit: &Deposit,
        receipt: Signed<DepositReceipt>,
    ) -> Result<(), Halt> {
        let receipt = receipt.verify_by(self.network, self.bank).map_err(Refusal::from)?;
        let body = receipt.body();
        let lines = body.lines.as_slice();
        let items = deposit.items.as_slice();
        let fits = lines.len() == items.len()
            && lines.iter().zip(items).all(|(line, item)| line.draft.0 == item.draft.digest());
        if body.payee != self.key.id() || !fits {
            return Err(Refusal::new(Code::Order, "the bank answers another deposit").into());
        }
        raise_clock(cx, body.time)?;
        for (line, item) in lines.iter().zip(items) {
            let number = item.draft.peek().map_err(Refusal::from)?.number;
            let payer = item.draft.claimed_signer();
            let Some(held) = read::<Held>(&*cx.tx, HELD, &place(payer, number))? else { continue };
            self.settle(cx, held, &line.outcome)?;
        }
        self.note_early(cx, copy)
    }

    fn settle(&self, cx: &mut Context<'_>, mut held: Held, outcome: &Outcome) -> Result<(), Halt> {
        let (payer, body) = (held.draft.claimed_signer(), held.draft.peek().map_err(Refusal::from)?);
        // Whatever way it came to the bank: it counts as held until the bank has said what became of it.
        let open =
            matches!(held.state, HeldState::Asking | HeldState::Held | HeldState::Sent | HeldState::Stopped { .. });
        match outcome {
            Outcome::Taken { number, owed, .. } => {
                // Without a number it was another bank that collected.
                if open && *number == 0 {
                    self.no_longer_held(cx, payer, &held, body.amount)?;
                } else if open {
                    self.no_longer_held(cx, payer, &held, body.amount)?;
                    let early = Early { draft: Digest(held.draft.digest()), payer, amount: body.amount };
                    cx.tx.put(EARLY, &place(self.key.id(), *number), wire::encode(&early));
                }
                held.state = HeldState::Deposited { number: *number, owed: *owed };
            }
            Outcome::Stopped { answer_by } => held.state = HeldState::Stopped { answer_by: *answer_by },
            Outcome::GoneBack if open => {
                let why = Refusal::new(Code::State, "the payer stopped the draft, and its money went back");
                return self.lose(cx, held, why);
            }
            Outcome::Refused(why) if open && matches!(why.remedy, Remedy::Stop | Remedy::Appeal) => {
                return self.lose(cx, held, why.clone());
            }
            Outcome::Compensated { why, .. } if open => return self.lose(cx, held, why.clone()),
            Outcome::GoneBack | Outcome::Refused(_) | Outcome::Compensated { .. } => return Ok(()),
        }
        if matches!(held.state, HeldState::Deposited { .. }) {
            cx.tx.delete(TO_DEPOSIT, &deposit_key(&body, payer));
        }
        cx.tx.put(HELD, &place(payer, body.number), wire::encode(&held));
        Ok(())
    }

    /// Drafts of which something is still owed, or that were stopped, are asked about again.
    ///
    /// # Errors
    /// [`Halt`]: no such draft.
    pub fn ask_again(&self, cx: &Context<'_>, payer: PeerId, number: u64) -> Result<Item, Halt> {
        let held = self.held(cx, payer, number)?;
        Ok(Item { draft: held.draft, serial: held.serial })
    }

    /// What shows the bank that a stopped draft was delivered; none where the payer never said so.
    ///
    /// # Errors
    /// [`Halt`]: no such draft.
    pub fn proof(&self, cx: &Context<'_>, payer: PeerId, number: u64) -> Result<Option<Proof>, Halt> {
        let held = self.held(cx, payer, number)?;
        Ok(held.delivered.map(|delivered| Proof::Delivered { payer, number, delivered }))
    }

    fn lose(&self, cx: &mut Context<'_>, mut held: Held, why: Refusal) -> Result<(), Halt> {
        let (payer, body) = (held.draft.claimed_signer(), held.draft.peek().map_err(Refusal::from)?);
        self.no_longer_held(cx, payer, &held, body.amount)?;
        held.state = HeldState::Lost(why);
        cx.tx.delete(TO_DEPOSIT, &deposit_key(&body, payer));
        cx.tx.put(HELD, &place(payer, body.number), wire::encode(&held));
        Ok(())
    }

    /// Receipts go into the log in the order of the bank's numbers: one that comes early waits.
    fn note_early(&self, cx: &mut Context<'_>, copy: Digest) -> Result<(), Halt> {
        let key = self.key.id();
        let mut log = Log::read(&*cx.tx, key)?.unwrap_or_else(|| Log::new(key, copy));
        if log.copy != copy {
            return Ok(()); // A restored wallet begins anew where the bank says.
        }
        loop {
            let next = place(key, log.log.incoming.n.saturating_add(1));
            let Some(Early { draft, payer, amount }) = read(&*cx.tx, EARLY, &next)? else { break };
            let (kind, direction) = (DepositReceipt::KIND, Direction::In);
            log.append(cx, key, Event { kind, reference: draft.0, peer: payer, amount, direction })?;
            cx.tx.delete(EARLY, &next);
        }
        log.write(cx, key);
        Ok(())
    }
}
