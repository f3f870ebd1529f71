//! One canonical form on the wire: CBOR (RFC 8949) with integer keys, or nothing.
//!
//! Neither this nor any other CBOR library refuses over-long integers or bytes left over, so what
//! was decoded is encoded again and must give the very bytes received. Only then may a signature or
//! a hash over those bytes be believed to be the only one.

use minicbor::{Decode, Encode};

/// The longest message anyone reads: 1 MiB. Longer ones are refused before they are decoded.
pub const MESSAGE_MAX: usize = 1 << 20;

/// The longest list inside a message.
pub const LIST_MAX: usize = 4_096;

/// What can be written down in one way only.
pub trait Wire: Encode<()> + for<'b> Decode<'b, ()> {}

impl<T: Encode<()> + for<'b> Decode<'b, ()>> Wire for T {}

/// Bytes that are not the one canonical form of what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Longer than [`MESSAGE_MAX`].
    #[error("the message is longer than {MESSAGE_MAX} bytes")]
    TooLong,
    /// Not decodable at all.
    #[error("the message cannot be read")]
    Unreadable,
    /// Decodable, but there is another, shorter or cleaner way to write the same.
    #[error("the message is not in canonical form")]
    NotCanonical,
}

/// The canonical bytes of a value.
#[must_use]
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    encode_into(value, &mut bytes);
    bytes
}

/// Appends the canonical bytes of a value.
pub fn encode_into<T: Encode<()>>(value: &T, bytes: &mut Vec<u8>) {
    // Writing to memory cannot fail, and none of our types refuses to be written.
    let written = minicbor::encode(value, &mut *bytes);
    debug_assert!(written.is_ok(), "a value refused to be written");
}

/// Reads a value from its canonical bytes, and from no others.
///
/// # Errors
/// [`Malformed`], at a cost bounded by the length of the input.
pub fn decode<T: Wire>(bytes: &[u8]) -> Result<T, Malformed> {
    if bytes.len() > MESSAGE_MAX {
        return Err(Malformed::TooLong);
    }
    let mut decoder = minicbor::Decoder::new(bytes);
    let value: T = decoder.decode().map_err(|_| Malformed::Unreadable)?;
    if decoder.position() != bytes.len() || !encodes_to(&value, bytes) {
        return Err(Malformed::NotCanonical);
    }
    Ok(value)
}

/// Whether a value encodes to exactly these bytes; writes nothing down.
fn encodes_to<T: Encode<()>>(value: &T, bytes: &[u8]) -> bool {
    struct Compare<'a>(&'a [u8]);
    impl minicbor::encode::Write for Compare<'_> {
        type Error = Malformed;
        fn write_all(&mut self, written: &[u8]) -> Result<(), Malformed> {
            self.0 = self.0.strip_prefix(written).ok_or(Malformed::NotCanonical)?;
            Ok(())
        }
    }
    let mut rest = Compare(bytes);
    minicbor::encode(value, &mut rest).is_ok() && rest.0.is_empty()
}

/// A list that refuses to be longer than `MAX` before it grows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bounded<T, const MAX: usize = LIST_MAX>(Vec<T>);

impl<T, const MAX: usize> Bounded<T, MAX> {
    /// The list, if it is short enough.
    #[must_use]
    pub fn new(items: Vec<T>) -> Option<Self> {
        (items.len() <= MAX).then_some(Self(items))
    }

    /// No items.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// The items.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// Gives the items up.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<C, T: Encode<C>, const MAX: usize> Encode<C> for Bounded<T, MAX> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        c: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        self.0.iter().try_for_each(|item| item.encode(e, c))
    }
}

impl<'b, C, T: Decode<'b, C>, const MAX: usize> Decode<'b, C> for Bounded<T, MAX> {
    fn decode(d: &mut minicbor::Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        let count = d.array()?.ok_or_else(|| minicbor::decode::Error::message("a list of unknown length"))?;
        if count > MAX as u64 {
            return Err(minicbor::decode::Error::message("a list too long"));
        }
        // The count is only a claim: memory grows with the items that really follow.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(T::decode(d, c)?);
        }
        Ok(Self(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Encode, Decode, PartialEq, Debug)]
    struct Pair {
        #[n(0)]
        left: u32,
        #[n(1)]
        right: Option<u32>,
    }

    #[test]
    fn reader_refuses_every_second_way_to_write_the_same() {
        let good = encode(&Pair { left: 1, right: Some(2) });
        assert_eq!(good, [0x82, 0x01, 0x02]);
        assert!(decode::<Pair>(&good).is_ok());
        for bad in [
            &[0x82, 0x18, 0x01, 0x02][..], // an over-long integer
            &[0x82, 0x01, 0x02, 0x00],     // bytes left over
            &[0x83, 0x01, 0x02, 0x03],     // a field nobody knows
            &[0x9f, 0x01, 0x02, 0xff],     // a list of unknown length
        ] {
            assert_eq!(decode::<Pair>(bad), Err(Malformed::NotCanonical), "{bad:02x?}");
        }
        assert_eq!(decode::<Pair>(&good[..2]), Err(Malformed::Unreadable));
        assert_eq!(decode::<Pair>(&[]), Err(Malformed::Unreadable));
    }

    #[test]
    fn reader_refuses_a_message_above_the_limit_unread() {
        assert_eq!(decode::<Pair>(&vec![0; MESSAGE_MAX + 1]), Err(Malformed::TooLong));
    }

    #[test]
    fn a_list_that_claims_to_be_huge_allocates_nothing() {
        let claim = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(decode::<Bounded<u8>>(&claim), Err(Malformed::Unreadable));
        assert!(Bounded::<u8, 2>::new(vec![1, 2, 3]).is_none());
    }

    #[test]
    fn deep_nesting_is_refused_without_deep_recursion() {
        let nested = vec![0x81; MESSAGE_MAX];
        assert_eq!(decode::<Pair>(&nested), Err(Malformed::Unreadable));
    }
}
