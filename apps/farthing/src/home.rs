//! Folders that are nobody else's business.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use crate::fail::{Context, Failure};

/// Makes a folder that only its owner may enter; one that is there must be so.
pub(crate) fn private_dir(dir: &Path) -> Result<(), Failure> {
    let shown = dir.display();
    DirBuilder::new().recursive(true).mode(0o700).create(dir).or_fail(format_args!("cannot make {shown}"))?;
    check_private(dir)
}

/// Whether only the owner may read `path`.
pub(crate) fn check_private(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let mode = fs::metadata(path).or_fail(format_args!("cannot read {shown}"))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let only = if path.is_dir() { "u=rwx" } else { "u=rw" };
    Err(Failure::damaged(format_args!("others on this machine may read {shown}"))
        .next(format_args!("chmod {only},go= {shown}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_open_to_others_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("a").join("b");
        private_dir(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(private_dir(&home).unwrap_err().to_string().contains("chmod u=rwx,go="));
    }
}
