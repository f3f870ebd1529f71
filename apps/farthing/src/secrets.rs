//! The passphrase: from a file, the environment, or the keyboard; never from the command line,
//! where every process could read it.

use std::fmt;
use std::io::{IsTerminal, Read};
use std::path::Path;

use dialoguer::Password;
use farthing_core::vault::{Cost, PASSPHRASE_MAX, Passphrase, Protection};
use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::fail::Failure;

/// The environment variable that may hold it.
const PASSPHRASE_ENV: &str = "FARTHING_PASSPHRASE";

/// A passphrase on its way to another process of the same user. `Debug` shows none of it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hidden(pub(crate) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

/// How new keys are to be protected; asked for twice at the keyboard.
pub(crate) fn for_new(settings: &Settings) -> Result<Protection, Failure> {
    protection(typed(settings, true)?)
}

/// How keys that are there are protected: by a passphrase, or not at all.
pub(crate) fn for_old(settings: &Settings, by_passphrase: bool) -> Result<Protection, Failure> {
    if by_passphrase { protection(typed(settings, false)?) } else { Ok(Protection::None) }
}

/// What was typed, or `None` where the owner wants no passphrase.
pub(crate) fn typed(settings: &Settings, new: bool) -> Result<Option<String>, Failure> {
    if settings.no_passphrase {
        return Ok(None);
    }
    match (&settings.passphrase_file, std::env::var(PASSPHRASE_ENV)) {
        (Some(file), _) => from_file(file),
        (None, Ok(typed)) => Ok(typed),
        (None, Err(_)) => from_keyboard(new),
    }
    .map(Some)
}

/// By what was typed.
pub(crate) fn protection(typed: Option<String>) -> Result<Protection, Failure> {
    let Some(typed) = typed else { return Ok(Protection::None) };
    let passphrase = Passphrase::new(typed).map_err(|why| Failure::usage(why).next("choose another passphrase"))?;
    Ok(Protection::Passphrase(passphrase, Cost::STANDARD))
}

/// The first line of a file.
fn from_file(file: &Path) -> Result<String, Failure> {
    let shown = file.display();
    let mut text = String::new();
    let wrong = |error| Failure::usage(format_args!("cannot read the passphrase file {shown}: {error}"));
    let opened = std::fs::File::open(file).map_err(wrong)?;
    // One byte more than a passphrase may have, and a line's end: what is too long is seen to be.
    let read = opened.take(PASSPHRASE_MAX as u64 + 3).read_to_string(&mut text);
    read.map_err(wrong)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn from_keyboard(new: bool) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::usage("a passphrase is needed, and nobody is there to type it")
            .next("add --passphrase-file FILE, or for play money --insecure-no-passphrase"));
    }
    let prompt = if new { "Choose a passphrase" } else { "Passphrase" };
    let ask = Password::new().with_prompt(prompt);
    let ask = if new { ask.with_confirmation("Once more", "They differ. Try again") } else { ask };
    ask.interact().map_err(Failure::other)
}
