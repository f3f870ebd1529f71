//! Messages sealed under a key that two parties share: XChaCha20-Poly1305, a fresh nonce each.
//!
//! Kelsey and Schneier encrypt under a one-time key that travels encrypted under the shared one. The
//! 24-byte nonce does the same with less: the cipher grows a key of its own from shared key and
//! nonce, and nonces drawn at random never meet.

use core::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::hash::{Purpose, hash};
use crate::meter::{self, Op};
use crate::seed::Secret;

/// How long a nonce is, in bytes.
pub const NONCE_LEN: usize = 24;

/// How much longer a sealed message is than its content, in bytes.
pub const OVERHEAD: usize = 16;

/// Says a message apart from every other under its key. Draw it at random, or grow it from
/// something that never comes twice.
pub type Nonce = [u8; NONCE_LEN];

/// The message does not open: damaged, or sealed under another key or about something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message does not open: damaged, or sealed under another key or for another purpose")]
pub struct Unopened;

/// A shared key for one direction and one use. Its `Debug` shows nothing, and it is wiped when
/// dropped.
pub struct SharedKey(Secret);

impl SharedKey {
    /// Takes the key in.
    #[must_use]
    pub const fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// A key grown from parts of fixed lengths, one of which is a secret.
    #[must_use]
    pub fn grow(purpose: Purpose, parts: &[&[u8]]) -> Self {
        Self(Secret::new(hash(purpose, parts)))
    }

    /// Seals content; `about` is not hidden, but nothing opens under another.
    #[must_use]
    pub fn seal(&self, nonce: &Nonce, about: &[u8], content: &[u8]) -> Vec<u8> {
        meter::count(Op::Aead, 1);
        // Fails only for content longer than memory is: then with nothing, which never opens.
        let payload = Payload { msg: content, aad: about };
        self.cipher().encrypt(&XNonce::from(*nonce), payload).unwrap_or_default()
    }

    /// Opens what was sealed under this key, about this.
    ///
    /// # Errors
    /// [`Unopened`]; nothing is known about who sent it.
    pub fn open(&self, nonce: &Nonce, about: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
        meter::count(Op::Aead, 1);
        let payload = Payload { msg: sealed, aad: about };
        self.cipher().decrypt(&XNonce::from(*nonce), payload).map_err(|_| Unopened)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.0.expose().into())
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SharedKey {
        SharedKey::new(Secret::new([byte; 32]))
    }

    #[test]
    fn only_the_same_key_nonce_and_matter_open_a_message() {
        let sealed = key(1).seal(&[2; NONCE_LEN], b"pay", b"content");
        assert_eq!(sealed.len(), b"content".len() + OVERHEAD);
        assert_eq!(key(1).open(&[2; NONCE_LEN], b"pay", &sealed).unwrap(), b"content");
        assert_eq!(key(3).open(&[2; NONCE_LEN], b"pay", &sealed), Err(Unopened));
        assert_eq!(key(1).open(&[3; NONCE_LEN], b"pay", &sealed), Err(Unopened));
        assert_eq!(key(1).open(&[2; NONCE_LEN], b"get", &sealed), Err(Unopened));
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key(1).open(&[2; NONCE_LEN], b"pay", &bad), Err(Unopened), "bit {bit} may be flipped");
        }
        assert_eq!(key(1).open(&[2; NONCE_LEN], b"pay", &[]), Err(Unopened));
    }

    #[test]
    fn a_shared_key_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", key(0xab)), "SharedKey");
    }
}
