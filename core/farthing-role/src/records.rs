//! Records: what a role remembers besides money.

use farthing_ledger::{Books, StoreFault};

/// A table of records, named once by the role that owns it. Keys and values are bytes; keys sort
/// bytewise, and a table whose rows come in order of time should begin its keys with the time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Table(pub &'static str);

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Which rows to read, in ascending order of key.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// Only keys that begin so.
    pub prefix: &'a [u8],
    /// Only keys after this one; `None` for the beginning. This is how a reader turns pages.
    pub after: Option<&'a [u8]>,
    /// At most so many rows.
    pub limit: usize,
}

/// Records inside an open transaction: reads see the transaction's own writes.
pub trait Records {
    /// The value under a key.
    ///
    /// # Errors
    /// [`StoreFault`] when the disk or database does not answer; nothing may be concluded from it.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault>;

    /// Rows in order of key.
    ///
    /// # Errors
    /// [`StoreFault`], as for [`get`](Self::get).
    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Row>, StoreFault>;

    /// Writes a value under a key, in place of any before it.
    fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>);

    /// Removes a key and its value, if there.
    fn delete(&mut self, table: Table, key: &[u8]);
}

/// Records and ledger, changing together or not at all.
pub trait Transaction: Records + Books {}

impl<T: Records + Books + ?Sized> Transaction for T {}
