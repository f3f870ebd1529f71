//! A crate may lean on crates of its own storey and of those below; schemes know nothing of each
//! other, and the hands know no scheme.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// The storeys, lowest first: the folders of the workspace.
const STOREYS: [&str; 5] = ["core", "schemes", "hands", "apps", "checks"];

fn house() -> Metadata {
    MetadataCommand::new().no_deps().exec().expect("cargo describes the workspace")
}

fn storey(house: &Metadata, package: &Package) -> usize {
    let place = package.manifest_path.strip_prefix(&house.workspace_root).expect("a crate of this workspace");
    let folder = place.components().next().expect("a folder").as_str().to_owned();
    STOREYS.iter().position(|storey| *storey == folder).unwrap_or_else(|| panic!("{folder} is no storey"))
}

/// What each crate leans on in the built product; tests may reach up for a store to run on.
fn leanings(house: &Metadata) -> Vec<(&Package, &Package)> {
    let member = |name: &str| house.packages.iter().find(|package| package.name.as_str() == name);
    house
        .packages
        .iter()
        .flat_map(|package| package.dependencies.iter().map(move |dependency| (package, dependency)))
        .filter(|(_, dependency)| dependency.kind == DependencyKind::Normal)
        .filter_map(|(package, dependency)| member(&dependency.name).map(|on| (package, on)))
        .collect()
}

#[test]
fn no_crate_leans_on_a_storey_above_its_own() {
    let house = house();
    for (package, on) in leanings(&house) {
        assert!(storey(&house, on) <= storey(&house, package), "{} leans on {}", package.name, on.name);
    }
}

#[test]
fn schemes_do_not_know_each_other_and_hands_know_no_scheme() {
    let house = house();
    let scheme = STOREYS.iter().position(|storey| *storey == "schemes").unwrap();
    for (package, on) in leanings(&house) {
        let (above, below) = (storey(&house, package), storey(&house, on));
        let apart = below != scheme || above > scheme + 1;
        assert!(apart, "{} leans on the scheme {}", package.name, on.name);
    }
}

#[test]
fn cores_and_schemes_own_no_socket_disk_clock_or_dice() {
    let house = house();
    let hands = ["tokio", "rusqlite", "libp2p", "reqwest", "axum", "hyper", "getrandom", "rand", "chrono", "tempfile"];
    for package in house.packages.iter().filter(|package| storey(&house, package) <= 1) {
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            assert!(!hands.contains(&dependency.name.as_str()), "{} reaches for {}", package.name, dependency.name);
        }
    }
}

#[test]
fn every_crate_forbids_unsafe_code() {
    let house = house();
    for package in &house.packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a manifest");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} takes no lints from the workspace", package.name);
    }
    let root = std::fs::read_to_string(house.workspace_root.join("Cargo.toml")).expect("a manifest");
    assert!(root.contains("unsafe_code = \"forbid\""));
}
