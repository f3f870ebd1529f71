//! Documents name what is there: every dependency has its reason, every attack its test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(place: &str) -> String {
    fs::read_to_string(root().join(place)).unwrap_or_else(|why| panic!("{place}: {why}"))
}

/// Every Rust file of the workspace, as one text.
fn code() -> String {
    fn gather(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                gather(&path, text);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                text.push_str(&fs::read_to_string(&path).expect("a file"));
            }
        }
    }
    let mut text = String::new();
    for storey in ["core", "schemes", "hands", "apps", "checks"] {
        gather(&root().join(storey), &mut text);
    }
    text
}

#[test]
fn every_dependency_has_its_line_of_justification_and_no_other_has() {
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once("[workspace.dependencies]").expect("the dependencies");
    let section = rest.split("\n[").next().expect("a section");
    let named: BTreeSet<&str> = section
        .lines()
        .filter(|line| !line.trim_start().starts_with('#') && !line.contains("path = "))
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name.trim()))
        .collect();
    let document = read("docs/dependencies.md");
    let justified: BTreeSet<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split_once('`').map(|(name, _)| name))
        .collect();
    assert_eq!(named, justified, "left: used; right: justified in docs/dependencies.md");
}

#[test]
fn every_dependency_is_used_by_some_crate() {
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once("[workspace.dependencies]").expect("the dependencies");
    let section = rest.split("\n[").next().expect("a section");
    let mut members = String::new();
    for storey in ["core", "schemes", "hands", "apps", "checks"] {
        for member in fs::read_dir(root().join(storey)).expect("a storey").flatten() {
            members.push_str(&fs::read_to_string(member.path().join("Cargo.toml")).unwrap_or_default());
        }
    }
    for line in section.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let Some((name, _)) = line.split_once(" = ") else { continue };
        let used = members.contains(&format!("\n{}.workspace", name.trim()))
            || members.contains(&format!("\n{} = {{ workspace", name.trim()));
        assert!(used, "{name} is declared and not used");
    }
}

#[test]
fn every_test_that_the_list_of_attacks_names_exists() {
    let (document, code) = (read("docs/attacks.md"), code());
    let named: Vec<&str> =
        document.split('`').skip(1).step_by(2).filter(|word| word.matches('_').count() > 2).collect();
    assert!(named.len() > 20, "the list of attacks names no tests");
    for name in named {
        let last = name.rsplit("::").next().unwrap_or(name);
        assert!(code.contains(&format!("fn {last}(")), "docs/attacks.md names {name}, which is not there");
    }
}
