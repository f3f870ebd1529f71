//! Single payments: one draft, or one payment by online clearing. What both have in common: the
//! policy counts each before anything is signed, each is written down before it leaves, asked for
//! again it is the very same, and a payee takes each once.

mod list;
mod rows;

use farthing_clearing::messages::Payment as TicketPayment;
use farthing_core::amount::Amount;
use farthing_core::evidence::Evidence;
use farthing_core::id::{OrderId, PeerId};
use farthing_core::order::{DESCRIPTION_MAX, Receipt};
use farthing_core::seal::{SealPublic, Sealed};
use farthing_core::sign::Signed;
use farthing_core::time::{Span, Time};
use farthing_draft::messages::Payment as DraftPayment;
use farthing_role::Context;
use minicbor::{Decode, Encode};

use super::choice::Scheme;
use super::error::WalletError;
use super::orders::PaymentRequest;
use super::policy::{self, Approval, PolicyRefusal};
use super::records::What;
use super::{Wallet, means, start};

pub(crate) use rows::{PaymentRow, TakenRow, payment_key};

/// One payment that is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Purchase {
    /// Whom to pay.
    pub payee: PeerId,
    /// The payee's key to seal a draft to; none where it goes through an authenticated connection.
    pub seal: Option<SealPublic>,
    /// How much.
    pub amount: Amount,
    /// What for.
    pub order: OrderId,
    /// Which payment for that order, where it is paid in several; 0 for the first or only one. The
    /// same payee, order and part is the same payment, however often it is asked for.
    pub part: u32,
    /// What it is for, in words.
    pub description: String,
    /// Under which pseudonym; none for the wallet's own name. Only drafts can.
    pub alias: Option<u32>,
    /// How long the payee of a draft has to deposit it; what the settings say if nothing.
    pub life: Option<Span>,
}

impl Purchase {
    /// What somebody asked for; the amount counts where the request leaves it open.
    #[must_use]
    pub fn of(request: &PaymentRequest, amount: Amount) -> Self {
        Self {
            payee: request.order.payee,
            seal: Some(request.seal),
            amount: request.amount().unwrap_or(amount),
            order: request.order.id(),
            part: 0,
            description: request.order.description.clone(),
            alias: None,
            life: None,
        }
    }
}

/// A payment that its payee waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected {
    /// What for.
    pub order: OrderId,
    /// How much.
    pub amount: Amount,
}

/// A payment as it goes from payer to payee.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Handover {
    /// A draft that only its payee can read.
    #[n(0)]
    Sealed(#[n(0)] Sealed<DraftPayment>),
    /// A draft, for an authenticated connection.
    #[n(1)]
    Bare(#[n(0)] DraftPayment),
    /// The bank's ticket.
    #[n(2)]
    Ticket(#[n(0)] TicketPayment),
}

/// How a payment made stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum OutgoingState {
    /// Asked of the bank, which has not answered yet.
    #[n(0)]
    Asked,
    /// Made: to be handed over until the payee has acknowledged it.
    #[n(1)]
    ToHandOver,
    /// The bank has moved the money and its ticket is lost: the payee learns of it when it compares
    /// books.
    #[n(2)]
    Unticketed,
    /// The payee has it.
    #[n(3)]
    Acknowledged,
    /// Its draft was stopped.
    #[n(4)]
    Stopped,
    /// The money came back.
    #[n(5)]
    CameBack,
}

/// A payment made, for its owner to look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// By which scheme.
    pub scheme: Scheme,
    /// Whom.
    pub payee: PeerId,
    /// What for.
    pub order: OrderId,
    /// Which payment for that order.
    pub part: u32,
    /// How much.
    pub amount: Amount,
    /// What for, in words.
    pub description: String,
    /// Under which pseudonym.
    pub alias: Option<u32>,
    /// When.
    pub at: Time,
    /// How it stands.
    pub state: OutgoingState,
    /// The draft's number in its key's log; 0 for other schemes.
    pub number: u64,
    /// The draft's digest, or the authorisation.
    pub instrument: [u8; 32],
    /// The payee's word.
    pub receipt: Option<Signed<Receipt>>,
    /// The payee's word that a draft was given back.
    pub given_back: bool,
}

/// What became of a payment that was handed over to this wallet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It is taken, and written down: serve for it once, send the receipt.
    Serve {
        /// Who paid: a pseudonym perhaps.
        payer: PeerId,
        /// What for.
        order: OrderId,
        /// How much.
        amount: Amount,
        /// The draft's digest, or the authorisation.
        instrument: [u8; 32],
        /// For the payer.
        receipt: Signed<Receipt>,
        /// It was taken before: serve nothing for it again, only send the receipt.
        again: bool,
    },
    /// A draft that the bank is asked about first: serve nothing yet, and take it again later.
    Waiting {
        /// Who wrote it.
        payer: PeerId,
        /// The draft.
        instrument: [u8; 32],
    },
    /// The payer has written two drafts under one number: this convicts it. Nothing was taken.
    Conflict(Box<Evidence>),
}

impl Wallet {
    /// Asks the owner about a payment above the threshold of the policy.
    pub(crate) async fn approve_single(&self, it: &Purchase) -> Result<(), WalletError> {
        let Some(above) = self.inner.settings.policy.approve_above else { return Ok(()) };
        if it.amount.compare(above).is_ok_and(|order| order.is_le()) {
            return Ok(());
        }
        let ask =
            Approval { payee: it.payee, order: it.order, description: it.description.clone(), at_most: it.amount };
        if self.inner.approver.approve(&ask).await {
            return Ok(());
        }
        Err(PolicyRefusal::NotApproved { asked: it.amount, above }.into())
    }

    /// What is wrong with a purchase before anybody is asked.
    pub(crate) fn check_single(&self, it: &Purchase) -> Result<(), WalletError> {
        if it.payee == self.me() {
            return Err(WalletError::Order("to this wallet itself: nobody pays itself"));
        }
        if it.amount.is_zero() || it.amount.currency() != self.inner.settings.currency() {
            return Err(WalletError::Order("over nothing, or in another currency than the bank's"));
        }
        if it.description.len() > DESCRIPTION_MAX {
            return Err(WalletError::Order("described in too many words"));
        }
        Ok(())
    }
}

/// Counts a payment, unless the policy says no or the account has not so much free.
pub(crate) fn count(
    cx: &mut Context<'_>,
    policy: &policy::Policy,
    row: &PaymentRow,
) -> Result<Result<(), PolicyRefusal>, farthing_role::Halt> {
    if let Err(no) = policy.charge(cx.tx, &row.payee, row.hour, row.amount)? {
        return Ok(Err(no));
    }
    means::may_leave(cx)?;
    match row.scheme {
        Scheme::Draft => means::promise(cx, row.alias, row.amount)?,
        _ => means::take_out(cx, row.amount)?,
    }
    Ok(Ok(()))
}

/// Notes a payment made; gives the line's key.
pub(crate) fn note_paid(cx: &mut Context<'_>, row: &PaymentRow) -> [u8; 16] {
    start::note(cx, row.line())
}

impl PaymentRow {
    /// Its line of history.
    pub(crate) fn line(&self) -> What {
        What::Paid {
            scheme: self.scheme,
            payee: self.payee,
            order: self.order,
            description: self.description.clone(),
            amount: self.amount,
            alias: self.alias,
            receipt: self.receipt.clone(),
        }
    }
}
