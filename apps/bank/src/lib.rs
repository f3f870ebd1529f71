//! The bank: accounts, certificates, instruments, redemption, evidence.
//!
//! [`messages`] is what is said, [`client`] says it. [`home`] is a bank's folder with its
//! configuration and keys, [`signer`] the process that certifies, [`role`] what the bank does with
//! a request, [`rail`] how money comes in and goes out, and [`server`] serves it over HTTP.
//! [`audit`] looks through its books. [`facilitator`] takes coupons for servers that speak stock x402.
//!
//! # What a dishonest bank can do, and who notices
//! It can refuse to open, to pay and to answer, and it can run away with what it was given. It
//! cannot spend a chain (it never learns the seed), claim in a payee's name or frame a payer: all
//! of that takes their signatures. Every answer is signed over the request it answers, so one that
//! was not kept convicts it. Its liability reports carry the head of its journal: two reports that
//! do not lie on one journal convict it as well, and an auditor with the books finds any balance
//! that the journal does not give. What it owes in all, only its customers together can count.

pub mod alarm;
pub mod audit;
pub mod chart;
pub mod clearing_log;
pub mod client;
pub mod facilitator;
pub mod home;
pub mod messages;
mod published;
pub mod rail;
pub mod role;
pub mod server;
pub mod signer;

pub use published::NotTheLatest;
