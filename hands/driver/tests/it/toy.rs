//! A role of counters: small enough to be surely right, rude enough to try the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farthing_core::id::{PeerId, RequestId, timed};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::time::Time;
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt, Outcome, Records, Request, Role, Table};
use farthing_store::Reader;

pub(crate) const COUNTERS: Table = Table("toy");

/// What a request asks for; its number is the request's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Ask {
    /// Add to my counter and tell me the sum.
    Add,
    /// Move from my counter to that of the next peer; writes the second side before it looks at the first.
    Give,
    /// Tell me moment and dice.
    Roll,
    /// Add, unless it is later than the time I name. The check alone looks at the time.
    AddBefore,
    /// Tell me my counter as the check found it.
    Facts,
    PanicInCheck,
    PanicInApply,
    FaultInApply,
}

const ASKS: [Ask; 8] = [
    Ask::Add,
    Ask::Give,
    Ask::Roll,
    Ask::AddBefore,
    Ask::Facts,
    Ask::PanicInCheck,
    Ask::PanicInApply,
    Ask::FaultInApply,
];

/// The role, and how often each of its methods was at work.
#[derive(Default)]
pub(crate) struct Toy {
    pub(crate) applied: AtomicUsize,
    pub(crate) ticks: AtomicUsize,
    /// How many portions fall due at each tick.
    pub(crate) due: AtomicUsize,
}

impl Role for Toy {
    type Checked = (Ask, u64, u64);

    fn check(&self, now: Time, requests: Vec<Request>, facts: &dyn Records) -> Vec<Result<(Ask, u64, u64), Halt>> {
        let check = |request: Request| {
            let ask = ASKS[usize::from(request.kind)];
            let number = u64::from_be_bytes(request.message.try_into().unwrap());
            let fact = match ask {
                Ask::PanicInCheck => panic!("as asked for"),
                Ask::AddBefore if now >= Time::from_millis(number) => {
                    return Err(Refusal::new(Code::Certificate, "too late by my clock").into());
                }
                Ask::Facts => counter(facts, request.sender)?,
                _ => 0,
            };
            Ok((ask, number, fact))
        };
        requests.into_iter().map(check).collect()
    }

    fn apply(
        &self,
        cx: &mut Context<'_>,
        sender: PeerId,
        (ask, number, fact): (Ask, u64, u64),
    ) -> Result<Outcome, Halt> {
        self.applied.fetch_add(1, Ordering::SeqCst);
        let mine = counter(cx.tx, sender)?;
        let reply = match ask {
            Ask::Add => set(cx.tx, sender, mine + number),
            Ask::AddBefore => set(cx.tx, sender, mine + 1),
            Ask::Give => {
                let next = next(sender);
                let theirs = counter(cx.tx, next)?;
                set(cx.tx, next, theirs + number);
                let rest = mine.checked_sub(number).ok_or_else(|| Refusal::new(Code::Funds, "too little"))?;
                set(cx.tx, sender, rest)
            }
            Ask::Roll => [&cx.now.as_millis().to_be_bytes()[..], &cx.dice].concat(),
            Ask::Facts => fact.to_be_bytes().to_vec(),
            Ask::PanicInCheck | Ask::PanicInApply => {
                set(cx.tx, sender, 1_000_000);
                panic!("as asked for");
            }
            Ask::FaultInApply => return Err(StoreFault("as asked for".to_owned()).into()),
        };
        Ok(Outcome { reply })
    }

    fn tick(&self, cx: &mut Context<'_>) -> Result<bool, Halt> {
        let done = self.ticks.fetch_add(1, Ordering::SeqCst) + 1;
        let ticks = PeerId([0xff; 32]);
        let sum = counter(cx.tx, ticks)? + 1;
        set(cx.tx, ticks, sum);
        Ok(done < self.due.load(Ordering::SeqCst))
    }
}

pub(crate) fn peer(number: u8) -> PeerId {
    PeerId([number; 32])
}

/// Whom [`Ask::Give`] gives to: four peers in a ring.
pub(crate) fn next(peer: PeerId) -> PeerId {
    PeerId([(peer.0[0] + 1) % 4; 32])
}

/// A request of that peer, made at that time, the `unique`-th of its kind.
pub(crate) fn request(sender: PeerId, made: Time, unique: u64, ask: Ask, number: u64) -> Request {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&unique.to_be_bytes());
    let id = RequestId(timed(made, &bytes));
    Request::unsigned(sender, id, ask as u16, number.to_be_bytes().to_vec())
}

/// A peer's counter.
pub(crate) fn counter<T: Records + ?Sized>(records: &T, peer: PeerId) -> Result<u64, StoreFault> {
    Ok(number(&records.get(COUNTERS, &peer.0)?.unwrap_or(vec![0; 8])))
}

/// A peer's counter as last committed.
pub(crate) fn committed(reader: &dyn Reader, peer: PeerId) -> u64 {
    number(&reader.get(COUNTERS, &peer.0).unwrap().unwrap_or(vec![0; 8]))
}

pub(crate) fn set<T: Records + ?Sized>(records: &mut T, peer: PeerId, value: u64) -> Vec<u8> {
    records.put(COUNTERS, &peer.0, value.to_be_bytes().to_vec());
    value.to_be_bytes().to_vec()
}

pub(crate) fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().unwrap())
}

pub(crate) fn toy() -> Arc<Toy> {
    Arc::new(Toy::default())
}
