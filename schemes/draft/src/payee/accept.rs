//! Taking a draft: what it is for, whether its number is new, and how much of this payer's is held.

use farthing_core::amount::Amount;
use farthing_core::cert::Certificate;
use farthing_core::evidence::{Evidence, EvidenceKind};
use farthing_core::id::PeerId;
use farthing_core::order::{PaymentRef, Receipt};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_role::{Context, Halt, Scan};
use minicbor::{Decode, Encode};

use super::check::Checked;
use super::{Expected, Held, HeldState, Payee, unknown_draft};
use crate::messages::{Confirmed, Delivered, Digest, Draft, Returned};
use crate::rows::read;
use crate::verdict;
use crate::wallet::{EXPOSURE, HELD, KNOWN, KNOWN_ENDS, TO_DEPOSIT, place, raise_clock};

/// A million: what chances are counted in.
const MILLION: u32 = 1_000_000;

/// What came of a draft.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It is held: serve.
    Serve(Accepted),
    /// It is held, and the bank is to be asked before anything is served.
    AskFirst(Accepted),
    /// Another draft of this number is held: here is what convicts the payer.
    Conflict(Box<Evidence>),
}

/// A draft that is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// Who pays.
    pub payer: PeerId,
    /// The draft's number.
    pub number: u64,
    /// The draft.
    pub draft: Digest,
    /// The receipt, where one is given for this draft alone.
    pub receipt: Option<Signed<Receipt>>,
}

/// What is held of one payer and not yet paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Exposure {
    #[n(0)]
    pub(super) held: Amount,
    /// Of that, on signatures that were checked only together with others.
    #[n(1)]
    pub(super) queued: Amount,
}

impl Payee {
    /// Takes a draft that was checked. `receipt` asks for one over this draft alone; a queue gets
    /// one for all by [`receipts`](Self::receipts).
    ///
    /// The sum that is held of one payer never exceeds the limit its certificate states, under
    /// however many certificates it came.
    ///
    /// # Errors
    /// [`Halt`]; nothing was taken.
    pub fn accept_checked(
        &self,
        cx: &mut Context<'_>,
        checked: Checked,
        expected: &Expected,
        receipt: bool,
    ) -> Result<Taken, Halt> {
        let Checked { draft, certificate, new, strict } = checked;
        let (payer, body) = (draft.signer(), draft.body());
        if body.order != expected.order || body.amount != expected.amount {
            return Err(Refusal::new(Code::Order, "the draft is for another order or amount").into());
        }
        let key = place(payer, body.number);
        if let Some(held) = read::<Held>(&*cx.tx, HELD, &key)? {
            return Ok(self.seen_before(&draft, held));
        }
        let limits = certificate.limits;
        let above =
            |sum: Amount, most: Amount| sum.compare(most).map(core::cmp::Ordering::is_gt).map_err(Refusal::from);
        if above(body.amount, limits.per_item)? {
            return Err(Refusal::new(Code::Limit, "the draft is above what its certificate states for one").into());
        }
        let mut exposure = self.exposure(cx, payer, body.amount)?;
        exposure.held = exposure.held.checked_add(body.amount).map_err(Refusal::from)?;
        if above(exposure.held, limits.total)? {
            let why = "we hold as many of your drafts as your certificate covers: wait until some are deposited";
            return Err(Refusal::new(Code::Limit, why).into());
        }
        let (draft, strict) = self.strictly_above(draft, strict, &mut exposure)?;
        let body = draft.body();
        let ask = self.asks(cx, body.amount)?;
        let state = if ask { HeldState::Asking } else { HeldState::Held };
        let receipt = (receipt && !ask).then(|| self.receipt(cx, &draft));
        let held = Held {
            draft: draft.signed().clone(),
            serial: certificate.serial,
            strict,
            state,
            receipt: receipt.clone(),
            delivered: None,
        };
        cx.tx.put(HELD, &key, wire::encode(&held));
        cx.tx.put(EXPOSURE, &payer.0, wire::encode(&exposure));
        // What nothing is served for is not deposited either.
        if !ask {
            cx.tx.put(TO_DEPOSIT, &deposit_key(body, payer), Vec::new());
        }
        if let Some(new) = new {
            remember(cx, &new.digest(), &certificate)?;
        }
        let accepted = Accepted { payer, number: body.number, draft: Digest(draft.digest()), receipt };
        Ok(if ask { Taken::AskFirst(accepted) } else { Taken::Serve(accepted) })
    }

    /// The same draft again: the same answer, and nothing is served twice for it. Another one is
    /// evidence.
    fn seen_before(&self, draft: &Verified<Draft>, held: Held) -> Taken {
        let (payer, number) = (draft.signer(), draft.body().number);
        if held.draft.digest() != draft.digest() {
            let shown = [wire::encode(&held.draft), wire::encode(draft.signed())];
            return Taken::Conflict(Box::new(verdict::evidence(EvidenceKind::DraftFork, payer, shown)));
        }
        let accepted = Accepted { payer, number, draft: Digest(draft.digest()), receipt: held.receipt };
        if held.state == HeldState::Asking { Taken::AskFirst(accepted) } else { Taken::Serve(accepted) }
    }

    /// A signature that was checked only together with others is good for little; above that it is
    /// checked by itself.
    fn strictly_above(
        &self,
        draft: Verified<Draft>,
        strict: bool,
        exposure: &mut Exposure,
    ) -> Result<(Verified<Draft>, bool), Refusal> {
        if strict {
            return Ok((draft, true));
        }
        let queued = exposure.queued.checked_add(draft.body().amount)?;
        let most = self.terms.queued_max.unwrap_or_else(|| queued.currency().zero());
        if queued.compare(most)?.is_le() {
            exposure.queued = queued;
            return Ok((draft, false));
        }
        Ok((draft.into_signed().verify(self.network)?, true))
    }

    /// Whether the bank is asked first: always above the threshold, below it by lot, so that a payer
    /// that overspends is met by chance.
    fn asks(&self, cx: &Context<'_>, amount: Amount) -> Result<bool, Refusal> {
        if let Some(threshold) = self.terms.ask_above
            && amount.compare(threshold)?.is_gt()
        {
            return Ok(true);
        }
        let lot = u32::from_be_bytes([cx.dice[0], cx.dice[1], cx.dice[2], cx.dice[3]]);
        Ok(u64::from(lot) * u64::from(MILLION) < u64::from(self.terms.spot_checks) << 32)
    }

    /// The bank has set the money aside: serve.
    ///
    /// # Errors
    /// [`Halt`]: not the bank's, or for another draft.
    pub fn on_confirmed(
        &self,
        cx: &mut Context<'_>,
        payer: PeerId,
        number: u64,
        confirmed: Signed<Confirmed>,
    ) -> Result<Signed<Receipt>, Halt> {
        let mut held = self.held(cx, payer, number)?;
        let confirmed = confirmed.verify_by(self.network, self.bank).map_err(Refusal::from)?;
        if confirmed.body().draft.0 != held.draft.digest() || cx.now >= confirmed.body().until {
            return Err(Refusal::new(Code::Order, "the bank confirms another draft, or did so too long ago").into());
        }
        let draft = held.draft.clone().verify(self.network).map_err(Refusal::from)?;
        let receipt = held.receipt.clone().unwrap_or_else(|| self.receipt(cx, &draft));
        held.receipt = Some(receipt.clone());
        if held.state == HeldState::Asking {
            held.state = HeldState::Held;
            cx.tx.put(TO_DEPOSIT, &deposit_key(draft.body(), payer), Vec::new());
        }
        cx.tx.put(HELD, &place(payer, number), wire::encode(&held));
        Ok(receipt)
    }

    /// The payer has the goods.
    ///
    /// # Errors
    /// [`Halt`]: not the payer's word, or about another draft.
    pub fn on_delivered(
        &self,
        cx: &mut Context<'_>,
        payer: PeerId,
        number: u64,
        delivered: Signed<Delivered>,
    ) -> Result<(), Halt> {
        let mut held = self.held(cx, payer, number)?;
        let word = delivered.verify_by(self.network, payer).map_err(Refusal::from)?;
        if word.body().draft.0 != held.draft.digest() {
            return Err(Refusal::new(Code::Order, "that delivery was for another draft").into());
        }
        held.delivered = Some(word.into_signed());
        cx.tx.put(HELD, &place(payer, number), wire::encode(&held));
        Ok(())
    }

    /// Gives a draft back that nothing was served for: it will not be deposited.
    ///
    /// # Errors
    /// [`Code::State`] once it is on its way to the bank, or paid.
    pub fn give_back(&self, cx: &mut Context<'_>, payer: PeerId, number: u64) -> Result<Signed<Returned>, Halt> {
        let mut held = self.held(cx, payer, number)?;
        match held.state {
            HeldState::Asking | HeldState::Held | HeldState::GivenBack => {}
            _ => return Err(Refusal::new(Code::State, "the draft is at the bank").into()),
        }
        let body = held.draft.peek().map_err(Refusal::from)?;
        if held.state != HeldState::GivenBack {
            self.no_longer_held(cx, payer, &held, body.amount)?;
        }
        cx.tx.delete(TO_DEPOSIT, &deposit_key(&body, payer));
        held.state = HeldState::GivenBack;
        cx.tx.put(HELD, &place(payer, number), wire::encode(&held));
        let draft = Digest(held.draft.digest());
        Ok(self.key.sign(self.network, &Returned { draft, time: cx.now }))
    }

    /// A draft as it is held.
    ///
    /// # Errors
    /// [`Code::Unknown`].
    pub fn held(&self, cx: &Context<'_>, payer: PeerId, number: u64) -> Result<Held, Halt> {
        Ok(read(&*cx.tx, HELD, &place(payer, number))?.ok_or_else(unknown_draft)?)
    }

    fn receipt(&self, cx: &Context<'_>, draft: &Verified<Draft>) -> Signed<Receipt> {
        let body = draft.body();
        let payment = PaymentRef { instrument: draft.digest(), from: 0, through: 0 };
        let receipt = Receipt { order: body.order, payment, amount: body.amount, payer: draft.signer(), time: cx.now };
        self.key.sign(self.network, &receipt)
    }

    pub(super) fn exposure(&self, cx: &Context<'_>, payer: PeerId, like: Amount) -> Result<Exposure, Halt> {
        let zero = like.currency().zero();
        Ok(read(&*cx.tx, EXPOSURE, &payer.0)?.unwrap_or(Exposure { held: zero, queued: zero }))
    }

    /// What was held is paid, lost or given back.
    pub(super) fn no_longer_held(
        &self,
        cx: &mut Context<'_>,
        payer: PeerId,
        held: &Held,
        amount: Amount,
    ) -> Result<(), Halt> {
        let mut exposure = self.exposure(cx, payer, amount)?;
        exposure.held = exposure.held.checked_sub(amount).map_err(Refusal::from)?;
        if !held.strict {
            exposure.queued = exposure.queued.checked_sub(amount).map_err(Refusal::from)?;
        }
        if exposure.held.is_zero() {
            cx.tx.delete(EXPOSURE, &payer.0);
        } else {
            cx.tx.put(EXPOSURE, &payer.0, wire::encode(&exposure));
        }
        Ok(())
    }
}

/// Remembers a certificate, and forgets some that have ended: no more are kept than hold.
fn remember(cx: &mut Context<'_>, digest: &[u8; 32], certificate: &Certificate) -> Result<(), Halt> {
    const FORGOTTEN_AT_ONCE: usize = 4;
    for (key, _) in cx.tx.scan(KNOWN_ENDS, Scan { prefix: &[], after: None, limit: FORGOTTEN_AT_ONCE })? {
        let Some((end, old)) = key.split_first_chunk() else { continue };
        if Time::from_millis(u64::from_be_bytes(*end)) <= cx.now {
            cx.tx.delete(KNOWN, old);
            cx.tx.delete(KNOWN_ENDS, &key);
        }
    }
    cx.tx.put(KNOWN, digest, wire::encode(certificate));
    let end = certificate.window.to.as_millis().to_be_bytes();
    cx.tx.put(KNOWN_ENDS, &[&end[..], digest].concat(), Vec::new());
    raise_clock(cx, certificate.window.from)
}

/// The order in which drafts are deposited: by their last day.
pub(super) fn deposit_key(body: &Draft, payer: PeerId) -> Vec<u8> {
    [&body.deposit_by.as_millis().to_be_bytes()[..], &place(payer, body.number)].concat()
}
