//! Sealed messages: what only one reader can open, in one network, as one kind of content.
//!
//! HPKE (RFC 9180) in base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
//! ChaCha20-Poly1305. The papers encrypt with a bare public key and leave the sender's name and
//! certificate in the clear (Kelsey and Schneier's `ID_A` and `Cert_A`), which tells every
//! listener who pays. Here the sender and its signature go inside. A seal says nothing about who made it:
//! what is sealed is signed first, and names its reader.

use core::fmt;
use core::marker::PhantomData;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use minicbor::{Decode, Decoder, Encode, Encoder};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::id::NetworkId;
use crate::meter::{self, Op};
use crate::refusal::{Code, Refusal};
use crate::sign::{Signed, Statement};
use crate::wire::{self, MESSAGE_MAX, Wire};

/// The longest content that is sealed: 512 KiB, so that two signed statements of full length fit.
pub const SEALED_MAX: usize = 512 * 1024;

const TAG_LEN: usize = 16;
/// Key of the reader, encapsulated key, and the heads of the byte strings.
const AROUND_MAX: usize = 128;
const _: () = assert!(SEALED_MAX + TAG_LEN + AROUND_MAX <= MESSAGE_MAX, "a sealed message fits a message");

const LABEL: &[u8; 18] = b"farthing/v1/sealed";

/// What may be sealed, told apart by number: content of one kind is never opened as another.
pub trait Content: Wire {
    /// The number of this kind of content, from the same list as [`Statement::KIND`].
    const KIND: u16;
}

impl<T: Statement> Content for Signed<T> {
    const KIND: u16 = T::KIND;
}

/// The key that opens what was sealed for its [`SealPublic`]. Its `Debug` shows none of it, and it
/// is wiped when dropped.
pub struct SealKey {
    secret: <X25519HkdfSha256 as Kem>::PrivateKey,
    public: SealPublic,
}

impl SealKey {
    /// The key grown from 32 secret bytes (RFC 9180's `DeriveKeyPair`).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let (secret, public) = X25519HkdfSha256::derive_keypair(seed);
        Self { secret, public: SealPublic(public.to_bytes().into()) }
    }

    /// What others seal with.
    #[must_use]
    pub const fn public(&self) -> SealPublic {
        self.public
    }

    /// Opens what was sealed for this key, in this network, as this kind of content.
    ///
    /// # Errors
    /// [`Unopened`]; nothing changed, and nothing is known about who sent it.
    pub fn open<T: Content>(&self, network: NetworkId, sealed: &Sealed<T>) -> Result<T, Unopened> {
        if sealed.to != self.public {
            return Err(Unopened::NotForUs);
        }
        meter::count(Op::Hpke, 1);
        let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&sealed.enc).map_err(|_| Unopened::Damaged)?;
        let plain = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.secret,
            &enc,
            &info(T::KIND),
            &sealed.ciphertext,
            &about(network, T::KIND, &sealed.to),
        )
        .map_err(|_| Unopened::Damaged)?;
        wire::decode(&Zeroizing::new(plain)).map_err(|_| Unopened::Malformed)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey of {:?}", self.public)
    }
}

/// A reader's public key: an X25519 point as bytes. Whether it is a usable one is found at the
/// first [`seal`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealPublic(pub [u8; 32]);

impl fmt::Debug for SealPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealPublic({}…)", hex::encode(&self.0[..6]))
    }
}

/// Content sealed for one reader, as it arrived; says nothing until [`SealKey::open`].
pub struct Sealed<T> {
    to: SealPublic,
    enc: [u8; 32],
    ciphertext: Vec<u8>,
    holds: PhantomData<fn() -> T>,
}

impl<T> Sealed<T> {
    /// Whose key opens it.
    #[must_use]
    pub const fn to(&self) -> SealPublic {
        self.to
    }
}

/// Why content is not sealed. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsealed {
    /// The reader's key is a point of small order: everybody could open the message.
    #[error("the reader's key is not usable: get its certificate again; nothing was sent")]
    BadKey,
    /// Longer than [`SEALED_MAX`].
    #[error("the content is longer than {SEALED_MAX} bytes: send it in parts; nothing was sent")]
    TooLong,
}

/// Why a sealed message is not opened. No money moved; the same bytes will never open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// Sealed for another key.
    #[error("the message is sealed for somebody else: the sender may hold an old key; no money moved")]
    NotForUs,
    /// Damaged, or sealed for another network or as another kind of content.
    #[error("the message does not open: damaged, or made for another network or purpose; no money moved")]
    Damaged,
    /// It opened, but what is inside is not one canonical piece of content of this kind.
    #[error("the sealed message cannot be read; no money moved")]
    Malformed,
}

impl From<Unopened> for Refusal {
    fn from(why: Unopened) -> Self {
        let code = match why {
            Unopened::Malformed => Code::Malformed,
            Unopened::NotForUs | Unopened::Damaged => Code::Decrypt,
        };
        Self::new(code, why.to_string())
    }
}

/// Seals content for one reader. Each call draws a fresh ephemeral key from `rng`.
///
/// # Errors
/// [`Unsealed::BadKey`] or [`Unsealed::TooLong`].
pub fn seal<T: Content>(
    network: NetworkId,
    to: &SealPublic,
    content: &T,
    mut rng: &mut dyn CryptoRng,
) -> Result<Sealed<T>, Unsealed> {
    let plain = Zeroizing::new(wire::encode(content));
    if plain.len() > SEALED_MAX {
        return Err(Unsealed::TooLong);
    }
    meter::count(Op::Hpke, 1);
    let key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&to.0).map_err(|_| Unsealed::BadKey)?;
    let (enc, ciphertext) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &key,
        &info(T::KIND),
        &plain,
        &about(network, T::KIND, to),
        &mut rng,
    )
    .map_err(|_| Unsealed::BadKey)?;
    Ok(Sealed { to: *to, enc: enc.to_bytes().into(), ciphertext, holds: PhantomData })
}

/// HPKE's `info`: label and kind.
fn info(kind: u16) -> [u8; LABEL.len() + 2] {
    let mut info = [0; LABEL.len() + 2];
    info[..LABEL.len()].copy_from_slice(LABEL);
    info[LABEL.len()..].copy_from_slice(&kind.to_be_bytes());
    info
}

/// HPKE's `aad`: kind, reader, network.
fn about(network: NetworkId, kind: u16, to: &SealPublic) -> [u8; 50] {
    let mut about = [0; 50];
    about[..2].copy_from_slice(&kind.to_be_bytes());
    about[2..34].copy_from_slice(&to.0);
    about[34..].copy_from_slice(&network.0);
    about
}

impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        Self { to: self.to, enc: self.enc, ciphertext: self.ciphertext.clone(), holds: PhantomData }
    }
}

impl<T> PartialEq for Sealed<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.to, self.enc, &self.ciphertext) == (other.to, other.enc, &other.ciphertext)
    }
}

impl<T> Eq for Sealed<T> {}

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes to {:?})", self.ciphertext.len(), self.to)
    }
}

impl<C> Encode<C> for SealPublic {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for SealPublic {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.bytes()?.try_into().map(Self).map_err(|_| minicbor::decode::Error::message("a sealing key is 32 bytes"))
    }
}

impl<C, T> Encode<C> for Sealed<T> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(3)?;
        self.to.encode(e, c)?;
        e.bytes(&self.enc)?.bytes(&self.ciphertext)?.ok()
    }
}

impl<'b, C, T> Decode<'b, C> for Sealed<T> {
    fn decode(d: &mut Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        let wrong = minicbor::decode::Error::message;
        if d.array()? != Some(3) {
            return Err(wrong("a sealed message has three parts"));
        }
        let to = SealPublic::decode(d, c)?;
        let enc = d.bytes()?.try_into().map_err(|_| wrong("an encapsulated key is 32 bytes"))?;
        let ciphertext = d.bytes()?;
        if ciphertext.len() > SEALED_MAX + TAG_LEN {
            return Err(wrong("a sealed message too long"));
        }
        Ok(Self { to, enc, ciphertext: ciphertext.to_vec(), holds: PhantomData })
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::sign::SecretKey;

    #[derive(Encode, Decode, Clone, Debug, PartialEq)]
    struct Note(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>);
    impl Content for Note {
        const KIND: u16 = 0xfff2;
    }
    /// The same bytes inside, another kind.
    #[derive(Encode, Decode, Clone, Debug, PartialEq)]
    struct Order(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>);
    impl Content for Order {
        const KIND: u16 = 0xfff3;
    }

    const HERE: NetworkId = NetworkId([1; 16]);

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([9; 32])
    }

    fn reader() -> SealKey {
        SealKey::from_seed(&[1; 32])
    }

    fn note() -> Note {
        Note(b"pay the ferryman".to_vec())
    }

    fn sealed() -> Sealed<Note> {
        seal(HERE, &reader().public(), &note(), &mut rng()).unwrap()
    }

    #[test]
    fn the_reader_opens_what_was_sealed_for_it_and_the_meter_counts() {
        let (back, cost) = meter::measure(|| {
            let bytes = wire::encode(&sealed());
            reader().open(HERE, &wire::decode::<Sealed<Note>>(&bytes).unwrap())
        });
        assert_eq!(back, Ok(note()));
        assert_eq!(cost.of(Op::Hpke), 2);
    }

    #[test]
    fn a_signed_statement_travels_sealed_under_its_own_kind() {
        #[derive(Encode, Decode)]
        struct Says(#[n(0)] u32);
        impl Statement for Says {
            const KIND: u16 = 0xfff4;
        }
        let signed = SecretKey::from_seed(&[3; 32]).sign(HERE, &Says(7));
        let sealed = seal(HERE, &reader().public(), &signed, &mut rng()).unwrap();
        assert_eq!(reader().open(HERE, &sealed).unwrap().verify(HERE).unwrap().body().0, 7);
    }

    #[test]
    fn nobody_opens_what_was_sealed_for_another() {
        let thief = SealKey::from_seed(&[2; 32]);
        assert_eq!(thief.open(HERE, &sealed()), Err(Unopened::NotForUs));
        let mut readdressed = sealed();
        readdressed.to = thief.public();
        assert_eq!(thief.open(HERE, &readdressed), Err(Unopened::Damaged));
    }

    #[test]
    fn reader_refuses_a_message_sealed_in_another_network() {
        assert_eq!(reader().open(NetworkId([2; 16]), &sealed()), Err(Unopened::Damaged));
    }

    #[test]
    fn reader_refuses_a_message_opened_as_another_kind() {
        let twisted: Sealed<Order> = wire::decode(&wire::encode(&sealed())).unwrap();
        assert_eq!(reader().open(HERE, &twisted), Err(Unopened::Damaged));
    }

    #[test]
    fn reader_refuses_every_flipped_bit() {
        // The top bit of an X25519 key carries nothing: the key schedule must cover the bytes.
        let good = wire::encode(&sealed());
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let opened = wire::decode::<Sealed<Note>>(&bad).ok().and_then(|s| reader().open(HERE, &s).ok());
            assert!(opened.is_none(), "bit {bit} may be flipped");
        }
    }

    /// The points of small order, in all their encodings below 2^255 (Bernstein's list).
    const SMALL_ORDER: [&str; 7] = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];

    #[test]
    fn sender_refuses_to_seal_for_a_key_of_small_order() {
        for point in SMALL_ORDER {
            for top in [0, 0x80] {
                let mut key: [u8; 32] = hex::decode(point).unwrap().try_into().unwrap();
                key[31] |= top;
                assert_eq!(seal(HERE, &SealPublic(key), &note(), &mut rng()), Err(Unsealed::BadKey), "{point}");
            }
        }
    }

    #[test]
    fn reader_refuses_an_encapsulated_key_of_small_order() {
        for point in SMALL_ORDER {
            let mut bad = sealed();
            bad.enc = hex::decode(point).unwrap().try_into().unwrap();
            assert_eq!(reader().open(HERE, &bad), Err(Unopened::Damaged), "{point}");
        }
    }

    #[test]
    fn oversized_content_is_neither_sealed_nor_read() {
        let long = Note(vec![0; SEALED_MAX]);
        assert_eq!(seal(HERE, &reader().public(), &long, &mut rng()), Err(Unsealed::TooLong));
        let mut bad = sealed();
        bad.ciphertext = vec![0; SEALED_MAX + TAG_LEN + 1];
        assert!(wire::decode::<Sealed<Note>>(&wire::encode(&bad)).is_err());
    }

    #[test]
    fn a_sealing_key_shows_nothing_of_itself() {
        let key = reader();
        let secret = hex::encode(key.secret.to_bytes());
        let shown = format!("{key:?}");
        assert!(!shown.contains(&secret[..8]) && !shown.contains(&hex::encode([1; 4])), "{shown}");
    }

    #[test]
    fn two_seals_of_the_same_content_share_nothing() {
        let mut rng = rng();
        let one = seal(HERE, &reader().public(), &note(), &mut rng).unwrap();
        let two = seal(HERE, &reader().public(), &note(), &mut rng).unwrap();
        assert_ne!(one.enc, two.enc);
        assert_ne!(one.ciphertext, two.ciphertext);
    }
}
