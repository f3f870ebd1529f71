//! No two kinds of statement share a number: one could be read as the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Numbers from here on are for tests.
const TESTS_FROM: u16 = 0xff00;

fn gather(folder: &Path, found: &mut BTreeMap<u16, Vec<String>>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, found);
            continue;
        }
        if path.extension().is_none_or(|ending| ending != "rs") {
            continue;
        }
        for line in fs::read_to_string(&path).expect("a file").lines() {
            let Some((_, number)) = line.split_once("const KIND: u16 = 0x") else { continue };
            let number = u16::from_str_radix(number.trim_end_matches(';'), 16).expect("a number");
            if number < TESTS_FROM {
                found.entry(number).or_default().push(path.display().to_string());
            }
        }
    }
}

#[test]
fn no_two_kinds_of_statement_share_a_number() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = BTreeMap::new();
    for storey in ["core", "schemes", "hands", "apps"] {
        gather(&root.join(storey), &mut found);
    }
    assert!(found.len() > 20, "the kinds were not found");
    for (number, places) in found {
        assert_eq!(places.len(), 1, "{number:#06x} is taken more than once: {places:?}");
    }
}
