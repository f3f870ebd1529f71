use proptest::prelude::*;

use super::*;
use crate::sign::SecretKey;
use crate::wire;

const HERE: NetworkId = NetworkId([1; 16]);
const NOTHING: OrderId = OrderId([0; 32]);

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// A thing issued to `holders[0]` and passed from each to the next.
fn title(issue: u8, holders: &[u8]) -> Title {
    let mut title = Title::issued([issue; 32], key(holders[0]).id());
    for pair in holders.windows(2) {
        title = passed(title, pair[0], pair[1], 0);
    }
    title
}

fn passed(title: Title, from: u8, to: u8, at: u64) -> Title {
    let hop = title.next(key(to).id(), NOTHING, Time::from_millis(at)).unwrap();
    title.passed(key(from).sign(HERE, &hop)).unwrap()
}

fn with_hops(title: &Title, hops: Vec<Signed<Hop>>) -> Title {
    Title { hops: Bounded::new(hops).unwrap(), ..title.clone() }
}

#[test]
fn a_title_belongs_to_the_last_holder_named_and_survives_the_wire() {
    let sent = title(9, &[1, 2, 3]);
    let got: Title = wire::decode(&wire::encode(&sent)).unwrap();
    let held = got.verify(HERE).unwrap();
    assert_eq!(held.holder(), key(3).id());
    assert_eq!(held.giver(), Some(key(2).id()));
    assert_eq!(held.holders(), [key(1).id(), key(2).id(), key(3).id()]);
    assert_eq!(held.title().head(), sent.head());
    assert_eq!(title(9, &[1]).verify(HERE).unwrap().giver(), None);
}

#[test]
fn a_thief_that_was_not_named_cannot_pass_a_title_on() {
    let stolen = passed(title(9, &[1, 2]), 7, 8, 0);
    assert_eq!(stolen.verify(HERE).unwrap_err(), Broken::NotHolder { at: 2 });
}

#[test]
fn a_hop_that_is_cut_out_reordered_or_taken_from_another_title_breaks_the_chain() {
    let whole = title(9, &[1, 2, 1, 2]);
    let hops = whole.hops.as_slice().to_vec();
    let cut = with_hops(&whole, vec![hops[2].clone()]);
    assert_eq!(cut.verify(HERE).unwrap_err(), Broken::Severed { at: 1 });
    let reordered = with_hops(&whole, vec![hops[2].clone(), hops[1].clone(), hops[0].clone()]);
    assert_eq!(reordered.verify(HERE).unwrap_err(), Broken::Severed { at: 1 });
    let foreign = with_hops(&whole, title(8, &[1, 2]).hops.into_vec());
    assert_eq!(foreign.verify(HERE).unwrap_err(), Broken::Severed { at: 1 });
    assert!(whole.verify(HERE).is_ok());
}

#[test]
fn a_hop_that_counts_wrongly_or_holds_in_another_network_is_refused() {
    let start = title(9, &[1]);
    let mut hop = start.next(key(2).id(), NOTHING, Time::from_millis(0)).unwrap();
    let elsewhere = start.clone().passed(key(1).sign(NetworkId([2; 16]), &hop)).unwrap();
    assert_eq!(elsewhere.verify(HERE).unwrap_err(), Broken::Unproven { at: 1, why: Unproven::Forged });
    hop.seq = 2;
    let miscounted = start.passed(key(1).sign(HERE, &hop)).unwrap();
    assert_eq!(miscounted.verify(HERE).unwrap_err(), Broken::Severed { at: 1 });
}

#[test]
fn a_title_is_passed_on_eight_times_and_no_more() {
    let full = title(9, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(full.next(key(1).id(), NOTHING, Time::from_millis(0)), Err(Broken::Full));
    let hop = full.hops.as_slice()[0].clone();
    assert_eq!(full.clone().passed(hop).unwrap_err(), Broken::Full);
    assert!(full.verify(HERE).is_ok());
}

#[test]
fn who_passes_one_title_to_two_is_convicted_and_nobody_after_it() {
    let start = title(9, &[1, 2]);
    let a = passed(passed(start.clone(), 2, 3, 0), 3, 4, 0);
    let b = passed(passed(start.clone(), 2, 5, 0), 5, 6, 0);
    assert_eq!(diverge(HERE, &a, &b), Verdict::Guilty(key(2).id()));
    assert_eq!(diverge(HERE, &b, &a), Verdict::Guilty(key(2).id()));
    assert_eq!(diverge(HERE, &a, &start), Verdict::Insufficient);
    assert_eq!(diverge(HERE, &a, &a.clone()), Verdict::Insufficient);
    assert_eq!(diverge(HERE, &title(9, &[1, 2]), &title(8, &[1, 3])), Verdict::Insufficient);
    assert_eq!(diverge(NetworkId([2; 16]), &a, &b), Verdict::Insufficient);
}

/// What honest holders remember: the one successor they signed for each head.
#[derive(Default)]
struct Honest(Vec<([u8; 32], Signed<Hop>)>);

impl Honest {
    /// An honest holder asked again to pass the same title on shows the hop it signed first.
    fn pass(&mut self, title: Title, from: u8, to: u8, at: u64) -> Option<Title> {
        let hop = title.next(key(to).id(), NOTHING, Time::from_millis(at)).ok()?;
        let known = self.0.iter().find(|(prev, hop)| *prev == title.head() && hop.claimed_signer() == key(from).id());
        let signed = known.map_or_else(|| key(from).sign(HERE, &hop), |(_, signed)| signed.clone());
        self.0.push((title.head(), signed.clone()));
        title.passed(signed).ok()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Soundness: keys 1 to 3 are honest and pass titles on as they are asked to; keys 4 and 5 sign
    /// whatever they like, and anybody puts any hops together. No honest one is found guilty.
    #[test]
    fn no_conspiracy_of_holders_makes_an_honest_one_guilty(
        steps in prop::collection::vec((0_usize..64, 1_u8..6, 1_u8..6, 0_u64..3), 1..40),
        splices in prop::collection::vec((0_usize..64, 0_usize..64, 0_usize..8), 0..20),
    ) {
        let mut honest = Honest::default();
        let mut titles: Vec<Title> = (1..6).map(|first| title(9, &[first])).collect();
        for (which, from, to, at) in steps {
            let base = titles[which % titles.len()].clone();
            let next = if from <= 3 { honest.pass(base, from, to, at) } else {
                base.next(key(to).id(), NOTHING, Time::from_millis(at)).ok()
                    .and_then(|hop| base.passed(key(from).sign(HERE, &hop)).ok())
            };
            titles.extend(next);
        }
        for (a, b, cut) in splices {
            let (a, b) = (titles[a % titles.len()].clone(), titles[b % titles.len()].clone());
            let head = a.hops.as_slice().iter().take(cut).cloned();
            let hops: Vec<_> = head.chain(b.hops.into_vec()).take(HOPS_MAX).collect();
            titles.push(with_hops(&a, hops));
        }
        for a in &titles {
            for b in &titles {
                let verdict = diverge(HERE, a, b);
                prop_assert!((1..4).all(|who| verdict != Verdict::Guilty(key(who).id())), "{a:?} {b:?}");
            }
        }
    }

    /// Completeness: two unbroken titles of one thing, neither of which goes on from the other,
    /// always convict somebody.
    #[test]
    fn two_titles_of_one_thing_always_convict_the_holder_where_they_part(
        shared in prop::collection::vec(1_u8..9, 1..5), a in 20_u8..24, b in 30_u8..34, more in 0_u8..3,
    ) {
        let start = title(9, &shared);
        let from = *shared.last().unwrap();
        let mut left = passed(start.clone(), from, a, 0);
        let right = passed(start, from, b, 0);
        for _ in 0..more {
            left = passed(left, a, a, 0);
        }
        prop_assert!(left.clone().verify(HERE).is_ok() && right.clone().verify(HERE).is_ok());
        prop_assert_eq!(diverge(HERE, &left, &right), Verdict::Guilty(key(from).id()));
    }
}
