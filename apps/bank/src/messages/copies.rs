//! Which copy of a wallet may spend.

use farthing_core::time::Time;
use minicbor::{Decode, Encode};

/// A wallet that was made, or restored from a backup or its words, asks to be the copy that spends.
///
/// The bank counts copies: each that is new to it raises the sender's epoch by one. From then on
/// whatever opens or moves the sender's money must carry that epoch
/// ([`RequestBody::epoch`](farthing_role::RequestBody::epoch), and the epoch of a slip), so whatever
/// an older copy asks is refused. The key for clearing is replaced; the present copy enrols again. The present copy asks again without harm: it learns its epoch.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct TakeOver {
    /// Drawn when the wallet's store was made or restored.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub copy: [u8; 32],
}

/// The copy that asked may spend, and no other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Presence {
    /// What its requests carry from now on.
    #[n(0)]
    pub epoch: u64,
    /// When it took over, by the bank's clock.
    #[n(1)]
    pub since: Time,
}
