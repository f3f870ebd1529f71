//! Secrets, digests and bindings: three kinds of bytes that must not be mixed up.

use core::fmt;

use farthing_core::hash::{Purpose, hash};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A public hash of something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Digest(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:02x}{:02x}{:02x}…)", self.0[0], self.0[1], self.0[2])
    }
}

/// Thirty-two secret bytes: a key, or a value that is committed to now and shown later. Wiped when
/// dropped, compared in constant time, and its `Debug` shows nothing.
#[derive(Clone, Encode, Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(transparent)]
pub struct Secret(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]);

impl Secret {
    /// A fresh one.
    #[must_use]
    pub fn draw(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// A key grown from this one for another use.
    #[must_use]
    pub fn grow(&self, parts: &[&[u8]]) -> Self {
        let all: Vec<&[u8]> = core::iter::once(&self.0[..]).chain(parts.iter().copied()).collect();
        Self(hash(Purpose::CouponKey, &all))
    }

    /// What is said about it before it is shown (iKP's `H(V)`).
    #[must_use]
    pub fn commitment(&self) -> Digest {
        Digest(hash(Purpose::CouponCommitment, &[b"secret", &self.0]))
    }

    /// Binds parts of fixed lengths together under this key.
    #[must_use]
    pub fn bind(&self, parts: &[&[u8]]) -> Mac {
        let all: Vec<&[u8]> = core::iter::once(&self.0[..]).chain(parts.iter().copied()).collect();
        let full = hash(Purpose::CouponMac, &all);
        let mut mac = [0; 16];
        mac.copy_from_slice(&full[..16]);
        Mac(mac)
    }

    pub(crate) const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The binding of a message under a session key: half of a SHA-256 over key and parts, all of fixed
/// lengths, so that nothing can be appended. Compared in constant time.
#[derive(Clone, Copy, Encode, Decode)]
#[cbor(transparent)]
pub struct Mac(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

impl PartialEq for Mac {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Mac {}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself_and_its_uses_are_apart() {
        let secret = Secret([0xab; 32]);
        assert!(!format!("{secret:?} {:?}", secret.bind(&[b"a"])).contains("ab"));
        assert_ne!(secret.bind(&[b"a", b"bc"]), secret.bind(&[b"ab", b"c"]));
        assert_ne!(secret.grow(&[b"a"]), secret.grow(&[b"b"]));
        assert_ne!(secret.grow(&[]).expose(), &secret.commitment().0);
    }
}
