//! What people and programs get to see: results on standard output, everything else on standard
//! error.

mod progress;
mod qr;
mod table;

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use dialoguer::Confirm;
use serde::Serialize;

use crate::fail::Failure;

pub(crate) use progress::{bar, spinner};
pub(crate) use qr::qr;
pub(crate) use table::{Column, table};

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    json: bool,
    quiet: bool,
}

impl Out {
    /// Results as JSON or in words; quiet is without what was not asked for.
    pub(crate) const fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Whether results are JSON.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Whether progress is worth drawing.
    pub(crate) fn draws(self) -> bool {
        !self.quiet && !self.json && std::io::stderr().is_terminal()
    }

    /// The result of a command: the one JSON object, or words.
    pub(crate) fn result<W: Display>(self, json: &impl Serialize, words: impl FnOnce() -> W) -> Result<(), Failure> {
        if self.json {
            let text = serde_json::to_string_pretty(json).map_err(Failure::other)?;
            return print(&text);
        }
        print(&words().to_string())
    }

    /// A server's first words: one line of JSON, so that whoever started it can go on.
    pub(crate) fn announce<W: Display>(self, json: &impl Serialize, words: impl FnOnce() -> W) -> Result<(), Failure> {
        if self.json {
            return print(&serde_json::to_string(json).map_err(Failure::other)?);
        }
        print(&words().to_string())
    }

    /// A line on the way to the result, in words only.
    pub(crate) fn note(self, line: impl Display) {
        if !self.quiet && !self.json {
            eprintln!("{line}");
        }
    }

    /// Why the command fails, where its result is told too: on standard error whatever the options.
    pub(crate) fn error(self, why: &Failure) {
        eprintln!("error: {why}");
    }

    /// A warning: on standard error whatever the options.
    pub(crate) fn warn(self, line: impl Display) {
        eprintln!("warning: {line}");
    }
}

/// Asks before money moves. Where nobody can answer, `--yes` must have been given.
pub(crate) fn confirm(yes: bool, question: &str) -> Result<bool, Failure> {
    agreed(yes, question, || {
        Failure::usage("money would move, and nobody is there to be asked")
            .next("add --yes, or --dry-run to see what would be done")
    })
}

/// Asks before anything else; how it fails where nobody can answer is up to the command.
pub(crate) fn agreed(yes: bool, question: &str, nobody: impl FnOnce() -> Failure) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(nobody());
    }
    Confirm::new().with_prompt(question).default(false).interact().map_err(Failure::other)
}

fn print(text: &str) -> Result<(), Failure> {
    write(format!("{}\n", text.trim_end()).as_bytes())
}

/// Writes to standard output. A reader that went away, as `head` does, is no failure.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// `1 piece`, `2 pieces`.
pub(crate) fn count(n: u64, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// A length in the units people use: `256 KiB`.
pub(crate) fn bytes(n: u64) -> String {
    let text = indicatif::BinaryBytes(n).to_string();
    text.replace(".00 ", " ")
}

/// A moment, as a date and a time of day in UTC.
pub(crate) fn moment(at: farthing_core::time::Time) -> String {
    let seconds = i64::try_from(at.as_millis() / 1_000).unwrap_or(i64::MAX);
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]");
    time::OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|at| at.format(&format).ok())
        .unwrap_or_else(|| "never".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_people_write_them() {
        assert_eq!(count(1, "piece"), "1 piece");
        assert_eq!(count(0, "piece"), "0 pieces");
        assert_eq!(bytes(256 << 10), "256 KiB");
        assert_eq!(bytes(1_536), "1.50 KiB");
        assert_eq!(moment(farthing_core::time::Time::from_millis(1_700_000_000_000)), "2023-11-14 22:13");
    }
}
