//! The basket: one thread that proves pieces and puts them in place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use farthing_net::content::{Accepted, ContentError, FileName, Manifest, PieceWriter};
use tokio::sync::{mpsc, oneshot};

/// How many pieces wait for the disk; whoever brings more waits too.
const WAITING_MAX: usize = 8;

/// After how many pieces what was fetched is made safe against a loss of power: 64 MiB.
const SYNC_EVERY: u32 = 256;

/// How often opening is tried while another thread holds the files, and the pause between: the
/// basket of a purchase just broken off may still be making its pieces safe.
const OPEN_TRIES: u32 = 100;
const OPEN_PAUSE: Duration = Duration::from_millis(50);

/// How many names are tried for a file, `name (2).txt` and so on.
const NAMES_MAX: u32 = 1_000;

enum Job {
    Put { piece: u64, encoded: Bytes, reply: oneshot::Sender<Result<Accepted, ContentError>> },
    Finish { dir: PathBuf, name: FileName, reply: oneshot::Sender<Result<PathBuf, ContentError>> },
}

/// Takes pieces, from any number of bringers. The thread ends when the last of them is gone; what
/// was fetched is on the disk then.
#[derive(Debug, Clone)]
pub(super) struct Basket {
    jobs: mpsc::Sender<Job>,
}

impl Basket {
    /// Begins or goes on with a download, and says which pieces are in place.
    pub(super) async fn open(dir: &Path, manifest: Manifest) -> Result<(Self, Vec<bool>), ContentError> {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let (tell, opened) = oneshot::channel();
        let dir = dir.to_owned();
        let lost = dir.clone();
        std::thread::Builder::new()
            .name("basket".into())
            .spawn(move || match open_patiently(&dir, manifest) {
                Ok(writer) => {
                    let present = (0..manifest.pieces()).map(|piece| writer.has(piece)).collect();
                    if tell.send(Ok(present)).is_ok() {
                        work(writer, waiting);
                    }
                }
                Err(why) => _ = tell.send(Err(why)),
            })
            .map_err(|source| ContentError::Io { doing: "begin", path: lost.clone(), source })?;
        let present = opened.await.unwrap_or_else(|_| Err(ended(&lost)))?;
        Ok((Self { jobs }, present))
    }

    /// Proves a piece and puts it in place.
    pub(super) async fn put(&self, piece: u64, encoded: Bytes) -> Result<Accepted, ContentError> {
        let (reply, put) = oneshot::channel();
        let gone = || ended(Path::new("the download"));
        self.jobs.send(Job::Put { piece, encoded, reply }).await.map_err(|_| gone())?;
        put.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Gives the complete file its name in `dir`, or one like it that is not taken.
    pub(super) async fn finish(self, dir: &Path, name: FileName) -> Result<PathBuf, ContentError> {
        let (reply, finished) = oneshot::channel();
        let gone = || ended(dir);
        self.jobs.send(Job::Finish { dir: dir.to_owned(), name, reply }).await.map_err(|_| gone())?;
        finished.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn open_patiently(dir: &Path, manifest: Manifest) -> Result<PieceWriter, ContentError> {
    for _ in 1..OPEN_TRIES {
        match PieceWriter::open(dir, manifest) {
            Err(ContentError::Busy(_)) => std::thread::sleep(OPEN_PAUSE),
            opened => return opened,
        }
    }
    PieceWriter::open(dir, manifest)
}

fn work(mut writer: PieceWriter, mut waiting: mpsc::Receiver<Job>) {
    let mut unsafe_yet = 0;
    while let Some(job) = waiting.blocking_recv() {
        match job {
            Job::Put { piece, encoded, reply } => {
                let mut put = writer.accept(piece, &encoded);
                unsafe_yet += u32::from(matches!(put, Ok(Accepted::Now)));
                if unsafe_yet >= SYNC_EVERY {
                    unsafe_yet = 0;
                    put = put.and_then(|put| writer.sync().map(|()| put));
                }
                // Whoever brought it may have left.
                let _ = reply.send(put);
            }
            Job::Finish { dir, name, reply } => {
                let name = free_name(&dir, name);
                let _ = reply.send(writer.finish(&dir, &name));
                return;
            }
        }
    }
    if let Err(why) = writer.sync() {
        tracing::warn!(%why, "what was fetched may not survive a loss of power");
    }
}

/// The name, or one like it that nobody has.
fn free_name(dir: &Path, name: FileName) -> FileName {
    let taken = |name: &FileName| std::fs::symlink_metadata(dir.join(name)).is_ok();
    if !taken(&name) {
        return name;
    }
    let path = Path::new(name.as_str());
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(name.as_str());
    let kind = path.extension().and_then(|kind| kind.to_str()).map(|kind| format!(".{kind}")).unwrap_or_default();
    (2..NAMES_MAX)
        .filter_map(|n| farthing_net::content::safe_name(&format!("{stem} ({n}){kind}")).ok())
        .find(|name| !taken(name))
        .unwrap_or(name)
}

fn ended(path: &Path) -> ContentError {
    let source = std::io::Error::other("the thread that writes pieces has ended");
    ContentError::Io { doing: "write", path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use farthing_net::content::safe_name;

    use super::*;

    #[test]
    fn buyer_never_writes_over_a_file_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let name = |text: &str| safe_name(text).unwrap();
        assert_eq!(free_name(dir.path(), name("a.txt")), name("a.txt"));
        std::fs::write(dir.path().join("a.txt"), "mine").unwrap();
        assert_eq!(free_name(dir.path(), name("a.txt")), name("a (2).txt"));
        std::fs::write(dir.path().join("a (2).txt"), "mine").unwrap();
        assert_eq!(free_name(dir.path(), name("a.txt")), name("a (3).txt"));
    }
}
