//! `farthing doctor`: whether everything is in order, and what to do if not.

use std::path::Path;

use farthing_core::id::NetworkId;
use farthing_core::time::{SKEW, Time};
use farthing_driver::{Clock, SystemClock};
use farthing_index::client::IndexClient;
use farthing_net::http::endpoint::Endpoint;
use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use serde_json::json;

use super::Common;
use crate::config::{File, Settings};
use crate::fail::{Failure, Kind};
use crate::home::check_private;
use crate::show::{Out, bytes, spinner};

/// Below this a wallet or a bank may soon be unable to write.
const SPACE_MIN: u64 = 100 << 20;
/// Below this there is not much room for downloads.
const SPACE_GOOD: u64 = 1 << 30;
/// Files and connections that a busy peer or server has open.
const OPEN_FILES_GOOD: u64 = 1_024;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Ok,
    /// Not needed for everything, or not there yet.
    Note,
    Failed,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_do: Option<String>,
    #[serde(skip)]
    kind: Kind,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), to_do: None, kind: Kind::Other }
    }

    fn note(name: &'static str, found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { state: State::Note, to_do: Some(to_do.into()), ..Self::ok(name, found) }
    }

    fn failed(name: &'static str, kind: Kind, found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { state: State::Failed, kind, ..Self::note(name, found, to_do) }
    }

    /// From what another part of the program says is wrong.
    fn because(name: &'static str, failure: &Failure) -> Self {
        let to_do = failure.next_step().unwrap_or("see the message").to_owned();
        Self::failed(name, failure.kind(), failure.what(), to_do)
    }
}

/// Checks everything.
pub(crate) async fn run(common: &Common, out: Out) -> Result<(), Failure> {
    let waiting = spinner(out, "looking around");
    let mut checks = vec![Check::ok("version", env!("CARGO_PKG_VERSION"))];
    let settings = match Settings::resolve(common) {
        Ok(settings) => {
            checks.push(configuration(&settings));
            Ok(settings)
        }
        // The rest can be seen without what the file says.
        Err(failure) => {
            checks.push(Check::because("configuration", &failure));
            Settings::over(common, File::default())
        }
    };
    checks.push(open_files());
    match settings {
        // There is no home folder, as was said.
        Err(_) => {}
        Ok(settings) => {
            checks.push(home(&settings.home));
            checks.push(space(&settings.home));
            checks.push(crate::peer::checkup(&settings).await.map_or_else(
                |failure| Check::because("wallet", &failure),
                |found| match found {
                    Some(found) => Check::ok("wallet", found),
                    None => Check::note("wallet", "none yet", "farthing wallet init --bank URL"),
                },
            ));
            checks.extend(servers(&settings).await);
        }
    }
    waiting.finish_and_clear();
    let failed = checks.iter().find(|check| check.state == State::Failed).map(|check| check.kind);
    out.result(&json!({ "ok": failed.is_none(), "checks": checks }), || report(&checks))?;
    failed.map_or(Ok(()), |kind| Err(Failure::told(kind)))
}

fn report(checks: &[Check]) -> String {
    let mut lines = Vec::new();
    for check in checks {
        let mark = match check.state {
            State::Ok => "ok    ",
            State::Note => "note  ",
            State::Failed => "FAILED",
        };
        lines.push(format!("  {mark}  {:<14} {}", check.name, check.found));
        if let Some(to_do) = &check.to_do {
            lines.push(format!("          {:<14} -> {to_do}", ""));
        }
    }
    lines.join("\n")
}

fn configuration(settings: &Settings) -> Check {
    let there = if settings.config.exists() { "read" } else { "not there; defaults hold" };
    Check::ok("configuration", format!("{} {there}", settings.config.display()))
}

fn home(home: &Path) -> Check {
    if !home.exists() {
        return Check::note(
            "home",
            format!("{} is not there yet", home.display()),
            "the first command that needs it makes it",
        );
    }
    match check_private(home) {
        Ok(()) => Check::ok("home", format!("{}, for your eyes only", home.display())),
        Err(failure) => Check::because("home", &failure),
    }
}

fn space(home: &Path) -> Check {
    // The nearest folder that is there: the home will be made on the same disk.
    let home = std::path::absolute(home).unwrap_or_else(|_| home.to_owned());
    let Some(there) = home.ancestors().find(|dir| dir.exists()) else {
        return Check::note("disk", "unknown", "name a folder: --home DIR");
    };
    match rustix::fs::statvfs(there) {
        Err(error) => Check::note("disk", error.to_string(), "look at the disk"),
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let shown = format!("{} free", bytes(free));
            match free {
                SPACE_GOOD.. => Check::ok("disk", shown),
                SPACE_MIN.. => Check::note("disk", shown, "make room before long downloads"),
                _ => Check::failed(
                    "disk",
                    Kind::Other,
                    shown,
                    "make room: nothing is paid or sold without a place to write it down",
                ),
            }
        }
    }
}

fn open_files() -> Check {
    match getrlimit(Resource::Nofile).current {
        None => Check::ok("open files", "no limit"),
        Some(limit) if limit >= OPEN_FILES_GOOD => Check::ok("open files", format!("{limit} allowed")),
        Some(limit) => Check::note(
            "open files",
            format!("{limit} allowed"),
            format!("for a busy server: ulimit -n {OPEN_FILES_GOOD}"),
        ),
    }
}

/// Bank, clock and index.
async fn servers(settings: &Settings) -> Vec<Check> {
    let mut checks = Vec::new();
    let pinned = crate::peer::wallet_settings(settings).ok().map(|wallet| wallet.bank.network);
    let mut network = pinned;
    match crate::peer::bank_of(settings) {
        None => {
            checks.push(Check::note("bank", "none named", "--bank URL, FARTHING_BANK or bank = \"URL\" in the file"));
        }
        Some(address) => match super::bank::connect(address.clone()).await {
            Err(failure) if failure.kind() == Kind::NotReachable => {
                let found = format!("nobody answers at {}", address.endpoint());
                let file = settings.wallet_home().join("wallet.toml");
                let to_do = match pinned {
                    Some(_) => format!("see that it runs; if it has moved, correct `endpoint` in {}", file.display()),
                    None => "see that it runs, or name the right one: --bank URL".to_owned(),
                };
                checks.push(Check::failed("bank", failure.kind(), found, to_do));
            }
            Err(failure) => checks.push(Check::because("bank", &failure)),
            Ok(client) => {
                let info = client.info().body();
                let shown = format!("{} at {}, accounts in {}", info.name.as_str(), address.endpoint(), info.currency);
                checks.push(Check::ok("bank", shown));
                checks.push(clock(info.time));
                network = Some(client.network());
            }
        },
    }
    checks.push(match &settings.index {
        Some(endpoint) => index(endpoint, network).await,
        None => Check::note("index", "none named", "--index URL, FARTHING_INDEX or index = \"URL\" in the file"),
    });
    checks
}

fn clock(bank: Time) -> Check {
    let ours = SystemClock.now();
    let apart = ours.since(bank).as_millis().max(bank.since(ours).as_millis());
    let shown = format!("{}.{} seconds from the bank's", apart / 1_000, apart % 1_000 / 100);
    if apart <= SKEW.as_millis() {
        return Check::ok("clock", shown);
    }
    Check::failed("clock", Kind::Damaged, shown, "set this machine's clock right; payments are refused until then")
}

/// Whether it answers, and for the network of the bank, if that is known.
async fn index(endpoint: &Endpoint, network: Option<NetworkId>) -> Check {
    // What an index says of itself is the same for every network.
    let asked = async { IndexClient::new(endpoint.clone(), network.unwrap_or(NetworkId([0; 16])))?.status().await };
    match asked.await.map_err(Failure::from) {
        Err(failure) if failure.kind() == Kind::NotReachable => Check::failed(
            "index",
            failure.kind(),
            format!("nobody answers at {endpoint}"),
            "see that it runs, or name the right one: --index URL",
        ),
        Err(failure) => Check::because("index", &failure),
        Ok(status) if network.is_some_and(|network| status.network != network.to_string()) => {
            let found = format!("{endpoint} serves another bank's network");
            Check::failed("index", Kind::Refused, found, "name the index of this bank: --index URL")
        }
        Ok(status) => Check::ok(
            "index",
            format!(
                "{endpoint}, version {}, {} listings, {} sellers present",
                status.version, status.listings, status.present
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use farthing_core::time::Span;

    use super::*;

    #[test]
    fn a_clock_far_from_the_banks_is_a_failure() {
        let now = SystemClock.now();
        assert_eq!(clock(now).state, State::Ok);
        assert_eq!(clock(now.after(Span::from_hours(1))).state, State::Failed);
        assert_eq!(clock(now.before(Span::from_hours(1))).state, State::Failed);
    }
}
