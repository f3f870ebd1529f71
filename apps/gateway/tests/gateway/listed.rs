use std::sync::Arc;

use farthing_core::id::ContentId;
use farthing_core::sign::SecretKey;
use farthing_core::time::Span;
use farthing_core::wire::Bounded;
use farthing_dialects::names;
use farthing_gateway::Listed;
use farthing_index::client::{IndexClient, Offer};
use farthing_index::messages::{Listing, PRESENCE_LIFE, Presence};
use farthing_index::server::Index;
use farthing_index::store::{IndexStore, Page, StoreLimits};
use farthing_index::text::{Address, Text};
use farthing_net::http::server::{Limits, ServerConfig, Tls};

use crate::town::{HERE, NOW, Town, micros, seller};

/// An index whose clock stands still.
async fn index() -> IndexClient {
    let store = Arc::new(IndexStore::in_memory(StoreLimits::default()).unwrap());
    let index = Index { network: HERE, store, clock: Arc::new(|| NOW) };
    let plain = Tls::PlainLoopbackOnly;
    let config = ServerConfig { listen: "127.0.0.1:0".parse().unwrap(), tls: plain, limits: Limits::default() };
    let bound = index.bind(config).await.unwrap();
    let client = IndexClient::new(bound.endpoint().unwrap(), HERE).unwrap();
    tokio::spawn(bound.serve(std::future::pending()));
    client
}

async fn search(index: &IndexClient) -> Vec<Offer> {
    index.search("weather", Page::new(0, 10), NOW).await.unwrap().offers
}

/// Searches until what is found is as it should be.
async fn until(index: &IndexClient, right: impl Fn(&Offer) -> bool) -> Offer {
    loop {
        let mut found = search(index).await;
        if found.len() == 1 && right(&found[0]) {
            return found.remove(0);
        }
        tokio::task::yield_now().await;
    }
}

fn prices(price: &str) -> String {
    format!("name = \"The weather\"\ndescription = \"of tomorrow\"\nprice = \"{price}\"\n")
}

async fn listed(index: &IndexClient) -> Town {
    let listed = Listed { index: index.clone(), at: None };
    Town::with(&prices("0.0001 XTS"), |config| config.listed = Some(listed)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_found_on_the_index_with_its_address_while_it_runs_and_at_its_present_price() {
    let index = index().await;
    let mut town = listed(&index).await;
    let offer = until(&index, |_| true).await;
    assert_eq!(offer.seller(), seller(&town));
    let listing = offer.listing();
    assert_eq!((listing.service(), listing.price), (Some(&town.base[..]), micros(100)));
    assert_eq!(listing.title.as_str(), "The weather");
    let words = format!("{} 0.0001 XTS for 1 request of tomorrow", town.base);
    assert_eq!(listing.description.as_str(), words);
    let document = town.get(names::CATALOGUE_PATH).await.bytes().await.unwrap();
    assert_eq!(listing.content, ContentId(*blake3::hash(&document).as_bytes()), "the price list that is given out");
    std::fs::write(town.home.path().join("prices.toml"), prices("0.0008 XTS")).unwrap();
    town.control.reload().await.unwrap();
    until(&index, |offer| offer.listing().price == micros(800)).await;
    town.stop().await;
    assert!(search(&index).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_of_the_same_seller_stays_findable_while_and_after_the_service_is_listed() {
    let index = index().await;
    let key = SecretKey::from_seed(&[9; 32]);
    let address: Address = "/ip4/127.0.0.1/tcp/4001".parse().unwrap();
    let addresses = Bounded::new(vec![address]).unwrap();
    let presence = Presence { serial: NOW, expires: NOW.after(PRESENCE_LIFE), addresses: addresses.clone() };
    index.appear(&key.sign(HERE, &presence)).await.unwrap();
    let file = Listing {
        serial: NOW,
        expires: NOW.after(Span::from_hours(1)),
        content: ContentId([1; 32]),
        size: 1,
        piece: 1,
        price: micros(1),
        title: Text::new("a file").unwrap(),
        description: Text::empty(),
        tags: Bounded::empty(),
        media: Text::empty(),
    };
    index.announce(&[key.sign(HERE, &file)]).await.unwrap();
    let mut town = listed(&index).await;
    assert_eq!(seller(&town), key.id());
    assert_eq!(until(&index, |_| true).await.presence().addresses, addresses);
    town.stop().await;
    assert!(search(&index).await.is_empty());
    let left = index.sellers_of(&file.content, Page::new(0, 10), NOW).await.unwrap().offers;
    assert_eq!(left[0].presence().addresses, addresses, "the shop is still there, as it said itself");
}
