//! Records and ledger in one transaction: SQLite and memory.
//!
//! A batch is run on an [`Overlay`] over what a [`Store`] holds; what remains of it is a
//! [`WriteSet`], which [`Store::commit`] makes durable whole or not at all. [`SqliteStore`] is the
//! store of a real party, [`MemoryStore`] that of tests and simulations. [`audit`] finds every
//! balance again from the journal and names the first row that is wrong.

pub mod audit;
mod error;
mod memory;
mod overlay;
mod sqlite;
mod store;
mod writes;

pub use error::StoreError;
pub use memory::MemoryStore;
pub use overlay::Overlay;
pub use sqlite::{SQLITE_MIN, SqliteOptions, SqliteSnapshot, SqliteStore};
pub use store::{Reader, Snapshot, Store};
pub use writes::{Before, Change, RowChange, WriteSet};
