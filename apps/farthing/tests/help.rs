//! What the program says of itself.

mod common;

use common::farthing;

fn shown(args: &[&str]) -> String {
    let output = farthing().args(args).env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_shows_the_commands() {
    insta::assert_snapshot!("farthing", shown(&["--help"]));
    insta::assert_snapshot!("buy", shown(&["buy", "--help"]));
    insta::assert_snapshot!("share", shown(&["share", "--help"]));
    insta::assert_snapshot!("bank", shown(&["bank", "--help"]));
}

#[test]
fn exit_codes_are_explained() {
    insta::assert_snapshot!("exit-codes", shown(&["help", "exit-codes"]));
}
