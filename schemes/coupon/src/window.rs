//! Which of the last units were served, and which were given back: two rings of bits.

use minicbor::{Decode, Encode};

/// How far below the highest index a unit may still be served: what a payer may have open at once,
/// and the most that one payment may be.
pub const WINDOW: u32 = 2_048;

const BYTES: usize = WINDOW as usize / 8;

/// What became of the last [`WINDOW`] units below and at the tip. What lies lower counts as served.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct Window {
    #[n(0)]
    served: Ring,
    /// Units that were served and given back. They are served again only to payments made since.
    #[n(1)]
    returned: Ring,
}

#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(transparent)]
struct Ring(#[cbor(n(0), with = "minicbor::bytes")] [u8; BYTES]);

impl Window {
    pub(crate) const fn new() -> Self {
        Self { served: Ring([0; BYTES]), returned: Ring([0; BYTES]) }
    }

    pub(crate) const fn is_served(&self, unit: u32) -> bool {
        self.served.has(unit)
    }

    pub(crate) const fn was_returned(&self, unit: u32) -> bool {
        self.returned.has(unit)
    }

    /// The tip rose over these units: what stood in their places is past.
    pub(crate) fn enter(&mut self, from: u32, upto: u32) {
        for unit in from..=upto {
            self.served.set(unit, false);
            self.returned.set(unit, false);
        }
    }

    pub(crate) fn serve(&mut self, from: u32, upto: u32) {
        (from..=upto).for_each(|unit| self.served.set(unit, true));
    }

    pub(crate) fn give_back(&mut self, from: u32, upto: u32) {
        for unit in from..=upto {
            self.served.set(unit, false);
            self.returned.set(unit, true);
        }
    }

    /// What became of the units from the lowest to the highest, and of their neighbours.
    pub(crate) fn part(&self, units: Option<(u32, u32)>) -> Part {
        let Some((lowest, highest)) = units else { return Part::default() };
        let count = BYTES.min((highest / 8).abs_diff(lowest / 8) as usize + 1);
        let first = at(lowest).0;
        let cut = |ring: &Ring| (0..count).map(|n| ring.0[(first + n) % BYTES]).collect();
        Part { first: first as u32, served: cut(&self.served), returned: cut(&self.returned) }
    }

    /// Puts a part in its place; false, and nothing changes, if there is no such part.
    pub(crate) fn put(&mut self, part: &Part) -> bool {
        let Part { first, served, returned } = part;
        let first = *first as usize;
        if first >= BYTES || served.len() > BYTES || returned.len() != served.len() {
            return false;
        }
        for (n, (served, returned)) in served.iter().zip(returned).enumerate() {
            let place = (first + n) % BYTES;
            (self.served.0[place], self.returned.0[place]) = (*served, *returned);
        }
        true
    }
}

/// Some neighbouring bytes of both rings.
#[derive(Clone, PartialEq, Eq, Debug, Default, Encode, Decode)]
pub(crate) struct Part {
    /// Where they begin.
    #[n(0)]
    first: u32,
    #[cbor(n(1), with = "minicbor::bytes")]
    served: Vec<u8>,
    #[cbor(n(2), with = "minicbor::bytes")]
    returned: Vec<u8>,
}

#[cfg(test)]
impl Part {
    /// A part of no window.
    pub(crate) fn damaged() -> Self {
        Self { first: 0, served: vec![0xff; BYTES + 1], returned: vec![0xff; BYTES + 1] }
    }
}

impl Ring {
    const fn has(&self, unit: u32) -> bool {
        let (byte, bit) = at(unit);
        self.0[byte] & bit != 0
    }

    const fn set(&mut self, unit: u32, value: bool) {
        let (byte, bit) = at(unit);
        if value {
            self.0[byte] |= bit;
        } else {
            self.0[byte] &= !bit;
        }
    }
}

const fn at(unit: u32) -> (usize, u8) {
    let at = (unit % WINDOW) as usize;
    (at / 8, 1 << (at % 8))
}
