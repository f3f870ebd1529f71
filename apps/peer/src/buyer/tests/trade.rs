//! Honest trade.

use super::*;

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
        together: None,
    };
    let report = buyer.buy(purchase, watch::Sender::default(), CancellationToken::new()).await.unwrap();
    assert_eq!(fs::read(complete(&report)).unwrap(), file, "{report:?}");
    assert_eq!(report.paid.unwrap().as_micros(), 151 * PRICE * 10);
    assert!(report.sellers.iter().all(|seller| seller.left.is_none() && seller.abandoned == 0), "{report:?}");
    assert!(report.cost().of(farthing_core::meter::Op::Hash) > 0);
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
async fn a_file_is_paid_for_in_lots_and_leaves_nothing_behind() {
    let file = bytes(5 * PIECE_BYTES + 7);
    let shop = Running::open(2, PRICE, &[("song.ogg", &file)]).await;
    let shopper = Shopper::new();
    let wants = shopper.wants(content(&file), vec![shop.as_seller().await]);
    let report = shopper.buy(Purchase { together: Some(Scheme::Draft), ..wants }).await;
    assert_eq!(fs::read(complete(&report)).unwrap(), file);
    // The last piece by itself proves the size; the others follow together.
    assert_eq!((report.sellers[0].payments, report.sellers[0].receipts.len()), (2, 2));
    assert_eq!((report.paid, shop.till.earned()), (Some(micros(6 * PRICE)), 6 * PRICE));
    assert_eq!((shopper.buyer.pocket.whole(), shopper.buyer.pocket.chains()), (2, 0));
    assert_eq!(shopper.files(), ["song.ogg"]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lot_that_was_paid_before_the_buyer_died_is_fetched_and_not_paid_again() {
    let file = bytes(4 * PIECE_BYTES);
    let shop = Running::open(2, PRICE, &[("song.ogg", &file)]).await;
    let (shopper, seller) = (Shopper::new(), shop.as_seller().await);
    let incoming = shopper.dir.path().join(INCOMING);
    fs::create_dir_all(&incoming).unwrap();
    let stream = shopper.buyer.node.open(seller.peer, &seller.addresses).await.unwrap();
    let guest = Guest::greet(stream, seller.peer, HERE, Deadlines::default()).await.unwrap();
    let quoted = guest.want(content(&file), None, SystemClock.now()).await.unwrap();
    let quote = quoted.quote().signed().clone();
    let pieces = Lot::runs(&[0, 1, 3]);
    let order = Lot::order(&quote.peek().unwrap(), &pieces).unwrap();
    let mut lots = Lots::open(&incoming, &content(&file));
    lots.keep(lots::Begun { quote, pieces: pieces.clone(), scheme: Scheme::Draft }).unwrap();
    let payment = shopper.buyer.pocket.pay_whole(Scheme::Draft, &order).await.unwrap();
    let (taking, _) = quoted.lot(Lot { pieces, payment }).await.unwrap();
    drop(taking);
    let wants = shopper.wants(content(&file), vec![seller]);
    // The rest is wanted piece by piece.
    let report = shopper.buy(wants).await;
    assert_eq!(fs::read(complete(&report)).unwrap(), file);
    assert_eq!((report.paid, report.sellers[0].payments), (Some(micros(PRICE)), 1), "only the piece that was left");
    assert_eq!((shop.till.earned(), shopper.buyer.pocket.whole()), (4 * PRICE, 1));
    shop.close().await;
}
