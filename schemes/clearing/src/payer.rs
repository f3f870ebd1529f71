//! The payer: asks the bank, keeps asking with the same bytes, and brings the ticket to the payee.

use farthing_core::amount::Amount;
use farthing_core::audit::{Direction, Entry};
use farthing_core::id::{NetworkId, OrderId, PeerId};
use farthing_core::refusal::{Code, Fault, Money, Refusal, Remedy};
use farthing_core::sign::{SecretKey, Signed, Verified};
use farthing_core::time::Time;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use crate::frame::{Frame, FrameKind, MessageId, drawn_nonce};
use crate::messages::{
    Acknowledged, Asking, Authorised, BankReceipt, Payment, TransferAnswer, TransferRequest, TransferResult,
};
use crate::reconciliation::Line;
use crate::wallet::{Pending, Standing, Wallet};

/// What is to be paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// To whom.
    pub payee: PeerId,
    /// How much.
    pub amount: Amount,
    /// What for.
    pub order: OrderId,
    /// Whether the bank shall sign a receipt.
    pub receipt: bool,
}

/// A payment that the bank has made. Kept until the payee has acknowledged it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Paid {
    /// The authorisation.
    #[n(0)]
    pub auth: MessageId,
    /// To whom, how much, what for.
    #[n(1)]
    pub line: Line,
    /// The first moment at which the payee serves no more for it.
    #[n(2)]
    pub expires: Time,
    /// `Z1`.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub ticket: Vec<u8>,
    /// The bank's signed receipt, where one was asked for.
    #[n(4)]
    pub receipt: Option<Signed<BankReceipt>>,
}

/// What the bank said to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answered {
    /// The money moved. Store the entry with the wallet, then bring [`Paid::payment`] to the payee.
    Paid(Box<Paid>, Entry),
    /// The request was refused, and used its number up: nothing is pending any more.
    Refused(Refusal),
    /// The request was not taken up, and might be if it were sent again: compare books first.
    Stuck(Refusal),
}

impl Wallet {
    /// KSO-1: the bytes to send to the bank. Store the wallet before they leave; send them again,
    /// and no others, until an answer comes.
    ///
    /// The paper's sequence number rises "immediately", so that a lost answer makes the next try a
    /// second payment. Here it rises with the answer.
    ///
    /// # Errors
    /// [`Code::State`] while another request is pending, [`Code::Reconcile`] where books must be
    /// compared first, [`Code::Amount`] and [`Code::Order`] for what makes no sense.
    pub fn pay(
        &mut self,
        now: Time,
        transfer: &Transfer,
        signer: Option<&SecretKey>,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, Refusal> {
        if self.pending.is_some() {
            let why = "a payment is still unanswered: send its bytes again, or compare books";
            return Err(Refusal::new(Code::State, why).blame(Fault::Nobody).remedy(Remedy::Again));
        }
        if self.standing != Standing::Ready {
            return Err(Refusal::new(Code::Reconcile, "the wallet must compare books with the bank before it pays"));
        }
        if transfer.amount.is_zero() {
            return Err(Refusal::new(Code::Amount, "an amount of nothing cannot be paid"));
        }
        if transfer.payee == self.me {
            return Err(Refusal::new(Code::Order, "nobody pays itself"));
        }
        let request = TransferRequest {
            epoch: self.epoch,
            sequence: self.next,
            commitment: self.log.commitment(),
            received: self.log.incoming.n,
            amount: transfer.amount,
            payee: transfer.payee,
            order: transfer.order,
            time: now,
            receipt: transfer.receipt,
        };
        let asking = match signer {
            Some(signer) => Asking::Signed(signer.sign(self.network, &request)),
            None => Asking::Plain(request.clone()),
        };
        let nonce = drawn_nonce(rng);
        let frame = Frame::seal(self.network, FrameKind::Transfer, self.me, &self.key, nonce, &asking);
        let auth = MessageId::of(&frame);
        self.pending = Some(Pending { auth, request, frame: frame.clone(), found: false });
        Ok(frame)
    }

    /// KSO-2. The caller stores the wallet, and the entry if there is one, before it does anything
    /// with the outcome.
    ///
    /// # Errors
    /// A [`Refusal`] of bytes that are no answer to what is pending: forged, repeated, or the
    /// bank's mistake. Nothing changed; the request is still pending.
    pub fn on_answer(&mut self, bytes: &[u8]) -> Result<Answered, Refusal> {
        let (pending, answer) = self.read_answer(bytes)?;
        match answer.result {
            TransferResult::Paid(authorised) => {
                let paid = paid(&pending, self.me, answer.next, authorised, self.network, self.bank)?;
                let entry = self.append(&paid.line, Direction::Out)?;
                self.count(paid.line.amount, Direction::Out);
                self.next = answer.next;
                self.pending = None;
                Ok(Answered::Paid(Box::new(paid), entry))
            }
            TransferResult::Refused(why) => {
                self.next = pending.request.sequence.saturating_add(1);
                self.pending = None;
                if why.remedy == Remedy::Reconcile {
                    self.standing = Standing::MustReconcile;
                }
                Ok(Answered::Refused(why))
            }
            TransferResult::TurnedAway(why) => {
                self.standing = Standing::MustReconcile;
                Ok(Answered::Stuck(why))
            }
        }
    }

    /// What a comparison found to be the answer, for the ticket in it; the log is repaired by then.
    pub(crate) fn read_paid(&self, bytes: &[u8]) -> Result<Option<Paid>, Refusal> {
        let (pending, answer) = self.read_answer(bytes)?;
        match answer.result {
            TransferResult::Paid(authorised) => {
                paid(&pending, self.me, answer.next, authorised, self.network, self.bank).map(Some)
            }
            TransferResult::Refused(_) | TransferResult::TurnedAway(_) => Ok(None),
        }
    }

    fn read_answer(&self, bytes: &[u8]) -> Result<(Pending, TransferAnswer), Refusal> {
        let frame = Frame::read(bytes, FrameKind::Answer)?;
        let answer: TransferAnswer = frame.open(self.network, self.me, &self.key)?;
        let pending = self.pending.clone();
        let pending = pending.ok_or_else(|| Refusal::new(Code::Replay, "nothing is pending that this could answer"))?;
        if answer.answers != pending.auth || answer.sequence != pending.request.sequence {
            let why = "this answers another request, not the one that is pending";
            return Err(Refusal::new(Code::Replay, why).money(Money::Unknown).remedy(Remedy::Again));
        }
        Ok((pending, answer))
    }
}

/// Compares the bank's answer with what was asked, field by field.
fn paid(
    pending: &Pending,
    me: PeerId,
    next: u64,
    authorised: Authorised,
    network: NetworkId,
    bank: PeerId,
) -> Result<Paid, Refusal> {
    let asked = &pending.request;
    let Authorised { payer, payee, amount, expires, ticket, receipt } = authorised;
    let receipt = receipt.map(|receipt| receipt.verify_by(network, bank)).transpose()?;
    let proven = receipt.as_ref().map(Verified::body);
    let receipted = proven.is_none_or(|said| {
        (said.auth, said.payer, said.payee, said.amount, said.order)
            == (pending.auth, me, asked.payee, asked.amount, asked.order)
    });
    let same = (payer, payee, amount) == (me, asked.payee, asked.amount)
        && next == asked.sequence.saturating_add(1)
        && receipted
        && asked.receipt == proven.is_some();
    if !same {
        let why = "the bank's answer is not what was asked: do not pay again; bring both to the operator";
        let refusal = Refusal::new(Code::Conflict, why).blame(Fault::Third).money(Money::Unknown);
        return Err(refusal.remedy(Remedy::Appeal));
    }
    let line = Line { auth: pending.auth, peer: payee, amount, order: asked.order };
    Ok(Paid { auth: pending.auth, line, expires, ticket, receipt: receipt.map(Verified::into_signed) })
}

impl Paid {
    /// KSO-3: what to bring to the payee, as often as it takes.
    #[must_use]
    pub fn payment(&self, sign: bool) -> Payment {
        Payment { ticket: self.ticket.clone(), sign }
    }

    /// KSO-4: whether the payee acknowledges this payment, whole. A plain receipt is believed
    /// because of the connection it came by.
    ///
    /// # Errors
    /// [`Code::Signature`], or [`Code::Order`] where it is about something else.
    pub fn on_receipt(&self, network: NetworkId, payer: PeerId, acknowledged: &Acknowledged) -> Result<(), Refusal> {
        let receipt = match acknowledged {
            Acknowledged::Plain(receipt) => receipt.clone(),
            Acknowledged::Signed(signed) => signed.clone().verify_by(network, self.line.peer)?.body().clone(),
        };
        let same = (receipt.order, receipt.payment.instrument, receipt.amount, receipt.payer)
            == (self.line.order, self.auth.0, self.line.amount, payer);
        if same {
            Ok(())
        } else {
            Err(Refusal::new(Code::Order, "the receipt is for something else: ask the payee again")
                .blame(Fault::Third)
                .money(Money::MovedBefore)
                .remedy(Remedy::Again))
        }
    }
}
