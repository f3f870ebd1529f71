//! The demo from end to end, as a process of its own.

mod common;

use common::{farthing, json};

#[test]
fn the_demo_trades_without_the_bank_and_makes_and_loses_no_money() {
    let output = farthing().args(["demo", "--json"]).output().unwrap();
    let report = json(&output);
    let number = |value: &serde_json::Value| value.as_u64().unwrap();

    let pieces = number(&report["purchase"]["pieces"]);
    let paid = report["paid"].as_array().unwrap();
    assert_eq!(paid.len(), 2, "two sellers");
    assert_eq!(paid.iter().map(|line| number(&line["payments"])).sum::<u64>(), pieces, "units paid are pieces");
    assert_eq!(paid.iter().map(|line| number(&line["pieces"])).sum::<u64>(), pieces);
    assert!(paid.iter().all(|line| line["paid"] == line["redeemed"]), "{paid:?}");
    assert!(number(&report["purchase"]["pieces_without_bank"]) > 0, "the bank was killed too late");

    let changes = report["books"].as_array().unwrap().iter().map(|line| line["change_micros"].as_i64().unwrap());
    assert_eq!(changes.sum::<i64>(), 0, "no money made or lost");
    for bank in report["bank"].as_array().unwrap() {
        let sum = ["owed_to_customers", "backing_chains", "other"].map(|key| micros(&bank[key])).iter().sum::<u64>();
        assert_eq!(sum, micros(&bank["funded"]), "{bank}");
    }
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["ok"], true, "{check}");
    }
    let bank = report["costs"].as_array().unwrap().iter().find(|cost| cost["party"] == "bank").unwrap();
    assert_eq!(number(&bank["cost"]["messages"]), 0, "paying asks nothing of the bank");
}

#[test]
fn the_demo_sells_the_files_of_a_given_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("large one.bin"), vec![7; 5 << 20]).unwrap();
    std::fs::write(folder.path().join("small.txt"), "small").unwrap();
    let output = farthing().args(["demo", "--json", "--folder"]).arg(folder.path()).output().unwrap();
    let report = json(&output);
    assert_eq!(report["purchase"]["title"], "large one.bin");
    assert_eq!(report["purchase"]["pieces"], 20);
}

#[test]
fn the_demo_sells_a_file_of_one_piece() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("note.txt"), "short").unwrap();
    let report = json(&farthing().args(["demo", "--json", "--folder"]).arg(folder.path()).output().unwrap());
    assert_eq!(report["purchase"]["pieces"], 1);
    assert_eq!(
        report["paid"].as_array().unwrap().iter().map(|line| line["payments"].as_u64().unwrap()).sum::<u64>(),
        1
    );
}

#[test]
fn the_demo_refuses_a_folder_with_nothing_in_it() {
    let folder = tempfile::tempdir().unwrap();
    farthing().args(["demo", "--folder"]).arg(folder.path()).assert().code(2);
}

/// An amount as it is shown, in micros.
fn micros(amount: &serde_json::Value) -> u64 {
    amount.as_str().unwrap().parse::<farthing_core::amount::Amount>().unwrap().as_micros()
}
