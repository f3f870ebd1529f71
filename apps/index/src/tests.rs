//! The index end to end: real server, real client, loopback, and a clock that moves by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use farthing_core::refusal::Code;
use farthing_core::sign::{Signed, Statement};
use farthing_core::time::Time;
use farthing_core::wire::{self, Bounded};
use farthing_net::http::endpoint::Endpoint;
use farthing_net::http::server::{Limits, Server, ServerConfig, Tls};
use minicbor::Encode;
use reqwest::StatusCode;

use crate::client::{AskError, IndexClient};
use crate::messages::{BATCH_MAX, Listing, PRESENCE_LIFE, Presence, Scope, Withdraw};
use crate::server::{CBOR, Index};
use crate::store::{Hit, Hits, IndexStore, Page, StoreLimits};
use crate::testing::{ELSEWHERE, HERE, NOW, SECOND, content, key, later, listing, presence, titled};
use crate::views::PageView;

/// A running index, told what time it is. It ends with its runtime.
struct World {
    endpoint: Endpoint,
    client: IndexClient,
    time: Arc<AtomicU64>,
}

fn loopback() -> ServerConfig {
    ServerConfig { listen: ([127, 0, 0, 1], 0).into(), tls: Tls::PlainLoopbackOnly, limits: Limits::default() }
}

impl World {
    async fn new() -> Self {
        let time = Arc::new(AtomicU64::new(NOW.as_millis()));
        let told = Arc::clone(&time);
        let index = Index {
            network: HERE,
            store: Arc::new(IndexStore::in_memory(StoreLimits::default()).unwrap()),
            clock: Arc::new(move || Time::from_millis(told.load(Ordering::SeqCst))),
        };
        let bound = index.bind(loopback()).await.unwrap();
        let endpoint = bound.endpoint().unwrap();
        tokio::spawn(bound.serve(std::future::pending()));
        Self { client: IndexClient::new(endpoint.clone(), HERE).unwrap(), endpoint, time }
    }

    /// The same, with seller 1 present.
    async fn with_seller() -> Self {
        let world = Self::new().await;
        world.client.appear(&key(1).sign(HERE, &presence(NOW))).await.unwrap();
        world
    }

    fn now(&self) -> Time {
        Time::from_millis(self.time.load(Ordering::SeqCst))
    }

    fn set(&self, now: Time) {
        self.time.store(now.as_millis(), Ordering::SeqCst);
    }

    async fn titles(&self, query: &str) -> Vec<String> {
        let found = self.client.search(query, Page::default(), self.now()).await.unwrap();
        assert_eq!(found.dropped, 0);
        found.offers.iter().map(|offer| offer.listing().title.to_string()).collect()
    }

    /// Sends bytes as they are and gives the status and the problem's code.
    async fn post(&self, path: &str, body: Vec<u8>, kind: &str) -> (StatusCode, Option<Code>) {
        let request = reqwest_client(&self.endpoint).post(self.endpoint.url(path)).header("content-type", kind);
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status();
        let problem = farthing_net::http::client::read_problem(answer).await.unwrap();
        (status, problem.code)
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = reqwest_client(&self.endpoint).get(self.endpoint.url(path)).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }
}

fn reqwest_client(endpoint: &Endpoint) -> reqwest::Client {
    farthing_net::http::client::client(endpoint).unwrap()
}

fn code<T: std::fmt::Debug>(answer: Result<T, AskError>) -> Option<Code> {
    match answer.unwrap_err() {
        AskError::Refused(problem) => problem.code,
        other => panic!("not a refusal: {other}"),
    }
}

#[tokio::test]
async fn a_listing_is_announced_found_and_withdrawn() {
    let world = World::with_seller().await;
    let listings = [key(1).sign(HERE, &titled(1, "blue moon")), key(1).sign(HERE, &titled(2, "red sun"))];
    assert_eq!(world.client.announce(&listings).await.unwrap(), 2);
    assert_eq!(world.client.announce(&listings).await.unwrap(), 0, "a repeat is harmless");
    assert_eq!(world.titles("moon").await, ["blue moon"]);

    let found = world.client.sellers_of(&content(2), Page::default(), NOW).await.unwrap();
    let offer = &found.offers[0];
    assert_eq!((offer.seller(), offer.listing()), (key(1).id(), &titled(2, "red sun")));
    assert_eq!(offer.presence().addresses, presence(NOW).addresses);
    assert_eq!(offer.signed_listing(), &listings[1]);

    let gone = Withdraw { serial: NOW, scope: Scope::These(Bounded::new(vec![content(1)]).unwrap()) };
    assert_eq!(world.client.withdraw(&key(1).sign(HERE, &gone)).await.unwrap(), 1);
    assert!(world.titles("moon").await.is_empty());
    assert_eq!(world.titles("sun").await, ["red sun"]);
    let status = world.client.status().await.unwrap();
    assert_eq!((status.network, status.present), (HERE.to_string(), 1));
}

#[tokio::test]
async fn a_seller_that_vanishes_drops_out() {
    let world = World::with_seller().await;
    world.client.announce(&[key(1).sign(HERE, &listing(1))]).await.unwrap();
    world.set(NOW.after(PRESENCE_LIFE).before(SECOND));
    assert_eq!(world.titles("song").await.len(), 1);
    world.set(NOW.after(PRESENCE_LIFE));
    assert!(world.titles("song").await.is_empty());
    world.client.appear(&key(1).sign(HERE, &presence(world.now()))).await.unwrap();
    assert_eq!(world.titles("song").await.len(), 1);
}

#[tokio::test]
async fn a_large_catalogue_goes_in_batches_and_comes_in_pages() {
    let world = World::with_seller().await;
    let many: Vec<Signed<Listing>> = (0..600).map(|n| key(1).sign(HERE, &listing(n))).collect();
    assert_eq!(world.client.announce(&many).await.unwrap(), 600);
    let (mut seen, mut after) = (0, Some(0));
    while let Some(from) = after {
        let found = world.client.search("song", Page::new(from, 100), NOW).await.unwrap();
        assert_eq!(found.dropped, 0);
        seen += found.offers.len();
        after = found.next;
    }
    assert_eq!(seen, 600);
}

#[tokio::test]
async fn index_refuses_a_forged_listing_and_one_of_another_network() {
    let world = World::with_seller().await;
    let elsewhere = key(1).sign(ELSEWHERE, &listing(1));
    assert_eq!(code(world.client.announce(&[elsewhere]).await), Some(Code::Signature));
    // Another's words under one's own name, and the other way round.
    let mut bytes = wire::encode(&key(2).sign(HERE, &listing(1)));
    bytes[3..35].copy_from_slice(&key(1).id().0);
    let forged: Signed<Listing> = wire::decode(&bytes).unwrap();
    assert_eq!(forged.claimed_signer(), key(1).id());
    let batch = [key(1).sign(HERE, &listing(2)), forged];
    assert_eq!(code(world.client.announce(&batch).await), Some(Code::Signature));
    assert!(world.titles("song").await.is_empty(), "nothing of the batch was taken");
    let presence = key(1).sign(ELSEWHERE, &presence(NOW.after(SECOND)));
    assert_eq!(code(world.client.appear(&presence).await), Some(Code::Signature));
    let withdraw = key(1).sign(ELSEWHERE, &Withdraw { serial: NOW, scope: Scope::All });
    assert_eq!(code(world.client.withdraw(&withdraw).await), Some(Code::Signature));
}

#[tokio::test]
async fn a_stranger_cannot_withdraw_anothers_listing_nor_replay_a_stale_one() {
    let world = World::with_seller().await;
    let old = key(1).sign(HERE, &listing(1));
    world.client.announce(std::slice::from_ref(&old)).await.unwrap();
    let strange = key(2).sign(HERE, &Withdraw { serial: NOW, scope: Scope::All });
    assert_eq!(world.client.withdraw(&strange).await.unwrap(), 0);
    assert_eq!(world.titles("song").await.len(), 1);
    let dearer = key(1).sign(HERE, &later(listing(1), SECOND));
    assert_eq!(world.client.announce(&[dearer]).await.unwrap(), 1);
    assert_eq!(code(world.client.announce(&[old]).await), Some(Code::Sequence));
}

#[tokio::test]
async fn index_refuses_rubbish_of_every_kind() {
    let world = World::with_seller().await;
    let good = wire::encode(&Bounded::<_, BATCH_MAX>::new(vec![key(1).sign(HERE, &listing(1))]).unwrap());
    let oversized: Vec<_> = (0..=BATCH_MAX as u32).map(|n| key(1).sign(HERE, &listing(n))).collect();
    let oversized = wire::encode(&Bounded::<_, 1_000>::new(oversized).unwrap());
    let trailing = [&good[..], &[0]].concat();
    let nested = vec![0x81; 100_000];
    let bad = [Vec::new(), vec![0xff; 64], good[..good.len() - 1].to_vec(), trailing, nested, oversized];
    for body in bad {
        for path in ["/v1/announce", "/v1/presence", "/v1/withdraw"] {
            let answer = world.post(path, body.clone(), CBOR).await;
            assert_eq!(answer, (StatusCode::BAD_REQUEST, Some(Code::Malformed)), "{path}");
        }
    }
    let endless = world.post("/v1/announce", vec![0; wire::MESSAGE_MAX + 1], CBOR).await;
    assert_eq!(endless.0, StatusCode::PAYLOAD_TOO_LARGE);
    let mislabelled = world.post("/v1/announce", good, "application/json").await;
    assert_eq!(mislabelled.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(world.titles("song").await.is_empty());
}

/// A batch of one listing as somebody would sign it who ignores what a title may hold.
fn careless(title: &'static str) -> Vec<u8> {
    /// The same statement, carrying whatever bytes it is given.
    struct Raw(Vec<u8>);
    impl Encode<()> for Raw {
        fn encode<W: minicbor::encode::Write>(
            &self,
            e: &mut minicbor::Encoder<W>,
            _: &mut (),
        ) -> Result<(), minicbor::encode::Error<W::Error>> {
            e.writer_mut().write_all(&self.0).map_err(minicbor::encode::Error::write)
        }
    }
    impl<'b> minicbor::Decode<'b, ()> for Raw {
        fn decode(_: &mut minicbor::Decoder<'b>, _: &mut ()) -> Result<Self, minicbor::decode::Error> {
            Err(minicbor::decode::Error::message("only written"))
        }
    }
    impl Statement for Raw {
        const KIND: u16 = Listing::KIND;
    }
    let (bytes, from) = (wire::encode(&titled(1, "PLACEHOLDER")), wire::encode(&"PLACEHOLDER"));
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    let body = [&bytes[..at], &wire::encode(&title), &bytes[at + from.len()..]].concat();
    wire::encode(&Bounded::<_, 1>::new(vec![key(1).sign(HERE, &Raw(body))]).unwrap())
}

#[tokio::test]
async fn index_refuses_titles_that_deceive_however_well_signed() {
    let world = World::with_seller().await;
    for title in ["gpj.\u{202e}exe", "a\0b", "a\nb", "\u{1b}[2J", "a\u{200b}", "\u{2066}x", " x", ""] {
        let answer = world.post("/v1/announce", careless(title), CBOR).await;
        assert_eq!(answer, (StatusCode::BAD_REQUEST, Some(Code::Malformed)), "{title:?}");
    }
    let honest = world.post("/v1/announce", careless("../../etc/passwd is only a title"), CBOR).await;
    assert_eq!(honest.0, StatusCode::OK);
    assert_eq!(world.titles("passwd").await, ["../../etc/passwd is only a title"]);
}

#[tokio::test]
async fn queries_of_strangers_are_answered_or_refused_and_never_understood() {
    let world = World::with_seller().await;
    world.client.announce(&[key(1).sign(HERE, &titled(1, "blue moon"))]).await.unwrap();
    for query in ["moon\"", "moon*", "-moon", "(moon", "moon)"] {
        assert_eq!(world.titles(query).await.len(), 1, "{query}");
    }
    for query in ["moon OR x", "NEAR(moon x)", "title:moon", "moon NOT x", "mo*", "\u{202e}x"] {
        assert!(world.titles(query).await.is_empty(), "{query}");
    }
    for query in ["", "*", "\"", "\0"] {
        let answer = world.client.search(query, Page::default(), NOW).await;
        assert_eq!(code(answer), Some(Code::Malformed), "{query:?}");
    }
    let endless = world.client.search(&"x".repeat(300), Page::default(), NOW).await;
    assert_eq!(code(endless), Some(Code::Limit));
    assert_eq!(world.get("/v1/content/nonsense").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(world.get("/v1/search").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn operators_find_health_metrics_and_a_description() {
    let world = World::with_seller().await;
    for path in ["/healthz", "/readyz", "/metrics", "/v1/status"] {
        assert_eq!(world.get(path).await.0, StatusCode::OK, "{path}");
    }
    let document: serde_json::Value = serde_json::from_str(&world.get("/openapi.json").await.1).unwrap();
    for path in ["/v1/announce", "/v1/presence", "/v1/withdraw", "/v1/search", "/v1/content/{content}", "/v1/status"] {
        assert!(document["paths"][path].is_object(), "{path} is described");
    }
    assert_eq!(world.get("/elsewhere").await.0, StatusCode::NOT_FOUND);
}

/// An index that answers every search with the same page.
async fn lying_index(page: PageView) -> IndexClient {
    let server = Server::bind(loopback()).await.unwrap();
    let endpoint = server.endpoint().unwrap();
    let router = Router::new().fallback(get(move || async move { Json(page) }));
    tokio::spawn(async move { server.serve(router, std::future::pending()).await });
    IndexClient::new(endpoint, HERE).unwrap()
}

#[tokio::test]
async fn searcher_drops_and_counts_what_a_lying_index_makes_up() {
    let hit = |listing: Signed<Listing>, presence: Signed<Presence>| Hit { listing, presence };
    let (listed, present) = (key(1).sign(HERE, &listing(1)), key(1).sign(HERE, &presence(NOW)));
    let old = Listing { expires: NOW, ..listing(1) };
    let hits = vec![
        hit(listed.clone(), present.clone()),
        hit(key(1).sign(ELSEWHERE, &listing(1)), present.clone()),
        hit(key(1).sign(HERE, &old), present.clone()),
        hit(listed.clone(), key(2).sign(HERE, &presence(NOW))),
        hit(listed.clone(), key(1).sign(HERE, &presence(NOW.before(farthing_core::time::Span::from_hours(1))))),
        hit(key(1).sign(HERE, &listing(2)), present),
    ];
    let mut page = PageView::of(&Hits { hits, next: Some(0) }).unwrap();
    // A changed word for people changes nothing; a changed signed byte is found out.
    page.hits[0].price = "0.000001 XTS".into();
    let mut tampered = page.hits[0].clone();
    let mut bytes = STANDARD.decode(&tampered.listing).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    tampered.listing = STANDARD.encode(&bytes);
    page.hits.push(tampered);
    let mut rubbish = page.hits[0].clone();
    rubbish.presence = "????".into();
    page.hits.push(rubbish);

    let client = lying_index(page).await;
    let found = client.sellers_of(&content(1), Page::default(), NOW).await.unwrap();
    assert_eq!((found.offers.len(), found.dropped), (1, 7));
    assert_eq!(found.offers[0].listing(), &listing(1), "the price is the signed one");
    assert_eq!(found.next, None, "a next page that leads back is not followed");
    let searched = client.search("song", Page::default(), NOW).await.unwrap();
    assert_eq!((searched.offers.len(), searched.dropped), (2, 6), "a search may find any content");
    let few = client.search("song", Page::new(0, 1), NOW).await.unwrap();
    assert_eq!(few.offers.len(), 1, "no more than asked for");
}

#[tokio::test]
async fn searcher_reads_no_endless_answer() {
    let server = Server::bind(loopback()).await.unwrap();
    let client = IndexClient::new(server.endpoint().unwrap(), HERE).unwrap();
    let endless = " ".repeat(crate::client::ANSWER_BYTES_MAX + 1);
    let router = Router::new().fallback(get(move || async move { endless }));
    tokio::spawn(async move { server.serve(router, std::future::pending()).await });
    let answer = client.search("song", Page::default(), NOW).await;
    assert!(matches!(answer, Err(AskError::Read(_))), "{answer:?}");
}
