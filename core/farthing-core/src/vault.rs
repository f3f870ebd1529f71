//! Secrets at rest: a small file that opens with a passphrase and notices every damaged bit.
//!
//! The key comes from the passphrase by Argon2id (RFC 9106), the secret is sealed with
//! XChaCha20-Poly1305, and everything in front of it (version, cost, salt, nonce) is authenticated
//! with it. The cost is written in the file, so that it can rise later, and bounded when read, so
//! that a file from a stranger cannot ask for the machine's whole memory.

use core::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::seed::Secret;
use crate::wire;

/// The longest secret that is kept.
pub const SECRET_MAX: usize = 64 * 1024;

/// The longest vault that is read.
pub const VAULT_MAX: usize = SECRET_MAX + 256;

/// The longest passphrase.
pub const PASSPHRASE_MAX: usize = 1_024;

/// The most memory a vault may ask for: 256 MiB.
pub const MEMORY_MAX_KIB: u32 = 256 * 1024;

/// The most passes over that memory a vault may ask for.
pub const PASSES_MAX: u32 = 10;

/// The most lanes a vault may ask for.
pub const LANES_MAX: u32 = 4;

const MAGIC: &str = "farthing vault";
const VERSION: u8 = 1;

/// A vault without a passphrase is sealed with this key, which everybody knows: it hides nothing,
/// and finds damage as the others do.
const OPEN_KEY: &[u8; 32] = b"farthing/v1/vault without a lock";

/// What guessing one passphrase costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Cost {
    /// Memory in KiB.
    #[n(0)]
    pub memory_kib: u32,
    /// Passes over the memory.
    #[n(1)]
    pub passes: u32,
    /// Lanes.
    #[n(2)]
    pub lanes: u32,
}

impl Cost {
    /// What new vaults cost: 64 MiB, three passes, one lane (RFC 9106, §4, second choice, with one
    /// lane instead of four).
    pub const STANDARD: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

    const fn within_bounds(self) -> bool {
        self.memory_kib <= MEMORY_MAX_KIB && self.passes <= PASSES_MAX && self.lanes <= LANES_MAX
    }
}

const _: () = assert!(Cost::STANDARD.within_bounds(), "new vaults can be opened");
const _: () = assert!(Cost::STANDARD.memory_kib >= 64 * 1024 && Cost::STANDARD.passes >= 3, "guessing stays dear");

/// A passphrase. Its `Debug` shows none of it, and it is wiped when dropped.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes what was typed, byte for byte.
    ///
    /// # Errors
    /// [`VaultError::Passphrase`] for nothing at all, or more than [`PASSPHRASE_MAX`] bytes.
    pub fn new(typed: String) -> Result<Self, VaultError> {
        let typed = Zeroizing::new(typed);
        if typed.is_empty() || typed.len() > PASSPHRASE_MAX {
            return Err(VaultError::Passphrase);
        }
        Ok(Self(typed))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

/// How a vault is, or is expected to be, protected.
#[derive(Debug)]
pub enum Protection {
    /// By a passphrase, at a cost; the cost counts when sealing and is read from the file when
    /// opening.
    Passphrase(Passphrase, Cost),
    /// Not at all, as the owner has asked for by name (`--insecure-no-passphrase`).
    None,
}

/// Why a vault is not sealed or opened. Nothing was changed, no money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// An empty passphrase, or one too long.
    #[error("a passphrase has 1 to {PASSPHRASE_MAX} bytes")]
    Passphrase,
    /// A secret longer than [`SECRET_MAX`].
    #[error("a vault holds {SECRET_MAX} bytes at most")]
    TooLong,
    /// Not a vault, or damaged beyond recognition.
    #[error("this is not a vault, or its head is damaged: restore it from a backup or from the recovery phrase")]
    NotAVault,
    /// A version of the format that this program does not know.
    #[error("the vault is of format {0}, this program knows {VERSION}: use a newer program")]
    Version(u8),
    /// A cost outside the bounds.
    #[error("the vault asks for more memory or time than any vault of ours: damaged, or made to do harm")]
    Cost,
    /// A passphrase was given, and the vault has none: not the vault that was left here.
    #[error(
        "the vault is not protected by a passphrase, although one is expected: somebody may have put another in its \
         place; look at it before you go on"
    )]
    Unprotected,
    /// No passphrase was given, and the vault has one.
    #[error("the vault is protected: give its passphrase")]
    Protected,
    /// The wrong passphrase, or a damaged file; which of them nobody can tell.
    #[error(
        "wrong passphrase, or the file is damaged: try again, then restore it from a backup or the recovery phrase"
    )]
    WrongPassphraseOrDamaged,
    /// A damaged file: it has no passphrase that could be wrong.
    #[error("the file is damaged: restore it from a backup or from the recovery phrase")]
    Damaged,
    /// There was not enough memory to derive the key.
    #[error("not enough memory to open the vault: close something and try again")]
    OutOfMemory,
}

/// What is written in front of the secret, and authenticated with it.
#[derive(Encode, Decode)]
struct Head {
    #[n(0)]
    magic: String,
    #[n(1)]
    version: u8,
    #[n(2)]
    lock: Option<Lock>,
    #[n(3)]
    nonce: ByteArray<24>,
}

/// How the key comes from the passphrase.
#[derive(Encode, Decode)]
struct Lock {
    #[n(0)]
    salt: ByteArray<16>,
    #[n(1)]
    cost: Cost,
}

#[derive(Encode, Decode)]
struct Stored {
    #[n(0)]
    head: Head,
    #[n(1)]
    sealed: ByteVec,
}

/// Seals a secret: the bytes of the file. Salt and nonce are drawn from `rng`, fresh each time.
///
/// # Errors
/// [`VaultError::TooLong`], [`VaultError::Cost`] or [`VaultError::OutOfMemory`].
pub fn seal(secret: &[u8], protection: &Protection, rng: &mut dyn CryptoRng) -> Result<Vec<u8>, VaultError> {
    if secret.len() > SECRET_MAX {
        return Err(VaultError::TooLong);
    }
    let mut nonce = [0; 24];
    rng.fill_bytes(&mut nonce);
    let (key, lock) = match protection {
        Protection::None => (Secret::new(*OPEN_KEY), None),
        Protection::Passphrase(passphrase, cost) => {
            let mut salt = [0; 16];
            rng.fill_bytes(&mut salt);
            (derive(passphrase, &salt, *cost)?, Some(Lock { salt: salt.into(), cost: *cost }))
        }
    };
    let head = Head { magic: MAGIC.to_owned(), version: VERSION, lock, nonce: nonce.into() };
    let sealed = XChaCha20Poly1305::new(key.expose().into())
        .encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: &wire::encode(&head) })
        .map_err(|_| VaultError::TooLong)?;
    Ok(wire::encode(&Stored { head, sealed: sealed.into() }))
}

/// Opens a vault that is protected as expected, and no other.
///
/// # Errors
/// [`VaultError`], at a cost bounded by [`MEMORY_MAX_KIB`] and [`PASSES_MAX`] whatever the file says.
pub fn open(vault: &[u8], expected: &Protection) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    if vault.len() > VAULT_MAX {
        return Err(VaultError::NotAVault);
    }
    let Stored { head, sealed } = wire::decode(vault).map_err(|_| VaultError::NotAVault)?;
    if head.magic != MAGIC {
        return Err(VaultError::NotAVault);
    }
    if head.version != VERSION {
        return Err(VaultError::Version(head.version));
    }
    let (key, why) = match (&head.lock, expected) {
        (None, Protection::None) => (Secret::new(*OPEN_KEY), VaultError::Damaged),
        (Some(lock), Protection::Passphrase(passphrase, _)) => {
            (derive(passphrase, &lock.salt, lock.cost)?, VaultError::WrongPassphraseOrDamaged)
        }
        (None, Protection::Passphrase(..)) => return Err(VaultError::Unprotected),
        (Some(_), Protection::None) => return Err(VaultError::Protected),
    };
    XChaCha20Poly1305::new(key.expose().into())
        .decrypt(&XNonce::from(*head.nonce), Payload { msg: &sealed, aad: &wire::encode(&head) })
        .map(Zeroizing::new)
        .map_err(|_| why)
}

/// Whether a file says that it is protected by a passphrase, so that one can be asked for. Only
/// [`open`] finds out whether it tells the truth.
///
/// # Errors
/// [`VaultError::NotAVault`] or [`VaultError::Version`].
pub fn asks_for_passphrase(vault: &[u8]) -> Result<bool, VaultError> {
    match open(vault, &Protection::None) {
        Err(VaultError::Protected) => Ok(true),
        Ok(_) | Err(VaultError::Damaged) => Ok(false),
        Err(why) => Err(why),
    }
}

fn derive(passphrase: &Passphrase, salt: &[u8; 16], cost: Cost) -> Result<Secret, VaultError> {
    if !cost.within_bounds() {
        return Err(VaultError::Cost);
    }
    let mut key = Zeroizing::new([0; 32]);
    let params =
        Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(key.len())).map_err(|_| VaultError::Cost)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.0.as_bytes(), salt, &mut *key)
        .map_err(|_| VaultError::OutOfMemory)?;
    Ok(Secret::new(*key))
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    const SECRET: &[u8] = b"the secret of thirty-two bytes..";

    /// What a test can afford a thousand times.
    const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([5; 32])
    }

    fn by(passphrase: &str) -> Protection {
        Protection::Passphrase(Passphrase::new(passphrase.to_owned()).unwrap(), CHEAP)
    }

    fn protected() -> Vec<u8> {
        seal(SECRET, &by("correct horse"), &mut rng()).unwrap()
    }

    /// A vault with another head, sealed as it should be as far as that is possible.
    fn with_cost(cost: Cost) -> Vec<u8> {
        let Stored { mut head, sealed } = wire::decode(&protected()).unwrap();
        head.lock.as_mut().unwrap().cost = cost;
        wire::encode(&Stored { head, sealed })
    }

    #[test]
    fn the_owner_opens_its_vault_at_the_real_cost() {
        let passphrase = || Passphrase::new("correct horse battery staple".to_owned()).unwrap();
        let vault = seal(SECRET, &Protection::Passphrase(passphrase(), Cost::STANDARD), &mut rng()).unwrap();
        // The cost that counts is the file's, whatever the reader would choose today.
        assert_eq!(*open(&vault, &Protection::Passphrase(passphrase(), CHEAP)).unwrap(), SECRET);
        let wrong = Protection::Passphrase(Passphrase::new("battery".to_owned()).unwrap(), CHEAP);
        assert_eq!(open(&vault, &wrong).unwrap_err(), VaultError::WrongPassphraseOrDamaged);
    }

    #[test]
    fn thief_without_the_passphrase_reads_nothing() {
        assert_eq!(open(&protected(), &by("Correct horse")).unwrap_err(), VaultError::WrongPassphraseOrDamaged);
        assert_eq!(open(&protected(), &Protection::None).unwrap_err(), VaultError::Protected);
        assert!(!protected().windows(8).any(|w| SECRET.windows(8).any(|s| s == w)));
    }

    #[test]
    fn owner_refuses_a_vault_with_any_bit_flipped() {
        for (good, protection) in [
            (protected(), by("correct horse")),
            (seal(SECRET, &Protection::None, &mut rng()).unwrap(), Protection::None),
        ] {
            assert_eq!(*open(&good, &protection).unwrap(), SECRET);
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(open(&bad, &protection).is_err(), "bit {bit} may be flipped ({protection:?})");
            }
            for len in 0..good.len() {
                assert!(open(&good[..len], &protection).is_err(), "{len} bytes will do ({protection:?})");
            }
        }
    }

    #[test]
    fn owner_refuses_a_file_that_demands_gigabytes_or_hours() {
        for hostile in [
            Cost { memory_kib: MEMORY_MAX_KIB + 1, ..CHEAP },
            Cost { memory_kib: u32::MAX, ..CHEAP },
            Cost { passes: PASSES_MAX + 1, ..CHEAP },
            Cost { passes: u32::MAX, ..CHEAP },
            Cost { lanes: LANES_MAX + 1, ..CHEAP },
            Cost { passes: 0, ..CHEAP },
            Cost { memory_kib: 0, ..CHEAP },
        ] {
            assert_eq!(open(&with_cost(hostile), &by("correct horse")).unwrap_err(), VaultError::Cost, "{hostile:?}");
        }
        let Stored { head, .. } = wire::decode(&protected()).unwrap();
        let bloated = wire::encode(&Stored { head, sealed: vec![0; VAULT_MAX].into() });
        assert_eq!(open(&bloated, &by("correct horse")).unwrap_err(), VaultError::NotAVault);
    }

    #[test]
    fn owner_refuses_a_vault_whose_cost_was_lowered() {
        let cheaper = with_cost(Cost { passes: 2, ..CHEAP });
        assert_eq!(open(&cheaper, &by("correct horse")).unwrap_err(), VaultError::WrongPassphraseOrDamaged);
    }

    #[test]
    fn owner_refuses_an_unprotected_vault_put_in_place_of_its_own() {
        let planted = seal(b"a thief's own key", &Protection::None, &mut rng()).unwrap();
        assert_eq!(open(&planted, &by("correct horse")).unwrap_err(), VaultError::Unprotected);
    }

    #[test]
    fn a_damaged_unprotected_vault_is_called_damaged() {
        let mut vault = seal(SECRET, &Protection::None, &mut rng()).unwrap();
        *vault.last_mut().unwrap() ^= 1;
        assert_eq!(open(&vault, &Protection::None).unwrap_err(), VaultError::Damaged);
    }

    #[test]
    fn a_vault_of_a_later_format_is_named_as_such() {
        let Stored { mut head, sealed } = wire::decode(&protected()).unwrap();
        head.version = 2;
        let later = wire::encode(&Stored { head, sealed });
        assert_eq!(open(&later, &by("correct horse")).unwrap_err(), VaultError::Version(2));
        assert_eq!(asks_for_passphrase(&later), Err(VaultError::Version(2)));
        let Stored { mut head, sealed } = wire::decode(&protected()).unwrap();
        head.magic = "another's safe".to_owned();
        let other = wire::encode(&Stored { head, sealed });
        assert_eq!(open(&other, &by("correct horse")).unwrap_err(), VaultError::NotAVault);
    }

    #[test]
    fn a_file_tells_whether_to_ask_for_a_passphrase() {
        assert_eq!(asks_for_passphrase(&protected()), Ok(true));
        let open = seal(SECRET, &Protection::None, &mut rng()).unwrap();
        assert_eq!(asks_for_passphrase(&open), Ok(false));
        assert_eq!(asks_for_passphrase(b"rubbish"), Err(VaultError::NotAVault));
    }

    #[test]
    fn two_vaults_of_one_secret_share_no_salt_nonce_or_key() {
        let mut rng = rng();
        let one: Stored = wire::decode(&seal(SECRET, &by("x"), &mut rng).unwrap()).unwrap();
        let two: Stored = wire::decode(&seal(SECRET, &by("x"), &mut rng).unwrap()).unwrap();
        assert_ne!(one.head.nonce, two.head.nonce);
        assert_ne!(one.head.lock.unwrap().salt, two.head.lock.unwrap().salt);
        assert_ne!(one.sealed, two.sealed);
    }

    #[test]
    fn limits_have_names() {
        assert_eq!(Passphrase::new(String::new()).unwrap_err(), VaultError::Passphrase);
        assert_eq!(Passphrase::new("x".repeat(PASSPHRASE_MAX + 1)).unwrap_err(), VaultError::Passphrase);
        assert_eq!(seal(&vec![0; SECRET_MAX + 1], &Protection::None, &mut rng()), Err(VaultError::TooLong));
        let largest = seal(&vec![7; SECRET_MAX], &by("x"), &mut rng()).unwrap();
        assert!(largest.len() <= VAULT_MAX);
        assert_eq!(open(&largest, &by("x")).unwrap().len(), SECRET_MAX);
    }

    #[test]
    fn a_passphrase_shows_nothing_of_itself() {
        let shown = format!("{:?} {}", by("hunter2"), VaultError::WrongPassphraseOrDamaged);
        assert!(!shown.contains("hunter"));
    }
}
