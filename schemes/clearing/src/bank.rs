//! The bank: moves the money once, tells both, and keeps each customer's log in step with its own.
//!
//! All state is records in the bank's transaction beside the ledger; [`Clearing`] itself is two keys
//! and terms. A frame goes through [`Clearing::check`], which opens it and changes nothing, and then
//! through [`Clearing::apply`] inside a transaction, whose bytes are the answer once it is durable.

mod answer;
mod check;
mod compare;
mod conclude;
mod enrol;
mod follow;
mod log;
mod records;
mod rows;
mod stop;
mod transfer;

use farthing_core::amount::{AMOUNT_MAX_MICROS, Currency};
use farthing_core::id::{AccountId, NetworkId, PeerId};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_ledger::{Account, AccountKind, Reason, StoreFault};
use farthing_role::{Context, Halt, Records};

pub use answer::Decided;
pub use check::Checked;
pub use log::{LogError, LogEvent, LogHead, LogRow, log_head, log_rows, verify_log};
pub use records::{AccountRecord, CASES_PER_DAY, Case, Standing, TABLES, account, cases};

use crate::keys::MasterKey;

/// Money moved by a request to transfer.
pub const REASON_TRANSFER: Reason = Reason(0x0501);

/// What the bank insists on.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The most that one request may move, in micros of any currency.
    pub limit: u64,
    /// How long a payee may serve for a ticket.
    pub ticket_life: Span,
    /// How long a comparison stays good for funding and pay-out while money only comes in.
    pub reconciled_for: Span,
    /// The currencies whose balances are told at a comparison; the first
    /// [`CURRENCIES_MAX`](crate::reconciliation::CURRENCIES_MAX) count.
    pub currencies: Vec<Currency>,
}

impl Terms {
    /// The usual terms, for these currencies.
    #[must_use]
    pub const fn of(currencies: Vec<Currency>) -> Self {
        let (ticket_life, reconciled_for) = (Span::from_secs(600), Span::from_secs(900));
        Self { limit: AMOUNT_MAX_MICROS, ticket_life, reconciled_for, currencies }
    }
}

/// Clearing at the bank.
#[derive(Debug)]
pub struct Clearing {
    network: NetworkId,
    key: SecretKey,
    master: MasterKey,
    terms: Terms,
}

impl Clearing {
    /// Clearing under the bank's statement key and the master of its customers' keys.
    #[must_use]
    pub const fn new(network: NetworkId, key: SecretKey, master: MasterKey, terms: Terms) -> Self {
        Self { network, key, master, terms }
    }

    /// The key that signs grants and receipts.
    #[must_use]
    pub fn bank(&self) -> PeerId {
        self.key.id()
    }

    /// What a frame asks for, once it has opened. The answer's bytes leave when the transaction is
    /// durable. An answer may be a refusal: those that use up a sequence number, or stop an account,
    /// are changes like any other.
    ///
    /// # Errors
    /// [`Halt`]: a refusal that changed nothing, in clear, for a frame whose key or account is not
    /// known any more, or that answers nothing; or [`Halt::Store`].
    pub fn apply(&self, cx: &mut Context<'_>, checked: Checked) -> Result<Vec<u8>, Halt> {
        self.decide(cx, checked).map(|decided| self.speak(decided))
    }

    /// [`apply`](Self::apply) without the bytes: [`speak`](Self::speak) makes them when the
    /// transaction is durable, beside others, while only this part waits for its turn.
    ///
    /// # Errors
    /// As those of [`apply`](Self::apply).
    pub fn decide(&self, cx: &mut Context<'_>, checked: Checked) -> Result<Decided, Halt> {
        let Checked { customer, id, version, message } = checked;
        let record = records::account(&*cx.tx, customer)?.ok_or_else(unknown)?;
        if record.version != version {
            return Err(replaced().into());
        }
        match message {
            check::Message::Transfer(asked) => self.transfer(cx, customer, record, id, asked),
            check::Message::Hello(hello) => self.hello(cx, customer, record, id, &hello).map(sealed),
            check::Message::Page(page) => self.page(cx, customer, record, id, *page).map(sealed),
            check::Message::Fetch(fetch) => self.fetch(cx, customer, &record, id, &fetch).map(sealed),
        }
    }

    /// Whether a customer must compare books before money comes in from or goes out to the outside
    /// (Kelsey and Schneier, §3.3: "always required before depositing or withdrawing"). Somebody
    /// who does not use the clearing never must.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub fn needs_reconciliation(&self, facts: &dyn Records, customer: PeerId, now: Time) -> Result<bool, StoreFault> {
        let Some(record) = records::account(facts, customer)? else { return Ok(false) };
        let recent = now < record.agreed_at.after(self.terms.reconciled_for);
        let settled = record.log.outgoing == record.agreed.outgoing && (recent || record.log == record.agreed);
        Ok(record.standing != Standing::Active || !settled)
    }

    /// What [`needs_reconciliation`](Self::needs_reconciliation) says, as a refusal to hand on.
    ///
    /// # Errors
    /// [`Code::Reconcile`]; [`Halt::Store`].
    pub fn require_reconciled(&self, cx: &Context<'_>, customer: PeerId) -> Result<(), Halt> {
        if self.needs_reconciliation(&*cx.tx, customer, cx.now)? {
            let why = "compare books first: money comes in and goes out only on books that agree";
            return Err(Refusal::new(Code::Reconcile, why).into());
        }
        Ok(())
    }

    fn customer(&self, peer: PeerId, currency: Currency) -> AccountId {
        Account::id_for(self.network, AccountKind::Customer, &peer.0, currency)
    }
}

const fn sealed(bytes: Vec<u8>) -> Decided {
    Decided(answer::Say::Sealed(bytes))
}

fn unknown() -> Refusal {
    Refusal::new(Code::Unknown, "the bank shares no key with this customer: enrol first")
}

fn replaced() -> Refusal {
    Refusal::new(Code::Certificate, "the key was replaced: get the new one, then compare books")
}

fn last_number() -> Refusal {
    Refusal::new(Code::Range, "the sequence number is at its end: ask the operator").remedy(Remedy::Appeal)
}
