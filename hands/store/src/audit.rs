//! The audit: every balance and hold found again from the journal alone, and compared.
//!
//! The journal's hashes chain each row to the one before (Kelsey and Schneier's audit log, here
//! kept by the bank about itself), and every entry is made to happen again under the very rules of
//! the ledger. Somebody who may rewrite the whole file can still tell another consistent story, or
//! end it earlier; only a head published before betrays that, so [`audit_since`] takes those.

use std::collections::BTreeMap;
use std::fmt;

use farthing_core::amount::Currency;
use farthing_core::id::{AccountId, TransferId};
use farthing_core::wire;
use farthing_ledger::{Account, Entry, Head, Hold, Irregular, JournalRow, Replay, StoreFault, Totals, conservation};

use crate::store::Reader;

/// Rows read at once.
const PAGE: usize = 1_000;

/// What a clean audit found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditReport {
    /// How far the journal goes.
    pub head: Head,
    /// Transfers in it.
    pub transfers: u64,
    /// Holds in it, open and ended.
    pub holds: u64,
    /// Accounts, each with the balance that the journal gives it.
    pub accounts: u64,
    /// The sums per currency; all of them conserved.
    pub totals: BTreeMap<Currency, Totals>,
}

/// Why there is no clean report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The books are not what the journal says.
    #[error("{0}")]
    Bad(BadRow),
    /// The store did not answer; nothing is known.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// The first row that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Which row.
    pub row: RowName,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowName {
    /// In the journal, under this number.
    Journal(u64),
    /// In the accounts.
    Account(AccountId),
    /// In the holds.
    Hold(TransferId),
    /// Somewhere in the file.
    File,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It should be there.
    #[error("is missing")]
    Missing,
    /// It should not be there.
    #[error("is there, but the journal never made it")]
    Unknown,
    /// It does not carry the hash of what it says and of the row before.
    #[error("does not fit its hash: it, or the row before, was changed")]
    Hash,
    /// It is no entry.
    #[error("cannot be read")]
    Unreadable,
    /// It is found under another id than its own.
    #[error("stands under an id that is not its own")]
    Id,
    /// The rules would not have let it in.
    #[error("should never have been written: {0}")]
    Irregular(Irregular),
    /// It says something else than the journal.
    #[error("says {field} {stored}, but the journal says {journal}")]
    Differs {
        /// Which column.
        field: &'static str,
        /// What is stored.
        stored: String,
        /// What the journal makes of it.
        journal: String,
    },
    /// It is not what was published about it.
    #[error("is not the row whose hash was published")]
    Unpublished,
    /// The store itself says so.
    #[error("is damaged: {0}")]
    Damaged(String),
}

impl fmt::Display for RowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(seq) => write!(f, "row {seq} of the journal"),
            Self::Account(id) => write!(f, "account {id}"),
            Self::Hold(id) => write!(f, "hold {id}"),
            Self::File => f.write_str("the file"),
        }
    }
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.row, self.wrong)
    }
}

impl RowName {
    fn is(self, wrong: Wrong) -> AuditError {
        AuditError::Bad(BadRow { row: self, wrong })
    }
}

/// Audits the books as they stand. Memory grows with accounts and open holds, not with the journal.
///
/// Journal first, from its beginning; then accounts and holds by name; then how rows are stored.
/// On a store in use, give it a [`Snapshot`](crate::Snapshot).
///
/// # Errors
/// [`AuditError::Bad`] names the first row that is wrong.
pub fn audit(store: &dyn Reader) -> Result<AuditReport, AuditError> {
    audit_since(store, &[])
}

/// Audits the books and that they still go through heads published before.
///
/// # Errors
/// As [`audit`]; [`Wrong::Unpublished`] or [`Wrong::Missing`] for a published head that the
/// journal does not, or no longer, contain.
pub fn audit_since(store: &dyn Reader, published: &[Head]) -> Result<AuditReport, AuditError> {
    match compare(store, published) {
        // A row that cannot even be read: perhaps the store knows why.
        Err(AuditError::Store(fault)) => match store.damage() {
            Ok(Some(what)) => Err(RowName::File.is(Wrong::Damaged(what))),
            _ => Err(fault.into()),
        },
        compared => compared,
    }
}

fn compare(store: &dyn Reader, published: &[Head]) -> Result<AuditReport, AuditError> {
    let mut pass = Pass::default();
    loop {
        let rows = store.journal(pass.head.seq, PAGE)?;
        for row in &rows {
            pass.take(store, row, published)?;
        }
        if rows.len() < PAGE {
            break;
        }
    }
    if let Some(lost) = published.iter().map(|head| head.seq).filter(|seq| *seq > pass.head.seq).min() {
        return Err(RowName::Journal(lost).is(Wrong::Missing));
    }
    compare_accounts(store, pass.replay.accounts())?;
    pass.compare_holds(store)?;
    if let Some(what) = store.damage()? {
        return Err(RowName::File.is(Wrong::Damaged(what)));
    }
    let accounts = pass.replay.accounts();
    let totals = conservation(accounts.values());
    // Every entry was two-sided, or the replay would have refused it.
    assert!(totals.values().all(Totals::is_conserved), "the replay made or lost money");
    Ok(AuditReport {
        head: pass.head,
        transfers: pass.transfers,
        holds: pass.holds,
        accounts: accounts.len() as u64,
        totals,
    })
}

#[derive(Default)]
struct Pass {
    head: Head,
    replay: Replay,
    transfers: u64,
    holds: u64,
    /// The first ended hold that is stored otherwise: told after the journal's own faults.
    bad_hold: Option<AuditError>,
}

impl Pass {
    /// Checks the next row of the journal and lets it happen again.
    fn take(&mut self, store: &dyn Reader, row: &JournalRow, published: &[Head]) -> Result<(), AuditError> {
        let next = self.head.after(&row.entry);
        let name = RowName::Journal(next.seq);
        if row.seq != next.seq {
            return Err(name.is(Wrong::Missing));
        }
        if row.hash != next.hash {
            return Err(name.is(Wrong::Hash));
        }
        let entry: Entry = wire::decode(&row.entry).map_err(|_| name.is(Wrong::Unreadable))?;
        if row.id != entry.id() {
            return Err(name.is(Wrong::Id));
        }
        if published.iter().any(|head| head.seq == next.seq && head.hash != next.hash) {
            return Err(name.is(Wrong::Unpublished));
        }
        let ended = self.replay.apply(&entry).map_err(|why| name.is(Wrong::Irregular(why)))?;
        if let (Some(hold), None) = (ended, &self.bad_hold) {
            self.bad_hold = match compare_hold(store, &hold) {
                Err(fault @ AuditError::Store(_)) => return Err(fault),
                compared => compared.err(),
            };
        }
        match entry {
            Entry::Moved(_) => self.transfers += 1,
            Entry::Held { .. } => self.holds += 1,
            _ => {}
        }
        self.head = next;
        Ok(())
    }

    fn compare_holds(&mut self, store: &dyn Reader) -> Result<(), AuditError> {
        if let Some(bad) = self.bad_hold.take() {
            return Err(bad);
        }
        for hold in self.replay.open_holds().values() {
            compare_hold(store, hold)?;
        }
        // All that the journal made are there. Are there any others?
        let mut after = None;
        loop {
            let holds = store.holds(after, PAGE)?;
            for hold in &holds {
                let made = store.journal_row(hold.id)?.map(|row| wire::decode(&row.entry));
                if !matches!(made, Some(Ok(Entry::Held { .. }))) {
                    return Err(RowName::Hold(hold.id).is(Wrong::Unknown));
                }
            }
            after = holds.last().map(|hold| hold.id);
            if holds.len() < PAGE {
                return Ok(());
            }
        }
    }
}

fn compare_accounts(store: &dyn Reader, journal: &BTreeMap<AccountId, Account>) -> Result<(), AuditError> {
    let mut expected = journal.values().peekable();
    let mut after = None;
    loop {
        let page = store.accounts(after, PAGE)?;
        for stored in &page {
            let name = RowName::Account(stored.id);
            match expected.next_if(|account| account.id <= stored.id) {
                Some(account) if account.id == stored.id => same_account(stored, account)?,
                Some(account) => return Err(RowName::Account(account.id).is(Wrong::Missing)),
                None => return Err(name.is(Wrong::Unknown)),
            }
        }
        after = page.last().map(|account| account.id);
        if page.len() < PAGE {
            break;
        }
    }
    expected.next().map_or(Ok(()), |account| Err(RowName::Account(account.id).is(Wrong::Missing)))
}

fn same_account(stored: &Account, journal: &Account) -> Result<(), AuditError> {
    let name = RowName::Account(stored.id);
    let same = [
        differs("kind", stored.kind, journal.kind),
        differs("currency", stored.currency, journal.currency),
        differs("owner", stored.owner, journal.owner),
        differs("frozen", stored.frozen, journal.frozen),
        differs("debits", stored.debits_posted, journal.debits_posted),
        differs("credits", stored.credits_posted, journal.credits_posted),
        differs("held", stored.held, journal.held),
        differs("opened", stored.opened, journal.opened),
    ];
    same.into_iter().flatten().next().map_or(Ok(()), |wrong| Err(name.is(wrong)))
}

fn compare_hold(store: &dyn Reader, journal: &Hold) -> Result<(), AuditError> {
    let name = RowName::Hold(journal.id);
    let stored = store.hold(journal.id)?.ok_or_else(|| name.is(Wrong::Missing))?;
    let same = [
        differs("account", stored.account, journal.account),
        differs("amount", stored.amount, journal.amount),
        differs("rest", stored.rest, journal.rest),
        differs("until", stored.until, journal.until),
        differs("reference", stored.reference, journal.reference),
        differs("state", stored.state, journal.state),
    ];
    same.into_iter().flatten().next().map_or(Ok(()), |wrong| Err(name.is(wrong)))
}

fn differs<T: PartialEq + fmt::Debug>(field: &'static str, stored: T, journal: T) -> Option<Wrong> {
    let told = |value: &T| format!("{value:?}");
    (stored != journal).then(|| Wrong::Differs { field, stored: told(&stored), journal: told(&journal) })
}
