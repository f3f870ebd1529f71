//! Which file had which hash when last looked at, so that a restart hashes nothing twice.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use farthing_core::wire;
use farthing_net::content::Manifest;
use minicbor::{Decode, Encode};

use super::scan::FILES_MAX;
use super::shelf::Stamp;

/// The longest record: a path of 4 KiB and some numbers.
const RECORD_MAX: usize = 5 << 10;

/// A file that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(super) struct Known {
    #[n(0)]
    pub(super) stamp: Stamp,
    #[n(1)]
    pub(super) manifest: Manifest,
}

#[derive(Encode, Decode)]
struct Record {
    #[cbor(n(0), with = "minicbor::bytes")]
    path: Vec<u8>,
    #[n(1)]
    known: Known,
}

/// Reads what was kept. It is a cache: what cannot be read is hashed again.
pub(super) fn read(path: &Path) -> HashMap<PathBuf, Known> {
    let mut known = HashMap::new();
    let Ok(file) = File::open(path) else { return known };
    let mut from = io::BufReader::new(file);
    while known.len() < FILES_MAX {
        let mut length = [0; 4];
        if from.read_exact(&mut length).is_err() {
            break;
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > RECORD_MAX {
            break;
        }
        let mut bytes = vec![0; length];
        if from.read_exact(&mut bytes).is_err() {
            break;
        }
        let Ok(record) = wire::decode::<Record>(&bytes) else { break };
        known.insert(PathBuf::from(std::ffi::OsStr::from_bytes(&record.path)), record.known);
    }
    known
}

/// Keeps what is known, replacing what was.
pub(super) fn write(path: &Path, known: &HashMap<PathBuf, Known>) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut to = BufWriter::new(File::create(&temporary)?);
    for (file, known) in known {
        let bytes = wire::encode(&Record { path: file.as_os_str().as_bytes().to_vec(), known: *known });
        if let Ok(length) = u32::try_from(bytes.len())
            && bytes.len() <= RECORD_MAX
        {
            to.write_all(&length.to_be_bytes())?;
            to.write_all(&bytes)?;
        }
    }
    to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use farthing_core::id::ContentId;

    use super::*;

    #[test]
    fn a_damaged_list_is_read_up_to_the_damage_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("known");
        let known = |n: u8| Known {
            stamp: Stamp { size: n.into(), changed: 7 },
            manifest: Manifest { root: ContentId([n; 32]), size: n.into() },
        };
        let all: HashMap<_, _> = (0..9).map(|n| (PathBuf::from(format!("/f{n}")), known(n))).collect();
        write(&at, &all).unwrap();
        assert_eq!(read(&at), all);
        let bytes = fs::read(&at).unwrap();
        fs::write(&at, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(read(&at).len(), 8);
        fs::write(&at, [&[0xff; 4], &bytes[..]].concat()).unwrap();
        assert_eq!(read(&at).len(), 0);
        assert_eq!(read(&dir.path().join("none")).len(), 0);
    }
}
