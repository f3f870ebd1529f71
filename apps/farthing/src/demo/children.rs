//! Servers as processes of their own, so that they can be stopped for real.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::fail::{Context, Failure};

/// How long a server may take to say where it listens.
const START_TIME: Duration = Duration::from_secs(20);
/// How long a server may take to stop when asked to.
const STOP_TIME: Duration = Duration::from_secs(15);

/// A server that runs. Dropped, it is killed.
pub(super) struct Served {
    child: Child,
    /// What it said when it was ready.
    pub(super) ready: Value,
}

impl Served {
    /// Starts `farthing ARGS` and waits until it says that it is ready.
    pub(super) async fn start(home: &Path, args: &[&str]) -> Result<Self, Failure> {
        let name = args.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        let log = std::fs::File::create(home.join(format!("{}.log", name.replace(' ', "-"))))?;
        let mut child = farthing(home, args)?
            .args(["--stop-with-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .or_fail(format_args!("cannot start farthing {name}"))?;
        let stdout = child.stdout.take().ok_or_else(|| Failure::other("a child without output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let said = tokio::time::timeout(START_TIME, lines.next_line()).await;
        let ready = said.ok().and_then(Result::ok).flatten().and_then(|line| serde_json::from_str(&line).ok());
        match ready {
            Some(ready) => Ok(Self { child, ready }),
            None => Err(Failure::other(format_args!("farthing {name} did not start: {}", last_words(home, &name)))),
        }
    }

    /// The address it listens at.
    pub(super) fn address(&self) -> Result<&str, Failure> {
        self.ready["listening"].as_str().ok_or_else(|| Failure::other("a server that does not say where it is"))
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Ends it at once, without any chance to tidy up: as a power cut would.
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        self.child.kill().await.or_fail("cannot stop a server")
    }

    /// Asks it to stop, and waits until it has.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        if tokio::time::timeout(STOP_TIME, self.child.wait()).await.is_err() {
            return self.kill().await;
        }
        Ok(())
    }
}

/// Runs `farthing ARGS --json` to its end and gives what it printed.
pub(super) async fn run(home: &Path, args: &[&str]) -> Result<Value, Failure> {
    let output = farthing(home, args)?.stdin(Stdio::null()).output().await.or_fail("cannot start farthing")?;
    let printed: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    match printed {
        Some(printed) if output.status.success() => Ok(printed),
        Some(printed) => Err(Failure::from_json(&printed).unwrap_or_else(|| broken(args, &output.stderr))),
        None => Err(broken(args, &output.stderr)),
    }
}

/// The command line of this very program, in a process group of its own: Ctrl-C is for the demo,
/// which then stops the servers in order.
fn farthing(home: &Path, args: &[&str]) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(args).arg("--home").arg(home).args(["--json", "--yes", "--insecure-no-passphrase"]);
    for name in ["FARTHING_HOME", "FARTHING_CONFIG", "FARTHING_BANK", "FARTHING_INDEX", "FARTHING_PASSPHRASE_FILE"] {
        command.env_remove(name);
    }
    command.kill_on_drop(true).process_group(0);
    Ok(command)
}

fn broken(args: &[&str], stderr: &[u8]) -> Failure {
    let words = String::from_utf8_lossy(stderr);
    let last = words.lines().last().unwrap_or("it said nothing");
    Failure::other(format_args!("farthing {} failed: {last}", args.join(" ")))
}

fn last_words(home: &Path, name: &str) -> String {
    let log = std::fs::read_to_string(home.join(format!("{}.log", name.replace(' ', "-")))).unwrap_or_default();
    log.lines().last().unwrap_or("it said nothing").to_owned()
}
