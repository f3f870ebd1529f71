//! A new user's way through the commands of the README.

use std::fs;

use farthing_e2e::{Goods, Home, PIECE_BYTES, PIECE_MICROS, Town, Ware, Way, amount, exit, proofs, wait_for};

#[test]
fn a_new_user_buys_and_a_new_user_sells() {
    let goods = Goods::of_pieces(&[6, 2]);
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let cleo = town.home("cleo");

    let made = cleo.get(&["wallet", "init", "--fund", "5"]);
    assert_eq!((&made["made"], amount(&made["funded"]["balance"])), (&true.into(), 5_000_000));
    let again = cleo.get(&["wallet", "init"]);
    assert_eq!((&again["made"], &again["peer"]), (&false.into(), &made["peer"]), "a second init changes nothing");
    let me = made["peer"].as_str().unwrap();

    let ware = &goods.0[0];
    let content = town.content(&cleo, ware, 1);
    let found = cleo.get(&["search", "fair", "tune"]);
    assert_eq!(found["hits"].as_array().unwrap().len(), 2, "{found:#}");
    let hit = found["hits"].as_array().unwrap().iter().find(|hit| hit["content"] == content.as_str()).unwrap();
    assert_eq!((hit["pieces"].as_u64(), amount(&hit["total"])), (Some(6), 6 * PIECE_MICROS));

    let number = hit["number"].to_string();
    let would = cleo.get(&["buy", &number, "--out", "bought", "--dry-run"]);
    assert_eq!(would["dry_run"], true);
    let bought = cleo.get(&["buy", &number, "--out", "bought"]);
    assert!(ware.is_at(&cleo.path().join("bought").join(&ware.name)), "{bought:#}");
    assert_eq!((amount(&bought["paid"]), &bought["missing"]), (6 * PIECE_MICROS, &serde_json::Value::Null));

    let again = cleo.get(&["buy", &number, "--out", "bought"]);
    assert_eq!((&again["file"], amount(&again["paid"])), (&bought["file"], 0), "it is there already");

    let history = cleo.get(&["history"]);
    let lines: Vec<_> =
        history["lines"].as_array().unwrap().iter().filter(|line| line["what"] == "bought").cloned().collect();
    assert_eq!(lines.len(), 1, "{history:#}");
    assert_eq!(amount(&lines[0]["amount"]), 6 * PIECE_MICROS);
    let receipts = proofs(&cleo);
    assert_eq!(receipts.iter().map(|receipt| receipt.micros).sum::<u64>(), 6 * PIECE_MICROS);

    let earned = ada.home.get(&["earnings"]);
    assert_eq!(amount(&earned["unredeemed"]), 6 * PIECE_MICROS);
    assert_eq!(amount(&ada.home.get(&["redeem", "--dry-run"])["unredeemed"]), 6 * PIECE_MICROS);
    let redeemed = ada.home.get(&["redeem"]);
    assert_eq!((amount(&redeemed["paid"]), amount(&redeemed["rest"])), (6 * PIECE_MICROS, 0));
    assert_eq!(amount(&ada.home.get(&["redeem"])["paid"]), 0, "nothing is redeemed twice");
    let balance = ada.home.get(&["wallet", "balance"]);
    assert_eq!(amount(&balance["balance"]), 6 * PIECE_MICROS);

    let paid_out = ada.home.get(&["wallet", "payout", "0.001", "--to", "my cap"]);
    assert_eq!(amount(&paid_out["balance"]), 6 * PIECE_MICROS - 1_000);
    let books = town.books();
    assert_eq!(books.funded, 5_000_000 - 1_000);
    assert_eq!(books.all(me), 5_000_000 - 6 * PIECE_MICROS);
    assert_eq!(amount(&cleo.get(&["wallet", "exposure"])["total"]), 0);
    assert_eq!(cleo.get(&["doctor"])["ok"], true);
}

#[test]
fn buying_goes_on_while_the_bank_is_down() {
    let goods = Goods::of_pieces(&[40]);
    let mut town = Town::open(Way::Plain);
    let sellers = [town.seller("ada", &goods), town.seller("ben", &goods)];
    let cleo = town.person("cleo", "5");
    let ware = &goods.0[0];
    let content = town.content(&cleo, ware, 2);

    // Killed while the purchase runs: as soon as the first pieces are on the buyer's disk.
    let buying = cleo.start(&["buy", &content, "--out", "bought"]);
    wait_for("the first piece", || fs::read_dir(cleo.path().join("bought")).ok());
    town.kill_bank();
    let bought = buying.wait().good();
    assert!(ware.is_at(&cleo.path().join("bought").join(&ware.name)), "{bought:#}");
    assert_eq!(amount(&bought["paid"]), 40 * PIECE_MICROS);

    // A purchase begun without a bank; chains were opened in advance.
    let again = cleo.get(&["buy", &content, "--out", "bought once more"]);
    assert_eq!(amount(&again["paid"]), 40 * PIECE_MICROS);
    let standing = cleo.get(&["wallet", "show"]);
    assert_eq!(standing["balance"], serde_json::Value::Null, "what the bank would know is not made up");
    let failed = sellers[0].home.fails(&["redeem"], exit::UNREACHABLE);
    assert!(!failed.next.is_empty(), "{failed:?}");

    town.open_bank();
    let paid: u64 = sellers.iter().map(|seller| amount(&seller.home.get(&["redeem"])["paid"])).sum();
    assert_eq!(paid, 80 * PIECE_MICROS);
    assert_eq!(town.books().funded, 5_000_000);
}

#[test]
fn everything_works_over_tls_with_a_self_made_certificate_and_nothing_with_another_one() {
    let goods = Goods::of_pieces(&[3]);
    let town = Town::open(Way::SelfMadeTls);
    let (address, pin) = town.bank_address.split_once('#').unwrap();
    assert!(address.starts_with("https://") && pin.contains("sha256="), "{}", town.bank_address);

    let ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, &goods.0[0], 1);
    assert_eq!(amount(&cleo.get(&["buy", &content, "--out", "bought"])["paid"]), 3 * PIECE_MICROS);
    assert_eq!(amount(&ada.home.get(&["redeem"])["paid"]), 3 * PIECE_MICROS);
    assert_eq!(town.books().funded, 1_000_000);

    // One digit of the fingerprint is wrong: whoever answers there is not who was meant.
    let digit = town.bank_address.find("sha256=").unwrap() + "sha256=".len();
    let other = if &town.bank_address[digit..=digit] == "0" { "1" } else { "0" };
    let forged = format!("{}{other}{}", &town.bank_address[..digit], &town.bank_address[digit + 1..]);
    let failed = town.home("dora").fails(&["wallet", "init", "--bank", &forged], exit::UNREACHABLE);
    assert_eq!(failed.money, "unmoved", "{failed:?}");
}

/// How many blocks of the README's section "Use it" are about files: bank and index, seller, buyer.
const BLOCKS: usize = 3;

/// The commands of these blocks, without their comments.
fn readme_commands() -> Vec<Vec<Vec<String>>> {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let text = fs::read_to_string(readme).unwrap();
    let (_, section) = text.split_once("## Use it").expect("a section about using it");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let blocks = section.split("```sh").skip(1).map(|block| block.split("```").next().unwrap_or_default());
    let commands = |block: &str| block.lines().filter_map(|line| line.strip_prefix("farthing ")).map(words).collect();
    blocks.take(BLOCKS).map(commands).collect()
}

/// Splits a command as a shell does, up to its comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted) = (Vec::new(), false);
    let mut word = String::new();
    for c in line.chars() {
        match c {
            '#' if !quoted => break,
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn the_commands_of_the_readme_about_files_work_as_they_are_written() {
    let blocks = readme_commands();
    assert!(blocks.len() == BLOCKS && blocks.iter().all(|block| !block.is_empty()), "{blocks:?}");
    let town = tempfile::tempdir().unwrap();
    let person = |name: &str| Home::new(town.path(), name).with_passphrase("chosen by me");
    let homes = [person("bank"), person("ada"), person("cleo")];
    let ware = Ware { name: "River recording.ogg".to_owned(), bytes: vec![7; 3 * PIECE_BYTES] };
    Goods(vec![ware.clone()]).put(&homes[1].path().join("music"));
    let mut servers = Vec::new();
    let mut addresses: Vec<(&str, String)> = Vec::new();
    for (block, home) in blocks.iter().zip(homes) {
        let home = addresses.iter().fold(home, |home, (name, address)| home.with_env(name, address));
        for command in block {
            let command: Vec<&str> =
                command.iter().map(|word| if word == "~/music" { "music" } else { word.as_str() }).collect();
            match command[..] {
                ["bank" | "index", "serve"] => {
                    // The ports of the README may be taken here.
                    let home = addresses.iter().fold(home.clone(), |home, (name, at)| home.with_env(name, at));
                    let (server, ready) = home.serve(&[&command[..], &["--listen-on", "127.0.0.1:0"]].concat());
                    servers.push(server);
                    let name = if command[0] == "bank" { "FARTHING_BANK" } else { "FARTHING_INDEX" };
                    addresses.push((name, ready["listening"].as_str().unwrap().to_owned()));
                }
                ["share", ..] => servers.push(home.serve(&command).0),
                // The index hears of a new seller soon, not at once.
                ["search", ..] => wait_for("the seller being listed", || {
                    let found = home.get(&command);
                    found["hits"].as_array().is_some_and(|hits| !hits.is_empty()).then_some(())
                }),
                _ => home.does(&command),
            }
        }
    }
    assert!(ware.is_at(&town.path().join("cleo").join(&ware.name)), "the last block buys what the one before sells");
}
