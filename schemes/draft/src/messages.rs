//! What is said, by whom to whom. `docs/schemes/draft.md` shows the whole conversation.

use farthing_core::amount::Amount;
use farthing_core::id::{NetworkId, OrderId, PeerId};
use farthing_core::sign::Statement;
use farthing_core::time::{Span, Time};
use minicbor::{Decode, Encode};

/// The longest a draft may wait for its deposit: 30 days. Bounds what a bank remembers.
pub const DRAFT_LIFE_MAX: Span = Span::from_days(30);

/// A draft: the payer's promise that its bank will pay this much to this payee. Its signer is the
/// payer: the holder of the certificate it goes with, a pseudonym perhaps.
///
/// Kelsey and Schneier's `X0`. The paper's list of fields leaves out the amount, the order and the
/// end; all are under the signature here.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Draft {
    /// Its place in the payer's outgoing log: one higher than the last. Its upper half is the
    /// epoch: see [`epoch_of`].
    #[n(0)]
    pub number: u64,
    /// The network of the payer's bank; the signature is made in it.
    #[n(1)]
    pub network: NetworkId,
    /// The bank it is drawn on: the key that signs its statements.
    #[n(2)]
    pub bank: PeerId,
    /// Who is paid; nobody else can deposit it.
    #[n(3)]
    pub payee: PeerId,
    /// How much.
    #[n(4)]
    pub amount: Amount,
    /// What for.
    #[n(5)]
    pub order: OrderId,
    /// The first moment at which it cannot be deposited any more.
    #[n(6)]
    pub deposit_by: Time,
    /// The payer's audit log just before this draft (`V0`); see
    /// [`AuditLog::commitment`](farthing_core::audit::AuditLog::commitment).
    #[cbor(n(7), with = "minicbor::bytes")]
    pub log: [u8; 32],
    /// When it was written, by the payer's clock (`T0`).
    #[n(8)]
    pub time: Time,
}

impl Statement for Draft {
    const KIND: u16 = 0x0601;
}

/// The epoch of a draft's number. A wallet that lost its log begins a new epoch, whose numbers no
/// draft of the old one can have.
#[must_use]
pub const fn epoch_of(number: u64) -> u32 {
    (number >> 32) as u32
}
