//! Help, completions and manual pages.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use super::Cli;
use crate::fail::{Context, Failure, Kind};
use crate::show::{Out, write};

/// Arguments of `farthing completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `farthing man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder; it is made if it is not there
    dir: PathBuf,
}

/// Arguments of `farthing help`.
#[derive(Debug, Args)]
pub(crate) struct HelpArgs {
    /// A command, such as `wallet fund`, or a topic
    #[arg(value_name = "COMMAND|TOPIC")]
    topic: Vec<String>,
}

/// Prints completions.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "farthing", &mut script);
    write(&script)
}

/// Writes a manual page for every command.
pub(crate) fn man(args: &ManArgs, out: Out) -> Result<(), Failure> {
    let shown = args.dir.display();
    std::fs::create_dir_all(&args.dir).or_fail(format_args!("cannot make {shown}"))?;
    clap_mangen::generate_to(Cli::command(), &args.dir).or_fail(format_args!("cannot write to {shown}"))?;
    let pages = std::fs::read_dir(&args.dir)?.count();
    let words = || format!("{pages} pages in {shown}; try: man -l {shown}/farthing.1");
    out.result(&json!({ "dir": args.dir, "pages": pages }), words)
}

/// Prints help for a command or a topic.
pub(crate) fn explain(args: &HelpArgs) -> Result<(), Failure> {
    let text = match args.topic.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["exit-codes"] => exit_codes(),
        ["config"] => CONFIG.to_owned(),
        ["environment"] => ENVIRONMENT.to_owned(),
        ref path => of_command(path)?,
    };
    write(text.as_bytes())
}

fn of_command(path: &[&str]) -> Result<String, Failure> {
    let mut command = Cli::command();
    command.build();
    let mut at = &mut command;
    for name in path {
        at = at.find_subcommand_mut(name).ok_or_else(|| {
            Failure::usage(format_args!("there is no command or topic called {name}"))
                .next("see them all: farthing --help")
        })?;
    }
    Ok(at.render_long_help().to_string())
}

fn exit_codes() -> String {
    let mut text = "Exit codes\n\n  0  done\n".to_owned();
    for kind in Kind::ALL {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {}  {}", kind.exit(), kind.meaning());
    }
    text
}

const CONFIG: &str = "\
Configuration

A flag comes before an environment variable, that before the file, that before the default.
The file is farthing.toml in the home folder, or the one named by --config. It may say:

  bank = \"https://bank.example\"            # the bank of new wallets; a wallet remembers its own
  index = \"https://index.example\"          # where files for sale are found and announced
  downloads = \"/home/me/bought\"            # where bought files go; default: the current folder
  listen = [\"/ip4/0.0.0.0/udp/4001/quic-v1\"] # where a peer listens; default: any free port
  local_discovery = true                   # peers on the local network find each other
  passphrase_file = \"/run/secrets/farthing\"

A server with a certificate of its own making is named with its fingerprint, as it prints it:
  https://10.0.0.1:8443#sha256=...
";

const ENVIRONMENT: &str = "\
Environment variables

  FARTHING_HOME             the home folder, as --home
  FARTHING_CONFIG           the configuration file, as --config
  FARTHING_BANK             the bank's address, as --bank
  FARTHING_INDEX            the index's address, as --index
  FARTHING_PASSPHRASE_FILE  the file with the passphrase, as --passphrase-file
  FARTHING_PASSPHRASE       the passphrase itself; other processes of this user can see it
  FARTHING_LOG              what is logged, such as farthing_bank=debug,warn
  NO_COLOR                  no colours
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_explained() {
        let text = exit_codes();
        for code in 0..=8 {
            assert!(text.lines().any(|line| line.starts_with(&format!("  {code}  "))), "{code} is missing: {text}");
        }
    }

    #[test]
    fn every_command_has_help_and_a_manual_page() {
        let dir = tempfile::tempdir().unwrap();
        let pages = ManArgs { dir: dir.path().to_owned() };
        man(&pages, Out::new(true, true)).unwrap();
        let written = |name: &str| dir.path().join(format!("{name}.1")).exists();
        assert!(written("farthing") && written("farthing-buy") && written("farthing-wallet-fund"));
        assert!(of_command(&["wallet", "fund"]).unwrap().contains("farthing wallet fund"));
        assert!(of_command(&["no-such"]).is_err());
    }

    #[test]
    fn the_configuration_shown_as_an_example_is_one() {
        let lines = CONFIG.lines().filter(|line| line.starts_with("  ") && line.contains(" = "));
        let example = lines.collect::<Vec<_>>().join("\n");
        let file: Result<crate::config::File, _> = toml::from_str(&example);
        assert!(file.is_ok(), "{file:?}");
    }

    #[test]
    fn completions_are_there_for_every_shell() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "farthing", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("redeem"), "{shell}");
        }
    }
}
