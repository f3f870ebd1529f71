//! Programs made of stock packages, in JavaScript and Python.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A language with the stock packages: how its programs are started.
pub struct Stock {
    program: PathBuf,
    folder: PathBuf,
    ending: &'static str,
}

impl Stock {
    /// Node with the packages beside our files, or a note.
    ///
    /// # Panics
    /// Where our files cannot be copied.
    #[must_use]
    pub fn javascript() -> Option<Self> {
        let folder = root().join("target/tools/x402/js");
        if !folder.join(".installed").exists() {
            println!("skipped: run checks/x402/install, with npm there, to test with stock JavaScript packages");
            return None;
        }
        // Node looks for packages beside the file, so the files go to the packages.
        for file in ["farthing.mjs", "server.mjs", "client.mjs"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("js").join(file);
            let (new, place) = (folder.join(format!("{file}.{}", std::process::id())), folder.join(file));
            std::fs::copy(from, &new).expect("it works");
            std::fs::rename(new, place).expect("it works");
        }
        Some(Self { program: "node".into(), folder, ending: "mjs" })
    }

    /// Python with the packages, or a note.
    ///
    /// # Panics
    /// Never, where the packages are whole.
    #[must_use]
    pub fn python() -> Option<Self> {
        let tools = root().join("target/tools/x402/python");
        if !tools.join(".installed").exists() {
            println!("skipped: run checks/x402/install, with python3 there, to test with stock Python packages");
            return None;
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        Some(Self { program: tools.join("bin/python"), folder, ending: "py" })
    }

    /// Starts a program, and gives what it says line by line.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(&self, name: &str, args: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
        let file = self.folder.join(format!("{name}.{}", self.ending));
        let mut child = Command::new(&self.program)
            .arg(file)
            .args(args)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it works");
        let lines = BufReader::new(child.stdout.take().expect("it works")).lines();
        (child, lines)
    }

    /// A client, and what it says of each address.
    ///
    /// # Panics
    /// Where it fails.
    pub async fn client(&self, args: &[&str]) -> Vec<Value> {
        let (mut child, mut lines) = self.start("client", args);
        let mut said = Vec::new();
        while let Some(line) = lines.next_line().await.expect("it works") {
            said.push(serde_json::from_str(&line).expect("it works"));
        }
        assert!(child.wait().await.expect("it works").success(), "the client failed after {said:?}");
        said
    }
}
