//! What goes over the wire: a short head in the clear, and the rest sealed under a shared key.
//!
//! In the clear stands only what the reader needs to find its key: the customer's name towards the
//! bank, where it has many, and the key's version. Put frames on an encrypted connection, and
//! listeners do not see that either.

use farthing_core::aead::{NONCE_LEN, Nonce};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::wire::{self, Wire};
use minicbor::{Decode, Encode};

use crate::keys::{CustomerKey, Way};

const LABEL: &[u8; 20] = b"farthing/v1/clearing";

/// `hash(M)`: how the next message names this one. That of a request to transfer is the name of the
/// authorisation as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct MessageId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

impl MessageId {
    /// Of these bytes.
    #[must_use]
    pub fn of(frame: &[u8]) -> Self {
        Self(hash(Purpose::ClearingMessage, &[frame]))
    }
}

impl core::fmt::Debug for MessageId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "MessageId({:02x}{:02x}{:02x}…)", self.0[0], self.0[1], self.0[2])
    }
}

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum FrameKind {
    /// KSO-1, to the bank: a request to transfer.
    #[n(1)]
    Transfer,
    /// KSO-2, from the bank: its answer.
    #[n(2)]
    Answer,
    /// `Z1`, from the bank to the payee, by way of the payer.
    #[n(3)]
    Ticket,
    /// KSR-1, to the bank: let us compare.
    #[n(4)]
    Hello,
    /// KSR-2, from the bank: what it expects.
    #[n(5)]
    Challenge,
    /// KSR-3, to the bank: a page of the log.
    #[n(6)]
    Page,
    /// KSR-4, from the bank: more, please; or how it ended.
    #[n(7)]
    PageAnswer,
    /// To the bank: the next lines that are missing here.
    #[n(8)]
    Fetch,
    /// From the bank: those lines.
    #[n(9)]
    Lines,
}

impl FrameKind {
    const fn way(self) -> Way {
        match self {
            Self::Transfer | Self::Hello | Self::Page | Self::Fetch => Way::ToBank,
            Self::Answer | Self::Challenge | Self::PageAnswer | Self::Lines => Way::ToCustomer,
            Self::Ticket => Way::Ticket,
        }
    }
}

/// A message as it arrived; says nothing until [`open`](Self::open).
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Frame {
    /// What it claims to hold.
    #[n(0)]
    pub kind: FrameKind,
    /// Whose key it claims to be sealed under; towards the bank only.
    #[n(1)]
    pub customer: Option<PeerId>,
    /// Which version of that key.
    #[n(2)]
    pub version: u32,
    /// Says it apart from all others.
    #[cbor(n(3), with = "minicbor::bytes")]
    nonce: Nonce,
    #[cbor(n(4), with = "minicbor::bytes")]
    sealed: Vec<u8>,
}

impl Frame {
    /// The bytes of a frame that holds this, sealed under a customer's key.
    #[must_use]
    pub fn seal<T: Wire>(
        network: NetworkId,
        kind: FrameKind,
        customer: PeerId,
        key: &CustomerKey,
        nonce: Nonce,
        content: &T,
    ) -> Vec<u8> {
        Self::seal_bytes(network, kind, customer, key, nonce, &wire::encode(content))
    }

    /// The bytes of a frame of the bank's: what it answers, dice and content give the nonce, so that
    /// the same answer, made again, is the same bytes. Were it ever made again otherwise, by another
    /// release for one, it would be under another nonce.
    pub(crate) fn seal_answer<T: Wire>(
        network: NetworkId,
        kind: FrameKind,
        customer: PeerId,
        key: &CustomerKey,
        (dice, answers): (&[u8; 32], MessageId),
        content: &T,
    ) -> Vec<u8> {
        let content = wire::encode(content);
        let nonce = grown_nonce(dice, answers, kind, &content);
        Self::seal_bytes(network, kind, customer, key, nonce, &content)
    }

    fn seal_bytes(
        network: NetworkId,
        kind: FrameKind,
        customer: PeerId,
        key: &CustomerKey,
        nonce: Nonce,
        content: &[u8],
    ) -> Vec<u8> {
        let about = about(network, kind, customer, key.version());
        let sealed = key.way(kind.way()).seal(&nonce, &about, content);
        let customer = (kind.way() == Way::ToBank).then_some(customer);
        wire::encode(&Self { kind, customer, version: key.version(), nonce, sealed })
    }

    /// Reads bytes that should be a frame of this kind.
    ///
    /// # Errors
    /// [`Code::Malformed`]; nothing is known about who sent them.
    pub fn read(bytes: &[u8], kind: FrameKind) -> Result<Self, Refusal> {
        let frame: Self = wire::decode(bytes)?;
        if frame.kind == kind {
            Ok(frame)
        } else {
            Err(Refusal::new(Code::Malformed, format!("a {kind:?} was due, not a {:?}", frame.kind)))
        }
    }

    /// Opens it under a customer's key: what is inside was said by the other holder of that key, as
    /// this kind of message, in this network.
    ///
    /// # Errors
    /// [`Code::Decrypt`] or [`Code::Malformed`]; nothing is known about who sent it.
    pub fn open<T: Wire>(&self, network: NetworkId, customer: PeerId, key: &CustomerKey) -> Result<T, Refusal> {
        let about = about(network, self.kind, customer, self.version);
        let opened = key.way(self.kind.way()).open(&self.nonce, &about, &self.sealed);
        let content = opened.map_err(|why| Refusal::new(Code::Decrypt, why.to_string()))?;
        Ok(wire::decode(&content)?)
    }
}

/// A nonce that never comes twice under one key with different content: from dice, what is answered,
/// the use, and the content.
fn grown_nonce(dice: &[u8; 32], answers: MessageId, kind: FrameKind, content: &[u8]) -> Nonce {
    let full = hash(Purpose::ClearingMessage, &[b"nonce", dice, &answers.0, &[kind as u8], content]);
    let mut nonce = [0; NONCE_LEN];
    nonce.copy_from_slice(&full[..NONCE_LEN]);
    nonce
}

/// A nonce from a source of randomness.
pub(crate) fn drawn_nonce(rng: &mut dyn rand_core::CryptoRng) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    nonce
}

/// What is authenticated and not hidden: label, network, kind, customer, version.
fn about(network: NetworkId, kind: FrameKind, customer: PeerId, version: u32) -> Vec<u8> {
    [&LABEL[..], &network.0, &[kind as u8], &customer.0, &version.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use farthing_core::seed::Secret;

    use super::*;
    use crate::keys::MasterKey;

    const HERE: NetworkId = NetworkId([1; 16]);

    #[test]
    fn reader_refuses_every_flipped_bit_another_network_customer_or_kind() {
        let (me, key) = (PeerId([2; 32]), MasterKey::new(Secret::new([1; 32])).customer(PeerId([2; 32]), 1));
        let good = Frame::seal(HERE, FrameKind::Transfer, me, &key, [7; NONCE_LEN], &42_u32);
        let open = |bytes: &[u8], network, who| {
            Frame::read(bytes, FrameKind::Transfer).and_then(|frame| frame.open::<u32>(network, who, &key))
        };
        assert_eq!(open(&good, HERE, me), Ok(42));
        assert_eq!(open(&good, NetworkId([2; 16]), me).unwrap_err().code, Code::Decrypt);
        assert_eq!(open(&good, HERE, PeerId([3; 32])).unwrap_err().code, Code::Decrypt);
        assert_eq!(Frame::read(&good, FrameKind::Page).unwrap_err().code, Code::Malformed);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let opened = Frame::read(&bad, FrameKind::Transfer)
                .ok()
                .filter(|frame| frame.customer == Some(me))
                .and_then(|frame| frame.open::<u32>(HERE, me, &key).ok());
            assert!(opened.is_none(), "bit {bit} may be flipped");
        }
    }

    #[test]
    fn an_answer_made_again_is_the_same_bytes_and_another_one_has_another_nonce() {
        let (me, key) = (PeerId([2; 32]), MasterKey::new(Secret::new([1; 32])).customer(PeerId([2; 32]), 1));
        let about = (&[3; 32], MessageId([4; 32]));
        let seal = |content: u32| Frame::seal_answer(HERE, FrameKind::Answer, me, &key, about, &content);
        assert_eq!(seal(42), seal(42));
        let nonce = |bytes: &[u8]| Frame::read(bytes, FrameKind::Answer).unwrap().nonce;
        assert_ne!(nonce(&seal(42)), nonce(&seal(43)), "one nonce for two contents would give both away");
    }

    #[test]
    fn only_frames_to_the_bank_say_whose_they_are() {
        let key = MasterKey::new(Secret::new([1; 32])).customer(PeerId([2; 32]), 1);
        for (kind, named) in [(FrameKind::Transfer, true), (FrameKind::Answer, false), (FrameKind::Ticket, false)] {
            let bytes = Frame::seal(HERE, kind, PeerId([2; 32]), &key, [7; NONCE_LEN], &42_u32);
            assert_eq!(Frame::read(&bytes, kind).unwrap().customer.is_some(), named);
        }
    }
}
