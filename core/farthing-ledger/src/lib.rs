//! Double entry: accounts, transfers and holds that post two-sided, once, or not at all.
//!
//! The ledger is pure: it reads and writes [`Books`], which somebody hands it, and knows neither
//! disk nor clock. Read [`Account`], [`Transfer`] and [`Hold`] first, then [`Ledger`], whose every
//! operation refuses in a fixed order before it writes anything, and appends one [`Entry`] to the
//! journal when it does. Balances are a cache: [`Replay`] finds them again from the journal alone.

mod account;
mod books;
mod entry;
mod hold;
mod journal;
mod ledger;
mod refusal;
mod replay;
mod totals;
mod transfer;

pub use account::{ACCOUNT_MAX, Account, AccountKind, TURNOVER_MAX};
pub use books::{Books, LedgerWrite, StoreFault};
pub use entry::Entry;
pub use hold::{HOLD_SPAN_MAX, Hold, HoldState};
pub use journal::{Head, JournalRow};
pub use ledger::{Ledger, Posted};
pub use refusal::{LedgerError, LedgerRefusal};
pub use replay::{Irregular, Replay};
pub use totals::{Totals, conservation};
pub use transfer::{Reason, Transfer};
