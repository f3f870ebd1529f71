//! Selling and buying by hand, command by command, as the documentation shows it.

mod common;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use common::{Served, at, json, run};

/// How often it is asked whether the index has heard of something.
const SEARCHES_MAX: usize = 500;

/// A bank, an index, and folders for people.
struct Town {
    folder: tempfile::TempDir,
    bank: Option<Served>,
    bank_address: String,
    index: Served,
}

impl Town {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bank_home = folder.path().join("b");
        run(&bank_home, &["bank", "init", "--name", "Test bank"]);
        let bank = Served::start(&bank_home, &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
        let index_home = folder.path().join("i");
        let serve = ["index", "serve", "--listen-on", "127.0.0.1:0", "--bank", bank.address()];
        let index = Served::start(&index_home, &serve);
        let bank_address = bank.address().to_owned();
        Self { folder, bank: Some(bank), bank_address, index }
    }

    fn close_bank(&mut self) {
        self.bank = None;
    }

    /// Opens it again where it was.
    fn open_bank(&mut self) {
        let place = self.bank_address.trim_start_matches("http://").split('#').next().unwrap();
        let home = self.folder.path().join("b");
        self.bank = Some(Served::start(&home, &["bank", "serve", "--listen-on", place]));
    }

    /// The home of somebody with a wallet and an account.
    fn person(&self, name: &str) -> PathBuf {
        let home = self.folder.path().join(name);
        fs::DirBuilder::new().mode(0o700).create(&home).unwrap();
        let listen = "/ip4/127.0.0.1/tcp/0";
        let file = format!(
            "bank = \"{}\"\nindex = \"{}\"\nlisten = [\"{listen}\"]\nlocal_discovery = false\n",
            self.bank_address,
            self.index.address()
        );
        fs::write(home.join("farthing.toml"), file).unwrap();
        run(&home, &["wallet", "init"]);
        home
    }

    /// Searches until something is found.
    fn search(&self, home: &std::path::Path, words: &str) -> serde_json::Value {
        self.search_until(home, words, |found| found["hits"].as_array().is_some_and(|hits| !hits.is_empty()))
    }

    /// Searches until what is found is as it should be.
    fn search_until(
        &self,
        home: &std::path::Path,
        words: &str,
        right: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let mut found = (0..SEARCHES_MAX).map(|_| run(home, &["search", words])).filter(right);
        found.next().expect("the index hears of what is sold")
    }
}

#[test]
fn a_seller_sells_a_buyer_buys_and_the_earnings_are_redeemed_while_the_shop_is_open() {
    let town = Town::open();
    let (seller, buyer) = (town.person("seller"), town.person("buyer"));
    let goods = town.folder.path().join("goods");
    fs::create_dir(&goods).unwrap();
    fs::write(goods.join("A long story.txt"), "once upon a time ".repeat(40_000)).unwrap();
    fs::write(goods.join("A gift.txt"), "for nothing").unwrap();
    let funded = run(&buyer, &["wallet", "fund", "2"]);
    assert_eq!(funded["ready"], "0.50 XTS", "two chains are open");

    let shop = Served::start(&seller, &["share", goods.to_str().unwrap(), "--price", "0.0005"]);
    assert_eq!(shop.ready["selling"], 2);
    let found = town.search(&buyer, "story");
    assert_eq!(found["hits"][0]["total"], "0.0015 XTS", "three pieces of 256 KiB");

    let bought_to = town.folder.path().join("bought");
    let to = bought_to.to_str().unwrap();
    at(&buyer).args(["buy", "1", "--out", to, "--max", "0.0001"]).assert().code(6);
    let bought = run(&buyer, &["buy", "1", "--out", to]);
    assert_eq!((&bought["paid"], &bought["sellers"][0]["payments"]), (&"0.0015 XTS".into(), &3.into()));
    let copy = fs::read(bought["file"].as_str().unwrap()).unwrap();
    assert_eq!(copy, fs::read(goods.join("A long story.txt")).unwrap());

    // The wallet is open in the shop's process, which answers.
    assert_eq!(run(&seller, &["earnings"])["unredeemed"], "0.0015 XTS");
    assert_eq!(run(&seller, &["redeem"])["paid"], "0.0015 XTS");
    assert_eq!(run(&seller, &["wallet", "show"])["balance"], "0.0015 XTS");
    let history = run(&seller, &["history"]);
    let happened = |what: &str| history["lines"].as_array().unwrap().iter().filter(|line| line["what"] == what).count();
    assert_eq!((happened("sold"), happened("redeemed")), (1, 1), "{history}");
    assert_eq!(run(&seller, &["doctor"])["ok"], true);

    let receipts = town.folder.path().join("receipts.json");
    assert_eq!(run(&buyer, &["receipts", "export", receipts.to_str().unwrap()])["receipts"], 1);
    assert!(fs::read_to_string(receipts).unwrap().contains("0.0015 XTS"));
    drop(shop);
    assert_eq!(run(&seller, &["share", "--list"])["shares"].as_array().unwrap().len(), 1, "remembered");
    let gone = run(&buyer, &["search", "story"]);
    assert_eq!(gone["hits"].as_array().unwrap().len(), 0, "a closed shop is listed no more");
}

#[test]
fn buyer_gets_the_same_piece_of_another_file_only_for_money() {
    let town = Town::open();
    let (seller, buyer) = (town.person("seller"), town.person("buyer"));
    let goods = town.folder.path().join("goods");
    fs::create_dir(&goods).unwrap();
    for name in ["one", "two", "three"] {
        fs::write(goods.join(format!("part {name}.txt")), name).unwrap();
    }
    run(&buyer, &["wallet", "fund", "1"]);
    let _shop = Served::start(&seller, &["share", goods.to_str().unwrap(), "--price", "0.001"]);
    let bought_to = town.folder.path().join("bought");
    for name in ["one", "two", "three"] {
        town.search(&buyer, name);
        let bought = run(&buyer, &["buy", "1", "--out", bought_to.to_str().unwrap()]);
        assert_eq!(bought["paid"], "0.001 XTS", "{name}");
    }
    assert_eq!(run(&seller, &["earnings"])["unredeemed"], "0.003 XTS");
}

#[test]
fn a_wallet_begins_again_from_its_backup_and_from_its_words_and_pays_after_reconciling() {
    let town = Town::open();
    let person = town.person("person");
    run(&person, &["wallet", "fund", "3"]);
    let peer = run(&person, &["wallet", "show"])["peer"].clone();
    let words = run(&person, &["wallet", "words"])["words"].as_str().unwrap().to_owned();
    let backup = town.folder.path().join("backup");
    run(&person, &["wallet", "backup", backup.to_str().unwrap()]);

    let words_file = town.folder.path().join("words.txt");
    fs::write(&words_file, words).unwrap();
    let by_words = ["wallet", "restore", "--bank", &town.bank_address, "--words-file", words_file.to_str().unwrap()];
    let by_backup = ["wallet", "restore", backup.to_str().unwrap()];
    for (name, restore) in [("from-words", &by_words[..]), ("from-backup", &by_backup[..])] {
        let home = town.folder.path().join(name);
        assert_eq!(run(&home, restore)["peer"], peer);
        let before = run(&home, &["wallet", "show"]);
        assert_eq!((&before["restored"], &before["ready"]), (&true.into(), &"0.00 XTS".into()));
        run(&home, &["wallet", "reconcile"]);
        assert_eq!(run(&home, &["wallet", "show"])["restored"], false);
    }
}

#[test]
fn two_operators_let_money_in_and_one_alone_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("bank-home");
    run(&home, &["bank", "init", "--name", "Real bank"]);
    let bank = Served::start(&home, &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
    let address = bank.address().to_owned();
    let [anna, bert, customer] = ["anna", "bert", "customer"].map(|name| folder.path().join(name));
    let [a, b, _] = [&anna, &bert, &customer].map(|home| {
        let made = run(home, &["wallet", "init", "--bank", &address]);
        made["peer"].as_str().unwrap().to_owned()
    });
    drop(bank);
    // From now on money comes in by their word.
    let file = home.join("bank/bank.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("rail = \"play\"", "rail = \"operators\"");
    let operators = format!("operators = [\"{a}\", \"{b}\"]");
    fs::write(&file, text.replace("operators = []", &operators)).unwrap();
    let port = address.trim_start_matches("http://").split('#').next().unwrap();
    let _bank = Served::start(&home, &["bank", "serve", "--listen-on", port]);

    let waiting = run(&customer, &["wallet", "fund", "5", "--note", "cash"])["waiting"].as_u64().unwrap();
    let number = waiting.to_string();
    assert_eq!(run(&anna, &["bank", "pending"])["pending"][0]["note"], "cash");
    at(&customer).args(["bank", "approve", &number]).assert().code(3);
    assert_eq!(run(&anna, &["bank", "approve", &number])["decided"], "one-of-two");
    at(&anna).args(["bank", "approve", &number]).assert().code(3);
    assert_eq!(run(&customer, &["wallet", "show"])["balance"], "0.00 XTS");
    assert_eq!(run(&bert, &["bank", "approve", &number])["decided"], "carried-out");
    assert_eq!(run(&customer, &["wallet", "show"])["balance"], "5.00 XTS");
    let peer = run(&customer, &["wallet", "show"])["peer"].as_str().unwrap().to_owned();
    run(&anna, &["bank", "suspend", &peer]);
    at(&customer).args(["wallet", "payout", "1", "--to", "me"]).assert().code(3);
    assert_eq!(run(&customer, &["wallet", "show"])["suspended"], true);
}

#[test]
fn owner_is_asked_about_much_and_nothing_exceeds_the_policy() {
    let town = Town::open();
    let (seller, buyer) = (town.person("seller"), town.person("buyer"));
    let goods = town.folder.path().join("goods");
    fs::create_dir(&goods).unwrap();
    fs::write(goods.join("treasure.txt"), "gold").unwrap();
    run(&buyer, &["wallet", "fund", "1"]);
    let _shop = Served::start(&seller, &["share", goods.to_str().unwrap(), "--price", "0.1"]);
    town.search(&buyer, "treasure");
    let bought_to = town.folder.path().join("bought");
    let buy = |extra: &[&str]| {
        let mut command = common::farthing();
        command.arg("--home").arg(&buyer).args(["buy", "1", "--out"]).arg(&bought_to).args(extra);
        command
    };
    run(&buyer, &["wallet", "policy", "--approve-above", "0.05"]);
    buy(&["--max", "0.2"]).assert().code(2);
    run(&buyer, &["wallet", "policy", "--per-request", "0.09"]);
    buy(&["--yes"]).assert().code(6);
    assert!(!bought_to.join("treasure.txt").exists());
    run(&buyer, &["wallet", "policy", "--per-request", "none", "--approve-above", "none"]);
    buy(&["--max", "0.2"]).assert().success();
    assert_eq!(fs::read_to_string(bought_to.join("treasure.txt")).unwrap(), "gold");
}

#[test]
fn addresses_given_to_a_new_wallet_need_not_be_given_again() {
    let town = Town::open();
    let home = town.folder.path().join("home");
    run(&home, &["wallet", "init", "--bank", &town.bank_address, "--index", town.index.address(), "--fund", "1"]);
    assert_eq!(run(&home, &["wallet", "show"])["ready"], "0.50 XTS");
    assert_eq!(run(&home, &["search", "anything"])["hits"].as_array().unwrap().len(), 0);
}

#[test]
fn the_audit_of_a_bank_finds_every_balance_again() {
    let town = Town::open();
    let person = town.person("person");
    run(&person, &["wallet", "fund", "2.5"]);
    let bank = town.folder.path().join("b");
    let audit = run(&bank, &["bank", "audit"]);
    assert_eq!((&audit["clean"], &audit["summary"]["totals"]["XTS"]["world"]), (&true.into(), &(-2_500_000).into()));
    let liabilities = run(&bank, &["bank", "liabilities", "--bank", &town.bank_address]);
    assert_eq!(liabilities["conserved"], true);
    let accounts = run(&bank, &["bank", "accounts"]);
    let chains = accounts["accounts"].as_array().unwrap().iter().filter(|account| account["kind"] == "chain");
    assert_eq!(chains.count(), 2, "{accounts}");
    let copy = town.folder.path().join("copy");
    run(&bank, &["bank", "backup", copy.to_str().unwrap()]);
    assert!(copy.join("bank.db").exists());
}

#[test]
fn money_moves_only_if_somebody_agreed() {
    let town = Town::open();
    let person = town.person("person");
    let asked = common::farthing().arg("--home").arg(&person).args(["wallet", "fund", "1"]).output().unwrap();
    assert_eq!(asked.status.code(), Some(2), "nobody is there to be asked");
    let dry = json(&at(&person).args(["wallet", "fund", "1", "--dry-run"]).output().unwrap());
    assert_eq!(dry["dry_run"], true);
    assert_eq!(run(&person, &["wallet", "show"])["balance"], "0.00 XTS");
}

#[test]
fn a_running_seller_takes_over_new_folders_new_prices_and_removals() {
    let town = Town::open();
    let (seller, buyer) = (town.person("seller"), town.person("buyer"));
    let [songs, books] = ["songs", "books"].map(|name| {
        let folder = town.folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(format!("Of {name}.txt")), name).unwrap();
        folder.to_str().unwrap().to_owned()
    });
    let _shop = Served::start(&seller, &["share", &songs, "--price", "0.001"]);
    at(&seller).args(["serve", "--stop-with-stdin"]).assert().code(7);
    assert_eq!(run(&seller, &["share", &books, "--price", "0.002"])["taken_over"], true);
    assert_eq!(town.search(&buyer, "books")["hits"][0]["total"], "0.002 XTS");
    assert_eq!(run(&seller, &["share", &books, "--price", "0.003", "--no-serve"])["taken_over"], true);
    town.search_until(&buyer, "books", |found| found["hits"][0]["total"] == "0.003 XTS");
    assert_eq!(run(&seller, &["share", &songs, "--remove"])["taken_over"], true);
    town.search_until(&buyer, "songs", |found| found["hits"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn a_limit_below_the_price_buys_nothing_unless_a_part_is_welcome_and_the_rest_is_bought_later() {
    let town = Town::open();
    let (seller, buyer) = (town.person("seller"), town.person("buyer"));
    let goods = town.folder.path().join("goods");
    fs::create_dir(&goods).unwrap();
    fs::write(goods.join("A saga.txt"), "once upon a time ".repeat(40_000)).unwrap();
    run(&buyer, &["wallet", "fund", "1"]);
    let _shop = Served::start(&seller, &["share", goods.to_str().unwrap(), "--price", "0.0005"]);
    town.search(&buyer, "saga");
    let to = town.folder.path().join("bought");
    let buy =
        |extra: &[&str]| at(&buyer).args(["buy", "1", "--out", to.to_str().unwrap()]).args(extra).output().unwrap();
    let paid = |output: &std::process::Output| {
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), told["paid"].clone())
    };
    let refused = buy(&["--max", "0.001"]);
    assert_eq!(refused.status.code(), Some(6));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("0.0015 XTS") && said.contains("0.001 XTS"), "{said}");
    assert_eq!(run(&buyer, &["wallet", "show"])["spent"], "0.00 XTS");
    assert_eq!(paid(&buy(&["--max", "0.001", "--partial"])), (Some(6), "0.001 XTS".into()));
    // One piece is missing, and one is paid for.
    assert_eq!(paid(&buy(&["--max", "0.0005"])), (Some(0), "0.0005 XTS".into()));
}

#[test]
fn a_file_is_bought_by_drafts_while_the_bank_is_away_and_they_are_deposited_later() {
    let mut town = Town::open();
    let (seller, buyer) = (town.person("s"), town.person("k"));
    run(&buyer, &["wallet", "fund", "5"]);
    let goods = town.folder.path().join("goods");
    fs::create_dir(&goods).unwrap();
    let song: Vec<u8> = (0..700_000_u32).map(|at| (at / 7) as u8).collect();
    fs::write(goods.join("river song.ogg"), &song).unwrap();
    let shop = Served::start(&seller, &["share", goods.to_str().unwrap(), "--price", "0.01"]);
    let found = town.search(&buyer, "river");
    let content = found["hits"][0]["content"].as_str().unwrap().to_owned();
    town.close_bank();
    let down = town.folder.path().join("down");
    let bought = run(&buyer, &["buy", &content, "--scheme", "draft", "--max", "1", "--out", down.to_str().unwrap()]);
    assert_eq!(fs::read(down.join("river song.ogg")).unwrap(), song);
    assert_eq!((bought["paid"].as_str(), bought["sellers"][0]["payments"].as_u64()), (Some("0.03 XTS"), Some(2)));
    drop(shop);
    town.open_bank();
    let deposited = run(&seller, &["drafts", "deposit"]);
    assert_eq!((deposited["paid"].as_str(), deposited["drafts"].as_u64()), (Some("0.03 XTS"), Some(2)));
}
