//! A coupon packed for a header, where every byte is paid for in every request.
//!
//! A head, the session's name (16 bytes), the word (32), the binding (16), and then the numbers,
//! each in as few bytes as it needs: index, units less one, turn. A token ([`Bearer`]) is followed by
//! its holder (32) and its end (8). The head says how many bytes the numbers take; its highest bit
//! is set, which no JSON begins with.

use farthing_core::chain::Word;
use farthing_core::time::Time;
use farthing_coupon::micro::{Bearer, Coupon, SessionName};
use farthing_coupon::secret::{Digest, Mac};

use crate::{Unreadable, b64};

/// In every head.
const MARK: u8 = 0x80;
/// In the head of a token.
const TOKEN: u8 = 0x40;
/// How many bytes an index may take, by its two bits in the head.
const INDEX_SIZES: [usize; 4] = [1, 2, 3, 4];
/// How many bytes the other numbers may take; what is usual takes none.
const SIZES: [usize; 4] = [0, 1, 2, 4];

/// Writes a coupon, or the token of a bearer.
pub(crate) fn write(coupon: &Coupon, bearer: Option<&Bearer>) -> String {
    b64::url(&pack(coupon, bearer))
}

/// Whether bytes are meant to be a packed coupon.
pub(crate) fn is_packed(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|head| head & MARK != 0)
}

/// Reads what [`write()`] wrote, and nothing that is written in a second way.
///
/// # Errors
/// [`Unreadable::Syntax`].
pub(crate) fn read(bytes: &[u8]) -> Result<(Coupon, Option<Bearer>), Unreadable> {
    let (coupon, bearer) = unpack(bytes).ok_or(Unreadable::Syntax)?;
    if pack(&coupon, bearer.as_ref()) == bytes { Ok((coupon, bearer)) } else { Err(Unreadable::Syntax) }
}

fn pack(coupon: &Coupon, bearer: Option<&Bearer>) -> Vec<u8> {
    // A coupon of no units is refused by whoever takes it; here it is a number like any other.
    let units = coupon.units.wrapping_sub(1);
    let (index_at, units_at, turn_at) =
        (fitting(INDEX_SIZES, coupon.index), fitting(SIZES, units), fitting(SIZES, coupon.turn));
    let head = MARK | bearer.map_or(0, |_| TOKEN) | (index_at << 4) | (units_at << 2) | turn_at;
    let mut packed = vec![head];
    packed.extend_from_slice(&coupon.session.0);
    packed.extend_from_slice(&coupon.word.0);
    packed.extend_from_slice(&coupon.mac.0);
    let numbers = [(INDEX_SIZES, index_at, coupon.index), (SIZES, units_at, units), (SIZES, turn_at, coupon.turn)];
    for (sizes, at, number) in numbers {
        packed.extend_from_slice(&number.to_be_bytes()[4 - sizes[usize::from(at)]..]);
    }
    if let Some(bearer) = bearer {
        packed.extend_from_slice(&bearer.holder.0);
        packed.extend_from_slice(&bearer.expires.as_millis().to_be_bytes());
    }
    packed
}

/// The first of four sizes that a number fits into.
fn fitting(sizes: [usize; 4], number: u32) -> u8 {
    let needed = 4 - (number.leading_zeros() / 8) as usize;
    (0..3).find(|at| sizes[usize::from(*at)] >= needed).unwrap_or(3)
}

fn unpack(bytes: &[u8]) -> Option<(Coupon, Option<Bearer>)> {
    let mut rest = bytes;
    let [head] = take(&mut rest)?;
    let session = SessionName(take(&mut rest)?);
    let (word, mac) = (Word(take(&mut rest)?), Mac(take(&mut rest)?));
    let index = number(&mut rest, INDEX_SIZES, head >> 4)?;
    let units = number(&mut rest, SIZES, head >> 2)?.wrapping_add(1);
    let turn = number(&mut rest, SIZES, head)?;
    let bearer = match head & TOKEN {
        0 => None,
        _ => Some(Bearer {
            holder: Digest(take(&mut rest)?),
            expires: Time::from_millis(u64::from_be_bytes(take(&mut rest)?)),
        }),
    };
    rest.is_empty().then_some((Coupon { session, index, units, turn, word, mac }, bearer))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

fn number(rest: &mut &[u8], sizes: [usize; 4], at: u8) -> Option<u32> {
    let (taken, after) = rest.split_at_checked(sizes[usize::from(at & 3)])?;
    *rest = after;
    Some(taken.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}
