//! Bank, sellers and buyers are killed at random moments while money moves, again and again. Then
//! everything settles, and the books are compared.
//!
//! `FARTHING_STORM_SEED` chooses the moments and `FARTHING_STORM_KILLS` their number.

mod storm;

use std::collections::BTreeMap;
use std::path::PathBuf;

use farthing_e2e::{Goods, PIECE_MICROS, Town, Way, amount, proofs, quiet_port};
use storm::{Buyer, Keeper, Storm, settle};

/// What each buyer begins with, in micros.
const FUND_MICROS: u64 = 20_000_000;
/// Sellers, who all sell the same.
const SELLERS: [&str; 2] = ["ada", "ben"];
/// Buyers.
const BUYERS: [&str; 3] = ["cleo", "dora", "emil"];

#[test]
fn whoever_is_killed_whenever_nothing_acknowledged_is_lost_and_nothing_is_created() {
    let goods = Goods::of_pieces(&[12, 5, 2, 1]);
    let mut town = Town::open(Way::Plain);
    // One is found where it was before, the other one somewhere else each time.
    let fixed = format!("/ip4/127.0.0.1/tcp/{}", quiet_port());
    let sellers = vec![town.seller_at(SELLERS[0], &goods, &fixed), town.seller(SELLERS[1], &goods)];
    let people: Vec<_> = BUYERS.iter().map(|name| town.person(name, "20")).collect();
    let wares: Vec<_> =
        goods.0.iter().map(|ware| (town.content(&people[0], ware, SELLERS.len()), ware.clone())).collect();

    // The storm.
    let storm = Storm::from_environment();
    let open = town.take_bank().unwrap();
    let bank = Keeper::of(&town.bank_home, &town.bank_args(), open);
    let homes: Vec<_> = sellers.iter().map(|seller| seller.home.clone()).collect();
    let shops = sellers.into_iter().map(|seller| Keeper::of(&seller.home, &["serve".to_owned()], seller.shop));
    let buyers =
        people.into_iter().enumerate().map(|(at, home)| Buyer::new(home, wares.clone(), storm.seed + at as u64));
    let after = storm.rage(bank, shops.collect(), &homes, buyers.collect());
    eprintln!("{}", after.told);

    // The calm: purchases that broke off are finished, and everything earned is redeemed.
    let buyers = settle(after.buyers, &homes);
    for shop in after.shops {
        let done = shop.stop();
        assert!(done.is_good(), "{done}");
    }
    let asked = homes.iter().chain(buyers.iter().map(|buyer| &buyer.home));
    for home in asked {
        let standing = home.get(&["wallet", "show"]);
        assert_eq!((&standing["restored"], &standing["suspended"]), (&false.into(), &false.into()), "{standing:#}");
        assert_eq!(amount(&standing["unredeemed"]), 0, "{standing:#}");
    }
    let books = town.books();
    assert!(books.suspended.is_empty(), "{:?}", books.suspended);

    // What was acknowledged has happened, and nothing that was not asked for.
    let acknowledged: u64 = buyers.iter().map(|buyer| FUND_MICROS + buyer.fund_acknowledged).sum();
    let attempted: u64 = buyers.iter().map(|buyer| FUND_MICROS + buyer.fund_attempted).sum();
    assert!((acknowledged..=attempted).contains(&books.funded), "{acknowledged} {} {attempted}", books.funded);

    // Sellers: each redemption is in the books, once.
    let mut earned = BTreeMap::new();
    for home in &homes {
        let me = home.get(&["wallet", "show"])["peer"].as_str().unwrap().to_owned();
        let history = home.get(&["history", "-n", "100000"]);
        let sum = |what: &str| -> u64 {
            let lines = history["lines"].as_array().unwrap().iter();
            lines.filter(|line| line["what"] == what).map(|line| amount(&line["amount"])).sum()
        };
        assert_eq!(sum("not paid"), 0, "{history:#}");
        assert_eq!(books.all(&me), sum("redeemed"), "what {me} redeemed is not what it has");
        assert!(sum("sold") <= sum("redeemed"), "{me} sold what it was not paid for");
        earned.insert(me, sum("redeemed"));
    }

    // Buyers: what they paid, by the bank's word, is what they got, but for payments whose piece
    // was lost with a process that was killed.
    let mut delivered = 0;
    let mut receipted: BTreeMap<String, u64> = BTreeMap::new();
    let mut stretches: BTreeMap<[u8; 32], Vec<(u32, u32)>> = BTreeMap::new();
    let mut had = 0;
    for buyer in &buyers {
        let me = buyer.home.get(&["wallet", "show"])["peer"].as_str().unwrap().to_owned();
        had += books.all(&me);
        for (ware, folder) in &buyer.bought {
            let found: Vec<PathBuf> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|at| at.is_file())
                .collect();
            assert_eq!(found, [folder.join(&ware.name)], "one file was bought");
            assert!(ware.is_at(&found[0]), "{} is not what was sold", found[0].display());
            delivered += ware.pieces();
        }
        for proof in proofs(&buyer.home) {
            *receipted.entry(proof.payee.to_string()).or_default() += proof.micros;
            stretches.entry(proof.chain).or_default().push(proof.units);
        }
    }
    let spent = books.funded - had;
    assert_eq!(earned.values().sum::<u64>(), spent, "sellers got what buyers spent");
    for (payee, micros) in &receipted {
        assert!(*micros <= earned[payee], "{payee} signed receipts over {micros}, and was paid {}", earned[payee]);
    }
    for units in stretches.values_mut() {
        units.sort_unstable();
        assert!(units.windows(2).all(|two| two[0].1 < two[1].0), "a unit was paid twice: {units:?}");
    }
    let (due, each) = (delivered * PIECE_MICROS, PIECE_MICROS);
    assert!(spent >= due, "{delivered} pieces were delivered, and {} paid", spent / each);
    assert_eq!((spent - due) % each, 0);
    let lost = (spent - due) / each;
    eprintln!("{delivered} pieces delivered; {lost} paid for and lost with a process");
    assert!(lost <= after.in_flight_max, "{lost} payments were lost, with {} under way at most", after.in_flight_max);
}
