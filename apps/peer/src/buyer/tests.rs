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
use crate::talk::messages::{Accepted, Answer, Ask, Quote, Released, Welcome};
use crate::talk::buying::Guest;
use crate::talk::testing::{FakeBank, FakePocket, FakeTill, HERE, micros, wallet};
use crate::talk::{Line, VERSIONS};
use crate::wallet::Wallet;

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
        Purchase { content, sellers, folder, name: None, budget: None, price_max: None }
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

/// What a dishonest seller does when a piece is paid for.
#[derive(Clone, Copy, PartialEq)]
enum Lie {
    WrongBytes,
    CutShort,
    Stalls,
    HangsUp,
    /// Claims that the content is one byte longer, and hands out true pieces.
    WrongSize,
    /// Takes more in its release than was paid.
    FalseRelease,
}

/// A seller that quotes and admits like an honest one, and lies from the second piece on, or from
/// the first if it lies about the size.
struct Liar {
    till: FakeTill,
    node: Arc<Node>,
    _dir: tempfile::TempDir,
    _served: JoinHandle<()>,
}

impl Liar {
    fn open(seed: u8, lie: Lie, bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), bytes).unwrap();
        let outboards = farthing_net::content::Outboards::open(&dir.path().join("hashes")).unwrap();
        let manifest = outboards.hash(&dir.path().join("file"), |_| ()).unwrap();
        let reader = Arc::new(outboards.reader(&dir.path().join("file"), &manifest).unwrap());
        let (till, node) = (FakeTill::new(seed), node(seed));
        let (our_till, our_node) = (till.clone(), Arc::clone(&node));
        let served = tokio::spawn(async move {
            while let Some((_, stream)) = our_node.accept().await {
                let line = Line::of_seller(stream, TIME);
                tokio::spawn(lie_to(our_till.clone(), Arc::clone(&reader), lie, line));
            }
        });
        Self { till, node, _dir: dir, _served: served }
    }

    async fn as_seller(&self) -> Seller {
        Seller { peer: self.node.public_key(), addresses: self.node.listen_addrs().await }
    }
}

async fn lie_to(
    till: FakeTill,
    reader: Arc<farthing_net::content::PieceReader>,
    lie: Lie,
    mut line: Line<farthing_net::peer::PeerStream>,
) {
    let mut told = 0;
    let mut earning = None;
    let mut order = None;
    while let Ok(ask) = line.ask(TIME).await {
        let answer = match ask {
            Ask::Hello(_) => Answer::Hello(Welcome { version: VERSIONS[0], network: HERE }),
            Ask::Want(want) => {
                let now = SystemClock.now();
                let quoted = farthing_core::order::Order {
                    payee: till.me(),
                    content: Some(want.content),
                    size: reader.manifest().size + u64::from(lie == Lie::WrongSize),
                    piece: PIECE_BYTES as u32,
                    price: micros(PRICE),
                    description: "../../evil".into(),
                    created: now,
                    expires: now.after(farthing_core::time::Span::from_hours(1)),
                    nonce: [told; 16],
                };
                order = Some(quoted.clone());
                Answer::Quote(till.sign(&Quote(quoted)))
            }
            Ask::Begin(visit) => {
                let admitted = till.admit(order.as_ref().unwrap(), *visit).await.unwrap();
                let through = admitted.through();
                earning = Some(admitted);
                Answer::Accepted(Accepted { through, last: None })
            }
            Ask::Pay(payment) => {
                let earning = earning.as_mut().unwrap();
                earning.on_pay(&payment.pay).unwrap();
                earning.persist().await.unwrap();
                let mut encoded = Vec::new();
                let piece = payment.piece.min(reader.manifest().pieces() - 1);
                reader.piece(piece, &mut encoded).unwrap();
                told += 1;
                if told > 1 {
                    match lie {
                        Lie::WrongBytes => encoded[1_000] ^= 1,
                        Lie::CutShort => encoded.truncate(1_000),
                        Lie::Stalls => return std::future::pending().await,
                        Lie::HangsUp => return,
                        Lie::WrongSize | Lie::FalseRelease => {}
                    }
                }
                line.hand_out(payment.piece, &encoded).await.unwrap();
                continue;
            }
            Ask::Extend(reserve) => {
                earning.as_mut().unwrap().extend(reserve).await.unwrap();
                continue;
            }
            _ => {
                let Some(earning) = earning.take() else { return };
                let (mut release, receipt) = earning.release().await.unwrap();
                if lie == Lie::FalseRelease {
                    let mut body = release.peek().unwrap();
                    body.through += 2;
                    release = till.sign(&body);
                }
                let _ = line.say(&Answer::Released(Box::new(Released { release: Some(release), receipt }))).await;
                return;
            }
        };
        if line.say(&answer).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_size_are_bought_from_two_sellers_for_exactly_their_price() {
    let sizes = [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 4 * PIECE_BYTES, 9 * PIECE_BYTES + 12_345];
    let files: Vec<_> = sizes.iter().map(|size| (format!("file of {size}"), bytes(*size))).collect();
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let first = Running::open(2, PRICE, &files).await;
    let second = Running::open(3, PRICE, &files).await;
    let shopper = Shopper::new();
    let mut total = 0;
    for (name, file) in &files {
        let sellers = vec![first.as_seller().await, second.as_seller().await];
        let report = shopper.buy(shopper.wants(content(file), sellers)).await;
        assert_eq!(complete(&report), shopper.dir.path().join(name));
        assert_eq!(&fs::read(complete(&report)).unwrap(), file);
        let pieces = file.len().div_ceil(PIECE_BYTES) as u64;
        total += pieces * PRICE;
        assert_eq!(report.paid.unwrap().as_micros(), pieces * PRICE);
        assert_eq!(report.sellers.iter().map(|seller| seller.pieces).sum::<u64>(), pieces);
        assert_eq!(report.sellers.iter().map(|seller| seller.payments).sum::<u64>(), pieces);
        for seller in &report.sellers {
            assert!(seller.left.is_none() && seller.abandoned == 0, "{seller:?}");
            assert_eq!(seller.receipts.is_empty(), seller.payments == 0);
        }
    }
    assert_eq!(first.till.earned() + second.till.earned(), total);
    assert_eq!(shopper.files().len(), files.len(), "nothing else is left in the folder");
    assert_eq!(shopper.buyer.pocket.broken_off(), 0);
    first.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_at_price_zero_needs_no_wallet() {
    let file = bytes(5 * PIECE_BYTES + 1);
    let shop = Running::open(2, 0, &[("free", &file)]).await;
    let shopper = Shopper::new();
    let report = shopper.buy(shopper.wants(content(&file), vec![shop.as_seller().await])).await;
    assert_eq!(fs::read(complete(&report)).unwrap(), file);
    assert_eq!((report.paid.unwrap().as_micros(), report.sellers[0].payments), (0, 0));
    assert_eq!(shopper.buyer.pocket.chains(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyer_drops_and_names_a_seller_that_does_not_deliver() {
    let file = bytes(8 * PIECE_BYTES);
    for lie in [Lie::WrongBytes, Lie::CutShort, Lie::Stalls, Lie::HangsUp] {
        let liar = Liar::open(4, lie, &file);
        let shopper = Shopper::new();
        // Alone with the liar, so that it gets its chance to lie; then with an honest seller too.
        let alone = shopper.buy(shopper.wants(content(&file), vec![liar.as_seller().await])).await;
        let Outcome::Partial { missing, why: Stopped::NoSeller } = alone.outcome else { panic!("{alone:?}") };
        assert_eq!(missing, Some(7), "one piece came before the lie");
        let left = alone.sellers[0].left.as_ref().unwrap();
        assert_eq!(left.is_a_cheat(), matches!(lie, Lie::WrongBytes | Lie::CutShort), "{left}");
        assert_eq!(alone.sellers[0].seller, liar.node.public_key());
        assert_eq!(liar.till.earned(), 2 * PRICE, "one piece at risk");
        let honest = Running::open(2, PRICE, &[("file", &file)]).await;
        let sellers = vec![liar.as_seller().await, honest.as_seller().await];
        let report = shopper.buy(shopper.wants(content(&file), sellers)).await;
        assert_eq!(fs::read(complete(&report)).unwrap(), file);
        assert_eq!(report.pieces_before, 1);
        honest.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyer_is_not_led_on_by_a_false_size() {
    let file = bytes(6 * PIECE_BYTES);
    let liar = Liar::open(4, Lie::WrongSize, &file);
    let shopper = Shopper::new();
    let alone = shopper.buy(shopper.wants(content(&file), vec![liar.as_seller().await])).await;
    assert!(matches!(alone.outcome, Outcome::Partial { missing: None, .. }), "{alone:?}");
    assert!(alone.sellers[0].left.as_ref().unwrap().is_a_cheat());
    assert_eq!(liar.till.earned(), PRICE, "one piece at risk, although it has all the others");
    let honest = Running::open(2, PRICE, &[("file", &file)]).await;
    let sellers = vec![liar.as_seller().await, honest.as_seller().await];
    let report = shopper.buy(shopper.wants(content(&file), sellers)).await;
    assert_eq!(fs::read(complete(&report)).unwrap(), file);
    assert_eq!(honest.till.earned(), 6 * PRICE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyer_believes_no_release_that_claims_too_much() {
    let file = bytes(PIECE_BYTES);
    let liar = Liar::open(4, Lie::FalseRelease, &file);
    let shopper = Shopper::new();
    let report = shopper.buy(shopper.wants(content(&file), vec![liar.as_seller().await])).await;
    assert_eq!(fs::read(complete(&report)).unwrap(), file);
    let seller = &report.sellers[0];
    assert!(matches!(seller.left, Some(Left::FalseRelease(_))), "{seller:?}");
    assert_eq!((seller.paid.unwrap().as_micros(), seller.receipts.len()), (PRICE, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_name_never_leads_out_of_the_folder() {
    let file = bytes(10);
    let liar = Liar::open(4, Lie::WrongBytes, &file);
    let shopper = Shopper::new();
    let inner = shopper.dir.path().join("a/b");
    let purchase = Purchase { folder: inner.clone(), ..shopper.wants(content(&file), vec![liar.as_seller().await]) };
    let report = shopper.buy(purchase).await;
    assert_eq!(complete(&report), inner.join(hex::encode(content(&file).0)));
    assert_eq!((shopper.files(), names(&inner).len()), (vec!["a".to_owned()], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyer_stops_within_its_budget_and_goes_on_later_paying_nothing_twice() {
    let file = bytes(7 * PIECE_BYTES + 5);
    let shop = Running::open(2, PRICE, &[("file", &file)]).await;
    let shopper = Shopper::new();
    let sellers = vec![shop.as_seller().await];
    let wants = shopper.wants(content(&file), sellers);
    let poor = shopper.buy(Purchase { budget: Some(micros(3 * PRICE + 5)), ..wants.clone() }).await;
    let Outcome::Partial { missing, why: Stopped::Budget } = poor.outcome else { panic!("{poor:?}") };
    assert_eq!((missing, poor.paid.unwrap().as_micros()), (Some(5), 3 * PRICE));
    let dear = shopper.buy(Purchase { price_max: Some(micros(PRICE - 1)), ..wants.clone() }).await;
    assert!(matches!(dear.sellers[0].left, Some(Left::TooDear { .. })));
    let rest = shopper.buy(wants).await;
    assert_eq!(fs::read(complete(&rest)).unwrap(), file);
    assert_eq!((rest.pieces_before, rest.paid.unwrap().as_micros()), (3, 5 * PRICE));
    assert_eq!(shop.till.earned(), 8 * PRICE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_purchase_goes_on_with_the_same_reserve_and_pays_each_piece_once() {
    let file = bytes(40 * PIECE_BYTES);
    let shop = Running::open(2, PRICE, &[("file", &file)]).await;
    let shopper = Shopper::new();
    let wants = shopper.wants(content(&file), vec![shop.as_seller().await]);
    let mut cuts = 0;
    loop {
        let (tell, mut told) = watch::channel(Progress::default());
        let purchase = shopper.buyer.buy(wants.clone(), tell, CancellationToken::new());
        let goal = 3 * (cuts + 1);
        let cut = async { told.wait_for(|so_far| so_far.pieces >= goal).await.map(drop) };
        tokio::select! {
            done = purchase => {
                assert_eq!(fs::read(complete(&done.unwrap())).unwrap(), file);
                break;
            }
            // Dropped in the middle of whatever it was doing.
            cut = cut => cut.unwrap(),
        }
        cuts += 1;
    }
    assert!(cuts > 5, "it was cut {cuts} times");
    assert_eq!(shop.till.earned(), 40 * PRICE);
    assert_eq!(shopper.buyer.pocket.chains(), 1, "always the same reserve");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_survives_its_seller_going_away_and_coming_back() {
    let file = bytes(30 * PIECE_BYTES);
    let mut shop = Running::open(2, PRICE, &[("file", &file)]).await;
    let shopper = Shopper::new();
    let mut closings = 0;
    loop {
        let (tell, mut told) = watch::channel(Progress::default());
        let wants = shopper.wants(content(&file), vec![shop.as_seller().await]);
        let goal = 10 * (closings + 1);
        let stopped = shop.stop.clone();
        let closing = tokio::spawn(async move {
            if told.wait_for(|so_far| so_far.pieces >= goal).await.is_ok() {
                stopped.cancel();
            }
        });
        let report = shopper.buyer.buy(wants, tell, CancellationToken::new()).await.unwrap();
        closing.abort();
        let refusal = match &report.outcome {
            Outcome::Complete(path) => {
                assert_eq!(fs::read(path).unwrap(), file);
                break;
            }
            Outcome::Partial { .. } => report.sellers[0].left.as_ref().and_then(Left::refusal),
        };
        assert_eq!(refusal.unwrap().code, Code::State, "{report:?}");
        assert_eq!(report.sellers[0].abandoned, 0, "it left a release behind");
        let (till, dir) = shop.close().await;
        shop = Running::reopen(node(2), PRICE, till, dir, 1).await;
        closings += 1;
    }
    assert!(closings >= 1);
    assert_eq!(shop.till.earned(), 30 * PRICE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_stopped_as_asked_leaves_no_reserve_open() {
    let file = bytes(60 * PIECE_BYTES);
    let shop = Running::open(2, PRICE, &[("file", &file)]).await;
    let shopper = Shopper::new();
    let (tell, mut told) = watch::channel(Progress::default());
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        told.wait_for(|so_far| so_far.pieces >= 5).await.unwrap();
        asked.cancel();
    });
    let wants = shopper.wants(content(&file), vec![shop.as_seller().await]);
    let report = shopper.buyer.buy(wants, tell, stop).await.unwrap();
    assert!(matches!(report.outcome, Outcome::Partial { why: Stopped::Asked, .. }), "{report:?}");
    assert_eq!((report.sellers[0].abandoned, shopper.buyer.pocket.broken_off()), (0, 0));
    assert_eq!(report.paid.unwrap().as_micros(), shop.till.earned());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shop_notices_a_new_file_and_one_taken_away() {
    let shop = Running::open(2, PRICE, &[("old", b"old")]).await;
    let shopper = Shopper::new();
    let mut takings = shop.takings.clone();
    let seller = shop.as_seller().await;
    fs::write(shop.dir.path().join("shared/new"), b"new").unwrap();
    fs::remove_file(shop.dir.path().join("shared/old")).unwrap();
    let report = loop {
        let report = shopper.buy(shopper.wants(content(b"new"), vec![seller.clone()])).await;
        match report.sellers[0].left.as_ref().and_then(Left::refusal) {
            Some(refusal) if refusal.code == Code::Goods => takings.changed().await.unwrap(),
            _ => break report,
        }
    };
    assert_eq!(fs::read(complete(&report)).unwrap(), b"new");
    let gone = shopper.buy(shopper.wants(content(b"old"), vec![seller])).await;
    assert_eq!(gone.sellers[0].left.as_ref().and_then(Left::refusal).unwrap().code, Code::Goods);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_went_missing_is_fetched_and_the_purchase_goes_on() {
    let file = bytes(6 * PIECE_BYTES);
    let shop = Running::open(2, PRICE, &[("file", &file)]).await;
    let shopper = Shopper::new();
    let seller = shop.as_seller().await;
    // A run that is killed between the release and its arrival.
    let incoming = shopper.dir.path().join(INCOMING);
    fs::create_dir_all(&incoming).unwrap();
    let stream = shopper.buyer.node.open(seller.peer, &seller.addresses).await.unwrap();
    let guest = Guest::greet(stream, seller.peer, HERE, Deadlines::default()).await.unwrap();
    let quoted = guest.want(content(&file), None, SystemClock.now()).await.unwrap();
    Quotes::open(&incoming, &content(&file)).keep(quoted.quote().signed().clone()).unwrap();
    let order = quoted.quote().body().0.clone();
    let (visit, spending) = shopper.buyer.pocket.begin(&order, 6, micros(100)).await.unwrap();
    let (paying, _) = quoted.begin(visit).await.unwrap();
    paying.done().await.unwrap();
    drop(spending);

    let report = shopper.buy(shopper.wants(content(&file), vec![seller])).await;
    assert_eq!(fs::read(complete(&report)).unwrap(), file);
    assert_eq!((report.sellers[0].abandoned, shopper.buyer.pocket.broken_off()), (0, 0));
    assert_eq!(report.paid.unwrap().as_micros(), 6 * PRICE);
    assert_eq!(shop.till.earned(), 6 * PRICE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_wallets_trade_while_the_bank_is_down() {
    let file = bytes(150 * PIECE_BYTES + 1);
    let (dir, bank) = (tempfile::tempdir().unwrap(), Arc::new(FakeBank::default()));
    let payer = wallet(&dir.path().join("payer"), 9, &bank).await;
    payer.upkeep(&*bank).await.unwrap();
    bank.down.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut shops = Vec::new();
    for seed in [2, 3] {
        let till = wallet(&dir.path().join(format!("payee {seed}")), seed, &bank).await;
        shops.push(Running::open_with(till, PRICE * 10, &[("file", &file)]).await);
    }
    let buyer = Buyer {
        pocket: payer.clone(),
        node: node_of(payer.identity()),
        clock: Arc::new(SystemClock),
        deadlines: Deadlines::default(),
    };
    let goods = tempfile::tempdir().unwrap();
    let purchase = Purchase {
        content: content(&file),
        sellers: vec![shops[0].as_seller().await, shops[1].as_seller().await],
        folder: goods.path().to_owned(),
        name: None,
        budget: None,
        price_max: None,
    };
    let report = buyer.buy(purchase, watch::Sender::default(), CancellationToken::new()).await.unwrap();
    assert_eq!(fs::read(complete(&report)).unwrap(), file, "{report:?}");
    assert_eq!(report.paid.unwrap().as_micros(), 151 * PRICE * 10);
    assert!(report.sellers.iter().all(|seller| seller.left.is_none() && seller.abandoned == 0), "{report:?}");
    assert!(report.cost().of(farthing_core::meter::Op::Hash) > 0);
}

/// An index that runs until its runtime ends.
async fn index() -> IndexClient {
    let index = Index {
        network: HERE,
        store: Arc::new(IndexStore::in_memory(StoreLimits::default()).unwrap()),
        clock: Arc::new(|| SystemClock.now()),
    };
    let listen = ([127, 0, 0, 1], 0).into();
    let config = ServerConfig { listen, tls: Tls::PlainLoopbackOnly, limits: Limits::default() };
    let bound = index.bind(config).await.unwrap();
    let client = IndexClient::new(bound.endpoint().unwrap(), HERE).unwrap();
    tokio::spawn(bound.serve(std::future::pending()));
    client
}

/// Asks the index until so many offers of a content are found. The shop announces when it likes.
async fn offers(index: &IndexClient, content: &ContentId, how_many: usize) -> Vec<Offer> {
    loop {
        let found = index.sellers_of(content, Page::new(0, 10), SystemClock.now()).await.unwrap();
        if found.offers.len() == how_many {
            return found.offers;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shops_are_found_through_the_index_while_they_are_open_and_have_the_file() {
    let index = index().await;
    let (file, other) = (bytes(2 * PIECE_BYTES), bytes(10));
    let files: [(&str, &[u8]); 2] = [("song.ogg", &file), ("other", &other)];
    let open = |seed, price| {
        Running::announced(node(seed), price, FakeTill::new(seed), shared(&files), 2, Some(index.clone()))
    };
    let (dear, cheap) = (open(2, 2 * PRICE).await, open(3, PRICE).await);
    let found = offers(&index, &content(&file), 2).await;
    let sellers = sellers_of(&content(&file), &found);
    assert_eq!(sellers[0].peer, cheap.node.public_key(), "the cheapest first");
    let shopper = Shopper::new();
    let report = shopper.buy(shopper.wants(content(&file), sellers)).await;
    assert_eq!(complete(&report), shopper.dir.path().join("song.ogg"));
    fs::remove_file(dear.dir.path().join("shared/song.ogg")).unwrap();
    offers(&index, &content(&file), 1).await;
    offers(&index, &content(&other), 2).await;
    cheap.close().await;
    offers(&index, &content(&file), 0).await;
    assert_eq!(offers(&index, &content(&other), 1).await[0].seller(), dear.node.public_key());
}
