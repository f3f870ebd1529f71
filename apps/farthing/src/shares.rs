//! Which folders are shared, remembered in the home folder.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use farthing_core::amount::Amount;
use farthing_peer::shop::Per;
use serde::{Deserialize, Serialize};

use crate::fail::{Context, Failure};

/// The file's name in the home folder.
const SHARES_FILE: &str = "shares.toml";
/// The most folders shared at a time.
const SHARES_MAX: usize = 256;

/// What a price is for; the price of a MiB or a file is shared out among its pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PricePer {
    Piece,
    Mib,
    File,
}

impl From<PricePer> for Per {
    fn from(per: PricePer) -> Self {
        match per {
            PricePer::Piece => Self::Piece,
            PricePer::Mib => Self::Mib,
            PricePer::File => Self::File,
        }
    }
}

/// A folder for sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Share {
    /// Where.
    pub(crate) folder: PathBuf,
    /// For how much.
    pub(crate) price: Amount,
    /// Per what.
    pub(crate) per: PricePer,
}

/// All folders for sale.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shares {
    /// Each folder once.
    #[serde(default, rename = "share")]
    pub(crate) all: Vec<Share>,
}

impl Shares {
    /// What was shared before.
    pub(crate) fn read(home: &Path) -> Result<Self, Failure> {
        let path = home.join(SHARES_FILE);
        let shown = path.display();
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::other(format_args!("cannot read {shown}: {error}"))),
            Ok(text) => toml::from_str(&text)
                .map_err(|error| Failure::usage(format_args!("{shown}: {}", error.message())).next("correct the file")),
        }
    }

    /// Shares a folder, or changes its price.
    pub(crate) fn add(&mut self, share: Share) -> Result<(), Failure> {
        self.remove(&share.folder);
        if self.all.len() >= SHARES_MAX {
            return Err(Failure::usage(format_args!("{SHARES_MAX} folders are shared already")));
        }
        self.all.push(share);
        Ok(())
    }

    /// Shares a folder no more; false if it was not shared.
    pub(crate) fn remove(&mut self, folder: &Path) -> bool {
        let before = self.all.len();
        self.all.retain(|share| share.folder != folder);
        self.all.len() < before
    }

    /// Remembers the folders.
    pub(crate) fn write(&self, home: &Path) -> Result<(), Failure> {
        let path = home.join(SHARES_FILE);
        let text = toml::to_string(self).map_err(Failure::other)?;
        let unfinished = home.join(format!("{SHARES_FILE}.unfinished"));
        let written = std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, &path));
        written.or_fail(format_args!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use farthing_core::amount::Currency;

    use super::*;

    #[test]
    fn shares_are_remembered_and_each_folder_has_one_price() {
        let home = tempfile::tempdir().unwrap();
        let share = |micros| Share {
            folder: "/music".into(),
            price: Currency::XTS.micros(micros).unwrap(),
            per: PricePer::Piece,
        };
        let mut shares = Shares::read(home.path()).unwrap();
        shares.add(share(1)).unwrap();
        shares.add(share(2)).unwrap();
        shares.write(home.path()).unwrap();
        assert_eq!(Shares::read(home.path()).unwrap().all, [share(2)]);
        assert!(shares.remove(Path::new("/music")) && !shares.remove(Path::new("/music")));
    }
}
