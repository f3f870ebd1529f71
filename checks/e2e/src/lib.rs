//! End-to-end tests: the real binary over loopback, as a user runs it.
//!
//! Here is what the tests share. Everything runs in a [`Town`]: a temporary folder with a bank, an
//! index and a home folder for everybody. Whatever was started ends with the value that stands for
//! it, and a test that fails leaves the folder behind and says where.

mod books;
mod goods;
mod home;
mod patience;
mod process;
mod town;

pub use books::{Books, Proof, amount, proofs};
pub use goods::{Goods, PIECE_BYTES, Ware};
pub use home::{Failed, Home};
pub use patience::{PATIENCE, wait_for};
pub use process::{Done, Process, binary};
pub use town::{PIECE_MICROS, Seller, Town, Way, quiet_port};

/// Exit codes, as `farthing help exit-codes` explains them.
pub mod exit {
    /// Done.
    pub const DONE: i32 = 0;
    /// None of the others.
    pub const OTHER: i32 = 1;
    /// The command line or the configuration is wrong.
    pub const USAGE: i32 = 2;
    /// Somebody said no; no money moved.
    pub const REFUSED: i32 = 3;
    /// The answer went missing; money may have moved.
    pub const UNKNOWN: i32 = 4;
    /// A server or peer did not answer; nothing was sent.
    pub const UNREACHABLE: i32 = 5;
    /// Not enough money, or the policy forbids it.
    pub const FUNDS: i32 = 6;
    /// Files damaged or in use, or the passphrase wrong.
    pub const DAMAGED: i32 = 7;
}
