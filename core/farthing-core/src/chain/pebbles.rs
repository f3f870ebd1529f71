//! The payer's side of a chain: every word from a handful of stored ones.

use super::{CHAIN_LEN_MAX, Header, Tag, Word};
use crate::meter::{self, Op};

/// The length of a chain's seed, `w_n`.
pub const SEED_BYTES: usize = 32;

/// A chain as its payer holds it: every √n-th word, and one stretch of √n words spelled out.
///
/// Memory is 2·√n words (64 KiB for the longest chain), never n. Words are given out upwards, from
/// the root to the seed. Making it hashes the chain once, n steps. After that each stretch is
/// hashed once more when the payer enters it, so a word costs one hash amortised, √n at the worst.
pub struct Pebbles {
    tag: Tag,
    units: u32,
    stride: u32,
    /// `marks[k]` is the word of index `min((k + 1) · stride, units)`.
    pub(super) marks: Vec<Word>,
    root: Word,
    /// Which stretch is spelled out, and its words from its lowest index upwards.
    stretch: Option<(u32, Vec<Word>)>,
}

impl Pebbles {
    /// Hashes the whole chain down from its seed. `None` for a chain of no units or of more than
    /// [`CHAIN_LEN_MAX`].
    #[must_use]
    pub fn new(header: &Header, seed: [u8; SEED_BYTES]) -> Option<Self> {
        let units = header.units;
        if units == 0 || units > CHAIN_LEN_MAX {
            return None;
        }
        let tag = Tag::new(header);
        let stride = units.isqrt().max(1);
        let mut marks = Vec::with_capacity(units.div_ceil(stride) as usize);
        let mut word = Word(seed);
        for index in (1..=units).rev() {
            if index == units || index % stride == 0 {
                marks.push(word);
            }
            word = tag.step(index, &word);
        }
        meter::count(Op::Hash, units.into());
        marks.reverse();
        Some(Self { tag, units, stride, marks, root: word, stretch: None })
    }

    /// The root `w_0`, to be signed by the bank.
    #[must_use]
    pub const fn root(&self) -> Word {
        self.root
    }

    /// The word of an index from 1 to the number of units; `None` outside.
    pub fn word(&mut self, index: u32) -> Option<Word> {
        if index == 0 || index > self.units {
            return None;
        }
        let which = (index - 1) / self.stride;
        if self.stretch.as_ref().is_none_or(|(at, _)| *at != which) {
            self.stretch = Some((which, self.spell_out(which)?));
        }
        let (_, words) = self.stretch.as_ref()?;
        words.get((index - 1 - which * self.stride) as usize).copied()
    }

    /// The words of one stretch, lowest index first.
    fn spell_out(&self, which: u32) -> Option<Vec<Word>> {
        let lowest = which * self.stride + 1;
        let highest = lowest.saturating_add(self.stride - 1).min(self.units);
        let mut word = *self.marks.get(which as usize)?;
        let mut words = Vec::with_capacity(self.stride as usize);
        words.push(word);
        for index in (lowest + 1..=highest).rev() {
            word = self.tag.step(index, &word);
            words.push(word);
        }
        meter::count(Op::Hash, (highest - lowest).into());
        words.reverse();
        Some(words)
    }
}

impl core::fmt::Debug for Pebbles {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Pebbles of {} units", self.units)
    }
}

impl Drop for Pebbles {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.marks.iter_mut().for_each(|word| word.0.zeroize());
        if let Some((_, words)) = &mut self.stretch {
            words.iter_mut().for_each(|word| word.0.zeroize());
        }
    }
}
