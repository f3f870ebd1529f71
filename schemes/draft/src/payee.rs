//! The payee: takes drafts offline, deposits them when it likes.
//!
//! A step runs in a transaction of the payee's own store, with the tables of
//! [`wallet`](crate::wallet); goods and receipts leave once that is committed. One draft at a time
//! ([`Payee::accept`]) is checked strictly. A queue ([`Payee::check_queue`], then
//! [`Payee::accept_checked`] for each) has its signatures checked together and one receipt signed
//! for all; `docs/schemes/draft.md` says what little that gives away.

mod accept;
mod check;
mod collect;

use farthing_core::amount::Amount;
use farthing_core::id::{NetworkId, OrderId, PeerId};
use farthing_core::order::Receipt;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seal::{SealKey, Sealed};
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{SKEW, Span, Time};
use farthing_role::{Context, Halt};
use minicbor::{Decode, Encode};

use crate::messages::{Digest, Draft, Payment, Receipts};

pub use accept::{Accepted, Taken};
pub use check::Checked;

/// What a payee insists on.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The least time it wants to have for the deposit.
    pub life_min: Span,
    /// Above this amount it asks the bank before it serves.
    pub ask_above: Option<Amount>,
    /// How often it asks below it: so many times in a million, by lot.
    pub spot_checks: u32,
    /// How long after it was written a draft is taken: at least the skew of clocks. What a payee
    /// forgets within that time, as one restored from a backup does, it would take once more.
    pub late_max: Span,
    /// The most it takes from one payer on signatures that were checked only together with others.
    pub queued_max: Option<Amount>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { life_min: Span::from_days(2), ask_above: None, spot_checks: 0, late_max: SKEW, queued_max: None }
    }
}

/// A key that takes drafts drawn on one bank.
#[derive(Debug)]
pub struct Payee {
    /// The key that drafts name.
    pub key: SecretKey,
    /// The key that opens what payers seal.
    pub seal: SealKey,
    /// The bank's network.
    pub network: NetworkId,
    /// The bank: the key that signs its statements.
    pub bank: PeerId,
    /// The key that signs its certificates.
    pub authority: PeerId,
    /// What it insists on.
    pub terms: Terms,
}

/// What is to be paid for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected {
    /// The order.
    pub order: OrderId,
    /// Its price.
    pub amount: Amount,
}

/// A draft as its payee holds it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Held {
    /// The draft.
    #[n(0)]
    pub draft: Signed<Draft>,
    /// The certificate it came under.
    #[n(1)]
    pub serial: u64,
    /// Whether its signature was checked by itself.
    #[n(2)]
    pub strict: bool,
    /// How it went on.
    #[n(3)]
    pub state: HeldState,
    /// The receipt given for it alone.
    #[n(4)]
    pub receipt: Option<Signed<Receipt>>,
    /// The payer's word that it has the goods.
    #[n(5)]
    pub delivered: Option<Signed<crate::messages::Delivered>>,
}

/// How a draft went on.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum HeldState {
    /// Nothing is served for it before the bank has said yes.
    #[n(0)]
    Asking,
    /// Taken, to be deposited.
    #[n(1)]
    Held,
    /// In a deposit that was not answered yet.
    #[n(2)]
    Sent,
    /// The bank took it.
    #[n(3)]
    Deposited {
        /// The receipt's number.
        #[n(0)]
        number: u64,
        /// What the payer still owes of it.
        #[n(1)]
        owed: Amount,
    },
    /// The payer stopped it: show the bank that it was delivered.
    #[n(4)]
    Stopped {
        /// Until when.
        #[n(0)]
        answer_by: Time,
    },
    /// Nothing came of it, and why.
    #[n(5)]
    Lost(#[n(0)] Refusal),
    /// We gave it back.
    #[n(6)]
    GivenBack,
}

impl Payee {
    /// Opens what a payer sealed.
    ///
    /// # Errors
    /// A [`Refusal`]; nothing is known about who sent it.
    pub fn open(&self, sealed: &Sealed<Payment>) -> Result<Payment, Refusal> {
        Ok(self.seal.open(self.network, sealed)?)
    }

    /// Takes one draft: every check, strictly, and the receipt.
    ///
    /// # Errors
    /// [`Halt`]; nothing was taken.
    pub fn accept(&self, cx: &mut Context<'_>, payment: Payment, expected: &Expected) -> Result<Taken, Halt> {
        let checked = self.check(cx.now, payment, &*cx.tx)?;
        self.accept_checked(cx, checked, expected, true)
    }

    /// One signature over all drafts of a queue that were taken; `None` for more than
    /// [`DRAFTS_MAX`](crate::messages::DRAFTS_MAX).
    #[must_use]
    pub fn receipts(&self, now: Time, drafts: Vec<Digest>) -> Option<Signed<Receipts>> {
        let drafts = farthing_core::wire::Bounded::new(drafts)?;
        Some(self.key.sign(self.network, &Receipts { drafts, time: now }))
    }
}

fn unknown_draft() -> Refusal {
    Refusal::new(Code::Unknown, "no such draft is held")
}
