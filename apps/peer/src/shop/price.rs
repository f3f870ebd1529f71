//! What a piece costs.

use farthing_core::amount::{Amount, AmountError, Rate};
use farthing_net::content::{Manifest, PIECE_BYTES};

/// Pieces in a mebibyte.
const PIECES_PER_MIB: u64 = (1 << 20) / PIECE_BYTES as u64;

/// What a price is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// A piece of 256 KiB.
    Piece,
    /// A mebibyte.
    Mib,
    /// A file, however large.
    File,
}

/// A price as a seller states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// How much; nothing for what is free.
    pub amount: Amount,
    /// For what.
    pub per: Per,
}

impl Price {
    /// What one piece of a file costs: its share, rounded up once to a whole micro. The last piece
    /// costs as much as any, however short.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] if all pieces together cost more than any amount.
    pub fn of_piece(&self, manifest: &Manifest) -> Result<Amount, AmountError> {
        let pieces = manifest.pieces();
        let per = match self.per {
            Per::Piece => 1,
            Per::Mib => PIECES_PER_MIB,
            Per::File => pieces.max(1),
        };
        let price = Rate { price: self.amount, per }.charge(1)?;
        price.checked_mul(pieces)?;
        Ok(price)
    }
}

#[cfg(test)]
mod tests {
    use farthing_core::id::ContentId;

    use super::*;

    fn of_piece(amount: &str, per: Per, size: u64) -> Result<u64, AmountError> {
        let manifest = Manifest { root: ContentId([0; 32]), size };
        Ok(Price { amount: amount.parse().unwrap(), per }.of_piece(&manifest)?.as_micros())
    }

    #[test]
    fn a_price_is_turned_into_one_per_piece_and_rounded_up_once() {
        let piece = PIECE_BYTES as u64;
        assert_eq!(of_piece("0.000010 XTS", Per::Piece, 1), Ok(10));
        assert_eq!(of_piece("0.000010 XTS", Per::Mib, 9 * piece), Ok(3));
        assert_eq!(of_piece("0.000010 XTS", Per::File, 3 * piece), Ok(4));
        assert_eq!(of_piece("0.000010 XTS", Per::File, 3 * piece + 1), Ok(3));
        assert_eq!(of_piece("0.000010 XTS", Per::File, 0), Ok(10));
        assert_eq!(of_piece("0 XTS", Per::Mib, piece), Ok(0));
        assert_eq!(of_piece("70000000000 XTS", Per::Piece, 2 * piece), Err(AmountError::TooLarge));
    }
}
