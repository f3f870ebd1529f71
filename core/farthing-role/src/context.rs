//! The role and what it is handed.

use farthing_core::id::PeerId;
use farthing_core::refusal::Refusal;
use farthing_core::time::Time;
use farthing_ledger::{LedgerError, LedgerRefusal, StoreFault};

use crate::records::{Records, Transaction};
use crate::request::Request;

/// What a role is handed to handle one message.
pub struct Context<'a> {
    /// The moment this batch began.
    pub now: Time,
    /// Randomness, fresh for this message.
    pub dice: [u8; 32],
    /// The open transaction. What is written here lasts only if the role does not halt.
    pub tx: &'a mut dyn Transaction,
}

/// Why a role did not handle a message. Either way nothing it wrote is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The message is refused, and its sender learns why.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The store did not answer. The outcome of the whole batch is unknown; the process ends.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl From<LedgerRefusal> for Halt {
    fn from(why: LedgerRefusal) -> Self {
        Self::Refused(why.into())
    }
}

impl From<LedgerError> for Halt {
    fn from(why: LedgerError) -> Self {
        match why {
            LedgerError::Refused(why) => why.into(),
            LedgerError::Store(fault) => Self::Store(fault),
        }
    }
}

/// What handling a message gave: the reply, which leaves once the changes are durable and is stored
/// with them for repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The canonical bytes of the reply.
    pub reply: Vec<u8>,
}

/// A machine without hands.
///
/// A message goes through two steps. [`check`](Role::check) may be slow and runs for many messages
/// at once and beside other batches: it decodes, checks signatures and walks chains, and changes
/// nothing. [`apply`](Role::apply) runs for one message after the other, in the order in which they
/// take effect.
pub trait Role: Send + Sync + 'static {
    /// A message that passed [`check`](Role::check).
    type Checked: Send;

    /// Checks requests as far as that needs no transaction. `facts` are records as they stood a
    /// moment ago: only what can never become untrue again may be concluded from them. Answers in
    /// order, one for each request.
    fn check(&self, now: Time, requests: Vec<Request>, facts: &dyn Records) -> Vec<Result<Self::Checked, Halt>>;

    /// Handles one checked message.
    ///
    /// # Errors
    /// [`Halt`]; then nothing the role wrote is kept.
    fn apply(&self, cx: &mut Context<'_>, sender: PeerId, message: Self::Checked) -> Result<Outcome, Halt>;

    /// Does what has fallen due, a bounded portion at a time; says whether more waits.
    ///
    /// # Errors
    /// [`Halt::Store`].
    fn tick(&self, cx: &mut Context<'_>) -> Result<bool, Halt>;
}
