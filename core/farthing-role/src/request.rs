//! A request: who asks, under which id, for what.

use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{PeerId, RequestId};
use farthing_core::sign::{Statement, Verified};
use farthing_core::time::{Span, Time};
use minicbor::{Decode, Encode};

/// How long after it was made a request may still be sent, and how long its reply is kept at
/// least: 7 days. An older one is refused before it is looked at, so a reply may be forgotten
/// without the request ever being carried out twice.
pub const REQUEST_HORIZON: Span = Span::from_days(7);

/// What a sender signs: an id of its own choosing, and what it asks for.
///
/// The id is written down before the request is first sent and used again for every repeat, so
/// that a lost answer never costs money twice.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct RequestBody {
    /// Chosen by the sender, ordered in time ([`farthing_core::id::timed`]).
    #[n(0)]
    pub id: RequestId,
    /// Whom the sender asks: the receiver's key. A request forwarded to another says nothing there.
    #[n(1)]
    pub to: PeerId,
    /// Which message this is, in the receiver's numbering.
    #[n(2)]
    pub kind: u16,
    /// The canonical bytes of the message.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub message: Vec<u8>,
    /// Which copy of the sender's wallet asks, as the receiver numbers them; nothing is copy 0. It is
    /// no part of what tells a repeat from a contradiction.
    #[n(4)]
    pub epoch: Option<u64>,
}

impl Statement for RequestBody {
    const KIND: u16 = 0x0001;
}

/// A request whose sender is known: its signature held, or it came over an authenticated session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Who asks.
    pub sender: PeerId,
    /// Under which id.
    pub id: RequestId,
    /// Which message this is.
    pub kind: u16,
    /// The canonical bytes of the message.
    pub message: Vec<u8>,
    /// The canonical bytes of the signed [`RequestBody`], for evidence; empty where the sender was
    /// known by other means.
    pub proof: Vec<u8>,
    /// Which copy of the sender's wallet asks: [`RequestBody::epoch`], 0 for none.
    pub epoch: u64,
}

impl Request {
    /// A request whose signature held.
    #[must_use]
    pub fn signed(request: Verified<RequestBody>) -> Self {
        let proof = farthing_core::wire::encode(request.signed());
        let RequestBody { id, kind, message, epoch, .. } = request.body().clone();
        Self { sender: request.signer(), id, kind, message, proof, epoch: epoch.unwrap_or_default() }
    }

    /// A request from within the same process, or from a sender known by its session.
    #[must_use]
    pub const fn unsigned(sender: PeerId, id: RequestId, kind: u16, message: Vec<u8>) -> Self {
        Self { sender, id, kind, message, proof: Vec::new(), epoch: 0 }
    }

    /// What tells a repeat from a contradiction: the hash of everything but the signature
    /// and the epoch: a copy that was confirmed anew repeats its request and gets its reply.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        hash(Purpose::Request, &[&self.sender.0, &self.id.0, &self.kind.to_be_bytes(), &self.message])
    }

    /// Whether the request may still, and already, be carried out; see [`is_timely`].
    #[must_use]
    pub fn is_timely(&self, now: Time) -> bool {
        is_timely(self.id, now)
    }
}

/// Whether an id's time is within [`REQUEST_HORIZON`] of `now` and not ahead of any honest clock.
#[must_use]
pub fn is_timely(id: RequestId, now: Time) -> bool {
    let made = farthing_core::id::time_of(&id.0);
    made <= now.after(farthing_core::time::SKEW) && now < made.after(REQUEST_HORIZON)
}
