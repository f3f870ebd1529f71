//! What the tests share.
#![allow(dead_code, unreachable_pub, reason = "every test uses some of it")]

pub mod country;
pub mod town;
pub mod wire;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Output, Stdio};

use assert_cmd::Command;
use serde_json::Value;

/// The variables that a tester may have set.
const OWN: [&str; 7] = ["HOME", "CONFIG", "BANK", "INDEX", "PASSPHRASE", "PASSPHRASE_FILE", "LOG"];

/// The program, without whatever the tester's own environment says.
pub fn farthing() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
    for name in OWN {
        command.env_remove(format!("FARTHING_{name}"));
    }
    command.env("NO_COLOR", "1");
    command
}

/// The same in a home folder, for programs and without a passphrase.
pub fn at(home: &Path) -> Command {
    let mut command = farthing();
    command.arg("--home").arg(home).args(["--json", "--yes", "--insecure-no-passphrase"]);
    command
}

/// The one object that a command has printed.
pub fn json(output: &Output) -> Value {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"))
}

/// Runs a command in a home folder and gives the object it prints.
pub fn run(home: &Path, args: &[&str]) -> Value {
    json(&at(home).args(args).output().unwrap())
}

/// A command that serves until it is dropped.
pub struct Served {
    child: Child,
    /// What it said first.
    pub ready: Value,
}

impl Served {
    /// Starts it in a home folder and waits for its first words.
    pub fn start(home: &Path, args: &[&str]) -> Self {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_farthing"));
        for name in OWN {
            command.env_remove(format!("FARTHING_{name}"));
        }
        command.arg("--home").arg(home).args(["--json", "--yes", "--quiet", "--insecure-no-passphrase"]).args(args);
        // Ends with us, however we end.
        command.arg("--stop-with-stdin").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self { child, ready }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        self.ready["listening"].as_str().unwrap()
    }

    /// Kills it, as a machine does that loses its power.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
