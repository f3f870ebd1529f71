//! A bank's folder: configuration, keys, books.
//!
//! ```text
//! bank.toml    the configuration, for people
//! bank.key     statement key and sealing key, sealed with the passphrase
//! ca.key       the certifying key, sealed likewise; only the signer's process reads it
//! bank.db      the books
//! clearing.log the clearing's log once more, unless bank.toml names another place
//! tls/         a self-made certificate, where one is used
//! ```

mod config;
mod keys;
mod schemes;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use farthing_core::id::{NetworkId, PeerId};
use farthing_core::vault::VaultError;

use crate::messages::network_of;

pub use config::{AccountLimits, Config, FacilitatorTerms, RailName, Roles, Terms, TlsConfig};
pub use keys::Unlock;
pub(crate) use keys::{BankKeys, open_authority};
pub use schemes::{BanksTerms, ClearingTerms, DraftTerms};

/// The longest configuration that is read: 64 KiB.
const CONFIG_BYTES_MAX: u64 = 64 << 10;

/// Why a bank's folder is of no use. Nothing was changed, except by [`BankHome::init`].
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// There is no bank.
    #[error("there is no bank in {0}: make one with `farthing bank init`, or name another folder")]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a bank in {0} already: name another folder")]
    Exists(PathBuf),
    /// Others could look into it.
    #[error("{path} has mode {mode:03o}, so others could look into it: `chmod go-rwx` it and start again")]
    Exposed {
        /// Which file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The configuration does not say what it should.
    #[error("{path}: {why}; mend it and start again")]
    Config {
        /// Which file.
        path: PathBuf,
        /// Line, key and what is wrong there.
        why: String,
    },
    /// A key does not open.
    #[error("{path}: {why}")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why not.
        why: VaultError,
    },
    /// The disk failed, or does not let us.
    #[error("cannot use {path}: {source}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}; nothing was made")]
    Starved(String),
}

impl HomeError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// A bank's folder, opened: its configuration is sound and its keys are at hand. The certifying
/// key is not among them.
#[derive(Debug)]
pub struct BankHome {
    path: PathBuf,
    /// The configuration; may be changed before the bank starts, by flags for example.
    pub config: Config,
    pub(crate) keys: BankKeys,
}

impl BankHome {
    /// Makes a bank: folder, configuration and fresh keys, sealed as told.
    ///
    /// # Errors
    /// [`HomeError`]; an unfinished folder is left where the disk failed.
    pub fn init(path: impl Into<PathBuf>, config: Config, unlock: &Unlock) -> Result<Self, HomeError> {
        let path = path.into();
        let file = path.join("bank.toml");
        config.check().map_err(|why| HomeError::Config { path: file.clone(), why })?;
        if file.exists() || path.join("bank.key").exists() {
            return Err(HomeError::Exists(path));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(HomeError::io(&path))?;
        private_only(&path)?;
        let keys = BankKeys::make(&path, unlock, config.clearing.key_generation)?;
        // Last, so that a folder with a configuration is a whole one.
        let text = config.to_toml().map_err(|why| HomeError::Config { path: file.clone(), why })?;
        write_new(&file, text.as_bytes())?;
        Ok(Self { path, config, keys })
    }

    /// Opens a bank's folder.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn open(path: impl Into<PathBuf>, unlock: &Unlock) -> Result<Self, HomeError> {
        let path = path.into();
        let config = Self::config_of(&path)?;
        private_only(&path)?;
        let keys = BankKeys::open(&path, unlock, config.clearing.key_generation)?;
        Ok(Self { path, config, keys })
    }

    /// The configuration of a bank, without its keys.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn config_of(path: &Path) -> Result<Config, HomeError> {
        let file = path.join("bank.toml");
        let size = match fs::metadata(&file) {
            Ok(found) => found.len(),
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Err(HomeError::Missing(path.to_owned())),
            Err(why) => return Err(HomeError::io(&file)(why)),
        };
        let wrong = |why| HomeError::Config { path: file.clone(), why };
        if size > CONFIG_BYTES_MAX {
            return Err(wrong(format!("is longer than {CONFIG_BYTES_MAX} bytes")));
        }
        let text = fs::read_to_string(&file).map_err(HomeError::io(&file))?;
        let config = Config::parse(&text).map_err(wrong)?;
        config.check().map_err(wrong)?;
        Ok(config)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file with the books.
    #[must_use]
    pub fn books(&self) -> PathBuf {
        books_of(&self.path)
    }

    /// The file with the clearing's log.
    #[must_use]
    pub fn clearing_log(&self) -> PathBuf {
        self.path.join(&self.config.clearing.log)
    }

    /// The key that signs the bank's statements.
    #[must_use]
    pub fn bank(&self) -> PeerId {
        self.keys.statement.id()
    }

    /// The key that signs certificates.
    #[must_use]
    pub const fn authority(&self) -> PeerId {
        self.keys.authority
    }

    /// The bank's network.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        network_of(self.bank(), &self.config.name)
    }
}

/// The file with the books in a bank's folder.
pub(crate) fn books_of(path: &Path) -> PathBuf {
    path.join("bank.db")
}

/// Refuses what others may look into.
pub(crate) fn private_only(path: &Path) -> Result<(), HomeError> {
    let mode = fs::metadata(path).map_err(HomeError::io(path))?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(HomeError::Exposed { path: path.to_owned(), mode }) }
}

/// Writes a new file that only its owner can read, and makes it last.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(HomeError::io(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(HomeError::io(path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(HomeError::io(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_core::amount::Currency;

    fn config() -> Config {
        Config::play("Test bank", Currency::XTS)
    }

    #[test]
    fn a_bank_is_found_again_as_it_was_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bank");
        let made = BankHome::init(&path, config(), &Unlock::insecure()).unwrap();
        let found = BankHome::open(&path, &Unlock::insecure()).unwrap();
        assert_eq!((found.bank(), found.authority(), found.network()), (made.bank(), made.authority(), made.network()));
        assert_ne!(found.bank(), found.authority());
        assert_eq!(found.config, made.config);
        assert!(matches!(BankHome::init(&path, config(), &Unlock::insecure()), Err(HomeError::Exists(_))));
    }

    #[test]
    fn bank_refuses_to_open_without_its_passphrase() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bank");
        let unlock = Unlock::passphrase("correct horse".to_owned()).unwrap();
        BankHome::init(&path, config(), &unlock).unwrap();
        assert!(BankHome::open(&path, &unlock).is_ok());
        for wrong in [Unlock::insecure(), Unlock::passphrase("battery staple".to_owned()).unwrap()] {
            assert!(matches!(BankHome::open(&path, &wrong), Err(HomeError::Key { .. })));
        }
    }

    #[test]
    fn bank_refuses_a_folder_or_key_that_others_may_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bank");
        BankHome::init(&path, config(), &Unlock::insecure()).unwrap();
        fs::set_permissions(path.join("bank.key"), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(BankHome::open(&path, &Unlock::insecure()), Err(HomeError::Exposed { .. })));
        fs::set_permissions(path.join("bank.key"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(BankHome::open(&path, &Unlock::insecure()), Err(HomeError::Exposed { .. })));
    }

    #[test]
    fn a_slip_in_the_configuration_is_named_with_line_and_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bank");
        BankHome::init(&path, config(), &Unlock::insecure()).unwrap();
        let file = path.join("bank.toml");
        let good = fs::read_to_string(&file).unwrap();
        for (from, to, told) in [
            ("rail = \"play\"", "rial = \"play\"", "rial"),
            ("currency = \"XTS\"", "currency = \"xts\"", "line 2"),
            ("chain_days = 30", "chain_days = 0", "terms.chain_days"),
        ] {
            fs::write(&file, good.replace(from, to)).unwrap();
            let why = BankHome::open(&path, &Unlock::insecure()).unwrap_err().to_string();
            assert!(why.contains(told) && why.contains("bank.toml"), "{why}");
        }
        fs::remove_file(&file).unwrap();
        assert!(matches!(BankHome::open(&path, &Unlock::insecure()), Err(HomeError::Missing(_))));
    }
}
