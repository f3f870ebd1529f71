//! Keys that the bank shares with each customer, one for each direction and use.
//!
//! Kelsey and Schneier, §3.1: `K_i = E_{K*}(ID_i)`, one key for both directions and for ever. Here a
//! version goes in as well, so that a stolen key can be replaced, and three keys grow from it, so that
//! nothing the bank says can be thrown back at it as something the customer said.

use core::fmt;

use farthing_core::aead::SharedKey;
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::PeerId;
use farthing_core::seed::Secret;
use minicbor::{Decode, Encode};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// `K*`: whoever holds it can speak for every customer. Keep it where the bank's statement key is.
pub struct MasterKey(Secret);

impl MasterKey {
    /// Takes the key in.
    #[must_use]
    pub const fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// The key shared with a customer: the same question gives the same key.
    #[must_use]
    pub fn customer(&self, customer: PeerId, version: u32) -> CustomerKey {
        let parts: [&[u8]; 4] = [b"customer", self.0.expose(), &customer.0, &version.to_be_bytes()];
        CustomerKey { version, secret: hash(Purpose::ClearingKey, &parts) }
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

/// `K_i`: the key that one customer and the bank share. Its `Debug` shows only the version, it is
/// compared in constant time, and wiped when dropped.
#[derive(Clone, Encode, Decode, Zeroize, ZeroizeOnDrop)]
pub struct CustomerKey {
    #[n(0)]
    version: u32,
    #[cbor(n(1), with = "minicbor::bytes")]
    secret: [u8; 32],
}

/// Which way a message goes, and what for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// From the customer to the bank.
    ToBank,
    /// From the bank to the customer.
    ToCustomer,
    /// From the bank to the customer, carried by who pays it.
    Ticket,
}

impl CustomerKey {
    /// How often the key was replaced; 1 for the first.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    pub(crate) fn way(&self, way: Way) -> SharedKey {
        let label: &[u8; 6] = match way {
            Way::ToBank => b"tobank",
            Way::ToCustomer => b"answer",
            Way::Ticket => b"ticket",
        };
        SharedKey::grow(Purpose::ClearingKey, &[label, &self.secret])
    }
}

impl PartialEq for CustomerKey {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && bool::from(self.secret.ct_eq(&other.secret))
    }
}

impl Eq for CustomerKey {}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomerKey(version {})", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_two_customers_versions_or_directions_have_nothing_in_common() {
        let master = MasterKey::new(Secret::new([1; 32]));
        let key = master.customer(PeerId([2; 32]), 1);
        assert_eq!(key, master.customer(PeerId([2; 32]), 1));
        assert_ne!(key.secret, master.customer(PeerId([3; 32]), 1).secret);
        assert_ne!(key.secret, master.customer(PeerId([2; 32]), 2).secret);
        let sealed = key.way(Way::ToCustomer).seal(&[0; 24], b"", b"x");
        for other in [Way::ToBank, Way::Ticket] {
            assert!(key.way(other).open(&[0; 24], b"", &sealed).is_err());
        }
        assert_eq!(format!("{key:?} {master:?}"), "CustomerKey(version 1) MasterKey");
    }
}
