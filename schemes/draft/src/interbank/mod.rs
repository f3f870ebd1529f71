//! Cheques between banks (Neuman and Medvinsky's NetCheque, 1993 and 1995), hardened: a draft drawn
//! on one bank is deposited at another.
//!
//! The whole conversation, in the numbering of the protocol book's §10; `docs/schemes/cheques.md`
//! tells it with the checks and the postings:
//!
//! ```text
//! NQ-0  payor → its bank      Certify{cheque}              ⇒ Certification (money held until a time)
//!       customer → its bank   Cashier{payee, amount, …}    ⇒ a cheque drawn by the bank on itself
//! NQ-1  payor → payee         Signed<Draft>, Certification  checked by the payee: payee.rs
//! NQ-2  payee → its bank      Presentation{cheque, [End1]} ⇒ Answer::Pending: provisional credit
//! NQ-3  bank → next bank      Presentation{cheque, [End1, End2, …]}, again until answered
//! NQ-4  next bank → bank      Answer::Final: cleared or bounced, signed by the bank drawn on
//! NQ-5  bank → payee          the same Presentation again   ⇒ Answer::Final, signed by its bank too
//! daily bank ↔ bank           Signed<Page>: every cheque paid that day; compared line by line
//! ```
//!
//! A deposit, a forwarding and an inquiry after a lost answer are one message with one handler,
//! [`Interbank::present`]: whether the bank pays, passes on or repeats itself follows from whom the
//! cheque is drawn on and what it knows. What is to be sent comes out of
//! [`Interbank::send_due`], which is durable before it is spoken, and what was answered goes into
//! [`Interbank::on_answer`]. No message is ever needed twice and every one may come twice.
//!
//! Everything about a title (the cheque and its endorsements) is signed in the network of the bank
//! drawn on; what a bank answers or states, in its own.
//!
//! **Accounts.** What other banks owe lies outside, so a bank has for each peer bank and currency two
//! accounts of kind `World`: *collection*, for cheques sent and not answered, and *settlement*, for
//! what was cleared. Provisional credit is on a `Suspense` account of whoever it is for. So at every
//! bank, at every instant, what customers and suspense hold is what was funded, claims on other
//! banks included; and once all answers have arrived, the two settlement accounts of any two banks
//! add up to nothing.

mod answer;
mod certify;
mod check;
mod collect;
mod draw;
pub mod messages;
mod payee;
mod peers;
mod records;
mod settle;
pub mod verdict;

use farthing_core::amount::Currency;
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{AccountId, NetworkId, PeerId, TransferId, timed};
use farthing_core::sign::{SecretKey, Verified};
use farthing_core::time::{Span, Time};
use farthing_ledger::{Account, AccountKind, Reason};
use farthing_role::{Context, Halt};

pub use answer::Progress;
pub use certify::CASHIER_ENDED_PER_TICK;
pub use check::CheckedPresentation;
pub use collect::{Matter, Outgoing, RETRY_FIRST, RETRY_MAX, UnderWay};
pub use payee::{check_certified, endorse};
pub use peers::{PeerTerms, Position};
pub use records::TABLES;
pub use settle::{Comparison, Discrepancy, Movement, day_of};

use crate::messages::Draft;

/// Provisional credit for a cheque that was sent for collection.
pub const REASON_PROVISIONAL: Reason = Reason(0x0680);
/// A cheque sent for collection was cleared: it is owed by the peer bank now.
pub const REASON_COLLECTED: Reason = Reason(0x0681);
/// Provisional credit became available.
pub const REASON_AVAILABLE: Reason = Reason(0x0682);
/// Provisional credit was taken back: the cheque bounced.
pub const REASON_REVERSED: Reason = Reason(0x0683);
/// A cashier's cheque was paid.
pub const REASON_DRAWN: Reason = Reason(0x0684);
/// A cashier's cheque was bought.
pub const REASON_CASHIER: Reason = Reason(0x0685);
/// A cashier's cheque that nobody presented was given back to its buyer.
pub const REASON_CASHIER_RETURNED: Reason = Reason(0x0686);
/// What one bank owed another was paid off outside.
pub const REASON_SETTLED: Reason = Reason(0x0687);

/// What the bank insists on.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long after the end of a certified cheque its money stays held. The cheque cannot be drawn
    /// in that time; it makes room for clocks that stand apart.
    pub margin: Span,
}

impl Default for Terms {
    fn default() -> Self {
        Self { margin: Span::from_hours(24) }
    }
}

/// What the cheques of a bank need of its drafts: whose account a draft draws on, and that each
/// number of a payer is drawn once, wherever it is deposited. `serial` is the number of the payer's
/// certificate, as the payee names it.
pub trait Payers {
    /// Sets the money of a draft aside until then, on the account it draws on, and binds its number
    /// to it: no other draft of that number is paid, and this one only out of the hold. Gives the
    /// hold.
    ///
    /// # Errors
    /// [`Halt::Refused`] where `asker` is neither the key that signed nor the owner of its account,
    /// where the number belongs to another draft or this one was paid, and for want of money; then
    /// nothing but evidence was written.
    fn set_aside(
        &self,
        cx: &mut Context<'_>,
        asker: PeerId,
        draft: &Verified<Draft>,
        serial: u64,
        until: Time,
    ) -> Result<TransferId, Halt>;

    /// Pays the whole draft to the account named, out of what was set aside for it or else out of its
    /// payer's account, and binds its number.
    ///
    /// # Errors
    /// [`Halt::Refused`] with code certificate where the bank gave no such certificate; with another
    /// code where the number is another draft's or was paid, where the payer stopped it, and for want
    /// of money; then nothing but evidence was written.
    fn pay(&self, cx: &mut Context<'_>, draft: &Verified<Draft>, serial: u64, to: AccountId) -> Result<(), Halt>;
}

/// Cheques at one bank. All state is records beside the ledger; this is a key and terms.
#[derive(Debug)]
pub struct Interbank {
    network: NetworkId,
    key: SecretKey,
    terms: Terms,
}

impl Interbank {
    /// Cheques under the bank's statement key.
    #[must_use]
    pub const fn new(network: NetworkId, key: SecretKey, terms: Terms) -> Self {
        Self { network, key, terms }
    }

    /// The key that signs endorsements, answers and statements: the bank's name among banks.
    #[must_use]
    pub fn bank(&self) -> PeerId {
        self.key.id()
    }

    fn account(&self, kind: AccountKind, label: &[&[u8]], currency: Currency) -> AccountId {
        Account::id_for(self.network, kind, &label.concat(), currency)
    }

    fn customer(&self, peer: PeerId, currency: Currency) -> AccountId {
        self.account(AccountKind::Customer, &[&peer.0], currency)
    }
}

/// The id of a transfer or hold: as old as what causes it, and the same at every repeat.
fn transfer_id(at: Time, parts: &[&[u8]]) -> TransferId {
    TransferId(timed(at, &hash(Purpose::Transfer, parts)))
}

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod storms;
#[cfg(test)]
mod testing;
