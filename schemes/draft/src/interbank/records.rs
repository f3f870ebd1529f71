//! What a bank remembers of cheques, besides the money.

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::refusal::Refusal;
use farthing_core::sign::Signed;
use farthing_core::time::Time;
use farthing_core::title::Hop;
use farthing_ledger::StoreFault;
use farthing_role::Table;
use minicbor::{Decode, Encode};

use super::messages::{Digest, Final, Hops, Outcome, Page};
use crate::messages::Draft;
pub(super) use crate::rows::{decode, read};

/// Peer banks by key and currency.
pub(super) const PEERS: Table = Table("cheque_peers");
/// By way of which peer bank cheques on other banks are collected, by bank and currency.
pub(super) const ROUTES: Table = Table("cheque_routes");
/// Cheques presented here, by cheque and chain of endorsements. Never forgotten, as the journal is
/// not: a bank that forgot what it answered would answer otherwise.
pub(super) const ITEMS: Table = Table("cheque_items");
/// Cheques on this bank that were answered, and the chain they came by first.
pub(super) const DRAWN: Table = Table("cheque_drawn");
/// What is to be sent next, in order of time.
pub(super) const OUTBOX: Table = Table("cheque_outbox");
/// Certified cheques: what was signed.
pub(super) const CERTIFIED: Table = Table("cheque_certified");
/// Cashier's cheques by hash.
pub(super) const CASHIERS: Table = Table("cheque_cashiers");
/// Cashier's cheques by the request that bought them, and the number of the last one.
pub(super) const BOUGHT: Table = Table("cheque_bought");
/// When cashier's cheques end.
pub(super) const DUE: Table = Table("cheque_due");
/// What this bank paid, by peer bank, currency, day and cheque.
pub(super) const PAID: Table = Table("cheque_paid");
/// What peer banks signed to have paid us, likewise.
pub(super) const RECEIVED: Table = Table("cheque_received");
/// Totals of both, by peer bank, currency and day.
pub(super) const DAYS: Table = Table("cheque_days");
/// Pages of peer banks' statements, by peer bank, currency, day and first cheque.
pub(super) const PAGES: Table = Table("cheque_pages");
/// Evidence that was filed, by what it is about.
pub(super) const FILED: Table = Table("cheque_filed");

/// The tables that cheques need, besides [`EVIDENCE`](farthing_role::EVIDENCE).
pub const TABLES: [Table; 14] =
    [PEERS, ROUTES, ITEMS, DRAWN, OUTBOX, CERTIFIED, CASHIERS, BOUGHT, DUE, PAID, RECEIVED, DAYS, PAGES, FILED];

/// A peer bank with which accounts were opened, in one currency.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct PeerRecord {
    /// The network of its customers.
    #[n(0)]
    pub(super) network: NetworkId,
    /// The most it may owe us, cheques under way included.
    #[n(1)]
    pub(super) limit: Amount,
    /// The first day on which something may still be paid to it: all before were stated.
    #[n(2)]
    pub(super) open_day: u64,
    /// Since when nothing is taken from it or sent to it any more. The row stays: whoever forgot
    /// which days were stated might pay on one of them.
    #[n(3)]
    pub(super) closed: Option<Time>,
}

/// How cheques on a bank are collected with which no accounts were opened.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct RouteRecord {
    /// Its network.
    #[n(0)]
    pub(super) network: NetworkId,
    /// The peer bank that passes them on.
    #[n(1)]
    pub(super) via: PeerId,
}

/// For whom a bank takes a cheque.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) enum Taker {
    /// A customer of its own: the payee.
    #[n(0)]
    Customer(#[n(0)] PeerId),
    /// A peer bank that passes it on.
    #[n(1)]
    Bank(#[n(0)] PeerId),
}

impl Taker {
    pub(super) const fn peer(self) -> PeerId {
        match self {
            Self::Customer(peer) | Self::Bank(peer) => peer,
        }
    }
}

/// A cheque presented here.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Item {
    /// The cheque.
    #[n(0)]
    pub(super) cheque: Signed<Draft>,
    /// The endorsements it came with.
    #[n(1)]
    pub(super) hops: Hops,
    /// For whom.
    #[n(2)]
    pub(super) taker: Taker,
    /// The number of the payor's certificate, as whoever brought it says.
    #[n(3)]
    pub(super) serial: u64,
    /// Where it stands.
    #[n(4)]
    pub(super) state: State,
    /// Whether it had ended before it was taken here, and was passed on only for the answer: no
    /// money is booked for it.
    #[n(5)]
    pub(super) late: bool,
}

/// Where a cheque stands.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) enum State {
    /// Passed on; the next bank has not answered.
    #[n(0)]
    Waiting(#[n(0)] Waiting),
    /// Answered for good.
    #[n(1)]
    Answered(#[n(0)] Answered),
}

/// A cheque that was answered.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Answered {
    /// What this bank says.
    #[n(0)]
    pub(super) end: Final,
    /// What the next bank said to this one; nothing at the bank drawn on.
    #[n(1)]
    pub(super) heard: Option<Signed<Outcome>>,
}

/// A cheque that was passed on.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Waiting {
    /// To whom.
    #[n(0)]
    pub(super) next: PeerId,
    /// This bank's endorsement. Written down before it is shown, and the only one.
    #[n(1)]
    pub(super) hop: Signed<Hop>,
    /// When it is to be sent again: the key of the row in [`OUTBOX`].
    #[n(2)]
    pub(super) due: Time,
    /// How often it was sent.
    #[n(3)]
    pub(super) tries: u32,
    /// What the next bank last refused it for, without a signed answer. For the operator.
    #[n(4)]
    pub(super) trouble: Option<Refusal>,
}

/// A cashier's cheque.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct CashierRecord {
    /// Who bought it.
    #[n(0)]
    pub(super) buyer: PeerId,
    /// The cheque.
    #[n(1)]
    pub(super) cheque: Signed<Draft>,
    /// Whether it was paid or given back.
    #[n(2)]
    pub(super) ended: bool,
}

/// A cheque that a peer bank signed to have paid.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct ReceivedRecord {
    #[n(0)]
    pub(super) amount: Amount,
    /// The row in [`ITEMS`] is under this chain.
    #[n(1)]
    pub(super) chain: Digest,
}

/// What was paid on one day, in both directions.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct DayRecord {
    #[n(0)]
    pub(super) paid: Amount,
    #[n(1)]
    pub(super) received: Amount,
}

/// A page of a peer bank's statement, as it first came.
pub(super) type PageRecord = Signed<Page>;

pub(super) fn item_key(cheque: Digest, chain: Digest) -> Vec<u8> {
    [cheque.0, chain.0].concat()
}

/// The cheque and the chain that a key of [`item_key`] names.
pub(super) fn item_of(key: &[u8]) -> Option<(Digest, Digest)> {
    let (cheque, chain) = key.split_at_checked(32)?;
    Some((Digest(cheque.try_into().ok()?), Digest(chain.try_into().ok()?)))
}

/// A peer bank and a currency.
pub(super) fn pair_key(bank: PeerId, currency: Currency) -> Vec<u8> {
    [&bank.0[..], currency.code().as_bytes()].concat()
}

pub(super) fn day_key(bank: PeerId, currency: Currency, day: u64) -> Vec<u8> {
    [&pair_key(bank, currency)[..], &day.to_be_bytes()].concat()
}

pub(super) fn line_key(bank: PeerId, currency: Currency, day: u64, cheque: Digest) -> Vec<u8> {
    [&day_key(bank, currency, day)[..], &cheque.0].concat()
}

/// A key that sorts by time and then by what it is about.
pub(super) fn due_key(at: Time, about: &[u8]) -> Vec<u8> {
    [&at.as_millis().to_be_bytes()[..], about].concat()
}

/// The time and the matter of a key of [`due_key`].
pub(super) fn due_of(key: &[u8]) -> Result<(Time, &[u8]), StoreFault> {
    let (at, about) = key.split_at_checked(8).ok_or_else(|| StoreFault("a due row is damaged".into()))?;
    let at = at.try_into().map(u64::from_be_bytes).map_err(|_| StoreFault("a due row is damaged".into()))?;
    Ok((Time::from_millis(at), about))
}
