//! Three banks in a row, A, B and C: each knows its neighbours. Alice banks at A, Carol at C. All of
//! them are the real program; only cheques are carried to a bank by hand, as a library does it.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use farthing_bank::client::BankClient;
use farthing_core::id::OrderId;
use farthing_core::vault::Protection;
use farthing_draft::interbank::endorse;
use farthing_draft::interbank::messages::{Answer, Fate, Presentation};
use farthing_draft::messages::Shown;
use farthing_driver::{Clock, SystemClock};
use farthing_peer::wallet::{Handover, Options, Purchase, Wallet};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::town::{code, in_words, said};
use super::{Served, at, run};

/// The banks.
pub const BANKS: [&str; 3] = ["a", "b", "c"];
/// How long anything between banks may take; a silent bank is asked again after 10, 20 and 40 seconds.
const PATIENCE: Duration = Duration::from_secs(150);
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks until there is something to see.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A bank, its two operators, and where it is.
struct House {
    served: Option<Served>,
    place: String,
    url: String,
    key: String,
}

/// The country.
pub struct Country {
    dir: tempfile::TempDir,
    runtime: Runtime,
    houses: Vec<House>,
}

impl Country {
    /// Banks that do not know each other yet, Alice with ten XTS and Carol with nothing.
    pub fn new() -> Self {
        let country = Self::of(BANKS.len());
        run(&country.at("carol"), &["--bank", country.url(2), "wallet", "init"]);
        country
    }

    /// The first so many banks, and Alice with ten XTS.
    pub fn of(banks: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut country = Self { dir, runtime: Runtime::new().unwrap(), houses: Vec::new() };
        for name in &BANKS[..banks] {
            country.found(name);
        }
        run(&country.at("alice"), &["--bank", country.url(0), "wallet", "init", "--fund", "10"]);
        country
    }

    /// Makes a bank as the documentation says: operators open their wallets first, then are named.
    fn found(&mut self, name: &str) {
        let home = self.at(name);
        run(&home, &["bank", "init", "--name", &format!("Bank {name}")]);
        let place = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let served = serve(&home, &place);
        let url = served.address().to_owned();
        let operators = ["1", "2"].map(|number| {
            let home = self.at(&format!("{name}{number}"));
            run(&home, &["--bank", &url, "wallet", "init"]);
            run(&home, &["wallet", "show"])["peer"].to_string()
        });
        drop(served);
        let file = home.join("bank").join("bank.toml");
        let config = std::fs::read_to_string(&file).unwrap();
        let named = config.replace("operators = []", &format!("operators = [{}]", operators.join(", ")));
        assert_ne!(named, config);
        std::fs::write(&file, named).unwrap();
        let key = url.rsplit_once("bank=").unwrap().1.to_owned();
        self.houses.push(House { served: Some(serve(&home, &place)), place, url, key });
    }

    /// The folder of somebody.
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A bank's address, key included.
    pub fn url(&self, bank: usize) -> &str {
        &self.houses[bank].url
    }

    /// A bank's key.
    pub fn key(&self, bank: usize) -> &str {
        &self.houses[bank].key
    }

    /// Pulls a bank's plug.
    pub fn kill(&mut self, bank: usize) {
        self.houses[bank].served.take().unwrap().kill();
    }

    /// Starts it again where it was.
    pub fn start(&mut self, bank: usize) {
        let home = self.at(BANKS[bank]);
        let house = &mut self.houses[bank];
        house.served = Some(serve(&home, &house.place));
    }

    /// What an operator of a bank, 1 or 2, is told in words, and the code it ends with.
    pub fn told(&self, bank: usize, operator: u8, args: &[&str]) -> (Option<i32>, String) {
        let output = in_words(&self.at(&format!("{}{operator}", BANKS[bank])), &[&["bank"], args].concat());
        let words = String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output);
        (code(&output), words)
    }

    /// The words of a command that succeeds.
    pub fn done(&self, bank: usize, operator: u8, args: &[&str]) -> String {
        let (code, words) = self.told(bank, operator, args);
        assert_eq!(code, Some(0), "{args:?}: {words}");
        words
    }

    /// The same as one object.
    pub fn asked(&self, bank: usize, args: &[&str]) -> Value {
        run(&self.at(&format!("{}1", BANKS[bank])), &[&["bank"], args].concat())
    }

    /// How a bank stands with another.
    pub fn standing(&self, bank: usize, with: usize) -> Value {
        let list = self.asked(bank, &["peers", "list"]);
        let mut of = list["peers"].as_array().unwrap().iter().filter(|peer| peer["bank"] == self.key(with));
        of.next().unwrap_or_else(|| panic!("{list}")).clone()
    }

    /// Accounts between neighbours, and the way from C to A.
    pub fn open_accounts(&self) {
        for (bank, other) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
            self.done(bank, 1, &["peers", "add", self.url(other), "--limit", "5 XTS"]);
        }
        self.done(2, 1, &["peers", "route", self.url(0), "--via", self.key(1)]);
    }

    fn wallet(&self, name: &str) -> Wallet {
        let home = self.at(name).join("wallet");
        self.runtime.block_on(Wallet::open(&home, &Protection::None, Options::default())).unwrap()
    }

    /// A draft by Alice to Carol, endorsed for deposit at Carol's bank.
    pub fn cheque(&self, amount: &str, order: u8) -> Presentation {
        let carol = self.wallet("carol");
        let purchase = Purchase {
            payee: carol.me(),
            seal: None,
            amount: amount.parse().unwrap(),
            order: OrderId([order; 32]),
            part: 0,
            description: "apples".to_owned(),
            alias: None,
            life: None,
        };
        let handed = self.runtime.block_on(self.wallet("alice").pay_draft(&purchase)).unwrap();
        let Handover::Bare(payment) = handed else { panic!("{handed:?}") };
        let Shown::Whole(certificate) = &payment.certificate else { panic!("the certificate is not there") };
        let serial = certificate.peek().unwrap().serial;
        let network = payment.draft.peek().unwrap().network;
        let draft = payment.draft.verify(network).unwrap();
        endorse(carol.key(), &draft, serial, self.key(2).parse().unwrap(), SystemClock.now()).unwrap()
    }

    /// Carol presents a cheque at her bank.
    pub fn present(&self, cheque: &Presentation) -> Answer {
        let (carol, url) = (self.wallet("carol"), self.url(2).parse().unwrap());
        self.runtime.block_on(async {
            let bank = BankClient::connect(url).await.unwrap();
            let id = BankClient::new_id(SystemClock.now()).unwrap();
            bank.present_cheque(carol.key(), id, cheque).await.unwrap()
        })
    }

    /// What became of a cheque in the end.
    pub fn fate(&self, cheque: &Presentation) -> Fate {
        wait_for("the cheque's end", || match self.present(cheque) {
            Answer::Final(end) => Some(end.drawee.peek().unwrap().fate),
            Answer::Pending { .. } => None,
        })
    }

    /// What somebody's account holds.
    pub fn balance(&self, name: &str) -> u64 {
        super::town::micros(&run(&self.at(name), &["wallet", "show"]), "balance")
    }

    /// Every bank's books add up, and what two banks owe each other adds up to nothing.
    pub fn check_books(&self) {
        for (bank, name) in BANKS.into_iter().enumerate().take(self.houses.len()) {
            let audit = at(&self.at(name)).args(["bank", "audit"]).output().unwrap();
            assert_eq!(super::json(&audit)["clean"], true);
            let report = self.asked(bank, &["liabilities"]);
            assert_eq!(report["conserved"], true, "{report}");
        }
        for (bank, other) in [(0, 1), (1, 2)].into_iter().take(self.houses.len() - 1) {
            let (ours, theirs) = (self.standing(bank, other), self.standing(other, bank));
            let (owes, owed) = (ours["owes"].as_str().unwrap(), theirs["owes"].as_str().unwrap());
            let opposite = owes.strip_prefix('-') == Some(owed) || owed.strip_prefix('-') == Some(owes);
            assert!(opposite || (owes == owed && owes == "0.00 XTS"), "{owes} and {owed}");
            assert_eq!((&ours["under_way"], &theirs["under_way"]), (&"0.00 XTS".into(), &"0.00 XTS".into()));
        }
    }
}

fn serve(home: &std::path::Path, place: &str) -> Served {
    Served::start(home, &["bank", "serve", "--listen-on", place])
}
