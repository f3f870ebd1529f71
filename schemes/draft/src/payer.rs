//! The payer: writes drafts offline, each durable before it is sent, and shows its log to the bank.
//!
//! A step runs in a transaction of the payer's own store, with the tables of
//! [`wallet`](crate::wallet); what it returns is sent once that is committed. Sent again, a draft is
//! the very same bytes ([`Payer::again`]).

mod rounds;

use farthing_core::amount::Amount;
use farthing_core::audit::{Direction, Event};
use farthing_core::id::{NetworkId, OrderId, PeerId};
use farthing_core::order::Receipt;
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::seal::{SealPublic, Sealed, seal};
use farthing_core::sign::{SecretKey, Signed, Statement};
use farthing_core::time::{Span, Time};
use farthing_core::wire;
use farthing_role::{Context, Halt};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use crate::messages::{DRAFT_LIFE_MAX, Delivered, Digest, Draft, Payment, Receipts, Returned, Shown, Stop, StopReason};
use crate::rows::read;
use crate::wallet::{DRAWN, Log, SHOWN, check_clock, place};

/// A key that writes drafts.
#[derive(Debug)]
pub struct Payer {
    /// The key: the account's, or a pseudonym.
    pub key: SecretKey,
    /// The bank's network.
    pub network: NetworkId,
    /// The bank that drafts are drawn on: the key that signs its statements.
    pub bank: PeerId,
    /// The key that signs its certificates.
    pub authority: PeerId,
    /// Which copy of the wallet this is: drawn when its store was made or restored, so that a
    /// restored one knows that it is.
    pub copy: Digest,
}

/// What a draft is for.
#[derive(Clone, Copy, Debug)]
pub struct Purchase {
    /// Who is paid.
    pub payee: PeerId,
    /// The payee's key to seal to; none inside an authenticated session.
    pub seal: Option<SealPublic>,
    /// How much.
    pub amount: Amount,
    /// What for.
    pub order: OrderId,
    /// How long the payee has to deposit; 30 days at most.
    pub life: Span,
}

/// A draft as its payer knows it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Drawn {
    /// What was sent, or is to be.
    #[n(0)]
    pub payment: Payment,
    /// The same, sealed.
    #[n(1)]
    pub sealed: Option<Sealed<Payment>>,
    /// How it went on.
    #[n(2)]
    pub state: DrawnState,
}

/// How a draft went on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum DrawnState {
    /// Written, and perhaps sent: send it again.
    #[n(0)]
    Written,
    /// The payee has it.
    #[n(1)]
    Receipted,
    /// We have the goods and have said so.
    #[n(2)]
    Delivered,
    /// Stopped.
    #[n(3)]
    Stopped,
}

impl Payer {
    /// KSF-1: writes a draft. Refused before anything is written: without a certificate that holds
    /// now, above its limits, or beyond what the account was known to cover.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn draw(&self, cx: &mut Context<'_>, purchase: &Purchase, rng: &mut dyn CryptoRng) -> Result<Drawn, Halt> {
        check_clock(&*cx.tx, cx.now)?;
        let mut log = self.own_log(cx)?;
        let no_certificate = || Refusal::new(Code::Certificate, "no certificate: reconcile with the bank first");
        let certificate = log.certificate.clone().ok_or_else(no_certificate)?;
        let body = certificate.peek().map_err(Refusal::from)?;
        let time = Self::moment(cx.now, &log);
        if !body.window.contains(time) {
            return Err(no_certificate().into());
        }
        let Purchase { payee, amount, order, .. } = *purchase;
        let above = |most: Amount| amount.compare(most).map(core::cmp::Ordering::is_gt).map_err(Refusal::from);
        if amount.is_zero() || above(body.limits.per_item)? {
            return Err(Refusal::new(Code::Limit, format!("one draft may be {} at most", body.limits.per_item)).into());
        }
        let budget = log.budget.unwrap_or_else(|| amount.currency().zero());
        if above(budget)? {
            let why = format!("{budget} may still be written: reconcile, or fund the account");
            return Err(Refusal::new(Code::Funds, why).into());
        }
        let draft = Draft {
            number: log.log.outgoing.n.saturating_add(1),
            network: self.network,
            bank: self.bank,
            payee,
            amount,
            order,
            deposit_by: time.after(purchase.life.min(DRAFT_LIFE_MAX)),
            log: log.log.commitment(),
            time,
        };
        let draft = self.key.sign(self.network, &draft);
        let reference = draft.digest();
        let event = Event { kind: Draft::KIND, reference, peer: payee, amount, direction: Direction::Out };
        let entry = log.append(cx, self.key.id(), event)?;
        log.budget = Some(budget.checked_sub(amount).map_err(Refusal::from)?);
        log.last = time;
        log.write(cx, self.key.id());
        let known = Digest(certificate.digest());
        let seen: Option<Digest> = read(&*cx.tx, SHOWN, &self.pair(payee))?;
        let certificate = if seen == Some(known) { Shown::Known(known) } else { Shown::Whole(certificate) };
        let payment = Payment { draft, certificate };
        let sealed = match &purchase.seal {
            Some(to) => Some(
                seal(self.network, to, &payment, rng)
                    .map_err(|why| Refusal::new(Code::Decrypt, why.to_string()).remedy(Remedy::Mend))?,
            ),
            None => None,
        };
        let drawn = Drawn { payment, sealed, state: DrawnState::Written };
        self.store(cx, entry.t, &drawn);
        Ok(drawn)
    }

    /// A draft as it was written, to send once more after a lost answer.
    ///
    /// # Errors
    /// [`Code::Unknown`].
    pub fn again(&self, cx: &Context<'_>, number: u64) -> Result<Drawn, Halt> {
        let drawn = read(&*cx.tx, DRAWN, &place(self.key.id(), number))?;
        Ok(drawn.ok_or_else(|| Refusal::new(Code::Unknown, "no such draft was written"))?)
    }

    /// The log of this key, with its certificate and what may still be written; none before the first
    /// reconciliation. Another copy's log is no use: see [`Log::copy`].
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn book(&self, cx: &Context<'_>) -> Result<Option<Log>, Halt> {
        Log::read(&*cx.tx, self.key.id())
    }

    /// The payee's receipt for a draft.
    ///
    /// # Errors
    /// [`Halt`]: not the payee's, or for something else.
    pub fn on_receipt(&self, cx: &mut Context<'_>, number: u64, receipt: Signed<Receipt>) -> Result<(), Halt> {
        let drawn = self.again(cx, number)?;
        let draft = drawn.payment.draft.peek().map_err(Refusal::from)?;
        let receipt = receipt.verify_by(self.network, draft.payee).map_err(Refusal::from)?;
        let said = receipt.body();
        if (said.payment.instrument, said.order) != (drawn.payment.draft.digest(), draft.order) {
            return Err(Refusal::new(Code::Order, "a receipt for another draft").into());
        }
        self.receipted(cx, number, drawn, draft.payee)
    }

    /// The payee's receipt for the drafts of its queue.
    ///
    /// # Errors
    /// [`Halt`]: not the payee's, or without this draft.
    pub fn on_receipts(&self, cx: &mut Context<'_>, number: u64, receipts: Signed<Receipts>) -> Result<(), Halt> {
        let drawn = self.again(cx, number)?;
        let payee = drawn.payment.draft.peek().map_err(Refusal::from)?.payee;
        let receipts = receipts.verify_by(self.network, payee).map_err(Refusal::from)?;
        if !receipts.body().drafts.as_slice().contains(&Digest(drawn.payment.draft.digest())) {
            return Err(Refusal::new(Code::Order, "a receipt for other drafts").into());
        }
        self.receipted(cx, number, drawn, payee)
    }

    fn receipted(&self, cx: &mut Context<'_>, number: u64, mut drawn: Drawn, payee: PeerId) -> Result<(), Halt> {
        // The payee has seen the certificate now; from here on its digest will do.
        if let Shown::Whole(certificate) = &drawn.payment.certificate {
            cx.tx.put(SHOWN, &self.pair(payee), wire::encode(&Digest(certificate.digest())));
        }
        if drawn.state == DrawnState::Written {
            drawn.state = DrawnState::Receipted;
            self.store(cx, number, &drawn);
        }
        Ok(())
    }

    /// Says that the goods have come: what the payee shows if the draft were stopped.
    ///
    /// # Errors
    /// [`Code::State`] for a draft that was stopped: nobody says both.
    pub fn delivered(&self, cx: &mut Context<'_>, number: u64) -> Result<Signed<Delivered>, Halt> {
        let mut drawn = self.again(cx, number)?;
        if drawn.state == DrawnState::Stopped {
            return Err(Refusal::new(Code::State, "this draft was stopped").into());
        }
        drawn.state = DrawnState::Delivered;
        self.store(cx, number, &drawn);
        let draft = Digest(drawn.payment.draft.digest());
        Ok(self.key.sign(self.network, &Delivered { draft, time: cx.now }))
    }

    /// KSS-1: stops a draft. The bank sets its money aside.
    ///
    /// # Errors
    /// [`Code::State`] for a draft whose goods have come.
    pub fn stop(&self, cx: &mut Context<'_>, number: u64, reason: StopReason) -> Result<Signed<Stop>, Halt> {
        let mut drawn = self.again(cx, number)?;
        if drawn.state == DrawnState::Delivered {
            return Err(Refusal::new(Code::State, "you have acknowledged the delivery").into());
        }
        drawn.state = DrawnState::Stopped;
        self.store(cx, number, &drawn);
        Ok(self.key.sign(self.network, &Stop { draft: drawn.payment.draft, reason, time: cx.now }))
    }

    /// The payee gave a draft back.
    ///
    /// # Errors
    /// [`Halt`]: not the payee's word, or about another draft.
    pub fn on_returned(&self, cx: &Context<'_>, number: u64, returned: &Signed<Returned>) -> Result<(), Halt> {
        let drawn = self.again(cx, number)?;
        let payee = drawn.payment.draft.peek().map_err(Refusal::from)?.payee;
        let returned = returned.clone().verify_by(self.network, payee).map_err(Refusal::from)?;
        if returned.body().draft.0 == drawn.payment.draft.digest() {
            return Ok(());
        }
        Err(Refusal::new(Code::Order, "another draft was given back").into())
    }

    /// The log of this key, unless another copy of the wallet kept it.
    fn own_log(&self, cx: &Context<'_>) -> Result<Log, Halt> {
        let log = Log::read(&*cx.tx, self.key.id())?.unwrap_or_else(|| Log::new(self.key.id(), self.copy));
        if log.copy == self.copy {
            return Ok(log);
        }
        let why = "this wallet was restored: reconcile with the bank before it pays again";
        Err(Refusal::new(Code::Epoch, why).into())
    }

    fn pair(&self, payee: PeerId) -> Vec<u8> {
        [self.key.id().0, payee.0].concat()
    }

    fn store(&self, cx: &mut Context<'_>, number: u64, drawn: &Drawn) {
        cx.tx.put(DRAWN, &place(self.key.id(), number), wire::encode(drawn));
    }

    /// The moment of a statement: the clock's, and never earlier than the last one.
    fn moment(now: Time, log: &Log) -> Time {
        now.max(log.last)
    }
}
