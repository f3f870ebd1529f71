//! Stored replies: what makes a repeat harmless.

use farthing_core::id::{PeerId, RequestId, time_of};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::time::{Span, Time};
use farthing_core::wire;
use farthing_ledger::StoreFault;
use farthing_role::{REQUEST_HORIZON, Records, Scan, Table};
use minicbor::{Decode, Encode};

/// Where replies are kept, by request id and sender, so that the oldest come first.
pub const REPLIES: Table = Table("replies");

/// Where it is noted that somebody used an id for two different requests, by the same key.
pub const CONFLICTS: Table = Table("reply_conflicts");

/// How much longer than [`REQUEST_HORIZON`] a reply is kept: one hour.
pub const REPLY_MARGIN: Span = Span::from_hours(1);

/// At most so many old replies are forgotten in one transaction: 1,024. That is as many as one
/// batch brings, so forgetting keeps up with any load.
pub const PRUNE_MAX: usize = 1_024;

/// So many of them are read at once.
const PRUNE_PAGE: usize = 128;

/// The key of a reply.
pub(crate) type Key = [u8; 48];

/// A reply as stored.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct Stored {
    /// The digest of the request it answered.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(crate) digest: [u8; 32],
    /// The bytes that were sent.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) reply: Vec<u8>,
}

/// The longest signed request kept with a [`Conflict`]: 16 KiB.
pub const PROOF_MAX: usize = 16 << 10;

/// Two different requests of one sender under one id: the first was carried out, the second
/// refused. The second is kept as its sender signed it; beside the first, which the role keeps
/// where it matters, it is evidence.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Conflict {
    /// The digest of the request that was carried out.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub first: [u8; 32],
    /// The digest of the first other one.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub second: [u8; 32],
    /// When the other one came.
    #[n(2)]
    pub at: Time,
    /// The other one with its signature ([`Request::proof`](farthing_role::Request)); empty if it
    /// had none or is longer than [`PROOF_MAX`].
    #[cbor(n(3), with = "minicbor::bytes")]
    pub proof: Vec<u8>,
}

impl Conflict {
    /// At most `limit` conflicts noted after the one of `after`, with the id and sender of each.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub fn list(
        records: &dyn Records,
        after: Option<(RequestId, PeerId)>,
        limit: usize,
    ) -> Result<Vec<(RequestId, PeerId, Self)>, StoreFault> {
        let after = after.map(|(id, sender)| key(id, sender));
        let scan = Scan { prefix: &[], after: after.as_ref().map(|key| &key[..]), limit };
        let rows = records.scan(CONFLICTS, scan)?;
        rows.into_iter()
            .map(|(key, value)| {
                let (id, sender) = key.split_at_checked(16).ok_or_else(|| damaged("the key of a conflict"))?;
                let id = id.try_into().map_err(|_| damaged("the key of a conflict"))?;
                let sender = sender.try_into().map_err(|_| damaged("the key of a conflict"))?;
                let conflict = wire::decode(&value).map_err(|_| damaged("a noted conflict"))?;
                Ok((RequestId(id), PeerId(sender), conflict))
            })
            .collect()
    }
}

/// Where the reply to a request is kept.
pub(crate) fn key(id: RequestId, sender: PeerId) -> Key {
    let mut key = [0; 48];
    key[..16].copy_from_slice(&id.0);
    key[16..].copy_from_slice(&sender.0);
    key
}

/// The reply that was given, if one was.
pub(crate) fn find<T: Records + ?Sized>(records: &T, key: &Key) -> Result<Option<Stored>, StoreFault> {
    let found = records.get(REPLIES, key)?;
    found.map(|bytes| wire::decode(&bytes).map_err(|_| damaged("a stored reply"))).transpose()
}

/// Keeps a reply for repeats.
pub(crate) fn keep<T: Records + ?Sized>(records: &mut T, key: &Key, stored: &Stored) {
    records.put(REPLIES, key, wire::encode(stored));
}

/// Notes the first other request under the id of an answered one, and refuses it.
pub(crate) fn contradict<T: Records + ?Sized>(
    records: &mut T,
    key: &Key,
    mut conflict: Conflict,
) -> Result<Refusal, StoreFault> {
    if records.get(CONFLICTS, key)?.is_none() {
        if conflict.proof.len() > PROOF_MAX {
            conflict.proof.clear();
        }
        records.put(CONFLICTS, key, wire::encode(&conflict));
    }
    Ok(Refusal::new(
        Code::Conflict,
        "a different request was carried out under this id before; this one did nothing; use a new id for a new request",
    ))
}

/// Forgets replies and conflicts that no timely request can ask for any more, at most
/// [`PRUNE_MAX`]; says whether more may wait.
pub(crate) fn prune<T: Records + ?Sized>(records: &mut T, now: Time) -> Result<bool, StoreFault> {
    // Both, whatever the first said.
    let replies = prune_table(records, REPLIES, now)?;
    let conflicts = prune_table(records, CONFLICTS, now)?;
    Ok(replies || conflicts)
}

fn prune_table<T: Records + ?Sized>(records: &mut T, table: Table, now: Time) -> Result<bool, StoreFault> {
    let mut after: Option<Vec<u8>> = None;
    for _ in 0..PRUNE_MAX / PRUNE_PAGE {
        let page = records.scan(table, Scan { prefix: &[], after: after.as_deref(), limit: PRUNE_PAGE })?;
        let full = page.len() == PRUNE_PAGE;
        for (key, _) in &page {
            if !is_over(key, now) {
                return Ok(false);
            }
            records.delete(table, key);
        }
        if !full {
            return Ok(false);
        }
        after = page.into_iter().next_back().map(|(key, _)| key);
    }
    Ok(true)
}

/// Whether a repeat of that request would be refused as too old, with a margin.
fn is_over(key: &[u8], now: Time) -> bool {
    let id = key.first_chunk::<16>();
    id.is_some_and(|id| now >= time_of(id).after(REQUEST_HORIZON).after(REPLY_MARGIN))
}

fn damaged(what: &str) -> StoreFault {
    StoreFault(format!("{what} is damaged; run the audit"))
}
