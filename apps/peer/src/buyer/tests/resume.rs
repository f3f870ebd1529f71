//! Purchases that break off and go on.

use super::*;

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
async fn buyer_pays_nothing_for_a_file_that_is_there_and_buys_one_that_only_has_its_name() {
    let file = bytes(3 * PIECE_BYTES + 1);
    let shop = Running::open(2, PRICE, &[("file", &file)]).await;
    let shopper = Shopper::new();
    let name = Some(farthing_net::content::safe_name("file").unwrap());
    let wants = Purchase { name, ..shopper.wants(content(&file), vec![shop.as_seller().await]) };
    assert_eq!(shopper.buy(wants.clone()).await.paid.unwrap().as_micros(), 4 * PRICE);
    let again = shopper.buy(wants.clone()).await;
    assert_eq!(complete(&again), shopper.dir.path().join("file"));
    assert_eq!((again.paid, again.pieces_before, again.sellers.len()), (None, 4, 0));
    assert_eq!(shopper.files().len(), 1);
    fs::write(shopper.dir.path().join("file"), "mine").unwrap();
    let other = shopper.buy(wants).await;
    assert_eq!(fs::read(complete(&other)).unwrap(), file);
    assert_eq!(shop.till.earned(), 8 * PRICE);
}
