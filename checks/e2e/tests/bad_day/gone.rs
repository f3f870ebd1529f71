//! Bank, index or peer gone, before or in the middle of something.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use farthing_e2e::{Goods, Home, PIECE_BYTES, PIECE_MICROS, Town, Ware, Way, amount, exit, wait_for};

use super::proxy::Proxy;

/// Waits until a download of this ware has so many pieces on the disk, or is complete.
fn wait_for_pieces(ware: &Ware, folder: &Path, pieces: u64) {
    let length = |path: &Path| fs::metadata(path).map_or(0, |at| at.blocks() * 512);
    wait_for("the first pieces", || {
        let there: u64 = below(&folder.join(".farthing-incoming")).iter().map(|path| length(path)).sum();
        (there >= pieces * PIECE_BYTES as u64 || ware.found_in(folder).is_some()).then_some(())
    });
}

/// The files in a folder and in those inside it; none where it is not there.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

/// Puts a proxy between a wallet and its bank.
fn put_between(town: &Town, home: &Home) -> Proxy {
    let plain = town.bank_address.split('#').next().unwrap();
    let proxy = Proxy::before(plain.replace("http://", ""));
    let file = home.path().join("wallet/wallet.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(plain, &format!("http://{}", proxy.at))).unwrap();
    proxy
}

#[test]
fn while_the_bank_is_gone_nothing_moves_and_the_message_says_so() {
    let mut town = Town::open(Way::Plain);
    let cleo = town.person("cleo", "1");
    town.kill_bank();
    for command in [&["wallet", "fund", "1"][..], &["wallet", "payout", "0.1", "--to", "me"], &["redeem"]] {
        let failed = cleo.fails(command, exit::UNREACHABLE);
        assert_eq!(failed.money, "unmoved", "{failed:?}");
        assert!(failed.next.contains("farthing doctor"), "{failed:?}");
    }
    let done = cleo.run(&["doctor"]);
    assert_eq!(done.code, Some(exit::UNREACHABLE), "{done}");
    town.home("dora").fails(&["wallet", "init"], exit::UNREACHABLE).next.contains("doctor").then_some(()).unwrap();
    town.open_bank();
    cleo.does(&["doctor"]);
    assert_eq!(town.books().funded, 1_000_000, "nothing came of what failed");
}

#[test]
fn a_lost_answer_is_told_as_unknown_and_the_request_is_carried_out_once() {
    let town = Town::open(Way::Plain);
    let cleo = town.person("cleo", "1");
    let proxy = put_between(&town, &cleo);
    proxy.swallow(true);
    for _ in 0..2 {
        let failed = cleo.fails(&["wallet", "fund", "0.5"], exit::UNKNOWN);
        assert_eq!(failed.money, "unknown", "{failed:?}");
        assert!(!failed.next.is_empty(), "{failed:?}");
        assert_eq!(town.books().funded, 1_500_000, "the bank has done it, once");
    }
    proxy.swallow(false);
    cleo.does(&["wallet", "fund", "0.5"]);
    assert_eq!(town.books().funded, 1_500_000, "the same command was the same request");
    cleo.does(&["wallet", "fund", "0.5"]);
    assert_eq!(town.books().funded, 2_000_000, "once that is answered, it is a new one");
}

#[test]
fn a_redemption_whose_answer_is_lost_is_paid_once() {
    let goods = Goods::of_pieces(&[3]);
    let town = Town::open(Way::Plain);
    let mut ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, &goods.0[0], 1);
    cleo.does(&["buy", &content, "--out", "bought"]);
    let proxy = put_between(&town, &ada.home);
    ada.reopen();
    proxy.swallow(true);
    let failed = ada.home.fails(&["redeem"], exit::UNKNOWN);
    assert_eq!(failed.money, "unknown", "{failed:?}");
    proxy.swallow(false);
    // By this command, or by the shop's own upkeep just before it.
    ada.home.does(&["redeem"]);
    assert_eq!(amount(&ada.home.get(&["earnings"])["unredeemed"]), 0);
    let history = ada.home.get(&["history"]);
    let redeemed: Vec<_> =
        history["lines"].as_array().unwrap().iter().filter(|line| line["what"] == "redeemed").collect();
    assert_eq!(redeemed.len(), 1, "{history:#}");
    assert_eq!(amount(&redeemed[0]["amount"]), 3 * PIECE_MICROS);
    let me = ada.home.get(&["wallet", "show"])["peer"].as_str().unwrap().to_owned();
    assert_eq!(town.books().all(&me), 3 * PIECE_MICROS);
}

#[test]
fn while_the_index_is_gone_nothing_is_found_and_afterwards_sellers_are_listed_again() {
    let goods = Goods::of_pieces(&[2]);
    let mut town = Town::open(Way::Plain);
    let _ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, &goods.0[0], 1);
    town.kill_index();
    for command in [&["search", "tune"][..], &["buy", &content, "--out", "bought"]] {
        let failed = cleo.fails(command, exit::UNREACHABLE);
        assert!(failed.what.contains("index") && !failed.next.is_empty(), "{failed:?}");
    }
    town.open_index();
    assert_eq!(town.content(&cleo, &goods.0[0], 1), content);
    cleo.does(&["buy", &content, "--out", "bought"]);
}

#[test]
fn what_a_seller_that_dies_midway_was_paid_for_it_delivers_when_it_is_back() {
    let goods = Goods::of_pieces(&[64]);
    let (ware, pieces) = (&goods.0[0], goods.0[0].pieces());
    let town = Town::open(Way::Plain);
    let mut ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, ware, 1);
    let folder = cleo.path().join("bought");
    let buying = cleo.start(&["buy", &content, "--out", "bought"]);
    wait_for_pieces(ware, &folder, 4);
    ada.shop.kill();
    let done = buying.wait();
    // Unless it was faster than the blow.
    if !done.is_good() {
        assert_eq!(done.code, Some(exit::UNREACHABLE), "{done}");
        assert!(done.json["missing"].as_u64().is_some_and(|missing| (1..pieces).contains(&missing)), "{done}");
        assert!(done.json["why"].as_str().is_some_and(|why| !why.is_empty()), "{done}");
        ada.reopen();
        let rest = wait_for("the rest being bought", || {
            let done = cleo.run(&["buy", &content, "--out", "bought"]);
            done.is_good().then_some(done.json)
        });
        assert!(rest["pieces_before"].as_u64().is_some_and(|before| before >= 4), "{rest:#}");
    }
    assert!(ware.is_at(&folder.join(&ware.name)));
    // Back again, it still knows which piece it owes.
    assert_eq!(amount(&ada.home.get(&["redeem"])["paid"]), pieces * PIECE_MICROS, "each piece is paid once");
    let _ = town.books();
}

#[test]
fn a_buyer_that_dies_midway_goes_on_where_it_was() {
    let goods = Goods::of_pieces(&[64]);
    let (ware, pieces) = (&goods.0[0], goods.0[0].pieces());
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, ware, 1);
    let folder = cleo.path().join("bought");
    let mut buying = cleo.start(&["buy", &content, "--out", "bought"]);
    wait_for_pieces(ware, &folder, 4);
    if buying.kill() && ware.found_in(&folder).is_none() {
        let rest = cleo.get(&["buy", &content, "--out", "bought"]);
        assert!(rest["pieces_before"].as_u64().is_some_and(|before| before >= 3), "{rest:#}");
    }
    assert!(ware.is_at(&folder.join(&ware.name)));
    assert_eq!(amount(&ada.home.get(&["redeem"])["paid"]), pieces * PIECE_MICROS, "each piece is paid once");
    let _ = town.books();
}

#[test]
fn a_purchase_asked_of_a_shop_goes_on_when_the_window_is_closed() {
    let goods = Goods::of_pieces(&[40]);
    let (ware, pieces) = (&goods.0[0], goods.0[0].pieces());
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    // Somebody who sells and buys: the shop has the wallet, and buys when asked.
    let ben = town.seller("ben", &Goods::of_pieces(&[1]));
    ben.home.does(&["wallet", "fund", "1"]);
    let content = town.content(&ben.home, ware, 1);
    let folder = ben.home.path().join("bought");
    let mut window = ben.home.start(&["buy", &content, "--out", "bought"]);
    wait_for_pieces(ware, &folder, 1);
    window.kill();
    wait_for("the purchase without its window", || ware.found_in(&folder));
    assert!(ware.is_at(&folder.join(&ware.name)));
    assert_eq!(amount(&ada.home.get(&["redeem"])["paid"]), pieces * PIECE_MICROS);
}

/// The processes that this one has started and that have not ended.
fn children_of(parent: u32) -> Vec<u32> {
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|id| state_and_parent(*id).is_some_and(|(state, of)| of == parent && state != "Z")).collect()
}

/// A process's state and whose child it is; nothing once it is gone.
fn state_and_parent(id: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name is in brackets and may hold anything.
    let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
    Some((rest.next()?.to_owned(), rest.next()?.parse().ok()?))
}

#[test]
fn a_bank_goes_on_without_its_signer_and_no_signer_outlives_its_bank() {
    let mut town = Town::open(Way::Plain);
    let signer = |town: &Town| {
        let found = children_of(town.bank_id());
        assert_eq!(found.len(), 1, "one signer");
        found[0]
    };
    let killed = Command::new("kill").args(["-KILL", &signer(&town).to_string()]).status().unwrap();
    assert!(killed.success());
    // No account and no chain takes a certificate.
    let cleo = town.person("cleo", "1");
    assert_eq!(cleo.get(&["doctor"])["ok"], true);

    town.stop_bank();
    town.open_bank();
    let second = signer(&town);
    // The bank alone, without those it has started.
    assert!(town.take_bank().unwrap().kill());
    wait_for("the end of the signer", || state_and_parent(second).is_none_or(|(state, _)| state == "Z").then_some(()));
    town.open_bank();
    assert_eq!(town.books().funded, 1_000_000);
}
