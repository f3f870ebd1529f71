//! The configuration file.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use farthing_bank::client::BankAddress;
use farthing_net::http::endpoint::Endpoint;
use farthing_net::peer::Multiaddr;
use serde::{Deserialize, Deserializer, de};

use crate::fail::Failure;

/// Its name, in the home folder.
pub(crate) const CONFIG_FILE: &str = "farthing.toml";
/// The longest file read.
const CONFIG_BYTES_MAX: u64 = 64 << 10;

/// What the file may say. Everything is optional; nothing else is allowed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// The bank's address.
    #[serde(default, deserialize_with = "parsed")]
    pub(crate) bank: Option<BankAddress>,
    /// The index's address.
    #[serde(default, deserialize_with = "parsed")]
    pub(crate) index: Option<Endpoint>,
    /// Where bought files go; the folder of the command by default.
    #[serde(default)]
    pub(crate) downloads: Option<PathBuf>,
    /// Where a peer listens.
    #[serde(default)]
    pub(crate) listen: Vec<Multiaddr>,
    /// Whether peers on the local network find each other by themselves.
    #[serde(default)]
    pub(crate) local_discovery: Option<bool>,
    /// The file that holds the passphrase.
    #[serde(default)]
    pub(crate) passphrase_file: Option<PathBuf>,
}

impl File {
    /// Reads the file. One that is not there says nothing, unless it `must` be there.
    pub(crate) fn read(path: &Path, must: bool) -> Result<Self, Failure> {
        let shown = path.display();
        match std::fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && !must => return Ok(Self::default()),
            Err(error) => return Err(Failure::usage(format_args!("cannot read {shown}: {error}"))),
            Ok(found) if found.len() > CONFIG_BYTES_MAX => {
                return Err(Failure::usage(format_args!("{shown} is too long for a configuration file")));
            }
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format_args!("cannot read {shown}: {error}")))?;
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(&text, span.start));
            Failure::usage(format_args!("{shown}, line {line}: {}", error.message()))
                .next("correct the line, or remove it")
        })
    }
}

/// Which line of `text` the byte at `at` is on, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

fn parsed<'de, D, T>(d: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = String::deserialize(d)?;
    text.parse().map(Some).map_err(de::Error::custom)
}
