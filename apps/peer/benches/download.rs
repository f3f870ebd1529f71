//! A paid download over loopback against the same download at price zero, in one run.
//!
//! Real wallets, shops and nodes; one seller, one buyer, pieces of 256 KiB. The price of being paid
//! is the ratio of the medians. Then the memory of the whole process, buyer included, while a shop
//! shares ten thousand files and a thousand visits are open.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farthing_core::amount::Currency;
use farthing_core::id::{NetworkId, RequestId};
use farthing_core::meter::{Counts, Op};
use farthing_core::seed::Seed;
use farthing_core::sign::SecretKey;
use farthing_core::time::Span;
use farthing_core::vault::Protection;
use farthing_core::wire;
use farthing_driver::{Clock, SystemClock};
use farthing_net::content::Manifest;
use farthing_net::peer::{Node, NodeConfig, PeerLimits};
use farthing_netpay::messages::{OpenChain, Touchstone};
use farthing_peer::buyer::{Buyer, Outcome, Purchase, Seller};
use farthing_peer::shop::{Folder, Per, Price, Shop, ShopConfig};
use farthing_peer::talk::Deadlines;
use farthing_peer::talk::buying::Guest;
use farthing_peer::wallet::{BankPin, Desk, DeskError, Options, Settings, Wallet};
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The goal for paid against free.
const GOAL: f64 = 0.80;
const ROUNDS: usize = 7;
/// The goal for memory, in MiB.
const MEMORY_GOAL: u64 = 200;
const CROWD_FILES: usize = 10_000;
const CROWD_VISITS: usize = 1_000;
const FILE_MIB: usize = 64;
const PRICE_MICROS: u64 = 100;
const NETWORK: NetworkId = NetworkId([7; 16]);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Backs every chain it is asked for.
struct Bank(SecretKey);

impl Desk for Bank {
    fn ask<'a>(
        &'a self,
        _: &'a SecretKey,
        _: RequestId,
        _: u16,
        message: Vec<u8>,
    ) -> BoxFuture<'a, std::result::Result<Vec<u8>, DeskError>> {
        Box::pin(async move {
            let asked: OpenChain = wire::decode(&message).map_err(|why| DeskError::NotSent(why.to_string()))?;
            let touchstone = Touchstone {
                chain: asked.header.chain_id(&asked.root),
                root: asked.root,
                header: asked.header,
                grace: Span::from_days(1),
                opened: SystemClock.now(),
            };
            Ok(wire::encode(&self.0.sign(NETWORK, &touchstone)))
        })
    }
}

/// One seller of one file, running.
struct Stall {
    node: Arc<Node>,
    manifest: Manifest,
}

#[tokio::main]
async fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let bank = Arc::new(Bank(SecretKey::from_seed(&[1; 32])));
    let file: Vec<u8> = (0..FILE_MIB << 20).map(|at: usize| (at / 4_096 + at) as u8).collect();
    let free = open_stall(&dir.path().join("free"), 2, 0, &file, &bank).await?;
    let paid = open_stall(&dir.path().join("paid"), 3, PRICE_MICROS, &file, &bank).await?;
    let pocket = open_wallet(&dir.path().join("buyer"), 4, &bank).await?;
    let node = open_node(&pocket)?;
    let buyer = Buyer { pocket, node, clock: Arc::new(SystemClock), deadlines: Deadlines::default() };
    let goods = dir.path().join("goods");
    let (mut frees, mut paids, mut cost) = (Vec::new(), Vec::new(), Counts::default());
    for round in 0..=ROUNDS {
        let (free_time, _) = fetch(&buyer, &free, &goods).await?;
        let (paid_time, counts) = fetch(&buyer, &paid, &goods).await?;
        // The first round warms up.
        if round > 0 {
            frees.push(free_time);
            paids.push(paid_time);
            cost = counts;
        }
    }
    let (free_time, paid_time) = (median(frees), median(paids));
    let rate = |time: Duration| FILE_MIB as f64 / time.as_secs_f64();
    let ratio = free_time.as_secs_f64() / paid_time.as_secs_f64();
    let pieces = paid.manifest.pieces();
    println!("download at price zero   {:8.1} MiB/s", rate(free_time));
    println!("download paid by piece   {:8.1} MiB/s   {:.0} payments/s", rate(paid_time), rate(paid_time) * 4.0);
    println!("ratio                    {ratio:8.2}         goal {GOAL:.2}");
    println!(
        "buyer's cost of {pieces} payments: {} messages, {} bytes, {} signatures made, {} checked, {} hashes",
        cost.of(Op::Message),
        cost.of(Op::Byte),
        cost.of(Op::Sign),
        cost.of(Op::Verify),
        cost.of(Op::Hash),
    );
    crowd(&dir.path().join("crowd"), &bank).await
}

/// Many files, many visitors.
async fn crowd(home: &Path, bank: &Arc<Bank>) -> Result<()> {
    let before = memory_mib()?;
    fs::create_dir_all(home.join("shared"))?;
    for n in 0..CROWD_FILES {
        fs::write(home.join("shared").join(format!("file {n}")), n.to_be_bytes())?;
    }
    let till = open_wallet(&home.join("wallet"), 5, bank).await?;
    let stall = run_stall(home, till, 100, CROWD_FILES).await?;
    let shared = memory_mib()?;
    let visitor = open_wallet(&home.join("visitor"), 6, bank).await?;
    let node = open_node(&visitor)?;
    let (seller, at) = (stall.node.public_key(), stall.node.listen_addrs().await);
    let mut visits = Vec::new();
    for _ in 0..CROWD_VISITS {
        let stream = node.open(seller, &at).await?;
        let guest = Guest::greet(stream, seller, NETWORK, Deadlines::default()).await?;
        visits.push(guest.want(stall.manifest.root, None, SystemClock.now()).await?);
    }
    println!(
        "memory: {before} MiB before, {shared} MiB with {CROWD_FILES} files shared, {} MiB with {} visits open \
         (both sides)   goal below {MEMORY_GOAL} for one",
        memory_mib()?,
        visits.len(),
    );
    Ok(())
}

fn memory_mib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? / 1_024)
}

async fn fetch(buyer: &Buyer<Wallet>, stall: &Stall, goods: &Path) -> Result<(Duration, Counts)> {
    let seller = Seller { peer: stall.node.public_key(), addresses: stall.node.listen_addrs().await };
    let purchase = Purchase {
        content: stall.manifest.root,
        sellers: vec![seller],
        folder: goods.to_owned(),
        name: None,
        budget: None,
        price_max: None,
        together: None,
    };
    let began = Instant::now();
    let report = buyer.buy(purchase, watch::Sender::default(), CancellationToken::new()).await?;
    let time = began.elapsed();
    let Outcome::Complete(path) = &report.outcome else { return Err(format!("{report:?}").into()) };
    fs::remove_file(path)?;
    Ok((time, report.cost()))
}

async fn open_stall(home: &Path, seed: u8, price: u64, file: &[u8], bank: &Arc<Bank>) -> Result<Stall> {
    let shared = home.join("shared");
    fs::create_dir_all(&shared)?;
    // Each seller's file is another, so that neither stands in for the other.
    fs::write(shared.join("file"), [&[seed], &file[1..]].concat())?;
    let till = open_wallet(&home.join("wallet"), seed, bank).await?;
    run_stall(home, till, price, 1).await
}

/// Sells what is in `home/shared`, once all of it is on the shelf.
async fn run_stall(home: &Path, till: Wallet, price: u64, files: usize) -> Result<Stall> {
    let shared = home.join("shared");
    let node = open_node(&till)?;
    let price = Price { amount: Currency::XTS.micros(price)?, per: Per::Piece };
    let config = ShopConfig {
        folders: vec![Folder { path: shared, price, tags: vec![], hidden: false }],
        home: home.join("shop"),
        index: None,
        deadlines: Deadlines::default(),
        clock: Arc::new(SystemClock),
    };
    let shop = Shop::new(till, Arc::clone(&node), config)?;
    let mut shelf = shop.shelf();
    tokio::spawn(shop.run(CancellationToken::new()));
    let shelf = shelf.wait_for(|shelf| shelf.len() == files).await?.clone();
    let manifest = shelf.items().next().ok_or("an empty shelf")?.manifest;
    Ok(Stall { node, manifest })
}

async fn open_wallet(home: &Path, seed: u8, bank: &Arc<Bank>) -> Result<Wallet> {
    let pin =
        BankPin { endpoint: "http://127.0.0.1:1".into(), key: bank.0.id(), network: NETWORK, currency: Currency::XTS };
    let (seed, settings) = (Seed::from_entropy([seed; 32]), Settings::with_bank(pin));
    fs::create_dir_all(home.parent().map_or_else(PathBuf::new, Path::to_owned))?;
    let wallet = Wallet::create(home, &seed, &Protection::None, &settings, Options::default()).await?;
    wallet.set_desk(bank.clone()).await;
    Ok(wallet)
}

fn open_node(wallet: &Wallet) -> Result<Arc<Node>> {
    let config = NodeConfig {
        secret: wallet.identity(),
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse()?],
        bootstrap: vec![],
        mdns: false,
        limits: PeerLimits { streams: 2_048, streams_per_peer: 2_048, ..PeerLimits::default() },
    };
    Ok(Arc::new(Node::start(config)?))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
