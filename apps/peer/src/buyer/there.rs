//! What needs not be bought because it is there.

use std::fs::File;
use std::path::{Path, PathBuf};

use farthing_core::id::ContentId;
use farthing_net::content::{FileName, Manifest, PIECE_BYTES, PieceWriter};

use super::INCOMING;

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

/// How many pieces of a content have to be bought into `folder`: none if it is there under this
/// name, else those that no earlier run has fetched. Reads what is there.
pub async fn missing(folder: &Path, name: Option<&FileName>, manifest: Manifest) -> u64 {
    if let Some(name) = name
        && there_already(folder, name, manifest.root).await.is_some()
    {
        return 0;
    }
    let begun = folder.join(INCOMING).join(manifest.size.to_string());
    let look = move || {
        let part = begun.join(format!("{}.part", hex::encode(manifest.root.0)));
        let writer = part.exists().then(|| PieceWriter::open(&begun, manifest).ok()).flatten();
        writer.map_or(manifest.pieces(), |writer| writer.missing_count())
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| manifest.pieces())
}
