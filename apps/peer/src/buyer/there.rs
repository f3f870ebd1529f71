//! What needs not be bought because it is there.

use std::fs::File;
use std::path::{Path, PathBuf};

use farthing_core::id::ContentId;
use farthing_net::content::{FileName, PIECE_BYTES};

/// The file of this name in a folder, with its number of pieces, if it is this very content: of a
/// purchase whose end went missing, or of an earlier one.
pub(super) async fn there_already(folder: &Path, name: &FileName, content: ContentId) -> Option<(PathBuf, u64)> {
    let path = folder.join(name);
    let look = move || {
        // Nothing is followed out of the folder, and nothing is waited for that is no file.
        let there = std::fs::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(&path).ok()?).ok()?;
        (hasher.finalize() == content.0).then(|| (path, there.len().div_ceil(PIECE_BYTES as u64)))
    };
    tokio::task::spawn_blocking(look).await.ok().flatten()
}
