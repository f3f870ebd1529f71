//! Wrong passphrases, damaged files, and what is in use already.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use farthing_e2e::{Goods, Home, PIECE_MICROS, Town, Way, amount, exit};

/// Turns one bit of a file around.
fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn a_wrong_passphrase_opens_nothing_and_harms_nothing() {
    let town = Town::open(Way::Plain);
    let cleo = town.home("cleo").with_passphrase("correct horse battery");
    cleo.does(&["wallet", "init", "--fund", "1"]);
    let thief = cleo.clone().with_passphrase("wrong horse battery");
    for command in [&["wallet", "show"][..], &["wallet", "fund", "1"], &["wallet", "words"], &["history"]] {
        let failed = thief.fails(command, exit::DAMAGED);
        assert!(failed.words().contains("passphrase"), "{failed:?}");
        assert!(!failed.words().contains("horse"), "a passphrase is repeated: {failed:?}");
    }
    let standing = cleo.get(&["wallet", "show"]);
    assert_eq!((amount(&standing["balance"]), &standing["restored"]), (500_000, &false.into()), "{standing:#}");

    let safe = Home::new(town.path(), "safe").with_passphrase("a bank's own secret");
    safe.does(&["bank", "init", "--name", "Safe", "--listen-on", "127.0.0.1:0"]);
    let wrong = safe.clone().with_passphrase("a bank's own secrets");
    let failed = wrong.fails(&["bank", "serve"], exit::DAMAGED);
    assert!(failed.words().contains("passphrase"), "{failed:?}");
    let (open, _) = safe.serve(&["bank", "serve"]);
    assert!(open.stop().is_good());
}

#[test]
fn a_damaged_wallet_is_named_and_comes_back_from_its_backup() {
    let goods = Goods::of_pieces(&[2]);
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, &goods.0[0], 1);
    cleo.does(&["buy", &content, "--out", "bought"]);
    let backup = cleo.path().join("wallet.backup");
    cleo.does(&["wallet", "backup", backup.to_str().unwrap()]);
    let me = cleo.get(&["wallet", "show"])["peer"].clone();

    // The seed: any bit.
    let vault = cleo.path().join("wallet/seed.vault");
    let length = fs::metadata(&vault).unwrap().len();
    for at in [0, length / 3, length / 2, length - 1] {
        flip(&vault, at);
        let failed = cleo.fails(&["wallet", "show"], exit::DAMAGED);
        assert!(failed.words().contains("seed.vault"), "{failed:?}");
        flip(&vault, at);
    }
    cleo.does(&["wallet", "show"]);

    // The records: no longer a database; and one cut short.
    let records = cleo.path().join("wallet/wallet.sqlite");
    let whole = fs::read(&records).unwrap();
    for damaged in [[&b"no database at all"[..], &whole[18..]].concat(), whole[..whole.len() / 2].to_vec()] {
        fs::write(&records, damaged).unwrap();
        let failed = cleo.fails(&["buy", &content, "--out", "bought again"], exit::DAMAGED);
        assert!(failed.words().contains("records"), "{failed:?}");
    }

    let restored = town.home("cleo-restored");
    assert_eq!(restored.get(&["wallet", "restore", backup.to_str().unwrap()])["peer"], me);
    restored.does(&["wallet", "reconcile"]);
    assert_eq!(amount(&restored.get(&["buy", &content, "--out", "bought"])["paid"]), 2 * PIECE_MICROS);
    assert_eq!(amount(&ada.home.get(&["redeem"])["paid"]), 4 * PIECE_MICROS);
    assert_eq!(town.books().all(me.as_str().unwrap()), 1_000_000 - 4 * PIECE_MICROS, "nothing was lost");
}

#[test]
fn a_wallet_is_open_in_one_process_at_a_time() {
    let goods = Goods::of_pieces(&[2]);
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let failed = ada.home.fails(&["serve"], exit::DAMAGED);
    assert!(failed.words().contains("running in this home already"), "{failed:?}");
    // Commands ask the process that has it.
    let asked = ada.home.get(&["wallet", "show"]);
    assert_eq!(asked["restored"], false);

    // One that answers no questions.
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, &goods.0[0], 1);
    let holding = cleo.start(&["redeem", "--every", "1h"]);
    farthing_e2e::wait_for("the wallet being in use", || {
        let done = cleo.run(&["wallet", "show"]);
        (!done.is_good()).then_some(())
    });
    let failed = cleo.fails(&["buy", &content, "--out", "bought"], exit::DAMAGED);
    assert!(failed.words().contains("in use"), "{failed:?}");
    assert!(holding.stop().is_good());
    cleo.does(&["buy", &content, "--out", "bought"]);
    assert_eq!(amount(&ada.home.get(&["redeem"])["paid"]), 2 * PIECE_MICROS);
}

#[test]
fn of_several_purchases_at_once_from_one_wallet_each_is_made_or_refused_whole() {
    let goods = Goods::of_pieces(&[6]);
    let (ware, pieces) = (&goods.0[0], goods.0[0].pieces());
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, ware, 1);
    let folders = ["one", "two", "three", "four"];
    let running: Vec<_> = folders.iter().map(|folder| cleo.start(&["buy", &content, "--out", folder])).collect();
    let mut made = 0;
    for (folder, done) in folders.iter().zip(running.into_iter().map(farthing_e2e::Process::wait)) {
        let there = ware.is_at(&cleo.path().join(folder).join(&ware.name));
        assert_eq!(there, done.is_good(), "{done}");
        if there {
            made += 1;
        } else {
            assert!(done.code == Some(exit::DAMAGED) && done.stderr.contains("in use"), "{done}");
        }
    }
    assert!(made > 0, "somebody has the wallet");
    assert_eq!(amount(&ada.home.get(&["redeem"])["paid"]), made * pieces * PIECE_MICROS);
    assert_eq!(cleo.get(&["wallet", "show"])["restored"], false, "two processes are no copy");
}

#[test]
fn a_port_that_is_taken_is_named_with_the_way_out() {
    let town = Town::open(Way::Plain);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let at = format!("127.0.0.1:{port}");
    let second = Home::new(town.path(), "second");
    second.does(&["bank", "init", "--name", "Second", "--listen-on", &at]);
    let index = ["index", "serve", "--listen-on", &at, "--bank", &town.bank_address];
    for (home, command) in [(&second, &["bank", "serve"][..]), (&town.home("index-2"), &index)] {
        let failed = home.fails(command, exit::OTHER);
        assert!(failed.what.contains(&at), "{failed:?}");
        assert!(failed.next.contains("--listen-on"), "{failed:?}");
    }
    let ada = town.person("ada", "0");
    Goods::of_pieces(&[1]).put(&ada.path().join("goods"));
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let failed = ada.fails(&["share", "goods", "--price", "0.001", "--listen", &listen], exit::OTHER);
    assert!(failed.next.contains("--listen"), "{failed:?}");
}
