//! Finding shops through an index.

use super::*;

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
