//! Buyers and sellers over loopback, with real files, honest and not.

use std::path::Path;
use std::time::Duration;

use farthing_core::refusal::Code;
use farthing_driver::SystemClock;
use farthing_index::client::IndexClient;
use farthing_index::server::Index;
use farthing_index::store::{IndexStore, Page, StoreLimits};
use farthing_net::content::PIECE_BYTES;
use farthing_net::http::server::{Limits, ServerConfig, Tls};
use farthing_net::peer::{NodeConfig, PeerLimits};
use tokio::task::JoinHandle;

use super::*;
use crate::shop::{Earn, Folder, Per, Price, Shop, ShopConfig, ShopError, Till};
use crate::talk::buying::Guest;
use crate::talk::handover::Lot;
use crate::talk::messages::{Accepted, Answer, Ask, Quote, Released, Welcome};
use crate::talk::testing::{FakeBank, FakePocket, FakeTill, HERE, micros, wallet};
use crate::talk::{Line, VERSIONS};
use crate::wallet::Wallet;

mod found;
mod liars;
mod resume;
mod trade;

const PRICE: u64 = 6;
const TIME: Duration = Duration::from_secs(30);

fn node(seed: u8) -> Arc<Node> {
    node_of(zeroize::Zeroizing::new([seed; 32]))
}

fn node_of(secret: zeroize::Zeroizing<[u8; 32]>) -> Arc<Node> {
    let config = NodeConfig {
        secret,
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        bootstrap: vec![],
        mdns: false,
        limits: PeerLimits::default(),
    };
    Arc::new(Node::start(config).unwrap())
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at / 1_000) as u8 ^ at as u8) | 1).collect()
}

fn content(bytes: &[u8]) -> ContentId {
    ContentId(*blake3::hash(bytes).as_bytes())
}

/// A shop that runs, with files of its own.
struct Running<T = FakeTill> {
    till: T,
    node: Arc<Node>,
    dir: tempfile::TempDir,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), ShopError>>,
    takings: watch::Receiver<crate::shop::Takings>,
}

fn shared(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("shared")).unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join("shared").join(name), bytes).unwrap();
    }
    dir
}

impl Running {
    async fn open(seed: u8, price: u64, files: &[(&str, &[u8])]) -> Self {
        Self::reopen(node(seed), price, FakeTill::new(seed), shared(files), files.len()).await
    }
}

impl Running<Wallet> {
    async fn open_with(till: Wallet, price: u64, files: &[(&str, &[u8])]) -> Self {
        Self::reopen(node_of(till.identity()), price, till, shared(files), files.len()).await
    }
}

impl<T: Till> Running<T> {
    /// Opens a shop and waits until all files are on the shelf.
    async fn reopen(node: Arc<Node>, price: u64, till: T, dir: tempfile::TempDir, files: usize) -> Self {
        Self::announced(node, price, till, dir, files, None).await
    }

    async fn announced(
        node: Arc<Node>,
        price: u64,
        till: T,
        dir: tempfile::TempDir,
        files: usize,
        index: Option<IndexClient>,
    ) -> Self {
        let price = Price { amount: micros(price), per: Per::Piece };
        let folder = Folder { path: dir.path().join("shared"), price, tags: vec![], hidden: false };
        let config = ShopConfig {
            folders: vec![folder],
            home: dir.path().join("home"),
            index,
            deadlines: Deadlines::default(),
            clock: Arc::new(SystemClock),
        };
        let shop = Shop::new(till.clone(), Arc::clone(&node), config).unwrap();
        let (mut shelf, takings, stop) = (shop.shelf(), shop.takings(), CancellationToken::new());
        let ended = tokio::spawn(shop.run(stop.clone()));
        shelf.wait_for(|shelf| shelf.len() == files).await.unwrap();
        Self { till, node, dir, stop, ended, takings }
    }

    async fn as_seller(&self) -> Seller {
        Seller { peer: self.node.public_key(), addresses: self.node.listen_addrs().await }
    }

    async fn close(self) -> (T, tempfile::TempDir) {
        self.stop.cancel();
        self.ended.await.unwrap().unwrap();
        Arc::try_unwrap(self.node).unwrap().close().await;
        (self.till, self.dir)
    }
}

/// A buyer with a folder of its own.
struct Shopper {
    buyer: Buyer<FakePocket>,
    dir: tempfile::TempDir,
}

impl Shopper {
    fn new() -> Self {
        let deadlines = Deadlines { piece: Duration::from_secs(3), ..Deadlines::default() };
        // Two units for a piece, three pieces to a reserve.
        let buyer = Buyer { pocket: FakePocket::new(2, 3), node: node(99), clock: Arc::new(SystemClock), deadlines };
        Self { buyer, dir: tempfile::tempdir().unwrap() }
    }

    fn wants(&self, content: ContentId, sellers: Vec<Seller>) -> Purchase {
        let folder = self.dir.path().to_owned();
        Purchase { content, sellers, folder, name: None, budget: None, price_max: None, together: None }
    }

    async fn buy(&self, purchase: Purchase) -> Report {
        self.buyer.buy(purchase, watch::Sender::default(), CancellationToken::new()).await.unwrap()
    }

    fn files(&self) -> Vec<String> {
        names(self.dir.path())
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn complete(report: &Report) -> &Path {
    match &report.outcome {
        Outcome::Complete(path) => path,
        Outcome::Partial { .. } => panic!("{report:?}"),
    }
}
