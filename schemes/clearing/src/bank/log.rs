//! The clearing's own log: what the bank did, row by row, each hashed onto the last.
//!
//! Kelsey and Schneier, §3.4: the most dire failure is a breach at the bank, and what recovers from
//! it is "an authenticated, physically secure and separate log". The rows are written in the
//! transaction they tell of; whoever runs the bank copies them elsewhere and publishes the head.

use farthing_core::amount::Amount;
use farthing_core::audit::AuditLog;
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{OrderId, PeerId};
use farthing_core::refusal::Code;
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_ledger::StoreFault;
use farthing_role::{Context, Records, Scan};
use minicbor::{Decode, Encode};

use super::records::{self, LOG, LOG_HEAD};
use crate::frame::MessageId;

/// How far the log goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode)]
pub struct LogHead {
    /// How many rows.
    #[n(0)]
    pub seq: u64,
    /// The hash over all of them.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub hash: [u8; 32],
}

/// A row.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct LogRow {
    /// Its number, from 1.
    #[n(0)]
    pub seq: u64,
    /// When.
    #[n(1)]
    pub time: Time,
    /// What happened.
    #[n(2)]
    pub event: LogEvent,
    /// The hash over it and all before.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub hash: [u8; 32],
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum LogEvent {
    /// A customer has a key, or another one.
    #[n(0)]
    Key {
        /// Whose.
        #[n(0)]
        customer: PeerId,
        /// The version.
        #[n(1)]
        version: u32,
    },
    /// Money moved.
    #[n(1)]
    Moved {
        /// The authorisation.
        #[n(0)]
        auth: MessageId,
        /// Who paid.
        #[n(1)]
        payer: PeerId,
        /// The number of its request.
        #[n(2)]
        sequence: u64,
        /// `V`: the payer's commitment to its log.
        #[cbor(n(3), with = "minicbor::bytes")]
        commitment: [u8; 32],
        /// Who was paid.
        #[n(4)]
        payee: PeerId,
        /// The payment's number there.
        #[n(5)]
        number: u64,
        /// How much.
        #[n(6)]
        amount: Amount,
        /// What for.
        #[n(7)]
        order: OrderId,
    },
    /// A customer was stopped until it compares books.
    #[n(2)]
    Stopped {
        /// Who.
        #[n(0)]
        customer: PeerId,
        /// Why.
        #[n(1)]
        code: Code,
    },
    /// Books were compared and agree.
    #[n(3)]
    Agreed {
        /// Whose.
        #[n(0)]
        customer: PeerId,
        /// The epoch that began.
        #[n(1)]
        epoch: u64,
        /// The log that both have.
        #[n(2)]
        log: AuditLog,
    },
    /// Books were compared and differ.
    #[n(4)]
    Disputed {
        /// Whose.
        #[n(0)]
        customer: PeerId,
    },
    /// The operator settled a dispute.
    #[n(5)]
    Settled {
        /// Whose.
        #[n(0)]
        customer: PeerId,
    },
}

/// Rows that do not follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("row {0} of the clearing's log does not follow the one before: rows were altered, added or taken out")]
pub struct LogError(pub u64);

fn chained(before: &[u8; 32], seq: u64, time: Time, event: &LogEvent) -> [u8; 32] {
    let time = time.as_millis().to_be_bytes();
    hash(Purpose::ClearingLog, &[before, &seq.to_be_bytes(), &time, &wire::encode(event)])
}

/// Appends a row, in the transaction it tells of.
pub(super) fn append(cx: &mut Context<'_>, event: LogEvent) -> Result<(), StoreFault> {
    let before = log_head(&*cx.tx)?;
    let seq = before.seq.checked_add(1).ok_or_else(|| StoreFault("the clearing's log is full".into()))?;
    let hash = chained(&before.hash, seq, cx.now, &event);
    let row = LogRow { seq, time: cx.now, event, hash };
    cx.tx.put(LOG, &seq.to_be_bytes(), wire::encode(&row));
    cx.tx.put(LOG_HEAD, b"head", wire::encode(&LogHead { seq, hash }));
    Ok(())
}

/// How far the log goes: what to publish.
///
/// # Errors
/// [`StoreFault`].
pub fn log_head(tx: &dyn Records) -> Result<LogHead, StoreFault> {
    Ok(records::read(tx, LOG_HEAD, b"head")?.unwrap_or_default())
}

/// Rows with numbers above `after`, at most `limit`, in order: what to copy elsewhere.
///
/// # Errors
/// [`StoreFault`].
pub fn log_rows(tx: &dyn Records, after: u64, limit: usize) -> Result<Vec<LogRow>, StoreFault> {
    let rows = tx.scan(LOG, Scan { prefix: &[], after: Some(&after.to_be_bytes()), limit })?;
    rows.into_iter().map(|(_, row)| records::decode(LOG, &row)).collect()
}

/// Follows rows from a head; gives the head they lead to.
///
/// # Errors
/// [`LogError`]: the first row that does not follow.
pub fn verify_log(from: LogHead, rows: &[LogRow]) -> Result<LogHead, LogError> {
    rows.iter().try_fold(from, |head, row| {
        let follows =
            head.seq.checked_add(1) == Some(row.seq) && row.hash == chained(&head.hash, row.seq, row.time, &row.event);
        if follows { Ok(LogHead { seq: row.seq, hash: row.hash }) } else { Err(LogError(row.seq)) }
    })
}
