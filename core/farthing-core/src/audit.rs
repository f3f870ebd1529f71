//! The audit log: each party's own account of what it paid and was paid, which it cannot rewrite.
//!
//! Kelsey and Schneier (peer-to-peer metering) have each user hash every transaction onto the last and
//! commit to the newest hash in every payment; the bank recomputes it at reconciliation. In their
//! single log the order of payments in and out depends on which message arrived first, which the
//! bank cannot know. We keep two sub-chains: what goes out is ordered by the owner's own sequence,
//! what comes in by the order of the bank's receipts, and a commitment covers both.

use minicbor::{Decode, Encode};

use crate::amount::Amount;
use crate::evidence::Verdict;
use crate::hash::{Purpose, hash};
use crate::id::{NetworkId, PeerId};
use crate::refusal::{Code, Refusal};
use crate::sign::{Signed, Statement};
use crate::wire;

/// Which way the money of an entry goes, seen by the owner of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Direction {
    /// The owner pays.
    #[n(0)]
    Out,
    /// The owner is paid.
    #[n(1)]
    In,
}

/// What happened, before it has a place in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The kind of the statement that moved the money.
    pub kind: u16,
    /// The digest of that statement.
    pub reference: [u8; 32],
    /// The other party.
    pub peer: PeerId,
    /// How much.
    pub amount: Amount,
    /// Which way.
    pub direction: Direction,
}

/// One line of a sub-chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Entry {
    /// Its number in its sub-chain, from 1.
    #[n(0)]
    pub t: u64,
    /// The kind of the statement that moved the money.
    #[n(1)]
    pub kind: u16,
    /// The digest of that statement.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub reference: [u8; 32],
    /// The other party.
    #[n(3)]
    pub peer: PeerId,
    /// How much.
    #[n(4)]
    pub amount: Amount,
    /// Which way.
    #[n(5)]
    pub direction: Direction,
}

/// How far a sub-chain has come: the number of its entries, and the hash over all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct SubChain {
    /// How many entries.
    #[n(0)]
    pub n: u64,
    /// The hash over them, their owner and their direction.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub head: [u8; 32],
}

/// Why entries and heads do not fit. Nothing was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// An entry is missing, repeated or out of order.
    #[error("the audit log jumps: entry {expected} should follow, not {found}; fetch the missing entries")]
    Gap {
        /// The number that should come next.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// An entry of the other direction.
    #[error("an entry of the other direction stands in this sub-chain of the audit log")]
    Direction,
    /// The entries are in order but lead elsewhere: one was altered, or the history is another.
    #[error("the entries do not lead to that head of the audit log: one was altered, or there are two histories")]
    Diverges,
}

impl From<LogError> for Refusal {
    fn from(why: LogError) -> Self {
        Self::new(Code::Log, why.to_string())
    }
}

impl SubChain {
    /// A sub-chain without entries. The owner and the direction are hashed in, so that no history
    /// can be passed off as another party's, or turned around.
    #[must_use]
    pub fn start(owner: PeerId, direction: Direction) -> Self {
        Self { n: 0, head: hash(Purpose::AuditEntry, &[owner.as_bytes(), &wire::encode(&direction)]) }
    }

    /// One entry further.
    ///
    /// # Errors
    /// [`LogError::Gap`] for any entry but the next.
    pub fn after(self, entry: &Entry) -> Result<Self, LogError> {
        let expected = self.n.saturating_add(1);
        if entry.t != expected || expected == self.n {
            return Err(LogError::Gap { expected, found: entry.t });
        }
        Ok(Self { n: expected, head: hash(Purpose::AuditEntry, &[&self.head, &wire::encode(entry)]) })
    }

    /// Checks that a run of entries leads from here to `to`. One hash for each entry.
    ///
    /// # Errors
    /// [`LogError`]: the first thing that does not fit.
    pub fn leads_to(self, to: Self, direction: Direction, entries: &[Entry]) -> Result<(), LogError> {
        let reached = entries.iter().try_fold(self, |at, entry| {
            if entry.direction == direction { at.after(entry) } else { Err(LogError::Direction) }
        })?;
        if reached == to { Ok(()) } else { Err(LogError::Diverges) }
    }
}

/// A party's log as it stands: both sub-chains. The entries themselves are the caller's to store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct AuditLog {
    /// What the owner paid, in the order of its own sequence.
    #[n(0)]
    pub outgoing: SubChain,
    /// What the owner was paid, in the order of the bank's receipts.
    #[n(1)]
    pub incoming: SubChain,
}

impl AuditLog {
    /// An empty log.
    #[must_use]
    pub fn new(owner: PeerId) -> Self {
        Self { outgoing: SubChain::start(owner, Direction::Out), incoming: SubChain::start(owner, Direction::In) }
    }

    /// One of the sub-chains.
    #[must_use]
    pub const fn of(&self, direction: Direction) -> SubChain {
        match direction {
            Direction::Out => self.outgoing,
            Direction::In => self.incoming,
        }
    }

    /// Appends what happened: the log with the new head, and the entry to store.
    ///
    /// # Errors
    /// [`LogError::Gap`] where the sub-chain can count no further.
    pub fn append(self, event: Event) -> Result<(Self, Entry), LogError> {
        let chain = self.of(event.direction);
        let Event { kind, reference, peer, amount, direction } = event;
        let entry = Entry { t: chain.n.saturating_add(1), kind, reference, peer, amount, direction };
        let chain = chain.after(&entry)?;
        let log = match direction {
            Direction::Out => Self { outgoing: chain, ..self },
            Direction::In => Self { incoming: chain, ..self },
        };
        Ok((log, entry))
    }

    /// The log of an owner that lost what it had written since this state: it goes on from here in
    /// an epoch of its own. Outgoing entries count on from `epoch` times 2^32, so that nothing
    /// written from now on has the number of something lost; incoming ones from the bank's last
    /// receipt, `received`.
    #[must_use]
    pub const fn in_epoch(self, epoch: u32, received: u64) -> Self {
        let outgoing = SubChain { n: (epoch as u64) << 32, ..self.outgoing };
        Self { outgoing, incoming: SubChain { n: received, ..self.incoming } }
    }

    /// The commitment `V` that paying statements carry: a hash over both heads and both counts.
    #[must_use]
    pub fn commitment(&self) -> [u8; 32] {
        hash(
            Purpose::AuditCommitment,
            &[&self.outgoing.head, &self.outgoing.n.to_be_bytes(), &self.incoming.head, &self.incoming.n.to_be_bytes()],
        )
    }
}

/// Signed, a log opens its commitment: what the owner says at reconciliation.
impl Statement for AuditLog {
    const KIND: u16 = 0x0010;
}

/// Judges two signed states of a log: whoever signed equal numbers of outgoing entries under
/// different heads keeps two histories ([`EvidenceKind::LogFork`](crate::evidence::EvidenceKind)).
///
/// Only the outgoing sub-chain convicts. The order of the incoming one comes from the bank, and no
/// verdict may rest on what somebody else could have told two ways. Both signatures are checked
/// here, strictly, wherever the statements came from.
#[must_use]
pub fn judge_fork(network: NetworkId, one: &Signed<AuditLog>, other: &Signed<AuditLog>) -> Verdict {
    let (Ok(one), Ok(other)) = (one.clone().verify(network), other.clone().verify(network)) else {
        return Verdict::Insufficient;
    };
    let (a, b) = (one.body().outgoing, other.body().outgoing);
    if one.signer() == other.signer() && a.n == b.n && a.head != b.head {
        Verdict::Guilty(one.signer())
    } else {
        Verdict::Insufficient
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::amount::Currency;
    use crate::sign::SecretKey;

    const HERE: NetworkId = NetworkId([1; 16]);

    fn owner() -> SecretKey {
        SecretKey::from_seed(&[1; 32])
    }

    fn event(n: u8, direction: Direction) -> Event {
        Event {
            kind: 0x0100,
            reference: [n; 32],
            peer: PeerId([9; 32]),
            amount: Currency::XTS.micros(u64::from(n)).unwrap(),
            direction,
        }
    }

    /// A log and its outgoing entries.
    fn paid(events: impl IntoIterator<Item = u8>) -> (AuditLog, Vec<Entry>) {
        let mut log = AuditLog::new(owner().id());
        let mut entries = Vec::new();
        for n in events {
            let (next, entry) = log.append(event(n, Direction::Out)).unwrap();
            log = next;
            entries.push(entry);
        }
        (log, entries)
    }

    #[test]
    fn bank_follows_a_run_of_entries_from_head_to_head() {
        let (early, _) = paid(1..4);
        let (late, entries) = paid(1..9);
        assert_eq!(early.outgoing.leads_to(late.outgoing, Direction::Out, &entries[3..]), Ok(()));
        assert_eq!(late.outgoing.leads_to(late.outgoing, Direction::Out, &[]), Ok(()));
    }

    #[test]
    fn bank_refuses_a_log_with_an_entry_left_out_repeated_or_swapped() {
        let (start, (late, entries)) = (AuditLog::new(owner().id()).outgoing, paid(1..9));
        let check = |entries: &[Entry]| start.leads_to(late.outgoing, Direction::Out, entries);
        let mut missing = entries.clone();
        missing.remove(3);
        assert_eq!(check(&missing), Err(LogError::Gap { expected: 4, found: 5 }));
        let mut repeated = entries.clone();
        repeated.insert(3, entries[2]);
        assert_eq!(check(&repeated), Err(LogError::Gap { expected: 4, found: 3 }));
        let mut swapped = entries.clone();
        swapped.swap(3, 4);
        assert_eq!(check(&swapped), Err(LogError::Gap { expected: 4, found: 5 }));
        assert_eq!(check(&entries[..7]), Err(LogError::Diverges));
    }

    #[test]
    fn bank_refuses_a_log_with_any_field_of_an_entry_altered() {
        let (start, (late, entries)) = (AuditLog::new(owner().id()).outgoing, paid(1..5));
        let alter: [fn(&mut Entry); 4] = [
            |e| e.amount = Currency::XTS.micros(0).unwrap(),
            |e| e.peer = PeerId([8; 32]),
            |e| e.reference[31] ^= 1,
            |e| e.kind += 1,
        ];
        for alter in alter {
            for at in 0..entries.len() {
                let mut forged = entries.clone();
                alter(&mut forged[at]);
                assert_eq!(start.leads_to(late.outgoing, Direction::Out, &forged), Err(LogError::Diverges));
            }
        }
        // Heads that were made of the altered entries do not help either: the direction is checked.
        let mut turned = entries[0];
        turned.direction = Direction::In;
        let forged = start.after(&turned).unwrap();
        assert_eq!(start.leads_to(forged, Direction::Out, &[turned]), Err(LogError::Direction));
    }

    #[test]
    fn nobody_passes_off_anothers_history_as_its_own() {
        let (late, entries) = paid(1..5);
        let thief = SubChain::start(PeerId([7; 32]), Direction::Out);
        assert_eq!(thief.leads_to(late.outgoing, Direction::Out, &entries), Err(LogError::Diverges));
        let turned = SubChain::start(owner().id(), Direction::In);
        assert_eq!(turned.leads_to(late.outgoing, Direction::Out, &entries), Err(LogError::Diverges));
    }

    #[test]
    fn judge_finds_the_keeper_of_two_histories_guilty() {
        let one = owner().sign(HERE, &paid([1, 2, 3]).0);
        let two = owner().sign(HERE, &paid([1, 2, 4]).0);
        assert_eq!(judge_fork(HERE, &one, &two), Verdict::Guilty(owner().id()));
        assert_eq!(judge_fork(HERE, &two, &one), Verdict::Guilty(owner().id()));
    }

    #[test]
    fn judge_finds_an_honest_party_guilty_of_nothing() {
        let (log, _) = paid([1, 2, 3]);
        let said = owner().sign(HERE, &log);
        let grown = owner().sign(HERE, &paid([1, 2, 3, 4]).0);
        let received = owner().sign(HERE, &log.append(event(5, Direction::In)).unwrap().0);
        for other in [&said, &grown, &received] {
            assert_eq!(judge_fork(HERE, &said, other), Verdict::Insufficient);
        }
        // Another party's log, another network's, and a forged signature convict nobody.
        let fork = paid([1, 2, 4]).0;
        let stranger = SecretKey::from_seed(&[2; 32]).sign(HERE, &fork);
        assert_eq!(judge_fork(HERE, &said, &stranger), Verdict::Insufficient);
        let elsewhere = owner().sign(NetworkId([2; 16]), &fork);
        assert_eq!(judge_fork(HERE, &said, &elsewhere), Verdict::Insufficient);
        let mut bytes = wire::encode(&owner().sign(HERE, &fork));
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(judge_fork(HERE, &said, &wire::decode(&bytes).unwrap()), Verdict::Insufficient);
    }

    #[test]
    fn a_log_that_can_count_no_further_refuses_instead_of_wrapping() {
        let mut log = AuditLog::new(owner().id());
        log.outgoing.n = u64::MAX;
        assert!(matches!(log.append(event(1, Direction::Out)), Err(LogError::Gap { .. })));
    }

    proptest! {
        #[test]
        fn the_order_between_the_two_directions_does_not_matter(
            outs in proptest::collection::vec(any::<u8>(), 0..12),
            ins in proptest::collection::vec(any::<u8>(), 0..12),
            mix in any::<u32>(),
        ) {
            let events = |all: &[u8], d| all.iter().map(|n| event(*n, d)).collect::<Vec<_>>();
            let run = |events: &[Event]| events.iter().fold(AuditLog::new(owner().id()), |log, e| log.append(*e).unwrap().0);
            let (outs, ins) = (events(&outs, Direction::Out), events(&ins, Direction::In));
            let in_order: Vec<_> = outs.iter().chain(&ins).copied().collect();
            let (mut o, mut i) = (outs.into_iter().peekable(), ins.into_iter().peekable());
            let mut mixed = Vec::new();
            for bit in (0..32).cycle() {
                let first = if mix >> bit & 1 == 0 { o.next() } else { i.next() };
                mixed.extend(first);
                if o.peek().is_none() && i.peek().is_none() { break; }
                if o.peek().is_none() { mixed.extend(i.by_ref()); break; }
                if i.peek().is_none() { mixed.extend(o.by_ref()); break; }
            }
            prop_assert_eq!(run(&mixed), run(&in_order));
            prop_assert_eq!(run(&mixed).commitment(), run(&in_order).commitment());
        }

        #[test]
        fn two_histories_never_share_a_commitment(
            one in proptest::collection::vec(any::<u8>(), 0..6),
            two in proptest::collection::vec(any::<u8>(), 0..6),
        ) {
            let same = one == two;
            prop_assert_eq!(paid(one).0.commitment() == paid(two).0.commitment(), same);
        }
    }
}
