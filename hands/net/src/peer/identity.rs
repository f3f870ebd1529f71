//! One identity in two notations: ours is the bare Ed25519 key, libp2p's wraps the same bytes.

use farthing_core::id::PeerId;
use libp2p::identity::{Keypair, PublicKey, ed25519};
use zeroize::Zeroizing;

/// How libp2p's notation of an Ed25519 key begins: an identity multihash (code 0) of 36 bytes.
/// Keys of other kinds are longer and appear hashed, or shorter and fail to decode as Ed25519.
const INLINE: [u8; 2] = [0x00, 36];

/// The key pair of a seed. The seed is wiped from what is passed on.
pub(super) fn key_pair(secret: &Zeroizing<[u8; 32]>) -> Option<Keypair> {
    // Wipes the bytes it is given after reading them.
    let mut copy = Zeroizing::new(**secret);
    Keypair::ed25519_from_bytes(&mut copy[..]).ok()
}

/// Libp2p's notation of a key; `None` if the bytes are no key.
pub(super) fn to_libp2p(peer: &PeerId) -> Option<libp2p::PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&peer.0).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The bare key; `None` if it is not an Ed25519 key.
pub(super) fn from_libp2p(peer: &libp2p::PeerId) -> Option<PeerId> {
    let bytes = peer.to_bytes();
    let key = PublicKey::try_decode_protobuf(bytes.strip_prefix(&INLINE)?).ok()?;
    Some(PeerId(key.try_into_ed25519().ok()?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_its_ed25519_key_in_both_notations() {
        for seed in 0..50 {
            let pair = key_pair(&Zeroizing::new([seed; 32])).unwrap();
            let theirs = pair.public().to_peer_id();
            let ours = from_libp2p(&theirs).unwrap();
            assert_eq!(ours.0, pair.public().try_into_ed25519().unwrap().to_bytes());
            assert_eq!(to_libp2p(&ours), Some(theirs));
        }
    }

    #[test]
    fn an_identity_that_is_no_inlined_ed25519_key_is_nobody() {
        let hashed = [&[0x12, 32][..], &[7; 32]].concat(); // As an RSA key would appear.
        assert_eq!(from_libp2p(&libp2p::PeerId::from_bytes(&hashed).unwrap()), None);
        let short = [&[0x00, 4][..], &[8, 1, 18, 0]].concat();
        assert_eq!(from_libp2p(&libp2p::PeerId::from_bytes(&short).unwrap()), None);
    }
}
