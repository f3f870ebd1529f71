//! Title: who may have a thing that passes from hand to hand, shown by a chain of signed hops.
//!
//! A cheque, a coin or a claim is issued to somebody by a signed statement, and each holder passes
//! it on by signing a [`Hop`] that names the next. Neuman's proxies (1993) and the coins of PPay
//! (Yang and Garcia-Molina, 2003) are such chains; the protocol book's §26.5 has them written once.
//! A hop commits to all before it by hash, so a chain can be neither cut nor put in another order,
//! and who signs two different successors of one hop is convicted by these two signatures alone
//! ([`diverge`]).

use minicbor::{Decode, Encode};

use crate::evidence::Verdict;
use crate::id::{NetworkId, OrderId, PeerId};
use crate::sign::{Signed, Statement, Unproven};
use crate::time::Time;
use crate::wire::Bounded;

/// The most hops of one title: bounds the signatures that a single message makes us check.
pub const HOPS_MAX: usize = 8;

/// One step of a title: its holder, who signs, names the next one.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Hop {
    /// The head of the title before this hop: the digest of the hop before, or of the statement
    /// that issued the thing.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub prev: [u8; 32],
    /// Who holds it now.
    #[n(1)]
    pub holder: PeerId,
    /// The how many-th hop this is, counted from one.
    #[n(2)]
    pub seq: u32,
    /// What for; an order of zeros where it is handed on for collection only.
    #[n(3)]
    pub order: OrderId,
    /// When, by the clock of the signer.
    #[n(4)]
    pub time: Time,
}

impl Statement for Hop {
    const KIND: u16 = 0x0680;
}

/// A title as it arrived: issued to somebody, and passed on. It proves nothing before
/// [`verify`](Self::verify).
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Title {
    /// The digest of the statement that issued the thing. Whoever uses a title checks that that
    /// statement names [`first`](Self::first).
    #[cbor(n(0), with = "minicbor::bytes")]
    pub issue: [u8; 32],
    /// To whom it was issued.
    #[n(1)]
    pub first: PeerId,
    /// How it was passed on, in order.
    #[n(2)]
    pub hops: Bounded<Signed<Hop>, HOPS_MAX>,
}

/// A title whose every hop was signed by the holder that the one before it names.
#[derive(Clone, Debug)]
pub struct Held {
    title: Title,
    holders: Vec<PeerId>,
}

/// Why a title is not believed, or cannot be passed on. `at` counts hops from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The signature of a hop does not hold.
    #[error("hop {at} of the title: {why}")]
    Unproven {
        /// Which hop.
        at: u32,
        /// What is wrong with its signature.
        why: Unproven,
    },
    /// A hop signed by somebody who did not hold the thing.
    #[error("hop {at} of the title is not signed by the holder that was named before it")]
    NotHolder {
        /// Which hop.
        at: u32,
    },
    /// A hop that does not follow the one before it: one is missing, or the order was changed.
    #[error("hop {at} of the title does not follow the one before it")]
    Severed {
        /// Which hop.
        at: u32,
    },
    /// No room for another hop.
    #[error("the title was passed on {HOPS_MAX} times, which is the most")]
    Full,
}

impl Title {
    /// A title that was not passed on yet.
    #[must_use]
    pub const fn issued(issue: [u8; 32], first: PeerId) -> Self {
        Self { issue, first, hops: Bounded::empty() }
    }

    /// What names this title as it stands: the last hop's digest, which commits to all before it.
    #[must_use]
    pub fn head(&self) -> [u8; 32] {
        self.hops.as_slice().last().map_or(self.issue, Signed::digest)
    }

    /// What its holder signs to pass it on.
    ///
    /// # Errors
    /// [`Broken::Full`].
    pub fn next(&self, holder: PeerId, order: OrderId, time: Time) -> Result<Hop, Broken> {
        let seq = self.hops.as_slice().len() as u32 + 1;
        if seq as usize > HOPS_MAX {
            return Err(Broken::Full);
        }
        Ok(Hop { prev: self.head(), holder, seq, order, time })
    }

    /// The title after one more hop, as its signer or receiver holds it; not checked.
    ///
    /// # Errors
    /// [`Broken::Full`].
    pub fn passed(self, hop: Signed<Hop>) -> Result<Self, Broken> {
        let mut hops = self.hops.into_vec();
        hops.push(hop);
        Ok(Self { hops: Bounded::new(hops).ok_or(Broken::Full)?, ..self })
    }

    /// Checks that the chain is unbroken: each hop follows the one before it and is signed, in the
    /// network of the thing, by the holder named before.
    ///
    /// # Errors
    /// [`Broken::NotHolder`], [`Broken::Unproven`] or [`Broken::Severed`], for the first bad hop.
    pub fn verify(self, network: NetworkId) -> Result<Held, Broken> {
        let (mut head, mut holder) = (self.issue, self.first);
        let mut holders = vec![holder];
        for (at, signed) in (1_u32..).zip(self.hops.as_slice()) {
            if signed.claimed_signer() != holder {
                return Err(Broken::NotHolder { at });
            }
            let hop = signed.clone().verify(network).map_err(|why| Broken::Unproven { at, why })?;
            if hop.body().prev != head || hop.body().seq != at {
                return Err(Broken::Severed { at });
            }
            (head, holder) = (hop.digest(), hop.body().holder);
            holders.push(holder);
        }
        Ok(Held { title: self, holders })
    }
}

impl Held {
    /// The title that was checked.
    #[must_use]
    pub const fn title(&self) -> &Title {
        &self.title
    }

    /// Everybody who ever held it, from the first to the one that does now.
    #[must_use]
    pub fn holders(&self) -> &[PeerId] {
        &self.holders
    }

    /// Who holds it now.
    #[must_use]
    pub fn holder(&self) -> PeerId {
        self.holders.last().copied().unwrap_or(self.title.first)
    }

    /// Who passed it on to the holder; `None` where it was not passed on.
    #[must_use]
    pub fn giver(&self) -> Option<PeerId> {
        self.holders.iter().rev().nth(1).copied()
    }
}

/// Finds where two titles of one thing part and who is to blame: whoever signed both successors of
/// the last hop they share. A title that merely goes on from the other accuses nobody.
#[must_use]
pub fn diverge(network: NetworkId, a: &Title, b: &Title) -> Verdict {
    match parting(a, b) {
        Some((x, y)) => fork(network, x.clone(), y.clone()),
        None => Verdict::Insufficient,
    }
}

/// The first two hops in which titles of one thing differ: all that a judge needs to see.
#[must_use]
pub fn parting<'t>(a: &'t Title, b: &'t Title) -> Option<(&'t Signed<Hop>, &'t Signed<Hop>)> {
    if (a.issue, a.first) != (b.issue, b.first) {
        return None;
    }
    a.hops.as_slice().iter().zip(b.hops.as_slice()).find(|(x, y)| x.digest() != y.digest())
}

/// Two hops: guilty is who signed both, if they are different successors of one and the same.
///
/// Soundness: a hop names all before it by hash, and an honest holder writes its one hop down before
/// it first shows it. So there are never two under the signature of an honest party, whatever
/// others sign.
#[must_use]
pub fn fork(network: NetworkId, a: Signed<Hop>, b: Signed<Hop>) -> Verdict {
    let (Ok(a), Ok(b)) = (a.verify(network), b.verify(network)) else { return Verdict::Insufficient };
    let forked = a.signer() == b.signer() && a.body().prev == b.body().prev && a.digest() != b.digest();
    if forked { Verdict::Guilty(a.signer()) } else { Verdict::Insufficient }
}

#[cfg(test)]
mod tests;
