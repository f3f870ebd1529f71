use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Verified;
use farthing_core::time::{SKEW, Span, Time};
use farthing_core::wire::Bounded;

use super::*;
use crate::messages::{LISTING_LIFE_MAX, Listing, PRESENCE_LIFE, Presence, Scope, Withdraw};
use crate::testing::{NOW, SECOND, content, later, listing, presence, said, titled};

const LATER: Time = NOW.after(SECOND);

fn store() -> IndexStore {
    IndexStore::in_memory(StoreLimits::default()).unwrap()
}

/// A store in which these sellers are present.
fn store_with(sellers: &[u8]) -> IndexStore {
    let store = store();
    for seller in sellers {
        store.appear(&said(*seller, &presence(NOW)), NOW).unwrap();
    }
    store
}

fn announce(store: &IndexStore, seller: u8, listings: &[Listing]) -> Result<usize, StoreError> {
    let listings: Vec<Verified<Listing>> = listings.iter().map(|listing| said(seller, listing)).collect();
    store.announce(&listings, NOW.after(SECOND))
}

fn search(store: &IndexStore, query: &str, now: Time) -> Vec<Listing> {
    let hits = store.search(&Query::new(query).unwrap(), Page::default(), now).unwrap();
    hits.hits.iter().map(|hit| hit.listing.peek().unwrap()).collect()
}

fn sellers(store: &IndexStore, n: u32, now: Time) -> usize {
    store.sellers_of(&content(n), Page::default(), now).unwrap().hits.len()
}

fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> Refusal {
    match answer.unwrap_err() {
        StoreError::Refused(refusal) => refusal,
        other => panic!("not a refusal: {other}"),
    }
}

fn withdraw(serial: Time, contents: &[u32]) -> Withdraw {
    let contents = contents.iter().map(|n| content(*n)).collect();
    Withdraw { serial, scope: Scope::These(Bounded::new(contents).unwrap()) }
}

fn withdraw_all(serial: Time) -> Withdraw {
    Withdraw { serial, scope: Scope::All }
}

#[test]
fn a_listing_is_found_by_every_word_of_it_and_by_its_content() {
    let store = store_with(&[1]);
    assert_eq!(announce(&store, 1, &[titled(1, "Über den Wolken"), titled(2, "README.md")]).unwrap(), 2);
    for query in ["wolken", "UBER", "den über", "music wolken", "ogg wolken"] {
        assert_eq!(search(&store, query, NOW), [titled(1, "Über den Wolken")], "{query}");
    }
    assert_eq!(search(&store, "readme.md", NOW), [titled(2, "README.md")]);
    assert_eq!(search(&store, "wolken nothing", NOW), []);
    assert_eq!(sellers(&store, 1, NOW), 1);
    assert_eq!(sellers(&store, 3, NOW), 0);
}

#[test]
fn equal_matches_are_ordered_by_price_and_sellers_too() {
    let store = store_with(&[1, 2, 3]);
    for (seller, price) in [(1, "0.003 XTS"), (2, "0.001 XTS"), (3, "0.002 XTS")] {
        announce(&store, seller, &[Listing { price: price.parse().unwrap(), ..listing(1) }]).unwrap();
    }
    let prices = |found: Vec<Listing>| found.iter().map(|l| l.price.as_micros()).collect::<Vec<_>>();
    assert_eq!(prices(search(&store, "song", NOW)), [1_000, 2_000, 3_000]);
    let of_content = store.sellers_of(&content(1), Page::default(), NOW).unwrap().hits;
    assert_eq!(prices(of_content.iter().map(|hit| hit.listing.peek().unwrap()).collect()), [1_000, 2_000, 3_000]);
}

#[test]
fn a_better_match_comes_before_a_lower_price() {
    let store = store_with(&[1]);
    let aside = Listing {
        description: crate::text::Text::new("has nothing to do with the moon at all").unwrap(),
        price: "0 XTS".parse().unwrap(),
        ..titled(1, "sun")
    };
    announce(&store, 1, &[aside, titled(2, "moon")]).unwrap();
    let found: Vec<String> = search(&store, "moon", NOW).iter().map(|l| l.title.to_string()).collect();
    assert_eq!(found, ["moon", "sun"]);
}

#[test]
fn a_seller_that_vanishes_drops_out_and_comes_back() {
    let store = store_with(&[1, 2]);
    announce(&store, 1, &[listing(1)]).unwrap();
    announce(&store, 2, &[listing(1)]).unwrap();
    let over = NOW.after(PRESENCE_LIFE);
    store.appear(&said(2, &presence(over.before(SECOND))), over.before(SECOND)).unwrap();
    assert_eq!(sellers(&store, 1, over.before(SECOND)), 2);
    assert_eq!(sellers(&store, 1, over), 1, "the silent one is gone, the other is not");
    assert_eq!(search(&store, "song", over).len(), 1);
    store.appear(&said(1, &presence(over)), over).unwrap();
    assert_eq!(sellers(&store, 1, over), 2);
}

#[test]
fn a_seller_that_says_goodbye_is_gone_at_once() {
    let store = store_with(&[1]);
    announce(&store, 1, &[listing(1)]).unwrap();
    store.appear(&said(1, &Presence { expires: LATER, ..presence(LATER) }), LATER).unwrap();
    assert_eq!(sellers(&store, 1, LATER), 0);
}

#[test]
fn a_listing_without_presence_is_not_shown() {
    let store = store();
    announce(&store, 1, &[listing(1)]).unwrap();
    assert_eq!((sellers(&store, 1, NOW), search(&store, "song", NOW).len()), (0, 0));
}

#[test]
fn presence_is_judged_by_one_clock_and_a_repeat_does_not_prolong_it() {
    let store = store();
    announce(&store, 1, &[listing(1)]).unwrap();
    // The seller's clock is a minute and a half behind: by its own statement it would be gone.
    let behind = presence(NOW.before(PRESENCE_LIFE));
    store.appear(&said(1, &behind), NOW).unwrap();
    assert_eq!(sellers(&store, 1, NOW), 1);
    let replayed = NOW.after(SKEW).before(PRESENCE_LIFE);
    store.appear(&said(1, &behind), replayed).unwrap();
    assert_eq!(sellers(&store, 1, NOW.after(PRESENCE_LIFE)), 0);
}

#[test]
fn index_refuses_a_presence_older_than_the_last() {
    let store = store();
    store.appear(&said(1, &presence(LATER)), LATER).unwrap();
    assert_eq!(refused(store.appear(&said(1, &presence(NOW)), LATER)).code, Code::Sequence);
    let other = Presence { addresses: Bounded::empty(), ..presence(LATER) };
    assert_eq!(refused(store.appear(&said(1, &other), LATER)).code, Code::Conflict);
}

#[test]
fn an_expired_listing_is_not_shown_and_is_swept() {
    let store = store_with(&[1]);
    let brief = Listing { expires: LATER.after(SECOND), ..listing(1) };
    announce(&store, 1, &[brief.clone(), listing(2)]).unwrap();
    assert_eq!((sellers(&store, 1, LATER), search(&store, "song", LATER).len()), (1, 2));
    assert_eq!((sellers(&store, 1, brief.expires), search(&store, "song", brief.expires).len()), (0, 1));
    assert_eq!(store.sweep(brief.expires).unwrap(), 1);
    assert_eq!(store.holdings(brief.expires).unwrap(), Holdings { listings: 1, sellers: 1, present: 1 });
    let end = NOW.after(LISTING_LIFE_MAX);
    assert_eq!(store.sweep(end).unwrap(), 2, "the other listing and its seller");
    assert_eq!(store.holdings(end).unwrap(), Holdings { listings: 0, sellers: 0, present: 0 });
}

#[test]
fn sweeping_goes_in_bounded_portions() {
    let store = store_with(&[1]);
    let many: Vec<Listing> = (0..1_200).map(|n| Listing { expires: LATER.after(SECOND), ..listing(n) }).collect();
    for batch in many.chunks(200) {
        announce(&store, 1, batch).unwrap();
    }
    let now = NOW.after(SECOND).after(SECOND);
    assert_eq!(store.sweep(now).unwrap(), SWEEP_MAX);
    assert_eq!(store.sweep(now).unwrap(), 200);
    assert_eq!(store.sweep(now).unwrap(), 0);
}

#[test]
fn a_later_listing_replaces_an_earlier_one_with_all_its_words() {
    let store = store_with(&[1]);
    announce(&store, 1, &[titled(1, "old name")]).unwrap();
    let renamed = later(titled(1, "new name"), SECOND);
    assert_eq!(announce(&store, 1, std::slice::from_ref(&renamed)).unwrap(), 1);
    assert_eq!(search(&store, "name", NOW), [renamed]);
    assert_eq!(search(&store, "old", NOW), []);
}

#[test]
fn index_refuses_a_stale_listing_so_that_an_old_price_cannot_be_replayed() {
    let store = store_with(&[1]);
    let cheap = Listing { price: "0.0001 XTS".parse().unwrap(), ..listing(1) };
    announce(&store, 1, std::slice::from_ref(&cheap)).unwrap();
    announce(&store, 1, &[later(listing(1), SECOND)]).unwrap();
    assert_eq!(refused(announce(&store, 1, &[cheap])).code, Code::Sequence);
    assert_eq!(search(&store, "song", NOW)[0].price, listing(1).price);
}

#[test]
fn index_refuses_two_listings_under_one_serial_and_takes_a_repeat() {
    let store = store_with(&[1]);
    assert_eq!(announce(&store, 1, &[listing(1)]).unwrap(), 1);
    assert_eq!(announce(&store, 1, &[listing(1)]).unwrap(), 0);
    assert_eq!(refused(announce(&store, 1, &[titled(1, "other")])).code, Code::Conflict);
}

#[test]
fn a_batch_with_one_bad_listing_leaves_no_trace() {
    let store = store_with(&[1]);
    let refusal = refused(announce(&store, 1, &[listing(1), Listing { piece: 0, ..listing(2) }]));
    assert!(refusal.detail.starts_with("listing 2: "), "{refusal}");
    assert_eq!(sellers(&store, 1, NOW), 0);
    assert_eq!(store.holdings(NOW).unwrap().listings, 0);
    let newcomer = announce(&store, 9, &[Listing { piece: 0, ..listing(1) }]);
    assert_eq!(refused(newcomer).code, Code::Malformed);
    assert_eq!(store.holdings(NOW).unwrap().sellers, 1, "nor does the refused one become a seller");
}

#[test]
fn index_refuses_an_oversized_batch() {
    let store = store();
    let many: Vec<Listing> = (0..257).map(listing).collect();
    assert_eq!(refused(announce(&store, 1, &many)).code, Code::Limit);
}

#[test]
fn a_stranger_cannot_withdraw_the_listing_of_another() {
    let store = store_with(&[1, 2]);
    announce(&store, 1, &[listing(1)]).unwrap();
    announce(&store, 2, &[listing(2)]).unwrap();
    assert_eq!(store.withdraw(&said(2, &withdraw(LATER, &[1])), LATER).unwrap(), 0);
    assert_eq!(store.withdraw(&said(2, &withdraw_all(LATER)), LATER).unwrap(), 1, "its own only");
    assert_eq!(store.withdraw(&said(3, &withdraw_all(LATER)), LATER).unwrap(), 0);
    assert_eq!((sellers(&store, 1, LATER), sellers(&store, 2, LATER)), (1, 0));
}

#[test]
fn what_was_withdrawn_cannot_be_announced_again_by_whoever_kept_it() {
    for withdraw in [withdraw(LATER, &[1]), withdraw_all(LATER)] {
        let store = store_with(&[1]);
        announce(&store, 1, &[listing(1)]).unwrap();
        assert_eq!(store.withdraw(&said(1, &withdraw), LATER).unwrap(), 1);
        assert_eq!((sellers(&store, 1, LATER), search(&store, "song", LATER).len()), (0, 0));
        assert_eq!(store.withdraw(&said(1, &withdraw), LATER).unwrap(), 0, "a repeat does nothing");
        assert_eq!(refused(announce(&store, 1, &[listing(1)])).code, Code::Sequence);
        // Just before the replay would expire by itself the withdrawal is still remembered.
        let almost = listing(1).expires.before(Span::from_millis(1));
        while store.sweep(almost).unwrap() > 0 {}
        assert_eq!(refused(store.announce(&[said(1, &listing(1))], almost)).code, Code::Sequence);
        // The seller itself may offer it anew.
        let anew = later(listing(1), Span::from_secs(2));
        assert_eq!(announce(&store, 1, &[anew]).unwrap(), 1);
        assert_eq!((sellers(&store, 1, LATER), search(&store, "song", LATER).len()), (1, 1));
    }
}

#[test]
fn an_old_withdrawal_does_not_touch_a_later_listing() {
    let store = store_with(&[1]);
    announce(&store, 1, &[later(listing(1), SECOND)]).unwrap();
    assert_eq!(store.withdraw(&said(1, &withdraw(NOW, &[1])), LATER).unwrap(), 0);
    assert_eq!(store.withdraw(&said(1, &withdraw_all(NOW)), LATER).unwrap(), 0);
    assert_eq!(sellers(&store, 1, LATER), 1);
}

#[test]
fn index_refuses_to_grow_beyond_its_limits() {
    let limits = StoreLimits { listings: 3, listings_per_seller: 2, sellers: 2 };
    let store = IndexStore::in_memory(limits).unwrap();
    announce(&store, 1, &[listing(1), listing(2)]).unwrap();
    assert_eq!(refused(announce(&store, 1, &[listing(3)])).code, Code::Limit);
    announce(&store, 2, &[listing(1)]).unwrap();
    assert_eq!(refused(announce(&store, 2, &[listing(2)])).code, Code::Limit);
    assert_eq!(refused(store.appear(&said(3, &presence(NOW)), NOW)).code, Code::Limit);
    // One listing may still change places with itself, and withdrawing everything makes room.
    announce(&store, 1, &[later(listing(1), SECOND)]).unwrap();
    store.withdraw(&said(1, &withdraw_all(LATER)), LATER).unwrap();
    announce(&store, 1, &[later(listing(3), Span::from_secs(2))]).unwrap();
}

#[test]
fn no_query_of_a_stranger_is_read_as_syntax() {
    let store = store_with(&[1]);
    announce(&store, 1, &[titled(1, "blue moon"), titled(2, "title")]).unwrap();
    for query in ["moon\"", "\"moon", "blue\" \"moon", "moon*", "(moon)", "^moon", "+moon", "moon;", "{moon}", "moon\0"]
    {
        assert_eq!(search(&store, query, NOW).len(), 1, "{query:?}");
    }
    for query in [
        "moon OR title",
        "NEAR(blue title)",
        "blue NEAR/1 title",
        "moon NOT blue",
        "title:moon",
        "{title tags}: moon",
        "- title : blue",
        "mo*",
        "moon AND blue",
        "Ⓐ",
        "'; DROP TABLE listings; --",
        "a\" OR \"moon",
        "\u{301}a",
        "rank:x",
        "words",
        "%oon",
        "moo_",
    ] {
        assert_eq!(search(&store, query, NOW).len(), 0, "{query:?} was understood");
    }
    assert_eq!(search(&store, "-moon", NOW).len(), 1, "no word is excluded");
    assert_eq!(sellers(&store, 1, NOW), 1);
}

#[test]
fn ten_thousand_listings_of_one_seller_are_paged_through_without_gap() {
    let store = store_with(&[1]);
    for batch in (0..10_000).collect::<Vec<u32>>().chunks(256) {
        announce(&store, 1, &batch.iter().map(|n| listing(*n)).collect::<Vec<_>>()).unwrap();
    }
    assert_eq!(search(&store, "number 7777", NOW), [listing(7_777)]);
    let (mut seen, mut after) = (std::collections::BTreeSet::new(), Some(0));
    while let Some(from) = after {
        let query = Query::new("song").unwrap();
        let page = store.search(&query, Page::new(from, 1_000), NOW).unwrap();
        assert!(page.hits.len() <= PAGE_MAX as usize);
        seen.extend(page.hits.iter().map(|hit| hit.listing.peek().unwrap().content));
        after = page.next;
    }
    assert_eq!(seen.len(), 10_000);
}

#[test]
fn a_store_in_a_file_is_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.db");
    let store = IndexStore::open(&path, StoreLimits::default()).unwrap();
    store.appear(&said(1, &presence(NOW)), NOW).unwrap();
    announce(&store, 1, &[listing(1), listing(2)]).unwrap();
    assert_eq!(search(&store, "song", NOW).len(), 2);
    drop(store);
    let store = IndexStore::open(&path, StoreLimits::default()).unwrap();
    assert_eq!(store.holdings(NOW).unwrap(), Holdings { listings: 2, sellers: 1, present: 1 });
    assert_eq!(search(&store, "song", NOW).len(), 2);
    drop(store);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let other = IndexStore::open(&path, StoreLimits::default());
    assert!(matches!(other, Err(StoreError::Version { found: 2 })));
}
