//! What operators ask for about other banks.

use farthing_core::amount::Amount;
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::refusal::Refusal;
use farthing_core::time::Time;
use farthing_core::wire::Bounded;
use farthing_draft::interbank::messages::{Digest, Line};
use minicbor::{Decode, Encode};

use super::customer::Text;

/// The most bytes of a bank's address.
pub const URL_MAX: usize = 256;
/// The most peer banks.
pub const PEERS_MAX: usize = 64;
/// The most cheques under way shown at once.
pub const CHEQUES_SHOWN_MAX: usize = 128;
/// The most discrepancies shown of one day.
pub const DISCREPANCIES_MAX: usize = 64;

/// Opens accounts with another bank, or changes its limit or address.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct OpenPeer {
    /// The key that signs its statements.
    #[n(0)]
    pub bank: PeerId,
    /// Its customers' network.
    #[n(1)]
    pub network: NetworkId,
    /// Where it is reached, with its fingerprint if it has one.
    #[n(2)]
    pub url: Text<URL_MAX>,
    /// The most it may owe this bank, cheques under way included.
    #[n(3)]
    pub limit: Amount,
}

/// Has cheques on a bank without accounts here collected by a peer bank.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct OpenRoute {
    /// The bank that cheques are drawn on.
    #[n(0)]
    pub bank: PeerId,
    /// Its customers' network.
    #[n(1)]
    pub network: NetworkId,
    /// The peer bank that passes them on.
    #[n(2)]
    pub via: PeerId,
}

/// Names a peer bank.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PeerNamed {
    /// Which.
    #[n(0)]
    pub bank: PeerId,
}

/// How the bank stands with one peer bank. Sums are in micros.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PeerLine {
    /// Its key.
    #[n(0)]
    pub bank: PeerId,
    /// Where it is reached.
    #[n(1)]
    pub url: Text<URL_MAX>,
    /// What it owes for what it cleared; below nothing, what is owed to it.
    #[n(2)]
    pub owed: i64,
    /// Cheques that it has not answered.
    #[n(3)]
    pub collecting: i64,
    /// The most both may be together.
    #[n(4)]
    pub limit: Amount,
    /// The last day, counted from 1970, whose statement of the peer was compared.
    #[n(5)]
    pub compared: Option<u64>,
    /// When it was last reached.
    #[n(6)]
    pub reached: Option<Time>,
}

/// All peer banks.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PeerList {
    /// In order of their keys.
    #[n(0)]
    pub items: Bounded<PeerLine, PEERS_MAX>,
}

/// Records money that moved between two banks outside; two operators approve it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct SettlePeer {
    /// The peer bank.
    #[n(0)]
    pub bank: PeerId,
    /// How much.
    #[n(1)]
    pub amount: Amount,
    /// Whether this bank paid; otherwise the peer did.
    #[n(2)]
    pub paid: bool,
}

/// Cheques that other banks have not answered, those asked for next first.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ChequeList {
    /// At most a page.
    #[n(0)]
    pub items: Bounded<ChequeLine, CHEQUES_SHOWN_MAX>,
}

/// A cheque that was passed on.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ChequeLine {
    /// Which.
    #[n(0)]
    pub cheque: Digest,
    /// For how much.
    #[n(1)]
    pub amount: Amount,
    /// The payee here, or the bank that brought it.
    #[n(2)]
    pub taker: PeerId,
    /// Who has it now.
    #[n(3)]
    pub next: PeerId,
    /// How often that bank was asked.
    #[n(4)]
    pub tries: u32,
    /// What it last refused the cheque for, without an answer that settles it.
    #[n(5)]
    pub trouble: Option<Refusal>,
}

/// Asks how a day's statement of a peer bank compares with this bank's records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PeerDayOf {
    /// The peer bank.
    #[n(0)]
    pub bank: PeerId,
    /// The day, counted from 1970, UTC.
    #[n(1)]
    pub day: u64,
}

/// A day between two banks.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PeerDay {
    /// What this bank paid.
    #[n(0)]
    pub paid: Amount,
    /// What the peer's signed answers say that it paid.
    #[n(1)]
    pub received: Amount,
    /// Whether the peer's whole statement was received.
    #[n(2)]
    pub stated: bool,
    /// How many of its lines agree.
    #[n(3)]
    pub agreed: u64,
    /// Lines that do not.
    #[n(4)]
    pub discrepancies: Bounded<Difference, DISCREPANCIES_MAX>,
}

/// How the two sides differ in one cheque, or in the sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Difference {
    /// Stated by the peer, whose answer has not arrived: it is asked for again.
    #[n(0)]
    Unheard(#[n(0)] Line),
    /// The peer signed that it cleared this, and does not state it so. Evidence was filed.
    #[n(1)]
    Denied {
        /// Which cheque.
        #[n(0)]
        cheque: Digest,
        /// What it signed.
        #[n(1)]
        signed: Amount,
        /// What it states.
        #[n(2)]
        stated: Option<Amount>,
    },
    /// The lines agree and the total does not.
    #[n(2)]
    Total {
        /// What it states.
        #[n(0)]
        stated: Amount,
        /// What its answers add up to.
        #[n(1)]
        signed: Amount,
    },
}
