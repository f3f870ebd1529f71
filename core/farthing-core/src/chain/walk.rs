//! Walking many chains down at once: what redemption does all day.

use super::{Tag, Word};
use crate::meter::{self, Op};

/// How many chains are walked in step. A step waits for the one before it, so a processor that
/// works on several chains in turn finishes nearly twice as many steps in the same time.
const LANES: usize = 4;

/// One walk: from a claimed word down to an index.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// The chain's step function.
    pub tag: Tag,
    /// The index of the claimed word.
    pub from: u32,
    /// The claimed word.
    pub word: Word,
    /// The index to walk down to; nothing is hashed if it is not below `from`.
    pub to: u32,
}

/// Where each walk ends, in order. Whether that is the word expected there is for the caller to
/// compare, and so is any bound on the distance.
#[must_use]
pub fn walk_many(walks: &[Walk]) -> Vec<Word> {
    let mut ends: Vec<Word> = walks.iter().map(|walk| walk.word).collect();
    let mut waiting = walks.iter().enumerate().filter(|(_, walk)| walk.to < walk.from);
    let mut lanes: Vec<Lane> = waiting.by_ref().take(LANES).map(Lane::new).collect();
    while let Ok(four) = <&mut [Lane; LANES]>::try_from(lanes.as_mut_slice()) {
        // All lanes go as far as the shortest of them, then the finished ones make room.
        let shared = four.iter().map(|lane| lane.walk.from - lane.walk.to).min().unwrap_or(0);
        for _ in 0..shared {
            for lane in four.iter_mut() {
                lane.walk.word = lane.walk.tag.step(lane.walk.from, &lane.walk.word);
                lane.walk.from -= 1;
            }
        }
        meter::count(Op::Hash, u64::from(shared) * LANES as u64);
        lanes.retain_mut(|lane| {
            if lane.walk.from > lane.walk.to {
                return true;
            }
            ends[lane.at] = lane.walk.word;
            match waiting.next() {
                Some(next) => {
                    *lane = Lane::new(next);
                    true
                }
                None => false,
            }
        });
    }
    for lane in lanes {
        ends[lane.at] = lane.walk.tag.down(lane.walk.from, lane.walk.word, lane.walk.to);
    }
    ends
}

struct Lane {
    at: usize,
    walk: Walk,
}

impl Lane {
    fn new((at, walk): (usize, &Walk)) -> Self {
        Self { at, walk: *walk }
    }
}
