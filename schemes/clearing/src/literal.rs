//! The paper's own forms, so that their flaws can be shown. For tests, models and simulations; no
//! network node can reach them.
//!
//! As printed in §3.2: the sequence number is "incremented immediately", so a request whose answer
//! was lost is asked again under the next one; the audit log is one chain over payments in and out;
//! Carol's sequence number is told to Alice and not to Carol. Encryption is left out: none of these
//! flaws is about it.

use std::collections::BTreeMap;

use farthing_core::hash::{Purpose, hash};

/// Alice's or Carol's name.
pub type Name = u8;

/// `X0`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// `S_A`.
    pub sequence: u64,
    /// `V`.
    pub log: [u8; 32],
    /// `W`.
    pub amount: u64,
    /// `ID_A`.
    pub payer: Name,
    /// `ID_C`.
    pub payee: Name,
}

/// `X1`, to Alice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// `S_C`: how often Carol was paid, told to Alice.
    pub payees_sequence: u64,
    /// `Y1`, for Carol: no sequence number, no order.
    pub ticket: Ticket,
}

/// `Y1`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// `ID_A`.
    pub payer: Name,
    /// `ID_C`.
    pub payee: Name,
    /// `W`.
    pub amount: u64,
}

/// The one chain over everything, in the order it happened to arrive.
#[must_use]
pub fn logged(log: [u8; 32], peer: Name, amount: u64) -> [u8; 32] {
    hash(Purpose::AuditEntry, &[&log, &[peer], &amount.to_be_bytes()])
}

/// The bank of §3.2.
#[derive(Clone, Debug, Default)]
pub struct Bank {
    /// What everybody has.
    pub balances: BTreeMap<Name, u64>,
    /// The numbers expected next, of requests and of receipts.
    pub sequences: BTreeMap<Name, (u64, u64)>,
    /// Everybody's log, as the bank believes it to be.
    pub logs: BTreeMap<Name, [u8; 32]>,
}

impl Bank {
    /// M0 to M1: `None` where number, log or balance are wrong.
    pub fn transfer(&mut self, request: &Request) -> Option<Answer> {
        let Request { sequence, log, amount, payer, payee } = *request;
        let expected = self.sequences.entry(payer).or_default();
        if sequence != expected.0 || log != self.logs.get(&payer).copied().unwrap_or_default() {
            return None;
        }
        expected.0 += 1;
        let balance = self.balances.get_mut(&payer)?;
        *balance = balance.checked_sub(amount)?;
        *self.balances.entry(payee).or_default() += amount;
        let received = self.sequences.entry(payee).or_default();
        received.1 += 1;
        let payees_sequence = received.1;
        for (owner, peer) in [(payer, payee), (payee, payer)] {
            let log = self.logs.entry(owner).or_default();
            *log = logged(*log, peer, amount);
        }
        Some(Answer { payees_sequence, ticket: Ticket { payer, payee, amount } })
    }
}
