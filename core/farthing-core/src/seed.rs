//! One seed, many keys: 24 words on paper give back everything a party is.
//!
//! The words are BIP-39's; the keys are not. BIP-39 stretches its words with PBKDF2 and BIP-32
//! grows a tree for one curve. We take the 32 bytes behind the words and derive each key with
//! HKDF-SHA256 (RFC 5869) under a label of its own, so that no two purposes ever share a key and
//! a key that leaks gives away nothing but itself.

use core::fmt;

use bip39::{Language, Mnemonic};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::seal::SealKey;
use crate::session::SessionKey;
use crate::sign::SecretKey;

/// How many words write a seed down.
pub const WORDS: usize = 24;

/// The longest word that is looked up: BIP-39's English words have eight letters at most.
const WORD_MAX: usize = 8;

const SALT: &[u8; 16] = b"farthing/v1/seed";

/// 32 secret bytes. Its `Debug` shows none of them, and they are wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes the bytes in.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Shows the bytes, to a primitive and to nothing else.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a key is for. The labels behind these names never change: a changed label is a lost key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum KeyPurpose {
    /// The Ed25519 key whose public half is the [`PeerId`](crate::id::PeerId).
    Identity,
    /// The X25519 key that opens sealed messages.
    Seal,
    /// The static X25519 key of authenticated sessions.
    Session,
    /// The Ed25519 key that signs chains, where it is not the identity itself.
    ChainSigner,
    /// The seed of a hash chain.
    ChainSeed,
    /// The key of a database or backup at rest.
    Vault,
    /// The identity inside the peer-to-peer network, which strangers see.
    Transport,
}

impl KeyPurpose {
    /// Every purpose.
    pub const ALL: [Self; 7] =
        [Self::Identity, Self::Seal, Self::Session, Self::ChainSigner, Self::ChainSeed, Self::Vault, Self::Transport];

    const fn label(self) -> &'static [u8] {
        match self {
            Self::Identity => b"farthing/v1/key/identity",
            Self::Seal => b"farthing/v1/key/seal",
            Self::Session => b"farthing/v1/key/session",
            Self::ChainSigner => b"farthing/v1/key/chain-signer",
            Self::ChainSeed => b"farthing/v1/key/chain-seed",
            Self::Vault => b"farthing/v1/key/vault",
            Self::Transport => b"farthing/v1/key/transport",
        }
    }
}

/// Which key of a purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which<'a> {
    /// The only one, or the first of a rotation.
    Nth(u64),
    /// The one that belongs to these bytes, taken whole: a shortened name would one day give two
    /// things one key (as happened with Cashu's keyset numbers in 2025).
    For(&'a [u8]),
}

/// The secret everything else grows from. Its `Debug` shows nothing, and it is wiped when dropped.
pub struct Seed(Secret);

/// Why text is not a seed. None of these says a word of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// Not 24 words.
    #[error("a recovery phrase has {WORDS} words, this has {found}: look for a word left out or written twice")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// A word that is not in the list; counted from 1.
    #[error("word {word} is not one of BIP-39's English words: look for a misspelling")]
    UnknownWord {
        /// Which, counted from 1.
        word: usize,
    },
    /// All words are known, but their checksum is wrong.
    #[error("the checksum of the phrase is wrong: a word is another one than was written down, or two are swapped")]
    Checksum,
}

impl Seed {
    /// The seed of 32 random bytes.
    #[must_use]
    pub const fn from_entropy(entropy: [u8; 32]) -> Self {
        Self(Secret::new(entropy))
    }

    /// Reads 24 words, in capitals or not, with any white space between and around them.
    ///
    /// # Errors
    /// [`SeedError`], which names the place and never the word.
    pub fn parse(phrase: &str) -> Result<Self, SeedError> {
        let found = phrase.split_whitespace().count();
        if found != WORDS {
            return Err(SeedError::Count { found });
        }
        let mut lower = Zeroizing::new(String::with_capacity(WORDS * (WORD_MAX + 1)));
        for (at, word) in phrase.split_whitespace().enumerate() {
            if word.len() > WORD_MAX {
                return Err(SeedError::UnknownWord { word: at + 1 });
            }
            lower.push_str(word);
            lower.push(' ');
        }
        lower.make_ascii_lowercase();
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &lower).map_err(|why| match why {
            bip39::Error::BadWordCount(found) => SeedError::Count { found },
            bip39::Error::UnknownWord(at) => SeedError::UnknownWord { word: at.saturating_add(1) },
            _ => SeedError::Checksum,
        })?;
        let (bytes, _) = mnemonic.to_entropy_array();
        let bytes = Zeroizing::new(bytes);
        let mut entropy = [0; 32];
        entropy.copy_from_slice(&bytes[..32]);
        Ok(Self::from_entropy(entropy))
    }

    /// The 24 words to write down.
    #[must_use]
    pub fn words(&self) -> Phrase {
        // 32 bytes are always a mnemonic, so there is always a phrase.
        let words: Vec<&'static str> =
            Mnemonic::from_entropy(self.0.expose()).map(|mnemonic| mnemonic.words().collect()).unwrap_or_default();
        Phrase(Zeroizing::new(words.join(" ")))
    }

    /// The secret bytes of one key.
    #[must_use]
    pub fn derive(&self, purpose: KeyPurpose, which: Which<'_>) -> Secret {
        let (tag, context): (&[u8], &[u8]) = match which {
            Which::Nth(n) => (b"n", &n.to_be_bytes()),
            Which::For(bytes) => (b"for", bytes),
        };
        let mut info = Vec::with_capacity(64 + context.len());
        for part in [purpose.label(), tag, context] {
            info.extend_from_slice(&(part.len() as u64).to_be_bytes());
            info.extend_from_slice(part);
        }
        let mut key = [0; 32];
        // HKDF refuses outputs above 8,160 bytes only.
        let expanded = Hkdf::<Sha256>::new(Some(SALT), self.0.expose()).expand(&info, &mut key);
        debug_assert!(expanded.is_ok(), "32 bytes are not too many");
        Secret::new(key)
    }

    /// The key that signs as this party.
    #[must_use]
    pub fn identity(&self) -> SecretKey {
        SecretKey::from_seed(self.derive(KeyPurpose::Identity, Which::Nth(0)).expose())
    }

    /// The `n`-th key that opens messages sealed for this party; a new one for each rotation.
    #[must_use]
    pub fn seal(&self, n: u64) -> SealKey {
        SealKey::from_seed(self.derive(KeyPurpose::Seal, Which::Nth(n)).expose())
    }

    /// The `n`-th static key of this party's sessions; a new one for each rotation.
    #[must_use]
    pub fn session(&self, n: u64) -> SessionKey {
        SessionKey::from_seed(self.derive(KeyPurpose::Session, Which::Nth(n)).expose())
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

/// The words of a seed. Its `Debug` shows none of them, and they are wiped when dropped.
pub struct Phrase(Zeroizing<String>);

impl Phrase {
    /// Shows the words, separated by single spaces: to the owner, once, and to no log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phrase of {WORDS} words")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const ART: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                       abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art";

    fn words() -> Vec<String> {
        ART.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_phrase_is_read_however_it_was_typed() {
        let typed = format!("\n  {}\t\r\n", ART.to_uppercase().replace(' ', &" ".repeat(100)));
        assert_eq!(Seed::parse(&typed).unwrap().words().expose(), words().join(" "));
    }

    #[test]
    fn reader_names_the_misspelt_word_by_its_place_only() {
        let mut wrong = words();
        wrong[6] = "abandonn".into();
        let why = Seed::parse(&wrong.join(" ")).unwrap_err();
        assert_eq!(why, SeedError::UnknownWord { word: 7 });
        assert!(!format!("{why} {why:?}").contains("abandon"));
    }

    #[test]
    fn reader_refuses_a_phrase_with_a_word_left_out_or_too_many() {
        let short = words()[1..].join(" ");
        assert_eq!(Seed::parse(&short).unwrap_err(), SeedError::Count { found: 23 });
        // BIP-39 knows phrases of twelve words too; they hold half the secret we want.
        let twelve = format!("{} about", ["abandon"; 11].join(" "));
        assert_eq!(Seed::parse(&twelve).unwrap_err(), SeedError::Count { found: 12 });
        assert_eq!(Seed::parse("").unwrap_err(), SeedError::Count { found: 0 });
        assert_eq!(Seed::parse(&format!("{ART} art")).unwrap_err(), SeedError::Count { found: 25 });
    }

    #[test]
    fn reader_refuses_a_phrase_with_one_word_replaced_or_two_swapped() {
        let mut swapped = words();
        swapped.swap(0, 23);
        assert_eq!(Seed::parse(&swapped.join(" ")).unwrap_err(), SeedError::Checksum);
        let mut replaced = words();
        replaced[3] = "zoo".into();
        assert_eq!(Seed::parse(&replaced.join(" ")).unwrap_err(), SeedError::Checksum);
    }

    #[test]
    fn reader_refuses_words_of_great_length_and_letters_from_elsewhere() {
        let mut long = words();
        long[4] = "a".repeat(1 << 20);
        assert_eq!(Seed::parse(&long.join(" ")).unwrap_err(), SeedError::UnknownWord { word: 5 });
        let mut cyrillic = words();
        cyrillic[2] = "\u{0430}bandon".into();
        assert_eq!(Seed::parse(&cyrillic.join(" ")).unwrap_err(), SeedError::UnknownWord { word: 3 });
    }

    #[test]
    fn no_two_purposes_numbers_or_names_share_a_key() {
        let seed = Seed::from_entropy([7; 32]);
        let mut keys = HashSet::new();
        for purpose in KeyPurpose::ALL {
            for n in [0, 1, 1 << 31, (1 << 31) + 1, u64::MAX] {
                assert!(keys.insert(*seed.derive(purpose, Which::Nth(n)).expose()), "{purpose:?} {n}");
            }
            for name in [&b""[..], b"a", b"ab", &[0; 8], &0_u64.to_be_bytes()[..7], &[0xff; 8]] {
                assert!(keys.insert(*seed.derive(purpose, Which::For(name)).expose()), "{purpose:?} {name:?}");
            }
        }
        let other = Seed::from_entropy([8; 32]);
        assert!(keys.insert(*other.derive(KeyPurpose::Identity, Which::Nth(0)).expose()));
    }

    #[test]
    fn the_same_seed_is_the_same_party_again() {
        let (one, two) = (Seed::from_entropy([7; 32]), Seed::from_entropy([7; 32]));
        assert_eq!(one.identity().id(), two.identity().id());
        assert_eq!(one.seal(1).public(), two.seal(1).public());
        assert_eq!(one.session(0).public(), two.session(0).public());
        assert_ne!(one.seal(0).public(), one.seal(1).public());
    }

    #[test]
    fn a_seed_shows_nothing_of_itself() {
        let seed = Seed::from_entropy([0xab; 32]);
        let shown = format!("{seed:?} {:?} {:?}", seed.words(), seed.derive(KeyPurpose::Vault, Which::Nth(0)));
        assert_eq!(shown, "Seed Phrase of 24 words Secret");
    }
}
