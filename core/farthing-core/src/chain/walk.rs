//! Walking many chains down at once: what redemption does all day.

use super::{Block, CHAIN_LEN_MAX, Payword, Tag, Word, WordError};
use crate::meter::{self, Op};

/// How many chains are walked in step. A step waits for the one before it, so a processor that
/// works on several chains in turn finishes many more steps in the same time. With fewer lanes than
/// this it comes back to a block before the bytes stored there have settled, and waits after all.
const LANES: usize = 8;

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
    while let Ok(all) = <&mut [Lane; LANES]>::try_from(lanes.as_mut_slice()) {
        // All lanes go as far as the shortest of them, then the finished ones make room.
        let shared = all.iter().map(|lane| lane.from - lane.to).min().unwrap_or(0);
        for _ in 0..shared {
            for lane in all.iter_mut() {
                lane.block.step(&lane.tag, lane.from);
                lane.from -= 1;
            }
        }
        meter::count(Op::Hash, u64::from(shared) * LANES as u64);
        lanes.retain_mut(|lane| {
            if lane.from > lane.to {
                return true;
            }
            ends[lane.at] = lane.block.word();
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
        ends[lane.at] = lane.tag.down(lane.from, lane.block.word(), lane.to);
    }
    ends
}

/// A word claimed to lie on a chain of which another word is known.
#[derive(Clone, Copy, Debug)]
pub struct Claimed {
    /// The chain's step function.
    pub tag: Tag,
    /// A word known to lie on the chain; the claimed one may lie above or below it.
    pub known: Payword,
    /// The index of the claimed word.
    pub index: u32,
    /// The claimed word.
    pub word: Word,
}

impl Claimed {
    /// How many steps lie between the known and the claimed word: what checking costs.
    #[must_use]
    pub const fn steps(&self) -> u32 {
        self.index.abs_diff(self.known.index)
    }

    fn walk(&self) -> Walk {
        let (high, low) = if self.index < self.known.index {
            ((self.known.index, self.known.word), self.index)
        } else {
            ((self.index, self.word), self.known.index)
        };
        Walk { tag: self.tag, from: high.0, word: high.1, to: low }
    }
}

/// Proves many claimed words at once, in order. The caller bounds the steps.
///
/// # Errors
/// For each [`WordError::NotOnChain`], or [`WordError::BeyondEnd`] above the longest chain.
#[must_use]
pub fn prove_many(claimed: &[Claimed]) -> Vec<Result<Payword, WordError>> {
    let within = |c: &Claimed| c.index <= CHAIN_LEN_MAX;
    let walks: Vec<Walk> = claimed.iter().filter(|c| within(c)).map(Claimed::walk).collect();
    let mut ends = walk_many(&walks).into_iter();
    let answer = |c: &Claimed| {
        if !within(c) {
            return Err(WordError::BeyondEnd { upto: CHAIN_LEN_MAX });
        }
        let expected = if c.index < c.known.index { c.word } else { c.known.word };
        // Both are public: a plain comparison will do.
        if ends.next() == Some(expected) {
            Ok(Payword { index: c.index, word: c.word })
        } else {
            Err(WordError::NotOnChain)
        }
    };
    claimed.iter().map(answer).collect()
}

struct Lane {
    at: usize,
    tag: Tag,
    block: Block,
    from: u32,
    to: u32,
}

impl Lane {
    fn new((at, walk): (usize, &Walk)) -> Self {
        Self { at, tag: walk.tag, block: Block::new(walk.from, &walk.word), from: walk.from, to: walk.to }
    }
}
