//! The market place: bank, index, two sellers, one buyer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farthing_bank::client::{BankAddress, BankClient};
use farthing_core::amount::{Amount, Currency};
use farthing_core::seed::Seed;
use farthing_core::vault::Protection;
use farthing_net::http::endpoint::Endpoint;
use farthing_peer::wallet::{BankPin, Options, Settings as WalletSettings, Wallet};
use zeroize::Zeroizing;

use super::children::{self, Served};
use super::goods::Goods;
use super::print::Story;
use crate::config::Settings;
use crate::fail::{Context, Failure};
use crate::home::private_dir;
use crate::peer::Request;
use crate::peer::attendant::Attendant;
use crate::peer::selling::OpenShop;
use crate::shares::{PricePer, Share, Shares};

/// What a piece costs, in micros.
pub(super) const PIECE_MICROS: u64 = 500;
/// What the buyer puts into its account, in micros.
const FUND_MICROS: u64 = 5_000_000;
/// What a chain of the buyer's is worth, in micros: 1,000 payments.
const CHAIN_MICROS: u64 = 1_000 * PIECE_MICROS;
/// Where peers listen: on this machine only.
const LISTEN: &str = "/ip4/127.0.0.1/tcp/0";
/// How long taking stock may take.
const STOCK_TIME: Duration = Duration::from_secs(60);

/// Everybody.
pub(super) struct Market {
    /// The bank, while it runs.
    pub(super) bank: Option<Served>,
    /// Its home folder.
    pub(super) bank_home: PathBuf,
    /// What it says of itself.
    pub(super) client: BankClient,
    /// The index.
    pub(super) index: Served,
    /// Ada and Ben.
    pub(super) sellers: Vec<Seller>,
    /// Cleo.
    pub(super) buyer: Buyer,
}

/// Somebody who sells.
pub(super) struct Seller {
    /// A name for people.
    pub(super) name: &'static str,
    /// Its home folder.
    pub(super) home: PathBuf,
    /// Its shop, wallet included.
    pub(super) shop: OpenShop,
}

/// Somebody who buys.
pub(super) struct Buyer {
    /// A name for people.
    pub(super) name: &'static str,
    /// Its home folder.
    pub(super) home: PathBuf,
    /// Its wallet.
    pub(super) attendant: Attendant,
}

impl Market {
    /// Opens bank and index, and wallets and accounts for everybody.
    pub(super) async fn open(folder: &Path, story: &Story) -> Result<Self, Failure> {
        let bank_home = folder.join("bank-home");
        private_dir(&bank_home)?;
        children::run(&bank_home, &["bank", "init", "--name", "Demo bank"]).await?;
        let bank = Served::start(&bank_home, &["bank", "serve", "--listen-on", "127.0.0.1:0"]).await?;
        let address: BankAddress = bank.address()?.parse().map_err(Failure::other)?;
        story.step(format_args!("The bank opens at {} (process {})", address.endpoint(), bank.pid()));
        let index_home = folder.join("index-home");
        private_dir(&index_home)?;
        let at = address.to_string();
        let index =
            Served::start(&index_home, &["index", "serve", "--listen-on", "127.0.0.1:0", "--bank", &at]).await?;
        story.step(format_args!(
            "The index, where files are found, opens at {} (process {})",
            index.address()?,
            index.pid()
        ));

        let client = BankClient::connect(address.clone()).await?;
        let mut sellers = Vec::new();
        for name in ["Ada", "Ben"] {
            let (settings, wallet) = person(folder, name, &address, &index, &client).await?;
            // Its shop opens later, with something in it.
            let shop = OpenShop::open(wallet, &settings, &shares(&settings.home)?)?;
            shop.attendant.wallet().open_account(&client).await?;
            sellers.push(Seller { name, home: settings.home.clone(), shop });
        }
        let (settings, wallet) = person(folder, "Cleo", &address, &index, &client).await?;
        let home = settings.home.clone();
        let attendant = Attendant::new(wallet, settings);
        attendant.wallet().open_account(&client).await?;
        story.step("Ada, Ben and Cleo open wallets, and accounts at the bank");
        let market = Self {
            bank: Some(bank),
            bank_home,
            client,
            index,
            sellers,
            buyer: Buyer { name: "Cleo", home, attendant },
        };
        market.fund(story).await?;
        Ok(market)
    }

    /// Cleo gets play money and opens chains with it.
    async fn fund(&self, story: &Story) -> Result<(), Failure> {
        let amount = Currency::XTS.micros(FUND_MICROS).map_err(Failure::other)?;
        let (progress, _) = tokio::sync::mpsc::channel(1);
        let note = "play money".to_owned();
        self.buyer.attendant.carry_out(Request::Fund { amount, note }, progress).await?;
        let ready = self.buyer.attendant.wallet().ready().await?;
        story.step(format_args!("Cleo puts {amount} into her account and opens two chains of payments worth {ready}"));
        story.more("With chains open, she can pay anybody, whether the bank is there or not");
        Ok(())
    }

    /// Waits until both shops have taken stock and told the index.
    pub(super) async fn share(&mut self, goods: &Goods, story: &Story) -> Result<(), Failure> {
        for seller in &mut self.sellers {
            let stocked = seller.shop.files.wait_for(|shelf| !shelf.is_empty());
            let stocked = tokio::time::timeout(STOCK_TIME, stocked).await;
            stocked.or_fail("taking stock took too long")?.or_fail("a shop has closed")?;
        }
        story.step(format_args!(
            "Ada and Ben each sell the same {}, at {} for a piece of 256 KiB",
            crate::show::count(goods.files.len() as u64, "file"),
            price()?
        ));
        Ok(())
    }

    /// The index's address.
    pub(super) fn index_endpoint(&self) -> Result<Endpoint, Failure> {
        self.index.address()?.parse().map_err(Failure::other)
    }

    /// Everybody goes home, in order.
    pub(super) async fn close(self) -> Result<(), Failure> {
        for seller in self.sellers {
            seller.shop.close().await?;
        }
        self.buyer.attendant.wallet().close().await;
        self.index.stop().await?;
        match self.bank {
            Some(bank) => bank.stop().await,
            None => Ok(()),
        }
    }
}

/// What a piece costs.
pub(super) fn price() -> Result<Amount, Failure> {
    Currency::XTS.micros(PIECE_MICROS).map_err(Failure::other)
}

/// A home with settings and a wallet.
async fn person(
    folder: &Path,
    name: &str,
    bank: &BankAddress,
    index: &Served,
    client: &BankClient,
) -> Result<(Settings, Wallet), Failure> {
    let home = folder.join(name.to_lowercase());
    // The goods are there already.
    std::fs::create_dir_all(&home)?;
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let file = format!(
        "bank = \"{bank}\"\nindex = \"{}\"\nlisten = [\"{LISTEN}\"]\nlocal_discovery = false\n",
        index.address()?
    );
    std::fs::write(home.join(crate::config::CONFIG_FILE), file)?;
    let settings = Settings::of_home(&home)?;
    let mut entropy = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *entropy).or_fail("the operating system gave no randomness")?;
    let mut wanted = WalletSettings::with_bank(BankPin::of(client));
    // A payment is one hash: units as large as the price of a piece.
    wanted.chains.unit_micros = PIECE_MICROS;
    wanted.chains.value_micros = CHAIN_MICROS;
    let seed = Seed::from_entropy(*entropy);
    let wallet = Wallet::create(&settings.wallet_home(), &seed, &Protection::None, &wanted, Options::default()).await?;
    Ok((settings, wallet))
}

/// What a seller sells, remembered in its home as `farthing share` does.
fn shares(home: &Path) -> Result<Vec<Share>, Failure> {
    let mut shares = Shares::default();
    shares.add(Share { folder: home.join("goods"), price: price()?, per: PricePer::Piece })?;
    shares.write(home)?;
    Ok(shares.all)
}

impl Seller {
    /// The wallet.
    pub(super) fn wallet(&self) -> &Wallet {
        self.shop.attendant.wallet()
    }

    /// The attendant, to ask.
    pub(super) fn attendant(&self) -> &Arc<Attendant> {
        &self.shop.attendant
    }
}
