//! What the tests share.

use std::process::Output;

use assert_cmd::Command;

/// The program, without whatever the tester's own environment says.
pub fn farthing() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
    for name in ["HOME", "CONFIG", "BANK", "INDEX", "PASSPHRASE", "PASSPHRASE_FILE", "LOG"] {
        command.env_remove(format!("FARTHING_{name}"));
    }
    command.env("NO_COLOR", "1");
    command
}

/// The one object that a command has printed.
pub fn json(output: &Output) -> serde_json::Value {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"))
}
