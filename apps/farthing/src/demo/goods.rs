//! Something to sell: the files of a folder, or some made on the spot.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fail::{Context, Failure};

/// The most files copied from a folder.
const FILES_MAX: usize = 12;
/// The longest file copied.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// The length of the largest file made on the spot: enough pieces to stop a bank in between.
const LARGE_BYTES: usize = 32 << 20;

/// What is for sale, and which file the buyer goes for.
pub(super) struct Goods {
    /// The names of the files.
    pub(super) files: Vec<String>,
    /// The largest of them.
    pub(super) largest: String,
}

/// Puts the same goods into every one of the folders.
pub(super) fn spread(from: Option<&Path>, folders: &[PathBuf]) -> Result<Goods, Failure> {
    let found = match from {
        Some(folder) => from_folder(folder)?,
        None => made(),
    };
    for folder in folders {
        fs::create_dir_all(folder)?;
        for (name, bytes) in &found {
            fs::write(folder.join(name), bytes)?;
        }
    }
    let largest = found.iter().max_by_key(|(_, bytes)| bytes.len()).map(|(name, _)| name.clone());
    let largest = largest.ok_or_else(|| Failure::usage("there is nothing to sell in this folder"))?;
    Ok(Goods { files: found.into_iter().map(|(name, _)| name).collect(), largest })
}

/// The plain files right inside a folder, the first by name.
fn from_folder(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let shown = folder.display();
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(|error| Failure::usage(format_args!("cannot read {shown}: {error}")))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.symlink_metadata().is_ok_and(|is| is.is_file() && (1..=FILE_BYTES_MAX).contains(&is.len())))
        .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
        .collect();
    paths.sort();
    paths.truncate(FILES_MAX);
    let mut found = Vec::new();
    for path in paths {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        found.push((name.to_owned(), fs::read(&path).or_fail(format_args!("cannot read {}", path.display()))?));
    }
    Ok(found)
}

/// Files that come with the program, and one large enough to take a while.
fn made() -> Vec<(String, Vec<u8>)> {
    vec![
        ("Apache licence.txt".to_owned(), include_bytes!("../../../../LICENSE-APACHE").to_vec()),
        ("MIT licence.txt".to_owned(), include_bytes!("../../../../LICENSE-MIT").to_vec()),
        ("Field recording of a river.wav".to_owned(), river(LARGE_BYTES)),
    ]
}

/// Water, roughly: noise that rises and falls, as a mono sound file of 44,100 samples a second.
fn river(bytes: usize) -> Vec<u8> {
    const HEADER: usize = 44;
    const RATE: u32 = 44_100;
    let data = u32::try_from((bytes - HEADER) & !1).unwrap_or(u32::MAX);
    let mut wav = Vec::with_capacity(bytes);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(data + 36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&RATE.to_le_bytes());
    wav.extend_from_slice(&(RATE * 2).to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&data.to_le_bytes());
    let (mut state, mut smooth) = (0x9E37_79B9_7F4A_7C15_u64, 0_i64);
    for sample in 0..data / 2 {
        // Marsaglia's xorshift: the same river every time, so that both sellers have one content.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let noise = (state >> 48).cast_signed() - 32_768;
        smooth += (noise - smooth) / 6;
        let swell = i64::from((sample / 64) % 2_048).abs_diff(1_024).cast_signed() + 512;
        let sound = i16::try_from(smooth * swell / 2_048).unwrap_or(0);
        wav.extend_from_slice(&sound.to_le_bytes());
    }
    wav
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sellers_have_the_very_same_files() {
        let dir = tempfile::tempdir().unwrap();
        let folders = [dir.path().join("a"), dir.path().join("b")];
        let goods = spread(None, &folders).unwrap();
        assert_eq!(goods.largest, "Field recording of a river.wav");
        for name in &goods.files {
            assert_eq!(fs::read(folders[0].join(name)).unwrap(), fs::read(folders[1].join(name)).unwrap());
        }
        let sound = fs::read(folders[0].join(&goods.largest)).unwrap();
        assert_eq!((sound.len(), &sound[..4], &sound[36..40]), (LARGE_BYTES, &b"RIFF"[..], &b"data"[..]));
    }

    #[test]
    fn an_empty_folder_sells_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(spread(Some(dir.path()), &[]).is_err());
    }
}
