//! What goes wrong ends with the exit code of its kind, a sentence on what, and one on what next.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{at, farthing, run};

#[test]
fn every_kind_of_failure_has_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    at(&home).args(["wallet", "show"]).assert().code(2);
    at(&home).args(["wallet", "init", "--bank", "http://127.0.0.1:1"]).assert().code(5);
    at(&home).args(["wallet", "init", "--bank", "http://bank.example"]).assert().code(2);
    at(&home).args(["buy"]).assert().code(2);
    at(&home).args(["buy", "content1rubbish"]).assert().code(2);
    at(&home).args(["bank", "audit"]).assert().code(2);
    run(&home, &["bank", "init", "--name", "Bank"]);
    at(&home).args(["bank", "init", "--name", "Bank"]).assert().code(2);
    fs::set_permissions(home.join("bank"), fs::Permissions::from_mode(0o755)).unwrap();
    at(&home).args(["bank", "serve", "--stop-with-stdin"]).assert().code(7);
}

#[test]
fn what_is_typed_wrong_is_refused_in_the_words_of_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("b");
    let refused = |args: &[&str], code: i32, words: &str| {
        let output = at(&home).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    };
    refused(&["buy", "1", "--max", "-1 XTS"], 2, "invalid value '-1 XTS'");
    refused(&["wallet", "fund", "-1 XTS"], 2, "invalid value '-1 XTS'");
    refused(&["get", "ftp://example.com/"], 2, "http");
    refused(&["wallet", "init", "--bank", "http://127.0.0.1:1", "--fund", "0"], 2, "zero");
    refused(&["bank", "pending"], 2, "operator");
    let missing = ["--passphrase-file", "no-such-file", "bank", "init", "--name", "Bank"];
    farthing().arg("--home").arg(&home).args(missing).assert().code(2);
    let mut unasked = farthing();
    let asked = unasked.arg("--home").arg(&home).args(["wallet", "words"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&asked.stderr).contains("money would move"), "nothing would move");
    let mut made = farthing();
    made.current_dir(folder.path()).args([
        "--home",
        "other",
        "--insecure-no-passphrase",
        "bank",
        "init",
        "--name",
        "B",
    ]);
    let made = String::from_utf8(made.output().unwrap().stdout).unwrap();
    assert!(made.contains("farthing --home other bank serve"), "{made}");
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    for args in [&["completions", "bash"][..], &["help", "config"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_farthing"));
        let output = command.args(args).stdout(writer).stderr(std::process::Stdio::piped()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
    }
}

#[test]
fn a_failure_is_one_json_object_with_what_money_and_next() {
    let folder = tempfile::tempdir().unwrap();
    let failed = at(folder.path()).args(["wallet", "init", "--bank", "http://127.0.0.1:1"]).output().unwrap();
    // The folder was made by somebody less careful than we are.
    let told: serde_json::Value = serde_json::from_slice(&failed.stdout).unwrap();
    let error = &told["error"];
    assert!(error["what"].is_string() && error["next"].is_string(), "{told}");
    assert_eq!(error["exit_code"].as_i64(), failed.status.code().map(i64::from));
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let pass = |text: &str| {
        let file = folder.path().join(text);
        fs::write(&file, text).unwrap();
        file
    };
    let with = |text: &str| {
        let mut command = farthing();
        command.arg("--home").arg(&home).arg("--passphrase-file").arg(pass(text));
        command
    };
    with("right").args(["bank", "init", "--name", "Bank"]).assert().success();
    with("wrong").args(["bank", "serve", "--stop-with-stdin", "--listen-on", "127.0.0.1:0"]).assert().code(7);
    let opened = with("right").args(["bank", "serve", "--stop-with-stdin", "--listen-on", "127.0.0.1:0"]).assert();
    let opened = opened.success();
    let shown = String::from_utf8_lossy(&opened.get_output().stdout).into_owned();
    assert!(shown.contains("Bank is open"), "{shown}");
}

#[test]
fn a_damaged_row_is_named_by_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    run(&home, &["bank", "init", "--name", "Bank"]);
    let stopped = at(&home).args(["bank", "serve", "--stop-with-stdin", "--listen-on", "127.0.0.1:0"]).assert();
    stopped.success();
    let db = home.join("bank/bank.db");
    let mut bytes = fs::read(&db).unwrap();
    // From the beginning of a page, where it says what it is: the rest of it may be empty.
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 512].fill(0xA5);
    fs::write(&db, bytes).unwrap();
    at(&home).args(["bank", "audit"]).assert().code(7);
}

#[test]
fn doctor_says_what_to_do_and_fails_if_something_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    run(&home, &["bank", "init", "--name", "Bank"]);
    assert_eq!(run(&home, &["doctor"])["ok"], true, "nothing is wrong with what is not there yet");
    let unreachable = at(&home).args(["doctor", "--bank", "http://127.0.0.1:1"]).output().unwrap();
    assert_eq!(unreachable.status.code(), Some(5));
    fs::write(home.join("farthing.toml"), "bank = 7\n").unwrap();
    let wrong = at(&home).args(["doctor", "--bank", "http://127.0.0.1:1", "--index", "http://127.0.0.1:1"]).output();
    let wrong = wrong.unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    let told = String::from_utf8_lossy(&wrong.stdout);
    assert!(told.contains("line 1") && !told.contains("farthing doctor"), "{told}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let failed = told["checks"].as_array().unwrap().iter().filter(|check| check["state"] == "failed");
    let failed: Vec<_> = failed.map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(failed, ["configuration", "bank", "index"], "one failure hides no other");
}
