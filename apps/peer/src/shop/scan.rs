//! Looking through folders, within bounds.

use std::fs;
use std::path::{Path, PathBuf};

use farthing_net::content::CONTENT_BYTES_MAX;

use super::shelf::Stamp;

/// How deep folders may lie in each other.
pub const DEPTH_MAX: usize = 32;

/// The most files shared, in all folders together.
pub const FILES_MAX: usize = 100_000;

/// The most entries looked at in one folder tree, shared or not: bounds the time of a scan.
pub const ENTRIES_MAX: usize = 1_000_000;

/// A plain file in a shared folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Where.
    pub(super) path: PathBuf,
    /// How it looks from outside.
    pub(super) stamp: Stamp,
}

/// What a scan found, and what it left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// The files, ordered by path.
    pub(super) files: Vec<Found>,
    /// Entries left out: hidden, symbolic links, neither file nor folder, too deep, too large,
    /// not readable.
    pub(super) skipped: usize,
    /// Whether there was more than the bounds allow.
    pub(super) cut_short: bool,
}

/// Looks through `root` for at most `room` files. Symbolic links are not followed, so nothing
/// outside of the folder is ever found; hidden files and folders count only if asked for.
#[must_use]
pub(super) fn scan(root: &Path, hidden: bool, room: usize) -> Scan {
    let mut found = Scan::default();
    let mut waiting = vec![(root.to_owned(), 0)];
    let mut looked_at = 0_usize;
    while let Some((folder, depth)) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            found.skipped += 1;
            continue;
        };
        for entry in entries {
            looked_at += 1;
            if looked_at > ENTRIES_MAX || found.files.len() >= room {
                found.cut_short = true;
                found.files.sort_by(|a, b| a.path.cmp(&b.path));
                return found;
            }
            let Ok(entry) = entry else {
                found.skipped += 1;
                continue;
            };
            let concealed = entry.file_name().as_encoded_bytes().starts_with(b".");
            // Does not follow a symbolic link.
            let Some(metadata) = entry.metadata().ok().filter(|_| hidden || !concealed) else {
                found.skipped += 1;
                continue;
            };
            if metadata.is_dir() && depth < DEPTH_MAX {
                waiting.push((entry.path(), depth + 1));
            } else if metadata.is_file() && metadata.len() <= CONTENT_BYTES_MAX {
                found.files.push(Found { path: entry.path(), stamp: Stamp::of(&metadata) });
            } else {
                found.skipped += 1;
            }
        }
    }
    found.files.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scan: &Scan) -> Vec<&str> {
        scan.files.iter().map(|file| file.path.file_name().unwrap().to_str().unwrap()).collect()
    }

    #[test]
    fn seller_shares_no_hidden_file_unless_told_to() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".git")).unwrap();
        for name in ["a", ".env", ".git/config"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let shown = scan(dir.path(), false, FILES_MAX);
        assert_eq!((names(&shown), shown.skipped), (vec!["a"], 2));
        assert_eq!(names(&scan(dir.path(), true, FILES_MAX)), [".env", "config", "a"]);
    }

    #[cfg(unix)]
    #[test]
    fn seller_shares_nothing_that_a_link_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        fs::write(dir.path().join("plain"), "p").unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), dir.path().join("file")).unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("circle")).unwrap();
        let found = scan(dir.path(), true, FILES_MAX);
        assert_eq!((names(&found), found.skipped), (vec!["plain"], 3));
    }

    #[test]
    fn seller_stops_at_its_bounds_of_depth_and_number() {
        let dir = tempfile::tempdir().unwrap();
        let mut deep = dir.path().to_owned();
        for level in 0..=DEPTH_MAX {
            fs::write(deep.join(format!("file{level}")), "").unwrap();
            deep.push("d");
            fs::create_dir(&deep).unwrap();
        }
        fs::write(deep.join("too-deep"), "").unwrap();
        let found = scan(dir.path(), false, FILES_MAX);
        assert_eq!((found.files.len(), found.skipped, found.cut_short), (DEPTH_MAX + 1, 1, false));
        let few = scan(dir.path(), false, 3);
        assert_eq!((few.files.len(), few.cut_short), (3, true));
    }
}
