//! Sellers that cheat, and how little it gets them.

use super::*;

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
                earning.on_pay(&payment.pay, payment.piece).unwrap();
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
                line.hand_out(payment.piece, &encoded, async { Ok::<(), crate::talk::TalkError>(()) }).await.unwrap();
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
