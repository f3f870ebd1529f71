//! Restored backups and copied wallets.

use std::process::Command;

use farthing_e2e::{Goods, Home, PIECE_MICROS, Town, Way, amount, exit};

/// Everything in a home, copied as a user would.
fn copy(town: &Town, from: &Home, name: &str) -> Home {
    let to = town.home(name);
    let copied = Command::new("cp").arg("-a").arg(from.path().join("wallet")).arg(to.path()).status().unwrap();
    assert!(copied.success());
    to
}

#[test]
fn a_restored_wallet_is_paid_at_once_and_pays_only_after_reconciliation() {
    let goods = Goods::of_pieces(&[3]);
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, &goods.0[0], 1);
    let backup = cleo.path().join("wallet.backup");
    cleo.does(&["wallet", "backup", backup.to_str().unwrap()]);
    // Spent after the backup: what the backup holds is out of date.
    cleo.does(&["buy", &content, "--out", "bought"]);

    let restored = town.home("restored");
    let me = restored.get(&["wallet", "restore", backup.to_str().unwrap()])["peer"].as_str().unwrap().to_owned();
    assert_eq!(restored.get(&["wallet", "show"])["restored"], true);
    let done = restored.run(&["buy", &content, "--out", "bought"]);
    assert!(!done.is_good(), "{done}");
    assert!(done.to_string().contains("farthing wallet reconcile"), "{done}");
    assert_eq!(amount(&ada.home.get(&["earnings"])["unredeemed"]), 3 * PIECE_MICROS, "it paid nothing");

    restored.does(&["wallet", "reconcile"]);
    assert_eq!(amount(&restored.get(&["buy", &content, "--out", "bought"])["paid"]), 3 * PIECE_MICROS);
    let redeemed = ada.home.get(&["redeem"]);
    assert_eq!((amount(&redeemed["paid"]), &redeemed["contested"]), (6 * PIECE_MICROS, &0.into()));
    let books = town.books();
    assert_eq!(books.all(&me), 1_000_000 - 6 * PIECE_MICROS);
    assert!(books.suspended.is_empty());
}

#[test]
fn a_wallet_restored_from_its_words_has_the_account_and_pays_after_reconciliation() {
    let goods = Goods::of_pieces(&[2]);
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, &goods.0[0], 1);
    let words = cleo.get(&["wallet", "words"])["words"].as_str().unwrap().to_owned();
    let again = town.home("again");
    let file = again.path().join("words");
    std::fs::write(&file, words.replacen(' ', "  ", 1)).unwrap();
    again.does(&["wallet", "restore", "--words-file", file.to_str().unwrap()]);
    let done = again.run(&["buy", &content, "--out", "bought"]);
    assert!(done.to_string().contains("farthing wallet reconcile"), "{done}");
    again.does(&["wallet", "reconcile"]);
    again.does(&["buy", &content, "--out", "bought"]);
    assert_eq!(amount(&ada.home.get(&["redeem"])["paid"]), 2 * PIECE_MICROS);

    std::fs::write(&file, words.rsplit_once(' ').unwrap().0).unwrap();
    let third = town.home("third");
    let failed = third.fails(&["wallet", "restore", "--words-file", file.to_str().unwrap()], exit::USAGE);
    assert!(!failed.what.contains(words.split(' ').next().unwrap()), "a word is repeated: {failed:?}");
}

#[test]
fn of_two_live_copies_the_second_does_not_pay_and_neither_loses_anything() {
    let goods = Goods::of_pieces(&[3]);
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "2");
    let content = town.content(&cleo, &goods.0[0], 1);
    let twin = copy(&town, &cleo, "twin");

    let done = twin.run(&["buy", &content, "--out", "bought"]);
    assert!(!done.is_good() && done.to_string().contains("farthing wallet reconcile"), "{done}");
    assert_eq!(amount(&cleo.get(&["buy", &content, "--out", "bought"])["paid"]), 3 * PIECE_MICROS);
    // Even then it pays from chains of its own.
    twin.does(&["wallet", "reconcile"]);
    assert_eq!(amount(&twin.get(&["buy", &content, "--out", "bought"])["paid"]), 3 * PIECE_MICROS);
    // The bank counts one copy at a time: the first is told, and pays again once it has taken over.
    let done = cleo.run(&["buy", &content, "--out", "once more"]);
    assert!(!done.is_good() && done.to_string().contains("farthing wallet reconcile"), "{done}");
    cleo.does(&["wallet", "reconcile"]);
    assert_eq!(amount(&cleo.get(&["buy", &content, "--out", "once more"])["paid"]), 3 * PIECE_MICROS);

    let redeemed = ada.home.get(&["redeem"]);
    assert_eq!((amount(&redeemed["paid"]), &redeemed["contested"]), (9 * PIECE_MICROS, &0.into()));
    let books = town.books();
    let me = cleo.get(&["wallet", "show"])["peer"].as_str().unwrap().to_owned();
    assert_eq!(books.all(&me), 2_000_000 - 9 * PIECE_MICROS);
    assert!(books.suspended.is_empty(), "an honest owner of two copies is no cheat");
}

#[test]
fn records_put_back_from_an_older_day_do_not_pay() {
    let goods = Goods::of_pieces(&[3]);
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "2");
    let content = town.content(&cleo, &goods.0[0], 1);
    let older = copy(&town, &cleo, "older");
    cleo.does(&["buy", &content, "--out", "bought"]);

    for file in ["wallet.sqlite", "witness"] {
        let done =
            Command::new("cp").arg(older.path().join("wallet").join(file)).arg(cleo.path().join("wallet")).status();
        assert!(done.unwrap().success());
    }
    let done = cleo.run(&["buy", &content, "--out", "bought again"]);
    assert!(!done.is_good() && done.to_string().contains("farthing wallet reconcile"), "{done}");
    assert_eq!(amount(&ada.home.get(&["redeem"])["paid"]), 3 * PIECE_MICROS);
    assert!(town.books().suspended.is_empty());
}
