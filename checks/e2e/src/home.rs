//! A home folder, and commands run in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{Done, Process, binary};

/// A home folder.
#[derive(Debug, Clone)]
pub struct Home {
    path: PathBuf,
    log: PathBuf,
    passphrase: Option<String>,
    environment: Vec<(String, String)>,
    /// What a shell does before it runs the binary, such as `ulimit -f 8;`.
    before: Option<String>,
}

/// What a command said that failed.
#[derive(Debug)]
pub struct Failed {
    /// The kind by name.
    pub kind: String,
    /// What was wrong.
    pub what: String,
    /// Whether money may have moved; empty where that is no question.
    pub money: String,
    /// What to do next; empty if it said nothing.
    pub next: String,
}

impl Home {
    /// A new home folder below `town`, for the owner alone.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(town: &Path, name: &str) -> Self {
        let (path, log) = (town.join(name), town.join("log"));
        for folder in [&path, &log] {
            fs::create_dir_all(folder).expect("a folder");
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("its mode");
        }
        Self { path, log, passphrase: None, environment: Vec::new(), before: None }
    }

    /// The same with keys under a passphrase.
    #[must_use]
    pub fn with_passphrase(self, passphrase: &str) -> Self {
        Self { passphrase: Some(passphrase.to_owned()), ..self }
    }

    /// The same with an environment variable set.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same where a shell says something before it runs each command.
    #[must_use]
    pub fn after(self, shell: &str) -> Self {
        Self { before: Some(shell.to_owned()), ..self }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts `farthing ARGS`.
    #[must_use]
    pub fn start(&self, args: &[&str]) -> Process {
        let mut command = match &self.before {
            None => Command::new(binary()),
            Some(before) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{before} exec \"$0\" \"$@\"")).arg(binary());
                shell
            }
        };
        command.args(args).arg("--home").arg(&self.path).args(["--json", "--yes"]);
        for name in ["HOME", "CONFIG", "BANK", "INDEX", "PASSPHRASE_FILE", "PASSPHRASE", "LOG"] {
            command.env_remove(format!("FARTHING_{name}"));
        }
        match &self.passphrase {
            Some(passphrase) => command.env("FARTHING_PASSPHRASE", passphrase),
            None => command.arg("--insecure-no-passphrase"),
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.path);
        Process::start(command, &args.join(" "), &self.log)
    }

    /// Runs `farthing ARGS` to its end.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Done {
        self.start(args).wait()
    }

    /// Runs `farthing ARGS`, which must succeed, and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn get(&self, args: &[&str]) -> Value {
        self.run(args).good()
    }

    /// The same where what it prints does not matter.
    ///
    /// # Panics
    /// When it fails.
    pub fn does(&self, args: &[&str]) {
        let _ = self.get(args);
    }

    /// Runs `farthing ARGS`, which must fail with this exit code and say the same as JSON and in
    /// words.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn fails(&self, args: &[&str], code: i32) -> Failed {
        Failed::of(&self.run(args), code)
    }

    /// Starts a server; it stops at the latest when the test ends, however that ends.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn serve(&self, args: &[&str]) -> (Process, Value) {
        let mut server = self.start_server(args);
        let ready = server.ready().unwrap_or_else(|done| panic!("{done}"));
        (server, ready)
    }

    /// The same without waiting until it is ready.
    #[must_use]
    pub fn start_server(&self, args: &[&str]) -> Process {
        self.start(&[args, &["--stop-with-stdin"]].concat())
    }
}

impl Failed {
    /// What was said by a command that must have failed with this exit code.
    ///
    /// # Panics
    /// When it did not fail so, or said nothing useful.
    #[must_use]
    pub fn of(done: &Done, code: i32) -> Self {
        assert_eq!(done.code, Some(code), "{done}");
        let error = &done.json["error"];
        assert_eq!(error["exit_code"], code, "{done}");
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        let failed = Self { kind: text("kind"), what: text("what"), money: text("money"), next: text("next") };
        assert!(!failed.what.is_empty() && done.stderr.contains(&failed.what), "words and JSON differ: {done}");
        failed
    }

    /// All it said.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{}. {}", self.what, self.next)
    }
}
