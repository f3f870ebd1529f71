//! The hash chain: one implementation for NetPay, µ-iKP and PayWord.
//!
//! PayWord (Rivest and Shamir, 1996): the payer draws `w_n` and hashes it down to a root `w_0`; a
//! payment of `i` units in all is the word `w_i`, which anybody can hash down to the root and
//! nobody can hash up from. Here a step is one SHA-256 compression
//!
//! ```text
//! w_(i-1) = SHA-256( tag(header) ‖ be64(i) ‖ w_i )
//! ```
//!
//! where `tag` is a 64-byte block made of the chain's whole [`Header`]. Its compression is computed
//! once per chain, so index and word fit one more. Salted, bound to payer, payee, unit and length,
//! and with the index in every step: a word of one chain is nothing in another, cycles lead
//! nowhere, and searching many chains at once gives no advantage over searching one.
//!
//! The protocol book's §1.5 says BLAKE3; SHA-256 is faster where processors have instructions for
//! it, and every browser and small device has it.

mod pebbles;
mod walk;

use minicbor::{Decode, Encode};
use sha2::block_api::compress256;

use crate::amount::Amount;
use crate::hash::{Purpose, hash};
use crate::id::{ChainId, PeerId};
use crate::meter::{self, Op};
use crate::time::Time;
use crate::wire;

pub use pebbles::{Pebbles, SEED_BYTES};
pub use walk::{Claimed, Walk, prove_many, walk_many};

/// The longest chain anybody opens: bounds what a stolen seed can cost, and what opening costs.
pub const CHAIN_LEN_MAX: u32 = 1 << 20;

/// How far one word may jump ahead: bounds the hashing that a single message can demand.
pub const JUMP_MAX: u32 = 4_096;

const _: () = assert!(JUMP_MAX <= CHAIN_LEN_MAX, "no jump leaves its chain");

/// The scheme that a chain is for; words of one scheme are nothing in another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Scheme {
    /// P2P-NetPay: one chain, spent at several payees under reserves.
    #[n(0)]
    NetPay,
    /// µ-iKP coupons: one chain, one payee.
    #[n(1)]
    Coupon,
}

/// Who may be paid with a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Scope {
    /// Any payee, each under a reserve that names it.
    #[n(0)]
    Any,
    /// One payee only.
    #[n(1)]
    Payee(#[n(0)] PeerId),
}

/// Everything a chain is bound to.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Header {
    /// The key that signs for the chain; a pseudonym if the payer likes.
    #[n(0)]
    pub payer: PeerId,
    /// The scheme it is for.
    #[n(1)]
    pub scheme: Scheme,
    /// How many units it holds, at most [`CHAIN_LEN_MAX`].
    #[n(2)]
    pub units: u32,
    /// What one unit is worth.
    #[n(3)]
    pub unit: Amount,
    /// Who may be paid.
    #[n(4)]
    pub scope: Scope,
    /// Random, so that no two chains share a step.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub salt: [u8; 16],
    /// The first moment at which no payee should take its words any more.
    #[n(6)]
    pub not_after: Time,
}

impl Header {
    /// What the whole chain is worth.
    ///
    /// # Errors
    /// When that is out of range.
    pub fn value(&self) -> Result<Amount, crate::amount::AmountError> {
        self.unit.checked_mul(self.units.into())
    }

    /// The identity of the chain with this root.
    #[must_use]
    pub fn chain_id(&self, root: &Word) -> ChainId {
        ChainId(hash(Purpose::ChainId, &[&wire::encode(self), &root.0]))
    }
}

/// One value of a chain. The one with index `i` is worth `i` units to whoever holds a reserve for
/// it, so its `Debug` shows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Word(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

impl core::fmt::Debug for Word {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Word(…)")
    }
}

/// The step function of one chain: the compression of its tag block, computed once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tag([u32; 8]);

impl Tag {
    /// The step function of the chain with this header.
    #[must_use]
    pub fn new(header: &Header) -> Self {
        let mut block = [0; 64];
        block[..32].copy_from_slice(&hash(Purpose::ChainTag, &[]));
        block[32..].copy_from_slice(&hash(Purpose::ChainTag, &[&wire::encode(header)]));
        let mut state = SHA256_START;
        compress256(&mut state, &[block]);
        Self(state)
    }

    /// `w_(i-1)` from `w_i`. Not metered: callers count their steps in one go.
    #[inline]
    fn step(&self, index: u32, word: &Word) -> Word {
        let mut block = Block::new(index, word);
        block.step(self, index);
        block.word()
    }

    /// Hashes the word of index `from` down to index `to`; the word itself if `to` is not below.
    fn down(&self, from: u32, word: Word, to: u32) -> Word {
        meter::count(Op::Hash, from.saturating_sub(to).into());
        (to..from).rev().fold(word, |above, below| self.step(below + 1, &above))
    }
}

/// The last block of a step's message: index, word, and SHA-256's padding. A step turns it into the
/// block of the next one.
#[derive(Clone, Copy)]
struct Block([u8; 64]);

impl Block {
    #[inline]
    fn new(index: u32, word: &Word) -> Self {
        let mut block = [0; 64];
        block[..8].copy_from_slice(&u64::from(index).to_be_bytes());
        block[8..40].copy_from_slice(&word.0);
        block[40] = 0x80;
        block[56..].copy_from_slice(&MESSAGE_BITS.to_be_bytes());
        Self(block)
    }

    /// From the block of `index` to the one below.
    #[inline]
    fn step(&mut self, tag: &Tag, index: u32) {
        let mut state = tag.0;
        compress256(&mut state, core::slice::from_ref(&self.0));
        self.0[..8].copy_from_slice(&u64::from(index.wrapping_sub(1)).to_be_bytes());
        for (bytes, value) in self.0[8..40].chunks_exact_mut(4).zip(state) {
            bytes.copy_from_slice(&value.to_be_bytes());
        }
    }

    #[inline]
    fn word(&self) -> Word {
        let mut word = [0; 32];
        word.copy_from_slice(&self.0[8..40]);
        Word(word)
    }
}

impl core::fmt::Debug for Tag {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Tag")
    }
}

/// SHA-256's initial state (FIPS 180-4 §5.3.3).
const SHA256_START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Tag block, index and word, in bits: what SHA-256's padding states at the end of the message.
const MESSAGE_BITS: u64 = (64 + 8 + 32) * 8;

/// A word known to lie `index` steps above its chain's root. Made from a root that the bank signed,
/// or by [`advance`](Payword::advance); never from a word that a stranger quoted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Payword {
    #[n(0)]
    index: u32,
    #[n(1)]
    word: Word,
}

/// Why a word is turned away. The payee loses nothing by it: it keeps the words it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// The payer's doing: it does not hash down to the last good word; forged, or damaged.
    #[error("the word does not lie on this chain")]
    NotOnChain,
    /// Perhaps nobody's: the index is not above the last; a repeat, or an answer went missing.
    #[error("the word is not above the last one, {tip}: send one above it")]
    NotAboveTip {
        /// The index of the last good word.
        tip: u32,
    },
    /// The payer's doing: beyond the end of what may be spent here.
    #[error("the word lies beyond {upto}, the end of what may be spent here")]
    BeyondEnd {
        /// The highest index allowed.
        upto: u32,
    },
    /// The payer's doing: it would make us hash more than [`JUMP_MAX`] steps.
    #[error("the word jumps further than {JUMP_MAX} steps: pay in smaller steps")]
    JumpTooFar,
}

impl Payword {
    /// The root `w_0`, worth nothing. The caller vouches that the bank signed it.
    #[must_use]
    pub const fn root(root: Word) -> Self {
        Self { index: 0, word: root }
    }

    /// How many units it is worth, counted from the root.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// The word.
    #[must_use]
    pub const fn word(&self) -> Word {
        self.word
    }

    /// Accepts a word by which a payer says where its next reserve begins, hashing all the way down
    /// to this one. The caller bounds how far it is willing to hash; [`CHAIN_LEN_MAX`] bounds it here.
    ///
    /// # Errors
    /// [`WordError`].
    pub fn anchor(self, tag: &Tag, index: u32, word: Word) -> Result<Self, WordError> {
        if index <= self.index {
            return Err(WordError::NotAboveTip { tip: self.index });
        }
        if index > CHAIN_LEN_MAX {
            return Err(WordError::BeyondEnd { upto: CHAIN_LEN_MAX });
        }
        self.reach(tag, index, word)
    }

    fn reach(self, tag: &Tag, index: u32, word: Word) -> Result<Self, WordError> {
        if tag.down(index, word, self.index) != self.word {
            return Err(WordError::NotOnChain); // Both are public: a plain comparison will do.
        }
        Ok(Self { index, word })
    }

    /// The word of an index at or below this one, for a claim of less than is held; itself for an
    /// index above.
    #[must_use]
    pub fn below(self, tag: &Tag, index: u32) -> Self {
        let index = index.min(self.index);
        Self { index, word: tag.down(self.index, self.word, index) }
    }

    /// Accepts a later word of the same chain, at most `upto` and at most [`JUMP_MAX`] ahead.
    ///
    /// PayWord (Rivest and Shamir, 1996), "User-Vendor relationships and payments": a payment is a
    /// word with its index, and the vendor hashes it down to the last word it holds. The range is
    /// checked before anything is hashed.
    ///
    /// # Errors
    /// [`WordError`]; `self` is a copy, so the caller still holds what it held.
    #[inline]
    pub fn advance(self, tag: &Tag, upto: u32, index: u32, word: Word) -> Result<Self, WordError> {
        if index <= self.index {
            return Err(WordError::NotAboveTip { tip: self.index });
        }
        if index > upto {
            return Err(WordError::BeyondEnd { upto });
        }
        if index - self.index > JUMP_MAX {
            return Err(WordError::JumpTooFar);
        }
        self.reach(tag, index, word)
    }
}

#[cfg(test)]
mod tests;
