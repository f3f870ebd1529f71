//! Names that survive the loss of power.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Gives a file whose bytes are on the disk its final name, replacing what had it, and returns
/// once the name is on the disk too.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let dir = match to.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    File::open(dir)?.sync_all()
}
