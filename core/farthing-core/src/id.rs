//! Names for everything: fixed-size, machine-made, a type for every kind of thing.
//!
//! Identifiers that people copy are written in bech32m with a checksum, so that a slip of the
//! finger names nobody instead of somebody else. Human names are petnames, kept locally, and never
//! choose whom to pay.

use core::fmt;
use core::str::FromStr;

use minicbor::{Decode, Decoder, Encode, Encoder};

/// Text that does not name what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a {expected}… identifier: a letter is wrong or missing; copy it again whole")]
pub struct IdError {
    /// The prefix that was expected.
    pub expected: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// How its text begins.
            pub const PREFIX: &'static str = $prefix;

            /// Its bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// The first few letters, for tables and logs; never for choosing whom to pay.
            #[must_use]
            pub fn short(&self) -> String {
                let text = self.to_string();
                text.chars().take(Self::PREFIX.len() + 9).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let hrp = bech32::Hrp::parse_unchecked(Self::PREFIX);
                let text = bech32::encode::<bech32::Bech32m>(hrp, &self.0).map_err(|_| fmt::Error)?;
                f.pad(&text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.short())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let wrong = IdError { expected: Self::PREFIX };
                let parsed = bech32::primitives::decode::CheckedHrpstring::new::<bech32::Bech32m>(text)
                    .map_err(|_| wrong)?;
                if parsed.hrp() != bech32::Hrp::parse_unchecked(Self::PREFIX) {
                    return Err(wrong);
                }
                let bytes: Vec<u8> = parsed.byte_iter().collect();
                Ok(Self(bytes.try_into().map_err(|_| wrong)?))
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                d.bytes()?
                    .try_into()
                    .map(Self)
                    .map_err(|_| minicbor::decode::Error::message(concat!("not a ", stringify!($name))))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// A party: its Ed25519 public key. Whether the bytes are a usable key is found at the first check.
    PeerId, 32, "peer"
);
id!(
    /// A deployment of one bank and its peers. It stands in front of everything signed, so that a
    /// statement made for one network says nothing in another.
    NetworkId, 16, "net"
);
id!(
    /// One hash chain: the hash of its header and root (NetPay's `IDe`).
    ChainId, 32, "chain"
);
id!(
    /// Content: the root of its BLAKE3 tree.
    ContentId, 32, "content"
);
id!(
    /// What is being bought: the hash of an [`Order`](crate::order::Order).
    OrderId, 32, "order"
);
id!(
    /// An account of the ledger.
    AccountId, 16, "acct"
);
id!(
    /// A transfer of the ledger, chosen by the caller before it first asks. Ordered in time: see
    /// [`timed`].
    TransferId, 16, "xfer"
);
id!(
    /// A request, chosen by its sender before it first asks and kept until answered. Ordered in
    /// time: see [`timed`].
    RequestId, 16, "req"
);

/// Bytes of an identifier that sorts by time: 48 bits of milliseconds, then 80 bits of `unique`.
///
/// A ledger fed with ids in order of time writes at the end of its index; one fed with random ids
/// writes all over it and is several times slower.
#[must_use]
pub fn timed(at: crate::time::Time, unique: &[u8; 32]) -> [u8; 16] {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&at.as_millis().to_be_bytes()[2..]);
    id[6..].copy_from_slice(&unique[..10]);
    id
}

/// The time inside an identifier made by [`timed`].
#[must_use]
pub fn time_of(id: &[u8; 16]) -> crate::time::Time {
    let mut millis = [0; 8];
    millis[2..].copy_from_slice(&id[..6]);
    crate::time::Time::from_millis(u64::from_be_bytes(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    #[test]
    fn a_slip_of_the_finger_names_nobody() {
        let id = PeerId([7; 32]);
        let text = id.to_string();
        assert_eq!(text.parse::<PeerId>().unwrap(), id);
        for at in 0..text.len() {
            let mut slipped = text.clone().into_bytes();
            slipped[at] = if slipped[at] == b'q' { b'p' } else { b'q' };
            let slipped = String::from_utf8(slipped).unwrap();
            assert!(slipped == text || slipped.parse::<PeerId>().is_err(), "{slipped} names somebody");
        }
    }

    #[test]
    fn a_chain_is_not_a_peer() {
        assert!(ChainId([7; 32]).to_string().parse::<PeerId>().is_err());
    }

    #[test]
    fn timed_ids_sort_by_time_and_tell_it() {
        let early = timed(Time::from_millis(1_000), &[0xff; 32]);
        let late = timed(Time::from_millis(1_001), &[0; 32]);
        assert!(early < late);
        assert_eq!(time_of(&late), Time::from_millis(1_001));
    }
}
