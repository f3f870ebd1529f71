//! Signed statements: Ed25519 (RFC 8032) over the network, the kind and the very bytes received.
//!
//! A [`Signed`] came from outside and proves nothing. [`Signed::verify`] is the only way to a
//! [`Verified`], whose body may be believed to have been said by its signer.

use core::fmt;
use core::marker::PhantomData;

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::hash::{Purpose, hash};
use crate::id::{NetworkId, PeerId};
use crate::meter::{self, Op};
use crate::wire::{self, Wire};

/// The longest body a statement may have.
pub const BODY_MAX: usize = 256 * 1024;

const LABEL: &[u8; 18] = b"farthing/v1/signed";

/// What a statement says, told apart by number: no statement can be read as one of another kind.
pub trait Statement: Wire {
    /// The number of this kind of statement; unique in the platform. Core takes 0x00xx, each
    /// scheme a page of its own.
    const KIND: u16;
}

/// A key that signs. Its `Debug` shows none of it, and it is wiped when dropped.
pub struct SecretKey(ed25519_dalek::SigningKey);

impl SecretKey {
    /// The key grown from 32 secret bytes (RFC 8032's private key).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Whose signatures these are.
    #[must_use]
    pub fn id(&self) -> PeerId {
        PeerId(self.0.verifying_key().to_bytes())
    }

    /// Says something in a network.
    #[must_use]
    pub fn sign<T: Statement>(&self, network: NetworkId, statement: &T) -> Signed<T> {
        let body = wire::encode(statement);
        meter::count(Op::Sign, 1);
        let signature = self.0.sign(&signed_bytes(network, T::KIND, &body)).to_bytes();
        Signed { signer: self.id(), body, signature, says: PhantomData }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {:?}", self.id())
    }
}

/// A statement as it arrived: who claims to have signed it, its bytes, and the signature.
pub struct Signed<T> {
    signer: PeerId,
    body: Vec<u8>,
    signature: [u8; 64],
    says: PhantomData<fn() -> T>,
}

/// Why a signed statement is not believed. Nothing changed; asking again will not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The signature is not that signer's over these bytes in this network.
    #[error("the signature does not fit: forged, damaged, or made for another network or purpose")]
    Forged,
    /// The signature holds, but what it covers is not one canonical statement of this kind.
    #[error("the signed statement cannot be read")]
    Malformed,
    /// Signed properly, by somebody else.
    #[error("the statement is signed by somebody else")]
    WrongSigner,
}

/// A statement whose signature was checked; made by [`Signed::verify`] and nothing else.
pub struct Verified<T> {
    signed: Signed<T>,
    body: T,
}

impl<T: Statement> Signed<T> {
    /// Who claims to have signed; believed only after [`verify`](Self::verify).
    #[must_use]
    pub const fn claimed_signer(&self) -> PeerId {
        self.signer
    }

    /// The identity of what is said, in whatever network; not of the signature, which its maker
    /// could make anew.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        hash(Purpose::Statement, &[&T::KIND.to_be_bytes(), &self.signer.0, &self.body])
    }

    /// Checks the signature, strictly: keys of small order and signatures out of range are refused.
    ///
    /// # Errors
    /// [`Unproven::Forged`] or [`Unproven::Malformed`].
    pub fn verify(self, network: NetworkId) -> Result<Verified<T>, Unproven> {
        meter::count(Op::Verify, 1);
        let key = VerifyingKey::from_bytes(&self.signer.0).map_err(|_| Unproven::Forged)?;
        key.verify_strict(&signed_bytes(network, T::KIND, &self.body), &Signature::from_bytes(&self.signature))
            .map_err(|_| Unproven::Forged)?;
        self.believed()
    }

    /// Checks the signature and that it is `signer`'s.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), and [`Unproven::WrongSigner`].
    pub fn verify_by(self, network: NetworkId, signer: PeerId) -> Result<Verified<T>, Unproven> {
        if self.signer != signer {
            return Err(Unproven::WrongSigner);
        }
        self.verify(network)
    }

    /// What it would say if the signature held. Nothing may be decided on it but which keys and
    /// records to fetch for the check.
    ///
    /// # Errors
    /// [`Unproven::Malformed`].
    pub fn peek(&self) -> Result<T, Unproven> {
        wire::decode(&self.body).map_err(|_| Unproven::Malformed)
    }

    fn believed(self) -> Result<Verified<T>, Unproven> {
        let body = self.peek()?;
        Ok(Verified { signed: self, body })
    }
}

impl<T> Verified<T> {
    /// What was said.
    #[must_use]
    pub const fn body(&self) -> &T {
        &self.body
    }

    /// Who said it.
    #[must_use]
    pub const fn signer(&self) -> PeerId {
        self.signed.signer
    }

    /// The statement as it arrived, to store, forward or show a judge.
    #[must_use]
    pub const fn signed(&self) -> &Signed<T> {
        &self.signed
    }

    /// Gives up the proof and keeps the statement.
    #[must_use]
    pub fn into_signed(self) -> Signed<T> {
        self.signed
    }
}

impl<T: Statement> Verified<T> {
    /// The identity of what was said.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.signed.digest()
    }
}

/// Checks many signatures of one kind in one go, some two and a half times faster than one by one.
///
/// The fast check answers for all of them together; when it fails, each is checked alone. A signer
/// may craft a signature that the fast check lets pass and the strict one does not (its commitment
/// has a component of small order). So a statement that came in by this door is checked again,
/// strictly, before it is used as evidence; `docs/decisions/0003-batch-verification.md` tells why
/// no money depends on it.
pub fn verify_batch<T: Statement>(network: NetworkId, signed: Vec<Signed<T>>) -> Vec<Result<Verified<T>, Unproven>> {
    let keys: Option<Vec<VerifyingKey>> =
        signed.iter().map(|s| VerifyingKey::from_bytes(&s.signer.0).ok().filter(|key| !key.is_weak())).collect();
    let Some(keys) = keys else {
        return signed.into_iter().map(|s| s.verify(network)).collect();
    };
    let messages: Vec<Vec<u8>> = signed.iter().map(|s| signed_bytes(network, T::KIND, &s.body)).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let signatures: Vec<Signature> = signed.iter().map(|s| Signature::from_bytes(&s.signature)).collect();
    if ed25519_dalek::verify_batch(&messages, &signatures, &keys).is_ok() {
        meter::count(Op::Verify, signed.len() as u64);
        signed.into_iter().map(Signed::believed).collect()
    } else {
        signed.into_iter().map(|s| s.verify(network)).collect()
    }
}

/// The bytes under a signature: label, network, kind, length, body.
fn signed_bytes(network: NetworkId, kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LABEL.len() + 26 + body.len());
    bytes.extend_from_slice(LABEL);
    bytes.extend_from_slice(&network.0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self { signer: self.signer, body: self.body.clone(), signature: self.signature, says: PhantomData }
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.signer, &self.body, self.signature) == (other.signer, &other.body, other.signature)
    }
}

impl<T> Eq for Signed<T> {}

impl<T> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({} bytes by {:?})", self.body.len(), self.signer)
    }
}

impl<T: Clone> Clone for Verified<T> {
    fn clone(&self) -> Self {
        Self { signed: self.signed.clone(), body: self.body.clone() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} said {:?}", self.signed.signer, self.body)
    }
}

impl<C, T> Encode<C> for Signed<T> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(3)?;
        self.signer.encode(e, c)?;
        e.bytes(&self.body)?.bytes(&self.signature)?.ok()
    }
}

impl<'b, C, T> Decode<'b, C> for Signed<T> {
    fn decode(d: &mut Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        let wrong = minicbor::decode::Error::message;
        if d.array()? != Some(3) {
            return Err(wrong("a signed statement has three parts"));
        }
        let signer = PeerId::decode(d, c)?;
        let body = d.bytes()?;
        if body.len() > BODY_MAX {
            return Err(wrong("a statement too long"));
        }
        let body = body.to_vec();
        let signature = d.bytes()?.try_into().map_err(|_| wrong("a signature is 64 bytes"))?;
        Ok(Self { signer, body, signature, says: PhantomData })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Encode, Decode, Clone, Debug, PartialEq)]
    struct Says(#[n(0)] u32);
    impl Statement for Says {
        const KIND: u16 = 0xfff0;
    }
    #[derive(Encode, Decode, Clone, Debug, PartialEq)]
    struct Promises(#[n(0)] u32);
    impl Statement for Promises {
        const KIND: u16 = 0xfff1;
    }

    const HERE: NetworkId = NetworkId([1; 16]);

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    #[test]
    fn a_signed_statement_is_believed_where_it_was_made() {
        let signed = key(1).sign(HERE, &Says(7));
        let bytes = wire::encode(&signed);
        let back: Signed<Says> = wire::decode(&bytes).unwrap();
        let verified = back.verify_by(HERE, key(1).id()).unwrap();
        assert_eq!(verified.body(), &Says(7));
    }

    #[test]
    fn reader_refuses_a_statement_replayed_in_another_network() {
        let signed = key(1).sign(HERE, &Says(7));
        assert_eq!(signed.verify(NetworkId([2; 16])).unwrap_err(), Unproven::Forged);
    }

    #[test]
    fn reader_refuses_a_statement_read_as_another_kind() {
        let bytes = wire::encode(&key(1).sign(HERE, &Says(7)));
        let twisted: Signed<Promises> = wire::decode(&bytes).unwrap();
        assert_eq!(twisted.verify(HERE).unwrap_err(), Unproven::Forged);
    }

    #[test]
    fn reader_refuses_every_flipped_bit() {
        let good = wire::encode(&key(1).sign(HERE, &Says(7)));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let believed = wire::decode::<Signed<Says>>(&bad).ok().and_then(|s| s.verify(HERE).ok());
            assert!(believed.is_none(), "bit {bit} may be flipped");
        }
    }

    #[test]
    fn reader_refuses_a_key_of_small_order_alone_and_in_a_batch() {
        // The identity point as key and as commitment, with s = 0, satisfies the lax equation for
        // every message.
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let forged =
            Signed::<Says> { signer: PeerId(identity), body: wire::encode(&Says(1)), signature, says: PhantomData };
        assert_eq!(forged.clone().verify(HERE).unwrap_err(), Unproven::Forged);
        let batch = verify_batch(HERE, vec![key(1).sign(HERE, &Says(2)), forged]);
        assert!(batch[0].is_ok());
        assert_eq!(batch[1].as_ref().unwrap_err(), &Unproven::Forged);
    }

    #[test]
    fn one_forgery_in_a_batch_spoils_only_itself() {
        let mut batch: Vec<_> = (1..20).map(|n| key(n).sign(HERE, &Says(n.into()))).collect();
        batch[7].body = wire::encode(&Says(99));
        let answers = verify_batch(HERE, batch);
        assert_eq!(answers.iter().filter(|a| a.is_err()).count(), 1);
        assert!(answers[7].is_err());
    }

    #[test]
    fn a_secret_key_shows_nothing_of_itself() {
        let secret = hex::encode([5; 32]);
        assert!(!format!("{:?}", key(5)).contains(&secret[..8]));
    }
}
