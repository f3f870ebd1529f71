//! The Noise library, with dice handed in and weak keys kept out.

use hpke::kem::X25519HkdfSha256;
use hpke::{Kem, Serializable};
use rand_core::CryptoRng;
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, Error, HandshakeState};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const PATTERN: &str = "Noise_IK_25519_ChaChaPoly_SHA256";

/// The ephemeral key of one side of one handshake, drawn before Noise asks for it, so that the
/// first message can already be signed over it.
pub(super) struct Ephemeral {
    secret: Zeroizing<[u8; 32]>,
    pub(super) public: [u8; 32],
}

impl Ephemeral {
    pub(super) fn draw(rng: &mut dyn CryptoRng) -> Self {
        let mut drawn = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *drawn);
        let (secret, public) = X25519HkdfSha256::derive_keypair(&*drawn);
        Self { secret: Zeroizing::new(secret.to_bytes().into()), public: public.to_bytes().into() }
    }
}

pub(super) fn initiator(
    prologue: &[u8],
    key: &[u8; 32],
    to: &[u8; 32],
    ephemeral: &Ephemeral,
) -> Result<HandshakeState, Error> {
    builder(ephemeral)?.prologue(prologue)?.local_private_key(key)?.remote_public_key(to)?.build_initiator()
}

pub(super) fn responder(prologue: &[u8], key: &[u8; 32], ephemeral: &Ephemeral) -> Result<HandshakeState, Error> {
    builder(ephemeral)?.prologue(prologue)?.local_private_key(key)?.build_responder()
}

fn builder<'a>(ephemeral: &Ephemeral) -> Result<Builder<'a>, Error> {
    let params: NoiseParams = PATTERN.parse()?;
    Ok(Builder::with_resolver(params, Box::new(Strict { ephemeral: ephemeral.secret.clone() })))
}

/// Noise's hash over the handshake so far.
pub(super) fn transcript(noise: &HandshakeState) -> [u8; 32] {
    let mut transcript = [0; 32];
    // SHA-256 gives 32 bytes; were it ever otherwise, both sides would still see the same.
    let hash = noise.get_handshake_hash();
    let len = hash.len().min(32);
    transcript[..len].copy_from_slice(&hash[..len]);
    transcript
}

/// The static key the other side has shown.
pub(super) fn remote_static(noise: &HandshakeState) -> Option<[u8; 32]> {
    noise.get_remote_static()?.try_into().ok()
}

/// The library's own primitives, but for the dice and the Diffie-Hellman check.
struct Strict {
    ephemeral: Zeroizing<[u8; 32]>,
}

impl CryptoResolver for Strict {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Drawn(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        Some(Box::new(Contributory(DefaultResolver.resolve_dh(choice)?)))
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Gives one drawn key once. A handshake draws one ephemeral key and nothing else; a second
/// request would mean the same key twice, so it fails.
struct Drawn(Option<Zeroizing<[u8; 32]>>);

impl Random for Drawn {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        let drawn = self.0.take().ok_or(Error::Rng)?;
        if dest.len() != drawn.len() {
            return Err(Error::Rng);
        }
        dest.copy_from_slice(&*drawn);
        Ok(())
    }
}

/// X25519 that refuses a result of zero. The library does not, as Noise (§12.1) allows; but whoever
/// shows a point of small order gives its share of the keys away, and we talk to nobody who does.
struct Contributory(Box<dyn Dh>);

impl Dh for Contributory {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn pub_len(&self) -> usize {
        self.0.pub_len()
    }

    fn priv_len(&self) -> usize {
        self.0.priv_len()
    }

    fn set(&mut self, privkey: &[u8]) {
        self.0.set(privkey);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        self.0.generate(rng)
    }

    fn pubkey(&self) -> &[u8] {
        self.0.pubkey()
    }

    fn privkey(&self) -> &[u8] {
        self.0.privkey()
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        self.0.dh(pubkey, out)?;
        if bool::from(out.ct_eq(&vec![0; out.len()])) { Err(Error::Dh) } else { Ok(()) }
    }
}

impl Drop for Contributory {
    /// The library does not wipe its private keys; putting another in their place does.
    fn drop(&mut self) {
        self.0.set(&[0; 32]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_ephemeral_key_is_drawn_twice() {
        let mut drawn = Drawn(Some(Zeroizing::new([7; 32])));
        let mut key = [0; 32];
        assert_eq!(drawn.try_fill_bytes(&mut key), Ok(()));
        assert_eq!(key, [7; 32]);
        assert_eq!(drawn.try_fill_bytes(&mut key), Err(Error::Rng));
    }
}
