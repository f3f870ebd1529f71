//! The bank: accounts, certificates, instruments, redemption, evidence.
//!
//! [`messages`] is what is said, [`client`] says it. [`home`] is a bank's folder with its
//! configuration and keys, [`signer`] the process that certifies, [`role`] what the bank does with
//! a request, [`rail`] how money comes in and goes out, and [`server`] serves it over HTTP.
//! [`audit`] looks through its books.

pub mod alarm;
pub mod audit;
pub mod chart;
pub mod client;
pub mod home;
pub mod messages;
mod published;
pub mod rail;
pub mod role;
pub mod server;
pub mod signer;

pub use published::NotTheLatest;
