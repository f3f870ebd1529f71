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
