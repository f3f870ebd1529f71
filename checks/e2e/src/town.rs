//! A bank, an index, and peers around them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Books, Goods, Home, Process, Ware, wait_for};

/// What a piece costs, in micros.
pub const PIECE_MICROS: u64 = 500;
/// The same as it is typed.
const PRICE: &str = "0.0005";
/// Any free port of this machine.
const ANY_PORT: &str = "127.0.0.1:0";
/// The same as a peer writes it.
const ANY_ADDRESS: &str = "/ip4/127.0.0.1/tcp/0";
/// From here on ports are looked for that somebody comes back to: below those that the system gives
/// away by itself.
const PORTS: std::ops::Range<u16> = 18_000..30_000;

/// How people reach the bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Over plain HTTP, on this machine only.
    Plain,
    /// Over TLS with a certificate of the bank's own making, recognised by its fingerprint.
    SelfMadeTls,
}

/// A folder with everybody in it. What runs ends with it.
#[derive(Debug)]
pub struct Town {
    bank: Option<Process>,
    index: Option<Process>,
    /// The bank's home.
    pub bank_home: Home,
    index_home: Home,
    /// The bank's address as it prints it, key included.
    pub bank_address: String,
    /// The index's address.
    pub index_address: String,
    folder: Option<TempDir>,
}

/// Somebody who sells.
#[derive(Debug)]
pub struct Seller {
    /// Its home.
    pub home: Home,
    /// The process that serves.
    pub shop: Process,
}

impl Town {
    /// Opens a bank and an index.
    ///
    /// # Panics
    /// When they do not open.
    #[must_use]
    pub fn open(way: Way) -> Self {
        let folder = TempDir::with_prefix("farthing-e2e-").expect("a temporary folder");
        let (bank_home, index_home) = (Home::new(folder.path(), "bank-home"), Home::new(folder.path(), "index-home"));
        bank_home.does(&["bank", "init", "--name", "Bank of the fair", "--listen-on", ANY_PORT]);
        if way == Way::SelfMadeTls {
            let file = bank_home.path().join("bank/bank.toml");
            let text = fs::read_to_string(&file).expect("the bank's configuration");
            fs::write(&file, text.replace("mode = \"plain\"", "mode = \"self-made\""))
                .expect("the bank's configuration");
        }
        let mut town = Self {
            bank: None,
            index: None,
            bank_home,
            index_home,
            bank_address: String::new(),
            index_address: String::new(),
            folder: Some(folder),
        };
        town.open_bank();
        town.open_index();
        town
    }

    /// The folder.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("the folder is there as long as the town").path()
    }

    /// The arguments that run the bank, where it was before if it was open before.
    #[must_use]
    pub fn bank_args(&self) -> Vec<String> {
        ["bank", "serve", "--listen-on", &socket(&self.bank_address)].map(str::to_owned).to_vec()
    }

    /// Opens the bank, where it was before if it was open before.
    ///
    /// # Panics
    /// When it does not open.
    pub fn open_bank(&mut self) {
        let args = self.bank_args();
        let (bank, ready) = self.bank_home.serve(&args.iter().map(String::as_str).collect::<Vec<_>>());
        self.bank_address = listening(&ready);
        self.bank = Some(bank);
    }

    /// Kills the bank.
    pub fn kill_bank(&mut self) {
        self.bank.take();
    }

    /// Asks the bank to stop, and waits until it has.
    ///
    /// # Panics
    /// When it does not stop in order.
    pub fn stop_bank(&mut self) {
        let done = self.bank.take().expect("an open bank").stop();
        assert!(done.is_good(), "{done}");
    }

    /// The number of the bank's process.
    ///
    /// # Panics
    /// When the bank is not open.
    #[must_use]
    pub fn bank_id(&self) -> u32 {
        self.bank.as_ref().expect("an open bank").id()
    }

    /// Hands the bank's process out; it is the caller's now.
    pub fn take_bank(&mut self) -> Option<Process> {
        self.bank.take()
    }

    /// Takes the bank's process back.
    pub fn give_bank(&mut self, bank: Process) {
        self.bank = Some(bank);
    }

    /// Opens the index, where it was before if it was open before.
    ///
    /// # Panics
    /// When it does not open.
    pub fn open_index(&mut self) {
        let args = ["index", "serve", "--bank", &self.bank_address, "--listen-on", &socket(&self.index_address)];
        let (index, ready) = self.index_home.serve(&args);
        self.index_address = listening(&ready);
        self.index = Some(index);
    }

    /// Kills the index.
    pub fn kill_index(&mut self) {
        self.index.take();
    }

    /// A home that knows bank and index, with nothing in it yet.
    ///
    /// # Panics
    /// When the disk does not take it.
    #[must_use]
    pub fn home(&self, name: &str) -> Home {
        let home = Home::new(self.path(), name);
        let file = format!(
            "bank = \"{}\"\nindex = \"{}\"\nlisten = [\"{ANY_ADDRESS}\"]\nlocal_discovery = false\n",
            self.bank_address, self.index_address
        );
        fs::write(home.path().join("farthing.toml"), file).expect("a configuration file");
        home
    }

    /// A home with a wallet, and an account with so much in it.
    ///
    /// # Panics
    /// When the bank does not open one.
    #[must_use]
    pub fn person(&self, name: &str, fund: &str) -> Home {
        let home = self.home(name);
        home.does(&["wallet", "init"]);
        if fund != "0" {
            home.does(&["wallet", "fund", fund]);
        }
        home
    }

    /// Somebody new who sells these goods.
    ///
    /// # Panics
    /// When the shop does not open.
    #[must_use]
    pub fn seller(&self, name: &str, goods: &Goods) -> Seller {
        self.seller_at(name, goods, ANY_ADDRESS)
    }

    /// The same, who is reached at this address.
    ///
    /// # Panics
    /// When the shop does not open.
    #[must_use]
    pub fn seller_at(&self, name: &str, goods: &Goods, address: &str) -> Seller {
        let home = self.person(name, "0");
        let file = home.path().join("farthing.toml");
        let text = fs::read_to_string(&file).expect("the configuration file");
        fs::write(&file, text.replace(ANY_ADDRESS, address)).expect("the configuration file");
        goods.put(&home.path().join("goods"));
        let (shop, _) = home.serve(&["share", "goods", "--price", PRICE]);
        Seller { home, shop }
    }

    /// The identifier of a ware, once so many sell it.
    ///
    /// # Panics
    /// When the index does not list it.
    #[must_use]
    pub fn content(&self, who: &Home, ware: &Ware, sellers: usize) -> String {
        wait_for(&format!("{sellers} selling {}", ware.name), || {
            let found = who.get(&["search", &ware.name]);
            let hits = found["hits"].as_array().expect("hits").clone();
            let hit = hits.into_iter().find(|hit| hit["title"] == ware.name.as_str())?;
            let listed = hit["sellers"].as_array().expect("sellers").len();
            (listed >= sellers).then(|| hit["content"].as_str().expect("an identifier").to_owned())
        })
    }

    /// The bank's books, recomputed from its journal.
    #[must_use]
    pub fn books(&self) -> Books {
        Books::of(&self.bank_home)
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("everything is left in {}", folder.keep().display());
        }
    }
}

impl Seller {
    /// Kills the shop and opens it again.
    ///
    /// # Panics
    /// When it does not open.
    pub fn reopen(&mut self) {
        self.shop.kill();
        self.shop = self.home.serve(&["serve"]).0;
    }

    /// Where the goods are.
    #[must_use]
    pub fn goods(&self) -> PathBuf {
        self.home.path().join("goods")
    }
}

/// A port that is free now, and that the system gives to nobody who does not ask for it.
///
/// # Panics
/// When all are taken.
#[must_use]
pub fn quiet_port() -> u16 {
    let offset = u16::try_from(std::process::id() % u32::from(PORTS.end - PORTS.start)).unwrap_or_default();
    let ports = (PORTS.start + offset..PORTS.end).chain(PORTS);
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.into_iter().find(free).expect("a free port")
}

/// The address in what a server prints when it is ready.
fn listening(ready: &Value) -> String {
    ready["listening"].as_str().unwrap_or_else(|| panic!("no address in {ready}")).to_owned()
}

/// Host and port of an address, for `--listen-on`.
fn socket(address: &str) -> String {
    let at = address.split_once("://").map(|(_, rest)| rest).and_then(|rest| rest.split('#').next());
    at.filter(|at| !at.is_empty()).unwrap_or(ANY_PORT).to_owned()
}
