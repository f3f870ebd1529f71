//! What a wallet writes down: one type for every kind of row, canonical like everything else.

use farthing_core::amount::Amount;
use farthing_core::chain::Payword;
use farthing_core::id::{ChainId, NetworkId, OrderId, PeerId};
use farthing_core::order::Receipt;
use farthing_core::refusal::Refusal;
use farthing_core::sign::Signed;
use farthing_core::time::{Time, TimeFloor};
use farthing_core::wire::{self, Bounded, Wire};
use farthing_coupon::micro::SessionName;
use farthing_ledger::StoreFault;
use farthing_netpay::messages::{CLAIM_ITEMS_MAX, Release, Visit};
use farthing_netpay::payer::PurseState;
use farthing_role::{Records, Table};
use farthing_store::Reader;
use minicbor::{Decode, Encode};

use super::choice::Scheme;
use super::coupon::{ENDED, OPENINGS, SESSIONS, SITES};
use super::presence::BankFacts;

/// The one row about the wallet itself.
pub(crate) const META: Table = Table("wallet_meta");
/// Chains by number.
pub(crate) const PURSES: Table = Table("wallet_purses");
/// How far each chain is paid ahead of its record, by number of the chain.
pub(crate) const AHEAD: Table = Table("wallet_ahead");
/// Visits as payer that have not ended, by id.
pub(crate) const PAYING: Table = Table("wallet_paying");
/// What the policy has counted: in all, by payee, by hour.
pub(crate) const BUDGET: Table = Table("wallet_budget");
/// Requests to the bank that were not answered yet, by request id.
pub(crate) const REQUESTS: Table = Table("wallet_requests");
/// Visits as payee, by digest of the reserve.
pub(crate) const EARNED: Table = Table("wallet_earned");
/// The highest word of each visit as payee, by digest of the reserve.
pub(crate) const TIPS: Table = Table("wallet_tips");
/// What the last payment of a visit was for, by the digest of its reserve.
pub(crate) const BOUGHT: Table = Table("wallet_bought");
/// Visits not wholly redeemed yet, by the moment the time to claim is over.
pub(crate) const DUE: Table = Table("wallet_due");
/// Visits that bring nothing more, by the moment the time to claim is over.
pub(crate) const PAST: Table = Table("wallet_past");
/// Reserves held of a chain, by chain and first unit.
pub(crate) const HELD: Table = Table("wallet_held");
/// What happened, by time.
pub(crate) const HISTORY: Table = Table("wallet_history");

/// Single payments made, by order, payee and part.
pub(crate) const PAYMENTS: Table = Table("wallet_payments");
/// Single payments taken, by the draft's digest or the authorisation.
pub(crate) const TAKEN: Table = Table("wallet_taken");
/// Requests for payment that this wallet made, by order.
pub(crate) const ORDERS: Table = Table("wallet_orders");
/// Contacts, by name.
pub(crate) const CONTACTS: Table = Table("wallet_contacts");
/// Keys that write drafts, by number.
pub(crate) const ALIASES: Table = Table("wallet_aliases");
/// The state of online clearing, sealed, and which payment was asked for last.
pub(crate) const CLEARING: Table = Table("wallet_clearing");
/// The log of online clearing, by direction and place.
pub(crate) const CLEARING_LOG: Table = Table("wallet_clearing_log");

/// What the account is known to have, and what drafts promise of it.
pub(crate) const MEANS: Table = Table("wallet_means");

/// What drafts keep.
const DRAFTS: [Table; 12] = farthing_draft::wallet::TABLES;

/// The tables of a wallet, in the order of a backup: new ones come last.
pub(crate) const TABLES: [Table; 37] = [
    META,
    PURSES,
    AHEAD,
    PAYING,
    BUDGET,
    REQUESTS,
    EARNED,
    TIPS,
    BOUGHT,
    DUE,
    PAST,
    HELD,
    HISTORY,
    SESSIONS,
    ENDED,
    OPENINGS,
    SITES,
    PAYMENTS,
    TAKEN,
    ORDERS,
    CONTACTS,
    ALIASES,
    CLEARING,
    CLEARING_LOG,
    DRAFTS[0],
    DRAFTS[1],
    DRAFTS[2],
    DRAFTS[3],
    DRAFTS[4],
    DRAFTS[5],
    DRAFTS[6],
    DRAFTS[7],
    DRAFTS[8],
    DRAFTS[9],
    DRAFTS[10],
    DRAFTS[11],
    MEANS,
];

/// The one key in [`META`].
pub(crate) const SELF: &[u8] = b"self";

/// About the wallet itself.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct Meta {
    /// Drawn when these records began, and anew at every restore: no two copies derive the same.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(crate) copy: [u8; 16],
    /// Counts the restores. Chains of an earlier epoch are never spent.
    #[n(1)]
    pub(crate) epoch: u64,
    /// The number of the next chain.
    #[n(2)]
    pub(crate) next_chain: u64,
    /// The latest moment the bank has signed.
    #[n(3)]
    pub(crate) floor: TimeFloor,
    /// Whether books must be compared with the bank before anything is paid.
    #[n(4)]
    pub(crate) restored: bool,
    /// The witness that lies beside the records: the one of the last opening and the one of this,
    /// whichever the crash of a machine has left there.
    #[n(5)]
    pub(crate) witnesses: [Option<Witness>; 2],
    /// When the last redemption was begun.
    #[n(6)]
    pub(crate) redeemed: Time,
    /// Whose records these are.
    #[n(7)]
    pub(crate) owner: PeerId,
    /// In the network of which bank.
    #[n(8)]
    pub(crate) network: NetworkId,
    /// Counts the changes of this row.
    #[n(9)]
    pub(crate) version: u64,
    /// Under which number the bank counts this copy; none until a copy of the wallet took over.
    #[n(10)]
    pub(crate) presence: Option<u64>,
    /// What the bank said of itself the last time.
    #[n(11)]
    pub(crate) bank: Option<BankFacts>,
    /// When these records began to be a restored copy: what came before may be forgotten.
    #[n(12)]
    pub(crate) began: Option<Time>,
}

/// A small file beside the records, made anew at every opening. A copied one is another file, and
/// records put back from an older copy know an older one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct Witness {
    /// What is in it.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(crate) nonce: [u8; 16],
    /// Its number on its disk.
    #[n(1)]
    pub(crate) inode: u64,
    /// When it was made, in nanoseconds, where the file system knows.
    #[n(2)]
    pub(crate) born: Option<u64>,
}

/// A chain of this wallet.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct PurseRecord {
    /// From what its keys are derived.
    #[n(0)]
    pub(crate) origin: Origin,
    /// The chain as its payer holds it.
    #[n(1)]
    pub(crate) state: PurseState,
    /// The visit in progress.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) visit: Option<[u8; 16]>,
    /// Whether it is over, and what was left of it went back.
    #[n(3)]
    pub(crate) refunded: bool,
}

/// From what the keys of a chain are derived, besides the seed. Taken whole, so that no two chains
/// of any two copies of a wallet share a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct Origin {
    /// Of which copy of the records.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(crate) copy: [u8; 16],
    /// In which epoch.
    #[n(1)]
    pub(crate) epoch: u64,
    /// Its number.
    #[n(2)]
    pub(crate) index: u64,
    /// The salt in its header.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub(crate) salt: [u8; 16],
}

/// How far a reserve counts as paid although its record says less.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct Ahead {
    /// Which reserve.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(crate) reserve: [u8; 32],
    /// The last unit whose word may have left.
    #[n(1)]
    pub(crate) paid: u32,
}

/// A visit as payer that has not ended.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct Paying {
    /// With which chain.
    #[n(0)]
    pub(crate) purse: u64,
    /// Whom.
    #[n(1)]
    pub(crate) payee: PeerId,
    /// What for.
    #[n(2)]
    pub(crate) order: OrderId,
    /// The same in words.
    #[n(3)]
    pub(crate) description: String,
    /// What a unit is worth.
    #[n(4)]
    pub(crate) unit: Amount,
    /// How many units a piece costs.
    #[n(5)]
    pub(crate) units_per_piece: u32,
    /// How many units may be paid in all; the policy has counted them as spent.
    #[n(6)]
    pub(crate) units_max: u32,
    /// Units paid under earlier reserves of this visit.
    #[n(7)]
    pub(crate) units_before: u32,
    /// The reserve in use.
    #[cbor(n(8), with = "minicbor::bytes")]
    pub(crate) reserve: [u8; 32],
    /// The hour in which the policy counted it.
    #[n(9)]
    pub(crate) hour: u64,
}

/// A request to the bank, written down before it is first sent.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct Pending {
    /// The bank's number for it.
    #[n(0)]
    pub(crate) kind: u16,
    /// What is asked.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) message: Vec<u8>,
    /// What it is about.
    #[n(2)]
    pub(crate) about: About,
}

/// What a request is about, so that its answer finds its place after a restart.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) enum About {
    /// A chain to open.
    #[n(0)]
    Open(#[n(0)] Origin),
    /// Visits to be paid for, by digest of the reserve, in the order of the claims.
    #[n(1)]
    Claim(#[n(0)] Bounded<Digest, CLAIM_ITEMS_MAX>),
    /// A reserve whose payee vanished, and its chain's number.
    #[n(2)]
    Release(#[n(0)] u64),
    /// A case to answer.
    #[n(3)]
    Defend(#[n(0)] u64),
    /// Money that comes in or goes out, or moves between the wallet's accounts.
    #[n(4)]
    Account,
}

/// A digest in a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(transparent)]
pub(crate) struct Digest(#[cbor(n(0), with = "minicbor::bytes")] pub(crate) [u8; 32]);

/// A visit as payee.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) struct Earned {
    /// What it began with.
    #[n(0)]
    pub(crate) visit: Visit,
    /// What for.
    #[n(1)]
    pub(crate) order: OrderId,
    /// The same in words.
    #[n(2)]
    pub(crate) description: String,
    /// What a unit is worth.
    #[n(3)]
    pub(crate) unit: Amount,
    /// The first unit reserved.
    #[n(4)]
    pub(crate) from: u32,
    /// The last unit reserved.
    #[n(5)]
    pub(crate) upto: u32,
    /// The first unit of the visit, under an earlier reserve perhaps.
    #[n(6)]
    pub(crate) first: u32,
    /// The first moment at which no word is taken.
    #[n(7)]
    pub(crate) expires: Time,
    /// The first moment at which the bank pays nothing any more.
    #[n(8)]
    pub(crate) deadline: Time,
    /// The last unit the bank has paid.
    #[n(9)]
    pub(crate) claimed: u32,
    /// The release given.
    #[n(10)]
    pub(crate) release: Option<Signed<Release>>,
    /// Why the bank last turned the claim away.
    #[n(11)]
    pub(crate) refused: Option<Refusal>,
    /// The key that signs for the chain.
    #[n(12)]
    pub(crate) payer: PeerId,
}

/// What happened, once it is over.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Happened {
    /// When.
    #[n(0)]
    pub at: Time,
    /// What.
    #[n(1)]
    pub what: What,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum What {
    /// Money was set aside at the bank for a chain.
    #[n(0)]
    Opened {
        /// The chain.
        #[n(0)]
        chain: ChainId,
        /// What it is worth.
        #[n(1)]
        value: Amount,
        /// When it ends.
        #[n(2)]
        not_after: Time,
    },
    /// Something was bought.
    #[n(1)]
    Bought {
        /// From whom.
        #[n(0)]
        payee: PeerId,
        /// What.
        #[n(1)]
        order: OrderId,
        /// In words.
        #[n(2)]
        description: String,
        /// What was paid.
        #[n(3)]
        paid: Amount,
        /// The payee's word for it.
        #[n(4)]
        receipt: Option<Signed<Receipt>>,
    },
    /// Something was sold.
    #[n(2)]
    Sold {
        /// Who paid: the chain's key.
        #[n(0)]
        payer: PeerId,
        /// What for.
        #[n(1)]
        order: OrderId,
        /// In words.
        #[n(2)]
        description: String,
        /// How much was earned; redeemed later.
        #[n(3)]
        earned: Amount,
    },
    /// The bank paid claims.
    #[n(3)]
    Redeemed {
        /// How much.
        #[n(0)]
        amount: Amount,
        /// For how many visits.
        #[n(1)]
        visits: u32,
    },
    /// The bank turned a claim away for good.
    #[n(4)]
    ClaimLost {
        /// The chain.
        #[n(0)]
        chain: ChainId,
        /// What was claimed.
        #[n(1)]
        amount: Amount,
        /// Why.
        #[n(2)]
        why: Refusal,
    },
    /// A chain ended, and the bank gave back what was not spent.
    #[n(5)]
    Refunded {
        /// The chain.
        #[n(0)]
        chain: ChainId,
        /// What was left by this wallet's own count; the bank's statement has the final word.
        #[n(1)]
        about: Amount,
    },
    /// The bank released a reserve whose payee had vanished.
    #[n(6)]
    Released {
        /// The payee.
        #[n(0)]
        payee: PeerId,
        /// What the payee was paid under it.
        #[n(1)]
        paid: Amount,
        /// What for.
        #[n(2)]
        order: OrderId,
    },
    /// A case against this wallet was answered.
    #[n(7)]
    Defended(#[n(0)] u64),
    /// The records were restored from a backup, or found copied.
    #[n(8)]
    Restored {
        /// The new epoch.
        #[n(0)]
        epoch: u64,
    },
    /// The bank refused a request for good.
    #[n(9)]
    Refused {
        /// The bank's number for it.
        #[n(0)]
        kind: u16,
        /// Why.
        #[n(1)]
        why: Refusal,
    },
    /// Money was set aside at the bank for a session with a seller who takes coupons.
    #[n(10)]
    SessionOpened {
        /// Where the seller is.
        #[n(0)]
        site: String,
        /// How much.
        #[n(1)]
        held: Amount,
        /// When it ends.
        #[n(2)]
        not_after: Time,
    },
    /// Such a session ended.
    #[n(11)]
    SessionEnded {
        /// Who was paid.
        #[n(0)]
        payee: PeerId,
        /// Where the seller is.
        #[n(1)]
        site: String,
        /// What was sold, in the seller's words.
        #[n(2)]
        description: String,
        /// What had been set aside.
        #[n(3)]
        held: Amount,
        /// What was paid of that, unanswered payments counted; the rest comes back.
        #[n(4)]
        paid: Amount,
        /// How many requests cost something.
        #[n(5)]
        requests: u32,
        /// The last payment that the seller acknowledged, as its receipt names it.
        #[n(6)]
        receipt: Option<(SessionName, u32)>,
    },
    /// A single payment was made: by a draft, or by the bank at once.
    #[n(12)]
    Paid {
        /// By which scheme.
        #[n(0)]
        scheme: Scheme,
        /// Whom.
        #[n(1)]
        payee: PeerId,
        /// What for.
        #[n(2)]
        order: OrderId,
        /// In words.
        #[n(3)]
        description: String,
        /// How much.
        #[n(4)]
        amount: Amount,
        /// Under which pseudonym; none for the wallet's own name.
        #[n(5)]
        alias: Option<u32>,
        /// The payee's word for it, once it has come.
        #[n(6)]
        receipt: Option<Signed<Receipt>>,
    },
    /// A single payment was taken: a draft, to be deposited, or money on the account.
    #[n(13)]
    Received {
        /// By which scheme.
        #[n(0)]
        scheme: Scheme,
        /// Who paid: a pseudonym perhaps.
        #[n(1)]
        payer: PeerId,
        /// What for.
        #[n(2)]
        order: OrderId,
        /// In words, where this wallet had asked for it.
        #[n(3)]
        description: String,
        /// How much.
        #[n(4)]
        amount: Amount,
        /// Whether an order was paid by it; else it is to be settled with the payer.
        #[n(5)]
        matched: bool,
    },
    /// The bank paid drafts.
    #[n(14)]
    Deposited {
        /// How much was credited.
        #[n(0)]
        amount: Amount,
        /// How many drafts.
        #[n(1)]
        drafts: u32,
        /// What their payers still owe.
        #[n(2)]
        owed: Amount,
    },
    /// Nothing came of a draft.
    #[n(15)]
    DraftLost {
        /// Who wrote it.
        #[n(0)]
        payer: PeerId,
        /// What for.
        #[n(1)]
        order: OrderId,
        /// How much it promised.
        #[n(2)]
        amount: Amount,
        /// Why.
        #[n(3)]
        why: Refusal,
    },
    /// A draft of this wallet was stopped.
    #[n(16)]
    DraftStopped {
        /// Whom it was to pay.
        #[n(0)]
        payee: PeerId,
        /// What for.
        #[n(1)]
        order: OrderId,
        /// How much.
        #[n(2)]
        amount: Amount,
    },
    /// A single payment came back: its draft was given back, or the stop ended so.
    #[n(17)]
    CameBack {
        /// Who was to be paid.
        #[n(0)]
        payee: PeerId,
        /// What for.
        #[n(1)]
        order: OrderId,
        /// How much.
        #[n(2)]
        amount: Amount,
    },
    /// Books were compared with the bank's, and lines were found that another copy or a lost message had
    /// kept from this wallet.
    #[n(18)]
    Repaired {
        /// How many.
        #[n(0)]
        lines: u32,
    },
}

impl Origin {
    /// The bytes that keys are derived for.
    pub(crate) fn context(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Whether the chain belongs to this copy of the records, in this epoch: only such are spent.
    pub(crate) fn is_current(&self, meta: &Meta) -> bool {
        self.epoch == meta.epoch && self.copy == meta.copy
    }
}

impl Earned {
    /// What was earned and not redeemed at this tip, in units.
    pub(crate) fn unclaimed(&self, tip: Payword) -> u32 {
        tip.index().saturating_sub(self.claimed.max(self.from.saturating_sub(1)))
    }
}

/// Reads a row inside a transaction.
pub(crate) fn get<T: Wire>(tx: &dyn Records, table: Table, key: &[u8]) -> Result<Option<T>, StoreFault> {
    tx.get(table, key)?.map(|bytes| read(table, &bytes)).transpose()
}

/// Reads a row of what was last committed.
pub(crate) fn look<T: Wire>(reader: &dyn Reader, table: Table, key: &[u8]) -> Result<Option<T>, StoreFault> {
    reader.get(table, key)?.map(|bytes| read(table, &bytes)).transpose()
}

/// Reads the bytes of a row.
pub(crate) fn read<T: Wire>(table: Table, bytes: &[u8]) -> Result<T, StoreFault> {
    wire::decode(bytes).map_err(|why| StoreFault(format!("a row of {} is damaged: {why}", table.0)))
}

/// Writes a row.
pub(crate) fn put<T: Encode<()>>(tx: &mut (impl Records + ?Sized), table: Table, key: &[u8], value: &T) {
    tx.put(table, key, wire::encode(value));
}

/// A key that sorts by time and then by digest.
pub(crate) fn due_key(at: Time, digest: &[u8; 32]) -> Vec<u8> {
    [&at.as_millis().to_be_bytes()[..], digest].concat()
}

/// Moves a visit from those to be redeemed to those that bring nothing more.
pub(crate) fn no_longer_due(tx: &mut (impl Records + ?Sized), deadline: Time, digest: &[u8; 32]) {
    let key = due_key(deadline, digest);
    tx.delete(DUE, &key);
    put(tx, PAST, &key, &());
}
