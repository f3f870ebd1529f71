//! The wallet's folder: who may look inside, and files that are always whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use farthing_core::seed::Seed;
use farthing_core::vault::{self, Protection, VAULT_MAX, VaultError};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zeroize::Zeroizing;

use super::error::WalletError;
use super::records::Witness;
use super::settings::{SETTINGS_BYTES_MAX, Settings};

/// The folder's permissions.
const FOLDER_MODE: u32 = 0o700;
/// Those of every file in it.
const FILE_MODE: u32 = 0o600;

/// The files of a wallet.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// An existing folder that nobody else can look into.
    pub(crate) fn open(path: &Path) -> Result<Self, WalletError> {
        if !path.is_dir() {
            return Err(WalletError::Missing(path.into()));
        }
        private(path, FOLDER_MODE)?;
        let home = Self(path.into());
        if !home.vault().exists() {
            return Err(WalletError::Missing(path.into()));
        }
        Ok(home)
    }

    /// A folder for a new wallet.
    pub(crate) fn create(path: &Path) -> Result<Self, WalletError> {
        let failed = |why| WalletError::file(path, why);
        if path.exists() {
            private(path, FOLDER_MODE)?;
        } else {
            DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).map_err(failed)?;
        }
        let home = Self(path.into());
        if home.vault().exists() || home.records().exists() {
            return Err(WalletError::Exists(path.into()));
        }
        Ok(home)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn records(&self) -> PathBuf {
        self.0.join("wallet.sqlite")
    }

    fn vault(&self) -> PathBuf {
        self.0.join("seed.vault")
    }

    fn settings(&self) -> PathBuf {
        self.0.join("wallet.toml")
    }

    fn witness(&self) -> PathBuf {
        self.0.join("witness")
    }

    fn next_witness(&self) -> PathBuf {
        self.0.join("witness.next")
    }

    /// The witness beside the records, if there is a whole one.
    pub(crate) fn find_witness(&self) -> Option<Witness> {
        identify(&self.witness()).ok()
    }

    /// Makes the witness of this opening; [`call_witness`](Self::call_witness) puts it in place.
    pub(crate) fn make_witness(&self) -> Result<Witness, WalletError> {
        let path = self.next_witness();
        write_private(&path, &random::<16>()?)?;
        identify(&path).map_err(|why| WalletError::file(path, why))
    }

    /// Puts the witness of this opening in place, once the records know it.
    pub(crate) fn call_witness(&self) -> Result<(), WalletError> {
        let path = self.witness();
        fs::rename(self.next_witness(), &path)
            .and_then(|()| sync_folder(&path))
            .map_err(|why| WalletError::file(path, why))
    }

    pub(crate) fn read_settings(&self) -> Result<Settings, WalletError> {
        let path = self.settings();
        let bytes = read_private(&path, SETTINGS_BYTES_MAX)?;
        let text = String::from_utf8(bytes).map_err(|_| "it is not text".to_owned());
        text.and_then(|text| Settings::parse(&text)).map_err(|why| WalletError::Settings { path, why })
    }

    pub(crate) fn write_settings(&self, settings: &Settings) -> Result<(), WalletError> {
        let path = self.settings();
        let wrong = |why: String| WalletError::Settings { path: path.clone(), why };
        settings.check().map_err(wrong)?;
        let text = toml::to_string(settings).map_err(|why| wrong(why.to_string()))?;
        write_private(&path, text.as_bytes())
    }

    pub(crate) fn read_seed(&self, protection: &Protection) -> Result<Seed, WalletError> {
        open_seed(&read_private(&self.vault(), VAULT_MAX as u64)?, protection)
    }

    pub(crate) fn write_seed(&self, seed: &Seed, protection: &Protection) -> Result<(), WalletError> {
        write_private(&self.vault(), &seal_seed(seed, protection)?)
    }
}

/// The bytes of a vault with the seed in it.
pub(crate) fn seal_seed(seed: &Seed, protection: &Protection) -> Result<Vec<u8>, WalletError> {
    let mut rng = ChaCha20Rng::from_seed(random()?);
    Ok(vault::seal(seed.words().expose().as_bytes(), protection, &mut rng)?)
}

/// The seed in a vault.
pub(crate) fn open_seed(bytes: &[u8], protection: &Protection) -> Result<Seed, WalletError> {
    let phrase = vault::open(bytes, protection)?;
    // A vault that opens and holds no phrase was never one of ours.
    let phrase = core::str::from_utf8(&phrase).map_err(|_| VaultError::NotAVault)?;
    Seed::parse(phrase).map_err(|_| VaultError::NotAVault.into())
}

/// Randomness of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], WalletError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|why| WalletError::Starved(why.to_string()))?;
    Ok(bytes)
}

/// Refuses a file or folder that others may read or replace.
pub(crate) fn private(path: &Path, should: u32) -> Result<(), WalletError> {
    let mode = fs::metadata(path).map_err(|why| WalletError::file(path, why))?.mode() & 0o777;
    let harm = if mode & 0o022 == 0 { "read" } else { "replace" };
    if mode & 0o077 == 0 { Ok(()) } else { Err(WalletError::Exposed { path: path.into(), mode, should, harm }) }
}

/// Reads a file that only its owner may read, up to a length.
pub(crate) fn read_private(path: &Path, most: u64) -> Result<Vec<u8>, WalletError> {
    private(path, FILE_MODE)?;
    let failed = |why| WalletError::file(path, why);
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {most} bytes"))));
    }
    Ok(bytes)
}

/// Writes a file that only its owner may read: under another name first, so that a file of the
/// right name is always whole, and durable on return.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), WalletError> {
    let failed = |why| WalletError::file(path, why);
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    // What a crash has left behind is nobody's.
    let _ = fs::remove_file(&unfinished);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&unfinished).map_err(failed)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&unfinished, path));
    if let Err(why) = written {
        let _ = fs::remove_file(&unfinished);
        return Err(failed(why));
    }
    sync_folder(path).map_err(failed)
}

/// Makes a name in a folder survive a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Tells a witness from every other one, and from its copies.
fn identify(path: &Path) -> io::Result<Witness> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    let mut nonce = [0; 16];
    file.read_exact(&mut nonce)?;
    let born = meta.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let born = born.and_then(|born| u64::try_from(born.as_nanos()).ok());
    Ok(Witness { nonce, inode: meta.ino(), born })
}

/// A secret as transport layers want it.
pub(crate) fn bare(secret: &farthing_core::seed::Secret) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(*secret.expose())
}
