//! What the bank's journal and the receipts of its customers prove.

use std::collections::BTreeMap;

use farthing_core::amount::Amount;
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::order::Receipt;
use farthing_core::sign::Signed;
use farthing_core::wire;
use serde_json::Value;

use crate::Home;

/// The bank's books at one moment, in micros.
#[derive(Debug, Clone)]
pub struct Books {
    /// What came in from outside and did not leave again.
    pub funded: u64,
    /// What the bank owes to anybody.
    pub owed: u64,
    /// Accounts by owner and kind.
    accounts: BTreeMap<(String, String), u64>,
    /// Owners whose accounts are suspended.
    pub suspended: Vec<String>,
}

/// A receipt whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Who was paid, and says so.
    pub payee: PeerId,
    /// The chain.
    pub chain: [u8; 32],
    /// The first and the last unit paid.
    pub units: (u32, u32),
    /// How much, in micros.
    pub micros: u64,
}

impl Books {
    /// Has the bank in `home` recompute every balance from its journal.
    ///
    /// # Panics
    /// When the books are not clean, or money was made or lost.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        let audit = home.get(&["bank", "audit"]);
        assert_eq!(audit["clean"], true, "{audit:#}");
        let totals = &audit["summary"]["totals"]["XTS"];
        let sum = |kind: &str| totals[kind].as_i64().unwrap_or_else(|| panic!("no sum of {kind} in {audit:#}"));
        let owed = ["customer", "backing", "deposit", "fees", "suspense"].map(sum).iter().sum::<i64>();
        let funded = -sum("world");
        assert_eq!(owed, funded, "what is there is not what came in: {audit:#}");
        let mut accounts = BTreeMap::new();
        let mut suspended = Vec::new();
        for account in home.get(&["bank", "accounts"])["accounts"].as_array().expect("accounts") {
            let Some(owner) = account["owner"].as_str() else { continue };
            if account["suspended"] == true {
                suspended.push(owner.to_owned());
            }
            let key = (owner.to_owned(), account["kind"].as_str().expect("a kind").to_owned());
            *accounts.entry(key).or_default() += amount(&account["balance"]);
        }
        let positive = |sum: i64| u64::try_from(sum).expect("a sum above zero");
        Self { funded: positive(funded), owed: positive(owed), accounts, suspended }
    }

    /// What somebody has in an account.
    #[must_use]
    pub fn account(&self, owner: &str) -> u64 {
        self.of_kind(owner, "customer")
    }

    /// What somebody has at the bank in all: account, open chains, deposit.
    #[must_use]
    pub fn all(&self, owner: &str) -> u64 {
        ["customer", "chain", "deposit"].iter().map(|kind| self.of_kind(owner, kind)).sum()
    }

    fn of_kind(&self, owner: &str, kind: &str) -> u64 {
        self.accounts.get(&(owner.to_owned(), kind.to_owned())).copied().unwrap_or_default()
    }
}

/// An amount as the binary prints it, in micros.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn amount(shown: &Value) -> u64 {
    let parsed = shown.as_str().and_then(|text| text.parse::<Amount>().ok());
    parsed.unwrap_or_else(|| panic!("{shown} is no amount")).as_micros()
}

/// All receipts of a wallet, as `receipts export` writes them, each checked.
///
/// # Panics
/// When one does not hold, or says something else than the line about it.
#[must_use]
pub fn proofs(home: &Home) -> Vec<Proof> {
    let file = home.path().join("receipts.json");
    home.does(&["receipts", "export", file.to_str().expect("a path")]);
    let text = std::fs::read_to_string(&file).expect("the receipts");
    let exported: Value = serde_json::from_str(&text).expect("receipts as JSON");
    let network: NetworkId = exported["network"].as_str().and_then(|id| id.parse().ok()).expect("a network");
    let lines = exported["receipts"].as_array().expect("receipts").iter();
    lines.map(|line| proof(network, line)).collect()
}

fn proof(network: NetworkId, line: &Value) -> Proof {
    let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("no {key} in {line}"));
    let payee: PeerId = text("payee").parse().expect("a payee");
    let bytes = hex::decode(text("signed")).expect("hexadecimal");
    let signed: Signed<Receipt> = wire::decode(&bytes).expect("a signed receipt");
    let receipt = signed.verify_by(network, payee).unwrap_or_else(|why| panic!("{why}: {line}"));
    let body = receipt.body();
    assert_eq!(body.order.to_string(), text("order"), "the line names another order");
    assert_eq!(body.amount.as_micros(), amount(&line["amount"]), "the line names another amount");
    let units = (body.payment.from, body.payment.through);
    Proof { payee, chain: body.payment.instrument, units, micros: body.amount.as_micros() }
}
