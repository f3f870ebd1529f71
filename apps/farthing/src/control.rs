//! One wallet, one process: other commands ask the process that has it open, over a socket in the
//! home folder, which only the owner may enter.
//!
//! Both sides speak lines of JSON: one request; then any number of `{"progress": ...}`, and in the
//! end `{"done": ...}` or `{"error": ...}`.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use crate::fail::{Context, Failure};

/// The socket's name in the home folder.
const SOCKET: &str = "control.sock";
/// The longest line, in bytes: a page of history.
const LINE_BYTES_MAX: u64 = 8 << 20;
/// How many commands are served at a time; more wait.
const COMMANDS_MAX: usize = 16;
/// How much progress may wait for a slow reader; more is dropped.
const PROGRESS_WAITING_MAX: usize = 64;
/// How long a command has to say what it wants.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// How long requests that were taken have before the wallet is closed all the same.
const LAST_TIME: Duration = Duration::from_secs(10);

/// Where progress goes.
pub(crate) type Progress = mpsc::Sender<Value>;

/// Answers requests of other commands.
pub(crate) trait Attend: Send + Sync + 'static {
    /// Carries one out.
    fn attend(self: Arc<Self>, request: Value, progress: Progress) -> BoxFuture<'static, Result<Value, Failure>>;
}

/// The socket, listening; it is gone when this is dropped.
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Listens in `home`, whose wallet the caller has locked: a socket found there is a dead one.
    pub(crate) fn listen(home: &Path) -> Result<Self, Failure> {
        let path = home.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let listener = UnixListener::bind(&path).or_fail(format_args!("cannot listen at {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Serves until it is closed.
    pub(crate) fn attend(self, attendant: Arc<impl Attend>) -> Attending {
        let seats = Arc::new(Semaphore::new(COMMANDS_MAX));
        Attending { task: tokio::spawn(self.serve_at(attendant, Arc::clone(&seats))), seats }
    }

    /// Serves for as long as it is polled.
    pub(crate) async fn serve(self, attendant: Arc<impl Attend>) {
        self.serve_at(attendant, Arc::new(Semaphore::new(COMMANDS_MAX))).await;
    }

    async fn serve_at(self, attendant: Arc<impl Attend>, seats: Arc<Semaphore>) {
        loop {
            let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let attendant = Arc::clone(&attendant);
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, attendant).await {
                            tracing::debug!(%error, "a command went away");
                        }
                        drop(seat);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "other commands cannot ask this process");
                    return;
                }
            }
        }
    }
}

/// A process that answers others while it has the wallet.
pub(crate) struct Attending {
    task: tokio::task::JoinHandle<()>,
    seats: Arc<Semaphore>,
}

impl Attending {
    /// Takes no more requests, and waits until those it has taken are carried out.
    pub(crate) async fn close(self) {
        self.task.abort();
        let _ = self.task.await;
        let all = u32::try_from(COMMANDS_MAX).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(LAST_TIME, self.seats.acquire_many(all)).await;
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Nobody misses it if it is gone.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn converse(stream: UnixStream, attendant: Arc<impl Attend>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    // Whoever hears nothing at all knows that nothing was carried out.
    say(&mut write, &json!({ "progress": null })).await?;
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(LINE_BYTES_MAX));
    tokio::time::timeout(REQUEST_TIME, reader.read_line(&mut line)).await??;
    let request = serde_json::from_str(&line)?;
    let (progress, mut waiting) = mpsc::channel(PROGRESS_WAITING_MAX);
    // In a task of its own: a purchase is not given up halfway because its window was closed.
    let mut work = tokio::spawn(attendant.attend(request, progress));
    let done = loop {
        tokio::select! {
            some = waiting.recv() => match some {
                Some(some) => say(&mut write, &json!({ "progress": some })).await?,
                None => break (&mut work).await,
            },
            done = &mut work => break done,
        }
    };
    while let Ok(some) = waiting.try_recv() {
        say(&mut write, &json!({ "progress": some })).await?;
    }
    let answer = match done.unwrap_or_else(|error| Err(Failure::other(error))) {
        Ok(value) => json!({ "done": value }),
        Err(failure) => failure.to_json(),
    };
    say(&mut write, &answer).await
}

async fn say(write: &mut (impl AsyncWriteExt + Unpin), line: &Value) -> std::io::Result<()> {
    write.write_all(format!("{line}\n").as_bytes()).await
}

/// Asks the process that has the wallet in `home` open; `None` if there is none.
pub(crate) async fn ask(
    home: &Path,
    request: &Value,
    mut on_progress: impl FnMut(Value),
) -> Option<Result<Value, Failure>> {
    let stream = UnixStream::connect(home.join(SOCKET)).await.ok()?;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read);
    let mut line = String::new();
    // A process that ends just now takes no more requests: it is as if it had ended before.
    (&mut lines).take(LINE_BYTES_MAX).read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let answer = async {
        say(&mut write, request).await?;
        loop {
            let mut line = String::new();
            (&mut lines).take(LINE_BYTES_MAX).read_line(&mut line).await?;
            let answer: Value = serde_json::from_str(&line).map_err(|_| gone())?;
            if let Some(progress) = answer.get("progress") {
                on_progress(progress.clone());
            } else if let Some(done) = answer.get("done") {
                return Ok(done.clone());
            } else {
                return Err(Failure::from_json(&answer).unwrap_or_else(gone));
            }
        }
    };
    Some(answer.await)
}

fn gone() -> Failure {
    Failure::new(crate::fail::Kind::OutcomeUnknown, "the process that has the wallet open ended without an answer")
        .next("run the same command again")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Attend for Echo {
        fn attend(self: Arc<Self>, request: Value, progress: Progress) -> BoxFuture<'static, Result<Value, Failure>> {
            Box::pin(async move {
                let _ = progress.send(json!(1)).await;
                if request == json!("fail") { Err(Failure::damaged("broken")) } else { Ok(request) }
            })
        }
    }

    #[tokio::test]
    async fn a_command_asks_the_process_that_has_the_wallet() {
        let home = tempfile::tempdir().unwrap();
        assert!(ask(home.path(), &json!("hello"), drop).await.is_none(), "nobody is there yet");
        let control = Control::listen(home.path()).unwrap();
        let serving = tokio::spawn(control.serve(Arc::new(Echo)));
        let mut seen = Vec::new();
        let answer = ask(home.path(), &json!("hello"), |progress| seen.push(progress)).await.unwrap();
        assert_eq!((answer.unwrap(), seen), (json!("hello"), vec![json!(1)]));
        let failure = ask(home.path(), &json!("fail"), drop).await.unwrap().unwrap_err();
        assert_eq!(failure, Failure::damaged("broken"));
        serving.abort();
        let _ = serving.await;
        assert!(!home.path().join(SOCKET).exists(), "the socket goes with its process");
    }
}
