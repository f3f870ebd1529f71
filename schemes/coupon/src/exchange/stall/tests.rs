use std::collections::BTreeSet;

use farthing_core::refusal::Code;
use farthing_core::sign::Signed;

use super::{AskGoods, NAME_MAX, Shown, Stall};
use crate::exchange::{PRODUCT_MAX, product_digest, request_of};
use crate::micro::micro_order;
use crate::secret::Digest;
use crate::session::Session;
use crate::spender::Spender;
use crate::testing::{HERE, S1, World, key};

const BROKER: u8 = 60;
/// The broker as sellers know it.
const ALIAS: u8 = 73;
const UNITS: u32 = 2;

/// A stall with two products, and a broker's session with it.
struct Market {
    world: World,
    stall: Stall,
    spender: Spender,
    session: Session,
}

impl Market {
    fn new() -> Self {
        let mut world = World::new();
        world.enrol(key(BROKER).id(), 1_000_000);
        let (spender, session) = world.open(BROKER, ALIAS, S1, 100);
        let brokers = BTreeSet::from([key(ALIAS).id()]);
        let mut stall = Stall::new(key(S1), HERE, session.realm(), brokers);
        for product in [&b"a song"[..], b"a poem"] {
            stall.put("something", product.to_vec(), UNITS).unwrap();
        }
        Self { world, stall, spender, session }
    }

    fn order(&self, product: Digest) -> Digest {
        micro_order(self.session.realm(), &request_of(product))
    }

    fn ask(&self, shown: Shown) -> Signed<AskGoods> {
        key(ALIAS).sign(HERE, &AskGoods { chain: self.session.chain(), shown })
    }

    fn check(&self, owed: Option<&Shown>, shown: Shown) -> Result<Shown, Code> {
        let answer = self.stall.check(self.world.now, &self.session, owed, &self.ask(shown));
        answer.map_err(|why| why.code)
    }
}

fn shown(index: u32, product: &[u8]) -> Shown {
    Shown { index, units: UNITS, product: product_digest(product) }
}

#[test]
fn goods_are_shown_before_they_are_paid_and_paid_before_others_are_shown() {
    let mut market = Market::new();
    let song = market.check(None, shown(2, b"a song")).unwrap();
    let goods = market.stall.show(market.world.now, &song, &mut market.world.rng).unwrap();
    let order = market.order(song.product);
    let opened = goods.open(HERE, key(S1).id(), market.world.now, order, Some(song.product));
    assert_eq!(opened.unwrap(), b"a song");
    // A repeat is answered; a broker that only looks sees one product.
    assert_eq!(market.check(Some(&song), song), Ok(song));
    assert_eq!(market.check(Some(&song), shown(4, b"a poem")), Err(Code::State));
    assert_eq!(market.check(Some(&song), shown(4, b"a song")), Err(Code::State));
    let pay = market.spender.pay(UNITS, order).unwrap();
    let ack = market.stall.take(market.world.now, &mut market.session, Some(&song), &pay).unwrap();
    assert_eq!((ack.charged, ack.response), (UNITS, song.product));
    assert_eq!(market.spender.on_ack(&ack), Ok(UNITS));
    // The same units show nothing more, and the next ones do.
    assert_eq!(market.check(None, song), Err(Code::Range));
    assert_eq!(market.check(None, shown(4, b"a poem")), Ok(shown(4, b"a poem")));
}

#[test]
fn a_stall_shows_nothing_to_brokers_it_did_not_name_nor_to_whoever_heard_of_the_session() {
    let mut market = Market::new();
    let song = shown(2, b"a song");
    let ask = AskGoods { chain: market.session.chain(), shown: song };
    let check = |market: &Market, ask: &Signed<AskGoods>| {
        market.stall.check(market.world.now, &market.session, None, ask).map_err(|why| why.code)
    };
    assert_eq!(check(&market, &key(99).sign(HERE, &ask)), Err(Code::Signature));
    let elsewhere = AskGoods { chain: farthing_core::id::ChainId([1; 32]), ..ask.clone() };
    assert_eq!(check(&market, &key(ALIAS).sign(HERE, &elsewhere)), Err(Code::Order));
    assert_eq!(check(&market, &key(ALIAS).sign(HERE, &ask)), Ok(song));
    market.stall.brokers.clear();
    assert_eq!(check(&market, &key(ALIAS).sign(HERE, &ask)), Err(Code::Policy));
}

#[test]
fn a_stall_shows_nothing_that_it_does_not_have_or_that_is_not_paid_in_full_and_in_time() {
    let mut market = Market::new();
    assert_eq!(market.check(None, shown(2, b"noise")), Err(Code::Unknown));
    assert_eq!(market.check(None, Shown { units: 1, ..shown(2, b"a song") }), Err(Code::Amount));
    for index in [0, 1, 101, u32::MAX] {
        assert_eq!(market.check(None, shown(index, b"a song")), Err(Code::Range), "{index}");
    }
    market.world.now = market.session.not_after();
    assert_eq!(market.check(None, shown(2, b"a song")), Err(Code::Expired));
}

#[test]
fn a_coupon_pays_for_the_product_that_was_shown_and_for_no_other() {
    let mut market = Market::new();
    let (song, poem) = (shown(2, b"a song"), shown(2, b"a poem"));
    let pay = market.spender.pay(UNITS, market.order(song.product)).unwrap();
    let now = market.world.now;
    for owed in [None, Some(&poem), Some(&shown(4, b"a song"))] {
        let refused = market.stall.take(now, &mut market.session, owed, &pay).unwrap_err();
        assert_eq!(refused.code, Code::Order);
    }
    assert_eq!(market.session.charged(), 0);
    // The price that was shown holds, whatever the shelf says by now.
    market.stall.put("something", b"a song".to_vec(), 9).unwrap();
    assert_eq!(market.check(Some(&song), song), Ok(song));
    assert_eq!(market.check(None, song), Err(Code::Amount));
    assert!(market.stall.take(now, &mut market.session, Some(&song), &pay).is_ok());
    let again = market.stall.take(now, &mut market.session, Some(&song), &pay).unwrap_err();
    assert_eq!(again.code, Code::Replay);
}

#[test]
fn a_shelf_is_the_sellers_word_and_holds_what_fits() {
    let mut market = Market::new();
    let shelf = market.stall.shelf(market.world.now).verify_by(HERE, key(S1).id()).unwrap();
    assert_eq!(shelf.body().items.as_slice().len(), 2);
    let codes = [
        market.stall.put("x", vec![0; PRODUCT_MAX + 1], 1).unwrap_err().code,
        market.stall.put(&"x".repeat(NAME_MAX + 1), vec![], 1).unwrap_err().code,
        market.stall.put("", vec![], 1).unwrap_err().code,
        market.stall.put("x", vec![], 0).unwrap_err().code,
    ];
    assert_eq!(codes, [Code::Limit, Code::Limit, Code::Limit, Code::Amount]);
    assert!(market.stall.put("nothing at all", vec![], 1).is_ok());
}
