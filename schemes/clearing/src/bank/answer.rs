//! KSO-2: the answer, made of what is stored.

use farthing_core::id::PeerId;
use farthing_core::refusal::Refusal;
use farthing_role::Context;

use super::Clearing;
use super::records::{AccountRecord, Last, Moved, Outcome};
use crate::frame::{Frame, FrameKind, MessageId};
use crate::messages::{Authorised, BankReceipt, Ticket, TransferAnswer, TransferResult};

/// What the bank will say to a frame, once the transaction that decided it is durable.
/// [`Clearing::speak`] makes the bytes.
#[derive(Clone, Debug)]
pub struct Decided(pub(super) Say);

#[derive(Clone, Debug)]
pub(super) enum Say {
    /// What became of a request.
    Answer { payer: PeerId, version: u32, last: Box<Last> },
    /// That a request was not taken up.
    Away { payer: PeerId, version: u32, dice: [u8; 32], answer: Box<TransferAnswer> },
    /// Bytes that are sealed already, because they are stored.
    Sealed(Vec<u8>),
}

impl Clearing {
    /// The answer's bytes. Needs no transaction: seal and sign beside other work, not in the way of
    /// everybody's next payment. To be called when what was decided is durable.
    #[must_use]
    pub fn speak(&self, decided: Decided) -> Vec<u8> {
        match decided.0 {
            Say::Answer { payer, version, last } => self.answer(payer, version, &last),
            Say::Away { payer, version, dice, answer } => self.seal_answer(payer, version, &dice, &answer),
            Say::Sealed(bytes) => bytes,
        }
    }

    /// KSO-2, from what is stored: the same bytes each time.
    pub(super) fn answer(&self, payer: PeerId, version: u32, last: &Last) -> Vec<u8> {
        let result = match &last.outcome {
            Outcome::Refused(why) => TransferResult::Refused(why.clone()),
            Outcome::Paid(moved) => TransferResult::Paid(self.authorised(payer, last, moved)),
        };
        let next = last.sequence.saturating_add(1);
        let answer = TransferAnswer { answers: last.auth, sequence: last.sequence, next, result };
        self.seal_answer(payer, version, &last.dice, &answer)
    }

    fn authorised(&self, payer: PeerId, last: &Last, moved: &Moved) -> Authorised {
        let Moved { payee, payee_version, amount, order, number, time, expires, receipt } = *moved;
        let auth = last.auth;
        let ticket = Ticket { auth, payer, payee, amount, expires, number, order };
        let key = self.master.customer(payee, payee_version);
        let about = (&last.dice, auth);
        let ticket = Frame::seal_answer(self.network, FrameKind::Ticket, payee, &key, about, &ticket);
        let receipt =
            receipt.then(|| self.key.sign(self.network, &BankReceipt { auth, payer, payee, amount, order, time }));
        Authorised { payer, payee, amount, expires, ticket, receipt }
    }

    /// A refusal that leaves the sequence number where it is; under seal, so that nobody else can
    /// say it.
    pub(super) fn turn_away(
        cx: &Context<'_>,
        payer: PeerId,
        record: &AccountRecord,
        auth: MessageId,
        sequence: u64,
        why: Refusal,
    ) -> Decided {
        let result = TransferResult::TurnedAway(why);
        let answer = TransferAnswer { answers: auth, sequence, next: record.next, result };
        Decided(Say::Away { payer, version: record.version, dice: cx.dice, answer: Box::new(answer) })
    }

    fn seal_answer(&self, payer: PeerId, version: u32, dice: &[u8; 32], answer: &TransferAnswer) -> Vec<u8> {
        let key = self.master.customer(payer, version);
        Frame::seal_answer(self.network, FrameKind::Answer, payer, &key, (dice, answer.answers), answer)
    }
}
