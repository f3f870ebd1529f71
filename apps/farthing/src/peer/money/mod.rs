//! Single payments: what is asked of an open wallet, and what it answers.

pub(crate) mod act;
pub(crate) mod contacts;
pub(crate) mod door;
pub(crate) mod drafts;
mod outbox;
pub(crate) mod take;
pub(crate) mod words;

pub(crate) use contacts::known_by_request;

use farthing_core::amount::Amount;
use farthing_core::id::{OrderId, PeerId};
use farthing_core::time::Span;
use farthing_peer::wallet::Scheme;
use serde::{Deserialize, Serialize};

/// A payment to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pay {
    /// Whom, as it was typed: a contact, a peer, or a request.
    pub(crate) payee: String,
    /// How much, unless a request says it.
    pub(crate) amount: Option<Amount>,
    /// By which scheme, if the owner has a wish.
    pub(crate) scheme: Option<Scheme>,
    /// What for.
    pub(crate) note: String,
    /// Under which pseudonym.
    pub(crate) alias: Option<u32>,
    /// Where the payee is.
    pub(crate) at: Option<String>,
    /// Write a draft as text, and connect to nobody.
    pub(crate) by_hand: bool,
    /// Only see what it would be.
    pub(crate) dry_run: bool,
    /// The payment on its way that this is, as [`PaidNow::order`] of the plan said.
    #[serde(default)]
    pub(crate) order: Option<OrderId>,
}

/// How far a payment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PayState {
    /// It was only looked at.
    Planned,
    /// The payee has it and gave a receipt.
    Received,
    /// It is text, to be handed over by hand.
    Written,
    /// It is kept, and handed over when the payee can be reached.
    Waiting,
}

/// A payment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PaidNow {
    /// Who is paid.
    pub(crate) payee: PeerId,
    /// What the owner calls it.
    pub(crate) name: Option<String>,
    /// How much.
    pub(crate) amount: Amount,
    /// What for.
    pub(crate) note: String,
    /// The order it pays; none while a new payment is only planned.
    pub(crate) order: Option<OrderId>,
    /// By which scheme.
    pub(crate) scheme: Scheme,
    /// Why by that one.
    pub(crate) because: String,
    /// How far it has come.
    pub(crate) state: PayState,
    /// Why it has come no further.
    pub(crate) why: Option<String>,
    /// The payment as text, where it was asked for.
    pub(crate) text: Option<String>,
    /// The payee's receipt: canonical CBOR in hexadecimal.
    pub(crate) receipt: Option<String>,
}

/// What came of handing over what had waited.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Resumed {
    /// Each payment that had waited.
    pub(crate) payments: Vec<PaidNow>,
    /// How many wait still.
    pub(crate) waiting: u64,
}

/// A request for payment to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AskFor {
    /// How much; none leaves it to the payer.
    pub(crate) amount: Option<Amount>,
    /// What for.
    pub(crate) note: String,
    /// How long it holds.
    pub(crate) life: Span,
}

/// A request for payment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// As text.
    pub(crate) uri: String,
    /// Its order.
    pub(crate) order: OrderId,
    /// How much, unless that is left to the payer.
    pub(crate) amount: Option<Amount>,
    /// Until when it can be paid, in UTC.
    pub(crate) until: String,
    /// Whether somebody is there to take the payment.
    pub(crate) open: bool,
}

/// A payment that came.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Received {
    /// Who paid: a pseudonym perhaps.
    pub(crate) payer: PeerId,
    /// What the owner calls it.
    pub(crate) name: Option<String>,
    /// How much.
    pub(crate) amount: Amount,
    /// What for.
    pub(crate) note: String,
    /// Its order.
    pub(crate) order: OrderId,
    /// By which scheme.
    pub(crate) scheme: Scheme,
    /// The receipt as text, where the payment came as text.
    pub(crate) receipt: Option<String>,
    /// It was taken before, and pays nothing more.
    #[serde(default)]
    pub(crate) again: bool,
}

/// A contact to keep.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Known {
    /// What the owner calls it.
    pub(crate) name: String,
    /// Whom that is.
    pub(crate) peer: PeerId,
    /// The key to which drafts for it are sealed, in hexadecimal, if it is known.
    pub(crate) seal: Option<String>,
    /// Where it is, if that is known.
    pub(crate) address: Option<String>,
    /// The request that says so, to be proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<String>,
}

/// All contacts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Contacts {
    /// By name.
    pub(crate) contacts: Vec<Known>,
}

/// Drafts written and held.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Drafts {
    /// Written, to others.
    pub(crate) written: Vec<DraftLine>,
    /// Held, from others.
    pub(crate) held: Vec<DraftLine>,
    /// What may still be promised without asking the bank, under the wallet's own name.
    pub(crate) left: Amount,
    /// Until when, in UTC; nothing where nothing may be.
    pub(crate) until: Option<String>,
}

/// A draft.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DraftLine {
    /// Its name, for commands: the beginning of its digest.
    pub(crate) draft: String,
    /// Its number in its payer's log, by which the bank and its operators name it.
    pub(crate) number: u64,
    /// The other side.
    pub(crate) with: PeerId,
    /// How much.
    pub(crate) amount: Amount,
    /// What for.
    pub(crate) order: OrderId,
    /// How it went on.
    pub(crate) state: String,
    /// Until when it can be deposited, in UTC.
    pub(crate) deposit_by: Option<String>,
}

/// What came of a deposit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Deposited {
    /// How many drafts were taken.
    pub(crate) drafts: u32,
    /// What was credited.
    pub(crate) paid: Amount,
    /// What waits until its payer has money again.
    pub(crate) owed: Amount,
    /// Drafts that their payers have stopped.
    pub(crate) stopped: u32,
    /// What the bank turned away, and why.
    pub(crate) refused: Vec<String>,
}
