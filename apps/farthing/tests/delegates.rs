//! A wallet for a program: made, spent from at several sites, taken back. All the real program.

mod common;

use common::town::{PRICE, Town, code, in_words, micros, said};
use common::{at, run};

#[test]
fn a_delegate_pays_at_several_sites_and_its_owner_takes_back_all_that_is_left() {
    let town = Town::new();
    let ((_one, first), (_two, second)) = (town.seller("one"), town.seller("two"));
    let (buyer, elsewhere, file) = (town.person("buyer"), town.at("elsewhere"), town.at("tool"));
    let file = file.to_str().unwrap();
    let before = micros(&run(&buyer, &["wallet", "show"]), "ready");
    run(&buyer, &["wallet", "delegate", "--max", "0.02", "--out", file]);
    let after = run(&buyer, &["wallet", "show"]);
    assert_eq!(micros(&after, "ready"), before - 20_000, "what was handed out cannot be spent any more");
    for url in [&first, &second, &first, &second, &first] {
        assert_eq!(run(&elsewhere, &["get", url, "--wallet", file])["cost"], PRICE);
    }
    let reclaimed = in_words(&buyer, &["wallet", "delegate", "--reclaim", file]);
    let words = String::from_utf8_lossy(&reclaimed.stdout).into_owned();
    assert!(words.contains("0.015 XTS came back") && words.contains("Nothing is left"), "{reclaimed:?}");
    assert!(!said(&reclaimed).contains("WARN"), "{reclaimed:?}");
    assert_eq!(micros(&run(&buyer, &["wallet", "show"]), "spent"), 5_000);
    for url in [&first, &second] {
        let refused = in_words(&elsewhere, &["get", url, "--wallet", file]);
        // There is no money, or, once it asks the bank, it hears that its owner has taken over.
        assert!(matches!(code(&refused), Some(6 | 7)), "what was taken back was spent: {refused:?}");
        assert!(said(&refused).contains("nothing was paid"), "{refused:?}");
        assert!(!said(&refused).contains("wallet fund"), "its program cannot put money in: {refused:?}");
    }
}

#[test]
fn a_delegate_spends_its_cap_to_the_end_and_says_who_can_help() {
    let town = Town::new();
    let (_gateway, url) = town.seller("seller");
    let (buyer, file) = (town.person("buyer"), town.at("tool"));
    let file = file.to_str().unwrap();
    run(&buyer, &["wallet", "delegate", "--max", "0.012", "--out", file]);
    for _ in 0..12 {
        assert_eq!(run(&town.at("elsewhere"), &["get", &url, "--wallet", file])["cost"], PRICE);
    }
    let over = in_words(&town.at("elsewhere"), &["get", &url, "--wallet", file]);
    assert_eq!(code(&over), Some(6), "{over:?}");
    let words = said(&over);
    assert!(words.contains("0.012 XTS is all that") && words.contains("farthing wallet delegate"), "{words}");
}

#[test]
fn what_cannot_be_taken_back_is_named_with_where_and_until_when() {
    let town = Town::new();
    let (gateway, url) = town.seller("seller");
    let (buyer, file) = (town.person("buyer"), town.at("tool"));
    let file = file.to_str().unwrap();
    run(&buyer, &["wallet", "delegate", "--max", "0.1", "--out", file]);
    run(&town.at("elsewhere"), &["get", &url, "--wallet", file]);
    drop(gateway);
    let back = run(&buyer, &["wallet", "delegate", "--reclaim", file]);
    // The gateway has cleared what it was paid, or has not.
    assert!(micros(&back, "reclaimed") == 90_000 && (9_000..=10_000).contains(&micros(&back, "held")), "{back}");
    assert_eq!((&back["open"][0]["site"], micros(&back["open"][0], "left")), (&url.into(), 9_000), "{back}");
    assert!(back["until"].is_string(), "{back}");
}

#[test]
fn a_delegate_that_there_is_no_money_for_leaves_nothing_behind() {
    let town = Town::new();
    let (buyer, file) = (town.person("buyer"), town.at("tool"));
    let args = ["wallet", "delegate", "--max", "5", "--out", file.to_str().unwrap()];
    let failed = at(&buyer).args(args).output().unwrap();
    assert_eq!(code(&failed), Some(6), "{failed:?}");
    assert!(!file.exists() && !town.at("tool.state").exists());
}
