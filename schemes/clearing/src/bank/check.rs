//! What can be found out about a frame without a transaction.

use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::wire;
use farthing_role::{Halt, Records};

use super::{Clearing, records, replaced, unknown};
use crate::frame::{Frame, FrameKind, MessageId};
use crate::messages::{Asking, TransferRequest};
use crate::reconciliation::{Fetch, Hello, Page};

/// A frame that opened under its customer's key.
#[derive(Clone, Debug)]
pub struct Checked {
    pub(super) customer: PeerId,
    pub(super) id: MessageId,
    pub(super) version: u32,
    pub(super) message: Message,
}

impl Checked {
    /// Who sent it.
    #[must_use]
    pub const fn customer(&self) -> PeerId {
        self.customer
    }
}

#[derive(Clone, Debug)]
pub(super) enum Message {
    Transfer(Asked),
    Hello(Hello),
    Page(Box<Page>),
    Fetch(Fetch),
}

/// A request to transfer, and its signed bytes where it was signed.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) request: TransferRequest,
    pub(super) signed: Option<Vec<u8>>,
}

impl Clearing {
    /// Opens a frame: parse, customer and key known, then the seal, then a signature if there is
    /// one. Costs a stranger nothing and us at most three hashes and one opening. Changes nothing;
    /// `facts` may be a moment old.
    ///
    /// # Errors
    /// [`Halt::Refused`] in clear, since nothing is known about who sent it. Whoever gets one should
    /// not believe it: anybody on the way can say the same.
    pub fn check(&self, bytes: &[u8], facts: &dyn Records) -> Result<Checked, Halt> {
        let frame: Frame = wire::decode(bytes).map_err(Refusal::from)?;
        let customer = frame.customer.ok_or_else(|| Refusal::new(Code::Malformed, "the frame names no customer"))?;
        let record = records::account(facts, customer)?.ok_or_else(unknown)?;
        if frame.version != record.version {
            return Err(replaced().into());
        }
        let key = self.master.customer(customer, frame.version);
        let message = match frame.kind {
            FrameKind::Transfer => Message::Transfer(self.asked(customer, frame.open(self.network, customer, &key)?)?),
            FrameKind::Hello => Message::Hello(frame.open(self.network, customer, &key)?),
            FrameKind::Page => Message::Page(Box::new(frame.open(self.network, customer, &key)?)),
            FrameKind::Fetch => Message::Fetch(frame.open(self.network, customer, &key)?),
            other => {
                return Err(Refusal::new(Code::Malformed, format!("a {other:?} is not for the bank")).into());
            }
        };
        Ok(Checked { customer, id: MessageId::of(bytes), version: frame.version, message })
    }

    fn asked(&self, customer: PeerId, asking: Asking) -> Result<Asked, Refusal> {
        match asking {
            Asking::Plain(request) => Ok(Asked { request, signed: None }),
            Asking::Signed(signed) => {
                let verified = signed.verify_by(self.network, customer)?;
                let bytes = wire::encode(verified.signed());
                Ok(Asked { request: verified.body().clone(), signed: Some(bytes) })
            }
        }
    }
}
