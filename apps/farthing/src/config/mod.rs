//! Settings: flags, then environment, then the file, then defaults.
//!
//! `clap` reads flags and environment; [`Settings::resolve`] puts the file and the defaults below.

mod file;

use std::path::{Path, PathBuf};

use farthing_bank::client::BankAddress;
use farthing_net::http::endpoint::Endpoint;
use farthing_net::peer::Multiaddr;

use crate::cli::Common;
use crate::fail::Failure;

pub(crate) use file::{CONFIG_FILE, File};

/// Where a peer listens unless told otherwise: on a free port of every address, over QUIC and TCP.
const LISTEN: [&str; 2] = ["/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0"];

/// What every command goes by.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The folder that holds everything.
    pub(crate) home: PathBuf,
    /// The configuration file, whether it is there or not.
    pub(crate) config: PathBuf,
    /// The bank, if one is named; wallets remember theirs.
    pub(crate) bank: Option<BankAddress>,
    /// The index, if one is named.
    pub(crate) index: Option<Endpoint>,
    /// Where bought files go.
    pub(crate) downloads: PathBuf,
    /// Where a peer listens.
    pub(crate) listen: Vec<Multiaddr>,
    /// Whether peers on the local network find each other without an index.
    pub(crate) local_discovery: bool,
    /// The file that holds the passphrase.
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Keys are kept without a passphrase.
    pub(crate) no_passphrase: bool,
}

impl Settings {
    /// Puts flags and environment over the file over the defaults.
    pub(crate) fn resolve(common: &Common) -> Result<Self, Failure> {
        let (_, config) = places(common)?;
        // A file named on purpose must be there; the one in the home need not.
        Self::over(common, File::read(&config, common.config.is_some())?)
    }

    /// Puts flags and environment over what a file says over the defaults.
    pub(crate) fn over(common: &Common, file: File) -> Result<Self, Failure> {
        let (home, config) = places(common)?;
        let listen = if common.listen.is_empty() { file.listen } else { common.listen.clone() };
        let listen = if listen.is_empty() { default_listen()? } else { listen };
        Ok(Self {
            bank: common.bank.clone().or(file.bank),
            index: common.index.clone().or(file.index),
            downloads: file.downloads.unwrap_or_else(|| PathBuf::from(".")),
            listen,
            local_discovery: file.local_discovery.unwrap_or(true),
            passphrase_file: common.passphrase_file.clone().or(file.passphrase_file),
            no_passphrase: common.insecure_no_passphrase,
            home,
            config,
        })
    }

    /// What the file in a home says, without flags and environment; keys without a passphrase.
    pub(crate) fn of_home(home: &Path) -> Result<Self, Failure> {
        let config = home.join(CONFIG_FILE);
        let file = File::read(&config, true)?;
        Ok(Self {
            home: home.to_owned(),
            config,
            bank: file.bank,
            index: file.index,
            downloads: file.downloads.unwrap_or_else(|| PathBuf::from(".")),
            listen: file.listen,
            local_discovery: file.local_discovery.unwrap_or(true),
            passphrase_file: None,
            no_passphrase: true,
        })
    }

    /// The index, or how to name one.
    pub(crate) fn index(&self) -> Result<&Endpoint, Failure> {
        self.index.as_ref().ok_or_else(|| {
            Failure::usage("no index is named").next(format_args!(
                "add --index URL, set FARTHING_INDEX, or write index = \"URL\" into {}",
                self.config.display()
            ))
        })
    }

    /// The bank, or how to name one.
    pub(crate) fn bank(&self) -> Result<&BankAddress, Failure> {
        self.bank.as_ref().ok_or_else(|| {
            Failure::usage("no bank is named").next(format_args!(
                "add --bank URL, set FARTHING_BANK, or write bank = \"URL\" into {}",
                self.config.display()
            ))
        })
    }

    /// How to call this program on the same home folder.
    pub(crate) fn program(&self) -> String {
        if default_home().is_ok_and(|home| home == self.home) {
            return "farthing".to_owned();
        }
        let home = self.home.display().to_string();
        let plain = home.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
        if plain {
            format!("farthing --home {home}")
        } else {
            format!("farthing --home '{}'", home.replace('\'', "'\\''"))
        }
    }

    /// The folder of the wallet.
    pub(crate) fn wallet_home(&self) -> PathBuf {
        self.home.join("wallet")
    }

    /// The folder of the gateway.
    pub(crate) fn gateway_home(&self) -> PathBuf {
        self.home.join("gateway")
    }

    /// The folder of the bank.
    pub(crate) fn bank_home(&self) -> PathBuf {
        self.home.join("bank")
    }

    /// The folder of the index.
    pub(crate) fn index_home(&self) -> PathBuf {
        self.home.join("index")
    }
}

/// The home folder and the configuration file.
fn places(common: &Common) -> Result<(PathBuf, PathBuf), Failure> {
    let home = match &common.home {
        Some(home) => home.clone(),
        None => default_home()?,
    };
    let config = common.config.clone().unwrap_or_else(|| home.join(CONFIG_FILE));
    Ok((home, config))
}

fn default_home() -> Result<PathBuf, Failure> {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    home.map(|home| home.join(".farthing"))
        .ok_or_else(|| Failure::usage("this user has no home folder").next("name a folder: --home DIR"))
}

fn default_listen() -> Result<Vec<Multiaddr>, Failure> {
    LISTEN.iter().map(|text| text.parse().map_err(Failure::other)).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn resolved(dir: &std::path::Path, file: &str, args: &[&str]) -> Result<Settings, Failure> {
        std::fs::write(dir.join(CONFIG_FILE), file).unwrap();
        let home = dir.to_str().unwrap();
        let all = ["farthing", "--home", home, "doctor"].into_iter().chain(args.iter().copied());
        Settings::resolve(&Cli::try_parse_from(all).unwrap().common)
    }

    #[test]
    fn flags_come_before_the_file_and_the_file_before_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let file = "bank = \"http://127.0.0.1:1\"\nindex = \"http://127.0.0.1:2\"\n";
        let settings = resolved(dir.path(), file, &["--bank", "http://127.0.0.1:3"]).unwrap();
        assert_eq!(settings.bank().unwrap().to_string(), "http://127.0.0.1:3");
        assert_eq!(settings.index().unwrap().to_string(), "http://127.0.0.1:2");
        assert_eq!(settings.downloads, PathBuf::from("."));
        assert_eq!(settings.listen.len(), LISTEN.len());
    }

    #[test]
    fn a_home_of_ones_own_is_named_as_a_shell_reads_it() {
        let called = |home: &str| {
            let cli = Cli::try_parse_from(["farthing", "--home", home, "doctor"]).unwrap();
            Settings::resolve(&cli.common).unwrap().program()
        };
        assert_eq!(called("b"), "farthing --home b");
        assert_eq!(called("my bank's"), r"farthing --home 'my bank'\''s'");
        assert_eq!(called(default_home().unwrap().to_str().unwrap()), "farthing");
    }

    #[test]
    fn a_key_nobody_knows_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let failure =
            resolved(dir.path(), "local_discovery = true\n\nbnak = \"http://127.0.0.1:1\"\n", &[]).unwrap_err();
        let shown = failure.to_string();
        assert!(shown.contains("line 3") && shown.contains("bnak"), "{shown}");
        assert_eq!(failure.kind(), crate::fail::Kind::Usage);
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let shown = resolved(dir.path(), "\nbank = \"http://bank.example\"\n", &[]).unwrap_err().to_string();
        assert!(shown.contains("line 2") && shown.contains("https"), "{shown}");
    }

    #[test]
    fn a_file_named_on_purpose_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none.toml");
        let args = ["farthing", "doctor", "--config", missing.to_str().unwrap()];
        assert!(Settings::resolve(&Cli::try_parse_from(args).unwrap().common).is_err());
    }
}
