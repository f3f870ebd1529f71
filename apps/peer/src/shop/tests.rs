//! Buyers that cheat, one deception each, against a real shop without a network.

use std::path::Path;
use std::time::Duration;

use farthing_core::chain::Word;
use farthing_core::id::{ContentId, OrderId};
use farthing_core::order::Order;
use farthing_core::wire::Bounded;
use farthing_driver::SystemClock;
use farthing_net::content::{Manifest, PIECE_BYTES};
use farthing_netpay::messages::{Pay, Visit};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

use super::visit::Sold;
use super::*;
use crate::buyer::{Pocket, Spend};
use crate::talk::messages::{Ask, Hello, PayFor, Want};
use crate::talk::testing::{FakePocket, FakeSpending, FakeTill, HERE, key, micros};
use crate::talk::{TalkError, VERSIONS};

const TIME: Duration = Duration::from_secs(30);
const PRICE: u64 = 6;

/// A shop with one file of three pieces and a bit, at [`PRICE`] or free.
struct World {
    house: Arc<House<FakeTill>>,
    till: FakeTill,
    file: PathBuf,
    manifest: Manifest,
    _dir: tempfile::TempDir,
}

impl World {
    fn new(price: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shared = dir.path().join("shared");
        fs::create_dir(&shared).unwrap();
        let file = shared.join("song.ogg");
        fs::write(&file, bytes(3 * PIECE_BYTES + 7)).unwrap();
        let mut stock = Stock::open(dir.path(), vec![folder(&shared, price)]).unwrap();
        let shelf = stock.take(&CancellationToken::new()).unwrap();
        let manifest = shelf.items().next().unwrap().manifest;
        let till = FakeTill::new(2);
        let house = House {
            till: till.clone(),
            clock: Arc::new(SystemClock),
            shelf: seen::Sender::new(Arc::new(shelf)).subscribe(),
            desk: Desk::new(stock.outboards().clone()),
            chains: Arc::default(),
            deadlines: Deadlines::default(),
            stop: CancellationToken::new(),
        };
        Self { house: Arc::new(house), till, file, manifest, _dir: dir }
    }

    /// A stream to the shop, and what comes of it there.
    fn enter(&self, buyer: u8) -> (Line<DuplexStream>, JoinHandle<Sold>) {
        let (near, far) = tokio::io::duplex(1 << 20);
        let house = Arc::clone(&self.house);
        let served = tokio::spawn(async move { attend(&house, key(buyer).id(), far).await });
        (Line::of_buyer(near, TIME), served)
    }

    /// The same, with an order quoted.
    async fn order(&self, buyer: u8) -> (Line<DuplexStream>, JoinHandle<Sold>, Order) {
        let (mut line, served) = self.enter(buyer);
        line.say(&hello()).await.unwrap();
        line.answer(TIME).await.unwrap();
        line.say(&want(self.manifest.root)).await.unwrap();
        let Answer::Quote(quote) = line.answer(TIME).await.unwrap() else { panic!("no quote") };
        (line, served, quote.peek().unwrap().0)
    }

    /// The same, with a reserve accepted.
    async fn begin(&self, pocket: &FakePocket) -> Begun {
        let (mut line, served, order) = self.order(9).await;
        let (visit, spending) = pocket.begin(&order, 4, micros(100)).await.unwrap();
        line.say(&Ask::Begin(Box::new(visit.clone()))).await.unwrap();
        assert!(matches!(line.answer(TIME).await.unwrap(), Answer::Accepted(_)));
        Begun { line, served, order, visit, spending }
    }
}

struct Begun {
    line: Line<DuplexStream>,
    served: JoinHandle<Sold>,
    order: Order,
    visit: Visit,
    spending: FakeSpending,
}

impl Begun {
    /// Pays honestly and takes the piece.
    async fn buy(&mut self, piece: u64) -> Pay {
        let pay = self.spending.pay(2).await.unwrap();
        self.line.say(&Ask::Pay(PayFor { pay, piece })).await.unwrap();
        assert_eq!(self.line.answer(TIME).await.unwrap(), Answer::Piece(piece));
        self.line.frame(TIME).await.unwrap();
        pay
    }

    /// Says something, is refused for it, and gets nothing more.
    async fn refused(mut self, ask: Ask) -> (Code, Sold) {
        self.line.say(&ask).await.unwrap();
        let code = refused(&mut self.line).await;
        assert!(matches!(self.line.answer(TIME).await, Err(TalkError::Gone)), "the visit is over");
        drop(self.line);
        (code, self.served.await.unwrap())
    }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 1_000) as u8).collect()
}

fn folder(path: &Path, price: u64) -> Folder {
    let price = Price { amount: micros(price), per: Per::Piece };
    Folder { path: path.to_owned(), price, tags: vec![], hidden: false }
}

fn hello() -> Ask {
    Ask::Hello(Hello { versions: Bounded::new(VERSIONS.to_vec()).unwrap(), network: HERE })
}

fn want(content: ContentId) -> Ask {
    Ask::Want(Box::new(Want { content, again: None }))
}

async fn refused(line: &mut Line<DuplexStream>) -> Code {
    match line.answer(TIME).await {
        Err(TalkError::TurnedDown(refusal)) => refusal.code,
        other => panic!("not a refusal: {other:?}"),
    }
}

/// Two units for a piece, two pieces to a reserve.
fn pocket() -> FakePocket {
    FakePocket::new(2, 2)
}

mod cash;

#[tokio::test]
async fn seller_refuses_a_payment_with_a_wrong_word() {
    let world = World::new(PRICE);
    let mut begun = world.begin(&pocket()).await;
    begun.buy(0).await;
    let mut pay = begun.spending.pay(2).await.unwrap();
    pay.word = Word([3; 32]);
    let (code, sold) = begun.refused(Ask::Pay(PayFor { pay, piece: 1 })).await;
    assert_eq!((code, sold.pieces, world.till.earned()), (Code::Chain, 1, PRICE));
}

#[tokio::test]
async fn seller_refuses_a_word_it_was_given_before() {
    let world = World::new(PRICE);
    let mut begun = world.begin(&pocket()).await;
    let pay = begun.buy(0).await;
    let (code, sold) = begun.refused(Ask::Pay(PayFor { pay, piece: 1 })).await;
    assert_eq!((code, sold.pieces, world.till.earned()), (Code::Replay, 1, PRICE));
}

#[tokio::test]
async fn seller_refuses_a_payment_that_is_not_exactly_the_price() {
    for units in [1, 3, 4] {
        let world = World::new(PRICE);
        let mut begun = world.begin(&pocket()).await;
        let pay = begun.spending.pay(units).await.unwrap();
        let (code, sold) = begun.refused(Ask::Pay(PayFor { pay, piece: 0 })).await;
        assert_eq!((code, sold.pieces, world.till.earned()), (Code::Range, 0, 0));
    }
}

#[tokio::test]
async fn seller_refuses_a_jump_beyond_the_reserve() {
    let world = World::new(PRICE);
    let begun = world.begin(&pocket()).await;
    let pay = Pay { index: u32::MAX, word: Word([3; 32]), order: begun.order.id() };
    let (code, sold) = begun.refused(Ask::Pay(PayFor { pay, piece: 0 })).await;
    assert_eq!((code, sold.pieces, world.till.earned()), (Code::Range, 0, 0));
}

#[tokio::test]
async fn seller_refuses_a_payment_for_another_order() {
    let world = World::new(PRICE);
    let mut begun = world.begin(&pocket()).await;
    let pay = Pay { order: OrderId([9; 32]), ..begun.spending.pay(2).await.unwrap() };
    let (code, sold) = begun.refused(Ask::Pay(PayFor { pay, piece: 0 })).await;
    assert_eq!((code, sold.pieces, world.till.earned()), (Code::Order, 0, 0));
}

#[tokio::test]
async fn seller_takes_no_money_for_a_piece_that_does_not_exist() {
    let world = World::new(PRICE);
    let mut begun = world.begin(&pocket()).await;
    let pay = begun.spending.pay(2).await.unwrap();
    let (code, sold) = begun.refused(Ask::Pay(PayFor { pay, piece: 4 })).await;
    assert_eq!((code, sold.pieces, world.till.earned()), (Code::Range, 0, 0));
}

#[tokio::test]
async fn seller_gives_nothing_without_payment() {
    let world = World::new(PRICE);
    let (mut line, served, _) = world.order(9).await;
    line.say(&Ask::Get(0)).await.unwrap();
    assert_eq!(refused(&mut line).await, Code::Amount);
    drop(line);
    assert_eq!(served.await.unwrap().pieces, 0);
    for ask in [Ask::Get(0), Ask::Again(0)] {
        let (code, sold) = world.begin(&pocket()).await.refused(ask).await;
        assert_eq!((code, sold.pieces), (Code::Amount, 0));
    }
}

#[tokio::test]
async fn seller_gives_a_piece_again_for_the_payment_it_got_and_no_other_piece() {
    let world = World::new(PRICE);
    let mut begun = world.begin(&pocket()).await;
    begun.buy(1).await;
    begun.line.say(&Ask::Again(1)).await.unwrap();
    assert_eq!(begun.line.answer(TIME).await.unwrap(), Answer::Piece(1));
    begun.line.frame(TIME).await.unwrap();
    let (code, sold) = begun.refused(Ask::Again(2)).await;
    assert_eq!((code, sold.pieces, world.till.earned()), (Code::Amount, 2, PRICE));
}

#[tokio::test]
async fn seller_refuses_a_reserve_for_another_seller_and_one_for_another_order() {
    let world = World::new(PRICE);
    for (change, code) in [(0, Code::NotPayee), (1, Code::Order)] {
        let (mut line, served, mut order) = world.order(9).await;
        match change {
            0 => order.payee = key(3).id(),
            _ => order.nonce = [0; 16],
        }
        let (visit, _spending) = pocket().begin(&order, 4, micros(100)).await.unwrap();
        line.say(&Ask::Begin(Box::new(visit))).await.unwrap();
        assert_eq!(refused(&mut line).await, code);
        drop(line);
        assert_eq!(served.await.unwrap(), Sold::default());
    }
}

#[tokio::test]
async fn seller_counts_no_reserve_on_two_streams_at_once() {
    let world = World::new(PRICE);
    let mut begun = world.begin(&pocket()).await;
    begun.buy(0).await;
    // The same buyer comes back: the old stream ends, and the count goes on where it stood.
    let (mut line, _served, order) = world.order(9).await;
    let quote = world.till.sign(&crate::talk::messages::Quote(begun.order.clone()));
    drop(order);
    line.say(&Ask::Done).await.unwrap();
    let (mut line, _again) = world.enter(9);
    line.say(&hello()).await.unwrap();
    line.answer(TIME).await.unwrap();
    line.say(&Ask::Want(Box::new(Want { content: world.manifest.root, again: Some(quote) }))).await.unwrap();
    line.answer(TIME).await.unwrap();
    line.say(&Ask::Begin(Box::new(begun.visit.clone()))).await.unwrap();
    let Answer::Accepted(accepted) = line.answer(TIME).await.unwrap() else { panic!("not accepted") };
    assert_eq!((accepted.through, accepted.last), (2, Some(0)));
    assert!(begun.line.answer(TIME).await.is_err(), "the old stream is dead");
    // Somebody else with the same reserve is turned away.
    let (mut other, _other) = world.enter(10);
    other.say(&hello()).await.unwrap();
    other.answer(TIME).await.unwrap();
    other.say(&want(world.manifest.root)).await.unwrap();
    other.answer(TIME).await.unwrap();
    other.say(&Ask::Begin(Box::new(begun.visit.clone()))).await.unwrap();
    assert_eq!(refused(&mut other).await, Code::State);
}

#[tokio::test]
async fn seller_refuses_what_is_said_out_of_turn() {
    let world = World::new(PRICE);
    for ask in [want(world.manifest.root), Ask::Done, Ask::Get(0)] {
        let (mut line, _served) = world.enter(9);
        line.say(&ask).await.unwrap();
        assert_eq!(refused(&mut line).await, Code::State);
    }
    let (mut line, _served) = world.enter(9);
    line.say(&hello()).await.unwrap();
    line.answer(TIME).await.unwrap();
    line.say(&hello()).await.unwrap();
    assert_eq!(refused(&mut line).await, Code::State);
    let begun = world.begin(&pocket()).await;
    let again = Ask::Begin(Box::new(begun.visit.clone()));
    assert_eq!(begun.refused(again).await.0, Code::State);
}

#[tokio::test]
async fn seller_refuses_another_version_network_or_content_and_rubbish() {
    let world = World::new(PRICE);
    let greetings = [
        (Hello { versions: Bounded::new(vec![77]).unwrap(), network: HERE }, Code::Version),
        (
            Hello { versions: Bounded::new(vec![1]).unwrap(), network: farthing_core::id::NetworkId([0; 16]) },
            Code::Unknown,
        ),
    ];
    for (greeting, code) in greetings {
        let (mut line, _served) = world.enter(9);
        line.say(&Ask::Hello(greeting)).await.unwrap();
        assert_eq!(refused(&mut line).await, code);
    }
    let (mut line, _served) = world.enter(9);
    line.say(&hello()).await.unwrap();
    line.answer(TIME).await.unwrap();
    line.say(&want(ContentId([0; 32]))).await.unwrap();
    assert_eq!(refused(&mut line).await, Code::Goods);
    let (mut line, _served) = world.enter(9);
    line.say(&"rubbish".to_owned()).await.unwrap();
    assert_eq!(refused(&mut line).await, Code::Malformed);
}

#[tokio::test]
async fn seller_takes_no_money_for_a_changed_file_and_gives_the_rest_back() {
    let world = World::new(PRICE);
    let mut begun = world.begin(&pocket()).await;
    begun.buy(0).await;
    fs::write(&world.file, "something else").unwrap();
    let pay = begun.spending.pay(2).await.unwrap();
    begun.line.say(&Ask::Pay(PayFor { pay, piece: 1 })).await.unwrap();
    assert_eq!(refused(&mut begun.line).await, Code::Goods);
    let Answer::Released(released) = begun.line.answer(TIME).await.unwrap() else { panic!("no release") };
    assert_eq!(released.release.unwrap().peek().unwrap().through, 2);
    assert_eq!(world.till.earned(), PRICE);
}

#[tokio::test]
async fn seller_sells_no_wrong_bytes_where_a_file_was_changed_in_secret() {
    let world = World::new(PRICE);
    let mut begun = world.begin(&pocket()).await;
    // Same size, same time: only the hashes can tell.
    let modified = fs::metadata(&world.file).unwrap().modified().unwrap();
    fs::write(&world.file, vec![0xEE; 3 * PIECE_BYTES + 7]).unwrap();
    fs::File::options().write(true).open(&world.file).unwrap().set_modified(modified).unwrap();
    let pay = begun.spending.pay(2).await.unwrap();
    begun.line.say(&Ask::Pay(PayFor { pay, piece: 1 })).await.unwrap();
    match begun.line.answer(TIME).await {
        Err(TalkError::TurnedDown(why)) => {
            assert_eq!((why.code, why.money), (Code::Goods, farthing_core::refusal::Money::MovedBefore));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn seller_that_closes_gives_the_rest_of_the_reserve_back() {
    let world = World::new(PRICE);
    let mut begun = world.begin(&pocket()).await;
    begun.buy(0).await;
    world.house.stop.cancel();
    assert_eq!(refused(&mut begun.line).await, Code::State);
    let Answer::Released(released) = begun.line.answer(TIME).await.unwrap() else { panic!("no release") };
    begun.spending.finish(released.release.unwrap(), released.receipt, 2).await.unwrap();
}

#[test]
fn a_restarted_shop_hashes_nothing_twice_and_forgets_what_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(shared.join(name), name).unwrap();
    }
    fs::write(shared.join("twin of a"), "a").unwrap();
    let go = CancellationToken::new();
    let take = || {
        let mut stock = Stock::open(dir.path(), vec![folder(&shared, 1)]).unwrap();
        stock.take(&go).unwrap()
    };
    let outboards = || fs::read_dir(dir.path().join("outboards")).unwrap().count();
    assert_eq!((take().len(), outboards()), (3, 3));
    // A file made unreadable by what it is now, but known by its looks, is not read again.
    let before = fs::metadata(shared.join("b")).unwrap().modified().unwrap();
    fs::write(shared.join("b"), "B").unwrap();
    fs::File::options().write(true).open(shared.join("b")).unwrap().set_modified(before).unwrap();
    let shelf = take();
    assert!(shelf.get(&ContentId(*blake3::hash(b"b").as_bytes())).is_some());
    fs::remove_file(shared.join("c")).unwrap();
    assert_eq!((take().len(), outboards()), (2, 2));
}

#[tokio::test]
async fn an_open_shop_takes_other_folders_and_prices_and_refuses_what_is_no_folder() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
    for shared in [&one, &two] {
        fs::create_dir(shared).unwrap();
        fs::write(shared.join("song.ogg"), shared.to_str().unwrap()).unwrap();
    }
    let stock = Stock::open(dir.path(), vec![folder(&one, PRICE)]).unwrap();
    let (shelf, stop) = (seen::Sender::default(), CancellationToken::new());
    let (seen, halt) = (shelf.subscribe(), stop.clone());
    let (folders, changes) = Folders::new();
    let keeping = tokio::spawn(async move { keep_stock(stock, shelf, changes, &halt).await });
    let prices = |seen: &seen::Receiver<Arc<Shelf>>| {
        let mut prices: Vec<u64> = seen.borrow().items().map(|item| item.price.as_micros()).collect();
        prices.sort_unstable();
        prices
    };
    folders.replace(vec![folder(&one, PRICE), folder(&two, 7)]).await.unwrap();
    assert_eq!(prices(&seen), [PRICE, 7]);
    folders.replace(vec![folder(&two, 8)]).await.unwrap();
    assert_eq!(prices(&seen), [8]);
    assert!(folders.replace(vec![folder(&dir.path().join("none"), 1)]).await.is_err());
    assert_eq!(prices(&seen), [8], "a change that is refused changes nothing");
    folders.replace(Vec::new()).await.unwrap();
    assert!(prices(&seen).is_empty());
    stop.cancel();
    keeping.await.unwrap().unwrap();
    assert!(matches!(folders.replace(Vec::new()).await, Err(ShopError::Closed)));
}
