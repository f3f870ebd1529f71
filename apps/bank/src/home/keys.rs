//! The bank's keys, sealed at rest.

use core::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;

use farthing_clearing::keys::MasterKey;
use farthing_core::id::PeerId;
use farthing_core::seal::SealKey;
use farthing_core::seed::{KeyPurpose, Seed, Which};
use farthing_core::sign::SecretKey;
use farthing_core::vault::{self, Cost, Passphrase, Protection, VAULT_MAX, VaultError};
use farthing_core::wire;
use minicbor::{Decode, Encode};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zeroize::Zeroizing;

use super::{HomeError, private_only, write_new};
use crate::facilitator::FacilitatorKeys;
use crate::role::SchemeKeys;

/// The file with statement and sealing key.
const BANK_KEY: &str = "bank.key";
/// The file with the certifying key.
const CA_KEY: &str = "ca.key";

/// How keys are opened: with a passphrase, or, where the owner wants it so, with none. `Debug`
/// shows nothing of it.
#[derive(Clone)]
pub struct Unlock(Option<Zeroizing<String>>);

impl Unlock {
    /// With a passphrase.
    ///
    /// # Errors
    /// [`VaultError::Passphrase`] for none, or one too long.
    pub fn passphrase(typed: String) -> Result<Self, VaultError> {
        let typed = Zeroizing::new(typed);
        Passphrase::new(String::clone(&typed))?;
        Ok(Self(Some(typed)))
    }

    /// Without any: `--insecure-no-passphrase`.
    #[must_use]
    pub const fn insecure() -> Self {
        Self(None)
    }

    pub(crate) fn protection(&self) -> Result<Protection, VaultError> {
        Ok(match &self.0 {
            Some(typed) => Protection::Passphrase(Passphrase::new(String::clone(typed))?, Cost::STANDARD),
            None => Protection::None,
        })
    }

    /// The passphrase, to be handed to the signer's process.
    pub(crate) fn expose(&self) -> Option<&str> {
        self.0.as_ref().map(|typed| typed.as_str())
    }
}

impl fmt::Debug for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Unlock by passphrase" } else { "Unlock without passphrase" })
    }
}

/// What `bank.key` holds.
#[derive(Encode, Decode)]
struct Stored {
    #[cbor(n(0), with = "minicbor::bytes")]
    statement: [u8; 32],
    #[cbor(n(1), with = "minicbor::bytes")]
    seal: [u8; 32],
    /// Whose certificates are the bank's.
    #[n(2)]
    authority: PeerId,
}

impl Drop for Stored {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.statement);
        zeroize::Zeroize::zeroize(&mut self.seal);
    }
}

/// The keys that the server's process holds.
#[derive(Debug)]
pub(crate) struct BankKeys {
    /// Signs answers and reports.
    pub(crate) statement: SecretKey,
    /// The same keys once more, for the schemes' own statements and slips.
    pub(crate) schemes: SchemeKeys,
    /// Opens requests.
    pub(crate) seal: SealKey,
    /// The facilitator's, grown from the statement key.
    pub(crate) facilitator: FacilitatorKeys,
    /// The public half of the certifying key.
    pub(crate) authority: PeerId,
}

impl BankKeys {
    /// Draws fresh keys and writes them down. `generation` is that of the clearing's keys.
    pub(super) fn make(home: &Path, unlock: &Unlock, generation: u64) -> Result<Self, HomeError> {
        let authority = Zeroizing::new(random()?);
        let stored = Stored { statement: random()?, seal: random()?, authority: SecretKey::from_seed(&authority).id() };
        write_sealed(&home.join(CA_KEY), &*authority, unlock)?;
        write_sealed(&home.join(BANK_KEY), &Zeroizing::new(wire::encode(&stored)), unlock)?;
        Ok(Self::from(&stored, generation))
    }

    pub(super) fn open(home: &Path, unlock: &Unlock, generation: u64) -> Result<Self, HomeError> {
        let path = home.join(BANK_KEY);
        let plain = read_sealed(&path, unlock)?;
        let damaged = |_| HomeError::Key { path, why: VaultError::Damaged };
        wire::decode::<Stored>(&plain).map(|stored| Self::from(&stored, generation)).map_err(damaged)
    }

    fn from(stored: &Stored, generation: u64) -> Self {
        let seed = Seed::from_entropy(stored.statement);
        let master = [&b"clearing"[..], &generation.to_be_bytes()].concat();
        let grown = |purpose| seed.derive(purpose, Which::For(b"facilitator"));
        let facilitator = FacilitatorKeys {
            sign: SecretKey::from_seed(grown(KeyPurpose::Identity).expose()),
            seal: SealKey::from_seed(grown(KeyPurpose::Seal).expose()),
        };
        Self {
            facilitator,
            statement: SecretKey::from_seed(&stored.statement),
            schemes: SchemeKeys {
                netpay: SecretKey::from_seed(&stored.statement),
                coupon: SecretKey::from_seed(&stored.statement),
                clearing: SecretKey::from_seed(&stored.statement),
                draft: SecretKey::from_seed(&stored.statement),
                cheque: SecretKey::from_seed(&stored.statement),
                master: MasterKey::new(seed.derive(KeyPurpose::Session, Which::For(&master))),
                slips: SealKey::from_seed(&stored.seal),
            },
            seal: SealKey::from_seed(&stored.seal),
            authority: stored.authority,
        }
    }
}

/// Opens the certifying key: for the signer, and for nobody else.
pub(crate) fn open_authority(home: &Path, unlock: &Unlock) -> Result<SecretKey, HomeError> {
    let path = home.join(CA_KEY);
    let plain = read_sealed(&path, unlock)?;
    let seed: Zeroizing<[u8; 32]> =
        Zeroizing::new(plain.as_slice().try_into().map_err(|_| HomeError::Key { path, why: VaultError::Damaged })?);
    Ok(SecretKey::from_seed(&seed))
}

fn write_sealed(path: &Path, secret: &[u8], unlock: &Unlock) -> Result<(), HomeError> {
    let refused = |why| HomeError::Key { path: path.to_owned(), why };
    let mut rng = ChaCha20Rng::from_seed(random()?);
    let sealed = vault::seal(secret, &unlock.protection().map_err(refused)?, &mut rng).map_err(refused)?;
    write_new(path, &sealed)
}

fn read_sealed(path: &Path, unlock: &Unlock) -> Result<Zeroizing<Vec<u8>>, HomeError> {
    private_only(path)?;
    let refused = |why| HomeError::Key { path: path.to_owned(), why };
    let mut sealed = Vec::new();
    let file = fs::File::open(path).map_err(HomeError::io(path))?;
    // One byte more than any vault has: enough to tell that it is none.
    file.take(VAULT_MAX as u64 + 1).read_to_end(&mut sealed).map_err(HomeError::io(path))?;
    vault::open(&sealed, &unlock.protection().map_err(refused)?).map_err(refused)
}

fn random() -> Result<[u8; 32], HomeError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|why| HomeError::Starved(why.to_string()))?;
    Ok(bytes)
}
