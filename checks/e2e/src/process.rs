//! A run of the binary.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::wait_for;

/// Names another binary to test, such as a release build.
const BINARY_ENV: &str = "FARTHING_BIN";

/// Numbers the runs, so that each has its own files.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// The binary under test: beside the test itself, in the same target folder and profile.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn binary() -> PathBuf {
    let path = std::env::var_os(BINARY_ENV).map_or_else(
        || {
            let test = std::env::current_exe().expect("a test knows where it is");
            // target/<profile>/deps/<test>
            let profile = test.parent().and_then(Path::parent).expect("tests lie below the profile's folder");
            profile.join("farthing")
        },
        PathBuf::from,
    );
    assert!(path.exists(), "{} is missing: run `cargo build -p farthing` first", path.display());
    path
}

/// A process of ours; killed when dropped, with those it has started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    out: PathBuf,
    err: PathBuf,
}

/// How a process ended.
#[derive(Debug)]
pub struct Done {
    /// What was run.
    pub name: String,
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The JSON on standard output; null if there was none.
    pub json: Value,
    /// What it said on standard error.
    pub stderr: String,
}

impl Process {
    /// Starts a command; what it says goes into files in `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(mut command: Command, name: &str, log: &Path) -> Self {
        let file = |kind: &str, run: u64| log.join(format!("{run:05}-{}.{kind}", name.replace([' ', '/'], "-")));
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (file("out", run), file("err", run));
        let create = |path: &PathBuf| File::create(path).expect("a log file");
        // A group of its own: a signal for this one is for no other.
        command.process_group(0).stdin(Stdio::piped()).stdout(create(&out)).stderr(create(&err));
        let child = command.spawn().unwrap_or_else(|why| panic!("cannot start {name}: {why}"));
        Self { child, name: name.to_owned(), out, err }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; nothing while it runs.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn ended(&mut self) -> Option<Done> {
        let status = self.child.try_wait().expect("the state of a child");
        status.map(|status| self.done(status))
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait(mut self) -> Done {
        // Whoever waits has nothing more to say to it.
        drop(self.child.stdin.take());
        let name = self.name.clone();
        wait_for(&format!("the end of `{name}`"), || self.ended())
    }

    /// The first line it prints, which servers print when they are ready; or how it ended before.
    ///
    /// # Errors
    /// [`Done`] if it ended without such a line.
    ///
    /// # Panics
    /// When neither happens.
    pub fn ready(&mut self) -> Result<Value, Done> {
        let name = self.name.clone();
        wait_for(&format!("`{name}` being ready"), || {
            let said = fs::read_to_string(&self.out).unwrap_or_default();
            let line = said.split_once('\n').and_then(|(line, _)| serde_json::from_str(line).ok());
            line.map(Ok).or_else(|| self.ended().map(Err))
        })
    }

    /// Ends it at once, as a power cut would. False if it had ended by itself before.
    pub fn kill(&mut self) -> bool {
        if self.ended().is_some() {
            return false;
        }
        let killed = self.child.kill().is_ok();
        // A child that was killed does end.
        let _ = self.child.wait();
        killed
    }

    /// Asks it to stop, as `kill` on a command line does, and waits until it has.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(self) -> Done {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// What it has said on standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.err).unwrap_or_default()).into_owned()
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It may have ended just now.
            let _ = kill_process(pid, signal);
        }
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn done(&self, status: ExitStatus) -> Done {
        let out = fs::read(&self.out).unwrap_or_default();
        Done {
            name: self.name.clone(),
            code: status.code(),
            signal: status.signal(),
            json: serde_json::from_slice(&out).unwrap_or_default(),
            stderr: self.stderr(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            if let Some(group) = self.pid() {
                // Those it has started, such as a bank's signer.
                let _ = kill_process_group(group, Signal::KILL);
            }
            self.kill();
        }
    }
}

impl Done {
    /// Whether it did what it was asked to.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.code == Some(crate::exit::DONE)
    }

    /// The result of a command that must succeed.
    ///
    /// # Panics
    /// When it failed.
    #[must_use]
    pub fn good(self) -> Value {
        assert!(self.is_good(), "{self}");
        self.json
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, code, signal, json, stderr } = self;
        write!(f, "`farthing {name}` ended with code {code:?}, signal {signal:?}\n{json:#}\n{stderr}")
    }
}
