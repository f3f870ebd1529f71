//! Hashing with a purpose: one function, and a label for every use.

use sha2::{Digest, Sha256};

use crate::meter::{self, Op};

/// What a hash is for. Two purposes never give the same hash, whatever the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The identity of a chain: header and root.
    ChainId,
    /// The part of the tag block that a chain's header gives.
    ChainTag,
    /// The identity of an order.
    Order,
    /// The identity of an account.
    Account,
    /// The identity of a transfer.
    Transfer,
    /// The identity of a request, and what stored replies are compared by.
    Request,
    /// The identity of a network.
    Network,
    /// One entry of an audit log (Kelsey and Schneier's hash of the previous message).
    AuditEntry,
    /// A commitment to both sub-chains of an audit log.
    AuditCommitment,
    /// One row of the ledger's journal.
    Journal,
    /// A step in the layout of a database.
    Schema,
    /// A statement, where another names it.
    Statement,
    /// What a seller, a buyer and the bank agree on before coupons are spent (iKP's `H(COMMON)`).
    CouponCommon,
    /// A commitment to a secret, a description or an account that is opened later (iKP's `H(V)`).
    CouponCommitment,
    /// A key that coupons are bound with.
    CouponKey,
    /// The binding of a coupon to what it pays for. All its inputs have fixed lengths.
    CouponMac,
    /// What one coupon pays for (the paper's micro-description).
    CouponOrder,
    /// A key of a customer of the clearing, or one grown from it. All its inputs have fixed lengths.
    ClearingKey,
    /// One message of the clearing, as the next one names it (Kelsey and Schneier's `hash(M0)`).
    ClearingMessage,
    /// One row of the clearing's own log at the bank.
    ClearingLog,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::ChainId => b"farthing/v1/chain/id",
            Self::ChainTag => b"farthing/v1/chain/tag",
            Self::Order => b"farthing/v1/order",
            Self::Account => b"farthing/v1/account",
            Self::Transfer => b"farthing/v1/transfer",
            Self::Request => b"farthing/v1/request",
            Self::Network => b"farthing/v1/network",
            Self::AuditEntry => b"farthing/v1/audit/entry",
            Self::AuditCommitment => b"farthing/v1/audit/commitment",
            Self::Journal => b"farthing/v1/journal",
            Self::Schema => b"farthing/v1/schema",
            Self::Statement => b"farthing/v1/statement",
            Self::CouponCommon => b"farthing/v1/coupon/common",
            Self::CouponCommitment => b"farthing/v1/coupon/commitment",
            Self::CouponKey => b"farthing/v1/coupon/key",
            Self::CouponMac => b"farthing/v1/coupon/mac",
            Self::CouponOrder => b"farthing/v1/coupon/order",
            Self::ClearingKey => b"farthing/v1/clearing/key",
            Self::ClearingMessage => b"farthing/v1/clearing/message",
            Self::ClearingLog => b"farthing/v1/clearing/log",
        }
    }
}

/// SHA-256 over the purpose and the parts, each with its length in front, so that `("ab", "c")`
/// and `("a", "bc")` differ.
#[must_use]
pub fn hash(purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in core::iter::once(&purpose.label()).chain(parts) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    meter::count(Op::Hash, 1);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purpose_and_boundaries_are_part_of_the_hash() {
        let base = hash(Purpose::Order, &[b"ab", b"c"]);
        assert_ne!(base, hash(Purpose::Order, &[b"a", b"bc"]));
        assert_ne!(base, hash(Purpose::Account, &[b"ab", b"c"]));
        assert_ne!(base, hash(Purpose::Order, &[b"ab", b"c", b""]));
    }
}
