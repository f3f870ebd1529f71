//! What a bank says of itself to everybody.

use farthing_clearing::bank::LogHead;
use farthing_core::amount::{Amount, Currency};
use farthing_core::cert::Limits;
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::seal::SealPublic;
use farthing_core::sign::Statement;
use farthing_core::time::{Span, Time};
use minicbor::{Decode, Encode};

use super::customer::Text;

/// The most bytes of a bank's name.
pub const NAME_MAX: usize = 64;

/// The network of a bank: follows from its key and name, so that nobody can pretend that another's
/// statements were made for it.
#[must_use]
pub fn network_of(bank: PeerId, name: &str) -> NetworkId {
    let full = hash(Purpose::Network, &[&bank.0, name.as_bytes()]);
    let mut id = [0; 16];
    id.copy_from_slice(&full[..16]);
    NetworkId(id)
}

/// Who a bank is, and on what terms it works. Signed by its statement key.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct BankInfo {
    /// Its name, for people.
    #[n(0)]
    pub name: Text<NAME_MAX>,
    /// Its network: [`network_of`] its key and name.
    #[n(1)]
    pub network: NetworkId,
    /// The key that signs its statements.
    #[n(2)]
    pub bank: PeerId,
    /// The key that signs certificates.
    #[n(3)]
    pub authority: PeerId,
    /// The key to seal requests to it.
    #[n(4)]
    pub seal: SealPublic,
    /// The currency of its accounts.
    #[n(5)]
    pub currency: Currency,
    /// How money comes in and goes out.
    #[n(6)]
    pub rail: Text<NAME_MAX>,
    /// The longest life of a chain.
    #[n(7)]
    pub chain_life_max: Span,
    /// How long after its reserve has ended a payee may still claim.
    #[n(8)]
    pub grace: Span,
    /// How long an accused payer has to answer.
    #[n(9)]
    pub answer_time: Span,
    /// What an account must have deposited before it may open chains.
    #[n(10)]
    pub deposit: Option<Amount>,
    /// What certificates state.
    #[n(11)]
    pub limits: Limits,
    /// How long certificates hold.
    #[n(12)]
    pub certificate_life: Span,
    /// When this was signed, by the bank's clock.
    #[n(13)]
    pub time: Time,
}

impl Statement for BankInfo {
    const KIND: u16 = 0x0005;
}

/// What a bank owes, and what it has for it: sums over all accounts, in micros. Signed by its
/// statement key.
///
/// Customer + backing + deposit + fees + suspense = funded. The head of the journal goes with it,
/// so that a bank can never present two pasts.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct LiabilityReport {
    /// The currency of all sums.
    #[n(0)]
    pub currency: Currency,
    /// What customers have.
    #[n(1)]
    pub customer: u64,
    /// What backs instruments in circulation.
    #[n(2)]
    pub backing: u64,
    /// Deposits against cheating.
    #[n(3)]
    pub deposit: u64,
    /// What the bank earned.
    #[n(4)]
    pub fees: u64,
    /// Money whose owner is not settled.
    #[n(5)]
    pub suspense: u64,
    /// What came in from outside and was not paid out.
    #[n(6)]
    pub funded: u64,
    /// How many rows the journal has.
    #[n(7)]
    pub journal_rows: u64,
    /// The hash of the last of them.
    #[cbor(n(8), with = "minicbor::bytes")]
    pub journal_head: [u8; 32],
    /// When, by the bank's clock.
    #[n(9)]
    pub time: Time,
    /// How far the clearing's own log goes; none in reports from before there was one.
    #[n(10)]
    pub clearing: Option<LogHead>,
}

impl LiabilityReport {
    /// What the bank owes, all kinds together.
    #[must_use]
    pub fn owed(&self) -> u128 {
        [self.customer, self.backing, self.deposit, self.fees, self.suspense].iter().map(|sum| u128::from(*sum)).sum()
    }

    /// Whether money was neither made nor lost.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.owed() == u128::from(self.funded)
    }
}

impl Statement for LiabilityReport {
    const KIND: u16 = 0x0006;
}
