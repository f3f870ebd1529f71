use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::amount::Currency;

fn header(units: u32, salt: u8) -> Header {
    Header {
        payer: PeerId([3; 32]),
        scheme: Scheme::NetPay,
        units,
        unit: Currency::XTS.micros(1_000).unwrap(),
        scope: Scope::Any,
        salt: [salt; 16],
        not_after: Time::from_millis(1),
    }
}

fn chain(units: u32, salt: u8) -> (Header, Tag, Pebbles) {
    let header = header(units, salt);
    let pebbles = Pebbles::new(&header, [9; 32]).unwrap();
    (header.clone(), Tag::new(&header), pebbles)
}

#[test]
fn a_step_is_plain_sha256_of_tag_index_and_word() {
    let header = header(10, 1);
    let mut plain = Sha256::new();
    plain.update(hash(Purpose::ChainTag, &[]));
    plain.update(hash(Purpose::ChainTag, &[&wire::encode(&header)]));
    plain.update(7_u64.to_be_bytes());
    plain.update([5; 32]);
    let expected: [u8; 32] = plain.finalize().into();
    assert_eq!(Tag::new(&header).step(7, &Word([5; 32])), Word(expected));
}

#[test]
fn payee_accepts_words_by_jumps_of_any_size_up_to_the_limit() {
    let (_, tag, mut words) = chain(10_000, 1);
    let mut tip = Payword::root(words.root());
    for index in [1, 2, 7, 4_103, 8_199, 10_000] {
        tip = tip.advance(&tag, 10_000, index, words.word(index).unwrap()).unwrap();
        assert_eq!(tip.index(), index);
    }
}

#[test]
fn payee_refuses_a_word_stolen_from_a_chain_with_the_same_seed() {
    let (_, tag, mut ours) = chain(10, 1);
    let (_, _, mut twin) = chain(10, 2); // One seed, two salts: only the tag tells them apart.
    let root = Payword::root(ours.root());
    assert_eq!(root.advance(&tag, 10, 1, twin.word(1).unwrap()), Err(WordError::NotOnChain));
    assert!(root.advance(&tag, 10, 1, ours.word(1).unwrap()).is_ok());
}

#[test]
fn payee_refuses_a_word_under_another_index() {
    let (_, tag, mut words) = chain(10, 1);
    let root = Payword::root(words.root());
    assert_eq!(root.advance(&tag, 10, 3, words.word(2).unwrap()), Err(WordError::NotOnChain));
}

#[test]
fn payee_refuses_a_word_beyond_the_end_before_hashing() {
    let (_, tag, mut words) = chain(10, 1);
    let root = Payword::root(words.root());
    let (answer, cost) = meter::measure(|| root.advance(&tag, 5, 6, words.word(6).unwrap()));
    assert_eq!(answer, Err(WordError::BeyondEnd { upto: 5 }));
    assert!(cost.of(Op::Hash) <= 10, "only the payer hashed");
    assert_eq!(words.word(11), None);
    assert_eq!(words.word(0), None);
}

#[test]
fn payee_refuses_a_replayed_word_and_says_where_it_stands() {
    let (_, tag, mut words) = chain(10, 1);
    let tip = Payword::root(words.root()).advance(&tag, 10, 4, words.word(4).unwrap()).unwrap();
    assert_eq!(tip.advance(&tag, 10, 4, words.word(4).unwrap()), Err(WordError::NotAboveTip { tip: 4 }));
    assert_eq!(tip.advance(&tag, 10, 2, words.word(2).unwrap()), Err(WordError::NotAboveTip { tip: 4 }));
}

#[test]
fn payee_refuses_a_giant_jump_at_no_cost() {
    let (_, tag, words) = chain(CHAIN_LEN_MAX, 1);
    let root = Payword::root(words.root());
    let (answer, cost) = meter::measure(|| root.advance(&tag, CHAIN_LEN_MAX, JUMP_MAX + 1, Word([0; 32])));
    assert_eq!(answer, Err(WordError::JumpTooFar));
    assert_eq!(cost.of(Op::Hash), 0);
}

#[test]
fn nobody_opens_a_chain_of_nothing_or_of_too_much() {
    assert!(Pebbles::new(&header(0, 1), [9; 32]).is_none());
    assert!(Pebbles::new(&header(CHAIN_LEN_MAX + 1, 1), [9; 32]).is_none());
}

#[test]
fn a_word_costs_its_payer_two_hashes_amortised_and_root_n_memory() {
    let ((), cost) = meter::measure(|| {
        let (_, _, mut words) = chain(10_000, 1);
        assert!(words.marks.len() <= 101);
        for index in 1..=10_000 {
            words.word(index).unwrap();
        }
    });
    assert!(cost.of(Op::Hash) <= 2 * 10_000 + 10);
}

proptest! {
    #[test]
    fn pebbles_give_the_words_that_plain_hashing_gives(units in 1_u32..400, order in prop::collection::vec(1_u32..400, 1..40)) {
        let (_, tag, mut words) = chain(units, 4);
        for index in order {
            let plain = (index <= units).then(|| tag.down(units, Word([9; 32]), index));
            prop_assert_eq!(words.word(index), plain);
        }
        prop_assert_eq!(words.root(), tag.down(units, Word([9; 32]), 0));
    }

    #[test]
    fn words_above_and_below_a_known_one_are_proven_and_forged_ones_are_not(known in 0_u32..50, index in 0_u32..50, forged: bool) {
        let (_, tag, mut words) = chain(50, 4);
        let mut at = |index| if index == 0 { words.root() } else { words.word(index).unwrap() };
        let known = Payword { index: known, word: at(known) };
        let word = if forged { Word([7; 32]) } else { at(index) };
        let answer = prove_many(&[Claimed { tag, known, index, word }])[0];
        prop_assert_eq!(answer.is_ok(), !forged);
    }

    #[test]
    fn walking_many_ends_where_walking_one_ends(lengths in prop::collection::vec((0_u32..50, 0_u32..50), 0..30)) {
        let walks: Vec<Walk> = lengths
            .iter()
            .enumerate()
            .map(|(n, (from, to))| Walk { tag: Tag::new(&header(50, n as u8)), from: *from, word: Word([n as u8; 32]), to: *to })
            .collect();
        let alone: Vec<Word> = walks.iter().map(|w| w.tag.down(w.from, w.word, w.to)).collect();
        prop_assert_eq!(walk_many(&walks), alone);
    }
}
